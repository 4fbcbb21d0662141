//! T35: a role that is in use is deleted with a 500, a name that is too long with a 500, an external id twice with a 500. What
//! will fail again is no server error: clients repeat those.

use serde_json::{Value, json};
use snackbase_e2e::{PASSWORD, World};

fn id(made: &Value) -> String {
    made["id"]
        .as_str()
        .map_or_else(|| made["id"].to_string(), str::to_owned)
}

#[tokio::test]
async fn a_role_that_users_hold_stays() {
    let world = World::new().await;
    let role = id(&world
        .root
        .post("/roles", json!({"name": "editor"}))
        .await
        .expect(201));
    let path = format!("/roles/{role}");
    let bob = format!("/users/{}", world.user_id("bob"));
    world
        .alice
        .patch(&bob, json!({"role": "editor"}))
        .await
        .expect(200);
    let refused = world.root.delete(&path).await;
    assert_eq!(refused.status, 409, "{}", refused.text);
    // Inactive ones count: they may be active again.
    world.alice.delete(&bob).await.expect(204);
    world.root.delete(&path).await.expect(409);
    world
        .alice
        .patch(&bob, json!({"role": "user", "is_active": true}))
        .await
        .expect(200);
    world.root.delete(&path).await.expect(204);
    world.root.delete(&path).await.expect(404);
    world
        .alice
        .patch(&bob, json!({"role": "editor"}))
        .await
        .expect(404);
}

#[tokio::test]
async fn names_that_are_too_long_and_ids_that_are_taken_are_refused_in_words() {
    let world = World::new().await;
    for name in ["x".repeat(51), " ".to_owned(), String::new()] {
        let refused = world.root.post("/roles", json!({"name": name})).await;
        assert_eq!(refused.status, 422, "{}", refused.text);
    }
    let external = |email: &str, account: &str| {
        json!({"email": email, "password": PASSWORD, "role_id": 2, "account_id": world.account_id(account),
            "auth_provider": "oauth", "auth_provider_name": "google", "external_id": "1234"})
    };
    world
        .root
        .post("/users", external("one@example.com", "alice"))
        .await
        .expect(201);
    let taken = world
        .root
        .post("/users", external("two@example.com", "alice"))
        .await;
    assert_eq!(
        (taken.status, taken.json["field"].as_str()),
        (409, Some("external_id")),
        "{}",
        taken.text
    );
    let bob = format!("/users/{}", world.user_id("bob"));
    let taken = world
        .alice
        .patch(
            &bob,
            json!({"auth_provider_name": "google", "external_id": "1234"}),
        )
        .await;
    assert_eq!(
        (taken.status, taken.json["field"].as_str()),
        (409, Some("external_id"))
    );
    // Another account knows nothing of it.
    world
        .root
        .post("/users", external("one@example.com", "carol"))
        .await
        .expect(201);
}
