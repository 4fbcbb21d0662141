//! Groups and their members: everybody of an account reads them, administrators write them. Source: identity contract §4.7 (43–49).

use axum::http::{StatusCode, Uri};
use uuid::Uuid;

use super::for_group_writers;
use super::input::{Fields, Id, Parameters, Path, both};
use crate::auth::Caller;
use crate::db::{Json, JsonText, Statement};
use crate::error::Error;
use crate::state::State;

/// `GET /groups`: a bare array, with `skip` and `limit`, or with `page` and `page_size`.
pub async fn list(state: State, caller: Caller, uri: Uri) -> Result<Json, Error> {
    let mut wanted = Parameters::new(uri.query());
    wanted.text("search");
    wanted.pages(100, 1000);
    let wanted = JsonText::of(wanted.finish()?);
    state
        .database
        .json(&caller, Statement::GroupList, &[&wanted])
        .await
}

/// `POST /groups`.
pub async fn create(
    state: State,
    caller: Caller,
    body: Result<Fields, Error>,
) -> Result<(StatusCode, Json), Error> {
    let read = |mut fields: Fields| {
        fields.text("name", 1..=100);
        fields.optional_text("description", 0..=500);
        fields.optional_id("account_id");
        fields.finish().map(JsonText::of)
    };
    let body = for_group_writers(&state, &caller, body.and_then(read)).await?;
    let made = state
        .database
        .json(&caller, Statement::GroupCreate, &[&body])
        .await?;
    Ok((StatusCode::CREATED, made))
}

/// `GET /groups/{id}`, with its members.
pub async fn view(state: State, caller: Caller, path: Id) -> Result<Json, Error> {
    let Path(id) = path?;
    state.database.json(&caller, Statement::GroupView, &[&id]).await
}

/// `PATCH /groups/{id}`: what is absent stays.
pub async fn change(
    state: State,
    caller: Caller,
    path: Id,
    body: Result<Fields, Error>,
) -> Result<Json, Error> {
    let read = |mut fields: Fields| {
        fields.optional_text("name", 1..=100);
        fields.optional_text("description", 0..=500);
        fields.finish().map(JsonText::of)
    };
    let input = both(path, body.and_then(read));
    let (Path(id), changes) = for_group_writers(&state, &caller, input).await?;
    state
        .database
        .json(&caller, Statement::GroupChange, &[&id, &changes])
        .await
}

/// `DELETE /groups/{id}`.
pub async fn remove(state: State, caller: Caller, path: Id) -> Result<StatusCode, Error> {
    let Path(id) = for_group_writers(&state, &caller, path).await?;
    state.database.flag(&caller, Statement::GroupDrop, &[&id]).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// `POST /groups/{id}/users`.
pub async fn add_member(
    state: State,
    caller: Caller,
    path: Id,
    body: Result<Fields, Error>,
) -> Result<(StatusCode, Json), Error> {
    let read = |mut fields: Fields| {
        fields.require("user_id");
        let member = fields.optional_id("user_id");
        fields.finish().map(|_| member)
    };
    let input = both(path, body.and_then(read));
    let (Path(id), member) = for_group_writers(&state, &caller, input).await?;
    let added = state
        .database
        .json(&caller, Statement::GroupMemberAdd, &[&id, &member])
        .await?;
    Ok((StatusCode::CREATED, added))
}

/// `DELETE /groups/{id}/users/{user_id}`, whether it is a member or not.
pub async fn remove_member(
    state: State,
    caller: Caller,
    path: Id<(Uuid, Uuid)>,
) -> Result<StatusCode, Error> {
    let Path((id, member)) = for_group_writers(&state, &caller, path).await?;
    state
        .database
        .flag(&caller, Statement::GroupMemberRemove, &[&id, &member])
        .await?;
    Ok(StatusCode::NO_CONTENT)
}
