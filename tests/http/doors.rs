//! Every spelling of every route of records, and the traps of lists that only many requests show.

use std::collections::BTreeSet;

use reqwest::Method;
use serde_json::{Value, json};
use snackbase_e2e::World;

fn open(name: &str) -> Value {
    json!({"name": name, "fields": [{"name": "title", "type": "text"}, {"name": "n", "type": "number"}],
        "list_rule": "", "view_rule": "", "create_rule": "", "update_rule": "", "delete_rule": ""})
}

#[tokio::test]
async fn every_route_of_records_has_four_spellings() {
    let world = World::new().await;
    world.define(open("items")).await;
    for prefix in ["/records/items", "/items"] {
        for slash in ["", "/"] {
            let at = |rest: &str| match rest.split_once('?') {
                Some((path, query)) => format!("{prefix}{path}{slash}?{query}"),
                None => format!("{prefix}{rest}{slash}"),
            };
            let send = async |method: Method, rest: &str, body: Value, status: u16| {
                let body = (!body.is_null()).then(|| body.to_string());
                world
                    .alice
                    .send(method, &at(rest), body.as_deref())
                    .await
                    .expect(status)
            };
            let made = send(Method::POST, "", json!({"title": "t", "n": 1}), 201).await;
            let one = format!("/{}", made["id"].as_str().expect("an id"));
            assert_eq!(
                send(Method::GET, "?filter=n+%3D+1&perPage=1", Value::Null, 200).await["total"],
                1
            );
            assert_eq!(
                send(Method::GET, "?cursor=", Value::Null, 200).await["has_more"],
                false
            );
            assert_eq!(send(Method::GET, &one, Value::Null, 200).await["title"], "t");
            assert_eq!(
                send(Method::PUT, &one, json!({"title": "u"}), 200).await["title"],
                "u"
            );
            assert_eq!(send(Method::PATCH, &one, json!({"n": 2}), 200).await["n"], 2);
            let sum = send(Method::GET, "/aggregate?functions=sum(n)", Value::Null, 200).await;
            assert_eq!(sum["results"][0]["sum_n"], 2);
            let batch = send(Method::POST, "/batch", json!({"records": [{"n": 3}]}), 201).await;
            let id = batch["created"][0]["id"].clone();
            let changed = send(
                Method::PATCH,
                "/batch",
                json!({"records": [{"id": id, "data": {"n": 4}}]}),
                200,
            )
            .await;
            assert_eq!(changed["updated"][0]["n"], 4);
            assert_eq!(
                send(Method::DELETE, "/batch", json!({"ids": [id]}), 200).await["count"],
                1
            );
            send(Method::DELETE, &one, Value::Null, 204).await;
            send(Method::GET, &one, Value::Null, 404).await;
        }
    }
}

/// The names of the contract (records §1). Some are routes today, some are not, and none is a collection's short path.
#[tokio::test]
async fn a_collection_named_like_a_router_is_reached_under_records_only() {
    let world = World::new().await;
    for name in [
        "auth",
        "accounts",
        "users",
        "roles",
        "permissions",
        "groups",
        "invitations",
        "collections",
        "rules",
        "macros",
        "codelists",
        "records",
        "files",
        "realtime",
        "dashboard",
        "admin",
        "migrations",
        "webhooks",
        "hooks",
        "endpoints",
        "functions",
        "workflows",
        "backups",
    ] {
        world.define(open(name)).await;
        let made = world
            .alice
            .post(&format!("/records/{name}"), json!({"title": "hidden here"}))
            .await
            .expect(201);
        assert_eq!(
            world.alice.get(&format!("/records/{name}")).await.expect(200)["total"],
            1,
            "{name}"
        );
        let id = made["id"].as_str().expect("an id");
        for path in [
            format!("/{name}"),
            format!("/{name}/"),
            format!("/{name}/{id}"),
            format!("/{name}/aggregate?functions=count()"),
        ] {
            let answer = world.alice.get(&path).await;
            assert!(
                !answer.text.contains("hidden here") && !answer.text.contains("\"count\""),
                "{path}: {}",
                answer.text
            );
        }
        let body = json!({"records": [{"title": "x"}]}).to_string();
        let answer = world
            .alice
            .send(Method::POST, &format!("/{name}/batch"), Some(&body))
            .await;
        assert!(answer.status >= 400, "{name}: {}", answer.text);
        assert_eq!(
            world.alice.get(&format!("/records/{name}")).await.expect(200)["total"],
            1,
            "{name}"
        );
    }
    for path in ["/x", "/f", "/x/1", "/f/1", "/hooks", "/files/1"] {
        assert_eq!(
            world.alice.get(path).await.expect(404)["code"],
            "no_such_route",
            "{path}"
        );
    }
}

