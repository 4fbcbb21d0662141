//! Trap 37: logs hold credentials, whole or their beginnings.

use std::process::Stdio;

use serde_json::json;
use snackbase_e2e::{Api, PASSWORD, World, environment, gateway_command};
use tokio::io::AsyncReadExt;

#[tokio::test]
async fn the_most_talkative_log_has_no_credential_in_it() {
    let world = World::new().await;
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
    let port = listener.local_addr().expect("an address").port();
    drop(listener);
    let mut command = gateway_command(&world.database, environment("PGPORT").parse().expect("a port"));
    command
        .env("SNACKBASE_PORT", port.to_string())
        .env("SNACKBASE_LOG_LEVEL", "trace")
        .env("SNACKBASE_ACCESS_LOG", "true")
        .env(
            "SNACKBASE_ENCRYPTION_KEY",
            "an encryption key of this test, 32 long",
        )
        .arg("serve")
        .stderr(Stdio::piped());
    let mut child = command.spawn().expect("the gateway starts");
    let mut log = child.stderr.take().expect("a pipe");
    // Read all the time, or the gateway would wait for us.
    let log = tokio::spawn(async move {
        let mut text = String::new();
        log.read_to_string(&mut text).await.map(|_| text)
    });
    let api = Api::new(&format!("http://127.0.0.1:{port}"));
    let client = reqwest::Client::new();
    for attempt in 0.. {
        let ready = client.get(format!("http://127.0.0.1:{port}/ready")).send().await;
        if ready.is_ok_and(|answer| answer.status().is_success()) {
            break;
        }
        assert!(attempt < 400, "the gateway does not start");
        tokio::time::sleep(std::time::Duration::from_millis(25)).await;
    }

    let login =
        |password: &str| json!({"account": "acme", "email": "alice@example.com", "password": password});
    let session = api.post("/auth/login", login(PASSWORD)).await.expect(200);
    let token = session["token"].as_str().expect("a token");
    let refresh = session["refresh_token"].as_str().expect("a token");
    let alice = api.with_token(token);
    let made = alice
        .post("/admin/api-keys", json!({"name": "a key"}))
        .await
        .expect(201);
    let key = made["key"].as_str().expect("a key");
    let wrong = "Wrong-Horse-7-Battery";
    api.post("/auth/login", login(wrong)).await.expect(401);
    api.with_header("x-api-key", key)
        .get("/records/posts")
        .await
        .expect(200);
    api.with_token(key)
        .get(&format!("/auth/me?token={token}"))
        .await
        .expect(200);
    api.with_header("x-api-key", &format!("{}AAAA", &key[..68]))
        .get("/auth/me")
        .await
        .expect(401);
    api.with_token(&format!("{token}x"))
        .get("/auth/me")
        .await
        .expect(401);
    let reason = "why-of-a-signature";
    for (name, password, status) in [
        ("alice@example.com", PASSWORD, 201),
        ("alice@example.com", "Forged-Horse-7-Battery", 403),
        ("signer-who-is-not", PASSWORD, 403),
    ] {
        alice
            .with_header("x-es-username", name)
            .with_header("x-es-password", password)
            .with_header("x-es-meaning", "approval")
            .with_header("x-es-reason", reason)
            .post("/records/posts", json!({"title": "signed"}))
            .await
            .expect(status);
    }
    // Headers that make no signature are refused before the database sees them.
    alice
        .with_header("x-es-password", PASSWORD)
        .with_header("x-es-reason", reason)
        .post("/records/posts", json!({"title": "signed"}))
        .await
        .expect(422);
    let register = json!({"email": "new@example.com", "password": PASSWORD, "account_name": "Hooli"});
    api.post("/auth/register", register).await.expect(201);
    // A failure on our side is logged with its cause.
    let superuser = world.database.superuser().await;
    let hash = superuser
        .value("select password_hash from snackbase.users where email like 'alice%'")
        .await;
    superuser
        .batch_execute(
            "update snackbase.users set password_hash = 'broken-hash-of-bob' where email like 'bob%'",
        )
        .await
        .expect("a superuser may");
    let bob = json!({"account": "acme", "email": "bob@example.com", "password": PASSWORD});
    api.post("/auth/login", bob).await.expect(500);
    let rotated = api
        .post("/auth/refresh", json!({"refresh_token": refresh}))
        .await
        .expect(200);
    api.post("/auth/logout", json!({"refresh_token": rotated["refresh_token"]}))
        .await
        .expect(200);

    let pid = child.id().expect("it runs").to_string();
    let sent = tokio::process::Command::new("kill")
        .args(["-TERM", &pid])
        .status()
        .await
        .expect("kill(1)");
    assert!(sent.success() && child.wait().await.expect("it ends").success());
    let log = log.await.expect("no panic").expect("text");
    assert!(
        log.contains("/api/v1/auth/login") && log.contains("request failed"),
        "{log}"
    );
    let part = |text: &str, number: usize| text.split('.').nth(number).expect("parts")[..16].to_owned();
    for (what, secret) in [
        ("a password", PASSWORD.to_owned()),
        ("a wrong password", wrong.to_owned()),
        ("a wrong password of a signature", "Forged-Horse".to_owned()),
        ("the name of a signer", "signer-who-is-not".to_owned()),
        ("the reason of a signature", reason.to_owned()),
        ("claims", part(token, 1)),
        ("a signature", part(token, 2)),
        ("a refresh token", part(refresh, 2)),
        (
            "a new refresh token",
            part(rotated["refresh_token"].as_str().expect("a token"), 2),
        ),
        ("the id in a key", part(key, 1)),
        ("the secret of a key", part(key, 2)),
        ("a hash of a password", hash[..30].to_owned()),
        ("a broken hash", "broken-hash".to_owned()),
        ("an address", "example.com".to_owned()),
        ("the secret of the gateway", "e2e-test-secret".to_owned()),
        ("its key of encryption", "an encryption key".to_owned()),
        ("its password", environment("SNACKBASE_TEST_GATEWAY_PASSWORD")),
    ] {
        assert!(!log.contains(&secret), "the log holds {what}");
    }
}
