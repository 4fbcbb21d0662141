//! Masks of personal data for SQL: the views of `snackbase_bi` and the records functions.

use pgrx::pg_sys::panic::ErrorReport;
use pgrx::prelude::*;
use snackbase_core::records;
use snackbase_core::schema::MaskType;

use crate::error::Error;

/// The masked form of a text (contract `records.md` §8); NULL stays NULL.
///
/// Errors: 22023 for an unknown mask type.
#[pg_extern(immutable, strict, parallel_safe)]
fn mask(mask_type: &str, value: &str) -> Result<String, ErrorReport> {
    let mask_type = MaskType::from_name(mask_type)
        .ok_or_else(|| Error::Malformed(format!("unknown mask type {mask_type}")))?;
    Ok(records::mask(mask_type, value))
}
