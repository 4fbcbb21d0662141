//! A rule against a record, data and caller that somebody made up (contract `rules.md` §2).
//!
//! | Key of the context | Meaning |
//! |---|---|
//! | `auth` | `{id, email, role, account_id, groups}`; null is a visitor, absent is somebody of whom nothing is known |
//! | `record` | the record; without it, all other keys are its fields |
//! | `data` | what is about to be written; fields that it does not name keep the record's value |
//! | `operation` | default `list`, or `update` when there are data |
//! | `collection` | gives fields their types; without it they follow from the values |
//!
//! The transaction is read-only (900_privileges.sql) and the time is limited. A value that does not fit its type is reported in
//! our words: PostgreSQL's would carry it into the log.

use std::panic::AssertUnwindSafe;

use pgrx::PgTryBuilder;
use pgrx::pg_sys::panic::CaughtError;
use serde_json::{Map, Value as Json};
use snackbase_core::rules::{self, Column, Kind, Rule, Schema};

use super::{operation_of, value_of};
use crate::caller::{Identity, Trial as Caller};
use crate::collections::{self, Access, rule_schema};
use crate::context::Operation;
use crate::error::{Error, state_of};
use crate::macros::Registry;
use crate::{guc, spi};

const LIMIT_MS: i32 = 1000;

/// What came of it.
pub struct Outcome {
    /// NULL is None.
    pub value: Option<bool>,
    /// Every clause with its value; null for a rule that has none.
    pub clauses: Json,
}

struct Context {
    identity: Identity,
    visitor: bool,
    record: Map<String, Json>,
    data: Map<String, Json>,
    operation: Operation,
    collection: Option<String>,
}

/// Runs a trial.
///
/// # Errors
/// [`Error::Expression`] when the rule does not compile, [`Error::Malformed`] when the context does not fit or time is up.
pub fn run(rule: &str, context: &str) -> Result<Outcome, Error> {
    let context = read(context)?;
    if rule.is_empty() {
        return Ok(Outcome {
            value: Some(true),
            clauses: Json::Null,
        });
    }
    let registry = Registry::load_for([rule])?;
    let operation = context.operation.in_rules();
    let schema = schema_of(&context, rule, &registry)?;
    let compile = |errors| Error::Expression {
        title: "Invalid rule expression",
        errors,
    };
    let predicate = match rules::compile_rule(rule, operation, &schema, &registry).map_err(compile)? {
        Rule::Predicate(predicate) => predicate,
        Rule::Public => return Err(Error::Internal("a rule with text is not public".into())),
    };
    let clause = rules::clauses(rule, operation, &schema, &registry).map_err(compile)?;
    let row = |alias: &str, parameter: usize| {
        let columns: Vec<String> = schema
            .columns()
            .iter()
            .filter(|column| column.computed.is_none())
            .map(|column| {
                format!(
                    "{} {}",
                    snackbase_core::names::quote(&column.name),
                    column.kind.sql()
                )
            })
            .collect();
        format!(
            "jsonb_to_record(${parameter}::jsonb) as {alias}({})",
            columns.join(", ")
        )
    };
    let table = snackbase_core::names::quote(schema.table());
    let part = |sql: &Option<String>, from: String| match sql {
        Some(sql) => format!("(select ({sql}) from {from})"),
        None => "true".to_owned(),
    };
    // The record is $1, the row about to be written $2.
    let whole = [
        part(&predicate.using, row(&table, 1)),
        part(&predicate.check, row(&table, 2)),
        part(
            &predicate.transition,
            format!("{}, {}", row("old", 1), row("new", 2)),
        ),
    ]
    .join(" and ");
    let rows = match context.operation {
        Operation::Update => format!("from {}, {}", row("old", 1), row("new", 2)),
        Operation::Create => format!("from {}, {}", row(&table, 2), row("before", 1)),
        _ => format!("from {}, {}", row(&table, 1), row("after", 2)),
    };
    let mut after = context.record.clone();
    after.extend(context.data);
    let arguments = vec![
        Some(Json::Object(context.record).to_string()),
        Some(Json::Object(after).to_string()),
    ];
    let identity = context.identity;
    let (value, clauses) = limited(move || {
        let _path = guc::FixedSearchPath::begin();
        let _caller = Caller::begin(identity);
        let value = spi::select_once(&format!("select {whole}"), arguments.clone(), |rows| {
            Ok(rows.first().get_one::<bool>()?)
        })?;
        Ok((value, value_of(&clause, &rows, arguments)?))
    })?;
    Ok(Outcome {
        value: if context.visitor { Some(false) } else { value },
        clauses,
    })
}

