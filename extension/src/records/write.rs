//! Writing records: create, update, delete, one at a time.

use pgrx::PgTryBuilder;
use pgrx::datum::DatumWithOid;
use pgrx::pg_sys::panic::CaughtError;
use pgrx::prelude::*;
use snackbase_core::names::{constraint, quote};
use snackbase_core::records::{self, Mode, Rejection, Write};
use snackbase_core::schema::{FieldList, FieldType, Problem, Value, time};

use super::{admit, one_row};
use crate::collections::{self, Access, Collection};
use crate::context::Operation;
use crate::error::Error;
use crate::query::{self, uuid_value};
use crate::{json, signatures, spi};

pub fn create(name: &str, body: &str) -> Result<String, Error> {
    let collection = collections::open_for_writing(name)?;
    signatures::countersigned(&collection, || insert(&collection, body))
}

fn insert(collection: &Collection, body: &str) -> Result<String, Error> {
    let access = admit(collection, Operation::Create)?;
    let write = validated(collection, access, &parse(body)?, Mode::Create, true)?;
    let columns = query::projection(collection, Operation::Create, access, None)?;
    let (mut names, mut values, arguments) = assignments(collection, &write, 1);
    if let Some(account) = &write.account_id {
        names.push("account_id".to_owned());
        values.push(format!("'{}'::uuid", uuid_text(account)?));
    }
    let source = if names.is_empty() {
        "default values".to_owned()
    } else {
        format!("({}) values ({})", names.join(", "), values.join(", "))
    };
    let statement = format!(
        "insert into {} {source} returning {}",
        collection.relation, columns.select
    );
    run_write(collection, &statement, &arguments, |rows| {
        one_row(rows, &columns.members)
    })?
    .ok_or_else(|| Error::Internal("INSERT returned no row".into()))
}

pub fn update(name: &str, id: &str, body: &str, mode: Mode, if_match: Option<&str>) -> Result<String, Error> {
    let collection = collections::open_for_writing(name)?;
    signatures::countersigned(&collection, || change(&collection, id, body, mode, if_match))
}

fn change(
    collection: &Collection,
    id: &str,
    body: &str,
    mode: Mode,
    if_match: Option<&str>,
) -> Result<String, Error> {
    let found = uuid_value(id);
    let exists = |collection: &Collection| -> Result<bool, Error> {
        let Some(id) = found else { return Ok(false) };
        let statement = format!("select 1 from {} where id = $1", collection.relation);
        spi::select(&statement, &[id.into()], |rows| Ok(!rows.is_empty()))
    };
    // A record that does not exist is reported before anything about the body or the rule.
    let prepared = admit(collection, Operation::Update)
        .and_then(|access| Ok((access, validated(collection, access, &parse(body)?, mode, false)?)));
    let (access, write) = match prepared {
        Ok(prepared) => prepared,
        Err(error) => {
            return Err(if exists(collection)? {
                error
            } else {
                Error::RecordNotFound
            });
        }
    };
    let id = found.ok_or(Error::RecordNotFound)?;
    if let Some(if_match) = if_match {
        // The lock takes the update policy along: who may not change the record does not learn when it was changed.
        let statement = format!(
            "select updated_at from {} where id = $1 for no key update",
            collection.relation
        );
        let updated_at =
            spi::update(&statement, &[id.into()], spi::first_value)?.ok_or(Error::RecordNotFound)?;
        require_match(if_match, updated_at)?;
    }
    let columns = query::projection(collection, Operation::Update, access, None)?;
    let (names, values, mut arguments) = assignments(collection, &write, 2);
    arguments.insert(0, id.into());
    let mut sets: Vec<String> = names
        .iter()
        .zip(&values)
        .map(|(name, value)| format!("{name} = {value}"))
        .collect();
    if sets.is_empty() {
        // Nothing given still counts as a change: z_stamp sets who and when.
        sets.push("updated_at = updated_at".to_owned());
    }
    let statement = format!(
        "update {} set {} where id = $1 returning {}",
        collection.relation,
        sets.join(", "),
        columns.select
    );
    run_write(collection, &statement, &arguments, |rows| {
        one_row(rows, &columns.members)
    })?
    .ok_or(Error::RecordNotFound)
}

