//! Records as they were: random lives of records, and what the trail says of every moment of them.

#[pgrx::pg_schema]
mod tests {
    use pgrx::prelude::*;
    use serde_json::{Value as Json, json};

    use crate::tests::scene::{Scene, ask, quoted, run};

    /// A small generator of numbers, so that a failure can be repeated.
    struct Dice(u64);

    impl Dice {
        fn below(&mut self, limit: usize) -> usize {
            self.0 = self
                .0
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            (self.0 >> 33) as usize % limit
        }
    }

    fn now() -> String {
        ask("select clock_timestamp()").answer()
    }

    /// All records of an account as they are, by collection and id.
    fn live(scene: &Scene, collections: &[&str], account: &str) -> Vec<Json> {
        let mut all = Vec::new();
        for collection in collections {
            let items = scene.root.list(collection, "").json()["items"].clone();
            let mut items: Vec<Json> = serde_json::from_value(items).expect("items");
            items.retain(|record| record["account_id"] == account);
            // only superadmins are told
            items.iter_mut().for_each(|record| {
                drop(
                    record
                        .as_object_mut()
                        .and_then(|record| record.remove("account_name")),
                )
            });
            items.sort_by_key(|record| record["id"].to_string());
            all.extend(
                items
                    .into_iter()
                    .map(|record| json!({"collection": collection, "record": record})),
            );
        }
        all
    }

    fn past(account: &str, at: &str) -> Vec<Json> {
        ask(&format!("select snackbase.account_at('{account}', '{at}')"))
            .answer()
            .lines()
            .map(|line| serde_json::from_str(line).expect("JSON"))
            .collect()
    }

    fn migrate(scene: &Scene, name: &str, fields: &Json) {
        let body = json!({"confirm": true, "collections": [{"name": name, "fields": fields}]});
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
    }

    fn body(dice: &mut Dice, titles: &[&str]) -> Json {
        let mut body = json!({});
        for (name, values) in [
            ("title", json!(titles)),
            ("n", json!([0, 1.5, -7, 1e21, null])),
            ("yes", json!([true, false, null])),
            (
                "at",
                json!(["2026-01-02T03:04:05.678Z", "1999-12-31T23:59:59Z", null]),
            ),
            ("day", json!(["2024-02-29", null])),
            ("j", json!([{"b": [1, 2.50]}, [], "text", null])),
        ] {
            let values = values.as_array().expect("values");
            if dice.below(3) > 0 {
                body[name] = values[dice.below(values.len())].clone();
            }
        }
        body
    }

