//! Where a change came from: the client's address behind trusted proxies, and one request id for answer and trail. Source: audit
//! contract §1.4.

use serde_json::{Value, json};
use snackbase_e2e::World;

/// `ip_address` and `request_id` of the newest change of `posts`, and the request id of the answer.
async fn origin(world: &World) -> (Value, Value, String) {
    let answer = world
        .alice
        .with_header("x-forwarded-for", "203.0.113.9, 198.51.100.7")
        .post("/records/posts", json!({"title": "t"}))
        .await;
    let id = answer.header("x-correlation-id").to_owned();
    answer.expect(201);
    let page = world
        .root
        .get("/audit-logs?table_name=col_posts&limit=1")
        .await
        .expect(200);
    let entry = &page["items"][0];
    (entry["ip_address"].clone(), entry["request_id"].clone(), id)
}

#[tokio::test]
async fn the_address_is_the_clients_behind_a_trusted_proxy_and_the_peers_otherwise() {
    let world = World::new().await;
    let (address, request, id) = origin(&world).await;
    assert_eq!(
        address, "198.51.100.7",
        "the proxy on this machine is trusted by default"
    );
    assert_eq!(request, id.as_str(), "one id in answer and trail");
    assert!(id.starts_with("cid_"), "{id}");
    let world = World::with(&[("SNACKBASE_TRUSTED_PROXIES", "10.0.0.0/8")]).await;
    let (address, ..) = origin(&world).await;
    assert_eq!(address, "127.0.0.1", "anybody can write a header");
}
