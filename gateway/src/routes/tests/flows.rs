//! Before and around a login, without a database.

use super::*;

#[tokio::test]
async fn a_login_needs_an_account_from_the_body_or_the_host() {
    let state = state(&[]);
    let body = r#"{"email": "a@example.com", "password": "x"}"#;
    let login = async |host: &str, body: &str| {
        let headers = [("host", host)];
        ask(&state, "POST", "/api/v1/auth/login", &headers, body).await
    };
    let missing = login("localhost:8000", body).await;
    assert_eq!(missing.status, 400);
    assert_eq!(missing.body["details"][0]["field"], "account");
    assert_eq!(missing.body["details"][0]["code"], "required");
    assert_eq!(login("acme.example.com", body).await.status, 503);
    assert_eq!(login("www.example.com", body).await.status, 400);
    let empty = r#"{"account": " ", "email": "a@example.com", "password": "x"}"#;
    assert_eq!(login("localhost", empty).await.status, 400);
    let named = r#"{"account": "acme", "email": "a@example.com", "password": "x"}"#;
    assert_eq!(login("localhost", named).await.status, 503);
}

#[tokio::test]
async fn a_registration_reports_all_faults_together() {
    let open = state(&[]);
    let path = "/api/v1/auth/register";
    let body = r#"{"email": "a@example.com", "password": "short"}"#;
    let answer = ask(&open, "POST", path, &[], body).await;
    assert_eq!(
        (answer.status.as_u16(), &answer.body["error"]),
        (400, &json!("Validation error"))
    );
    let codes: Vec<_> = answer.body["details"]
        .as_array()
        .unwrap()
        .iter()
        .map(|fault| fault["code"].clone())
        .collect();
    assert_eq!(
        codes,
        [
            "password_too_short",
            "password_no_uppercase",
            "password_no_digit",
            "password_no_special",
            "required"
        ]
    );
    let closed = state(&[("SNACKBASE_REGISTRATION_ENABLED", "false")]);
    let body = r#"{"email": "a@example.com", "password": "Password1!", "account_name": "Acme"}"#;
    assert_eq!(ask(&closed, "POST", path, &[], body).await.status, 403);
    assert_eq!(ask(&open, "POST", path, &[], body).await.status, 503);
}

#[tokio::test]
async fn a_logout_needs_a_token_of_ours_and_nothing_more() {
    let state = state(&[]);
    let path = "/api/v1/auth/logout";
    let token = bearer(&state);
    let logout = async |headers: &[(&str, &str)], body: &str| {
        ask(&state, "POST", path, headers, body).await.status.as_u16()
    };
    assert_eq!(logout(&[], "{}").await, 401);
    assert_eq!(logout(&[("authorization", "Bearer x")], "").await, 401);
    assert_eq!(logout(&[("authorization", &token)], "").await, 503);
    let refresh = state
        .keys
        .issue_refresh(Uuid::nil(), Uuid::nil(), Uuid::nil())
        .unwrap();
    let body = json!({ "refresh_token": refresh.token }).to_string();
    assert_eq!(logout(&[("authorization", "Bearer x")], &body).await, 503);
    assert_eq!(
        logout(&[("authorization", &token)], r#"{"all": true}"#).await,
        503
    );
}

#[tokio::test]
async fn a_refresh_token_is_no_access_token_and_the_other_way_round() {
    let state = state(&[]);
    let refresh = state
        .keys
        .issue_refresh(Uuid::nil(), Uuid::nil(), Uuid::nil())
        .unwrap();
    let header = format!("Bearer {}", refresh.token);
    let headers = [("authorization", header.as_str())];
    let answer = ask(&state, "GET", "/api/v1/auth/me", &headers, "").await;
    assert_eq!(answer.status, 401);
    let access = bearer(&state);
    for (token, status) in [
        (access.trim_start_matches("Bearer "), 401),
        (refresh.token.as_str(), 503),
    ] {
        let body = json!({ "refresh_token": token }).to_string();
        let answer = ask(&state, "POST", "/api/v1/auth/refresh", &[], &body).await;
        assert_eq!(answer.status, status);
    }
}
