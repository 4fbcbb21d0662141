//! Accounts, for superadmins. Source: identity contract §4.4 (18–23).

use axum::http::{StatusCode, Uri};

use super::for_superadmins;
use super::input::{Fields, Path, Query};
use crate::auth::Caller;
use crate::db::{Json, Statement};
use crate::error::Error;
use crate::state::State;

/// `GET /accounts`.
pub async fn list(state: State, caller: Caller, uri: Uri) -> Result<Json, Error> {
    let mut query = Query::new(uri.query());
    let page = query.number("page", 1..=i64::MAX / 100);
    let page_size = query.number("page_size", 1..=100);
    let sort_by = query.word("sort_by", &["id", "slug", "name", "created_at", "account_code"]);
    let sort_order = query.word("sort_order", &["asc", "desc"]);
    let search = query.text("search");
    for_superadmins(&state, &caller, query.finish()).await?;
    state
        .database
        .json(
            &caller,
            Statement::AccountList,
            &[&page, &page_size, &sort_by, &sort_order, &search],
        )
        .await
}

/// `POST /accounts`. Whether the slug is good and free is the database's to say; both are 422 here.
pub async fn create(
    state: State,
    caller: Caller,
    body: Result<Fields, Error>,
) -> Result<(StatusCode, Json), Error> {
    let read = |mut fields: Fields| {
        let name = fields.text("name", 1..=255);
        let slug = fields.optional_text("slug", 0..=255);
        fields.finish().map(|_| (name, slug))
    };
    let (name, slug) = for_superadmins(&state, &caller, body.and_then(read)).await?;
    let created = state
        .database
        .json(&caller, Statement::AccountCreate, &[&name, &slug])
        .await;
    match created {
        Ok(account) => Ok((StatusCode::CREATED, account)),
        Err(Error::Refused(refusal)) => Err(Error::NameRefused(refusal)),
        Err(failure) => Err(failure),
    }
}

/// `GET /accounts/{account}`, by id, slug or code.
pub async fn view(state: State, caller: Caller, Path(account): Path<String>) -> Result<Json, Error> {
    state
        .database
        .json(&caller, Statement::AccountView, &[&account])
        .await
}

/// `PUT /accounts/{account}`: another name.
pub async fn change(
    state: State,
    caller: Caller,
    Path(account): Path<String>,
    body: Result<Fields, Error>,
) -> Result<Json, Error> {
    let read = |mut fields: Fields| {
        let name = fields.text("name", 1..=255);
        fields.finish().map(|_| name)
    };
    let name = for_superadmins(&state, &caller, body.and_then(read)).await?;
    state
        .database
        .json(&caller, Statement::AccountChange, &[&account, &name])
        .await
}

/// `DELETE /accounts/{account}`, with everything that is in it.
pub async fn remove(state: State, caller: Caller, Path(account): Path<String>) -> Result<StatusCode, Error> {
    state
        .database
        .flag(&caller, Statement::AccountDrop, &[&account])
        .await?;
    Ok(StatusCode::NO_CONTENT)
}

/// `GET /accounts/{account}/users`.
pub async fn users(
    state: State,
    caller: Caller,
    Path(account): Path<String>,
    uri: Uri,
) -> Result<Json, Error> {
    let mut query = Query::new(uri.query());
    let page = query.number("page", 1..=i64::MAX / 100);
    let page_size = query.number("page_size", 1..=100);
    for_superadmins(&state, &caller, query.finish()).await?;
    state
        .database
        .json(&caller, Statement::AccountUsers, &[&account, &page, &page_size])
        .await
}
