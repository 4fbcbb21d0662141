//! Creating, changing and removing collections: each in one transaction, definition, table, rules, grants and views
//! together, so that they cannot drift apart.
//!
//! The functions run as the caller, a superadmin, who sees the records of all accounts: what records have against a change
//! is counted in that name. The DDL runs as `snackbase_owner` ([`spi::as_owner`]): row security is forced on the owner and no
//! policy lets it see a record.

use pgrx::pg_sys::panic::ErrorReport;
use pgrx::prelude::*;
use serde_json::Value as Json;
use snackbase_core::schema::{self, Change, Definition, DefinitionChange, DefinitionError, Problem};

use super::{Collection, catalog, convert, facts, locks, table, uses};
use crate::context::Context;
use crate::error::Error;
use crate::json::JsonText;
use crate::{bi, guc, macros, permissions, policies, spi};

impl From<DefinitionError> for Error {
    fn from(error: DefinitionError) -> Error {
        match error {
            DefinitionError::Shape(problems) => Error::Shape(problems),
            DefinitionError::Semantic(problems) => Error::Definition(problems),
        }
    }
}

/// Creates a collection; `docs/sql-api.md` §3.
#[pg_extern(volatile, parallel_unsafe)]
#[search_path(pg_catalog, pg_temp)]
fn collection_define(definition: JsonText) -> Result<JsonText, ErrorReport> {
    Ok(define(&definition.0)?)
}

/// Changes a collection; `docs/sql-api.md` §3.
#[pg_extern(volatile, parallel_unsafe)]
#[search_path(pg_catalog, pg_temp)]
fn collection_change(collection: &str, changes: JsonText) -> Result<JsonText, ErrorReport> {
    Ok(change(collection, &changes.0)?)
}

/// Changes rules and field lists; `docs/sql-api.md` §3. Keys that are absent keep their value.
#[pg_extern(volatile, parallel_unsafe)]
#[search_path(pg_catalog, pg_temp)]
fn collection_rules_change(collection: &str, changes: JsonText) -> Result<JsonText, ErrorReport> {
    Ok(change_rules(collection, &changes.0)?)
}

/// Drops a collection and its records; `docs/sql-api.md` §3.
#[pg_extern(volatile, parallel_unsafe)]
#[search_path(pg_catalog, pg_temp)]
fn collection_drop(collection: &str) -> Result<JsonText, ErrorReport> {
    Ok(remove(collection)?)
}

/// Schemas are changed by superadmins, and by an administrator in psql.
pub fn require_superadmin() -> Result<(), Error> {
    if Context::current().is_superadmin() || guc::is_session_superuser() {
        Ok(())
    } else {
        Err(Error::SuperadminRequired)
    }
}

pub fn parse(text: &str) -> Result<Json, Error> {
    serde_json::from_str(text)
        .map_err(|e| Error::Shape(vec![Problem::new("body", "json_invalid", e.to_string())]))
}

fn define(body: &str) -> Result<JsonText, Error> {
    require_superadmin()?;
    let definition = schema::parse_definition(&parse(body)?)?;
    locks::names([definition.name.as_str()], locks::targets(&definition.fields))?;
    let made = create(vec![definition]).map_err(|failed| failed.1)?;
    match made.first() {
        Some((collection, _)) => catalog::show(&collection.id),
        None => Err(Error::Internal("nothing was created".into())),
    }
}

/// Creates collections that may refer to each other; their names are locked. Returns them with the ids of their entries in
/// the log of schema changes.
///
/// # Errors
/// What is wrong, and with which of them.
pub fn create(definitions: Vec<Definition>) -> Result<Vec<(Collection, String)>, (usize, Error)> {
    let _ddl = guc::OwnDdl::begin();
    let at = |index: usize| move |error: Error| (index, error);
    // The definitions first: then each finds the others by name.
    let mut ids = Vec::with_capacity(definitions.len());
    for (index, definition) in definitions.iter().enumerate() {
        let id = catalog::refuse_taken(&definition.name)
            .and_then(|()| catalog::refuse_encryption(&definition.fields))
            .and_then(|()| spi::as_owner(|| catalog::insert(definition)));
        ids.push(id.map_err(at(index))?);
    }
    let mut made = Vec::with_capacity(ids.len());
    for (index, (definition, id)) in definitions.into_iter().zip(ids).enumerate() {
        let prepare = || -> Result<_, Error> {
            let written = definition.schema_json();
            let collection = Collection::new(id, catalog::resolve_references(definition)?, 1);
            policies::check_computed(&collection)?;
            spi::as_owner(|| {
                if collection.definition.schema_json() != written {
                    catalog::store(&collection)?;
                }
                let predicates = policies::compile(&collection)?;
                let adopted = table::create(&collection)?;
                Ok((collection, predicates, adopted))
            })
        };
        made.push(prepare().map_err(at(index))?);
    }
    let mut logged = Vec::with_capacity(made.len());
    for (index, (collection, predicates, adopted)) in made.into_iter().enumerate() {
        let finish = || -> Result<_, Error> {
            let revision = spi::as_owner(|| {
                table::add_references(&collection)?;
                policies::apply(&collection, &predicates)?;
                let added: Vec<Change<'_>> = collection
                    .definition
                    .fields
                    .iter()
                    .map(Change::AddField)
                    .collect();
                catalog::log(&collection, "create", &catalog::log_fields(&added))
            })?;
            if adopted {
                facts::refuse_dangling(&collection)?;
            }
            Ok((collection, revision))
        };
        logged.push(finish().map_err(at(index))?);
    }
    Ok(logged)
}

