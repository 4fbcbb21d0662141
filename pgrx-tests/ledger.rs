//! The ledger: nobody changes it, and who reads what of it.

#[pgrx::pg_schema]
mod tests {
    use pgrx::prelude::*;
    use serde_json::json;

    use crate::tests::scene::{Scene, ask, ask_as, run};

    #[pg_test]
    fn the_ledger_accepts_no_change_from_anybody() {
        let scene = Scene::with_notes();
        scene.ada.created("notes", "{}");
        for (statement, word) in [
            ("update snackbase.audit_change set user_id = 'x'", "updated"),
            ("delete from snackbase.audit_change", "deleted"),
            ("truncate snackbase.audit_change", "truncated"),
        ] {
            let message = format!("Audit log entries are immutable and cannot be {word}");
            run(statement).refused("42501").saying(&message);
            run(&format!(
                "set local session_replication_role = replica; {statement}"
            ))
            .refused("42501")
            .saying(&message);
            run(&format!("set local role snackbase_owner; {statement}"))
                .refused("42501")
                .saying(&message);
            scene.root.run("superadmin", statement).refused("42501");
            scene.ada.run("member", statement).refused("42501");
        }
        for table in ["col_notes", "users", "accounts", "collections"] {
            run(&format!("truncate snackbase.{table} cascade")).refused("42501");
        }
    }