pub fn delete(name: &str, id: &str, if_match: Option<&str>) -> Result<(), Error> {
    let collection = collections::open_for_writing(name)?;
    signatures::countersigned(&collection, || remove(&collection, id, if_match))
}

fn remove(collection: &Collection, id: &str, if_match: Option<&str>) -> Result<(), Error> {
    let id = uuid_value(id).ok_or(Error::RecordNotFound)?;
    if let Err(error) = admit(collection, Operation::Delete) {
        let statement = format!("select 1 from {} where id = $1", collection.relation);
        let exists = spi::select(&statement, &[id.into()], |rows| Ok(!rows.is_empty()))?;
        return Err(if exists { error } else { Error::RecordNotFound });
    }
    let statement = format!(
        "delete from {} where id = $1 returning updated_at",
        collection.relation
    );
    let deleted = run_write(collection, &statement, &[id.into()], spi::first_value)?;
    let updated_at = deleted.ok_or(Error::RecordNotFound)?;
    // A refusal takes the deletion back, with the transaction.
    if_match.map_or(Ok(()), |if_match| require_match(if_match, updated_at))
}

/// `If-Match` names the `updated_at` of the record as the caller read it, in quotes or not (RFC 9110, §13.1.1); `*` is any.
fn require_match(if_match: &str, updated_at: TimestampWithTimeZone) -> Result<(), Error> {
    let current = time::parse_datetime(&json::timestamp_micros_text(updated_at));
    let is_current = |tag: &str| {
        let tag = tag.trim().trim_matches('"');
        tag == "*" || (current.is_some() && time::parse_datetime(tag) == current)
    };
    if if_match.split(',').any(is_current) {
        Ok(())
    } else {
        Err(Error::Changed)
    }
}

/// A body as JSON.
pub fn parse(body: &str) -> Result<serde_json::Value, Error> {
    serde_json::from_str(body)
        .map_err(|e| Error::Shape(vec![Problem::new("body", "json_invalid", e.to_string())]))
}

/// What a body writes. `may_name_account`: a superadmin may say which account a new record is for.
pub fn validated(
    collection: &Collection,
    access: Access<'_>,
    body: &serde_json::Value,
    mode: Mode,
    may_name_account: bool,
) -> Result<Write, Error> {
    let (allowed, superadmin) = match access {
        Access::Everything => (&FieldList::All, true),
        Access::Listed(list) => (list, false),
    };
    let names_account = superadmin && may_name_account;
    let mut write = records::validate(body, &collection.definition.fields, allowed, mode, names_account)?;
    // A default of a field the caller may not set: on create the column's own default does it, PUT leaves it alone.
    write
        .values
        .retain(|(index, _)| allowed.allows(&collection.definition.fields[*index].name));
    Ok(write)
}

impl From<Rejection> for Error {
    fn from(rejection: Rejection) -> Error {
        match rejection {
            Rejection::Invalid(problems) => Error::Invalid(problems),
            Rejection::NotAnObject => Error::Shape(vec![Problem::new(
                "body",
                "invalid_type",
                "The body must be a JSON object",
            )]),
            Rejection::FieldAccess { .. } => Error::FieldAccess(rejection.to_json()),
        }
    }
}

/// Column names, value expressions and parameters (numbered from `first`) of a write.
fn assignments<'a>(
    collection: &Collection,
    write: &'a Write,
    first: usize,
) -> (Vec<String>, Vec<String>, Vec<DatumWithOid<'a>>) {
    let (mut names, mut values, mut arguments) = (Vec::new(), Vec::new(), Vec::new());
    for (index, value) in &write.values {
        let field = &collection.definition.fields[*index];
        let number = first + arguments.len();
        names.push(quote(&field.name));
        // The parameter's type follows from the field alone, so one plan serves NULL and values.
        let (expression, argument): (String, DatumWithOid) = match field.field_type {
            FieldType::Number => (format!("${number}"), number_of(value).into()),
            FieldType::Boolean => (format!("${number}"), boolean_of(value).into()),
            FieldType::Reference | FieldType::User => {
                (format!("${number}"), text_of(value).and_then(uuid_value).into())
            }
            FieldType::Datetime => (format!("${number}::timestamptz"), text_of(value).into()),
            FieldType::Date => (format!("${number}::date"), text_of(value).into()),
            FieldType::Json | FieldType::File => (format!("${number}::jsonb"), text_of(value).into()),
            _ => (format!("${number}"), text_of(value).into()),
        };
        values.push(expression);
        arguments.push(argument);
    }
    (names, values, arguments)
}

