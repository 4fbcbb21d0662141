//! Rules as policies: three states for five operations, through the records functions and by direct SQL.

#[pgrx::pg_schema]
mod tests {
    use pgrx::prelude::*;

    use crate::tests::scene::{Person, Scene, ask, ask_as, run, run_as};

    /// Direct SQL of each operation on `notes`, as a statement that answers the number of rows it touched.
    fn touched(person: &Person, operation: &str) -> crate::tests::scene::Outcome {
        match operation {
            "create" => person.run(
                operation,
                "insert into snackbase.col_notes (title) values ('new')",
            ),
            "update" => person.run(operation, "update snackbase.col_notes set stars = 5"),
            "delete" => person.run(operation, "delete from snackbase.col_notes"),
            _ => person.ask(
                operation,
                "select count(*) from (select id from snackbase.col_notes) t",
            ),
        }
    }

    /// The same through the records functions.
    fn requested(person: &Person, operation: &str, id: &str) -> crate::tests::scene::Outcome {
        match operation {
            "list" => person.list("notes", ""),
            "view" => person.view("notes", id),
            "create" => person.create("notes", r#"{"title": "a"}"#),
            "update" => person.patch("notes", id, r#"{"stars": 5}"#),
            _ => person.delete("notes", id),
        }
    }

    const OPERATIONS: [&str; 5] = ["list", "view", "create", "update", "delete"];

    #[pg_test]
    fn a_locked_operation_is_closed_to_all_but_superadmins() {
        let scene = Scene::with_notes();
        for operation in OPERATIONS {
            let id = scene.ada.created("notes", r#"{"title": "a"}"#);
            scene.rules("notes", &format!(r#"{{"{operation}_rule": null}}"#));
            for person in [&scene.ada, &scene.visitor] {
                requested(person, operation, &id)
                    .refused("42501")
                    .saying(&format!(
                        "Access denied: {operation} is locked for this collection"
                    ));
                let outcome = touched(person, operation);
                if operation == "create" {
                    outcome.refused("42501");
                } else {
                    outcome.says("0");
                }
            }
            requested(&scene.root, operation, &id).answer();
            scene.rules("notes", &format!(r#"{{"{operation}_rule": ""}}"#));
        }
    }

    #[pg_test]
    fn a_public_operation_is_open_to_the_whole_account_and_its_visitors() {
        let scene = Scene::with_notes();
        for operation in OPERATIONS {
            for person in [&scene.ada, &scene.alf, &scene.visitor, &scene.root] {
                let id = scene.ada.created("notes", r#"{"title": "a"}"#);
                requested(person, operation, &id).answer();
                scene.ada.created("notes", r#"{"title": "a"}"#);
                if person.account != scene.root.account {
                    assert_ne!(touched(person, operation).answer(), "0", "{operation}");
                }
            }
        }
    }

    #[pg_test]
    fn an_expression_admits_the_rows_for_which_it_is_true() {
        let scene = Scene::with_notes();
        scene.ada.created("notes", r#"{"title": "shown", "stars": 1}"#);
        scene.ada.created("notes", r#"{"title": "hidden", "stars": 0}"#);
        scene
            .ada
            .created("notes", r#"{"title": "unknown", "stars": null}"#);
        for operation in ["list", "view", "update", "delete"] {
            scene.rules("notes", &format!(r#"{{"{operation}_rule": "stars > 0"}}"#));
        }
        assert_eq!(scene.ada.total("notes", ""), 1);
        assert_eq!(scene.ada.total("notes", r#"title = "hidden""#), 0);
        touched(&scene.ada, "view").says("1");
        touched(&scene.ada, "update").says("1");
        for title in ["hidden", "unknown"] {
            let id = ask(&format!(
                "select id from snackbase.col_notes where title = '{title}'"
            ))
            .answer();
            for outcome in [
                scene.ada.view("notes", &id),
                scene.ada.patch("notes", &id, r#"{"title": "x"}"#),
                scene.ada.delete("notes", &id),
            ] {
                outcome.refused("P0002").saying("Record not found");
            }
        }
        touched(&scene.ada, "delete").says("1");
        ask("select string_agg(title, ',' order by title) from snackbase.col_notes").says("hidden,unknown");
    }

    #[pg_test]
    fn a_create_rule_judges_the_new_row() {
        let scene = Scene::with_notes();
        scene.rules(
            "notes",
            r#"{"create_rule": "stars > 0 && title != \"forbidden\""}"#,
        );
        scene
            .ada
            .create("notes", r#"{"title": "a", "stars": 1}"#)
            .answer();
        for body in [
            r#"{"title": "a", "stars": 0}"#,
            r#"{"title": "forbidden", "stars": 1}"#,
            r#"{"title": "no stars at all"}"#,
        ] {
            scene
                .ada
                .create("notes", body)
                .refused("44000")
                .saying("Record does not satisfy collection rules");
        }
        scene
            .ada
            .run(
                "create",
                "insert into snackbase.col_notes (title, stars) values ('a', 0)",
            )
            .refused("42501");
        scene
            .ada
            .run(
                "create",
                "insert into snackbase.col_notes (title, stars) values ('a', 2)",
            )
            .says("1");
        // a superadmin is not asked
        scene
            .root
            .create("notes", r#"{"title": "a", "stars": 0}"#)
            .answer();
    }

    #[pg_test]
    fn a_visitor_never_passes_an_expression() {
        let scene = Scene::with_notes();
        for operation in OPERATIONS {
            for rule in [
                "true",
                r#"title = \"a\""#,
                r#"@request.auth.id = null || true"#,
                "1 = 1",
            ] {
                let id = scene.ada.created("notes", r#"{"title": "a"}"#);
                scene.rules("notes", &format!(r#"{{"{operation}_rule": "{rule}"}}"#));
                requested(&scene.visitor, operation, &id).refused("28000");
                let outcome = touched(&scene.visitor, operation);
                if operation == "create" {
                    outcome.refused("42501");
                } else {
                    outcome.says("0");
                }
                requested(&scene.ada, operation, &id).answer();
                scene.rules("notes", &format!(r#"{{"{operation}_rule": ""}}"#));
            }
        }
    }

    #[pg_test]
    fn a_rule_never_widens_the_account() {
        let scene = Scene::with_notes();
        let id = scene.bob.created("notes", r#"{"title": "his"}"#);
        for operation in OPERATIONS {
            scene.rules(
                "notes",
                &format!(
                    r#"{{"{operation}_rule": "true || account_id = \"{}\""}}"#,
                    scene.bob.account
                ),
            );
        }
        assert_eq!(scene.ada.total("notes", ""), 0);
        for operation in ["view", "update", "delete"] {
            requested(&scene.ada, operation, &id).refused("P0002");
        }
    }

    #[pg_test]
    fn operations_are_judged_independently() {
        let scene = Scene::with_notes();
        scene.rules(
            "notes",
            r#"{"list_rule": null, "view_rule": "stars = 1", "delete_rule": "stars = 2"}"#,
        );
        let id = scene.ada.created("notes", r#"{"title": "a", "stars": 2}"#);
        // not viewable, and yet the writer gets the row back
        scene.ada.view("notes", &id).refused("P0002");
        let changed = scene.ada.patch("notes", &id, r#"{"title": "b"}"#).json();
        assert_eq!(changed["title"], "b");
        scene.ada.patch("notes", &id, r#"{"stars": 1}"#).answer();
        scene.ada.view("notes", &id).answer();
        scene.ada.delete("notes", &id).refused("P0002");
    }

    #[pg_test]
    fn macros_ask_who_the_caller_is() {
        let scene = Scene::with_notes();
        let hers = scene.ada.created("notes", r#"{"title": "hers"}"#);
        scene.alf.created("notes", r#"{"title": "alfs"}"#);
        for (rule, ada, alf) in [
            ("@owns_record()", 1, 1),
            ("@request.auth.id = created_by", 1, 1),
            (r#"@request.auth.email = \"ada@example.com\""#, 2, 0),
            (r#"@has_role(\"admin\")"#, 2, 0),
            (r#"@request.auth.role = \"user\""#, 0, 2),
            (r#"@has_group(\"pii_access\")"#, 0, 2),
        ] {
            run(&format!(
                "insert into snackbase.users_groups (account_id, group_id, user_id)
                 select account_id, id, '{}' from snackbase.groups where account_id = '{}' on conflict do nothing",
                scene.alf.id, scene.alf.account
            ))
            .answer();
            scene.rules("notes", &format!(r#"{{"list_rule": "{rule}"}}"#));
            assert_eq!(scene.ada.total("notes", ""), ada, "{rule}");
            assert_eq!(scene.alf.total("notes", ""), alf, "{rule}");
        }
        scene.rules(
            "notes",
            r#"{"update_rule": "@owns_record()", "delete_rule": "@is_creator()"}"#,
        );
        scene
            .alf
            .patch("notes", &hers, r#"{"title": "x"}"#)
            .refused("P0002");
        scene.alf.delete("notes", &hers).refused("P0002");
        scene.ada.patch("notes", &hers, r#"{"title": "x"}"#).answer();
        scene.ada.delete("notes", &hers).answer();
    }

    #[pg_test]
    fn a_group_of_another_account_with_the_same_name_does_not_count() {
        let scene = Scene::with_notes();
        scene.rules("notes", r#"{"list_rule": "@has_group(\"pii_access\")"}"#);
        scene.ada.created("notes", r#"{"title": "a"}"#);
        scene.bob.created("notes", r#"{"title": "b"}"#);
        run(&format!(
            "insert into snackbase.users_groups (account_id, group_id, user_id)
             select account_id, id, '{}' from snackbase.groups where account_id = '{}'",
            scene.bob.id, scene.bob.account
        ))
        .says("1");
        assert_eq!(scene.ada.total("notes", ""), 0);
        assert_eq!(scene.bob.total("notes", ""), 1);
    }

    // The update rule: record fields are the row before, @request.data is the row after.

    #[pg_test]
    fn an_update_is_judged_by_the_row_before_and_the_data_after() {
        let scene = Scene::with_notes();
        let id = scene.ada.created("notes", r#"{"title": "open"}"#);
        scene.rules(
            "notes",
            r#"{"update_rule": "created_by = @request.auth.id && @request.data.title != \"locked\""}"#,
        );
        // the part about the row before: as if it were not there
        scene
            .alf
            .patch("notes", &id, r#"{"title": "x"}"#)
            .refused("P0002");
        scene
            .alf
            .run("update", "update snackbase.col_notes set title = 'x'")
            .says("0");
        // the part about the data: a refusal
        scene
            .ada
            .patch("notes", &id, r#"{"title": "locked"}"#)
            .refused("44000")
            .saying("Record does not satisfy collection rules");
        scene
            .ada
            .run("update", "update snackbase.col_notes set title = 'locked'")
            .refused("42501");
        scene
            .ada
            .patch("notes", &id, r#"{"title": "still open"}"#)
            .answer();
        scene
            .ada
            .run("update", "update snackbase.col_notes set title = 'y'")
            .says("1");
    }

    #[pg_test]
    fn an_update_is_not_judged_by_the_record_fields_after() {
        let scene = Scene::with_notes();
        let id = scene.ada.created("notes", r#"{"title": "open"}"#);
        scene.rules("notes", r#"{"update_rule": "title != \"frozen\""}"#);
        scene.ada.patch("notes", &id, r#"{"title": "frozen"}"#).answer();
        scene
            .ada
            .patch("notes", &id, r#"{"title": "thawed"}"#)
            .refused("P0002");
        scene
            .ada
            .run("update", "update snackbase.col_notes set title = 'thawed'")
            .says("0");
    }

    #[pg_test]
    fn a_role_may_be_spared_the_condition_on_the_data() {
        let scene = Scene::with_notes();
        let id = scene.ada.created("notes", r#"{"title": "open"}"#);
        scene.rules(
            "notes",
            r#"{"update_rule": "@request.auth.role = \"admin\" || @request.data.title != \"done\""}"#,
        );
        scene
            .alf
            .patch("notes", &id, r#"{"title": "done"}"#)
            .refused("44000");
        scene.alf.patch("notes", &id, r#"{"title": "nearly"}"#).answer();
        scene.ada.patch("notes", &id, r#"{"title": "done"}"#).answer();
    }

    /// A rule that compares both rows is a trigger.
    fn with_immutable_stars() -> (Scene, String) {
        let scene = Scene::with_notes();
        let id = scene.ada.created("notes", r#"{"title": "a", "stars": 1}"#);
        scene.rules("notes", r#"{"update_rule": "@request.data.stars = stars"}"#);
        (scene, id)
    }

    #[pg_test]
    fn a_rule_may_compare_the_row_before_with_the_row_after() {
        let (scene, id) = with_immutable_stars();
        scene
            .ada
            .patch("notes", &id, r#"{"title": "b", "stars": 1}"#)
            .answer();
        scene
            .ada
            .patch("notes", &id, r#"{"stars": 2}"#)
            .refused("44000")
            .saying("Record does not satisfy collection rules");
        scene
            .ada
            .run("update", "update snackbase.col_notes set stars = 2")
            .refused("44000");
        scene
            .ada
            .run("update", "update snackbase.col_notes set title = 'c'")
            .says("1");
        scene
            .ada
            .patch("notes", &id, r#"{"stars": null}"#)
            .refused("44000");
        // a superadmin and a hook are beyond the rules
        scene.root.patch("notes", &id, r#"{"stars": 3}"#).answer();
    }

    #[pg_test]
    fn a_login_that_inherits_the_update_role_is_bound_by_the_comparison() {
        let (scene, _) = with_immutable_stars();
        run(&format!(
            "create role tests_service login; grant snackbase_update to tests_service;
             alter role tests_service set snackbase.account_id = '{}';
             alter role tests_service set snackbase.auth_method = 'direct_sql'",
            scene.ada.account
        ))
        .answer();
        run_as("tests_service", "update snackbase.col_notes set title = 'b'").says("1");
        run_as("tests_service", "update snackbase.col_notes set stars = 2").refused("44000");
        run_as(
            "tests_service",
            "set role snackbase_update; update snackbase.col_notes set stars = 2",
        )
        .refused("44000");
        // the administrator is not
        run("update snackbase.col_notes set stars = 2").says("1");
    }

    #[pg_test]
    fn set_null_passes_a_rule_that_compares_rows() {
        let scene = Scene::with_notes();
        scene.collection(
            r#"{"name": "links", "fields": [
                  {"name": "note", "type": "reference", "collection": "notes", "on_delete": "set_null"}],
                "create_rule": "", "view_rule": "", "update_rule": "@request.data.note = note"}"#,
        );
        let note = scene.ada.created("notes", r#"{"title": "a"}"#);
        let link = scene.ada.created("links", &format!(r#"{{"note": "{note}"}}"#));
        scene.ada.delete("notes", &note).answer();
        assert!(scene.ada.view("links", &link).json()["note"].is_null());
    }

    #[pg_test]
    fn a_changed_rule_takes_effect_at_once_and_removes_the_old_one() {
        let (scene, id) = with_immutable_stars();
        scene.rules("notes", r#"{"update_rule": ""}"#);
        scene.ada.patch("notes", &id, r#"{"stars": 2}"#).answer();
        scene.rules("notes", r#"{"update_rule": null}"#);
        scene.ada.patch("notes", &id, r#"{"stars": 3}"#).refused("42501");
        ask("select count(*) from pg_policy where polrelid = 'snackbase.col_notes'::regclass and polname = 'update'")
            .says("0");
        ask("select count(*) from pg_trigger where tgrelid = 'snackbase.col_notes'::regclass and tgname = 'zz_update_rule'")
            .says("0");
    }

    #[pg_test]
    fn a_rule_that_does_not_compile_changes_nothing() {
        let scene = Scene::with_notes();
        let change = |changes: &str| {
            scene.root.ask(
                "superadmin",
                &format!("select snackbase.collection_rules_change('notes', $j${changes}$j$)"),
            )
        };
        let refusal = change(r#"{"list_rule": "nosuch = 1", "view_rule": null}"#).refused("22023");
        assert_eq!(refusal.message.split(':').next(), Some("Invalid list_rule"));
        let error = &refusal.json()["errors"][0];
        assert_eq!(
            (
                error["code"].as_str(),
                error["position"].as_i64(),
                error["length"].as_i64(),
                error["rule_key"].as_str()
            ),
            (Some("unknown_field"), Some(0), Some(6), Some("list_rule"))
        );
        change(r#"{"update_rule": "   "}"#).refused("22023");
        change(r#"{"delete_rule": "title = "}"#).refused("22023");
        change(r#"{"list_fields": ["title", "nosuch"]}"#).refused("23514");
        change(r#"{"nosuch_rule": ""}"#).refused("22P02");
        scene.ada.created("notes", r#"{"title": "a"}"#);
        assert_eq!(scene.ada.total("notes", ""), 1);
        touched(&scene.ada, "view").says("1");
    }

    #[pg_test]
    fn a_rule_cannot_smuggle_sql() {
        let scene = Scene::with_notes();
        scene.ada.created("notes", r#"{"title": "a"}"#);
        for value in [
            "x' or true --",
            r"\\' or true --",
            r#"x\" || true || \""#,
            "$text) or true --",
            "%",
            "_",
            "é' or '1'='1",
        ] {
            let rule = serde_json::json!({"list_rule": format!("title = \"{value}\"")});
            scene.rules("notes", &rule.to_string());
            assert_eq!(scene.ada.total("notes", ""), 0, "{value}");
        }
        scene.ada.created("notes", r#"{"title": "it's"}"#);
        scene.rules("notes", r#"{"list_rule": "title = \"it's\""}"#);
        assert_eq!(scene.ada.total("notes", ""), 1);
    }

    #[pg_test]
    fn a_login_with_several_operation_roles_passes_what_one_of_them_admits() {
        let scene = Scene::with_notes();
        scene.ada.created("notes", r#"{"title": "a", "stars": 0}"#);
        scene.rules("notes", r#"{"list_rule": "stars > 0", "delete_rule": null}"#);
        run(&format!(
            "create role tests_service login; grant snackbase_list, snackbase_delete to tests_service;
             alter role tests_service set snackbase.account_id = '{}';
             alter role tests_service set snackbase.auth_method = 'direct_sql'",
            scene.ada.account
        ))
        .answer();
        run_as("tests_service", "delete from snackbase.col_notes").says("0");
        // Who may delete must see which rows there are; that is policy `target`. As snackbase_list alone: none.
        ask_as("tests_service", "select count(id) from snackbase.col_notes").says("1");
        ask_as(
            "tests_service",
            "select set_config('role', 'snackbase_list', true)",
        )
        .says("snackbase_list");
        run_as(
            "tests_service",
            "set local role snackbase_list; do $$ begin
            assert (select count(id) = 0 from snackbase.col_notes); end $$",
        )
        .answer();
    }

    #[pg_test]
    fn a_uuid_in_a_rule_is_compared_as_a_uuid_and_uses_an_index() {
        let scene = Scene::with_notes();
        scene.collection(
            r#"{"name": "links", "list_rule": "", "fields": [
                  {"name": "note", "type": "reference", "collection": "notes", "on_delete": "cascade"}]}"#,
        );
        let note = scene.ada.created("notes", r#"{"title": "a"}"#);
        run(&format!(
            "insert into snackbase.col_notes (account_id, title) select '{0}', 'x' from generate_series(1, 2000);
             insert into snackbase.col_links (account_id, note) select account_id, id from snackbase.col_notes",
            scene.ada.account
        ))
        .answer();
        run("analyze snackbase.col_links, snackbase.col_notes").answer();
        assert_eq!(scene.ada.total("links", &format!(r#"note = "{note}""#)), 1);
        assert_eq!(scene.ada.total("links", r#"note = "no uuid""#), 0);
        assert_eq!(scene.ada.total("links", r#"note != "no uuid""#), 2001);
        scene.rules("links", &format!(r#"{{"list_rule": "note = \"{note}\""}}"#));
        let plan = scene
            .ada
            .ask("list", "explain (costs off) select id from snackbase.col_links")
            .answer();
        assert!(
            plan.contains("col_links$note$idx") && plan.contains(&format!("note = '{note}'::uuid")),
            "{plan}"
        );
        assert_eq!(scene.ada.total("links", ""), 1);
    }
}
