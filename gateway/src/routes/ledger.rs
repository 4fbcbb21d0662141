//! What leaves the ledger for outsiders, for readers of the trail: proofs, checkpoints, the export of an account. Formats:
//! `docs/ledger.md` §6 to §8.

use axum::http::{Uri, header};
use axum::response::{IntoResponse, Response};
use uuid::Uuid;

use super::for_audit_readers;
use super::input::{Id, Path, Query};
use crate::auth::Caller;
use crate::db::{Argument, Json, Statement};
use crate::error::Error;
use crate::state::State;

/// `GET /audit-logs/{id}/proof`; with `?import_id=` of the entry that has the id in that imported log.
pub async fn proof(state: State, caller: Caller, path: Id<i64>, uri: Uri) -> Result<Json, Error> {
    let mut query = Query::new(uri.query());
    let import = query.number("import_id", 1..=i64::MAX);
    let wanted = path.and_then(|Path(id)| query.finish().map(|()| id));
    let id = for_audit_readers(&state, &caller, wanted).await?;
    state
        .database
        .json(&caller, Statement::AuditProof, &[&id, &import])
        .await
}

/// `GET /audit-logs/consistency?from=&to=`: from block 1 and to the newest, unless said otherwise.
pub async fn consistency(state: State, caller: Caller, uri: Uri) -> Result<Json, Error> {
    let mut query = Query::new(uri.query());
    let from = query.number("from", 1..=i64::MAX).unwrap_or(1);
    let to = query.number("to", 1..=i64::MAX);
    for_audit_readers(&state, &caller, query.finish()).await?;
    state
        .database
        .json(&caller, Statement::AuditConsistency, &[&from, &to])
        .await
}

/// `GET /audit-logs/checkpoint`: the newest signed note, or that of `?block=`, as text.
pub async fn checkpoint(state: State, caller: Caller, uri: Uri) -> Result<String, Error> {
    let mut query = Query::new(uri.query());
    let block = query.number("block", 1..=i64::MAX);
    for_audit_readers(&state, &caller, query.finish()).await?;
    let Json(note) = state
        .database
        .json(&caller, Statement::AuditCheckpoint, &[&block])
        .await?;
    serde_json::from_slice(&note).map_err(|failure| Error::Defect(format!("a note is a text: {failure}")))
}

/// `GET /audit-logs/ledger-export?account_id=&from_block=&checkpoint=`: everything sealed of one account (the caller's, unless
/// said otherwise) as JSON Lines, streamed. `checkpoint`, as often as needed: an older block; the export then shows that it
/// continues its checkpoint.
pub async fn export(state: State, caller: Caller, uri: Uri) -> Result<Response, Error> {
    let wanted = for_audit_readers(&state, &caller, Wanted::of(Query::new(uri.query()))).await?;
    let arguments: [Argument<'_>; 3] = [&wanted.account, &wanted.from_block, &wanted.checkpoints];
    let texts = state
        .database
        .texts(&caller, Statement::AuditAccountExport, &arguments)
        .await?;
    let body = texts.begun().await?.into_body();
    let name = format!(
        "attachment; filename=ledger_{}.jsonl",
        jiff::Timestamp::now().strftime("%Y%m%d_%H%M%S")
    );
    let headers = [
        (header::CONTENT_TYPE, "application/jsonl".to_owned()),
        (header::CONTENT_DISPOSITION, name),
    ];
    Ok((headers, body).into_response())
}

#[derive(Debug, PartialEq)]
struct Wanted {
    account: Option<Uuid>,
    from_block: i64,
    /// Older blocks.
    checkpoints: Vec<i64>,
}

impl Wanted {
    fn of(mut query: Query<'_>) -> Result<Wanted, Error> {
        let wanted = Wanted {
            account: query.id("account_id"),
            from_block: query.number("from_block", 1..=i64::MAX).unwrap_or(1),
            checkpoints: query.numbers("checkpoint", 1..=i64::MAX),
        };
        query.finish()?;
        Ok(wanted)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_export_is_of_the_own_account_unless_another_is_named() {
        let of = |query| Wanted::of(Query::new(Some(query)));
        let own = Wanted {
            account: None,
            from_block: 1,
            checkpoints: Vec::new(),
        };
        assert!(matches!(of("account_id="), Ok(wanted) if wanted == own));
        let other = Wanted {
            account: Some(Uuid::from_u128(7)),
            from_block: 3,
            checkpoints: vec![2, 9],
        };
        let query = "account_id=00000000-0000-0000-0000-000000000007&checkpoint=2&from_block=3&checkpoint=9";
        assert!(matches!(of(query), Ok(wanted) if wanted == other));
        for query in ["account_id=x", "from_block=0", "checkpoint=-1"] {
            assert!(matches!(of(query), Err(Error::Misfits(_))), "{query}");
        }
    }
}
