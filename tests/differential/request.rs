//! What is asked, and the shape of an answer.

use serde_json::Value as Json;

use super::language::{Expr, Value};
use super::model::{Caller, Collection, Identity, Operation, Row};
use super::time;

/// A body, or the assignments of a statement.
pub type Body = Vec<(String, Value)>;

/// Which session a statement is sent in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Via {
    /// The gateway's login, which introduces the caller with `enter()`.
    Entered,
    /// A service's login that was granted the operation roles; an administrator fixed who it is.
    Login,
}

#[derive(Debug, Clone, PartialEq)]
pub struct Query {
    pub filter: Option<Expr>,
    /// Whether the filter is sent as JSON.
    pub json: bool,
    /// Names; true descends.
    pub sort: Vec<(String, bool)>,
    pub skip: usize,
    pub limit: usize,
    pub fields: Option<Vec<String>>,
    /// References to be replaced by what they refer to: `place`, `place.owner`.
    pub expand: Vec<String>,
}

/// A request for aggregates.
#[derive(Debug, Clone, PartialEq)]
pub struct Totals {
    /// `count()` has no field.
    pub functions: Vec<(&'static str, Option<String>)>,
    pub groups: Vec<String>,
    pub filter: Option<Expr>,
    /// `having=count() > n`
    pub more_than: Option<usize>,
}

/// Which rows a statement addresses: one or all, of those where a column is not NULL.
#[derive(Debug, Clone, PartialEq)]
pub struct Address {
    pub id: Option<String>,
    pub tested: Option<String>,
}

/// The doors. HTTP writes are kept; statements are rolled back.
#[derive(Debug, Clone, PartialEq)]
pub enum Action {
    List(Query),
    /// All pages, forward by cursor and back again.
    Pages {
        query: Query,
        count: bool,
    },
    Aggregate(Totals),
    Get {
        id: String,
        fields: Option<Vec<String>>,
        expand: Vec<String>,
    },
    CreateMany(Vec<Body>),
    UpdateMany(Vec<(String, Body)>),
    DeleteMany(Vec<String>),
    Create {
        body: Body,
    },
    Update {
        id: String,
        body: Body,
        replace: bool,
    },
    Delete {
        id: String,
    },
    /// `select` of these columns in the role of an operation that reads.
    Select {
        via: Via,
        operation: Operation,
        columns: Vec<String>,
        /// `where … is not null`: a column that may not be read may not be tested either.
        tested: Option<String>,
    },
    Insert {
        via: Via,
        body: Body,
    },
    /// `update`
    Change {
        via: Via,
        at: Address,
        body: Body,
    },
    /// `delete`
    Remove {
        via: Via,
        at: Address,
    },
    /// `select *` from the view for BI tools.
    Report,
}

impl Action {
    /// The operation of a request that writes many records.
    pub fn operation(&self) -> Operation {
        match self {
            Action::CreateMany(_) => Operation::Create,
            Action::UpdateMany(_) => Operation::Update,
            _ => Operation::Delete,
        }
    }

    /// Whether what it does is kept.
    pub fn is_kept(&self) -> bool {
        use Action::{Create, CreateMany, Delete, DeleteMany, Update, UpdateMany};
        matches!(
            self,
            Create { .. } | Update { .. } | Delete { .. } | CreateMany(_) | UpdateMany(_) | DeleteMany(_)
        )
    }

    /// The word for it in a tally.
    pub fn name(&self) -> &'static str {
        match self {
            Action::List(_) => "list",
            Action::Pages { .. } => "pages",
            Action::Aggregate(_) => "aggregate",
            Action::CreateMany(_) => "create-many",
            Action::UpdateMany(_) => "update-many",
            Action::DeleteMany(_) => "delete-many",
            Action::Get { .. } => "get",
            Action::Create { .. } => "create",
            Action::Update { .. } => "update",
            Action::Delete { .. } => "delete",
            Action::Select { .. } => "select",
            Action::Insert { .. } => "insert",
            Action::Change { .. } => "change",
            Action::Remove { .. } => "remove",
            Action::Report => "report",
        }
    }
}

#[derive(Debug, Clone, PartialEq)]
pub struct Request {
    pub caller: Caller,
    pub collection: usize,
    pub action: Action,
}

/// When something happens now: the reference has no clock, so this stands for every later point in time.
pub fn now() -> Value {
    Value::Time(time::parse("2100-01-01T00:00:00Z"))
}

/// The id of a new record, which nobody can foretell.
pub const NEW: &str = "<new>";

/// What the reference says.
#[derive(Debug)]
pub struct Expected {
    /// HTTP status or SQLSTATE; any of them will do.
    pub codes: Vec<&'static str>,
    /// Null where the answer is a refusal.
    pub body: Json,
    /// The rows of all collections afterwards, if they change.
    pub after: Option<Vec<Vec<Row>>>,
}

impl Expected {
    /// A refusal, by any of these codes.
    pub fn refusal(codes: &[&'static str]) -> Self {
        Self {
            codes: codes.to_vec(),
            body: Json::Null,
            after: None,
        }
    }

    /// An answer that changes nothing.
    pub fn answer(code: &'static str, body: Json) -> Self {
        Self {
            codes: vec![code],
            body,
            after: None,
        }
    }
}

/// What a statement that writes returns: the columns its role may read.
pub fn returned(collection: &Collection, operation: Operation, caller: &Identity) -> Vec<String> {
    let mut columns = vec!["id".to_owned(), "created_by".to_owned(), "updated_by".to_owned()];
    columns.extend(
        collection
            .fields
            .iter()
            .filter(|field| {
                field.computed.is_none() && (caller.superadmin || collection.allows(operation, &field.name))
            })
            .map(|field| field.name.clone()),
    );
    columns
}

/// An order for answers that promise none.
pub fn by_id(rows: &mut [Json]) {
    rows.sort_by_key(|row| row["id"].as_str().unwrap_or_default().to_owned());
}

/// Whether an answer is what was expected: numbers by value, what cannot be foretold by being there.
pub fn fits(expected: &Json, seen: &Json) -> bool {
    match (expected, seen) {
        (Json::String(text), seen) if text == NEW || text == "2100-01-01T00:00:00Z" => !seen.is_null(),
        (Json::Number(left), Json::Number(right)) => left.as_f64() == right.as_f64(),
        (Json::Array(left), Json::Array(right)) => {
            left.len() == right.len() && left.iter().zip(right).all(|(left, right)| fits(left, right))
        }
        (Json::Object(left), Json::Object(right)) => {
            left.len() == right.len()
                && left
                    .iter()
                    .all(|(key, left)| right.get(key).is_some_and(|right| fits(left, right)))
        }
        (left, right) => left == right,
    }
}
