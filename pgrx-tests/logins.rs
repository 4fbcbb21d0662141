//! What happens around a login: who is found, what a session and its tokens are good for. contract identity.md §4.1.

#[pgrx::pg_schema]
mod tests {
    use pgrx::prelude::*;
    use serde_json::{Value as Json, json};

    use crate::tests::scene::{
        Outcome, Person, Scene, ask, ask_before_login, ask_through_gateway, checked, run,
    };

    const SESSION: &str = "aaaaaaaa-0000-0000-0000-000000000001";

    fn refresh_id(number: u32) -> String {
        format!("bbbbbbbb-0000-0000-0000-{number:012}")
    }

    fn login(person: &Person) -> Outcome {
        let hash = checked(person, "hash");
        login_with(person, &hash, "null")
    }

    fn login_with(person: &Person, checked: &str, renewed: &str) -> Outcome {
        ask_before_login(&format!(
            "select snackbase.auth_login_finish('{}', '{}', '{checked}', {renewed}, '{SESSION}', '{}', 'h1', now() + interval '7 days')",
            person.id,
            person.account,
            refresh_id(1)
        ))
    }

    fn refresh(number: u32, hash: &str, next: u32) -> Outcome {
        ask_before_login(&format!(
            "select snackbase.auth_refresh('{}', '{hash}', '{}', 'h{next}', now() + interval '7 days')",
            refresh_id(number),
            refresh_id(next)
        ))
    }

    /// Is the session good for a request?
    fn session_works(person: &Person) -> Outcome {
        ask_through_gateway(
            &format!(
                r#"{{"kind":"user","user_id":"{}","account_id":"{}","session_id":"{SESSION}"}}"#,
                person.id, person.account
            ),
            "member",
            "select 1",
        )
    }

    #[pg_test]
    fn a_login_is_found_by_slug_code_id_or_host_and_any_case_of_the_address() {
        let scene = Scene::new();
        let find = |account: &str, host: &str, email: &str| {
            ask_before_login(&format!(
                "select user_id from snackbase.auth_login_find({account}, {host}, null, '{email}')"
            ))
            .answer()
        };
        let code = ask(&format!(
            "select account_code from snackbase.accounts where id = '{}'",
            scene.ada.account
        ))
        .answer();
        for account in [
            "'acme'",
            "' Acme '",
            &format!("'{code}'"),
            &format!("'{}'", scene.ada.account),
        ] {
            assert_eq!(find(account, "null", "ADA@example.com"), scene.ada.id);
        }
        assert_eq!(find("null", "'acme'", "ada@example.com"), scene.ada.id);
        assert_eq!(find("''", "'acme'", "ada@example.com"), scene.ada.id);
        // what is said in the body wins over the host
        assert_eq!(find("'beta'", "'acme'", "ada@example.com"), "");
        for (account, email) in [
            ("'nosuch'", "ada@example.com"),
            ("'acme'", "bob@example.com"),
            ("null", "ada@example.com"),
        ] {
            assert_eq!(find(account, "null", email), "");
        }
    }

    #[pg_test]
    fn a_login_opens_a_session_with_what_the_gateway_saw() {
        let scene = Scene::new();
        let answer = login(&scene.ada).json();
        assert_eq!(
            (&answer["account"]["slug"], &answer["user"]["email"]),
            (&json!("acme"), &json!("ada@example.com"))
        );
        assert!(answer["user"]["last_login"].is_string());
        ask("select ip_address || ' ' || user_agent from snackbase.sessions").says("192.0.2.1 curl/8");
        session_works(&scene.ada).says("1");
    }

    #[pg_test]
    fn a_login_is_for_active_verified_users_of_the_account() {
        let scene = Scene::new();
        for change in ["is_active = false", "is_active = true, email_verified = false"] {
            run(&format!(
                "update snackbase.users set {change} where id = '{}'",
                scene.ada.id
            ))
            .says("1");
            login(&scene.ada).refused("28P01").saying("Invalid credentials");
        }
        ask_before_login(&format!(
            "select snackbase.auth_login_finish('{}', '{}', '{}', null, '{SESSION}', '{}', 'h1', now())",
            scene.alf.id,
            scene.bob.account,
            checked(&scene.alf, "hash"),
            refresh_id(1)
        ))
        .refused("28P01");
        ask("select count(*) from snackbase.sessions").says("0");
    }

