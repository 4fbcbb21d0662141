//! Rules under examination: are they valid, what do they say about an invented record, and why does somebody see a record
//! or not. Nothing here evaluates a rule by itself: the compiler writes SQL and Postgres answers.

mod record;
mod trial;

use pgrx::pg_sys::panic::ErrorReport;
use pgrx::prelude::*;
use serde_json::{Value as Json, json};
use snackbase_core::rules::{self, Clause, Schema};

use crate::collections::{self, Access, rule_schema};
use crate::context::{Context, Operation};
use crate::error::Error;
use crate::json::JsonText;
use crate::macros::Registry;
use crate::{guc, spi};

/// Whether a rule compiles; `docs/sql-api.md` §7.
#[pg_extern(volatile, parallel_unsafe)]
fn rules_validate(
    rule: &str,
    operation: &str,
    fields: Option<JsonText>,
    collection: Option<&str>,
) -> Result<JsonText, ErrorReport> {
    let fields = fields.map(|fields| fields.0);
    Ok(validate(rule, operation, fields.as_deref(), collection)?)
}

/// What a rule says about an invented record and caller; `docs/sql-api.md` §7.
#[pg_extern(volatile, parallel_unsafe)]
fn rules_test(rule: &str, context: JsonText) -> Result<JsonText, ErrorReport> {
    let _reading = guc::ReadOnly::begin();
    require_superadmin()?;
    let trial = trial::run(rule, &context.0)?;
    Ok(JsonText(json!({"result": trial.value == Some(true)}).to_string()))
}

/// The same in the words of the roles' routes; a rule that does not compile is an answer, not an error.
#[pg_extern(volatile, parallel_unsafe)]
fn role_rule_test(rule: &str, context: JsonText) -> Result<JsonText, ErrorReport> {
    let _reading = guc::ReadOnly::begin();
    require_superadmin()?;
    let answer = match trial::run(rule, &context.0) {
        Ok(trial) => json!({
            "allowed": trial.value == Some(true),
            "evaluation_details": {"value": trial.value, "clauses": trial.clauses},
        }),
        Err(Error::Expression { errors, .. }) => json!({"allowed": false, "error": rules::summary(&errors)}),
        Err(error) => return Err(error.into()),
    };
    Ok(JsonText(answer.to_string()))
}

/// Why a caller is admitted to a record or not; `docs/sql-api.md` §7.
#[pg_extern(volatile, parallel_unsafe)]
fn explain_rule(
    collection: &str,
    operation: &str,
    record_id: &str,
    caller: JsonText,
) -> Result<JsonText, ErrorReport> {
    let _reading = guc::ReadOnly::begin();
    require_superadmin()?;
    Ok(record::explain(collection, operation, record_id, &caller.0)?)
}

fn require_superadmin() -> Result<(), Error> {
    if Context::current().is_superadmin() || guc::is_session_superuser() {
        Ok(())
    } else {
        Err(Error::SuperadminRequired)
    }
}

fn operation_of(name: &str) -> Result<Operation, Error> {
    Operation::ALL
        .into_iter()
        .find(|operation| operation.name() == name)
        .ok_or_else(|| Error::Malformed("operation is list, view, create, update or delete".into()))
}

fn validate(
    rule: &str,
    operation: &str,
    fields: Option<&str>,
    collection: Option<&str>,
) -> Result<JsonText, Error> {
    require_superadmin()?;
    let operation = operation_of(operation)?.in_rules();
    let registry = Registry::load_for([rule])?;
    let findings = match (collection, fields) {
        (Some(name), _) => {
            let collection = collections::open(name)?;
            let schema = rule_schema(&collection, Access::Everything, false);
            rules::validate_in(rule, operation, &schema, &registry)
        }
        (None, Some(fields)) => {
            let names: Vec<String> = serde_json::from_str(fields)
                .map_err(|_| Error::Malformed("fields is a list of names".into()))?;
            let names: Vec<&str> = names.iter().map(String::as_str).collect();
            rules::validate(rule, operation, &names, &registry)
        }
        (None, None) => rules::validate_in(rule, operation, &Schema::open(), &registry),
    };
    let mut answer = json!({"valid": findings.errors.is_empty()});
    if !findings.errors.is_empty() {
        let texts: Vec<String> = findings.errors.iter().map(ToString::to_string).collect();
        answer["errors"] = json!(texts);
    }
    if !findings.warnings.is_empty() {
        let texts: Vec<String> = findings.warnings.iter().map(ToString::to_string).collect();
        answer["warnings"] = json!(texts);
    }
    let diagnostics: Vec<&rules::Error> = findings.errors.iter().chain(&findings.warnings).collect();
    answer["diagnostics"] = json!(diagnostics);
    Ok(JsonText(answer.to_string()))
}

/// The SQL of a clause and of everything below it, in reading order.
fn conditions<'a>(clause: &'a Clause, all: &mut Vec<&'a str>) {
    all.push(&clause.sql);
    clause.parts.iter().for_each(|part| conditions(part, all));
}

/// A clause with its value and those of its parts; `values` are in the order of [`conditions`].
fn valued(clause: &Clause, values: &mut impl Iterator<Item = Option<bool>>) -> Json {
    let mut object = json!({"text": clause.text});
    if let Some((position, length)) = clause.place {
        object["position"] = json!(position);
        object["length"] = json!(length);
    }
    object["value"] = json!(values.next().flatten());
    if let Some(word) = clause.joint.word() {
        let parts: Vec<Json> = clause.parts.iter().map(|part| valued(part, values)).collect();
        object[word] = json!(parts);
    }
    object
}

/// Asks Postgres for the value of a clause and of all its parts; `from` says over which rows.
fn value_of(clause: &Clause, from: &str, arguments: Vec<Option<String>>) -> Result<Json, Error> {
    let mut all = Vec::new();
    conditions(clause, &mut all);
    let list: Vec<String> = all.iter().map(|sql| format!("({sql})")).collect();
    let statement = format!("select array[{}]::boolean[] {from}", list.join(", "));
    let values = spi::select_once(&statement, arguments, spi::first_value::<Vec<Option<bool>>>)?;
    let values = values.unwrap_or_default();
    Ok(valued(clause, &mut values.into_iter()))
}
