//! The routes without a database: what is answered before one is needed, and what is answered when there is none.

mod flows;
mod layers;

use std::time::Duration;

use axum::body::Body;
use axum::http::{HeaderMap, Method, Request, StatusCode};
use http_body_util::BodyExt;
use serde_json::{Value, json};
use tower::ServiceExt;
use uuid::Uuid;

use super::app;
use crate::config::Config;
use crate::state::State;

/// A state whose database is a port where nobody listens.
fn state(pairs: &[(&str, &str)]) -> State {
    let defaults = [
        ("SNACKBASE_DATABASE_URL", "host=127.0.0.1 port=1"),
        ("SNACKBASE_PASSWORD_HASH_MEMORY_KIB", "32"),
        ("SNACKBASE_RATE_LIMIT_ENABLED", "false"),
        ("SNACKBASE_BODY_LIMIT_BYTES", "2048"),
    ];
    let lookup = |name: &str| {
        let mut both = pairs.iter().chain(&defaults);
        both.find(|(key, _)| *key == name)
            .map(|(_, value)| (*value).to_owned())
    };
    let config = Config::read(&lookup).unwrap_or_else(|mistakes| panic!("{mistakes:?}"));
    State::new(config).unwrap_or_else(|sentence| panic!("{sentence}"))
}

struct Answer {
    status: StatusCode,
    headers: HeaderMap,
    body: Value,
}

async fn ask(state: &State, method: &str, path: &str, headers: &[(&str, &str)], body: &str) -> Answer {
    let mut request = Request::builder().method(method).uri(path);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let mut request = request.body(Body::from(body.to_owned())).unwrap();
    request
        .extensions_mut()
        .insert(crate::auth::Peer(([127, 0, 0, 1], 4711).into()));
    let (parts, body) = app(state.clone()).oneshot(request).await.unwrap().into_parts();
    let bytes = body.collect().await.unwrap().to_bytes();
    Answer {
        status: parts.status,
        headers: parts.headers,
        body: serde_json::from_slice(&bytes).unwrap_or_default(),
    }
}

async fn simple(state: &State, method: &str, path: &str) -> Answer {
    ask(state, method, path, &[], "{}").await
}

fn bearer(state: &State) -> String {
    let token = state
        .keys
        .issue_access(Uuid::nil(), Uuid::nil(), Uuid::nil(), "a@example.com", "admin");
    format!("Bearer {}", token.unwrap())
}

const ID: &str = "/00000000-0000-0000-0000-000000000001";

/// Every route that wants a credential.
const GUARDED: &[(&str, &str)] = &[
    ("GET", "/api/v1/auth/me"),
    ("GET", "/api/v1/accounts"),
    ("POST", "/api/v1/accounts"),
    ("GET", "/api/v1/accounts/acme"),
    ("PUT", "/api/v1/accounts/acme"),
    ("DELETE", "/api/v1/accounts/acme"),
    ("GET", "/api/v1/accounts/acme/users"),
    ("GET", "/api/v1/groups"),
    ("POST", "/api/v1/groups"),
    ("GET", "/api/v1/groups/00000000-0000-0000-0000-000000000001"),
    ("PATCH", "/api/v1/groups/00000000-0000-0000-0000-000000000001"),
    ("DELETE", "/api/v1/groups/00000000-0000-0000-0000-000000000001"),
    (
        "POST",
        "/api/v1/groups/00000000-0000-0000-0000-000000000001/users",
    ),
    (
        "DELETE",
        "/api/v1/groups/00000000-0000-0000-0000-000000000001/users/00000000-0000-0000-0000-000000000001",
    ),
    (
        "PUT",
        "/api/v1/users/00000000-0000-0000-0000-000000000001/password",
    ),
    (
        "POST",
        "/api/v1/users/00000000-0000-0000-0000-000000000001/resend-verification",
    ),
    ("GET", "/api/v1/users"),
    ("POST", "/api/v1/users"),
    ("GET", "/api/v1/users/00000000-0000-0000-0000-000000000001"),
    ("PATCH", "/api/v1/users/00000000-0000-0000-0000-000000000001"),
    ("DELETE", "/api/v1/users/00000000-0000-0000-0000-000000000001"),
    (
        "POST",
        "/api/v1/users/00000000-0000-0000-0000-000000000001/verify",
    ),
    ("GET", "/api/v1/collections"),
    ("POST", "/api/v1/collections"),
    ("GET", "/api/v1/collections/names"),
    ("GET", "/api/v1/collections/posts"),
    ("PUT", "/api/v1/collections/posts"),
    ("DELETE", "/api/v1/collections/posts"),
    ("GET", "/api/v1/collections/posts/rules"),
    ("PUT", "/api/v1/collections/posts/rules"),
    ("GET", "/api/v1/audit-logs"),
    ("GET", "/api/v1/audit-logs/1"),
    ("GET", "/api/v1/audit-logs/verify"),
    ("GET", "/api/v1/audit-logs/status"),
    ("GET", "/api/v1/audit-logs/imported"),
    ("GET", "/api/v1/audit-logs/1/proof"),
    ("GET", "/api/v1/audit-logs/checkpoint"),
    ("GET", "/api/v1/audit-logs/ledger-export"),
    ("GET", "/api/v1/audit-logs/consistency"),
];

