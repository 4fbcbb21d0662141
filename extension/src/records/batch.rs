//! Writing many records: all of them or none, in the order of the request.
//!
//! A batch is one statement over arrays, one array per column, so its text and plan do not depend on the number of records; row
//! triggers and policies judge each row. PostgreSQL does not say which row a constraint refused. So the statement runs in
//! a subtransaction, and only when it fails the records are written one by one, to find the first that cannot be.

use pgrx::datum::{DatumWithOid, Uuid};
use serde_json::Value as Json;
use snackbase_core::names::quote;
use snackbase_core::records::{Mode, Write};
use snackbase_core::schema::{FieldType, Problem, Value};

use super::admit;
use super::write::{boolean_of, number_of, parse, run_write, text_of, validated};
use crate::collections::{self, Collection};
use crate::context::Operation;
use crate::error::Error;
use crate::query::{self, Projection, uuid_value};
use crate::{guc, json, signatures, spi};

/// One record to write, and where in the request it stands.
struct Item {
    index: usize,
    id: Option<Uuid>,
    write: Write,
}

/// `{"records": [{…}, …]}` → `{"created": [record, …], "count": n}`
pub fn create(name: &str, body: &str) -> Result<String, Error> {
    let collection = collections::open_for_writing(name)?;
    signatures::countersigned(&collection, || create_all(&collection, body))
}

fn create_all(collection: &Collection, body: &str) -> Result<String, Error> {
    let access = admit(collection, Operation::Create)?;
    let body = parse(body)?;
    let mut items = Vec::new();
    for (index, record) in members(&body, "records")?.iter().enumerate() {
        let write =
            validated(collection, access, record, Mode::Create, false).map_err(|error| at(index, error))?;
        items.push(Item {
            index,
            id: None,
            write,
        });
    }
    let columns = query::projection(collection, Operation::Create, access, None)?;
    let written = all_or_first(&items, |items| insert(collection, items, &columns))?;
    Ok(answer("created", written.into_iter().map(|(_, record)| record)))
}

/// `{"records": [{"id": …, "data": {…}}, …]}` → `{"updated": [record, …], "count": n}`. An id that appears twice is changed
/// twice, in order.
pub fn update(name: &str, body: &str) -> Result<String, Error> {
    let collection = collections::open_for_writing(name)?;
    signatures::countersigned(&collection, || update_all(&collection, body))
}

fn update_all(collection: &Collection, body: &str) -> Result<String, Error> {
    let access = admit(collection, Operation::Update)?;
    let body = parse(body)?;
    let records = members(&body, "records")?;
    let mut items = Vec::new();
    for (index, record) in records.iter().enumerate() {
        let (id, data) = match (record.get("id"), record.get("data")) {
            (Some(Json::String(id)), Some(data)) => (id, data),
            _ => {
                return Err(misshapen(
                    &format!("records[{index}]"),
                    "An item has the keys id (a text) and data",
                ));
            }
        };
        let write =
            validated(collection, access, data, Mode::Patch, false).map_err(|error| at(index, error))?;
        items.push(Item {
            index,
            id: uuid_value(id),
            write,
        });
    }
    let columns = query::projection(collection, Operation::Update, access, None)?;
    let mut updated: Vec<Option<String>> = vec![None; items.len()];
    for round in rounds(items) {
        for (index, record) in all_or_first(&round, |items| change(collection, items, &columns))? {
            updated[index] = Some(record);
        }
        // What a round does not find, a later one would not find either.
        if let Some(item) = round.iter().find(|item| updated[item.index].is_none()) {
            return Err(not_found(item.index, records[item.index].get("id")));
        }
    }
    Ok(answer("updated", updated.into_iter().flatten()))
}

/// `{"ids": ["…", …]}` → `{"deleted": ["…", …], "count": n}`. An id that appears twice is deleted, and listed, once.
pub fn delete(name: &str, body: &str) -> Result<String, Error> {
    let collection = collections::open_for_writing(name)?;
    signatures::countersigned(&collection, || delete_all(&collection, body))
}

