//! Confirming an address: `POST /auth/verify-email`, and asking for the mail with the link once more.

use axum::Json;
use serde_json::{Value, json};

use super::login::Meant;
use crate::auth::{CallerIfAny, Origin};
use crate::db::{self, Statement};
use crate::error::{Error, Refusal};
use crate::routes::input::Fields;
use crate::state::State;

/// Source: identity contract §4.1 #8.
pub async fn confirm(state: State, origin: Origin, mut fields: Fields) -> Result<db::Json, Error> {
    let token = fields.text("token", 1..=512);
    fields.finish()?;
    state
        .database
        .json(&origin.nobody(), Statement::VerifyEmail, &[&token])
        .await
}

/// `POST /auth/send-verification` and `/auth/resend-verification`. Users ask for themselves, visitors name an address; the
/// answer is the same whether a mail was sent or not. Source: identity contract §4.1 #6 and #7.
pub async fn send(
    state: State,
    origin: Origin,
    CallerIfAny(caller): CallerIfAny,
    fields: Option<Fields>,
) -> Result<Json<Value>, Error> {
    let mut fields = fields.unwrap_or_else(Fields::none);
    let account = fields.optional_text("account", 0..=255);
    let email = fields.optional_email("email");
    fields.finish()?;
    let meant = Meant::of(&state, &origin, account);
    // Without any, the newest user of that address is asked about.
    let arguments: [db::Argument<'_>; 4] = [&meant.account, &meant.host_label, &meant.fallback, &email];
    let answer = Json(json!({ "message": "If this address waits to be confirmed, a message is on its way" }));
    if let Some(caller) = caller {
        match state
            .database
            .flag(&caller, Statement::VerificationRequest, &arguments)
            .await
        {
            // A session that has ended is no better than none.
            Err(Error::Refused(refusal)) if ended(&refusal) && email.is_some() => {}
            other => return other.map(|_| answer),
        }
    }
    if email.is_none() {
        return Err(Error::Unauthenticated("Not authenticated"));
    }
    state
        .database
        .flag(&origin.nobody(), Statement::VerificationRequest, &arguments)
        .await?;
    Ok(answer)
}

fn ended(refusal: &Refusal) -> bool {
    refusal.sqlstate == "28000"
}