pub fn text_of(value: &Value) -> Option<&str> {
    match value {
        Value::Text(text)
        | Value::Datetime(text)
        | Value::Date(text)
        | Value::Uuid(text)
        | Value::Json(text) => Some(text),
        Value::Null | Value::Number(_) | Value::Boolean(_) => None,
    }
}

pub fn number_of(value: &Value) -> Option<f64> {
    if let Value::Number(number) = value {
        Some(*number)
    } else {
        None
    }
}

pub fn boolean_of(value: &Value) -> Option<bool> {
    if let Value::Boolean(value) = value {
        Some(*value)
    } else {
        None
    }
}

/// A uuid as the text that a statement may hold.
fn uuid_text(text: &str) -> Result<String, Error> {
    text.parse::<uuid::Uuid>()
        .map(|id| id.to_string())
        .map_err(|_| Error::Malformed("account_id: not a uuid".into()))
}

/// Runs a writing statement and gives constraint violations the words of the contract.
pub fn run_write<R>(
    collection: &Collection,
    statement: &str,
    arguments: &[DatumWithOid],
    read: impl FnOnce(spi::Rows<'_>) -> Result<R, Error>,
) -> Result<R, Error> {
    use std::panic::AssertUnwindSafe;
    // What the closure captures is not used again after an unwind: the transaction is aborted and the error re-raised.
    let collection = AssertUnwindSafe(collection);
    PgTryBuilder::new(AssertUnwindSafe(|| spi::update(statement, arguments, read)))
        .catch_when(
            PgSqlErrorCode::ERRCODE_INSUFFICIENT_PRIVILEGE,
            |cause| match cause {
                // Field access was checked before, so what row security refuses here is the new row.
                CaughtError::PostgresError(report) if report.message().contains("row-level security") => {
                    Err(Error::RuleDenied)
                }
                other => other.rethrow(),
            },
        )
        // The part of the update rule that a trigger judges.
        .catch_when(PgSqlErrorCode::ERRCODE_WITH_CHECK_OPTION_VIOLATION, |_| {
            Err(Error::RuleDenied)
        })
        .catch_when(PgSqlErrorCode::ERRCODE_UNIQUE_VIOLATION, |cause| {
            violated(
                *collection,
                cause,
                "key",
                "not_unique",
                "must be unique: another record has this value",
            )
        })
        .catch_when(PgSqlErrorCode::ERRCODE_FOREIGN_KEY_VIOLATION, |cause| {
            violated(
                *collection,
                cause,
                "fkey",
                "invalid_reference",
                "refers to nothing in this account",
            )
        })
        .catch_when(PgSqlErrorCode::ERRCODE_RESTRICT_VIOLATION, |_| {
            Err(Error::RecordReferenced)
        })
        .execute()
}

/// Finds the field whose constraint the message names. (Of a Postgres error, the frames in between keep the message but
/// not the constraint's own field; the name is looked for as a whole, in quotes of any language.)
fn violated<R>(
    collection: &Collection,
    cause: CaughtError,
    suffix: &str,
    code: &'static str,
    text: &str,
) -> Result<R, Error> {
    let CaughtError::PostgresError(report) = &cause else {
        cause.rethrow()
    };
    let message = report.message();
    let names =
        |name: &str| message.contains(&format!("\"{name}\"")) || message.contains(&format!("«{name}»"));
    let field = collection
        .definition
        .fields
        .iter()
        .find(|field| names(&constraint(&collection.table, &field.name, suffix)));
    match field {
        // A violation of another table's key: that table refers to this record.
        None if suffix == "fkey" => Err(Error::RecordReferenced),
        None => cause.rethrow(),
        Some(field) => Err(Error::Invalid(vec![Problem::new(
            &field.name,
            code,
            format!("{} {text}", field.name),
        )])),
    }
}
