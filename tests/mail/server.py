"""A real SMTP server for the tests: aiosmtpd on a free port of 127.0.0.1.

Usage: server.py plain|starttls|tls CERTIFICATE KEY

Prints the port on the first line, then one line of JSON per accepted mail. Logins: user "mailer", password "letters". What it does
with a recipient is in its address: never@… is refused for good, later@… twice for the moment, slow@… is accepted after a second.
"""

import asyncio
import json
import ssl
import sys

from aiosmtpd.smtp import SMTP, AuthResult

refused = {}


class Handler:
    async def handle_RCPT(self, server, session, envelope, address, options):
        who = address.split("@")[0]
        if who == "never":
            return "550 5.1.1 No such user"
        if who == "later":
            refused[address] = refused.get(address, 0) + 1
            if refused[address] <= 2:
                return "451 4.3.0 Busy, try again"
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server, session, envelope):
        if envelope.rcpt_tos[0].startswith("slow@"):
            await asyncio.sleep(1)
        mail = {
            "from": envelope.mail_from,
            "to": envelope.rcpt_tos,
            "data": envelope.content.decode("utf-8", "replace"),
            "tls": session.ssl is not None or sys.argv[1] == "tls",
            "user": session.auth_data.login.decode() if session.auth_data else None,
        }
        print(json.dumps(mail), flush=True)
        return "250 OK"


def authenticate(server, session, envelope, mechanism, login):
    good = login.login == b"mailer" and login.password == b"letters"
    return AuthResult(success=good, handled=True, auth_data=login)


async def main():
    kind, certificate, key = sys.argv[1:]
    context = None
    if kind != "plain":
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate, key)

    def session():
        return SMTP(
            Handler(),
            hostname="localhost",
            tls_context=context if kind == "starttls" else None,
            require_starttls=kind == "starttls",
            authenticator=authenticate,
            auth_required=True,
            auth_require_tls=kind == "starttls",
        )

    server = await asyncio.get_running_loop().create_server(
        session, "127.0.0.1", 0, ssl=context if kind == "tls" else None
    )
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


asyncio.run(main())
