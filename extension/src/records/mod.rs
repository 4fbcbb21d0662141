//! Records: list, view, create, update, delete. Everything runs as the caller's operation role; what is decided here is
//! only how a request becomes SQL and how a refusal reads.

mod aggregate;
mod batch;
mod expand;
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
use read::Page;
use write::{create, delete, update};

/// One page of records; `docs/sql-api.md` §2.
#[pg_extern(volatile, parallel_unsafe)]
#[allow(
    clippy::too_many_arguments,
    reason = "each is a parameter of the request, and of the prepared statement"
)]
fn records_list(
    collection: &str,
    filter: default!(Option<&str>, "NULL"),
    sort: default!(Option<&str>, "NULL"),
    skip: default!(Option<i64>, "NULL"),
    max_items: default!(Option<i64>, "NULL"),
    fields: default!(Option<&str>, "NULL"),
    expand: default!(Option<&str>, "NULL"),
    cursor: default!(Option<&str>, "NULL"),
    cursor_before: default!(Option<&str>, "NULL"),
    include_count: default!(Option<bool>, "NULL"),
) -> Result<JsonText, ErrorReport> {
    let page = Page {
        filter,
        sort,
        skip: skip.unwrap_or(0),
        limit: max_items.unwrap_or(30),
        fields,
        expand,
        cursor,
        cursor_before,
        include_count: include_count.unwrap_or(false),
    };
    Ok(JsonText(read::list(collection, &page)?))
}

/// One record; `docs/sql-api.md` §2.
#[pg_extern(volatile, parallel_unsafe)]
fn records_view(
    collection: &str,
    id: &str,
    fields: default!(Option<&str>, "NULL"),
    expand: default!(Option<&str>, "NULL"),
) -> Result<JsonText, ErrorReport> {
    Ok(JsonText(read::view(collection, id, fields, expand)?))
}

/// Counts, sums and the like over the records that a list would show; `docs/sql-api.md` §2.
#[pg_extern(volatile, parallel_unsafe)]
fn records_aggregate(
    collection: &str,
    functions: &str,
    group_by: default!(Option<&str>, "NULL"),
    filter: default!(Option<&str>, "NULL"),
    having: default!(Option<&str>, "NULL"),
) -> Result<JsonText, ErrorReport> {
    Ok(JsonText(aggregate::aggregate(
        collection, functions, group_by, filter, having,
    )?))
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
    if_match: default!(Option<&str>, "NULL"),
) -> Result<JsonText, ErrorReport> {
    let mode = if replace { Mode::Replace } else { Mode::Patch };
    Ok(JsonText(update(collection, id, &body.0, mode, if_match)?))
}

/// Deletes a record; `docs/sql-api.md` §2.
#[pg_extern(volatile, parallel_unsafe)]
fn records_delete(
    collection: &str,
    id: &str,
    if_match: default!(Option<&str>, "NULL"),
) -> Result<bool, ErrorReport> {
    delete(collection, id, if_match)?;
    Ok(true)
}

/// Creates many records, or none; `docs/sql-api.md` §2.
#[pg_extern(volatile, parallel_unsafe)]
fn records_create_many(collection: &str, body: JsonText) -> Result<JsonText, ErrorReport> {
    Ok(JsonText(batch::create(collection, &body.0)?))
}

/// Changes many records, or none; `docs/sql-api.md` §2.
#[pg_extern(volatile, parallel_unsafe)]
fn records_update_many(collection: &str, body: JsonText) -> Result<JsonText, ErrorReport> {
    Ok(JsonText(batch::update(collection, &body.0)?))
}

/// Deletes many records, or none; `docs/sql-api.md` §2.
#[pg_extern(volatile, parallel_unsafe)]
fn records_delete_many(collection: &str, body: JsonText) -> Result<JsonText, ErrorReport> {
    Ok(JsonText(batch::delete(collection, &body.0)?))
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
        Some(_) => {
            if context.is_anonymous() {
                context.require_account()?;
            }
            Ok(Access::Listed(collection.allowed(operation)?))
        }
    }
}

/// The first row as an object.
fn one_row(rows: spi::Rows<'_>, members: &[json::Member]) -> Result<Option<String>, Error> {
    let mut out = String::new();
    match rows.into_iter().next() {
        Some(row) => json::write_row(&mut out, &row, 1, members, &mut Vec::new()).map(|()| Some(out)),
        None => Ok(None),
    }
}
