//! Erasing a subject while others write its values.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use futures_util::future::join_all;
use serde_json::json;
use snackbase_e2e::World;

const WRITERS: usize = 12;
const WRITES: usize = 15;
const ERASURES: usize = 8;

/// `people` with an erasable phone, and `visits` that belong to the person they name: another table, whose rows come into being
/// meanwhile.
async fn people() -> World {
    let world = World::new().await;
    world
        .define(json!({"name": "people",
            "fields": [{"name": "phone", "type": "text", "pii": true, "options": {"erasable": true}}],
            "list_rule": "", "view_rule": "", "create_rule": "", "update_rule": ""}))
        .await;
    world
        .define(json!({"name": "visits", "options": {"subject": "person"},
            "fields": [{"name": "person", "type": "reference", "collection": "people", "on_delete": "restrict"},
                       {"name": "note", "type": "text", "pii": true, "options": {"erasable": true}}],
            "list_rule": "", "create_rule": ""}))
        .await;
    world
}

/// How many live values are not what the trail says last, readable.
const TORN: &str = "
    select count(*)
      from (select 'col_people' as relation, p.id::text, p.phone as value, 'phone' as name from snackbase.col_people p
             union all
            select 'col_visits', v.id::text, v.note, 'note' from snackbase.col_visits v) live
     cross join lateral (
           select snackbase._audit_reveal(a.account_id, a.table_name, a.record_id, a.column_name, a.new_value) as value
             from snackbase.audit_log a
            where a.table_name = live.relation and a.record_id = live.id and a.column_name = live.name
            order by a.id desc limit 1) last
     where live.value is distinct from last.value";

/// Whoever comes second waits for the first: a value is never sealed with a key that is destroyed before it is committed.
#[tokio::test]
async fn writers_and_erasures_of_a_subject_wait_for_each_other() {
    let world = people().await;
    let made = world
        .alice
        .post("/records/people", json!({"phone": "555-first"}))
        .await
        .expect(201);
    let (id, account) = (made["id"].as_str().expect("an id"), world.account_id("alice"));
    let visit = format!(
        "insert into snackbase.col_visits (account_id, person, note) values ('{account}', '{id}', '555-visit')"
    );
    let erase = format!("select snackbase.subject_erase('{account}', '{id}')");
    let (first, watcher) = (world.database.superuser().await, world.database.superuser().await);
    for (former, latter, left) in [(&visit, &erase, "0"), (&erase, &visit, "1")] {
        // There is a key, which either of the two has to hold.
        watcher.batch_execute(&visit).await.expect("a visit before");
        first
            .batch_execute(&format!("begin; {former}"))
            .await
            .expect("the first");
        let second = world.database.superuser().await;
        let pid = second.value("select pg_backend_pid()").await;
        let waits =
            format!("select count(*) from pg_stat_activity where pid = {pid} and wait_event_type = 'Lock'");
        let statement = latter.clone();
        let second = tokio::spawn(async move { second.batch_execute(&statement).await });
        while watcher.value(&waits).await != "1" {
            assert!(!second.is_finished(), "{latter} did not wait for {former}");
            tokio::task::yield_now().await;
        }
        first.batch_execute("commit").await.expect("the first");
        second.await.expect("no panic").expect("the second");
        assert_eq!(watcher.value(TORN).await, "0", "{latter} after {former}");
        let visits = "select count(*) from snackbase.col_visits where note is not null";
        assert_eq!(watcher.value(visits).await, left, "{latter} after {former}");
    }
    assert_eq!(world.audit_findings().await, [""; 0]);
}

#[tokio::test]
async fn what_is_written_while_a_subject_is_erased_is_erased_or_readable_but_never_between() {
    let world = people().await;
    let made = world
        .alice
        .post("/records/people", json!({"phone": "555-first"}))
        .await
        .expect(201);
    let id = made["id"].as_str().expect("an id").to_owned();
    let subject = json!({"account_id": world.account_id("alice"), "subject": id});

    let writing = Arc::new(AtomicBool::new(true));
    let eraser = {
        let (root, subject, writing) = (world.root.clone(), subject.clone(), writing.clone());
        tokio::spawn(async move {
            let (mut done, mut destroyed) = (0, 0);
            while writing.load(Ordering::Relaxed) || done < ERASURES {
                let answer = root.post("/admin/subjects/erase", subject.clone()).await;
                // A deadlock with a writer ends for one of the two, who may try again.
                assert!([200, 503].contains(&answer.status), "{}", answer.text);
                if answer.status == 200 {
                    done += 1;
                    destroyed += answer.json["keys_destroyed"].as_u64().expect("a number");
                }
            }
            (done, destroyed)
        })
    };
    let write = |writer: usize| {
        let (alice, id) = (world.alice.clone(), id.clone());
        async move {
            let mut written = 0;
            for number in 0..WRITES {
                let text = format!("555-{writer}-{number}");
                let answer = match number % 3 {
                    0 => {
                        alice
                            .post("/records/visits", json!({"person": id, "note": text}))
                            .await
                    }
                    _ => {
                        let path = format!("/records/people/{id}");
                        alice.patch(&path, json!({ "phone": text })).await
                    }
                };
                assert!([200, 201, 503].contains(&answer.status), "{}", answer.text);
                written += usize::from(answer.status < 300);
            }
            written
        }
    };
    let written: usize = join_all((0..WRITERS).map(write)).await.into_iter().sum();
    writing.store(false, Ordering::Relaxed);
    let (done, destroyed) = eraser.await.expect("the eraser");
    assert!(
        written > WRITERS && done >= ERASURES && destroyed > 0,
        "{written} {done} {destroyed}"
    );

    let superuser = world.database.superuser().await;
    let one = async |statement: &str| superuser.value(statement).await;
    assert_eq!(world.audit_findings().await, [""; 0]);
    // What stands in a record is what the trail says last, readable; what was cleared is readable nowhere.
    assert_eq!(one(TORN).await, "0", "a live value whose key is gone");
    assert_eq!(
        one("select count(*) <= 1 from snackbase.subject_keys where secret is not null").await,
        "t"
    );
    assert_eq!(
        one(
            "select (select count(*) from snackbase.subject_keys where secret is null) =
                    (select coalesce(sum(cardinality(key_ids)), 0) from snackbase.subject_erasures)"
        )
        .await,
        "t",
        "every destroyed key is noted"
    );
    // Nobody writes any more: one erasure, and nothing of it all can be read.
    world
        .root
        .post("/admin/subjects/erase", subject)
        .await
        .expect(200);
    for path in [
        "/audit-logs?table_name=col_people&limit=500",
        "/audit-logs?table_name=col_visits&limit=500",
    ] {
        let trail = world.root.get(path).await;
        assert!(
            trail.text.contains("[erased]") && !trail.text.contains("555-"),
            "{}",
            trail.text
        );
    }
    for table in ["col_people", "col_visits"] {
        assert_eq!(
            one(&format!(
                "select count(*) from snackbase.{table} t where t::text like '%555-%'"
            ))
            .await,
            "0"
        );
    }
    assert_eq!(world.audit_findings().await, [""; 0]);
}
