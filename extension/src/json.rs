//! Rows to JSON text: the one place where a record gets its wire form.

use jiff::Timestamp;
use pgrx::callconv::{Arg, ArgAbi, BoxRet, FcInfo};
use pgrx::datum::{Datum, FromDatum, IntoDatum, TimestampWithTimeZone};
use pgrx::pg_sys;
use pgrx::pgrx_sql_entity_graph::metadata::{
    ArgumentError, ReturnsError, ReturnsRef, SqlMappingRef, SqlTranslatable, TypeOrigin,
};
use pgrx::prelude::*;
use pgrx::spi::SpiHeapTupleData;

use snackbase_core::json::write_number;
pub use snackbase_core::json::write_text;

use crate::error::Error;

/// JSON text that arrives as, or leaves as, a value of type `json`, unparsed. (pgrx's `Json` parses and prints.)
pub struct JsonText(pub String);

// SAFETY: type json is a varlena with the text itself as content, as type text is; the SQL names agree.
unsafe impl SqlTranslatable for JsonText {
    const TYPE_IDENT: &'static str = pgrx::pgrx_resolved_type!(JsonText);
    const TYPE_ORIGIN: TypeOrigin = TypeOrigin::External;
    const ARGUMENT_SQL: Result<SqlMappingRef, ArgumentError> = Ok(SqlMappingRef::literal("json"));
    const RETURN_SQL: Result<ReturnsRef, ReturnsError> = Ok(ReturnsRef::One(SqlMappingRef::literal("json")));
}

impl FromDatum for JsonText {
    unsafe fn from_polymorphic_datum(
        datum: pg_sys::Datum,
        is_null: bool,
        _type: pg_sys::Oid,
    ) -> Option<Self> {
        // SAFETY: the layout of json is that of text; the caller promises a json datum.
        unsafe { String::from_polymorphic_datum(datum, is_null, pg_sys::TEXTOID) }.map(JsonText)
    }
}

impl IntoDatum for JsonText {
    fn into_datum(self) -> Option<pg_sys::Datum> {
        self.0.into_datum()
    }

    fn type_oid() -> pg_sys::Oid {
        pg_sys::JSONOID
    }
}

// SAFETY: from_polymorphic_datum reads what the argument holds.
unsafe impl<'fcx> ArgAbi<'fcx> for JsonText {
    unsafe fn unbox_arg_unchecked(argument: Arg<'_, 'fcx>) -> Self {
        let index = argument.index();
        // SAFETY: the SQL declaration says json.
        unsafe { argument.unbox_arg_using_from_datum() }
            .unwrap_or_else(|| panic!("argument {index} must not be null"))
    }
}

// SAFETY: a palloc'ed varlena is a valid json datum.
unsafe impl BoxRet for JsonText {
    unsafe fn box_into<'fcx>(self, fcinfo: &mut FcInfo<'fcx>) -> Datum<'fcx> {
        match self.into_datum() {
            // SAFETY: as above.
            Some(datum) => unsafe { fcinfo.return_raw_datum(datum) },
            None => fcinfo.return_null(),
        }
    }
}

/// How the value of one selected column becomes JSON.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// A `text` column: a JSON string.
    Text,
    /// A `double precision` column: a JSON number.
    Number,
    /// A `boolean` column.
    Boolean,
    /// A `timestamptz` column: RFC 3339 in UTC, `Z`, a fraction only when it is not zero.
    Timestamp,
    /// A `text` column that holds JSON already.
    Raw,
}

/// One member of the object: the key, already quoted and escaped as JSON, and the form of the value.
#[derive(Debug, Clone)]
pub struct Member {
    key: String,
    form: Form,
    /// The value is an id in whose place an object will stand: the number of the branch that knows it.
    pub branch: Option<usize>,
}

/// A place in a JSON text where an object is still missing.
#[derive(Debug)]
pub struct Slot {
    /// Byte position in the text.
    pub at: usize,
    /// The branch of the member.
    pub branch: usize,
    /// The id of the object.
    pub id: String,
}

