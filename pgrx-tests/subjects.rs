//! What the trail keeps of values: masks at write, and erasure by destroying the key of a subject.

#[pgrx::pg_schema]
mod tests {
    use pgrx::prelude::*;

    use crate::tests::scene::{Outcome, Person, Scene, ask, ask_as, ask_through_gateway, run, run_as};

    #[track_caller]
    fn verified() {
        ask("select kind || ' ' || table_name || ' ' || coalesce(record_id, '') || coalesce(expected, '') from snackbase.audit_verify()").says("");
    }

    /// `operation old new`, as stored.
    fn stored(column: &str) -> String {
        ask(&format!(
            "select concat_ws(' ', operation, coalesce(old_value, '-'), coalesce(new_value, '-'))
               from snackbase.audit_log where table_name = 'col_people' and column_name = '{column}' order by id"
        ))
        .answer()
    }

    /// The same as `audit_list` shows it.
    fn shown(person: &Person, operation: &str, column: &str) -> String {
        let items = person
            .ask(
                operation,
                r#"select snackbase.audit_list('{"table_name": "col_people", "limit": 500, "sort_by": "id", "sort_order": "asc"}')"#,
            )
            .json()["items"]
            .clone();
        let items = items.as_array().expect("items");
        let lines: Vec<String> = items
            .iter()
            .filter(|entry| entry["column_name"] == column)
            .map(|entry| {
                let text = |key: &str| entry[key].as_str().unwrap_or("-").to_owned();
                format!(
                    "{} {} {}",
                    text("operation"),
                    text("old_value"),
                    text("new_value")
                )
            })
            .collect();
        lines.join("\n")
    }

