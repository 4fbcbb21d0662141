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

/// What the gateway does by itself is the system's; what a client asks for is never, whatever it sends.
#[tokio::test]
async fn no_client_can_be_the_system() {
    let world = World::new().await;
    let open = json!({"name": "open", "fields": [{"name": "title", "type": "text"}, {"name": "kind", "type": "text"}], "create_rule": ""});
    world.define(open).await;
    let body = json!({"title": "t", "kind": "system"});
    let claims = [
        ("x-account-id", "system"),
        ("x-account-id", "acme"),
        ("x-user-id", "system"),
        ("x-auth-method", "system"),
        ("user-agent", "snackbase-gateway"),
        ("authorization", "System snackbase-gateway"),
    ];
    for caller in [&world.alice, &world.root, &world.anonymous] {
        for (name, value) in claims {
            let caller = caller.with_header(name, value);
            caller.post("/records/open", body.clone()).await;
            let wanted = json!({"kind": "system", "auth_method": "system", "user_id": "system", "created_by": "system"});
            caller.post("/records/open", wanted.clone()).await;
            caller.post("/auth/login", wanted.clone()).await;
            let login = json!({"account": "acme", "email": "alice@example.com", "password": "wrong"});
            caller.post("/auth/login", login).await;
            caller
                .post("/auth/refresh", json!({"refresh_token": "system"}))
                .await;
        }
    }
    let visitor = world.anonymous.with_header("x-account-id", "acme");
    let made = visitor.post("/records/open", body).await.expect(201);
    assert_eq!(made["created_by"], "anonymous");

    let superuser = world.database.superuser().await;
    // Every request has an id, and the gateway by itself has none.
    let methods = "select string_agg(distinct c.auth_method, ' ' order by c.auth_method) from snackbase.audit_change c where c.request_id is ";
    assert_eq!(
        superuser.value(&format!("{methods} not null")).await,
        "anonymous jwt"
    );
    assert_eq!(
        superuser
            .value("select count(*) from snackbase.audit_change c where c.user_id = 'system' and c.request_id is not null")
            .await,
        "0"
    );
    let root = superuser
        .value(
            "select distinct concat_ws(' ', c.user_id, c.user_email, c.auth_method) from snackbase.audit_change c
              where c.table_name = 'users' and c.operation = 'CREATE' and c.account_id = '00000000-0000-0000-0000-000000000000'",
        )
        .await;
    assert_eq!(root, "system system@snackbase.internal system");
}
