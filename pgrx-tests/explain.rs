//! Rules under examination: validated, tried on invented records, and explained for a record and a caller.

#[pgrx::pg_schema]
mod tests {
    use pgrx::prelude::*;
    use serde_json::{Value, json};

    use crate::tests::scene::{Outcome, Person, Scene, ask, quoted, run};

    impl Scene {
        fn try_rule(&self, rule: &str, context: Value) -> Outcome {
            let context = quoted(&context.to_string());
            self.root.ask(
                "superadmin",
                &format!("select snackbase.rules_test({}, {context})", quoted(rule)),
            )
        }

        fn validated(&self, rule: &str, operation: &str, fields: &str, collection: &str) -> Value {
            self.root
                .ask(
                    "superadmin",
                    &format!(
                        "select snackbase.rules_validate({}, '{operation}', {fields}, {collection})",
                        quoted(rule)
                    ),
                )
                .json()
        }

        fn explained(&self, operation: &str, id: &str, person: &Person) -> Value {
            self.root
                .ask(
                    "superadmin",
                    &format!("select string_agg(line, '') from (select snackbase.explain_rule('notes', '{operation}', '{id}', {})::text as line) l", quoted(person.caller())),
                )
                .json()
        }
    }

    #[pg_test]
    fn a_rule_is_validated_with_and_without_types() {
        let scene = Scene::with_notes();
        assert_eq!(
            scene.validated("stars = 1", "list", "'[\"stars\"]'", "null"),
            json!({"valid": true, "diagnostics": []})
        );
        let answer = scene.validated("nosuch = 1 && stars = \"x\"", "list", "'[\"stars\"]'", "null");
        assert_eq!(
            (&answer["valid"], answer["errors"].as_array().map(Vec::len)),
            (&json!(false), Some(1)),
            "types are not known"
        );
        assert_eq!(
            (
                &answer["diagnostics"][0]["code"],
                &answer["diagnostics"][0]["position"]
            ),
            (&json!("unknown_field"), &json!(0))
        );
        let answer = scene.validated("nosuch = 1 && stars = \"x\"", "list", "'[\"stars\"]'", "'notes'");
        assert_eq!(answer["diagnostics"][1]["code"], "type_mismatch", "{answer}");
        let answer = scene.validated("title = null", "list", "null", "'notes'");
        assert_eq!(
            (&answer["valid"], answer["warnings"].as_array().map(Vec::len)),
            (&json!(true), Some(1))
        );
        assert_eq!(
            scene.validated("anything = 1", "list", "null", "null")["valid"],
            true
        );
        assert_eq!(
            scene.validated("@request.data.a = 1", "list", "'[\"a\"]'", "null")["valid"],
            false
        );
        assert_eq!(
            scene.validated("@request.data.a = 1", "update", "'[\"a\"]'", "null")["valid"],
            true
        );
        assert_eq!(scene.validated("", "list", "'[]'", "null")["valid"], true);
        scene
            .ada
            .ask(
                "member",
                "select snackbase.rules_validate('', 'list', null, null)",
            )
            .refused("42501");
    }

    #[pg_test]
    fn a_rule_is_tried_on_an_invented_record() {
        let scene = Scene::with_notes();
        let definition =
            quoted(&json!({"name": "is_me", "sql_query": "select $1 = @request.auth.id"}).to_string());
        scene
            .root
            .ask(
                "superadmin",
                &format!("select snackbase.macro_create({definition})"),
            )
            .answer();
        let auth = json!({"id": "u1", "email": "u@example.com", "role": "editor", "account_id": "8a5e7e5c-1111-4222-8333-444455556666", "groups": ["staff"]});
        for (rule, context, expected) in [
            ("", json!({}), true),
            ("status = \"x\"", json!({"status": "x"}), true),
            ("status = \"x\"", json!({"record": {"status": "y"}}), false),
            ("status = \"x\"", json!({"status": "x", "auth": null}), false),
            (
                "created_by = @request.auth.id",
                json!({"auth": auth, "record": {"created_by": "u1"}}),
                true,
            ),
            ("@owns_record", json!({"auth": auth, "created_by": "u2"}), false),
            (
                "@has_role(\"editor\") && @has_group(\"staff\")",
                json!({"auth": auth}),
                true,
            ),
            (
                "@has_group(\"pii_access\") || @has_role(\"admin\")",
                json!({"auth": auth}),
                false,
            ),
            (
                "@request.auth.email = \"u@example.com\"",
                json!({"auth": auth}),
                true,
            ),
            (
                "@is_me(created_by)",
                json!({"auth": auth, "created_by": "u1"}),
                true,
            ),
            ("id = \"1\"", json!({"id": "1"}), true),
            (
                "views > 1 && views < 3 && !(active = false)",
                json!({"views": 2, "active": true}),
                true,
            ),
            (
                "owner IS NULL && views IS NULL && (views > 1 || views IS NULL)",
                json!({"owner": null, "views": null}),
                true,
            ),
            (
                "@request.data.status != \"done\" && status = \"open\"",
                json!({"record": {"status": "open"}, "data": {"status": "late"}}),
                true,
            ),
            (
                "@request.data.owner = owner",
                json!({"record": {"owner": "a"}, "data": {"owner": "b"}}),
                false,
            ),
            (
                "@request.data.owner = owner",
                json!({"record": {"owner": "a"}, "data": {"title": "b"}}),
                true,
            ),
            (
                "@request.data.stars > 1",
                json!({"data": {"stars": 2}, "operation": "create"}),
                true,
            ),
            (
                "stars > 1 && title IS NULL",
                json!({"record": {"stars": 2}, "collection": "notes"}),
                true,
            ),
        ] {
            let answer = scene.try_rule(rule, context.clone()).json();
            assert_eq!(answer, json!({"result": expected}), "{rule} {context}");
        }
    }

