//! Several gateways, and gateways that die.

use std::collections::BTreeSet;

use serde_json::json;
use snackbase_e2e::{Gateway, MailServer};
use tokio::process::Command;

use super::{QUICK, configure, enqueue, logged, world};

#[tokio::test]
async fn gateways_share_the_queue_and_every_mail_is_sent_once() {
    let mut server = MailServer::start("starttls").await;
    let world = world(&server, &[]).await;
    configure(&world, &server, json!({})).await;
    let certificate = server.certificate();
    let mut settings = QUICK.to_vec();
    settings.push(("SNACKBASE_OUTBOUND_CA_FILE", &certificate));
    let _second = Gateway::start(&world.database, &settings).await;
    let _third = Gateway::start(&world.database, &settings).await;
    let superuser = world.database.superuser().await;
    superuser
        .execute(
            "select snackbase._mail_enqueue($1::text::uuid, 'email_verification', 'n' || n || '@example.org', '{}') from generate_series(1, 60) n",
            &[&world.account_id("alice")],
        )
        .await
        .expect("mails can be queued");
    let mut recipients = BTreeSet::new();
    for _ in 0..60 {
        let mail = server.next().await;
        let recipient = mail["to"][0].as_str().expect("a recipient").to_owned();
        assert!(recipients.insert(recipient), "sent twice: {mail}");
    }
    for _ in 0..200 {
        let sent = superuser
            .value("select count(*) from snackbase.mail_outbox where status = 'sent' and attempts = 1")
            .await;
        if sent == "60" {
            return;
        }
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    panic!("not all mails are noted as sent");
}

#[tokio::test]
async fn mail_of_a_gateway_that_is_killed_is_sent_by_another() {
    let mut server = MailServer::start("starttls").await;
    let world = world(&server, &[]).await;
    configure(&world, &server, json!({})).await;
    // The server takes a second to accept it: time enough.
    let id = enqueue(&world, "slow@example.org", json!({"token": "t"})).await;
    let superuser = world.database.superuser().await;
    while superuser
        .value(&format!(
            "select attempts from snackbase.mail_outbox where id = {id}"
        ))
        .await
        == "0"
    {
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    }
    let pid = world.gateway.pid().to_string();
    let killed = Command::new("kill").args(["-KILL", &pid]).status().await;
    assert!(killed.expect("kill(1) exists").success());
    // Nobody waits three minutes here: the lease is ended by hand.
    superuser
        .batch_execute(&format!(
            "update snackbase.mail_outbox set due_at = now() where id = {id}"
        ))
        .await
        .expect("a superuser may");
    let certificate = server.certificate();
    let mut settings = QUICK.to_vec();
    settings.push(("SNACKBASE_OUTBOUND_CA_FILE", &certificate));
    let second = Gateway::start(&world.database, &settings).await;
    let first_id = message_id(&server.next().await);
    let root = second
        .api()
        .with_token(world.people["root"]["token"].as_str().expect("a token"));
    for _ in 0..400 {
        let log = root.get(&format!("/admin/email/logs/{id}")).await.expect(200);
        if log["status"] == "sent" {
            assert_eq!(log["attempts"], 2);
            // If the first copy arrived, too, both say that they are one.
            if !server.is_silent(std::time::Duration::from_millis(1)).await {
                return;
            }
            assert!(first_id.contains(&format!("<{id}.")), "{first_id}");
            return;
        }
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    panic!("the mail was not sent again");
}

fn message_id(mail: &serde_json::Value) -> String {
    let data = mail["data"].as_str().unwrap_or_default();
    let line = data.lines().find(|line| line.starts_with("Message-ID:"));
    line.unwrap_or_default().to_owned()
}

#[tokio::test]
async fn a_gateway_that_is_told_to_stop_finishes_the_mail_in_hand() {
    let mut server = MailServer::start("starttls").await;
    let world = world(&server, &[]).await;
    configure(&world, &server, json!({})).await;
    let id = enqueue(&world, "slow@example.org", json!({})).await;
    let superuser = world.database.superuser().await;
    while superuser
        .value(&format!(
            "select attempts from snackbase.mail_outbox where id = {id}"
        ))
        .await
        == "0"
    {
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    }
    assert!(world.gateway.stop().await);
    server.next().await;
    let status = superuser
        .value(&format!(
            "select status from snackbase.mail_outbox where id = {id}"
        ))
        .await;
    assert_eq!(status, "sent");
}

#[tokio::test]
async fn a_gateway_whose_worker_is_off_delivers_nothing() {
    let mut server = MailServer::start("starttls").await;
    let world = world(&server, &[("SNACKBASE_WORKER_ENABLED", "false")]).await;
    configure(&world, &server, json!({})).await;
    let id = enqueue(&world, "new@example.org", json!({})).await;
    assert!(server.is_silent(std::time::Duration::from_millis(300)).await);
    logged(&world, id, "pending").await;
}
