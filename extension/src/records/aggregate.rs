//! Aggregates: counts, sums, means, least and greatest values over the records that a list would show, by groups.

use pgrx::datum::DatumWithOid;
use snackbase_core::names::quote;
use snackbase_core::records::aggregate::{Call, Function, parse_functions};
use snackbase_core::rules::{self, Code, Column, Kind, Schema, compile_having};

use super::admit;
use crate::collections::{self, Collection, rule_schema, sees_masks, value_expression};
use crate::context::Operation;
use crate::error::Error;
use crate::json::{Form, Member};
use crate::query;
use crate::{json, spi};

/// Groups of one answer. There are no pages of groups: whoever has more groups than this asks for fewer fields.
const MAX_GROUPS: usize = 10_000;

const BAD_FUNCTIONS: &str = "Invalid aggregation functions";
const BAD_GROUP_BY: &str = "Invalid group_by";
const HIDDEN: &str = "Invalid aggregation";

/// The answer to an aggregate request; `docs/sql-api.md` §2.
pub fn aggregate(
    name: &str,
    functions: &str,
    group_by: Option<&str>,
    filter: Option<&str>,
    having: Option<&str>,
) -> Result<String, Error> {
    let collection = collections::open(name)?;
    let access = admit(&collection, Operation::List)?;
    let fields = Fields {
        collection: &collection,
        schema: rule_schema(&collection, access, sees_masks(&collection, access)?),
    };
    let calls = parse_functions(functions).map_err(|error| expression(BAD_FUNCTIONS, error))?;
    let groups = fields.groups(group_by.unwrap_or_default(), &calls)?;
    let condition = query::condition(&collection, access, filter, 1)?;

    let mut members = Vec::new();
    let mut shown = Vec::new();
    let mut inner = Vec::new();
    let mut results = Vec::new();
    for (index, (name, kind, expression)) in groups.iter().enumerate() {
        inner.push(format!("{expression} as g{index}"));
        members.push(Member::new(name, form(*kind)));
        shown.push(show(&format!("g.g{index}"), *kind));
    }
    for call in &calls {
        let (expression, kind) = fields.call(call)?;
        let key = call.key();
        inner.push(format!("{expression} as {}", quote(&key)));
        members.push(Member::new(&key, form(kind)));
        shown.push(show(&format!("g.{}", quote(&key)), kind));
        results.push(Column::new(key, kind));
    }
    let mut arguments: Vec<DatumWithOid> = query::bind(&condition.params);
    let having = match having.map(str::trim).filter(|having| !having.is_empty()) {
        None => None,
        Some(having) => {
            let compiled = compile_having(having, &Schema::new("g", results), arguments.len() + 1);
            Some(compiled.map_err(|errors| Error::Expression {
                title: "Invalid having expression",
                errors,
            })?)
        }
    };
    if let Some(having) = &having {
        arguments.extend(query::bind(&having.params));
    }
    let positions = |prefix: &str| {
        let list: Vec<String> = (0..groups.len())
            .map(|index| format!("{prefix}{}", index + 1))
            .collect();
        list.join(", ")
    };
    let (grouping, order) = match groups.is_empty() {
        true => (String::new(), String::new()),
        false => (
            format!("group by {}", positions("")),
            format!(
                "order by {}",
                (0..groups.len())
                    .map(|index| format!("g.g{index}"))
                    .collect::<Vec<_>>()
                    .join(", ")
            ),
        ),
    };
    let statement = format!(
        "select {} from (select {} from {} where {} {grouping}) as g where {} {order} limit {}",
        shown.join(", "),
        inner.join(", "),
        collection.relation,
        condition.sql,
        having.as_ref().map_or("true", |having| having.sql.as_str()),
        MAX_GROUPS + 1
    );
    let mut out = String::from("{\"results\":[");
    let count = spi::select(&statement, &arguments, |rows| {
        let count = rows.len();
        if count > MAX_GROUPS {
            return Err(Error::Query {
                title: BAD_GROUP_BY,
                message: format!("There are more than {MAX_GROUPS} groups: group by fewer fields, or filter"),
            });
        }
        for (index, row) in rows.into_iter().enumerate() {
            if index > 0 {
                out.push(',');
            }
            json::write_row(&mut out, &row, 1, &members, &mut Vec::new())?;
        }
        Ok(count)
    })?;
    out.push_str(&format!("],\"total_groups\":{count}}}"));
    Ok(out)
}

