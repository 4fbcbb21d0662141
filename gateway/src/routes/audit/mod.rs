//! The audit trail: all of it for superadmins, an account's own for its readers. Source: audit contract §3.1 and §3.2.

pub mod export;
mod pdf;
pub mod verify;

use axum::http::Uri;
use serde_json::{Map, Value};

use super::for_audit_readers;
use super::input::{Path, Query};
use crate::auth::Caller;
use crate::db::{Json, JsonText, Statement};
use crate::error::Error;
use crate::state::State;

/// `GET /audit-logs`. Unknown parameters are ignored.
pub async fn list(state: State, caller: Caller, uri: Uri) -> Result<Json, Error> {
    let query = for_audit_readers(&state, &caller, wanted(Query::new(uri.query()))).await?;
    let query = JsonText(query.to_string().into());
    state
        .database
        .json(&caller, Statement::AuditList, &[&query])
        .await
}

/// The query as `snackbase.audit_list` takes it.
fn wanted(mut query: Query<'_>) -> Result<Value, Error> {
    let mut wanted = filter(&mut query);
    if let Some(key) = given(&mut query, "sort_by") {
        wanted.insert("sort_by".to_owned(), key.into());
    }
    for (name, range) in [("skip", 0..=i64::MAX >> 1), ("limit", 1..=500)] {
        if let Some(number) = query.number(name, range) {
            wanted.insert(name.to_owned(), number.into());
        }
    }
    if let Some(order) = query.word("sort_order", &["asc", "desc"]) {
        wanted.insert("sort_order".to_owned(), order.into());
    }
    query.finish()?;
    Ok(Value::Object(wanted))
}

/// The filters that lists and exports share.
fn filter(query: &mut Query<'_>) -> Map<String, Value> {
    let mut wanted = Map::new();
    for name in [
        "account_id",
        "table_name",
        "record_id",
        "user_id",
        "operation",
        "auth_method",
        "from_date",
        "to_date",
    ] {
        if let Some(text) = given(query, name) {
            wanted.insert(name.to_owned(), text.into());
        }
    }
    wanted
}

/// A parameter. A form field that is left empty asks for nothing.
fn given(query: &mut Query<'_>, name: &str) -> Option<String> {
    query.text(name).filter(|text| !text.is_empty())
}

/// `GET /audit-logs/status`: what the sealer does, and what keeps it from its work.
pub async fn status(state: State, caller: Caller) -> Result<Json, Error> {
    state.database.json(&caller, Statement::AuditStatus, &[]).await
}

/// `GET /audit-logs/imported`: a page of imported logs, filtered as `GET /audit-logs` is, and by `import_id`.
pub async fn imported(state: State, caller: Caller, uri: Uri) -> Result<Json, Error> {
    let mut query = Query::new(uri.query());
    let import = query.number("import_id", 1..=i64::MAX);
    let mut query = for_audit_readers(&state, &caller, wanted(query)).await?;
    if let Some(import) = import {
        query["import_id"] = import.into();
    }
    let query = JsonText(query.to_string().into());
    state
        .database
        .json(&caller, Statement::AuditImportedList, &[&query])
        .await
}

/// `GET /audit-logs/{id}`.
pub async fn view(state: State, caller: Caller, path: Result<Path<i64>, Error>) -> Result<Json, Error> {
    let Path(id) = for_audit_readers(&state, &caller, path).await?;
    state.database.json(&caller, Statement::AuditView, &[&id]).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_query_becomes_one_json_object() {
        let query = Query::new(Some(
            "table_name=col_posts&operation=create&limit=10&sort_order=ASC&from_date=&x=1",
        ));
        let wanted = wanted(query).unwrap_or_default();
        let expected = serde_json::json!({ "table_name": "col_posts", "operation": "create", "limit": 10,
            "sort_order": "asc" });
        assert_eq!(wanted, expected);
    }

    #[test]
    fn limits_and_order_are_checked() {
        for query in ["limit=0", "limit=501", "skip=-1", "sort_order=up"] {
            assert!(
                matches!(wanted(Query::new(Some(query))), Err(Error::Misfits(_))),
                "{query}"
            );
        }
    }
}