/// The routes that an anonymous caller may use too.
const RECORDS: &[(&str, &str)] = &[
    ("GET", ""),
    ("POST", ""),
    ("GET", ID),
    ("PUT", ID),
    ("PATCH", ID),
    ("DELETE", ID),
];

#[tokio::test]
async fn health_asks_no_database() {
    let state = state(&[]);
    for path in ["/health", "/live", "/api/v1", "/health/", "/api/v1/"] {
        let answer = simple(&state, "GET", path).await;
        assert_eq!(answer.status, 200, "{path}");
        assert_eq!(answer.headers["content-type"], "application/json");
    }
    let health = simple(&state, "GET", "/health").await.body;
    assert_eq!(
        (&health["status"], &health["service"]),
        (&json!("healthy"), &json!("SnackBase"))
    );
    assert_eq!(health["encryption_key_configured"], false);
    assert_eq!(simple(&state, "GET", "/api/v1").await.body["api_version"], "v1");
    assert_eq!(simple(&state, "GET", "/live").await.body["status"], "alive");
    assert_eq!(simple(&state, "HEAD", "/health").await.body, Value::Null);
    let ready = simple(&state, "GET", "/ready").await;
    assert_eq!(
        (ready.status.as_u16(), &ready.body["status"]),
        (503, &json!("not_ready"))
    );
}

#[tokio::test]
async fn a_guarded_route_wants_a_credential_with_and_without_slash() {
    let state = state(&[]);
    for (method, path) in GUARDED {
        for path in [(*path).to_owned(), format!("{path}/")] {
            let answer = simple(&state, method, &path).await;
            assert_eq!(answer.status, 401, "{method} {path}");
            assert_eq!(answer.headers["www-authenticate"], "Bearer");
            assert!(answer.body["detail"].is_string());
        }
    }
}

#[tokio::test]
async fn a_valid_token_reaches_the_database_and_a_missing_one_only_for_records() {
    let state = state(&[]);
    let token = bearer(&state);
    let headers = [("authorization", token.as_str())];
    let body = r#"{"name": "Acme", "email": "a@example.com", "password": "Password1!", "role_id": 1,
                   "account_id": "00000000-0000-0000-0000-000000000001"}"#;
    for (method, path) in GUARDED {
        let answer = ask(&state, method, path, &headers, body).await;
        assert_eq!(answer.status, 503, "{method} {path}: {}", answer.body);
        assert_eq!(answer.body["code"], "unavailable");
        assert_eq!(answer.headers["retry-after"], "1");
    }
    for (method, path) in RECORDS {
        for prefix in ["/api/v1/records/posts", "/api/v1/posts"] {
            for slash in ["", "/"] {
                let path = format!("{prefix}{path}{slash}");
                let answer = simple(&state, method, &path).await;
                assert_eq!(answer.status, 503, "{method} {path}: {}", answer.body);
            }
        }
    }
}

#[tokio::test]
async fn a_presented_credential_that_is_not_valid_is_refused_everywhere_but_before_a_login() {
    let state = state(&[]);
    let other = self::state(&[("SNACKBASE_SECRET_KEY", "another secret")]);
    let forged = bearer(&other);
    for headers in [
        [("authorization", forged.as_str())],
        [("authorization", "Bearer nonsense")],
        [("authorization", "Basic YTpi")],
        [("x-api-key", "sb_ak.a.b")],
    ] {
        for (method, path) in GUARDED
            .iter()
            .chain([("GET", "/api/v1/records/posts"), ("GET", "/api/v1/posts")].iter())
        {
            let answer = ask(&state, method, path, &headers, "{}").await;
            assert_eq!(answer.status, 401, "{method} {path}");
            let text = answer.body.to_string();
            assert!(!text.contains("email") && !text.contains("verify"), "{text}");
        }
        let body = r#"{"account": "acme", "email": "a@example.com", "password": "x"}"#;
        let answer = ask(&state, "POST", "/api/v1/auth/login", &headers, body).await;
        assert_eq!(answer.status, 503);
    }
}

#[tokio::test]
async fn an_unknown_route_is_404_and_a_wrong_method_405() {
    let state = state(&[]);
    for path in [
        "/nowhere",
        "/api/v1/records",
        "/api/v1/records/posts/1/2/3",
        "/api/v2/posts",
        // Names of routers are no collections.
        "/api/v1/codelists",
        "/api/v1/webhooks/",
        "/api/v1/realtime/x",
        "/api/v1/auth",
        "/api/v1/f",
    ] {
        let answer = simple(&state, "GET", path).await;
        assert_eq!(answer.status, 404, "{path}");
        assert_eq!(answer.body["detail"], "Not Found", "{path}");
    }
    for (method, path) in [
        ("PATCH", "/api/v1/collections/posts"),
        ("GET", "/api/v1/auth/login"),
        ("PUT", "/api/v1/users"),
        ("POST", "/health"),
        ("DELETE", "/api/v1/records/posts"),
    ] {
        let answer = simple(&state, method, path).await;
        assert_eq!(answer.status, 405, "{method} {path}");
        assert!(answer.body["detail"].is_string());
        assert!(answer.headers.contains_key("allow"), "{method} {path}");
    }
}

