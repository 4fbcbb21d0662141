//! A row as texts: the canonical form of contract `audit.md` §1.2, the same whatever the session's settings are.
//!
//! Instants are UTC with six digits and `Z`, booleans are `true` and `false`; everything else is what its output function
//! prints under the settings of [`crate::guc::CanonicalPrinting`]. The frequent types are printed here, without a call.

use std::ffi::CStr;
use std::fmt::Write;

use pgrx::PgTupleDesc;
use pgrx::datum::FromDatum;
use pgrx::pg_sys;
use pgrx::prelude::*;

use crate::json;

/// One column of a table, ready to print.
pub struct Column {
    /// Its name.
    pub name: String,
    /// Counted from 1, as in `pg_attribute`.
    pub number: usize,
    form: Form,
    by_value: bool,
    length: i32,
    /// Whether only built-in types are printed, whose texts do not depend on the schemas that are searched.
    pub is_plain: bool,
}

/// `typlen` of types whose values have a length of their own.
const VARLENA: i32 = -1;

/// How a value becomes text.
enum Form {
    Text,
    Uuid,
    Boolean,
    SmallInteger,
    Integer,
    LargeInteger,
    Instant,
    /// Lies in the memory context of the columns.
    Output(*mut pg_sys::FmgrInfo),
}

/// The live columns of a row type, in order, for use within the current memory context.
pub fn columns(description: &PgTupleDesc) -> Vec<Column> {
    // SAFETY: reads a global of the backend.
    columns_in(description, unsafe { pg_sys::CurrentMemoryContext })
}

/// The same, with what they need to print in `memory`, which must live as long as they do.
pub fn columns_in(description: &PgTupleDesc, memory: pg_sys::MemoryContext) -> Vec<Column> {
    description
        .iter()
        .enumerate()
        .filter(|(_, attribute)| !attribute.is_dropped())
        .map(|(index, attribute)| Column {
            name: attribute.name().to_owned(),
            number: index + 1,
            form: form(attribute.atttypid, memory),
            by_value: attribute.attbyval,
            length: attribute.attlen.into(),
            is_plain: is_plain(attribute.atttypid),
        })
        .collect()
}

fn form(type_oid: pg_sys::Oid, memory: pg_sys::MemoryContext) -> Form {
    match type_oid {
        pg_sys::TEXTOID | pg_sys::VARCHAROID | pg_sys::JSONOID => Form::Text,
        pg_sys::UUIDOID => Form::Uuid,
        pg_sys::BOOLOID => Form::Boolean,
        pg_sys::INT2OID => Form::SmallInteger,
        pg_sys::INT4OID => Form::Integer,
        pg_sys::INT8OID => Form::LargeInteger,
        pg_sys::TIMESTAMPTZOID => Form::Instant,
        // SAFETY: the type of a live column exists; the out-pointers are valid for the call, and the function's description is
        // written into memory of its size.
        _ => unsafe {
            let mut output = pg_sys::InvalidOid;
            let mut varlena = false;
            pg_sys::getTypeOutputInfo(type_oid, &mut output, &mut varlena);
            let function = pg_sys::MemoryContextAllocZero(memory, size_of::<pg_sys::FmgrInfo>())
                .cast::<pg_sys::FmgrInfo>();
            pg_sys::fmgr_info_cxt(output, function, memory);
            Form::Output(function)
        },
    }
}

fn is_plain(type_oid: pg_sys::Oid) -> bool {
    matches!(
        type_oid,
        pg_sys::TEXTOID
            | pg_sys::VARCHAROID
            | pg_sys::JSONOID
            | pg_sys::JSONBOID
            | pg_sys::UUIDOID
            | pg_sys::BOOLOID
            | pg_sys::INT2OID
            | pg_sys::INT4OID
            | pg_sys::INT8OID
            | pg_sys::FLOAT4OID
            | pg_sys::FLOAT8OID
            | pg_sys::NUMERICOID
            | pg_sys::DATEOID
            | pg_sys::TIMESTAMPOID
            | pg_sys::TIMESTAMPTZOID
            | pg_sys::BYTEAOID
            | pg_sys::TEXTARRAYOID
            | pg_sys::UUIDARRAYOID
    )
}

