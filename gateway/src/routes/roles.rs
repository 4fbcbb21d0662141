//! Roles and their permissions, for superadmins. Source: identity contract §4.6 (32–42).

use axum::http::StatusCode;

use super::for_superadmins;
use super::input::{Id, JsonObject, Path, both};
use crate::auth::Caller;
use crate::db::{Json, Statement};
use crate::error::Error;
use crate::state::State;

/// `GET /roles`.
pub async fn list(state: State, caller: Caller) -> Result<Json, Error> {
    state.database.json(&caller, Statement::RoleList, &[]).await
}

/// `POST /roles`.
pub async fn create(
    state: State,
    caller: Caller,
    body: Result<JsonObject, Error>,
) -> Result<(StatusCode, Json), Error> {
    let JsonObject(body) = for_superadmins(&state, &caller, body).await?;
    let created = state
        .database
        .json(&caller, Statement::RoleCreate, &[&body])
        .await?;
    Ok((StatusCode::CREATED, created))
}

/// `GET /roles/{id}`.
pub async fn view(state: State, caller: Caller, path: Id<i64>) -> Result<Json, Error> {
    one(&state, &caller, path, Statement::RoleView).await
}

/// `PUT /roles/{id}`: what is absent stays.
pub async fn change(
    state: State,
    caller: Caller,
    path: Id<i64>,
    body: Result<JsonObject, Error>,
) -> Result<Json, Error> {
    with_body(&state, &caller, path, body, Statement::RoleChange).await
}

/// `DELETE /roles/{id}`.
pub async fn remove(state: State, caller: Caller, path: Id<i64>) -> Result<StatusCode, Error> {
    let Path(id) = for_superadmins(&state, &caller, path).await?;
    state.database.flag(&caller, Statement::RoleDrop, &[&id]).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// `GET /roles/{id}/permissions`.
pub async fn permissions(state: State, caller: Caller, path: Id<i64>) -> Result<Json, Error> {
    one(&state, &caller, path, Statement::RolePermissions).await
}

/// `GET /roles/{id}/permissions/matrix`: one entry per collection.
pub async fn matrix(state: State, caller: Caller, path: Id<i64>) -> Result<Json, Error> {
    one(&state, &caller, path, Statement::RolePermissionsMatrix).await
}

/// `PUT /roles/{id}/permissions/bulk`.
pub async fn change_permissions(
    state: State,
    caller: Caller,
    path: Id<i64>,
    body: Result<JsonObject, Error>,
) -> Result<Json, Error> {
    with_body(&state, &caller, path, body, Statement::RolePermissionsChange).await
}

/// `DELETE /roles/permissions/{id}`.
pub async fn remove_permission(state: State, caller: Caller, path: Id<i64>) -> Result<StatusCode, Error> {
    let Path(id) = for_superadmins(&state, &caller, path).await?;
    state
        .database
        .flag(&caller, Statement::PermissionDrop, &[&id])
        .await?;
    Ok(StatusCode::NO_CONTENT)
}

async fn one(state: &State, caller: &Caller, path: Id<i64>, statement: Statement) -> Result<Json, Error> {
    let Path(id) = for_superadmins(state, caller, path).await?;
    state.database.json(caller, statement, &[&id]).await
}

async fn with_body(
    state: &State,
    caller: &Caller,
    path: Id<i64>,
    body: Result<JsonObject, Error>,
    statement: Statement,
) -> Result<Json, Error> {
    let (Path(id), JsonObject(body)) = for_superadmins(state, caller, both(path, body)).await?;
    state.database.json(caller, statement, &[&id, &body]).await
}
