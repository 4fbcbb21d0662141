//! What many connections at once must not break.

mod callers;
mod erasure;
mod ledger;
mod schema;
mod tokens;

use std::collections::{BTreeMap, BTreeSet};

use futures_util::future::join_all;
use serde_json::json;
use snackbase_e2e::{Answer, World};

/// How often each status came.
fn tally(answers: &[Answer]) -> BTreeMap<u16, usize> {
    answers.iter().fold(BTreeMap::new(), |mut counts, answer| {
        *counts.entry(answer.status).or_default() += 1;
        counts
    })
}

#[tokio::test]
async fn fifty_accounts_at_once_get_fifty_codes() {
    let world = World::new().await;
    let create = |number: usize| {
        let root = world.root.clone();
        async move {
            root.post("/accounts", json!({"name": format!("Parallel {number}")}))
                .await
        }
    };
    let answers = join_all((0..50).map(create)).await;
    let codes: BTreeSet<String> = answers
        .into_iter()
        .map(|answer| {
            answer.expect(201)["account_code"]
                .as_str()
                .expect("a code")
                .to_owned()
        })
        .collect();
    let expected: BTreeSet<String> = (3..53).map(|number| format!("AA{number:04}")).collect();
    assert_eq!(codes, expected, "no gap, no double");
}

#[tokio::test]
async fn one_slug_is_registered_once() {
    let world = World::new().await;
    let register = |number: usize| {
        let api = world.gateway.api();
        let body = json!({"email": format!("u{number}@example.com"), "password": "Correct-Horse-7-Battery", "account_name": "Same"});
        async move { api.post("/auth/register", body).await }
    };
    let answers = join_all((0..12).map(register)).await;
    assert_eq!(tally(&answers), BTreeMap::from([(201, 1), (409, 11)]));
}

#[tokio::test]
async fn one_unique_value_is_stored_once() {
    let world = World::new().await;
    world
        .define(json!({"name": "seats", "fields": [{"name": "number", "type": "text", "unique": true}], "create_rule": "", "list_rule": ""}))
        .await;
    let book = |_| {
        let alice = world.alice.clone();
        async move { alice.post("/records/seats", json!({"number": "1A"})).await }
    };
    let answers = join_all((0..20).map(book)).await;
    assert_eq!(tally(&answers), BTreeMap::from([(201, 1), (400, 19)]));
    for answer in answers.iter().filter(|answer| answer.status == 400) {
        assert_eq!(answer.codes(), ["number:not_unique"]);
    }
    assert_eq!(world.alice.get("/records/seats").await.expect(200)["total"], 1);
}

#[tokio::test]
async fn a_refresh_token_is_spent_once() {
    let world = World::new().await;
    let spend = |_| {
        let api = world.gateway.api();
        let body = json!({"refresh_token": world.people["bob"]["refresh_token"]});
        async move { api.post("/auth/refresh", body).await }
    };
    let answers = join_all((0..10).map(spend)).await;
    assert_eq!(tally(&answers), BTreeMap::from([(200, 1), (401, 9)]));
    let renewed = answers
        .iter()
        .find(|answer| answer.status == 200)
        .expect("one succeeded");
    let token = renewed.json["token"].as_str().expect("a token");
    world
        .gateway
        .api()
        .with_token(token)
        .get("/auth/me")
        .await
        .expect(200);
}

#[tokio::test]
async fn the_trail_of_one_record_never_forks() {
    let world = World::new().await;
    world.rules("posts", json!({"update_rule": ""})).await;
    let made = world
        .alice
        .post("/records/posts", json!({"title": "start"}))
        .await
        .expect(201);
    let id = made["id"].as_str().expect("an id");
    let path = format!("/records/posts/{id}");
    let edit = |number: usize| {
        let (api, path) = (
            if number.is_multiple_of(2) {
                world.alice.clone()
            } else {
                world.bob.clone()
            },
            path.clone(),
        );
        async move { api.patch(&path, json!({"rating": number})).await }
    };
    let answers = join_all((0..100).map(edit)).await;
    assert_eq!(tally(&answers), BTreeMap::from([(200, 100)]));
    let superuser = world.database.superuser().await;
    let forks = format!(
        "select count(*) || ' changes, ' || count(distinct previous_hash) || ' predecessors'
         from snackbase.audit_change where record_id = '{id}'"
    );
    assert_eq!(superuser.value(&forks).await, "101 changes, 100 predecessors");
    assert_eq!(world.audit_findings().await, [""; 0]);
}

