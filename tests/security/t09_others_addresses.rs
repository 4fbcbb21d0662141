//! T9: in the original a link for an arbitrary address confirms the user's own, and an address that is changed stays confirmed.

use serde_json::json;
use snackbase_e2e::World;

async fn verified(world: &World) -> String {
    let superuser = world.database.superuser().await;
    superuser
        .value("select email || ' ' || email_verified || ' ' || address_proven from snackbase.users where email like 'bob%'")
        .await
}

#[tokio::test]
async fn a_link_confirms_the_address_it_was_sent_to_and_no_other() {
    let world = World::new().await;
    let superuser = world.database.superuser().await;
    let api = world.gateway.api();
    superuser
        .batch_execute("update snackbase.users set email_verified = false where email = 'bob@example.com'")
        .await
        .expect("a superuser may");
    world
        .bob
        .post("/auth/send-verification", json!({"email": "mallory@example.org"}))
        .await
        .expect(200);
    let token = world.mailed_token("mallory@example.org").await;
    api.post("/auth/verify-email", json!({"token": token}))
        .await
        .expect(400);
    assert_eq!(verified(&world).await, "bob@example.com false false");

    // The link that was sent before the address changed proves nothing of the new one.
    world
        .bob
        .post("/auth/resend-verification", json!({}))
        .await
        .expect(200);
    let token = world.mailed_token("bob@example.com").await;
    let path = format!("/users/{}", world.user_id("bob"));
    world
        .alice
        .patch(&path, json!({"email": "bob2@example.com"}))
        .await
        .expect(200);
    api.post("/auth/verify-email", json!({"token": token}))
        .await
        .expect(400);
    assert_eq!(verified(&world).await, "bob2@example.com false false");

    // And what was confirmed ends with the address.
    world
        .bob
        .post("/auth/resend-verification", json!({}))
        .await
        .expect(200);
    let token = world.mailed_token("bob2@example.com").await;
    api.post("/auth/verify-email", json!({"token": token}))
        .await
        .expect(200);
    assert_eq!(verified(&world).await, "bob2@example.com true true");
    world
        .alice
        .patch(&path, json!({"email": "bob3@example.com"}))
        .await
        .expect(200);
    assert_eq!(verified(&world).await, "bob3@example.com false false");
}

#[tokio::test]
async fn an_administrators_word_about_an_address_tells_nothing_of_other_accounts() {
    let world = World::new().await;
    // Carol takes bob's address for a user of hers, vouches for it, and asks as that user.
    let body = json!({"email": "bob@example.com", "password": snackbase_e2e::PASSWORD, "role_id": 2});
    let made = world.carol.post("/users", body).await.expect(201);
    let id = made["id"].as_str().expect("an id");
    world
        .carol
        .post(&format!("/users/{id}/verify"), json!({}))
        .await
        .expect(200);
    let login = json!({"account": "globex", "email": "bob@example.com", "password": snackbase_e2e::PASSWORD});
    let session = world.gateway.api().post("/auth/login", login).await.expect(200);
    let spy = world
        .gateway
        .api()
        .with_token(session["token"].as_str().expect("a token"));
    let told = spy.get("/auth/accounts").await;
    assert!(
        told.text.contains("globex") && !told.text.contains("acme"),
        "{}",
        told.text
    );
}

/// In the locale of the database a Kelvin sign is a capital K. For whoever delivers mail it is another letter, in another mailbox.
#[tokio::test]
async fn a_mailbox_that_only_looks_like_it_proves_nothing() {
    const ALIKE: &str = "\u{212a}irk@example.com";
    let world = World::new().await;
    let api = world.gateway.api();
    let body = json!({"email": "kirk@example.com", "password": snackbase_e2e::PASSWORD, "role_id": 2});
    let made = world.carol.post("/users", body.clone()).await.expect(201);
    let path = format!("/users/{}", made["id"].as_str().expect("an id"));
    let verify = format!("{path}/verify");
    world.carol.post(&verify, json!({})).await.expect(200);
    let login =
        json!({"account": "globex", "email": "kirk@example.com", "password": snackbase_e2e::PASSWORD});
    let session = api.post("/auth/login", login).await.expect(200);
    let spy = api.with_token(session["token"].as_str().expect("a token"));
    // The one whose address it is, in another account.
    let other = world.alice.post("/users", body).await.expect(201);
    let other = format!("/users/{}/verify", other["id"].as_str().expect("an id"));
    world.root.post(&other, json!({})).await.expect(200);
    let blind = async |what: &str| {
        let told = spy.get("/auth/accounts").await;
        assert!(told.text.contains("globex"), "{what}: {}", told.text);
        assert!(!told.text.contains("acme"), "{what}: {}", told.text);
    };

    // A link that went to the mailbox alike.
    spy.post("/auth/send-verification", json!({"email": ALIKE}))
        .await
        .expect(200);
    let token = json!({"token": world.mailed_token(ALIKE).await});
    api.post("/auth/verify-email", token.clone()).await.expect(400);
    blind("by its link").await;
    // A proven address that becomes the other one.
    world
        .carol
        .patch(&path, json!({"email": ALIKE}))
        .await
        .expect(200);
    api.post("/auth/verify-email", token).await.expect(200);
    blind("by its owner").await;
    let back = json!({"email": "kirk@example.com"});
    let changed = world.carol.patch(&path, back).await.expect(200);
    assert_eq!(changed["email_verified"], false);
    world.carol.post(&verify, json!({})).await.expect(200);
    blind("by a change").await;
}

#[tokio::test]
async fn an_invitation_that_its_maker_accepts_tells_nothing_of_other_accounts() {
    let world = World::new().await;
    let api = world.gateway.api();
    let accept = async |made: &serde_json::Value| {
        let path = format!("/invitations/{}/accept", made["token"].as_str().expect("a token"));
        let body = json!({"password": snackbase_e2e::PASSWORD});
        let session = api.post(&path, body).await.expect(200);
        api.with_token(session["token"].as_str().expect("a token"))
    };
    // Carol is told the token that is on its way to bob.
    let body = json!({"email": "bob@example.com"});
    let made = world.carol.post("/invitations", body).await.expect(201);
    let spy = accept(&made).await;
    let told = spy.get("/auth/accounts").await;
    assert!(
        told.text.contains("globex") && !told.text.contains("acme"),
        "{}",
        told.text
    );
    // Whoever reads bob's mail can prove it.
    spy.post("/auth/send-verification", json!({})).await.expect(200);
    let token = json!({"token": world.mailed_token("bob@example.com").await});
    api.post("/auth/verify-email", token).await.expect(200);
    let told = spy.get("/auth/accounts").await;
    assert!(told.text.contains("acme"), "{}", told.text);

    // Nor does one of a superadmin that somebody else has sent again.
    let body = json!({"email": "root@example.com", "account_id": world.account_id("carol")});
    let made = world.root.post("/invitations", body).await.expect(201);
    let path = format!("/invitations/{}/resend", made["id"].as_str().expect("an id"));
    let again = world.carol.post(&path, json!({})).await.expect(200);
    let told = accept(&again).await.get("/auth/accounts").await;
    assert!(
        told.text.contains("globex") && !told.text.contains("system"),
        "{}",
        told.text
    );

    // A superadmin's word counts, as it does of users it creates.
    let body = json!({"email": "alice@example.com", "account_id": world.account_id("carol")});
    let made = world.root.post("/invitations", body).await.expect(201);
    let told = accept(&made).await.get("/auth/accounts").await;
    assert!(told.text.contains("acme"), "{}", told.text);
}
