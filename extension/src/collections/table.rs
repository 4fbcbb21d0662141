//! The physical table of a collection: the DDL that follows from a definition. Runs as the owner.

use snackbase_core::names::{constraint, quote};
use snackbase_core::schema::{Change, Field, Index, OnDelete, Options, default_sql};

use super::{Collection, adopt, convert};
use crate::error::Error;
use crate::spi;

/// Creates the table with columns, keys, indexes, triggers and row security; foreign keys come from [`add_references`],
/// policies and grants from [`crate::policies`]. A table of that name without a definition is taken over when it has
/// exactly these columns: then the result is true, and what its records contain has not been looked at.
///
/// # Errors
/// [`Error::Conflict`] when such a table has other columns.
pub fn create(collection: &Collection) -> Result<bool, Error> {
    let Collection {
        relation,
        table,
        definition,
        ..
    } = collection;
    let adopted = adopt::exists(table)?;
    if adopted {
        adopt::strip(collection)?;
    } else {
        spi::execute(&blank(collection, relation))?;
    }
    spi::execute(&format!(
        "alter table {relation}
            add primary key (id, account_id),
            add foreign key (account_id) references snackbase.accounts (id) on delete cascade,
            enable row level security,
            force row level security"
    ))?;
    spi::execute(&format!(
        "create index {} on {relation} (account_id, created_at desc, id desc)",
        quote(&constraint(table, "created_at", "idx"))
    ))?;
    for field in definition.fields.iter().filter(|field| field.is_stored()) {
        if field.unique {
            spi::execute(&format!("alter table {relation} {}", unique(collection, field)))?;
        }
        if let Some(index) = field.index() {
            add_index(collection, field, index)?;
        }
    }
    spi::execute(&format!(
        "create trigger z_stamp before insert or update on {relation} for each row execute function snackbase._stamp()"
    ))?;
    attach_recorder(collection)?;
    Ok(adopted)
}

/// The recorder's arguments: the key, whose values they are, and what the trail keeps of them where that is not what the
/// column's name says ([`crate::audit`], the registry of write masks).
pub fn recorder_arguments(fields: &[Field], options: &Options) -> Vec<String> {
    let mut arguments = vec!["id".to_owned()];
    let mut erases = false;
    for field in fields.iter().filter(|field| field.is_stored()) {
        if field.erasable() == Some(true) {
            erases = true;
            arguments.push(format!("{}=erasable", field.name));
        } else if let Some(mask) = field.write_mask() {
            arguments.push(format!("{}={}", field.name, mask.name()));
        }
    }
    if erases && let Some(subject) = &options.subject {
        arguments.push(format!("*={subject}"));
    }
    arguments
}

fn arguments_of(collection: &Collection) -> Vec<String> {
    recorder_arguments(&collection.definition.fields, &collection.definition.options)
}

/// Puts the recorder on a new table.
fn attach_recorder(collection: &Collection) -> Result<(), Error> {
    let arguments = arguments_of(collection).into_iter().map(Some).collect();
    spi::update(
        "select snackbase._audit_attach($1::regclass, variadic $2)",
        &[collection.relation.as_str().into(), spi::text_array(arguments)],
        |_| Ok(()),
    )
}

/// Puts the recorder on the table again when its arguments are others now. The table is locked against everybody.
///
/// # Errors
/// [`Error::Spi`].
pub fn renew_recorder(before: &Collection, collection: &Collection) -> Result<(), Error> {
    if arguments_of(before) == arguments_of(collection) {
        return Ok(());
    }
    for trigger in ["audit_insert", "audit_update", "audit_delete", "audit_truncate"] {
        spi::execute(&format!("drop trigger {trigger} on {}", collection.relation))?;
    }
    attach_recorder(collection)
}

