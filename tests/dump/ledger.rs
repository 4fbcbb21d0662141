//! A ledger with blocks and with changes that no block covers yet, dumped and restored into another cluster.

use std::sync::Arc;

use snackbase_e2e::{
    Cluster,
    drill::{self, Book},
};

use super::{CONTENTS, same};
use crate::{
    crash::signed,
    psql::{blocks, root},
    seal::key,
};

const TRANSACTIONS: usize = 80;

/// The two ways of docs/operating.md §3, in its order: in one go, and with several workers. Also the names of the databases.
const WAYS: [&str; 2] = ["whole", "workers"];

/// Dump and restore exactly as docs/operating.md §3 says.
async fn follow_the_document(way: &str, from: &Cluster, to: &Cluster) {
    let document = root().join("docs/operating.md");
    let document = std::fs::read_to_string(document).expect("docs/operating.md");
    let (_, section) = document
        .split_once("## 3. Backup and restore")
        .expect("the section");
    let (section, _) = section.split_once("\n## ").expect("its end");
    let index = WAYS.iter().position(|name| *name == way).expect("a way");
    let block = &blocks(section, "sh")[index];
    let (dump, restore) = block.split_once("\n\n").expect("to dump, and to restore");
    assert!(dump.ends_with(" snackbase"), "{dump}");
    let dump = dump.replace(" snackbase", " drill");
    // Both ways go to one cluster.
    let restore = ["createdb ", "--dbname=", "psql "]
        .iter()
        .fold(restore.to_owned(), |steps, before| {
            steps.replace(&format!("{before}snackbase"), &format!("{before}{way}"))
        });
    assert!(restore.contains(way), "{restore}");
    let place = from.file(way);
    from.script(&place, &dump).run().await;
    to.script(&place, &restore).run().await;
}

/// What a sealer does not add to.
fn without_blocks(contents: &str) -> String {
    let lines = contents.lines().filter(|line| {
        !line.starts_with("snackbase.audit_block") && !line.starts_with("snackbase.audit_checkpoint")
    });
    lines.collect::<Vec<_>>().join("\n")
}

#[tokio::test]
async fn blocks_and_what_they_do_not_cover_yet_move_to_another_cluster() {
    let seed = drill::seed();
    let settings = "max_prepared_transactions = 8";
    let mut from = Cluster::create("dumped", settings).await;
    // In one of the databases a sealer works as soon as the extension is there: a restore is no time for it, either.
    let to =
        format!("{settings}\nsnackbase.audit_databases = 'workers'\nsnackbase.audit_seal_interval_ms = 10");
    let mut to = Cluster::create("restored", &to).await;
    // A key outlives its cluster.
    let (file, _public) = key::keygen(&from.directory("keys"), "drill").await;
    for cluster in [&from, &to] {
        cluster.set(&format!("snackbase.audit_key_file = '{file}'"));
    }
    from.start().await;
    to.start().await;
    from.database("drill").await;
    let session = from.superuser("drill").await;
    drill::ground(&session, 3).await;
    let book = Arc::new(Book::default());
    drill::write(from.superuser("drill").await, seed, 1, &book, TRANSACTIONS).await;
    drill::seal(&session).await;
    // What an auditor keeps outside.
    let kept = drill::checkpoint(&session).await;
    assert!(kept.is_some(), "blocks are signed");
    let kept = drill::holding(kept.as_ref());
    drill::write(from.superuser("drill").await, seed, 2, &book, TRANSACTIONS).await;
    assert_ne!(drill::unsealed(&session).await, 0, "something is not sealed");
    let contents = session.value(&session.value(CONTENTS).await).await;
    let identity = session.value("select snackbase._system_identifier()").await;

    for name in WAYS {
        follow_the_document(name, &from, &to).await;
        let session = to.superuser(name).await;
        let restored = session.value(&session.value(CONTENTS).await).await;
        if name == "workers" {
            same(name, &without_blocks(&restored), &without_blocks(&contents));
        } else {
            same(name, &restored, &contents);
        }
        assert_ne!(
            session.value("select snackbase._system_identifier()").await,
            identity
        );
        assert_eq!(drill::findings(&session, &kept).await, [""; 0], "{name}: intact");

        // What came unsealed is sealed as the work of the cluster that wrote it, then life goes on here.
        drill::seal(&session).await;
        assert_eq!(drill::unsealed(&session).await, 0, "{name}");
        assert_eq!(drill::findings(&session, &kept).await, [""; 0], "{name}: sealed");
        let here = Arc::new(Book::default());
        drill::write(to.superuser(name).await, seed, 3, &here, TRANSACTIONS).await;
        drill::seal(&session).await;
        assert_eq!(drill::unsealed(&session).await, 0, "{name}");
        assert_eq!(
            drill::findings(&session, &kept).await,
            [""; 0],
            "{name}: written and sealed"
        );
        signed(&session).await;
        let systems = drill::systems(&session).await;
        assert!(systems.starts_with("there there here"), "{name}: {systems}");
        assert_eq!(systems.matches("there").count(), 2, "{name}: {systems}");
        assert_eq!(drill::broken_blocks(&session).await, [""; 0], "{name}");
    }
}

