//! `POST /auth/register`: a new account with its first user. Gives no tokens: the address is not confirmed yet.

use axum::Json;
use axum::http::StatusCode;
use serde_json::{Map, Value};

use super::read;
use crate::auth::Origin;
use crate::db::Statement;
use crate::error::{Error, FieldFault};
use crate::routes::input::Fields;
use crate::state::State;

/// Source: identity contract §4.1 #1. Whether the slug is good and free is the database's to say.
pub async fn register(
    state: State,
    origin: Origin,
    mut fields: Fields,
) -> Result<(StatusCode, Json<Value>), Error> {
    if !state.config.registration_enabled {
        return Err(Error::Forbidden("Registration is disabled"));
    }
    let email = fields.email("email");
    let password = fields.password("password");
    let account_name = fields.optional_text("account_name", 0..=255).unwrap_or_default();
    let account_slug = fields.optional_text("account_slug", 3..=32);
    fields.finish()?;

    let mut faults = state.passwords.faults(&password);
    if account_name.trim().is_empty() {
        let message = "Account name is required".to_owned();
        faults.push(FieldFault {
            field: "account_name",
            message,
            code: "required",
        });
    }
    if !faults.is_empty() {
        return Err(Error::Faults(faults));
    }
    let hash = state.passwords.hash(password).await?;
    let nobody = origin.nobody();
    let arguments: [crate::db::Argument<'_>; 4] = [&email, &hash, &account_name.trim(), &account_slug];
    let registered = read(
        &state
            .database
            .json(&nobody, Statement::Register, &arguments)
            .await?,
    )?;

    let mut answer = Map::new();
    answer.insert(
        "message".to_owned(),
        "Registration successful. Please check your email to verify it.".into(),
    );
    if let Value::Object(registered) = registered {
        answer.extend(registered);
    }
    Ok((StatusCode::CREATED, Json(Value::Object(answer))))
}
