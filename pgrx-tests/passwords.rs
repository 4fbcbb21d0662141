//! New passwords for those who forgot theirs: contract identity.md §5.4, traps 13, 19 and 26.

#[pgrx::pg_schema]
mod tests {
    use pgrx::prelude::*;

    use crate::tests::scene::{Outcome, Person, Scene, ask, ask_through_gateway, run};

    const VISITOR: &str = r#"{"kind":"anonymous","ip_address":"192.0.2.7"}"#;

    fn visitor(statement: &str) -> Outcome {
        ask_through_gateway(VISITOR, "auth", statement)
    }

    fn forget(account: &str, address: &str) {
        visitor(&format!(
            "select snackbase.auth_forgot_password({account}, null, null, '{address}')"
        ))
        .says("true");
    }

    fn newest() -> String {
        ask("select variables ->> 'token' from snackbase.mail_outbox where template_type = 'password_reset' order by id desc limit 1")
            .answer()
    }

    fn reset(token: &str) -> Outcome {
        visitor(&format!(
            "select snackbase.auth_reset_password('{token}', 'new hash') ->> 'message'"
        ))
    }

    fn valid(token: &str) -> String {
        visitor(&format!(
            "select (x ->> 'valid') || ' ' || (x ->> 'expires_at' is not null) from snackbase.auth_reset_check('{token}') x"
        ))
        .answer()
    }

    fn hash_of(person: &Person) -> String {
        ask(&format!(
            "select coalesce(password_hash, 'none') from snackbase.users where id = '{}'",
            person.id
        ))
        .answer()
    }

    #[pg_test]
    fn a_forgotten_password_is_replaced_once() {
        let scene = Scene::new();
        run(&format!(
            "update snackbase.users set email_verified = false, email_verified_at = null, failed_login_attempts = 20,
                    locked_until = clock_timestamp() + interval '1 hour' where id = '{}'",
            scene.ada.id
        ))
        .says("1");
        run(&format!(
            "insert into snackbase.sessions (id, account_id, user_id) select gen_random_uuid(), account_id, id from snackbase.users where id = '{}'",
            scene.ada.id
        ))
        .says("1");
        forget("'acme'", " ADA@example.com");
        ask("select recipient || ' ' || (variables ->> 'reset_url' = 'http://localhost:8000/reset-password?token=' || (variables ->> 'token')) || ' ' || (variables ->> 'ip_address')
               from snackbase.mail_outbox")
            .says("ada@example.com true 192.0.2.7");
        let first = newest();
        assert_eq!(valid(&first), "true true");
        forget("'acme'", "ada@example.com");
        let second = newest();
        for bad in [first.as_str(), "", "x"] {
            assert_eq!(valid(bad), "false false");
            reset(bad).refused("22023");
        }
        assert_eq!(hash_of(&scene.ada), "none");
        reset(&second).says("The password is changed");
        assert_eq!(valid(&second), "false false");
        reset(&second).refused("22023");
        ask(&format!(
            "select concat_ws(' ', password_hash, email_verified, address_proven, failed_login_attempts, locked_until is null,
                              (select bool_and(revoked_at is not null) from snackbase.sessions))
               from snackbase.users where id = '{}'",
            scene.ada.id
        ))
        .says("new hash t t 0 t t");
        ask("select recipient || ' ' || status from snackbase.mail_outbox where template_type = 'password_changed'")
            .says("ada@example.com pending");
        // Nobody was logged in, and that is what the trail says; no hash is in it.
        ask("select string_agg(distinct user_id || ' ' || ip_address, ', ') from snackbase.audit_log
              where table_name = 'users' and operation = 'UPDATE' and column_name in ('password_hash', 'email_verified') and new_value in ('***', 'true')")
            .says("anonymous 192.0.2.7");
        ask("select count(*) from snackbase.audit_change where columns::text like '%new hash%'").says("0");
    }

    #[pg_test]
    fn only_those_who_log_in_with_a_password_get_a_link() {
        let scene = Scene::new();
        run(&format!(
            "update snackbase.users set auth_provider = 'oauth' where id = '{}'",
            scene.alf.id
        ))
        .says("1");
        run(&format!(
            "update snackbase.users set is_active = false where id = '{}'",
            scene.bob.id
        ))
        .says("1");
        for (account, address) in [
            ("'acme'", "alf@example.com"),
            ("'beta'", "bob@example.com"),
            ("'beta'", "ada@example.com"),
            ("'nowhere'", "ada@example.com"),
            ("null", "ada@example.com"),
        ] {
            forget(account, address);
        }
        ask("select count(*) from snackbase.mail_outbox").says("0");
        run("update snackbase.configurations set enabled = false where provider_name = 'email_password'")
            .says("1");
        forget("'acme'", "ada@example.com");
        ask("select count(*) from snackbase.mail_outbox").says("0");
        forget("'system'", "root@example.com");
        ask("select recipient from snackbase.mail_outbox").says("root@example.com");
    }

    #[pg_test]
    fn a_link_does_for_the_address_and_user_it_was_sent_to() {
        let scene = Scene::new();
        for change in [
            "email = 'new@example.com'",
            "is_active = false",
            "auth_provider = 'oauth'",
        ] {
            run("delete from snackbase.mail_outbox").answer();
            forget("'acme'", "alf@example.com");
            let token = newest();
            assert_eq!(valid(&token), "true true", "{change}");
            run(&format!(
                "update snackbase.users set {change} where id = '{}'",
                scene.alf.id
            ))
            .says("1");
            assert_eq!(valid(&token), "false false", "{change}");
            reset(&token).refused("22023");
            run(&format!(
                "update snackbase.users set email = 'alf@example.com', is_active = true, auth_provider = 'password' where id = '{}'",
                scene.alf.id
            ))
            .says("1");
        }
        run("update snackbase.one_time_tokens set expires_at = clock_timestamp()").says("1");
        reset(&newest()).refused("22023");
        assert_eq!(hash_of(&scene.alf), "none");
        // A token for one purpose is none for another.
        run("update snackbase.one_time_tokens set expires_at = clock_timestamp() + interval '1 hour', purpose = 'verification'").says("1");
        reset(&newest()).refused("22023");
    }

    #[pg_test]
    fn an_address_gets_three_links_an_hour_in_each_account() {
        Scene::new();
        for _ in 0..5 {
            forget("'acme'", "ada@example.com");
            forget("'acme'", "alf@example.com");
            forget("'acme'", "nobody@example.com");
        }
        ask("select string_agg(recipient || ' ' || n, ', ' order by recipient)
               from (select recipient, count(*) as n from snackbase.mail_outbox group by 1) x")
        .says("ada@example.com 3, alf@example.com 3");
        // The link that was sent last works: one that was not sent has not taken its place.
        reset(&newest()).says("The password is changed");
    }
}
