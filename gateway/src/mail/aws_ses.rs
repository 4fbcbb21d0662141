//! Amazon SES, version 2 of its HTTP interface, with requests signed by Signature Version 4.
//!
//! The signature is sixty lines and has published test vectors; the vendor's own crate brings a runtime of its own along.

use aws_lc_rs::{digest, hmac};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use jiff::Timestamp;
use lettre::Message;
use reqwest::header::{AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderValue};
use reqwest::{Method, Url};
use serde_json::json;

use super::{Letter, Undelivered};
use crate::configuration::Provider;
use crate::outbound::{Answer, Call, Outbound};

/// Sends a mail.
///
/// # Errors
/// [`Undelivered::Never`] when the mail itself is refused.
pub async fn send(
    outbound: &Outbound,
    provider: &Provider,
    message: &Message,
    letter: &Letter,
) -> Result<(), Undelivered> {
    let body = json!({
        "FromEmailAddress": provider.text("from_email"),
        "Destination": {"ToAddresses": [letter.recipient]},
        "Content": {"Raw": {"Data": STANDARD.encode(message.formatted())}},
    });
    call(
        outbound,
        provider,
        Method::POST,
        "/v2/email/outbound-emails",
        body.to_string(),
    )
    .await
}

/// Whether the keys are good.
///
/// # Errors
/// [`Undelivered`].
pub async fn test(outbound: &Outbound, provider: &Provider) -> Result<(), Undelivered> {
    call(
        outbound,
        provider,
        Method::GET,
        "/v2/email/account",
        String::new(),
    )
    .await
}

async fn call(
    outbound: &Outbound,
    provider: &Provider,
    method: Method,
    path: &str,
    body: String,
) -> Result<(), Undelivered> {
    let text = |name| provider.text(name).unwrap_or_default();
    let region = text("region");
    let endpoint = match text("endpoint_url").trim_end_matches('/') {
        "" => format!("https://email.{region}.amazonaws.com"),
        given => given.to_owned(),
    };
    let url = format!("{endpoint}{path}");
    let parsed = Url::parse(&url).map_err(|_| Undelivered::Later("The endpoint is no URL".to_owned()))?;
    let signer = Signer {
        access_key: text("access_key_id"),
        secret: text("secret_access_key"),
        region,
        service: "ses",
    };
    let signed = signer.headers(method.as_str(), &parsed, body.as_bytes(), Timestamp::now());
    let mut headers = HeaderMap::new();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    for (name, value) in signed {
        let mut value = HeaderValue::try_from(value)
            .map_err(|_| Undelivered::Later("The access key cannot be one".to_owned()))?;
        value.set_sensitive(name == AUTHORIZATION.as_str());
        headers.insert(name, value);
    }
    let answer = outbound
        .call(Call {
            method,
            url,
            headers,
            body: Bytes::from(body),
        })
        .await?;
    judge(&answer)
}

/// What a provider's status means for a mail: 400, 413 and 422 are about the mail, everything else about us or the moment.
pub(super) fn judge(answer: &Answer) -> Result<(), Undelivered> {
    let status = answer.status.as_u16();
    if answer.status.is_success() {
        return Ok(());
    }
    let said = serde_json::from_slice::<serde_json::Value>(&answer.body).ok();
    let said = said
        .as_ref()
        .and_then(|body| body.get("message").or_else(|| body.get("Message")))
        .and_then(|message| message.as_str())
        .map(|message| message.chars().take(200).collect::<String>());
    let words = match said {
        Some(said) => format!("The provider answered {status}: {said}"),
        None => format!("The provider answered {status}"),
    };
    match status {
        400 | 413 | 422 => Err(Undelivered::Never(words)),
        _ => Err(Undelivered::Later(words)),
    }
}

/// Signature Version 4, for a path of plain characters and a query that is sorted already.
struct Signer<'a> {
    access_key: &'a str,
    secret: &'a str,
    region: &'a str,
    service: &'a str,
}

impl Signer<'_> {
    fn headers(&self, method: &str, url: &Url, body: &[u8], now: Timestamp) -> Vec<(&'static str, String)> {
        let instant = now.strftime("%Y%m%dT%H%M%SZ").to_string();
        let day = &instant[..8];
        let host = match (url.host_str().unwrap_or_default(), url.port()) {
            (host, Some(port)) => format!("{host}:{port}"),
            (host, None) => host.to_owned(),
        };
        let request = format!(
            "{method}\n{}\n{}\nhost:{host}\nx-amz-date:{instant}\n\nhost;x-amz-date\n{}",
            url.path(),
            url.query().unwrap_or_default(),
            hash(body)
        );
        let scope = format!("{day}/{}/{}/aws4_request", self.region, self.service);
        let to_sign = format!(
            "AWS4-HMAC-SHA256\n{instant}\n{scope}\n{}",
            hash(request.as_bytes())
        );
        let mut key = keyed(format!("AWS4{}", self.secret).as_bytes(), day.as_bytes());
        for step in [self.region, self.service, "aws4_request"] {
            key = keyed(key.as_ref(), step.as_bytes());
        }
        let signature = hex(keyed(key.as_ref(), to_sign.as_bytes()).as_ref());
        let authorization = format!(
            "AWS4-HMAC-SHA256 Credential={}/{scope}, SignedHeaders=host;x-amz-date, Signature={signature}",
            self.access_key
        );
        vec![("x-amz-date", instant), ("authorization", authorization)]
    }
}

fn keyed(key: &[u8], data: &[u8]) -> hmac::Tag {
    hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, key), data)
}

fn hash(data: &[u8]) -> String {
    hex(digest::digest(&digest::SHA256, data).as_ref())
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `get-vanilla` and `post-vanilla` of the published test suite.
    #[test]
    fn signatures_are_those_of_the_published_test_suite() {
        let signer = Signer {
            access_key: "AKIDEXAMPLE",
            secret: "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY",
            region: "us-east-1",
            service: "service",
        };
        let url = Url::parse("https://example.amazonaws.com/").expect("a URL");
        let instant: Timestamp = "2015-08-30T12:36:00Z".parse().expect("an instant");
        for (method, signature) in [
            (
                "GET",
                "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31",
            ),
            (
                "POST",
                "5da7c1a2acd57cee7505fc6676e4e544621c30862966e37dddb68e92efbe5d6b",
            ),
        ] {
            let headers = signer.headers(method, &url, b"", instant);
            assert_eq!(headers[0].1, "20150830T123600Z");
            assert_eq!(
                headers[1].1,
                format!(
                    "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20150830/us-east-1/service/aws4_request, SignedHeaders=host;x-amz-date, Signature={signature}"
                )
            );
        }
    }
}
