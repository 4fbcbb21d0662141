//! Forgotten passwords over HTTP. Source: identity contract §4.1 #9 to #11, §5.4.

use serde_json::{Value, json};
use snackbase_e2e::{PASSWORD, World};

const NEW: &str = "Another-Horse-8-Battery";

async fn login(world: &World, password: &str) -> snackbase_e2e::Answer {
    let body = json!({"account": "acme", "email": "bob@example.com", "password": password});
    world.gateway.api().post("/auth/login", body).await
}

#[tokio::test]
async fn a_reset_ends_sessions_and_the_old_password() {
    let world = World::new().await;
    // Clients send what they have got; here it does not matter.
    let api = world.gateway.api().with_token("x.y.z");
    let mut answers = Vec::new();
    for email in ["bob@example.com", "nobody@example.com", "carol@example.com"] {
        answers.push(
            api.post(
                "/auth/forgot-password",
                json!({"email": email, "account": "acme"}),
            )
            .await,
        );
    }
    answers.push(
        api.post(
            "/auth/forgot-password",
            json!({"email": "bob@example.com", "account": "nowhere"}),
        )
        .await,
    );
    assert!(
        answers
            .iter()
            .all(|answer| answer.status == 200 && answer.text == answers[0].text)
    );
    let token = world.mailed_token("bob@example.com").await;
    let check = async |token: &str| -> Value {
        api.get(&format!("/auth/verify-reset-token/{token}"))
            .await
            .expect(200)
    };
    let good = check(&token).await;
    assert_eq!(good["valid"], true);
    assert!(
        good["expires_at"]
            .as_str()
            .is_some_and(|text| text.ends_with('Z')),
        "{good}"
    );
    assert_eq!(check("x").await, json!({"valid": false, "expires_at": null}));

    // What is wrong with the password is said first, and costs no token.
    let reset = async |token: &str, password: &str| {
        api.post(
            "/auth/reset-password",
            json!({"token": token, "new_password": password}),
        )
        .await
    };
    let weak = reset(&token, "password").await;
    assert_eq!(
        weak.json["detail"]["details"], weak.json["details"],
        "{}",
        weak.text
    );
    assert!(
        weak.codes().contains(&"password:password_no_digit".to_owned()),
        "{}",
        weak.text
    );
    weak.expect(400);
    reset("x", "password").await.expect(400);
    reset(&token, "short").await.expect(422);
    let unknown = reset("x", NEW).await;
    assert!(unknown.json["detail"].is_string(), "{}", unknown.text);
    unknown.expect(400);

    world.bob.get("/auth/me").await.expect(200);
    let done = reset(&token, NEW).await.expect(200);
    assert!(done["message"].is_string(), "{done}");
    world.bob.get("/auth/me").await.expect(401);
    let refresh = json!({"refresh_token": world.people["bob"]["refresh_token"]});
    api.post("/auth/refresh", refresh).await.expect(401);
    login(&world, PASSWORD).await.expect(401);
    login(&world, NEW).await.expect(200);
    assert_eq!(check(&token).await["valid"], false);
    reset(&token, PASSWORD).await.expect(400);
    login(&world, NEW).await.expect(200);
}

#[tokio::test]
async fn who_forgot_a_password_says_where() {
    let world = World::new().await;
    let api = world.gateway.api();
    let nameless = api
        .post("/auth/forgot-password", json!({"email": "bob@example.com"}))
        .await;
    assert_eq!(nameless.codes(), ["account:required"], "{}", nameless.text);
    nameless.expect(400);
    for body in [
        json!({"account": "acme"}),
        json!({"account": "acme", "email": "nobody"}),
        json!({"account": 1, "email": "bob@example.com"}),
    ] {
        api.post("/auth/forgot-password", body).await.expect(422);
    }
    api.with_header("host", "acme.example.com")
        .post("/auth/forgot-password", json!({"email": "bob@example.com"}))
        .await
        .expect(200);
    assert_eq!(world.mailed_token("bob@example.com").await.len(), 43);
    for body in [
        json!({"token": "x"}),
        json!({"new_password": NEW}),
        json!({"token": "x", "new_password": "x".repeat(1025)}),
    ] {
        api.post("/auth/reset-password", body).await.expect(422);
    }
}

#[tokio::test]
async fn a_reset_opens_the_lock_and_confirms_the_address() {
    let world = World::new().await;
    let superuser = world.database.superuser().await;
    superuser
        .batch_execute(
            "update snackbase.users set email_verified = false, failed_login_attempts = 40, locked_until = now() + interval '1 hour'
              where email = 'bob@example.com'",
        )
        .await
        .expect("a superuser may");
    login(&world, PASSWORD).await.expect(401);
    let api = world.gateway.api();
    let forget = json!({"email": "bob@example.com", "account": "acme"});
    api.post("/auth/forgot-password", forget).await.expect(200);
    let token = world.mailed_token("bob@example.com").await;
    api.post(
        "/auth/reset-password",
        json!({"token": token, "new_password": NEW}),
    )
    .await
    .expect(200);
    assert_eq!(
        login(&world, NEW).await.expect(200)["user"]["email_verified"],
        true
    );
}
