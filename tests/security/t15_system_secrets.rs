//! T15: once values are merged, an account that names its own server and no password would be lent the system's.

use serde_json::{Value, json};
use snackbase_e2e::World;

use crate::mail::QUICK;

#[tokio::test]
async fn no_way_of_naming_another_destination_brings_the_system_s_secret_along() {
    let world = World::with(&QUICK).await;
    let system: [(&str, Value); 3] = [
        (
            "smtp",
            json!({"host": "mail.example.com", "username": "u", "password": "s3cret-smtp", "from_email": "a@example.com"}),
        ),
        (
            "aws_ses",
            json!({"access_key_id": "AK", "secret_access_key": "s3cret-ses", "from_email": "a@example.com"}),
        ),
        (
            "resend",
            json!({"api_key": "s3cret-resend", "from_email": "a@example.com"}),
        ),
    ];
    let create = async |account: Option<&str>, provider: &str, config: &Value| {
        let body = json!({"account_id": account, "category": "email_providers", "provider_name": provider,
            "display_name": provider, "config": config});
        world.root.post("/admin/configuration", body).await
    };
    for (provider, config) in &system {
        create(None, provider, config).await.expect(200);
    }
    for (provider, config) in [
        ("smtp", json!({"host": "evil.example.net"})),
        ("smtp", json!({"port": 2525})),
        ("smtp", json!({"use_tls": false})),
        (
            "smtp",
            json!({"host": "evil.example.net", "password": "••••••••"}),
        ),
        ("aws_ses", json!({"region": "eu-west-1"})),
        ("aws_ses", json!({"endpoint_url": "https://evil.example.net"})),
        ("aws_ses", json!({"access_key_id": "MINE"})),
        ("resend", json!({"endpoint_url": "https://evil.example.net"})),
    ] {
        // Over HTTP it is refused, because the secret would be missing …
        let refused = create(Some("globex"), provider, &config).await;
        assert_eq!(refused.status, 422, "{provider} {config}: {}", refused.text);
        // … and whoever writes the row by other means gets no secret either.
        let superuser = world.database.superuser().await;
        let mut plain = config.clone();
        plain.as_object_mut().expect("an object").remove("password");
        let found: bool = superuser
            .query_one(
                "select exists (select from json_array_elements(snackbase.configuration_candidates($1::text::uuid, 'email_providers')) c
                                 where c ->> 'provider_name' = $2 and (c -> 'secrets')::text <> '{}')",
                &[
                    &insert(&superuser, world.account_id("carol"), provider, &plain).await,
                    &provider,
                ],
            )
            .await
            .expect("an answer")
            .get(0);
        assert!(!found, "{provider} {config}");
        superuser
            .execute(
                "delete from snackbase.configurations where account_id = $1::text::uuid",
                &[&world.account_id("carol")],
            )
            .await
            .expect("a superuser may");
    }
    // The guard is about destinations: a sender of one's own is fine.
    create(
        Some("globex"),
        "resend",
        &json!({"from_email": "globex@example.com"}),
    )
    .await
    .expect(200);
}

async fn insert(superuser: &snackbase_e2e::Session, account: &str, provider: &str, config: &Value) -> String {
    superuser
        .execute(
            "insert into snackbase.configurations (account_id, category, provider_name, display_name, config)
             values ($1::text::uuid, 'email_providers', $2, 'x', $3)",
            &[&account, &provider, config],
        )
        .await
        .expect("a superuser may");
    account.to_owned()
}

#[tokio::test]
async fn the_database_holds_no_secret_in_clear_and_no_key() {
    let world = World::with(&QUICK).await;
    let config = json!({"api_key": "s3cret-resend", "from_email": "a@example.com"});
    let body = json!({"category": "email_providers", "provider_name": "resend", "display_name": "R", "config": config});
    world.root.post("/admin/configuration", body).await.expect(200);
    let superuser = world.database.superuser().await;
    for table in ["configurations", "audit_change", "mail_outbox"] {
        let found = superuser
            .value(&format!(
                "select count(*) from snackbase.{table} t where t::text like '%s3cret-resend%' or t::text like '%{}%'",
                QUICK[1].1
            ))
            .await;
        assert_eq!(found, "0", "{table}");
    }
}

#[tokio::test]
async fn without_a_key_no_secret_is_taken() {
    let world = World::new().await;
    let config = json!({"api_key": "s3cret", "from_email": "a@example.com"});
    let body = json!({"category": "email_providers", "provider_name": "resend", "display_name": "R", "config": config});
    let refused = world.root.post("/admin/configuration", body).await;
    assert_eq!(refused.status, 400, "{}", refused.text);
    assert!(
        refused.text.contains("SNACKBASE_ENCRYPTION_KEY") && !refused.text.contains("s3cret"),
        "{}",
        refused.text
    );
}
