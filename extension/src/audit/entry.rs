//! Hashes of a stored change (design `ledger.md` §4, `docs/ledger.md`). Writing, showing and verifying call the same
//! three functions with the same stored values, so they cannot disagree.

use pgrx::pg_sys::panic::ErrorReport;
use pgrx::prelude::*;
use pgrx::{JsonB, Uuid};
use snackbase_core::ledger::{self, Column, Hash, Header};

use crate::error::Error;
use crate::json::timestamp_micros_text;

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
fn _audit_chain(header: &[u8], columns: JsonB, previous: Option<&[u8]>) -> Result<Vec<u8>, ErrorReport> {
    let hashes = entry_hashes(header, &columns, previous)?;
    Ok(hashes.last().map(|hash| hash.to_vec()).unwrap_or_default())
}

/// The column entries of a change, in order, hashes as 64 hexadecimal characters; `ordinal` counts from 1.
#[pg_extern(immutable, parallel_safe)]
#[allow(clippy::type_complexity)]
fn _audit_entries(
    header: &[u8],
    columns: JsonB,
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
    let hashes = entry_hashes(header, &columns, previous)?;
    let mut before = previous
        .map(|bytes| digest(bytes).map(|hash| ledger::to_hex(&hash)))
        .transpose()?;
    let mut rows = Vec::with_capacity(hashes.len());
    for (index, ((name, old, new), hash)) in triples(&columns)?.into_iter().zip(&hashes).enumerate() {
        let checksum = ledger::to_hex(hash);
        let previous_hash = before.replace(checksum.clone());
        let owned = |text: Option<&str>| text.map(str::to_owned);
        rows.push((
            index as i32 + 1,
            name.to_owned(),
            owned(old),
            owned(new),
            checksum,
            previous_hash,
        ));
    }
    Ok(TableIterator::new(rows))
}

fn entry_hashes(header: &[u8], columns: &JsonB, previous: Option<&[u8]>) -> Result<Vec<Hash>, Error> {
    let columns: Vec<Column> = triples(columns)?
        .into_iter()
        .map(|(name, old, new)| Column { name, old, new })
        .collect();
    Ok(ledger::entry_hashes(
        previous.map(digest).transpose()?,
        &digest(header)?,
        &columns,
    ))
}

fn digest(bytes: &[u8]) -> Result<Hash, Error> {
    Hash::try_from(bytes).map_err(|_| Error::Malformed("a hash of the ledger has 32 bytes".into()))
}

type Triple<'a> = (&'a str, Option<&'a str>, Option<&'a str>);

/// `[[name, old, new], …]` as stored.
fn triples(columns: &JsonB) -> Result<Vec<Triple<'_>>, Error> {
    let malformed = || Error::Malformed("columns of a change: [[name, old, new], …]".into());
    columns
        .0
        .as_array()
        .ok_or_else(malformed)?
        .iter()
        .map(|entry| match entry.as_array().map(Vec::as_slice) {
            Some([name, old, new]) => Ok((name.as_str().ok_or_else(malformed)?, old.as_str(), new.as_str())),
            _ => Err(malformed()),
        })
        .collect()
}
