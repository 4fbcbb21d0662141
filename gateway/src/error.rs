//! Every failure, the one place where a failure gets its HTTP status, and the one error body.
//!
//! The body always has `error` (short title), `message` (for people), `detail` and `code` (for programs). `detail` is a
//! text, except on 422: there it is an array of `{type, loc, msg}`, or the object of a refused field. The tables are in
//! `docs/errors.md`. Sources: identity contract §1.1–1.3, rules contract §1.1, records contract §7.

use std::borrow::Cow;

use axum::Json;
use axum::extract::rejection::{BytesRejection, PathRejection};
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::{Map, Value, json};

mod sqlstate;

use sqlstate::refused;

/// Text that is usually a literal.
type Text = Cow<'static, str>;

/// What the database answered instead of a result.
#[derive(Debug)]
pub struct Refusal {
    /// Five characters.
    pub sqlstate: String,
    /// MESSAGE.
    pub message: String,
    /// DETAIL; forwarded only where it is JSON of a known shape, because Postgres writes row values into its own.
    pub detail: Option<String>,
}

impl Refusal {
    /// What is wrong, for an operator: the messages of the fields where there are some, else the message.
    #[must_use]
    pub fn sentence(&self) -> String {
        let faults = self.detail.as_deref().map(serde_json::from_str::<Vec<Value>>);
        let faults = faults.and_then(Result::ok).unwrap_or_default();
        let mut words: Vec<&str> = faults
            .iter()
            .filter_map(|fault| fault["message"].as_str())
            .collect();
        if words.is_empty() {
            words.push(&self.message);
        }
        format!("{}.", words.join("; ").trim_end_matches('.'))
    }
}

/// One value of a request that does not fit its type.
#[derive(Debug, PartialEq, Eq)]
pub struct Misfit {
    /// What kind of mistake, such as `missing` or `int_parsing`.
    pub kind: Text,
    /// Where: `["query", "limit"]`, `["body", "email"]`.
    pub loc: Vec<Text>,
    /// For people. Never repeats the value: it can be a password.
    pub msg: Text,
}

/// One field that breaks a rule of the product, such as the password policy.
#[derive(Debug, PartialEq, Eq)]
pub struct FieldFault {
    /// Name of the field.
    pub field: &'static str,
    /// For people.
    pub message: String,
    /// For programs.
    pub code: &'static str,
}

