//! The views of schema `snackbase_bi`: what `GET /records/{collection}` lists, for tools that speak SQL.
//!
//! Their owner is `snackbase_reader`, a role without rights of its own, whom the account and list policies bind. The SQL
//! functions here run as that role (`SECURITY DEFINER`, 900_privileges.sql), so it owns what it makes, and nobody needs to be
//! a member of it. Only `snackbase_owner` may call them.
//!
//! People build views of their own on these. So a view is replaced where it stands as long as its columns stay: new ones
//! come last, whatever their place in the definition. A change that takes one away, or gives it another type, is refused when
//! somebody's view would go with it.

use pgrx::pg_sys::panic::ErrorReport;
use pgrx::prelude::*;
use snackbase_core::names::{quote, quote_literal};
use snackbase_core::schema::Field;

use crate::collections::{Access, Collection, load, mask_of, value_expression};
use crate::context::Operation;
use crate::error::Error;
use crate::{guc, spi};

/// Makes the view of a collection (by id) from its stored definition: the system columns and the fields of `list_fields`;
/// personal data shows its mask.
///
/// Errors: 2BP01, raised by Postgres, when somebody built another view on it that cannot stay.
#[pg_extern(volatile, parallel_unsafe, security_definer)]
#[search_path(pg_catalog, pg_temp)]
fn _bi_view_replace(collection: &str) -> Result<(), ErrorReport> {
    Ok(replace(&load(collection)?.1)?)
}

/// Drops the view of a collection (by id), if there is one.
///
/// Errors: as [`_bi_view_replace`].
#[pg_extern(volatile, parallel_unsafe, security_definer)]
#[search_path(pg_catalog, pg_temp)]
fn _bi_view_drop(collection: &str) -> Result<(), ErrorReport> {
    let _ddl = guc::OwnDdl::begin();
    Ok(remove(&load(collection)?.1)?)
}

/// Locks the view of a collection (by id) against readers, who would hold it and wait for its table.
#[pg_extern(volatile, parallel_unsafe, security_definer)]
#[search_path(pg_catalog, pg_temp)]
fn _bi_view_lock(collection: &str) -> Result<(), ErrorReport> {
    let _ddl = guc::OwnDdl::begin();
    let view = name(&load(collection)?.1);
    // LOCK TABLE would lock the table below it, too; this takes the same lock on the view alone.
    Ok(spi::execute(&format!(
        "alter view if exists {view} set (security_barrier = true)"
    ))?)
}

/// Locks the view before its table changes, or drops it when it cannot keep its columns. Runs as the owner.
///
/// # Errors
/// [`Error::InUse`] when it had to be dropped and something is built on it.
pub fn make_way(current: &Collection, next: &Collection) -> Result<(), Error> {
    if arranged(next)?.is_some() {
        return call("_bi_view_lock", current);
    }
    let by = dependents(current)?;
    if !by.is_empty() {
        let what = format!(
            "The view {} changes its columns and",
            name(current).replace('"', "")
        );
        return Err(Error::InUse { what, by });
    }
    call("_bi_view_drop", current)
}

/// Drops the view. Runs as the owner.
///
/// # Errors
/// 2BP01, raised by Postgres; the caller has looked at [`dependents`].
pub fn drop_view(collection: &Collection) -> Result<(), Error> {
    call("_bi_view_drop", collection)
}

fn call(function: &str, collection: &Collection) -> Result<(), Error> {
    spi::update(
        &format!("select snackbase.{function}($1)"),
        &[collection.id.as_str().into()],
        |_| Ok(()),
    )
}

/// The views and functions that are built on the view, as Postgres describes them.
///
/// # Errors
/// [`Error::Spi`].
pub fn dependents(collection: &Collection) -> Result<Vec<String>, Error> {
    spi::select_latest(
        "select distinct case when r.oid is not null then pg_describe_object('pg_class'::regclass, r.ev_class, 0)
                              else pg_describe_object(d.classid, d.objid, 0) end
           from pg_depend d
           left join pg_rewrite r on d.classid = 'pg_rewrite'::regclass and r.oid = d.objid
          where d.refclassid = 'pg_class'::regclass and d.refobjid = (select c.oid from pg_class c where c.relnamespace = 'snackbase_bi'::regnamespace and c.relname = $1)
            and d.deptype = 'n' and r.ev_class is distinct from d.refobjid
          order by 1",
        &[relname(collection).into()],
        |rows| {
            rows.into_iter()
                .map(|row| Ok(row.get::<String>(1)?.unwrap_or_default()))
                .collect()
        },
    )
}

