//! What a request asks for (filter, sort, fields, page), turned into the text of one SELECT. Values are parameters, so
//! the text depends on the shape of the request only and its plan can be kept.

mod order;

use std::rc::Rc;

use pgrx::datum::{DatumWithOid, Uuid};
use snackbase_core::names::quote;
use snackbase_core::rules::{self, Param};
use snackbase_core::schema::{FieldList, is_system_field};

pub use order::{Order, Place};

use crate::collections::{Access, Collection, Readable, readable_columns, rule_schema, sees_masks};
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
    names: Vec<String>,
    /// Whether the object lacks columns that the caller would see without `fields` and field lists. Lists show the name
    /// of the record's account only when it does not (contract `records.md` §2).
    pub trimmed: bool,
}

impl Projection {
    /// The member that shows this field, if it is shown.
    pub fn member(&mut self, field: &str) -> Option<&mut Member> {
        self.names
            .iter()
            .position(|name| name == field)
            .map(|at| &mut self.members[at])
    }
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
        Some(_) => own_projection(collection, operation, access, fields).map(Rc::new),
        // A list that a role's permission made is met too seldom to keep what follows from it.
        None if matches!(access, Access::Listed(list) if !std::ptr::eq(list, collection.field_list(operation))) => {
            own_projection(collection, operation, access, None).map(Rc::new)
        }
        None => {
            let key = (operation, matches!(access, Access::Everything));
            collection.projection(key, || own_projection(collection, operation, access, None))
        }
    }
}

/// The same, made for this request alone.
///
/// # Errors
/// As [`projection`].
pub fn own_projection(
    collection: &Collection,
    operation: Operation,
    access: Access<'_>,
    fields: Option<&str>,
) -> Result<Projection, Error> {
    let wanted = wanted_fields(fields);
    let mut columns = readable_columns(collection, access)?;
    if let Some(wanted) = &wanted {
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
    let (names, members) = columns
        .into_iter()
        .map(|column| (column.name, column.member))
        .unzip();
    Ok(Projection {
        select,
        members,
        names,
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
    /// A boolean expression; `true` when nothing is asked for.
    pub sql: String,
    /// The values, starting at the parameter number that was asked for.
    pub params: Vec<Param>,
    /// Whether few records are expected; see [`rules::Filter`].
    pub selective: bool,
}

/// Compiles a filter over what the caller can read; parameters are numbered from `first`.
///
/// # Errors
/// [`Error::Expression`].
pub fn condition(
    collection: &Collection,
    access: Access<'_>,
    filter: Option<&str>,
    first: usize,
) -> Result<Condition, Error> {
    let compiled = match filter {
        None => None,
        Some(source) => {
            let schema = rule_schema(collection, access, sees_masks(collection, access)?);
            rules::compile_filter(source, &schema, first).map_err(Error::filter)?
        }
    };
    Ok(match compiled {
        None => Condition {
            sql: "true".to_owned(),
            params: Vec::new(),
            selective: false,
        },
        Some(filter) => Condition {
            selective: filter.selective,
            sql: filter.sql,
            params: filter.params,
        },
    })
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
