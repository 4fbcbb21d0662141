//! Creating, changing and removing collections: each in one transaction, definition, table, rules, grants and views
//! together, so that they cannot drift apart.
//!
//! The functions that run as `snackbase_owner` (`SECURITY DEFINER`) do DDL only: row security is forced on the owner and
//! no policy lets it see a record. What must count records does so before, as the caller.

use pgrx::pg_sys::panic::ErrorReport;
use pgrx::prelude::*;
use serde_json::Value as Json;
use snackbase_core::names::quote;
use snackbase_core::schema::{
    self, Change, Definition, DefinitionChange, DefinitionError, Field, FieldType, Problem, Rules,
};

use super::{Collection, load, table};
use crate::context::Context;
use crate::error::Error;
use crate::json::JsonText;
use crate::{guc, macros, policies, spi};

impl From<DefinitionError> for Error {
    fn from(error: DefinitionError) -> Error {
        match error {
            DefinitionError::Shape(problems) => Error::Shape(problems),
            DefinitionError::Semantic(problems) => Error::Definition(problems),
        }
    }
}

/// Creates a collection; `docs/sql-api.md` §3.
#[pg_extern(volatile, parallel_unsafe, security_definer)]
#[search_path(pg_catalog, pg_temp)]
fn collection_define(definition: JsonText) -> Result<JsonText, ErrorReport> {
    Ok(define(&definition.0)?)
}

/// Changes a collection; `docs/sql-api.md` §3. Runs as the caller, who counts what the change would break, and then
/// asks the owner to do it.
#[pg_extern(volatile, parallel_unsafe)]
fn collection_change(collection: &str, changes: JsonText) -> Result<JsonText, ErrorReport> {
    require_superadmin()?;
    // Before counting locks the table: whoever changes a macro takes the same locks in this order.
    macros::hold();
    refuse_what_rows_forbid(collection, &changes.0)?;
    let changed = spi::update(
        "select snackbase._collection_change($1, $2::json)::text",
        &[collection.into(), changes.0.into()],
        |rows| Ok(rows.first().get_one::<String>()?),
    )?;
    Ok(JsonText(changed.unwrap_or_default()))
}

/// The owner's part of [`collection_change`].
#[pg_extern(volatile, parallel_unsafe, security_definer)]
#[search_path(pg_catalog, pg_temp)]
fn _collection_change(collection: &str, changes: JsonText) -> Result<JsonText, ErrorReport> {
    Ok(change(collection, &changes.0)?)
}

/// Changes rules and field lists; `docs/sql-api.md` §3. Keys that are absent keep their value.
#[pg_extern(volatile, parallel_unsafe, security_definer)]
#[search_path(pg_catalog, pg_temp)]
fn collection_rules_change(collection: &str, changes: JsonText) -> Result<JsonText, ErrorReport> {
    Ok(change_rules(collection, &changes.0)?)
}

/// Drops a collection and its records; `docs/sql-api.md` §3. Runs as the caller, who counts the records.
#[pg_extern(volatile, parallel_unsafe)]
fn collection_drop(collection: &str) -> Result<JsonText, ErrorReport> {
    require_superadmin()?;
    macros::hold();
    let (_, found) = load(collection)?;
    let records = spi::select(&format!("select count(*) from {}", found.relation), &[], |rows| {
        Ok(rows.first().get_one::<i64>()?.unwrap_or(0))
    })?;
    spi::update(
        "select snackbase._collection_drop($1)",
        &[found.id.as_str().into()],
        |_| Ok(()),
    )?;
    let answer = serde_json::json!({
        "message": format!("Collection '{}' deleted", found.definition.name),
        "collection_id": found.id,
        "collection_name": found.definition.name,
        "table_name": found.table,
        "records_deleted": records,
        "migration_revision": (found.revision + 1).to_string(),
    });
    Ok(JsonText(answer.to_string()))
}

