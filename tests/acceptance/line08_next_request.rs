//! Line 8: a user is deactivated, gets another role, another password, is put into a group or out of it: the next request
//! knows. And it asks Postgres no more often than before: each is one network flight.

use reqwest::Method;
use serde_json::{Value, json};
use snackbase_e2e::{Api, PASSWORD, Proxy, World};

use crate::sdk;

#[tokio::test]
async fn through_the_client_library() {
    let world = World::new().await;
    sdk::against(&world, "tests/sdk/acceptance/line08_next_request.test.mjs", &[]).await;
}

/// A request that takes one flight, and its status.
async fn status(proxy: &Proxy, caller: &Api, path: &str) -> u16 {
    // The gateway's own work (mail that waits) asks now and then; what a request asks, it asks each time.
    let mut fewest = u64::MAX;
    let mut last = 0;
    for _ in 0..3 {
        let before = proxy.flights();
        last = caller.send(Method::GET, path, None).await.status;
        fewest = fewest.min(proxy.flights() - before);
    }
    assert_eq!(fewest, 1, "flights of GET {path}");
    last
}

#[tokio::test]
async fn the_next_request_knows_and_costs_no_more() {
    let proxy = Proxy::start().await;
    let settings = [
        ("SNACKBASE_DB_POOL_SIZE", "1"),
        ("SNACKBASE_WORKER_ENABLED", "false"),
    ];
    let world = World::through(proxy.port, &settings).await;
    world
        .rules(
            "posts",
            json!({"list_rule": "@has_role(\"admin\") || @has_group(\"readers\")"}),
        )
        .await;
    world
        .alice
        .post("/records/posts", json!({"title": "t"}))
        .await
        .expect(201);
    let path = format!("/users/{}", world.user_id("bob"));
    let listed = async || {
        let list = world.bob.get("/records/posts").await.expect(200);
        list["total"].as_i64().expect("a total")
    };
    let patch = async |body: Value| world.alice.patch(&path, body).await.expect(200);

    // Role.
    assert_eq!(status(&proxy, &world.bob, "/users").await, 403);
    assert_eq!(listed().await, 0);
    patch(json!({"role": "admin"})).await;
    assert_eq!(status(&proxy, &world.bob, "/users").await, 200);
    assert_eq!(listed().await, 1);
    assert_eq!(world.bob.get("/auth/me").await.expect(200)["role"], "admin");
    patch(json!({"role_id": 2})).await;
    assert_eq!(status(&proxy, &world.bob, "/users").await, 403);
    assert_eq!(listed().await, 0);

    // Membership.
    let group = world
        .alice
        .post("/groups", json!({"name": "readers"}))
        .await
        .expect(201);
    let members = format!("/groups/{}/users", group["id"].as_str().expect("an id"));
    let member = json!({"user_id": world.user_id("bob")});
    world.alice.post(&members, member).await.expect(201);
    assert_eq!(listed().await, 1);
    assert_eq!(status(&proxy, &world.bob, "/records/posts").await, 200);
    world
        .alice
        .delete(&format!("{members}/{}", world.user_id("bob")))
        .await
        .expect(204);
    assert_eq!(listed().await, 0);

    // Address.
    patch(json!({"email": "robert@example.com"})).await;
    assert_eq!(
        world.bob.get("/auth/me").await.expect(200)["email"],
        "robert@example.com"
    );
    world
        .alice
        .post(&format!("{path}/verify"), json!({}))
        .await
        .expect(200);

    // Password: every session ends.
    world
        .alice
        .put(
            &format!("{path}/password"),
            json!({"new_password": "Another-Horse-8-Battery"}),
        )
        .await
        .expect(200);
    assert_eq!(status(&proxy, &world.bob, "/records/posts").await, 401);
    let spent = json!({"refresh_token": world.people["bob"]["refresh_token"]});
    world.gateway.api().post("/auth/refresh", spent).await.expect(401);
    let login = async |password: &str| {
        let body = json!({"account": "acme", "email": "robert@example.com", "password": password});
        world.gateway.api().post("/auth/login", body).await
    };
    login(PASSWORD).await.expect(401);
    let session = login("Another-Horse-8-Battery").await.expect(200);

    // Activity: what was a session then stays none.
    let again = world
        .gateway
        .api()
        .with_token(session["token"].as_str().expect("a token"));
    assert_eq!(status(&proxy, &again, "/auth/me").await, 200);
    world.alice.delete(&path).await.expect(204);
    for path in ["/auth/me", "/records/posts", "/groups"] {
        assert_eq!(status(&proxy, &again, path).await, 401, "{path}");
    }
    login("Another-Horse-8-Battery").await.expect(401);
    let refresh = json!({"refresh_token": session["refresh_token"]});
    world
        .gateway
        .api()
        .post("/auth/refresh", refresh.clone())
        .await
        .expect(401);
    patch(json!({"is_active": true})).await;
    again.get("/auth/me").await.expect(401);
    world
        .gateway
        .api()
        .post("/auth/refresh", refresh)
        .await
        .expect(401);
    login("Another-Horse-8-Battery").await.expect(200);
}
