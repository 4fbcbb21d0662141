//! One caller of the HTTP interface.

use bytes::Bytes;
use reqwest::{Method, header::HeaderMap};
use serde_json::Value;

/// A caller: a base URL and the headers it always sends.
#[derive(Clone)]
pub struct Api {
    http: reqwest::Client,
    base: String,
    headers: Vec<(String, String)>,
}

impl Api {
    /// A caller without credentials; `base` is scheme, host and port.
    pub fn new(base: &str) -> Self {
        Self {
            http: reqwest::Client::new(),
            base: base.to_owned(),
            headers: Vec::new(),
        }
    }

    /// The same caller with one more header on every request.
    pub fn with_header(&self, name: &str, value: &str) -> Self {
        let mut api = self.clone();
        api.headers.push((name.to_owned(), value.to_owned()));
        api
    }

    /// The same caller with an access token.
    pub fn with_token(&self, token: &str) -> Self {
        self.with_header("authorization", &format!("Bearer {token}"))
    }

    /// Send a request. A path that starts with `/` is below `/api/v1`; with `!/` it is below the root.
    pub async fn send(&self, method: Method, path: &str, body: Option<&str>) -> Answer {
        let url = match path.strip_prefix('!') {
            Some(path) => format!("{}{path}", self.base),
            None => format!("{}/api/v1{path}", self.base),
        };
        let mut request = self.http.request(method.clone(), &url);
        for (name, value) in &self.headers {
            request = request.header(name, value);
        }
        if let Some(body) = body {
            request = request
                .header("content-type", "application/json")
                .body(body.to_owned());
        }
        let response = request
            .send()
            .await
            .unwrap_or_else(|error| panic!("{method} {url}: {error:?}"));
        let status = response.status().as_u16();
        let headers = response.headers().clone();
        let bytes = response
            .bytes()
            .await
            .unwrap_or_else(|error| panic!("{method} {url}: {error:?}"));
        let text = String::from_utf8_lossy(&bytes).into_owned();
        let json = serde_json::from_str(&text).unwrap_or(Value::Null);
        Answer {
            request: format!("{method} {path}"),
            status,
            headers,
            bytes,
            text,
            json,
        }
    }

    /// GET.
    pub async fn get(&self, path: &str) -> Answer {
        self.send(Method::GET, path, None).await
    }

    /// GET with query parameters, encoded here.
    pub async fn query(&self, path: &str, query: &[(&str, &str)]) -> Answer {
        let mut url = reqwest::Url::parse("http://localhost").expect("a constant URL");
        url.query_pairs_mut().extend_pairs(query);
        self.get(&format!("{path}?{}", url.query().unwrap_or_default()))
            .await
    }

    /// POST with a JSON body.
    pub async fn post(&self, path: &str, body: Value) -> Answer {
        self.send(Method::POST, path, Some(&body.to_string())).await
    }

    /// PUT with a JSON body.
    pub async fn put(&self, path: &str, body: Value) -> Answer {
        self.send(Method::PUT, path, Some(&body.to_string())).await
    }

    /// PATCH with a JSON body.
    pub async fn patch(&self, path: &str, body: Value) -> Answer {
        self.send(Method::PATCH, path, Some(&body.to_string())).await
    }

    /// DELETE.
    pub async fn delete(&self, path: &str) -> Answer {
        self.send(Method::DELETE, path, None).await
    }
}

/// What came back.
#[derive(Debug)]
pub struct Answer {
    /// Method and path, for messages.
    pub request: String,
    /// HTTP status.
    pub status: u16,
    /// Headers.
    pub headers: HeaderMap,
    /// The body as it came.
    pub bytes: Bytes,
    /// The body as text.
    pub text: String,
    /// The body as JSON; null when it is none.
    pub json: Value,
}

impl Answer {
    /// The body as JSON, if the status is the expected one.
    ///
    /// # Panics
    /// With the whole answer in the message, if it is another one.
    #[track_caller]
    pub fn expect(self, status: u16) -> Value {
        assert_eq!(self.status, status, "{} answered {}", self.request, self.text);
        self.json
    }

    /// One header as text; empty when it is absent.
    pub fn header(&self, name: &str) -> &str {
        self.headers
            .get(name)
            .and_then(|value| value.to_str().ok())
            .unwrap_or_default()
    }

    /// The codes of a validation answer as `field:code`, in the order they came.
    pub fn codes(&self) -> Vec<String> {
        let details = self.json["details"].as_array().cloned().unwrap_or_default();
        details
            .iter()
            .map(|detail| {
                format!(
                    "{}:{}",
                    detail["field"].as_str().unwrap_or("?"),
                    detail["code"].as_str().unwrap_or("?")
                )
            })
            .collect()
    }
}
