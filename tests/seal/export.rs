//! The export of an account over HTTP, judged by `snackbase-verify`.

use std::collections::BTreeSet;

use serde_json::json;
use snackbase_e2e::{Session, World};

use super::proofs::{Outsider, checkpointed, lines, notes, outsider};
use super::{scene, seal_all};

/// The kinds of the findings of the program; its last line is a summary.
fn kinds(text: &str) -> BTreeSet<String> {
    let findings = text.lines().filter(|line| line.contains('\t'));
    findings
        .filter_map(|line| line.split('\t').next().map(str::to_owned))
        .collect()
}

/// The kinds that `audit_verify()` finds.
async fn verified(session: &Session) -> BTreeSet<String> {
    let found = session
        .value("select coalesce(string_agg(distinct kind, ' '), '') from snackbase.audit_verify()")
        .await;
    found.split(' ').map(str::to_owned).collect()
}

#[tokio::test]
async fn readers_export_their_account_and_outsiders_verify_it() {
    let world = World::new().await;
    let session = world.database.superuser().await;
    let outsider = outsider(&session, "export-http").await;
    for (caller, title) in [(&world.alice, "first €"), (&world.carol, "theirs")] {
        let made = caller
            .post("/records/posts", json!({ "title": title }))
            .await
            .expect(201);
        let path = format!("/records/posts/{}", made["id"].as_str().expect("an id"));
        seal_all(&session).await;
        caller
            .patch(&path, json!({ "title": "second" }))
            .await
            .expect(200);
    }
    // A log of an original instance belongs to the trails of its accounts.
    let (acme, globex) = (world.account_id("alice"), world.account_id("carol"));
    let entry = json!({ "id": 7, "account_id": globex, "operation": "CREATE", "table_name": "col_old", "record_id": "r",
        "column_name": "title", "old_value": null, "new_value": "Héllo", "user_id": "u", "user_email": "u@example.com",
        "user_name": "u", "occurred_at": "2026-01-02 03:04:05.678901", "extra_metadata": {"b": 1.50, "a": null},
        "checksum": null, "previous_hash": null });
    session
        .value(&format!(
            "select snackbase.audit_import_finish(a.id)::text
               from (select i.id, snackbase.audit_import_add(i.id, 1, array[$entry${entry}$entry$]) as breaks
                       from (select snackbase.audit_import_begin('old.jsonl') as id) i offset 0) a where a.breaks = 1"
        ))
        .await;
    seal_all(&session).await;
    checkpointed(&session).await;

    let export = "/audit-logs/ledger-export";
    let of = |account: &str| format!("{export}?account_id={account}");
    world.bob.get(export).await.expect(403);
    world.bob.get(&of(acme)).await.expect(403);
    world.anonymous.get(export).await.expect(401);
    world.alice.get(&of(globex)).await.expect(403);
    for (query, status) in [
        ("account_id=x", 422),
        ("from_block=0", 422),
        ("checkpoint=999999", 404),
        ("account_id=00000000-0000-0000-0000-000000000000", 200),
    ] {
        world.root.get(&format!("{export}?{query}")).await.expect(status);
    }

    let mut exports = Vec::new();
    for (caller, path, account) in [
        (&world.alice, export.to_owned(), acme),
        (&world.alice, of(acme), acme),
        (&world.root, of(acme), acme),
        (&world.root, of(globex), globex),
        (
            &world.root,
            format!("{}&from_block=2&checkpoint=1", of(globex)),
            globex,
        ),
    ] {
        let answer = caller.get(&path).await;
        let text = answer.text.clone();
        answer.expect(200);
        let first: serde_json::Value =
            serde_json::from_str(text.lines().next().expect("a line")).expect("JSON");
        assert_eq!(first["manifest"]["account_id"].as_str(), Some(account), "{path}");
        assert_eq!(text.contains("{\"imported\":"), account == globex, "{path}");
        outsider.accepts(&["export", &outsider.file("export", &text)]);
        exports.push(text);
    }
    assert!(exports[0].contains("first €") && !exports[0].contains("theirs"));
    assert!(exports[3].contains("theirs") && !exports[3].contains("first €"));

    // One byte of a value.
    let place = exports[0].find("first €").expect("the title");
    let mut forged = exports[0].clone().into_bytes();
    forged[place] ^= 1;
    let forged = String::from_utf8(forged).expect("UTF-8");
    let (code, text) = outsider.verify(&["export", &outsider.file("forged", &forged)]);
    assert!(
        code == 1 && text.starts_with("checksum\t") && text.contains("\tcol_posts/"),
        "{code} {text}"
    );

    // Proof and checkpoint come the same way.
    let own = session
        .value(&format!(
            "select id * 2048 + 1 from snackbase.audit_change
              where account_id = '{acme}' and table_name = 'col_posts' order by id limit 1"
        ))
        .await;
    let proof = world.alice.get(&format!("/audit-logs/{own}/proof")).await;
    outsider.accepts(&["proof", &outsider.file("proof", &proof.text)]);
    world
        .carol
        .get(&format!("/audit-logs/{own}/proof"))
        .await
        .expect(404);
    world
        .bob
        .get(&format!("/audit-logs/{own}/proof"))
        .await
        .expect(403);
    let note = world.carol.get("/audit-logs/checkpoint").await.text;
    assert_eq!(
        note,
        session.value("select snackbase.audit_checkpoint_view()").await
    );
    world
        .carol
        .get("/audit-logs/consistency?from=1")
        .await
        .expect(200);
    world.bob.get("/audit-logs/checkpoint").await.expect(403);

    // An imported entry is proved by its id in the log. It is carol's: alice has no such entry, bob reads no trail.
    let listed = world.carol.get("/audit-logs/imported").await.expect(200);
    assert_eq!(listed["total"], 1);
    let (id, import) = (&listed["items"][0]["id"], &listed["items"][0]["import_id"]);
    let path = format!("/audit-logs/{id}/proof?import_id={import}");
    let proof = world.carol.get(&path).await.text;
    assert!(
        proof.contains("{\"imported\":") && proof.contains("Héllo"),
        "{proof}"
    );
    outsider.accepts(&["proof", &outsider.file("imported", &proof)]);
    let forged = outsider.file("forged", &proof.replacen("Héllo", "Hallo", 1));
    let (code, text) = outsider.verify(&["proof", &forged]);
    assert!(code == 1 && text.starts_with("checksum\t"), "{code} {text}");
    world.alice.get(&path).await.expect(404);
    world.bob.get(&path).await.expect(403);
    world
        .carol
        .get(&format!("/audit-logs/{id}/proof?import_id=999"))
        .await
        .expect(404);

    // Values are in clear in all this, so an admin who sees masks is refused.
    let out = format!(
        "delete from snackbase.users_groups where user_id = '{}'",
        world.user_id("alice")
    );
    session.batch_execute(&out).await.expect("alice sees masks");
    session
        .value(&format!(
            "select snackbase.audit_import_finish(a.id)::text
               from (select i.id, snackbase.audit_import_add(i.id, 1, array[$entry${}$entry$]) as breaks
                       from (select snackbase.audit_import_begin('hers.jsonl') as id) i offset 0) a where a.breaks = 1",
            entry.to_string().replace(globex, acme)
        ))
        .await;
    let hers = world.alice.get("/audit-logs/imported").await.expect(200);
    assert_eq!(hers["items"][0]["new_value"], "*****");
    let imported = format!("/audit-logs/7/proof?import_id={}", hers["items"][0]["import_id"]);
    for path in [export.to_owned(), format!("/audit-logs/{own}/proof"), imported] {
        let answer = world.alice.get(&path).await;
        assert!(answer.text.contains("pii_access"), "{}", answer.text);
        answer.expect(403);
    }
}