    #[pg_test]
    fn the_ledger_cannot_be_inserted_into_by_callers() {
        let scene = Scene::with_notes();
        let insert = "insert into snackbase.audit_change (account_id, operation, table_name, record_id, record_version, columns, column_count,
                          user_id, user_email, user_name, auth_method, occurred_at, checksum)
                      values (gen_random_uuid(), 'CREATE', 'col_notes', 'x', 1, '[]', 0, 'x', 'x', 'x', 'jwt', now(), ''::bytea)";
        for operation in ["list", "create", "update", "delete", "member"] {
            scene.ada.run(operation, insert).refused("42501");
        }
        scene.root.run("superadmin", insert).refused("42501");
        scene
            .ada
            .ask("create", "select snackbase._audit_record()")
            .refused("42501");
    }

    #[pg_test]
    fn members_read_the_trail_of_their_account() {
        let scene = Scene::with_notes();
        scene.ada.created("notes", "{}");
        scene.bob.created("notes", "{}");
        let list = |person: &crate::tests::scene::Person, operation: &str, query: &str| {
            person.ask(operation, &format!("select snackbase.audit_list('{query}')"))
        };
        let hers = list(&scene.ada, "member", r#"{"table_name": "col_notes"}"#).json();
        assert_eq!(hers["total"], 8);
        assert!(
            hers["items"]
                .as_array()
                .is_some_and(|i| i.iter().all(|e| e["account_id"] == json!(scene.ada.account)))
        );
        let foreign = format!(r#"{{"account_id": "{}"}}"#, scene.bob.account);
        assert_eq!(list(&scene.ada, "member", &foreign).json()["total"], 0);
        assert_eq!(
            list(&scene.root, "superadmin", r#"{"table_name": "col_notes"}"#).json()["total"],
            16
        );
        let his = ask(&format!(
            "select max(id) * 2048 + 1 from snackbase.audit_change where account_id = '{}'",
            scene.bob.account
        ))
        .answer();
        scene
            .ada
            .ask("member", &format!("select snackbase.audit_view({his})"))
            .refused("P0002")
            .saying(&format!("Audit log entry {his} not found"));
        scene
            .bob
            .ask("member", &format!("select snackbase.audit_view({his})"))
            .answer();
        for operation in ["list", "view", "create"] {
            list(&scene.ada, operation, "{}").refused("42501");
        }
        list(&scene.visitor, "member", "{}").refused("28000");
    }

    #[pg_test]
    fn the_trail_is_filtered_sorted_and_paged() {
        let scene = Scene::with_notes();
        let id = scene.ada.created("notes", r#"{"title": "a"}"#);
        scene.alf.patch("notes", &id, r#"{"title": "b"}"#).answer();
        scene.visitor.create("notes", "{}").answer();
        let list = |query: &str| {
            scene
                .root
                .ask("superadmin", &format!("select snackbase.audit_list('{query}')"))
        };
        for (query, total) in [
            (format!(r#"{{"record_id": "{id}"}}"#), 11),
            (format!(r#"{{"record_id": "{id}", "operation": "update"}}"#), 3),
            (
                format!(r#"{{"user_id": "{}", "table_name": "col_notes"}}"#, scene.alf.id),
                3,
            ),
            (
                r#"{"auth_method": "anonymous", "table_name": "col_notes"}"#.into(),
                8,
            ),
            (
                r#"{"table_name": "col_notes", "from_date": "2999-01-01"}"#.into(),
                0,
            ),
            (
                r#"{"table_name": "col_notes", "to_date": "2999-01-01T00:00:00Z"}"#.into(),
                19,
            ),
            (r#"{"table_name": "nosuch"}"#.into(), 0),
        ] {
            assert_eq!(list(&query).json()["total"], total, "{query}");
        }
        let ids = |query: &str| -> Vec<i64> {
            list(query).json()["items"]
                .as_array()
                .expect("items")
                .iter()
                .map(|e| e["id"].as_i64().expect("an id"))
                .collect()
        };
        let all = ids(r#"{"table_name": "col_notes", "sort_by": "id", "sort_order": "asc"}"#);
        assert_eq!(all.len(), 19);
        assert!(all.is_sorted());
        let mut paged = Vec::new();
        for skip in (0..19).step_by(5) {
            paged.extend(ids(&format!(
                r#"{{"table_name": "col_notes", "sort_by": "id", "sort_order": "asc", "skip": {skip}, "limit": 5}}"#
            )));
        }
        assert_eq!(paged, all);
        let newest = ids(r#"{"table_name": "col_notes"}"#);
        assert_eq!(newest.first().map(|id| id / 2048), all.last().map(|id| id / 2048));
        for query in [
            r#"{"limit": 0}"#,
            r#"{"limit": 501}"#,
            r#"{"skip": -1}"#,
            r#"{"sort_order": "up"}"#,
        ] {
            list(query).refused("22023");
        }
        // one entry, the same over both functions
        let page = list(r#"{"table_name": "col_notes", "limit": 1}"#).json();
        let entry = &page["items"][0];
        scene
            .root
            .ask(
                "superadmin",
                &format!("select snackbase.audit_view({})", entry["id"]),
            )
            .json()
            .as_object()
            .expect("an object")
            .iter()
            .for_each(|(key, value)| assert_eq!(&entry[key], value, "{key}"));
        assert_eq!(page["audit_logging_enabled"], true);
    }

    #[pg_test]
    fn the_gateway_alone_reads_no_trail() {
        Scene::new();
        ask_as("snackbase_gateway", "select * from snackbase.audit_log").refused("42501");
        ask_as("snackbase_gateway", "select snackbase.audit_list('{}')").refused("42501");
    }

    #[pg_test]
    fn a_replayed_dump_is_not_recorded_and_only_a_superuser_replays_one() {
        let scene = Scene::with_notes();
        let before = ask("select count(*) from snackbase.audit_change").answer();
        run(&format!(
            "set local row_security = off; set local check_function_bodies = off;
             insert into snackbase.col_notes (id, account_id, title, created_at, updated_at, created_by, updated_by)
             values (gen_random_uuid(), '{}', 'old', '2020-01-01', '2020-01-01', 'x', 'x')",
            scene.ada.account
        ))
        .says("1");
        run("set local row_security = on; set local check_function_bodies = on").answer();
        ask("select count(*) from snackbase.audit_change").says(&before);
        scene
            .ada
            .ask(
                "create",
                "select set_config('row_security', 'off', true) || set_config('check_function_bodies', 'off', true) || snackbase._restoring()",
            )
            .says("offofffalse");
    }
}
