//! What people get by mail, and what they can do with it. contract identity.md §4.1, §5.4.

use serde_json::{Value, json};
use snackbase_e2e::{MailServer, PASSWORD};

use super::{configure, world};

/// The text of a mail, put together again, lines joined where they were broken for the way.
pub fn text_of(mail: &Value) -> String {
    let data = mail["data"].as_str().unwrap_or_default();
    data.replace("=\r\n", "").replace("=\n", "").replace("=3D", "=")
}

/// The token in the link of a mail whose path is given.
pub fn token_in(mail: &Value, path: &str) -> String {
    let text = text_of(mail);
    let begin = format!("http://localhost:8000/{path}?token=");
    let (_, rest) = text
        .split_once(&begin)
        .unwrap_or_else(|| panic!("no {begin} in {text}"));
    rest.chars()
        .take_while(|c| c.is_ascii_alphanumeric() || *c == '-' || *c == '_')
        .collect()
}

#[tokio::test]
async fn whoever_registers_confirms_the_address_and_logs_in() {
    let mut server = MailServer::start("starttls").await;
    let world = world(&server, &[]).await;
    configure(&world, &server, json!({})).await;
    let api = world.gateway.api();
    let body = json!({"email": "Dora@example.org", "password": PASSWORD, "account_name": "Initech"});
    let made = api.post("/auth/register", body).await.expect(201);
    let mail = server.next().await;
    assert_eq!(mail["to"], json!(["Dora@example.org"]));
    let first = token_in(&mail, "verify-email");

    // Asked for again, the links before are dead.
    let mut tokens = vec![first, "x".to_owned()];
    for (path, body) in [
        (
            "/auth/resend-verification",
            json!({"email": "dora@example.org", "account": "initech"}),
        ),
        ("/auth/send-verification", json!({"email": "dora@example.org"})),
    ] {
        let known = api.post(path, body).await;
        let unknown = api.post(path, json!({"email": "nobody@example.org"})).await;
        assert_eq!((known.status, &known.text), (200, &unknown.text));
        tokens.push(token_in(&server.next().await, "verify-email"));
    }
    let last = tokens.pop().expect("three mails");
    for dead in &tokens {
        let refused = api.post("/auth/verify-email", json!({"token": dead})).await;
        assert!(refused.json["detail"].is_string(), "{}", refused.text);
        refused.expect(400);
    }
    let credentials = json!({"account": "initech", "email": "dora@example.org", "password": PASSWORD});
    api.post("/auth/login", credentials.clone()).await.expect(401);
    // The address of a client that holds on to an old session works, too.
    let stale = api.with_token("eyJhbGciOiJIUzI1NiJ9.e30.x");
    let confirmed = stale
        .post("/auth/verify-email", json!({"token": last}))
        .await
        .expect(200);
    assert_eq!(
        confirmed["user"],
        json!({"id": made["user"]["id"], "email": "Dora@example.org", "email_verified": true})
    );
    api.post("/auth/verify-email", json!({"token": last}))
        .await
        .expect(400);
    let session = api.post("/auth/login", credentials).await.expect(200);
    assert_eq!(session["user"]["email_verified"], true);
}

#[tokio::test]
async fn whoever_forgot_the_password_sets_a_new_one_and_is_told() {
    let mut server = MailServer::start("starttls").await;
    let world = world(&server, &[]).await;
    configure(&world, &server, json!({})).await;
    let api = world.gateway.api();
    let forget = json!({"email": "BOB@example.com", "account": "acme"});
    api.post("/auth/forgot-password", forget).await.expect(200);
    let token = token_in(&server.next().await, "reset-password");
    let body = json!({"token": token, "new_password": "Another-Horse-8-Battery"});
    api.post("/auth/reset-password", body).await.expect(200);
    let notice = server.next().await;
    assert_eq!(notice["to"], json!(["bob@example.com"]));
    let text = text_of(&notice);
    assert!(
        text.contains("password of bob@example.com") && text.contains("127.0.0.1"),
        "{text}"
    );
    assert!(!text.contains("Another-Horse"), "{text}");
}
