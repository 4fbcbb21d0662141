//! Reads a log of an original instance: its entries are checked for their shape, hashed by their own rules and stored as they
//! came. What does not hash, or does not follow the entry before it, is stored all the same and reported: a log with a break is
//! evidence, too. Source: contract `audit.md` §2.

use std::borrow::Cow;

use pgrx::pg_sys::panic::ErrorReport;
use pgrx::prelude::*;
use serde::Deserialize;
use serde_json::Value as Json;
use snackbase_core::ledger::{to_hex, v1};
use snackbase_core::schema::time::parse_datetime;

use super::seal;
use crate::context::uuid_of;
use crate::error::Error;
use crate::fresh::Fresh;
use crate::spi;

/// One line of a log. Columns of the original's table `audit_log`.
#[derive(Deserialize)]
struct Line {
    id: i64,
    account_id: String,
    operation: String,
    table_name: String,
    record_id: String,
    column_name: String,
    old_value: Option<String>,
    new_value: Option<String>,
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
    checksum: Option<String>,
    previous_hash: Option<String>,
    extra_metadata: Option<Json>,
}

/// What a line amounts to.
struct Read {
    line: Line,
    computed: String,
}

/// Adds lines of a log to an import that was begun in the same transaction: JSON objects with the columns of the original's table
/// `audit_log`, in the order of their ids. `first_line` is the number of the first of them, for messages. Answers how many
/// breaks they have.
///
/// Errors: 22023 an import that was not begun in this transaction, or is finished; a line that is no entry, with its number.
#[pg_extern(volatile, parallel_unsafe)]
fn audit_import_add(import_id: i64, first_line: i64, lines: Vec<String>) -> Result<i64, ErrorReport> {
    Ok(add(import_id, first_line, &lines)?)
}

/// The entries of an import, in the order of its block: by account, then by the original's ids.
const ENTRIES: &str = "
select e.account_id, e.id, e.computed, e.occurred_at
  from snackbase.audit_import_entry e
 where e.import_id = $1
 order by e.account_id, e.id";

/// Closes a block over the entries of an import that this transaction made, and answers its number. The leaves are the
/// checksums of what is stored here, so the block proves that the entries are those that came, with their breaks.
///
/// Errors: XX000 an import without an entry. Only `audit_import_finish` calls it.
#[pg_extern(volatile, parallel_unsafe)]
fn _audit_import_notarise(import_id: i64) -> Result<i64, ErrorReport> {
    let number = seal::notarise(import_id, |block| {
        Fresh::begin().read(ENTRIES, &[import_id.into()], |row| {
            block.push(
                row.want(1)?,
                row.want(2)?,
                &row.hash(3)?,
                row.number(4)?.cast_signed(),
            )
        })
    })?;
    Ok(number.ok_or_else(|| Error::Internal("an import without an entry is not notarised".into()))?)
}

/// Whether lines may be added to an import. None is committed without its result (`_audit_import_complete`), so one that has none was
/// begun in this transaction.
const IS_OPEN: &str = "
select exists (select from snackbase.audit_import i where i.id = $1)
       and not exists (select from snackbase.audit_import_result r where r.import_id = $1)";

const BEFORE: &str = "
select e.id, e.checksum
  from snackbase.audit_import_entry e
 where e.import_id = $1
 order by e.id desc
 limit 1";

const STORE: &str = "
insert into snackbase.audit_import_entry
       (import_id, id, account_id, operation, table_name, record_id, column_name, old_value, new_value, user_id, user_email,
        user_name, es_username, es_reason, es_timestamp, ip_address, user_agent, request_id, occurred_at, checksum,
        previous_hash, extra_metadata, computed)
select $1, l.id::bigint, l.account_id::uuid, l.operation, l.table_name, l.record_id, l.column_name, l.old_value, l.new_value,
       l.user_id, l.user_email, l.user_name, l.es_username, l.es_reason, l.es_timestamp::timestamptz, l.ip_address, l.user_agent,
       l.request_id, l.occurred_at::timestamptz, l.checksum, l.previous_hash, l.extra_metadata::json, decode(l.computed, 'hex')
  from unnest($2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20, $21, $22, $23)
    as l(id, account_id, operation, table_name, record_id, column_name, old_value, new_value, user_id, user_email, user_name,
         es_username, es_reason, es_timestamp, ip_address, user_agent, request_id, occurred_at, checksum, previous_hash,
         extra_metadata, computed)";

const REPORT: &str = "
insert into snackbase.audit_import_break (import_id, entry_id, account_id, kind, expected, actual)
select $1, b.id::bigint, b.account_id::uuid, b.kind, b.expected, b.actual
  from unnest($2, $3, $4, $5, $6) as b(id, account_id, kind, expected, actual)";