#[tokio::test]
async fn a_stringified_object_is_refused_with_the_cause() {
    let world = World::new().await;
    for path in ["/records/posts", "/records/posts/aggregate"] {
        for text in [
            "[object Object]",
            " [object Object]",
            "[object Object],[object Object]",
        ] {
            let answer = world
                .alice
                .query(
                    path,
                    &[("functions", "count()"), ("filter", text)][usize::from(path.ends_with("posts"))..],
                )
                .await;
            assert_eq!(
                answer.json["error"], "Invalid filter expression",
                "{path} {text}: {}",
                answer.text
            );
            let message = answer.expect(400)["message"]
                .as_str()
                .unwrap_or_default()
                .to_owned();
            assert!(
                message.contains("object") && message.contains("JSON"),
                "{path} {text}: {message}"
            );
        }
    }
}

#[tokio::test]
async fn a_parameter_given_twice_is_refused_where_one_of_them_would_be_ignored() {
    let world = World::new().await;
    for name in ["filter", "sort", "fields", "expand", "cursor", "cursor_before"] {
        let answer = world
            .alice
            .query("/records/posts", &[(name, "title"), (name, "status")])
            .await;
        assert_eq!(
            answer.json["code"], "repeated_parameter",
            "{name}: {}",
            answer.text
        );
        answer.expect(400);
    }
    for name in ["functions", "filter", "group_by", "having"] {
        let query = [("functions", "count()"), (name, "title"), (name, "status")];
        let answer = world.alice.query("/records/posts/aggregate", &query).await;
        assert_eq!(
            answer.json["code"], "repeated_parameter",
            "{name}: {}",
            answer.text
        );
    }
}

#[tokio::test]
async fn rows_with_equal_keys_are_on_one_page_each() {
    let world = World::new().await;
    world.define(open("items")).await;
    for _ in 0..3 {
        let records: Vec<Value> = (0..20).map(|n| json!({"title": "same", "n": n % 2})).collect();
        world
            .alice
            .post("/records/items/batch", json!({"records": records}))
            .await
            .expect(201);
    }
    for sort in ["title", "-title", "n", "-n,title", "nothing", "n,-created_at"] {
        let mut seen = BTreeSet::new();
        for page in 1..=9 {
            // In between, rows move about in the table.
            if page == 4 {
                let superuser = world.database.superuser().await;
                superuser
                    .batch_execute("vacuum full snackbase.col_items")
                    .await
                    .expect("vacuum");
            }
            let list = world
                .alice
                .get(&format!("/records/items?sort={sort}&page={page}&perPage=7"))
                .await
                .expect(200);
            for item in list["items"].as_array().expect("items") {
                assert!(
                    seen.insert(item["id"].to_string()),
                    "{sort}: a row is on two pages"
                );
            }
        }
        assert_eq!(seen.len(), 60, "{sort}: a row is on no page");
    }
}

#[tokio::test]
async fn rows_that_may_be_skipped_are_limited_and_cursors_are_not() {
    let world = World::new().await;
    world.define(open("items")).await;
    world.alice.get("/records/items?skip=100000").await.expect(200);
    for query in [
        "skip=100001",
        "skip=9223372036854775807",
        "page=3335&limit=30",
        "page=92233720368547758",
    ] {
        let answer = world.alice.get(&format!("/records/items?{query}")).await;
        assert_eq!(answer.status, 400, "{query}: {}", answer.text);
        assert!(
            answer.text.contains("100000") && answer.text.contains("cursor"),
            "{query}: {}",
            answer.text
        );
    }
    // With a cursor, skip means nothing.
    world
        .alice
        .get("/records/items?cursor=&skip=100001")
        .await
        .expect(200);
}

