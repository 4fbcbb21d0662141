//! Schemas that change while everybody works.

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
};

use futures_util::future::{join, join_all};
use reqwest::Method;
use serde_json::{Value, json};
use snackbase_e2e::{Answer, Api, Gateway, World};

use super::tally;

/// A second gateway in front of the same database, and the same caller there.
async fn second_gateway(world: &World) -> (Gateway, Api, Api) {
    let gateway = Gateway::start(&world.database, &[]).await;
    let caller = |name: &str| {
        gateway
            .api()
            .with_token(world.people[name]["token"].as_str().expect("a token"))
    };
    let (alice, root) = (caller("alice"), caller("root"));
    (gateway, alice, root)
}

#[tokio::test]
async fn no_request_fails_while_fields_and_rules_change_on_two_gateways() {
    let world = World::new().await;
    let (_second, alice_there, root_there) = second_gateway(&world).await;
    world
        .define(json!({
            "name": "busy", "fields": [{"name": "title", "type": "text"}],
            "list_rule": "", "view_rule": "", "create_rule": "", "update_rule": ""
        }))
        .await;
    let record = world
        .alice
        .post("/records/busy", json!({"title": "seed"}))
        .await
        .expect(201);
    let path = format!("/records/busy/{}", record["id"].as_str().expect("an id"));
    let done = Arc::new(AtomicBool::new(false));
    // How many fields are certainly there: raised when the answer of a change has arrived.
    let known = Arc::new(AtomicU64::new(0));
    let client = |number: usize| {
        let api = if number.is_multiple_of(2) {
            world.alice.clone()
        } else {
            alice_there.clone()
        };
        let (path, done, known) = (path.clone(), done.clone(), known.clone());
        async move {
            let mut statuses: BTreeMap<u16, usize> = BTreeMap::new();
            let mut turn = number / 2;
            while !done.load(Ordering::Relaxed) {
                let expected = known.load(Ordering::SeqCst);
                let answer = match turn % 4 {
                    0 => api.get("/records/busy?filter=title+%3D+%22seed%22&limit=1").await,
                    1 => api.get(&path).await,
                    2 => api.post("/records/busy", json!({"title": "more"})).await,
                    _ => api.patch(&path, json!({"title": "seed"})).await,
                };
                *statuses.entry(answer.status).or_default() += 1;
                turn += 1;
                assert!(
                    [200, 201].contains(&answer.status),
                    "{} {} {}",
                    answer.request,
                    answer.status,
                    answer.text
                );
                // No definition may be older than an answer that was given before the request.
                let shown = if answer.json.get("items").is_some() {
                    &answer.json["items"][0]
                } else {
                    &answer.json
                };
                for field in 0..expected {
                    assert!(
                        shown.get(format!("extra_{field}")).is_some(),
                        "{} lacks extra_{field}: {}",
                        answer.request,
                        answer.text
                    );
                }
            }
            statuses
        }
    };
    let clients = tokio::spawn(join_all((0..8).map(client).collect::<Vec<_>>()));
    let mut fields = vec![json!({"name": "title", "type": "text"})];
    for number in 0..12_u64 {
        fields.push(json!({
            "name": format!("extra_{number}"), "type": "number", "default": number,
            "options": {"index": number % 4 == 1}
        }));
        let (here, there) = if number % 2 == 0 {
            (&world.root, &root_there)
        } else {
            (&root_there, &world.root)
        };
        here.put("/collections/busy", json!({"schema": fields}))
            .await
            .expect(200);
        known.store(number + 1, Ordering::SeqCst);
        let rule = if number % 2 == 0 {
            "title = \"seed\" || title != \"never\""
        } else {
            ""
        };
        there
            .put(
                "/collections/busy/rules",
                json!({"list_rule": rule, "update_rule": rule}),
            )
            .await
            .expect(200);
    }
    done.store(true, Ordering::Relaxed);
    let mut total: BTreeMap<u16, usize> = BTreeMap::new();
    for statuses in clients.await.expect("no client failed") {
        for (status, count) in statuses {
            *total.entry(status).or_default() += count;
        }
    }
    assert!(
        total.values().sum::<usize>() > 100,
        "the load was none: {total:?}"
    );
    assert_eq!(world.audit_findings().await, [""; 0]);
}

