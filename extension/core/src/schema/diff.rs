//! The difference between two lists of fields, as what has to be done to the table.

use super::{Field, Index, Problem, default_sql};
use crate::names;

/// One step from the old fields to the new ones. Each holds the field as it will be, unless it says otherwise.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Change<'a> {
    /// Add the column, with default, NOT NULL, unique constraint and foreign key as the field says. The rows that exist
    /// get the default; a required field without one needs an empty table.
    AddField(&'a Field),
    /// Drop the column with everything that hangs on it. Holds the field as it was.
    DropField(&'a Field),
    /// Give the column another type, and constraints and default as the field says. Holds the field as it was, too.
    SetType(&'a Field, &'a Field),
    /// Add NOT NULL.
    SetRequired(&'a Field),
    /// Drop NOT NULL.
    DropRequired(&'a Field),
    /// Add the unique constraint.
    AddUnique(&'a Field),
    /// Drop the unique constraint.
    DropUnique(&'a Field),
    /// Add an index.
    AddIndex(&'a Field, Index),
    /// Drop an index.
    DropIndex(&'a Field, Index),
    /// Set the column default to [`default_sql`]; existing rows keep their values.
    SetDefault(&'a Field),
    /// Drop the column default.
    DropDefault(&'a Field),
    /// Replace the foreign key: another target or another action. Holds the field as it was, too.
    SetReference(&'a Field, &'a Field),
    /// Nothing to do to the table: options, masks, expressions, the spelling of a default, a new computed field. What is
    /// derived from the definition (views, policies) may have to be made again. May come beside another step.
    Metadata(&'a Field),
}

/// What has to be done to a table whose collection had the fields `old` and shall have `new`, in the order of `new`.
/// A mere change of order needs nothing and gives no steps, but the new list is the one to store.
///
/// # Errors
/// All that a definition cannot do: `field_deletion_not_allowed` (a rename is one too), `type_change_not_allowed`,
/// `encryption_state_change_requires_migration`.
pub fn diff<'a>(old: &'a [Field], new: &'a [Field]) -> Result<Vec<Change<'a>>, Vec<Problem>> {
    let mut problems = Vec::new();
    for field in old.iter().filter(|field| find(new, field).is_none()) {
        let message = format!("Field deletion is not allowed here: '{}' is missing", field.name);
        problems.push(Problem::new("schema", "field_deletion_not_allowed", message));
    }
    for (i, field) in new.iter().enumerate() {
        if let Some(before) = find(old, field)
            && before.field_type != field.field_type
        {
            let message = format!(
                "A type change is not allowed here: '{}' is {}, not {}",
                field.name,
                before.field_type.name(),
                field.field_type.name()
            );
            problems.push(Problem::new(
                format!("schema[{i}].type"),
                "type_change_not_allowed",
                message,
            ));
        }
    }
    match rebuild(old, new) {
        Ok(changes) if problems.is_empty() => Ok(changes),
        Ok(_) => Err(problems),
        Err(more) => {
            problems.extend(more);
            Err(problems)
        }
    }
}

/// As [`diff()`], and with the steps that lose values: fields that are missing in `new` are dropped (first of all), types
/// are changed. A field that becomes computed, or was, is dropped and added.
///
/// # Errors
/// `encryption_state_change_requires_migration`.
pub fn rebuild<'a>(old: &'a [Field], new: &'a [Field]) -> Result<Vec<Change<'a>>, Vec<Problem>> {
    let mut problems = Vec::new();
    let mut changes: Vec<Change<'a>> = old
        .iter()
        .filter(|field| field.is_stored() && find(new, field).is_none_or(|successor| !successor.is_stored()))
        .map(Change::DropField)
        .collect();
    for (i, field) in new.iter().enumerate() {
        match find(old, field).filter(|before| before.is_stored() == field.is_stored()) {
            None if field.is_stored() => changes.push(Change::AddField(field)),
            None => changes.push(Change::Metadata(field)),
            Some(before) if before.encrypted != field.encrypted => {
                let message = format!(
                    "Encryption of '{}' can only be changed by the encryption route",
                    field.name
                );
                problems.push(Problem::new(
                    format!("schema[{i}].encrypted"),
                    "encryption_state_change_requires_migration",
                    message,
                ));
            }
            Some(before) if before.field_type != field.field_type => {
                changes.push(Change::SetType(before, field));
            }
            Some(before) => compare(before, field, &mut changes),
        }
    }
    if problems.is_empty() {
        Ok(changes)
    } else {
        Err(problems)
    }
}

/// The field of the same name.
fn find<'a>(fields: &'a [Field], wanted: &Field) -> Option<&'a Field> {
    fields.iter().find(|field| field.name == wanted.name)
}

/// The steps for one field that keeps its type.
fn compare<'a>(before: &'a Field, field: &'a Field, changes: &mut Vec<Change<'a>>) {
    match (default_sql(before), default_sql(field)) {
        (Some(_), None) => changes.push(Change::DropDefault(field)),
        (old, Some(new)) if old.as_ref() != Some(&new) => changes.push(Change::SetDefault(field)),
        _ => {}
    }
    match (before.required, field.required) {
        (false, true) => changes.push(Change::SetRequired(field)),
        (true, false) => changes.push(Change::DropRequired(field)),
        _ => {}
    }
    match (before.unique, field.unique) {
        (false, true) => changes.push(Change::AddUnique(field)),
        (true, false) => changes.push(Change::DropUnique(field)),
        _ => {}
    }
    if before.index() != field.index() {
        changes.extend(before.index().map(|index| Change::DropIndex(field, index)));
        changes.extend(field.index().map(|index| Change::AddIndex(field, index)));
    }
    if before.target() != field.target() || before.delete_action() != field.delete_action() {
        changes.push(Change::SetReference(before, field));
    }
    // A default that is written differently but means the same leaves the column alone.
    let respelled = before.default != field.default && default_sql(before) == default_sql(field);
    if respelled
        || before.options != field.options
        || before.mask() != field.mask()
        || before.mask_type != field.mask_type
        || before.expression != field.expression
        || before.return_type != field.return_type
    {
        changes.push(Change::Metadata(field));
    }
}

impl Field {
    /// The table that a reference points into, without schema and unquoted: `users` for a user field.
    pub fn target(&self) -> Option<String> {
        match self.field_type {
            super::FieldType::User => Some("users".to_owned()),
            super::FieldType::Reference => self.collection.as_deref().map(names::table),
            _ => None,
        }
    }
}
