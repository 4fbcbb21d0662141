//! The trail as it is read: who reads it, what is masked, how it is listed and exported.

#[pgrx::pg_schema]
mod tests {
    use pgrx::prelude::*;
    use serde_json::{Value as Json, json};

    use crate::tests::scene::{Person, Scene, ask, quoted, run, user};

    fn list(person: &Person, query: &Json) -> Json {
        let statement = format!("select snackbase.audit_list({})", quoted(&query.to_string()));
        person.ask("audit", &statement).json()
    }

    /// The pieces of an export, the number of entries first, as the gateway asks for them.
    fn export(person: &Person, query: &Json) -> (i64, String) {
        let statement = format!("select snackbase.audit_export({})", quoted(&query.to_string()));
        let answer = person.ask("audit", &statement).answer();
        let (total, document) = answer.split_once('\n').expect("a number, then the document");
        (total.parse().expect("a number"), document.to_owned())
    }

    /// `people`: personal data of every kind of mask, in an account whose reader `eve` may not see it.
    fn with_people() -> (Scene, Person) {
        let scene = Scene::new();
        scene.collection(
            r#"{"name": "people", "list_rule": "", "view_rule": "", "create_rule": "", "update_rule": "", "delete_rule": "",
                "fields": [{"name": "filename", "type": "text"},
                           {"name": "mail", "type": "email", "pii": true, "mask_type": "email"},
                           {"name": "born", "type": "date", "pii": true},
                           {"name": "name", "type": "text", "pii": true, "mask_type": "name"}]}"#,
        );
        let eve = user(&scene.ada.account, "eve@example.com", 1);
        run(&format!(
            "insert into snackbase.users_groups (account_id, group_id, user_id)
             select g.account_id, g.id, '{}' from snackbase.groups g where g.account_id = '{}' and g.name = 'pii_access'",
            scene.ada.id, scene.ada.account
        ))
        .says("1");
        (scene, eve)
    }

    const PERSON: &str =
        r#"{"filename": "name.txt", "mail": "john@example.com", "born": "1990-01-02", "name": "John Doe"}"#;

    #[pg_test]
    fn admins_of_an_account_read_its_trail_and_nobody_else_does() {
        let scene = Scene::with_notes();
        scene.ada.created("notes", r#"{"title": "hers"}"#);
        scene.bob.created("notes", r#"{"title": "his"}"#);
        for (person, total) in [(&scene.ada, 8), (&scene.bob, 8), (&scene.root, 16)] {
            assert_eq!(list(person, &json!({"table_name": "col_notes"}))["total"], total);
        }
        let foreign = json!({"account_id": scene.bob.account});
        assert_eq!(list(&scene.ada, &foreign)["total"], 0);
        for function in ["audit_list('{}')", "audit_export('{}')", "audit_view(1)"] {
            let statement = format!("select snackbase.{function}");
            scene
                .alf
                .ask("audit", &statement)
                .refused("42501")
                .saying("Superadmin access required");
            scene.visitor.ask("audit", &statement).refused("28000");
        }
        // and by no other door: a member who is no reader sees no row
        for relation in ["audit_change", "audit_log", "audit_block_account"] {
            scene
                .alf
                .ask("member", &format!("select count(*) from snackbase.{relation}"))
                .says("0");
        }
        ask(&format!(
            "select count(*) from snackbase.audit_change where account_id = '{}'",
            scene.ada.account
        ))
        .says(
            &scene
                .ada
                .ask("member", "select count(*) from snackbase.audit_change")
                .answer(),
        );
    }

    #[pg_test]
    fn the_schema_says_what_is_masked() {
        let (scene, eve) = with_people();
        let id = scene.ada.created("people", PERSON);
        let values = |person: &Person| -> String {
            let page = list(
                person,
                &json!({"record_id": id, "sort_by": "id", "sort_order": "asc"}),
            );
            let items = page["items"].as_array().expect("items");
            let value = |name: &str| {
                let entry = items
                    .iter()
                    .find(|entry| entry["column_name"] == name)
                    .expect(name);
                entry["new_value"].as_str().expect("a value").to_owned()
            };
            ["filename", "mail", "born", "name"].map(value).join(" | ")
        };
        let clear = "name.txt | john@example.com | 1990-01-02 | John Doe";
        assert_eq!(values(&scene.ada), clear);
        assert_eq!(values(&scene.root), clear);
        let masked = "name.txt | j***@example.com | ********** | J*** D***";
        assert_eq!(values(&eve), masked);
        // one entry, the view and every format of an export
        let entry = ask(&format!(
            "select id from snackbase.audit_log where record_id = '{id}' and column_name = 'mail'"
        ))
        .answer();
        let seen = eve
            .ask("audit", &format!("select snackbase.audit_view({entry})"))
            .json();
        assert_eq!(seen["new_value"], "j***@example.com");
        assert_eq!(
            seen["user_email"], "ada@example.com",
            "who did it is never masked"
        );
        eve.ask(
            "audit",
            &format!(
                "select string_agg(new_value, ' | ' order by id) from snackbase.audit_log
                       where record_id = '{id}' and column_name in ('filename', 'mail', 'born', 'name')"
            ),
        )
        .says(masked);
        for format in ["json", "csv", "rows"] {
            for full in [false, true] {
                let query = json!({"record_id": id, "format": format, "full": full});
                let (_, document) = export(&eve, &query);
                for secret in ["john@", "1990-", "John", "Doe"] {
                    assert!(!document.contains(secret), "{format}: {document}");
                }
                assert!(export(&scene.ada, &query).1.contains("John Doe"));
            }
        }
        // a full export says which entries cannot be verified
        let (_, document) = export(&eve, &json!({"record_id": id, "format": "json", "full": true}));
        let entries: Json = serde_json::from_str(&document).expect("JSON");
        let masked: Vec<&str> = entries
            .as_array()
            .expect("an array")
            .iter()
            .filter(|entry| entry["masked"] == true)
            .map(|entry| entry["column_name"].as_str().expect("a name"))
            .collect();
        assert_eq!(masked, ["name", "born", "mail"]);
    }

    #[pg_test]
    fn the_schema_is_found_whatever_letters_the_name_has() {
        let (scene, eve) = with_people();
        scene.collection(
            r#"{"name": "StaffMembers", "create_rule": "", "fields": [{"name": "town", "type": "text"},
                {"name": "mail", "type": "email", "pii": true, "mask_type": "email"}]}"#,
        );
        let id = scene
            .ada
            .created("StaffMembers", r#"{"town": "Ulm", "mail": "john@example.com"}"#);
        eve.ask(
            "audit",
            &format!(
                "select string_agg(new_value, ' ' order by id) from snackbase.audit_log
                  where record_id = '{id}' and column_name in ('town', 'mail')"
            ),
        )
        .says("Ulm j***@example.com");
        let record = format!("select snackbase.record_at('StaffMembers', '{id}', clock_timestamp())");
        let record = eve.ask("audit", &record).json();
        assert_eq!(
            (&record["town"], &record["mail"]),
            (&json!("Ulm"), &json!("j***@example.com"))
        );
    }

    #[pg_test]
    fn values_of_a_field_that_is_gone_are_masked_in_full() {
        let (scene, eve) = with_people();
        let id = scene.ada.created("people", PERSON);
        let fields = json!([{"name": "mail", "type": "email", "pii": true, "mask_type": "email"}]);
        let body = json!({"confirm": true, "collections": [{"name": "people", "fields": fields}]});
        scene
            .root
            .ask(
                "superadmin",
                &format!(
                    "select snackbase.migration_generate({})",
                    quoted(&body.to_string())
                ),
            )
            .answer();
        let value = |person: &Person, name: &str| {
            person
                .ask(
                    "audit",
                    &format!(
                        "select new_value from snackbase.audit_log
                               where record_id = '{id}' and operation = 'CREATE' and column_name = '{name}'"
                    ),
                )
                .answer()
        };
        assert_eq!(value(&eve, "filename"), "********");
        assert_eq!(value(&eve, "mail"), "j***@example.com");
        assert_eq!(value(&eve, "created_by"), scene.ada.id);
        assert_eq!(value(&scene.ada, "filename"), "name.txt");
    }

    #[pg_test]
    fn core_tables_are_masked_by_the_names_of_their_columns() {
        let (scene, eve) = with_people();
        let query = json!({"table_name": "users", "record_id": eve.id, "limit": 500});
        let value = |person: &Person, name: &str| {
            let page = list(person, &query);
            let items = page["items"].as_array().expect("items").clone();
            let entry = items.into_iter().find(|entry| entry["column_name"] == name);
            entry.expect("an entry")["new_value"].clone()
        };
        assert_eq!(value(&eve, "email"), "e***@example.com");
        assert_eq!(value(&eve, "role_id"), "1");
        assert_eq!(value(&scene.ada, "email"), "eve@example.com");
        let page = list(&eve, &json!({"table_name": "groups"}));
        let names = page["items"].as_array().expect("items").iter();
        assert!(
            names.clone().any(|entry| entry["new_value"] == "pii_access"),
            "{page}"
        );
    }

    #[pg_test]
    fn exports_hold_every_entry_in_three_forms() {
        let scene = Scene::with_notes();
        for title in ["=1+1", "a,b", "", "-5"] {
            scene.ada.created("notes", &json!({"title": title}).to_string());
        }
        // more than one piece
        run(&format!(
            "insert into snackbase.col_notes (account_id, title) select '{}', 'bulk' from generate_series(1, 300)",
            scene.ada.account
        ))
        .says("300");
        let query = |format: &str| json!({"table_name": "col_notes", "format": format});
        let (total, document) = export(&scene.root, &query("json"));
        assert_eq!(total, 304 * 8);
        let entries: Json = serde_json::from_str(&document).expect("one JSON document");
        let entries = entries.as_array().expect("an array");
        assert_eq!(entries.len(), 304 * 8);
        assert_eq!(entries[0].as_object().map(serde_json::Map::len), Some(11));
        let order: Vec<(&str, i64)> = entries
            .iter()
            .map(|e| {
                (
                    e["occurred_at"].as_str().expect("when"),
                    e["id"].as_i64().expect("an id"),
                )
            })
            .collect();
        assert!(order.windows(2).all(|pair| pair[0].1 > pair[1].1), "newest first");
        assert!(
            document.starts_with("[\n  {\n    \"id\": "),
            "{}",
            &document[..60]
        );

        let (total, document) = export(&scene.root, &query("csv"));
        assert_eq!(total, 304 * 8);
        assert_eq!(document.matches("\r\n").count(), 304 * 8 + 1);
        assert!(document.starts_with(
            "ID,Timestamp,Operation,Table,Record ID,Column,Old Value,New Value,User,IP Address,Checksum\r\n"
        ));
        for cell in [",'=1+1,", ",\"a,b\",", ",\"\",", ",'-5,"] {
            assert!(document.contains(cell), "{cell}");
        }
        let (_, document) = export(&scene.root, &query("rows"));
        assert_eq!(
            document
                .trim_end()
                .lines()
                .filter(|line| !line.is_empty())
                .count(),
            304 * 8 + 1
        );

        let (total, document) = export(&scene.root, &json!({"table_name": "nosuch", "format": "json"}));
        assert_eq!((total, document.trim()), (0, "[]"));
        let too_much =
            "select snackbase.audit_export('{\"format\": \"rows\", \"table_name\": \"col_notes\"}')";
        run(&format!(
            "insert into snackbase.col_notes (account_id, title) select '{}', 'bulk' from generate_series(1, 1000)",
            scene.ada.account
        ))
        .says("1000");
        let refusal = scene.root.ask("audit", too_much).refused("22023");
        assert!(refusal.message.contains("at most 10000"), "{refusal:?}");
        scene
            .root
            .ask("audit", "select snackbase.audit_export('{\"format\": \"xml\"}')")
            .refused("22023");
    }

    #[pg_test]
    fn a_full_export_can_be_verified_by_itself() {
        let scene = Scene::with_notes();
        let id = scene
            .ada
            .created("notes", r#"{"title": "a \"b\" ü", "stars": 1.5}"#);
        scene.alf.patch("notes", &id, r#"{"title": "c"}"#).answer();
        scene.ada.delete("notes", &id).answer();
        let (_, document) = export(
            &scene.ada,
            &json!({"record_id": id, "format": "json", "full": true}),
        );
        let mut entries: Vec<Json> = serde_json::from_str(&document).expect("JSON");
        entries.reverse();
        let mut before = Json::Null;
        for entry in &entries {
            assert_eq!(entry["previous_hash"], before);
            let mut metadata = entry["extra_metadata"].as_object().expect("an object").clone();
            let method = metadata.remove("auth_method").expect("a method");
            let text = |name: &str| entry[name].as_str().map(str::to_owned);
            let (header, column) = (
                format!(
                    "snackbase._audit_header_hash({}::uuid, {}, null, null, null, null, null, {}::timestamptz, {}, {}, {}, null, {}, null, {}, {}, {})",
                    quoted(&text("account_id").expect("an account")),
                    quoted(method.as_str().expect("a text")),
                    quoted(&text("occurred_at").expect("when")),
                    quoted(&text("operation").expect("what")),
                    quoted(&id),
                    entry["record_version"],
                    quoted("col_notes"),
                    quoted(&text("user_email").expect("who")),
                    quoted(&text("user_id").expect("who")),
                    quoted(&text("user_name").expect("who")),
                ),
                json!([[entry["column_name"], entry["old_value"], entry["new_value"]]]).to_string(),
            );
            let previous = match before.as_str() {
                Some(hash) => format!("'\\x{hash}'::bytea"),
                None => "null".to_owned(),
            };
            ask(&format!(
                "select encode(snackbase._audit_chain({header}, {}::json, {previous}), 'hex')",
                quoted(&column)
            ))
            .says(entry["checksum"].as_str().expect("a checksum"));
            before = entry["checksum"].clone();
        }
        assert_eq!(entries.len(), 8 + 3 + 8);
    }

    #[pg_test]
    fn a_page_begins_and_ends_within_a_change() {
        let scene = Scene::with_notes();
        for title in ["a", "b", "c"] {
            scene.ada.created("notes", &json!({"title": title}).to_string());
        }
        for (sort, order) in [
            ("occurred_at", "desc"),
            ("occurred_at", "asc"),
            ("id", "desc"),
            ("id", "asc"),
            ("user_id", "asc"),
        ] {
            let page = |skip: usize, limit: usize| -> Vec<i64> {
                let query = json!({"table_name": "col_notes", "sort_by": sort, "sort_order": order, "skip": skip, "limit": limit});
                let page = list(&scene.root, &query);
                assert_eq!(page["total"], 24, "{query}");
                assert_eq!(page["total_is_estimate"], false);
                let items = page["items"].as_array().expect("items");
                items
                    .iter()
                    .map(|entry| entry["id"].as_i64().expect("an id"))
                    .collect()
            };
            let all = page(0, 500);
            assert_eq!(all.len(), 24);
            let mut paged = Vec::new();
            for skip in (0..24).step_by(7) {
                paged.extend(page(skip, 7));
            }
            assert_eq!(paged, all, "{sort} {order}");
        }
        let beyond = list(&scene.root, &json!({"table_name": "col_notes", "skip": 1000}));
        assert_eq!((&beyond["total"], &beyond["items"]), (&json!(24), &json!([])));
    }

    #[pg_test]
    fn a_record_is_found_without_its_account() {
        let scene = Scene::with_notes();
        let id = scene.bob.created("notes", r#"{"title": "his"}"#);
        scene.ada.created("notes", "{}");
        assert_eq!(list(&scene.root, &json!({"record_id": id}))["total"], 8);
        assert_eq!(
            list(&scene.root, &json!({"record_id": id, "table_name": "col_notes"}))["total"],
            8
        );
        assert_eq!(
            list(&scene.root, &json!({"record_id": id, "table_name": "users"}))["total"],
            0
        );
        assert_eq!(list(&scene.ada, &json!({"record_id": id}))["total"], 0);
    }
}
