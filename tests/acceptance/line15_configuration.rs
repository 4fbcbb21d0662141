//! Line 15: override, merge, secret guard, masked read, placeholder write, default switching, built-in delete 400, five-minute
//! cache with immediate invalidation from another connection.

use std::time::Duration;

use serde_json::{Value, json};
use snackbase_e2e::{Gateway, MailServer, World};

use crate::mail::{self, QUICK};
use crate::sdk;

const PLACEHOLDER: &str = "••••••••";

/// A provider of the system, or of an account.
async fn create(world: &World, account: Option<&str>, provider: &str, config: Value) -> String {
    let body = json!({"account_id": account, "category": "email_providers", "provider_name": provider,
        "display_name": provider, "config": config});
    let made = world.root.post("/admin/configuration", body).await.expect(200);
    assert_eq!(made["status"], "success");
    made["id"].as_str().expect("an id").to_owned()
}

fn smtp(port: u16) -> Value {
    json!({"host": "localhost", "port": port, "username": "mailer", "password": "letters", "from_email": "system@example.com"})
}

#[tokio::test]
async fn an_account_overrides_and_inherits_and_never_takes_a_secret_elsewhere() {
    let mut server = MailServer::start("starttls").await;
    let world = mail::world(&server, &[]).await;
    create(&world, None, "smtp", smtp(server.port)).await;
    // Override one value: everything else is the system's, its secret included.
    let own = create(
        &world,
        Some(world.account_id("alice")),
        "smtp",
        json!({"from_email": "acme@example.com"}),
    )
    .await;
    mail::enqueue(&world, "new@example.org", json!({})).await;
    let sent = server.next().await;
    assert_eq!(
        (&sent["from"], &sent["user"]),
        (&json!("acme@example.com"), &json!("mailer"))
    );
    let values = world
        .root
        .get(&format!("/admin/configuration/{own}/values"))
        .await
        .expect(200);
    assert_eq!(values, json!({"from_email": "acme@example.com"}));
    // Another host without a password of its own: refused, and the system's is not lent.
    let moved = world
        .root
        .patch(
            &format!("/admin/configuration/{own}/values"),
            json!({"host": "127.0.0.1"}),
        )
        .await;
    assert_eq!(moved.status, 422, "{}", moved.text);
    assert!(moved.text.contains("password"), "{}", moved.text);
    let superuser = world.database.superuser().await;
    superuser
        .batch_execute(&format!(
            "update snackbase.configurations set config = config || '{{\"host\": \"127.0.0.1\"}}' where id = '{own}'"
        ))
        .await
        .expect("a superuser may");
    let id = mail::enqueue(&world, "new@example.org", json!({})).await;
    for _ in 0..200 {
        let log = world
            .root
            .get(&format!("/admin/email/logs/{id}"))
            .await
            .expect(200);
        if log["error_message"] == "The provider has no password" {
            assert!(server.is_silent(Duration::from_millis(1)).await);
            return;
        }
        tokio::time::sleep(Duration::from_millis(25)).await;
    }
    panic!("the mail was sent, or failed for another reason");
}

#[tokio::test]
async fn secrets_are_masked_when_read_and_kept_by_the_placeholder() {
    let mut server = MailServer::start("starttls").await;
    let world = mail::world(&server, &[]).await;
    let id = create(&world, None, "smtp", smtp(server.port)).await;
    let path = format!("/admin/configuration/{id}/values");
    let mut values = world.root.get(&path).await.expect(200);
    assert_eq!(
        (&values["password"], &values["username"]),
        (&json!(PLACEHOLDER), &json!("mailer"))
    );
    let superuser = world.database.superuser().await;
    let stored = superuser
        .value("select string_agg(c::text, '') || (select string_agg(a::text, '') from snackbase.audit_change a) from snackbase.configurations c")
        .await;
    assert!(!stored.contains("letters"), "{stored}");
    // The form comes back as it was read, with one change.
    values["from_name"] = json!("New name");
    world.root.patch(&path, values).await.expect(200);
    mail::enqueue(&world, "new@example.org", json!({})).await;
    let data = server.next().await["data"].as_str().expect("a text").to_owned();
    assert!(data.contains("New name"), "{data}");
    // Null removes, and what is required stays required.
    world
        .root
        .patch(&path, json!({"from_name": null}))
        .await
        .expect(200);
    let refused = world.root.patch(&path, json!({"password": null})).await;
    assert_eq!(refused.status, 422, "{}", refused.text);
    let refused = world.root.patch(&path, json!({"port": "many"})).await;
    assert_eq!(
        (refused.status, refused.codes()),
        (422, vec!["port:type".to_owned()]),
        "{}",
        refused.text
    );
}

