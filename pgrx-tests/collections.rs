//! Collections: defining, changing and dropping them; definition and table cannot drift apart.

#[pgrx::pg_schema]
mod tests {
    use pgrx::prelude::*;
    use serde_json::json;

    use crate::tests::scene::{Scene, ask, run};

    #[pg_test]
    fn a_definition_becomes_a_table_a_rule_row_and_a_view() {
        let scene = Scene::new();
        let answer = scene
            .define(
                r#"{"name": "Blog_Posts", "label": "ignored",
                    "fields": [{"name": "title", "type": "TEXT", "required": true, "options": {"a": [1]}, "nonsense": 1}]}"#,
            )
            .json();
        assert_eq!(answer["name"], "Blog_Posts");
        assert_eq!(answer["table_name"], "col_blog_posts");
        assert_eq!(
            answer["schema"],
            json!([{"name": "title", "type": "text", "required": true, "default": null, "unique": false,
                    "options": {"a": [1]}, "collection": null, "on_delete": null, "pii": false, "mask_type": null,
                    "encrypted": false, "expression": null, "return_type": null}])
        );
        let rules = scene
            .root
            .ask(
                "superadmin",
                "select snackbase.collection_rules_view('Blog_Posts')",
            )
            .json();
        assert_eq!(rules["collection_id"], answer["id"]);
        assert!(rules["list_rule"].is_null());
        assert_eq!(rules["list_fields"], "*");
        ask("select relkind::text from pg_class where oid = 'snackbase_bi.blog_posts'::regclass").says("v");
        // a collection is found by id and by exact name
        for name in [answer["id"].as_str().expect("an id"), "Blog_Posts"] {
            let seen = scene
                .root
                .ask(
                    "superadmin",
                    &format!("select snackbase.collection_view('{name}')"),
                )
                .json();
            assert_eq!(seen, answer);
        }
        scene
            .root
            .ask("superadmin", "select snackbase.collection_view('blog_posts')")
            .refused("P0002")
            .saying("Collection 'blog_posts' not found");
    }

    #[pg_test]
    fn collections_are_for_superadmins() {
        let scene = Scene::with_notes();
        for statement in [
            r#"select snackbase.collection_define('{"name":"mine","fields":[{"name":"a","type":"text"}]}')"#,
            r#"select snackbase.collection_change('notes', '{"list_rule": ""}')"#,
            r#"select snackbase.collection_rules_change('notes', '{"list_rule": ""}')"#,
            "select snackbase.collection_drop('notes')",
            "select snackbase._bi_view_drop('notes')",
            "select snackbase.collection_view('notes')",
            "select snackbase.collection_rules_view('notes')",
            "select snackbase.collection_list(null, null, null, null, null)",
            "select snackbase.collection_names()",
        ] {
            for operation in ["list", "create", "update", "delete", "member"] {
                scene.ada.ask(operation, statement).refused("42501");
            }
            scene.ada.ask("superadmin", statement).refused("42501");
        }
    }

    #[pg_test]
    fn the_definers_check_the_caller_themselves() {
        let scene = Scene::with_notes();
        // The gateway may name these functions; the functions look at the caller.
        for statement in [
            r#"select snackbase.collection_define('{"name":"mine","fields":[{"name":"a","type":"text"}]}')"#,
            r#"select snackbase.collection_rules_change('notes', '{"list_rule": null}')"#,
        ] {
            scene
                .ada
                .ask("auth", statement)
                .refused("42501")
                .saying("Superadmin access required");
            scene.visitor.ask("auth", statement).refused("42501");
        }
        scene
            .ada
            .ask("auth", "select snackbase.collection_drop('notes')")
            .refused("42501");
    }

    #[pg_test]
    fn lists_of_collections_count_and_page() {
        let scene = Scene::with_notes();
        scene.collection(r#"{"name": "alpha", "fields": [{"name": "a", "type": "text"}]}"#);
        scene.ada.created("notes", "{}");
        scene.bob.created("notes", "{}");
        let list = |arguments: &str| {
            scene.root.ask(
                "superadmin",
                &format!("select snackbase.collection_list({arguments})"),
            )
        };
        let all = list("null, null, 'name', 'asc', null").json();
        assert_eq!(
            (
                &all["total"],
                &all["page"],
                &all["page_size"],
                &all["total_pages"]
            ),
            (&json!(2), &json!(1), &json!(25), &json!(1))
        );
        let notes = &all["items"][1];
        assert_eq!(
            (&notes["name"], &notes["table_name"]),
            (&json!("notes"), &json!("col_notes"))
        );
        for (key, value) in [
            ("fields_count", json!(2)),
            ("field_count", json!(2)),
            ("records_count", json!(2)),
            ("record_count", json!(2)),
            ("has_public_access", json!(true)),
        ] {
            assert_eq!(notes[key], value, "{key}");
        }
        assert_eq!(all["items"][0]["has_public_access"], false);
        let page = list("2, 1, 'name', 'asc', null").json();
        assert_eq!(
            (&page["items"][0]["name"], &page["total_pages"]),
            (&json!("notes"), &json!(2))
        );
        assert_eq!(list("null, null, null, null, 'OTE'").json()["total"], 1);
        assert_eq!(list("null, null, null, null, '%'").json()["total"], 0);
        assert_eq!(
            list("null, null, 'password; drop', 'sideways', null").json()["total"],
            2
        );
        list("0, 1, null, null, null").refused("22023");
        list("1, 101, null, null, null").refused("22023");
        assert_eq!(
            scene
                .root
                .ask("superadmin", "select snackbase.collection_names()")
                .json(),
            json!({"names": ["alpha", "notes"], "total": 2})
        );
    }

    #[pg_test]
    fn a_name_that_differs_by_case_is_taken() {
        let scene = Scene::with_notes();
        for name in ["notes", "Notes", "NOTES"] {
            let refusal = scene
                .define(&format!(
                    r#"{{"name": "{name}", "fields": [{{"name": "a", "type": "text"}}]}}"#
                ))
                .refused("23505");
            assert_eq!(refusal.json()[0]["field"], "name");
        }
    }

    #[pg_test]
    fn names_may_be_as_long_as_postgres_allows() {
        let scene = Scene::new();
        let (name, field) = ("c".repeat(59), "f".repeat(63));
        scene.collection(&format!(
            r#"{{"name": "{name}", "view_rule": "", "create_rule": "", "fields": [
                {{"name": "{field}", "type": "text", "unique": true}},
                {{"name": "{}x", "type": "text", "unique": true, "options": {{"index": true}}}},
                {{"name": "{}y", "type": "reference", "collection": "{name}", "on_delete": "cascade"}}]}}"#,
            "f".repeat(62),
            "f".repeat(62)
        ));
        let body = format!(r#"{{"{field}": "once"}}"#);
        scene.ada.create(&name, &body).answer();
        let refusal = scene.ada.create(&name, &body).refused("23514");
        assert_eq!(refusal.problems(), [format!("{field} not_unique")]);
        ask(&format!("select to_regclass('snackbase_bi.{name}') is not null")).says("true");
        let refusal = scene
            .define(&format!(
                r#"{{"name": "{}", "fields": [{{"name": "a", "type": "text"}}]}}"#,
                "c".repeat(60)
            ))
            .refused("23514");
        assert_eq!(refusal.problems(), ["name name_too_long"]);
    }

    #[pg_test]
    fn words_of_sql_are_good_names() {
        let scene = Scene::new();
        scene.collection(
            r#"{"name": "select", "view_rule": "", "create_rule": "", "list_rule": "table = \"x\"", "fields": [
                {"name": "table", "type": "text", "default": "x"}, {"name": "user", "type": "text"},
                {"name": "Order", "type": "number", "unique": true}, {"name": "from", "type": "user"},
                {"name": "current_user", "type": "text"}, {"name": "col_select", "type": "text"},
                {"name": "old", "type": "text"}, {"name": "new", "type": "text"}]}"#,
        );
        let id = scene.ada.created(
            "select",
            r#"{"user": "u", "Order": 1, "current_user": "me", "old": "o"}"#,
        );
        assert_eq!(
            scene
                .ada
                .total("select", r#"user = "u" && Order = 1 && current_user = "me""#),
            1
        );
        assert_eq!(scene.ada.view("select", &id).json()["table"], "x");
        scene
            .ada
            .ask("list", r#"select "current_user" from snackbase.col_select"#)
            .says("me");
    }

    #[pg_test]
    fn malformed_definitions_are_refused() {
        let scene = Scene::new();
        let field = r#"{"name": "a", "type": "text"}"#;
        let shape = [
            ("[]", "body invalid_type"),
            (&format!(r#"{{"fields": [{field}]}}"#), "name name_required"),
            (
                &format!(r#"{{"name": "ab", "fields": [{field}]}}"#),
                "name name_too_short",
            ),
            (
                &format!(r#"{{"name": 5, "fields": [{field}]}}"#),
                "name invalid_type",
            ),
            (r#"{"name": "abc", "fields": []}"#, "schema schema_empty"),
            (r#"{"name": "abc"}"#, "schema schema_empty"),
            (
                r#"{"name": "abc", "fields": [{"name": "a", "type": "text", "mask_type": "full"}]}"#,
                "schema[0].mask_type mask_type_requires_pii",
            ),
        ];
        for (definition, problem) in shape {
            let refusal = scene.define(definition).refused("22P02");
            assert_eq!(refusal.problems(), [problem], "{definition}");
        }
        let semantic = [
            (format!(r#"{{"name": "1abc", "fields": [{field}]}}"#), "name name_invalid_format"),
            (format!(r#"{{"name": "a-c", "fields": [{field}]}}"#), "name name_invalid_format"),
            (format!(r#"{{"name": "abc\n", "fields": [{field}]}}"#), "name name_invalid_format"),
            (format!(r#"{{"name": "abc", "fields": [{field}, {{"name": "A", "type": "text"}}]}}"#), "schema[1].name field_name_duplicate"),
            (r#"{"name": "abc", "fields": [{"name": "a", "type": "blob"}]}"#.into(), "schema[0].type field_type_invalid"),
            (r#"{"name": "abc", "fields": [{"name": "r", "type": "reference", "collection": "nosuch", "on_delete": "cascade"}]}"#.into(),
             "schema[0].collection reference_collection_not_found"),
            (r#"{"name": "abc", "fields": [{"name": "r", "type": "reference", "on_delete": "cascade"}]}"#.into(),
             "schema[0].collection reference_collection_required"),
            (r#"{"name": "abc", "fields": [{"name": "r", "type": "reference", "collection": "abc"}]}"#.into(),
             "schema[0].on_delete reference_on_delete_required"),
            (r#"{"name": "abc", "fields": [{"name": "r", "type": "reference", "collection": "abc", "on_delete": "set_null", "required": true}]}"#.into(),
             "schema[0].on_delete set_null_on_required"),
            (r#"{"name": "abc", "fields": [{"name": "u", "type": "user", "on_delete": "cascade"}]}"#.into(),
             "schema[0].on_delete user_on_delete_cascade_forbidden"),
            (r#"{"name": "abc", "fields": [{"name": "c", "type": "computed", "expression": "nosuch", "return_type": "text"}]}"#.into(),
             "schema[0].expression computed_field_expression_error"),
        ];
        for (definition, problem) in semantic {
            let refusal = scene.define(&definition).refused("23514");
            assert_eq!(refusal.problems(), [problem], "{definition}");
            assert!(
                refusal.message.starts_with("Validation failed: "),
                "{}",
                refusal.message
            );
        }
        ask("select count(*) from snackbase.collections").says("0");
    }

    #[pg_test]
    fn reserved_field_names_are_refused_in_any_case() {
        let scene = Scene::new();
        for name in [
            "id",
            "account_id",
            "created_at",
            "updated_at",
            "created_by",
            "updated_by",
            "ID",
            "Created_At",
            "account_name",
            "in",
            "is",
            "true",
            "false",
            "null",
            "NULL",
            "tableoid",
            "xmin",
            "cmin",
            "xmax",
            "cmax",
            "ctid",
        ] {
            let refusal = scene
                .define(&format!(
                    r#"{{"name": "abc", "fields": [{{"name": "{name}", "type": "text"}}]}}"#
                ))
                .refused("23514");
            assert_eq!(
                refusal.problems(),
                ["schema[0].name field_name_reserved"],
                "{name}"
            );
        }
    }

    #[pg_test]
    fn a_failing_definition_leaves_nothing_behind() {
        let scene = Scene::new();
        let left = "select (select count(*) from snackbase.collections) + (select count(*) from snackbase.collection_rules)
                         + (select count(*) from pg_class where relname like '%broken%')
                         + (select count(*) from snackbase.audit_change where table_name in ('collections', 'collection_rules'))";
        let before = ask(left).answer();
        scene
            .define(
                r#"{"name": "broken", "fields": [{"name": "a", "type": "text"}], "list_rule": "nosuch = 1"}"#,
            )
            .refused("22023");
        scene
            .define(r#"{"name": "broken", "fields": [{"name": "a", "type": "text"}], "list_rule": "  "}"#)
            .refused("22023");
        scene
            .define(r#"{"name": "broken", "fields": [{"name": "a", "type": "text"}], "list_fields": ["b"]}"#)
            .refused("23514");
        ask(left).says(&before);
        // the failure has closed the door for foreign DDL again
        ask("select snackbase._own_ddl()").says("false");
        scene.collection(r#"{"name": "broken", "fields": [{"name": "a", "type": "text"}]}"#);
    }

    #[pg_test]
    fn a_table_without_a_collection_is_not_adopted() {
        let scene = Scene::new();
        run("create table snackbase.col_stray (a text)").answer();
        let refusal = scene
            .define(r#"{"name": "stray", "fields": [{"name": "a", "type": "text"}]}"#)
            .refused("23505");
        assert_eq!(refusal.json()[0]["field"], "name");
    }

    #[pg_test]
    fn a_table_with_the_very_columns_is_adopted_with_its_records() {
        let scene = Scene::with_notes();
        let definition = r#"{"name": "stray", "create_rule": "", "view_rule": "", "delete_rule": "", "fields": [
            {"name": "a", "type": "text", "required": true, "default": "it's", "unique": true},
            {"name": "note", "type": "reference", "collection": "notes", "on_delete": "cascade"}]}"#;
        scene.collection(definition);
        let note = scene.ada.created("notes", "{}");
        let record = scene
            .ada
            .created("stray", &format!(r#"{{"a": "x", "note": "{note}"}}"#));
        run("delete from snackbase.collections where name = 'stray'").answer();
        for (old, new) in [
            (r#""required": true, "#, ""),
            ("it's", "its"),
            (r#""type": "text""#, r#""type": "number""#),
            (r#"{"name": "a","#, r#"{"name": "b","#),
            (
                r#""fields": ["#,
                r#""fields": [{"name": "more", "type": "text"},"#,
            ),
        ] {
            let other = definition.replace(old, new).replace(
                r#""number", "required": true, "default": "it's""#,
                r#""number", "required": true, "default": 1"#,
            );
            let refusal = scene.define(&other).refused("23505");
            assert_eq!(refusal.json()[0]["field"], "name", "{other}");
        }
        ask("select count(*) from pg_class where relname = '$pattern'").says("0");
        scene.collection(definition);
        assert_eq!(scene.ada.view("stray", &record).json()["a"], "x");
        scene.ada.create("stray", r#"{"a": "x"}"#).refused("23514");
        scene.ada.delete("stray", &record).answer();
        ask("select count(*) from snackbase.audit_verify()").says("0");
        // nine policies, three triggers and a guard, as every collection has
        ask("select (select count(*) from pg_policy where polrelid = r.oid) || ' ' || (select count(*) from pg_trigger where tgrelid = r.oid and not tgisinternal)
                    || ' ' || (select count(*) from pg_constraint where conrelid = r.oid and contype <> 'n')
               from pg_class r where relname = 'col_stray'")
        .says("7 5 4");
    }

    #[pg_test]
    fn a_table_with_dangling_references_is_not_adopted() {
        let scene = Scene::with_notes();
        let definition = r#"{"name": "stray", "create_rule": "", "fields": [{"name": "note", "type": "reference", "collection": "notes", "on_delete": "cascade"}]}"#;
        scene.collection(definition);
        let note = scene.ada.created("notes", "{}");
        scene.ada.created("stray", &format!(r#"{{"note": "{note}"}}"#));
        run(
            "delete from snackbase.collections where name = 'stray'; set session_replication_role = replica;
             delete from snackbase.col_notes; set session_replication_role = origin",
        )
        .answer();
        let refusal = scene.define(definition).refused("23514");
        assert_eq!(refusal.problems(), ["schema[0] reference_violated"]);
    }

    #[pg_test]
    fn a_collection_may_come_again_after_it_was_dropped() {
        let scene = Scene::with_notes();
        let note = scene.ada.created("notes", r#"{"title": "first"}"#);
        scene.bob.created("notes", "{}");
        let dropped = scene
            .root
            .ask("superadmin", "select snackbase.collection_drop('notes')")
            .json();
        assert_eq!(dropped["records_deleted"], 2);
        scene.collection(r#"{"name": "Notes", "list_rule": "", "create_rule": "", "fields": [{"name": "title", "type": "number", "default": 5}]}"#);
        ask("select count(*) from snackbase.audit_verify()").says("0");
        assert_eq!(scene.ada.total("Notes", ""), 0);
        scene.ada.created("Notes", "{}");
        // even with the id of a record of the old one
        run(&format!(
            "insert into snackbase.col_notes (id, account_id) values ('{note}', '{}')",
            scene.ada.account
        ))
        .answer();
        ask("select count(*) from snackbase.audit_verify()").says("0");
        ask(&format!("select string_agg(operation || record_version, ' ' order by id) from snackbase.audit_change where record_id = '{note}'"))
            .says("CREATE1 CREATE2");
        run("set session_replication_role = replica; delete from snackbase.col_notes; set session_replication_role = origin").answer();
        ask("select string_agg(kind, ' ') from snackbase.audit_verify()").says("live live");
    }

    #[pg_test]
    fn a_collection_that_views_are_built_on_cannot_be_dropped() {
        let scene = Scene::with_notes();
        run("create view public.report as select title from snackbase_bi.notes").answer();
        let refusal = scene
            .root
            .ask("superadmin", "select snackbase.collection_drop('notes')")
            .refused("2BP01");
        assert!(refusal.message.contains("report"), "{}", refusal.message);
        assert_eq!(refusal.problems().len(), 1);
        run("drop view public.report").answer();
        scene
            .root
            .ask("superadmin", "select snackbase.collection_drop('notes')")
            .answer();
    }

    #[pg_test]
    fn big_tables_are_counted_by_estimate() {
        let scene = Scene::with_notes();
        scene.ada.created("notes", "{}");
        let count = || {
            scene
                .root
                .ask(
                    "superadmin",
                    "select snackbase.collection_list(null, null, null, null, null)",
                )
                .json()["items"][0]["records_count"]
                .clone()
        };
        assert_eq!(count(), 1);
        for (estimate, expected) in [(-1, 1), (0, 1), (100_000, 1), (250_000, 250_000)] {
            run(&format!(
                "update pg_class set reltuples = {estimate} where relname = 'col_notes'"
            ))
            .answer();
            assert_eq!(count(), expected, "{estimate}");
        }
    }

    #[pg_test]
    fn indexes_begin_with_the_account() {
        let scene = Scene::with_notes();
        scene.collection(
            r#"{"name": "indexed", "fields": [
                {"name": "code", "type": "text", "unique": true}, {"name": "year", "type": "number", "options": {"index": true}},
                {"name": "note", "type": "reference", "collection": "notes", "on_delete": "cascade"}]}"#,
        );
        ask("select string_agg(pg_get_indexdef(indexrelid), E'\\n' order by indexrelid::regclass::text)
               from pg_index where indrelid = 'snackbase.col_indexed'::regclass")
        .says(
            "CREATE UNIQUE INDEX \"col_indexed$code$key\" ON snackbase.col_indexed USING btree (account_id, code)\n\
             CREATE INDEX \"col_indexed$created_at$idx\" ON snackbase.col_indexed USING btree (account_id, created_at DESC, id DESC)\n\
             CREATE INDEX \"col_indexed$note$idx\" ON snackbase.col_indexed USING btree (account_id, note)\n\
             CREATE INDEX \"col_indexed$year$idx\" ON snackbase.col_indexed USING btree (account_id, year)\n\
             CREATE UNIQUE INDEX col_indexed_pkey ON snackbase.col_indexed USING btree (id, account_id)",
        );
    }

    #[pg_test]
    fn null_values_are_distinct_for_a_unique_field() {
        let scene = Scene::new();
        scene.collection(
            r#"{"name": "codes", "create_rule": "", "fields": [{"name": "code", "type": "text", "unique": true}]}"#,
        );
        scene.ada.create("codes", "{}").answer();
        scene.ada.create("codes", "{}").answer();
    }
}
