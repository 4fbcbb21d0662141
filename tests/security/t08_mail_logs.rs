//! T8: the original's log of mail keeps the variables of every mail, tokens included, shows them over HTTP and copies them
//! into the audit trail.

use serde_json::json;
use snackbase_e2e::MailServer;

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