/// Why a request failed; one variant per cause.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The database refused; the SQLSTATE decides the status.
    #[error("{} {}", .0.sqlstate, .0.message)]
    Refused(Box<Refusal>),
    /// As `Refused`, on the one route whose contract answers 422 to a bad or taken name (identity contract §4.4 #19).
    #[error("{} {}", .0.sqlstate, .0.message)]
    NameRefused(Box<Refusal>),
    /// No connection to Postgres, or it broke. The text is logged, not sent.
    #[error("{0}")]
    Unavailable(String),
    /// Our defect. The text is logged, not sent.
    #[error("{0}")]
    Defect(String),
    /// The request did not finish in time.
    #[error("the request took too long")]
    TimedOut,
    /// The body did not arrive in time.
    #[error("the body did not arrive in time")]
    BodyTimedOut,
    /// The body is larger than allowed.
    #[error("the body is too large")]
    BodyTooLarge,
    /// The body broke off or is wrongly framed.
    #[error("the body could not be read")]
    BodyUnreadable,
    /// Values that do not fit the route's types.
    #[error("the request does not fit the types of the route")]
    Misfits(Vec<Misfit>),
    /// Fields that break a rule of the product.
    #[error("validation failed")]
    Faults(Vec<FieldFault>),
    /// As `Faults`, on a route whose contract nests them in `detail` (EDV of the identity contract).
    #[error("validation failed")]
    NestedFaults(Vec<FieldFault>),
    /// Something that must be given for this combination of values.
    #[error("{0}")]
    BadRequest(&'static str),
    /// As `BadRequest`, in words that are put together; they repeat no value.
    #[error("{0}")]
    Words(String),
    /// A mail that was to be sent at once was not. Not a 5xx: clients would send it again.
    #[error("{0}")]
    Undelivered(String),
    /// A list parameter nobody knows.
    #[error("unsupported query parameter")]
    UnsupportedParameter(String),
    /// A list parameter that is given twice.
    #[error("repeated query parameter")]
    RepeatedParameter(&'static str),
    /// A part of the interface that this version does not have yet.
    #[error("{0} is not available yet")]
    NotAvailable(&'static str),
    /// No credential, or one that is not valid.
    #[error("{0}")]
    Unauthenticated(&'static str),
    /// Correct password, but the address was never confirmed. The one 401 that names the cause.
    #[error("the address is not confirmed")]
    EmailNotVerified,
    /// An electronic signature that is none: one answer, whatever is wrong with it.
    #[error("the electronic signature was not accepted")]
    SignatureRefused,
    /// Not allowed by a setting of the gateway.
    #[error("{0}")]
    Forbidden(&'static str),
    /// The caller's bucket is empty; seconds until it is not.
    #[error("too many requests")]
    TooManyRequests(u64),
    /// Too many wrong passwords from the caller's network; seconds until the next may be tried.
    #[error("too many failed logins")]
    TooManyFailures(u64),
    /// No such route.
    #[error("no such route")]
    NoSuchRoute,
    /// The route exists, with another method.
    #[error("no such method")]
    NoSuchMethod,
}

/// What the boundary logs about a failure: attached to the response as an extension.
#[derive(Clone, Debug)]
pub struct Cause(pub String);

/// A failure as it is sent.
struct Answer {
    status: StatusCode,
    code: &'static str,
    error: Text,
    message: Text,
    /// `None`: the message.
    detail: Option<Value>,
    /// Further keys: `details`, `errors`, `field`, `referenced_by`.
    more: Map<String, Value>,
    /// Seconds, for `Retry-After`.
    retry_after: Option<u64>,
    cause: Option<String>,
}

impl Answer {
    fn new(status: StatusCode, code: &'static str, message: impl Into<Text>) -> Self {
        let error = Cow::Borrowed(title(status));
        Self {
            status,
            code,
            error,
            message: message.into(),
            detail: None,
            more: Map::new(),
            retry_after: None,
            cause: None,
        }
    }

    fn titled(mut self, error: impl Into<Text>) -> Self {
        self.error = error.into();
        self
    }

    fn detail(mut self, detail: Value) -> Self {
        self.detail = Some(detail);
        self
    }

    /// Too many of something. The client library reads the seconds from the body where a browser hides the header.
    fn too_many(code: &'static str, what: &str, seconds: u64) -> Self {
        let message = format!("{what}, please retry in {seconds} seconds");
        let mut answer = Self::new(StatusCode::TOO_MANY_REQUESTS, code, message);
        answer.more.insert("retryAfter".into(), seconds.into());
        answer.retry_after = Some(seconds);
        answer
    }

    fn because(mut self, cause: String) -> Self {
        self.cause = Some(cause);
        self
    }

    /// Adds `details`, and `errors` as a map from field to messages: the client library reads the latter.
    fn faults(mut self, faults: Vec<Value>) -> Self {
        let mut errors = Map::new();
        for fault in &faults {
            let (Some(field), Some(message)) = (fault["field"].as_str(), fault.get("message")) else {
                continue;
            };
            let messages = errors.entry(field).or_insert_with(|| json!([]));
            if let Value::Array(messages) = messages {
                messages.push(message.clone());
            }
        }
        self.more.insert("details".into(), Value::Array(faults));
        self.more.insert("errors".into(), Value::Object(errors));
        self
    }
}

/// The short title of a status.
fn title(status: StatusCode) -> &'static str {
    match status {
        StatusCode::UNAUTHORIZED => "Authentication failed",
        StatusCode::FORBIDDEN => "Forbidden",
        StatusCode::NOT_FOUND => "Not found",
        StatusCode::METHOD_NOT_ALLOWED => "Method not allowed",
        StatusCode::REQUEST_TIMEOUT => "Request timeout",
        StatusCode::CONFLICT => "Conflict",
        StatusCode::PRECONDITION_FAILED => "Precondition failed",
        StatusCode::PAYLOAD_TOO_LARGE => "Payload too large",
        StatusCode::UNPROCESSABLE_ENTITY => "Validation error",
        StatusCode::TOO_MANY_REQUESTS => "Too Many Requests",
        StatusCode::INTERNAL_SERVER_ERROR => "Internal server error",
        StatusCode::SERVICE_UNAVAILABLE => "Service unavailable",
        StatusCode::GATEWAY_TIMEOUT => "Gateway timeout",
        _ => "Bad request",
    }
}

fn unavailable(cause: String) -> Answer {
    let message = "The service is not available at the moment, please retry";
    Answer::new(StatusCode::SERVICE_UNAVAILABLE, "unavailable", message).because(cause)
}

fn defect(cause: String) -> Answer {
    let message = "An internal error occurred";
    Answer::new(StatusCode::INTERNAL_SERVER_ERROR, "internal", message).because(cause)
}

fn misfits(misfits: &[Misfit]) -> Answer {
    let sentences: Vec<String> = misfits
        .iter()
        .map(|misfit| match misfit.loc.last() {
            Some(place) if misfit.loc.len() > 1 => format!("{place}: {}", misfit.msg),
            _ => misfit.msg.to_string(),
        })
        .collect();
    let faults = misfits
        .iter()
        .filter(|misfit| misfit.loc.len() > 1)
        .map(|misfit| json!({ "field": misfit.loc.last(), "message": misfit.msg, "code": misfit.kind }));
    let detail = misfits
        .iter()
        .map(|misfit| json!({ "type": misfit.kind, "loc": misfit.loc, "msg": misfit.msg }));
    Answer::new(
        StatusCode::UNPROCESSABLE_ENTITY,
        "unprocessable",
        sentences.join("; "),
    )
    .detail(detail.collect())
    .faults(faults.collect())
}

fn faults(faults: &[FieldFault]) -> Answer {
    let sentences: Vec<&str> = faults.iter().map(|fault| fault.message.as_str()).collect();
    let list = faults
        .iter()
        .map(|fault| json!({ "field": fault.field, "message": fault.message, "code": fault.code }));
    Answer::new(StatusCode::BAD_REQUEST, "validation_error", sentences.join("; "))
        .titled("Validation error")
        .faults(list.collect())
}

impl Error {
    fn answer(self) -> Answer {
        let status = StatusCode::BAD_REQUEST;
        match self {
            Self::Refused(refusal) => refused(*refusal),
            Self::NameRefused(refusal) => {
                let mut answer = refused(*refusal);
                if answer.code == "validation_error" || answer.code == "conflict" {
                    answer.status = StatusCode::UNPROCESSABLE_ENTITY;
                    answer.code = "unprocessable";
                    answer.error = Cow::Borrowed("Validation error");
                }
                answer
            }
            Self::Unavailable(cause) => unavailable(cause),
            Self::Defect(cause) => defect(cause),
            Self::TimedOut => {
                let message = "The request took too long; it may have been carried out";
                Answer::new(StatusCode::GATEWAY_TIMEOUT, "timeout", message)
            }
            Self::BodyTimedOut => Answer::new(
                StatusCode::REQUEST_TIMEOUT,
                "body_timeout",
                "The request body did not arrive in time",
            ),
            Self::BodyTooLarge => Answer::new(
                StatusCode::PAYLOAD_TOO_LARGE,
                "body_too_large",
                "The request body is too large",
            ),
            Self::BodyUnreadable => Answer::new(status, "bad_request", "The request body could not be read"),
            Self::Misfits(list) => misfits(&list),
            Self::Faults(list) => faults(&list),
            Self::NestedFaults(list) => {
                let answer = faults(&list);
                let detail = json!({ "error": answer.error, "details": answer.more["details"] });
                answer.detail(detail)
            }
            Self::BadRequest(message) => Answer::new(status, "bad_request", message),
            Self::Words(message) => Answer::new(status, "bad_request", message),
            Self::Undelivered(reason) => {
                Answer::new(status, "mail_not_sent", reason).titled("The mail was not sent")
            }
            Self::UnsupportedParameter(name) => {
                let message = format!("Query parameter '{name}' is not supported");
                Answer::new(status, "unsupported_parameter", message).titled("Unsupported query parameter")
            }
            Self::RepeatedParameter(name) => {
                let message = format!("Query parameter '{name}' is given more than once");
                Answer::new(status, "repeated_parameter", message).titled("Repeated query parameter")
            }
            Self::NotAvailable(what) => {
                let message = format!("{what} is not available in this version yet");
                Answer::new(status, "not_available", message).titled("Not available yet")
            }
            Self::Unauthenticated(message) => {
                Answer::new(StatusCode::UNAUTHORIZED, "unauthenticated", message)
            }
            Self::EmailNotVerified => Answer::new(
                StatusCode::UNAUTHORIZED,
                EMAIL_NOT_VERIFIED,
                "Email not verified. Please check your email inbox.",
            ),
            Self::SignatureRefused => Answer::new(
                StatusCode::FORBIDDEN,
                "signature_refused",
                "The electronic signature was not accepted",
            )
            .titled("Signature refused"),
            Self::Forbidden(message) => Answer::new(StatusCode::FORBIDDEN, "forbidden", message),
            Self::TooManyRequests(seconds) => Answer::too_many("rate_limited", "Too many requests", seconds),
            Self::TooManyFailures(seconds) => {
                Answer::too_many("too_many_failures", "Too many failed logins", seconds)
            }
            Self::NoSuchRoute => Answer::new(StatusCode::NOT_FOUND, "no_such_route", "Not Found"),
            Self::NoSuchMethod => Answer::new(
                StatusCode::METHOD_NOT_ALLOWED,
                "method_not_allowed",
                "Method Not Allowed",
            ),
        }
    }
}

const EMAIL_NOT_VERIFIED: &str = "email_not_verified";

/// The code of the one 403 by which clients know a limited API key.
const API_KEY_RESTRICTED: &str = "api_key_restricted";

/// Clients classify 401 and 403 by words in the text: `email` and `verify` announce an unconfirmed address, `superadmin`
/// and `restricted` a limited API key. A text that means something else gets a capital letter in that word.
/// Source: identity contract §1.3.
fn without_signal_words(status: StatusCode, code: &'static str, text: Text) -> Text {
    let words: &[(&str, &str)] = match status {
        StatusCode::UNAUTHORIZED if code != EMAIL_NOT_VERIFIED => &[("email", "Email"), ("verify", "Verify")],
        StatusCode::FORBIDDEN if code != API_KEY_RESTRICTED => {
            &[("superadmin", "Superadmin"), ("restricted", "Restricted")]
        }
        _ => return text,
    };
    words.iter().fold(text, |text, (word, capital)| {
        if text.contains(word) {
            text.replace(word, capital).into()
        } else {
            text
        }
    })
}

impl IntoResponse for Error {
    fn into_response(self) -> Response {
        let mut answer = self.answer();
        let status = answer.status;
        let message = without_signal_words(status, answer.code, answer.message);
        let error = without_signal_words(status, answer.code, answer.error);
        let detail = match answer.detail.take() {
            // Clients expect a text there and nothing else.
            Some(detail) if status != StatusCode::UNAUTHORIZED && status != StatusCode::FORBIDDEN => detail,
            _ => Value::String(message.to_string()),
        };
        let mut body = Map::new();
        body.insert("error".into(), Value::String(error.into_owned()));
        body.insert("message".into(), Value::String(message.into_owned()));
        body.insert("detail".into(), detail);
        body.insert("code".into(), Value::from(answer.code));
        body.extend(answer.more);
        let mut response = (status, Json(Value::Object(body))).into_response();
        let headers = response.headers_mut();
        match status {
            StatusCode::UNAUTHORIZED => {
                headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
            }
            StatusCode::SERVICE_UNAVAILABLE => {
                headers.insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
            }
            _ => {}
        }
        if let Some(seconds) = answer.retry_after {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        if let Some(cause) = answer.cause {
            response.extensions_mut().insert(Cause(cause));
        }
        response
    }
}

impl From<PathRejection> for Error {
    fn from(rejection: PathRejection) -> Self {
        if rejection.status().is_server_error() {
            return Self::Defect(rejection.body_text());
        }
        Self::Misfits(vec![Misfit {
            kind: "path_parsing".into(),
            loc: vec!["path".into()],
            msg: "The path has a segment of the wrong type".into(),
        }])
    }
}

impl From<BytesRejection> for Error {
    fn from(rejection: BytesRejection) -> Self {
        match rejection.status() {
            StatusCode::PAYLOAD_TOO_LARGE => Self::BodyTooLarge,
            _ => Self::BodyUnreadable,
        }
    }
}

#[cfg(test)]
mod tests;