#[tokio::test]
async fn a_changed_rule_binds_the_next_request_everywhere() {
    let world = World::new().await;
    let (_second, alice_there, root_there) = second_gateway(&world).await;
    world
        .define(json!({"name": "doors", "fields": [{"name": "a", "type": "text"}], "list_rule": "", "create_rule": ""}))
        .await;
    for turn in 0..20 {
        let (root, here, there) = if turn % 2 == 0 {
            (&world.root, &world.alice, &alice_there)
        } else {
            (&root_there, &alice_there, &world.alice)
        };
        let rule = if turn % 4 < 2 { Value::Null } else { json!("") };
        let expected = if rule.is_null() { 403 } else { 200 };
        root.put("/collections/doors/rules", json!({"list_rule": rule}))
            .await
            .expect(200);
        let answers = join_all((0..6).map(|number: usize| {
            let api = if number.is_multiple_of(2) {
                here.clone()
            } else {
                there.clone()
            };
            async move { api.get("/records/doors").await }
        }))
        .await;
        assert_eq!(tally(&answers), BTreeMap::from([(expected, 6)]), "turn {turn}");
    }
}

#[tokio::test]
async fn one_name_is_created_once() {
    let world = World::new().await;
    let (_second, _, root_there) = second_gateway(&world).await;
    let create = |number: usize| {
        let root = if number.is_multiple_of(2) {
            world.root.clone()
        } else {
            root_there.clone()
        };
        let name = if number.is_multiple_of(3) {
            "Raced"
        } else {
            "raced"
        };
        async move {
            root.post(
                "/collections",
                json!({"name": name, "fields": [{"name": "a", "type": "text"}]}),
            )
            .await
        }
    };
    let answers = join_all((0..8).map(create)).await;
    assert_eq!(tally(&answers), BTreeMap::from([(201, 1), (409, 7)]));
    for answer in answers.iter().filter(|answer| answer.status == 409) {
        assert_eq!(
            json!([answer.json["error"], answer.json["field"]]),
            json!(["Conflict", "name"]),
            "{}",
            answer.text
        );
    }
}

#[tokio::test]
async fn a_target_is_either_referred_to_or_gone() {
    let world = World::new().await;
    for round in 0..12 {
        let target = format!("target{round}");
        world
            .define(json!({"name": target, "fields": [{"name": "a", "type": "text"}]}))
            .await;
        let link = json!({"name": format!("link{round}"), "fields": [
            {"name": "to", "type": "reference", "collection": target, "on_delete": "cascade"}]});
        let path = format!("/collections/{target}");
        let (created, dropped) = join(world.root.post("/collections", link), world.root.delete(&path)).await;
        match (created.status, dropped.status) {
            (201, 409) => assert!(dropped.json["referenced_by"].is_array(), "{}", dropped.text),
            (400, 200) => assert_eq!(
                created.codes(),
                ["schema[0].collection:reference_collection_not_found"]
            ),
            other => panic!("{other:?} {} {}", created.text, dropped.text),
        }
    }
}

#[tokio::test]
async fn changes_of_one_collection_wait_for_each_other() {
    let world = World::new().await;
    let (_second, _, root_there) = second_gateway(&world).await;
    world
        .define(json!({"name": "shared", "fields": [{"name": "a", "type": "text"}], "create_rule": ""}))
        .await;
    world
        .alice
        .post("/records/shared", json!({"a": "x"}))
        .await
        .expect(201);
    // Each changes another key: a change that was read before another one was stored would undo it.
    let keys = [
        "list_rule",
        "view_rule",
        "create_rule",
        "update_rule",
        "delete_rule",
    ];
    let lists = ["list_fields", "view_fields", "create_fields", "update_fields"];
    let rule = |number: usize| {
        let root = if number.is_multiple_of(2) {
            world.root.clone()
        } else {
            root_there.clone()
        };
        let body = if number < 5 {
            json!({keys[number]: "a = \"x\""})
        } else {
            json!({lists[number - 5]: ["a"]})
        };
        async move { root.put("/collections/shared/rules", body).await }
    };
    let answers = join_all((0..9).map(rule)).await;
    assert_eq!(
        tally(&answers),
        BTreeMap::from([(200, 9)]),
        "{:?}",
        answers.iter().map(|a| &a.text).collect::<Vec<_>>()
    );
    let rules = world.root.get("/collections/shared/rules").await.expect(200);
    for key in keys {
        assert_eq!(rules[key], "a = \"x\"", "{key}");
    }
    for key in lists {
        assert_eq!(rules[key], "[\"a\"]", "{key}");
    }
    // Changes that count records take no lock on the table before it is their turn.
    let require = |number: usize| {
        let root = if number.is_multiple_of(2) {
            world.root.clone()
        } else {
            root_there.clone()
        };
        let body = json!({"schema": [{"name": "a", "type": "text", "required": number % 4 < 2, "unique": number.is_multiple_of(3)}]});
        async move { root.put("/collections/shared", body).await }
    };
    let answers = join_all((0..12).map(require)).await;
    assert_eq!(
        tally(&answers),
        BTreeMap::from([(200, 12)]),
        "{:?}",
        answers.iter().map(|a| &a.text).collect::<Vec<_>>()
    );
}

