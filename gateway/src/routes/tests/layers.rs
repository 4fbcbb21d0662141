//! What surrounds every route.

use std::io::Write;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::routing::get;
use bytes::Bytes;
use futures_util::stream;
use tokio::sync::mpsc;

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

#[tokio::test]
async fn only_the_audit_trail_is_compressed_and_only_for_those_who_ask() {
    let state = state(&[]);
    for (accepted, encoding) in [
        ("", None),
        ("gzip", Some("gzip")),
        ("br, deflate, GZIP;q=0.5", Some("gzip")),
        ("*", Some("gzip")),
        ("gzip;q=0", None),
        ("br", None),
        ("identity;q=0", None),
        ("gzip;q=0, *;q=0", None),
        ("é", None),
    ] {
        for path in ["", "/", "/export", "/verify", "/7", "/7/proof", "/ledger-export"] {
            let path = format!("/api/v1/audit-logs{path}");
            let answer = ask(&state, "GET", &path, &[("accept-encoding", accepted)], "").await;
            let found = answer.headers.get("content-encoding");
            let found = found.map(|value| value.to_str().unwrap());
            assert_eq!(
                (answer.status.as_u16(), found),
                (401, encoding),
                "{path}: {accepted}"
            );
            let mut vary = answer.headers.get_all("vary").iter();
            assert!(vary.any(|value| value == "accept-encoding"), "{path}: {accepted}");
        }
        for path in [
            "/api/v1/auth/me",
            "/api/v1/records/posts",
            "/api/v1/users",
            "/health",
            "/nowhere",
        ] {
            let answer = ask(&state, "GET", path, &[("accept-encoding", accepted)], "").await;
            assert!(
                !answer.headers.contains_key("content-encoding"),
                "{path}: {accepted}"
            );
            assert!(!answer.body.is_null(), "{path}: {accepted}");
        }
    }
}

/// What comes through the compression of a body with these pieces, which are handed over one by one.
async fn compressed(pieces: mpsc::Receiver<Result<Bytes, std::io::Error>>) -> Body {
    let pieces = Arc::new(Mutex::new(Some(pieces)));
    let body = move || {
        let mut pieces = pieces.lock().unwrap().take().unwrap();
        let pieces = stream::poll_fn(move |context| pieces.poll_recv(context));
        std::future::ready(Body::from_stream(pieces))
    };
    let router = crate::routes::layers::compressed(Router::new().route("/", get(body)));
    let request = Request::get("/").header("accept-encoding", "gzip");
    let response = router
        .with_state(state(&[]))
        .oneshot(request.body(Body::empty()).unwrap())
        .await
        .unwrap();
    assert_eq!(response.headers()["content-encoding"], "gzip");
    response.into_body()
}

#[tokio::test]
async fn a_compressed_stream_shows_each_piece_before_the_next_is_there() {
    let (sender, receiver) = mpsc::channel(1);
    let mut body = compressed(receiver).await;
    let mut reader = flate2::write::GzDecoder::new(Vec::new());
    for piece in ["first €", "second"] {
        sender.send(Ok(Bytes::from(piece))).await.unwrap();
        while reader.get_ref() != piece.as_bytes() {
            let frame = tokio::time::timeout(Duration::from_secs(10), body.frame()).await;
            let frame = frame.unwrap().unwrap().unwrap().into_data().unwrap();
            reader.write_all(&frame).unwrap();
            reader.flush().unwrap();
        }
        reader.get_mut().clear();
    }
    // A client that leaves ends what makes the pieces.
    drop(body);
    assert!(sender.is_closed());
}

#[tokio::test]
async fn a_compressed_stream_takes_no_piece_that_nobody_reads() {
    let (sender, receiver) = mpsc::channel(1);
    let mut body = compressed(receiver).await;
    // What cannot be made smaller.
    let mut noise = vec![0; 100_000];
    aws_lc_rs::rand::fill(&mut noise).unwrap();
    let noise = Bytes::from(noise);
    sender.try_send(Ok(noise.clone())).unwrap();
    body.frame().await.unwrap().unwrap();
    sender.try_send(Ok(noise.clone())).unwrap();
    body.frame().await.unwrap().unwrap();
    assert!(
        sender.try_send(Ok(noise)).is_err(),
        "the second waits for the first"
    );
}

#[tokio::test]
async fn a_stream_that_breaks_off_is_no_complete_compressed_one() {
    let (sender, receiver) = mpsc::channel(2);
    sender.try_send(Ok(Bytes::from("a line\n"))).unwrap();
    sender.try_send(Err(std::io::Error::other("lost"))).unwrap();
    drop(sender);
    assert!(compressed(receiver).await.collect().await.is_err());
}