fn delete_all(collection: &Collection, body: &str) -> Result<String, Error> {
    admit(collection, Operation::Delete)?;
    let body = parse(body)?;
    let ids = members(&body, "ids")?;
    let mut items: Vec<Item> = Vec::new();
    for (index, id) in ids.iter().enumerate() {
        let Json::String(text) = id else {
            return Err(misshapen(&format!("ids[{index}]"), "An id is a text"));
        };
        let id = uuid_value(text);
        if id.is_none() || !items.iter().any(|item| item.id == id) {
            let write = Write::default();
            items.push(Item { index, id, write });
        }
    }
    let deleted = all_or_first(&items, |items| {
        let statement = format!(
            "delete from {} where id = any ($1) returning id::text",
            collection.relation
        );
        let arguments = [spi::uuid_array(items.iter().map(|item| item.id).collect())];
        run_write(collection, &statement, &arguments, |rows| {
            let deleted: Result<Vec<String>, Error> = rows
                .into_iter()
                .map(|row| Ok(row.get::<String>(1)?.unwrap_or_default()))
                .collect();
            let deleted = deleted?;
            let found = items.iter().filter_map(|item| {
                let id = item.id?.to_string();
                deleted.contains(&id).then_some((item.index, id))
            });
            Ok(found.collect())
        })
    })?;
    if let Some(item) = items
        .iter()
        .find(|item| !deleted.iter().any(|(index, _)| *index == item.index))
    {
        return Err(not_found(item.index, ids.get(item.index)));
    }
    Ok(answer(
        "deleted",
        deleted.into_iter().map(|(_, id)| format!("\"{id}\"")),
    ))
}

/// The array under `key`: at least one member, and no more than the setting allows.
fn members<'a>(body: &'a Json, key: &str) -> Result<&'a Vec<Json>, Error> {
    let most = guc::batch_max_items();
    match body.get(key) {
        Some(Json::Array(members)) if members.len() > most => Err(Error::Query {
            title: "batch_too_large",
            message: format!(
                "A batch holds at most {most} items, this one has {}",
                members.len()
            ),
        }),
        Some(Json::Array(members)) if !members.is_empty() => Ok(members),
        Some(Json::Array(_)) => Err(misshapen(key, "At least one item is needed")),
        Some(_) => Err(misshapen(key, "An array is needed")),
        None => Err(misshapen(key, "Field required")),
    }
}

fn misshapen(field: &str, message: &str) -> Error {
    Error::Shape(vec![Problem::new(field, "invalid_type", message)])
}

fn at(index: usize, error: Error) -> Error {
    match error {
        Error::Shape(problems) => Error::Shape(
            problems
                .into_iter()
                .map(|problem| Problem::new(format!("records[{index}]"), problem.code, problem.message))
                .collect(),
        ),
        error => Error::Item {
            index,
            error: Box::new(error),
        },
    }
}

fn not_found(index: usize, id: Option<&Json>) -> Error {
    let id = id.and_then(Json::as_str).unwrap_or_default().to_owned();
    Error::ItemNotFound { index, id }
}

fn answer(key: &str, members: impl Iterator<Item = String>) -> String {
    let members: Vec<String> = members.collect();
    format!(
        "{{\"{key}\":[{}],\"count\":{}}}",
        members.join(","),
        members.len()
    )
}

/// Items by the number of times their id came before: no statement changes a record twice.
fn rounds(items: Vec<Item>) -> Vec<Vec<Item>> {
    let mut rounds: Vec<Vec<Item>> = Vec::new();
    for item in items {
        let earlier = rounds
            .iter()
            .take_while(|round| round.iter().any(|other| other.id == item.id && item.id.is_some()));
        let round = earlier.count();
        if round == rounds.len() {
            rounds.push(Vec::new());
        }
        rounds[round].push(item);
    }
    rounds
}

/// Writes all items by one statement or, when it fails, finds the first that cannot be written.
fn all_or_first<R>(
    items: &[Item],
    write: impl Fn(&[Item]) -> Result<Vec<(usize, R)>, Error>,
) -> Result<Vec<(usize, R)>, Error> {
    if let Some(written) = spi::attempt(|| write(items)) {
        return Ok(written);
    }
    let mut written = Vec::new();
    for item in items {
        written.extend(write(std::slice::from_ref(item)).map_err(|error| at(item.index, error))?);
    }
    Ok(written)
}

/// One column of a batch: its name, and the values as one array parameter.
struct Column<'a> {
    name: &'a str,
    /// What the member `v.c<n>` has to be cast to.
    cast: &'static str,
    values: DatumWithOid<'static>,
    /// Which items write the column; `None`: all.
    given: Option<Vec<Option<bool>>>,
}