#[tokio::test]
async fn a_busy_table_is_a_matter_of_patience() {
    let world = World::new().await;
    world
        .define(json!({"name": "held", "fields": [{"name": "a", "type": "text"}], "list_rule": ""}))
        .await;
    let holder = world.database.superuser().await;
    holder
        .batch_execute("begin; select * from snackbase.col_held")
        .await
        .expect("a lock");
    let wider = json!({"schema": [{"name": "a", "type": "text"}, {"name": "b", "type": "text"}]});
    let change = {
        let root = world.root.clone();
        let wider = wider.clone();
        tokio::spawn(async move { root.put("/collections/held", wider).await })
    };
    // Readers that come meanwhile wait as long as the change does, and no longer.
    let watcher = world.database.superuser().await;
    let waiting =
        "select count(*) from pg_locks where not granted and relation = 'snackbase.col_held'::regclass";
    while watcher.value(waiting).await != "1" {
        tokio::task::yield_now().await;
    }
    let (read, changed) = join(world.alice.get("/records/held"), change).await;
    read.expect(200);
    let answer: Answer = changed.expect("the request ends");
    assert_eq!(answer.header("retry-after"), "1");
    assert_eq!(answer.json["code"], "retry", "{}", answer.text);
    answer.expect(503);
    holder.batch_execute("rollback").await.expect("no lock");
    let kept = world.root.get("/collections/held").await.expect(200);
    assert_eq!(
        kept["schema"].as_array().map(Vec::len),
        Some(1),
        "nothing was done by halves"
    );
    world.root.put("/collections/held", wider).await.expect(200);
}

#[tokio::test]
async fn what_comes_in_between_the_count_and_the_change_is_not_lost() {
    let world = World::new().await;
    for name in ["old", "new"] {
        world
            .define(json!({"name": format!("{name}_home"), "create_rule": "", "fields": [{"name": "a", "type": "text"}]}))
            .await;
    }
    let link =
        |to: &str| json!({"name": "home", "type": "reference", "collection": to, "on_delete": "cascade"});
    world
        .define(json!({"name": "movers", "fields": [{"name": "size", "type": "text"}, link("old_home")]}))
        .await;
    let home = world.alice.post("/records/old_home", json!({})).await.expect(201);
    let writer = world.database.superuser().await;
    let watcher = world.database.superuser().await;
    let account = world.account_id("alice");
    let fields = |kind: &str, to: &str| json!([{"name": "size", "type": kind}, link(to)]);
    let put = (
        Method::PUT,
        "/collections/movers",
        json!({"schema": fields("text", "new_home")}),
    );
    let generate = (
        Method::POST,
        "/migrations/generate",
        json!({"confirm": true, "collections": [{"name": "movers", "schema": fields("number", "old_home")}]}),
    );
    let insert = format!(
        "begin; insert into snackbase.col_movers (account_id, size, home) values ('{account}', 'large', '{}')",
        home["id"].as_str().expect("an id")
    );
    for (code, (method, path, body)) in [("reference_violated", put), ("type_not_convertible", generate)] {
        writer
            .batch_execute(&insert)
            .await
            .expect("a record that nobody sees yet");
        let root = world.root.clone();
        let change = tokio::spawn(async move { root.send(method, path, Some(&body.to_string())).await });
        let waiting =
            "select count(*) from pg_locks where not granted and relation = 'snackbase.col_movers'::regclass";
        while watcher.value(waiting).await == "0" {
            tokio::task::yield_now().await;
        }
        writer.batch_execute("commit").await.expect("it is there");
        let answer = change.await.expect("the request ends");
        assert!(
            answer.codes().iter().any(|found| found.ends_with(code)),
            "{code}: {}",
            answer.text
        );
        answer.expect(400);
        let kept = watcher
            .value(
                "select string_agg(distinct size || ' ' || (home is not null), '') from snackbase.col_movers",
            )
            .await;
        assert_eq!(kept, "large true");
        writer
            .batch_execute("delete from snackbase.col_movers")
            .await
            .expect("tidy");
    }
    assert_eq!(world.audit_findings().await, [""; 0]);
}

