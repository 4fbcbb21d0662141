//! Users and who manages them: contract identity.md §4.5, §7 (T25), §8.

#[pgrx::pg_schema]
mod tests {
    use pgrx::prelude::*;
    use serde_json::{Value as Json, json};

    use crate::tests::scene::{Outcome, Person, Scene, ask, ask_as, quoted, run, run_as, user};

    const SYSTEM: &str = "00000000-0000-0000-0000-000000000000";

    fn list(caller: &Person, query: &str) -> Outcome {
        caller.ask("admin", &format!("select snackbase.user_list('{query}')"))
    }

    fn addresses(caller: &Person, query: &str) -> Vec<String> {
        let items = list(caller, query).json()["items"].clone();
        let address = |item: &Json| item["email"].as_str().expect("an address").to_owned();
        items.as_array().expect("items").iter().map(address).collect()
    }

    fn create(caller: &Person, body: &str) -> Outcome {
        caller.ask(
            "admin",
            &format!("select snackbase.user_create({})", quoted(body)),
        )
    }

    fn change(caller: &Person, id: &str, body: &str) -> Outcome {
        caller.ask(
            "admin",
            &format!("select snackbase.user_change('{id}', {})", quoted(body)),
        )
    }

    fn drop(caller: &Person, id: &str) -> Outcome {
        caller.ask("admin", &format!("select snackbase.user_drop('{id}')"))
    }

    fn view(caller: &Person, id: &str) -> Outcome {
        caller.ask("admin", &format!("select snackbase.user_view('{id}')"))
    }

    fn active(person: &Person) -> String {
        ask(&format!(
            "select is_active from snackbase.users where id = '{}'",
            person.id
        ))
        .answer()
    }

