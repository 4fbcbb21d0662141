//! Logs of an original instance: verified by their own rules, kept as they came, all or nothing.

#[pgrx::pg_schema]
mod tests {
    use pgrx::prelude::*;
    use serde_json::{Value as Json, json};

    use crate::tests::scene::{Outcome, Person, Scene, ask, quoted, run};

    /// The two vectors of `docs/ledger.md`, and a third entry that follows them.
    fn log(account: &str) -> Vec<Json> {
        let entry = |id: i64,
                     operation: &str,
                     old: Json,
                     new: Json,
                     at: &str,
                     before: Json,
                     checksum: &str| {
            json!({"id": id, "account_id": account, "operation": operation, "table_name": "col_posts", "record_id": "post_001",
                "column_name": "title", "old_value": old, "new_value": new, "user_id": "u1", "user_email": "a@example.com",
                "user_name": "a@example.com", "es_username": null, "es_reason": null, "es_timestamp": null,
                "ip_address": "192.0.2.1", "user_agent": "curl/8", "request_id": "hk_0123456789ab", "occurred_at": at,
                "extra_metadata": {"auth_method": "jwt"}, "previous_hash": before, "checksum": checksum})
        };
        let (first, second) = (
            "8463f5bcb221850adbf89b0380d7768cc2640c7dba25d595ff7bdaf3953a0d63",
            "e8262997961c60507399f20683daffd8907dcad247b2759de5318b03277c0e79",
        );
        vec![
            entry(
                7,
                "CREATE",
                Json::Null,
                json!("Héllo"),
                "2026-01-02T03:04:05.678901+00:00",
                Json::Null,
                first,
            ),
            entry(
                9,
                "UPDATE",
                json!("Héllo"),
                json!("Bye"),
                "2026-01-02 03:04:06Z",
                json!(first),
                second,
            ),
        ]
    }

    const VECTORS: &str = "550e8400-e29b-41d4-a716-446655440000";

    fn lines(log: &[Json]) -> String {
        let lines: Vec<String> = log.iter().map(|entry| quoted(&entry.to_string())).collect();
        format!("array[{}]::text[]", lines.join(", "))
    }

    /// Imports as the gateway's login role does, in one statement for a test.
    fn import(scene: &Scene, log: &[Json]) -> Outcome {
        let statement = format!(
            "select snackbase.audit_import_finish(a.id)
               from (select i.id, snackbase.audit_import_add(i.id, 1, {}) as breaks
                       from (select snackbase.audit_import_begin('test.jsonl') as id) i offset 0) a where a.breaks >= 0",
            lines(log)
        );
        scene.root.ask("superadmin", &statement)
    }

    #[pg_test]
    fn a_sound_log_has_no_break() {
        let scene = Scene::new();
        let report = import(&scene, &log(VECTORS)).json();
        assert_eq!(
            (
                &report["entries"],
                &report["accounts"],
                &report["breaks"],
                &report["first_id"],
                &report["last_id"]
            ),
            (&json!(2), &json!(1), &json!(0), &json!(7), &json!(9))
        );
        run("set constraints all immediate").answer();
        ask("select bool_and(encode(computed, 'hex') = checksum) from snackbase.audit_import_entry")
            .says("true");
        ask("select string_agg(id || ' ' || hash_version || ' ' || snackbase.rfc3339(occurred_at), ', ' order by id) from snackbase.audit_imported")
            .says("7 1 2026-01-02T03:04:05.678901Z, 9 1 2026-01-02T03:04:06Z");
    }

