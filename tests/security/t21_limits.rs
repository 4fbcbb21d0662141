//! Trap 21: a path with a limit of its own shares the general bucket and is missed with a slash at the end, OPTIONS is metered, and
//! the work is done before the limit is asked. (That 429 carries CORS and security headers: acceptance line 16.)

use reqwest::Method;
use serde_json::json;
use snackbase_e2e::PASSWORD;

use crate::http::limits::{from, limited, login};

#[tokio::test]
async fn a_path_of_its_own_is_counted_for_itself_under_every_spelling() {
    let world = limited(&[
        ("SNACKBASE_RATE_LIMIT_PER_MINUTE", "4"),
        (
            "SNACKBASE_RATE_LIMIT_ENDPOINTS",
            "/api/v1/auth/login=2, /api/v1/records/*/batch=1",
        ),
    ])
    .await;
    let nobody = world.gateway.api();
    let body = json!({"account": "acme", "email": "bob@example.com", "password": PASSWORD});
    login(&nobody, "192.0.2.1", "bob@example.com", PASSWORD)
        .await
        .expect(200);
    from(&nobody, "192.0.2.1")
        .post("/auth/login/", body.clone())
        .await
        .expect(200);
    for path in ["/auth/login", "/auth/login/"] {
        from(&nobody, "192.0.2.1")
            .post(path, body.clone())
            .await
            .expect(429);
    }
    // The general bucket is untouched, and so is everybody else's.
    let other = from(&nobody, "192.0.2.1").get("/auth/me").await;
    assert_eq!((other.status, other.header("x-ratelimit-remaining")), (401, "3"));
    login(&nobody, "192.0.2.2", "bob@example.com", PASSWORD)
        .await
        .expect(200);
    for (person, status) in [(&world.alice, 201), (&world.alice, 429), (&world.bob, 201)] {
        person
            .post("/records/posts/batch", json!({"records": [{"title": "t"}]}))
            .await
            .expect(status);
    }
}

#[tokio::test]
async fn options_are_free() {
    let world = limited(&[("SNACKBASE_RATE_LIMIT_PER_MINUTE", "2")]).await;
    let browser = world
        .gateway
        .api()
        .with_header("origin", "http://localhost:3000")
        .with_header("access-control-request-method", "POST");
    for _ in 0..10 {
        let preflight = browser.send(Method::OPTIONS, "/auth/login", None).await;
        assert_eq!(
            (preflight.status, preflight.header("x-ratelimit-limit")),
            (200, "")
        );
        // One that is no preflight.
        let plain = world
            .gateway
            .api()
            .send(Method::OPTIONS, "/auth/login", None)
            .await;
        assert_ne!(plain.status, 429);
    }
    assert_eq!(browser.get("/auth/me").await.header("x-ratelimit-remaining"), "1");
}

#[tokio::test]
async fn who_is_over_the_limit_costs_no_look_up_and_no_hash() {
    let world = limited(&[("SNACKBASE_RATE_LIMIT_PER_MINUTE", "2")]).await;
    let nobody = world.gateway.api();
    let superuser = world.database.superuser().await;
    for status in [401, 401, 429, 429, 429] {
        login(&nobody, "192.0.2.1", "bob@example.com", "Wrong-Horse-7-Battery")
            .await
            .expect(status);
    }
    // What was refused by the limiter was no failed login: nothing was checked.
    assert_eq!(
        superuser
            .value("select count(*)::text from snackbase.login_failures")
            .await,
        "2"
    );
    // Not even the body is looked at.
    from(&nobody, "192.0.2.1")
        .post("/auth/login", json!("nonsense"))
        .await
        .expect(429);
}
