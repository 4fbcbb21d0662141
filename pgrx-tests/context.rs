//! Who is asking: `enter()` and the accessors.

#[pgrx::pg_schema]
mod tests {
    use pgrx::prelude::*;

    use crate::tests::scene::{Scene, ask, ask_as, ask_through_gateway, run};

    /// What the accessors say, in one line.
    const WHO: &str =
        "select concat_ws(' ', current_user, snackbase.current_account_id(), snackbase.current_user_id(),
        snackbase.current_user_email(), snackbase.current_user_role(), snackbase.current_user_groups(),
        snackbase.current_auth_method(), snackbase.is_authenticated(), snackbase.is_superadmin())";

    #[pg_test]
    fn enter_sets_identity_and_takes_the_role_of_the_operation() {
        let scene = Scene::new();
        for operation in ["list", "view", "create", "update", "delete", "member", "admin"] {
            scene.ada.ask(operation, WHO).says(&format!(
                "snackbase_{operation} {} {} ada@example.com admin {{}} jwt t f",
                scene.ada.account, scene.ada.id
            ));
        }
    }

    #[pg_test]
    fn enter_knows_role_and_groups_of_a_user() {
        let scene = Scene::new();
        run(&format!(
            "insert into snackbase.users_groups (account_id, group_id, user_id)
             select account_id, id, '{}' from snackbase.groups where account_id = '{}' and name = 'pii_access'",
            scene.alf.id, scene.alf.account
        ))
        .says("1");
        let who = "select concat_ws(' ', snackbase.current_user_role(), snackbase.current_user_groups(),
                          snackbase.in_group('pii_access'), snackbase.in_group('pii'), snackbase.sees_pii())";
        scene.alf.ask("list", who).says("user {pii_access} t f t");
        scene.ada.ask("list", who).says("admin {} f f f");
    }

    #[pg_test]
    fn a_user_of_the_system_account_is_superadmin_in_every_operation() {
        let scene = Scene::new();
        for operation in [
            "list",
            "view",
            "create",
            "update",
            "delete",
            "member",
            "admin",
            "superadmin",
        ] {
            scene
                .root
                .ask(
                    operation,
                    "select current_user || ' ' || snackbase.is_superadmin()",
                )
                .says("snackbase_superadmin true");
        }
    }

    #[pg_test]
    fn nobody_else_becomes_superadmin() {
        let scene = Scene::new();
        scene
            .ada
            .ask("superadmin", "select 1")
            .refused("42501")
            .saying("Superadmin access required");
        scene.visitor.ask("superadmin", "select 1").refused("28000");
        // the system account does not make an anonymous visitor powerful
        let visitor = r#"{"kind":"anonymous","account":"system"}"#;
        ask_through_gateway(
            visitor,
            "list",
            "select current_user || ' ' || snackbase.is_superadmin()",
        )
        .says("snackbase_list false");
        ask_through_gateway(visitor, "superadmin", "select 1").refused("28000");
    }

    #[pg_test]
    fn administrators_have_the_role_admin_now() {
        let scene = Scene::new();
        let refusal = "Administrator access required";
        scene
            .alf
            .ask("admin", "select 1")
            .refused("42501")
            .saying(refusal);
        scene.visitor.ask("admin", "select 1").refused("28000");
        run(&format!(
            "update snackbase.users set role_id = 1 where id = '{}'",
            scene.alf.id
        ))
        .says("1");
        scene
            .alf
            .ask("admin", "select current_user")
            .says("snackbase_admin");
        run(&format!(
            "update snackbase.users set role_id = 2 where id = '{}'",
            scene.alf.id
        ))
        .says("1");
        scene
            .alf
            .ask("admin", "select 1")
            .refused("42501")
            .saying(refusal);
    }

    #[pg_test]
    fn a_visitor_has_an_account_and_no_identity() {
        let scene = Scene::new();
        for (name, account) in [("acme", &scene.ada.account), ("BETA", &scene.bob.account)] {
            let visitor = format!(r#"{{"kind":"anonymous","account":"{name}"}}"#);
            ask_through_gateway(&visitor, "list", WHO)
                .says(&format!("snackbase_list {account} {{}} anonymous f f"));
        }
        let code = ask(&format!(
            "select lower(account_code) from snackbase.accounts where id = '{}'",
            scene.bob.account
        ))
        .answer();
        ask_through_gateway(
            &format!(r#"{{"kind":"anonymous","account":"{code}"}}"#),
            "view",
            "select snackbase.current_account_id()",
        )
        .says(&scene.bob.account);
    }

    #[pg_test]
    fn a_visitor_must_name_an_account_that_exists_and_not_by_id() {
        let scene = Scene::new();
        // Who reads hears it from the function of records, and sees nothing by any other way.
        for account in [
            "null",
            r#""""#,
            r#""nosuch""#,
            &format!("{:?}", scene.ada.account),
        ] {
            let visitor = format!(r#"{{"kind":"anonymous","account":{account}}}"#);
            for operation in ["list", "view"] {
                ask_through_gateway(
                    &visitor,
                    operation,
                    "select snackbase.current_account_id() is null",
                )
                .says("true");
            }
        }
        for account in ["null", r#""""#, r#"" ""#] {
            let refusal = ask_through_gateway(
                &format!(r#"{{"kind":"anonymous","account":{account}}}"#),
                "create",
                "select 1",
            )
            .refused("22023");
            assert_eq!(refusal.problems(), ["X-Account-ID required"]);
        }
        for account in ["nosuch", "ZZ9999", scene.ada.account.as_str(), "'; select 1; --"] {
            ask_through_gateway(
                &format!(r#"{{"kind":"anonymous","account":"{account}"}}"#),
                "delete",
                "select 1",
            )
            .refused("P0002")
            .saying("Account not found");
        }
    }

    #[pg_test]
    fn a_visitor_is_no_member() {
        let scene = Scene::new();
        scene.visitor.ask("member", "select 1").refused("28000");
    }

    #[pg_test]
    fn unknown_inactive_foreign_and_malformed_users_are_refused() {
        let scene = Scene::new();
        let caller = |user: &str, account: &str| {
            ask_through_gateway(
                &format!(r#"{{"kind":"user","user_id":"{user}","account_id":"{account}"}}"#),
                "list",
                "select 1",
            )
        };
        let (ada, bob) = (&scene.ada, &scene.bob);
        caller(&ada.id, &ada.account).says("1");
        caller("11111111-2222-3333-4444-555555555555", &ada.account).refused("28000");
        caller(&ada.id, &bob.account).refused("28000");
        caller(&ada.id, "00000000-0000-0000-0000-000000000000").refused("28000");
        caller("ada", &ada.account).refused("28000");
        run(&format!(
            "update snackbase.users set is_active = false where id = '{}'",
            ada.id
        ))
        .says("1");
        caller(&ada.id, &ada.account)
            .refused("28000")
            .saying("Invalid or expired credentials");
    }

    #[pg_test]
    fn a_session_must_exist_be_the_users_own_and_not_be_revoked() {
        let scene = Scene::new();
        let (ada, alf, bob) = (&scene.ada, &scene.alf, &scene.bob);
        let session = "aaaaaaaa-0000-0000-0000-000000000001";
        run(&format!(
            "insert into snackbase.sessions (id, account_id, user_id) values ('{session}', '{}', '{}')",
            ada.account, ada.id
        ))
        .says("1");
        let with_session = |person: &crate::tests::scene::Person, session: &str| {
            ask_through_gateway(
                &format!(
                    r#"{{"kind":"user","user_id":"{}","account_id":"{}","session_id":"{session}"}}"#,
                    person.id, person.account
                ),
                "view",
                "select 1",
            )
        };
        with_session(ada, session).says("1");
        with_session(alf, session).refused("28000");
        with_session(bob, session).refused("28000");
        with_session(ada, "aaaaaaaa-0000-0000-0000-000000000002").refused("28000");
        with_session(ada, "nonsense").refused("28000");
        run(&format!(
            "update snackbase.sessions set revoked_at = now() where id = '{session}'"
        ))
        .says("1");
        with_session(ada, session).refused("28000");
    }

    #[pg_test]
    fn a_malformed_caller_or_operation_is_refused() {
        let scene = Scene::new();
        for caller in [
            "{}",
            "[]",
            "7",
            r#"{"kind":"god"}"#,
            r#"{"kind":"user"}"#,
            r#"{"kind":"user","user_id":1,"account_id":2}"#,
        ] {
            ask_through_gateway(caller, "list", "select 1").refused("22023");
        }
        for operation in [
            "",
            "LIST",
            "owner",
            "snackbase_owner",
            "hook",
            "reader",
            "postgres",
        ] {
            scene.ada.ask(operation, "select 1").refused("22023");
        }
        ask_as("snackbase_gateway", "select snackbase.enter(null, 'list')").says("null");
        ask_as(
            "snackbase_gateway",
            "select current_user || snackbase.is_authenticated()",
        )
        .says("snackbase_gatewayfalse");
    }

    #[pg_test]
    fn operation_auth_takes_no_role_and_shows_no_rows() {
        let scene = Scene::with_notes();
        scene.ada.created("notes", r#"{"title": "a"}"#);
        let visitor = r#"{"kind":"anonymous","ip_address":"192.0.2.7","user_agent":"curl/8"}"#;
        ask_through_gateway(
            visitor,
            "auth",
            "select concat_ws(' ', current_user, snackbase.current_account_id(), snackbase.current_auth_method())",
        )
        .says("snackbase_gateway anonymous");
        for table in [
            "col_notes",
            "users",
            "accounts",
            "sessions",
            "refresh_tokens",
            "audit_change",
        ] {
            ask_through_gateway(visitor, "auth", &format!("select * from snackbase.{table}"))
                .refused("42501");
        }
    }

    #[pg_test]
    fn the_gateway_by_itself_is_the_system_and_nobody_else_is() {
        let scene = Scene::with_notes();
        let system = r#"{"kind":"system","user_agent":"snackbase-gateway"}"#;
        ask_through_gateway(
            system,
            "auth",
            "select concat_ws(' ', current_user, snackbase.current_account_id(), snackbase.current_auth_method(),
                              snackbase.current_user_id(), snackbase.current_user_email(), snackbase.current_actor(),
                              snackbase.is_superadmin(), snackbase.is_audit_reader())",
        )
        .says("snackbase_gateway system system system@snackbase.internal system f f");
        // It has no rights to rows that way, and takes no role.
        ask_through_gateway(system, "auth", "select count(*) from snackbase.users").refused("42501");
        for operation in [
            "list",
            "view",
            "create",
            "update",
            "delete",
            "member",
            "admin",
            "audit",
            "superadmin",
            "x",
        ] {
            ask_through_gateway(system, operation, "select 1").refused("42501");
        }
        // Neither a superuser nor another login may say so, nor what an identity would add to it.
        let enter = |caller: &str| format!("select snackbase.enter('{caller}', 'auth')");
        ask(&enter(system)).refused("42501");
        run("create role other login in role snackbase_gateway").answer();
        ask_as("other", &enter(system)).refused("42501");
        for caller in [
            r#"{"kind":"system","auth_method":"jwt"}"#,
            r#"{"kind":"anonymous","auth_method":"system"}"#,
            r#"{"kind":"anonymous","auth_method":"jwt"}"#,
        ] {
            ask_as("snackbase_gateway", &enter(caller)).refused("22023");
        }
        ask_as(
            "snackbase_gateway",
            &enter(r#"{"kind":"system","signature":{"reason":"x","meaning":"approval","user_id":"x"}}"#),
        )
        .refused("28000");
        for (method, state) in [
            ("system", Some("22023")),
            ("anonymous", Some("22023")),
            ("direct_sql", Some("22023")),
            ("oauth", None),
        ] {
            let mut caller: serde_json::Value = serde_json::from_str(scene.ada.caller()).expect("JSON");
            caller["auth_method"] = method.into();
            let asked = ask_through_gateway(&caller.to_string(), "list", "select 1");
            match state {
                Some(state) => {
                    asked.refused(state);
                }
                None => asked.says("1"),
            }
        }
        // What it does is in the trail as the system's.
        ask_through_gateway(
            system,
            "auth",
            "select snackbase.superadmin_create('sys@example.com', 'h', true)",
        )
        .answer();
        ask("select concat_ws(' ', c.user_id, c.user_email, c.user_name, c.auth_method, c.user_agent)
               from snackbase.audit_change c where c.table_name = 'users' and c.columns::text like '%sys@example.com%'")
        .says("system system@snackbase.internal system@snackbase.internal system snackbase-gateway");
    }

    #[pg_test]
    fn request_fields_are_kept_and_a_long_user_agent_is_cut() {
        Scene::new();
        let caller = format!(
            r#"{{"kind":"anonymous","account":"acme","request_id":"cid_1","ip_address":"192.0.2.7","user_agent":"{}"}}"#,
            "ä".repeat(600)
        );
        ask_through_gateway(
            &caller,
            "create",
            "select concat_ws(' ', current_setting('snackbase.request_id'), current_setting('snackbase.ip_address'),
                              char_length(current_setting('snackbase.user_agent')))",
        )
        .says("cid_1 192.0.2.7 500");
    }

    #[pg_test]
    fn abort_takes_the_status_of_a_refusal_only() {
        let refusal = ask("select snackbase.abort(418, 'short and stout')").refused("P0001");
        assert_eq!(refusal.message, "short and stout");
        assert_eq!(refusal.json()["status"], 418);
        for status in ["200", "302", "399", "429", "500", "503"] {
            ask(&format!("select snackbase.abort({status}, 'x')")).refused("22023");
        }
    }
}
