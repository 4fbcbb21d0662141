//! Hands a log of an original instance to the database: all of it in one transaction, or nothing.

use std::io::Read;

use serde_json::Value;
use tokio_postgres::NoTls;

use super::{Config, Json, cause};
use crate::auth::Caller;
use crate::import::Log;

/// Imports a log over a connection of its own. `told` hears how many entries have been read. Answers what
/// `snackbase.audit_import_finish` does.
///
/// # Errors
/// A sentence, with the number of the line where a line is at fault. Nothing was imported then.
pub async fn import(
    config: &Config,
    source: &str,
    input: impl Read,
    mut told: impl FnMut(u64),
) -> Result<Value, String> {
    let failed = |failure: tokio_postgres::Error| format!("{}.", cause(&failure));
    let (mut client, connection) = config.database.connect(NoTls).await.map_err(failed)?;
    let connection = tokio::spawn(connection);
    let transaction = client.transaction().await.map_err(failed)?;
    // A log may be long; each of its batches is short.
    transaction
        .batch_execute("set local statement_timeout = 0")
        .await
        .map_err(failed)?;
    let caller = Caller::gateway();
    transaction
        .query_one("select snackbase.enter($1, 'auth')", &[&caller.introduction()])
        .await
        .map_err(failed)?;
    let id: i64 = transaction
        .query_one("select snackbase.audit_import_begin($1)", &[&source])
        .await
        .and_then(|row| row.try_get(0))
        .map_err(failed)?;
    let add = transaction
        .prepare("select snackbase.audit_import_add($1, $2, $3)")
        .await
        .map_err(failed)?;
    let mut log = Log::new(input);
    let mut read = 0;
    while let Some(batch) = log.next_batch()? {
        transaction
            .query_one(&add, &[&id, &batch.first_line, &batch.lines])
            .await
            .map_err(failed)?;
        read += batch.lines.len() as u64;
        told(read);
    }
    let Json(report) = transaction
        .query_one("select snackbase.audit_import_finish($1)", &[&id])
        .await
        .and_then(|row| row.try_get(0))
        .map_err(failed)?;
    transaction.commit().await.map_err(failed)?;
    connection.abort();
    serde_json::from_slice(&report).map_err(|failure| format!("The report cannot be read: {failure}."))
}
