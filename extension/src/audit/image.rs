//! A row as texts: the canonical form of contract `audit.md` §1.2, the same whatever the session's settings are.
//!
//! Instants are UTC with six digits and `Z`; everything else is what its output function prints. The functions that
//! call this module pin `extra_float_digits`, `DateStyle`, `IntervalStyle` and `bytea_output` (900_privileges.sql).

use std::ffi::CStr;

use pgrx::datum::FromDatum;
use pgrx::pg_sys;
use pgrx::prelude::*;
use pgrx::{AnyElement, PgTupleDesc};

use crate::json;

/// One column of a table, ready to print.
pub struct Column {
    /// Its name.
    pub name: String,
    type_oid: pg_sys::Oid,
    output: pg_sys::Oid,
    /// Counted from 1, as in `pg_attribute`.
    pub number: usize,
}

/// The live columns of a row type, in order.
pub fn columns(description: &PgTupleDesc) -> Vec<Column> {
    description
        .iter()
        .enumerate()
        .filter(|(_, attribute)| !attribute.is_dropped())
        .map(|(index, attribute)| {
            let type_oid = attribute.atttypid;
            let mut output = pg_sys::InvalidOid;
            let mut varlena = false;
            // SAFETY: the type of a live column exists; both out-pointers are valid for the call.
            unsafe { pg_sys::getTypeOutputInfo(type_oid, &mut output, &mut varlena) };
            Column {
                name: attribute.name().to_owned(),
                type_oid,
                output,
                number: index + 1,
            }
        })
        .collect()
}

impl Column {
    /// The canonical text of a value of this column; `None` for NULL.
    ///
    /// # Safety
    /// `datum` must be a value of the column's type, or `is_null` true.
    pub unsafe fn text(&self, datum: pg_sys::Datum, is_null: bool) -> Option<String> {
        if is_null {
            return None;
        }
        if self.type_oid == pg_sys::TIMESTAMPTZOID {
            // SAFETY: the caller promises a timestamptz.
            let value = unsafe { TimestampWithTimeZone::from_datum(datum, false) };
            return value.map(json::timestamp_micros_text);
        }
        // SAFETY: the caller promises a value of the type whose output function this is; the result is a palloc'ed,
        // NUL-terminated string in the server's encoding (UTF-8, which the extension requires).
        unsafe {
            let printed = pg_sys::OidOutputFunctionCall(self.output, datum);
            let text = CStr::from_ptr(printed).to_string_lossy().into_owned();
            pg_sys::pfree(printed.cast());
            Some(text)
        }
    }
}

/// A row as a JSON object of texts, `{"column": "text" or null}`; columns named in `masked` show `***` unless NULL.
/// What `audit_verify()` compares with the trail.
#[pg_extern(stable, parallel_restricted)]
fn _audit_image(row: AnyElement, masked: Vec<String>) -> String {
    // SAFETY: the argument is a row of a table (audit_verify passes whole-row references), so its datum is a
    // composite value; deforming fills one datum and one null flag per attribute of its own description.
    let texts: Vec<(String, Option<String>)> = unsafe {
        let header =
            pg_sys::pg_detoast_datum(row.datum().cast_mut_ptr()).cast::<pg_sys::HeapTupleHeaderData>();
        let type_id = (*header).t_choice.t_datum.datum_typeid;
        let type_mod = (*header).t_choice.t_datum.datum_typmod;
        let description =
            PgTupleDesc::from_pg_is_copy(pg_sys::lookup_rowtype_tupdesc_copy(type_id, type_mod));
        let mut tuple = pg_sys::HeapTupleData {
            t_len: pgrx::varlena::varsize(header.cast()) as u32,
            t_data: header,
            ..Default::default()
        };
        let mut datums = vec![pg_sys::Datum::from(0usize); description.len()];
        let mut nulls = vec![true; description.len()];
        pg_sys::heap_deform_tuple(
            &mut tuple,
            description.as_ptr(),
            datums.as_mut_ptr(),
            nulls.as_mut_ptr(),
        );
        columns(&description)
            .into_iter()
            .map(|column| {
                let text = column.text(datums[column.number - 1], nulls[column.number - 1]);
                (column.name, text)
            })
            .collect()
    };
    let mut out = String::from("{");
    for (index, (name, text)) in texts.iter().enumerate() {
        if index > 0 {
            out.push(',');
        }
        json::write_text(&mut out, name);
        out.push(':');
        match text {
            Some(_) if masked.contains(name) => json::write_text(&mut out, super::MASK),
            Some(text) => json::write_text(&mut out, text),
            None => out.push_str("null"),
        }
    }
    out.push('}');
    out
}
