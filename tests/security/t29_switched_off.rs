//! T29: switching `email_password` off had no effect, and an account could not switch off a provider of the system.

use serde_json::{Value, json};
use snackbase_e2e::World;

const PASSWORD: &str = "Correct-Horse-7-Battery";
const SYSTEM_ROW: &str = "/admin/configuration/00000000-0000-4000-8000-000000000101";

async fn login(world: &World, account: &str, email: &str) -> (u16, String) {
    let body = json!({"account": account, "email": email, "password": PASSWORD});
    let answer = world.gateway.api().post("/auth/login", body).await;
    (answer.status, answer.text)
}

#[tokio::test]
async fn an_account_that_switches_passwords_off_lets_nobody_in_with_one() {
    let world = World::new().await;
    let row = json!({"account_id": "acme", "category": "auth_providers", "provider_name": "email_password", "display_name": "P",
        "config": {}, "enabled": false});
    let made = world.root.post("/admin/configuration", row).await.expect(200);
    let (status, text) = login(&world, "acme", "alice@example.com").await;
    let (_, wrong) = login(&world, "acme", "nobody@example.com").await;
    // as if the user did not exist
    assert_eq!((status, &text), (401, &wrong));
    assert_eq!(login(&world, "globex", "carol@example.com").await.0, 200);
    let path = format!("/admin/configuration/{}", made["id"].as_str().expect("an id"));
    world
        .root
        .patch(&path, json!({"enabled": true}))
        .await
        .expect(200);
    assert_eq!(login(&world, "acme", "alice@example.com").await.0, 200);
}

#[tokio::test]
async fn a_system_that_switches_passwords_off_registers_nobody_and_keeps_its_superadmins() {
    let world = World::new().await;
    world
        .root
        .patch(SYSTEM_ROW, json!({"enabled": false}))
        .await
        .expect(200);
    assert_eq!(login(&world, "acme", "alice@example.com").await.0, 401);
    let register = json!({"email": "new@example.com", "password": PASSWORD, "account_name": "New"});
    let refused = world.gateway.api().post("/auth/register", register.clone()).await;
    assert_eq!(refused.status, 403, "{}", refused.text);
    let accounts = world.root.get("/accounts").await.expect(200);
    assert_eq!(accounts["total"], Value::from(3), "nothing half-made");
    // Without this nobody could switch it on again.
    assert_eq!(login(&world, "system", "root@example.com").await.0, 200);
    world
        .root
        .patch(SYSTEM_ROW, json!({"enabled": true}))
        .await
        .expect(200);
    world
        .gateway
        .api()
        .post("/auth/register", register)
        .await
        .expect(201);
}
