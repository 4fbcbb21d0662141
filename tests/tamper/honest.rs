//! No false alarm: random honest work is verified and nothing is found, neither between transactions nor in the middle of them.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use snackbase_e2e::{
    Cluster, Session,
    drill::{self, Book, Writer},
};

use crate::seal::key::{keygen, server_directory};

const ACCOUNTS: usize = 3;
const ROUNDS: usize = 200;
const NEWEST_NOTE: &str = "select note from snackbase.audit_checkpoint order by block_number desc limit 1";
const SETTINGS: &str = "max_prepared_transactions = 20\ndeadlock_timeout = 100ms\nlock_timeout = 500ms";

/// What is found must be nothing.
async fn clean(session: &Session, arguments: &str, when: &str) {
    let found = drill::findings(session, arguments).await;
    assert!(found.is_empty(), "{when}{arguments}: {found:#?}");
}

/// Which keys sign the checkpoints of this session from now on.
async fn sign_with(session: &Session, files: &str) {
    session
        .batch_execute(&format!("set snackbase.audit_key_file = '{files}'"))
        .await
        .expect("a superuser may");
}

/// Adds a field to a collection, or drops it again: values are in the trail and no longer in rows.
async fn change_schema(session: &Session, round: usize) {
    let fields = [
        r#"{"name": "name", "type": "text"}, {"name": "n", "type": "number"}"#,
        r#"{"name": "name", "type": "text"}, {"name": "n", "type": "number"}, {"name": "extra", "type": "text", "default": "x"}"#,
    ];
    let sql = format!(
        "begin;
         select snackbase.enter(json_build_object('kind', 'user', 'user_id', u.id, 'account_id', u.account_id), 'superadmin')
           from snackbase.users u where u.email = 'root@example.com';
         select snackbase.migration_generate('{{\"confirm\": true, \"collections\": [{{\"name\": \"parents\", \"fields\": [{}]}}]}}');
         commit",
        fields[round / 10 % 2]
    );
    if let Err(error) = session.batch_execute(&sql).await {
        // Prepared transactions may hold the table; then it stays as it is.
        session.batch_execute("rollback").await.expect("rolled back");
        let code = error.code().map(|code| code.code().to_owned());
        assert_eq!(code.as_deref(), Some("55P03"), "{error:?}");
    }
}

#[tokio::test]
async fn honest_work_is_never_named() {
    let seed = drill::seed();
    let mut cluster = Cluster::create("honest", SETTINGS).await;
    cluster.start().await;
    cluster.database("drill").await;
    let session = cluster.superuser("drill").await;
    drill::ground(&session, ACCOUNTS).await;
    let directory = server_directory("honest_keys");
    let (old, _) = keygen(&directory, "old").await;
    let (new, _) = keygen(&directory, "new").await;
    sign_with(&session, &old).await;
    let mut random = fastrand::Rng::with_seed(seed);
    let book = Arc::new(Book::default());
    let mut writers = Vec::new();
    for number in 0..3 {
        let mut writer = Writer::new(cluster.superuser("drill").await, seed, number, &book);
        writer.account = 1 + number % ACCOUNTS;
        writers.push(writer);
    }
    let mut prepared: Vec<String> = Vec::new();
    // Checkpoints that somebody keeps outside.
    let mut notes: Vec<String> = Vec::new();
    for round in 0..ROUNDS {
        let when = format!("seed {seed}, round {round}");
        match round {
            80 => sign_with(&session, &format!("{new}, {old}")).await,
            140 => sign_with(&session, &new).await,
            _ => {}
        }
        for _ in 0..random.usize(1..=3) {
            let writer = &mut writers[random.usize(..3)];
            prepared.extend(writer.transaction().await.expect("nobody breaks the connection"));
        }
        if random.bool() {
            session
                .batch_execute("select snackbase.audit_seal()")
                .await
                .expect("sealed");
        }
        while prepared.len() > 2 || (!prepared.is_empty() && random.u8(..4) == 0) {
            let name = prepared.swap_remove(random.usize(..prepared.len()));
            Writer::finish_prepared(&session, &book, &name, random.u8(..4) > 0)
                .await
                .expect("nobody breaks the connection");
        }
        if round % 10 == 5 {
            change_schema(&session, round).await;
            notes.extend(drill::lines(&session, NEWEST_NOTE).await);
        }
        clean(&session, "", &when).await;
        let arguments = match random.u8(..5) {
            0 => format!(", account => '{}'", drill::account(random.usize(1..=ACCOUNTS))),
            1 => format!(", from_block => {}", random.usize(1..=round + 1)),
            2 => ", since_checkpoint => true".to_owned(),
            3 if !notes.is_empty() => format!(
                ", checkpoint => $note${}$note$",
                notes[random.usize(..notes.len())]
            ),
            _ => continue,
        };
        clean(&session, &arguments, &when).await;
    }
    for name in prepared {
        Writer::finish_prepared(&session, &book, &name, true)
            .await
            .expect("nobody breaks the connection");
    }
    session
        .batch_execute("select snackbase.audit_seal()")
        .await
        .expect("sealed");
    clean(&session, "", &format!("seed {seed}, at the end")).await;
    for note in &notes {
        let kept = format!(", checkpoint => $note${note}$note$");
        clean(&session, &kept, &format!("seed {seed}, at the end")).await;
    }
    // Both keys have signed, or there was little to be wrong about.
    let keys = "select string_agg(k.name || ' ' || (k.retired_at is null) || ' ' ||
                       exists (select from snackbase.audit_checkpoint c where c.note like '%— ' || k.name || ' %'), ', ' order by k.name)
                  from snackbase.audit_key k";
    assert_eq!(
        session.value(keys).await,
        "example.com/new true true, example.com/old false true"
    );
    let size = session
        .value("select (select count(*) from snackbase.audit_change) || ' changes, ' || (select count(*) from snackbase.audit_block) || ' blocks, ' ||
                       (select count(*) from snackbase.audit_checkpoint) || ' checkpoints'")
        .await;
    println!("{size}");
}

