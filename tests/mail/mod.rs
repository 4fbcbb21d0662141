//! Mail, from the queue to a real server. The server is aiosmtpd; what it does is in `server.py`.

mod delivery;
pub mod flows;
mod recorder;
mod shared;

use serde_json::{Value, json};
use snackbase_e2e::{MailServer, World};

/// Settings of a gateway that may call this machine and is quick about retries.
pub const QUICK: [(&str, &str); 5] = [
    ("SNACKBASE_OUTBOUND_ALLOWED_NETWORKS", "127.0.0.0/8,::1"),
    ("SNACKBASE_ENCRYPTION_KEY", "a key of the tests, of 32 characters"),
    ("SNACKBASE_MAIL_POLL_MS", "20"),
    ("SNACKBASE_MAIL_RETRY_SECONDS", "0"),
    ("SNACKBASE_OUTBOUND_ALLOW_HTTP", "true"),
];

/// The world with a gateway that delivers mail.
pub async fn world(server: &MailServer, more: &[(&str, &str)]) -> World {
    let certificate = server.certificate();
    let mut settings = QUICK.to_vec();
    settings.push(("SNACKBASE_OUTBOUND_CA_FILE", &certificate));
    settings.extend(more);
    World::with(&settings).await
}

/// Configures the system's mail server; the superadmin does.
pub async fn configure(world: &World, server: &MailServer, more: Value) -> String {
    let mut config = json!({"host": "localhost", "port": server.port, "username": "mailer", "password": "letters",
        "from_email": "noreply@example.com", "from_name": "Acme & Söhne"});
    for (name, value) in more.as_object().expect("an object") {
        config[name] = value.clone();
    }
    let body = json!({"category": "email_providers", "provider_name": "smtp", "display_name": "SMTP", "config": config});
    let made = world.root.post("/admin/configuration", body).await.expect(200);
    made["id"].as_str().expect("an id").to_owned()
}

/// Queues a mail for Acme; answers its id.
pub async fn enqueue(world: &World, recipient: &str, variables: Value) -> i64 {
    let superuser = world.database.superuser().await;
    let row = superuser
        .query_one(
            "select snackbase._mail_enqueue($1::text::uuid, 'email_verification', $2, $3)",
            &[&world.account_id("alice"), &recipient, &variables],
        )
        .await
        .expect("a mail can be queued");
    row.get(0)
}

/// The log entry of a mail once it has this status.
pub async fn logged(world: &World, id: i64, status: &str) -> Value {
    let mut seen = Value::Null;
    for _ in 0..400 {
        seen = world
            .root
            .get(&format!("/admin/email/logs/{id}"))
            .await
            .expect(200);
        if seen["status"] == status {
            return seen;
        }
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    panic!("not {status} after 20 seconds: {seen}");
}
