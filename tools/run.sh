#!/usr/bin/env bash
# `make run`: a private Postgres and the gateway in the foreground, until Ctrl-C.
# shellcheck source=shell.sh
. "$(dirname "${BASH_SOURCE[0]}")/shell.sh"
# shellcheck source=postgres.sh
. "$ROOT/tools/postgres.sh"
# shellcheck source=data-dir.sh
. "$ROOT/tools/data-dir.sh"

profile="${PROFILE:-release}"
if (exec 3<>"/dev/tcp/127.0.0.1/$HTTP_PORT") 2>/dev/null; then
    die "something already listens on port $HTTP_PORT; choose another with SNACKBASE_PORT"
fi

gateway_pid=
stop() {
    trap '' INT TERM
    if [ -n "$gateway_pid" ] && kill -TERM "$gateway_pid" 2>/dev/null; then wait "$gateway_pid" || true; fi
    [ -n "$CLUSTER_STARTED" ] || return 0
    if cluster_running "$BIN" "$DATA_DIR"; then cluster_stop "$BIN" "$DATA_DIR"; fi
    rm -f "$DATA_DIR/run.pid"
    say "Stopped. The data is kept in $DATA_DIR."
}
trap stop EXIT
trap 'exit 0' INT TERM

gateway_build "$profile"
private_cluster_start "$profile"
echo $$ >"$DATA_DIR/run.pid"

# (said after the password)
remark=" (counts when the data is new: a superadmin who is there keeps the password)"
email="${SNACKBASE_SUPERADMIN_EMAIL:-}"
password="${SNACKBASE_SUPERADMIN_PASSWORD:-}"
if [ -z "$email" ] || [ -z "$password" ]; then
    if [ ! -f "$DATA_DIR/superadmin" ]; then
        (umask 077 && printf 'email=admin@example.com\npassword=%sAa1!\n' "$(random_secret)" >"$DATA_DIR/superadmin")
    fi
    # shellcheck source=/dev/null
    . "$DATA_DIR/superadmin"
    remark=" (generated once, kept in $DATA_DIR/superadmin)"
fi

# The gateway needs nothing of the system: under root it runs as nobody, from a place nobody can read.
install -m 755 "$GATEWAY" "$DATA_DIR/server/snackbase-gateway"
drop=()
if [ "$(id -u)" -eq 0 ]; then drop=(setpriv --reuid 65534 --regid 65534 --clear-groups); fi
# A session of its own: Ctrl-C reaches this script alone, which then stops both in order.
cd /
SNACKBASE_HOST=127.0.0.1 SNACKBASE_PORT="$HTTP_PORT" \
SNACKBASE_DATABASE_URL="postgres://snackbase_gateway:$SNACKBASE_DATABASE_PASSWORD@127.0.0.1:$PGPORT/snackbase" \
SNACKBASE_SECRET_KEY="${SNACKBASE_SECRET_KEY:?}" SNACKBASE_ENCRYPTION_KEY="${SNACKBASE_ENCRYPTION_KEY:?}" \
SNACKBASE_SUPERADMIN_EMAIL="$email" SNACKBASE_SUPERADMIN_PASSWORD="$password" \
    env -u SNACKBASE_URL -u SNACKBASE_DATA_DIR setsid "${drop[@]}" "$DATA_DIR/server/snackbase-gateway" serve &
gateway_pid=$!

until (exec 3<>"/dev/tcp/127.0.0.1/$HTTP_PORT") 2>/dev/null; do
    kill -0 "$gateway_pid" 2>/dev/null || { gateway_pid=; die "the gateway did not start; its message is above"; }
    sleep 0.1
done

cat >&2 <<TEXT

SnackBase serves $SNACKBASE_URL

  Superadmin  $email
  Password    $password$remark
  Account     system

Try:
  curl $SNACKBASE_URL/health
  curl -s $SNACKBASE_URL/api/v1/auth/login -H 'content-type: application/json' \\
       -d '{"account":"system","email":"$email","password":"$password"}'
  make psql

Ctrl-C stops the gateway and its Postgres; the data stays in $DATA_DIR.

TEXT
wait "$gateway_pid"
