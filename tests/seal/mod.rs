//! Blocks over committed changes: nothing is left out, nothing twice, and a stranger computes the same hashes.

mod anchors;
mod compression;
mod export;
pub mod key;
mod merkle;
mod proofs;
mod worker;

use std::time::{Duration, Instant};

use serde_json::Value as Json;
use snackbase_e2e::{Database, Session};

/// Two accounts, a collection, and functions to write into it.
const SCENE: &str = r#"select snackbase.account_create('One', null);
               select snackbase.account_create('Two', null);
               select snackbase.collection_define('{"name": "notes", "fields": [{"name": "title", "type": "text"}]}');
               create schema scene;
               create function scene.account(wanted text) returns uuid stable language sql
                   return (select id from snackbase.accounts where name = wanted);
               create function scene.note(account text, title text) returns void language sql
                   begin atomic
                       insert into snackbase.col_notes (account_id, title) values (scene.account(account), title);
                   end;"#;

/// A database with two accounts and a collection, and a superuser in it. Ids of the accounts: `one` and `two`.
async fn scene() -> (Database, Session) {
    let database = Database::fresh().await;
    let session = database.superuser().await;
    session.batch_execute(SCENE).await.expect("a scene");
    (database, session)
}

/// One step of the sealer.
async fn seal(session: &Session) -> Json {
    serde_json::from_str(&session.value("select snackbase.audit_seal()").await).expect("JSON")
}

