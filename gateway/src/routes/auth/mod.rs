//! The flows around a login, one file each. Public, except `me`. Source: identity contract §4.1 and §5.2.

pub mod login;
pub mod logout;
pub mod me;
pub mod password;
pub mod refresh;
pub mod register;
pub mod verification;

use axum::Json;
use axum::http::{HeaderValue, header};
use axum::response::{IntoResponse, Response};
use serde_json::Value;

use crate::db;
use crate::error::Error;

/// An answer with tokens in it: never stored by anybody.
fn with_tokens(body: Value) -> Response {
    let no_store = HeaderValue::from_static("no-store");
    ([(header::CACHE_CONTROL, no_store)], Json(body)).into_response()
}

/// Reads an answer of the database that is not passed on as it came.
pub fn read(answer: &db::Json) -> Result<Value, Error> {
    serde_json::from_slice(&answer.0)
        .map_err(|failure| Error::Defect(format!("the database answered no JSON: {failure}")))
}

/// A text inside such an answer.
fn text<'a>(answer: &'a Value, pointer: &str) -> Result<&'a str, Error> {
    answer
        .pointer(pointer)
        .and_then(Value::as_str)
        .ok_or_else(|| Error::Defect(format!("the database answered without {pointer}")))
}
