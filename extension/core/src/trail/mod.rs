//! The audit trail as it is shown: entries as JSON and CSV, masks of core tables, and values of the past.
//!
//! What is hashed is in [`crate::ledger`]; here is what people and programs read. Sources: contract of the audit trail §1,
//! §3.3 and §3.6.

mod csv;
mod entry;
mod mask;
mod past;

pub use csv::{unneutralised, write_csv, write_csv_header};
pub use entry::{BRIEF, Entry, FULL, Field, IMPORTED, LISTED, write_json, write_row, write_row_titles};
pub use mask::core_column;
pub use past::write_value;
