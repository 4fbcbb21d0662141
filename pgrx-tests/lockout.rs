//! Guessing passwords locks a user: contract identity.md §5.3.

#[pgrx::pg_schema]
mod tests {
    use pgrx::prelude::*;

    use crate::tests::scene::{Person, Scene, ask, ask_through_gateway, checked, run};

    const GATEWAY: &str = r#"{"kind":"anonymous","ip_address":"192.0.2.1"}"#;

    fn failed(person: &Person) {
        ask_through_gateway(
            GATEWAY,
            "auth",
            &format!(
                "select snackbase.auth_login_failed('{}', '{}')",
                person.account, person.id
            ),
        )
        .says("true");
    }

    /// `attempts locked`, where locked is in minutes from now, rounded.
    fn state(person: &Person) -> String {
        ask(&format!(
            "select concat_ws(' ', failed_login_attempts, round(extract(epoch from locked_until - clock_timestamp()) / 60)::int)
               from snackbase.users where id = '{}'",
            person.id
        ))
        .answer()
    }

    fn hash_is_told(person: &Person) -> String {
        run(&format!(
            "update snackbase.users set password_hash = 'hash' where id = '{}'",
            person.id
        ))
        .says("1");
        // From elsewhere: that network's budget is another matter.
        ask_through_gateway(
            r#"{"kind":"anonymous","ip_address":"198.51.100.1"}"#,
            "auth",
            "select password_hash is not null from snackbase.auth_login_find('acme', null, null, 'ada@example.com')",
        )
        .answer()
    }

    #[pg_test]
    fn twenty_wrong_passwords_in_a_row_lock_a_user_and_twenty_more_for_twice_as_long() {
        let scene = Scene::new();
        for _ in 0..19 {
            failed(&scene.ada);
        }
        assert_eq!(state(&scene.ada), "19");
        assert_eq!(hash_is_told(&scene.ada), "true");
        failed(&scene.ada);
        assert_eq!(state(&scene.ada), "20 15");
        assert_eq!(hash_is_told(&scene.ada), "false", "any password is wrong now");
        // Whoever goes on guessing changes nothing.
        failed(&scene.ada);
        assert_eq!(state(&scene.ada), "20 15");
        assert_eq!(state(&scene.alf), "0", "nobody else is concerned");

        for minutes in [30, 60] {
            run(&format!(
                "update snackbase.users set locked_until = clock_timestamp() where id = '{}'",
                scene.ada.id
            ))
            .says("1");
            assert_eq!(hash_is_told(&scene.ada), "true");
            for _ in 0..20 {
                failed(&scene.ada);
            }
            assert!(
                state(&scene.ada).ends_with(&format!(" {minutes}")),
                "{}",
                state(&scene.ada)
            );
        }
        run(&format!(
            "update snackbase.users set locked_until = null, failed_login_attempts = 20 * 20 - 1 where id = '{}'",
            scene.ada.id
        ))
        .says("1");
        failed(&scene.ada);
        assert_eq!(state(&scene.ada), "400 1440", "a day at most");
    }

    #[pg_test]
    fn a_right_password_or_a_quiet_day_ends_the_row_of_failures() {
        let scene = Scene::new();
        for _ in 0..19 {
            failed(&scene.ada);
        }
        ask_through_gateway(
            GATEWAY,
            "auth",
            &format!(
                "select snackbase.auth_login_finish('{}', '{}', '{}', null, gen_random_uuid(), gen_random_uuid(), 'h', now() + interval '7 days')::text <> ''",
                scene.ada.id,
                scene.ada.account,
                checked(&scene.ada, "hash")
            ),
        )
        .says("true");
        assert_eq!(state(&scene.ada), "0");
        ask("select count(*) from snackbase.login_failures").says("0");
        for _ in 0..19 {
            failed(&scene.ada);
        }
        run("update snackbase.login_failures set failed_at = failed_at - interval '25 hours'").says("19");
        failed(&scene.ada);
        assert_eq!(state(&scene.ada), "1");
        ask("select count(*) from snackbase.login_failures").says("1");
    }