#[tokio::test]
async fn defaults_are_switched_and_built_in_rows_stay() {
    let world = World::with(&QUICK).await;
    let smtp = create(&world, None, "smtp", smtp(25)).await;
    let resend = create(
        &world,
        None,
        "resend",
        json!({"api_key": "k", "from_email": "a@example.com"}),
    )
    .await;
    let default = |id: &str| format!("/admin/configuration/{id}/set-default");
    for id in [&smtp, &resend] {
        let set = world
            .root
            .send(reqwest::Method::POST, &default(id), None)
            .await
            .expect(200);
        assert_eq!(set["is_default"], true);
    }
    let rows = world
        .root
        .get("/admin/configuration/system?category=email_providers")
        .await
        .expect(200);
    let defaults: Vec<_> = rows
        .as_array()
        .expect("a list")
        .iter()
        .filter(|row| row["is_default"] == true)
        .collect();
    assert_eq!(
        (defaults.len(), &defaults[0]["provider_name"]),
        (1, &json!("resend"))
    );
    let disabled = world
        .root
        .patch(
            &format!("/admin/configuration/{resend}"),
            json!({"enabled": false}),
        )
        .await
        .expect(200);
    assert_eq!(
        (&disabled["enabled"], &disabled["is_default"]),
        (&json!(false), &json!(false))
    );
    world
        .root
        .send(reqwest::Method::POST, &default(&resend), None)
        .await
        .expect(400);
    world.root.delete(&default(&smtp)).await.expect(200);
    let built_in = "/admin/configuration/00000000-0000-4000-8000-000000000102";
    world.root.delete(built_in).await.expect(400);
    let gone = world
        .root
        .delete(&format!("/admin/configuration/{smtp}"))
        .await
        .expect(200);
    assert_eq!(gone, json!({"status": "success", "success": true}));
    world
        .root
        .delete(&format!("/admin/configuration/{smtp}"))
        .await
        .expect(404);
    assert!(world.audit_findings().await.is_empty());
}

/// Every change is heard at once by every gateway, whoever makes it: another gateway, or somebody in psql.
#[tokio::test]
async fn a_change_is_known_to_all_gateways_at_once() {
    let world = World::with(&QUICK).await;
    let second = Gateway::start(&world.database, &QUICK).await;
    let elsewhere = second
        .api()
        .with_token(world.people["root"]["token"].as_str().expect("a token"));
    let name = async || {
        let body = json!({"template_type": "password_reset", "variables": {}, "subject": "{{ app_name }}"});
        let texts = elsewhere
            .post("/admin/email/templates/render", body)
            .await
            .expect(200);
        texts["subject"].as_str().expect("a text").to_owned()
    };
    assert_eq!(name().await, "SnackBase");
    let superuser = world.database.superuser().await;
    // From now on the second gateway has it in its cache: without invalidation it would say so for five minutes.
    let system = "/admin/configuration/00000000-0000-4000-8000-000000000102/values";
    world
        .root
        .patch(system, json!({"app_name": "First"}))
        .await
        .expect(200);
    becomes(&name, "First").await;
    superuser
        .batch_execute("update snackbase.configurations set config = config || '{\"app_name\": \"Second\"}' where category = 'system_settings'")
        .await
        .expect("a superuser may");
    becomes(&name, "Second").await;
    // Without hearing, nothing is kept.
    superuser
        .batch_execute("select pg_terminate_backend(pid) from pg_stat_activity where datname = current_database() and query ilike 'listen%'")
        .await
        .expect("a superuser may");
    superuser
        .batch_execute("update snackbase.configurations set config = config || '{\"app_name\": \"Third\"}' where category = 'system_settings'")
        .await
        .expect("a superuser may");
    becomes(&name, "Third").await;
}

/// A notification takes a moment, and far less than five minutes.
async fn becomes(name: &impl AsyncFn() -> String, wanted: &str) {
    for _ in 0..100 {
        if name().await == wanted {
            return;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("still {:?} after two seconds", name().await);
}

#[tokio::test]
async fn secrets_are_encrypted_again_with_a_new_key() {
    let mut server = MailServer::start("starttls").await;
    let world = mail::world(&server, &[]).await;
    create(&world, None, "smtp", smtp(server.port)).await;
    let superuser = world.database.superuser().await;
    let key =
        "select secrets -> 'password' ->> 'key' from snackbase.configurations where provider_name = 'smtp'";
    let before = superuser.value(key).await;
    let port = snackbase_e2e::environment("PGPORT").parse().expect("a port");
    let new_key = (
        "SNACKBASE_ENCRYPTION_KEY",
        "another key of the tests, of 32 chars",
    );
    let run = async |settings: &[(&str, &str)]| {
        let mut command = snackbase_e2e::gateway_command(&world.database, port);
        let output = command
            .envs(settings.iter().copied())
            .stdout(std::process::Stdio::piped())
            .stderr(std::process::Stdio::piped())
            .args(["config", "reencrypt"])
            .output()
            .await
            .expect("the gateway program starts");
        (
            output.status.success(),
            String::from_utf8_lossy(&output.stdout).into_owned(),
        )
    };
    // Without the key before, nothing is touched and the command says so.
    assert!(!run(&[new_key]).await.0);
    assert_eq!(superuser.value(key).await, before);
    let (done, said) = run(&[new_key, ("SNACKBASE_ENCRYPTION_KEY_PREVIOUS", QUICK[1].1)]).await;
    assert!(done && said.contains("1 configurations"), "{said}");
    assert_ne!(superuser.value(key).await, before);
    // A gateway with the new key alone sends mail with it.
    let certificate = server.certificate();
    let mut settings = QUICK.to_vec();
    settings[1] = new_key;
    settings.push(("SNACKBASE_OUTBOUND_CA_FILE", &certificate));
    world.gateway.stop().await;
    let _second = Gateway::start(&world.database, &settings).await;
    superuser
        .execute(
            "select snackbase._mail_enqueue('00000000-0000-0000-0000-000000000000', 'password_reset', 'new@example.org', '{}')",
            &[],
        )
        .await
        .expect("a mail can be queued");
    assert_eq!(server.next().await["user"], "mailer");
}

#[tokio::test]
async fn through_the_client_library() {
    // Secrets need a key.
    let key = [("SNACKBASE_ENCRYPTION_KEY", "a key of the tests, of 32 characters")];
    let world = World::with(&key).await;
    sdk::against(&world, "tests/sdk/acceptance/line15_configuration.test.mjs", &[]).await;
}
