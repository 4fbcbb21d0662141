//! Permissions of roles: they narrow what the collection's rules admit, for users of that role and nobody else.

#[pgrx::pg_schema]
mod tests {
    use pgrx::prelude::*;
    use serde_json::{Value, json};

    use crate::tests::scene::{Outcome, Scene, ask, ask_as, quoted, run};

    /// ada is of role 1 (admin), alf of role 2 (user), both in account acme.
    const USER: i64 = 2;

    impl Scene {
        fn try_permit(
            &self,
            role: i64,
            collection: &str,
            operation: &str,
            rule: &str,
            fields: Value,
        ) -> Value {
            let updates = json!({"updates": [{"collection": collection, "operation": operation, "rule": rule, "fields": fields}]});
            let updates = quoted(&updates.to_string());
            self.root
                .ask(
                    "superadmin",
                    &format!("select snackbase.role_permissions_change({role}, {updates})"),
                )
                .json()
        }

        #[track_caller]
        fn permit(&self, role: i64, collection: &str, operation: &str, rule: &str, fields: Value) {
            let answer = self.try_permit(role, collection, operation, rule, fields);
            assert_eq!(
                answer,
                json!({"success_count": 1, "failure_count": 0, "errors": []})
            );
        }

        fn role(&self, statement: &str) -> Outcome {
            self.root.ask("superadmin", statement)
        }
    }

