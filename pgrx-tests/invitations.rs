//! Invitations: contract identity.md §4.8, trap 24.

#[pgrx::pg_schema]
mod tests {
    use pgrx::prelude::*;
    use serde_json::Value as Json;

    use crate::tests::scene::{Outcome, Person, Scene, ask, ask_through_gateway, quoted, run};

    fn visitor(statement: &str) -> Outcome {
        ask_through_gateway(
            r#"{"kind":"anonymous","ip_address":"192.0.2.7"}"#,
            "auth",
            statement,
        )
    }

    fn invite(person: &Person, body: &str) -> Outcome {
        person.ask(
            "admin",
            &format!("select snackbase.invitation_create({})", quoted(body)),
        )
    }

    fn invited(person: &Person, body: &str) -> (String, String) {
        let made: Json = invite(person, body).json();
        let text = |key: &str| made[key].as_str().expect(key).to_owned();
        (text("id"), text("token"))
    }

    /// Accepts as user and session number `n`.
    fn accept(token: &str, n: u32) -> Outcome {
        visitor(&format!(
            "select concat_ws(' ', x -> 'user' ->> 'email', x -> 'user' ->> 'role', x -> 'user' -> 'groups', x -> 'account' ->> 'slug')
               from snackbase.auth_invitation_accept('{token}', '{0}', 'hash', '{0}', '{0}', 'h{n}', now() + interval '7 days') x",
            format_args!("bbbbbbbb-0000-0000-0000-{n:012}")
        ))
    }

    fn statuses(person: &Person, filter: &str) -> String {
        person
            .ask(
                "member",
                &format!(
                    "select string_agg((i ->> 'email') || ' ' || (i ->> 'status') || ' ' || coalesce(i ->> 'token', 'no token'), ', ' order by i ->> 'email')
                       from json_array_elements(snackbase.invitation_list('{filter}') -> 'invitations') i"
                ),
            )
            .answer()
    }

