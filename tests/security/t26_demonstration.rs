//! T26: in the original the check for demonstrations comes after the password was changed.

use serde_json::json;
use snackbase_e2e::{Gateway, PASSWORD, World};

#[tokio::test]
async fn a_superadmin_of_a_demonstration_keeps_password_sessions_and_token() {
    let world = World::new().await;
    let superuser = world.database.superuser().await;
    superuser
        .batch_execute(&format!(
            "alter database {} set snackbase.is_demo = on",
            world.database.name
        ))
        .await
        .expect("a superuser may");
    // The connections of the other gateway are older than the setting.
    let gateway = Gateway::start(&world.database, &[]).await;
    let api = gateway.api();
    let state = "select password_hash || ' ' || email_verified_at || (select string_agg(coalesce(s.revoked_at::text, '-'), ' ') from snackbase.sessions s where s.user_id = u.id)
                   from snackbase.users u where email = 'root@example.com'";
    let before = superuser.value(state).await;
    let forget = json!({"account": "system", "email": "root@example.com"});
    api.post("/auth/forgot-password", forget).await.expect(200);
    let token = world.mailed_token("root@example.com").await;
    let reset = async |password: &str| {
        let body = json!({"token": token, "new_password": password});
        api.post("/auth/reset-password", body).await
    };
    reset("weakweakweak").await.expect(400);
    for _ in 0..2 {
        let refused = reset("Another-Horse-8-Battery").await;
        assert!(refused.json["detail"].is_string(), "{}", refused.text);
        assert!(
            !refused.text.contains("superadmin") && !refused.text.contains("restricted"),
            "{}",
            refused.text
        );
        refused.expect(403);
    }
    assert_eq!(superuser.value(state).await, before);
    let root = api.with_token(world.people["root"]["token"].as_str().expect("a token"));
    root.get("/auth/me").await.expect(200);
    api.post(
        "/auth/login",
        json!({"account": "system", "email": "root@example.com", "password": PASSWORD}),
    )
    .await
    .expect(200);
    // Others are free to change.
    api.post(
        "/auth/forgot-password",
        json!({"account": "acme", "email": "bob@example.com"}),
    )
    .await
    .expect(200);
    let token = world.mailed_token("bob@example.com").await;
    api.post(
        "/auth/reset-password",
        json!({"token": token, "new_password": "Another-Horse-8-Battery"}),
    )
    .await
    .expect(200);
}
