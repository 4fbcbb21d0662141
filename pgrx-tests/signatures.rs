//! Electronic signatures and reasons for change: what `enter()` believes, what the tables refuse, what the trail keeps.

#[pgrx::pg_schema]
mod tests {
    use pgrx::prelude::*;
    use serde_json::json;

    use crate::tests::scene::{
        Outcome, Person, Scene, ask, ask_as, ask_through_gateway, quoted, run, run_as,
    };

    /// `with_notes`, whose notes are created with a reason, and changed and deleted with a signature.
    fn signed_notes() -> Scene {
        let scene = Scene::with_notes();
        options(
            &scene,
            r#"{"signature": {"create": "reason", "update": "signature", "delete": "signature"}}"#,
        );
        for person in [&scene.ada, &scene.alf, &scene.bob, &scene.root] {
            run(&format!(
                "update snackbase.users set password_hash = 'hash of ' || email where id = '{}'",
                person.id
            ))
            .says("1");
        }
        scene
    }

    #[track_caller]
    fn options(scene: &Scene, options: &str) {
        scene
            .change("notes", &format!(r#"{{"options": {options}}}"#))
            .answer();
    }

    /// How the gateway introduces `person` after it checked the password of `signer`.
    fn signing(person: &Person, signer: &Person) -> String {
        let checked = ask(&format!(
            "select encode(sha256(convert_to(password_hash, 'UTF8')), 'hex') from snackbase.users where id = '{}'",
            signer.id
        ))
        .answer();
        with(
            person,
            json!({"user_id": signer.id, "checked": checked, "meaning": "approval", "reason": " typo "}),
        )
    }

    fn with(person: &Person, signature: serde_json::Value) -> String {
        let mut caller: serde_json::Value = serde_json::from_str(person.caller()).expect("a caller");
        caller["signature"] = signature;
        caller.to_string()
    }

    fn reasoned(person: &Person, body: &str) -> Outcome {
        ask_through_gateway(
            &with(person, json!({"reason": "first entry"})),
            "create",
            &format!("select snackbase.records_create('notes', {})", quoted(body)),
        )
    }

    fn note(person: &Person) -> String {
        let record = reasoned(person, r#"{"title": "a"}"#).json();
        record["id"].as_str().expect("an id").to_owned()
    }

    fn patch(caller: &str, id: &str) -> Outcome {
        ask_through_gateway(
            caller,
            "update",
            &format!(r#"select snackbase.records_update('notes', '{id}', '{{"title": "b"}}', false)"#),
        )
    }

    fn unsigned(outcome: Outcome) {
        let refusal = outcome.refused("42501");
        assert_eq!(refusal.json()["error"], "Signature required", "{refusal:?}");
    }

    fn refused(outcome: Outcome) {
        let refusal = outcome.refused("42501");
        assert_eq!(refusal.json()["error"], "Signature refused", "{refusal:?}");
    }

    #[pg_test]
    fn a_write_that_needs_a_signature_is_refused_without_one_through_every_door() {
        let scene = signed_notes();
        let id = note(&scene.ada);
        unsigned(scene.ada.patch("notes", &id, r#"{"title": "b"}"#));
        unsigned(scene.ada.put("notes", &id, r#"{"title": "b"}"#));
        unsigned(scene.ada.delete("notes", &id));
        unsigned(scene.root.patch("notes", &id, "{}"));
        unsigned(scene.ada.ask(
            "update",
            &format!(r#"select snackbase.records_update_many('notes', '{{"records": [{{"id": "{id}", "data": {{}}}}]}}')"#),
        ));
        unsigned(scene.ada.ask(
            "delete",
            &format!(r#"select snackbase.records_delete_many('notes', '{{"ids": ["{id}"]}}')"#),
        ));
        unsigned(
            scene
                .ada
                .run("update", "update snackbase.col_notes set title = 'b'"),
        );
        unsigned(scene.ada.run("delete", "delete from snackbase.col_notes"));
        // a superuser in psql, the owner, somebody else's SQL
        unsigned(run("update snackbase.col_notes set title = 'b'"));
        unsigned(run("delete from snackbase.col_notes"));
        unsigned(run(
            "merge into snackbase.col_notes n using (select 1) x on true when matched then update set title = 'b'",
        ));
        // and what is not there needs no signature to be missing
        scene
            .ada
            .patch("notes", "00000000-0000-4000-8000-000000000001", "{}")
            .refused("P0002");
        // a reason is no signature
        unsigned(patch(&with(&scene.ada, json!({"reason": "typo"})), &id));
        ask("select title from snackbase.col_notes").says("a");
    }

    #[pg_test]
    fn a_reason_suffices_where_a_reason_is_asked_for() {
        let scene = signed_notes();
        for outcome in [
            scene.ada.create("notes", "{}"),
            scene.visitor.create("notes", "{}"),
            run(&format!(
                "insert into snackbase.col_notes (account_id) values ('{}')",
                scene.ada.account
            )),
        ] {
            let refusal = outcome.refused("42501");
            assert_eq!(refusal.json()["error"], "Reason required");
        }
        reasoned(&scene.ada, "{}").answer();
        reasoned(&scene.visitor, "{}").answer();
        for reason in ["", "  ", &"x".repeat(2001)] {
            ask_through_gateway(
                &with(&scene.ada, json!({ "reason": reason })),
                "create",
                "select 1",
            )
            .refused("22023");
        }
        // a signature says more than a reason
        ask_through_gateway(
            &signing(&scene.ada, &scene.ada),
            "create",
            "select snackbase.records_create('notes', '{}')",
        )
        .answer();
        ask("select string_agg(distinct concat_ws('|', es_username, es_reason, es_timestamp is not null), ', ')
               from snackbase.audit_log where table_name = 'col_notes'")
        .says("ada@example.com|approval: typo|t, first entry|f");
    }

    #[pg_test]
    fn a_signature_is_on_every_entry_of_its_transaction_and_under_the_hash() {
        let scene = signed_notes();
        let id = note(&scene.ada);
        let before = ask("select clock_timestamp()").answer();
        patch(&signing(&scene.ada, &scene.ada), &id).answer();
        ask(&format!(
            "select count(*) > 1, count(distinct es_timestamp), bool_and(es_timestamp between '{before}' and occurred_at),
                    string_agg(distinct es_username || '|' || es_reason, ',')
               from snackbase.audit_log where table_name = 'col_notes' and operation = 'UPDATE'"
        ));
        ask("select distinct concat_ws('|', es_username, es_reason) from snackbase.audit_log where table_name = 'col_notes' and operation = 'UPDATE'")
            .says("ada@example.com|approval: typo");
        ask(&format!(
            "select count(distinct es_timestamp) || ' ' || bool_and(es_timestamp between '{before}' and occurred_at)
               from snackbase.audit_log where table_name = 'col_notes' and operation = 'UPDATE'"
        ))
        .says("1 true");
        ask("select count(*) from snackbase.audit_verify()").says("0");
        // Moved to another reason, the signature is no signature any more.
        run("alter table snackbase.audit_change disable trigger user").refused("42501");
        run(
            "set local row_security = off; set local check_function_bodies = off;
             alter table snackbase.audit_change disable trigger all;
             update snackbase.audit_change set es_reason = 'approval: other' where es_username is not null;
             alter table snackbase.audit_change enable always trigger prevent_audit_log_update;
             set local row_security = on; set local check_function_bodies = on",
        )
        .answer();
        ask("select string_agg(distinct kind, ',') from snackbase.audit_verify()").says("checksum");
    }

    #[pg_test]
    fn a_signature_is_believed_only_of_an_active_user_with_the_password_that_was_checked() {
        let scene = signed_notes();
        let id = note(&scene.ada);
        let caller = signing(&scene.ada, &scene.ada);
        let refused_after = |change: &str, back: &str| {
            run(&format!(
                "update snackbase.users set {change} where id = '{}'",
                scene.ada.id
            ))
            .says("1");
            let outcome = patch(&caller, &id);
            run(&format!(
                "update snackbase.users set {back} where id = '{}'",
                scene.ada.id
            ))
            .says("1");
            outcome
        };
        refused(refused_after(
            "password_hash = 'new'",
            "password_hash = 'hash of ' || email",
        ));
        refused(refused_after(
            "password_hash = null",
            "password_hash = 'hash of ' || email",
        ));
        refused(refused_after(
            "auth_provider = 'saml'",
            "auth_provider = 'password'",
        ));
        refused(refused_after(
            "locked_until = now() + interval '1 h'",
            "locked_until = null",
        ));
        refused_after("is_active = false", "is_active = true").refused("28000");
        let claim = |signature: serde_json::Value| patch(&with(&scene.ada, signature), &id);
        for wrong in [
            json!({"user_id": scene.ada.id, "meaning": "approval", "reason": "r"}),
            json!({"user_id": scene.ada.id, "checked": "", "meaning": "approval", "reason": "r"}),
            json!({"user_id": scene.ada.id, "checked": "00", "meaning": "approval", "reason": "r"}),
            json!({"user_id": "x", "checked": "00", "meaning": "approval", "reason": "r"}),
        ] {
            refused(claim(wrong));
        }
        for meaning in [json!(null), json!("Approval"), json!("fun")] {
            claim(json!({"user_id": scene.ada.id, "checked": "00", "meaning": meaning, "reason": "r"}))
                .refused("22023");
        }
        let mut visitor: serde_json::Value = serde_json::from_str(&caller).expect("a caller");
        visitor["kind"] = json!("anonymous");
        visitor["account"] = json!("acme");
        patch(&visitor.to_string(), &id).refused("28000");
        patch(&caller, &id).answer();
    }

    #[pg_test]
    fn a_signature_that_nobody_asked_for_is_kept_and_checked_too() {
        let scene = signed_notes();
        options(&scene, "{}");
        let id = scene.ada.created("notes", "{}");
        patch(&signing(&scene.ada, &scene.ada), &id).answer();
        ask("select distinct es_username from snackbase.audit_log where operation = 'UPDATE' and table_name = 'col_notes'")
            .says("ada@example.com");
        refused(patch(
            &with(
                &scene.ada,
                json!({"user_id": scene.ada.id, "checked": "00", "meaning": "review", "reason": "r"}),
            ),
            &id,
        ));
        refused(patch(&signing(&scene.ada, &scene.alf), &id));
    }

    #[pg_test]
    fn a_second_signer_is_of_the_account_and_wanted_by_the_collection_and_able_to_do_it_too() {
        let scene = signed_notes();
        let id = note(&scene.ada);
        refused(patch(&signing(&scene.ada, &scene.alf), &id));
        options(
            &scene,
            r#"{"signature": {"update": "signature"}, "second_signer": true}"#,
        );
        patch(&signing(&scene.ada, &scene.alf), &id).answer();
        ask("select distinct es_username || ' for ' || user_email from snackbase.audit_log where operation = 'UPDATE' and table_name = 'col_notes'")
            .says("alf@example.com for ada@example.com");
        ask("select updated_by from snackbase.col_notes").says(&scene.ada.id);
        // of another account, even the superadmin's
        refused(patch(&signing(&scene.ada, &scene.bob), &id));
        refused(patch(&signing(&scene.ada, &scene.root), &id));
        // who may not do it cannot sign it, and who may sign it cannot lend the right
        scene.rules("notes", r#"{"update_rule": "@request.auth.role = 'admin'"}"#);
        patch(&signing(&scene.ada, &scene.ada), &id).answer();
        refused(patch(&signing(&scene.ada, &scene.alf), &id));
        patch(&signing(&scene.alf, &scene.ada), &id).refused_any();
        ask("select count(*) from snackbase.audit_verify()").says("0");
    }

    #[pg_test]
    fn nobody_but_the_gateway_can_claim_a_signature() {
        let scene = signed_notes();
        let id = note(&scene.ada);
        run(&format!(
            "create role clerk login; grant usage on schema snackbase to clerk; grant snackbase_update to clerk;
             alter role clerk set snackbase.account_id = '{}'; alter role clerk set snackbase.auth_method = 'direct_sql'",
            scene.ada.account
        ))
        .answer();
        let update = format!(
            "set local role snackbase_update; update snackbase.col_notes set title = 'b' where id = '{id}'"
        );
        unsigned(run_as("clerk", &update));
        for setting in ["es_username", "es_reason", "es_timestamp", "es_user_id"] {
            for statement in [
                format!("select set_config('snackbase.{setting}', 'x', true)"),
                format!("alter role clerk set snackbase.{setting} = 'x'"),
            ] {
                run_as("clerk", &statement).refused("42501");
                scene.ada.run("update", &statement).refused("42501");
                scene.root.run("superadmin", &statement).refused("42501");
            }
        }
        ask_as(
            "clerk",
            &format!(
                "select snackbase.enter('{}', 'update')",
                signing(&scene.ada, &scene.ada)
            ),
        )
        .refused("42501");
    }

    #[pg_test]
    fn cascades_need_the_signature_and_schema_changes_do_not() {
        let scene = signed_notes();
        options(
            &scene,
            r#"{"signature": {"delete": "signature", "update": "signature"}}"#,
        );
        scene.collection(
            r#"{"name": "parents", "create_rule": "", "delete_rule": "", "fields": [{"name": "a", "type": "text"}]}"#,
        );
        scene
            .change(
                "notes",
                r#"{"fields": [{"name": "title", "type": "text"}, {"name": "stars", "type": "number"},
                    {"name": "parent", "type": "reference", "collection": "parents", "on_delete": "cascade"}]}"#,
            )
            .answer();
        let parent = scene.ada.created("parents", "{}");
        scene
            .ada
            .created("notes", &format!(r#"{{"parent": "{parent}", "stars": 1}}"#));
        let alone = scene.ada.created("parents", "{}");
        scene.ada.delete("parents", &alone).says("true");
        unsigned(scene.ada.delete("parents", &parent));
        // Every record is rewritten, in the name of a definition that is in the trail itself.
        scene
            .root
            .ask(
                "superadmin",
                r#"select snackbase.migration_generate('{"confirm": true, "collections": [{"name": "notes", "fields": [
                    {"name": "title", "type": "text"}, {"name": "stars", "type": "text"},
                    {"name": "parent", "type": "reference", "collection": "parents", "on_delete": "cascade"}]}]}')"#,
            )
            .answer();
        ask("select stars from snackbase.col_notes").says("1");
        unsigned(
            scene
                .ada
                .run("update", "update snackbase.col_notes set title = 'b'"),
        );
        ask_through_gateway(
            &signing(&scene.ada, &scene.ada),
            "delete",
            &format!("select snackbase.records_delete('parents', '{parent}')"),
        )
        .says("true");
        ask("select distinct es_username from snackbase.audit_log where table_name = 'col_notes' and operation = 'DELETE'")
            .says("ada@example.com");
    }

    #[pg_test]
    fn whose_password_is_to_be_checked_is_told_to_the_gateway_only_and_of_the_own_account_only() {
        let scene = signed_notes();
        let find = |person: &Person, username: &str| {
            ask_through_gateway(
                person.caller(),
                "auth",
                &format!(
                    "select concat_ws('|', user_id, password_hash, cause) from snackbase.signature_find('notes', '{username}')"
                ),
            )
        };
        find(&scene.ada, " ADA@example.com ").says(&format!("{}|hash of ada@example.com", scene.ada.id));
        // Whether such a user exists is not said where another user may not sign.
        for other in ["alf@example.com", "nobody@example.com", "bob@example.com"] {
            refused(find(&scene.ada, other));
        }
        options(&scene, r#"{"second_signer": true}"#);
        find(&scene.ada, "alf@example.com").says(&format!("{}|hash of alf@example.com", scene.alf.id));
        find(&scene.ada, "bob@example.com").says("unknown");
        for (change, cause) in [
            ("is_active = false", "inactive"),
            ("is_active = true, auth_provider = 'oauth'", "no_password"),
            (
                "auth_provider = 'password', locked_until = now() + interval '1 h'",
                "locked",
            ),
        ] {
            run(&format!(
                "update snackbase.users set {change} where id = '{}'",
                scene.alf.id
            ))
            .says("1");
            find(&scene.ada, "alf@example.com").says(&format!("{}|{cause}", scene.alf.id));
        }
        find(&scene.visitor, "ada@example.com").refused("28000");
        for operation in ["list", "update", "member"] {
            scene
                .ada
                .ask(
                    operation,
                    "select password_hash from snackbase.signature_find('notes', 'ada@example.com')",
                )
                .refused("42501");
        }
        scene
            .root
            .ask(
                "superadmin",
                "select password_hash from snackbase.signature_find('notes', 'root@example.com')",
            )
            .refused("42501");
    }

    #[pg_test]
    fn a_failed_signature_counts_and_stays_in_the_trail() {
        let scene = signed_notes();
        let fail = || {
            ask_through_gateway(
                scene.ada.caller(),
                "auth",
                &format!(
                    "select snackbase.signature_failed('ada@example.com', '{}', null, 'notes', 'update', 'some id', 'approval', 'typo')",
                    scene.ada.id
                ),
            )
            .says("true");
        };
        fail();
        ask("select string_agg(column_name || '=' || new_value, ' ' order by id) from snackbase.audit_log
              where table_name = 'signature_failures' and column_name not in ('id', 'account_id', 'created_at', 'user_id', 'signer_id')")
        .says("username=ada@example.com cause=wrong_password collection=notes operation=update record_id=some id meaning=approval reason=typo");
        ask("select distinct user_id from snackbase.audit_log where table_name = 'signature_failures'")
            .says(&scene.ada.id);
        for _ in 0..19 {
            fail();
        }
        ask(&format!(
            "select locked_until > now() from snackbase.users where id = '{}'",
            scene.ada.id
        ))
        .says("true");
        run("delete from snackbase.signature_failures").refused("42501");
        run("update snackbase.signature_failures set cause = 'unknown'").refused("42501");
        run("truncate snackbase.signature_failures").refused("42501");
        scene
            .ada
            .ask("member", "select count(*) from snackbase.signature_failures")
            .refused("42501");
        scene
            .root
            .ask("superadmin", "select count(*) from snackbase.signature_failures")
            .says("20");
        // A signature that is right ends the row of failures.
        run("update snackbase.users set locked_until = null, failed_login_attempts = 3").answer();
        let id = note(&scene.ada);
        patch(&signing(&scene.ada, &scene.ada), &id).answer();
        ask(&format!(
            "select failed_login_attempts from snackbase.users where id = '{}'",
            scene.ada.id
        ))
        .says("0");
    }

    #[pg_test]
    fn options_are_part_of_the_definition() {
        let scene = signed_notes();
        let view = || {
            scene
                .root
                .ask("superadmin", "select snackbase.collection_view('notes')")
                .json()["options"]
                .clone()
        };
        assert_eq!(
            view(),
            json!({"signature": {"create": "reason", "update": "signature", "delete": "signature"}})
        );
        scene.rules("notes", r#"{"list_rule": null}"#);
        assert_eq!(
            view()["signature"]["update"],
            "signature",
            "other changes leave them"
        );
        let exported = scene
            .root
            .ask("superadmin", "select snackbase.collection_export('notes')")
            .json();
        assert_eq!(exported["collections"][0]["options"], view());
        options(&scene, "{}");
        assert_eq!(view(), json!({}));
        ask("select count(*) from pg_trigger where tgrelid = 'snackbase.col_notes'::regclass and tgname like 'a_signature%'").says("0");
        scene
            .root
            .ask(
                "superadmin",
                &format!(
                    "select snackbase.collection_import({})",
                    quoted(
                        &json!({"data": exported, "strategy": "update", "update_rules": true}).to_string()
                    )
                ),
            )
            .answer();
        assert_eq!(
            view()["signature"]["update"],
            "signature",
            "an import brings them back"
        );
        assert_eq!(
            scene
                .change("notes", r#"{"options": {"signature": {"update": "yes"}}}"#)
                .refused("22P02")
                .problems(),
            ["options.signature.update signature_invalid"]
        );
    }
}