/// Steps until every committed change is in a block: transactions of other databases hold the horizon back, too.
pub async fn seal_all(session: &Session) {
    let begun = Instant::now();
    while session.value(UNSEALED).await != "0" {
        seal(session).await;
        assert!(
            begun.elapsed() < Duration::from_secs(30),
            "not everything is sealed"
        );
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// How many changes no block covers.
const UNSEALED: &str = "
    select count(*) from snackbase.audit_change c
     where not exists (select from snackbase.audit_block b
                        where b.system_identifier = c.system_identifier and c.xid >= b.from_xid and c.xid < b.to_xid)";

/// What is wrong with the blocks, by counting: gaps, overlaps, and counts that are not those of the changes.
const WRONG: &str = "
    select count(*) from (
        select b.number
          from snackbase.audit_block b
          left join snackbase.audit_block p on p.number = b.number - 1
         where (b.number > 1) <> (p.number is not null)
            or b.previous_block_hash is distinct from p.block_hash
            or b.change_count <> (select count(*) from snackbase.audit_change c
                                   where c.system_identifier = b.system_identifier and c.xid >= b.from_xid and c.xid < b.to_xid)
            or b.change_count <> (select sum(a.change_count) from snackbase.audit_block_account a where a.block_number = b.number)
            or b.from_xid <> coalesce((select max(q.to_xid::text::numeric) from snackbase.audit_block q
                                        where q.system_identifier = b.system_identifier and q.number < b.number), 0)::text::xid8
        union all
        select c.id
          from snackbase.audit_change c
          join snackbase.audit_block b
            on b.system_identifier = c.system_identifier and c.xid >= b.from_xid and c.xid < b.to_xid
         group by c.id having count(*) <> 1) wrong";

#[tokio::test]
async fn a_stranger_computes_the_same_blocks() {
    let (_database, session) = scene().await;
    seal_all(&session).await;
    // 700 changes of one account are more than two tiles
    session
        .batch_execute(
            "insert into snackbase.col_notes (account_id, title) select scene.account('One'), n::text from generate_series(1, 700) n;
             select scene.note('Two', 'a')",
        )
        .await
        .expect("notes");
    seal_all(&session).await;
    for number in 0..5 {
        session
            .value(&format!("select scene.note('Two', '{number}')"))
            .await;
        seal_all(&session).await;
    }
    merkle::check(&session).await;
    assert_eq!(session.value(WRONG).await, "0");
    // the head of the block of 700, and the way back from its neighbour in the account
    assert_eq!(
        session
            .value(
                "select string_agg(a.change_count || ' ' || octet_length(a.tiles) / 48, ', ') from snackbase.audit_block_account a
                  where a.tiles is not null",
            )
            .await,
        "700 3"
    );
}

#[tokio::test]
async fn what_is_running_waits_and_is_not_lost() {
    let (database, session) = scene().await;
    seal_all(&session).await;
    let slow = database.superuser().await;
    slow.batch_execute("begin; select scene.note('One', 'slow')")
        .await
        .expect("a note");
    session.value("select scene.note('Two', 'quick')").await;
    let sealed = seal(&session).await;
    assert_eq!(
        sealed["blocks"],
        serde_json::json!([]),
        "the quick one began after the slow one"
    );
    slow.batch_execute("commit").await.expect("commit");
    seal_all(&session).await;
    assert_eq!(session.value(WRONG).await, "0");
}

#[tokio::test]
async fn a_rolled_back_step_leaves_nothing_and_an_empty_one_makes_no_block() {
    let (_database, session) = scene().await;
    session
        .batch_execute("begin; select snackbase.audit_seal(); rollback")
        .await
        .expect("rolled back");
    assert_eq!(
        session.value("select count(*) from snackbase.audit_block").await,
        "0"
    );
    seal_all(&session).await;
    let blocks = session.value("select count(*) from snackbase.audit_block").await;
    session.batch_execute("begin").await.expect("begin");
    for _ in 0..3 {
        assert_eq!(seal(&session).await["blocks"], serde_json::json!([]));
    }
    assert_eq!(
        session.value("select pg_current_xact_id_if_assigned()").await,
        "∅",
        "nothing is written"
    );
    session.batch_execute("commit").await.expect("commit");
    assert_eq!(
        session.value("select count(*) from snackbase.audit_block").await,
        blocks
    );
}

#[tokio::test]
async fn an_old_snapshot_seals_what_is_new() {
    let (database, session) = scene().await;
    seal_all(&session).await;
    for isolation in ["repeatable read", "serializable"] {
        let old = database.superuser().await;
        old.batch_execute(&format!("begin isolation level {isolation}"))
            .await
            .expect("begin");
        let before = old.value("select count(*) from snackbase.audit_change").await;
        session.value("select scene.note('One', 'new')").await;
        let begun = Instant::now();
        while seal(&old).await["blocks"] == serde_json::json!([]) {
            assert!(
                begun.elapsed() < Duration::from_secs(20),
                "{isolation}: the new change is not sealed"
            );
        }
        assert_eq!(
            old.value("select count(*) from snackbase.audit_change").await,
            before,
            "the snapshot is an old one"
        );
        old.batch_execute("commit").await.expect("commit");
    }
    seal_all(&session).await;
    assert_eq!(session.value(WRONG).await, "0");
}

#[tokio::test]
async fn writers_and_sealers_at_once_leave_nothing_out() {
    let (database, session) = scene().await;
    let mut tasks = Vec::new();
    for writer in 0..8 {
        let session = database.superuser().await;
        tasks.push(tokio::spawn(async move {
            let mut random = fastrand::Rng::with_seed(writer);
            for number in 0..40 {
                let end = if random.u8(..5) == 0 { "rollback" } else { "commit" };
                let account = if random.bool() { "One" } else { "Two" };
                session
                    .batch_execute(&format!("begin; select scene.note('{account}', 'w{writer} {number}')"))
                    .await
                    .expect("a note");
                // some transactions outlive several steps
                tokio::time::sleep(Duration::from_millis(random.u64(0..4).pow(3))).await;
                session
                    .batch_execute(&format!("savepoint s; select scene.note('{account}', 'undone'); rollback to s; select scene.note('{account}', 'more'); {end}"))
                    .await
                    .expect("another");
            }
        }));
    }
    for _ in 0..2 {
        let session = database.superuser().await;
        tasks.push(tokio::spawn(async move {
            for _ in 0..60 {
                seal(&session).await;
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        }));
    }
    for task in tasks {
        task.await.expect("no task fails");
    }
    seal_all(&session).await;
    assert_eq!(session.value(WRONG).await, "0");
    merkle::check(&session).await;
}

#[tokio::test]
async fn an_ordinary_step_reads_the_tail_only() {
    let (database, session) = scene().await;
    session
        .batch_execute(
            "insert into snackbase.col_notes (account_id, title) select scene.account('One'), n::text from generate_series(1, 20000) n;
             analyze snackbase.audit_change",
        )
        .await
        .expect("many notes");
    seal_all(&session).await;
    // the sample in a block counts once all that ran at its time has ended; a session of its own knows no other samples
    for _ in 0..3 {
        session.value("select scene.note('Two', 'next')").await;
        let other = database.superuser().await;
        seal_all(&other).await;
    }
    let begun = Instant::now();
    loop {
        session.value("select scene.note('Two', 'last')").await;
        let other = database.superuser().await;
        other.batch_execute("begin").await.expect("begin");
        let sealed = seal(&other).await;
        let read = other
            .value(
                "select seq_tup_read + coalesce(idx_tup_fetch, 0) from pg_stat_xact_user_tables
                  where relid = 'snackbase.audit_change'::regclass",
            )
            .await;
        other.batch_execute("commit").await.expect("commit");
        if sealed["blocks"] != serde_json::json!([]) {
            let read: i64 = read.parse().expect("a number");
            assert!(
                (1..1000).contains(&read),
                "a step over one change read {read} rows"
            );
            break;
        }
        assert!(begun.elapsed() < Duration::from_secs(20), "never sealed");
    }
}

#[tokio::test]
async fn changes_of_a_former_cluster_are_sealed_first_and_apart() {
    let (_database, session) = scene().await;
    // As after a restore: a block of the former cluster, and changes that it had not sealed.
    let former = "alter table snackbase.audit_change disable trigger prevent_audit_log_update;
                  update snackbase.audit_change set system_identifier = 42 where system_identifier = snackbase._system_identifier();
                  alter table snackbase.audit_change enable always trigger prevent_audit_log_update";
    let unguarded = |statement: &str| {
        format!(
            "alter event trigger snackbase_guard_ddl disable; {statement}; alter event trigger snackbase_guard_ddl enable always"
        )
    };
    session
        .batch_execute(&unguarded(former))
        .await
        .expect("a former cluster");
    session.value("select scene.note('One', 'here')").await;
    seal_all(&session).await;
    assert_eq!(
        session
            .value("select string_agg((system_identifier = 42)::text, ' ' order by number) from snackbase.audit_block")
            .await,
        "true false"
    );
    assert_eq!(
        session
            .value(
                "select (select to_xid from snackbase.audit_block where number = 1)::text::bigint
                      - (select max(xid::text::bigint) from snackbase.audit_change where system_identifier = 42)",
            )
            .await,
        "1"
    );
    // Restored twice on the way: a second former cluster that never sealed, found after our own blocks.
    session.value("select scene.note('Two', 'elsewhere')").await;
    session
        .batch_execute(&unguarded(
            &former
                .replace(
                    "where system_identifier = snackbase._system_identifier()",
                    "where id = (select max(id) from snackbase.audit_change)",
                )
                .replace("= 42", "= -43"),
        ))
        .await
        .expect("another one");
    session.value("select scene.note('One', 'here again')").await;
    seal_all(&session).await;
    assert_eq!(
        session.value("select string_agg(sign(system_identifier)::text, ' ' order by number) from snackbase.audit_block where number <> 2").await,
        "1 -1 1"
    );
    assert_eq!(session.value(WRONG).await, "0");
    merkle::check(&session).await;
}

#[tokio::test]
async fn nothing_is_sealed_while_a_dump_is_replayed() {
    let (database, session) = scene().await;
    let restore = database.superuser().await;
    restore
        .batch_execute(
            "set row_security = off; set check_function_bodies = off;
             insert into snackbase.audit_block select * from snackbase.audit_block where false",
        )
        .await
        .expect("a table is loaded");
    assert_eq!(
        session
            .state_of("set lock_timeout = '200ms'; select snackbase.audit_seal()")
            .await,
        "55P03"
    );
    drop(restore);
    session.batch_execute("set lock_timeout = 0").await.expect("set");
    seal_all(&session).await;
}

#[tokio::test]
async fn blocks_cannot_be_changed_and_members_see_their_own() {
    let (database, session) = scene().await;
    session
        .value("select scene.note('One', 'mine'), scene.note('Two', 'yours')")
        .await;
    seal_all(&session).await;
    for table in ["audit_block", "audit_block_account", "audit_checkpoint"] {
        for statement in [
            format!("delete from snackbase.{table} where true"),
            format!("truncate snackbase.{table}"),
        ] {
            let state = session.state_of(&statement).await;
            let empty = session
                .value(&format!("select count(*) from snackbase.{table}"))
                .await
                == "0";
            assert!(
                state == "42501" || (empty && statement.starts_with("delete")),
                "{statement}: {state}"
            );
        }
    }
    let gateway = database.gateway_role().await;
    assert_eq!(
        gateway.state_of("select * from snackbase.audit_block").await,
        "42501"
    );
    let one = session.value("select scene.account('One')").await;
    let reader = session
        .value(
            "insert into snackbase.users (account_id, email, role_id)
             select scene.account('One'), 'reader@example.com', id from snackbase.roles where name = 'admin' returning id",
        )
        .await;
    session
        .batch_execute(&format!(
            "set snackbase.account_id = '{one}'; set snackbase.auth_method = 'jwt'; set snackbase.user_id = '{reader}';
             set role snackbase_member"
        ))
        .await
        .expect("a member");
    assert_eq!(
        session
            .value("select string_agg(distinct account_id::text, ' ') from snackbase.audit_block_account")
            .await,
        one
    );
    assert_eq!(
        session
            .state_of("insert into snackbase.audit_block select * from snackbase.audit_block")
            .await,
        "42501"
    );
}
