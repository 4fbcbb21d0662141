//! Custom macros: rules that call them, what a body may do, and what happens to rules when a macro changes.

#[pgrx::pg_schema]
mod tests {
    use pgrx::prelude::*;
    use serde_json::json;

    use crate::tests::scene::{Outcome, Scene, ask, ask_as, quoted, run, run_as};

    impl Scene {
        /// Tries to create a macro.
        fn try_macro(&self, name: &str, body: &str, parameters: &[&str]) -> Outcome {
            let definition = json!({"name": name, "sql_query": body, "parameters": parameters}).to_string();
            self.root.ask(
                "superadmin",
                &format!("select snackbase.macro_create({})", quoted(&definition)),
            )
        }

        /// Creates a macro; its id.
        #[track_caller]
        fn with_macro(&self, name: &str, body: &str, parameters: &[&str]) -> i64 {
            self.try_macro(name, body, parameters).json()["id"]
                .as_i64()
                .expect("an id")
        }

        fn change_macro(&self, id: i64, changes: serde_json::Value) -> Outcome {
            let changes = quoted(&changes.to_string());
            self.root.ask(
                "superadmin",
                &format!("select snackbase.macro_change({id}, {changes})"),
            )
        }

        fn drop_macro(&self, id: i64) -> Outcome {
            self.root
                .ask("superadmin", &format!("select snackbase.macro_drop({id})"))
        }

        fn test_macro(&self, id: i64, arguments: serde_json::Value) -> Outcome {
            let arguments = quoted(&json!({"parameters": arguments}).to_string());
            self.root.ask(
                "superadmin",
                &format!("select snackbase.macro_test({id}, {arguments})"),
            )
        }

        fn try_rules(&self, collection: &str, changes: serde_json::Value) -> Outcome {
            let changes = quoted(&changes.to_string());
            self.root.ask(
                "superadmin",
                &format!("select snackbase.collection_rules_change('{collection}', {changes})"),
            )
        }
    }

    const STARRED: &str = "select exists (select from col_notes n where n.id = $1::uuid and n.stars > 3)";

