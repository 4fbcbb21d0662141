//! Users, for superadmins. Source: identity contract §4.5 (25 and 30).

use axum::http::StatusCode;
use serde_json::Value;
use uuid::Uuid;

use super::for_superadmins;
use super::input::{Fields, Path};
use crate::auth::{Caller, password};
use crate::db::{Json, JsonText, Statement};
use crate::error::Error;
use crate::state::State;

/// `POST /users`. The password is replaced by its hash; everything else is forwarded. Whether the caller may do this is
/// asked first: a hash costs too much to make it for anybody.
pub async fn create(
    state: State,
    caller: Caller,
    body: Result<Fields, Error>,
) -> Result<(StatusCode, Json), Error> {
    state.database.flag(&caller, Statement::Superadmin, &[]).await?;
    let mut fields = body?;
    let email = fields.email("email");
    fields.text("account_id", 36..=36);
    fields.require("role_id");
    let provider = fields.optional_text("auth_provider", 1..=50);
    let password = fields.optional_text("password", 1..=password::LONGEST);
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
            let nobody_knows = format!("{}{}", Uuid::new_v4(), Uuid::new_v4());
            state.passwords.hash(nobody_knows).await?
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
pub async fn verify(state: State, caller: Caller, path: Result<Path<Uuid>, Error>) -> Result<Json, Error> {
    let Path(id) = for_superadmins(&state, &caller, path).await?;
    state.database.json(&caller, Statement::UserVerify, &[&id]).await
}
