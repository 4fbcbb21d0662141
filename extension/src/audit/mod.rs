//! The audit trail, level 1 of the ledger: one change per row written, linked to the same record's change before it.
//!
//! - [`record`]: the trigger that writes changes, one batch per statement
//! - [`image`]: a row as texts, independent of session settings
//! - [`schema`]: what became of the tables of collections
//! - [`entry`]: hashes of a stored change, the same for writing, showing and verifying
//! - [`seal`]: the sealer, which closes blocks over committed changes
//! - [`verify`]: `audit_verify()`, record chains and live rows

pub mod entry;
mod image;
pub mod record;
mod schema;
pub mod seal;
mod verify;

/// What is stored instead of a secret value.
const MASK: &str = "***";
