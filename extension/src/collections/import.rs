//! `POST /collections/import`: the parts of `snackbase.collection_import()` that need to understand definitions. The loop
//! over the groups, with a savepoint for each, is SQL (050_collections.sql). Source: contract of collections §3.4.

use std::collections::HashMap;

use pgrx::pg_sys::panic::ErrorReport;
use pgrx::prelude::*;
use serde_json::{Map, Value as Json, json};
use snackbase_core::schema::{self, Definition, IfExists, LIST_KEYS, RULE_KEYS};

use super::define::{Losses, alter, create, parse, require_superadmin};
use super::{catalog, load, locks};
use crate::error::Error;
use crate::json::JsonText;

/// Reads the body of an import, locks the names in it, and sorts its collections into groups that can be carried out one
/// after the other: targets first, cycles together.
#[pg_extern(volatile, parallel_unsafe)]
#[search_path(pg_catalog, pg_temp)]
fn _import_groups(body: JsonText) -> Result<JsonText, ErrorReport> {
    Ok(groups(&body.0)?)
}

/// Carries out one group: `[{"index", "name", "status", "message", "revision"}]`, or fails as a whole.
#[pg_extern(volatile, parallel_unsafe)]
#[search_path(pg_catalog, pg_temp)]
fn _import_group(group: JsonText) -> Result<JsonText, ErrorReport> {
    Ok(carry_out(&group.0)?)
}

fn groups(body: &str) -> Result<JsonText, Error> {
    require_superadmin()?;
    let import = schema::parse_import(&parse(body)?)?;
    let mut places: HashMap<String, usize> = HashMap::new();
    for (index, (name, _)) in import.items.iter().enumerate() {
        places.entry(name.to_ascii_lowercase()).or_insert(index);
    }
    let targets: Vec<Vec<&str>> = import
        .items
        .iter()
        .map(|(_, definition)| targets(definition))
        .collect();
    locks::names(
        import.items.iter().map(|(name, _)| name.as_str()),
        targets.iter().flatten().copied(),
    )?;
    let needs: Vec<Vec<usize>> = import
        .items
        .iter()
        .zip(&targets)
        .map(|((name, _), targets)| {
            // A name that comes twice waits for its first.
            [name.as_str()]
                .iter()
                .chain(targets)
                .filter_map(|target| places.get(&target.to_ascii_lowercase()).copied())
                .collect()
        })
        .collect();
    let if_exists = match import.if_exists {
        IfExists::Error => "error",
        IfExists::Skip => "skip",
        IfExists::Update => "update",
    };
    let groups: Vec<Json> = schema::in_order(&needs)
        .into_iter()
        .map(|group| {
            let items: Vec<Json> = group
                .into_iter()
                .map(|index| {
                    let (name, definition) = &import.items[index];
                    json!({"index": index, "name": name, "definition": definition})
                })
                .collect();
            json!({"if_exists": if_exists, "update_rules": import.update_rules, "items": items})
        })
        .collect();
    Ok(JsonText(
        json!({"atomic": import.atomic, "groups": groups}).to_string(),
    ))
}

/// The names that the fields of a definition refer to, as far as they can be read.
fn targets(definition: &Json) -> Vec<&str> {
    let fields = ["schema", "fields"]
        .into_iter()
        .find_map(|key| definition.get(key)?.as_array());
    fields
        .into_iter()
        .flatten()
        .filter_map(|field| field.get("collection")?.as_str())
        .collect()
}

fn carry_out(group: &str) -> Result<JsonText, Error> {
    require_superadmin()?;
    let group = parse(group)?;
    let items = group["items"].as_array().cloned().unwrap_or_default();
    let update_rules = group["update_rules"] == true;
    let several = items.len() > 1;
    let mut answers = Vec::new();
    let mut new: Vec<(Json, Definition)> = Vec::new();
    let mut changed: Vec<(Json, String)> = Vec::new();
    for item in items {
        let name = item["name"].as_str().unwrap_or_default().to_owned();
        match (catalog::name_of(&name)?, group["if_exists"].as_str()) {
            (None, _) => {
                let definition = read(&item, true).map_err(|error| named(error, &name, several))?;
                new.push((item, definition));
            }
            (Some(existing), Some("skip")) => {
                let message = format!("Collection '{existing}' exists already and was left alone");
                answers.push(answer(&item, "skipped", &message, None));
            }
            (Some(existing), Some("update")) => changed.push((item, existing)),
            (Some(existing), _) => {
                let message = format!("Collection '{existing}' exists already");
                answers.push(answer(&item, "error", &message, None));
            }
        }
    }
    let (items, definitions): (Vec<Json>, Vec<Definition>) = new.into_iter().unzip();
    let names: Vec<String> = definitions
        .iter()
        .map(|definition| definition.name.clone())
        .collect();
    let made = create(definitions).map_err(|(index, error)| named(error, &names[index], several))?;
    for (item, (collection, revision)) in items.iter().zip(made) {
        let message = format!("Collection '{}' was created", collection.definition.name);
        answers.push(answer(item, "imported", &message, Some(&revision)));
    }
    for (item, existing) in changed {
        let revision =
            update(&item, &existing, update_rules).map_err(|error| named(error, &existing, several))?;
        let message = format!("Collection '{existing}' was updated");
        answers.push(answer(&item, "updated", &message, revision.as_deref()));
    }
    Ok(JsonText(Json::from(answers).to_string()))
}

fn update(item: &Json, existing: &str, update_rules: bool) -> Result<Option<String>, Error> {
    let current = load(existing)?.1;
    let wanted = read(item, update_rules)?;
    let change = schema::DefinitionChange {
        fields: Some(wanted.fields),
        ..schema::DefinitionChange::default()
    };
    let mut base = current.definition.clone();
    if update_rules {
        base.rules = wanted.rules;
        base.options = wanted.options;
    }
    alter(&current, change.apply(&base)?, Losses::Refused)
}

/// The definition of an item; without its rules when they are not asked for.
fn read(item: &Json, with_rules: bool) -> Result<Definition, Error> {
    let mut members: Map<String, Json> = item["definition"].as_object().cloned().unwrap_or_default();
    if !with_rules {
        members.retain(|key, _| !RULE_KEYS.contains(&key.as_str()) && !LIST_KEYS.contains(&key.as_str()));
    }
    schema::parse_definition(&Json::Object(members)).map_err(|error| match error {
        // What is wrong in one collection of a file is not the form of the request.
        schema::DefinitionError::Shape(problems) | schema::DefinitionError::Semantic(problems) => {
            Error::Definition(problems)
        }
    })
}

/// Says whose error it is, where it could be one of several.
fn named(error: Error, name: &str, several: bool) -> Error {
    if several {
        Error::ImportFailed(format!("'{name}': {error}"))
    } else {
        error
    }
}

fn answer(item: &Json, status: &str, message: &str, revision: Option<&str>) -> Json {
    json!({"index": item["index"], "name": item["name"], "status": status, "message": message, "revision": revision})
}
