//! Line 12: invitation: create, getPublic, resend (old link dead), accept with role and groups, second accept 404.

use serde_json::json;
use snackbase_e2e::{MailServer, PASSWORD, World};

use crate::mail;
use crate::sdk;

/// The group `pii_access` of Acme.
async fn group(world: &World) -> String {
    let superuser = world.database.superuser().await;
    superuser
        .value(&format!(
            "select id from snackbase.groups where account_id = '{}'",
            world.account_id("alice")
        ))
        .await
}

#[tokio::test]
async fn through_the_client() {
    let world = World::new().await;
    let group = group(&world).await;
    let file = "tests/sdk/acceptance/line12_invitations.test.mjs";
    sdk::against(&world, file, &[("GROUP", &group)]).await;
}

#[tokio::test]
async fn by_mail() {
    let mut server = MailServer::start("starttls").await;
    let world = mail::world(&server, &[]).await;
    mail::configure(&world, &server, json!({})).await;
    let made = world
        .alice
        .post("/invitations", json!({"email": "ivy@example.org"}))
        .await
        .expect(201);
    let letter = server.next().await;
    assert_eq!(letter["to"], json!(["ivy@example.org"]));
    let text = mail::flows::text_of(&letter);
    assert!(
        text.contains("alice@example.com") && text.contains("Acme"),
        "{text}"
    );
    let token = mail::flows::token_in(&letter, "accept-invitation");
    assert_eq!(made["token"].as_str(), Some(token.as_str()));
    let path = format!("/invitations/{token}/accept");
    let session = world
        .gateway
        .api()
        .post(&path, json!({"password": PASSWORD}))
        .await
        .expect(200);
    assert_eq!(session["user"]["role"], "user");

    // When it was sent is noted while it is pending.
    world
        .alice
        .post("/invitations", json!({"email": "jo@example.org"}))
        .await
        .expect(201);
    server.next().await;
    for _ in 0..200 {
        let list = world
            .alice
            .get("/invitations?status_filter=pending")
            .await
            .expect(200);
        let one = &list["invitations"][0];
        if one["email_sent"] == true {
            assert!(one["email_sent_at"].is_string(), "{one}");
            return;
        }
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    panic!("it is not noted that the mail was sent");
}
