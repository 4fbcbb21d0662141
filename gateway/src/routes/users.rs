//! Users, for superadmins. Source: identity contract §4.5 (25 and 30).

use axum::http::StatusCode;
use serde_json::Value;
use uuid::Uuid;

use super::input::{Fields, Path};
use crate::auth::Caller;
use crate::db::{Json, JsonText, Statement};
use crate::error::Error;
use crate::state::State;

/// `POST /users`. The password is replaced by its hash; everything else is forwarded.
pub async fn create(state: State, caller: Caller, mut fields: Fields) -> Result<(StatusCode, Json), Error> {
    let email = fields.email("email");
    fields.text("account_id", 36..=36);
    fields.require("role_id");
    let provider = fields.optional_text("auth_provider", 1..=50);
    let password = fields.optional_text("password", 1..=crate::auth::password::LONGEST);
    let mut body = fields.finish()?;

    let hash = match password {
        Some(password) => {
            let faults = state.passwords.faults(&password);
            if !faults.is_empty() {
                return Err(Error::NestedFaults(faults));
            }
            state.passwords.hash(password).await?
        }
        None if provider.as_deref().unwrap_or("password") == "password" => {
            return Err(Error::BadRequest(
                "Password is required for the provider 'password'",
            ));
        }
        // Users of other providers get a password that nobody knows.
        None => {
            state
                .passwords
                .hash(Uuid::new_v4().to_string() + &Uuid::new_v4().to_string())
                .await?
        }
    };
    body.remove("password");
    body.insert("email".to_owned(), Value::String(email));
    body.insert("password_hash".to_owned(), Value::String(hash));
    let body = JsonText(Value::Object(body).to_string().into());
    let user = state
        .database
        .json(&caller, Statement::UserCreate, &[&body])
        .await?;
    Ok((StatusCode::CREATED, user))
}

/// `POST /users/{id}/verify`.
pub async fn verify(state: State, caller: Caller, Path(id): Path<Uuid>) -> Result<Json, Error> {
    state.database.json(&caller, Statement::UserVerify, &[&id]).await
}