fn change(wanted: &str, body: &str) -> Result<JsonText, Error> {
    require_superadmin()?;
    let changes = schema::parse_change(&parse(body)?)?;
    let used = changes.fields.as_deref().unwrap_or_default();
    let current = locks::current(wanted, locks::targets(used))?;
    if let Some(fields) = &changes.fields {
        // What a definition cannot do comes before what would follow from it: a list that names a field that is gone.
        schema::diff(&current.definition.fields, fields).map_err(Error::Definition)?;
    }
    let definition = changes.apply(&current.definition)?;
    alter(&current, definition, Losses::Refused)?;
    catalog::show(&current.id)
}

fn change_rules(wanted: &str, body: &str) -> Result<JsonText, Error> {
    require_superadmin()?;
    let rules = schema::parse_rules_change(&parse(body)?)?;
    let current = locks::current(wanted, [])?;
    let change = DefinitionChange {
        rules,
        ..DefinitionChange::default()
    };
    alter(&current, change.apply(&current.definition)?, Losses::Refused)?;
    catalog::show_rules(&current.id)
}

/// Whether a change may drop fields and give them other types.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Losses {
    /// As a definition: it may not.
    Refused,
    /// The caller has confirmed it.
    Confirmed,
}

/// Brings a collection from its present definition to another; its name is locked. Returns the id of the entry in the log of
/// schema changes, if the fields are others now.
///
/// # Errors
/// Everything that is against it; then nothing is changed.
pub fn alter(current: &Collection, definition: Definition, losses: Losses) -> Result<Option<String>, Error> {
    let _ddl = guc::OwnDdl::begin();
    catalog::refuse_encryption(&definition.fields)?;
    if let Some(problem) = definition.options.check(&definition.fields) {
        return Err(Error::Definition(vec![problem]));
    }
    let definition = catalog::resolve_references(definition)?;
    let next = Collection::new(current.id.clone(), definition, current.revision + 1);
    let (old, new) = (&current.definition.fields, &next.definition.fields);
    let steps = match losses {
        Losses::Refused => schema::diff(old, new),
        Losses::Confirmed => schema::rebuild(old, new),
    }
    .map_err(Error::Definition)?;
    uses::refuse(current, &next, &steps)?;
    policies::check_computed(&next)?;
    let predicates = spi::as_owner(|| policies::compile(&next))?;
    // What is in the way is found while everybody works; what came in since, while nobody writes.
    facts::refuse(current, &steps, new)?;
    spi::as_owner(|| locks::against_writers(&next, &steps))?;
    if locks::reads_records(&steps) {
        facts::refuse(current, &steps, new)?;
    }
    spi::as_owner(|| {
        table::prepare(&next, &steps)?;
        bi::make_way(current, &next)?;
        locks::table(&next.table, "access exclusive")?;
        table::begin(&next, &steps)
    })?;
    convert::rewrite(&next, &steps)?;
    spi::as_owner(|| {
        table::finish(&next, &steps)?;
        table::renew_recorder(current, &next)?;
        catalog::store(&next)?;
        policies::apply(&next, &predicates)?;
        if old == new {
            return Ok(None);
        }
        catalog::log(&next, "change", &catalog::log_fields(&steps)).map(Some)
    })
}

fn remove(wanted: &str) -> Result<JsonText, Error> {
    require_superadmin()?;
    // Its permissions go as well. Asking for more than others hold while they wait for this name would be a deadlock.
    macros::hold_permissions_alone();
    let current = locks::current(wanted, [])?;
    let _ddl = guc::OwnDdl::begin();
    let referring = catalog::referring(&current)?;
    if !referring.is_empty() {
        return Err(Error::Referenced(referring));
    }
    uses::refuse_drop(&current)?;
    let steps: Vec<Change<'_>> = current
        .definition
        .fields
        .iter()
        .filter(|field| field.is_stored())
        .map(Change::DropField)
        .collect();
    spi::as_owner(|| {
        locks::against_writers(&current, &steps)?;
        bi::drop_view(&current)?;
        locks::table(&current.table, "access exclusive")
    })?;
    // Nobody writes any more: what is counted is what is deleted.
    let records = spi::select_latest(
        &format!("select count(*) from {}", current.relation),
        &[],
        |rows| Ok(rows.first().get_one::<i64>()?.unwrap_or(0)),
    )?;
    let revision = spi::as_owner(|| {
        table::drop(&current)?;
        catalog::delete(&current.id)?;
        permissions::forget(&current.definition.name)?;
        catalog::log(&current, "drop", &catalog::log_fields(&steps))
    })?;
    let answer = serde_json::json!({
        "message": format!("Collection '{}' deleted", current.definition.name),
        "collection_id": current.id,
        "collection_name": current.definition.name,
        "table_name": current.table,
        "records_deleted": records,
        "migration_revision": revision,
    });
    Ok(JsonText(answer.to_string()))
}
