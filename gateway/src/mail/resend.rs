//! Resend's HTTP interface.

use bytes::Bytes;
use reqwest::Method;
use reqwest::header::{AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderValue};
use serde_json::{Value, json};

use super::{Letter, Undelivered, reply_to, sender};
use crate::configuration::Provider;
use crate::outbound::{Call, Outbound};

const ENDPOINT: &str = "https://api.resend.com";

/// Sends a mail. The key of idempotency makes a second attempt harmless when the answer to the first was lost.
///
/// # Errors
/// [`Undelivered::Never`] when the mail itself is refused.
pub async fn send(outbound: &Outbound, provider: &Provider, letter: &Letter) -> Result<(), Undelivered> {
    let mut body = json!({
        "from": sender(provider)?.to_string(), "to": [letter.recipient], "subject": letter.texts.subject,
        "html": letter.texts.html, "text": letter.texts.text,
        "headers": {"Message-ID": format!("<{}>", letter.message_id)},
    });
    if let Some(reply_to) = reply_to(provider)? {
        body["reply_to"] = Value::String(reply_to.to_string());
    }
    let mut headers = authorized(provider)?;
    if let Ok(key) = HeaderValue::try_from(&letter.message_id) {
        headers.insert("idempotency-key", key);
    }
    call(
        outbound,
        provider,
        Method::POST,
        "/emails",
        headers,
        body.to_string(),
    )
    .await
}

/// Whether the key is one.
///
/// # Errors
/// [`Undelivered`].
pub async fn test(outbound: &Outbound, provider: &Provider) -> Result<(), Undelivered> {
    call(
        outbound,
        provider,
        Method::GET,
        "/domains",
        authorized(provider)?,
        String::new(),
    )
    .await
}

fn authorized(provider: &Provider) -> Result<HeaderMap, Undelivered> {
    let key = provider.text("api_key").unwrap_or_default();
    let mut value = HeaderValue::try_from(format!("Bearer {key}"))
        .map_err(|_| Undelivered::Later("The API key cannot be one".to_owned()))?;
    value.set_sensitive(true);
    let mut headers = HeaderMap::new();
    headers.insert(AUTHORIZATION, value);
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    Ok(headers)
}

async fn call(
    outbound: &Outbound,
    provider: &Provider,
    method: Method,
    path: &str,
    headers: HeaderMap,
    body: String,
) -> Result<(), Undelivered> {
    let endpoint = provider
        .text("endpoint_url")
        .filter(|url| !url.is_empty())
        .unwrap_or(ENDPOINT);
    let answer = outbound
        .call(Call {
            method,
            url: format!("{}{path}", endpoint.trim_end_matches('/')),
            headers,
            body: Bytes::from(body),
        })
        .await?;
    super::aws_ses::judge(&answer)
}
