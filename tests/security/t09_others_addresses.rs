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
