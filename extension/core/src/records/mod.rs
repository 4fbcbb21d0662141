//! Records: does a JSON body fit the schema of its collection, and what values does it write?
//!
//! [`validate`] decides about one body. Whether rules, references and unique
//! constraints hold is decided by the database.

mod validate;

pub use crate::schema::{Problem, Value};
pub use validate::{MAX_UNKNOWN, Mode, PLACEHOLDER, Rejection, Write, validate};