/// The columns that any item writes, in the order of the fields.
fn gather<'a>(collection: &'a Collection, items: &[Item]) -> Vec<Column<'a>> {
    let mut columns = Vec::new();
    for (number, field) in collection.definition.fields.iter().enumerate() {
        let values: Vec<Option<&Value>> = items
            .iter()
            .map(|item| {
                let mut written = item.write.values.iter();
                written.find_map(|(index, value)| (*index == number).then_some(value))
            })
            .collect();
        if values.iter().all(Option::is_none) {
            continue;
        }
        let given = values.iter().any(Option::is_none);
        let given = given.then(|| values.iter().map(|value| Some(value.is_some())).collect());
        let texts = || values.iter().map(|value| value.and_then(text_of));
        let (values, cast) = match field.field_type {
            FieldType::Number => {
                let numbers = values.iter().map(|value| value.and_then(number_of)).collect();
                (spi::number_array(numbers), "")
            }
            FieldType::Boolean => {
                let booleans = values.iter().map(|value| value.and_then(boolean_of)).collect();
                (spi::boolean_array(booleans), "")
            }
            FieldType::Reference | FieldType::User => (
                spi::uuid_array(texts().map(|text| text.and_then(uuid_value)).collect()),
                "",
            ),
            other => {
                let cast = match other {
                    FieldType::Datetime => "::timestamptz",
                    FieldType::Date => "::date",
                    FieldType::Json | FieldType::File => "::jsonb",
                    _ => "",
                };
                (
                    spi::text_array(texts().map(|text| text.map(str::to_owned)).collect()),
                    cast,
                )
            }
        };
        columns.push(Column {
            name: &field.name,
            cast,
            values,
            given,
        });
    }
    columns
}

fn insert(
    collection: &Collection,
    items: &[Item],
    shown: &Projection,
) -> Result<Vec<(usize, String)>, Error> {
    let columns = gather(collection, items);
    // Somebody's empty objects: z_stamp sets the column that is named.
    let (mut names, mut values) = (
        vec!["created_at".to_owned()],
        vec!["null::timestamptz".to_owned()],
    );
    // The first array is what numbers the rows.
    let (mut arrays, mut members) = (vec!["$1".to_owned()], vec!["item".to_owned()]);
    let count: Vec<Option<bool>> = vec![Some(true); items.len()];
    let mut arguments = vec![spi::boolean_array(count)];
    for column in columns {
        let member = format!("c{}", arguments.len());
        arguments.push(column.values);
        arrays.push(format!("${}", arguments.len()));
        names.push(quote(column.name));
        values.push(format!("v.{member}{}", column.cast));
        members.push(member);
    }
    let statement = format!(
        "insert into {} ({}) select {} from unnest({}) with ordinality as v ({}, number) order by v.number returning {}",
        collection.relation,
        names.join(", "),
        values.join(", "),
        arrays.join(", "),
        members.join(", "),
        shown.select
    );
    run_write(collection, &statement, &arguments, |rows| {
        // RETURNING follows the order of insertion, which is that of the select.
        rows.into_iter()
            .zip(items)
            .map(|(row, item)| {
                let mut out = String::new();
                json::write_row(&mut out, &row, 1, &shown.members, &mut Vec::new())?;
                Ok((item.index, out))
            })
            .collect()
    })
}

fn change(
    collection: &Collection,
    items: &[Item],
    shown: &Projection,
) -> Result<Vec<(usize, String)>, Error> {
    let table = quote(&collection.table);
    let (mut arrays, mut members) = (vec!["$1".to_owned()], vec!["id".to_owned()]);
    let mut arguments = vec![spi::uuid_array(items.iter().map(|item| item.id).collect())];
    // Nothing given still counts as a change: z_stamp sets who and when.
    let mut sets = vec![format!("updated_at = {table}.updated_at")];
    for column in gather(collection, items) {
        let name = quote(column.name);
        let member = format!("c{}", arguments.len());
        arguments.push(column.values);
        arrays.push(format!("${}", arguments.len()));
        let value = format!("v.{member}{}", column.cast);
        members.push(member);
        sets.push(match column.given {
            None => format!("{name} = {value}"),
            Some(given) => {
                let flag = format!("c{}", arguments.len());
                arguments.push(spi::boolean_array(given));
                arrays.push(format!("${}", arguments.len()));
                let set = format!("{name} = case when v.{flag} then {value} else {table}.{name} end");
                members.push(flag);
                set
            }
        });
    }
    let statement = format!(
        "update {} set {} from unnest({}) with ordinality as v ({}, number) where {table}.id = v.id returning v.number, {}",
        collection.relation,
        sets.join(", "),
        arrays.join(", "),
        members.join(", "),
        shown.select
    );
    run_write(collection, &statement, &arguments, |rows| {
        rows.into_iter()
            .map(|row| {
                let number = row.get::<i64>(1)?.unwrap_or_default();
                let item = usize::try_from(number - 1).ok().and_then(|at| items.get(at));
                let item = item.ok_or_else(|| Error::Internal("a batch returned a row of no item".into()))?;
                let mut out = String::new();
                json::write_row(&mut out, &row, 2, &shown.members, &mut Vec::new())?;
                Ok((item.index, out))
            })
            .collect()
    })
}
