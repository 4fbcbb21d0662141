//! Groups and their members: everybody of an account reads them, administrators write them. Source: identity contract §4.7 (43–49).

use axum::http::{StatusCode, Uri};
use serde_json::{Map, Value};
use uuid::Uuid;

use super::for_group_writers;
use super::input::{Fields, Path, Query};
use crate::auth::Caller;
use crate::db::{Json, JsonText, Statement};
use crate::error::Error;
use crate::state::State;

/// The id in the path of a request.
type Id = Result<Path<Uuid>, Error>;

/// `GET /groups`: a bare array, with `skip` and `limit`, or with `page` and `page_size`.
pub async fn list(state: State, caller: Caller, uri: Uri) -> Result<Json, Error> {
    let mut query = Query::new(uri.query());
    let mut wanted = Map::new();
    if let Some(search) = query.text("search") {
        wanted.insert("search".to_owned(), search.into());
    }
    let (skip, limit) = query.pages(100, 1000);
    wanted.insert("skip".to_owned(), skip.into());
    wanted.insert("limit".to_owned(), limit.into());
    query.finish()?;
    let wanted = JsonText(Value::Object(wanted).to_string().into());
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
        fields
            .finish()
            .map(|body| JsonText(Value::Object(body).to_string().into()))
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
        fields
            .finish()
            .map(|body| JsonText(Value::Object(body).to_string().into()))
    };
    let input = path.and_then(|path| body.and_then(read).map(|changes| (path, changes)));
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
    let input = path.and_then(|path| body.and_then(read).map(|member| (path, member)));
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
    path: Result<Path<(Uuid, Uuid)>, Error>,
) -> Result<StatusCode, Error> {
    let Path((id, member)) = for_group_writers(&state, &caller, path).await?;
    state
        .database
        .flag(&caller, Statement::GroupMemberRemove, &[&id, &member])
        .await?;
    Ok(StatusCode::NO_CONTENT)
}