fn add(import_id: i64, first_line: i64, lines: &[String]) -> Result<i64, Error> {
    let is_open = spi::select_latest(IS_OPEN, &[import_id.into()], |rows| {
        Ok(rows.first().get_one::<bool>()?.unwrap_or(false))
    })?;
    if !is_open {
        return Err(Error::Malformed(format!(
            "import {import_id} was not begun in this transaction, or is finished: nothing is added to a log later"
        )));
    }
    let mut before = spi::select(BEFORE, &[import_id.into()], |rows| {
        let before = rows.into_iter().next();
        before
            .map(|row| Ok::<_, Error>((row.get::<i64>(1)?.unwrap_or_default(), row.get::<String>(2)?)))
            .transpose()
    })?;
    let mut read = Vec::with_capacity(lines.len());
    let mut breaks: [Vec<Option<String>>; 5] = Default::default();
    for (number, text) in (first_line..).zip(lines) {
        let entry = parse(text).map_err(|fault| Error::Malformed(format!("line {number}: {fault}")))?;
        let line = &entry.line;
        let (last, checksum_before) = before
            .take()
            .map_or((None, None), |(id, checksum)| (Some(id), checksum));
        if last.is_some_and(|last| line.id <= last) {
            return Err(Error::Malformed(format!(
                "line {number}: id {} does not come after the id before it: a log is read in the order of its ids",
                line.id
            )));
        }
        let mut report = |kind: &str, expected: Option<String>, actual: &Option<String>| {
            let values = [
                Some(line.id.to_string()),
                Some(line.account_id.clone()),
                Some(kind.to_owned()),
                expected,
                actual.clone(),
            ];
            breaks
                .iter_mut()
                .zip(values)
                .for_each(|(column, value)| column.push(value));
        };
        if line.checksum.as_ref() != Some(&entry.computed) {
            report("checksum", Some(entry.computed.clone()), &line.checksum);
        }
        // As the original does it: with the checksum that the entry before has, be it right or not.
        if line.previous_hash != checksum_before {
            report("link", checksum_before, &line.previous_hash);
        }
        before = Some((line.id, line.checksum.clone()));
        read.push(entry);
    }
    let count = breaks[0].len() as i64;
    store(import_id, read)?;
    if count > 0 {
        let mut arguments = vec![import_id.into()];
        arguments.extend(breaks.into_iter().map(spi::text_array));
        spi::update(REPORT, &arguments, |_| Ok(()))?;
    }
    Ok(count)
}

fn store(import_id: i64, read: Vec<Read>) -> Result<(), Error> {
    let mut columns: [Vec<Option<String>>; 22] = Default::default();
    for Read { line, computed } in read {
        let values = [
            Some(line.id.to_string()),
            Some(line.account_id),
            Some(line.operation),
            Some(line.table_name),
            Some(line.record_id),
            Some(line.column_name),
            line.old_value,
            line.new_value,
            Some(line.user_id),
            Some(line.user_email),
            Some(line.user_name),
            line.es_username,
            line.es_reason,
            line.es_timestamp,
            line.ip_address,
            line.user_agent,
            line.request_id,
            Some(line.occurred_at),
            line.checksum,
            line.previous_hash,
            line.extra_metadata.map(|json| json.to_string()),
            Some(computed),
        ];
        columns
            .iter_mut()
            .zip(values)
            .for_each(|(column, value)| column.push(value));
    }
    let mut arguments = vec![import_id.into()];
    arguments.extend(columns.into_iter().map(spi::text_array));
    spi::update(STORE, &arguments, |_| Ok(()))
}

/// Reads and hashes one line. Instants get the form in which they are hashed: the offset is dropped unread.
fn parse(text: &str) -> Result<Read, String> {
    // No text of this database can hold that character, and left out it would change what is hashed.
    if text.contains("\\u0000") {
        return Err("the character U+0000 cannot be stored".into());
    }
    let mut line: Line = serde_json::from_str(text).map_err(|fault| {
        let fault = fault.to_string();
        format!(
            "no entry of a log: {}",
            fault.split(" at line ").next().unwrap_or(&fault)
        )
    })?;
    let account = uuid_of(&line.account_id).ok_or("account_id is no uuid")?;
    if !matches!(line.operation.as_str(), "CREATE" | "UPDATE" | "DELETE") {
        return Err("operation is CREATE, UPDATE or DELETE".into());
    }
    // Exports of databases without a type for JSON have its text.
    if let Some(Json::String(text)) = &line.extra_metadata {
        let nested = serde_json::from_str(text).map_err(|_| "extra_metadata is no JSON")?;
        line.extra_metadata = Some(nested).filter(|json: &Json| !json.is_null());
    }
    let instant = |name: &str, text: &str| -> Result<String, String> {
        let text = format!("{}Z", v1::timestamp(text));
        parse_datetime(&text)
            .map(|_| text)
            .ok_or(format!("{name} is no instant"))
    };
    line.occurred_at = instant("occurred_at", &line.occurred_at)?;
    line.es_timestamp = line
        .es_timestamp
        .map(|text| instant("es_timestamp", &text))
        .transpose()?;
    fn text_or_null(text: &Option<String>) -> Option<Cow<'_, str>> {
        text.as_deref().map(Cow::from)
    }
    let entry = v1::Entry {
        account_id: line.account_id.as_str().into(),
        column_name: line.column_name.as_str().into(),
        es_reason: text_or_null(&line.es_reason),
        es_timestamp: text_or_null(&line.es_timestamp),
        es_username: text_or_null(&line.es_username),
        extra_metadata: line.extra_metadata.as_ref().map(Cow::Borrowed),
        ip_address: text_or_null(&line.ip_address),
        new_value: text_or_null(&line.new_value),
        occurred_at: line.occurred_at.as_str().into(),
        old_value: text_or_null(&line.old_value),
        operation: line.operation.as_str().into(),
        previous_hash: text_or_null(&line.previous_hash),
        record_id: line.record_id.as_str().into(),
        request_id: text_or_null(&line.request_id),
        table_name: line.table_name.as_str().into(),
        user_agent: text_or_null(&line.user_agent),
        user_email: line.user_email.as_str().into(),
        user_id: line.user_id.as_str().into(),
        user_name: line.user_name.as_str().into(),
    };
    let computed = entry.checksum();
    if account.to_string() != line.account_id {
        return Err("account_id is no uuid in its usual form: lower case, with hyphens".into());
    }
    Ok(Read {
        line,
        computed: to_hex(&computed),
    })
}