    #[pg_test]
    fn a_trial_that_cannot_be_made_is_refused_without_its_values() {
        let scene = Scene::with_notes();
        for (rule, context, code) in [
            ("nosuch = 1", json!({}), "22023"),
            ("title = = 1", json!({"title": "a"}), "22023"),
            (
                "stars > 1",
                json!({"record": {"stars": "classified"}, "collection": "notes"}),
                "22023",
            ),
            ("true", json!([]), "22023"),
            ("true", json!({"auth": {"id": 1}}), "22023"),
            ("true", json!({"operation": "peek"}), "22023"),
            ("true", json!({"collection": "nosuch"}), "P0002"),
        ] {
            let refusal = scene.try_rule(rule, context.clone()).refused(code);
            assert!(!refusal.message.contains("classified"), "{refusal:?}");
        }
        let slow = json!({"name": "slow", "sql_query": "select count(*) > 0 from generate_series(1, 100000000) a, generate_series(1, 100) b"});
        scene
            .root
            .ask(
                "superadmin",
                &format!("select snackbase.macro_create({})", quoted(&slow.to_string())),
            )
            .answer();
        let refusal = scene.try_rule("@slow", json!({})).refused("22023");
        assert!(refusal.message.contains("1 second"), "{refusal:?}");
        ask("select 1").says("1");
        scene
            .ada
            .ask("member", "select snackbase.rules_test('true', '{}')")
            .refused("42501");
    }

