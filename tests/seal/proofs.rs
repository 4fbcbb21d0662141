//! What leaves the ledger for outsiders, judged by the program that they have: `snackbase-verify`.

use std::path::PathBuf;
use std::process::Command;
use std::time::Instant;

use serde_json::Value as Json;
use snackbase_e2e::{Session, environment};

use super::key::{keygen, server_directory};
use super::{scene, seal, seal_all};

/// Somebody else's machine: files, and the program.
pub struct Outsider {
    directory: PathBuf,
    key: String,
}

impl Outsider {
    pub fn file(&self, name: &str, content: &str) -> String {
        let path = self.directory.join(name);
        std::fs::write(&path, content).expect("written");
        path.to_str().expect("UTF-8").to_owned()
    }

    /// Exit code and findings, one per line.
    pub fn verify(&self, arguments: &[&str]) -> (i32, String) {
        let output = Command::new(environment("SNACKBASE_TEST_VERIFIER"))
            .args(arguments)
            .args(["--key", &self.key])
            .output()
            .expect("it starts");
        let error = String::from_utf8_lossy(&output.stderr);
        let text = String::from_utf8_lossy(&output.stdout);
        (output.status.code().expect("a code"), format!("{text}{error}"))
    }

    /// # Panics
    /// When something is found.
    pub fn accepts(&self, arguments: &[&str]) {
        let (code, text) = self.verify(arguments);
        assert!(
            code == 0 && text.starts_with("clean: "),
            "{arguments:?}: {code} {text}"
        );
    }
}

/// A key for the sealer of this session, and somebody who has its public half.
pub async fn outsider(session: &Session, name: &str) -> Outsider {
    let directory = server_directory(name);
    let (file, key) = keygen(&directory, "ledger").await;
    session
        .batch_execute(&format!("set snackbase.audit_key_file = '{file}'"))
        .await
        .expect("set");
    Outsider { directory, key }
}

pub async fn lines(session: &Session, call: &str) -> String {
    let rows = session
        .query(&format!("select {call}"), &[])
        .await
        .expect("an export");
    rows.iter().map(|row| row.get::<_, String>(0) + "\n").collect()
}

/// The newest checkpoint covers the newest block.
pub async fn checkpointed(session: &Session) {
    while session
        .value("select (select max(block_number) from snackbase.audit_checkpoint) = (select max(number) from snackbase.audit_block)")
        .await
        != "t"
    {
        seal(session).await;
    }
}

pub async fn notes(session: &Session, account: &str, count: u32) {
    session
        .batch_execute(&format!(
            "insert into snackbase.col_notes (account_id, title)
             select scene.account('{account}'), 'note \"' || i || E'\\n€' from generate_series(1, {count}) i"
        ))
        .await
        .expect("notes");
}

#[tokio::test]
async fn an_outsider_verifies_an_account() {
    let (_database, session) = scene().await;
    let outsider = outsider(&session, "proofs-export").await;
    for _ in 0..3 {
        notes(&session, "One", 3).await;
        notes(&session, "Two", 2).await;
        seal_all(&session).await;
    }
    checkpointed(&session).await;
    let first = outsider.file(
        "first.note",
        &session.value("select snackbase.audit_checkpoint_view()").await,
    );
    let first_number = session
        .value("select max(block_number) from snackbase.audit_checkpoint")
        .await;
    session
        .batch_execute(
            "update snackbase.col_notes set title = 'changed' where title like 'note \"1%';
             delete from snackbase.col_notes where title like 'note \"2%';",
        )
        .await
        .expect("changes");
    // More than one tile, and more than are read at once.
    notes(&session, "Two", 700).await;
    seal_all(&session).await;
    checkpointed(&session).await;

    for (account, changes) in [("One", 15), ("Two", 713)] {
        let export = lines(
            &session,
            &format!("snackbase.audit_account_export(scene.account('{account}'))"),
        )
        .await;
        let found: i64 = session
            .value(&format!(
                "select count(*) from snackbase.audit_change where account_id = scene.account('{account}')"
            ))
            .await
            .parse()
            .expect("a number");
        assert_eq!(export.matches("\n{\"change\":").count() as i64, found);
        assert!(found >= changes, "{found} changes of {account}");
        let file = outsider.file(account, &export);
        outsider.accepts(&["export", &file]);
        let (code, text) = outsider.verify(&["export", &file, "--checkpoint", &first]);
        assert!(
            code == 1 && text.starts_with(&format!("checkpoint\t{first_number}\t")),
            "not shown: {text}"
        );
        let call = format!(
            "snackbase.audit_account_export(scene.account('{account}'), checkpoints => array[{first_number}])"
        );
        let both = lines(&session, &call).await;
        outsider.accepts(&["export", &outsider.file("both", &both), "--checkpoint", &first]);
        let later = lines(
            &session,
            &format!("snackbase.audit_account_export(scene.account('{account}'), 2)"),
        )
        .await;
        outsider.accepts(&["export", &outsider.file("later", &later)]);

        let forged = outsider.file("forged", &export.replacen("note \\\"3", "note \\\"4", 1));
        let (code, text) = outsider.verify(&["export", &forged]);
        assert!(
            code == 1 && text.starts_with("checksum\t") && text.contains("\tcol_notes/"),
            "{text}"
        );
        assert_eq!(text.lines().count(), 2, "one finding, and how many: {text}");
        let cut = outsider.file("cut", &export[..export.len() - export.len() / 3]);
        assert_eq!(outsider.verify(&["export", &cut]).0, 1);
    }
}