/// Whether the view has a column of this name.
///
/// # Errors
/// [`Error::Spi`].
pub fn shows(collection: &Collection, column: &str) -> Result<bool, Error> {
    Ok(present(collection)?.iter().any(|(name, _)| name == column))
}

fn replace(collection: &Collection) -> Result<(), Error> {
    let _ddl = guc::OwnDdl::begin();
    let columns = match arranged(collection)? {
        Some(columns) => columns,
        None => {
            remove(collection)?;
            columns(collection)?
        }
    };
    let list: Vec<String> = columns
        .iter()
        .map(|column| format!("{} as {}", column.expression, quote(&column.name)))
        .collect();
    let view = name(collection);
    spi::execute(&format!(
        "create or replace view {view} with (security_barrier = true) as select {} from {}",
        list.join(", "),
        collection.relation
    ))?;
    spi::execute(&format!("grant select on {view} to snackbase_bi"))
}

fn remove(collection: &Collection) -> Result<(), Error> {
    spi::execute(&format!("drop view if exists {}", name(collection)))
}

fn name(collection: &Collection) -> String {
    format!("snackbase_bi.{}", quote(&relname(collection)))
}

/// The name of the view without its schema, unquoted.
pub fn relname(collection: &Collection) -> String {
    collection.definition.name.to_ascii_lowercase()
}

struct Column {
    name: String,
    expression: String,
    /// As `format_type` prints it.
    sql_type: &'static str,
}

/// The columns of the view in the order of a new one: id, account, fields, stamps.
fn columns(collection: &Collection) -> Result<Vec<Column>, Error> {
    let access = Access::Listed(collection.field_list(Operation::List));
    let table = quote(&collection.table);
    let system = |name: &str, sql_type| Column {
        name: name.to_owned(),
        expression: format!("{table}.{name}"),
        sql_type,
    };
    let mut columns = vec![system("id", "uuid"), system("account_id", "uuid")];
    for field in collection
        .definition
        .fields
        .iter()
        .filter(|field| access.allows(collection, field))
    {
        columns.push(column(collection, field)?);
    }
    columns.extend([
        system("created_at", "timestamp with time zone"),
        system("updated_at", "timestamp with time zone"),
        system("created_by", "text"),
        system("updated_by", "text"),
    ]);
    Ok(columns)
}

fn column(collection: &Collection, field: &Field) -> Result<Column, Error> {
    let value = value_expression(collection, field)?;
    let (expression, sql_type) = match mask_of(collection, field) {
        Some(mask) => (
            format!("snackbase.mask({}, {value}::text)", quote_literal(mask.name())),
            "text",
        ),
        None => match field.return_type.unwrap_or(field.field_type).sql_type() {
            Some("timestamptz") => (value, "timestamp with time zone"),
            other => (value, other.unwrap_or("text")),
        },
    };
    Ok(Column {
        name: field.name.clone(),
        expression,
        sql_type,
    })
}

/// The columns as they can replace the view that is there: its own first, in their order, then the new ones. `None` when
/// one of its own is gone or has another type.
fn arranged(collection: &Collection) -> Result<Option<Vec<Column>>, Error> {
    let mut columns = columns(collection)?;
    let present = present(collection)?;
    let place = |column: &Column| {
        present
            .iter()
            .position(|(name, sql_type)| *name == column.name && sql_type == column.sql_type)
    };
    let kept = columns.iter().filter(|column| place(column).is_some()).count();
    if kept < present.len() {
        return Ok(None);
    }
    columns.sort_by_key(|column| place(column).unwrap_or(usize::MAX));
    Ok(Some(columns))
}

/// Names and types of the columns that the view has; none when there is no view.
fn present(collection: &Collection) -> Result<Vec<(String, String)>, Error> {
    spi::select_latest(
        "select a.attname::text, format_type(a.atttypid, a.atttypmod)
           from pg_attribute a
           join pg_class c on c.oid = a.attrelid
          where c.relnamespace = 'snackbase_bi'::regnamespace and c.relname = $1 and a.attnum > 0
          order by a.attnum",
        &[relname(collection).into()],
        |rows| {
            rows.into_iter()
                .map(|row| {
                    Ok((
                        row.get::<String>(1)?.unwrap_or_default(),
                        row.get::<String>(2)?.unwrap_or_default(),
                    ))
                })
                .collect()
        },
    )
}
