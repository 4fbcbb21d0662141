//! One-time tokens: confirming an address, and new passwords. contract identity.md §5.4.

#[pgrx::pg_schema]
mod tests {
    use pgrx::prelude::*;

    use crate::tests::scene::{Person, Scene, ask, ask_through_gateway, run};

    const VISITOR: &str = r#"{"kind":"anonymous","ip_address":"192.0.2.7"}"#;

    fn visitor(statement: &str) -> crate::tests::scene::Outcome {
        ask_through_gateway(VISITOR, "auth", statement)
    }

    fn unconfirm(person: &Person) {
        run(&format!(
            "update snackbase.users set email_verified = false, email_verified_at = null where id = '{}'",
            person.id
        ))
        .says("1");
    }

    fn verified(person: &Person) -> String {
        ask(&format!(
            "select email_verified from snackbase.users where id = '{}'",
            person.id
        ))
        .answer()
    }

    /// The token of the newest mail to an address.
    fn token_for(address: &str) -> String {
        ask(&format!(
            "select variables ->> 'token' from snackbase.mail_outbox where recipient = '{address}' order by id desc limit 1"
        ))
        .answer()
    }

    fn mails() -> String {
        ask("select count(*) from snackbase.mail_outbox").answer()
    }

    fn request(account: &str, address: &str) {
        visitor(&format!(
            "select snackbase.auth_verification_request({account}, null, null, '{address}')"
        ))
        .says("true");
    }

    #[pg_test]
    fn tokens_have_32_bytes_and_fit_into_a_path() {
        ask("select count(distinct t) || ' ' || bool_and(t ~ '^[A-Za-z0-9_-]{43}$') from (select snackbase._token_make() as t from generate_series(1, 1000)) x")
            .says("1000 true");
    }

