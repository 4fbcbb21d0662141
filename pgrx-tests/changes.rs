//! Changes of a collection that has records.

#[pgrx::pg_schema]
mod tests {
    use pgrx::prelude::*;
    use serde_json::json;

    use crate::tests::scene::{Scene, ask};

    /// `things` with one text field `a`, and one record of each account.
    fn with_things() -> Scene {
        let scene = Scene::new();
        scene.collection(
            r#"{"name": "things", "list_rule": "", "view_rule": "", "create_rule": "", "update_rule": "",
                "fields": [{"name": "a", "type": "text"}]}"#,
        );
        scene.ada.created("things", r#"{"a": "x"}"#);
        scene.bob.created("things", r#"{"a": "x"}"#);
        scene
    }

    #[pg_test]
    fn an_added_field_gives_its_default_to_the_rows_that_exist() {
        let scene = with_things();
        let changed = scene
            .change(
                "things",
                r#"{"schema": [{"name": "a", "type": "text"},
                    {"name": "n", "type": "number", "default": 7, "required": true, "options": {"index": true}},
                    {"name": "parent", "type": "reference", "collection": "things", "on_delete": "cascade"},
                    {"name": "twice", "type": "computed", "expression": "n * 2", "return_type": "number"}]}"#,
            )
            .json();
        assert_eq!(changed["schema"].as_array().map(Vec::len), Some(4));
        let record = &scene.ada.list("things", "").json()["items"][0];
        assert_eq!(
            (&record["n"], &record["parent"], &record["twice"]),
            (&json!(7), &json!(null), &json!(14))
        );
        ask("select count(*) from pg_index where indrelid = 'snackbase.col_things'::regclass").says("4");
        ask("select n from snackbase_bi.things limit 0").says("");
        ask("select count(*) from snackbase.audit_verify()").says("0");
    }

    #[pg_test]
    fn a_required_field_needs_a_default_or_an_empty_table() {
        let scene = with_things();
        let add =
            r#"{"schema": [{"name": "a", "type": "text"}, {"name": "b", "type": "text", "required": true}]}"#;
        let refusal = scene.change("things", add).refused("23514");
        assert_eq!(refusal.problems(), ["schema[1] required_without_default"]);
        assert!(refusal.message.contains("'b': 2 "), "{}", refusal.message);
        scene
            .root
            .run("superadmin", "delete from snackbase.col_things")
            .says("2");
        scene.change("things", add).answer();
        let refusal = scene.ada.create("things", "{}").refused("23514");
        assert_eq!(refusal.problems(), ["b required_missing"]);
    }

    #[pg_test]
    fn required_counts_the_nulls_of_all_accounts() {
        let scene = with_things();
        scene.ada.created("things", "{}");
        scene.bob.created("things", "{}");
        scene.bob.created("things", "{}");
        let require = r#"{"fields": [{"name": "a", "type": "text", "required": true}]}"#;
        let refusal = scene.change("things", require).refused("23514");
        assert_eq!(refusal.problems(), ["schema[0] required_null"]);
        assert!(refusal.message.contains("'a': 3 "), "{}", refusal.message);
        ask("select attnotnull from pg_attribute where attrelid = 'snackbase.col_things'::regclass and attname = 'a'")
            .says("false");
        scene
            .root
            .run("superadmin", "delete from snackbase.col_things where a is null")
            .says("3");
        scene.change("things", require).answer();
        scene
            .ada
            .run("create", "insert into snackbase.col_things default values")
            .refused("23502");
        scene
            .change("things", r#"{"fields": [{"name": "a", "type": "text"}]}"#)
            .answer();
        scene
            .ada
            .run("create", "insert into snackbase.col_things default values")
            .says("1");
    }

    #[pg_test]
    fn unique_counts_duplicates_within_an_account() {
        let scene = with_things();
        let unique = r#"{"fields": [{"name": "a", "type": "text", "unique": true}]}"#;
        // "x" stands once in each account: no duplicate
        scene.change("things", unique).answer();
        scene
            .change("things", r#"{"fields": [{"name": "a", "type": "text"}]}"#)
            .answer();
        scene.ada.created("things", r#"{"a": "x"}"#);
        let refusal = scene.change("things", unique).refused("23514");
        assert_eq!(refusal.problems(), ["schema[0] unique_violated"]);
        assert!(refusal.message.contains("'a': 2 "), "{}", refusal.message);
    }

    #[pg_test]
    fn a_changed_default_is_for_new_rows() {
        let scene = with_things();
        let change = |default: &str| {
            scene
                .change(
                    "things",
                    &format!(r#"{{"fields": [{{"name": "a", "type": "text", "default": {default}}}]}}"#),
                )
                .answer()
        };
        change(r#""one""#);
        assert_eq!(scene.ada.create("things", "{}").json()["a"], "one");
        change(r#""two""#);
        scene
            .ada
            .ask(
                "create",
                "insert into snackbase.col_things default values returning a",
            )
            .says("two");
        change("null");
        scene
            .ada
            .ask(
                "create",
                "insert into snackbase.col_things default values returning a",
            )
            .says("null");
        assert_eq!(scene.ada.total("things", r#"a = "x""#), 1);
    }

    #[pg_test]
    fn a_changed_delete_action_replaces_the_key() {
        let scene = with_things();
        let define = |action: &str| {
            format!(
                r#"{{"name": "parts", "view_rule": "", "create_rule": "",
                    "fields": [{{"name": "thing", "type": "reference", "collection": "things", "on_delete": "{action}"}}]}}"#
            )
        };
        scene.collection(&define("restrict"));
        let thing = scene.ada.created("things", "{}");
        let part = scene.ada.created("parts", &format!(r#"{{"thing": "{thing}"}}"#));
        scene.root.delete("things", &thing).refused("23503");
        scene.change("parts", &define("set_null")).answer();
        scene.root.delete("things", &thing).answer();
        assert!(scene.ada.view("parts", &part).json()["thing"].is_null());
    }

    #[pg_test]
    fn fields_are_neither_removed_nor_renamed_nor_retyped() {
        let scene = with_things();
        for (fields, code, word) in [
            (
                r#"[{"name": "b", "type": "text"}]"#,
                "schema field_deletion_not_allowed",
                "deletion",
            ),
            (
                r#"[{"name": "A", "type": "text"}]"#,
                "schema field_deletion_not_allowed",
                "deletion",
            ),
            (
                r#"[{"name": "a", "type": "number"}]"#,
                "schema[0].type type_change_not_allowed",
                "type change",
            ),
        ] {
            let refusal = scene
                .change("things", &format!(r#"{{"schema": {fields}}}"#))
                .refused("23514");
            assert_eq!(refusal.problems(), [code]);
            assert!(refusal.message.contains(word), "{}", refusal.message);
        }
        let refusal = scene
            .change("things", r#"{"name": "Things", "list_rule": ""}"#)
            .refused("23514");
        assert_eq!(refusal.problems(), ["name name_change_not_allowed"]);
        scene.change("things", "{}").refused("22P02");
        scene.change("nosuch", r#"{"list_rule": ""}"#).refused("P0002");
    }

    #[pg_test]
    fn a_change_that_breaks_a_rule_or_a_computed_field_is_refused() {
        let scene = with_things();
        scene
            .change(
                "things",
                r#"{"schema": [{"name": "a", "type": "text"}, {"name": "b", "type": "computed", "expression": "upper(a)", "return_type": "text"}],
                    "list_rule": "b = \"X\""}"#,
            )
            .answer();
        assert_eq!(scene.ada.total("things", ""), 1);
        scene
            .change(
                "things",
                r#"{"schema": [{"name": "a", "type": "text"}, {"name": "b", "type": "computed", "expression": "a = \"x\"", "return_type": "boolean"}]}"#,
            )
            .refused("22023");
        scene
            .change(
                "things",
                r#"{"schema": [{"name": "a", "type": "text"}, {"name": "b", "type": "computed", "expression": "nosuch", "return_type": "text"}]}"#,
            )
            .refused("23514");
        assert_eq!(scene.ada.total("things", ""), 1);
    }

    #[pg_test]
    fn rules_may_come_with_the_fields_or_alone() {
        let scene = with_things();
        scene
            .change("things", r#"{"list_rule": null, "list_fields": ["a"]}"#)
            .answer();
        scene.ada.list("things", "").refused("42501");
        scene
            .change(
                "things",
                r#"{"fields": [{"name": "a", "type": "text"}, {"name": "b", "type": "text"}], "list_rule": "b is null"}"#,
            )
            .answer();
        let page = scene.ada.list("things", "").json();
        assert_eq!(page["total"], 1);
        assert!(page["items"][0].get("b").is_none());
    }

    #[pg_test]
    fn order_and_metadata_change_without_touching_the_table() {
        let scene = with_things();
        scene
            .change("things", r#"{"fields": [{"name": "b", "type": "text"}, {"name": "a", "type": "text", "pii": true, "options": ["x"]}]}"#)
            .answer();
        let record = scene.ada.list("things", "").json()["items"][0].clone();
        let keys: Vec<&String> = record.as_object().expect("an object").keys().collect();
        assert_eq!(keys[2..4], ["b", "a"]);
        assert_eq!(record["a"], "*");
    }

    #[pg_test]
    fn a_prepared_request_follows_a_changed_definition() {
        let scene = with_things();
        // the same session has plans and the definition in its caches
        scene.ada.list("things", "").answer();
        scene
            .change("things", r#"{"fields": [{"name": "a", "type": "text"}, {"name": "z", "type": "boolean", "default": true}]}"#)
            .answer();
        assert_eq!(scene.ada.list("things", "z = true").json()["items"][0]["z"], true);
        scene
            .root
            .ask("superadmin", "select snackbase.collection_drop('things')")
            .answer();
        scene.ada.list("things", "").refused("P0002");
        scene.collection(
            r#"{"name": "things", "list_rule": "", "fields": [{"name": "q", "type": "number"}]}"#,
        );
        assert_eq!(scene.ada.total("things", "q is null"), 0);
    }

    #[pg_test]
    fn a_refusal_counts_records_and_accounts_of_every_problem() {
        let scene = with_things();
        scene.ada.created("things", r#"{"a": "x"}"#);
        scene.bob.created("things", "{}");
        let refusal = scene
            .change(
                "things",
                r#"{"fields": [{"name": "a", "type": "text", "required": true, "unique": true}, {"name": "b", "type": "text", "required": true}]}"#,
            )
            .refused("23514");
        assert_eq!(
            refusal.problems(),
            [
                "schema[0] required_null",
                "schema[0] unique_violated",
                "schema[1] required_without_default"
            ]
        );
        let counts: Vec<_> = refusal
            .json()
            .as_array()
            .expect("a list")
            .iter()
            .map(|problem| json!([problem["records"], problem["accounts"]]))
            .collect();
        assert_eq!(counts, [json!([1, 1]), json!([2, 1]), json!([4, 2])]);
        assert!(
            refusal
                .message
                .contains("'a': 1 record in 1 account have no value"),
            "{}",
            refusal.message
        );
        ask("select revision from snackbase.collections where name = 'things'").says("1");
    }

    #[pg_test]
    fn a_reference_to_another_collection_is_checked_by_somebody_who_sees_the_records() {
        // The foreign key itself is checked in the name of the owner, whom row security shows nothing.
        let scene = with_things();
        scene.collection(
            r#"{"name": "others", "create_rule": "", "fields": [{"name": "a", "type": "text"}]}"#,
        );
        let parts = |target: &str| {
            format!(
                r#"{{"name": "parts", "create_rule": "", "fields": [{{"name": "thing", "type": "reference", "collection": "{target}", "on_delete": "cascade"}}]}}"#
            )
        };
        scene.collection(&parts("things"));
        let thing = scene.ada.created("things", "{}");
        scene.ada.created("parts", &format!(r#"{{"thing": "{thing}"}}"#));
        let refusal = scene.change("parts", &parts("others")).refused("23514");
        assert_eq!(refusal.problems(), ["schema[0] reference_violated"]);
        assert_eq!(refusal.json()[0]["records"], 1);
        ask("select confrelid::regclass from pg_constraint where conname = 'col_parts$thing$fkey'")
            .says("snackbase.col_things");
        scene
            .root
            .run("superadmin", "update snackbase.col_parts set thing = null")
            .says("1");
        scene.change("parts", &parts("others")).answer();
        scene
            .ada
            .create("parts", &format!(r#"{{"thing": "{thing}"}}"#))
            .refused("23514");
        let other = scene.ada.created("others", "{}");
        scene.ada.created("parts", &format!(r#"{{"thing": "{other}"}}"#));
    }

    #[pg_test]
    fn a_new_reference_with_a_default_must_refer_to_something_in_every_account() {
        let scene = with_things();
        let thing = scene.ada.created("things", "{}");
        let add = format!(
            r#"{{"fields": [{{"name": "a", "type": "text"}}, {{"name": "up", "type": "reference", "collection": "things", "on_delete": "restrict", "default": "{thing}"}}]}}"#
        );
        let refusal = scene.change("things", &add).refused("23514");
        assert_eq!(refusal.problems(), ["schema[1] reference_violated"]);
        assert_eq!(
            json!([refusal.json()[0]["records"], refusal.json()[0]["accounts"]]),
            json!([1, 1])
        );
        ask("select count(*) from pg_attribute where attrelid = 'snackbase.col_things'::regclass and attname = 'up'").says("0");
    }

    #[pg_test]
    fn index_hints_make_and_drop_indexes() {
        let scene = with_things();
        let indexes = "select string_agg(pg_get_indexdef(indexrelid), '; ' order by indexrelid::regclass::text collate \"C\") from pg_index
                        where indrelid = 'snackbase.col_things'::regclass and indexrelid::regclass::text like '%$a$%'";
        let hint = |hint: &str| {
            scene.change(
                "things",
                &format!(
                    r#"{{"fields": [{{"name": "a", "type": "text", "options": {{"index": {hint}}}}}]}}"#
                ),
            )
        };
        hint("true").answer();
        ask(indexes)
            .says("CREATE INDEX \"col_things$a$idx\" ON snackbase.col_things USING btree (account_id, a)");
        hint(r#""prefix""#).answer();
        ask(indexes).says("CREATE INDEX \"col_things$a$prefix\" ON snackbase.col_things USING btree (account_id, a COLLATE \"C\")");
        for bad in [r#""btree""#, "1", "[]", r#"{"using": "gin"}"#] {
            let refusal = hint(bad).refused("23514");
            assert_eq!(
                refusal.problems(),
                ["schema[0].options.index index_invalid"],
                "{bad}"
            );
        }
        hint("false").answer();
        ask(indexes).says("null");
        for (kind, hint) in [("number", r#""prefix""#), ("json", "true"), ("file", "true")] {
            let refusal = scene
                .define(&format!(r#"{{"name": "bad", "fields": [{{"name": "a", "type": "{kind}", "options": {{"index": {hint}}}}}]}}"#))
                .refused("23514");
            assert_eq!(
                refusal.problems(),
                ["schema[0].options.index index_invalid"],
                "{kind}"
            );
        }
        ask("select count(*) from snackbase.audit_verify()").says("0");
    }

    #[pg_test]
    fn somebodys_view_does_not_hinder_a_change_that_adds() {
        let scene = with_things();
        crate::tests::scene::run(
            "create view public.report as select a, created_by from snackbase_bi.things",
        )
        .answer();
        crate::tests::scene::run(
            "create role tests_reader; grant select on snackbase_bi.things to tests_reader",
        )
        .answer();
        scene
            .change("things", r#"{"fields": [{"name": "n", "type": "number"}, {"name": "a", "type": "text"}], "list_rule": "n = 1"}"#)
            .answer();
        ask("select string_agg(attname, ' ' order by attnum) from pg_attribute where attrelid = 'snackbase_bi.things'::regclass and attnum > 0")
            .says("id account_id a created_at updated_at created_by updated_by n");
        ask("select has_table_privilege('tests_reader', 'snackbase_bi.things', 'select')").says("true");
        // a mask makes a text of a number: then the view would have to go
        crate::tests::scene::run("create view public.numbers as select n from snackbase_bi.things").answer();
        let refusal = scene
            .change("things", r#"{"fields": [{"name": "n", "type": "number", "pii": true}, {"name": "a", "type": "text"}]}"#)
            .refused("2BP01");
        assert!(refusal.message.contains("numbers"), "{}", refusal.message);
        let named: Vec<String> = refusal.problems();
        assert_eq!(named.len(), 2, "{named:?}");
        crate::tests::scene::run("drop view public.numbers, public.report").answer();
        scene
            .change("things", r#"{"fields": [{"name": "n", "type": "number", "pii": true}, {"name": "a", "type": "text"}]}"#)
            .answer();
    }

    #[pg_test]
    fn ids_are_found_in_any_case() {
        let scene = with_things();
        let id = ask("select upper(id::text) from snackbase.collections").answer();
        for statement in [
            format!("select snackbase.collection_view('{id}')"),
            format!("select snackbase.collection_rules_view('{id}')"),
            format!(r#"select snackbase.collection_change('{id}', '{{"list_rule": ""}}')"#),
            format!(r#"select snackbase.collection_rules_change('{id}', '{{"list_rule": ""}}')"#),
            format!("select snackbase.collection_drop('{id}')"),
        ] {
            scene.root.ask("superadmin", &statement).answer();
        }
    }

    #[pg_test]
    fn every_change_is_audited_and_counted() {
        let scene = with_things();
        scene
            .change(
                "things",
                r#"{"fields": [{"name": "a", "type": "text", "options": {"x": 1}}]}"#,
            )
            .answer();
        scene.rules("things", r#"{"list_rule": null}"#);
        ask("select revision from snackbase.collections where name = 'things'").says("3");
        ask(&format!(
            "select string_agg(distinct operation || ' ' || table_name, ', ')
               from snackbase.audit_change where user_id = '{}' and table_name like 'collection%'",
            scene.root.id
        ))
        .says("CREATE collection_rules, CREATE collections, UPDATE collection_rules, UPDATE collections");
    }
}