    #[pg_test]
    fn reading_is_narrowed_for_the_role_and_nobody_else() {
        let scene = Scene::with_notes();
        for stars in 1..=4 {
            scene
                .ada
                .created("notes", &format!(r#"{{"title": "n{stars}", "stars": {stars}}}"#));
        }
        scene.rules("notes", r#"{"list_rule": "stars < 4", "view_rule": "stars < 4"}"#);
        let totals = || [&scene.ada, &scene.alf, &scene.root].map(|person| person.total("notes", ""));
        assert_eq!(totals(), [3, 3, 4]);
        scene.permit(USER, "notes", "read", "stars > 1", json!("*"));
        assert_eq!(totals(), [3, 2, 4], "both rules must hold");
        // direct SQL, and the single record
        scene
            .alf
            .ask("list", "select count(id) from snackbase.col_notes")
            .says("2");
        scene
            .alf
            .ask("view", "select count(id) from snackbase.col_notes")
            .says("2");
        let one = ask("select id from snackbase.col_notes where stars = 1").answer();
        scene.alf.view("notes", &one).refused("P0002");
        scene.ada.view("notes", &one).answer();
        // it never widens
        scene.permit(USER, "notes", "read", "", json!("*"));
        assert_eq!(totals(), [3, 3, 4]);
        scene.rules("notes", r#"{"list_rule": null}"#);
        scene.alf.list("notes", "").refused("42501");
    }

    #[pg_test]
    fn a_permission_on_all_collections_adds_to_one_on_this() {
        let scene = Scene::with_notes();
        scene.permit(USER, "*", "read", "@owns_record()", json!("*"));
        scene.permit(USER, "notes", "read", "stars > 1", json!("*"));
        for stars in 1..=3 {
            scene.ada.created("notes", &format!(r#"{{"stars": {stars}}}"#));
            scene.alf.created("notes", &format!(r#"{{"stars": {stars}}}"#));
        }
        assert_eq!(
            (scene.ada.total("notes", ""), scene.alf.total("notes", "")),
            (6, 2)
        );
        // a collection made afterwards is narrowed too, and one whose rules change stays so
        scene.collection(r#"{"name": "later", "fields": [{"name": "a", "type": "text"}], "list_rule": "", "create_rule": ""}"#);
        scene.ada.created("later", "{}");
        assert_eq!(
            (scene.ada.total("later", ""), scene.alf.total("later", "")),
            (1, 0)
        );
        scene.rules("later", r#"{"list_rule": "a IS NULL"}"#);
        assert_eq!(scene.alf.total("later", ""), 0);
        // and it ends with the permission
        let id = ask("select id from snackbase.permissions where collection = '*'").answer();
        scene
            .role(&format!("select snackbase.permission_drop({id})"))
            .answer();
        assert_eq!(
            (scene.alf.total("later", ""), scene.alf.total("notes", "")),
            (1, 4)
        );
    }

    #[pg_test]
    fn writing_is_narrowed() {
        let scene = Scene::with_notes();
        scene.permit(USER, "notes", "create", "stars > 1", json!("*"));
        scene.permit(
            USER,
            "notes",
            "update",
            "@owns_record() && @request.data.stars != 9 && @request.data.title = title",
            json!("*"),
        );
        scene.permit(USER, "notes", "delete", "stars > 2", json!("*"));
        scene.alf.create("notes", r#"{"stars": 1}"#).refused("44000");
        scene
            .alf
            .run("create", "insert into snackbase.col_notes (stars) values (1)")
            .refused("42501");
        scene.ada.create("notes", r#"{"stars": 1}"#).answer();
        let his = scene.alf.created("notes", r#"{"title": "t", "stars": 2}"#);
        let hers = scene.ada.created("notes", r#"{"title": "t", "stars": 3}"#);
        scene
            .alf
            .patch("notes", &hers, r#"{"stars": 5}"#)
            .refused("P0002");
        scene.alf.patch("notes", &his, r#"{"stars": 9}"#).refused("44000");
        scene
            .alf
            .patch("notes", &his, r#"{"title": "other"}"#)
            .refused("44000");
        scene
            .alf
            .run("update", "update snackbase.col_notes set title = 'other'")
            .refused("44000");
        scene
            .alf
            .run("update", "update snackbase.col_notes set stars = 2")
            .says("1");
        scene
            .ada
            .patch("notes", &his, r#"{"title": "other", "stars": 9}"#)
            .answer();
        scene.ada.patch("notes", &his, r#"{"stars": 2}"#).answer();
        scene.alf.delete("notes", &his).refused("P0002");
        scene
            .alf
            .run("delete", "delete from snackbase.col_notes")
            .says("1");
        scene.root.delete("notes", &his).answer();
    }

    #[pg_test]
    fn fields_intersect_with_the_list_of_the_operation() {
        let scene = Scene::new();
        scene.collection(
            r#"{"name": "notes", "fields": [{"name": "title", "type": "text", "default": "new"}, {"name": "stars", "type": "number"},
                 {"name": "inner", "type": "text"}, {"name": "twice", "type": "computed", "expression": "stars * 2", "return_type": "number"}],
                "list_rule": "", "view_rule": "", "create_rule": "", "update_rule": "", "list_fields": ["title", "stars", "twice"]}"#,
        );
        scene.permit(USER, "notes", "read", "", json!(["title", "inner"]));
        scene.permit(USER, "notes", "create", "", json!(["title", "stars"]));
        scene.permit(USER, "notes", "update", "", json!(["stars"]));
        let id = scene
            .ada
            .created("notes", r#"{"title": "t", "stars": 1, "inner": "secret"}"#);
        let keys = |record: &Value| {
            record
                .as_object()
                .expect("a record")
                .keys()
                .cloned()
                .collect::<Vec<_>>()
                .join(" ")
        };
        let fields = |text: String| {
            text.split(' ')
                .filter(|key| ["title", "stars", "inner", "twice"].contains(key))
                .map(str::to_owned)
                .collect::<Vec<_>>()
        };
        let listed =
            |person: &crate::tests::scene::Person| fields(keys(&person.list("notes", "").json()["items"][0]));
        assert_eq!(
            listed(&scene.alf),
            ["title"],
            "inner is not in list_fields, stars not in the permission"
        );
        assert_eq!(listed(&scene.ada), ["title", "stars", "twice"]);
        assert_eq!(listed(&scene.alf), ["title"], "whoever asked before");
        assert_eq!(
            fields(keys(&scene.alf.view("notes", &id).json())),
            ["title", "inner"]
        );
        // a field that is not there is not there for filters and sorting
        scene.alf.list("notes", "stars = 1").refused("22023");
        scene.alf.list("notes", "twice = 2").refused("22023");
        scene.ada.list("notes", "stars = 1").answer();
        // writing: through the records functions
        for (outcome, unauthorized) in [
            (
                scene.alf.create("notes", r#"{"inner": "x", "title": "y"}"#),
                "inner",
            ),
            (scene.alf.patch("notes", &id, r#"{"title": "y"}"#), "title"),
        ] {
            let refusal = outcome.refused("42501");
            assert_eq!(
                refusal.json()["unauthorized_fields"],
                json!([unauthorized]),
                "{refusal:?}"
            );
        }
        let made = scene.alf.created("notes", r#"{"stars": 2}"#);
        scene.alf.patch("notes", &made, r#"{"stars": 3}"#).answer();
        scene.alf.put("notes", &made, r#"{"stars": 4}"#).answer();
        ask(&format!(
            "select title || stars from snackbase.col_notes where id = '{made}'"
        ))
        .says("new4");
        // … and by SQL
        for (operation, statement) in [
            (
                "create",
                "insert into snackbase.col_notes (inner) values ('x')".replace("inner", "\"inner\""),
            ),
            ("update", "update snackbase.col_notes set title = 'x'".to_owned()),
            (
                "update",
                "update snackbase.col_notes set \"inner\" = null".to_owned(),
            ),
        ] {
            scene
                .alf
                .run(operation, &statement)
                .refused("42501")
                .saying("Field access denied");
            scene.ada.run(operation, &statement).answer();
        }
        scene
            .alf
            .run(
                "create",
                "insert into snackbase.col_notes (title, stars) values ('x', 1)",
            )
            .says("1");
        scene
            .alf
            .run(
                "update",
                "update snackbase.col_notes set stars = stars + 1, title = title",
            )
            .answer();
        scene.root.patch("notes", &id, r#"{"inner": "z"}"#).answer();
    }

    #[pg_test]
    fn visitors_superadmins_and_bi_logins_carry_no_role() {
        let scene = Scene::with_notes();
        for role in [1, 2] {
            scene.permit(role, "*", "read", "false", json!("*"));
        }
        scene.ada.created("notes", r#"{"title": "a"}"#);
        assert_eq!(
            [&scene.ada, &scene.alf, &scene.visitor, &scene.root].map(|person| person.total("notes", "")),
            [0, 0, 1, 1]
        );
        run("select snackbase.bi_role_create('permitted_reports', 'acme', 'x')").answer();
        ask_as("permitted_reports", "select count(*) from snackbase_bi.notes").says("1");
        run("select snackbase.bi_role_drop('permitted_reports')").answer();
    }

    #[pg_test]
    fn the_role_is_asked_once_and_indexes_remain() {
        let scene = Scene::with_notes();
        for role in [1, 2] {
            scene.permit(role, "notes", "read", &format!("stars > {role}"), json!("*"));
            scene.permit(role, "*", "read", "created_by != \"nobody\"", json!("*"));
        }
        run("set local enable_seqscan = off").answer();
        let plan = scene
            .ada
            .ask(
                "list",
                "explain (costs off) select id from snackbase.col_notes where created_at > now()",
            )
            .plan();
        // ($0 up to PostgreSQL 16)
        let conditions =
            ["$0", "(InitPlan 1).col1"].map(|value| format!("Index Cond: ((account_id = {value})"));
        assert!(
            conditions.iter().any(|condition| plan.contains(condition)),
            "{plan}"
        );
        let asked = plan
            .lines()
            .filter(|line| line.trim_start().starts_with("InitPlan "));
        assert_eq!(asked.count(), 2, "account and role:\n{plan}");
        run("set local enable_seqscan = on").answer();
    }

    #[pg_test]
    fn what_does_not_compile_is_counted_and_said() {
        let scene = Scene::with_notes();
        let updates = json!({"updates": [
            {"collection": "notes", "operation": "read", "rule": "nosuch = 1", "fields": "*"},
            {"collection": "nosuch", "operation": "read", "rule": "", "fields": "*"},
            {"collection": "notes", "operation": "read", "rule": "  ", "fields": "*"},
            {"collection": "notes", "operation": "read", "rule": "@request.data.title = 'a'", "fields": "*"},
            {"collection": "*", "operation": "read", "rule": "title = 'a'", "fields": "*"},
            {"collection": "notes", "operation": "update", "rule": "true", "fields": ["nosuch"]},
            {"collection": "notes", "operation": "delete", "rule": "stars > 1", "fields": "*"},
        ]});
        let answer = scene
            .role(&format!(
                "select snackbase.role_permissions_change(2, {})",
                quoted(&updates.to_string())
            ))
            .json();
        assert_eq!(
            (&answer["success_count"], &answer["failure_count"]),
            (&json!(1), &json!(6)),
            "{answer}"
        );
        assert!(
            answer["errors"][0]
                .as_str()
                .expect("a text")
                .contains("notes read: "),
            "{answer}"
        );
        ask("select string_agg(collection || rules::text, ',') from snackbase.permissions")
            .says(r#"notes{"delete": {"rule": "stars > 1", "fields": "*"}}"#);
        for broken in [
            json!({}),
            json!({"updates": [{"collection": "notes", "operation": "list", "rule": ""}]}),
            json!({"updates": [1]}),
            json!({"updates": [{"collection": "notes", "operation": "read", "rule": null}]}),
        ] {
            scene
                .role(&format!(
                    "select snackbase.role_permissions_change(2, {})",
                    quoted(&broken.to_string())
                ))
                .refused("22P02");
        }
        scene
            .role("select snackbase.role_permissions_change(99, '{\"updates\": []}')")
            .refused("P0002");
        scene
            .ada
            .ask(
                "member",
                "select snackbase._permission_set(2, 'notes', 'read', '', '\"*\"')",
            )
            .refused("42501");
        scene
            .ada
            .ask("superadmin", "select snackbase.permission_drop(1)")
            .refused_any();
    }

    #[pg_test]
    fn macros_in_permissions_count_as_used_and_follow_changes() {
        let scene = Scene::with_notes();
        let make = |name: &str, body: &str| {
            let definition = quoted(&json!({"name": name, "sql_query": body}).to_string());
            scene
                .role(&format!("select snackbase.macro_create({definition})"))
                .json()["id"]
                .as_i64()
                .expect("an id")
        };
        let id = make("few", "stars < 2");
        scene.permit(USER, "notes", "read", "@few", json!("*"));
        scene.ada.created("notes", r#"{"stars": 2}"#);
        assert_eq!(scene.alf.total("notes", ""), 0);
        let change = |body: &str| {
            scene.role(&format!(
                "select snackbase.macro_change({id}, {})",
                quoted(&json!({"sql_query": body}).to_string())
            ))
        };
        change("stars > 1").answer();
        assert_eq!(scene.alf.total("notes", ""), 1);
        let refusal = change("nosuch > 1").refused("22023");
        assert!(
            refusal
                .message
                .contains("read permission of role 'user' on collection 'notes'"),
            "{refusal:?}"
        );
        scene
            .role(&format!("select snackbase.macro_drop({id})"))
            .refused("23503")
            .saying("Cannot delete macro 'few': it is used in 1 collection rule(s)");
        scene.role("select snackbase.collection_drop('notes')").answer();
        ask("select count(*) from snackbase.permissions").says("0");
        scene.role(&format!("select snackbase.macro_drop({id})")).answer();
    }

    #[pg_test]
    fn a_rule_may_ask_for_a_permission() {
        let scene = Scene::with_notes();
        scene.rules("notes", r#"{"list_rule": "@has_permission(\"read\", \"notes\")", "view_rule": "!@has_permission('delete', 'other')"}"#);
        let id = scene.ada.created("notes", r#"{"title": "a"}"#);
        assert_eq!(
            (scene.ada.total("notes", ""), scene.alf.total("notes", "")),
            (0, 0)
        );
        scene.permit(USER, "notes", "read", "", json!("*"));
        assert_eq!(
            (scene.ada.total("notes", ""), scene.alf.total("notes", "")),
            (0, 1)
        );
        scene.alf.view("notes", &id).answer();
        scene.permit(USER, "*", "delete", "false", json!("*"));
        scene.alf.view("notes", &id).refused("P0002");
        scene.ada.view("notes", &id).answer();
    }

    #[pg_test]
    fn roles_are_created_changed_and_deleted() {
        let scene = Scene::with_notes();
        let made = scene
            .role("select snackbase.role_create('{\"name\": \" editor \", \"description\": \"d\"}')")
            .json();
        let id = made["id"].as_i64().expect("an id");
        assert_eq!(
            (&made["name"], &made["collections_count"]),
            (&json!("editor"), &json!(0))
        );
        scene.permit(id, "notes", "read", "", json!(["title"]));
        let changed = scene
            .role(&format!(
                "select snackbase.role_change({id}, '{{\"name\": \"writer\"}}')"
            ))
            .json();
        assert_eq!(
            (
                &changed["name"],
                &changed["description"],
                &changed["collections_count"]
            ),
            (&json!("writer"), &json!("d"), &json!(1))
        );
        let shown = scene
            .role(&format!("select snackbase.role_permissions({id})"))
            .json();
        let entry = &shown["permissions"][0];
        assert_eq!(
            (
                &shown["role_name"],
                &entry["collection"],
                &entry["read"],
                &entry["create"]
            ),
            (
                &json!("writer"),
                &json!("notes"),
                &json!({"rule": "", "fields": ["title"]}),
                &Value::Null
            )
        );
        assert_eq!(
            scene.role("select snackbase.role_permissions_matrix(1)").json()["permissions"][0]["permission_id"],
            Value::Null
        );
        for (statement, code) in [
            ("select snackbase.role_create('{\"name\": \"writer\"}')", "23505"),
            ("select snackbase.role_create('{\"name\": \"  \"}')", "22P02"),
            ("select snackbase.role_create('{}')", "22P02"),
            ("select snackbase.role_create('{\"name\": 1}')", "22P02"),
            ("select snackbase.role_create('[]')", "22P02"),
            ("select snackbase.role_change(1, '{\"name\": \"root\"}')", "22P02"),
            ("select snackbase.role_drop(1)", "22P02"),
            ("select snackbase.role_drop(99)", "P0002"),
            ("select snackbase.role_view(99)", "P0002"),
            ("select snackbase.permission_drop(99)", "P0002"),
        ] {
            scene.role(statement).refused(code);
        }
        run(&format!(
            "update snackbase.users set role_id = {id} where email = 'alf@example.com'"
        ))
        .answer();
        scene
            .role(&format!("select snackbase.role_drop({id})"))
            .refused("23503");
        run("update snackbase.users set role_id = 2 where email = 'alf@example.com'").answer();
        scene.role(&format!("select snackbase.role_drop({id})")).answer();
        ask("select count(*) from snackbase.permissions").says("0");
        ask("select count(*) from pg_policy where polname like 'role\\_%'").says("0");
    }
}
