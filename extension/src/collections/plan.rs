//! Many collections at once, and changes that lose values: `POST /migrations/plan` and `/generate`. Source: contract of
//! collections §3.3.

use pgrx::pg_sys::panic::ErrorReport;
use pgrx::prelude::*;
use serde_json::json;
use snackbase_core::schema::{self, Definition, Plan, Problem};

use super::define::{Losses, alter, create, parse, require_superadmin};
use super::{Collection, catalog, load, locks};
use crate::error::Error;
use crate::json::JsonText;

/// What the definitions of a body would change; `docs/sql-api.md` §3. Changes nothing.
#[pg_extern(volatile, parallel_unsafe)]
#[search_path(pg_catalog, pg_temp)]
fn migration_plan(body: JsonText) -> Result<JsonText, ErrorReport> {
    Ok(plan(&body.0)?)
}

/// Carries out what [`migration_plan`] says; `docs/sql-api.md` §3.
#[pg_extern(volatile, parallel_unsafe)]
#[search_path(pg_catalog, pg_temp)]
fn migration_generate(body: JsonText) -> Result<JsonText, ErrorReport> {
    Ok(generate(&body.0)?)
}

fn plan(body: &str) -> Result<JsonText, Error> {
    require_superadmin()?;
    let definitions = schema::parse_collections(&parse(body)?)?;
    let (plan, _) = compare(definitions)?;
    Ok(JsonText(json!(plan).to_string()))
}

/// A definition, and the collection that it is for, if there is one.
type Wanted = (Definition, Option<Collection>);

fn generate(body: &str) -> Result<JsonText, Error> {
    require_superadmin()?;
    let body = parse(body)?;
    let definitions = schema::parse_collections(&body)?;
    let confirmed = match body.get("confirm") {
        None | Some(serde_json::Value::Null) => false,
        Some(serde_json::Value::Bool(confirmed)) => *confirmed,
        Some(_) => {
            let problem = Problem::new("confirm", "invalid_type", "Must be true or false");
            return Err(Error::Shape(vec![problem]));
        }
    };
    let used = definitions
        .iter()
        .flat_map(|definition| locks::targets(&definition.fields));
    locks::names(
        definitions.iter().map(|definition| definition.name.as_str()),
        used,
    )?;
    let (plan, wanted) = compare(definitions)?;
    if plan.is_destructive() && !confirmed {
        return Err(Error::Unconfirmed(json!(plan)));
    }
    let revision = apply(wanted)?;
    let answer = json!({"revision": revision, "plan": plan, "applied": revision.is_some()});
    Ok(JsonText(answer.to_string()))
}

fn compare(definitions: Vec<Definition>) -> Result<(Plan, Vec<Wanted>), Error> {
    let mut plan = Plan::default();
    let mut wanted = Vec::with_capacity(definitions.len());
    for mut definition in definitions {
        let current = match catalog::name_of(&definition.name)? {
            Some(name) => Some(load(&name)?.1),
            None => None,
        };
        if let Some(current) = &current {
            definition.name.clone_from(&current.definition.name);
            definition.rules = current.definition.rules.clone();
            definition.options = current.definition.options.clone();
        }
        // A target in another case is the same target.
        for field in &mut definition.fields {
            if let Some(name) = field
                .collection
                .as_deref()
                .map(catalog::name_of)
                .transpose()?
                .flatten()
            {
                field.collection = Some(name);
            }
        }
        let old = current
            .as_ref()
            .map_or(&[][..], |current| &current.definition.fields);
        plan.add(&definition.name, old, &definition.fields);
        wanted.push((definition, current));
    }
    Ok((plan, wanted))
}

/// Creates what is new, then changes the rest, which may refer to it. Returns the last entry of the log.
fn apply(wanted: Vec<Wanted>) -> Result<Option<String>, Error> {
    let mut new = Vec::new();
    let mut places = Vec::new();
    let mut existing = Vec::new();
    for (index, (definition, current)) in wanted.into_iter().enumerate() {
        match current {
            Some(current) => existing.push((index, definition, current)),
            None => {
                places.push(index);
                new.push(definition);
            }
        }
    }
    let made = create(new).map_err(|(index, error)| within(error, places[index]))?;
    let mut revision = made.into_iter().next_back().map(|(_, revision)| revision);
    for (index, definition, current) in existing {
        if definition.fields == current.definition.fields {
            continue;
        }
        let changed = alter(&current, definition, Losses::Confirmed).map_err(|error| within(error, index))?;
        revision = changed.or(revision);
    }
    Ok(revision)
}

/// The problems of one collection, placed in the body.
fn within(error: Error, index: usize) -> Error {
    match error {
        Error::Definition(problems) => Error::Definition(
            problems
                .into_iter()
                .map(|problem| Problem {
                    path: format!("collections[{index}].{}", problem.path),
                    ..problem
                })
                .collect(),
        ),
        other => other,
    }
}
