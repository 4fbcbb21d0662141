//! What surrounds every route.

use super::*;

#[tokio::test]
async fn a_body_that_is_too_large_is_413_in_our_shape() {
    let state = state(&[]);
    let body = json!({ "text": "x".repeat(4096) }).to_string();
    let answer = ask(&state, "POST", "/api/v1/posts", &[], &body).await;
    assert_eq!(
        (answer.status.as_u16(), &answer.body["code"]),
        (413, &json!("body_too_large"))
    );
}

#[tokio::test(start_paused = true)]
async fn a_body_that_does_not_arrive_is_408() {
    let state = state(&[("SNACKBASE_REQUEST_TIMEOUT_MS", "1000")]);
    let never = futures_util::stream::pending::<Result<bytes::Bytes, std::io::Error>>();
    let request = Request::post("/api/v1/posts")
        .body(Body::from_stream(never))
        .unwrap();
    let answer = tokio::time::timeout(Duration::from_secs(60), app(state).oneshot(request)).await;
    assert_eq!(answer.unwrap().unwrap().status(), 408);
}

#[tokio::test]
async fn every_answer_carries_request_id_and_security_headers() {
    let state = state(&[]);
    for (path, given, wanted) in [
        ("/health", "", "cid_"),
        ("/nowhere", "abc-123", "abc-123"),
        ("/api/v1/auth/me", "two words", "cid_"),
        ("/api/v1/posts", &"x".repeat(65), "cid_"),
    ] {
        let answer = ask(&state, "GET", path, &[("x-correlation-id", given)], "").await;
        let id = answer.headers["x-correlation-id"].to_str().unwrap();
        assert!(id.starts_with(wanted), "{path}: {id}");
        if wanted == "cid_" {
            assert!(
                id.len() == 16 && id[4..].bytes().all(|b| b.is_ascii_hexdigit()),
                "{id}"
            );
        }
        assert_eq!(answer.headers["x-content-type-options"], "nosniff", "{path}");
        assert_eq!(answer.headers["x-frame-options"], "DENY", "{path}");
        assert!(!answer.headers.contains_key("strict-transport-security"));
    }
}

#[tokio::test]
async fn browsers_of_known_origins_may_call_and_read() {
    let state = state(&[]);
    let preflight = [
        ("origin", "http://localhost:3000"),
        ("access-control-request-method", "PATCH"),
        ("access-control-request-headers", "authorization"),
    ];
    let path = "/api/v1/records/posts/1";
    let answer = ask(&state, Method::OPTIONS.as_str(), path, &preflight, "").await;
    assert_eq!(answer.status, 200);
    assert_eq!(
        answer.headers["access-control-allow-origin"],
        "http://localhost:3000"
    );
    assert_eq!(answer.headers["access-control-allow-credentials"], "true");
    assert!(
        answer.headers["access-control-allow-methods"]
            .to_str()
            .unwrap()
            .contains("PATCH")
    );
    let allowed = answer.headers["access-control-allow-headers"]
        .to_str()
        .unwrap()
        .to_ascii_lowercase();
    assert!(allowed.contains("x-account-id") && allowed.contains("authorization"));

    let known = [("origin", "http://localhost:3000")];
    let refused = ask(&state, "GET", "/api/v1/auth/me", &known, "").await;
    assert_eq!(refused.status, 401);
    assert_eq!(
        refused.headers["access-control-allow-origin"],
        "http://localhost:3000"
    );
    let exposed = refused.headers["access-control-expose-headers"].to_str().unwrap();
    assert!(exposed.contains("retry-after") && exposed.contains("x-correlation-id"));
    let stranger = [("origin", "https://evil.example")];
    let answer = ask(&state, "GET", "/health", &stranger, "").await;
    assert!(!answer.headers.contains_key("access-control-allow-origin"));
}
