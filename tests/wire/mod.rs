//! What a request costs on the wire between gateway and Postgres.

use reqwest::Method;
use serde_json::{Value, json};
use snackbase_e2e::{Proxy, World};

#[tokio::test]
async fn a_request_is_one_round_trip() {
    let proxy = Proxy::start().await;
    let world = World::through(proxy.port, &[("SNACKBASE_DB_POOL_SIZE", "1")]).await;
    world.rules("posts", json!({"delete_rule": ""})).await;
    let record = world
        .alice
        .post("/records/posts", json!({"title": "t"}))
        .await
        .expect(201);
    let path = format!("/records/posts/{}", record["id"].as_str().expect("an id"));
    let requests = [
        (Method::GET, "/records/posts".to_owned(), Value::Null),
        (
            Method::GET,
            "/records/posts?filter=status+%3D+%22draft%22&sort=-created_at&limit=20".to_owned(),
            Value::Null,
        ),
        (Method::GET, path.clone(), Value::Null),
        (Method::POST, "/records/posts".to_owned(), json!({"title": "u"})),
        (Method::PATCH, path.clone(), json!({"rating": 4})),
        (Method::PUT, path.clone(), json!({"title": "v"})),
        (Method::GET, "/auth/me".to_owned(), Value::Null),
        (Method::DELETE, path, Value::Null),
        // What is refused inside Postgres costs no more.
        (Method::GET, "/records/nothing".to_owned(), Value::Null),
        (Method::POST, "/records/posts".to_owned(), json!({})),
        (
            Method::GET,
            "/records/posts?filter=secret+%3D+%22x%22".to_owned(),
            Value::Null,
        ),
    ];
    let connections = proxy.connections();
    let mut wrong = Vec::new();
    for (method, path, body) in requests {
        let body = (!body.is_null()).then(|| body.to_string());
        let before = proxy.flights();
        let answer = world.alice.send(method, &path, body.as_deref()).await;
        let flights = proxy.flights() - before;
        if flights != 1 {
            wrong.push(format!(
                "{} ({}): {flights} flights",
                answer.request, answer.status
            ));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    assert_eq!(proxy.connections(), connections, "the pool keeps its connection");
}

#[tokio::test]
async fn what_needs_no_database_asks_none() {
    let proxy = Proxy::start().await;
    let world = World::through(proxy.port, &[("SNACKBASE_DB_POOL_SIZE", "1")]).await;
    world.alice.get("/auth/me").await.expect(200);
    // The gateway's own work in the background (mail that waits) asks now and then; what a request asked would be asked each time.
    let mut flights = Vec::new();
    while flights.len() < 10 && flights.last() != Some(&0) {
        let before = proxy.flights();
        world
            .gateway
            .api()
            .with_token("nonsense")
            .get("/records/posts")
            .await
            .expect(401);
        world.gateway.api().get("!/live").await.expect(200);
        world.alice.get("/records/posts?limit=1000").await.expect(422);
        flights.push(proxy.flights() - before);
    }
    assert_eq!(flights.last(), Some(&0), "{flights:?}");
}
