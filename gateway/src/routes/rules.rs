//! Rules and field lists of a collection, for superadmins. Source: rules contract §2.

use super::for_superadmins;
use super::input::{JsonObject, Path};
use crate::auth::Caller;
use crate::db::{Json, Statement};
use crate::error::Error;
use crate::state::State;

/// `GET /collections/{collection}/rules`.
pub async fn view(state: State, caller: Caller, Path(collection): Path<String>) -> Result<Json, Error> {
    state
        .database
        .json(&caller, Statement::RulesView, &[&collection])
        .await
}

/// `PUT /collections/{collection}/rules`: any subset of the nine keys.
pub async fn change(
    state: State,
    caller: Caller,
    Path(collection): Path<String>,
    body: Result<JsonObject, Error>,
) -> Result<Json, Error> {
    let JsonObject(body) = for_superadmins(&state, &caller, body).await?;
    state
        .database
        .json(&caller, Statement::RulesChange, &[&collection, &body])
        .await
}
