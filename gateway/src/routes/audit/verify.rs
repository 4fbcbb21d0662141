//! `GET /audit-logs/verify`: is the trail what was written? Source: audit contract §3.4.

use axum::http::Uri;
use serde_json::{Map, Value};

use crate::auth::Caller;
use crate::db::{Json, JsonText, Statement};
use crate::error::Error;
use crate::routes::for_audit_readers;
use crate::routes::input::Query;
use crate::state::State;

/// Most findings of one answer.
const MOST_ERRORS: i64 = 10_000;

/// 200 whenever the check ran, whatever it found. A reader of an account verifies its own trail. A ledger that takes longer
/// than the statement timeout is verified with `since_checkpoint`, or with `snackbase-gateway audit verify`.
pub async fn verify(state: State, caller: Caller, uri: Uri) -> Result<Json, Error> {
    let query = for_audit_readers(&state, &caller, wanted(Query::new(uri.query()))).await?;
    let query = JsonText(query.to_string().into());
    state
        .database
        .json(&caller, Statement::AuditVerify, &[&query])
        .await
}

/// The query as `snackbase.audit_verify_report` takes it.
fn wanted(mut query: Query<'_>) -> Result<Value, Error> {
    let mut wanted = Map::new();
    // A form field that is left empty asks for nothing.
    if let Some(account) = query.text("account_id").filter(|text| !text.is_empty()) {
        wanted.insert("account_id".to_owned(), account.into());
    }
    for (name, range) in [
        ("from_id", 0..=i64::MAX),
        ("to_id", 0..=i64::MAX),
        ("from_block", 1..=i64::MAX),
        ("max_errors", 1..=MOST_ERRORS),
    ] {
        if let Some(number) = query.number(name, range) {
            wanted.insert(name.to_owned(), number.into());
        }
    }
    if let Some(since) = query.flag("since_checkpoint") {
        wanted.insert("since_checkpoint".to_owned(), since.into());
    }
    query.finish()?;
    Ok(Value::Object(wanted))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_query_becomes_one_json_object() {
        let query = "account_id=&from_id=2049&since_checkpoint=true&max_errors=5&x=1";
        let wanted = wanted(Query::new(Some(query))).unwrap_or_default();
        let expected = serde_json::json!({ "from_id": 2049, "max_errors": 5, "since_checkpoint": true });
        assert_eq!(wanted, expected);
    }

    #[test]
    fn numbers_and_flags_are_checked() {
        for query in [
            "from_id=-1",
            "to_id=x",
            "from_block=0",
            "max_errors=0",
            "max_errors=10001",
            "since_checkpoint=maybe",
        ] {
            assert!(
                matches!(wanted(Query::new(Some(query))), Err(Error::Misfits(_))),
                "{query}"
            );
        }
    }
}