/// The fields that the caller may aggregate.
struct Fields<'a> {
    collection: &'a Collection,
    schema: Schema,
}

impl Fields<'_> {
    /// The expression of a field's value.
    fn expression(&self, column: &Column) -> Result<String, Error> {
        match self.collection.definition.field(&column.name) {
            Some(field) => value_expression(self.collection, field),
            None => Ok(format!(
                "{}.{}",
                quote(&self.collection.table),
                quote(&column.name)
            )),
        }
    }

    /// Name, type and expression of each group field, in the order of the request, each once.
    fn groups(&self, group_by: &str, calls: &[Call]) -> Result<Vec<(String, Kind, String)>, Error> {
        let refuse = |title, message| Err(Error::Query { title, message });
        let mut groups: Vec<(String, Kind, String)> = Vec::new();
        for name in group_by.split(',').map(str::trim).filter(|name| !name.is_empty()) {
            let Some(column) = self.schema.column(name) else {
                return refuse(BAD_GROUP_BY, self.unknown(name));
            };
            if column.masked || column.encrypted {
                return refuse(
                    HIDDEN,
                    format!("Records cannot be grouped by '{name}': its values are hidden"),
                );
            }
            if matches!(column.kind, Kind::Json | Kind::File) {
                return refuse(
                    BAD_GROUP_BY,
                    format!(
                        "Records cannot be grouped by a field of type {}",
                        column.kind.name()
                    ),
                );
            }
            if calls.iter().any(|call| call.key() == name) {
                return refuse(BAD_GROUP_BY, format!("'{name}' is also the key of a function"));
            }
            if !groups.iter().any(|(known, ..)| known == name) {
                groups.push((name.to_owned(), column.kind, self.expression(column)?));
            }
        }
        Ok(groups)
    }

    /// The SQL of a call and the type of its result.
    fn call(&self, call: &Call) -> Result<(String, Kind), Error> {
        let refuse = |code, message| {
            Err(expression(
                BAD_FUNCTIONS,
                rules::Error::at(code, call.position, call.length, message),
            ))
        };
        let Some(name) = &call.field else {
            return Ok(("count(*)::float8".to_owned(), Kind::Number));
        };
        let Some(column) = self.schema.column(name) else {
            return refuse(Code::UnknownField, self.unknown(name));
        };
        let hidden = column.encrypted || (column.masked && call.function != Function::Count);
        if hidden {
            return Err(Error::Query {
                title: HIDDEN,
                message: format!("'{name}' cannot be aggregated: its values are hidden"),
            });
        }
        let function = call.function;
        if !function.takes(column.kind) {
            let message = format!(
                "{}() does not take a field of type {}",
                function.name(),
                column.kind.name()
            );
            return refuse(Code::TypeMismatch, message);
        }
        let cast = if function == Function::Count {
            "::float8"
        } else {
            ""
        };
        let expression = format!("{}({}){cast}", function.name(), self.expression(column)?);
        Ok((expression, function.returns(column.kind)))
    }

    fn unknown(&self, name: &str) -> String {
        let known: Vec<&str> = self
            .schema
            .columns()
            .iter()
            .map(|column| column.name.as_str())
            .collect();
        format!("Field '{name}' does not exist; available: {}", known.join(", "))
    }
}

fn expression(title: &'static str, error: rules::Error) -> Error {
    Error::Expression {
        title,
        errors: vec![error],
    }
}

/// How a value of that type goes out, once [`show`] has had it.
fn form(kind: Kind) -> Form {
    match kind {
        Kind::Number => Form::Number,
        Kind::Boolean => Form::Boolean,
        Kind::Datetime => Form::Timestamp,
        Kind::Text | Kind::Uuid | Kind::Date | Kind::Json | Kind::File => Form::Text,
    }
}

fn show(value: &str, kind: Kind) -> String {
    match kind {
        Kind::Uuid => format!("{value}::text"),
        Kind::Date => format!("to_char({value}, 'YYYY-MM-DD')"),
        _ => value.to_owned(),
    }
}
