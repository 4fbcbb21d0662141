//! T24: in the original any user may invite, role and groups of an invitation are ignored, links lead to localhost, accepting for a
//! user who exists is a 500, and the filter `cancelled` returns everything. (Role and groups: acceptance line 12.)

use serde_json::json;
use snackbase_e2e::{MailServer, PASSWORD, World};

use crate::mail;

#[tokio::test]
async fn invitations_lead_home_and_only_administrators_make_them() {
    let mut server = MailServer::start("starttls").await;
    let world = mail::world(&server, &[]).await;
    mail::configure(&world, &server, json!({})).await;
    let settings = "/admin/configuration/00000000-0000-4000-8000-000000000102/values";
    let values = json!({"app_url": "https://app.example.org/", "app_name": "Notes"});
    world.root.patch(settings, values).await.expect(200);
    let body = json!({"email": "ivy@example.org", "role_id": 1});
    world.bob.post("/invitations", body.clone()).await.expect(403);
    // A superadmin invites for an account: the mail and the link are that account's.
    let mut of_acme = body.clone();
    of_acme["account_id"] = json!(world.account_id("alice"));
    let made = world.root.post("/invitations", of_acme).await.expect(201);
    let token = made["token"].as_str().expect("a token");
    let text = mail::flows::text_of(&server.next().await);
    assert!(
        text.contains(&format!(
            "https://app.example.org/accept-invitation?token={token}"
        )) && !text.contains("localhost:8000"),
        "{text}"
    );
    assert!(
        text.contains("root@example.com invites you to work in Acme"),
        "{text}"
    );

    let api = world.gateway.api();
    let accept = |token: &str| {
        let (api, path) = (api.clone(), format!("/invitations/{token}/accept"));
        async move { api.post(&path, json!({"password": PASSWORD})).await }
    };
    accept(token).await.expect(200);
    accept(token).await.expect(404);
    world.alice.post("/invitations", body).await.expect(400);
    world
        .alice
        .post("/invitations", json!({"email": "jo@example.org"}))
        .await
        .expect(201);
    for (filter, count) in [("pending", 1), ("accepted", 1), ("cancelled", 0), ("expired", 0)] {
        let list = world
            .alice
            .get(&format!("/invitations?status_filter={filter}"))
            .await
            .expect(200);
        assert_eq!(list["total"], count, "{filter}");
        assert_eq!(
            list["invitations"].as_array().map(Vec::len),
            Some(count),
            "{filter}"
        );
    }
}

#[tokio::test]
async fn an_invitation_gives_no_more_than_its_inviter_has() {
    let world = World::new().await;
    let made = world
        .alice
        .post("/invitations", json!({"email": "ivy@example.org", "role_id": 1}))
        .await
        .expect(201);
    let path = format!("/users/{}", world.user_id("alice"));
    world.root.patch(&path, json!({"role_id": 2})).await.expect(200);
    let path = format!("/invitations/{}/accept", made["token"].as_str().expect("a token"));
    let session = world
        .gateway
        .api()
        .post(&path, json!({"password": PASSWORD}))
        .await
        .expect(200);
    assert_eq!(session["user"]["role"], "user");
    // Into the system account only superadmins invite.
    let system = json!({"email": "eve@example.org", "account_id": "00000000-0000-0000-0000-000000000000"});
    world.carol.post("/invitations", system.clone()).await.expect(403);
    world.root.post("/invitations", system).await.expect(201);
}
