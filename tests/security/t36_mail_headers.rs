//! T36: names with line ends became headers, and escaping was applied to subject and text.

use serde_json::json;
use snackbase_e2e::MailServer;

use crate::mail;

#[tokio::test]
async fn a_value_with_line_ends_stays_in_its_place() {
    let mut server = MailServer::start("starttls").await;
    let world = mail::world(&server, &[]).await;
    mail::configure(
        &world,
        &server,
        json!({"from_name": "Evil\r\nBcc: third@example.org"}),
    )
    .await;
    let body = json!({"template_type": "greeting", "subject": "{{ name }} & co", "html_body": "<p>{{ name }}</p>", "text_body": "{{ name }}"});
    let made = world.root.post("/admin/email/templates", body).await.expect(201);
    let path = format!(
        "/admin/email/templates/{}/test",
        made["id"].as_str().expect("an id")
    );
    let variables = json!({"name": "Tom <b>\r\nBcc: other@example.org\r\n\r\nbody"});
    let sent = json!({"recipient_email": "new@example.org", "variables": variables});
    let answer = world.root.post(&path, sent).await.expect(200);
    assert_eq!(answer["status"], "sent");
    let mail = server.next().await;
    assert_eq!(mail["to"], json!(["new@example.org"]));
    let data = mail["data"].as_str().expect("a text");
    let (head, _) = data
        .split_once("\r\n\r\n")
        .or_else(|| data.split_once("\n\n"))
        .expect("a head");
    assert!(!head.lines().any(|line| line.starts_with("Bcc:")), "{head}");
    assert!(
        head.contains("Subject: Tom <b> Bcc: other@example.org body & co"),
        "{head}"
    );
    assert!(data.contains("&lt;b&gt;"), "escaped in HTML:\n{data}");
    // Addresses are checked before.
    for address in [
        "new@example.org\r\nBcc: x@example.org",
        "two@example.org, three@example.org",
    ] {
        let refused = world.root.post(&path, json!({"recipient_email": address})).await;
        assert_eq!(refused.status, 422, "{}", refused.text);
    }
}
