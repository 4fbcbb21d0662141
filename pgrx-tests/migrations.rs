//! Changes that lose values: planned, confirmed, carried out as real DDL, and clean in the audit trail.

#[pgrx::pg_schema]
mod tests {
    use pgrx::prelude::*;
    use serde_json::{Value as Json, json};

    use crate::tests::scene::{Outcome, Scene, ask, quoted, run};

    fn call(scene: &Scene, function: &str, body: &Json) -> Outcome {
        scene.root.ask(
            "superadmin",
            &format!("select snackbase.{function}({})", quoted(&body.to_string())),
        )
    }

    fn generate(scene: &Scene, name: &str, fields: &Json) -> Outcome {
        call(
            scene,
            "migration_generate",
            &json!({"confirm": true, "collections": [{"name": name, "fields": fields}]}),
        )
    }

    #[track_caller]
    fn clean() {
        ask("select count(*) from snackbase.audit_verify()").says("0");
    }

    fn field(name: &str, kind: &str) -> Json {
        json!({"name": name, "type": kind})
    }

    /// `things` with a text `a`, a text `b`, and one record of each account; all rules public.
    fn with_things() -> Scene {
        let scene = Scene::new();
        scene.collection(
            r#"{"name": "things", "list_rule": "", "view_rule": "", "create_rule": "", "update_rule": "",
                "fields": [{"name": "a", "type": "text"}, {"name": "b", "type": "text"}]}"#,
        );
        scene.ada.created("things", r#"{"a": "1.50", "b": "x"}"#);
        scene.bob.created("things", r#"{"a": "2", "b": "y"}"#);
        scene
    }

    #[pg_test]
    fn a_plan_says_what_would_happen_and_changes_nothing() {
        let scene = with_things();
        let body = json!({"collections": [
            {"name": "THINGS", "schema": [{"name": "a", "type": "number"}, {"name": "c", "type": "date"}]},
            {"name": "fresh", "fields": [{"name": "t", "type": "reference", "collection": "Things", "on_delete": "cascade"}]}]});
        let plan = call(&scene, "migration_plan", &body).json();
        assert_eq!(
            plan,
            json!({
                "added": [{"collection": "things", "field": "c", "type": "date", "destructive": false},
                          {"collection": "fresh", "field": "t", "type": "reference", "destructive": false}],
                "removed": [{"collection": "things", "field": "b", "type": "text", "destructive": true}],
                "changed": [{"collection": "things", "field": "a", "from": {"type": "text"}, "to": {"type": "number"}, "destructive": true}]
            })
        );
        let refusal = call(&scene, "migration_generate", &body).refused("23000").json();
        assert_eq!(
            (&refusal["plan"], &refusal["error"]),
            (&plan, &json!("Confirmation required"))
        );
        ask("select string_agg(name, ' ') from snackbase.collections").says("things");
        let mut confirmed = body.clone();
        confirmed["confirm"] = json!(true);
        let done = call(&scene, "migration_generate", &confirmed).json();
        assert_eq!((&done["plan"], &done["applied"]), (&plan, &json!(true)));
        ask("select id from snackbase.migrations order by position desc limit 1")
            .says(done["revision"].as_str().expect("a revision"));
        let again = call(&scene, "migration_generate", &confirmed).json();
        assert_eq!(
            again,
            json!({"revision": null, "applied": false, "plan": {"added": [], "removed": [], "changed": []}})
        );
        // new collections are locked
        scene.ada.list("fresh", "").refused("42501");
        clean();
    }

    #[pg_test]
    fn bodies_that_are_no_plan_are_refused_with_their_place() {
        let scene = with_things();
        for (body, code, problem) in [
            (json!({}), "22P02", "collections missing"),
            (
                json!({"collections": [{"name": "ab", "fields": []}]}),
                "22P02",
                "collections[0].name name_too_short",
            ),
            (
                json!({"collections": [], "confirm": "yes"}),
                "22P02",
                "confirm invalid_type",
            ),
            (
                json!({"collections": [{"name": "fresh", "fields": [field("a", "text")]},
                    {"name": "other", "fields": [{"name": "r", "type": "reference", "collection": "nosuch", "on_delete": "cascade"}]}]}),
                "23514",
                "collections[1].schema[0].collection reference_collection_not_found",
            ),
            (
                json!({"collections": [{"name": "fresh", "fields": [{"name": "c", "type": "computed", "expression": "nosuch", "return_type": "text"}]}]}),
                "23514",
                "collections[0].schema[0].expression computed_field_expression_error",
            ),
        ] {
            let refusal = call(&scene, "migration_generate", &body).refused(code);
            assert_eq!(refusal.problems()[0], problem, "{body}");
        }
        ask("select count(*) from snackbase.collections").says("1");
        for person in [&scene.ada, &scene.visitor] {
            for function in ["migration_plan", "migration_generate", "collection_import"] {
                person
                    .ask(
                        "auth",
                        &format!("select snackbase.{function}('{{\"collections\": []}}')"),
                    )
                    .refused("42501");
            }
        }
    }

    #[pg_test]
    fn a_dropped_field_is_gone_everywhere_and_may_come_again() {
        let scene = with_things();
        generate(&scene, "things", &json!([field("a", "text")])).answer();
        ask("select string_agg(attname, ' ' order by attnum) from pg_attribute
              where attrelid = 'snackbase.col_things'::regclass and attnum > 0 and not attisdropped")
        .says("id account_id a created_at updated_at created_by updated_by");
        ask("select count(*) from information_schema.columns where table_schema = 'snackbase_bi' and column_name = 'b'").says("0");
        assert!(scene.ada.list("things", "").json()["items"][0].get("b").is_none());
        clean();
        // the last values stay in the trail
        ask("select count(*) from snackbase.audit_log where table_name = 'col_things' and column_name = 'b' and new_value = 'x'").says("1");
        // The same name again, with another type and a default: the trail must not expect the old values.
        scene
            .change("things", r#"{"fields": [{"name": "a", "type": "text"}, {"name": "b", "type": "number", "default": 7}]}"#)
            .answer();
        assert_eq!(scene.ada.total("things", "b = 7"), 1);
        clean();
        scene.ada.created("things", r#"{"a": "new", "b": 8}"#);
        clean();
        // and it still sees what nobody recorded
        run("set session_replication_role = replica; update snackbase.col_things set b = 9 where b = 8; set session_replication_role = origin").answer();
        ask("select kind || ' ' || actual from snackbase.audit_verify()").says("live b = 9");
    }

    #[pg_test]
    fn values_that_do_not_convert_are_counted_and_nothing_changes() {
        let scene = with_things();
        scene.bob.created("things", r#"{"a": "many", "b": "x"}"#);
        scene.bob.created("things", r#"{"a": "", "b": "x"}"#);
        scene.ada.created("things", r#"{"a": "NaN", "b": "x"}"#);
        let before = ask("select string_agg(t::text, ';' order by id) from snackbase.col_things t").answer();
        let refusal = generate(
            &scene,
            "things",
            &json!([field("a", "number"), field("b", "text")]),
        )
        .refused("23514");
        assert_eq!(
            refusal.problems(),
            ["collections[0].schema[0] type_not_convertible"]
        );
        assert_eq!(
            (&refusal.json()[0]["records"], &refusal.json()[0]["accounts"]),
            (&json!(3), &json!(2))
        );
        assert!(
            refusal.message.contains("'a': 3 records in 2 accounts"),
            "{}",
            refusal.message
        );
        ask("select string_agg(t::text, ';' order by id) from snackbase.col_things t").says(&before);
        clean();
    }

    #[pg_test]
    fn a_type_changes_with_its_values_and_the_trail_says_so() {
        let scene = with_things();
        generate(
            &scene,
            "things",
            &json!([{"name": "a", "type": "number", "required": true, "default": 3, "options": {"index": true}}, field("b", "text")]),
        )
        .answer();
        ask("select a from snackbase.col_things order by a").says("1.5\n2");
        ask(
            "select format_type(atttypid, -1) || ' ' || attnotnull from pg_attribute
              where attrelid = 'snackbase.col_things'::regclass and attname = 'a'",
        )
        .says("double precision true");
        assert_eq!(scene.ada.total("things", "a > 1.4"), 1);
        assert_eq!(scene.ada.create("things", "{\"a\": 5}").json()["a"], 5);
        ask("select format_type(atttypid, -1) from pg_attribute where attrelid = 'snackbase_bi.things'::regclass and attname = 'a'")
            .says("double precision");
        clean();
        // "1.50" became "1.5", and it was root who did it; "2" stayed "2"
        ask(&format!(
            "select string_agg(old_value || '>' || new_value, ';') from snackbase.audit_log
              where table_name = 'col_things' and column_name = 'a' and operation = 'UPDATE' and user_id = '{}'",
            scene.root.id
        ))
        .says("1.50>1.5");
    }

    /// Every pair of types, with a value that converts: the value, and the trail is clean.
    #[pg_test]
    fn every_conversion_keeps_the_trail_clean() {
        let id = "3f2504e0-4f89-41d3-9a0c-0305e82c3301";
        let scene = Scene::new();
        scene.collection(
            r#"{"name": "target", "create_rule": "", "fields": [{"name": "a", "type": "text"}]}"#,
        );
        run(&format!(
            "insert into snackbase.col_target (id, account_id) values ('{id}', '{}')",
            scene.ada.account
        ))
        .answer();
        let user = scene.ada.id.clone();
        let file = json!({"filename": "a", "size": 1, "mime_type": "b", "path": "c"});
        let cases = [
            ("text", json!("1.50"), "number", json!(1.5)),
            ("text", json!("1e3"), "number", json!(1000)),
            ("text", json!("true"), "boolean", json!(true)),
            (
                "text",
                json!("2026-01-02 03:04"),
                "datetime",
                json!("2026-01-02T03:04:00Z"),
            ),
            ("text", json!("2026-01-02"), "date", json!("2026-01-02")),
            ("text", json!("a@example.com"), "email", json!("a@example.com")),
            (
                "text",
                json!("http://example.com"),
                "url",
                json!("http://example.com"),
            ),
            (
                "text",
                json!("{\"b\": 1,  \"a\": [null]}"),
                "json",
                json!({"a": [null], "b": 1}),
            ),
            ("text", json!(id.to_uppercase()), "reference", json!(id)),
            ("text", json!(user), "user", json!(user)),
            ("email", json!("a@example.com"), "text", json!("a@example.com")),
            ("number", json!(1e21), "text", json!("1e21")),
            ("number", json!(0.1), "text", json!("0.1")),
            ("number", json!(1), "boolean", json!(true)),
            ("number", json!(2.5), "json", json!(2.5)),
            ("boolean", json!(false), "text", json!("false")),
            ("boolean", json!(true), "number", json!(1)),
            (
                "datetime",
                json!("2026-01-02T00:00:00Z"),
                "date",
                json!("2026-01-02"),
            ),
            (
                "datetime",
                json!("2026-01-02T03:04:05.5Z"),
                "text",
                json!("2026-01-02T03:04:05.5Z"),
            ),
            (
                "date",
                json!("2026-01-02"),
                "datetime",
                json!("2026-01-02T00:00:00Z"),
            ),
            ("date", json!("2026-01-02"), "text", json!("2026-01-02")),
            ("json", json!({"a": 1}), "text", json!("{\"a\":1}")),
            ("json", json!("x"), "text", json!("x")),
            ("json", json!(7), "number", json!(7)),
            ("json", file.clone(), "file", json!(null)),
            ("user", json!(user), "text", json!(user)),
            ("reference", json!(id), "text", json!(id)),
        ];
        for (index, (from, value, to, expected)) in cases.into_iter().enumerate() {
            let name = format!("case{index}");
            let of = |kind: &str| match kind {
                "reference" => {
                    json!({"name": "f", "type": kind, "collection": "target", "on_delete": "restrict"})
                }
                _ => field("f", kind),
            };
            scene.collection(
                &json!({"name": name, "view_rule": "", "create_rule": "", "update_rule": "", "fields": [of(from)]}).to_string(),
            );
            let record = scene.ada.created(&name, &json!({ "f": value }).to_string());
            scene.ada.created(&name, "{}");
            generate(&scene, &name, &json!([of(to)])).answer();
            let found = scene.ada.view(&name, &record).json()["f"].clone();
            if to != "file" {
                assert_eq!(found, expected, "{from} {value} -> {to}");
            }
            ask("select count(*) from snackbase.audit_verify()").says("0");
            // and it works like any other field of its type
            scene.ada.patch(&name, &record, r#"{"f": null}"#).answer();
        }
        clean();
    }

    #[pg_test]
    fn a_new_type_brings_its_constraints_and_keeps_none_of_the_old() {
        let scene = Scene::with_notes();
        scene.collection(
            r#"{"name": "links", "create_rule": "", "view_rule": "", "delete_rule": "", "fields": [
                {"name": "to", "type": "text", "unique": true, "required": true, "default": "none", "options": {"index": "prefix"}}]}"#,
        );
        let note = scene.ada.created("notes", "{}");
        let link = scene.ada.created("links", &format!(r#"{{"to": "{note}"}}"#));
        let reference = json!([{"name": "to", "type": "reference", "collection": "notes", "on_delete": "restrict", "unique": true}]);
        generate(&scene, "links", &reference).answer();
        ask("select string_agg(conname || ' ' || contype::text, ', ' order by conname) from pg_constraint where conrelid = 'snackbase.col_links'::regclass and contype <> 'n'")
            .says("col_links$to$fkey f, col_links$to$key u, col_links_account_id_fkey f, col_links_pkey p");
        ask("select string_agg(indexrelid::regclass::text, ', ' order by indexrelid::regclass::text collate \"C\") from (select indexrelid from pg_index where indrelid = 'snackbase.col_links'::regclass) i
              where indexrelid::regclass::text not like '%pkey'")
        .says("snackbase.\"col_links$created_at$idx\", snackbase.\"col_links$to$idx\", snackbase.\"col_links$to$key\"");
        scene.ada.delete("notes", &note).refused("23503");
        scene.root.delete("links", &link).answer();
        // Texts that refer to nothing, or to somebody else's record.
        generate(&scene, "links", &json!([field("to", "text")])).answer();
        let theirs = scene.bob.created("notes", "{}");
        scene.ada.created("links", &format!(r#"{{"to": "{theirs}"}}"#));
        scene
            .ada
            .created("links", r#"{"to": "11111111-2222-3333-4444-555555555555"}"#);
        let refusal = generate(&scene, "links", &reference).refused("23514");
        assert_eq!(
            refusal.problems(),
            ["collections[0].schema[0] reference_violated"]
        );
        assert_eq!(refusal.json()[0]["records"], 2);
        clean();
    }

    #[pg_test]
    fn values_that_become_the_same_are_counted_before_they_are_unique() {
        let scene = with_things();
        scene.ada.created("things", r#"{"a": "1.5"}"#);
        let refusal = generate(
            &scene,
            "things",
            &json!([{"name": "a", "type": "number", "unique": true}, field("b", "text")]),
        )
        .refused("23514");
        assert_eq!(refusal.problems(), ["collections[0].schema[0] unique_violated"]);
        assert!(
            refusal.message.contains("2 records in 1 account "),
            "{}",
            refusal.message
        );
    }

    #[pg_test]
    fn what_is_in_use_is_neither_dropped_nor_retyped() {
        let scene = Scene::new();
        scene.collection(
            r#"{"name": "things", "list_rule": "a = \"x\"", "update_rule": "@request.data.a = \"x\"", "view_fields": ["a"],
                "fields": [{"name": "a", "type": "text"}, {"name": "b", "type": "text"},
                           {"name": "c", "type": "computed", "expression": "upper(a)", "return_type": "text"}]}"#,
        );
        run("create view public.report as select b from snackbase_bi.things").answer();
        let computed =
            json!({"name": "c", "type": "computed", "expression": "upper(a)", "return_type": "text"});
        let refusal = generate(&scene, "things", &json!([field("b", "text"), computed])).refused("23514");
        assert_eq!(refusal.problems(), ["collections[0].things.a field_in_use"]);
        for user in ["list_rule", "update_rule", "view_fields", "computed field 'c'"] {
            assert!(refusal.message.contains(user), "{user}: {}", refusal.message);
        }
        let refusal = generate(
            &scene,
            "things",
            &json!([field("a", "json"), field("b", "text"), computed]),
        )
        .refused("23514");
        assert!(
            refusal.message.contains("list_rule") && !refusal.message.contains("view_fields"),
            "{}",
            refusal.message
        );
        let refusal = generate(&scene, "things", &json!([field("a", "text"), computed])).refused("23514");
        assert!(
            refusal.message.contains("'b' is used by view public.report")
                || refusal.message.contains("'b' is used by view report"),
            "{}",
            refusal.message
        );
        // a computed field alone loses nothing, but somebody's view would go with it
        scene.rules("things", r#"{"view_fields": "*"}"#);
        let refusal =
            generate(&scene, "things", &json!([field("a", "text"), field("b", "text")])).refused("2BP01");
        assert!(refusal.message.contains("report"), "{}", refusal.message);
        run("drop view public.report").answer();
        generate(&scene, "things", &json!([field("a", "text"), field("b", "text")])).answer();
        ask("select count(*) from snackbase.migrations").says("2");
    }

    #[pg_test]
    fn what_a_macro_uses_is_neither_dropped_nor_retyped() {
        let scene = with_things();
        let define = |body: Json| {
            scene
                .root
                .ask(
                    "superadmin",
                    &format!("select snackbase.macro_create({})", quoted(&body.to_string())),
                )
                .answer()
        };
        define(json!({"name": "short", "sql_query": "a = \"x\""}));
        define(json!({"name": "outer", "sql_query": "@short && true"}));
        define(
            json!({"name": "known", "sql_query": "select true from snackbase.col_things t where t.b = $1", "parameters": ["what"]}),
        );
        scene.rules("things", r#"{"view_rule": "@outer"}"#);
        let refusal = generate(
            &scene,
            "things",
            &json!([field("a", "number"), field("b", "json")]),
        )
        .refused("23514");
        assert_eq!(
            refusal.problems(),
            [
                "collections[0].things.a field_in_use",
                "collections[0].things.b field_in_use"
            ]
        );
        assert!(
            refusal
                .message
                .contains("'a' is used by view_rule through macro '@outer'"),
            "{}",
            refusal.message
        );
        assert!(
            refusal.message.contains("'b' is used by macro '@known'"),
            "{}",
            refusal.message
        );
        scene
            .root
            .ask("superadmin", "select snackbase.collection_drop('things')")
            .refused("23503");
        // a rule of a file may use a macro that exists, and no other
        let import = |rule: &str| {
            call(
                &scene,
                "collection_import",
                &json!({"data": {"version": "1.0", "collections": [
                    {"name": "imported", "schema": [field("a", "text")], "rules": {"list_rule": rule}}]}}),
            )
            .json()
        };
        let failed = import("@nosuch()");
        assert!(
            failed["collections"][0]["message"]
                .as_str()
                .is_some_and(|m| m.starts_with("Invalid list_rule: ")),
            "{failed}"
        );
        assert_eq!(import("@short || @known(\"y\")")["imported_count"], 1);
    }

    #[pg_test]
    fn collections_that_refer_to_each_other_are_generated_together() {
        let scene = Scene::new();
        let link = |to: &str| json!([{"name": "link", "type": "reference", "collection": to, "on_delete": "set_null"}]);
        let body = json!({"collections": [
            {"name": "left", "fields": link("RIGHT")}, {"name": "right", "fields": link("left")}]});
        call(&scene, "migration_generate", &body).answer();
        ask("select count(*) from pg_constraint where conname like '%$link$fkey'").says("2");
        let shown = scene
            .root
            .ask("superadmin", "select snackbase.collection_view('left')")
            .json();
        assert_eq!(shown["schema"][0]["collection"], "right");
        // drop one field, so that a collection can go
        call(
            &scene,
            "migration_generate",
            &json!({"confirm": true, "collections": [{"name": "left", "fields": [field("a", "text")]}]}),
        )
        .answer();
        scene
            .root
            .ask("superadmin", "select snackbase.collection_drop('right')")
            .answer();
    }

    #[pg_test]
    fn the_log_tells_what_happened() {
        let scene = with_things();
        scene.change("things", r#"{"fields": [{"name": "a", "type": "text"}, {"name": "b", "type": "text"}, {"name": "c", "type": "date"}]}"#).answer();
        // rules are no schema, and a change of nothing is none
        scene.rules("things", r#"{"list_rule": null}"#);
        scene.change("things", r#"{"fields": [{"name": "a", "type": "text"}, {"name": "b", "type": "text"}, {"name": "c", "type": "date"}]}"#).answer();
        generate(
            &scene,
            "things",
            &json!([field("b", "number"), field("c", "date")]),
        )
        .refused("23514");
        generate(&scene, "things", &json!([field("b", "text"), field("c", "text")])).answer();
        let dropped = scene
            .root
            .ask("superadmin", "select snackbase.collection_drop('things')")
            .json();
        let show = |function: &str| {
            scene
                .root
                .ask("superadmin", &format!("select snackbase.{function}()"))
                .json()
        };
        let list = show("migration_list");
        let texts: Vec<&str> = list["revisions"]
            .as_array()
            .expect("a list")
            .iter()
            .filter_map(|r| r["description"].as_str())
            .collect();
        assert_eq!(
            texts,
            [
                "drop collection things",
                "change collection things: drop a, retype c",
                "change collection things: add c",
                "create collection things"
            ]
        );
        let head = &list["revisions"][0];
        assert_eq!(
            json!([
                head["revision"],
                head["is_head"],
                head["isApplied"],
                head["down_revision"],
                list["current_revision"],
                list["currentRevision"],
                list["total"]
            ]),
            json!([
                dropped["migration_revision"],
                true,
                true,
                list["revisions"][1]["revision"],
                dropped["migration_revision"],
                dropped["migration_revision"],
                4
            ])
        );
        assert_eq!(
            show("migration_current")["revision"],
            dropped["migration_revision"]
        );
        let history = show("migration_history");
        assert_eq!(
            (&history["total"], &history["history"][0]["description"]),
            (&json!(4), &json!("create collection things"))
        );
        ask("select distinct created_by from snackbase.migrations").says(&scene.root.id);
        for statement in [
            "select snackbase.migration_list()",
            "select * from snackbase.migrations",
        ] {
            scene.ada.ask("member", statement).refused("42501");
        }
        scene
            .root
            .run("superadmin", "delete from snackbase.migrations")
            .refused("42501");
    }

    #[pg_test]
    fn without_a_change_there_is_no_current_revision() {
        let scene = Scene::new();
        scene
            .root
            .ask("superadmin", "select snackbase.migration_current()")
            .refused("P0002");
        assert_eq!(
            scene
                .root
                .ask("superadmin", "select snackbase.migration_list()")
                .json()["current_revision"],
            Json::Null
        );
    }
}
