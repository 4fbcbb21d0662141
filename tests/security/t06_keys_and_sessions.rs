//! Trap 6, of keys: a deactivated user's key opens for ever, and role and address are frozen in it.

use serde_json::json;
use snackbase_e2e::World;

use crate::http::api_keys::key_of;

#[tokio::test]
async fn the_next_request_of_a_key_knows_what_became_of_its_user() {
    let world = World::new().await;
    let key = key_of(&world.alice).await;
    let caller = world.gateway.api().with_header("x-api-key", &key);
    let superuser = world.database.superuser().await;
    let change = async |what: &str| {
        let changed = superuser
            .execute(
                &format!("update snackbase.users set {what} where email like 'alice%'"),
                &[],
            )
            .await
            .expect("a superuser may");
        assert_eq!(changed, 1);
    };
    caller.get("/admin/api-keys").await.expect(200);
    change("role_id = 2").await;
    caller.get("/admin/api-keys").await.expect(403);
    let me = caller.get("/auth/me").await.expect(200);
    assert_eq!(me["role"], "user");
    change("email = 'alice@example.org'").await;
    assert_eq!(
        caller.get("/auth/me").await.expect(200)["email"],
        "alice@example.org"
    );
    change("is_active = false").await;
    for path in ["/auth/me", "/records/posts", "/admin/api-keys"] {
        caller.get(path).await.expect(401);
    }
    caller
        .post("/records/posts", json!({"title": "t"}))
        .await
        .expect(401);
    change("is_active = true").await;
    caller.get("/auth/me").await.expect(200);
}