/// `--disable-triggers` is not how it is done (docs/operating.md §3), but who does it adds nothing to the trail and loses nothing; the
/// doctor says what it leaves weaker.
#[tokio::test]
async fn a_restore_of_data_alone_with_triggers_disabled_adds_nothing() {
    let seed = drill::seed();
    let mut from = Cluster::create("bare", "max_prepared_transactions = 8").await;
    let mut to = Cluster::create("disabled", "max_prepared_transactions = 8").await;
    let (file, _public) = key::keygen(&from.directory("keys"), "drill").await;
    for cluster in [&mut from, &mut to] {
        cluster.set(&format!("snackbase.audit_key_file = '{file}'"));
        cluster.start().await;
    }
    from.database("drill").await;
    let session = from.superuser("drill").await;
    drill::ground(&session, 3).await;
    let book = Arc::new(Book::default());
    drill::write(from.superuser("drill").await, seed, 1, &book, TRANSACTIONS).await;
    drill::seal(&session).await;
    let kept = drill::checkpoint(&session).await;
    let kept = drill::holding(kept.as_ref());
    let contents = session.value(&session.value(CONTENTS).await).await;
    let file = from.file("bare");
    let dump = from.client("pg_dump").args(["--format=custom"]).arg("--file");
    dump.arg(&file).arg("drill").run().await;

    to.superuser("postgres")
        .await
        .batch_execute("create database bare")
        .await
        .expect("a new database");
    let restores: [&[&str]; 3] = [
        &["--section=pre-data"],
        &["--data-only", "--disable-triggers"],
        &["--section=post-data"],
    ];
    for restore in restores {
        to.client("pg_restore")
            .args(restore.iter().copied())
            .args(["--exit-on-error", "--dbname", "bare"])
            .arg(&file)
            .run()
            .await;
    }
    let session = to.superuser("bare").await;
    let restored = session.value(&session.value(CONTENTS).await).await;
    same("bare", &restored, &contents);
    assert_eq!(drill::findings(&session, &kept).await, [""; 0], "restored");

    let doctor = "select distinct code from snackbase.doctor() where code like 'guard%' or code like 'trigger%' order by 1";
    assert_eq!(drill::lines(&session, doctor).await, ["guard_weakened"]);
    let hints = "select hint from snackbase.doctor() where code = 'guard_weakened'";
    for hint in drill::lines(&session, hints).await {
        session.batch_execute(&hint).await.expect("the hint helps");
    }
    assert_eq!(drill::lines(&session, doctor).await, [""; 0]);
    // Life goes on: what is written now is recorded, and sealed.
    let here = Arc::new(Book::default());
    drill::write(to.superuser("bare").await, seed, 2, &here, TRANSACTIONS).await;
    drill::seal(&session).await;
    assert_eq!(drill::unsealed(&session).await, 0);
    assert_eq!(
        drill::findings(&session, &kept).await,
        [""; 0],
        "written and sealed"
    );
}
