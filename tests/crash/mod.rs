//! What is left when processes of the server are killed under load: each change with its entry, no entry without its
//! change, and a ledger that verifies.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use futures_util::future::join_all;
use snackbase_e2e::{
    Cluster, Kill, Session,
    drill::{self, Book, Fate, Writer},
};

use crate::seal::key;

const ROUNDS: usize = 50;
const WRITERS: usize = 8;
const ACCOUNTS: usize = 3;
/// A round lasts until at most so many transactions have begun.
const LOAD: usize = 60;

/// Who is killed in a round.
#[derive(Clone, Copy, Debug)]
enum Victim {
    Server(Kill),
    /// The background worker that closes blocks. The postmaster survives, ends everybody else and recovers.
    Sealer,
}

#[tokio::test]
async fn fifty_kills_lose_nothing_and_leave_nothing_half_done() {
    let seed = drill::seed();
    let mut random = fastrand::Rng::with_seed(seed);
    let settings = "max_prepared_transactions = 80\ndeadlock_timeout = 100ms\nlock_timeout = 100ms
                    snackbase.audit_databases = 'drill'\nsnackbase.audit_seal_interval_ms = 10";
    let mut cluster = Cluster::create("crash", settings).await;
    sign(&cluster).await;
    cluster.start().await;
    cluster.database("drill").await;
    drill::ground(&cluster.superuser("drill").await, ACCOUNTS).await;

    let book = Arc::new(Book::default());
    let mut outside = 0;
    for round in 0..ROUNDS {
        let watcher = cluster.superuser("drill").await;
        let from = next_transaction(&watcher).await;
        let victim = match random.u8(..3) {
            0 => Victim::Server(Kill::Postmaster),
            1 => Victim::Server(Kill::Everything),
            _ => Victim::Sealer,
        };
        let sealer = sealer(&watcher).await;
        let newest = newest_block(&watcher).await;
        let enough = random.usize(1..=LOAD);
        let pause = Duration::from_micros(random.u64(..5_000));
        let begun = Arc::new(AtomicUsize::new(0));
        let writers: Vec<_> =
            join_all((0..WRITERS).map(|number| writer(&cluster, random.u64(..), number, &book)))
                .await
                .into_iter()
                .map(|mut writer| {
                    let begun = begun.clone();
                    tokio::spawn(async move {
                        loop {
                            begun.fetch_add(1, Ordering::Relaxed);
                            match writer.transaction().await {
                                Ok(None) => {}
                                Ok(Some(prepared)) => {
                                    let commit = writer.random.bool();
                                    // One in two stays prepared until after the crash.
                                    if writer.random.bool()
                                        && Writer::finish_prepared(
                                            &writer.session,
                                            &writer.book,
                                            &prepared,
                                            commit,
                                        )
                                        .await
                                        .is_err()
                                    {
                                        return;
                                    }
                                }
                                Err(_) => return,
                            }
                        }
                    })
                })
                .collect();
        while begun.load(Ordering::Relaxed) < enough {
            tokio::task::yield_now().await;
        }
        // What has left the house in the middle of the load is a promise.
        let anchored = drill::checkpoint(&watcher).await;
        // (not to wait for anything: the kill is to come at any point of a transaction)
        tokio::time::sleep(pause).await;
        match victim {
            Victim::Server(reach) => cluster.kill(reach).await,
            Victim::Sealer => cluster.kill_process(sealer),
        }
        for writer in join_all(writers).await {
            writer.expect("a writer ends with its connection");
        }
        match victim {
            Victim::Server(_) => cluster.start().await,
            Victim::Sealer => cluster.ready().await,
        }

        let context = format!("seed {seed}, round {round}, {victim:?}");
        let watcher = cluster.superuser("drill").await;
        for name in Writer::prepared(&watcher).await {
            Writer::finish_prepared(&watcher, &book, &name, random.bool())
                .await
                .expect("nobody is killed here");
        }
        assert_eq!(book.check(&watcher, from).await, [""; 0], "{context}");
        assert_eq!(drill::differences(&watcher, from).await, [""; 0], "{context}");
        assert_eq!(drill::broken_blocks(&watcher).await, [""; 0], "{context}");
        let since = format!(", from_block => {newest}{}", drill::holding(anchored.as_ref()));
        assert_eq!(drill::findings(&watcher, &since).await, [""; 0], "{context}");
        outside += usize::from(anchored.is_some());
    }
    let watcher = cluster.superuser("drill").await;
    let [committed, rolled_back, in_doubt] =
        [Fate::Committed, Fate::RolledBack, Fate::InDoubt].map(|fate| book.count(fate));
    println!("{committed} transactions committed, {rolled_back} rolled back, {in_doubt} in doubt");
    assert!(
        committed > ROUNDS && in_doubt > 0,
        "the kills came under load: {committed}, {in_doubt}"
    );
    drill::seal(&watcher).await;
    assert_eq!(drill::unsealed(&watcher).await, 0, "seed {seed}");
    let blocks = newest_block(&watcher).await;
    println!("{blocks} blocks");
    assert!(blocks > ROUNDS, "the sealer worked under load: {blocks} blocks");
    assert_eq!(drill::differences(&watcher, 0).await, [""; 0], "seed {seed}");
    assert_eq!(drill::findings(&watcher, "").await, [""; 0], "seed {seed}");
    println!("{outside} checkpoints were kept outside");
    assert!(outside > ROUNDS / 2, "checkpoints were kept: {outside}");
    let kept = drill::holding(Some(&signed(&watcher).await));
    assert_eq!(drill::findings(&watcher, &kept).await, [""; 0], "seed {seed}");
}

