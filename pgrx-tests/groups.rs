//! Groups and who writes them: contract identity.md §4.7, §7 (T5), §8.

#[pgrx::pg_schema]
mod tests {
    use pgrx::prelude::*;
    use serde_json::{Value as Json, json};

    use crate::tests::scene::{Outcome, Person, Scene, ask, quoted, run, user};

    fn create(caller: &Person, body: &str) -> Outcome {
        caller.ask(
            "people",
            &format!("select snackbase.group_create({})", quoted(body)),
        )
    }

    #[track_caller]
    fn created(caller: &Person, name: &str) -> String {
        create(caller, &format!(r#"{{"name": "{name}"}}"#)).json()["id"]
            .as_str()
            .expect("an id")
            .to_owned()
    }

    fn names(caller: &Person, query: &str) -> String {
        let list = caller
            .ask("people", &format!("select snackbase.group_list('{query}')"))
            .json();
        let name = |group: &Json| group["name"].as_str().expect("a name").to_owned();
        let names: Vec<String> = list.as_array().expect("an array").iter().map(name).collect();
        names.join(" ")
    }

    fn change(caller: &Person, id: &str, body: &str) -> Outcome {
        caller.ask(
            "people",
            &format!("select snackbase.group_change('{id}', {})", quoted(body)),
        )
    }

    fn drop(caller: &Person, id: &str) -> Outcome {
        caller.ask("people", &format!("select snackbase.group_drop('{id}')"))
    }

    fn add(caller: &Person, group: &str, member: &str) -> Outcome {
        caller.ask(
            "people",
            &format!("select snackbase.group_member_add('{group}', '{member}')"),
        )
    }

    fn remove(caller: &Person, group: &str, member: &str) -> Outcome {
        caller.ask(
            "people",
            &format!("select snackbase.group_member_remove('{group}', '{member}')"),
        )
    }

    fn pii(account: &str) -> String {
        ask(&format!(
            "select id from snackbase.groups where account_id = '{account}' and name = 'pii_access'"
        ))
        .answer()
    }

    #[pg_test]
    fn an_administrator_writes_groups_and_everybody_reads_them() {
        let scene = Scene::new();
        let made = create(&scene.ada, r#"{"name": " editors ", "description": "edit"}"#).json();
        assert_eq!(
            (
                &made["name"],
                &made["account_id"],
                &made["is_system"],
                &made["member_count"],
                &made["users"]
            ),
            (
                &json!("editors"),
                &json!(scene.ada.account),
                &json!(false),
                &json!(0),
                &json!([])
            )
        );
        let id = made["id"].as_str().expect("an id");
        let refusal = create(&scene.ada, r#"{"name": "editors"}"#).refused("23505");
        assert_eq!(refusal.problems(), ["name taken"]);
        let changed = change(&scene.ada, id, r#"{"description": null}"#).json();
        assert_eq!(
            (&changed["name"], &changed["description"]),
            (&json!("editors"), &Json::Null)
        );
        change(&scene.ada, id, r#"{"name": "pii_access"}"#).refused("23505");
        add(&scene.ada, id, &scene.alf.id).answer();
        let refusal = add(&scene.ada, id, &scene.alf.id).refused("23505");
        assert_eq!(refusal.problems(), ["user_id taken"]);

        assert_eq!(names(&scene.alf, "{}"), "editors pii_access");
        assert_eq!(names(&scene.alf, r#"{"search": "_"}"#), "pii_access");
        assert_eq!(names(&scene.alf, r#"{"skip": 1, "limit": 1}"#), "pii_access");
        let seen = scene
            .alf
            .ask("people", &format!("select snackbase.group_view('{id}')"))
            .json();
        assert_eq!(seen["member_count"], 1);
        assert_eq!(seen["users"][0]["email"], "alf@example.com");
        // members are not shown more of each other than they may read
        assert!(seen["users"][0].get("profile_data").is_none(), "{seen}");
        let seen = scene
            .ada
            .ask("people", &format!("select snackbase.group_view('{id}')"))
            .json();
        assert_eq!(seen["users"][0]["groups"], json!(["editors"]));
        assert!(seen["users"][0].get("profile_data").is_some(), "{seen}");

        for _ in 0..2 {
            remove(&scene.ada, id, &scene.alf.id).says("true");
        }
        drop(&scene.ada, id).says("true");
        drop(&scene.ada, id).refused("P0002").saying("Group not found");
    }

    #[pg_test]
    fn no_group_is_written_or_seen_across_accounts() {
        let scene = Scene::new();
        let theirs = created(&scene.bob, "theirs");
        let ours = created(&scene.ada, "ours");
        for refused in [
            change(&scene.ada, &theirs, r#"{"name": "x"}"#),
            drop(&scene.ada, &theirs),
            add(&scene.ada, &theirs, &scene.ada.id),
            add(&scene.ada, &ours, &scene.bob.id),
            remove(&scene.ada, &theirs, &scene.bob.id),
            scene
                .alf
                .ask("people", &format!("select snackbase.group_view('{theirs}')")),
        ] {
            refused.refused("P0002");
        }
        for account in [scene.bob.account.as_str(), "11111111-2222-3333-4444-555555555555"] {
            create(
                &scene.ada,
                &format!(r#"{{"name": "x", "account_id": "{account}"}}"#),
            )
            .refused("42501")
            .saying("Groups are created in the own account only");
        }
        // the references contain the account, whoever inserts
        run(&format!(
            "insert into snackbase.users_groups (account_id, group_id, user_id) values ('{}', '{ours}', '{}')",
            scene.ada.account, scene.bob.id
        ))
        .refused("23503");
        assert_eq!(names(&scene.ada, "{}"), "ours pii_access");
        assert_eq!(names(&scene.root, "{}"), "ours pii_access pii_access theirs");
        let made = create(
            &scene.root,
            &format!(r#"{{"name": "made", "account_id": "{}"}}"#, scene.bob.account),
        )
        .json();
        assert_eq!(made["account_id"], json!(scene.bob.account));
        add(&scene.root, &theirs, &scene.bob.id).answer();
    }

    #[pg_test]
    fn plain_users_write_no_group_and_least_of_all_pii_access() {
        let scene = Scene::new();
        let ours = created(&scene.ada, "ours");
        let pii = pii(&scene.ada.account);
        for refused in [
            create(&scene.alf, r#"{"name": "x"}"#),
            change(&scene.alf, &ours, r#"{"name": "x"}"#),
            drop(&scene.alf, &ours),
            add(&scene.alf, &ours, &scene.alf.id),
            add(&scene.alf, &pii, &scene.alf.id),
            remove(&scene.alf, &pii, &scene.ada.id),
        ] {
            refused.refused("42501").saying("Administrator access required");
        }
        // policies say so of their own SQL
        for operation in ["people", "member"] {
            scene
                .alf
                .run(
                    operation,
                    &format!(
                        "insert into snackbase.users_groups (account_id, group_id, user_id) values ('{}', '{pii}', '{}')",
                        scene.alf.account, scene.alf.id
                    ),
                )
                .refused("42501");
            scene.alf.run(operation, "delete from snackbase.groups").says("0");
        }
        ask("select count(*) from snackbase.users_groups").says("0");
    }

    #[pg_test]
    fn a_setting_opens_groups_to_every_member_but_not_pii_access() {
        let scene = Scene::new();
        run("set local snackbase.group_writes_admin_only = off").answer();
        let pii = pii(&scene.ada.account);
        let id = created(&scene.alf, "readers");
        change(&scene.alf, &id, r#"{"name": "writers"}"#).answer();
        add(&scene.alf, &id, &scene.alf.id).answer();
        remove(&scene.alf, &id, &scene.alf.id).says("true");
        add(&scene.ada, &pii, &scene.ada.id).answer();
        for refused in [
            create(&scene.alf, r#"{"name": "pii_access "}"#),
            change(&scene.alf, &id, r#"{"name": "pii_access"}"#),
            change(&scene.alf, &pii, r#"{"description": "x"}"#),
            add(&scene.alf, &pii, &scene.alf.id),
            remove(&scene.alf, &pii, &scene.ada.id),
            drop(&scene.alf, &pii),
        ] {
            refused.refused("42501");
        }
        scene
            .alf
            .run("people", "delete from snackbase.users_groups")
            .says("0");
        // administrators that people are not left to are members like others
        run("set local snackbase.account_admin_manages_users = off").answer();
        add(&scene.ada, &id, &scene.alf.id).answer();
        add(&scene.ada, &pii, &scene.alf.id)
            .refused("42501")
            .saying("Superadmin access required");
        scene
            .ada
            .run(
                "people",
                &format!("delete from snackbase.users_groups where group_id = '{pii}'"),
            )
            .says("0");
        add(&scene.root, &pii, &scene.alf.id).answer();
    }

    #[pg_test]
    fn pii_access_stays_until_its_account_goes() {
        let scene = Scene::new();
        let pii = pii(&scene.ada.account);
        let refusal = change(&scene.ada, &pii, r#"{"name": "nobody"}"#).refused("22P02");
        assert_eq!(refusal.problems(), ["name built_in"]);
        let refusal = drop(&scene.root, &pii).refused("22P02");
        assert_eq!(refusal.problems(), ["group built_in"]);
        let kept = change(
            &scene.ada,
            &pii,
            r#"{"description": "sees all", "name": "pii_access"}"#,
        )
        .json();
        assert_eq!(
            (&kept["description"], &kept["is_system"]),
            (&json!("sees all"), &json!(true))
        );
        for statement in [
            format!("delete from snackbase.groups where id = '{pii}'"),
            format!("update snackbase.groups set name = 'x' where id = '{pii}'"),
        ] {
            run(&statement).refused("23514");
        }
        run(&format!(
            "delete from snackbase.accounts where id = '{}'",
            scene.ada.account
        ))
        .says("1");
        ask(&format!(
            "select count(*) from snackbase.groups where id = '{pii}'"
        ))
        .says("0");
    }

    #[pg_test]
    fn a_membership_counts_from_the_next_question_on() {
        let scene = Scene::new();
        let third = user(&scene.ada.account, "third@example.com", 2);
        let id = created(&scene.ada, "editors");
        let is_in = |person: &Person| {
            person
                .ask("member", "select snackbase.in_group('editors')")
                .answer()
        };
        assert_eq!(is_in(&third), "false");
        add(&scene.ada, &id, &third.id).answer();
        assert_eq!(is_in(&third), "true");
        remove(&scene.ada, &id, &third.id).answer();
        assert_eq!(is_in(&third), "false");
    }

    #[pg_test]
    fn what_does_not_fit_a_group_is_named() {
        let scene = Scene::new();
        for (body, problem) in [
            ("{}".to_owned(), "name missing"),
            (r#"{"name": " "}"#.to_owned(), "name value_error"),
            (r#"{"name": 1}"#.to_owned(), "name value_error"),
            (
                format!(r#"{{"name": "{}"}}"#, "x".repeat(101)),
                "name value_error",
            ),
            (
                format!(r#"{{"name": "x", "description": "{}"}}"#, "x".repeat(501)),
                "description string_too_long",
            ),
        ] {
            let refusal = create(&scene.ada, &body).refused("22P02");
            assert_eq!(refusal.problems(), [problem], "{body}");
        }
        create(
            &scene.root,
            r#"{"name": "x", "account_id": "11111111-2222-3333-4444-555555555555"}"#,
        )
        .refused("P0002");
    }
}
