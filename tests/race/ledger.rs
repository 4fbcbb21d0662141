//! The ledger under many writers at once.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use futures_util::future::join_all;
use snackbase_e2e::{
    Cluster,
    drill::{self, Book, Fate, Step, Writer},
};
use tokio::sync::mpsc;

use crate::{crash::signed, seal::key};

const WRITERS: usize = 64;
/// One account has half of the writers, the others share the rest.
const ACCOUNTS: usize = 17;
/// Transactions of all writers together.
const TRANSACTIONS: usize = 1600;
/// A machine that is busy with other things stops earlier.
const LIMIT: Duration = Duration::from_secs(25);
/// Prepared transactions that are open at any time, while their locks are in others' way.
const LEFT_OPEN: usize = 4;

#[tokio::test]
async fn sixty_four_writers_of_every_kind_leave_one_ledger() {
    let seed = drill::seed();
    let settings = "max_prepared_transactions = 80\ndeadlock_timeout = 100ms\nlock_timeout = 500ms
                    snackbase.audit_databases = 'drill'\nsnackbase.audit_seal_interval_ms = 50";
    let mut cluster = Cluster::create("race", settings).await;
    let keys = cluster.directory("keys");
    let ((old, _), (new, _)) = (key::keygen(&keys, "old").await, key::keygen(&keys, "new").await);
    cluster.set(&format!("snackbase.audit_key_file = '{old}'"));
    cluster.start().await;
    cluster.database("drill").await;
    let watcher = cluster.superuser("drill").await;
    drill::ground(&watcher, ACCOUNTS).await;

    let book = Arc::new(Book::default());
    let begun = Arc::new(AtomicUsize::new(0));
    let deadline = Instant::now() + LIMIT;
    let (prepared, mut waiting) = mpsc::unbounded_channel();
    let mut writers = Vec::new();
    for number in 0..WRITERS {
        let mut writer = Writer::new(cluster.superuser("drill").await, seed, number, &book);
        writer.account = if number % 2 == 0 {
            1
        } else {
            2 + number / 2 % (ACCOUNTS - 1)
        };
        let (begun, prepared) = (begun.clone(), prepared.clone());
        writers.push(tokio::spawn(async move {
            while begun.fetch_add(1, Ordering::Relaxed) < TRANSACTIONS && Instant::now() < deadline {
                if let Some(name) = writer.transaction().await.expect("nobody breaks the connection") {
                    prepared.send(name).expect("somebody finishes them");
                }
            }
            writer.done
        }));
    }
    drop(prepared);
    // Blocks are closed all the time, by two sessions and the background worker, who do not know of each other.
    let writing = Arc::new(AtomicBool::new(true));
    let mut sealers = Vec::new();
    for _ in 0..2 {
        let (session, writing) = (cluster.superuser("drill").await, writing.clone());
        sealers.push(tokio::spawn(async move {
            while writing.load(Ordering::Relaxed) {
                drill::seal(&session).await;
            }
        }));
    }
    // Meanwhile a new key takes over: every sealer, whenever it hears of it, signs with both once and then with the new one.
    let rotation = tokio::spawn({
        let session = cluster.superuser("drill").await;
        let begun = begun.clone();
        async move {
            while begun.load(Ordering::Relaxed) < TRANSACTIONS / 3 && Instant::now() < deadline {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
            for statement in [
                &format!("alter system set snackbase.audit_key_file = '{new}, {old}'"),
                "select pg_reload_conf()",
            ] {
                session.batch_execute(statement).await.expect("a new key");
            }
        }
    });
    // Whoever is prepared stays so until enough others are.
    let finisher = tokio::spawn({
        let (session, book) = (cluster.superuser("drill").await, book.clone());
        async move {
            let mut open = VecDeque::new();
            let mut finished = 0;
            while let Some(name) = waiting.recv().await {
                open.push_back(name);
                if open.len() > LEFT_OPEN {
                    let name = open.pop_front().expect("it is longer than that");
                    finished += 1;
                    Writer::finish_prepared(&session, &book, &name, finished % 4 > 0)
                        .await
                        .expect("nobody breaks the connection");
                }
            }
            (open, session)
        }
    });
    let mut done: BTreeMap<Step, usize> = BTreeMap::new();
    for steps in join_all(writers).await {
        for step in steps.expect("no writer fails") {
            *done.entry(step).or_default() += 1;
        }
    }
    rotation.await.expect("the key is changed");
    let (open, session) = finisher.await.expect("no transaction cannot be finished");
    assert_eq!(
        open.len(),
        LEFT_OPEN,
        "some stay prepared until all writers are done"
    );
    writing.store(false, Ordering::Relaxed);
    for sealer in join_all(sealers).await {
        sealer.expect("no sealer fails");
    }
    let blocks: usize = watcher
        .value("select count(*) from snackbase.audit_block")
        .await
        .parse()
        .expect("a number");
    println!("{blocks} blocks while they wrote");
    // (how many depends on the machine)
    assert!(blocks > 2, "{blocks} blocks");
    // A block cannot reach beyond what is still open, and nobody is forgotten who was.
    drill::seal(&watcher).await;
    assert_ne!(
        drill::unsealed(&watcher).await,
        0,
        "prepared transactions hold the sealer back"
    );
    for name in open {
        Writer::finish_prepared(&session, &book, &name, true)
            .await
            .expect("nobody breaks the connection");
    }
    drill::seal(&watcher).await;
    assert_eq!(drill::unsealed(&watcher).await, 0, "seed {seed}");
    signed(&watcher).await;
    let signers = r"select array_agg(distinct s[1] order by s[1])::text
                     from snackbase.audit_checkpoint c, regexp_matches(c.note, '— example\.com/(\w+) ', 'g') s
                    group by c.block_number order by c.block_number";
    let mut signers = drill::lines(&watcher, signers).await;
    signers.dedup();
    assert_eq!(
        signers,
        ["{old}", "{new,old}", "{new}"],
        "seed {seed}: one takes over, once"
    );
    assert_eq!(drill::broken_blocks(&watcher).await, [""; 0], "seed {seed}");
    let (committed, rolled_back) = (book.count(Fate::Committed), book.count(Fate::RolledBack));
    println!("{committed} transactions committed, {rolled_back} rolled back; {done:?}");

    // The drill drilled something: every kind of statement, by transactions that won and by some that lost.
    assert!(Step::ALL.iter().all(|step| done.contains_key(step)), "{done:?}");
    assert!(
        committed > WRITERS && rolled_back > WRITERS,
        "{committed}, {rolled_back}"
    );
    assert_eq!(book.check(&watcher, 0).await, [""; 0], "seed {seed}");
    assert_eq!(drill::differences(&watcher, 0).await, [""; 0], "seed {seed}");
    let gaps = "select table_name || ' ' || record_id from snackbase.audit_change group by account_id, table_name, record_id
                having count(*) <> max(record_version) or count(distinct record_version) <> count(*)
                    or count(distinct previous_hash) <> count(*) - 1";
    assert_eq!(drill::lines(&watcher, gaps).await, [""; 0], "seed {seed}");
    assert_eq!(drill::findings(&watcher, "").await, [""; 0], "seed {seed}");
}

/// The number of a transaction says when it began, not when it wrote: blocks, which are ranges of these numbers, need not
/// follow the versions of a record. Verification that begins at a block must not take that for a gap or for a tampered row.
#[tokio::test]
async fn versions_of_a_record_need_not_follow_the_blocks() {
    let mut cluster = Cluster::create("order", "").await;
    cluster.start().await;
    cluster.database("drill").await;
    let watcher = cluster.superuser("drill").await;
    drill::ground(&watcher, 1).await;
    let record = drill::record(1, 1);
    let insert = format!(
        "insert into snackbase.col_parents (account_id, id, name) values ('{}', '{record}', 'one')",
        drill::account(1)
    );
    watcher.batch_execute(&insert).await.expect("a record");
    let write =
        |name: &str| format!("update snackbase.col_parents set name = '{name}' where id = '{record}'");
    let (early, between) = (cluster.superuser("drill").await, cluster.superuser("drill").await);
    for session in [&early, &between] {
        session
            .batch_execute("begin; select pg_current_xact_id()")
            .await
            .expect("a transaction with a number");
    }
    watcher.batch_execute(&write("two")).await.expect("version 2");
    early.batch_execute(&write("three")).await.expect("version 3");
    early.batch_execute("commit").await.expect("a commit");
    // Reaches to the transaction in between: version 3 is in it, version 2 is not.
    drill::seal(&watcher).await;
    between.batch_execute("commit").await.expect("a commit");
    drill::seal(&watcher).await;
    let blocks = format!(
        "select string_agg((select number::text from snackbase.audit_block b where b.from_xid <= c.xid and c.xid < b.to_xid),
                           ' ' order by record_version) from snackbase.audit_change c where record_id = '{record}'"
    );
    assert_eq!(watcher.value(&blocks).await, "1 2 1");
    let from = ", from_block => 2";
    assert_eq!(
        drill::findings(&watcher, from).await,
        [""; 0],
        "the row is that of version 3"
    );
    watcher.batch_execute(&write("four")).await.expect("version 4");
    drill::seal(&watcher).await;
    assert_eq!(
        drill::findings(&watcher, from).await,
        [""; 0],
        "version 3 is in block 1"
    );
    assert_eq!(drill::findings(&watcher, "").await, [""; 0]);
}
