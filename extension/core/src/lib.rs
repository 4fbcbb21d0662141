//! Everything about SnackBase that can be decided without a database: what a rule means, what a collection
//! may look like, whether a record fits it, and what the bytes of an audit entry are.
//!
//! No I/O, no clock, no panics: this code runs inside Postgres backends, where a stack overflow restarts
//! every backend of the server.

pub mod json;
pub mod ledger;
pub mod names;
pub mod records;
pub mod rules;
pub mod schema;
pub mod trail;