/// The owner's part of [`collection_drop`].
#[pg_extern(volatile, parallel_unsafe, security_definer)]
#[search_path(pg_catalog, pg_temp)]
fn _collection_drop(collection: &str) -> Result<(), ErrorReport> {
    remove(collection)?;
    Ok(())
}

/// The five rules of a new or changed collection may be written by superadmins, and by an administrator in psql.
fn require_superadmin() -> Result<(), Error> {
    if Context::current().is_superadmin() || guc::is_session_superuser() {
        Ok(())
    } else {
        Err(Error::SuperadminRequired)
    }
}

fn parse(text: &str) -> Result<Json, Error> {
    serde_json::from_str(text)
        .map_err(|e| Error::Shape(vec![Problem::new("body", "json_invalid", e.to_string())]))
}

/// One change of a collection at a time, and none while a macro changes; readers are not in the way.
fn lock_name(name: &str) -> Result<(), Error> {
    macros::hold();
    spi::update(
        "select pg_advisory_xact_lock(hashtext('snackbase.collection'), hashtext(lower($1)))",
        &[name.into()],
        |_| Ok(()),
    )
}

fn define(body: &str) -> Result<JsonText, Error> {
    require_superadmin()?;
    let definition = schema::parse_definition(&parse(body)?)?;
    let _ddl = guc::OwnDdl::begin();
    lock_name(&definition.name)?;
    refuse_taken_name(&definition.name)?;
    refuse_encryption(&definition.fields)?;
    let definition = resolve_references(definition)?;
    let id = insert_definition(&definition)?;
    let collection = Collection::new(id, definition, 1);
    policies::check_computed(&collection)?;
    let predicates = policies::compile(&collection)?;
    table::create(&collection)?;
    policies::apply(&collection, &predicates)?;
    show(&collection.id)
}

fn change(wanted: &str, body: &str) -> Result<JsonText, Error> {
    require_superadmin()?;
    let changes = schema::parse_change(&parse(body)?)?;
    let _ddl = guc::OwnDdl::begin();
    let current = lock_current(wanted)?;
    let definition = resolve_references(changes.apply(&current.definition)?)?;
    refuse_encryption(&definition.fields)?;
    store_change(&current, definition)
}

fn change_rules(wanted: &str, body: &str) -> Result<JsonText, Error> {
    require_superadmin()?;
    let changes = schema::parse_rules_change(&parse(body)?)?;
    let _ddl = guc::OwnDdl::begin();
    let current = lock_current(wanted)?;
    let definition = DefinitionChange {
        name: None,
        fields: None,
        rules: changes,
    }
    .apply(&current.definition)?;
    store_change(&current, definition)?;
    spi::select(
        "select snackbase.collection_rules_view($1)::text",
        &[current.id.as_str().into()],
        |rows| Ok(JsonText(rows.first().get_one::<String>()?.unwrap_or_default())),
    )
}

/// The present definition, read again after waiting for whoever was changing it.
fn lock_current(wanted: &str) -> Result<Collection, Error> {
    let (_, found) = load(wanted)?;
    lock_name(&found.definition.name)?;
    Ok(load(&found.id)?.1)
}

fn store_change(current: &Collection, definition: Definition) -> Result<JsonText, Error> {
    let next = Collection::new(current.id.clone(), definition, current.revision + 1);
    let steps =
        schema::diff(&current.definition.fields, &next.definition.fields).map_err(Error::Definition)?;
    policies::check_computed(&next)?;
    let predicates = policies::compile(&next)?;
    table::alter(&next, &steps)?;
    spi::update(
        "update snackbase.collections set schema = $2::json, revision = $3 where id = $1::uuid",
        &[
            next.id.as_str().into(),
            next.definition.schema_json().to_string().into(),
            next.revision.into(),
        ],
        |_| Ok(()),
    )?;
    store_rules(&next.id, &next.definition.rules)?;
    policies::apply(&next, &predicates)?;
    show(&next.id)
}