#[tokio::test]
async fn a_record_that_is_created_again_continues_its_history() {
    let world = World::new().await;
    let account = world.account_id("alice");
    for (number, isolation) in ["read committed", "repeatable read", "serializable"]
        .into_iter()
        .enumerate()
    {
        let id = format!("00000000-0000-4000-8000-00000000000{number}");
        let create = format!(
            "insert into snackbase.col_posts (id, account_id, title) values ('{id}', '{account}', 'x')"
        );
        let early = world.database.superuser().await;
        let other = world.database.superuser().await;
        early
            .batch_execute(&format!("begin isolation level {isolation}; select 1"))
            .await
            .expect("begins, with a snapshot from before");
        other.batch_execute(&create).await.expect("created");
        let delete = format!("delete from snackbase.col_posts where id = '{id}'");
        other.batch_execute(&delete).await.expect("deleted");
        early
            .batch_execute(&format!("{create}; commit"))
            .await
            .unwrap_or_else(|error| panic!("{isolation}: {error}"));
        let history = format!(
            "select string_agg(operation || record_version, ' ' order by id) from snackbase.audit_change where record_id = '{id}'"
        );
        assert_eq!(other.value(&history).await, "CREATE1 DELETE2 CREATE3");
    }
    assert_eq!(world.audit_findings().await, [""; 0]);
}

#[tokio::test]
async fn nothing_stays_on_a_pooled_connection() {
    let world = World::with(&[("SNACKBASE_DB_POOL_SIZE", "1")]).await;
    world.rules("posts", json!({"list_rule": "@owns_record()"})).await;
    for (api, title) in [
        (&world.alice, "of alice"),
        (&world.bob, "of bob"),
        (&world.carol, "of carol"),
    ] {
        api.post("/records/posts", json!({"title": title}))
            .await
            .expect(201);
    }
    let ask = |turn: usize| {
        let (api, title) = match turn % 4 {
            0 => (world.alice.clone(), Some("of alice")),
            1 => (world.bob.clone(), Some("of bob")),
            2 => (world.carol.clone(), Some("of carol")),
            _ => (world.anonymous.clone(), None),
        };
        async move {
            let answer = api.get("/records/posts").await;
            match title {
                Some(title) => {
                    assert_eq!(answer.json["total"], 1, "{}", answer.text);
                    assert_eq!(answer.json["items"][0]["title"], title);
                }
                None => assert_eq!(answer.status, 401, "{}", answer.text),
            }
        }
    };
    join_all((0..80).map(ask)).await;
}

#[tokio::test]
async fn a_session_forgets_its_caller_with_the_transaction() {
    let world = World::new().await;
    world
        .alice
        .post("/records/posts", json!({"title": "mine", "status": "published"}))
        .await
        .expect(201);
    let session = world.database.gateway_role().await;
    let caller =
        json!({"kind": "user", "user_id": world.user_id("alice"), "account_id": world.account_id("alice")});
    let list = format!(
        "select case when snackbase.enter('{caller}', 'list') then snackbase.records_list('posts', null, null, null, null, null)->>'total' end"
    );
    for _ in 0..3 {
        assert_eq!(session.value(&list).await, "1");
        assert_eq!(session.value("select current_user").await, "snackbase_gateway");
        assert_eq!(session.value("select snackbase.current_account_id()").await, "∅");
        assert_eq!(session.value("select snackbase.current_user_id()").await, "∅");
        assert_eq!(session.value("select snackbase.is_authenticated()").await, "f");
        assert_eq!(
            session.state_of("select * from snackbase.col_posts").await,
            "42501"
        );
        assert_eq!(
            session
                .state_of("select snackbase.records_list('posts', null, null, null, null, null)")
                .await,
            "42501"
        );
    }
    // A transaction that fails half way leaves nothing either.
    session.batch_execute("begin").await.expect("begin");
    session
        .batch_execute(&format!("select snackbase.enter('{caller}', 'list')"))
        .await
        .expect("enter");
    assert_eq!(session.state_of("select 1 / 0").await, "22012");
    session.batch_execute("rollback").await.expect("rollback");
    assert_eq!(session.value("select snackbase.current_account_id()").await, "∅");
    assert_eq!(session.value("select current_user").await, "snackbase_gateway");
}

#[tokio::test]
async fn lost_connections_are_replaced() {
    let world = World::with(&[("SNACKBASE_DB_POOL_SIZE", "4")]).await;
    world.alice.get("/records/posts").await.expect(200);
    let superuser = world.database.superuser().await;
    superuser
        .batch_execute("select pg_terminate_backend(pid) from pg_stat_activity where usename = 'snackbase_gateway' and datname = current_database()")
        .await
        .expect("a superuser may end sessions");
    let mut answers = Vec::new();
    for _ in 0..10 {
        answers.push(world.alice.get("/records/posts").await);
    }
    assert!(
        answers
            .iter()
            .all(|answer| answer.status == 200 || answer.status == 503),
        "{:?}",
        tally(&answers)
    );
    assert_eq!(answers.last().map(|answer| answer.status), Some(200));
}

