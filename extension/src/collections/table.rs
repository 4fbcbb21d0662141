//! The physical table of a collection: the DDL that follows from a definition.

use snackbase_core::names::{constraint, quote};
use snackbase_core::schema::{Change, Field, FieldType, OnDelete, default_sql};

use super::Collection;
use crate::error::Error;
use crate::spi;

/// Creates the table with columns, keys, indexes, triggers and row security. Policies and grants come from
/// [`crate::policies`].
///
/// # Errors
/// [`Error::Conflict`] when a table of this name exists without a definition.
pub fn create(collection: &Collection) -> Result<(), Error> {
    let Collection {
        relation,
        table,
        definition,
        ..
    } = collection;
    if exists(table)? {
        return Err(Error::Conflict {
            message: format!("A table {table} exists already, without a collection"),
            field: "name",
        });
    }
    let stored: Vec<&Field> = definition
        .fields
        .iter()
        .filter(|field| field.is_stored())
        .collect();
    let columns: String = stored
        .iter()
        .map(|field| format!("{},\n", column(field)))
        .collect();
    spi::execute(&format!(
        "create table {relation} (
            id uuid not null default gen_random_uuid(),
            account_id uuid not null references snackbase.accounts (id) on delete cascade,
            {columns}
            created_at timestamptz not null,
            updated_at timestamptz not null,
            created_by text not null,
            updated_by text not null,
            primary key (id, account_id))"
    ))?;
    spi::execute(&format!(
        "create index {} on {relation} (account_id, created_at desc, id desc)",
        quote(&constraint(table, "created_at", "idx"))
    ))?;
    for field in stored {
        add_keys(collection, field)?;
    }
    spi::execute(&format!("alter table {relation} enable row level security"))?;
    spi::execute(&format!("alter table {relation} force row level security"))?;
    spi::execute(&format!(
        "create trigger z_stamp before insert or update on {relation} for each row execute function snackbase._stamp()"
    ))?;
    spi::update(
        "select snackbase._audit_attach($1::regclass, 'id')",
        &[relation.as_str().into()],
        |_| Ok(()),
    )
}

/// Brings the table from one list of fields to another.
///
/// # Errors
/// Failures of the DDL keep their SQLSTATE (23502, 23505 when rows appeared since the caller counted them).
pub fn alter(collection: &Collection, changes: &[Change<'_>]) -> Result<(), Error> {
    for change in changes {
        apply(collection, change)?;
    }
    Ok(())
}

fn apply(collection: &Collection, change: &Change<'_>) -> Result<(), Error> {
    let Collection { relation, table, .. } = collection;
    let alter = |action: String| spi::execute(&format!("alter table {relation} {action}"));
    match *change {
        Change::AddField(field) => {
            alter(format!("add column {}", column(field)))?;
            add_keys(collection, field)
        }
        Change::SetRequired(field) => alter(format!("alter column {} set not null", quote(&field.name))),
        Change::DropRequired(field) => alter(format!("alter column {} drop not null", quote(&field.name))),
        Change::AddUnique(field) => add_unique(collection, field),
        Change::DropUnique(field) => alter(format!(
            "drop constraint {}",
            quote(&constraint(table, &field.name, "key"))
        )),
        Change::SetDefault(field) => {
            let default = default_sql(field).unwrap_or_else(|| "null".to_owned());
            alter(format!(
                "alter column {} set default {default}",
                quote(&field.name)
            ))
        }
        Change::DropDefault(field) => alter(format!("alter column {} drop default", quote(&field.name))),
        Change::SetReference(field) => {
            alter(format!(
                "drop constraint {}",
                quote(&constraint(table, &field.name, "fkey"))
            ))?;
            add_reference(collection, field)
        }
        Change::Metadata(_) => Ok(()),
    }
}

/// Drops the table; audit entries of its records stay.
///
/// # Errors
/// [`Error::Spi`]; the caller has made sure that nothing refers to it.
pub fn drop(collection: &Collection) -> Result<(), Error> {
    spi::execute(&format!("drop table {}", collection.relation))
}

fn exists(table: &str) -> Result<bool, Error> {
    spi::select(
        "select exists (select from pg_catalog.pg_class where relname = $1 and relnamespace = 'snackbase'::regnamespace)",
        &[table.into()],
        |rows| Ok(rows.first().get_one::<bool>()?.unwrap_or(false)),
    )
}

fn column(field: &Field) -> String {
    let mut text = format!(
        "{} {}",
        quote(&field.name),
        field.field_type.sql_type().unwrap_or("text")
    );
    if let Some(default) = default_sql(field) {
        text.push_str(" default ");
        text.push_str(&default);
    }
    if field.required {
        text.push_str(" not null");
    }
    text
}

fn add_keys(collection: &Collection, field: &Field) -> Result<(), Error> {
    if field.unique {
        add_unique(collection, field)?;
    }
    let hinted = field.options.as_ref().and_then(|options| options.get("index")) == Some(&true.into());
    if field.field_type.is_reference() {
        add_reference(collection, field)?;
    }
    if field.field_type.is_reference() || (hinted && !field.unique) {
        spi::execute(&format!(
            "create index {} on {} (account_id, {})",
            quote(&constraint(&collection.table, &field.name, "idx")),
            collection.relation,
            quote(&field.name)
        ))?;
    }
    Ok(())
}

fn add_unique(collection: &Collection, field: &Field) -> Result<(), Error> {
    spi::execute(&format!(
        "alter table {} add constraint {} unique (account_id, {})",
        collection.relation,
        quote(&constraint(&collection.table, &field.name, "key")),
        quote(&field.name)
    ))
}

/// The foreign key of a reference contains the account, so a record cannot refer to another tenant's.
fn add_reference(collection: &Collection, field: &Field) -> Result<(), Error> {
    let target = match field.field_type {
        FieldType::User => "snackbase.users".to_owned(),
        _ => {
            let name = field.collection.as_deref().unwrap_or_default();
            format!("snackbase.{}", quote(&snackbase_core::names::table(name)))
        }
    };
    let column = quote(&field.name);
    let action = match field.delete_action() {
        Some(OnDelete::Cascade) => "cascade".to_owned(),
        Some(OnDelete::SetNull) => format!("set null ({column})"),
        Some(OnDelete::Restrict) | None => "restrict".to_owned(),
    };
    spi::execute(&format!(
        "alter table {} add constraint {} foreign key ({column}, account_id) references {target} (id, account_id) on delete {action}",
        collection.relation,
        quote(&constraint(&collection.table, &field.name, "fkey")),
    ))
}
