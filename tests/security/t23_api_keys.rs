//! Trap 23: a key whose row is gone still opens; revoking twice fails; the count of keys races; keys make keys.

use serde_json::json;
use snackbase_e2e::World;

use crate::http::api_keys::key_of;

const KEYS: &str = "/admin/api-keys";

#[tokio::test]
async fn fifty_at_a_time_make_ten_keys() {
    let world = World::new().await;
    let attempts: Vec<_> = (0..50)
        .map(|_| {
            let alice = world.alice.clone();
            tokio::spawn(async move { alice.post(KEYS, json!({"name": "a key"})).await })
        })
        .collect();
    let mut statuses = Vec::new();
    for attempt in attempts {
        statuses.push(attempt.await.expect("no panic").status);
    }
    let made = statuses.iter().filter(|status| **status == 201).count();
    let refused = statuses.iter().filter(|status| **status == 400).count();
    assert_eq!((made, refused), (10, 40), "{statuses:?}");
    let superuser = world.database.superuser().await;
    assert_eq!(
        superuser
            .value("select count(*)::text from snackbase.api_keys where is_active")
            .await,
        "10"
    );
}

#[tokio::test]
async fn a_key_without_a_row_opens_nothing() {
    let world = World::new().await;
    let key = key_of(&world.alice).await;
    let caller = world.gateway.api().with_header("x-api-key", &key);
    caller.get("/auth/me").await.expect(200);
    let superuser = world.database.superuser().await;
    superuser
        .execute("delete from snackbase.api_keys", &[])
        .await
        .expect("a superuser may");
    caller.get("/auth/me").await.expect(401);
}

#[tokio::test]
async fn a_key_makes_no_keys() {
    let world = World::new().await;
    for owner in [&world.alice, &world.root] {
        let key = key_of(owner).await;
        let caller = world.gateway.api().with_header("x-api-key", &key);
        let refused = caller.post(KEYS, json!({"name": "more"})).await;
        assert_eq!(
            (refused.status, refused.json["detail"].as_str()),
            (403, Some("An API key cannot create API keys"))
        );
        for word in ["superadmin", "restricted"] {
            assert!(!refused.text.contains(word), "{}", refused.text);
        }
        // It may look at the keys of its owner, and end itself.
        let list = caller.get(KEYS).await.expect(200);
        let own = list["items"][0]["id"].as_str().expect("an id");
        caller.delete(&format!("{KEYS}/{own}")).await.expect(204);
        caller.get(KEYS).await.expect(401);
    }
}