/// The statement that creates the table of a collection as `relation`, with nothing but its columns.
pub fn blank(collection: &Collection, relation: &str) -> String {
    let columns: String = stored(collection)
        .map(|field| format!("{},\n", column(field)))
        .collect();
    format!(
        "create table {relation} (
            id uuid not null default gen_random_uuid(),
            account_id uuid not null,
            {columns}
            created_at timestamptz not null,
            updated_at timestamptz not null,
            created_by text not null,
            updated_by text not null)"
    )
}

/// Adds the foreign keys of a new table. Apart from [`create`], because two new collections may refer to each other.
///
/// # Errors
/// Failures of the DDL keep their SQLSTATE.
pub fn add_references(collection: &Collection) -> Result<(), Error> {
    stored(collection).try_for_each(|field| add_reference(collection, field))
}

/// Builds the indexes that a change needs on columns that are there. Readers go on meanwhile.
///
/// # Errors
/// Failures of the DDL keep their SQLSTATE.
pub fn prepare(collection: &Collection, steps: &[Change<'_>]) -> Result<(), Error> {
    for step in steps {
        match *step {
            Change::AddIndex(field, index) => add_index(collection, field, index)?,
            Change::AddUnique(field) => spi::execute(&format!(
                "create unique index {} on {} (account_id, {})",
                quote(&constraint(&collection.table, &field.name, "key")),
                collection.relation,
                quote(&field.name)
            ))?,
            _ => {}
        }
    }
    Ok(())
}

/// Brings the table from one list of fields to another, up to the conversion of values; [`finish`] does the rest. The table
/// is locked against everybody, and [`prepare`] is done.
///
/// # Errors
/// Failures of the DDL keep their SQLSTATE (23502, 23505 when records came in since the caller counted them).
pub fn begin(collection: &Collection, steps: &[Change<'_>]) -> Result<(), Error> {
    let key = |field: &Field, suffix: &str| quote(&constraint(&collection.table, &field.name, suffix));
    let mut actions: Vec<String> = Vec::new();
    let mut conversions: Vec<String> = Vec::new();
    for step in steps {
        match *step {
            Change::AddField(field) => {
                actions.push(format!("add column {}", column(field)));
                if field.unique {
                    actions.push(unique(collection, field));
                }
            }
            Change::DropField(field) => actions.push(format!("drop column {}", quote(&field.name))),
            Change::SetRequired(field) => {
                actions.push(format!("alter column {} set not null", quote(&field.name)));
            }
            Change::DropRequired(field) => {
                actions.push(format!("alter column {} drop not null", quote(&field.name)));
            }
            Change::AddUnique(field) => actions.push(format!(
                "add constraint {0} unique using index {0}",
                key(field, "key")
            )),
            Change::DropUnique(field) => actions.push(format!("drop constraint {}", key(field, "key"))),
            Change::SetDefault(field) => actions.extend(set_default(field)),
            Change::DropDefault(field) => {
                actions.push(format!("alter column {} drop default", quote(&field.name)));
            }
            Change::SetReference(before, _) => {
                actions.extend(
                    before
                        .target()
                        .map(|_| format!("drop constraint {}", key(before, "fkey"))),
                );
            }
            Change::DropIndex(field, index) => drop_index(collection, field, index)?,
            Change::SetType(before, field) => {
                if before.target().is_some() {
                    actions.push(format!("drop constraint {}", key(before, "fkey")));
                }
                if before.unique {
                    actions.push(format!("drop constraint {}", key(before, "key")));
                }
                if let Some(index) = before.index() {
                    drop_index(collection, before, index)?;
                }
                actions.push(format!("alter column {} drop default", quote(&field.name)));
                if before.required && !field.required {
                    actions.push(format!("alter column {} drop not null", quote(&field.name)));
                }
                conversions.extend(convert::to_text(before, field));
            }
            Change::AddIndex(..) | Change::Metadata(_) => {}
        }
    }
    alter(collection, &actions)?;
    alter(collection, &conversions)?;
    for step in steps {
        match *step {
            Change::AddField(field) => {
                if let Some(index) = field.index() {
                    add_index(collection, field, index)?;
                }
                add_reference(collection, field)?;
            }
            Change::SetReference(_, field) => add_reference(collection, field)?,
            _ => {}
        }
    }
    Ok(())
}

/// What comes after the values of retyped fields were converted: types, constraints, defaults.
///
/// # Errors
/// As [`begin`].
pub fn finish(collection: &Collection, steps: &[Change<'_>]) -> Result<(), Error> {
    let mut types: Vec<String> = Vec::new();
    let mut actions: Vec<String> = Vec::new();
    for step in steps {
        if let Change::SetType(before, field) = *step {
            types.extend(convert::from_text(before, field));
            actions.extend(set_default(field));
            if field.required && !before.required {
                actions.push(format!("alter column {} set not null", quote(&field.name)));
            }
            if field.unique {
                actions.push(unique(collection, field));
            }
        }
    }
    alter(collection, &types)?;
    alter(collection, &actions)?;
    for step in steps {
        if let Change::SetType(_, field) = *step {
            if let Some(index) = field.index() {
                add_index(collection, field, index)?;
            }
            add_reference(collection, field)?;
        }
    }
    Ok(())
}

/// Drops the table; audit entries of its records stay.
///
/// # Errors
/// [`Error::Spi`]; the caller has made sure that nothing refers to it.
pub fn drop(collection: &Collection) -> Result<(), Error> {
    spi::execute(&format!("drop table {}", collection.relation))
}

fn alter(collection: &Collection, actions: &[String]) -> Result<(), Error> {
    if actions.is_empty() {
        return Ok(());
    }
    // One statement: the table is read once, however many constraints have to be checked.
    spi::execute(&format!(
        "alter table {} {}",
        collection.relation,
        actions.join(", ")
    ))
}

fn stored(collection: &Collection) -> impl Iterator<Item = &Field> {
    collection
        .definition
        .fields
        .iter()
        .filter(|field| field.is_stored())
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

fn set_default(field: &Field) -> Option<String> {
    let default = default_sql(field)?;
    Some(format!(
        "alter column {} set default {default}",
        quote(&field.name)
    ))
}

fn unique(collection: &Collection, field: &Field) -> String {
    format!(
        "add constraint {} unique (account_id, {})",
        quote(&constraint(&collection.table, &field.name, "key")),
        quote(&field.name)
    )
}

fn index_name(collection: &Collection, field: &Field, index: Index) -> String {
    let suffix = match index {
        Index::Plain => "idx",
        Index::Prefix => "prefix",
    };
    quote(&constraint(&collection.table, &field.name, suffix))
}

fn add_index(collection: &Collection, field: &Field, index: Index) -> Result<(), Error> {
    let order = match index {
        Index::Plain => "",
        Index::Prefix => " collate \"C\"",
    };
    spi::execute(&format!(
        "create index {} on {} (account_id, {}{order})",
        index_name(collection, field, index),
        collection.relation,
        quote(&field.name)
    ))
}

fn drop_index(collection: &Collection, field: &Field, index: Index) -> Result<(), Error> {
    spi::execute(&format!(
        "drop index snackbase.{}",
        index_name(collection, field, index)
    ))
}

/// The foreign key of a reference contains the account, so a record cannot refer to another tenant's.
fn add_reference(collection: &Collection, field: &Field) -> Result<(), Error> {
    let Some(target) = field.target() else {
        return Ok(());
    };
    let column = quote(&field.name);
    let action = match field.delete_action() {
        Some(OnDelete::Cascade) => "cascade".to_owned(),
        Some(OnDelete::SetNull) => format!("set null ({column})"),
        Some(OnDelete::Restrict) | None => "restrict".to_owned(),
    };
    spi::execute(&format!(
        "alter table {} add constraint {} foreign key ({column}, account_id) references snackbase.{} (id, account_id) on delete {action}",
        collection.relation,
        quote(&constraint(&collection.table, &field.name, "fkey")),
        quote(&target),
    ))
}
