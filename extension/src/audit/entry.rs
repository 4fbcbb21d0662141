//! Hashes of a stored change (design `ledger.md` §4, `docs/ledger.md`). Writing, showing and verifying call the same
//! three functions with the same stored values, so they cannot disagree.

use std::borrow::Cow;

use pgrx::Uuid;
use pgrx::pg_sys::panic::ErrorReport;
use pgrx::prelude::*;
use serde::Deserialize;
use snackbase_core::ledger::{self, Column, Hash, Header};

use crate::error::Error;
use crate::json::{JsonText, timestamp_micros_text};

/// The hash of what all column entries of a change share. One argument per member that varies.
#[pg_extern(immutable, parallel_safe)]
#[allow(clippy::too_many_arguments)]
fn _audit_header_hash(
    account_id: Uuid,
    auth_method: Option<&str>,
    es_reason: Option<&str>,
    es_timestamp: Option<TimestampWithTimeZone>,
    es_username: Option<&str>,
    extra_metadata: Option<&str>,
    ip_address: Option<&str>,
    occurred_at: TimestampWithTimeZone,
    operation: &str,
    record_id: &str,
    record_version: i64,
    request_id: Option<&str>,
    table_name: &str,
    user_agent: Option<&str>,
    user_email: &str,
    user_id: &str,
    user_name: &str,
) -> Vec<u8> {
    let account_id = uuid::Uuid::from_bytes(*account_id.as_bytes()).to_string();
    let es_timestamp = es_timestamp.map(timestamp_micros_text);
    let header = Header {
        account_id: &account_id,
        auth_method,
        es_reason,
        es_timestamp: es_timestamp.as_deref(),
        es_username,
        extra_metadata,
        ip_address,
        occurred_at: &timestamp_micros_text(occurred_at),
        operation,
        record_id,
        record_version,
        request_id,
        table_name,
        user_agent,
        user_email,
        user_id,
        user_name,
    };
    ledger::header_hash(&header).to_vec()
}

/// The checksum of a change: the hash of its last column entry.
#[pg_extern(immutable, parallel_safe)]
fn _audit_chain(header: &[u8], columns: JsonText, previous: Option<&[u8]>) -> Result<Vec<u8>, ErrorReport> {
    let hashes = entry_hashes(header, &entries(&columns.0)?, previous)?;
    Ok(hashes.last().map(|hash| hash.to_vec()).unwrap_or_default())
}

/// The column entries of a change, in order, hashes as 64 hexadecimal characters; `ordinal` counts from 1.
#[pg_extern(immutable, parallel_safe)]
#[allow(clippy::type_complexity)]
fn _audit_entries(
    header: &[u8],
    columns: JsonText,
    previous: Option<&[u8]>,
) -> Result<
    TableIterator<
        'static,
        (
            name!(ordinal, i32),
            name!(column_name, String),
            name!(old_value, Option<String>),
            name!(new_value, Option<String>),
            name!(checksum, String),
            name!(previous_hash, Option<String>),
        ),
    >,
    ErrorReport,
> {
    let entries = entries(&columns.0)?;
    let hashes = entry_hashes(header, &entries, previous)?;
    let mut before = previous
        .map(|bytes| digest(bytes).map(|hash| ledger::to_hex(&hash)))
        .transpose()?;
    let mut rows = Vec::with_capacity(hashes.len());
    for (index, (entry, hash)) in entries.into_iter().zip(&hashes).enumerate() {
        let checksum = ledger::to_hex(hash);
        let previous_hash = before.replace(checksum.clone());
        let owned = |text: Option<Text<'_>>| text.map(|text| text.0.into_owned());
        rows.push((
            index as i32 + 1,
            entry.0.into_owned(),
            owned(entry.1),
            owned(entry.2),
            checksum,
            previous_hash,
        ));
    }
    Ok(TableIterator::new(rows))
}

fn entry_hashes(header: &[u8], entries: &[Entry<'_>], previous: Option<&[u8]>) -> Result<Vec<Hash>, Error> {
    let columns: Vec<Column> = entries.iter().map(Entry::column).collect();
    Ok(ledger::entry_hashes(
        previous.map(digest).transpose()?,
        &digest(header)?,
        &columns,
    ))
}

fn digest(bytes: &[u8]) -> Result<Hash, Error> {
    Hash::try_from(bytes).map_err(|_| Error::Malformed("a hash of the ledger has 32 bytes".into()))
}

/// One element of `columns`: name, old value, new value. Borrows from the text where it has no escapes.
#[derive(Deserialize)]
pub struct Entry<'a>(
    #[serde(borrow)] Cow<'a, str>,
    #[serde(borrow)] Option<Text<'a>>,
    #[serde(borrow)] Option<Text<'a>>,
);

#[derive(Deserialize)]
struct Text<'a>(#[serde(borrow)] Cow<'a, str>);

impl Entry<'_> {
    /// The same as the core hashes it.
    pub fn column(&self) -> Column<'_> {
        Column {
            name: &self.0,
            old: self.1.as_ref().map(|text| &*text.0),
            new: self.2.as_ref().map(|text| &*text.0),
        }
    }
}

/// The entries of a change, from its `columns` as stored: `[[name, old, new], …]`. The one parser of that text.
///
/// # Errors
/// 22023 when the text has another shape, which nothing of ours writes.
pub fn entries(columns: &str) -> Result<Vec<Entry<'_>>, Error> {
    serde_json::from_str(columns)
        .map_err(|_| Error::Malformed("columns of a change: [[name, old, new], …]".into()))
}
