//! Trap 27: 422 repeats what was sent, passwords and keys among it.

use serde_json::{Value, json};
use snackbase_e2e::World;

const SECRET: &str = "Hunter2-Hunter2";

#[tokio::test]
async fn an_answer_about_a_mistake_repeats_nothing_that_was_sent() {
    let world = World::new().await;
    let shapes = || -> Vec<Value> {
        vec![
            json!({"nested": SECRET}),
            json!([SECRET]),
            json!(format!("{SECRET}{}", "x".repeat(2000))),
            json!({"a": {"b": [SECRET, {"c": SECRET}]}}),
        ]
    };
    let members = [
        "password",
        "new_password",
        "email",
        "account",
        "account_name",
        "refresh_token",
        "token",
        "name",
        "scopes",
        "expires_at",
        "role_id",
        "account_id",
    ];
    let key = "/admin/api-keys";
    let mut refused = 0;
    for (caller, path) in [
        (&world.anonymous, "/auth/login"),
        (&world.anonymous, "/auth/register"),
        (&world.anonymous, "/auth/refresh"),
        (&world.anonymous, "/auth/logout"),
        (&world.root, "/users"),
        (&world.root, "/accounts"),
        (&world.alice, key),
        (&world.root, "/admin/configuration"),
    ] {
        for member in members {
            for shape in shapes() {
                let mut body = json!({"email": "a@example.com", "password": SECRET, "account": "acme", "name": "ab", "account_name": "",
                    "refresh_token": SECRET, "category": "email_providers", "provider_name": "smtp", "display_name": "x", "config": {"password": SECRET}});
                body[member] = shape;
                let answer = caller.post(path, body).await;
                assert!(
                    answer.status < 500,
                    "{path} {member}: {} {}",
                    answer.status,
                    answer.text
                );
                assert!(
                    answer.status < 300 || !answer.text.contains("Hunter2"),
                    "{path} {member}: {}",
                    answer.text
                );
                refused += usize::from(answer.status == 422);
            }
        }
        // JSON that breaks off, in the middle of the secret.
        let broken = format!("{{\"password\": \"{SECRET}");
        let answer = caller.send(reqwest::Method::POST, path, Some(&broken)).await;
        assert!(
            answer.status == 422 && !answer.text.contains("Hunter2"),
            "{path}: {} {}",
            answer.status,
            answer.text
        );
    }
    assert!(refused > 100, "only {refused} answers with 422");
}
