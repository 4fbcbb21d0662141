//! The rows that describe collections: definitions, rules, and the log of schema changes.

use serde_json::{Value as Json, json};
use snackbase_core::schema::{Change, Definition, Field, FieldType, Problem, Rules};

use super::Collection;
use crate::error::Error;
use crate::json::JsonText;
use crate::spi::{self, Rows};

/// The collection as `collection_view` shows it.
pub fn show(id: &str) -> Result<JsonText, Error> {
    text_of("select snackbase.collection_view($1)::text", id)
}

/// Its rules as `collection_rules_view` shows them.
pub fn show_rules(id: &str) -> Result<JsonText, Error> {
    text_of("select snackbase.collection_rules_view($1)::text", id)
}

fn text_of(statement: &str, id: &str) -> Result<JsonText, Error> {
    spi::select_latest(statement, &[id.into()], |rows| {
        Ok(JsonText(rows.first().get_one::<String>()?.unwrap_or_default()))
    })
}

/// The name of the collection that has this name in any case.
pub fn name_of(wanted: &str) -> Result<Option<String>, Error> {
    spi::select_latest(
        "select c.name from snackbase.collections c where lower(c.name) = lower($1)",
        &[wanted.into()],
        |rows| {
            let name = rows.into_iter().next().map(|row| row.get::<String>(1));
            Ok(name.transpose()?.flatten())
        },
    )
}

/// Two names that differ by case would share a table.
///
/// # Errors
/// [`Error::Conflict`].
pub fn refuse_taken(name: &str) -> Result<(), Error> {
    match name_of(name)? {
        Some(existing) => Err(Error::Conflict {
            message: format!("Collection '{existing}' exists already"),
            field: "name",
        }),
        None => Ok(()),
    }
}

/// References name collections that exist; they are stored in the case of the target's own name.
///
/// # Errors
/// [`Error::Definition`], code `reference_collection_not_found`.
pub fn resolve_references(mut definition: Definition) -> Result<Definition, Error> {
    let own_name = definition.name.clone();
    let mut problems = Vec::new();
    for (index, field) in definition.fields.iter_mut().enumerate() {
        let (FieldType::Reference, Some(wanted)) = (field.field_type, field.collection.clone()) else {
            continue;
        };
        let target = if wanted.eq_ignore_ascii_case(&own_name) {
            Some(own_name.clone())
        } else {
            name_of(&wanted)?
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
///
/// # Errors
/// [`Error::Definition`], code `encryption_not_available`.
pub fn refuse_encryption(fields: &[Field]) -> Result<(), Error> {
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

/// Writes a new definition and its rules; returns its id.
pub fn insert(definition: &Definition) -> Result<String, Error> {
    let id = spi::update(
        "insert into snackbase.collections (name, schema, options) values ($1, $2::json, $3::json) returning id::text",
        &[
            definition.name.as_str().into(),
            definition.schema_json().to_string().into(),
            definition.options.to_json().to_string().into(),
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

/// Writes a changed definition and its rules.
pub fn store(collection: &Collection) -> Result<(), Error> {
    spi::update(
        "update snackbase.collections set schema = $2::json, revision = $3, options = $4::json where id = $1::uuid",
        &[
            collection.id.as_str().into(),
            collection.definition.schema_json().to_string().into(),
            collection.revision.into(),
            collection.definition.options.to_json().to_string().into(),
        ],
        |_| Ok(()),
    )?;
    store_rules(&collection.id, &collection.definition.rules)
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

/// Removes a definition and its rules.
pub fn delete(id: &str) -> Result<(), Error> {
    spi::update(
        "delete from snackbase.collections where id = $1::uuid",
        &[id.into()],
        |_| Ok(()),
    )
}

/// Collections and fields that refer to a collection, without its own.
pub fn referring(collection: &Collection) -> Result<Vec<(String, String)>, Error> {
    spi::select_latest(
        "select c.name, f ->> 'name'
           from snackbase.collections c
          cross join lateral json_array_elements(c.schema) f
          where f ->> 'type' = 'reference' and lower(f ->> 'collection') = lower($1) and c.id <> $2::uuid
          order by 1, 2",
        &[
            collection.definition.name.as_str().into(),
            collection.id.as_str().into(),
        ],
        |rows: Rows<'_>| {
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

/// Writes an entry into the log of schema changes and returns its id, the revision.
pub fn log(collection: &Collection, operation: &str, fields: &[Json]) -> Result<String, Error> {
    spi::update(
        "insert into snackbase.migrations (collection_id, collection, operation, fields)
              values ($1::uuid, $2, $3, $4::json) returning id::text",
        &[
            collection.id.as_str().into(),
            collection.definition.name.as_str().into(),
            operation.into(),
            Json::from(fields).to_string().into(),
        ],
        |rows| Ok(rows.first().get_one::<String>()?.unwrap_or_default()),
    )
}

/// What the log says of the steps of a change.
pub fn log_fields(steps: &[Change<'_>]) -> Vec<Json> {
    let mut fields: Vec<Json> = Vec::new();
    for step in steps {
        let (change, field) = match *step {
            Change::AddField(field) => ("add", field),
            Change::DropField(field) => ("drop", field),
            Change::SetType(_, field) => ("retype", field),
            Change::SetRequired(field)
            | Change::DropRequired(field)
            | Change::AddUnique(field)
            | Change::DropUnique(field)
            | Change::AddIndex(field, _)
            | Change::DropIndex(field, _)
            | Change::SetDefault(field)
            | Change::DropDefault(field)
            | Change::SetReference(_, field)
            | Change::Metadata(field) => ("change", field),
        };
        let entry = json!({"change": change, "field": field.name, "type": field.field_type.name()});
        if fields.last() != Some(&entry) {
            fields.push(entry);
        }
    }
    fields
}
