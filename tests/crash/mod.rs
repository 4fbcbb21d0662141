//! What is left when processes of the server are killed under load: each change with its entry, no entry without its
//! change, and a ledger that verifies.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use futures_util::future::join_all;
use snackbase_e2e::{
    Cluster, Kill, Session,
    drill::{self, Book, Fate, Writer},
};

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
    cluster.start().await;
    cluster.database("drill").await;
    drill::ground(&cluster.superuser("drill").await, ACCOUNTS).await;

    let book = Arc::new(Book::default());
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
        let since = format!(", from_block => {newest}");
        assert_eq!(drill::findings(&watcher, &since).await, [""; 0], "{context}");
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
}

#[tokio::test]
async fn a_block_that_was_seen_outlives_the_server() {
    // Commits reach the log when somebody happens to write it, and nobody does.
    let settings = "synchronous_commit = off\nwal_writer_delay = 10s\nsnackbase.audit_databases = 'drill'";
    let mut cluster = Cluster::create("seen", settings).await;
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
        // A checkpoint of it may have left the house by now.
        let seen = session.value(newest).await;
        cluster.kill(Kill::Everything).await;
        cluster.start().await;
        let session = cluster.superuser("drill").await;
        assert_eq!(session.value(newest).await, seen, "round {round}");
        assert_eq!(drill::findings(&session, "").await, [""; 0], "round {round}");
    }
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