#[tokio::test]
async fn a_reader_of_a_view_and_a_change_do_not_wait_for_each_other() {
    let world = World::new().await;
    world
        .define(json!({"name": "shown", "fields": [{"name": "a", "type": "text"}], "list_rule": ""}))
        .await;
    let superuser = world.database.superuser().await;
    let login = format!("bi_{}", world.database.name);
    superuser
        .batch_execute(&format!(
            "select snackbase.bi_role_create('{login}', 'acme', 'bi-password-7')"
        ))
        .await
        .expect("a login");
    let done = Arc::new(AtomicBool::new(false));
    let reader = |session: snackbase_e2e::Session| {
        let done = done.clone();
        async move {
            let mut turns = 0;
            while !done.load(Ordering::Relaxed) {
                assert_eq!(
                    session.state_of("select count(*) from snackbase_bi.shown").await,
                    "00000"
                );
                turns += 1;
            }
            turns
        }
    };
    let mut readers = Vec::new();
    for _ in 0..3 {
        let session = world
            .database
            .login(&login, "bi-password-7")
            .await
            .expect("login");
        readers.push(tokio::spawn(reader(session)));
    }
    let mut fields = vec![json!({"name": "a", "type": "text"})];
    for number in 0..8 {
        fields.push(json!({"name": format!("f{number}"), "type": "number", "default": 1}));
        world
            .root
            .put("/collections/shown", json!({"schema": fields}))
            .await
            .expect(200);
        world
            .rules(
                "shown",
                json!({"list_rule": if number % 2 == 0 { "a IS NULL" } else { "" }}),
            )
            .await;
    }
    done.store(true, Ordering::Relaxed);
    for reader in readers {
        assert!(reader.await.expect("no read failed") > 0);
    }
}

#[tokio::test]
async fn references_change_while_both_sides_are_written() {
    let world = World::new().await;
    world
        .define(json!({
            "name": "shelves", "create_rule": "", "delete_rule": "", "list_rule": "", "fields": [{"name": "a", "type": "text"}]
        }))
        .await;
    let books = |action: &str, keeper: &str| {
        json!([
            {"name": "shelf", "type": "reference", "collection": "shelves", "on_delete": action},
            {"name": "keeper", "type": "user", "on_delete": keeper}
        ])
    };
    world
        .define(json!({"name": "books", "create_rule": "", "list_rule": "", "fields": books("cascade", "restrict")}))
        .await;
    let done = Arc::new(AtomicBool::new(false));
    let client = |number: usize| {
        let (api, done) = (world.alice.clone(), done.clone());
        let keeper = world.user_id("bob").to_owned();
        async move {
            let mut turns = 0;
            while !done.load(Ordering::Relaxed) {
                let shelf = api.post("/records/shelves", json!({"a": "x"})).await.expect(201);
                let path = format!("/records/shelves/{}", shelf["id"].as_str().expect("an id"));
                if number.is_multiple_of(2) {
                    let book = json!({"shelf": shelf["id"], "keeper": keeper});
                    api.post("/records/books", book).await.expect(201);
                    api.get("/records/books?limit=3").await.expect(200);
                } else {
                    api.delete(&path).await.expect(204);
                }
                turns += 1;
            }
            turns
        }
    };
    let clients = tokio::spawn(join_all((0..6).map(client).collect::<Vec<_>>()));
    for number in 0..10 {
        let (action, keeper) = match number % 3 {
            0 => ("set_null", "set_null"),
            1 => ("restrict", "restrict"),
            _ => ("cascade", "set_null"),
        };
        world
            .root
            .put("/collections/books", json!({"schema": books(action, keeper)}))
            .await
            .expect(200);
    }
    done.store(true, Ordering::Relaxed);
    let turns: usize = clients.await.expect("no request failed").into_iter().sum();
    assert!(turns > 20, "{turns}");
    assert_eq!(world.audit_findings().await, [""; 0]);
}
