//! T28: the original stores values unchecked, drops keys that a PATCH does not name, answers 500 to an unknown account and
//! lets a test of a connection reach whatever the server can reach.

use serde_json::{Value, json};
use snackbase_e2e::{MailServer, Scenario, World, run};

use crate::mail::{self, QUICK};

fn body(account: Value, provider: &str, config: Value) -> Value {
    json!({"account_id": account, "category": "email_providers", "provider_name": provider, "display_name": "P", "config": config})
}

#[tokio::test]
async fn what_does_not_fit_is_refused_with_its_place_and_without_its_value() {
    let world = World::with(&QUICK).await;
    let good = json!({"api_key": "k3y", "from_email": "a@example.com"});
    let row = |name, body, status, contains| Scenario {
        name,
        caller: &world.root,
        request: "POST /admin/configuration",
        body,
        status,
        contains,
        lacks: &["k3y"],
    };
    run(&[
        row("an unknown account", body(json!("nobody"), "resend", good.clone()), 404, &["Account not found"]),
        row(
            "a value of the wrong type",
            body(Value::Null, "smtp", json!({"host": "h", "port": "k3y", "username": "u", "password": "p", "from_email": "a@b.c"})),
            422,
            &["\"loc\":[\"body\",\"config\",\"port\"]"],
        ),
        row("a missing value", body(Value::Null, "resend", json!({"api_key": "k3y"})), 422, &["from_email"]),
        row("a value nobody knows", body(Value::Null, "resend", json!({"api_key": "k3y", "from_email": "a@b.c", "x": 1})), 422, &["'x'"]),
        row("a secret of an unknown provider", body(Value::Null, "pigeon", json!({"api_key": "k3y"})), 400, &["config_schema"]),
        row(
            "a secret deeper in the values of an unknown provider",
            body(Value::Null, "pigeon", json!({"loft": [{"api_key": "k3y"}]})),
            400,
            &["config_schema"],
        ),
        row(
            "a secret that would not be kept as one",
            json!({"category": "email_providers", "provider_name": "pigeon", "display_name": "P", "config": {"loft": {"word": "k3y"}},
                "config_schema": {"properties": {"loft": {"properties": {"word": {"type": "string", "secret": true}}}}}}),
            422,
            &["config_schema", "in a property of the schema itself"],
        ),
        row("no values at all", json!({"category": "email_providers", "config": null}), 400, &["provider_name", "config", "\"code\":\"missing\""]),
        row(
            "backups of an account",
            json!({"account_id": "acme", "category": "backup_settings", "provider_name": "backup", "display_name": "B", "config": {}}),
            400,
            &["system level"],
        ),
        row("a good one", body(Value::Null, "resend", good.clone()), 200, &["success"]),
        row("the same again", body(Value::Null, "resend", good), 409, &["configured already"]),
    ])
    .await;
}

#[tokio::test]
async fn a_patch_keeps_what_it_does_not_name_also_when_two_people_write() {
    let world = World::with(&QUICK).await;
    let made = body(
        Value::Null,
        "resend",
        json!({"api_key": "k3y", "from_email": "a@example.com"}),
    );
    let made = world.root.post("/admin/configuration", made).await.expect(200);
    let path = format!(
        "/admin/configuration/{}/values",
        made["id"].as_str().expect("an id")
    );
    let (one, two) = tokio::join!(
        world.root.patch(&path, json!({"from_name": "One"})),
        world.root.patch(&path, json!({"reply_to": "two@example.com"}))
    );
    one.expect(200);
    two.expect(200);
    assert_eq!(
        world.root.get(&path).await.expect(200),
        json!({"api_key": "••••••••", "from_email": "a@example.com", "from_name": "One", "reply_to": "two@example.com"})
    );
}

#[tokio::test]
async fn tests_of_connections_reach_nothing_that_is_not_public() {
    let server = MailServer::start("plain").await;
    let settings = [
        ("SNACKBASE_ENCRYPTION_KEY", QUICK[1].1),
        ("SNACKBASE_OUTBOUND_ALLOW_HTTP", "true"),
    ];
    let world = World::with(&settings).await;
    for host in [
        "127.0.0.1",
        "localhost",
        "169.254.169.254",
        "[::1]",
        "0x7f000001",
        "10.0.0.1",
    ] {
        let smtp = json!({"host": host, "port": server.port, "username": "u", "password": "p", "from_email": "a@example.com"});
        let resend = json!({"api_key": "k", "from_email": "a@example.com",
            "endpoint_url": format!("http://{host}:{}/latest/meta-data", server.port)});
        for (provider, config) in [("smtp", smtp), ("resend", resend)] {
            let body = json!({"category": "email_providers", "provider_name": provider, "config": config});
            let answer = world
                .root
                .post("/admin/configuration/test-connection", body)
                .await
                .expect(200);
            assert_eq!(
                answer,
                json!({"success": false, "message": "the host may not be called"}),
                "{provider} {host}"
            );
        }
    }
}

#[tokio::test]
async fn a_test_says_what_is_wrong_and_can_use_the_stored_secret() {
    let server = MailServer::start("starttls").await;
    let world = mail::world(&server, &[]).await;
    let id = mail::configure(&world, &server, json!({})).await;
    let test = async |config: Value, row: Option<&str>| {
        let body = json!({"category": "email_providers", "provider_name": "smtp", "config": config, "config_id": row});
        world
            .root
            .post("/admin/configuration/test-connection", body)
            .await
            .expect(200)
    };
    assert_eq!(test(json!({}), Some(&id)).await["success"], true);
    assert_eq!(
        test(json!({"password": "••••••••"}), Some(&id)).await["success"],
        true
    );
    let wrong = test(json!({"password": "wrong"}), Some(&id)).await;
    assert_eq!(wrong["success"], false);
    assert!(!wrong.to_string().contains("letters"), "{wrong}");
    let incomplete = test(json!({"host": "localhost"}), None).await;
    assert_eq!(incomplete["success"], false);
    assert!(
        incomplete["message"]
            .as_str()
            .is_some_and(|text| text.contains("password")),
        "{incomplete}"
    );
    let unknown = json!({"category": "email_providers", "provider_name": "pigeon", "config": {}});
    let unknown = world
        .root
        .post("/admin/configuration/test-connection", unknown)
        .await
        .expect(200);
    assert_eq!(unknown["success"], false);
    world
        .alice
        .post("/admin/configuration/test-connection", json!({}))
        .await
        .expect(403);
}