fn limited<T>(work: impl FnOnce() -> Result<T, Error>) -> Result<T, Error> {
    guc::limit_time(LIMIT_MS);
    let outcome = PgTryBuilder::new(AssertUnwindSafe(work))
        .catch_others(|cause| match &cause {
            CaughtError::PostgresError(report) => match &state_of(report.sql_error_code())[..2] {
                "57" => Err(Error::Malformed("The rule took longer than 1 second".into())),
                "22" => Err(Error::Malformed(
                    "A value of record or data does not fit the type of its field, or a macro cannot use it"
                        .into(),
                )),
                _ => cause.rethrow(),
            },
            _ => cause.rethrow(),
        })
        .execute();
    guc::unlimit_time();
    outcome
}

fn read(text: &str) -> Result<Context, Error> {
    let malformed = |message: &str| Error::Malformed(message.to_owned());
    let Ok(Json::Object(mut keys)) = serde_json::from_str(text) else {
        return Err(malformed("context must be an object"));
    };
    if text.contains("\\u0000") {
        return Err(malformed("context must not contain the character U+0000"));
    }
    let mut visitor = false;
    let mut identity = Identity {
        auth_method: Some("jwt".to_owned()),
        role: Some(None),
        groups: Some(Vec::new()),
        ..Identity::default()
    };
    match keys.get("auth") {
        Some(Json::Null) => {
            visitor = true;
            identity.auth_method = Some("anonymous".to_owned());
            keys.shift_remove("auth");
        }
        Some(Json::Object(auth)) => {
            let attribute = |name: &str| match auth.get(name) {
                None | Some(Json::Null) => Ok(None),
                Some(Json::String(text)) => Ok(Some(text.clone())),
                Some(_) => Err(malformed("auth: id, email, role and account_id are texts")),
            };
            identity.user_id = attribute("id")?;
            identity.email = attribute("email")?;
            identity.role = Some(attribute("role")?);
            identity.account_id = attribute("account_id")?;
            identity.groups = match auth.get("groups") {
                None | Some(Json::Null) => Some(Vec::new()),
                Some(groups) => Some(
                    serde_json::from_value(groups.clone())
                        .map_err(|_| malformed("auth: groups is a list of names"))?,
                ),
            };
            keys.shift_remove("auth");
        }
        _ => {}
    }
    let mut object = |name: &str| match keys.get(name) {
        Some(Json::Object(_)) => match keys.shift_remove(name) {
            Some(Json::Object(object)) => Some(object),
            _ => None,
        },
        _ => None,
    };
    let (record, data) = (object("record"), object("data"));
    let mut word = |name: &str| match keys.get(name) {
        Some(Json::String(text)) => {
            let text = text.clone();
            keys.shift_remove(name);
            Some(text)
        }
        _ => None,
    };
    let collection = word("collection");
    let operation = match word("operation") {
        Some(name) => operation_of(&name)?,
        None if data.is_some() => Operation::Update,
        None => Operation::List,
    };
    Ok(Context {
        identity,
        visitor,
        record: record.unwrap_or(keys),
        data: data.unwrap_or_default(),
        operation,
        collection,
    })
}

/// The types of the fields: those of the collection, or those that the values have. A null fits every type: the first with
/// which the rule compiles.
fn schema_of(context: &Context, rule: &str, registry: &Registry) -> Result<Schema, Error> {
    if let Some(name) = &context.collection {
        let collection = collections::open(name)?;
        return Ok(rule_schema(&collection, Access::Everything, false));
    }
    let mut columns = Schema::system_columns();
    let mut unknown = Vec::new();
    for (name, value) in context.record.iter().chain(&context.data) {
        let kind = match value {
            Json::Null => None,
            Json::Bool(_) => Some(Kind::Boolean),
            Json::Number(_) => Some(Kind::Number),
            Json::String(_) => Some(Kind::Text),
            Json::Array(_) | Json::Object(_) => Some(Kind::Json),
        };
        let known = columns.iter().position(|column| column.name == *name);
        match (known, kind) {
            (None, _) => {
                if kind.is_none() {
                    unknown.push(columns.len());
                }
                columns.push(Column::new(name, kind.unwrap_or(Kind::Text)));
            }
            // An invented id need not be a uuid.
            (Some(at), Some(Kind::Text)) if columns[at].kind == Kind::Uuid => columns[at].kind = Kind::Text,
            (Some(at), Some(kind)) if unknown.contains(&at) => columns[at].kind = kind,
            _ => {}
        }
    }
    let mistakes = |columns: &[Column]| {
        let schema = Schema::new("r", columns.to_vec());
        rules::validate_in(rule, context.operation.in_rules(), &schema, registry)
            .errors
            .len()
    };
    for at in unknown {
        for kind in [
            Kind::Number,
            Kind::Boolean,
            Kind::Datetime,
            Kind::Date,
            Kind::Json,
        ] {
            let mut others = columns.clone();
            others[at].kind = kind;
            if mistakes(&others) < mistakes(&columns) {
                columns = others;
                break;
            }
        }
    }
    Ok(Schema::new("r", columns))
}
