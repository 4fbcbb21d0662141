//! The audit trail: all of it for superadmins, an account's own for its readers. Source: audit contract §3.1 and §3.2.

pub mod export;
mod pdf;
pub mod verify;

use axum::http::Uri;

use super::for_audit_readers;
use super::input::{Id, Parameters, Path};
use crate::auth::Caller;
use crate::db::{Json, JsonText, Statement};
use crate::error::Error;
use crate::state::State;

/// `GET /audit-logs`. Unknown parameters are ignored.
pub async fn list(state: State, caller: Caller, uri: Uri) -> Result<Json, Error> {
    let query = for_audit_readers(&state, &caller, wanted(uri.query())).await?;
    state
        .database
        .json(&caller, Statement::AuditList, &[&query])
        .await
}

/// The query as `snackbase.audit_list` takes it.
fn wanted(query: Option<&str>) -> Result<JsonText, Error> {
    page(Parameters::new(query))
}

/// One page of what the filters let through.
fn page(mut wanted: Parameters<'_>) -> Result<JsonText, Error> {
    filter(&mut wanted);
    wanted.given(&["sort_by"]);
    wanted.number("skip", 0..=i64::MAX >> 1);
    wanted.number("limit", 1..=500);
    wanted.word("sort_order", &["asc", "desc"]);
    wanted.finish().map(JsonText::of)
}

/// The filters that lists and exports share.
fn filter(wanted: &mut Parameters<'_>) {
    wanted.given(&[
        "account_id",
        "table_name",
        "record_id",
        "user_id",
        "operation",
        "auth_method",
        "from_date",
        "to_date",
    ]);
}

/// `GET /audit-logs/status`: what the sealer does, and what keeps it from its work.
pub async fn status(state: State, caller: Caller) -> Result<Json, Error> {
    state.database.json(&caller, Statement::AuditStatus, &[]).await
}

/// `GET /audit-logs/imported`: a page of imported logs, filtered as `GET /audit-logs` is, and by `import_id`.
pub async fn imported(state: State, caller: Caller, uri: Uri) -> Result<Json, Error> {
    let mut wanted = Parameters::new(uri.query());
    wanted.number("import_id", 1..=i64::MAX);
    let query = for_audit_readers(&state, &caller, page(wanted)).await?;
    state
        .database
        .json(&caller, Statement::AuditImportedList, &[&query])
        .await
}

/// `GET /audit-logs/{id}`.
pub async fn view(state: State, caller: Caller, path: Id<i64>) -> Result<Json, Error> {
    let Path(id) = for_audit_readers(&state, &caller, path).await?;
    state.database.json(&caller, Statement::AuditView, &[&id]).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_query_becomes_one_json_object() {
        let query = "table_name=col_posts&operation=create&limit=10&sort_order=ASC&from_date=&x=1";
        let wanted = wanted(Some(query)).unwrap_or_else(|error| panic!("{error}"));
        let expected = serde_json::json!({ "table_name": "col_posts", "operation": "create", "limit": 10,
            "sort_order": "asc" });
        assert_eq!(wanted.0, expected.to_string());
    }

    #[test]
    fn limits_and_order_are_checked() {
        for query in ["limit=0", "limit=501", "skip=-1", "sort_order=up"] {
            assert!(matches!(wanted(Some(query)), Err(Error::Misfits(_))), "{query}");
        }
    }
}