    #[pg_test]
    fn administrators_see_their_own_account_and_superadmins_all() {
        let scene = Scene::new();
        assert_eq!(
            addresses(&scene.ada, r#"{"sort": "email"}"#),
            ["ada@example.com", "alf@example.com"]
        );
        assert_eq!(list(&scene.ada, "{}").json()["total"], 2);
        assert_eq!(
            addresses(&scene.root, r#"{"sort": "email"}"#),
            [
                "ada@example.com",
                "alf@example.com",
                "bob@example.com",
                "root@example.com"
            ]
        );
        let query = format!(r#"{{"account_id": "{}"}}"#, scene.bob.account);
        assert_eq!(addresses(&scene.root, &query), ["bob@example.com"]);
        assert!(addresses(&scene.ada, &query).is_empty());
        view(&scene.ada, &scene.alf.id).answer();
        for id in [
            scene.bob.id.as_str(),
            scene.root.id.as_str(),
            "11111111-2222-3333-4444-555555555555",
        ] {
            view(&scene.ada, id).refused("P0002").saying("User not found");
        }
        scene
            .alf
            .ask("admin", "select snackbase.user_list('{}')")
            .refused("42501")
            .saying("Administrator access required");
    }

    #[pg_test]
    fn a_list_has_filters_pages_and_no_wildcards() {
        let scene = Scene::new();
        for address in ["a_b@example.com", "axb@example.com", "100%@example.com"] {
            user(&scene.ada.account, address, 2);
        }
        run(&format!(
            "update snackbase.users set is_active = false where id = '{}'",
            scene.alf.id
        ))
        .says("1");
        for (query, found) in [
            (r#"{"search": "A_B"}"#, 1),
            (r#"{"search": "%"}"#, 1),
            (r#"{"search": "\\"}"#, 0),
            (r#"{"search": ""}"#, 5),
            (r#"{"search": "EXAMPLE"}"#, 5),
            (r#"{"role_id": 1}"#, 1),
            (r#"{"is_active": false}"#, 1),
            (r#"{"is_active": true}"#, 4),
        ] {
            let answer = list(&scene.ada, query).json();
            assert_eq!(answer["total"], found, "{query}");
            assert_eq!(answer["items"].as_array().map(Vec::len), Some(found), "{query}");
        }
        assert_eq!(
            addresses(&scene.ada, r#"{"sort": "-email", "skip": 1, "limit": 2}"#),
            ["alf@example.com", "ada@example.com"]
        );
        for query in [r#"{"limit": 0}"#, r#"{"limit": 101}"#, r#"{"skip": -1}"#] {
            list(&scene.ada, query).refused("22023");
        }
    }

    #[pg_test]
    fn a_list_is_sorted_by_nothing_that_is_secret() {
        let scene = Scene::new();
        for column in [
            "password_hash",
            "failed_login_attempts",
            "email desc, password_hash",
            "u.password_hash",
            "-",
            "profile_data",
        ] {
            for caller in [&scene.ada, &scene.root] {
                let refusal = list(caller, &format!(r#"{{"sort": "{column}"}}"#)).refused("22P02");
                assert_eq!(refusal.problems(), ["sort enum"]);
            }
        }
        for column in ["id", "role", "account_code", "last_login", "-is_active"] {
            list(&scene.root, &format!(r#"{{"sort": "{column}"}}"#)).answer();
        }
    }

    #[pg_test]
    fn administrators_create_users_in_their_own_account() {
        let scene = Scene::new();
        let made = create(
            &scene.ada,
            r#"{"email": "new@example.com", "password_hash": "h", "role": "user"}"#,
        )
        .json();
        assert_eq!(
            (&made["account_id"], &made["role"], &made["email_verified"]),
            (&json!(scene.ada.account), &json!("user"), &json!(false))
        );
        let with = |account: &str| {
            format!(
                r#"{{"email": "x@example.com", "password_hash": "h", "role_id": "2", "account_id": "{account}"}}"#
            )
        };
        for foreign in [
            scene.bob.account.as_str(),
            SYSTEM,
            "11111111-2222-3333-4444-555555555555",
        ] {
            create(&scene.ada, &with(foreign))
                .refused("42501")
                .saying("Users are created in the own account only");
        }
        create(&scene.ada, &with(&scene.ada.account)).answer();
        create(&scene.root, &with(&scene.bob.account)).answer();
        let refusal = create(
            &scene.root,
            r#"{"email": "y@example.com", "password_hash": "h", "role_id": 2}"#,
        )
        .refused("22P02");
        assert_eq!(refusal.problems(), ["account_id missing"]);
        for (role, code) in [
            (r#""role_id": 99"#, "P0002"),
            (r#""role": "king""#, "P0002"),
            (r#""role": "user", "role_id": 1"#, "P0002"),
            (r#""x": 1"#, "22P02"),
        ] {
            create(
                &scene.ada,
                &format!(r#"{{"email": "z@example.com", "password_hash": "h", {role}}}"#),
            )
            .refused(code);
        }
    }

    #[pg_test]
    fn a_taken_address_or_external_id_is_named() {
        let scene = Scene::new();
        let external = |email: &str| {
            format!(
                r#"{{"email": "{email}", "password_hash": "h", "role_id": 2, "auth_provider": "oauth", "auth_provider_name": "google",
                     "external_id": "42", "profile_data": {{"name": "N"}}}}"#
            )
        };
        let made = create(&scene.ada, &external("one@example.com")).json();
        assert_eq!(made["profile_data"], json!({"name": "N"}));
        let refusal = create(&scene.ada, &external("two@example.com")).refused("23505");
        assert_eq!(refusal.problems(), ["external_id taken"]);
        create(&scene.bob, &external("one@example.com")).answer();
        let refusal = change(&scene.ada, &scene.alf.id, r#"{"email": "ADA@example.com"}"#).refused("23505");
        assert_eq!(refusal.problems(), ["email taken"]);
        let refusal = change(&scene.ada, &scene.alf.id, r#"{"email": "nonsense"}"#).refused("23514");
        assert_eq!(refusal.problems(), ["email invalid_email_format"]);
        let refusal = change(
            &scene.ada,
            &scene.alf.id,
            r#"{"auth_provider": "carrier pigeon"}"#,
        )
        .refused("23514");
        assert_eq!(refusal.problems(), ["auth_provider invalid_value"]);
    }

    #[pg_test]
    fn a_change_leaves_what_is_absent() {
        let scene = Scene::new();
        let before = view(&scene.ada, &scene.alf.id).json();
        let after = change(&scene.ada, &scene.alf.id, "{}").json();
        assert_eq!(after["email"], before["email"]);
        assert_eq!(after["email_verified"], json!(true));
        let after = change(
            &scene.ada,
            &scene.alf.id,
            r#"{"role": "admin", "profile_data": {"a": 1}, "external_id": "7"}"#,
        )
        .json();
        assert_eq!(
            (&after["role"], &after["profile_data"], &after["external_id"]),
            (&json!("admin"), &json!({"a": 1}), &json!("7"))
        );
        let after = change(
            &scene.ada,
            &scene.alf.id,
            r#"{"profile_data": null, "email": null}"#,
        )
        .json();
        assert_eq!(
            (&after["profile_data"], &after["external_id"], &after["email"]),
            (&Json::Null, &json!("7"), &before["email"])
        );
        change(&scene.ada, &scene.bob.id, r#"{"role": "user"}"#).refused("P0002");
        change(&scene.ada, &scene.root.id, r#"{"is_active": false}"#).refused("P0002");
    }

    #[pg_test]
    fn a_setting_leaves_people_to_superadmins() {
        let scene = Scene::new();
        run("set local snackbase.account_admin_manages_users = off").answer();
        let body = r#"{"email": "new@example.com", "password_hash": "h", "role_id": 2}"#;
        for refused in [
            list(&scene.ada, "{}"),
            view(&scene.ada, &scene.alf.id),
            create(&scene.ada, body),
            change(&scene.ada, &scene.alf.id, r#"{"role": "admin"}"#),
            drop(&scene.ada, &scene.alf.id),
        ] {
            refused.refused("42501").saying("Superadmin access required");
        }
        // the policies say so, too
        scene
            .ada
            .run(
                "admin",
                &format!(
                    "insert into snackbase.users (account_id, email, role_id) values ('{}', 'new@example.com', 1)",
                    scene.ada.account
                ),
            )
            .refused("42501");
        scene
            .ada
            .run("admin", "update snackbase.users set is_active = false")
            .says("0");
        change(&scene.root, &scene.alf.id, r#"{"role": "admin"}"#).answer();
    }

    #[pg_test]
    fn policies_bind_an_administrators_own_sql() {
        let scene = Scene::new();
        scene
            .ada
            .run(
                "admin",
                &format!(
                    "insert into snackbase.users (account_id, email, role_id) values ('{}', 'new@example.com', 1)",
                    scene.bob.account
                ),
            )
            .refused("42501");
        scene
            .ada
            .run(
                "admin",
                "update snackbase.users set is_active = false where email <> 'ada@example.com'",
            )
            .says("1");
        assert_eq!(active(&scene.bob), "true");
        for statement in [
            "select password_hash from snackbase.users",
            "select u from snackbase.users u",
            "select * from snackbase.sessions",
            "select * from snackbase.account_code_counter",
        ] {
            scene.ada.ask("admin", statement).refused("42501");
        }
        for statement in [
            "update snackbase.users set password_hash = 'x'",
            "update snackbase.users set account_id = account_id",
            "delete from snackbase.users where email = 'alf@example.com'",
            "update snackbase.roles set name = 'king'",
            "insert into snackbase.roles (name) values ('king')",
            "update snackbase.accounts set name = 'x'",
            "delete from snackbase.accounts",
        ] {
            scene.ada.run("admin", statement).refused("42501");
        }
        scene
            .ada
            .ask("admin", "select count(*) from snackbase.accounts")
            .says("1");
    }

    #[pg_test]
    fn an_administrator_by_login_role_is_bound_to_its_account_and_never_to_the_system_account() {
        let scene = Scene::new();
        run("create role people_service login in role snackbase_admin").answer();
        run(&format!(
            "alter role people_service set snackbase.account_id = '{}'",
            scene.ada.account
        ))
        .answer();
        ask_as("people_service", "select count(*) from snackbase.users").says("2");
        run(&format!(
            "alter role people_service set snackbase.account_id = '{SYSTEM}'"
        ))
        .answer();
        run_as(
            "people_service",
            "update snackbase.users set role_id = 2 where email = 'root@example.com'",
        )
        .says("0");
        run_as(
            "people_service",
            &format!(
                "insert into snackbase.users (account_id, email, role_id) values ('{SYSTEM}', 'mallory@example.com', 1)"
            ),
        )
        .refused("42501");
        // another login's settings do not show through
        assert_eq!(active(&scene.root), "true");
    }

    #[pg_test]
    fn what_administrators_do_is_in_the_trail_without_hashes() {
        let scene = Scene::new();
        let made = create(
            &scene.ada,
            r#"{"email": "new@example.com", "password_hash": "argon-secret", "role_id": 2}"#,
        )
        .json();
        change(
            &scene.ada,
            made["id"].as_str().expect("an id"),
            r#"{"role": "admin"}"#,
        )
        .answer();
        ask(&format!(
            "select string_agg(operation || ' ' || user_email || ' ' || (account_id = '{}'), ', ' order by id)
               from snackbase.audit_change where table_name = 'users' and record_id = '{}'",
            scene.ada.account,
            made["id"].as_str().expect("an id")
        ))
        .says("CREATE ada@example.com true, UPDATE ada@example.com true");
        ask("select count(*) from snackbase.audit_change c where c::text like '%argon-secret%'").says("0");
    }

    #[pg_test]
    fn a_password_that_an_administrator_sets_ends_sessions_and_the_lock() {
        let scene = Scene::new();
        let set = |caller: &Person, id: &str, hash: &str, link: &str| {
            caller.ask(
                "admin",
                &format!("select snackbase.user_password_change('{id}', {hash}, {link})"),
            )
        };
        run(&format!(
            "insert into snackbase.sessions (id, account_id, user_id) values ('aaaaaaaa-0000-0000-0000-000000000001', '{}', '{}')",
            scene.alf.account, scene.alf.id
        ))
        .says("1");
        run(&format!(
            "update snackbase.users set failed_login_attempts = 20, locked_until = now() + interval '1 hour' where id = '{}'",
            scene.alf.id
        ))
        .says("1");
        set(&scene.ada, &scene.alf.id, "'new hash'", "null").answer();
        ask(&format!(
            "select concat_ws(' ', u.password_hash, u.failed_login_attempts, u.locked_until is null, s.revoked_at is not null)
               from snackbase.users u join snackbase.sessions s on s.user_id = u.id where u.id = '{}'",
            scene.alf.id
        ))
        .says("new hash 0 t t");
        let sent = |template: &str| {
            ask(&format!(
                "select count(*) from snackbase.mail_outbox where template_type = '{template}' and recipient = 'alf@example.com'"
            ))
            .answer()
        };
        set(&scene.ada, &scene.alf.id, "null", "true").answer();
        assert_eq!(sent("password_reset"), "1");
        let refusal = set(&scene.ada, &scene.alf.id, "null", "false").refused("22P02");
        assert_eq!(refusal.problems(), ["new_password missing"]);
        for id in [&scene.bob.id, &scene.root.id] {
            set(&scene.ada, id, "'h'", "null").refused("P0002");
        }
        let resend = |caller: &Person, id: &str| {
            caller.ask(
                "admin",
                &format!("select snackbase.user_verification_send('{id}')"),
            )
        };
        resend(&scene.ada, &scene.alf.id)
            .refused("22023")
            .saying("The email address is verified already");
        run(&format!(
            "update snackbase.users set email_verified = false where id = '{}'",
            scene.alf.id
        ))
        .says("1");
        resend(&scene.ada, &scene.alf.id).answer();
        assert_eq!(sent("email_verification"), "1");
        resend(&scene.ada, &scene.bob.id).refused("P0002");
    }
}
