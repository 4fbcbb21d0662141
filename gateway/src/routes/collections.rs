//! Collections, for superadmins. Source: collections contract §2.

use axum::http::{HeaderName, StatusCode, Uri, header};

use super::for_superadmins;
use super::input::{JsonObject, Path, Query};
use crate::auth::Caller;
use crate::db::{Json, Statement};
use crate::error::Error;
use crate::state::State;

/// `GET /collections`. Unknown values of `sort_by` and `sort_order` mean the default, as the contract wants it.
pub async fn list(state: State, caller: Caller, uri: Uri) -> Result<Json, Error> {
    let mut query = Query::new(uri.query());
    let page = query.number("page", 1..=i64::MAX / 100);
    let page_size = query.number("page_size", 1..=100);
    let (sort_by, sort_order, search) = (
        query.text("sort_by"),
        query.text("sort_order"),
        query.text("search"),
    );
    for_superadmins(&state, &caller, query.finish()).await?;
    state
        .database
        .json(
            &caller,
            Statement::CollectionList,
            &[&page, &page_size, &sort_by, &sort_order, &search],
        )
        .await
}

/// `GET /collections/names`.
pub async fn names(state: State, caller: Caller) -> Result<Json, Error> {
    state
        .database
        .json(&caller, Statement::CollectionNames, &[])
        .await
}

/// `GET /collections/{collection}`, by id or name.
pub async fn view(state: State, caller: Caller, Path(collection): Path<String>) -> Result<Json, Error> {
    state
        .database
        .json(&caller, Statement::CollectionView, &[&collection])
        .await
}

/// `POST /collections`.
pub async fn define(
    state: State,
    caller: Caller,
    body: Result<JsonObject, Error>,
) -> Result<(StatusCode, Json), Error> {
    let JsonObject(body) = for_superadmins(&state, &caller, body).await?;
    let collection = state
        .database
        .json(&caller, Statement::CollectionDefine, &[&body])
        .await?;
    Ok((StatusCode::CREATED, collection))
}

/// `PUT /collections/{collection}`.
pub async fn change(
    state: State,
    caller: Caller,
    Path(collection): Path<String>,
    body: Result<JsonObject, Error>,
) -> Result<Json, Error> {
    let JsonObject(body) = for_superadmins(&state, &caller, body).await?;
    state
        .database
        .json(&caller, Statement::CollectionChange, &[&collection, &body])
        .await
}

/// `DELETE /collections/{collection}`: 200 with what was deleted.
pub async fn remove(state: State, caller: Caller, Path(collection): Path<String>) -> Result<Json, Error> {
    state
        .database
        .json(&caller, Statement::CollectionDrop, &[&collection])
        .await
}

/// `GET /collections/export`: definitions as a file, named after the moment.
pub async fn export(
    state: State,
    caller: Caller,
    uri: Uri,
) -> Result<([(HeaderName, String); 1], Json), Error> {
    let mut query = Query::new(uri.query());
    let wanted = query.text("collection_ids");
    for_superadmins(&state, &caller, query.finish()).await?;
    let file = state
        .database
        .json(&caller, Statement::CollectionExport, &[&wanted])
        .await?;
    let moment = jiff::Timestamp::now().strftime("%Y%m%d_%H%M%S");
    let disposition = format!("attachment; filename=collections_export_{moment}.json");
    Ok(([(header::CONTENT_DISPOSITION, disposition)], file))
}

/// `POST /collections/import`: 200 with a status per collection, even when every one of them failed.
pub async fn import(state: State, caller: Caller, body: Result<JsonObject, Error>) -> Result<Json, Error> {
    let JsonObject(body) = for_superadmins(&state, &caller, body).await?;
    state
        .database
        .json(&caller, Statement::CollectionImport, &[&body])
        .await
}