#[tokio::test]
async fn an_outsider_verifies_one_entry() {
    let (database, session) = scene().await;
    let outsider = outsider(&session, "proofs-entry").await;
    notes(&session, "One", 3).await;
    seal_all(&session).await;
    // Several tiles, of two accounts at a time, and transactions whose ids are mixed.
    let other = database.superuser().await;
    session.batch_execute("begin").await.expect("begin");
    notes(&session, "One", 300).await;
    other.batch_execute("begin").await.expect("begin");
    notes(&other, "One", 300).await;
    notes(&other, "Two", 300).await;
    notes(&session, "One", 300).await;
    other.batch_execute("commit").await.expect("commit");
    session.batch_execute("commit").await.expect("commit");
    seal_all(&session).await;
    checkpointed(&session).await;
    let ids = session
        .query(
            "select c.id * 2048 + e.ordinal
               from snackbase.audit_change c
              cross join lateral (values (1), (c.column_count)) e(ordinal)
              where c.table_name = 'col_notes' and (c.id % 37 = 0 or c.operation <> 'CREATE' or c.record_version > 1)
              order by c.id",
            &[],
        )
        .await
        .expect("ids");
    assert!(ids.len() > 40, "{}", ids.len());
    for row in &ids {
        let id: i64 = row.get(0);
        let proof = session
            .value(&format!("select snackbase.audit_proof({id})"))
            .await;
        outsider.accepts(&["proof", &outsider.file("proof", &proof)]);
        let value: Json = serde_json::from_str(&proof).expect("JSON");
        assert_eq!(value["subject"]["entry"]["id"].as_i64(), Some(id));
        let mut bare = value.clone();
        for member in ["header", "new_value", "old_value", "column_name"] {
            bare["subject"]["entry"][member] = Json::Null;
        }
        assert!(
            bare.to_string().len() < 2048,
            "{} bytes without values",
            bare.to_string().len()
        );
        let (code, text) = outsider.verify(&[
            "proof",
            &outsider.file("forged", &proof.replacen("CREATE", "DELETE", 1)),
        ]);
        assert!(code == 1 && text.starts_with("checksum\t"), "{text}");
    }

    assert_eq!(
        session
            .state_of("select snackbase.audit_checkpoint_view(999)")
            .await,
        "P0002"
    );
    let newest: i64 = session
        .value("select max(number) from snackbase.audit_block")
        .await
        .parse()
        .expect("a number");
    let old = session
        .value("select min(block_number) from snackbase.audit_checkpoint")
        .await;
    let proof = session
        .value(&format!("select snackbase.audit_consistency({old}, {newest})"))
        .await;
    let old = outsider.file(
        "old",
        &session
            .value(&format!("select snackbase.audit_checkpoint_view({old})"))
            .await,
    );
    let new = outsider.file(
        "new",
        &session.value("select snackbase.audit_checkpoint_view()").await,
    );
    let file = outsider.file("consistency", &proof);
    outsider.accepts(&["consistency", &old, &new, &file]);
    assert_eq!(outsider.verify(&["consistency", &new, &old, &file]).0, 1);

    for (call, state) in [
        ("audit_proof(999999999999)", "P0002"),
        ("audit_proof(0)", "P0002"),
        ("audit_proof(-1)", "P0002"),
        (
            "audit_proof(2048 * (select min(id) from snackbase.audit_change))",
            "P0002",
        ),
        (
            "audit_proof(2048 * (select min(id) from snackbase.audit_change) + 2047)",
            "P0002",
        ),
        ("audit_consistency(0, 1)", "22023"),
        ("audit_consistency(2, 1)", "22023"),
        ("audit_consistency(-1, 1)", "22023"),
        ("audit_consistency(1, 999)", "P0002"),
        ("audit_account_export(null)", "22023"),
        ("audit_account_export(scene.account('One'), 0)", "22023"),
        (
            "audit_account_export(scene.account('One'), checkpoints => '{999}')",
            "P0002",
        ),
    ] {
        assert_eq!(
            session.state_of(&format!("select snackbase.{call}")).await,
            state,
            "{call}"
        );
    }
    session
        .batch_execute("begin; select scene.note('One', 'not yet')")
        .await
        .expect("a note");
    let call = "select snackbase.audit_proof(2048 * (select max(id) from snackbase.audit_change) + 1)";
    assert_eq!(session.state_of(call).await, "P0002", "not sealed yet");
    session.batch_execute("rollback").await.expect("rolled back");
}

/// How large a proof is and how long it takes, in an account with one block of 50,000 changes. (Seen with `--nocapture`.)
#[tokio::test]
async fn a_proof_in_a_large_block_is_small() {
    let (_database, session) = scene().await;
    let outsider = outsider(&session, "proofs-large").await;
    notes(&session, "One", 50_000).await;
    seal_all(&session).await;
    checkpointed(&session).await;
    let id = session
        .value(
            "select 2048 * (min(id) + 31234) + 7 from snackbase.audit_change where table_name = 'col_notes'",
        )
        .await;
    let mut best = f64::MAX;
    let mut proof = String::new();
    for _ in 0..20 {
        let begun = Instant::now();
        proof = session
            .value(&format!("select snackbase.audit_proof({id})"))
            .await;
        best = best.min(begun.elapsed().as_secs_f64() * 1000.0);
    }
    println!(
        "proof of one of 50,000 changes: {} bytes, {best:.2} ms",
        proof.len()
    );
    outsider.accepts(&["proof", &outsider.file("proof", &proof)]);
}
