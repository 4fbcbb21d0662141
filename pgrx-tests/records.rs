//! Records through the functions of `docs/sql-api.md` §2: pages, filters, sorting, writing, and how refusals read.

#[pgrx::pg_schema]
mod tests {
    use pgrx::prelude::*;
    use serde_json::{Value as Json, json};

    use crate::tests::scene::{Outcome, Person, Scene, ask, run};

    /// `records_list` with every argument as SQL text.
    fn list(person: &Person, arguments: &str) -> Outcome {
        person.ask(
            "list",
            &format!("select snackbase.records_list('notes', {arguments})"),
        )
    }

    /// The titles of a page, joined.
    #[track_caller]
    fn titles(page: &Json) -> String {
        page["items"]
            .as_array()
            .expect("items is a list")
            .iter()
            .map(|item| item["title"].as_str().unwrap_or("null"))
            .collect::<Vec<_>>()
            .join(" ")
    }

    /// Five notes, a to e, with 1, 2, 2, NULL and 3 stars, in this order.
    fn with_five() -> Scene {
        let scene = Scene::with_notes();
        for (title, stars) in [("a", "1"), ("b", "2"), ("c", "2"), ("d", "null"), ("e", "3")] {
            scene
                .ada
                .created("notes", &format!(r#"{{"title": "{title}", "stars": {stars}}}"#));
        }
        scene.bob.created("notes", r#"{"title": "z", "stars": 2}"#);
        scene
    }

    #[pg_test]
    fn a_list_is_newest_first_and_counts_exactly() {
        let scene = with_five();
        let page = list(&scene.ada, "null, null, null, null, null").json();
        assert_eq!(titles(&page), "e d c b a");
        assert_eq!(
            (&page["total"], &page["skip"], &page["limit"]),
            (&json!(5), &json!(0), &json!(30))
        );
        let keys: Vec<&String> = page.as_object().expect("an object").keys().collect();
        assert_eq!(keys, ["items", "total", "skip", "limit"]);
    }

    #[pg_test]
    fn pages_have_the_total_of_all() {
        let scene = with_five();
        for (skip, limit, expected) in [
            (0, 2, "a b"),
            (2, 2, "c d"),
            (4, 2, "e"),
            (5, 2, ""),
            (100, 2, ""),
            (0, 5, "a b c d e"),
            (0, 100, "a b c d e"),
        ] {
            let page = list(&scene.ada, &format!("null, 'title', {skip}, {limit}, null")).json();
            assert_eq!(titles(&page), expected);
            assert_eq!(
                (&page["total"], &page["skip"], &page["limit"]),
                (&json!(5), &json!(skip), &json!(limit))
            );
        }
        assert_eq!(
            list(&scene.ada, "'stars = 2', 'title', 1, 1, null").json()["total"],
            2
        );
    }

    #[pg_test]
    fn paging_has_bounds() {
        let scene = with_five();
        for (skip, limit) in [
            ("-1", "1"),
            ("100001", "1"),
            ("0", "0"),
            ("0", "101"),
            ("0", "-5"),
        ] {
            list(&scene.ada, &format!("null, null, {skip}, {limit}, null")).refused("22023");
        }
    }

    #[pg_test]
    fn a_sort_has_many_keys_and_a_total_order() {
        let scene = with_five();
        for (sort, expected) in [
            ("title", "a b c d e"),
            ("+title", "a b c d e"),
            (" title", "a b c d e"),
            ("-title", "e d c b a"),
            ("-stars,title", "d e b c a"),
            ("stars,-title", "a c b e d"),
            ("nosuch,title", "a b c d e"),
            ("title;drop table x,", "e d c b a"),
            (",,", "e d c b a"),
            ("created_at", "a b c d e"),
            ("account_id,title", "a b c d e"),
        ] {
            let page = list(&scene.ada, &format!("null, '{sort}', null, null, null")).json();
            assert_eq!(titles(&page), expected, "{sort}");
        }
        // equal keys: by id, in the direction of the last key
        run(&format!(
            "update snackbase.col_notes set stars = 1 where account_id = '{}'",
            scene.ada.account
        ))
        .says("5");
        for (sort, direction) in [("stars", "asc"), ("-stars", "desc")] {
            let page = list(&scene.ada, &format!("null, '{sort}', null, null, null")).json();
            let by_id = scene
                .ada
                .ask(
                    "list",
                    &format!(
                        "select string_agg(title, ' ' order by id {direction}) from snackbase.col_notes"
                    ),
                )
                .answer();
            assert_eq!(titles(&page), by_id);
        }
    }

    #[pg_test]
    fn a_filter_chooses_records() {
        let scene = with_five();
        for (filter, total) in [
            ("stars = 2", 2),
            ("stars != 2", 2),
            ("stars > 1 && title != \"b\"", 2),
            ("stars is null", 1),
            ("stars is not null", 4),
            ("stars in (1, 3)", 2),
            ("title ~ \"a%\"", 1),
            ("!(stars = 2)", 2),
            ("title = \"' or true --\"", 0),
            ("created_by = \"nobody\"", 0),
            ("stars + 1 = 3", 2),
            ("", 5),
        ] {
            assert_eq!(scene.ada.total("notes", filter), total, "{filter}");
        }
    }

    #[pg_test]
    fn a_filter_that_does_not_compile_says_where() {
        let scene = with_five();
        for (filter, code, position, length) in [
            ("stars = 1 && nosuch = 2", "unknown_field", 13, 6),
            ("stars", "not_boolean", 0, 5),
            ("stars =", "syntax", 7, 0),
            ("title = \"x", "unterminated_string", 10, 0),
            ("@request.auth.id = created_by", "context_not_allowed", 0, 16),
            ("password_hash = \"x\"", "unknown_field", 0, 13),
            ("col_notes.title = \"x\"", "unknown_field", 0, 15),
        ] {
            let refusal = scene.ada.list("notes", filter).refused("22023");
            let detail = refusal.json();
            assert_eq!(detail["error"], "Invalid filter expression");
            let error = &detail["errors"][0];
            assert_eq!(error["code"], code, "{filter}: {error}");
            assert_eq!(
                (&error["position"], &error["length"]),
                (&json!(position), &json!(length)),
                "{filter}"
            );
        }
        scene.ada.list("notes", &"(".repeat(200)).refused("22023");
        scene
            .ada
            .list("notes", &format!("title = \"{}\"", "x".repeat(20_000)))
            .refused("22023");
    }

    #[pg_test]
    fn a_page_shows_the_fields_asked_for() {
        let scene = with_five();
        let keys = |fields: &str| {
            let page = list(&scene.ada, &format!("null, null, null, 1, {fields}")).json();
            let keys: Vec<String> = page["items"][0]
                .as_object()
                .expect("an object")
                .keys()
                .cloned()
                .collect();
            keys.join(" ")
        };
        let system = (
            "id account_id",
            "created_at updated_at created_by updated_by account_name",
        );
        assert_eq!(keys("null"), format!("{} title stars {}", system.0, system.1));
        assert_eq!(keys("'*'"), format!("{} title stars {}", system.0, system.1));
        assert_eq!(
            keys("'stars, nosuch'"),
            format!("{} stars {}", system.0, system.1)
        );
        assert_eq!(keys("'id'"), format!("{} {}", system.0, system.1));
        let id = scene.ada.created("notes", r#"{"title": "x"}"#);
        let record = scene
            .ada
            .ask(
                "view",
                &format!("select snackbase.records_view('notes', '{id}', 'title')"),
            )
            .json();
        assert!(record.get("stars").is_none() && record["title"] == "x");
    }

    #[pg_test]
    fn created_records_come_back_whole_and_stamped() {
        let scene = Scene::with_notes();
        let record = scene.ada.create("notes", r#"{"title": "a"}"#).json();
        let keys: Vec<&String> = record.as_object().expect("an object").keys().collect();
        assert_eq!(
            keys,
            [
                "id",
                "account_id",
                "title",
                "stars",
                "created_at",
                "updated_at",
                "created_by",
                "updated_by"
            ]
        );
        assert_eq!(record["account_id"], json!(scene.ada.account));
        assert_eq!(record["created_by"], json!(scene.ada.id));
        assert_eq!(record["created_at"], record["updated_at"]);
        assert!(
            record["created_at"]
                .as_str()
                .is_some_and(|at| at.ends_with('Z') && at.contains('T'))
        );
        assert_eq!(
            scene.visitor.create("notes", "{}").json()["created_by"],
            "anonymous"
        );
    }

    #[pg_test]
    fn an_update_changes_what_is_given_and_who() {
        let scene = Scene::with_notes();
        let before = scene.ada.create("notes", r#"{"title": "a", "stars": 1}"#).json();
        let id = before["id"].as_str().expect("an id");
        let after = scene.alf.patch("notes", id, r#"{"title": "b"}"#).json();
        assert_eq!((&after["title"], &after["stars"]), (&json!("b"), &json!(1)));
        assert_eq!(
            (&after["created_by"], &after["updated_by"]),
            (&json!(scene.ada.id), &json!(scene.alf.id))
        );
        assert_eq!(after["created_at"], before["created_at"]);
        assert_ne!(after["updated_at"], before["updated_at"]);
        let empty = scene.ada.patch("notes", id, "{}").json();
        assert_eq!(empty["updated_by"], json!(scene.ada.id));
        assert_ne!(empty["updated_at"], after["updated_at"]);
        assert!(scene.ada.patch("notes", id, r#"{"stars": null}"#).json()["stars"].is_null());
    }

    #[pg_test]
    fn a_put_needs_the_required_fields_and_resets_defaults() {
        let scene = Scene::new();
        scene.collection(
            r#"{"name": "forms", "view_rule": "", "create_rule": "", "update_rule": "", "fields": [
                {"name": "must", "type": "text", "required": true, "default": "d"},
                {"name": "may", "type": "text"}, {"name": "std", "type": "number", "default": 7}]}"#,
        );
        let id = scene
            .ada
            .created("forms", r#"{"must": "x", "may": "y", "std": 1}"#);
        let refusal = scene.ada.put("forms", &id, r#"{"may": "z"}"#).refused("23514");
        assert_eq!(refusal.problems(), ["must required_missing"]);
        let record = scene.ada.put("forms", &id, r#"{"must": "new"}"#).json();
        assert_eq!(
            (&record["must"], &record["may"], &record["std"]),
            (&json!("new"), &json!("y"), &json!(7))
        );
        for body in [r#"{"must": null}"#, r#"{"must": null, "may": 1}"#] {
            let problems = scene.ada.patch("forms", &id, body).refused("23514").problems();
            assert_eq!(problems[0], "must required_null");
        }
        assert_eq!(
            scene
                .ada
                .create("forms", r#"{"std": "x", "nosuch": 1}"#)
                .refused("23514")
                .problems(),
            [
                "nosuch unknown_field",
                "must required_missing",
                "std invalid_type"
            ]
        );
    }

    #[pg_test]
    fn keys_are_compared_by_exact_case() {
        let scene = Scene::with_notes();
        let refusal = scene.ada.create("notes", r#"{"Title": "a"}"#).refused("23514");
        assert_eq!(refusal.problems(), ["Title unknown_field"]);
        scene
            .ada
            .list("Notes", "")
            .refused("P0002")
            .saying("Collection 'Notes' not found");
    }

    #[pg_test]
    fn a_body_must_be_a_json_object() {
        let scene = Scene::with_notes();
        for body in ["[]", "\"x\"", "7", "null", "true"] {
            let refusal = scene.ada.create("notes", body).refused("22P02");
            assert_eq!(refusal.problems(), ["body invalid_type"]);
        }
        scene.ada.create("notes", "{").refused("22P02");
        scene.ada.create("notes", "").refused("22P02");
    }

    #[pg_test]
    fn a_missing_record_is_reported_before_anything_about_the_body_or_the_rule() {
        let scene = Scene::with_notes();
        let hers = scene.ada.created("notes", "{}");
        scene.rules("notes", r#"{"update_rule": null, "delete_rule": null}"#);
        for id in ["11111111-2222-3333-4444-555555555555", "no-uuid", ""] {
            scene
                .ada
                .patch("notes", id, r#"{"nosuch": 1}"#)
                .refused("P0002")
                .saying("Record not found");
            scene
                .ada
                .delete("notes", id)
                .refused("P0002")
                .saying("Record not found");
            scene
                .ada
                .view("notes", id)
                .refused("P0002")
                .saying("Record not found");
        }
        scene.bob.patch("notes", &hers, "{}").refused("P0002");
        scene.bob.delete("notes", &hers).refused("P0002");
        scene
            .ada
            .patch("notes", &hers, r#"{"nosuch": 1}"#)
            .refused("42501");
        scene.ada.delete("notes", &hers).refused("42501");
    }

    #[pg_test]
    fn an_unknown_collection_is_not_found_whatever_is_asked() {
        let scene = Scene::new();
        let id = "11111111-2222-3333-4444-555555555555";
        for person in [&scene.ada, &scene.visitor, &scene.root] {
            for outcome in [
                person.list("nosuch", ""),
                person.view("nosuch", id),
                person.create("nosuch", "{}"),
                person.patch("nosuch", id, "{}"),
                person.put("nosuch", id, "{}"),
                person.delete("nosuch", id),
            ] {
                outcome.refused("P0002").saying("Collection 'nosuch' not found");
            }
        }
    }

    #[pg_test]
    fn a_delete_is_final() {
        let scene = Scene::with_notes();
        let id = scene.ada.created("notes", "{}");
        scene.ada.delete("notes", &id).says("true");
        scene.ada.delete("notes", &id).refused("P0002");
        ask("select count(*) from snackbase.col_notes").says("0");
    }

    #[pg_test]
    fn a_wrong_operation_role_cannot_use_the_function_of_another() {
        let scene = Scene::with_notes();
        let id = scene.ada.created("notes", r#"{"title": "a"}"#);
        scene
            .ada
            .ask("list", "select snackbase.records_create('notes', '{}')")
            .refused("42501");
        scene
            .ada
            .ask(
                "list",
                &format!("select snackbase.records_delete('notes', '{id}')"),
            )
            .refused("42501");
        scene
            .ada
            .ask(
                "view",
                &format!("select snackbase.records_update('notes', '{id}', '{{}}', false)"),
            )
            .refused("42501");
        scene
            .ada
            .ask(
                "delete",
                "select snackbase.records_list('notes', null, null, null, null, null)",
            )
            .refused("42501");
        scene
            .ada
            .ask(
                "member",
                "select snackbase.records_list('notes', null, null, null, null, null)",
            )
            .refused("42501");
    }

    #[pg_test]
    fn a_uuid_filter_uses_an_index() {
        let scene = Scene::with_notes();
        run(&format!(
            "insert into snackbase.col_notes (account_id, title) select '{}', n::text from generate_series(1, 3000) n",
            scene.ada.account
        ))
        .says("3000");
        run("analyze snackbase.col_notes").answer();
        let id = ask("select id from snackbase.col_notes where title = '7'").answer();
        assert_eq!(scene.ada.total("notes", &format!("id = \"{id}\"")), 1);
        let plan = scene
            .ada
            .ask(
                "view",
                &format!("explain (costs off) select title from snackbase.col_notes where id = '{id}'"),
            )
            .plan();
        assert!(
            plan.contains("Index Scan using col_notes_pkey") && plan.contains("account_id = $0"),
            "{plan}"
        );
    }
}