fn remove(wanted: &str) -> Result<(), Error> {
    require_superadmin()?;
    let _ddl = guc::OwnDdl::begin();
    let current = lock_current(wanted)?;
    let referring = spi::select(
        "select c.name, f ->> 'name'
           from snackbase.collections c
          cross join lateral json_array_elements(c.schema) f
          where f ->> 'type' = 'reference' and lower(f ->> 'collection') = lower($1) and c.id <> $2::uuid
          order by 1, 2",
        &[
            current.definition.name.as_str().into(),
            current.id.as_str().into(),
        ],
        |rows| {
            rows.into_iter()
                .map(|row| {
                    Ok((
                        row.get::<String>(1)?.unwrap_or_default(),
                        row.get::<String>(2)?.unwrap_or_default(),
                    ))
                })
                .collect::<Result<Vec<_>, Error>>()
        },
    )?;
    if !referring.is_empty() {
        return Err(Error::Referenced(referring));
    }
    macros::refuse_readers(&current.table)?;
    spi::update(
        "select snackbase._bi_view_drop($1)",
        &[current.id.as_str().into()],
        |_| Ok(()),
    )?;
    table::drop(&current)?;
    spi::update(
        "delete from snackbase.collections where id = $1::uuid",
        &[current.id.as_str().into()],
        |_| Ok(()),
    )
}

fn show(id: &str) -> Result<JsonText, Error> {
    spi::select(
        "select snackbase.collection_view($1)::text",
        &[id.into()],
        |rows| Ok(JsonText(rows.first().get_one::<String>()?.unwrap_or_default())),
    )
}

fn refuse_taken_name(name: &str) -> Result<(), Error> {
    let taken = spi::select_latest(
        "select c.name from snackbase.collections c where lower(c.name) = lower($1)",
        &[name.into()],
        |rows| {
            rows.into_iter()
                .next()
                .map(|row| row.get::<String>(1))
                .transpose()
                .map_err(Error::from)
        },
    )?;
    match taken.flatten() {
        Some(existing) => Err(Error::Conflict {
            message: format!("Collection '{existing}' exists already"),
            field: "name",
        }),
        None => Ok(()),
    }
}

/// References name collections that exist; they are stored in the case of the target's own name.
fn resolve_references(mut definition: Definition) -> Result<Definition, Error> {
    let own_name = definition.name.clone();
    let mut problems = Vec::new();
    for (index, field) in definition.fields.iter_mut().enumerate() {
        if field.field_type != FieldType::Reference {
            continue;
        }
        let Some(wanted) = field.collection.clone() else {
            continue;
        };
        let target = if wanted.eq_ignore_ascii_case(&own_name) {
            Some(own_name.clone())
        } else {
            spi::select_latest(
                "select c.name from snackbase.collections c where lower(c.name) = lower($1)",
                &[wanted.as_str().into()],
                |rows| {
                    rows.into_iter()
                        .next()
                        .map(|row| row.get::<String>(1))
                        .transpose()
                        .map_err(Error::from)
                },
            )?
            .flatten()
        };
        match target {
            Some(name) => field.collection = Some(name),
            None => problems.push(Problem::new(
                format!("schema[{index}].collection"),
                "reference_collection_not_found",
                format!("Collection '{wanted}' does not exist"),
            )),
        }
    }
    if problems.is_empty() {
        Ok(definition)
    } else {
        Err(Error::Definition(problems))
    }
}

/// Nothing encrypts yet, and a field must not promise what is not done: its values would be stored in clear.
fn refuse_encryption(fields: &[Field]) -> Result<(), Error> {
    let problems: Vec<Problem> = fields
        .iter()
        .enumerate()
        .filter(|(_, field)| field.encrypted)
        .map(|(index, field)| {
            let message = format!(
                "'{}': encrypted fields are not available in this version",
                field.name
            );
            Problem::new(
                format!("schema[{index}].encrypted"),
                "encryption_not_available",
                message,
            )
        })
        .collect();
    if problems.is_empty() {
        Ok(())
    } else {
        Err(Error::Definition(problems))
    }
}