    #[pg_test]
    fn an_identity_on_trial_is_not_left_behind() {
        let scene = Scene::with_notes();
        let who = "select coalesce(snackbase.current_user_id(), 'nobody') || snackbase.current_account_id()";
        let before = scene.root.ask("superadmin", who).answer();
        // Within one transaction, after an error that unwound through the trial, and after one that did not fail.
        let statement = format!(
            "select (select snackbase.rules_test('true', '{{\"auth\": {{\"id\": \"other\"}}}}'))::text || ({who})"
        );
        assert!(
            scene
                .root
                .ask("superadmin", &statement)
                .answer()
                .ends_with(&before)
        );
        run("create function public.after_failure() returns text language plpgsql as $f$
             begin
                 perform snackbase.rules_test('a > 1', '{\"auth\": {\"id\": \"other\"}, \"record\": {\"a\": 1, \"created_at\": \"no time\"}}');
                 return 'did not fail';
             exception when others then
                 return coalesce(snackbase.current_user_id(), 'nobody') || snackbase.current_account_id();
             end $f$").answer();
        scene
            .root
            .ask("superadmin", "select public.after_failure()")
            .says(&before);
    }

    #[pg_test]
    fn an_explanation_names_the_clauses_that_decided() {
        let scene = Scene::with_notes();
        let definition = quoted(&json!({"name": "good", "sql_query": "stars > $1"}).to_string());
        scene
            .root
            .ask(
                "superadmin",
                &format!("select snackbase.macro_create({definition})"),
            )
            .answer();
        scene.rules(
            "notes",
            r#"{"list_rule": "title = \"open\" || @owns_record() && @good(3)"}"#,
        );
        let id = scene.ada.created("notes", r#"{"title": "draft", "stars": 1}"#);
        let answer = scene.explained("list", &id, &scene.ada);
        assert_eq!(answer["verdict"], "denied");
        assert_eq!(
            answer["because"],
            "list_rule is false: title = \"open\" is false and @good(3) stands for stars > 3 is false."
        );
        let tree = &answer["rule"]["clauses"];
        assert_eq!(
            (&tree["position"], &tree["length"], &tree["value"]),
            (&json!(0), &json!(44), &json!(false))
        );
        let owns = &tree["or"][1]["and"][0];
        assert_eq!(
            (&owns["text"], &owns["position"], &owns["value"]),
            (&json!("@owns_record()"), &json!(18), &json!(true))
        );
        assert_eq!(tree["or"][1]["and"][1]["macro"][0]["text"], "stars > 3");
        assert!(
            answer["plan"]
                .as_array()
                .is_some_and(|plan| plan.iter().any(|line| line
                    .as_str()
                    .is_some_and(|line| line.contains("current_account_id") || line.contains("InitPlan")))),
            "{answer}"
        );
        assert_eq!(answer["caller"]["role"], "admin");
        let keys: Vec<&String> = answer.as_object().expect("an object").keys().take(5).collect();
        assert_eq!(
            keys,
            ["collection", "operation", "record_id", "verdict", "because"]
        );
        // the other states
        assert!(
            scene.explained("list", &id, &scene.bob)["because"]
                .as_str()
                .expect("text")
                .contains("another account")
        );
        assert!(
            scene.explained("list", &id, &scene.visitor)["because"]
                .as_str()
                .expect("text")
                .contains("visitor")
        );
        assert!(
            scene.explained("list", &id, &scene.root)["because"]
                .as_str()
                .expect("text")
                .contains("Superadmins")
        );
        scene.rules("notes", r#"{"list_rule": null, "view_rule": ""}"#);
        assert!(
            scene.explained("list", &id, &scene.ada)["because"]
                .as_str()
                .expect("text")
                .contains("locked")
        );
        assert_eq!(
            scene.explained("view", &id, &scene.visitor)["verdict"],
            "admitted"
        );
    }

    /// The verdicts on a record, and what happens when the person tries.
    fn agree(scene: &Scene, person: &Person, id: &str, words: &str) {
        let admitted = |operation: &str| scene.explained(operation, id, person)["verdict"] == "admitted";
        let count = |operation: &str| {
            person
                .ask(
                    operation,
                    &format!("select count(*) from (select id from snackbase.col_notes where id = '{id}') r"),
                )
                .answer()
                == "1"
        };
        assert_eq!(admitted("list"), count("list"), "list {words}");
        assert_eq!(admitted("view"), count("view"), "view {words}");
        let (update, delete) = (admitted("update"), admitted("delete"));
        let touched = match person.run(
            "update",
            &format!("update snackbase.col_notes set updated_at = updated_at where id = '{id}'"),
        ) {
            Outcome::Answer(rows) => rows == "1",
            Outcome::Refused(_) => false,
        };
        assert_eq!(update, touched, "update {words}");
        let create = admitted("create");
        let row = ask(&format!("select coalesce(quote_literal(title), 'null') || ', ' || coalesce(stars::text, 'null') from snackbase.col_notes where id = '{id}'")).answer();
        let owner = ask(&format!(
            "select created_by from snackbase.col_notes where id = '{id}'"
        ))
        .answer();
        // A new row is the person's own, so the comparison is fair for a record of theirs only.
        if owner == person.id {
            let inserted = matches!(
                person.run(
                    "create",
                    &format!("insert into snackbase.col_notes (title, stars) values ({row})")
                ),
                Outcome::Answer(_)
            );
            assert_eq!(create, inserted, "create {words}");
        }
        let gone = person
            .run(
                "delete",
                &format!("delete from snackbase.col_notes where id = '{id}'"),
            )
            .answer()
            == "1";
        assert_eq!(delete, gone, "delete {words}");
    }

    #[pg_test]
    fn the_verdict_is_what_enforcement_does() {
        let scene = Scene::with_notes();
        let make = |name: &str, body: &str| {
            let definition = quoted(&json!({"name": name, "sql_query": body}).to_string());
            scene
                .root
                .ask(
                    "superadmin",
                    &format!("select snackbase.macro_create({definition})"),
                )
                .answer();
        };
        make("few", "select $1::float8 < 3");
        make("other_notes", "select count(*) > 1 from col_notes");
        let rules = [
            "null",
            "\"\"",
            "\"stars > 2\"",
            "\"@owns_record()\"",
            "\"title = 'a' && !(stars = 2)\"",
            "\"@has_role('user')\"",
            "\"@few(stars) || @other_notes\"",
            "\"title IS NULL\"",
            "\"created_by = @request.auth.id && stars IN (1, 2)\"",
            "\"@has_permission('read', 'notes')\"",
            "\"true\"",
        ];
        let permissions = [
            None,
            Some("stars > 1"),
            Some("@owns_record"),
            Some("title = 'a' || @few(stars)"),
        ];
        let mut cases = 0;
        for (number, rule) in rules.iter().enumerate() {
            scene.rules("notes", &format!(r#"{{"list_rule": {rule}, "view_rule": {rule}, "create_rule": {rule}, "update_rule": {rule}, "delete_rule": {rule}}}"#));
            let permission = permissions[number % permissions.len()];
            run("delete from snackbase.permissions").answer();
            if let Some(permission) = permission {
                let updates: Vec<Value> = ["create", "read", "update", "delete"].iter().map(|act| json!({"collection": "notes", "operation": act, "rule": permission, "fields": "*"})).collect();
                let updates = quoted(&json!({"updates": updates}).to_string());
                scene
                    .root
                    .ask(
                        "superadmin",
                        &format!("select snackbase.role_permissions_change(2, {updates})"),
                    )
                    .answer();
            }
            for (title, stars) in [("'a'", 1), ("'a'", 2), ("null", 3)] {
                for (maker, person) in [
                    (&scene.ada, &scene.ada),
                    (&scene.ada, &scene.alf),
                    (&scene.alf, &scene.alf),
                    (&scene.ada, &scene.visitor),
                    (&scene.bob, &scene.ada),
                ] {
                    // Written by the administrator under the maker's identity, whatever the create rule says.
                    let id = ask(&format!(
                        "with who as materialized (
                             select set_config('snackbase.account_id', '{}', true), set_config('snackbase.user_id', '{}', true),
                                    set_config('snackbase.auth_method', 'jwt', true))
                         insert into snackbase.col_notes (title, stars) select {title}, {stars} from who returning id",
                        maker.account, maker.id
                    ))
                    .answer();
                    agree(
                        &scene,
                        person,
                        &id,
                        &format!("{rule} {permission:?} {title} {stars}"),
                    );
                    run("delete from snackbase.col_notes").answer();
                    cases += 1;
                }
            }
        }
        assert_eq!(cases, 165);
    }

    #[pg_test]
    fn parts_that_compare_both_rows_count_too() {
        let scene = Scene::with_notes();
        scene.rules(
            "notes",
            r#"{"update_rule": "@request.data.stars > stars || @owns_record"}"#,
        );
        let id = scene.ada.created("notes", r#"{"stars": 1}"#);
        assert_eq!(scene.explained("update", &id, &scene.ada)["verdict"], "admitted");
        let answer = scene.explained("update", &id, &scene.alf);
        assert_eq!(answer["verdict"], "denied", "{answer}");
        scene
            .alf
            .run("update", "update snackbase.col_notes set updated_at = updated_at")
            .refused("44000");
    }

    #[pg_test]
    fn explanations_are_for_superadmins() {
        let scene = Scene::with_notes();
        let id = scene.ada.created("notes", "{}");
        let statement = format!(
            "select snackbase.explain_rule('notes', 'view', '{id}', {})",
            quoted(scene.ada.caller())
        );
        for operation in ["view", "list", "member"] {
            scene.ada.ask(operation, &statement).refused("42501");
        }
        // an administrator in psql may
        assert_eq!(ask(&statement).json()["verdict"], "admitted");
        for (collection, operation, record, caller, code) in [
            ("nosuch", "view", id.as_str(), scene.ada.caller(), "P0002"),
            ("notes", "peek", &id, scene.ada.caller(), "22023"),
            ("notes", "view", "no-uuid", scene.ada.caller(), "P0002"),
            (
                "notes",
                "view",
                "8a5e7e5c-1111-4222-8333-444455556666",
                scene.ada.caller(),
                "P0002",
            ),
            (
                "notes",
                "view",
                &id,
                r#"{"kind": "user", "user_id": "x", "account_id": "y"}"#,
                "28000",
            ),
            ("notes", "view", &id, "{}", "22023"),
        ] {
            ask(&format!(
                "select snackbase.explain_rule('{collection}', '{operation}', '{record}', {})",
                quoted(caller)
            ))
            .refused(code);
        }
        ask("select snackbase.current_user_id()").says("null");
    }
}
