//! API keys: whose they are, what they open, and when they stop. Contract identity.md §3.4 and §4.9.

#[pgrx::pg_schema]
mod tests {
    use pgrx::prelude::*;

    use crate::tests::scene::{Outcome, Person, Scene, ask, ask_through_gateway, run};

    /// A hash that belongs to nothing else.
    fn hash(number: u32) -> String {
        format!("{number:064x}")
    }

    fn id(number: u32) -> String {
        format!("00000000-0000-4000-8000-{number:012x}")
    }

    fn create(person: &Person, number: u32, body: &str) -> Outcome {
        person.ask(
            "admin",
            &format!(
                "select snackbase.api_key_create('{}', '{}', 'AAAA', 'zzzz', null, '{body}')",
                id(number),
                hash(number)
            ),
        )
    }

    #[track_caller]
    fn made(person: &Person, number: u32) {
        create(person, number, r#"{"name": "key"}"#).answer();
    }

    fn caller(number: u32, secret: u32) -> String {
        format!(
            r#"{{"kind":"api_key","key_id":"{}","key_hash":"{}"}}"#,
            id(number),
            hash(secret)
        )
    }

    /// What the key says it is, or the refusal.
    fn whoami(number: u32, secret: u32) -> Outcome {
        ask_through_gateway(
            &caller(number, secret),
            "member",
            "select concat_ws(' ', snackbase.current_user_email(), snackbase.current_user_role(), snackbase.current_auth_method(),
                              snackbase.is_superadmin(), snackbase.current_user_groups(), current_user)",
        )
    }

    #[pg_test]
    fn a_key_is_its_owner_as_the_tables_say_now() {
        let scene = Scene::new();
        made(&scene.ada, 1);
        made(&scene.root, 2);
        whoami(1, 1).says("ada@example.com admin api_key f {} snackbase_member");
        whoami(2, 2).says("root@example.com admin api_key t {} snackbase_superadmin");
        run(&format!(
            "with g as (insert into snackbase.groups (account_id, name) values ('{0}', 'team') returning id)
             insert into snackbase.users_groups (account_id, group_id, user_id) select '{0}', g.id, '{1}' from g",
            scene.ada.account, scene.ada.id
        ))
        .says("1");
        run(&format!(
            "update snackbase.users set role_id = 2 where id = '{}'",
            scene.ada.id
        ))
        .says("1");
        whoami(1, 1).says("ada@example.com user api_key f {team} snackbase_member");
        // The administrator's door is closed with the role.
        ask_through_gateway(&caller(1, 1), "admin", "select 1").refused("42501");
    }