    #[pg_test]
    fn an_import_is_sealed_in_a_block_of_its_own() {
        let scene = Scene::new();
        let mut log = log(VECTORS);
        // A second account with one entry between the two; its id is the smaller one, so it is first in the tree.
        let mut other = log[0].clone();
        other["id"] = json!(8);
        other["account_id"] = json!("00000000-0000-4000-8000-000000000001");
        log.insert(1, other);
        let report = import(&scene, &log).json();
        assert_eq!(report["block"], 1);
        ask("select number || ' ' || (import_id = (select id from snackbase.audit_import)) || ' ' || (from_xid = to_xid) || ' ' || change_count
               from snackbase.audit_block")
        .says("1 true true 3");
        // The tree of design ledger.md §5, written out.
        run("create temp table leaf as
             select id, account_id, sha256('\\x00' || computed) as hash from snackbase.audit_import_entry")
        .says("3");
        ask("select string_agg(a.change_count || ' ' || a.previous_block || ' ' || a.first_id || '-' || a.last_id || ' ' || (a.root =
                    case a.change_count when 1 then (select hash from leaf where id = 8)
                    else sha256('\\x01' || (select hash from leaf where id = 7) || (select hash from leaf where id = 9)) end), ', ' order by a.account_id)
               from snackbase.audit_block_account a")
        .says("1 0 8-8 true, 2 0 7-9 true");
        ask("select b.tree_root = sha256('\\x01' || l.first || l.last)
               from snackbase.audit_block b
              cross join (select (array_agg(sha256('\\x00' || uuid_send(account_id) || int8send(change_count) || int8send(0) || root)) filter (where first_id = 8))[1] as first,
                                 (array_agg(sha256('\\x00' || uuid_send(account_id) || int8send(change_count) || int8send(0) || root)) filter (where first_id = 7))[1] as last
                            from snackbase.audit_block_account) l")
        .says("true");
        ask("select count(*) from snackbase.audit_verify()").says("0");
    }

    #[pg_test]
    fn what_happens_to_an_import_afterwards_is_found() {
        let scene = Scene::new();
        let mut log = log(VECTORS);
        let mut other = log[0].clone();
        other["id"] = json!(8);
        other["account_id"] = json!("00000000-0000-4000-8000-000000000001");
        other["checksum"] = json!("0".repeat(64));
        log.insert(1, other);
        // A log that came with breaks is sealed with them; that is no finding.
        assert_eq!(import(&scene, &log).json()["breaks"], 3);
        ask("select count(*) from snackbase.audit_verify()").says("0");
        for (damage, expected) in [
            (
                "update snackbase.audit_import_entry set new_value = 'Hi' where id = 9",
                "checksum 1 post_001",
            ),
            // with a hash that fits, only the tree knows
            (
                "update snackbase.audit_import_entry e set request_id = o.request_id, computed = o.computed
                   from snackbase.audit_import_entry o where e.id = 7 and o.id = 9",
                "block 1, checksum 1 post_001",
            ),
            ("delete from snackbase.audit_import_entry where id = 9", "truncated 1"),
            ("delete from snackbase.audit_import_entry where id = 8", "truncated 1"),
            (
                "insert into snackbase.audit_import_entry
                 select (e).* from (select (jsonb_populate_record(x, '{\"id\": 10}')) as e from snackbase.audit_import_entry x where id = 9) n",
                "block 1",
            ),
            (
                "insert into snackbase.audit_import_entry
                 select (e).* from (select (jsonb_populate_record(x, '{\"import_id\": 77}')) as e from snackbase.audit_import_entry x where id = 9) n",
                "block post_001",
            ),
        ] {
            run(&format!(
                "do $$ declare found text; begin
                     alter event trigger snackbase_guard_ddl disable;
                     alter table snackbase.audit_import_entry disable trigger user;
                     {damage};
                     found := (select string_agg(concat_ws(' ', v.kind, v.block, v.record_id), ', ' order by v.kind) from snackbase.audit_verify() v);
                     raise exception 'undo %', found;
                 exception when raise_exception then
                     perform set_config('snackbase_test.found', substr(sqlerrm, 6), true);
                 end $$"
            ))
            .answer();
            ask("select current_setting('snackbase_test.found')").says(expected);
        }
        ask("select count(*) from snackbase.audit_verify()").says("0");
    }

    #[pg_test]
    fn breaks_are_reported_and_kept() {
        let scene = Scene::new();
        let mut edited = log(VECTORS);
        edited[1]["new_value"] = json!("Hi");
        let report = import(&scene, &edited).json();
        assert_eq!(report["breaks"], 1);
        assert_eq!(
            (
                &report["first_breaks"][0]["id"],
                &report["first_breaks"][0]["kind"]
            ),
            (&json!(9), &json!("checksum"))
        );
        // a missing entry is a link that leads nowhere
        let report = import(&scene, &log(VECTORS)[1..]).json();
        assert_eq!(report["first_breaks"][0]["kind"], "link");
        assert_eq!(report["first_breaks"][0]["expected"], Json::Null);
        ask("select string_agg(entry_id || ' ' || kind, ', ' order by import_id) from snackbase.audit_import_break")
            .says("9 checksum, 9 link");
    }

    #[pg_test]
    fn a_line_that_is_no_entry_is_named_and_nothing_stays() {
        let scene = Scene::new();
        for (key, value, fault) in [
            ("account_id", json!("acme"), "line 2: account_id is no uuid"),
            (
                "operation",
                json!("READ"),
                "line 2: operation is CREATE, UPDATE or DELETE",
            ),
            (
                "occurred_at",
                json!("yesterday"),
                "line 2: occurred_at is no instant",
            ),
            (
                "es_timestamp",
                json!("2026-13-01T00:00:00"),
                "line 2: es_timestamp is no instant",
            ),
            (
                "id",
                json!(7),
                "line 2: id 7 does not come after the id before it: a log is read in the order of its ids",
            ),
            (
                "id",
                json!("x"),
                "line 2: no entry of a log: invalid type: string \"x\", expected i64",
            ),
            (
                "user_id",
                Json::Null,
                "line 2: no entry of a log: invalid type: null, expected a string",
            ),
            (
                "new_value",
                json!("a\u{0}"),
                "line 2: the character U+0000 cannot be stored",
            ),
            ("extra_metadata", json!("{"), "line 2: extra_metadata is no JSON"),
        ] {
            let mut bad = log(VECTORS);
            bad[1][key] = value;
            import(&scene, &bad).refused("22023").saying(fault);
        }
        ask("select count(*) from snackbase.audit_import").says("0");
        import(&scene, &[]).refused("22023");
        // begun and not finished
        run("do $$ begin perform snackbase.audit_import_begin('x'); set constraints all immediate; end $$")
            .refused("23514");
    }

    #[pg_test]
    fn nothing_is_added_to_an_import_later() {
        let scene = Scene::new();
        let import_id = import(&scene, &log(VECTORS)).json()["import_id"]
            .as_i64()
            .expect("an id");
        let mut more = log(VECTORS).remove(0);
        more["id"] = json!(10);
        for id in [import_id, import_id + 1] {
            let statement = format!(
                "select snackbase.audit_import_add({id}, 1, {})",
                lines(&[more.clone()])
            );
            scene
                .root
                .ask("superadmin", &statement)
                .refused("22023")
                .saying(&format!(
                    "import {id} was not begun in this transaction, or is finished: nothing is added to a log later"
                ));
        }
        ask("select count(*) from snackbase.audit_import_entry").says("2");
        ask("select count(*) from snackbase.audit_verify()").says("0");
    }

    #[pg_test]
    fn an_imported_log_is_read_by_its_account_and_never_changed() {
        let scene = Scene::new();
        import(&scene, &log(&scene.ada.account)).answer();
        let seen = |person: &Person| person.ask("audit", "select count(*) from snackbase.audit_imported");
        seen(&scene.ada).says("2");
        seen(&scene.root).says("2");
        seen(&scene.bob).says("0");
        scene
            .alf
            .ask("member", "select count(*) from snackbase.audit_imported")
            .says("0");
        for table in [
            "audit_import",
            "audit_import_result",
            "audit_import_entry",
            "audit_import_break",
        ] {
            for statement in [
                format!("delete from snackbase.{table}"),
                format!("truncate snackbase.{table} cascade"),
            ] {
                run(&format!("set local role snackbase_owner; {statement}")).refused_any();
            }
        }
        run("update snackbase.audit_import_entry set new_value = 'x'").refused("42501");
        scene
            .root
            .run(
                "superadmin",
                "insert into snackbase.audit_import (source, imported_by) values ('x', 'x')",
            )
            .refused("42501");
        scene
            .ada
            .ask("audit", "select snackbase.audit_import_begin('x')")
            .refused("42501");
        // no such collection here: nobody can say which values are personal
        scene
            .ada
            .ask(
                "audit",
                "select string_agg(coalesce(new_value, '-'), ' ' order by id) from snackbase.audit_imported",
            )
            .says("***** ***");
        scene
            .root
            .ask(
                "audit",
                "select string_agg(coalesce(new_value, '-'), ' ' order by id) from snackbase.audit_imported",
            )
            .says("Héllo Bye");
    }
    #[pg_test]
    fn imported_entries_are_listed_page_by_page() {
        let scene = Scene::new();
        let list = |person: &Person, query: Json| {
            person
                .ask(
                    "audit",
                    &format!(
                        "select snackbase.audit_imported_list({})",
                        quoted(&query.to_string())
                    ),
                )
                .json()
        };
        let ids = |page: &Json| -> Vec<i64> {
            let items = page["items"].as_array().expect("items");
            items.iter().filter_map(|item| item["id"].as_i64()).collect()
        };
        let mut hers = log(&scene.ada.account);
        hers[1]["extra_metadata"] = Json::Null;
        let first = import(&scene, &hers).json()["import_id"].clone();
        let second = import(&scene, &log(&scene.ada.account)).json()["import_id"].clone();
        import(&scene, &log(&scene.bob.account)).answer();

        let page = list(&scene.ada, json!({}));
        assert_eq!((&page["total"], ids(&page)), (&json!(4), vec![9, 7, 9, 7]));
        assert_eq!(list(&scene.root, json!({}))["total"], 6);
        assert_eq!(
            list(&scene.ada, json!({"account_id": scene.bob.account}))["total"],
            0
        );
        assert_eq!(
            list(&scene.root, json!({"account_id": scene.bob.account}))["total"],
            2
        );
        let page = list(&scene.ada, json!({"sort_order": "asc", "skip": 1, "limit": 2}));
        assert_eq!((&page["total"], ids(&page)), (&json!(4), vec![9, 7]));
        assert_eq!(
            (&page["items"][0]["import_id"], &page["items"][1]["import_id"]),
            (&first, &second)
        );
        let past = list(&scene.ada, json!({"skip": 9}));
        assert_eq!((&past["total"], ids(&past)), (&json!(4), vec![]));
        for (query, total) in [
            (json!({"import_id": first}), 2),
            (json!({"operation": "create"}), 2),
            (json!({"auth_method": "jwt"}), 3),
            (
                json!({"record_id": "post_001", "table_name": "col_posts", "user_id": "u1"}),
                4,
            ),
            (json!({"record_id": "post_002"}), 0),
            (json!({"from_date": "2026-01-02T03:04:06Z"}), 2),
            (json!({"to_date": "2026-01-02T03:04:05Z"}), 0),
        ] {
            assert_eq!(list(&scene.ada, query.clone())["total"], total, "{query}");
        }

        // An entry as lists have it, what the log says of its checksum, and where it is from.
        let item = &list(&scene.root, json!({"import_id": first, "operation": "CREATE"}))["items"][0];
        assert_eq!(item.as_object().map(|members| members.len()), Some(24));
        assert_eq!(
            (
                &item["new_value"],
                &item["hash_version"],
                &item["masked"],
                &item["checksum"]
            ),
            (&json!("Héllo"), &json!(1), &json!(false), &hers[0]["checksum"])
        );
        let item = &list(&scene.ada, json!({"import_id": first, "operation": "UPDATE"}))["items"][0];
        assert_eq!(
            (&item["new_value"], &item["masked"], &item["extra_metadata"]),
            (&json!("***"), &json!(true), &Json::Null)
        );

        let call = |query: &str| format!("select snackbase.audit_imported_list('{query}')");
        for query in [
            r#"{"limit": 501}"#,
            r#"{"import_id": "x"}"#,
            r#"{"sort_order": "up"}"#,
            "[]",
        ] {
            scene.root.ask("audit", &call(query)).refused("22023");
        }
        scene.alf.ask("audit", &call("{}")).refused("42501");
        let none = scene.alf.ask("member", &call("{}")).json();
        assert_eq!((&none["total"], &none["items"]), (&json!(0), &json!([])));
    }
}