impl Column {
    /// Appends the canonical text of a value of this column.
    ///
    /// # Safety
    /// `datum` must be a value, not NULL, of the column's type.
    pub unsafe fn write(&self, datum: pg_sys::Datum, out: &mut String) {
        match self.form {
            // SAFETY: the caller promises a varlena; what was detoasted is freed after it was copied.
            Form::Text => unsafe {
                let stored = datum.cast_mut_ptr::<pg_sys::varlena>();
                let plain = pg_sys::pg_detoast_datum_packed(stored);
                // Texts of the server are UTF-8, which the extension requires.
                match pgrx::varlena::text_to_rust_str(plain) {
                    Ok(text) => out.push_str(text),
                    Err(error) => error!("a text of column {} is no UTF-8: {error}", self.name),
                }
                if plain != stored {
                    pg_sys::pfree(plain.cast());
                }
            },
            Form::Uuid => {
                // SAFETY: a uuid is a pointer to 16 bytes.
                let id = uuid::Uuid::from_bytes(unsafe { bytes_of_uuid(datum) });
                let mut text = uuid::Uuid::encode_buffer();
                out.push_str(id.hyphenated().encode_lower(&mut text));
            }
            Form::Boolean => out.push_str(if datum.value() & 0xff != 0 {
                "true"
            } else {
                "false"
            }),
            // Writing into a String cannot fail. Narrower integers are the low bytes of the datum.
            Form::SmallInteger => _ = write!(out, "{}", datum.value() as i16),
            Form::Integer => _ = write!(out, "{}", datum.value() as i32),
            Form::LargeInteger => _ = write!(out, "{}", datum.value() as i64),
            Form::Instant => {
                // SAFETY: the caller promises a timestamptz.
                if let Some(value) = unsafe { TimestampWithTimeZone::from_datum(datum, false) } {
                    json::write_timestamp_micros(out, value);
                }
            }
            // SAFETY: the function is the type's output function; its result is a palloc'ed, NUL-terminated string in the
            // server's encoding.
            Form::Output(function) => unsafe {
                let printed = pg_sys::OutputFunctionCall(function, datum);
                out.push_str(&CStr::from_ptr(printed).to_string_lossy());
                pg_sys::pfree(printed.cast());
            },
        }
    }

    /// The canonical text of a value of this column; `None` for NULL.
    ///
    /// # Safety
    /// `datum` must be a value of the column's type, or `is_null` true.
    pub unsafe fn text(&self, datum: pg_sys::Datum, is_null: bool) -> Option<String> {
        if is_null {
            return None;
        }
        let mut text = String::new();
        // SAFETY: the caller promises a value.
        unsafe { self.write(datum, &mut text) };
        Some(text)
    }

    /// Whether two values are the same bytes, which have the same text. (Values that differ may still print alike.)
    ///
    /// # Safety
    /// Both must be values, not NULL, of the column's type.
    pub unsafe fn is_same(&self, a: pg_sys::Datum, b: pg_sys::Datum) -> bool {
        if self.by_value {
            return a.value() == b.value();
        }
        // SAFETY: the caller promises two values of this length, or varlenas, whose length stands in their first bytes (also
        // when they are compressed or elsewhere).
        unsafe {
            let length = match usize::try_from(self.length) {
                Ok(length) => length,
                Err(_) if self.length == VARLENA => {
                    let length = pgrx::varlena::varsize_any(a.cast_mut_ptr());
                    if length != pgrx::varlena::varsize_any(b.cast_mut_ptr()) {
                        return false;
                    }
                    length
                }
                Err(_) => return false,
            };
            let bytes = |datum: pg_sys::Datum| std::slice::from_raw_parts(datum.cast_mut_ptr::<u8>(), length);
            bytes(a) == bytes(b)
        }
    }
}

/// The bytes of a value of type uuid.
///
/// # Safety
/// `datum` must be one, not NULL.
pub unsafe fn bytes_of_uuid(datum: pg_sys::Datum) -> [u8; 16] {
    // SAFETY: a uuid is passed by reference, as 16 bytes without alignment.
    unsafe { datum.cast_mut_ptr::<[u8; 16]>().read_unaligned() }
}
