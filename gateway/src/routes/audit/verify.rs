//! `GET /audit-logs/verify`: is the trail what was written? Source: audit contract §3.4.

use axum::http::Uri;

use crate::auth::Caller;
use crate::db::{Json, JsonText, Statement};
use crate::error::Error;
use crate::routes::for_audit_readers;
use crate::routes::input::Parameters;
use crate::state::State;

/// Most findings of one answer.
const MOST_ERRORS: i64 = 10_000;

/// 200 whenever the check ran, whatever it found. A reader of an account verifies its own trail. A ledger that takes longer
/// than the statement timeout is verified with `since_checkpoint`, or with `snackbase-gateway audit verify`.
pub async fn verify(state: State, caller: Caller, uri: Uri) -> Result<Json, Error> {
    let query = for_audit_readers(&state, &caller, wanted(uri.query())).await?;
    state
        .database
        .json(&caller, Statement::AuditVerify, &[&query])
        .await
}

/// The query as `snackbase.audit_verify_report` takes it.
fn wanted(query: Option<&str>) -> Result<JsonText, Error> {
    let mut wanted = Parameters::new(query);
    wanted.given(&["account_id"]);
    wanted.number("from_id", 0..=i64::MAX);
    wanted.number("to_id", 0..=i64::MAX);
    wanted.number("from_block", 1..=i64::MAX);
    wanted.number("max_errors", 1..=MOST_ERRORS);
    wanted.flag("since_checkpoint");
    wanted.finish().map(JsonText::of)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_query_becomes_one_json_object() {
        let query = "account_id=&from_id=2049&since_checkpoint=true&max_errors=5&x=1";
        let wanted = wanted(Some(query)).unwrap_or_else(|error| panic!("{error}"));
        let expected = serde_json::json!({ "from_id": 2049, "max_errors": 5, "since_checkpoint": true });
        assert_eq!(wanted.0, expected.to_string());
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
            assert!(matches!(wanted(Some(query)), Err(Error::Misfits(_))), "{query}");
        }
    }
}