#[tokio::test]
async fn a_page_and_its_total_are_of_one_moment() {
    let world = World::new().await;
    world.define(open("items")).await;
    let writer = world.bob.clone();
    let writing = tokio::spawn(async move {
        loop {
            let records: Vec<Value> = (0..10).map(|n| json!({"n": n})).collect();
            let made = writer
                .post("/records/items/batch", json!({"records": records}))
                .await
                .expect(201);
            let ids: Vec<&Value> = made["created"]
                .as_array()
                .expect("records")
                .iter()
                .map(|record| &record["id"])
                .collect();
            let body = json!({"ids": ids}).to_string();
            writer
                .send(Method::DELETE, "/records/items/batch", Some(&body))
                .await
                .expect(200);
        }
    });
    let mut seen = BTreeSet::new();
    for _ in 0..400 {
        let list = world.alice.get("/records/items?limit=5").await.expect(200);
        let shown = list["items"].as_array().expect("items").len();
        assert!(
            matches!((shown, list["total"].as_u64()), (0, Some(0)) | (5, Some(10))),
            "{shown} rows of {}",
            list["total"]
        );
        let cursors = world
            .alice
            .get("/records/items?limit=5&cursor=&include_count=true")
            .await
            .expect(200);
        let shown = cursors["items"].as_array().expect("items").len();
        assert!(
            matches!((shown, cursors["total"].as_u64()), (0, Some(0)) | (5, Some(10))),
            "{shown} rows of {}",
            cursors["total"]
        );
        seen.insert(shown);
    }
    writing.abort();
    assert_eq!(seen.len(), 2, "the lists saw both moments");
}

#[tokio::test]
async fn what_does_not_fit_is_not_repeated() {
    let world = World::new().await;
    world.rules("posts", json!({"delete_rule": ""})).await;
    let secret = "hunter2-hunter2";
    let bodies = [
        (
            &world.alice,
            Method::POST,
            "/records/posts",
            format!("[\"{secret}\"]"),
        ),
        (
            &world.alice,
            Method::POST,
            "/records/posts",
            format!("{{\"title\": \"{secret}\""),
        ),
        (
            &world.alice,
            Method::POST,
            "/records/posts",
            format!("{{\"title\": \"x\", \"id\": \"{secret}\"}}"),
        ),
        (
            &world.alice,
            Method::POST,
            "/records/posts",
            format!("{{\"title\": \"x\", \"rating\": \"{secret}\"}}"),
        ),
        (
            &world.alice,
            Method::POST,
            "/records/posts/batch",
            format!("{{\"records\": \"{secret}\"}}"),
        ),
        (
            &world.alice,
            Method::POST,
            "/records/posts/batch",
            format!("{{\"records\": [\"{secret}\"]}}"),
        ),
        (
            &world.alice,
            Method::DELETE,
            "/records/posts/batch",
            format!("{{\"ids\": {{\"a\": \"{secret}\"}}}}"),
        ),
        (
            &world.alice,
            Method::GET,
            &*format!("/records/posts?limit={secret}"),
            String::new(),
        ),
        (
            &world.alice,
            Method::GET,
            &*format!("/records/posts?cursor={secret}"),
            String::new(),
        ),
        (
            &world.root,
            Method::POST,
            "/collections",
            format!("{{\"name\": [\"{secret}\"], \"fields\": \"{secret}\"}}"),
        ),
        (
            &world.root,
            Method::PUT,
            "/collections/posts/rules",
            format!("{{\"list_rule\": [\"{secret}\"]}}"),
        ),
        (
            &world.root,
            Method::POST,
            "/users",
            format!("{{\"email\": \"{secret}\", \"password\": [\"{secret}\"], \"role_id\": \"{secret}\"}}"),
        ),
        (
            &world.root,
            Method::POST,
            "/macros",
            format!("{{\"name\": [\"{secret}\"], \"sql_query\": {{\"a\": \"{secret}\"}}}}"),
        ),
    ];
    for (caller, method, path, body) in bodies {
        let body = (!body.is_empty()).then_some(body);
        let answer = caller.send(method, path, body.as_deref()).await;
        assert!(
            matches!(answer.status, 400 | 422),
            "{path}: {} {}",
            answer.status,
            answer.text
        );
        assert!(
            !answer.text.contains(secret) && !answer.text.contains("\"input\""),
            "{path}: {}",
            answer.text
        );
    }
}
