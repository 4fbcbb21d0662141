//! API keys of administrators: each sees the own ones. Source: identity contract §4.9 (56–59).

use axum::http::{StatusCode, Uri};
use serde_json::Value;

use super::input::{Id, JsonObject, Path, Query};
use super::{auth, for_administrators};
use crate::auth::Caller;
use crate::auth::api_key::NewKey;
use crate::db::{Json, Statement};
use crate::error::Error;
use crate::state::State;

/// `GET /admin/api-keys`, revoked ones too.
pub async fn list(state: State, caller: Caller, uri: Uri) -> Result<Json, Error> {
    let mut query = Query::new(uri.query());
    let limit = query.number("limit", 1..=1000);
    let offset = query.number("offset", 0..=i64::MAX);
    for_administrators(&state, &caller, query.finish()).await?;
    state
        .database
        .json(&caller, Statement::ApiKeyList, &[&limit, &offset])
        .await
}

/// `POST /admin/api-keys`: the one answer that has the key in clear. What the body says is judged by the database.
pub async fn create(
    state: State,
    caller: Caller,
    body: Result<JsonObject, Error>,
) -> Result<(StatusCode, axum::Json<Value>), Error> {
    let JsonObject(body) = for_administrators(&state, &caller, body).await?;
    let key = NewKey::make()?;
    let days = state.config.api_keys.expiration_days;
    let made = state
        .database
        .json(
            &caller,
            Statement::ApiKeyCreate,
            &[&key.id, &key.hash, &key.first_four, &key.last_four, &days, &body],
        )
        .await?;
    let mut made = auth::read(&made)?;
    made["key"] = Value::String(key.text);
    Ok((StatusCode::CREATED, axum::Json(made)))
}

/// `GET /admin/api-keys/{id}`.
pub async fn view(state: State, caller: Caller, path: Id) -> Result<Json, Error> {
    let Path(id) = for_administrators(&state, &caller, path).await?;
    state.database.json(&caller, Statement::ApiKeyView, &[&id]).await
}

/// `DELETE /admin/api-keys/{id}`: revokes the key, at once and for good. A second time changes nothing.
pub async fn revoke(state: State, caller: Caller, path: Id) -> Result<StatusCode, Error> {
    let Path(id) = for_administrators(&state, &caller, path).await?;
    state
        .database
        .flag(&caller, Statement::ApiKeyRevoke, &[&id])
        .await?;
    Ok(StatusCode::NO_CONTENT)
}
