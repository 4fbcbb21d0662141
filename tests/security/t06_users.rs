//! T6, of users: deactivated users keep their access tokens, and what a token says of role and address is believed until it expires.

use serde_json::json;
use snackbase_e2e::World;

#[tokio::test]
async fn a_token_of_a_deactivated_user_opens_nothing_and_never_again() {
    let world = World::new().await;
    let path = format!("/users/{}", world.user_id("bob"));
    let post = world
        .bob
        .post("/records/posts", json!({"title": "mine"}))
        .await
        .expect(201);
    let record = format!("/records/posts/{}", post["id"].as_str().expect("an id"));
    world.alice.delete(&path).await.expect(204);
    let closed = async || {
        for path in ["/auth/me", "/records/posts", &record, "/groups", "/macros"] {
            let answer = world.bob.get(path).await;
            assert_eq!(answer.status, 401, "{path}: {}", answer.text);
            assert!(!answer.text.contains("email") && !answer.text.contains("verify"));
        }
        world
            .bob
            .post("/records/posts", json!({"title": "t"}))
            .await
            .expect(401);
        world.bob.patch(&record, json!({"title": "t"})).await.expect(401);
        let spent = json!({"refresh_token": world.people["bob"]["refresh_token"]});
        world.gateway.api().post("/auth/refresh", spent).await.expect(401);
    };
    closed().await;
    world
        .alice
        .patch(&path, json!({"is_active": true}))
        .await
        .expect(200);
    closed().await;
}

#[tokio::test]
async fn the_role_in_a_token_counts_for_nothing() {
    let world = World::new().await;
    let carol = world.user_id("carol");
    let acts = async |status: u16| {
        world.carol.get("/users").await.expect(status);
        world.carol.get("/audit-logs").await.expect(status);
        let group = world.carol.post("/groups", json!({"name": "g"})).await;
        assert_eq!(
            group.status,
            if status == 200 { 201 } else { status },
            "{}",
            group.text
        );
        if let Some(id) = group.json["id"].as_str() {
            world.carol.delete(&format!("/groups/{id}")).await.expect(204);
        }
        world.carol.get("/admin/api-keys").await.expect(status);
    };
    acts(200).await;
    // Nobody but a superadmin can: she is the only one of her account.
    world
        .root
        .patch(&format!("/users/{carol}"), json!({"role": "user"}))
        .await
        .expect(200);
    acts(403).await;
    let superuser = world.database.superuser().await;
    superuser
        .batch_execute(&format!(
            "update snackbase.users set role_id = 1 where id = '{carol}'"
        ))
        .await
        .expect("a superuser may");
    acts(200).await;
}
