//! One gateway, one server.

use std::time::Duration;

use serde_json::json;
use snackbase_e2e::MailServer;

use super::{configure, enqueue, logged, world};

#[tokio::test]
async fn mail_goes_by_starttls_with_both_parts_and_its_variables_are_erased() {
    let mut server = MailServer::start("starttls").await;
    let world = world(&server, &[]).await;
    configure(&world, &server, json!({"reply_to": "help@example.com"})).await;
    let variables = json!({"token": "open-sesame", "verification_url": "https://app.example/verify?token=open-sesame",
        "email": "new@example.org"});
    let id = enqueue(&world, "new@example.org", variables).await;
    let mail = server.next().await;
    assert_eq!(
        (&mail["tls"], &mail["user"], &mail["from"], &mail["to"]),
        (
            &json!(true),
            &json!("mailer"),
            &json!("noreply@example.com"),
            &json!(["new@example.org"])
        )
    );
    let data = mail["data"].as_str().expect("a text");
    for part in [
        "Subject: Confirm your email address for SnackBase",
        "multipart/alternative",
        "text/plain",
        "text/html",
        "Reply-To: help@example.com",
        "open-sesame",
        &format!("Message-ID: <{id}."),
    ] {
        assert!(data.contains(part), "{part:?} is missing:\n{data}");
    }
    let log = logged(&world, id, "sent").await;
    assert_eq!(
        (&log["provider"], &log["attempts"], &log["variables"]["token"]),
        (&json!("smtp"), &json!(1), &json!("***"))
    );
    let superuser = world.database.superuser().await;
    let left = superuser
        .value("select count(*) from snackbase.mail_outbox m where m::text like '%open-sesame%'")
        .await;
    assert_eq!(left, "0");
}

#[tokio::test]
async fn mail_goes_by_tls_from_the_start() {
    let mut server = MailServer::start("tls").await;
    let world = world(&server, &[]).await;
    configure(&world, &server, json!({"use_ssl": true})).await;
    let id = enqueue(&world, "new@example.org", json!({})).await;
    assert_eq!(server.next().await["tls"], true);
    logged(&world, id, "sent").await;
}

#[tokio::test]
async fn a_server_without_tls_is_not_spoken_to_unless_the_provider_says_so() {
    let mut server = MailServer::start("plain").await;
    let world = world(&server, &[("SNACKBASE_MAIL_MAX_ATTEMPTS", "2")]).await;
    let provider = configure(&world, &server, json!({})).await;
    let id = enqueue(&world, "new@example.org", json!({"token": "t"})).await;
    let log = logged(&world, id, "failed").await;
    assert_eq!(log["attempts"], 2);
    assert!(server.is_silent(Duration::from_millis(1)).await);
    world
        .root
        .patch(
            &format!("/admin/configuration/{provider}/values"),
            json!({"use_tls": false}),
        )
        .await
        .expect(200);
    enqueue(&world, "new@example.org", json!({})).await;
    assert_eq!(server.next().await["tls"], false);
}

#[tokio::test]
async fn a_certificate_that_nobody_vouches_for_ends_the_attempt() {
    let server = MailServer::start("starttls").await;
    let another = MailServer::start("plain").await;
    // The gateway believes another server's certificate.
    let world = world(&another, &[("SNACKBASE_MAIL_MAX_ATTEMPTS", "1")]).await;
    configure(&world, &server, json!({})).await;
    let id = enqueue(&world, "new@example.org", json!({})).await;
    let log = logged(&world, id, "failed").await;
    assert!(log["error_message"].is_string(), "{log}");
}

#[tokio::test]
async fn what_the_server_refuses_for_the_moment_is_tried_again_and_what_it_refuses_for_good_is_not() {
    let mut server = MailServer::start("starttls").await;
    let world = world(&server, &[]).await;
    configure(&world, &server, json!({})).await;
    let later = enqueue(&world, "later@example.org", json!({"token": "a"})).await;
    let never = enqueue(&world, "never@example.org", json!({"token": "b"})).await;
    assert_eq!(server.next().await["to"], json!(["later@example.org"]));
    assert_eq!(logged(&world, later, "sent").await["attempts"], 3);
    let log = logged(&world, never, "failed").await;
    assert_eq!(log["attempts"], 1);
    assert!(
        log["error_message"]
            .as_str()
            .is_some_and(|text| text.contains("No such user")),
        "{log}"
    );
}

#[tokio::test]
async fn an_address_of_this_machine_is_not_called_unless_the_operator_allows_it() {
    let mut server = MailServer::start("starttls").await;
    let settings = [
        ("SNACKBASE_OUTBOUND_ALLOWED_NETWORKS", "192.0.2.0/24"),
        ("SNACKBASE_MAIL_MAX_ATTEMPTS", "1"),
    ];
    let world = world(&server, &settings).await;
    configure(&world, &server, json!({})).await;
    let id = enqueue(&world, "new@example.org", json!({})).await;
    let log = logged(&world, id, "failed").await;
    assert_eq!(log["error_message"], "the host may not be called");
    assert!(server.is_silent(Duration::from_millis(1)).await);
}

#[tokio::test]
async fn mail_waits_for_a_provider_to_be_configured() {
    let mut server = MailServer::start("starttls").await;
    let world = world(&server, &[("SNACKBASE_MAIL_MAX_ATTEMPTS", "1000")]).await;
    let id = enqueue(&world, "new@example.org", json!({"token": "t"})).await;
    let log = logged(&world, id, "pending").await;
    assert!(log["next_attempt_at"].is_string(), "{log}");
    configure(&world, &server, json!({})).await;
    server.next().await;
    logged(&world, id, "sent").await;
}