    #[pg_test]
    fn every_other_key_is_refused_alike() {
        let scene = Scene::new();
        for number in 1..=5 {
            made(&scene.ada, number);
        }
        whoami(1, 1).answer();
        let unknown = whoami(99, 99).refused("28000").message;
        for (what, number, secret, change) in [
            ("the secret of another key", 1, 2, "select 1".to_owned()),
            (
                "revoked",
                2,
                2,
                format!(
                    "update snackbase.api_keys set is_active = false where id = '{}'",
                    id(2)
                ),
            ),
            (
                "expired",
                3,
                3,
                format!(
                    "update snackbase.api_keys set expires_at = clock_timestamp() where id = '{}'",
                    id(3)
                ),
            ),
            (
                "deleted",
                4,
                4,
                format!("delete from snackbase.api_keys where id = '{}'", id(4)),
            ),
            (
                "the owner inactive",
                5,
                5,
                format!(
                    "update snackbase.users set is_active = false where id = '{}'",
                    scene.ada.id
                ),
            ),
        ] {
            run(&change).answer();
            assert_eq!(whoami(number, secret).refused("28000").message, unknown, "{what}");
        }
        for broken in [
            r#"{"kind":"api_key","key_id":"no uuid","key_hash":"00"}"#.to_owned(),
            format!(r#"{{"kind":"api_key","key_id":"{}","key_hash":""}}"#, id(1)),
            format!(
                r#"{{"kind":"api_key","key_id":"{}","key_hash":"{}"}}"#,
                id(1),
                &hash(1)[..63]
            ),
            // By its hash alone only a key of an original instance is found.
            format!(r#"{{"kind":"api_key","key_hash":"{}"}}"#, hash(1)),
        ] {
            ask_through_gateway(&broken, "member", "select 1").refused("28000");
        }
        ask_through_gateway(r#"{"kind":"api_key"}"#, "member", "select 1").refused("22023");
    }

    #[pg_test]
    fn nobody_can_give_a_key_another_method_of_authentication() {
        let scene = Scene::new();
        made(&scene.ada, 1);
        let disguised = caller(1, 1).replace('}', r#","auth_method":"jwt"}"#);
        ask_through_gateway(&disguised, "member", "select snackbase.current_auth_method()").says("api_key");
        let mint = format!(
            "select snackbase.api_key_create('{}', '{}', 'AAAA', 'zzzz', null, '{{\"name\": \"more\"}}')",
            id(2),
            hash(2)
        );
        ask_through_gateway(&disguised, "admin", &mint)
            .refused("42501")
            .saying("An API key cannot create API keys");
        // Nor by writing the row itself, nor for a superadmin's key.
        made(&scene.root, 3);
        for (number, operation) in [(1, "admin"), (3, "superadmin")] {
            let insert = format!(
                "insert into snackbase.api_keys (account_id, user_id, name, key_hash, first_four, last_four)
                 values (snackbase.current_account_id(), snackbase.current_user_uuid(), 'more', '{}', 'AAAA', 'zzzz') returning id",
                hash(4)
            );
            ask_through_gateway(&caller(number, number), operation, &insert).refused("42501");
        }
    }

    #[pg_test]
    fn use_is_noted_once_a_minute_beside_the_trail() {
        let scene = Scene::new();
        made(&scene.ada, 1);
        let used =
            || ask("select coalesce(last_used_at::text, 'never') from snackbase.api_key_uses").answer();
        let entries = ask("select count(*) from snackbase.audit_change").answer();
        assert_eq!(used(), "never");
        // Of a statement that may run for long nothing is noted: it must not hold up the sealer.
        let streams = caller(1, 1).replace('}', r#","streams":true}"#);
        ask_through_gateway(&streams, "member", "select 1").says("1");
        assert_eq!(used(), "never");
        ask_through_gateway(&caller(1, 1), "list", "select 1").says("1");
        let first = used();
        assert_ne!(first, "never");
        ask_through_gateway(&caller(1, 1), "member", "select 1").says("1");
        assert_eq!(used(), first);
        ask("select count(*) from snackbase.audit_change").says(&entries);
    }

    #[pg_test]
    fn a_use_more_than_a_minute_ago_is_noted_anew() {
        let scene = Scene::new();
        made(&scene.ada, 1);
        for (age, noted) in [("59 seconds", "false"), ("61 seconds", "true")] {
            run(&format!(
                "update snackbase.api_key_uses set last_used_at = clock_timestamp() - interval '{age}'"
            ))
            .says("1");
            let before = ask("select last_used_at::text from snackbase.api_key_uses").answer();
            ask_through_gateway(&caller(1, 1), "member", "select 1").says("1");
            let after = format!("select last_used_at > '{before}' from snackbase.api_key_uses");
            ask(&after).says(noted);
            // What the backend saw of the younger use counts for another second.
            ask("select pg_sleep(1.1)::text").answer();
        }
    }

    #[pg_test]
    fn ten_active_keys_are_the_limit_and_a_revoked_one_makes_place() {
        let scene = Scene::new();
        for number in 1..=10 {
            made(&scene.ada, number);
        }
        create(&scene.ada, 11, r#"{"name": "key"}"#)
            .refused("54000")
            .saying("A user can have at most 10 active API keys; revoke one first");
        made(&scene.bob, 12);
        let revoke = |number: u32| format!("select snackbase.api_key_revoke('{}')", id(number));
        scene.ada.ask("admin", &revoke(4)).says("true");
        scene.ada.ask("admin", &revoke(4)).says("true");
        made(&scene.ada, 13);
        create(&scene.ada, 14, r#"{"name": "key"}"#).refused("54000");
        // Two that chose the same place, as under REPEATABLE READ: the index has the last word.
        run(&format!(
            "update snackbase.api_keys set place = (select place from snackbase.api_keys where id = '{}') where id = '{}'",
            id(1),
            id(2)
        ))
        .refused("23505");
        run(&format!(
            "update snackbase.api_keys set is_active = true where id = '{}'",
            id(4)
        ))
        .refused("23514");
        run(&format!(
            "update snackbase.api_keys set user_id = '{}' where id = '{}'",
            scene.alf.id,
            id(1)
        ))
        .refused("23514");
        run("set local snackbase.api_key_max_per_user = 11").answer();
        made(&scene.ada, 15);
    }

    #[pg_test]
    fn keys_are_for_administrators_and_everybody_sees_only_the_own_ones() {
        let scene = Scene::new();
        made(&scene.ada, 1);
        made(&scene.bob, 2);
        made(&scene.root, 3);
        create(&scene.alf, 4, r#"{"name": "key"}"#).refused("42501");
        create(&scene.visitor, 4, r#"{"name": "key"}"#).refused("28000");
        for (person, number) in [(&scene.ada, 1), (&scene.bob, 2), (&scene.root, 3)] {
            let list = person
                .ask("admin", "select snackbase.api_key_list(null, null)")
                .json();
            assert_eq!(
                (&list["total"], &list["items"][0]["id"]),
                (&1.into(), &id(number).into()),
                "{list}"
            );
            assert_eq!(list["items"][0]["key"], "sb_ak.AAAA...zzzz");
        }
        for call in ["api_key_view", "api_key_revoke"] {
            for (person, number) in [
                (&scene.ada, 2),
                (&scene.ada, 3),
                (&scene.bob, 1),
                (&scene.root, 1),
                (&scene.ada, 99),
            ] {
                person
                    .ask("admin", &format!("select snackbase.{call}('{}')", id(number)))
                    .refused("P0002")
                    .saying("API key not found");
            }
        }
        // psql in the place of the gateway sees no more.
        scene
            .ada
            .ask("admin", "select count(*) from snackbase.api_keys")
            .says("1");
        scene
            .ada
            .ask("admin", "select count(*) from snackbase.api_key_uses")
            .says("1");
        scene
            .ada
            .ask("admin", "select key_hash from snackbase.api_keys")
            .refused("42501");
        scene
            .ada
            .ask("member", "select id from snackbase.api_keys")
            .refused("42501");
        let for_alf = format!(
            "insert into snackbase.api_keys (account_id, user_id, name, key_hash, first_four, last_four)
             values ('{}', '{}', 'key', '{}', 'AAAA', 'zzzz')",
            scene.alf.account,
            scene.alf.id,
            hash(9)
        );
        scene.ada.run("admin", &for_alf).refused("42501");
    }

    #[pg_test]
    fn what_a_key_is_made_of_is_judged_here() {
        let scene = Scene::new();
        for (body, code, problem) in [
            ("{}", "22P02", "name value_error"),
            (r#"{"name": " ab "}"#, "22P02", "name value_error"),
            (r#"{"name": 123}"#, "22P02", "name value_error"),
            (
                r#"{"name": "key", "expires_at": "soon"}"#,
                "22P02",
                "expires_at datetime_parsing",
            ),
            (
                r#"{"name": "key", "expires_at": "infinity"}"#,
                "22P02",
                "expires_at datetime_parsing",
            ),
            (
                r#"{"name": "key", "expires_at": "2030-13-01"}"#,
                "22P02",
                "expires_at datetime_parsing",
            ),
            (
                r#"{"name": "key", "expires_at": 7}"#,
                "22P02",
                "expires_at datetime_parsing",
            ),
            (
                r#"{"name": "key", "expires_at": "2020-01-01T00:00:00Z"}"#,
                "22P02",
                "expires_at datetime_past",
            ),
            (r#"{"name": "key", "scopes": "all"}"#, "22P02", "scopes list_type"),
            (r#"{"name": "key", "scopes": [1]}"#, "22P02", "scopes list_type"),
            (
                r#"{"name": "key", "scopes": ["records:write"]}"#,
                "22023",
                "scopes unapproved_scope",
            ),
        ] {
            assert_eq!(
                create(&scene.ada, 1, body).refused(code).problems(),
                [problem],
                "{body}"
            );
        }
        let key = create(
            &scene.ada,
            1,
            r#"{"name": " one ", "expires_at": "2099-01-31T12:00:00", "scopes": ["records:secrets:read"]}"#,
        )
        .json();
        assert_eq!(
            (
                &key["name"],
                &key["expires_at"],
                &key["scopes"][0],
                &key["is_active"]
            ),
            (
                &"one".into(),
                &"2099-01-31T12:00:00Z".into(),
                &"records:secrets:read".into(),
                &true.into()
            )
        );
        ask(&format!(
            "select string_agg(new_value, ' ') from snackbase.audit_log where table_name = 'api_keys' and record_id = '{}' and column_name in ('key_hash', 'name')",
            id(1)
        ))
        .says("one ***");
    }

    #[pg_test]
    fn keys_of_an_original_instance_open_for_superadmins_only() {
        let scene = Scene::new();
        let bring = |person: &Person, number: u32| {
            scene
                .root
                .run(
                    "superadmin",
                    &format!(
                        "insert into snackbase.api_keys (account_id, user_id, name, key_hash, prefix, first_four, last_four)
                         values ('{}', '{}', 'brought', '{}', 'sb_sk_', 'AB10', 'wxyz')",
                        person.account,
                        person.id,
                        hash(number)
                    ),
                )
                .says("1");
        };
        bring(&scene.root, 1);
        bring(&scene.ada, 2);
        let present = |number: u32| {
            ask_through_gateway(
                &format!(r#"{{"kind":"api_key","key_hash":"{}"}}"#, hash(number)),
                "member",
                "select snackbase.current_user_email()",
            )
        };
        present(1).says("root@example.com");
        present(2)
            .refused("42501")
            .saying("API keys are restricted to superadmin users");
        present(3).refused("28000");
        // Not by an id either: nobody was ever given one.
        let by_id = ask("select id from snackbase.api_keys where user_id = (select id from snackbase.users where email = 'root@example.com')").answer();
        ask_through_gateway(
            &format!(
                r#"{{"kind":"api_key","key_id":"{by_id}","key_hash":"{}"}}"#,
                hash(1)
            ),
            "member",
            "select 1",
        )
        .refused("28000");
    }

    #[pg_test]
    fn keys_end_with_their_user() {
        let scene = Scene::new();
        made(&scene.ada, 1);
        run(&format!(
            "delete from snackbase.users where id = '{}'",
            scene.ada.id
        ))
        .says("1");
        whoami(1, 1).refused("28000");
        ask("select count(*) from snackbase.api_key_uses").says("0");
    }
}
