//! Records: list, view, create, update, delete. Everything runs as the caller's operation role; what is decided here is
//! only how a request becomes SQL and how a refusal reads.

mod read;
mod write;

use pgrx::pg_sys::panic::ErrorReport;
use pgrx::prelude::*;
use snackbase_core::records::Mode;

use crate::collections::{Access, Collection};
use crate::context::{Context, Operation};
use crate::error::Error;
use crate::json::JsonText;
use crate::{json, spi};
use read::{list, view};
use write::{create, delete, update};

/// One page of records; `docs/sql-api.md` §2.
#[pg_extern(volatile, parallel_unsafe)]
fn records_list(
    collection: &str,
    filter: Option<&str>,
    sort: Option<&str>,
    skip: Option<i64>,
    max_items: Option<i64>,
    fields: Option<&str>,
) -> Result<JsonText, ErrorReport> {
    let (skip, limit) = (skip.unwrap_or(0), max_items.unwrap_or(30));
    Ok(JsonText(list(collection, filter, sort, skip, limit, fields)?))
}

/// One record; `docs/sql-api.md` §2.
#[pg_extern(volatile, parallel_unsafe)]
fn records_view(collection: &str, id: &str, fields: Option<&str>) -> Result<JsonText, ErrorReport> {
    Ok(JsonText(view(collection, id, fields)?))
}

/// Creates a record; `docs/sql-api.md` §2.
#[pg_extern(volatile, parallel_unsafe)]
fn records_create(collection: &str, body: JsonText) -> Result<JsonText, ErrorReport> {
    Ok(JsonText(create(collection, &body.0)?))
}

/// Changes a record: PUT when `replace`, else PATCH; `docs/sql-api.md` §2.
#[pg_extern(volatile, parallel_unsafe)]
fn records_update(
    collection: &str,
    id: &str,
    body: JsonText,
    replace: bool,
) -> Result<JsonText, ErrorReport> {
    let mode = if replace { Mode::Replace } else { Mode::Patch };
    Ok(JsonText(update(collection, id, &body.0, mode)?))
}

/// Deletes a record; `docs/sql-api.md` §2.
#[pg_extern(volatile, parallel_unsafe)]
fn records_delete(collection: &str, id: &str) -> Result<bool, ErrorReport> {
    delete(collection, id)?;
    Ok(true)
}

/// The operation's rule as far as it speaks of the caller and not of rows (contract `rules.md` §1), and what the caller
/// can read.
fn admit(collection: &Collection, operation: Operation) -> Result<Access<'_>, Error> {
    let context = Context::current();
    if context.is_superadmin() {
        return Ok(Access::Everything);
    }
    match collection.rule(operation) {
        None => Err(Error::Locked(operation)),
        Some(rule) if !rule.is_empty() && context.is_anonymous() => Err(Error::AuthenticationRequired),
        Some(_) => Ok(Access::Listed(collection.field_list(operation))),
    }
}

/// The first row as an object.
fn one_row(rows: spi::Rows<'_>, members: &[json::Member]) -> Result<Option<String>, Error> {
    let mut out = String::new();
    match rows.into_iter().next() {
        Some(row) => json::write_row(&mut out, &row, 1, members).map(|()| Some(out)),
        None => Ok(None),
    }
}
