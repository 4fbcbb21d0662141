//! Field lists as column grants: a hidden field can be neither read nor filtered by nor written.

#[pgrx::pg_schema]
mod tests {
    use pgrx::prelude::*;

    use crate::tests::scene::{Scene, ask};

    /// Public `people`; salary is in no list, mail in all but the writers'.
    fn with_people() -> (Scene, String) {
        let scene = Scene::new();
        scene.collection(
            r#"{"name": "people",
                "fields": [{"name": "name", "type": "text"}, {"name": "mail", "type": "email"},
                           {"name": "salary", "type": "number", "default": 1000}],
                "list_rule": "", "view_rule": "", "create_rule": "", "update_rule": "", "delete_rule": "",
                "list_fields": ["name"], "view_fields": ["name", "mail"],
                "create_fields": ["name"], "update_fields": "[\"mail\"]"}"#,
        );
        let id = scene.root.created(
            "people",
            &format!(
                r#"{{"name": "Ann", "mail": "ann@example.com", "salary": 5000, "account_id": "{}"}}"#,
                scene.ada.account
            ),
        );
        (scene, id)
    }

    /// The keys of a record, joined.
    fn keys(record: &serde_json::Value) -> String {
        record
            .as_object()
            .expect("a record is an object")
            .keys()
            .map(String::as_str)
            .collect::<Vec<_>>()
            .join(" ")
    }

    #[pg_test]
    fn each_operation_shows_the_fields_of_its_list() {
        let (scene, id) = with_people();
        let page = scene.ada.list("people", "").json();
        assert_eq!(
            keys(&page["items"][0]),
            "id account_id name created_at updated_at created_by updated_by account_name"
        );
        assert!(page["items"][0]["account_name"].is_null());
        assert_eq!(
            keys(&scene.ada.view("people", &id).json()),
            "id account_id name mail created_at updated_at created_by updated_by"
        );
        assert_eq!(
            keys(&scene.ada.create("people", r#"{"name": "Bea"}"#).json()),
            "id account_id name created_at updated_at created_by updated_by"
        );
        assert_eq!(
            keys(
                &scene
                    .ada
                    .patch("people", &id, r#"{"mail": "a@example.com"}"#)
                    .json()
            ),
            "id account_id mail created_at updated_at created_by updated_by"
        );
        assert_eq!(
            keys(&scene.root.view("people", &id).json()),
            "id account_id name mail salary created_at updated_at created_by updated_by"
        );
    }

    #[pg_test]
    fn a_hidden_column_cannot_be_selected() {
        let (scene, _) = with_people();
        let select = |operation: &str, column: &str| {
            scene
                .ada
                .ask(operation, &format!("select {column} from snackbase.col_people"))
        };
        for (operation, shown, hidden) in [
            ("list", &["name"][..], &["mail", "salary", "*"][..]),
            ("view", &["name", "mail"], &["salary", "*"]),
            ("create", &["name"], &["mail", "salary"]),
            ("update", &["mail"], &["name", "salary"]),
            (
                "delete",
                &["id", "account_id"],
                &["name", "mail", "salary", "created_by"],
            ),
        ] {
            for column in shown {
                select(operation, column).answer();
            }
            for column in hidden {
                select(operation, column).refused("42501");
            }
        }
    }

    #[pg_test]
    fn a_hidden_column_leaks_through_no_other_clause() {
        let (scene, _) = with_people();
        for statement in [
            "select name from snackbase.col_people where salary > 0",
            "select name from snackbase.col_people order by salary",
            "select count(salary) from snackbase.col_people",
            "select name from snackbase.col_people p where (p.*) is not null",
            "select row_to_json(p) from snackbase.col_people p",
            "select p from snackbase.col_people p",
            "select name from snackbase.col_people group by name, salary",
            "select a.name from snackbase.col_people a join snackbase.col_people b using (salary)",
        ] {
            scene.ada.ask("list", statement).refused("42501");
        }
        run_analyze();
        scene
            .ada
            .ask(
                "list",
                "select count(*) from pg_stats where tablename = 'col_people' and attname = 'salary'",
            )
            .says("0");
    }

    fn run_analyze() {
        crate::tests::scene::run("analyze snackbase.col_people").answer();
    }

    #[pg_test]
    fn a_hidden_field_is_unknown_to_filters_and_ignored_by_sort_and_fields() {
        let (scene, _) = with_people();
        for filter in ["salary > 0", r#"mail = "ann@example.com""#, "salary is null"] {
            let refusal = scene.ada.list("people", filter).refused("22023");
            assert_eq!(refusal.json()["errors"][0]["code"], "unknown_field");
            assert_eq!(refusal.json()["error"], "Invalid filter expression");
        }
        assert_eq!(scene.root.total("people", "salary = 5000"), 1);
        let page = scene
            .ada
            .ask(
                "list",
                "select snackbase.records_list('people', null, '-salary,name', null, null, 'salary,name')",
            )
            .json();
        assert_eq!(
            keys(&page["items"][0]),
            "id account_id name created_at updated_at created_by updated_by account_name"
        );
    }

    #[pg_test]
    fn a_hidden_field_cannot_be_written() {
        let (scene, id) = with_people();
        let refusal = scene
            .ada
            .create(
                "people",
                r#"{"name": "Bea", "salary": 9, "mail": "b@example.com"}"#,
            )
            .refused("42501");
        assert_eq!(
            refusal.json(),
            serde_json::json!({
                "error": "Field access denied", "message": "These fields may not be set here: mail, salary",
                "unauthorized_fields": ["mail", "salary"], "allowed_fields": ["name"], "field_type": "restricted",
            })
        );
        let refusal = scene
            .ada
            .patch("people", &id, r#"{"name": "Bea"}"#)
            .refused("42501");
        assert_eq!(refusal.json()["unauthorized_fields"][0], "name");
        for (operation, statement) in [
            (
                "create",
                "insert into snackbase.col_people (name, salary) values ('Bea', 9)",
            ),
            ("update", "update snackbase.col_people set salary = 9"),
            ("update", "update snackbase.col_people set created_by = 'me'"),
            ("update", "update snackbase.col_people set mail = salary::text"),
        ] {
            scene.ada.run(operation, statement).refused("42501");
        }
        // the column's own default applies to a field that the caller may not set
        scene.ada.create("people", r#"{"name": "Bea"}"#).answer();
        ask("select salary from snackbase.col_people where name = 'Bea'").says("1000");
    }

    #[pg_test]
    fn a_put_leaves_fields_alone_that_the_caller_may_not_set() {
        let (scene, id) = with_people();
        scene
            .ada
            .put("people", &id, r#"{"mail": "new@example.com"}"#)
            .answer();
        ask("select name || salary || mail from snackbase.col_people").says("Ann5000new@example.com");
    }

    #[pg_test]
    fn system_fields_are_set_by_the_server() {
        let (scene, id) = with_people();
        for field in [
            "id",
            "account_id",
            "created_at",
            "updated_at",
            "created_by",
            "updated_by",
        ] {
            for person in [&scene.ada, &scene.root] {
                let body = format!(r#"{{"{field}": "11111111-2222-3333-4444-555555555555"}}"#);
                if field != "account_id" || person.account == scene.ada.account {
                    let refusal = person.create("people", &body).refused("42501").json();
                    assert_eq!(refusal["field_type"], "system");
                    assert!(refusal.get("allowed_fields").is_none());
                }
                person.patch("people", &id, &body).refused("42501");
            }
        }
    }

    #[pg_test]
    fn stamps_are_set_by_the_server_for_sql_clients_too() {
        let (scene, _) = with_people();
        scene
            .ada
            .run(
                "update",
                "update snackbase.col_people set mail = 'x@example.com', updated_at = '1999-01-01'",
            )
            .says("1");
        ask(&format!(
            "select updated_at > created_at and updated_by = '{}' and created_by = '{}' from snackbase.col_people",
            scene.ada.id, scene.root.id
        ))
        .says("true");
        scene
            .root
            .run(
                "superadmin",
                "update snackbase.col_people set created_at = '1999-01-01', created_by = 'me', updated_by = 'me'",
            )
            .says("1");
        ask(&format!(
            "select created_at > '2000-01-01' and updated_by = '{0}' and created_by = '{0}' from snackbase.col_people",
            scene.root.id
        ))
        .says("true");
    }

    #[pg_test]
    fn an_empty_list_leaves_the_system_fields() {
        let (scene, id) = with_people();
        scene.rules(
            "people",
            r#"{"list_fields": [], "view_fields": "[]", "create_fields": [], "update_fields": []}"#,
        );
        assert_eq!(
            keys(&scene.ada.view("people", &id).json()),
            "id account_id created_at updated_at created_by updated_by"
        );
        scene.ada.create("people", r#"{"name": "x"}"#).refused("42501");
        scene.ada.create("people", "{}").answer();
        scene.ada.patch("people", &id, "{}").answer();
        scene
            .ada
            .run("create", "insert into snackbase.col_people (name) values ('x')")
            .refused("42501");
    }

    #[pg_test]
    fn a_changed_list_takes_effect_at_once() {
        let (scene, id) = with_people();
        scene.rules("people", r#"{"view_fields": ["salary"]}"#);
        assert_eq!(
            keys(&scene.ada.view("people", &id).json()),
            "id account_id salary created_at updated_at created_by updated_by"
        );
        scene
            .ada
            .ask("view", "select name from snackbase.col_people")
            .refused("42501");
        scene.rules("people", r#"{"view_fields": null}"#);
        assert_eq!(scene.ada.view("people", &id).json()["mail"], "ann@example.com");
    }

    #[pg_test]
    fn a_new_field_is_in_no_explicit_list() {
        let (scene, _) = with_people();
        scene
            .change(
                "people",
                r#"{"fields": [{"name": "name", "type": "text"}, {"name": "mail", "type": "email"},
                    {"name": "salary", "type": "number", "default": 1000}, {"name": "iban", "type": "text"}]}"#,
            )
            .answer();
        scene
            .ada
            .ask("view", "select iban from snackbase.col_people")
            .refused("42501");
        scene.rules("people", r#"{"view_fields": "*"}"#);
        scene
            .ada
            .ask("view", "select iban from snackbase.col_people")
            .says("null");
    }

    #[pg_test]
    fn a_rule_may_ask_a_field_that_the_caller_may_not_read() {
        let (scene, id) = with_people();
        scene.rules(
            "people",
            r#"{"list_rule": "salary > 4000", "view_rule": "salary < 4000"}"#,
        );
        assert_eq!(scene.ada.total("people", ""), 1);
        scene.ada.view("people", &id).refused("P0002");
    }

    #[pg_test]
    fn personal_data_is_masked_unless_the_caller_is_in_pii_access() {
        let scene = Scene::new();
        scene.collection(
            r#"{"name": "patients", "view_rule": "", "list_rule": "", "create_rule": "", "fields": [
                {"name": "mail", "type": "email", "pii": true, "mask_type": "email"},
                {"name": "ssn", "type": "text", "pii": true, "mask_type": "ssn"},
                {"name": "phone", "type": "text", "pii": true, "mask_type": "phone"},
                {"name": "called", "type": "text", "pii": true, "mask_type": "name"},
                {"name": "note", "type": "text", "pii": true},
                {"name": "age", "type": "number", "pii": true}]}"#,
        );
        let id = scene.ada.created(
            "patients",
            r#"{"mail": "john@example.com", "ssn": "123-45-6789", "phone": "+49 30 1234567", "called": "John Doe",
                "note": "secret", "age": 42}"#,
        );
        let masked = serde_json::json!([
            "j***@example.com",
            "***-**-****",
            "+49-***-***-4567",
            "J*** D***",
            "******",
            "**"
        ]);
        let values = |record: serde_json::Value| {
            serde_json::json!([
                record["mail"],
                record["ssn"],
                record["phone"],
                record["called"],
                record["note"],
                record["age"]
            ])
        };
        assert_eq!(values(scene.ada.view("patients", &id).json()), masked);
        assert_eq!(
            values(scene.ada.list("patients", "").json()["items"][0].clone()),
            masked
        );
        let clear = serde_json::json!([
            "john@example.com",
            "123-45-6789",
            "+49 30 1234567",
            "John Doe",
            "secret",
            42
        ]);
        assert_eq!(values(scene.root.view("patients", &id).json()), clear);
        crate::tests::scene::run(&format!(
            "insert into snackbase.users_groups (account_id, group_id, user_id)
             select account_id, id, '{}' from snackbase.groups where account_id = '{}'",
            scene.ada.id, scene.ada.account
        ))
        .says("1");
        assert_eq!(values(scene.ada.view("patients", &id).json()), clear);
    }
}
