//! Records: does a JSON body fit the schema of its collection, and what values does it write?
//!
//! [`validate()`] decides about one body; [`mask()`] hides personal data in one value. Whether rules, references and unique
//! constraints hold is decided by the database. [`Binding`] makes and reads cursors, [`aggregate`] reads what an aggregate request asks for.

pub mod aggregate;
mod cursor;
mod mask;
mod validate;

pub use crate::schema::{Problem, Value};
pub use cursor::Binding;
pub use mask::mask;
pub use validate::{MAX_UNKNOWN, Mode, PLACEHOLDER, Rejection, Write, validate};