    #[pg_test]
    fn failures_are_counted_by_network_also_at_nobody() {
        Scene::new();
        for ip in ["192.0.2.1", "192.0.2.2", "2001:db8::1", "2001:db8::2", "nonsense"] {
            ask_through_gateway(
                &format!(r#"{{"kind":"anonymous","ip_address":"{ip}"}}"#),
                "auth",
                "select snackbase.auth_login_failed(null, null)",
            )
            .says("true");
        }
        run("set local snackbase.login_rate_limit_per_minute = 2").answer();
        for (ip, wait) in [
            ("192.0.2.1", "null"),
            ("192.0.2.3", "null"),
            ("2001:db8::99", "60"),
            ("2001:db8:1::1", "null"),
            ("nonsense", "null"),
        ] {
            ask(&format!("select snackbase._login_wait('{ip}')")).says(wait);
        }
    }

    #[pg_test]
    fn ten_wrong_passwords_a_minute_are_a_networks_budget() {
        let scene = Scene::new();
        let found = |ip: &str, email: &str| {
            ask_through_gateway(
                &format!(r#"{{"kind":"anonymous","ip_address":"{ip}"}}"#),
                "auth",
                &format!("select concat_ws(' ', user_id, retry_after) from snackbase.auth_login_find('acme', null, null, '{email}')"),
            )
            .answer()
        };
        let fail = |ip: &str| {
            ask_through_gateway(
                &format!(r#"{{"kind":"anonymous","ip_address":"{ip}"}}"#),
                "auth",
                "select snackbase.auth_login_failed(null, null)",
            )
            .says("true");
        };
        for number in 0..10 {
            assert_eq!(found("2001:db8::1", "alf@example.com"), scene.alf.id);
            fail(&format!("2001:db8::{number}"));
        }
        // Whoever is asked for, and also when there is nobody: the answer tells nothing.
        for email in ["alf@example.com", "nobody@example.com"] {
            assert_eq!(found("2001:db8::ffff", email), "60");
        }
        assert_eq!(
            found("2001:db8:0:1::1", "alf@example.com"),
            scene.alf.id,
            "another network"
        );
        run("update snackbase.login_failures set failed_at = failed_at - interval '35 seconds'").says("10");
        assert_eq!(found("2001:db8::1", "alf@example.com"), "25");
        fail("2001:db8::1");
        assert_eq!(
            found("2001:db8::1", "alf@example.com"),
            "25",
            "the eleventh does not make it longer"
        );
        run("set local snackbase.login_rate_limit_per_minute = 0").answer();
        assert_eq!(found("2001:db8::1", "alf@example.com"), scene.alf.id);
        run("set local snackbase.login_rate_limit_per_minute = 10").answer();
        run("update snackbase.login_failures set failed_at = failed_at - interval '25 seconds'").says("11");
        assert_eq!(found("2001:db8::1", "alf@example.com"), scene.alf.id);
    }

    #[pg_test]
    fn a_failure_is_in_the_trail_and_its_functions_are_closed() {
        let scene = Scene::new();
        failed(&scene.ada);
        ask(&format!(
            "select old_value || ' ' || new_value || ' ' || user_id || ' ' || ip_address
               from snackbase.audit_log
              where table_name = 'users' and record_id = '{}' and column_name = 'failed_login_attempts' and operation = 'UPDATE'",
            scene.ada.id
        ))
        .says("0 1 anonymous 192.0.2.1");
        for operation in ["list", "member"] {
            for call in [
                format!(
                    "select snackbase._login_succeeded('{}', '{}', null)",
                    scene.ada.account, scene.ada.id
                ),
                format!(
                    "select snackbase._login_failed('{}', '{}', null)",
                    scene.bob.account, scene.bob.id
                ),
                "select count(*) from snackbase.login_failures".to_owned(),
            ] {
                scene.ada.ask(operation, &call).refused("42501");
            }
        }
    }
}
