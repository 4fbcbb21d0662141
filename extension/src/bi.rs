//! The views of schema `snackbase_bi`: what `GET /records/{collection}` lists, for tools that speak SQL.
//!
//! Their owner is `snackbase_reader`, a role without rights of its own, whom the account and list policies bind. The
//! functions here run as that role (`SECURITY DEFINER`, 900_privileges.sql), so it owns what it makes, and nobody needs to be
//! a member of it. Only `snackbase_owner` may call them.

use pgrx::pg_sys::panic::ErrorReport;
use pgrx::prelude::*;
use snackbase_core::names::{quote, quote_literal};
use snackbase_core::schema::Field;

use crate::collections::{Access, Collection, load, mask_of, value_expression};
use crate::context::Operation;
use crate::error::Error;
use crate::{guc, spi};

/// Makes the view of a collection (by id) anew from its stored definition: the system columns and the fields of
/// `list_fields`; personal data shows its mask.
///
/// Errors: 2BP01, raised by Postgres, when somebody built another view on it.
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
    Ok(remove(&load(collection)?.1)?)
}

fn replace(collection: &Collection) -> Result<(), Error> {
    let _ddl = guc::OwnDdl::begin();
    let access = Access::Listed(collection.field_list(Operation::List));
    let table = quote(&collection.table);
    let mut columns: Vec<String> = vec![format!("{table}.id"), format!("{table}.account_id")];
    for field in collection
        .definition
        .fields
        .iter()
        .filter(|field| access.allows(collection, field))
    {
        columns.push(format!(
            "{} as {}",
            expression(collection, field)?,
            quote(&field.name)
        ));
    }
    columns.extend(
        ["created_at", "updated_at", "created_by", "updated_by"].map(|name| format!("{table}.{name}")),
    );
    remove(collection)?;
    let view = name(collection);
    spi::execute(&format!(
        "create view {view} with (security_barrier = true) as select {} from {}",
        columns.join(", "),
        collection.relation
    ))?;
    spi::execute(&format!("grant select on {view} to snackbase_bi"))
}

fn remove(collection: &Collection) -> Result<(), Error> {
    spi::execute(&format!("drop view if exists {}", name(collection)))
}

fn name(collection: &Collection) -> String {
    format!(
        "snackbase_bi.{}",
        quote(&collection.definition.name.to_ascii_lowercase())
    )
}

fn expression(collection: &Collection, field: &Field) -> Result<String, Error> {
    let value = value_expression(collection, field)?;
    Ok(match mask_of(collection, field) {
        Some(mask) => format!("snackbase.mask({}, {value}::text)", quote_literal(mask.name())),
        None => value,
    })
}
