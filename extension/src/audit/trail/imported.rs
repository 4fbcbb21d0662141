//! One page of imported logs. They are not mixed into lists of our own entries: their ids count something else.

use pgrx::datum::DatumWithOid;
use pgrx::pg_sys::panic::ErrorReport;
use pgrx::prelude::*;
use snackbase_core::trail::{Entry, IMPORTED, write_json};

use super::filter::{Filter, Query};
use super::list::count;
use super::masks::{Masks, shown};
use crate::error::Error;
use crate::json::{JsonText, timestamp_text};
use crate::spi::{self, Row};

/// Imported entries with the columns that a filter looks at.
const ENTRIES: &str =
    "(select e.*, e.extra_metadata ->> 'auth_method' as auth_method from snackbase.audit_import_entry e) c";

/// What [`write()`] reads, of [`ENTRIES`].
const COLUMNS: &str = "c.import_id, c.id, c.account_id::text, c.operation, c.table_name, c.record_id, c.column_name, c.old_value,
       c.new_value, c.user_id, c.user_email, c.user_name, c.es_username, c.es_reason, c.es_timestamp, c.ip_address, c.user_agent,
       c.request_id, c.occurred_at, c.checksum, c.previous_hash, c.extra_metadata::text";

/// One page of imported entries, in the order of imports and of the ids in each log, the newest first unless `sort_order` is
/// `asc`. Keys of `query`: those of `audit_list` without `sort_by`, and `import_id`. Shape and errors: as `audit_list`; items
/// have `import_id`, `hash_version` 1 and `masked` besides.
#[pg_extern(stable, parallel_unsafe)]
fn audit_imported_list(query: JsonText) -> Result<JsonText, ErrorReport> {
    Ok(JsonText(list(&Query::parse(&query.0)?)?))
}

fn list(query: &Query) -> Result<String, Error> {
    let skip = query.number("skip", 0, i64::MAX >> 1, 0)?;
    let limit = query.number("limit", 1, 500, 50)?;
    let direction = if query.is_descending()? { "desc" } else { "asc" };
    let mut filter = Filter::of_entries(query)?;
    if query.text("import_id").is_some() {
        let import = query.number("import_id", 1, i64::MAX, 0)?;
        filter.add("c.import_id = {}::bigint", import.to_string());
    }
    let parameter = filter.next_parameter();
    let statement = format!(
        "select {COLUMNS} from {ENTRIES}
          where {condition}
          order by c.import_id {direction}, c.id {direction}
          limit ${parameter} offset ${next}",
        condition = filter.condition,
        next = parameter + 1,
    );
    let arguments = filter.arguments();
    let mut arguments: Vec<DatumWithOid> = arguments.into_iter().map(DatumWithOid::from).collect();
    arguments.extend([limit.into(), skip.into()]);
    let mut masks = Masks::for_caller()?;
    let mut items = String::new();
    let found: i64 = spi::select(&statement, &arguments, |rows| {
        let mut found = 0;
        for row in rows {
            if found > 0 {
                items.push(',');
            }
            found += 1;
            write(&mut items, &row, &mut masks)?;
        }
        Ok::<_, Error>(found)
    })?;
    // A page that ends before its limit needs no count.
    let (total, estimated) = if found < limit && (found > 0 || skip == 0) {
        (skip + found, false)
    } else {
        count(ENTRIES, "1", &filter, if found > 0 { skip + found } else { 0 })?
    };
    Ok(format!(
        r#"{{"items":[{items}],"total":{total},"skip":{skip},"limit":{limit},"audit_logging_enabled":true,"total_is_estimate":{estimated}}}"#
    ))
}

/// Appends one entry as JSON.
fn write(out: &mut String, row: &Row<'_>, masks: &mut Masks) -> Result<(), Error> {
    let damaged = || Error::Internal("an imported entry lacks a column".into());
    let text_or_null = |ordinal: usize| row.get::<String>(ordinal);
    let text = |ordinal: usize| -> Result<String, Error> { row.get(ordinal)?.ok_or_else(damaged) };
    let instant = |ordinal: usize| -> Result<Option<String>, Error> {
        Ok(row.get::<TimestampWithTimeZone>(ordinal)?.map(timestamp_text))
    };
    let (table_name, column_name) = (text(5)?, text(7)?);
    let (old, new) = (text_or_null(8)?, text_or_null(9)?);
    let mask = masks.of(&table_name, &column_name)?;
    let (old_shown, new_shown) = (shown(mask, old.as_deref()), shown(mask, new.as_deref()));
    write_json(
        out,
        &Entry {
            id: row.get(2)?.ok_or_else(damaged)?,
            import_id: row.get(1)?,
            account_id: &text(3)?,
            operation: &text(4)?,
            table_name: &table_name,
            record_id: &text(6)?,
            column_name: &column_name,
            old_value: old_shown.as_deref(),
            new_value: new_shown.as_deref(),
            user_id: &text(10)?,
            user_email: &text(11)?,
            user_name: &text(12)?,
            es_username: text_or_null(13)?.as_deref(),
            es_reason: text_or_null(14)?.as_deref(),
            es_timestamp: instant(15)?.as_deref(),
            ip_address: text_or_null(16)?.as_deref(),
            user_agent: text_or_null(17)?.as_deref(),
            request_id: text_or_null(18)?.as_deref(),
            occurred_at: &instant(19)?.ok_or_else(damaged)?,
            checksum: text_or_null(20)?.as_deref(),
            previous_hash: text_or_null(21)?.as_deref(),
            extra_metadata: text_or_null(22)?.as_deref().unwrap_or("null"),
            record_version: None,
            hash_version: 1,
            masked: old_shown.as_deref() != old.as_deref() || new_shown.as_deref() != new.as_deref(),
        },
        IMPORTED,
        false,
    );
    Ok(())
}