/// Blocks are closed and signed by a server to which nobody is connected: its first start, after a shutdown, after a kill, and
/// when it recovers from the death of a process. (The files that describe the catalogs to a process without a database are
/// made by the first session.)
#[tokio::test]
async fn a_server_seals_before_anybody_connects() {
    // (autovacuum connects, too)
    let mut cluster = Cluster::create("alone", "autovacuum = off").await;
    cluster.start().await;
    cluster.database("drill").await;
    let session = cluster.superuser("drill").await;
    drill::ground(&session, 1).await;
    drop(session);
    cluster.set("snackbase.audit_databases = 'drill'\nsnackbase.audit_seal_interval_ms = 10");
    for way in ["a shutdown", "a kill", "the death of a process"] {
        let former = cluster.child("snackbase sealer of drill");
        match way {
            "a shutdown" => cluster.stop().await,
            "a kill" => cluster.kill(Kill::Everything).await,
            _ => cluster.kill_process(former.expect("a sealer")),
        }
        if way != "the death of a process" {
            cluster.launch();
        }
        let begun = Instant::now();
        let sealer = loop {
            // It has a database when it has made the file that describes that.
            if let Some(sealer) = cluster.child("snackbase sealer of drill")
                && Some(sealer) != former
                && cluster.data().join("global/pg_internal.init").exists()
            {
                break sealer;
            }
            assert!(
                begun.elapsed() < Duration::from_secs(30),
                "no sealer after {way}\n{}",
                cluster.log_end()
            );
            tokio::time::sleep(Duration::from_millis(10)).await;
        };
        let session = cluster.superuser("drill").await;
        assert_eq!(
            self::sealer(&session).await,
            sealer,
            "{way}: the same process seals"
        );
        let record = format!(
            "insert into snackbase.col_parents (account_id, name) values ('{}', 'after')",
            drill::account(1)
        );
        session.batch_execute(&record).await.expect("a record");
        while drill::unsealed(&session).await > 0 {
            assert!(
                begun.elapsed() < Duration::from_secs(60),
                "{way}: it does not seal"
            );
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        assert_eq!(drill::findings(&session, "").await, [""; 0], "{way}");
    }
    assert!(
        !cluster.log().contains("without having selected a database"),
        "{}",
        cluster.log_end()
    );
}

#[tokio::test]
async fn a_block_that_was_seen_outlives_the_server() {
    // Commits reach the log when somebody happens to write it, and nobody does.
    let settings = "synchronous_commit = off\nwal_writer_delay = 10s\nsnackbase.audit_databases = 'drill'";
    let mut cluster = Cluster::create("seen", settings).await;
    sign(&cluster).await;
    cluster.start().await;
    cluster.database("drill").await;
    let session = cluster.superuser("drill").await;
    drill::ground(&session, 1).await;
    let newest = "select number || ' ' || encode(block_hash, 'hex') from snackbase.audit_block order by number desc limit 1";
    for round in 0..5 {
        let session = cluster.superuser("drill").await;
        let insert = "insert into snackbase.col_children (account_id, title) values ($1, 'seen')";
        session
            .batch_execute(&insert.replace("$1", &format!("'{}'", drill::account(1))))
            .await
            .expect("a record");
        while drill::unsealed(&session).await > 0 {
            tokio::task::yield_now().await;
        }
        let anchored = signed(&session).await;
        let seen = session.value(newest).await;
        cluster.kill(Kill::Everything).await;
        cluster.start().await;
        let session = cluster.superuser("drill").await;
        assert_eq!(session.value(newest).await, seen, "round {round}");
        // The checkpoint may have left the house before the server died.
        let kept = drill::holding(Some(&anchored));
        assert_eq!(drill::findings(&session, &kept).await, [""; 0], "round {round}");
    }
}

/// The checkpoint of the newest block, once that is signed.
pub async fn signed(session: &Session) -> (u64, String) {
    let newest = "select coalesce(max(number), 0) from snackbase.audit_block";
    let begun = Instant::now();
    loop {
        let number = session.value(newest).await;
        match drill::checkpoint(session).await {
            Some(checkpoint) if checkpoint.0.to_string() == number => return checkpoint,
            other => assert!(
                begun.elapsed() < Duration::from_secs(30),
                "block {number} is not signed: {other:?}"
            ),
        }
        tokio::task::yield_now().await;
    }
}

/// Gives a cluster that is not started a key to sign checkpoints with.
async fn sign(cluster: &Cluster) {
    let (file, _public) = key::keygen(&cluster.directory("keys"), "drill").await;
    cluster.set(&format!("snackbase.audit_key_file = '{file}'"));
}

async fn writer(cluster: &Cluster, seed: u64, number: usize, book: &Arc<Book>) -> Writer {
    let mut writer = Writer::new(cluster.superuser("drill").await, seed, number, book);
    writer.account = 1 + number % ACCOUNTS;
    writer
}

/// The number of the next transaction.
async fn next_transaction(session: &Session) -> u64 {
    let next = session
        .value("select pg_snapshot_xmax(pg_current_snapshot())")
        .await;
    next.parse().expect("a number")
}

/// The number of the newest block; 1 if there is none yet.
async fn newest_block(session: &Session) -> usize {
    let newest = session
        .value("select coalesce(max(number), 1) from snackbase.audit_block")
        .await;
    newest.parse().expect("a number")
}

/// The process number of the sealer, as soon as there is one.
async fn sealer(session: &Session) -> u32 {
    let sealer = "select pid from pg_stat_activity where backend_type = 'snackbase sealer' and datname = current_database()";
    for _ in 0..1000 {
        if let Some(number) = drill::lines(session, sealer).await.first() {
            return number.parse().expect("a process number");
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("no sealer after ten seconds");
}
