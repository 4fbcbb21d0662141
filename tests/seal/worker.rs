//! The background worker, on clusters of its own: it seals by itself, and nothing but a shutdown ends that.

use std::time::{Duration, Instant};

use serde_json::Value as Json;
use snackbase_e2e::{Cluster, Session};

use super::{SCENE, UNSEALED, WRONG};

const SETTINGS: &str =
    "snackbase.audit_databases = 'app, later'\nsnackbase.audit_seal_interval_ms = 50\nautovacuum = off";

/// Waits until a query says so.
async fn until(session: &Session, what: &str, query: &str, expected: &str) {
    let begun = Instant::now();
    loop {
        let value = session.value(query).await;
        if value == expected {
            return;
        }
        assert!(begun.elapsed() < Duration::from_secs(30), "{what}: {value}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

async fn status(session: &Session) -> Json {
    serde_json::from_str(&session.value("select snackbase.audit_status()").await).expect("JSON")
}

/// The process of the sealer, once it runs.
async fn sealer(session: &Session) -> u32 {
    let begun = Instant::now();
    loop {
        if let Some(pid) = status(session).await["sealer"]["pid"].as_u64() {
            return u32::try_from(pid).expect("a process number");
        }
        assert!(begun.elapsed() < Duration::from_secs(30), "no sealer runs");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

async fn seals(session: &Session, what: &str) {
    session.value("select scene.note('One', 'more')").await;
    until(session, what, UNSEALED, "0").await;
    assert_eq!(session.value(WRONG).await, "0", "{what}");
}

#[tokio::test]
async fn it_seals_by_itself_whatever_happens() {
    let mut cluster = Cluster::create("sealer", SETTINGS).await;
    cluster.start().await;
    let maintenance = cluster.superuser("postgres").await;
    // First the database, long before the extension.
    maintenance
        .batch_execute("create database app")
        .await
        .expect("a database");
    let session = cluster.superuser("app").await;
    until(
        &session,
        "the launcher finds the database",
        "select count(*) from pg_stat_activity where backend_type = 'snackbase sealer' and datname = 'app'",
        "1",
    )
    .await;
    session
        .batch_execute("create extension snackbase")
        .await
        .expect("the extension");
    session.batch_execute(SCENE).await.expect("a scene");
    seals(&session, "after create extension").await;
    assert_eq!(
        session
            .value("select count(*) from snackbase.doctor() where code = 'no_sealer'")
            .await,
        "0"
    );

    // Idle: nobody takes a transaction id, no block is made.
    let quiet = "select pg_snapshot_xmax(pg_current_snapshot()) || ' ' || (select count(*) from snackbase.audit_block)";
    let before = session.value(quiet).await;
    session.value("select pg_sleep(0.5)").await;
    assert_eq!(
        session.value(quiet).await,
        before,
        "an idle server is not written to"
    );

    // Killed: the server recovers, and so does the sealer.
    let pid = sealer(&session).await;
    cluster.kill_process(pid);
    drop(session);
    drop(maintenance);
    let begun = Instant::now();
    let session = loop {
        // (one that was accepted before the crash is of no use)
        if let Ok(session) = cluster.connect("app").await
            && session.state_of("select snackbase.audit_status()").await == "00000"
        {
            break session;
        }
        assert!(
            begun.elapsed() < Duration::from_secs(60),
            "the server does not come back"
        );
        tokio::time::sleep(Duration::from_millis(50)).await;
    };
    assert_ne!(sealer(&session).await, pid);
    seals(&session, "after kill -9").await;

    // Ended by an administrator: the launcher starts another one.
    let pid = sealer(&session).await;
    session
        .value(&format!("select pg_terminate_backend({pid})"))
        .await;
    seals(&session, "after pg_terminate_backend").await;

    // It fails, says so once, and goes on when the fault is mended.
    let unguarded = |statement: &str| {
        format!(
            "alter event trigger snackbase_guard_ddl disable; {statement}; alter event trigger snackbase_guard_ddl enable always"
        )
    };
    session
        .batch_execute(&unguarded("alter table snackbase.audit_block rename to hidden"))
        .await
        .expect("a superuser can");
    session.value("select scene.note('One', 'unsealed')").await;
    let complaint = "the sealer cannot do its work, and will try again: relation \"snackbase.audit_block\" does not exist";
    let begun = Instant::now();
    while !cluster.log().contains(complaint) {
        assert!(begun.elapsed() < Duration::from_secs(30), "{}", cluster.log_end());
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    session.value("select pg_sleep(2.5)").await;
    assert_eq!(
        cluster.log().matches(complaint).count(),
        1,
        "{}",
        cluster.log_end()
    );
    session
        .batch_execute(&unguarded("alter table snackbase.hidden rename to audit_block"))
        .await
        .expect("a superuser can");
    seals(&session, "after a failure").await;
    assert!(cluster.log().contains("the sealer works again"));

    // A database that comes, goes and comes again.
    let maintenance = cluster.superuser("postgres").await;
    for round in 0..2 {
        cluster.database("later").await;
        let later = cluster.superuser("later").await;
        later.batch_execute(SCENE).await.expect("a scene");
        seals(&later, "a database that was not there").await;
        drop(later);
        if round == 0 {
            maintenance
                .batch_execute("drop database later with (force)")
                .await
                .expect("nobody holds it");
        }
    }

    // Somebody else's transaction holds the sealer's lock: a fast shutdown does not wait.
    session
        .batch_execute("begin; select snackbase.audit_seal(); select scene.note('One', 'held')")
        .await
        .expect("a step");
    let begun = Instant::now();
    cluster.stop().await;
    assert!(
        begun.elapsed() < Duration::from_secs(10),
        "a fast shutdown took {:?}",
        begun.elapsed()
    );
    assert!(
        !cluster.log().contains("PANIC") && !cluster.log().contains("database \"later\" does not exist"),
        "{}",
        cluster.log_end()
    );
}

#[tokio::test]
async fn on_a_standby_it_waits_for_the_promotion() {
    let mut primary = Cluster::create("primary", SETTINGS).await;
    primary.start().await;
    primary.database("app").await;
    let session = primary.superuser("app").await;
    session.batch_execute(SCENE).await.expect("a scene");
    seals(&session, "the primary").await;

    let mut standby = Cluster::standby_of(&primary, "standby", SETTINGS).await;
    standby.start().await;
    let reader = standby.superuser("app").await;
    session.value("select scene.note('Two', 'on its way')").await;
    until(&session, "the primary goes on", UNSEALED, "0").await;
    until(
        &reader,
        "blocks are replicated",
        "select count(*) from snackbase.col_notes n, snackbase.audit_block b where n.title = 'on its way' having count(*) > 0 union all select 0 limit 1",
        &session.value("select count(*) from snackbase.audit_block").await,
    )
    .await;
    assert_eq!(status(&reader).await["sealer"], Json::Null);
    assert_eq!(reader.state_of("select snackbase.audit_seal()").await, "25006");
    assert!(
        !standby.log().contains("snackbase sealer"),
        "{}",
        standby.log_end()
    );

    drop(session);
    primary.stop().await;
    reader.value("select pg_promote()").await;
    seals(&reader, "the promoted one").await;
    standby.stop().await;
}
