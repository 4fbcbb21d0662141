//! Macros that are fragments of rules, and what becomes of rules when a macro changes.

#[pgrx::pg_schema]
mod tests {
    use pgrx::prelude::*;
    use serde_json::json;

    use crate::tests::macros::tests::STARRED;
    use crate::tests::scene::{Scene, ask, ask_as, run, run_as};

    #[pg_test]
    fn fragments_become_part_of_the_rule() {
        let scene = Scene::with_notes();
        scene.with_macro("m2", "stars > 1", &[]);
        scene.with_macro("m1", "@m2 && stars < $1", &[]);
        for stars in [1, 2, 9] {
            scene.ada.created("notes", &format!(r#"{{"stars": {stars}}}"#));
        }
        scene.rules("notes", r#"{"list_rule": "@m1(5)"}"#);
        assert_eq!(scene.ada.total("notes", ""), 1);
        ask(
            "select pg_get_expr(polqual, polrelid) not like '%macro%' from pg_policy
              where polname = 'list' and polrelid = 'snackbase.col_notes'::regclass",
        )
        .says("true");
    }

    #[pg_test]
    fn mistakes_in_fragments_have_codes_and_places() {
        let scene = Scene::with_notes();
        scene.with_macro("one", "$1 = 1", &[]);
        let mut below = "one".to_owned();
        for height in 2..=8 {
            let name = format!("tower{height}");
            let body = if height == 2 {
                "@one(1)".to_owned()
            } else {
                format!("@{below}")
            };
            scene.with_macro(&name, &body, &[]);
            below = name;
        }
        for (name, body, code, position) in [
            ("loop", "@loop", "macro_cycle", 0),
            ("m", "a = = 1", "syntax", 4),
            ("m", "a = 1 && @nope", "unknown_macro", 9),
            ("m", "@one()", "arity", 0),
            ("m", "@tower8", "macro_depth", 0),
            ("m", "@request.auth.x = 1", "unknown_context", 0),
        ] {
            let refusal = scene.try_macro(name, body, &[]).refused("22023");
            let error = &refusal.json()["errors"][0];
            assert_eq!(
                (error["code"].as_str(), error["position"].as_i64()),
                (Some(code), Some(position)),
                "{body}"
            );
        }
        for (name, body) in [
            ("request", "true"),
            ("has_permission", "select true"),
            ("a b", "true"),
            ("a\n", "true"),
            ("", "true"),
            ("é", "true"),
            ("m", "  "),
        ] {
            let refusal = scene.try_macro(name, body, &[]).refused("22P02");
            assert!(refusal.problems()[0].ends_with("value_error"), "{refusal:?}");
        }
        scene.try_macro("one", "true", &[]).refused("23505");
        scene.with_macro("ONE", "select true", &[]);
    }

    #[pg_test]
    fn cycles_through_functions_are_found() {
        let scene = Scene::with_notes();
        let a = scene.with_macro("a", "select true", &[]);
        let b = scene.with_macro("b", "select @a", &[]);
        scene.with_macro("c", "@b && title = 'x'", &[]);
        scene.try_macro("d", "select @c", &[]).refused("22023"); // SQL cannot use a fragment
        for body in [
            "select @b",
            "select @a",
            "select snackbase.macro_b()",
            "select snackbase.macro_a()",
        ] {
            let refusal = scene.change_macro(a, json!({"sql_query": body})).refused("22023");
            assert_eq!(refusal.json()["errors"][0]["code"], "macro_cycle", "{body}");
        }
        let refusal = scene.change_macro(a, json!({"sql_query": "@c"})).refused("22023");
        assert!(refusal.message.contains("@"), "{refusal:?}");
        assert_eq!(scene.test_macro(b, json!([])).json()["result"], "true");
    }

    #[pg_test]
    fn a_changed_macro_changes_the_rules_that_use_it() {
        let scene = Scene::with_notes();
        let inner = scene.with_macro("inner", "stars > 1", &[]);
        scene.with_macro("outer", "@inner", &[]);
        scene.rules("notes", r#"{"list_rule": "@outer", "delete_rule": "@inner"}"#);
        scene.ada.created("notes", r#"{"title": "a", "stars": 1}"#);
        assert_eq!(scene.ada.total("notes", ""), 0);
        scene
            .change_macro(inner, json!({"sql_query": "stars < 2"}))
            .answer();
        assert_eq!(scene.ada.total("notes", ""), 1);
        // a fragment becomes a function, and back
        scene
            .change_macro(inner, json!({"sql_query": "select false"}))
            .answer();
        assert_eq!(scene.ada.total("notes", ""), 0);
        scene
            .change_macro(inner, json!({"sql_query": "select true"}))
            .answer();
        assert_eq!(scene.ada.total("notes", ""), 1);
        scene
            .change_macro(inner, json!({"sql_query": "title = 'b'"}))
            .answer();
        assert_eq!(scene.ada.total("notes", ""), 0);
        ask("select count(*) from pg_proc where proname like 'macro\\_inner%'").says("0");
        // null and absent keep what is there
        scene
            .change_macro(inner, json!({"name": null, "description": "d"}))
            .answer();
        ask("select name || description || sql_query from snackbase.macros where name = 'inner'")
            .says("innerdtitle = 'b'");
    }

    #[pg_test]
    fn a_change_that_breaks_a_rule_changes_nothing() {
        let scene = Scene::with_notes();
        let inner = scene.with_macro("inner", "stars > 1", &[]);
        scene.with_macro("outer", "@inner", &[]);
        let select = scene.with_macro("is_a", "select $1 = 'a'", &[]);
        let shown = scene.with_macro("shown", "select @is_a('a')", &[]);
        scene.rules(
            "notes",
            r#"{"list_rule": "@outer", "view_rule": "@is_a(title)", "update_rule": "@shown"}"#,
        );
        let policies =
            "select string_agg(pg_get_expr(polqual, polrelid), ',' order by polname) from pg_policy
                         where polrelid = 'snackbase.col_notes'::regclass";
        let (macros, before) = (
            "select string_agg(m::text, ',' order by id) from snackbase.macros m",
            ask(policies).answer(),
        );
        let stored = ask(macros).answer();
        for (id, changes, words) in [
            (
                inner,
                json!({"sql_query": "nosuch = 1"}),
                "list_rule of collection 'notes'",
            ),
            (inner, json!({"sql_query": "stars > $1"}), "'@outer'"),
            (inner, json!({"name": "other"}), "'@outer'"),
            (
                inner,
                json!({"sql_query": "stars"}),
                "list_rule of collection 'notes'",
            ),
            (select, json!({"sql_query": "select $1 = $2"}), "'@shown'"),
            (select, json!({"name": "renamed"}), "'@shown'"),
            (
                shown,
                json!({"sql_query": "select $1 = 'a'"}),
                "update_rule of collection 'notes'",
            ),
        ] {
            let refusal = scene.change_macro(id, changes.clone()).refused("22023");
            assert!(refusal.message.contains(words), "{changes}: {refusal:?}");
            assert_eq!(ask(macros).answer(), stored);
            assert_eq!(ask(policies).answer(), before);
        }
        let refusal = scene
            .change_macro(inner, json!({"sql_query": "nosuch = 1"}))
            .refused("22023");
        let error = &refusal.json()["errors"][0];
        assert_eq!(
            (&error["collection"], &error["rule_key"], &error["code"]),
            (&json!("notes"), &json!("list_rule"), &json!("unknown_field"))
        );
    }

    #[pg_test]
    fn a_macro_in_use_is_not_deleted() {
        let scene = Scene::with_notes();
        let is = scene.with_macro("is", "select true", &[]);
        let fine = scene.with_macro("is_fine", "stars > 1", &[]);
        let outer = scene.with_macro("outer", "@is && @is_fine", &[]);
        scene.rules(
            "notes",
            r#"{"list_rule": "@outer", "view_rule": "@is_fine || @outer()", "delete_rule": "title = '@is'"}"#,
        );
        scene.drop_macro(is).refused("23503").saying(
            "Cannot delete macro 'is': it is used in 2 collection rule(s), and by the macro(s) @outer",
        );
        scene
            .drop_macro(outer)
            .refused("23503")
            .saying("Cannot delete macro 'outer': it is used in 2 collection rule(s)");
        scene.rules("notes", r#"{"list_rule": "@is_fine", "view_rule": ""}"#);
        scene.drop_macro(outer).answer();
        scene.drop_macro(is).answer();
        scene
            .drop_macro(fine)
            .refused("23503")
            .saying("Cannot delete macro 'is_fine': it is used in 1 collection rule(s)");
        scene.drop_macro(is).refused("P0002");
        ask("select count(*) from pg_proc where proname = 'macro_is'").says("0");
    }

    #[pg_test]
    fn a_table_that_a_macro_reads_is_not_dropped() {
        let scene = Scene::with_notes();
        let id = scene.with_macro("any_note", "select exists (select from col_notes)", &[]);
        let drop = || {
            scene
                .root
                .ask("superadmin", "select snackbase.collection_drop('notes')")
        };
        drop().refused("23503").saying("Collection is used by @any_note");
        scene.drop_macro(id).answer();
        drop().answer();
    }

    #[pg_test]
    fn only_superadmins_write_macros_and_every_user_reads_them() {
        let scene = Scene::with_notes();
        let id = scene.with_macro("mine", "select true", &[]);
        for person in [&scene.ada, &scene.visitor] {
            person
                .ask("superadmin", "select snackbase.macro_create('{}')")
                .refused_any();
        }
        for statement in [
            "select snackbase.macro_create('{\"name\": \"x\", \"sql_query\": \"true\"}')".to_owned(),
            format!("select snackbase.macro_drop({id})"),
            format!("select snackbase.macro_test({id}, '{{}}')"),
            format!("select snackbase._macro_run({id}, '{{}}')"),
            "select snackbase._macro_function_make('macro_x', 0, 'select true')".to_owned(),
            "insert into snackbase.macros (name, sql_query) values ('x', 'true') returning id".to_owned(),
            "update snackbase.macros set sql_query = 'true' returning id".to_owned(),
        ] {
            scene.ada.ask("member", &statement).refused("42501");
            scene.ada.ask("list", &statement).refused("42501");
        }
        assert_eq!(
            scene
                .ada
                .ask("member", "select snackbase.macro_list(null, null)")
                .json()[0]["name"],
            "mine"
        );
        scene
            .ada
            .ask("member", &format!("select snackbase.macro_view({id})"))
            .answer();
        scene
            .ada
            .ask("member", "select snackbase.macro_view(0)")
            .refused("P0002");
        // not even an administrator goes round the functions
        run(
            "create or replace function snackbase.macro_mine() returns boolean language sql as 'select true'",
        )
        .refused("42501");
        run("drop function snackbase.macro_mine()").refused("42501");
        run("alter function snackbase.macro_mine() volatile").refused("42501");
        run("create function snackbase.anything() returns int language sql as 'select 1'").refused("42501");
    }

    #[pg_test]
    fn a_dry_run_answers_the_first_value_and_says_why_it_failed() {
        let scene = Scene::with_notes();
        let sum = scene.with_macro("sum", "select $1::int + $2::int, 7", &["a", "b"]);
        let answer = scene.test_macro(sum, json!(["1", "2"])).json();
        assert_eq!(
            (&answer["result"], &answer["rows_affected"]),
            (&json!("3"), &json!(0))
        );
        assert!(answer["execution_time"].as_f64().expect("milliseconds") >= 0.0);
        assert_eq!(
            scene.test_macro(sum, json!([null, "2"])).json()["result"],
            json!(null)
        );
        for (arguments, code) in [
            (json!(["1"]), "arity"),
            (json!(["1", "x"]), "query_failed"),
            (json!("1"), "list_type"),
            (json!([1, 2]), "list_type"),
        ] {
            let refusal = scene.test_macro(sum, arguments).refused("22P02");
            assert!(refusal.problems()[0].ends_with(code), "{refusal:?}");
        }
        let fragment = scene.with_macro("pair", "$1 = $2", &[]);
        assert_eq!(
            scene.test_macro(fragment, json!(["a", "a\" || \""])).json()["result"],
            "false"
        );
        let field = scene.with_macro("field", "stars = 1", &[]);
        scene.test_macro(field, json!([])).refused("22P02");
        scene.test_macro(0, json!([])).refused("P0002");
    }

    #[pg_test]
    fn a_dry_run_ends_after_five_seconds() {
        let scene = Scene::with_notes();
        let id = scene.with_macro(
            "slow",
            "select count(*) from generate_series(1, 100000000) a, generate_series(1, 1000) b",
            &[],
        );
        let refusal = scene.test_macro(id, json!([])).refused("22P02");
        assert!(refusal.message.contains("longer than 5 seconds"), "{refusal:?}");
        ask("select 1").says("1");
    }

    #[pg_test]
    fn a_bi_login_is_judged_by_macros_too() {
        let scene = Scene::with_notes();
        scene.with_macro("starred", STARRED, &[]);
        scene.rules("notes", r#"{"list_rule": "@starred(id)"}"#);
        scene.ada.created("notes", r#"{"stars": 5}"#);
        scene.ada.created("notes", r#"{"stars": 1}"#);
        run("select snackbase.bi_role_create('macro_reports', 'acme', 'x')").answer();
        ask_as("macro_reports", "select count(*) from snackbase_bi.notes").says("1");
        run_as("macro_reports", "select snackbase.macro_starred('x')").refused("42501");
        run("select snackbase.bi_role_drop('macro_reports')").answer();
    }
}