    #[pg_test]
    fn a_password_opens_a_session_as_long_as_its_hash_is_the_users() {
        let scene = Scene::new();
        let old = checked(&scene.ada, "old");
        let new = checked(&scene.ada, "new");
        login_with(&scene.ada, &old, "'renewed'")
            .refused("28P01")
            .saying("Invalid credentials");
        ask("select password_hash || ' ' || (select count(*) from snackbase.sessions) from snackbase.users where email = 'ada@example.com'").says("new 0");
        login_with(&scene.ada, &new, "'renewed'").answer();
        ask("select password_hash from snackbase.users where email = 'ada@example.com'").says("renewed");
        // Another provider by now.
        let hash = checked(&scene.ada, "hash");
        run("update snackbase.users set auth_provider = 'saml' where email = 'ada@example.com'").says("1");
        login_with(&scene.ada, &hash, "null").refused("28P01");
    }

    #[pg_test]
    fn a_refresh_token_is_spent_once() {
        let scene = Scene::new();
        login(&scene.ada).answer();
        assert_eq!(
            refresh(1, "h1", 2).json(),
            json!({"user_id": scene.ada.id, "account_id": scene.ada.account, "email": "ada@example.com", "role": "admin", "session_id": SESSION})
        );
        refresh(1, "h1", 3).says("null");
        // within ten seconds: refused, and the session lives (two browser tabs share a token)
        session_works(&scene.ada).says("1");
        refresh(2, "h2", 4).answer();
    }

    #[pg_test]
    fn a_token_presented_again_later_ends_its_session() {
        let scene = Scene::new();
        login(&scene.ada).answer();
        refresh(1, "h1", 2).answer();
        run("update snackbase.refresh_tokens set spent_at = spent_at - interval '11 seconds' where token_hash = 'h1'").says("1");
        refresh(1, "h1", 3).says("null");
        session_works(&scene.ada).refused("28000");
        refresh(2, "h2", 4)
            .refused("28000")
            .saying("Invalid refresh token");
    }

    #[pg_test]
    fn an_unknown_wrong_or_expired_token_is_null_and_ends_nothing() {
        let scene = Scene::new();
        login(&scene.ada).answer();
        refresh(9, "h1", 2).says("null");
        refresh(1, "wrong", 2).says("null");
        run("update snackbase.refresh_tokens set expires_at = now() - interval '1 second'").says("1");
        refresh(1, "h1", 2).says("null");
        session_works(&scene.ada).says("1");
    }

    #[pg_test]
    fn a_refresh_needs_an_active_user_and_a_living_session() {
        let scene = Scene::new();
        login(&scene.ada).answer();
        run(&format!(
            "update snackbase.users set is_active = false where id = '{}'",
            scene.ada.id
        ))
        .says("1");
        refresh(1, "h1", 2).refused("28000");
        run(&format!(
            "update snackbase.users set is_active = true where id = '{}'",
            scene.ada.id
        ))
        .says("1");
        ask_before_login(&format!("select snackbase.auth_logout('{SESSION}', false)")).says("true");
        refresh(1, "h1", 2).refused("28000");
    }

    #[pg_test]
    fn a_logout_ends_one_session_and_may_be_repeated() {
        let scene = Scene::new();
        login(&scene.ada).answer();
        for _ in 0..2 {
            ask_before_login(&format!("select snackbase.auth_logout('{SESSION}', false)")).says("true");
        }
        ask_before_login("select snackbase.auth_logout('aaaaaaaa-0000-0000-0000-00000000000f', false)")
            .says("true");
        session_works(&scene.ada).refused("28000");
    }

    #[pg_test]
    fn me_is_who_the_gateway_introduced() {
        let scene = Scene::new();
        let me: Json = scene.alf.ask("member", "select snackbase.auth_me()").json();
        assert_eq!(
            (
                &me["user_id"],
                &me["id"],
                &me["account_id"],
                &me["email"],
                &me["role"]
            ),
            (
                &json!(scene.alf.id),
                &json!(scene.alf.id),
                &json!(scene.alf.account),
                &json!("alf@example.com"),
                &json!("user")
            )
        );
        assert_eq!(
            (&me["account"]["slug"], &me["user"]["email"]),
            (&json!("acme"), &json!("alf@example.com"))
        );
        ask_before_login("select snackbase.auth_me()").says("null");
        scene
            .ada
            .ask("list", "select snackbase.auth_me()")
            .refused("42501");
    }

    #[pg_test]
    fn login_functions_are_closed_to_everybody_but_the_gateway() {
        let scene = Scene::new();
        for operation in ["list", "create", "member"] {
            for statement in [
                "select * from snackbase.auth_login_find('acme', null, null, 'ada@example.com')",
                "select snackbase.auth_register('x@example.com', 'h', 'X', null)",
                "select snackbase.auth_logout('aaaaaaaa-0000-0000-0000-000000000001', true)",
                "select snackbase.superadmin_create('x@example.com', 'h', true)",
                "select snackbase.superadmin_exists()",
            ] {
                scene.ada.ask(operation, statement).refused("42501");
            }
        }
    }
}
