//! The trail as it is read: list, one entry, export. Source: contract `audit.md` §3.1–§3.3 and §3.6.
//!
//! Entries are not stored; a change is. So everything here looks for changes, and only those that are shown are expanded and
//! hashed.
//!
//! - [`filter`]: what is asked for, as conditions over changes
//! - [`list`]: one page, and how many entries there are
//! - [`imported`]: the same of imported logs, which are stored entry by entry
//! - [`export`]: all of it, piece by piece
//! - [`masks`]: who sees which value

mod export;
mod filter;
mod imported;
mod list;
pub mod masks;

use std::borrow::Cow;

use pgrx::prelude::*;
use snackbase_core::ledger::sealed::Place;
use snackbase_core::ledger::{self, Hash};
use snackbase_core::schema::MaskType;
use snackbase_core::trail::Entry;

use super::entry;
use crate::error::Error;
use crate::json;
use crate::spi::Row;
use crate::subjects::{self, Opened};
use masks::Masks;

/// Entries of a change have the ids from `id * 2048 + 1` on: a table has at most 1,600 columns.
const PER_CHANGE: i64 = 2048;

/// What [`Change::read`] reads, of `snackbase.audit_change c`.
const COLUMNS: &str = "c.id, c.account_id::text, c.operation, c.table_name::text, c.record_id::text, c.record_version, \
    c.columns::text, c.user_id, c.user_email, c.user_name, c.es_username, c.es_reason, c.es_timestamp, c.ip_address, \
    c.user_agent, c.request_id, c.occurred_at, c.hash_version, \
    (coalesce(c.extra_metadata::jsonb, '{}') || jsonb_build_object('auth_method', c.auth_method))::text, \
    snackbase._audit_header(c), c.previous_hash";

/// One stored change.
struct Change {
    id: i64,
    account_id: String,
    operation: String,
    table_name: String,
    record_id: String,
    record_version: i64,
    /// As stored; [`entry::entries`] reads it.
    columns: String,
    user_id: String,
    user_email: String,
    user_name: String,
    es_username: Option<String>,
    es_reason: Option<String>,
    es_timestamp: Option<String>,
    ip_address: Option<String>,
    user_agent: Option<String>,
    request_id: Option<String>,
    occurred_at: String,
    hash_version: i16,
    extra_metadata: String,
    header: Hash,
    previous_hash: Option<Hash>,
}

impl Change {
    fn read(row: &Row<'_>) -> Result<Change, Error> {
        let damaged = || Error::Internal("a change of the ledger lacks a column".into());
        let text = |ordinal: usize| row.get::<String>(ordinal)?.ok_or_else(damaged);
        let instant = |ordinal: usize| -> Result<Option<String>, Error> {
            Ok(row
                .get::<TimestampWithTimeZone>(ordinal)?
                .map(json::timestamp_text))
        };
        let hash = |ordinal: usize| -> Result<Option<Hash>, Error> {
            let bytes = row.get::<Vec<u8>>(ordinal)?;
            bytes
                .map(|bytes| Hash::try_from(bytes).map_err(|_| damaged()))
                .transpose()
        };
        Ok(Change {
            id: row.get::<i64>(1)?.ok_or_else(damaged)?,
            account_id: text(2)?,
            operation: text(3)?,
            table_name: text(4)?,
            record_id: text(5)?,
            record_version: row.get::<i64>(6)?.ok_or_else(damaged)?,
            columns: text(7)?,
            user_id: text(8)?,
            user_email: text(9)?,
            user_name: text(10)?,
            es_username: row.get(11)?,
            es_reason: row.get(12)?,
            es_timestamp: instant(13)?,
            ip_address: row.get(14)?,
            user_agent: row.get(15)?,
            request_id: row.get(16)?,
            occurred_at: instant(17)?.ok_or_else(damaged)?,
            hash_version: row.get::<i16>(18)?.ok_or_else(damaged)?,
            extra_metadata: text(19)?,
            header: hash(20)?.ok_or_else(damaged)?,
            previous_hash: hash(21)?,
        })
    }

    /// Hands its entries to `show`, the last one first if `reversed`; those that are not `wanted`, counted in that order, are left
    /// out.
    fn each_entry(
        &self,
        masks: &mut Masks,
        reversed: bool,
        wanted: impl Fn(usize) -> bool,
        mut show: impl FnMut(&Entry<'_>),
    ) -> Result<(), Error> {
        let entries = entry::entries(&self.columns)?;
        let columns: Vec<ledger::Column<'_>> = entries.iter().map(entry::Entry::column).collect();
        let hashes: Vec<String> = ledger::entry_hashes(self.previous_hash, &self.header, &columns)
            .iter()
            .map(ledger::to_hex)
            .collect();
        let first = self.previous_hash.as_ref().map(ledger::to_hex);
        let count = columns.len();
        for place in (0..count).filter(|place| wanted(*place)) {
            let index = if reversed { count - 1 - place } else { place };
            let column = &columns[index];
            let mask = masks.of(&self.table_name, column.name)?;
            let place = Place {
                account: &self.account_id,
                table: &self.table_name,
                record: &self.record_id,
                column: column.name,
            };
            let (old, new) = (shown(mask, &place, column.old)?, shown(mask, &place, column.new)?);
            show(&Entry {
                id: self.id * PER_CHANGE + index as i64 + 1,
                import_id: None,
                account_id: &self.account_id,
                operation: &self.operation,
                table_name: &self.table_name,
                record_id: &self.record_id,
                column_name: column.name,
                old_value: old.as_deref(),
                new_value: new.as_deref(),
                user_id: &self.user_id,
                user_email: &self.user_email,
                user_name: &self.user_name,
                es_username: self.es_username.as_deref(),
                es_reason: self.es_reason.as_deref(),
                es_timestamp: self.es_timestamp.as_deref(),
                ip_address: self.ip_address.as_deref(),
                user_agent: self.user_agent.as_deref(),
                request_id: self.request_id.as_deref(),
                occurred_at: &self.occurred_at,
                checksum: Some(&hashes[index]),
                previous_hash: match index {
                    0 => first.as_deref(),
                    _ => Some(&hashes[index - 1]),
                },
                extra_metadata: &self.extra_metadata,
                record_version: Some(self.record_version),
                hash_version: self.hash_version.into(),
                masked: old.as_deref() != column.old || new.as_deref() != column.new,
            });
        }
        Ok(())
    }
}

/// A value as the caller sees it: a sealed one in clear, under its mask, or as erased.
fn shown<'a>(
    mask: Option<MaskType>,
    place: &Place<'_>,
    value: Option<&'a str>,
) -> Result<Option<Cow<'a, str>>, Error> {
    let opened = value.map(|value| subjects::open(place, value)).transpose()?;
    Ok(match opened {
        Some(Opened::Clear(clear)) => {
            masks::shown(mask, Some(&clear)).map(|shown| Cow::Owned(shown.into_owned()))
        }
        Some(Opened::Erased) => Some(Cow::Borrowed(subjects::ERASED)),
        Some(Opened::Plain) | None => masks::shown(mask, value),
    })
}
