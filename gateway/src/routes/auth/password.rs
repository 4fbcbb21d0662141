//! A new password for somebody who forgot the old one. Source: identity contract §4.1 #9 to #11, §5.4.

use axum::Json;
use serde_json::{Value, json};

use super::login::Meant;
use super::read;
use crate::auth::Origin;
use crate::db::{self, Statement};
use crate::error::Error;
use crate::routes::input::{Fields, Path};
use crate::state::State;

/// `POST /auth/forgot-password`. The answer and the work are the same whether there is such a user or not.
pub async fn forgot(state: State, origin: Origin, mut fields: Fields) -> Result<Json<Value>, Error> {
    let account = fields.optional_text("account", 0..=255);
    let email = fields.email("email");
    fields.finish()?;
    let meant = Meant::of(&state, &origin, account);
    meant.require()?;
    let arguments: [db::Argument<'_>; 4] = [&meant.account, &meant.host_label, &meant.fallback, &email];
    state
        .database
        .flag(&origin.nobody(), Statement::ForgotPassword, &arguments)
        .await?;
    Ok(Json(
        json!({ "message": "If this address has a password here, a message is on its way" }),
    ))
}

/// `GET /auth/verify-reset-token/{token}`. Spends nothing.
pub async fn check(
    state: State,
    origin: Origin,
    path: Result<Path<String>, Error>,
) -> Result<db::Json, Error> {
    let Path(token) = path?;
    let nobody = origin.nobody();
    state
        .database
        .json(&nobody, Statement::ResetCheck, &[&token])
        .await
}

/// `POST /auth/reset-password`.
pub async fn reset(state: State, origin: Origin, mut fields: Fields) -> Result<db::Json, Error> {
    let token = fields.text("token", 1..=512);
    let password = fields.new_password("new_password");
    fields.finish()?;
    let faults = state.passwords.faults(&password);
    if !faults.is_empty() {
        return Err(Error::NestedFaults(faults));
    }
    let nobody = origin.nobody();
    // A hash costs too much to make one for a token that is none.
    let checked = state
        .database
        .json(&nobody, Statement::ResetCheck, &[&token])
        .await?;
    if read(&checked)?["valid"] != true {
        return Err(Error::BadRequest("The link is not valid or has expired"));
    }
    let hash = state.passwords.hash(password).await?;
    state
        .database
        .json(&nobody, Statement::ResetPassword, &[&token, &hash])
        .await
}
