//! Custom macros: everybody with an identity reads them, superadmins write them. Source: rules contract §2.1.

use axum::http::{StatusCode, Uri};

use super::for_superadmins;
use super::input::{Fields, Id, JsonObject, Path, Query, both};
use crate::auth::Caller;
use crate::db::{Json, JsonText, Statement};
use crate::error::Error;
use crate::state::State;

/// `GET /macros`: a bare array.
pub async fn list(state: State, caller: Caller, uri: Uri) -> Result<Json, Error> {
    let mut query = Query::new(uri.query());
    let skip = query.number("skip", 0..=i64::MAX);
    let limit = query.number("limit", 1..=1000);
    query.finish()?;
    state
        .database
        .json(&caller, Statement::MacroList, &[&skip, &limit])
        .await
}

/// `POST /macros`.
pub async fn create(
    state: State,
    caller: Caller,
    body: Result<JsonObject, Error>,
) -> Result<(StatusCode, Json), Error> {
    let JsonObject(body) = for_superadmins(&state, &caller, body).await?;
    let created = state
        .database
        .json(&caller, Statement::MacroCreate, &[&body])
        .await?;
    Ok((StatusCode::CREATED, created))
}

/// `GET /macros/{id}`.
pub async fn view(state: State, caller: Caller, Path(id): Path<i64>) -> Result<Json, Error> {
    state.database.json(&caller, Statement::MacroView, &[&id]).await
}

/// `PUT /macros/{id}`: what is absent or null stays.
pub async fn change(
    state: State,
    caller: Caller,
    path: Id<i64>,
    body: Result<JsonObject, Error>,
) -> Result<Json, Error> {
    let (Path(id), JsonObject(body)) = for_superadmins(&state, &caller, both(path, body)).await?;
    state
        .database
        .json(&caller, Statement::MacroChange, &[&id, &body])
        .await
}

/// `DELETE /macros/{id}`.
pub async fn remove(state: State, caller: Caller, path: Id<i64>) -> Result<StatusCode, Error> {
    let Path(id) = for_superadmins(&state, &caller, path).await?;
    state.database.flag(&caller, Statement::MacroDrop, &[&id]).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// `POST /macros/{id}/test`: a dry run. The body may be left out.
pub async fn test(
    state: State,
    caller: Caller,
    path: Id<i64>,
    body: Result<Option<Fields>, Error>,
) -> Result<Json, Error> {
    let (Path(id), fields) = for_superadmins(&state, &caller, both(path, body)).await?;
    let body = JsonText::of(fields.unwrap_or_else(Fields::none).finish()?);
    state
        .database
        .json(&caller, Statement::MacroTest, &[&id, &body])
        .await
}
