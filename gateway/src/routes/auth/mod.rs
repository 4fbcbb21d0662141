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
use serde_json::{Value, json};
use uuid::Uuid;

use crate::auth::jwt::RefreshToken;
use crate::db;
use crate::error::Error;
use crate::state::State;

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

/// A session that is about to be opened: its tokens are made before the database stores them.
pub struct Opening {
    /// The user.
    pub user_id: Uuid,
    account_id: Uuid,
    /// The session.
    pub session_id: Uuid,
    /// Its first refresh token.
    pub refresh: RefreshToken,
}

impl Opening {
    /// Prepares a session.
    ///
    /// # Errors
    /// [`Error::Defect`] when a token cannot be made.
    pub fn new(state: &State, user_id: Uuid, account_id: Uuid) -> Result<Self, Error> {
        let session_id = Uuid::new_v4();
        let refresh = state.keys.issue_refresh(user_id, account_id, session_id)?;
        Ok(Self {
            user_id,
            account_id,
            session_id,
            refresh,
        })
    }

    /// AuthResponse of the contract, from what the database answered when it opened the session.
    ///
    /// # Errors
    /// [`Error::Defect`] when the answer is not what it should be.
    pub fn answer(self, state: &State, opened: &db::Json) -> Result<Response, Error> {
        let opened = read(opened)?;
        let (email, role) = (text(&opened, "/user/email")?, text(&opened, "/user/role")?);
        let token = state
            .keys
            .issue_access(self.user_id, self.account_id, self.session_id, email, role)?;
        Ok(with_tokens(json!({
            "token": token,
            "refresh_token": self.refresh.token,
            "token_type": "bearer",
            "expires_in": state.keys.access_seconds(),
            "account": opened["account"],
            "user": opened["user"],
        })))
    }
}

/// A text inside such an answer.
fn text<'a>(answer: &'a Value, pointer: &str) -> Result<&'a str, Error> {
    answer
        .pointer(pointer)
        .and_then(Value::as_str)
        .ok_or_else(|| Error::Defect(format!("the database answered without {pointer}")))
}
