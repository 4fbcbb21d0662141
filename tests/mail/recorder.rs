//! Providers that are spoken to by HTTP, in front of a server that notes what it is asked.

use std::sync::Arc;

use serde_json::{Value, json};
use snackbase_e2e::MailServer;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::sync::mpsc;

use super::{enqueue, logged, world};

/// A server that answers every request with the next of `statuses` (the last one for ever) and hands the request on.
async fn recorder(statuses: &'static [u16]) -> (u16, mpsc::UnboundedReceiver<(String, Value)>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let port = listener.local_addr().expect("an address").port();
    let (tell, told) = mpsc::unbounded_channel();
    let tell = Arc::new(tell);
    tokio::spawn(async move {
        let mut number = 0;
        loop {
            let (mut stream, _) = listener.accept().await.expect("a connection");
            let mut seen = Vec::new();
            let (head, body) = loop {
                let mut chunk = [0; 8192];
                let count = stream.read(&mut chunk).await.expect("a request");
                seen.extend_from_slice(&chunk[..count]);
                let text = String::from_utf8_lossy(&seen).into_owned();
                if let Some((head, body)) = text.split_once("\r\n\r\n") {
                    let length = head
                        .lines()
                        .find_map(|line| {
                            line.to_ascii_lowercase()
                                .strip_prefix("content-length: ")
                                .map(str::to_owned)
                        })
                        .and_then(|length| length.parse::<usize>().ok())
                        .unwrap_or(0);
                    if body.len() >= length || count == 0 {
                        break (head.to_owned(), body.to_owned());
                    }
                }
            };
            let status = statuses[number.min(statuses.len() - 1)];
            number += 1;
            let said = r#"{"message":"the reason"}"#;
            let answer = format!(
                "HTTP/1.1 {status} X\r\ncontent-type: application/json\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{said}",
                said.len()
            );
            let _ = stream.write_all(answer.as_bytes()).await;
            let _ = tell.send((head, serde_json::from_str(&body).unwrap_or(Value::Null)));
        }
    });
    (port, told)
}

#[tokio::test]
async fn resend_gets_both_parts_and_a_key_that_makes_a_second_attempt_harmless() {
    let server = MailServer::start("plain").await;
    let world = world(&server, &[]).await;
    let (port, mut told) = recorder(&[503, 200]).await;
    let config = json!({"api_key": "re_secret", "from_email": "noreply@example.com", "from_name": "Acme",
        "endpoint_url": format!("http://127.0.0.1:{port}")});
    let body = json!({"category": "email_providers", "provider_name": "resend", "display_name": "Resend", "config": config});
    world.root.post("/admin/configuration", body).await.expect(200);
    let id = enqueue(
        &world,
        "new@example.org",
        json!({"verification_url": "https://x/"}),
    )
    .await;
    let (first, second) = (
        told.recv().await.expect("a request"),
        told.recv().await.expect("a request"),
    );
    let key = |head: &str| {
        let line = head.lines().find(|line| line.starts_with("idempotency-key: "));
        line.expect("a key").to_owned()
    };
    assert_eq!(key(&first.0), key(&second.0));
    assert!(second.0.starts_with("POST /emails HTTP/1.1"), "{}", second.0);
    assert!(
        second.0.contains("authorization: Bearer re_secret"),
        "{}",
        second.0
    );
    let sent = &second.1;
    assert_eq!(
        (&sent["from"], &sent["to"]),
        (&json!("Acme <noreply@example.com>"), &json!(["new@example.org"]))
    );
    assert!(sent["html"].as_str().is_some_and(|html| html.contains("<h1")));
    assert!(
        sent["text"]
            .as_str()
            .is_some_and(|text| text.contains("https://x/"))
    );
    let log = logged(&world, id, "sent").await;
    assert_eq!(
        (&log["provider"], &log["attempts"]),
        (&json!("resend"), &json!(2))
    );
}

#[tokio::test]
async fn ses_gets_the_whole_mail_in_a_signed_request_and_a_refused_mail_is_given_up() {
    let server = MailServer::start("plain").await;
    let world = world(&server, &[]).await;
    let (port, mut told) = recorder(&[200, 400]).await;
    let config = json!({"region": "eu-central-1", "access_key_id": "AKIDTEST", "secret_access_key": "not-to-be-seen",
        "from_email": "noreply@example.com", "endpoint_url": format!("http://127.0.0.1:{port}")});
    let body = json!({"category": "email_providers", "provider_name": "aws_ses", "display_name": "SES", "config": config});
    world.root.post("/admin/configuration", body).await.expect(200);
    let id = enqueue(&world, "new@example.org", json!({})).await;
    let (head, sent) = told.recv().await.expect("a request");
    assert!(
        head.starts_with("POST /v2/email/outbound-emails HTTP/1.1"),
        "{head}"
    );
    assert!(
        head.contains("authorization: AWS4-HMAC-SHA256 Credential=AKIDTEST/"),
        "{head}"
    );
    assert!(
        head.contains("/eu-central-1/ses/aws4_request, SignedHeaders=host;x-amz-date, Signature="),
        "{head}"
    );
    assert!(!head.contains("not-to-be-seen"), "{head}");
    assert_eq!(sent["Destination"]["ToAddresses"], json!(["new@example.org"]));
    assert!(
        sent["Content"]["Raw"]["Data"]
            .as_str()
            .is_some_and(|data| data.len() > 500)
    );
    logged(&world, id, "sent").await;
    let refused = enqueue(&world, "new@example.org", json!({})).await;
    let log = logged(&world, refused, "failed").await;
    assert_eq!(
        (&log["error_message"], &log["attempts"]),
        (&json!("The provider answered 400: the reason"), &json!(1))
    );
}
