//! The audit trail, level 1 of the ledger: one change per row written, linked to the same record's change before it.
//!
//! - [`record`]: the trigger that makes changes of the rows a statement wrote
//! - [`image`]: a row as texts, independent of session settings
//! - [`treatment`]: what a column's text becomes before it is stored
//! - [`origin`]: who, how, and from where
//! - [`store`]: where changes are written, below SQL
//! - [`schema`]: what became of the tables of collections
//! - [`entry`]: hashes of a stored change, the same for writing, showing and verifying
//! - [`proof`]: proofs of one entry, and between checkpoints · [`account`]: the export of one account · [`evidence`]: what both read
//! - [`seal`]: the sealer, which closes blocks over committed changes
//! - [`trail`]: lists, single entries and exports, masked as the caller sees them
//! - [`history`]: records and accounts as they were
//! - [`import`]: logs of an original instance
//! - [`key`]: checkpoints and the keys that sign them
//! - [`worker`]: the background worker that seals by itself; [`status`]: what it does
//! - [`verify`]: `audit_verify()`, record chains and live rows

mod account;
pub mod entry;
mod evidence;
mod history;
mod image;
mod import;
mod key;
mod origin;
mod proof;
pub mod record;
mod schema;
pub mod seal;
pub mod status;
mod store;
pub mod trail;
mod treatment;
mod verify;
pub mod worker;

/// What is stored instead of a secret value.
const MASK: &str = "***";
