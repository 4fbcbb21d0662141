//! Who sees which value of the trail: contract `audit.md` §3.6.
//!
//! The collection's schema decides first, as it does for records. Of a column that the collection no longer has, nobody can say
//! what it held: masked in full. Core tables have no schema; there the name of the column decides.

use std::borrow::Cow;
use std::cell::RefCell;
use std::collections::HashMap;

use pgrx::pg_sys;
use pgrx::pg_sys::panic::ErrorReport;
use pgrx::prelude::*;
use snackbase_core::schema::{Field, MaskType, is_system_field, parse_fields};
use snackbase_core::{records, trail};

use crate::context;
use crate::error::Error;
use crate::spi;

/// What the caller sees of the values of each table.
pub struct Masks {
    clear: bool,
    /// The fields of a collection by its name in lower case, as its table has it; none for a collection that is gone.
    fields: HashMap<String, Option<Vec<Field>>>,
}

impl Masks {
    /// The masks of whoever asks.
    ///
    /// # Errors
    /// [`Error::Spi`].
    pub fn for_caller() -> Result<Masks, Error> {
        Ok(Masks {
            clear: sees_everything()?,
            fields: HashMap::new(),
        })
    }

    /// Whether the caller sees all values in clear.
    pub fn are_off(&self) -> bool {
        self.clear
    }

    /// The mask of a column of a table, `None` where the value is shown as it is.
    ///
    /// # Errors
    /// [`Error::Spi`].
    pub fn of(&mut self, table: &str, column: &str) -> Result<Option<MaskType>, Error> {
        if self.clear {
            return Ok(None);
        }
        let Some(collection) = table.strip_prefix("col_") else {
            return Ok(trail::core_column(column));
        };
        if is_system_field(column) {
            return Ok(None);
        }
        if !self.fields.contains_key(collection) {
            self.fields.insert(collection.to_owned(), fields(collection)?);
        }
        let fields = self.fields.get(collection).and_then(Option::as_ref);
        Ok(
            match fields.and_then(|fields| fields.iter().find(|field| field.name == column)) {
                Some(field) => field.mask(),
                None => Some(MaskType::Full),
            },
        )
    }
}

/// A value under a mask. Secrets are `***` already, and stay so.
pub fn shown(mask: Option<MaskType>, value: Option<&str>) -> Option<Cow<'_, str>> {
    Some(match (mask, value?) {
        (Some(mask), value) if value != crate::audit::MASK => records::mask(mask, value).into(),
        (_, value) => value.into(),
    })
}

/// Whether the caller sees all values in clear: superadmins, members of `pii_access`, and roles that no account binds.
///
/// # Errors
/// [`Error::Spi`].
pub fn sees_everything() -> Result<bool, Error> {
    Ok(spi::is_bound_to_no_account() || context::caller_sees_pii()?)
}

fn fields(collection: &str) -> Result<Option<Vec<Field>>, Error> {
    let schema = spi::select_as_owner(
        "select c.schema::pg_catalog.text from snackbase.collections c where pg_catalog.lower(c.name) operator(pg_catalog.=) $1",
        &[collection.into()],
        spi::first_value::<String>,
    )?;
    let Some(schema) = schema else {
        return Ok(None);
    };
    let schema = serde_json::from_str(&schema).ok();
    // A schema that cannot be read says nothing about a field, so all are masked.
    Ok(schema.and_then(|schema| parse_fields(&schema).ok()))
}

/// Whether the caller sees every value of the trail in clear: asked once by the view `audit_log`.
#[pg_extern(stable, parallel_restricted)]
pub fn _audit_sees_everything() -> Result<bool, ErrorReport> {
    Ok(sees_everything()?)
}

/// A command of a statement, and the role that runs it.
type Moment = (i64, u32, pg_sys::Oid);

thread_local! {
    /// The masks of a statement, and which one it was.
    static KEPT: RefCell<Option<(Moment, Masks)>> = const { RefCell::new(None) };
}

/// A value of a column of a table as the caller sees it: for the view `audit_log`.
#[pg_extern(stable, parallel_restricted)]
pub fn _audit_shown(
    table_name: &str,
    column_name: &str,
    value: Option<&str>,
) -> Result<Option<String>, ErrorReport> {
    // SAFETY: reads of the backend's own state, inside a transaction.
    let statement = unsafe {
        (
            pg_sys::GetCurrentStatementStartTimestamp(),
            pg_sys::GetCurrentCommandId(false),
            pg_sys::GetUserId(),
        )
    };
    let kept = KEPT.take().filter(|(of, _)| *of == statement);
    let mut masks = match kept {
        Some((_, masks)) => masks,
        None => Masks::for_caller()?,
    };
    let mask = masks.of(table_name, column_name)?;
    KEPT.set(Some((statement, masks)));
    Ok(shown(mask, value).map(Cow::into_owned))
}