impl Member {
    /// A member with this key.
    pub fn new(key: &str, form: Form) -> Self {
        let mut quoted = String::with_capacity(key.len() + 3);
        write_text(&mut quoted, key);
        quoted.push(':');
        Member {
            key: quoted,
            form,
            branch: None,
        }
    }
}

/// Appends one row as an object: member `i` is column `first + i` (counted from 1). Ids of members with a branch are left out
/// and go to `slots`.
///
/// # Errors
/// [`Error::Spi`] when a column has another type than its form says, which is a defect of the caller.
pub fn write_row(
    out: &mut String,
    row: &SpiHeapTupleData<'_>,
    first: usize,
    members: &[Member],
    slots: &mut Vec<Slot>,
) -> Result<(), Error> {
    out.push('{');
    for (index, member) in members.iter().enumerate() {
        if index > 0 {
            out.push(',');
        }
        out.push_str(&member.key);
        match member.branch {
            None => write_value(out, row, first + index, member.form)?,
            Some(branch) => match row.get::<String>(first + index)? {
                None => out.push_str("null"),
                // A field with a mask comes as JSON, in quotes.
                Some(id) => slots.push(Slot {
                    at: out.len(),
                    branch,
                    id: id.trim_matches('"').to_owned(),
                }),
            },
        }
    }
    out.push('}');
    Ok(())
}

fn write_value(
    out: &mut String,
    row: &SpiHeapTupleData<'_>,
    ordinal: usize,
    form: Form,
) -> Result<(), Error> {
    match form {
        Form::Text => match row.get::<&str>(ordinal)? {
            Some(text) => write_text(out, text),
            None => out.push_str("null"),
        },
        Form::Raw => out.push_str(row.get::<&str>(ordinal)?.unwrap_or("null")),
        Form::Number => match row.get::<f64>(ordinal)? {
            Some(number) => write_number(out, number),
            None => out.push_str("null"),
        },
        Form::Boolean => out.push_str(match row.get::<bool>(ordinal)? {
            Some(true) => "true",
            Some(false) => "false",
            None => "null",
        }),
        Form::Timestamp => match row.get::<TimestampWithTimeZone>(ordinal)? {
            Some(value) => write_text(out, &timestamp_text(value)),
            None => out.push_str("null"),
        },
    }
    Ok(())
}

/// Microseconds between the epochs of Unix and of Postgres (2000-01-01).
const POSTGRES_EPOCH_MICROS: i64 = 946_684_800_000_000;

/// RFC 3339 in UTC. Instants outside the years -9999 to 9999, and `infinity`, read as Postgres prints them.
pub fn timestamp_text(value: TimestampWithTimeZone) -> String {
    instant(value).map_or_else(|| value.to_iso_string(), |instant| instant.to_string())
}

fn instant(value: TimestampWithTimeZone) -> Option<Timestamp> {
    let micros: i64 = value.into();
    Timestamp::from_microsecond(micros.checked_add(POSTGRES_EPOCH_MICROS)?).ok()
}

/// `YYYY-MM-DDTHH:MM:SS.ffffffZ`: the form of instants in the ledger.
pub fn timestamp_micros_text(value: TimestampWithTimeZone) -> String {
    let mut text = String::new();
    write_timestamp_micros(&mut text, value);
    text
}

/// Appends the form of instants in the ledger.
pub fn write_timestamp_micros(out: &mut String, value: TimestampWithTimeZone) {
    use std::fmt::Write;
    match instant(value) {
        // Writing into a String cannot fail.
        Some(instant) => _ = write!(out, "{instant:.6}"),
        None => out.push_str(&value.to_iso_string()),
    }
}

/// RFC 3339 in UTC, with `Z`, and a fraction only when it is not zero; independent of session settings.
#[pg_extern(immutable, strict, parallel_safe)]
fn rfc3339(value: TimestampWithTimeZone) -> String {
    timestamp_text(value)
}
