//! T8: the original's log of mail keeps the variables of every mail, tokens included, shows them over HTTP and copies them
//! into the audit trail.

use serde_json::json;
use snackbase_e2e::{MailServer, PASSWORD};

use crate::mail;

#[tokio::test]
async fn tokens_of_mail_are_neither_shown_nor_kept_nor_audited() {
    let mut server = MailServer::start("starttls").await;
    let world = mail::world(&server, &[("SNACKBASE_MAIL_MAX_ATTEMPTS", "1000")]).await;
    let variables = json!({"token": "tok-9f3", "verification_url": "https://x/verify-email?token=tok-9f3", "user_name": "New"});
    let id = mail::enqueue(&world, "new@example.org", variables).await;
    // While it waits, too: whoever reads the log is not whom it was sent to.
    for path in [format!("/admin/email/logs/{id}"), "/admin/email/logs".to_owned()] {
        let log = world.root.get(&path).await;
        assert_eq!(log.status, 200);
        assert!(
            log.text.contains("New") && !log.text.contains("tok-9f3"),
            "{}",
            log.text
        );
    }
    mail::configure(&world, &server, json!({})).await;
    assert!(
        server.next().await["data"]
            .as_str()
            .is_some_and(|data| data.contains("tok-9f3"))
    );
    mail::logged(&world, id, "sent").await;
    let superuser = world.database.superuser().await;
    for table in ["mail_outbox", "audit_change"] {
        let found = superuser
            .value(&format!(
                "select count(*) from snackbase.{table} t where t::text like '%tok-9f3%'"
            ))
            .await;
        assert_eq!(found, "0", "{table}");
    }
    // Given up is no reason to keep them either.
    let given_up = mail::enqueue(&world, "never@example.org", json!({"token": "tok-77a"})).await;
    mail::logged(&world, given_up, "failed").await;
    let left = superuser
        .value("select count(*) from snackbase.mail_outbox m where m::text like '%tok-77a%'")
        .await;
    assert_eq!(left, "0");
}

/// The real flows: once their mail is sent, no table of the database holds a token.
#[tokio::test]
async fn no_table_keeps_a_token_that_was_sent() {
    let mut server = MailServer::start("starttls").await;
    let world = mail::world(&server, &[]).await;
    mail::configure(&world, &server, json!({})).await;
    let api = world.gateway.api();
    let register = json!({"email": "dora@example.org", "password": PASSWORD, "account_name": "Initech"});
    api.post("/auth/register", register).await.expect(201);
    let mut tokens = vec![mail::flows::token_in(&server.next().await, "verify-email")];
    let forget = json!({"account": "acme", "email": "bob@example.com"});
    api.post("/auth/forgot-password", forget).await.expect(200);
    tokens.push(mail::flows::token_in(&server.next().await, "reset-password"));
    world
        .alice
        .post("/invitations", json!({"email": "ivy@example.org"}))
        .await
        .expect(201);
    tokens.push(mail::flows::token_in(&server.next().await, "accept-invitation"));
    let superuser = world.database.superuser().await;
    while superuser
        .value("select count(*) from snackbase.mail_outbox where status = 'pending'")
        .await
        != "0"
    {
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
    let tables = superuser
        .query(
            "select c.oid::regclass::text from pg_class c where c.relnamespace = 'snackbase'::regnamespace and c.relkind = 'r'",
            &[],
        )
        .await
        .expect("the catalog");
    assert!(tables.len() > 20);
    for table in tables {
        let table: String = table.get(0);
        for token in &tokens {
            let found = superuser
                .value(&format!(
                    "select count(*) from {table} t where t::text like '%{token}%'"
                ))
                .await;
            assert_eq!(found, "0", "{table}");
        }
    }
    let logs = world.root.get("/admin/email/logs").await;
    assert!(logs.text.contains("verification_url"), "{}", logs.text);
    assert!(
        tokens.iter().all(|token| !logs.text.contains(token)),
        "{}",
        logs.text
    );
}
