//! `POST /auth/register`: a new account with its first user, or a user more in an installation with one account. Gives no tokens: the address is not confirmed yet.

use axum::Json;
use axum::http::StatusCode;
use serde_json::{Map, Value};

use super::read;
use crate::auth::Origin;
use crate::db::{self, Statement};
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
    let registered = match &state.config.single_tenant {
        // Whatever the request says of an account, there is one.
        Some(only) => {
            fields.finish()?;
            let hash = hash(&state, password, Vec::new()).await?;
            let arguments: [db::Argument<'_>; 3] = [&only.account, &email, &hash];
            let nobody = origin.nobody();
            state.database.json(&nobody, Statement::Join, &arguments).await?
        }
        None => {
            let account_name = fields.optional_text("account_name", 0..=255).unwrap_or_default();
            let account_slug = fields.optional_text("account_slug", 3..=32);
            fields.finish()?;
            let account_name = account_name.trim();
            let nameless = account_name.is_empty().then(|| FieldFault {
                field: "account_name",
                message: "Account name is required".to_owned(),
                code: "required",
            });
            let hash = hash(&state, password, nameless.into_iter().collect()).await?;
            let arguments: [db::Argument<'_>; 4] = [&email, &hash, &account_name, &account_slug];
            let nobody = origin.nobody();
            state
                .database
                .json(&nobody, Statement::Register, &arguments)
                .await?
        }
    };
    let registered = read(&registered)?;

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

/// The hash of a password that satisfies the policy; else all faults together, `more` of them included.
async fn hash(state: &State, password: String, more: Vec<FieldFault>) -> Result<String, Error> {
    let mut faults = state.passwords.faults(&password);
    faults.extend(more);
    if !faults.is_empty() {
        return Err(Error::Faults(faults));
    }
    state.passwords.hash(password).await
}
