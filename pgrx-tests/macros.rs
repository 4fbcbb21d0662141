//! Custom macros: rules that call them, what a body may do, and what happens to rules when a macro changes.

#[pgrx::pg_schema]
pub mod tests {
    use pgrx::prelude::*;
    use serde_json::json;

    use crate::tests::scene::{Outcome, Scene, ask, quoted, run};

    impl Scene {
        /// Tries to create a macro.
        pub(in crate::tests) fn try_macro(&self, name: &str, body: &str, parameters: &[&str]) -> Outcome {
            let definition = json!({"name": name, "sql_query": body, "parameters": parameters}).to_string();
            self.root.ask(
                "superadmin",
                &format!("select snackbase.macro_create({})", quoted(&definition)),
            )
        }

        /// Creates a macro; its id.
        #[track_caller]
        pub(in crate::tests) fn with_macro(&self, name: &str, body: &str, parameters: &[&str]) -> i64 {
            self.try_macro(name, body, parameters).json()["id"]
                .as_i64()
                .expect("an id")
        }

        pub(in crate::tests) fn change_macro(&self, id: i64, changes: serde_json::Value) -> Outcome {
            let changes = quoted(&changes.to_string());
            self.root.ask(
                "superadmin",
                &format!("select snackbase.macro_change({id}, {changes})"),
            )
        }

        pub(in crate::tests) fn drop_macro(&self, id: i64) -> Outcome {
            self.root
                .ask("superadmin", &format!("select snackbase.macro_drop({id})"))
        }

        pub(in crate::tests) fn test_macro(&self, id: i64, arguments: serde_json::Value) -> Outcome {
            let arguments = quoted(&json!({"parameters": arguments}).to_string());
            self.root.ask(
                "superadmin",
                &format!("select snackbase.macro_test({id}, {arguments})"),
            )
        }

        pub(in crate::tests) fn try_rules(&self, collection: &str, changes: serde_json::Value) -> Outcome {
            let changes = quoted(&changes.to_string());
            self.root.ask(
                "superadmin",
                &format!("select snackbase.collection_rules_change('{collection}', {changes})"),
            )
        }
    }

    /// The body of a macro: has this note more than three stars?
    pub const STARRED: &str = "select exists (select from col_notes n where n.id = $1::uuid and n.stars > 3)";

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
        // The function itself is for nobody: not everything that it calls is known to only read.
        scene
            .ada
            .ask("list", "select snackbase.macro_odd('1', 'false')")
            .refused("42501");
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
}