    #[pg_test]
    fn a_select_macro_is_called_with_values_of_the_row() {
        let scene = Scene::with_notes();
        scene.with_macro("starred", STARRED, &[]);
        for stars in [1, 5] {
            scene
                .ada
                .created("notes", &format!(r#"{{"title": "{stars}", "stars": {stars}}}"#));
        }
        scene.rules("notes", r#"{"list_rule": "@starred(id)"}"#);
        assert_eq!(scene.ada.total("notes", ""), 1);
        scene.rules("notes", r#"{"list_rule": "!@starred(id)"}"#);
        assert_eq!(scene.ada.total("notes", ""), 1);
        ask("select count(*) from pg_proc where proname = 'macro_starred' and proowner = 'snackbase_hook'::regrole
               and prosecdef and provolatile = 's'").says("1");
    }

    #[pg_test]
    fn parameters_have_names_or_numbers_and_null_is_false() {
        let scene = Scene::with_notes();
        scene.with_macro("same", "SELECT :a = :b", &["a", "b"]);
        scene.with_macro("nothing", "select null", &[]);
        scene.with_macro("text", "select 'yes'", &[]);
        scene.with_macro("count", "select count(*) from users", &[]);
        scene.with_macro("no_row", "select true where false", &[]);
        scene.ada.created("notes", r#"{"title": "notes"}"#);
        for (rule, total) in [
            (r#"@same(title, "notes")"#, 1),
            (r#"@same(title, 'x')"#, 0),
            ("@nothing", 0),
            ("!@nothing()", 1),
            ("@text && @count", 1),
            ("@no_row", 0),
        ] {
            scene.try_rules("notes", json!({"list_rule": rule})).answer();
            assert_eq!(scene.ada.total("notes", ""), total, "{rule}");
        }
    }

    #[pg_test]
    fn a_macro_is_asked_once_for_each_distinct_set_of_arguments() {
        let scene = Scene::with_notes();
        scene.with_macro(
            "odd",
            "select coalesce($1::float8::int % 2 = 1, $2 = 'true')",
            &[],
        );
        for number in 0..12 {
            let stars = if number > 9 {
                "null".to_owned()
            } else {
                (number % 4).to_string()
            };
            scene
                .ada
                .created("notes", &format!(r#"{{"title": "n{number}", "stars": {stars}}}"#));
        }
        scene.rules("notes", r#"{"list_rule": "@odd(stars, stars IS NULL)"}"#);
        run("set track_functions = 'all'").answer();
        let calls =
            "(select coalesce(sum(calls), 0) from pg_stat_xact_user_functions where funcname = 'macro_odd')";
        scene
            .ada
            .ask(
                "list",
                &format!(
                    "with before as materialized (select {calls} as n),
                          list as materialized (select count(title) as total from snackbase.col_notes, before),
                          after as materialized (select {calls} as n from list)
                     select list.total || ' records, ' || after.n - before.n || ' calls' from before, list, after"
                ),
            )
            // 1 and 3 are odd, each twice or thrice, and two are null; 0, 1, 2, 3 and null were asked for.
            .says("7 records, 5 calls");
        // The next statement asks again, and it is no door to other functions.
        assert_eq!(scene.ada.total("notes", ""), 7);
        for function in ["pg_sleep(float8)", "snackbase.superadmin_exists()"] {
            scene
                .ada
                .ask(
                    "list",
                    &format!("select snackbase._macro_call('{function}'::regprocedure, 0.1::float8)"),
                )
                .refused("22023");
        }
        scene
            .ada
            .ask("list", "select snackbase._macro_call(null, 1)")
            .refused("22023");
    }

    #[pg_test]
    fn a_macro_that_fails_tells_nothing_of_the_rows_it_saw() {
        let scene = Scene::with_notes();
        scene.with_macro("number", "select $1::int > 0", &[]);
        scene.with_macro(
            "setting",
            "select current_setting('snackbase.nothing') = 'x'",
            &[],
        );
        scene.ada.created("notes", r#"{"title": "secret words"}"#);
        for rule in ["@number(title)", "@owns_record() && @number(title)", "@setting"] {
            scene.try_rules("notes", json!({"list_rule": rule})).answer();
            for statement in [
                "select snackbase.records_list('notes')",
                "select title from snackbase.col_notes",
            ] {
                let refusal = scene.alf.ask("list", statement);
                match refusal {
                    Outcome::Refused(refusal) => {
                        assert_eq!(refusal.code, "22023", "{rule}: {refusal:?}");
                        let told = format!("{}{}", refusal.message, refusal.detail);
                        assert!(told.contains("macro") && !told.contains("secret words"), "{told}");
                    }
                    // Another condition has spared the macro the row.
                    Outcome::Answer(_) => assert!(rule.starts_with("@owns_record"), "{rule}"),
                }
            }
        }
    }

    #[pg_test]
    fn the_tenth_argument_is_not_the_first() {
        let scene = Scene::with_notes();
        scene.with_macro("ten", "select $10 = 'j' and $1 = 'a'", &[]);
        scene.ada.created("notes", r#"{"title": "a"}"#);
        scene.rules(
            "notes",
            r#"{"list_rule": "@ten(title, 'b', 'c', 'd', 'e', 'f', 'g', 'h', 'i', 'j')"}"#,
        );
        assert_eq!(scene.ada.total("notes", ""), 1);
    }

    #[pg_test]
    fn a_body_knows_the_caller_and_nobody_else() {
        let scene = Scene::with_notes();
        scene.with_macro(
            "me",
            "select $1 = @request.auth.id and @request.auth.role = 'admin'",
            &[],
        );
        scene.with_macro(
            "peer",
            "select exists (select from users u where u.email = $1 and u.account_id::text = @request.auth.account_id)",
            &[],
        );
        scene.rules("notes", r#"{"list_rule": "@me(created_by)"}"#);
        scene.ada.created("notes", r#"{"title": "bob@example.com"}"#);
        scene.alf.created("notes", r#"{"title": "alf@example.com"}"#);
        assert_eq!(scene.ada.total("notes", ""), 1);
        assert_eq!(scene.alf.total("notes", ""), 0, "alf is no admin");
        scene.rules("notes", r#"{"list_rule": "@peer(title)"}"#);
        assert_eq!(scene.ada.total("notes", ""), 1, "bob's account is another one");
    }

    #[pg_test]
    fn a_body_sees_its_account_only() {
        let scene = Scene::with_notes();
        scene.with_macro("any_note", "select count(*) > 0 from col_notes", &[]);
        scene.bob.created("notes", r#"{"title": "his"}"#);
        scene.collection(
            r#"{"name": "doors", "fields": [{"name": "a", "type": "text"}], "list_rule": "@any_note", "create_rule": ""}"#,
        );
        scene.ada.created("doors", "{}");
        scene.bob.created("doors", "{}");
        assert_eq!(scene.ada.total("doors", ""), 0);
        assert_eq!(scene.bob.total("doors", ""), 1);
        // the rule of `notes` does not matter inside
        scene.rules("notes", r#"{"list_rule": null, "view_rule": null}"#);
        assert_eq!(scene.bob.total("doors", ""), 1);
    }

    #[pg_test]
    fn macros_of_two_collections_may_read_each_other() {
        let scene = Scene::with_notes();
        scene
            .collection(r#"{"name": "doors", "fields": [{"name": "a", "type": "text"}], "create_rule": ""}"#);
        scene.with_macro("has_door", "select exists (select from col_doors)", &[]);
        scene.with_macro("has_note", "select exists (select from col_notes)", &[]);
        scene.rules("doors", r#"{"list_rule": "@has_note"}"#);
        scene.rules("notes", r#"{"list_rule": "@has_door"}"#);
        scene.ada.created("doors", "{}");
        scene.ada.created("notes", "{}");
        assert_eq!(
            (scene.ada.total("doors", ""), scene.ada.total("notes", "")),
            (1, 1)
        );
    }

    #[pg_test]
    fn a_body_that_is_not_one_reading_select_is_refused() {
        let scene = Scene::with_notes();
        for body in [
            "select 1; drop table snackbase.col_notes",
            "select 1; select 2",
            "select 1 into x",
            "select true from col_notes for update",
            "select exists (select from col_notes for share)",
            "select (with d as (delete from col_notes returning 1) select count(*) from d)",
            "select\t1\tfrom\t(insert\tinto\tcol_notes\tdefault\tvalues)\tt",
            "select pg_sleep(1) is null",
            "select set_config('role', 'snackbase_superadmin', true) is null",
            "select set_config('snackbase.account_id', $1, true) is null",
            "select nextval('roles_id_seq') > 0",
            "select random() > 2",
            "select pg_advisory_lock(1) is null",
            "select lo_create(0) > 0",
            "select exists (select from users where password_hash = $1)",
            "select exists (select u from users u)",
            "select exists (select from sessions)",
            "select exists (select from refresh_tokens)",
            "select exists (select from audit_change)",
            "select exists (select from nosuch)",
            "select 1) or (select true",
            "select 'a",
            "select 1 /* ",
            "select $2",
            "select :b",
            "select",
            "select from users",
            "select gen_random_uuid()",
            "select now()",
            "select pg_read_file('/etc/passwd')",
            "select snackbase.enter('{}', 'auth')",
            "select snackbase._account_find('acme') is not null",
            "select @request.data.title = 'a'",
            "select @nope",
            "select * from dblink('', '')",
        ] {
            let refusal = scene.try_macro("bad", body, &["a"]).refused_any();
            assert!(
                matches!(refusal.code.as_str(), "22P02" | "22023"),
                "{body}: {refusal:?}"
            );
            ask("select count(*) from snackbase.macros").says("0");
        }
        ask("select count(*) from pg_proc where proname like 'macro\\_bad%'").says("0");
        ask("select has_schema_privilege('snackbase_hook', 'snackbase', 'create')").says("false");
    }

    #[pg_test]
    fn comments_quotes_and_semicolons_are_read_as_postgres_reads_them() {
        let scene = Scene::with_notes();
        for (name, body, result) in [
            ("c1", "select /* ; drop */ true -- ) or (", "true"),
            ("c2", "select $$it's ; $1 :a$$ = 'it''s ; $1 :a' ;", "true"),
            ("c3", "select\n\t$1\n\t=\t'x'", "true"),
            ("c4", "select E'\\'' || $x$--$x$ = '''--'", "true"),
            ("c5", "select '\\' || $1 = '\\x'", "true"),
            (
                "c6",
                "select \"n\".\"stars\" is null from (select null as stars) as \"n\"",
                "true",
            ),
        ] {
            let id = scene.with_macro(name, body, &["a"]);
            assert_eq!(
                scene.test_macro(id, json!(["x"])).json()["result"],
                result,
                "{body}"
            );
        }
    }

    #[pg_test]
    fn what_a_body_calls_cannot_write_either() {
        let scene = Scene::with_notes();
        // Functions of an administrator that claim to only read.
        run(
            "create function public.liar(statement text) returns boolean language plpgsql stable as
             $f$ begin perform public.writer(statement); return true; end $f$",
        )
        .answer();
        run(
            "create function public.writer(statement text) returns void language plpgsql volatile as
             $f$ begin execute statement; end $f$",
        )
        .answer();
        scene.ada.created("notes", r#"{"title": "a"}"#);
        let id = scene.with_macro("lie", "select public.liar($1)", &[]);
        for (statement, code) in [
            ("insert into snackbase.col_notes (title) values ('b')", "25006"),
            ("update snackbase.col_notes set title = 'b'", "25006"),
            ("delete from snackbase.col_notes", "25006"),
            ("create table snackbase.x ()", "25006"),
            ("set transaction_read_only = off", "25001"),
            ("select set_config('transaction_read_only', 'off', true)", "25001"),
            ("set local role snackbase_superadmin", "42501"),
            ("reset role", "42501"),
            ("set session authorization default", "42501"),
            (
                "select set_config('snackbase.account_id', '00000000-0000-0000-0000-000000000000', true)",
                "42501",
            ),
            ("reset snackbase.account_id", "42501"),
            ("select password_hash from snackbase.users", "42501"),
        ] {
            scene.rules("notes", r#"{"list_rule": "title = 'never' || true"}"#);
            scene
                .try_rules(
                    "notes",
                    json!({"list_rule": format!("@lie({})", serde_json::Value::from(statement))}),
                )
                .answer();
            let refusal = scene.ada.list("notes", "").refused("22023");
            assert!(
                refusal.message.ends_with(&format!("(macro_lie: {code})")),
                "{statement}: {refusal:?}"
            );
            scene.test_macro(id, json!([statement])).refused("22P02");
        }
        run("reset all").answer();
        ask("select string_agg(title, ',') from snackbase.col_notes").says("a");
        ask("select current_setting('transaction_read_only')").says("off");
    }

    #[pg_test]
    fn a_macro_does_not_make_the_write_it_judges_read_only() {
        let scene = Scene::with_notes();
        scene.with_macro("fine", "select length($1) < 5", &[]);
        scene.rules(
            "notes",
            r#"{"create_rule": "@fine(title)", "update_rule": "@fine(title) && @fine(@request.data.title)"}"#,
        );
        let id = scene.ada.created("notes", r#"{"title": "a"}"#);
        scene
            .ada
            .create("notes", r#"{"title": "much too long"}"#)
            .refused("44000");
        scene.ada.patch("notes", &id, r#"{"title": "b"}"#).answer();
        scene
            .ada
            .patch("notes", &id, r#"{"title": "much too long"}"#)
            .refused("44000");
    }

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
