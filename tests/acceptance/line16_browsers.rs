//! Line 16: 429 and 401 from a browser's origin carry CORS headers and a readable `Retry-After`; OPTIONS is never limited.

use reqwest::Method;
use serde_json::json;
use snackbase_e2e::{Answer, World};

use crate::http::limits::limited;
use crate::sdk;

const ORIGIN: &str = "http://localhost:5173";

/// What a page of that origin may read of an answer.
#[track_caller]
fn readable(answer: &Answer) {
    assert_eq!(
        answer.header("access-control-allow-origin"),
        ORIGIN,
        "{}",
        answer.request
    );
    assert_eq!(answer.header("access-control-allow-credentials"), "true");
    let exposed = answer
        .header("access-control-expose-headers")
        .to_ascii_lowercase();
    for header in [
        "retry-after",
        "x-ratelimit-limit",
        "x-ratelimit-burst",
        "x-ratelimit-remaining",
        "x-ratelimit-reset",
        "x-correlation-id",
    ] {
        assert!(exposed.contains(header), "{header} in {exposed}");
    }
    for header in [
        "x-content-type-options",
        "x-frame-options",
        "content-security-policy",
        "referrer-policy",
        "x-correlation-id",
    ] {
        assert!(
            !answer.header(header).is_empty(),
            "{} without {header}",
            answer.request
        );
    }
}

#[tokio::test]
async fn refusals_are_readable_for_pages_of_allowed_origins() {
    let world = limited(&[
        ("SNACKBASE_RATE_LIMIT_PER_MINUTE", "2"),
        ("SNACKBASE_LOGIN_RATE_LIMIT_PER_MINUTE", "1"),
    ])
    .await;
    let page = world.gateway.api().with_header("origin", ORIGIN);
    let unauthenticated = page.get("/auth/me").await;
    assert_eq!(unauthenticated.status, 401);
    readable(&unauthenticated);
    page.get("/auth/me").await.expect(401);
    let limited = page.get("/auth/me").await;
    assert_eq!(limited.status, 429);
    assert!(limited.header("retry-after").parse::<u64>().expect("seconds") >= 1);
    readable(&limited);
    for _ in 0..20 {
        let preflight = page
            .with_header("access-control-request-method", "PATCH")
            .with_header("access-control-request-headers", "authorization,x-api-key")
            .send(Method::OPTIONS, "/records/posts", None)
            .await;
        assert_eq!(
            (preflight.status, preflight.header("access-control-allow-origin")),
            (200, ORIGIN)
        );
    }
    // Too many wrong passwords, too.
    let elsewhere = page.with_header("x-forwarded-for", "192.0.2.1");
    let wrong = json!({"account": "acme", "email": "bob@example.com", "password": "Wrong-Horse-7-Battery"});
    elsewhere.post("/auth/login", wrong.clone()).await.expect(401);
    let spent = elsewhere.post("/auth/login", wrong).await;
    assert_eq!(
        (spent.status, &spent.json["code"]),
        (429, &json!("too_many_failures"))
    );
    assert!(spent.header("retry-after").parse::<u64>().expect("seconds") >= 1);
    readable(&spent);
    // And a page of another origin reads nothing.
    let stranger = world
        .gateway
        .api()
        .with_header("origin", "https://evil.example")
        .get("/auth/me")
        .await;
    assert_eq!(stranger.header("access-control-allow-origin"), "");
}

#[tokio::test]
async fn through_the_client_library() {
    let world: World = limited(&[("SNACKBASE_RATE_LIMIT_AUTHENTICATED_PER_MINUTE", "3")]).await;
    sdk::against(&world, "tests/sdk/acceptance/line16_browsers.test.mjs", &[]).await;
}
