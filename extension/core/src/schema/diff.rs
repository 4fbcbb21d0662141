//! The difference between two lists of fields, as what has to be done to the table.

use super::{Field, Problem, default_sql};
use crate::names;

/// One step from the old fields to the new ones. Each holds the field as it will be.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Change<'a> {
    /// Add the column, with default, NOT NULL, unique constraint and foreign key as the field says. The rows that exist
    /// get the default; a required field without one needs an empty table.
    AddField(&'a Field),
    /// Add NOT NULL.
    SetRequired(&'a Field),
    /// Drop NOT NULL.
    DropRequired(&'a Field),
    /// Add the unique constraint.
    AddUnique(&'a Field),
    /// Drop the unique constraint.
    DropUnique(&'a Field),
    /// Set the column default to [`default_sql`]; existing rows keep their values.
    SetDefault(&'a Field),
    /// Drop the column default.
    DropDefault(&'a Field),
    /// Replace the foreign key: another target or another action.
    SetReference(&'a Field),
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
pub fn diff<'a>(old: &[Field], new: &'a [Field]) -> Result<Vec<Change<'a>>, Vec<Problem>> {
    let mut problems = Vec::new();
    for field in old
        .iter()
        .filter(|field| !new.iter().any(|other| other.name == field.name))
    {
        let message = format!("Field deletion is not allowed here: '{}' is missing", field.name);
        problems.push(Problem::new("schema", "field_deletion_not_allowed", message));
    }
    let mut changes = Vec::new();
    for (i, field) in new.iter().enumerate() {
        let Some(before) = old.iter().find(|other| other.name == field.name) else {
            changes.push(if field.is_stored() {
                Change::AddField(field)
            } else {
                Change::Metadata(field)
            });
            continue;
        };
        if before.field_type != field.field_type {
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
        } else if before.encrypted != field.encrypted {
            let message = format!(
                "Encryption of '{}' can only be changed by the encryption route",
                field.name
            );
            let path = format!("schema[{i}].encrypted");
            problems.push(Problem::new(
                path,
                "encryption_state_change_requires_migration",
                message,
            ));
        } else {
            compare(before, field, &mut changes);
        }
    }
    if problems.is_empty() {
        Ok(changes)
    } else {
        Err(problems)
    }
}

/// The steps for one field that keeps its type.
fn compare<'a>(before: &Field, field: &'a Field, changes: &mut Vec<Change<'a>>) {
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
    let target = |field: &Field| field.collection.as_deref().map(names::table);
    if target(before) != target(field) || before.delete_action() != field.delete_action() {
        changes.push(Change::SetReference(field));
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
