//! A newer major version of Postgres takes over a cluster with records and a ledger.
//!
//! Run by `make upgrade`, which is part of `make test`: the newer server has to be fetched, and the extension built for it.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use snackbase_e2e::{
    Cluster, Session,
    drill::{self, Book, Fate},
    environment,
};

use crate::{
    dump::{CONTENTS, same},
    seal::key,
};

const SETTINGS: &str = "max_prepared_transactions = 8";
const TRANSACTIONS: usize = 120;

/// Recent minor releases note a version with each column. The newer server of the tests comes in a wheel that may be older
/// than that and does not know the note; an installation upgrades to the newest minor release, which does.
const FORGET_VERSIONS: &str = "
    set allow_system_table_mods = on;
    update pg_catalog.pg_attribute
       set attoptions = (select nullif(array_agg(o), '{}') from unnest(attoptions) o where o not like 'pg\\_attver=%')
     where attoptions::text like '%pg\\_attver=%';
    reset allow_system_table_mods";

/// The ends of the logs that pg_upgrade leaves when it fails: what failed stands in one of them.
fn logs(data: &Path) -> String {
    let mut text = String::new();
    let mut directories = vec![data.join("pg_upgrade_output.d")];
    while let Some(directory) = directories.pop() {
        for entry in std::fs::read_dir(directory).into_iter().flatten().flatten() {
            let path = entry.path();
            if path.is_dir() {
                directories.push(path);
            } else if path.extension().is_some_and(|extension| extension == "log") {
                let log = std::fs::read(&path).unwrap_or_default();
                let log = String::from_utf8_lossy(&log);
                let lines: Vec<&str> = log.lines().collect();
                text += &format!(
                    "== {}\n{}\n",
                    path.display(),
                    lines[lines.len().saturating_sub(12)..].join("\n")
                );
            }
        }
    }
    text
}

/// Makes a macro that says whether its argument is `yes`.
async fn make_macro(session: &Session, name: &str) {
    let definition = format!(r#"{{"name": "{name}", "sql_query": "select $1 = ''yes''"}}"#);
    let make = format!("select snackbase.macro_create('{definition}')->>'name'");
    assert_eq!(session.value(&make).await, name);
}

#[tokio::test]
async fn pg_upgrade_keeps_the_ledger_and_adds_nothing() {
    let seed = drill::seed();
    let next = PathBuf::from(environment("SNACKBASE_TEST_NEXT_BIN"));
    let mut old = Cluster::create("before", SETTINGS).await;
    let (file, _public) = key::keygen(&old.directory("keys"), "drill").await;
    let key = format!("snackbase.audit_key_file = '{file}'");
    old.set(&key);
    old.start().await;
    old.database("drill").await;
    let session = old.superuser("drill").await;
    drill::ground(&session, 3).await;
    let book = Arc::new(Book::default());
    drill::write(old.superuser("drill").await, seed, 1, &book, TRANSACTIONS).await;
    drill::seal(&session).await;
    // What an auditor keeps outside.
    let kept = drill::checkpoint(&session).await;
    assert!(kept.is_some(), "blocks are signed");
    let kept = drill::holding(kept.as_ref());
    drill::write(old.superuser("drill").await, seed, 2, &book, TRANSACTIONS).await;
    assert_ne!(drill::unsealed(&session).await, 0, "something is not sealed");
    assert!(
        book.count(Fate::Committed) > TRANSACTIONS / 2,
        "there is something to keep"
    );
    make_macro(&session, "before").await;
    session
        .batch_execute(FORGET_VERSIONS)
        .await
        .expect("a superuser may");
    let version = session.value("show server_version").await;
    let contents = session.value(&session.value(CONTENTS).await).await;
    drop(session);
    old.stop().await;

    let mut new = Cluster::create_with(next, "after", SETTINGS).await;
    // Both servers run during the upgrade. That is no time for the sealer.
    for cluster in [&old, &new] {
        cluster.set("snackbase.audit_databases = 'drill'");
    }
    let report = new
        .program("pg_upgrade")
        .args(["--username", "postgres", "--old-bindir"])
        .arg(old.bin())
        .arg("--new-bindir")
        .arg(new.bin())
        .arg("--old-datadir")
        .arg(old.data())
        .arg("--new-datadir")
        .arg(new.data())
        .attempt()
        .await
        .unwrap_or_else(|complaint| panic!("{complaint}\n{}", logs(&new.data())));
    new.set("snackbase.audit_databases = ''");
    new.set(&key);
    new.start().await;
    let session = new.superuser("drill").await;
    println!(
        "{version} became {}\n{report}",
        session.value("show server_version").await
    );
    assert_ne!(session.value("show server_version").await, version);

    same(
        "the upgrade",
        &session.value(&session.value(CONTENTS).await).await,
        &contents,
    );
    assert_eq!(
        book.check(&session, 0).await,
        [""; 0],
        "the clients find what they wrote"
    );
    assert_eq!(drill::findings(&session, &kept).await, [""; 0], "intact");
    let severe = "select code || ': ' || message from snackbase.doctor() where severity = 'severe'";
    assert_eq!(drill::lines(&session, severe).await, [""; 0]);

    // What came unsealed is sealed as the work of the cluster that wrote it, and life goes on.
    drill::seal(&session).await;
    assert_eq!(drill::unsealed(&session).await, 0);
    drill::write(new.superuser("drill").await, seed, 3, &book, TRANSACTIONS).await;
    drill::seal(&session).await;
    assert_eq!(drill::unsealed(&session).await, 0);
    assert_eq!(drill::systems(&session).await, "there there here");
    let newest = session
        .value("select max(number) from snackbase.audit_block")
        .await;
    let signed = drill::checkpoint(&session).await.expect("a checkpoint");
    assert_eq!(signed.0.to_string(), newest, "the same key goes on signing");
    assert_eq!(drill::broken_blocks(&session).await, [""; 0]);
    assert_eq!(book.check(&session, 0).await, [""; 0]);
    assert_eq!(drill::differences(&session, 0).await, [""; 0]);
    assert_eq!(drill::findings(&session, &kept).await, [""; 0], "intact");

    // Rules call functions that the older server made, and those of the newer one.
    make_macro(&session, "after").await;
    let rule = r#"@before("yes") && @after("yes") && !@before("no")"#;
    let ask = format!("select snackbase.rules_test('{rule}', '{{}}')->>'result'");
    assert_eq!(session.value(&ask).await, "true");
}