    #[pg_test]
    fn an_invitation_becomes_a_user_in_its_role_and_groups_once() {
        let scene = Scene::new();
        let group = ask(&format!(
            "insert into snackbase.groups (account_id, name) values ('{}', 'editors') returning id",
            scene.ada.account
        ))
        .answer();
        let body =
            format!(r#"{{"email": " Eve@example.com", "role_id": "1", "groups": ["{group}", "{group}"]}}"#);
        let (id, token) = invited(&scene.ada, &body);
        ask("select recipient || ' ' || (variables ->> 'invitation_url' = 'http://localhost:8000/accept-invitation?token=' || (variables ->> 'token'))
                    || ' ' || (variables ->> 'invited_by') || ' ' || (variables ->> 'expires_at' ~ '^\\d{4}-\\d\\d-\\d\\d \\d\\d:\\d\\d:\\d\\d UTC$')
               from snackbase.mail_outbox")
            .says("Eve@example.com true ada@example.com true");
        ask("select expires_at - created_at between interval '47 hours 59 minutes' and interval '48 hours 1 minute' from snackbase.invitations").says("true");
        assert_eq!(statuses(&scene.alf, "{}"), "Eve@example.com pending no token");
        visitor(&format!(
            "select x ->> 'email' || ' ' || (x ->> 'invited_by_name') || ' ' || (x ->> 'is_valid') from snackbase.auth_invitation_view('{token}') x"
        ))
        .says("Eve@example.com ada@example.com true");
        // Sent again, the token before is dead.
        let again = scene
            .ada
            .ask(
                "admin",
                &format!("select snackbase.invitation_resend('{id}') ->> 'token'"),
            )
            .answer();
        assert_ne!(token, again);
        accept(&token, 1).refused("P0002");
        visitor(&format!("select snackbase.auth_invitation_view('{token}')")).refused("P0002");
        accept(&again, 1).says(r#"Eve@example.com admin ["editors"] acme"#);
        accept(&again, 2).refused("P0002");
        visitor(&format!("select snackbase.auth_invitation_view('{again}')"))
            .refused("22023")
            .saying("This invitation was accepted already");
        ask("select email_verified || ' ' || address_proven || ' ' || (password_hash = 'hash') || ' ' || (select count(*) from snackbase.sessions)
               from snackbase.users where email = 'Eve@example.com'")
            .says("true false true 1");
        assert_eq!(statuses(&scene.alf, "{}"), "Eve@example.com accepted no token");
        scene
            .ada
            .ask("admin", &format!("select snackbase.invitation_resend('{id}')"))
            .refused("22023");
        scene
            .ada
            .ask("admin", &format!("select snackbase.invitation_cancel('{id}')"))
            .refused("P0002");
        // Who did what is in the trail; neither token nor hash is.
        ask("select string_agg(distinct table_name || ' ' || operation || ' ' || user_id, ', ' order by table_name || ' ' || operation || ' ' || user_id)
               from snackbase.audit_log where user_id = 'anonymous' and (table_name = 'invitations' and operation = 'UPDATE' or column_name = 'password_hash')")
            .says("invitations UPDATE anonymous, users CREATE anonymous");
        ask(&format!(
            "select count(*) from snackbase.audit_change
              where columns::text like '%{again}%' or columns::text like '%' || snackbase._token_hash('{again}') || '%' or columns::text like '%\"hash\"%'"
        ))
        .says("0");
    }

    #[pg_test]
    fn who_may_not_invite_does_not() {
        let scene = Scene::new();
        let eve = r#"{"email": "eve@example.com"}"#;
        invite(&scene.alf, eve).refused("42501");
        scene
            .alf
            .ask("member", &format!("select snackbase.invitation_create('{eve}')"))
            .refused("42501");
        let foreign = format!(
            r#"{{"email": "eve@example.com", "account_id": "{}"}}"#,
            scene.bob.account
        );
        invite(&scene.ada, &foreign)
            .refused("42501")
            .saying("Access to this account is not allowed");
        invite(
            &scene.ada,
            r#"{"email": "eve@example.com", "account_id": "system"}"#,
        )
        .refused("42501");
        invite(
            &scene.root,
            r#"{"email": "eve@example.com", "account_id": "nowhere"}"#,
        )
        .refused("P0002");
        let (id, _) = invited(&scene.root, &foreign);
        assert_eq!(statuses(&scene.ada, "{}"), "null");
        for call in ["invitation_resend", "invitation_cancel"] {
            scene
                .ada
                .ask("admin", &format!("select snackbase.{call}('{id}')"))
                .refused("P0002");
        }
        scene
            .ada
            .ask(
                "admin",
                &format!(
                    "select snackbase._invitation_send('{}', '{id}')",
                    scene.bob.account
                ),
            )
            .refused("42501");
        // Without functions: for others, for another account, into a role of one's choice as somebody else.
        let insert = |account: &str, by: &str| {
            format!(
                "insert into snackbase.invitations (account_id, email, role_id, invited_by) values ('{account}', 'x@example.com', 1, {by}) returning 1"
            )
        };
        scene
            .ada
            .ask(
                "admin",
                &insert(&scene.bob.account, "snackbase.current_user_uuid()"),
            )
            .refused("42501");
        scene
            .ada
            .ask("admin", &insert(&scene.ada.account, "null"))
            .refused("42501");
        scene
            .ada
            .ask(
                "admin",
                &insert(&scene.ada.account, &format!("'{}'", scene.bob.id)),
            )
            .refused("42501");
        scene
            .ada
            .ask("member", "select token_hash from snackbase.invitations")
            .refused("42501");
        run("set snackbase.account_admin_manages_users = off").answer();
        invite(&scene.ada, eve).refused("42501");
        scene
            .ada
            .ask(
                "admin",
                &insert(&scene.ada.account, "snackbase.current_user_uuid()"),
            )
            .refused("42501");
        ask("select count(*) from snackbase.invitations").says("1");
    }

    #[pg_test]
    fn one_invitation_of_an_address_is_pending() {
        let scene = Scene::new();
        let eve = r#"{"email": "eve@example.com"}"#;
        invite(&scene.ada, r#"{"email": "ALF@example.com"}"#).refused("22023");
        let (first, token) = invited(&scene.ada, eve);
        invite(&scene.ada, r#"{"email": "EVE@example.com"}"#).refused("23505");
        invited(&scene.bob, eve);
        scene
            .ada
            .ask("admin", &format!("select snackbase.invitation_cancel('{first}')"))
            .says("true");
        scene
            .ada
            .ask("admin", &format!("select snackbase.invitation_cancel('{first}')"))
            .refused("P0002");
        accept(&token, 1).refused("P0002");
        let (_, second) = invited(&scene.ada, eve);
        run(&format!("update snackbase.invitations set expires_at = now() - interval '1 second' where token_hash = snackbase._token_hash('{second}')")).says("1");
        accept(&second, 1).refused("P0002");
        visitor(&format!("select snackbase.auth_invitation_view('{second}')"))
            .refused("22023")
            .saying("This invitation has expired");
        assert_eq!(
            statuses(&scene.ada, r#"{"status_filter": "expired"}"#),
            "eve@example.com expired no token"
        );
        // What has expired is no obstacle.
        let (_, third) = invited(&scene.ada, eve);
        for (status, count) in [
            ("cancelled", "1"),
            ("expired", "1"),
            ("pending", "1"),
            ("accepted", "0"),
        ] {
            scene
                .ada
                .ask(
                    "member",
                    &format!(
                        "select snackbase.invitation_list('{{\"status_filter\": \"{status}\"}}') ->> 'total'"
                    ),
                )
                .says(count);
        }
        scene
            .ada
            .ask(
                "member",
                r#"select snackbase.invitation_list('{"status_filter": "all"}')"#,
            )
            .refused("22023");
        // Somebody of that address came another way.
        run(&format!(
            "insert into snackbase.users (account_id, email, role_id) values ('{}', 'Eve@example.com', 2)",
            scene.ada.account
        ))
        .says("1");
        let refusal = accept(&third, 1).refused("23505");
        assert_eq!(refusal.problems(), ["email taken"]);
        ask("select count(*) from snackbase.invitations where accepted_at is not null").says("0");
    }

    #[pg_test]
    fn an_inviter_gives_what_it_has_when_the_invitation_is_accepted() {
        let scene = Scene::new();
        let pii = ask(&format!(
            "select id from snackbase.groups where account_id = '{}' and name = 'pii_access'",
            scene.ada.account
        ))
        .answer();
        for (n, change) in ["role_id = 2", "is_active = false"].iter().enumerate() {
            let body = format!(r#"{{"email": "eve{n}@example.com", "role_id": 1, "groups": ["{pii}"]}}"#);
            let (_, token) = invited(&scene.ada, &body);
            run(&format!(
                "update snackbase.users set {change} where id = '{}'",
                scene.ada.id
            ))
            .says("1");
            accept(&token, u32::try_from(n).expect("small"))
                .says(&format!("eve{n}@example.com user [] acme"));
            run(&format!(
                "update snackbase.users set role_id = 1, is_active = true where id = '{}'",
                scene.ada.id
            ))
            .says("1");
        }
        // Superadmins invite superadmins, as long as they are some.
        let into_system = |email: &str| {
            let body = format!(r#"{{"email": "{email}"}}"#);
            let made: Json = scene
                .root
                .ask("admin", &format!("select snackbase.invitation_create('{body}')"))
                .json();
            made["token"].as_str().expect("a token").to_owned()
        };
        accept(&into_system("second@example.com"), 8).says("second@example.com user [] system");
        let late = into_system("third@example.com");
        run(&format!(
            "update snackbase.users set is_active = false where id = '{}'",
            scene.root.id
        ))
        .says("1");
        accept(&late, 9).refused("P0002");
    }

    #[pg_test]
    fn what_does_not_fit_an_invitation_is_named() {
        let scene = Scene::new();
        let foreign = ask(&format!(
            "select id from snackbase.groups where account_id = '{}' limit 1",
            scene.bob.account
        ))
        .answer();
        for (body, problem) in [
            (r#"{"email": "nobody"}"#.to_owned(), "email value_error"),
            (r#"{}"#.to_owned(), "email value_error"),
            (
                r#"{"email": "e@example.com", "role_id": 99}"#.to_owned(),
                "role_id not_found",
            ),
            (
                format!(r#"{{"email": "e@example.com", "groups": ["{foreign}"]}}"#),
                "groups not_found",
            ),
            (
                r#"{"email": "e@example.com", "groups": ["x"]}"#.to_owned(),
                "groups not_found",
            ),
        ] {
            assert_eq!(
                invite(&scene.ada, &body).refused("22P02").problems(),
                [problem],
                "{body}"
            );
        }
        ask("select count(*) from snackbase.invitations").says("0");
        ask("select count(*) from snackbase.mail_outbox").says("0");
        // Nobody is bombed with invitations.
        let (id, _) = invited(&scene.ada, r#"{"email": "e@example.com"}"#);
        for _ in 0..9 {
            scene
                .ada
                .ask("admin", &format!("select snackbase.invitation_resend('{id}')"))
                .answer();
        }
        scene
            .ada
            .ask("admin", &format!("select snackbase.invitation_resend('{id}')"))
            .refused("22023");
    }

    #[pg_test]
    fn a_role_that_is_deleted_meanwhile_is_the_usual_one() {
        let scene = Scene::new();
        run("insert into snackbase.roles (id, name) values (77, 'editor')").says("1");
        let (_, token) = invited(&scene.ada, r#"{"email": "e@example.com", "role": "editor"}"#);
        run("delete from snackbase.roles where id = 77").says("1");
        accept(&token, 1).says("e@example.com user [] acme");
    }

    #[pg_test]
    fn the_first_administrator_of_one_account_is_invited_until_there_is_one() {
        Scene::new();
        let ensure = || {
            visitor(
                "select snackbase.single_tenant_ensure('house', 'House', 'boss@example.com') ->> 'invited'",
            )
            .answer()
        };
        assert_eq!((ensure(), ensure()), ("true".to_owned(), "false".to_owned()));
        run("update snackbase.invitations set expires_at = clock_timestamp()").says("1");
        assert_eq!(ensure(), "true");
        let token =
            ask("select variables ->> 'token' from snackbase.mail_outbox order by id desc limit 1").answer();
        accept(&token, 1).says("boss@example.com admin [] house");
        run("delete from snackbase.invitations").answer();
        assert_eq!(ensure(), "false");
    }
}
