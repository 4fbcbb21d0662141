//! What every answer has in common: error bodies, headers, limits, health.

use reqwest::Method;
use serde_json::{Value, json};
use snackbase_e2e::World;

#[tokio::test]
async fn every_error_has_the_same_shape() {
    let world = World::new().await;
    let nobody = world.gateway.api();
    let requests = [
        (nobody.post("/records/posts", json!({})).await, 400),
        (nobody.get("/auth/me").await, 401),
        (world.alice.get("/accounts").await, 403),
        (world.alice.get("/records/nothing").await, 404),
        (world.alice.get("/no/such/route").await, 404),
        (nobody.get("!/nowhere").await, 404),
        (
            world.alice.send(Method::PATCH, "/auth/login", Some("{}")).await,
            405,
        ),
        (
            world.alice.send(Method::POST, "/records/posts", Some("{")).await,
            422,
        ),
        (world.alice.get("/records/posts?limit=x").await, 422),
        (
            world
                .root
                .post(
                    "/collections",
                    json!({"name": "posts", "fields": [{"name": "a", "type": "text"}]}),
                )
                .await,
            409,
        ),
    ];
    for (answer, status) in requests {
        let what = format!("{}: {}", answer.request, answer.text);
        assert_eq!(answer.status, status, "{what}");
        assert_eq!(answer.header("content-type"), "application/json", "{what}");
        for key in ["error", "message", "code"] {
            assert!(answer.json[key].is_string(), "{key} is a text: {what}");
        }
        let detail = &answer.json["detail"];
        match status {
            422 => assert!(detail.is_array(), "{what}"),
            _ => assert!(detail.is_string(), "{what}"),
        }
        for leak in [
            "snackbase.",
            "col_",
            "SELECT",
            "select ",
            "panicked",
            "/home",
            "input",
        ] {
            assert!(!answer.text.contains(leak), "{leak:?} in {what}");
        }
    }
}

#[tokio::test]
async fn answers_carry_a_request_id_and_security_headers() {
    let world = World::new().await;
    let answer = world.alice.get("/records/posts").await;
    let id = answer.header("x-correlation-id");
    assert!(
        id.starts_with("cid_") && id.len() == 16 && id[4..].bytes().all(|byte| byte.is_ascii_hexdigit()),
        "{id}"
    );
    assert_eq!(answer.header("x-content-type-options"), "nosniff");
    assert!(!answer.header("x-frame-options").is_empty());
    assert!(answer.header("server").is_empty());
    let echoed = world
        .alice
        .with_header("x-correlation-id", "cid_abcabcabcabc")
        .get("/records/nothing")
        .await;
    assert_eq!(echoed.header("x-correlation-id"), "cid_abcabcabcabc");
    let hostile = world
        .alice
        .with_header("x-correlation-id", &"x".repeat(500))
        .get("/records/posts")
        .await;
    assert!(
        hostile.header("x-correlation-id").len() <= 64,
        "a caller cannot fill the logs"
    );
}

#[tokio::test]
async fn browsers_of_allowed_origins_may_read_answers_and_errors() {
    let world = World::new().await;
    let browser = world.gateway.api().with_header("origin", "http://localhost:3000");
    let preflight = browser
        .with_header("access-control-request-method", "POST")
        .with_header(
            "access-control-request-headers",
            "authorization,content-type,x-account-id",
        )
        .send(Method::OPTIONS, "/records/posts", None)
        .await;
    assert!(preflight.status < 300, "{}", preflight.status);
    assert_eq!(
        preflight.header("access-control-allow-origin"),
        "http://localhost:3000"
    );
    let allowed = preflight.header("access-control-allow-headers").to_lowercase();
    for name in [
        "authorization",
        "content-type",
        "x-api-key",
        "x-account-id",
        "x-correlation-id",
    ] {
        assert!(allowed.contains(name) || allowed == "*", "{name} in {allowed}");
    }
    let refused = browser.get("/auth/me").await;
    assert_eq!(refused.status, 401);
    assert_eq!(
        refused.header("access-control-allow-origin"),
        "http://localhost:3000"
    );
    let exposed = refused.header("access-control-expose-headers").to_lowercase();
    assert!(
        exposed.contains("retry-after") && exposed.contains("x-correlation-id"),
        "{exposed}"
    );
    let foreign = world
        .gateway
        .api()
        .with_header("origin", "http://evil.example")
        .get("/auth/me")
        .await;
    assert_eq!(foreign.header("access-control-allow-origin"), "");
}

#[tokio::test]
async fn a_body_that_is_too_large_is_refused() {
    // Small enough to arrive with its headers: a client that is still sending may see a reset instead of the answer.
    let world = World::with(&[("SNACKBASE_BODY_LIMIT_BYTES", "2048")]).await;
    let answer = world
        .alice
        .post("/records/posts", json!({"title": "x".repeat(4096)}))
        .await;
    assert_eq!(answer.status, 413, "{}", answer.text);
    assert!(answer.json["message"].is_string());
    world
        .alice
        .post("/records/posts", json!({"title": "x".repeat(1024)}))
        .await
        .expect(201);

    let world = World::new().await;
    world
        .alice
        .post("/records/posts", json!({"title": "x".repeat(1_000_000)}))
        .await
        .expect(201);
}

#[tokio::test]
async fn health_is_open_to_everybody() {
    let world = World::new().await;
    let nobody = world.gateway.api();
    for path in ["!/health", "!/ready", "!/live", ""] {
        let answer = nobody.get(path).await;
        assert_eq!(answer.status, 200, "{path}: {}", answer.text);
        assert_ne!(answer.json, Value::Null, "{path}: {}", answer.text);
    }
}

#[tokio::test]
async fn a_trailing_slash_leads_to_the_same_place() {
    let world = World::new().await;
    world.alice.get("/auth/me/").await.expect(200);
    world.root.get("/collections/").await.expect(200);
    world.root.get("/accounts/").await.expect(200);
}