#[tokio::test]
async fn a_statement_larger_than_memory_is_recorded() {
    let world = World::new().await;
    let superuser = world.database.superuser().await;
    // The rows a statement wrote go to disk once they exceed work_mem; the recorder reads them in batches.
    superuser
        .batch_execute(&format!(
            "set work_mem = '64kB';
             insert into snackbase.col_posts (account_id, title, secret)
             select '{}', 'title ' || n, repeat('x', 200) from generate_series(1, 5000) as n;
             update snackbase.col_posts set rating = 1;
             delete from snackbase.col_posts;",
            world.account_id("alice")
        ))
        .await
        .expect("a large statement is a statement");
    let entries = "select string_agg(operation || ' ' || n, ', ' order by operation) from (
        select operation, count(*) as n from snackbase.audit_change where table_name = 'col_posts' group by operation) as o";
    assert_eq!(
        superuser.value(entries).await,
        "CREATE 5000, DELETE 5000, UPDATE 5000"
    );
    assert_eq!(world.audit_findings().await, [""; 0]);
}

#[tokio::test]
async fn a_client_that_hangs_up_cancels_its_own_statement_only() {
    let world = World::with(&[("SNACKBASE_DB_POOL_SIZE", "1")]).await;
    world
        .define(json!({"name": "notes", "fields": [{"name": "title", "type": "text"}], "list_rule": ""}))
        .await;
    let backend = "select coalesce(min(pid), 0) from pg_stat_activity
                    where usename = 'snackbase_gateway' and datname = current_database()";
    let watcher = world.database.superuser().await;
    let before = watcher.value(backend).await;
    let locker = world.database.superuser().await;
    locker
        .batch_execute("begin; lock table snackbase.col_notes")
        .await
        .expect("a lock");
    let request = tokio::spawn({
        let alice = world.alice.clone();
        async move { alice.get("/records/notes").await }
    });
    let waiting = "select count(*) from pg_stat_activity
                    where usename = 'snackbase_gateway' and datname = current_database() and wait_event_type = 'Lock'";
    while watcher.value(waiting).await != "1" {
        tokio::task::yield_now().await;
    }
    request.abort();
    // The cancellation may reach the server late, so nobody else may get this connection: the next request has another.
    let closed = async {
        while watcher.value(backend).await == before {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(std::time::Duration::from_secs(30), closed)
        .await
        .expect("the connection is closed");
    locker.batch_execute("rollback").await.expect("no lock");
    world.alice.get("/records/notes").await.expect(200);
    assert_ne!(watcher.value(backend).await, before);
}

#[tokio::test]
async fn a_rule_saved_while_its_macro_changes_is_never_stale() {
    let world = World::new().await;
    let made = world
        .root
        .post("/macros", json!({"name": "low", "sql_query": "rating < 1"}))
        .await
        .expect(201);
    let path = format!("/macros/{}", made["id"]);
    world.rules("posts", json!({"list_rule": "@low"})).await;
    let change = |number: usize| {
        let (root, path) = (world.root.clone(), path.clone());
        async move {
            match number % 3 {
                0 => {
                    root.put(&path, json!({"sql_query": format!("rating < {number}")}))
                        .await
                }
                1 => {
                    root.put(
                        "/collections/posts/rules",
                        json!({"list_rule": format!("@low && {number} = {number}")}),
                    )
                    .await
                }
                _ => {
                    let fields = json!({"fields": [{"name": "a", "type": "number"}, {"name": "rating", "type": "number"}],
                                        "name": format!("more{number}"), "view_rule": "@low"});
                    root.post("/collections", fields).await
                }
            }
        }
    };
    let answers = join_all((0..36).map(change)).await;
    let counts = tally(&answers);
    assert!(
        counts.keys().all(|status| [200, 201, 503].contains(status)),
        "{counts:?}"
    );
    // What the macro says now is what every policy says.
    let superuser = world.database.superuser().await;
    let stale = superuser
        .value(
            "select count(*) || ' of ' || (count(*) filter (where position(m.wanted in pg_get_expr(p.polqual, p.polrelid)) = 0))
               from pg_policy p,
                    (select replace(sql_query, 'rating < ', 'rating < (') || ')::double precision' as wanted
                       from snackbase.macros where name = 'low') m
              where pg_get_expr(p.polqual, p.polrelid) like '%rating%' and p.polname in ('list', 'view')
                and p.polrelid <> 'snackbase.col_posts'::regclass or (p.polname = 'list' and p.polrelid = 'snackbase.col_posts'::regclass)",
        )
        .await;
    assert!(stale.ends_with(" of 0") && !stale.starts_with("0 "), "{stale}");
}
