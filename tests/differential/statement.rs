//! Requests as SQL, and rows as values.

use serde_json::{Map, Value as Json};
use snackbase_e2e::Session;
use tokio_postgres::SimpleQueryMessage;

use super::language::{Kind, Value};
use super::model::{Collection, Operation, Row, SYSTEM_FIELDS, World, to_json};
use super::request::{Action, Address, Request, Via, returned};
use super::time;

/// `snackbase.col_<name>`
pub fn table(collection: &Collection) -> String {
    format!("snackbase.col_{}", collection.name)
}

/// The columns of a table.
pub fn columns(collection: &Collection) -> Vec<(String, Kind)> {
    let stored = collection.fields.iter().filter(|field| field.computed.is_none());
    SYSTEM_FIELDS
        .into_iter()
        .map(|(name, kind)| (name.to_owned(), kind))
        .chain(stored.map(|field| (field.name.clone(), field.kind)))
        .collect()
}

/// The statement that puts a row back as it was.
pub fn insert(collection: &Collection, row: &Row) -> String {
    let (names, values): (Vec<String>, Vec<String>) = row
        .iter()
        .map(|(name, value)| (format!("\"{name}\""), quoted(value)))
        .unzip();
    format!(
        "insert into {} ({}) values ({});",
        table(collection),
        names.join(", "),
        values.join(", ")
    )
}

/// A value as a literal of SQL.
fn quoted(value: &Value) -> String {
    match value {
        Value::Null => "null".to_owned(),
        Value::Bool(value) => value.to_string(),
        Value::Number(value) => format!("'{value}'"),
        Value::Text(value) | Value::Date(value) | Value::Json(value) => {
            format!("'{}'", value.replace('\'', "''"))
        }
        Value::Time(value) => format!("'{}'", time::print(*value)),
    }
}

/// The statement of a request, the operation whose role it takes, and how; `None` for requests over HTTP.
pub fn sql(world: &World, request: &Request) -> Option<(&'static str, Option<Via>, String)> {
    let collection = &world.collections[request.collection];
    let caller = world.identity(request.caller);
    let table = table(collection);
    let list = |names: &[String]| {
        names
            .iter()
            .map(|name| format!("\"{name}\""))
            .collect::<Vec<_>>()
            .join(", ")
    };
    let returning = |operation| list(&returned(collection, operation, &caller));
    let tests = |name: &String| format!("\"{name}\" is not null");
    let address = |at: &Address| {
        let conditions = at
            .id
            .iter()
            .map(|id| format!("id = '{id}'"))
            .chain(at.tested.iter().map(tests));
        match conditions.collect::<Vec<_>>().join(" and ") {
            none if none.is_empty() => none,
            some => format!(" where {some}"),
        }
    };
    Some(match &request.action {
        Action::Select {
            via,
            operation,
            columns,
            tested,
        } => {
            let tested = tested
                .as_ref()
                .map_or_else(String::new, |name| format!(" where \"{name}\" is not null"));
            (
                operation.name(),
                Some(*via),
                format!("select {} from {table}{tested}", list(columns)),
            )
        }
        Action::Insert { via, body } => {
            let source = match body.is_empty() {
                true => "default values".to_owned(),
                false => {
                    let names: Vec<String> = body.iter().map(|(name, _)| name.clone()).collect();
                    let values: Vec<String> = body.iter().map(|(_, value)| quoted(value)).collect();
                    format!("({}) values ({})", list(&names), values.join(", "))
                }
            };
            let returning = returning(Operation::Create);
            (
                "create",
                Some(*via),
                format!("insert into {table} {source} returning {returning}"),
            )
        }
        Action::Change { via, at, body } => {
            let sets: Vec<String> = body
                .iter()
                .map(|(name, value)| format!("\"{name}\" = {}", quoted(value)))
                .collect();
            let (sets, address, returning) = (sets.join(", "), address(at), returning(Operation::Update));
            (
                "update",
                Some(*via),
                format!("update {table} set {sets}{address} returning {returning}"),
            )
        }
        Action::Remove { via, at } => (
            "delete",
            Some(*via),
            format!("delete from {table}{} returning id", address(at)),
        ),
        Action::Report => (
            "list",
            None,
            format!("select * from snackbase_bi.{}", collection.name),
        ),
        _ => return None,
    })
}

/// A row, column by column as text.
pub type Texts = Vec<(String, Option<String>)>;

/// The rows of the last statement of a script, column by column as text.
pub async fn select(session: &Session, script: &str) -> Result<Vec<Texts>, tokio_postgres::Error> {
    let messages = session.simple_query(script).await?;
    let mut rows = Vec::new();
    for message in messages {
        if let SimpleQueryMessage::Row(row) = message {
            let names: Vec<&str> = row.columns().iter().map(|column| column.name()).collect();
            if names != ["setup"] {
                rows.push(
                    names
                        .into_iter()
                        .enumerate()
                        .map(|(index, name)| (name.to_owned(), row.get(index).map(str::to_owned)))
                        .collect(),
                );
            }
        }
    }
    Ok(rows)
}

/// A row of a statement as the object that the wire would show.
pub fn object(
    collection: &Collection,
    row: Vec<(String, Option<String>)>,
    masked: bool,
) -> Map<String, Json> {
    let kind = |name: &str| match collection.field(name) {
        Some(field) if masked && collection.mask(field).is_some() => Kind::Text,
        Some(field) => field.kind,
        None => SYSTEM_FIELDS
            .into_iter()
            .find(|(system, _)| *system == name)
            .map_or(Kind::Text, |(_, kind)| kind),
    };
    row.into_iter()
        .map(|(name, text)| {
            let value = value(kind(&name), text);
            (name, to_json(&value))
        })
        .collect()
}

/// A value from the text Postgres prints in UTC.
pub fn value(kind: Kind, text: Option<String>) -> Value {
    let Some(text) = text else {
        return Value::Null;
    };
    match kind {
        Kind::Number => Value::Number(text.parse().unwrap_or_else(|_| panic!("not a number: {text}"))),
        Kind::Bool => Value::Bool(text == "t"),
        Kind::Time => Value::Time(time::parse(&text.replace(' ', "T").replace("+00", "Z"))),
        Kind::Date => Value::Date(text),
        Kind::Json => Value::Json(text),
        Kind::Text | Kind::Id => Value::Text(text),
    }
}