    #[pg_test]
    fn the_trail_keeps_of_a_value_what_its_mask_says() {
        let scene = Scene::new();
        scene.collection(
            r#"{"name": "people", "create_rule": "", "update_rule": "", "fields": [
                {"name": "a", "type": "text", "options": {"audit": "redact"}},
                {"name": "b", "type": "text", "options": {"audit": "hash"}},
                {"name": "c", "type": "text", "options": {"audit": "skip"}},
                {"name": "API_Token", "type": "text"},
                {"name": "token_kind", "type": "text", "options": {"audit": "none"}},
                {"name": "d", "type": "text"}]}"#,
        );
        let id = scene.ada.created(
            "people",
            r#"{"a": "x", "b": "x", "c": "x", "API_Token": "x", "token_kind": "x", "d": "x"}"#,
        );
        scene
            .ada
            .patch(
                "people",
                &id,
                r#"{"a": "y", "b": "y", "c": "y", "API_Token": "y", "token_kind": "y", "d": null}"#,
            )
            .answer();
        let hash = |text: &str| {
            ask(&format!(
                "select 'sha256:' || encode(sha256(convert_to('col_people', 'UTF8') || '\\x00' || convert_to('b', 'UTF8') || '\\x00' || convert_to('{text}', 'UTF8')), 'hex')"
            ))
            .answer()
        };
        assert_eq!(stored("a"), "CREATE - ***\nUPDATE *** ***");
        assert_eq!(
            stored("b"),
            format!("CREATE - {}\nUPDATE {} {}", hash("x"), hash("x"), hash("y"))
        );
        assert_eq!(stored("c"), "");
        assert_eq!(stored("API_Token"), "CREATE - ***\nUPDATE *** ***");
        assert_eq!(stored("token_kind"), "CREATE - x\nUPDATE x y");
        assert_eq!(stored("d"), "CREATE - x\nUPDATE x -");
        verified();
        ask("select string_agg(concat_ws(' ', column_name, mask, origin), ', ' order by column_name collate \"C\")
               from snackbase.audit_masks where table_name = 'col_people'")
        .says("API_Token redact name, a redact chosen, b hash chosen, c skip chosen");
        ask("select mask || ' ' || origin from snackbase.audit_masks where table_name = 'users'")
            .says("redact chosen");
        // Another mask counts from now on, and nothing that stands is damage.
        scene
            .change(
                "people",
                r#"{"fields": [{"name": "a", "type": "text"},
                {"name": "b", "type": "text", "options": {"audit": "redact"}},
                {"name": "c", "type": "text"},
                {"name": "API_Token", "type": "text"},
                {"name": "token_kind", "type": "text", "options": {"audit": "hash"}},
                {"name": "d", "type": "text", "options": {"audit": "skip"}}]}"#,
            )
            .answer();
        verified();
        scene
            .ada
            .patch(
                "people",
                &id,
                r#"{"a": "z", "c": "z", "token_kind": "z", "d": "z"}"#,
            )
            .answer();
        assert!(stored("a").ends_with("\nUPDATE y z"), "{}", stored("a"));
        assert_eq!(stored("d"), "CREATE - x\nUPDATE x -");
        verified();
        // A live value behind a hash is still compared.
        run("set local session_replication_role = replica; update snackbase.col_people set token_kind = 'forged'").says("1");
        ask("select kind || ' ' || table_name from snackbase.audit_verify()").says("live col_people");
    }

    #[pg_test]
    fn an_unknown_mask_or_a_mask_beside_erasable_is_refused() {
        let scene = Scene::new();
        for (options, code) in [
            (r#"{"audit": "blur"}"#, "schema[0].options.audit audit_invalid"),
            (r#"{"audit": 1}"#, "schema[0].options.audit audit_invalid"),
            (
                r#"{"erasable": "yes"}"#,
                "schema[0].options.erasable erasable_invalid",
            ),
            (
                r#"{"erasable": true, "audit": "hash"}"#,
                "schema[0].options.erasable erasable_invalid",
            ),
        ] {
            let field = format!(r#"{{"name": "f", "type": "text", "pii": true, "options": {options}}}"#);
            let refusal = scene
                .define(&format!(r#"{{"name": "people", "fields": [{field}]}}"#))
                .refused("23514");
            assert_eq!(refusal.problems(), [code]);
        }
        for rest in ["", r#", "pii": true, "required": true"#] {
            scene
                .define(&format!(
                    r#"{{"name": "people", "fields": [{{"name": "f", "type": "text", "options": {{"erasable": true}}{rest}}}]}}"#
                ))
                .refused("23514");
        }
    }

    /// `people` with an erasable phone; `visits` that belong to a person.
    fn people() -> Scene {
        let scene = Scene::new();
        scene.collection(
            r#"{"name": "people", "list_rule": "", "view_rule": "", "create_rule": "", "update_rule": "", "delete_rule": "", "fields": [
                {"name": "name", "type": "text"},
                {"name": "phone", "type": "text", "pii": true, "mask_type": "full", "options": {"erasable": true}},
                {"name": "born", "type": "date", "pii": true, "options": {"erasable": true}}]}"#,
        );
        scene.collection(
            r#"{"name": "visits", "create_rule": "", "update_rule": "", "options": {"subject": "person"}, "fields": [
                {"name": "person", "type": "reference", "collection": "people", "on_delete": "restrict"},
                {"name": "note", "type": "text", "pii": true, "options": {"erasable": true}}]}"#,
        );
        scene
    }

    fn erase(person: &Person, account: &str, subject: &str) -> Outcome {
        person.ask(
            "superadmin",
            &format!("select snackbase.subject_erase('{account}', '{subject}')"),
        )
    }

    #[pg_test]
    fn erasable_values_are_sealed_in_the_trail_and_readable_while_the_key_exists() {
        let scene = people();
        let id = scene.ada.created(
            "people",
            r#"{"name": "n", "phone": "555-1", "born": "2000-01-02"}"#,
        );
        scene.ada.patch("people", &id, r#"{"phone": "555-2"}"#).answer();
        for column in ["phone", "born"] {
            let text = stored(column);
            assert!(
                text.contains("sealed:v1:") && !text.contains("555") && !text.contains("2000-"),
                "{text}"
            );
        }
        assert_eq!(stored("name"), "CREATE - n");
        assert_eq!(
            shown(&scene.root, "superadmin", "phone"),
            "CREATE - 555-1\nUPDATE 555-1 555-2"
        );
        assert_eq!(shown(&scene.root, "superadmin", "born"), "CREATE - 2000-01-02");
        // Equal values do not look equal, and one key serves one subject.
        ask(
            "select count(distinct split_part(new_value, ':', 3)) || ' ' || count(distinct new_value)
               from snackbase.audit_log where new_value like 'sealed:%'",
        )
        .says("1 3");
        verified();
        // The key is nobody's to read.
        for (person, operation) in [
            (&scene.ada, "member"),
            (&scene.ada, "view"),
            (&scene.root, "superadmin"),
        ] {
            person
                .ask(operation, "select secret from snackbase.subject_keys")
                .refused("42501");
        }
        ask("select count(*) from snackbase.audit_log where table_name = 'subject_keys'").says("0");
        // A live value that was edited is found, although the trail has a ciphertext.
        run("set local session_replication_role = replica; update snackbase.col_people set phone = '555-3'")
            .says("1");
        let found =
            ask("select kind || ' ' || expected || ' ' || actual from snackbase.audit_verify()").answer();
        assert!(found.starts_with("live ") && !found.contains("555"), "{found}");
    }

    #[pg_test]
    fn erasing_a_subject_clears_its_records_and_leaves_a_trail_that_verifies_and_cannot_be_read() {
        let scene = people();
        let (one, two) = (
            scene.ada.created("people", r#"{"name": "n", "phone": "555-1"}"#),
            scene.ada.created("people", r#"{"name": "m", "phone": "777-1"}"#),
        );
        scene
            .ada
            .created("visits", &format!(r#"{{"person": "{one}", "note": "of one"}}"#));
        scene
            .ada
            .created("visits", &format!(r#"{{"person": "{two}", "note": "of two"}}"#));
        let before = ask("select clock_timestamp()").answer();
        let as_it_was = || {
            scene
                .root
                .ask(
                    "audit",
                    &format!(
                        "select snackbase.record_at('people', '{one}', '{before}', '{}')",
                        scene.ada.account
                    ),
                )
                .json()["phone"]
                .clone()
        };
        assert_eq!(as_it_was(), "555-1");
        let answer = erase(&scene.root, &scene.ada.account, &one).json();
        assert_eq!(as_it_was(), "[erased]");
        assert_eq!(
            (&answer["records"], &answer["keys_destroyed"]),
            (&serde_json::json!(2), &serde_json::json!(1))
        );
        ask("select string_agg(concat_ws(' ', name, phone), ', ' order by name) from snackbase.col_people")
            .says("m 777-1, n");
        ask("select string_agg(note, ', ') from snackbase.col_visits").says("of two");
        assert_eq!(
            shown(&scene.root, "superadmin", "phone"),
            "CREATE - [erased]\nCREATE - 777-1\nUPDATE [erased] -"
        );
        verified();
        ask("select count(*) from snackbase.subject_keys where secret is null and destroyed_at is not null")
            .says("1");
        ask(
            "select string_agg(column_name || '=' || new_value, ' ' order by id) from snackbase.audit_log
              where table_name = 'subject_erasures' and column_name in ('subject', 'records', 'erased_by')",
        )
        .says(&format!("subject={one} records=2 erased_by={}", scene.root.id));
        // Again: nothing happens, and nothing is noted.
        let answer = erase(&scene.root, &scene.ada.account, &one).json();
        assert_eq!(
            (&answer["records"], &answer["keys_destroyed"]),
            (&serde_json::json!(0), &serde_json::json!(0))
        );
        erase(&scene.root, &scene.bob.account, &two).answer();
        ask("select count(*) from snackbase.subject_erasures").says("1");
        // What is written later has a new key.
        scene.ada.patch("people", &one, r#"{"phone": "555-9"}"#).answer();
        assert!(shown(&scene.root, "superadmin", "phone").ends_with("UPDATE - 555-9"));
        verified();
        for (person, operation) in [
            (&scene.ada, "member"),
            (&scene.ada, "update"),
            (&scene.bob, "delete"),
        ] {
            person
                .ask(
                    operation,
                    &format!("select snackbase.subject_erase('{}', '{two}')", scene.ada.account),
                )
                .refused("42501");
        }
    }

    #[pg_test]
    fn a_subject_is_found_by_the_letters_of_its_name() {
        let scene = Scene::new();
        scene.collection(
            r#"{"name": "notes", "create_rule": "", "options": {"subject": "created_by"}, "fields": [
                {"name": "phone", "type": "text", "pii": true, "options": {"erasable": true}}]}"#,
        );
        let account = &scene.ada.account;
        let phones = || ask("select count(*) from snackbase.col_notes where phone is not null");
        // A login role of this name writes by SQL. (Of a superuser, whom no policy binds.)
        run(r#"create role "Dr. Bob" superuser"#).answer();
        run_as(
            "Dr. Bob",
            &format!("insert into snackbase.col_notes (account_id, phone) values ('{account}', '1')"),
        )
        .says("1");
        scene.ada.created("notes", r#"{"phone": "2"}"#);
        assert_eq!(erase(&scene.root, account, "dr. bob").json()["records"], 0);
        let told = erase(&scene.root, account, "Dr. Bob").json();
        assert_eq!(
            (&told["subject"], &told["records"], &told["keys_destroyed"]),
            (&"Dr. Bob".into(), &1.into(), &1.into())
        );
        phones().says("1");
        let told = erase(
            &scene.root,
            account,
            &format!(" {} ", scene.ada.id.to_uppercase()),
        )
        .json();
        assert_eq!(
            (&told["records"], &told["keys_destroyed"]),
            (&1.into(), &1.into())
        );
        phones().says("0");
        verified();
    }

    #[pg_test]
    fn values_that_move_to_another_subject_are_sealed_for_it() {
        let scene = people();
        let (one, two) = (
            scene.ada.created("people", "{}"),
            scene.ada.created("people", "{}"),
        );
        let visit = scene
            .ada
            .created("visits", &format!(r#"{{"person": "{one}", "note": "moved"}}"#));
        scene
            .ada
            .patch("visits", &visit, &format!(r#"{{"person": "{two}"}}"#))
            .answer();
        erase(&scene.root, &scene.ada.account, &one).answer();
        ask("select note from snackbase.col_visits").says("moved");
        verified();
        ask("select string_agg(snackbase._audit_reveal(account_id, table_name, record_id, column_name, new_value), ', ' order by id)
               from snackbase.audit_log where table_name = 'col_visits' and column_name = 'note'")
        .says("[erased], moved");
    }

    #[pg_test]
    fn a_text_that_only_looks_sealed_is_shown_as_it_is() {
        let scene = people();
        let id = scene.ada.created("people", r#"{"phone": "555-1"}"#);
        let sealed = stored("phone").replace("CREATE - ", "");
        let made_up = format!("sealed:v1:{id}:{}", "A".repeat(64));
        for text in [&sealed, &made_up] {
            scene
                .ada
                .patch("people", &id, &format!(r#"{{"name": "{text}"}}"#))
                .answer();
            assert!(shown(&scene.root, "superadmin", "name").ends_with(text.as_str()));
        }
        verified();
    }

    #[pg_test]
    fn keys_can_be_wrapped_by_a_key_outside_the_database() {
        let scene = people();
        let file = std::env::temp_dir().join(format!("snackbase-master-{}", std::process::id()));
        std::fs::write(&file, "0f".repeat(32)).expect("a file");
        let set = format!(
            "set local snackbase.subject_master_key_file = '{}'",
            file.display()
        );
        run(&set).answer();
        scene.ada.created("people", r#"{"phone": "555-1"}"#);
        ask("select distinct wrapped || ' ' || octet_length(secret) from snackbase.subject_keys")
            .says("true 72");
        assert_eq!(shown(&scene.root, "superadmin", "phone"), "CREATE - 555-1");
        // Without the master key nothing is read and nothing written; another one does not fit.
        run("set local snackbase.subject_master_key_file = '/nonexistent'").answer();
        scene
            .ada
            .create("people", r#"{"phone": "555-2"}"#)
            .refused("55000");
        std::fs::write(&file, "1f".repeat(32)).expect("a file");
        run(&set).answer();
        scene
            .root
            .ask(
                "superadmin",
                "select snackbase.audit_list('{\"table_name\": \"col_people\", \"limit\": 500}')",
            )
            .refused("55000");
        std::fs::remove_file(&file).expect("the file");
        ask("select count(*) from pg_settings where name = 'snackbase.subject_master_key_file' and context = 'superuser'").says("1");
    }
    /// A file with a master key; gone with this.
    struct Master(std::path::PathBuf);

    impl Master {
        fn new(name: &str, digits: &str) -> Master {
            let file = std::env::temp_dir().join(format!("snackbase-master-{name}-{}", std::process::id()));
            std::fs::write(&file, digits.repeat(32)).expect("a file");
            Master(file)
        }
    }

    impl Drop for Master {
        fn drop(&mut self) {
            let _ = std::fs::remove_file(&self.0);
        }
    }

    /// The master key of now, and the one before.
    fn masters(current: Option<&Master>, previous: Option<&Master>) {
        for (setting, master) in [("", current), ("_previous", previous)] {
            let file = master
                .map(|master| master.0.display().to_string())
                .unwrap_or_default();
            run(&format!(
                "set local snackbase.subject_master_key_file{setting} = '{file}'"
            ))
            .answer();
        }
    }

    #[pg_test]
    fn keys_are_wrapped_again_under_another_master_key() {
        let scene = people();
        let (first, second, third) = (
            Master::new("1", "1a"),
            Master::new("2", "2b"),
            Master::new("3", "3c"),
        );
        let shown = || shown(&scene.root, "superadmin", "phone");
        let written = |phone: &str| scene.ada.created("people", &format!(r#"{{"phone": "{phone}"}}"#));
        let rewrap = |arguments: &str| {
            let system = r#"{"kind":"system"}"#;
            let call = format!("select snackbase.subject_keys_rewrap({arguments})");
            ask_through_gateway(system, "auth", &call)
        };
        let counts = |answer: Outcome| {
            let json = answer.json();
            (
                json["rewrapped"].clone(),
                json["unreadable"].clone(),
                json["last"].is_null(),
            )
        };
        written("555-0");
        masters(Some(&first), None);
        written("555-1");
        let erased = written("555-2");
        erase(&scene.root, &scene.ada.account, &erased).answer();

        // Both keys are needed meanwhile; what is new is under the new one.
        masters(Some(&second), Some(&first));
        written("555-3");
        let before = shown();
        assert_eq!(
            before,
            "CREATE - 555-0\nCREATE - 555-1\nCREATE - [erased]\nUPDATE [erased] -\nCREATE - 555-3"
        );
        let destroyed =
            "select string_agg(concat_ws(' ', id, secret, wrapped, destroyed_at), ', ' order by id)
                           from snackbase.subject_keys where destroyed_at is not null";
        let kept = ask(destroyed).answer();
        // One at a time: three keys live.
        let (mut rewrapped, mut after, mut calls) = (0, "null".to_owned(), 0);
        while after != "done" {
            let part = rewrap(&format!("{after}, 1")).json();
            rewrapped += part["rewrapped"].as_u64().expect("a number");
            assert_eq!(part["unreadable"], 0);
            after = part["last"]
                .as_str()
                .map_or("done".to_owned(), |id| format!("'{id}'"));
            calls += 1;
        }
        assert_eq!((rewrapped, calls), (2, 4));
        ask("select string_agg(distinct wrapped || ' ' || octet_length(secret), ', ') from snackbase.subject_keys where secret is not null")
            .says("true 72");
        assert_eq!(ask(destroyed).answer(), kept, "destroyed stays destroyed");
        ask("select count(*) from snackbase.subject_keys where destroyed_at is not null and secret is null")
            .says("1");
        assert_eq!(counts(rewrap("")), (0.into(), 0.into(), true), "once is enough");

        // Now the new key alone opens all, and the old one nothing.
        masters(Some(&second), None);
        assert_eq!(shown(), before);
        verified();
        masters(Some(&first), None);
        scene
            .root
            .ask(
                "superadmin",
                "select snackbase.audit_list('{\"table_name\": \"col_people\", \"limit\": 500}')",
            )
            .refused("55000");
        // What no key opens is counted and stays as it is.
        masters(Some(&third), Some(&first));
        assert_eq!(counts(rewrap("")), (0.into(), 3.into(), true));
        masters(Some(&second), None);
        assert_eq!(shown(), before);

        // Only the system and a superuser, and never without a master key.
        ask("select snackbase.subject_keys_rewrap() ->> 'rewrapped'").says("0");
        let call = "select snackbase.subject_keys_rewrap()";
        scene.root.ask("superadmin", call).refused("42501");
        scene.ada.ask("member", call).refused("42501");
        ask_through_gateway(r#"{"kind":"anonymous"}"#, "auth", call).refused("42501");
        ask_as("snackbase_gateway", call).refused("42501");
        rewrap("null, 0").refused("22023");
        masters(None, Some(&second));
        rewrap("").refused("55000");
    }
}