/// Edits by somebody who switched the triggers off: an outsider with the export finds what `audit_verify()` finds.
#[tokio::test]
async fn an_export_of_a_tampered_ledger_is_not_clean() {
    let (_database, session) = scene().await;
    let outsider = outsider(&session, "export-tampered").await;
    notes(&session, "One", 5).await;
    session
        .batch_execute("update snackbase.col_notes set title = title || '!'; update snackbase.col_notes set title = 'done'")
        .await
        .expect("changes");
    seal_all(&session).await;
    checkpointed(&session).await;
    let export = async |outsider: &Outsider| {
        let call = "snackbase.audit_account_export(scene.account('One'))";
        let text = lines(&session, call).await;
        outsider.verify(&["export", &outsider.file("export", &text)])
    };
    assert_eq!(export(&outsider).await.0, 0);
    let victim = "table_name = 'col_notes' and record_version = 2 and operation = 'UPDATE'
                  and record_id = (select min(record_id) from snackbase.audit_change where table_name = 'col_notes')";
    for (edit, kind) in [
        (
            format!(
                "update snackbase.audit_change set columns = replace(columns::text, '!', '?')::json where {victim}"
            ),
            "checksum",
        ),
        (
            format!("delete from snackbase.audit_change where {victim}"),
            "gap",
        ),
    ] {
        session
            .batch_execute(&format!(
                "begin;
                 alter event trigger snackbase_guard_ddl disable;
                 alter event trigger snackbase_guard_drop disable;
                 alter table snackbase.audit_change disable trigger user;
                 {edit};"
            ))
            .await
            .expect("an edit");
        let (code, text) = export(&outsider).await;
        let (found, verified) = (kinds(&text), verified(&session).await);
        session.batch_execute("rollback").await.expect("undone");
        assert_eq!(code, 1, "{text}");
        assert!(
            found.contains(kind) && verified.contains(kind),
            "{text} {verified:?}"
        );
    }
    assert_eq!(export(&outsider).await.0, 0, "the edits are gone");
}
