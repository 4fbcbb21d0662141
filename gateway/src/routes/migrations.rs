//! The log of schema changes, and changes of many collections at once, for superadmins. Source: collections contract §3.3,
//! operations contract §11.

use super::for_superadmins;
use super::input::JsonObject;
use crate::auth::Caller;
use crate::db::{Json, Statement};
use crate::error::Error;
use crate::state::State;

/// `GET /migrations`, the newest first.
pub async fn list(state: State, caller: Caller) -> Result<Json, Error> {
    state.database.json(&caller, Statement::MigrationList, &[]).await
}

/// `GET /migrations/current`; 404 as long as there is none.
pub async fn current(state: State, caller: Caller) -> Result<Json, Error> {
    state
        .database
        .json(&caller, Statement::MigrationCurrent, &[])
        .await
}

/// `GET /migrations/history`, the oldest first.
pub async fn history(state: State, caller: Caller) -> Result<Json, Error> {
    state
        .database
        .json(&caller, Statement::MigrationHistory, &[])
        .await
}

/// `POST /migrations/plan`.
pub async fn plan(state: State, caller: Caller, body: Result<JsonObject, Error>) -> Result<Json, Error> {
    let JsonObject(body) = for_superadmins(&state, &caller, body).await?;
    state
        .database
        .json(&caller, Statement::MigrationPlan, &[&body])
        .await
}

/// `POST /migrations/generate`; 409 with the plan when it loses values and is not confirmed.
pub async fn generate(state: State, caller: Caller, body: Result<JsonObject, Error>) -> Result<Json, Error> {
    let JsonObject(body) = for_superadmins(&state, &caller, body).await?;
    state
        .database
        .json(&caller, Statement::MigrationGenerate, &[&body])
        .await
}
