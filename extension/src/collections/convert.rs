//! Fields that change their type. The trail keeps the texts of values, so what a record says and what the trail says must
//! stay the same text: the column becomes text first (the text that was recorded), then an ordinary UPDATE in the name of the
//! caller brings each text into the form of the new type, which the trail records like any other change, and then the
//! column gets its type.

use pgrx::prelude::*;
use snackbase_core::names::{quote, quote_literal};
use snackbase_core::schema::{Change, Field, FieldType, retype};

use super::Collection;
use crate::error::Error;
use crate::json;
use crate::spi;

/// The text of a value of one field type as text of another; NULL when it is none. See [`retype`].
#[pg_extern(immutable, strict, parallel_safe)]
fn _retype(image: &str, from_type: &str, to_type: &str) -> Option<String> {
    retype(
        image,
        FieldType::from_name(from_type)?,
        FieldType::from_name(to_type)?,
    )
}

/// A moment as the trail writes it.
#[pg_extern(immutable, strict, parallel_safe)]
fn _instant_text(instant: TimestampWithTimeZone) -> String {
    json::timestamp_micros_text(instant)
}

/// The text that the trail has of a value: an expression over an expression.
fn image(value: &str, field_type: FieldType) -> String {
    match field_type {
        FieldType::Datetime => format!("snackbase._instant_text({value})"),
        other if other.text_like() => value.to_owned(),
        // A cast of a boolean says true or false, of everything else what the output function prints.
        _ => format!("({value})::text"),
    }
}

fn retyped(image: &str, before: &Field, field: &Field) -> String {
    format!(
        "snackbase._retype({image}, {}, {})",
        quote_literal(before.field_type.name()),
        quote_literal(field.field_type.name())
    )
}

fn sql_type(field: &Field) -> &'static str {
    field.field_type.sql_type().unwrap_or("text")
}

/// The condition of a record `r` whose value is none of the new type.
pub fn fails(before: &Field, field: &Field) -> String {
    let column = format!("r.{}", quote(&field.name));
    let text = retyped(&image(&column, before.field_type), before, field);
    format!("{column} is not null and {text} is null")
}

/// The value of a record `r` after the change.
pub fn converted(before: &Field, field: &Field) -> String {
    let column = format!("r.{}", quote(&field.name));
    let text = retyped(&image(&column, before.field_type), before, field);
    format!("({text})::{}", sql_type(field))
}

/// Whether the column stays as it is: text is text, whatever its form.
fn same_column(before: &Field, field: &Field) -> bool {
    sql_type(before) == sql_type(field)
}

/// The first part: the column as the texts of the trail. Constraints and default are gone by now.
pub fn to_text(before: &Field, field: &Field) -> Option<String> {
    let column = quote(&field.name);
    (!same_column(before, field) && sql_type(before) != "text").then(|| {
        format!(
            "alter column {column} type text using {}",
            image(&column, before.field_type)
        )
    })
}

/// The second part, in the name of the caller: the texts of the new type.
///
/// # Errors
/// Those of the triggers; 42501 when the caller may not write.
pub fn rewrite(collection: &Collection, steps: &[Change<'_>]) -> Result<(), Error> {
    for step in steps {
        let Change::SetType(before, field) = *step else {
            continue;
        };
        if same_column(before, field) {
            continue;
        }
        let column = quote(&field.name);
        let value = format!("({})::{}", retyped(&column, before, field), sql_type(field));
        let text = image(&value, field.field_type);
        spi::update(
            &format!(
                "update {} set {column} = {text} where {column} is distinct from {text}",
                collection.relation
            ),
            &[],
            |_| Ok(()),
        )?;
    }
    Ok(())
}

/// The last part: the column with its new type. Constraints and default come after.
pub fn from_text(before: &Field, field: &Field) -> Option<String> {
    let column = quote(&field.name);
    (!same_column(before, field) && sql_type(field) != "text").then(|| {
        let sql_type = sql_type(field);
        format!("alter column {column} type {sql_type} using {column}::{sql_type}")
    })
}