#[tokio::test]
async fn what_does_not_fit_the_types_is_422_and_repeats_no_value() {
    let state = state(&[]);
    let token = bearer(&state);
    let headers = [("authorization", token.as_str())];
    for (method, path, body) in [
        ("POST", "/api/v1/records/posts", "{\"secret\": hunter2}"),
        ("POST", "/api/v1/records/posts", ""),
        ("POST", "/api/v1/records/posts", "[\"hunter2\"]"),
        ("PATCH", "/api/v1/posts/1", "\"hunter2\""),
        ("GET", "/api/v1/records/posts?limit=hunter2", ""),
        ("GET", "/api/v1/records/posts?limit=101", ""),
        ("GET", "/api/v1/records/%ff", ""),
        (
            "POST",
            "/api/v1/auth/login",
            "{\"account\": \"a\", \"email\": \"hunter2\"}",
        ),
        (
            "POST",
            "/api/v1/auth/refresh",
            "{\"refresh_token\": [\"hunter2\"]}",
        ),
    ] {
        let answer = ask(&state, method, path, &headers, body).await;
        assert_eq!(answer.status, 422, "{method} {path}: {}", answer.body);
        let first = &answer.body["detail"][0];
        assert!(
            first["type"].is_string() && first["loc"].is_array() && first["msg"].is_string(),
            "{first}"
        );
        assert!(!answer.body.to_string().contains("hunter2"), "{}", answer.body);
        assert!(answer.body["message"].is_string());
    }
}

/// There is no database here, so the question is what shows.
#[tokio::test]
async fn a_route_for_superadmins_asks_who_is_there_before_it_says_what_does_not_fit() {
    let state = state(&[]);
    let token = bearer(&state);
    let headers = [("authorization", token.as_str())];
    for (method, path, body) in [
        ("POST", "/api/v1/collections", "null"),
        ("PUT", "/api/v1/collections/posts", "["),
        ("PUT", "/api/v1/collections/posts/rules", ""),
        ("GET", "/api/v1/collections?page_size=0", ""),
        ("GET", "/api/v1/accounts?sort_by=x", ""),
        ("POST", "/api/v1/accounts", "{}"),
        ("GET", "/api/v1/audit-logs?limit=501", ""),
        ("GET", "/api/v1/audit-logs/x", ""),
        ("GET", "/api/v1/audit-logs/verify?max_errors=0", ""),
        ("GET", "/api/v1/audit-logs/x/proof", ""),
        ("GET", "/api/v1/audit-logs/1/proof?import_id=x", ""),
        ("GET", "/api/v1/audit-logs/imported?limit=501", ""),
        ("GET", "/api/v1/audit-logs/imported?import_id=0", ""),
        ("GET", "/api/v1/audit-logs/checkpoint?block=0", ""),
        ("GET", "/api/v1/audit-logs/consistency?from=x", ""),
        ("GET", "/api/v1/users?sort=password_hash", ""),
        ("POST", "/api/v1/users", "{}"),
        ("PATCH", "/api/v1/users/x", "{}"),
        ("DELETE", "/api/v1/users/x", ""),
        ("PUT", "/api/v1/users/x/password", "{}"),
        ("PUT", "/api/v1/accounts/acme", "{}"),
        ("GET", "/api/v1/accounts/acme/users?page=0", ""),
        ("POST", "/api/v1/groups", "{}"),
        ("PATCH", "/api/v1/groups/x", "{}"),
        ("DELETE", "/api/v1/groups/x/users/y", ""),
        ("POST", "/api/v1/users/x/verify", ""),
    ] {
        let answer = ask(&state, method, path, &headers, body).await;
        assert_eq!(answer.status, 503, "{method} {path}: {}", answer.body);
    }
}

#[tokio::test]
async fn a_path_that_is_no_text_is_a_misfit_at_every_door() {
    let state = state(&[]);
    for path in [
        "/records/%FF",
        "/%FF",
        "/%FF/x",
        "/posts/%C0%AF",
        "/records/posts/%ED%A0%80",
    ] {
        let answer = simple(&state, "GET", &format!("/api/v1{path}")).await;
        assert_eq!(answer.status, 422, "{path}: {}", answer.body);
        assert_eq!(answer.body["detail"][0]["type"], "path_parsing", "{path}");
    }
}

#[tokio::test]
async fn the_prefix_is_a_setting() {
    let state = state(&[("SNACKBASE_API_PREFIX", "/base/api/")]);
    assert_eq!(simple(&state, "GET", "/base/api/auth/me").await.status, 401);
    assert_eq!(simple(&state, "GET", "/api/v1/auth/me").await.status, 404);
    assert_eq!(simple(&state, "GET", "/health").await.status, 200);
}
