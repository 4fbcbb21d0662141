//! Imported logs (hash version 1) against the blocks that notarise them: nothing was edited, added or taken away since.
//!
//! Breaks that a log came with are no findings: they were reported when it was imported, and the block holds them as they are.

use std::borrow::Cow;
use std::cmp::Ordering;

use pgrx::datum::TimestampWithTimeZone;
use snackbase_core::ledger::block::{Account, AccountTree};
use snackbase_core::ledger::{Hash, to_hex, v1};

use super::Scope;
use super::finding::{Finding, Report, hex};
use crate::error::Error;
use crate::json::timestamp_micros_text;
use crate::spi::scan::{Reader, Scan};

/// Verifies the imports whose blocks have numbers from `from` on.
///
/// # Errors
/// What the queries raise.
pub fn verify(reader: &Reader, scope: &Scope, from: i64, report: &mut Report<'_>) -> Result<(), Error> {
    let mut counted = reader.scan(
        &format!(
            "select b.import_id, a.account_id, a.block_number, a.change_count, a.root, a.first_id, a.last_id, a.tiles
               from snackbase.audit_block_account a
               join snackbase.audit_block b on b.number = a.block_number
              where b.import_id is not null and b.number >= $1 and {}
              order by b.import_id, a.account_id",
            scope.account_condition("a.account_id")
        ),
        &[from.into()],
    )?;
    let mut entries = reader.scan(
        &format!(
            "select e.import_id, e.account_id, e.id, e.computed, e.operation, e.table_name, e.record_id, e.column_name, e.old_value,
                    e.new_value, e.user_id, e.user_email, e.user_name, e.es_username, e.es_reason, e.es_timestamp, e.ip_address,
                    e.user_agent, e.request_id, e.occurred_at, e.previous_hash, e.extra_metadata::text
               from snackbase.audit_import_entry e
              where {} and not exists (select from snackbase.audit_block b where b.import_id = e.import_id and b.number < $1)
              order by e.import_id, e.account_id, e.id",
            scope.account_condition("e.account_id")
        ),
        &[from.into()],
    )?;
    let (mut more_entries, mut more_counted) = (entries.advance(), counted.advance());
    while !report.is_full() {
        let order = match (more_entries, more_counted) {
            (false, false) => break,
            (true, false) => Ordering::Less,
            (false, true) => Ordering::Greater,
            (true, true) => place(&entries).cmp(&place(&counted)),
        };
        let block = more_counted
            .then(|| counted.int(2))
            .flatten()
            .filter(|_| order != Ordering::Less);
        let found = if order == Ordering::Greater {
            (AccountTree::default().finish(), None)
        } else {
            account(&mut entries, &mut more_entries, block, report)
        };
        if order != Ordering::Less {
            compare(&counted, &found, report);
            more_counted = counted.advance();
        }
    }
    Ok(())
}

/// Import and account: the order of both walks.
fn place(scan: &Scan<'_>) -> (i64, [u8; 16]) {
    (scan.int(0).unwrap_or_default(), scan.uuid(1).unwrap_or_default())
}

/// The tree over one account's entries of an import, and the first and the last of their ids. Each entry is hashed again.
/// Without a `block` that counts them they were added later.
fn account(
    entries: &mut Scan<'_>,
    more: &mut bool,
    block: Option<i64>,
    report: &mut Report<'_>,
) -> (Account, Option<(i64, i64)>) {
    let of = place(entries);
    let mut tree = AccountTree::default();
    let mut ids: Option<(i64, i64)> = None;
    while *more && place(entries) == of {
        let id = entries.int(2).unwrap_or_default();
        ids = Some(ids.map_or((id, id), |(first, _)| (first, id)));
        let stored = entries.bytes(3).and_then(|bytes| Hash::try_from(bytes).ok());
        let computed = checksum(entries, of.1);
        report.checked += 1;
        let finding = |kind, expected: String, actual: String| Finding {
            kind,
            block,
            account: Some(of.1),
            table: entries.text(5).map(str::to_owned),
            record: entries.text(6).map(str::to_owned),
            expected: Some(expected),
            actual: Some(actual),
            ..Finding::default()
        };
        if block.is_none() {
            let actual = format!("entry {id} of import {}, which no block counts", of.0);
            report.push(finding("block", "a block over the import".to_owned(), actual));
        } else if stored != Some(computed) {
            let stored = stored.as_ref().map_or("null".to_owned(), to_hex);
            report.push(finding(
                "checksum",
                format!("{} for entry {id} of import {}", to_hex(&computed), of.0),
                stored,
            ));
        }
        tree.push(id, &stored.unwrap_or_default());
        *more = entries.advance();
    }
    (tree.finish(), ids)
}

/// What the entry on the current row hashes to.
fn checksum(entry: &Scan<'_>, account: [u8; 16]) -> Hash {
    let text_or_null = |column| entry.text(column).map(Cow::from);
    let text = |column| text_or_null(column).unwrap_or_default();
    let instant = |column| {
        let micros = entry.int(column)?;
        TimestampWithTimeZone::try_from(micros)
            .ok()
            .map(|instant| Cow::from(timestamp_micros_text(instant)))
    };
    let entry = v1::Entry {
        account_id: uuid::Uuid::from_bytes(account).to_string().into(),
        column_name: text(7),
        es_reason: text_or_null(14),
        es_timestamp: instant(15),
        es_username: text_or_null(13),
        extra_metadata: entry
            .text(21)
            .and_then(|text| serde_json::from_str(text).ok())
            .map(Cow::Owned),
        ip_address: text_or_null(16),
        new_value: text_or_null(9),
        occurred_at: instant(19).unwrap_or_default(),
        old_value: text_or_null(8),
        operation: text(4),
        previous_hash: text_or_null(20),
        record_id: text(6),
        request_id: text_or_null(18),
        table_name: text(5),
        user_agent: text_or_null(17),
        user_email: text(11),
        user_id: text(10),
        user_name: text(12),
    };
    entry.checksum()
}

/// One account of a block against its entries.
fn compare(stored: &Scan<'_>, (computed, ids): &(Account, Option<(i64, i64)>), report: &mut Report<'_>) {
    let count = stored.int(3).unwrap_or_default();
    let found = computed.change_count as i64;
    let root = stored.bytes(4).unwrap_or_default();
    let ends = Some((
        stored.int(5).unwrap_or_default(),
        stored.int(6).unwrap_or_default(),
    ));
    let (kind, expected, actual) = if found != count {
        let kind = if found < count { "truncated" } else { "block" };
        (kind, format!("{count} entries"), format!("{found} entries"))
    } else if computed.root != root {
        (
            "block",
            format!("root {}", to_hex(&computed.root)),
            format!("root {}", hex(root)),
        )
    } else if computed.tiles.as_deref() != stored.bytes(7) || *ids != ends {
        (
            "block",
            "tiles and ids of the entries".to_owned(),
            "others".to_owned(),
        )
    } else {
        return;
    };
    report.push(Finding {
        kind,
        block: stored.int(2),
        account: stored.uuid(1),
        expected: Some(expected),
        actual: Some(actual),
        ..Finding::default()
    });
}
