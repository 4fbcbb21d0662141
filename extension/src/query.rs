//! What a request asks for (filter, sort, fields, page), turned into the text of one SELECT. Values are parameters, so
//! the text depends on the shape of the request only and its plan can be kept.

use std::rc::Rc;

use pgrx::datum::{DatumWithOid, Uuid};
use snackbase_core::names::quote;
use snackbase_core::rules::{self, Param};
use snackbase_core::schema::{FieldList, FieldType, is_system_field};

use crate::collections::{Access, Collection, Readable, readable_columns, rule_schema, value_expression};
use crate::context::Operation;
use crate::error::Error;
use crate::json::{Form, Member};

/// The columns an answer shows.
#[derive(Debug)]
pub struct Projection {
    /// What to select, separated by commas.
    pub select: String,
    /// The members of the record object, in the same order.
    pub members: Vec<Member>,
    /// Whether the object lacks columns that the caller would see without `fields` and field lists. Lists show the name
    /// of the record's account only when it does not (contract `records.md` §2).
    pub trimmed: bool,
}

/// What the caller can read of a record, trimmed to the names asked for. Without such names the projection is made once
/// per definition, operation and kind of caller.
///
/// # Errors
/// [`Error::Internal`], see [`readable_columns`].
pub fn projection(
    collection: &Collection,
    operation: Operation,
    access: Access<'_>,
    fields: Option<&str>,
) -> Result<Rc<Projection>, Error> {
    match wanted_fields(fields) {
        Some(wanted) => build_projection(collection, operation, access, Some(&wanted)).map(Rc::new),
        None => {
            let key = (operation, matches!(access, Access::Everything));
            collection.projection(key, || build_projection(collection, operation, access, None))
        }
    }
}

fn build_projection(
    collection: &Collection,
    operation: Operation,
    access: Access<'_>,
    wanted: Option<&[&str]>,
) -> Result<Projection, Error> {
    let mut columns = readable_columns(collection, access)?;
    if let Some(wanted) = wanted {
        columns.retain(|column| is_system_field(&column.name) || wanted.contains(&column.name.as_str()));
    }
    let trimmed = wanted.is_some() || matches!(access, Access::Listed(FieldList::Only(_)));
    if operation == Operation::List && !trimmed {
        columns.push(account_name(collection, access));
    }
    let select = columns
        .iter()
        .map(|column| column.expression.as_str())
        .collect::<Vec<_>>()
        .join(", ");
    let members = columns.into_iter().map(|column| column.member).collect();
    Ok(Projection {
        select,
        members,
        trimmed,
    })
}

/// The names in `fields=a,b`; `None` means all (absent, empty, or `*` among them). Unknown names are ignored later.
fn wanted_fields(fields: Option<&str>) -> Option<Vec<&str>> {
    let names: Vec<&str> = fields?
        .split(',')
        .map(str::trim)
        .filter(|name| !name.is_empty())
        .collect();
    if names.is_empty() || names.contains(&"*") {
        None
    } else {
        Some(names)
    }
}

/// The column that shows the name of the record's account.
fn account_name(collection: &Collection, access: Access<'_>) -> Readable {
    let account = match access {
        // One look-up for the whole list: a caller of one account sees that account only.
        Access::Listed(_) => "(select snackbase.current_account_id())".to_owned(),
        Access::Everything => format!("{}.account_id", quote(&collection.table)),
    };
    Readable {
        name: "account_name".to_owned(),
        expression: format!("(select a.name from snackbase.accounts a where a.id = {account})"),
        member: Member::new("account_name", Form::Text),
    }
}

/// A compiled filter: a condition and the values of its parameters.
pub struct Condition {
    /// `where …`, or empty.
    pub sql: String,
    /// The values, starting at the parameter number that was asked for.
    pub params: Vec<Param>,
}

/// Compiles a filter over what the caller can read; parameters are numbered from `first`.
///
/// # Errors
/// [`Error::Filter`].
pub fn condition(
    collection: &Collection,
    access: Access<'_>,
    filter: Option<&str>,
    first: usize,
) -> Result<Condition, Error> {
    let compiled = match filter {
        None => None,
        Some(source) => {
            rules::compile_filter(source, &rule_schema(collection, access), first).map_err(Error::Filter)?
        }
    };
    Ok(match compiled {
        None => Condition {
            sql: String::new(),
            params: Vec::new(),
        },
        Some(filter) => Condition {
            sql: format!("where {}", filter.sql),
            params: filter.params,
        },
    })
}

/// `order by …` for a comma list of keys: `-f` descends, `f` and `+f` ascend (a leading space is a `+` that was not
/// encoded). Keys the caller cannot read are ignored, the default is newest first, and `id` makes the order total.
///
/// # Errors
/// [`Error::Internal`], see [`value_expression`].
pub fn order_by(collection: &Collection, access: Access<'_>, sort: Option<&str>) -> Result<String, Error> {
    let mut keys: Vec<String> = Vec::new();
    let mut last = "desc";
    for key in sort.unwrap_or_default().split(',') {
        let (name, direction) = match key.strip_prefix('-') {
            Some(name) => (name.trim(), "desc"),
            None => (key.trim_start_matches(['+', ' ']).trim(), "asc"),
        };
        if let Some(expression) = sortable(collection, access, name)? {
            keys.push(format!("{expression} {direction}"));
            last = direction;
        }
    }
    let table = quote(&collection.table);
    if keys.is_empty() {
        keys.push(format!("{table}.created_at desc"));
    }
    Ok(format!("order by {}, {table}.id {last}", keys.join(", ")))
}

fn sortable(collection: &Collection, access: Access<'_>, name: &str) -> Result<Option<String>, Error> {
    if is_system_field(name) {
        return Ok(Some(format!("{}.{}", quote(&collection.table), quote(name))));
    }
    let field = collection
        .definition
        .fields
        .iter()
        .find(|field| field.name == name && access.allows(collection, field));
    match field {
        Some(field) if !matches!(field.field_type, FieldType::Json | FieldType::File) && !field.encrypted => {
            value_expression(collection, field).map(Some)
        }
        _ => Ok(None),
    }
}

/// A filter's values as parameters.
pub fn bind(params: &[Param]) -> Vec<DatumWithOid<'_>> {
    params
        .iter()
        .map(|param| match param {
            Param::Text(text) => text.as_str().into(),
            Param::Number(number) => (*number).into(),
            Param::Uuid(text) => uuid_value(text).into(),
            Param::Datetime(text) | Param::Date(text) => text.as_str().into(),
            // The text of the filter casts each array to its own type.
            Param::Numbers(numbers) => numbers.clone().into(),
            Param::Texts(texts) | Param::Uuids(texts) | Param::Datetimes(texts) | Param::Dates(texts) => {
                texts.clone().into()
            }
        })
        .collect()
}

/// A uuid that core has checked already.
pub fn uuid_value(text: &str) -> Option<Uuid> {
    text.parse::<uuid::Uuid>()
        .ok()
        .map(|id| Uuid::from_bytes(*id.as_bytes()))
}