fn insert_definition(definition: &Definition) -> Result<String, Error> {
    let id = spi::update(
        "insert into snackbase.collections (name, schema) values ($1, $2::json) returning id::text",
        &[
            definition.name.as_str().into(),
            definition.schema_json().to_string().into(),
        ],
        |rows| Ok(rows.first().get_one::<String>()?.unwrap_or_default()),
    )?;
    spi::update(
        "insert into snackbase.collection_rules (collection_id) values ($1::uuid)",
        &[id.as_str().into()],
        |_| Ok(()),
    )?;
    store_rules(&id, &definition.rules)?;
    Ok(id)
}

fn store_rules(id: &str, rules: &Rules) -> Result<(), Error> {
    spi::update(
        "update snackbase.collection_rules
            set list_rule = $2, view_rule = $3, create_rule = $4, update_rule = $5, delete_rule = $6,
                list_fields = $7, view_fields = $8, create_fields = $9, update_fields = $10
          where collection_id = $1::uuid
            and (list_rule, view_rule, create_rule, update_rule, delete_rule, list_fields, view_fields, create_fields, update_fields)
                is distinct from ($2, $3, $4, $5, $6, $7, $8, $9, $10)",
        &[
            id.into(),
            rules.list_rule.clone().into(),
            rules.view_rule.clone().into(),
            rules.create_rule.clone().into(),
            rules.update_rule.clone().into(),
            rules.delete_rule.clone().into(),
            rules.list_fields.to_text().into(),
            rules.view_fields.to_text().into(),
            rules.create_fields.to_text().into(),
            rules.update_fields.to_text().into(),
        ],
        |_| Ok(()),
    )
}

/// Counts, over all accounts, the rows that a change would contradict; the DDL would refuse them too, but could not
/// say how many.
fn refuse_what_rows_forbid(wanted: &str, body: &str) -> Result<(), Error> {
    let changes = schema::parse_change(&parse(body)?)?;
    let Some(fields) = changes.fields else {
        return Ok(());
    };
    let (_, current) = load(wanted)?;
    let steps = schema::diff(&current.definition.fields, &fields).map_err(Error::Definition)?;
    let mut problems = Vec::new();
    for step in &steps {
        let (field, sql, code, text) = match *step {
            Change::AddField(field) if field.required && schema::default_sql(field).is_none() => {
                let sql = format!("select count(*) from {}", current.relation);
                (
                    field,
                    sql,
                    "required_without_default",
                    "records exist; a required field needs a default",
                )
            }
            Change::SetRequired(field) => {
                let sql = format!(
                    "select count(*) from {} where {} is null",
                    current.relation,
                    quote(&field.name)
                );
                (field, sql, "required_null", "record(s) have no value")
            }
            Change::AddUnique(field) => {
                let column = quote(&field.name);
                let sql = format!(
                    "select coalesce(sum(n), 0)::bigint from (select count(*) as n from {} where {column} is not null \
                     group by account_id, {column} having count(*) > 1) d",
                    current.relation
                );
                (
                    field,
                    sql,
                    "unique_violated",
                    "records share a value with another of their account",
                )
            }
            _ => continue,
        };
        let count = spi::select(&sql, &[], |rows| Ok(rows.first().get_one::<i64>()?.unwrap_or(0)))?;
        if count > 0 {
            let index = fields
                .iter()
                .position(|f: &Field| f.name == field.name)
                .unwrap_or(0);
            problems.push(Problem::new(
                format!("schema[{index}]"),
                code,
                format!("'{}': {count} {text}", field.name),
            ));
        }
    }
    if problems.is_empty() {
        Ok(())
    } else {
        Err(Error::Definition(problems))
    }
}