    #[pg_test]
    fn a_registration_queues_its_mail_or_is_not_made() {
        Scene::new();
        visitor("select snackbase.auth_register('dora@example.com', 'hash', 'Initech', null) -> 'user' ->> 'email_verified'").says("false");
        ask("select template_type || ' ' || recipient || ' ' || status || ' ' || (variables ->> 'verification_url' = 'http://localhost:8000/verify-email?token=' || (variables ->> 'token'))
               from snackbase.mail_outbox")
            .says("email_verification dora@example.com pending true");
        // Only the hash is kept, and for an hour.
        ask(
            "select t.token_hash = encode(sha256(convert_to(m.variables ->> 'token', 'UTF8')), 'hex')
                    and t.expires_at - t.created_at between interval '59 minutes' and interval '61 minutes'
               from snackbase.one_time_tokens t, snackbase.mail_outbox m",
        )
        .says("true");
        // No mail, no account.
        visitor("select snackbase.auth_register(e'eve\\x01@example.com', 'hash', 'Evil', null)")
            .refused("23514");
        ask("select count(*) from snackbase.accounts where slug = 'evil'").says("0");
    }

    #[pg_test]
    fn a_token_confirms_its_address_once() {
        let scene = Scene::new();
        unconfirm(&scene.ada);
        request("'acme'", "ADA@example.com");
        let first = token_for("ada@example.com");
        request("'acme'", "ada@example.com");
        let second = token_for("ada@example.com");
        for bad in [first.as_str(), "", "x"] {
            visitor(&format!("select snackbase.auth_verify_email('{bad}')")).refused("22023");
        }
        assert_eq!(verified(&scene.ada), "false");
        visitor(&format!(
            "select snackbase.auth_verify_email('{second}') -> 'user' ->> 'email_verified'"
        ))
        .says("true");
        assert_eq!(verified(&scene.ada), "true");
        visitor(&format!("select snackbase.auth_verify_email('{second}')")).refused("22023");
        // Whoever has confirmed the address is not asked again.
        let before = mails();
        request("'acme'", "ada@example.com");
        assert_eq!(mails(), before);
    }

    #[pg_test]
    fn a_token_ends_after_an_hour() {
        let scene = Scene::new();
        unconfirm(&scene.ada);
        request("'acme'", "ada@example.com");
        run("update snackbase.one_time_tokens set expires_at = clock_timestamp()").says("1");
        let token = token_for("ada@example.com");
        visitor(&format!("select snackbase.auth_verify_email('{token}')")).refused("22023");
        assert_eq!(verified(&scene.ada), "false");
    }

    #[pg_test]
    fn a_token_for_another_address_confirms_nothing_until_the_user_has_it() {
        let scene = Scene::new();
        unconfirm(&scene.ada);
        scene
            .ada
            .ask(
                "auth",
                "select snackbase.auth_verification_request(null, null, null, 'mallory@example.org')",
            )
            .says("true");
        let token = token_for("mallory@example.org");
        visitor(&format!("select snackbase.auth_verify_email('{token}')")).refused("22023");
        assert_eq!(verified(&scene.ada), "false");
        // An administrator gives the user that address: now it is proven.
        run(&format!(
            "update snackbase.users set email = 'Mallory@example.org' where id = '{}'",
            scene.ada.id
        ))
        .says("1");
        visitor(&format!(
            "select snackbase.auth_verify_email('{token}') -> 'user' ->> 'email'"
        ))
        .says("Mallory@example.org");
        assert_eq!(verified(&scene.ada), "true");
        // And a token for the address before proves nothing about the new one.
        unconfirm(&scene.alf);
        request("'acme'", "alf@example.com");
        let token = token_for("alf@example.com");
        run(&format!(
            "update snackbase.users set email = 'other@example.org' where id = '{}'",
            scene.alf.id
        ))
        .says("1");
        visitor(&format!("select snackbase.auth_verify_email('{token}')")).refused("22023");
        assert_eq!(verified(&scene.alf), "false");
    }

    #[pg_test]
    fn an_address_gets_three_mails_an_hour_and_strangers_none() {
        let scene = Scene::new();
        unconfirm(&scene.ada);
        for _ in 0..5 {
            request("'acme'", "ada@example.com");
            request("null", "ada@example.com");
            request("'acme'", "stranger@example.com");
            request("'nowhere'", "ada@example.com");
            request("'beta'", "ada@example.com");
        }
        assert_eq!(mails(), "3");
        ask("select count(*) from snackbase.one_time_tokens").says("1");
        // The last token that was sent still works: those that were not sent have not replaced it.
        let token = token_for("ada@example.com");
        run("update snackbase.mail_outbox set created_at = created_at - interval '61 minutes'").says("3");
        visitor(&format!(
            "select snackbase.auth_verify_email('{token}') ->> 'message'"
        ))
        .says("The email address is confirmed");
        unconfirm(&scene.ada);
        request("'acme'", "ada@example.com");
        assert_eq!(mails(), "4");
        // Nobody writes to the whole world by asking for addresses that are not his.
        for number in 0..5 {
            scene
                .alf
                .ask(
                    "auth",
                    &format!(
                        "select snackbase.auth_verification_request(null, null, null, 'n{number}@example.org')"
                    ),
                )
                .says("true");
        }
        assert_eq!(mails(), "7");
    }

    #[pg_test]
    fn what_is_done_for_people_of_an_account_is_refused_to_callers_of_another() {
        let scene = Scene::new();
        let (ada, bob) = (&scene.ada, &scene.bob);
        for call in [
            "_verification_send('{a}', '{u}')",
            "_reset_send('{a}', '{u}')",
            "_password_set('{a}', '{u}', 'h')",
            "_sessions_end('{a}', '{u}')",
        ] {
            let of = |person: &Person| {
                format!(
                    "select snackbase.{}",
                    call.replace("{a}", &person.account).replace("{u}", &person.id)
                )
            };
            ada.ask("admin", &of(ada)).answer();
            ada.ask("admin", &of(bob)).refused("42501");
            ada.ask("member", &of(ada)).refused("42501");
            scene.root.ask("superadmin", &of(bob)).answer();
            run("set snackbase.account_admin_manages_users = off").answer();
            ada.ask("admin", &of(ada)).refused("42501");
            scene.root.ask("superadmin", &of(bob)).answer();
            run("set snackbase.account_admin_manages_users = on").answer();
        }
        ada.ask("admin", "select count(*) from snackbase.one_time_tokens")
            .refused("42501");
        ask("select count(*) from snackbase.mail_outbox").says("6");
    }

    #[pg_test]
    fn a_new_password_ends_sessions_locks_and_links() {
        let scene = Scene::new();
        let ada = &scene.ada;
        run(&format!(
            "insert into snackbase.sessions (id, account_id, user_id) select gen_random_uuid(), account_id, id from snackbase.users where id in ('{}', '{}')",
            ada.id, scene.alf.id
        ))
        .says("2");
        run(&format!(
            "update snackbase.users set failed_login_attempts = 20, locked_until = clock_timestamp() + interval '1 hour' where id = '{}'",
            ada.id
        ))
        .says("1");
        ask(&format!(
            "select snackbase._reset_send('{}', '{}')",
            ada.account, ada.id
        ))
        .answer();
        ask(&format!(
            "select snackbase._password_set('{}', '{}', 'new hash')",
            ada.account, ada.id
        ))
        .answer();
        ask(&format!(
            "select password_hash || ' ' || failed_login_attempts || ' ' || (locked_until is null)
                    || ' ' || (select string_agg((s.revoked_at is null)::text, ' ' order by s.user_id = u.id desc) from snackbase.sessions s)
                    || ' ' || (select count(*) from snackbase.one_time_tokens)
               from snackbase.users u where id = '{}'",
            ada.id
        ))
        .says("new hash 0 true false true 0");
        ask("select string_agg(distinct coalesce(old_value, '') || '/' || coalesce(new_value, ''), ' ') from snackbase.audit_log
              where table_name = 'users' and column_name = 'password_hash' and operation = 'UPDATE'")
            .says("/***");
    }
}
