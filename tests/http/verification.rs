//! Confirming addresses over HTTP. Source: identity contract §4.1 #6 to #8.

use serde_json::json;
use snackbase_e2e::{PASSWORD, World};

#[tokio::test]
async fn users_and_visitors_ask_for_the_link_and_are_told_the_same() {
    let world = World::new().await;
    let superuser = world.database.superuser().await;
    superuser
        .batch_execute(
            "update snackbase.users set email_verified = false where email in ('alice@example.com', 'bob@example.com')",
        )
        .await
        .expect("a superuser may");
    let api = world.gateway.api();
    let mut answers = Vec::new();
    for path in ["/auth/send-verification", "/auth/resend-verification"] {
        answers.push(world.alice.post(path, json!({})).await);
        answers.push(world.alice.send(reqwest::Method::POST, path, None).await);
        // A token that is none is no reason to refuse what a visitor may ask for.
        answers.push(
            api.with_token("x.y.z")
                .post(path, json!({"email": "bob@example.com", "account": "acme"}))
                .await,
        );
        answers.push(
            api.post(path, json!({"email": "x@example.com", "account": "nowhere"}))
                .await,
        );
        answers.push(
            api.with_header("host", "acme.example.com")
                .post(path, json!({"email": "nobody@example.com"}))
                .await,
        );
        // Whoever is nobody has to say who it is about.
        for body in [json!({}), json!({"account": "acme"})] {
            let refused = api.with_token("x.y.z").post(path, body).await;
            assert!(
                !refused.text.contains("mail") && !refused.text.contains("verif"),
                "{}",
                refused.text
            );
            refused.expect(401);
        }
        for email in [json!("no address"), json!(7), json!("")] {
            api.post(path, json!({"email": email})).await.expect(422);
        }
    }
    assert!(
        answers
            .iter()
            .all(|answer| answer.status == 200 && answer.text == answers[0].text)
    );
    let sent = "select string_agg(recipient || ' ' || n, ', ' order by recipient)
                  from (select recipient, count(*) as n from snackbase.mail_outbox group by recipient) x";
    assert_eq!(
        superuser.value(sent).await,
        "alice@example.com 3, bob@example.com 2"
    );

    for body in [
        json!({}),
        json!({"token": null}),
        json!({"token": 1}),
        json!({"token": "x".repeat(513)}),
    ] {
        api.post("/auth/verify-email", body).await.expect(422);
    }
    let token = world.mailed_token("bob@example.com").await;
    api.post("/auth/verify-email", json!({"token": token}))
        .await
        .expect(200);
    api.post(
        "/auth/login",
        json!({"account": "acme", "email": "bob@example.com", "password": PASSWORD}),
    )
    .await
    .expect(200);
}

#[tokio::test]
async fn a_session_that_has_ended_asks_as_a_visitor() {
    let world = World::new().await;
    let superuser = world.database.superuser().await;
    superuser
        .batch_execute(
            "update snackbase.users set email_verified = false where email = 'bob@example.com';
             update snackbase.sessions set revoked_at = now()",
        )
        .await
        .expect("a superuser may");
    let path = "/auth/resend-verification";
    world.bob.post(path, json!({})).await.expect(401);
    world
        .bob
        .post(path, json!({"email": "bob@example.com"}))
        .await
        .expect(200);
    assert_eq!(
        superuser
            .value("select count(*) from snackbase.mail_outbox")
            .await,
        "1"
    );
}