/// How long writers, sealer and verifiers work against each other.
const TOGETHER: Duration = Duration::from_secs(8);

#[tokio::test]
async fn a_ledger_is_verified_while_it_grows() {
    let seed = drill::seed();
    let mut cluster = Cluster::create("grows", SETTINGS).await;
    cluster.start().await;
    cluster.database("drill").await;
    let watcher = cluster.superuser("drill").await;
    drill::ground(&watcher, ACCOUNTS).await;
    let book = Arc::new(Book::default());
    let stop = Arc::new(AtomicBool::new(false));
    let mut workers = Vec::new();
    for number in 0..8 {
        let mut writer = Writer::new(cluster.superuser("drill").await, seed, number, &book);
        writer.account = 1 + number % ACCOUNTS;
        let (stop, book) = (stop.clone(), book.clone());
        workers.push(tokio::spawn(async move {
            while !stop.load(Ordering::Relaxed) {
                if let Some(name) = writer.transaction().await.expect("nobody breaks the connection") {
                    Writer::finish_prepared(&writer.session, &book, &name, true)
                        .await
                        .expect("nobody breaks the connection");
                }
            }
        }));
    }
    let sealer = cluster.superuser("drill").await;
    let (key, _) = keygen(&server_directory("grows_keys"), "grows").await;
    sign_with(&sealer, &key).await;
    workers.push(tokio::spawn({
        let stop = stop.clone();
        async move {
            while !stop.load(Ordering::Relaxed) {
                sealer
                    .batch_execute("select snackbase.audit_seal()")
                    .await
                    .expect("sealed");
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        }
    }));
    let until = Instant::now() + TOGETHER;
    let mut verified = 0;
    while Instant::now() < until {
        clean(&watcher, "", &format!("seed {seed}, verification {verified}")).await;
        clean(
            &watcher,
            ", from_block => 2",
            &format!("seed {seed}, verification {verified}"),
        )
        .await;
        verified += 1;
    }
    stop.store(true, Ordering::Relaxed);
    for worker in workers {
        worker.await.expect("no worker fails");
    }
    let blocks = watcher.value("select count(*) from snackbase.audit_block").await;
    println!("{verified} verifications, {blocks} blocks");
    assert!(
        verified > 1 && blocks.parse::<i64>().is_ok_and(|blocks| blocks > 3),
        "{verified} {blocks}"
    );
    clean(&watcher, "", "at the end").await;
}