    #[pg_test]
    fn every_moment_of_an_account_comes_back_from_the_trail() {
        let scene = Scene::new();
        let rules =
            r#""list_rule": "", "view_rule": "", "create_rule": "", "update_rule": "", "delete_rule": """#;
        let first = json!([
            {"name": "title", "type": "text"}, {"name": "n", "type": "number"}, {"name": "yes", "type": "boolean"},
            {"name": "at", "type": "datetime"}, {"name": "day", "type": "date"}, {"name": "j", "type": "json"}]);
        scene.collection(&format!(r#"{{"name": "alpha", {rules}, "fields": {first}}}"#));
        scene.collection(&format!(
            r#"{{"name": "beta", {rules}, "fields": [{{"name": "parent", "type": "reference", "collection": "alpha", "on_delete": "set_null"}}]}}"#
        ));
        let account = scene.ada.account.clone();
        let mut dice = Dice(20_260_102);
        let mut fields = first.as_array().expect("fields").clone();
        let (mut ids, mut gone): (Vec<String>, Vec<String>) = Default::default();
        let mut moments = Vec::new();
        for step in 0..120 {
            match dice.below(12) {
                0..=3 => ids.push(
                    scene
                        .ada
                        .created("alpha", &body(&mut dice, &["a", "é\"\\\n", "", "{}"]).to_string()),
                ),
                4..=6 if !ids.is_empty() => {
                    let id = &ids[dice.below(ids.len())];
                    scene
                        .alf
                        .patch("alpha", id, &body(&mut dice, &["b", "😀"]).to_string())
                        .answer();
                }
                7 if !ids.is_empty() => {
                    let id = ids.swap_remove(dice.below(ids.len()));
                    scene.ada.delete("alpha", &id).answer();
                    gone.push(id);
                }
                8 if !gone.is_empty() => {
                    let id = gone.swap_remove(dice.below(gone.len()));
                    run(&format!(
                        "insert into snackbase.col_alpha (id, account_id) values ('{id}', '{account}')"
                    ))
                    .says("1");
                    ids.push(id);
                }
                9 if !ids.is_empty() => {
                    let parent = &ids[dice.below(ids.len())];
                    scene.ada.created("beta", &json!({"parent": parent}).to_string());
                }
                10 if step % 5 == 0 => {
                    // a field comes, with or without a default, or an old one goes; sometimes under a name that was there before
                    let name = format!("extra_{}", dice.below(3));
                    match fields.iter().position(|field| field["name"] == name.as_str()) {
                        Some(place) => drop(fields.remove(place)),
                        None if dice.below(2) == 0 => {
                            fields.push(json!({"name": name, "type": "text", "default": "new"}))
                        }
                        None => fields.push(json!({"name": name, "type": "number", "default": 2.5})),
                    }
                    migrate(&scene, "alpha", &json!(fields));
                }
                11 if step == 60 || step == 71 => {
                    let place = fields.iter().position(|field| field["name"] == "n").expect("n");
                    fields[place] = json!({"name": "n", "type": "text"});
                    migrate(&scene, "alpha", &json!(fields));
                    break;
                }
                _ => scene.bob.create("alpha", "{}").answer().truncate(0),
            }
            moments.push((now(), live(&scene, &["alpha", "beta"], &account)));
        }
        assert!(moments.len() > 40, "{}", moments.len());
        for (step, (at, expected)) in moments.iter().enumerate() {
            assert_eq!(&past(&account, at), expected, "step {step}, at {at}");
        }
        assert_eq!(past(&account, "2000-01-01"), [] as [Json; 0]);

        // one of these moments again, in a fresh account
        let (at, _) = &moments[moments.len() - 1];
        let fresh =
            ask("select id from snackbase._account_create('restored', 'restored', 'slug', false)").answer();
        for collection in ["alpha", "beta"] {
            let statement = format!(
                "insert into snackbase.col_{collection}
                 select (jsonb_populate_record(null::snackbase.col_{collection},
                            (p.past -> 'record')::jsonb || jsonb_build_object('account_id', '{fresh}'))).*
                   from (select snackbase.account_at('{account}', '{at}') as past) p
                  where p.past ->> 'collection' = '{collection}'"
            );
            scene.root.run("superadmin", &statement).answer();
        }
        // it matches but for who wrote it and when: restoring is a change like any other, and audited as one
        let restored = live(&scene, &["alpha", "beta"], &fresh);
        assert_eq!(past(&fresh, &now()), restored);
        let content = |entries: &[Json]| -> Vec<Json> {
            let mut entries = entries.to_vec();
            for entry in &mut entries {
                for stamp in [
                    "account_id",
                    "created_at",
                    "updated_at",
                    "created_by",
                    "updated_by",
                ] {
                    entry["record"][stamp] = Json::Null;
                }
            }
            entries
        };
        assert_eq!(content(&restored), content(&past(&account, at)));
        ask("select count(*) from snackbase.audit_verify()").says("0");
    }

    #[pg_test]
    fn a_type_that_changed_later_does_not_change_the_past() {
        let scene = Scene::with_notes();
        let id = scene.ada.created("notes", r#"{"title": "a", "stars": 5}"#);
        let before = now();
        let seen = scene.root.view("notes", &id).json();
        migrate(&scene, "notes", &json!([{"name": "stars", "type": "text"}]));
        let at = |at: &str| {
            // of fields that are gone, a reader without pii_access sees full masks
            scene
                .root
                .ask(
                    "audit",
                    &format!("select snackbase.record_at('notes', '{id}', '{at}')"),
                )
                .json()
        };
        assert_eq!(at(&before), seen);
        let after = at(&now());
        assert_eq!(after["stars"], "5");
        assert!(after.get("title").is_none(), "{after}");
    }

    #[pg_test]
    fn what_was_deleted_or_dropped_is_still_known() {
        let scene = Scene::with_notes();
        let born = now();
        let id = scene.ada.created("notes", r#"{"title": "a"}"#);
        let alive = now();
        scene.ada.delete("notes", &id).answer();
        let dead = now();
        scene
            .root
            .ask("superadmin", "select snackbase.collection_drop('notes')")
            .answer();
        let at = |at: &str| {
            scene.root.ask(
                "audit",
                &format!("select snackbase.record_at('notes', '{id}', '{at}')"),
            )
        };
        at(&born).says("null");
        assert_eq!(at(&alive).json()["title"], "a");
        at(&dead).says("null");
        at(&now()).refused("P0002").saying("Collection 'notes' not found");
        at("2000-01-01").refused("P0002");
        assert_eq!(past(&scene.ada.account, &alive).len(), 1);
        assert_eq!(past(&scene.ada.account, &now()).len(), 0);
    }

    #[pg_test]
    fn records_of_a_table_that_was_taken_over_go_on() {
        let scene = Scene::new();
        let definition = r#"{"name": "stray", "create_rule": "", "update_rule": "", "fields": [
            {"name": "title", "type": "text"}, {"name": "kept", "type": "text"}]}"#;
        scene.collection(definition);
        let id = scene.ada.created("stray", r#"{"title": "a", "kept": "k"}"#);
        let born = now();
        // the definition goes, the table stays
        run("delete from snackbase.collections where name = 'stray'").answer();
        let gone = now();
        scene.collection(definition);
        scene.ada.patch("stray", &id, r#"{"title": "b"}"#).answer();
        let at = |at: &str| {
            scene.root.ask(
                "audit",
                &format!("select snackbase.record_at('stray', '{id}', '{at}')"),
            )
        };
        assert_eq!(at(&born).json()["title"], "a");
        at(&gone).refused("P0002");
        let record = at(&now()).json();
        assert_eq!((&record["title"], &record["kept"]), (&json!("b"), &json!("k")));
        assert_eq!(past(&scene.ada.account, &now())[0]["record"], record);
        ask("select count(*) from snackbase.audit_verify()").says("0");
        // and where the table went, a new one of its name begins anew
        scene
            .root
            .ask("superadmin", "select snackbase.collection_drop('stray')")
            .answer();
        scene.collection(definition);
        at(&now()).says("null");
        assert_eq!(past(&scene.ada.account, &now()), [] as [Json; 0]);
    }

    #[pg_test]
    fn a_collection_has_the_name_it_was_given() {
        let scene = Scene::new();
        let fields = r#""create_rule": "", "fields": [{"name": "title", "type": "text"}]"#;
        scene.collection(&format!(r#"{{"name": "BlogPosts", {fields}}}"#));
        let id = scene.ada.created("BlogPosts", r#"{"title": "a"}"#);
        let before = now();
        scene
            .root
            .ask("superadmin", "select snackbase.collection_drop('BlogPosts')")
            .answer();
        scene.collection(&format!(r#"{{"name": "blogPosts", {fields}}}"#));
        let again = scene.ada.created("blogPosts", r#"{"title": "b"}"#);
        for (at, name, id) in [(before, "BlogPosts", id), (now(), "blogPosts", again)] {
            let records = past(&scene.ada.account, &at);
            assert_eq!(records.len(), 1);
            assert_eq!(
                (&records[0]["collection"], &records[0]["record"]["id"]),
                (&name.into(), &id.into())
            );
        }
    }

    #[pg_test]
    fn only_readers_of_the_account_look_back() {
        let scene = Scene::with_notes();
        let hers = scene.ada.created("notes", r#"{"title": "hers"}"#);
        let record = format!("select snackbase.record_at('notes', '{hers}', clock_timestamp())");
        let account = format!(
            "select snackbase.account_at('{}', clock_timestamp())",
            scene.ada.account
        );
        for person in [&scene.ada, &scene.root] {
            assert_eq!(person.ask("audit", &record).json()["title"], "hers");
            assert_eq!(
                person.ask("audit", &account).json()["record"]["id"],
                hers.as_str()
            );
        }
        for statement in [&record, &account] {
            scene.alf.ask("member", statement).refused("42501");
        }
        scene.bob.ask("audit", &record).says("null");
        scene
            .bob
            .ask("audit", &account)
            .refused("42501")
            .saying("Superadmin access required");
        let named = format!(
            "select snackbase.record_at('notes', '{hers}', clock_timestamp(), '{}')",
            scene.ada.account
        );
        scene.bob.ask("audit", &named).refused("42501");
        assert_eq!(scene.root.ask("audit", &named).json()["title"], "hers");
        // the same id in two accounts
        run(&format!(
            "insert into snackbase.col_notes (id, account_id, title) values ('{hers}', '{}', 'his')",
            scene.bob.account
        ))
        .says("1");
        scene.root.ask("audit", &record).refused("22023");
        assert_eq!(scene.root.ask("audit", &named).json()["title"], "hers");
        assert_eq!(scene.bob.ask("audit", &record).json()["title"], "his");
    }

    #[pg_test]
    fn personal_data_of_the_past_is_masked() {
        let scene = Scene::new();
        scene.collection(
            r#"{"name": "people", "create_rule": "", "fields": [{"name": "mail", "type": "email", "pii": true, "mask_type": "email"}]}"#,
        );
        let id = scene.ada.created("people", r#"{"mail": "john@example.com"}"#);
        let record = format!("select snackbase.record_at('people', '{id}', clock_timestamp())");
        assert_eq!(scene.ada.ask("audit", &record).json()["mail"], "j***@example.com");
        let account = format!(
            "select snackbase.account_at('{}', clock_timestamp())",
            scene.ada.account
        );
        assert!(!scene.ada.ask("audit", &account).answer().contains("john"));
        assert_eq!(
            scene.root.ask("audit", &record).json()["mail"],
            "john@example.com"
        );
        // it was personal then
        scene
            .change("people", r#"{"fields": [{"name": "mail", "type": "email"}]}"#)
            .answer();
        let then = format!(
            "select snackbase.record_at('people', '{id}', (select max(occurred_at) from snackbase.audit_change where table_name = 'col_people'))"
        );
        assert_eq!(scene.ada.ask("audit", &then).json()["mail"], "j***@example.com");
    }
}
