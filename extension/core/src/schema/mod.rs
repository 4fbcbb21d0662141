//! Collection definitions: parsing, validation, and the difference between two of them.
//!
//! A definition is what `POST /collections` sends: a name, fields, rules. [`parse_definition`] turns the JSON into a
//! [`Definition`] or reports every problem at once; [`diff()`] says what must be done to the table when the fields change;
//! [`Value`] is a JSON value that has been checked against a field type.
//!
//! What needs the database is not decided here: whether the name is taken, whether a reference target exists, whether
//! rules compile, whether the rows of the table allow a change.

mod bundle;
mod check;
mod definition;
mod diff;
mod field;
mod options;
mod plan;
mod problem;
mod read;
mod retype;
mod rules;
pub mod time;
mod value;

pub use bundle::{IfExists, Import, MAX_COLLECTIONS, in_order, parse_collections, parse_import};
pub use definition::{Definition, DefinitionChange, parse_change, parse_definition, parse_fields};
pub use diff::{Change, diff, rebuild};
pub use field::{Field, FieldType, Index, MaskType, OnDelete, WriteMask};
pub use options::{Options, Requirement, WRITES};
pub use plan::{ChangedItem, Item, Plan};
pub use problem::{DefinitionError, Problem};
pub use retype::retype;
pub use rules::{FieldList, LIST_KEYS, RULE_KEYS, Rules, RulesChange, parse_rules_change};
pub use value::{Mismatch, Value, convert, default_sql, default_value};

/// The six columns every collection has, in the order a record shows them.
pub const SYSTEM_FIELDS: [&str; 6] = [
    "id",
    "account_id",
    "created_at",
    "updated_at",
    "created_by",
    "updated_by",
];

/// Bytes of a collection name: the table is `col_` + name and must fit [`names::MAX_BYTES`](crate::names::MAX_BYTES).
pub const MAX_COLLECTION_NAME: usize = 59;

/// Bytes of a field name, which is also the name of its column.
pub const MAX_FIELD_NAME: usize = crate::names::MAX_BYTES;

/// Fields of one collection. PostgreSQL allows 1,600 columns and counts dropped ones too, so room is left.
pub const MAX_FIELDS: usize = 1_000;

/// Computed fields of one collection.
pub const MAX_COMPUTED_FIELDS: usize = 10;

/// Whether `name` is one of [`SYSTEM_FIELDS`], in any case.
pub fn is_system_field(name: &str) -> bool {
    SYSTEM_FIELDS
        .iter()
        .any(|system| system.eq_ignore_ascii_case(name))
}
