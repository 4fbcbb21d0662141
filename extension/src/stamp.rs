//! Trigger `z_stamp` of every collection: account, times and authors of a record, which no client chooses. In Rust, because it
//! runs for every row that is written.

use std::ffi::c_int;

use pgrx::heap_tuple::PgHeapTuple;
use pgrx::pg_sys::{self, panic::ErrorReport};
use pgrx::prelude::*;
use pgrx::{AllocatedByPostgres, IntoDatum, PgRelation, PgTupleDesc};

use crate::cache;
use crate::context::{self, Context};
use crate::error::{Error, raise};

/// Attribute numbers of the columns that every collection has.
struct Columns {
    id: c_int,
    account: c_int,
    created_at: c_int,
    updated_at: c_int,
    created_by: c_int,
    updated_by: c_int,
}

impl Columns {
    fn of(relation: &PgRelation) -> Result<Columns, Error> {
        let description = relation.tuple_desc();
        let number = |name: &str| {
            let found = description
                .iter()
                .position(|attribute| !attribute.is_dropped() && attribute.name() == name);
            found
                .map(|index| index as c_int + 1)
                .ok_or_else(|| Error::Internal(format!("{} has no column {name}", relation.name())))
        };
        Ok(Columns {
            id: number("id")?,
            account: number("account_id")?,
            created_at: number("created_at")?,
            updated_at: number("updated_at")?,
            created_by: number("created_by")?,
            updated_by: number("updated_by")?,
        })
    }
}

/// Sets the account of a new record to the caller's (a superadmin may name another), and who wrote it when. A record keeps
/// its id, account and creation.
///
/// The number of wall-clock microseconds is what `created_at` and `updated_at` show.
///
/// Errors: 42501 when an update changes id or account.
#[pg_trigger]
fn _stamp<'a>(
    trigger: &'a PgTrigger<'a>,
) -> Result<Option<PgHeapTuple<'a, AllocatedByPostgres>>, ErrorReport> {
    match stamped(trigger) {
        Ok(row) => Ok(Some(row)),
        Err(error) => raise(error),
    }
}

fn stamped<'a>(trigger: &'a PgTrigger<'a>) -> Result<PgHeapTuple<'a, AllocatedByPostgres>, Error> {
    let data = trigger.trigger_data();
    let internal = |e: PgTriggerError| Error::Internal(e.to_string());
    let relation = trigger.relation().map_err(internal)?;
    let columns = cache::get(relation.oid(), || Ok((relation.oid(), Columns::of(&relation)?)))?;
    // SAFETY: reads the clock.
    let now = Some(pg_sys::Datum::from(unsafe { pg_sys::GetCurrentTimestamp() }));
    let actor = context::current_actor().into_datum();
    // SAFETY: a row trigger before INSERT or UPDATE has its rows in these places.
    let description = unsafe { (*data.tg_relation).rd_att };
    if matches!(trigger.op().map_err(internal)?, PgTriggerOperation::Insert) {
        let row = data.tg_trigtuple;
        let mut changes = vec![
            (columns.created_at, now),
            (columns.updated_at, now),
            (columns.created_by, actor),
            (columns.updated_by, actor),
        ];
        if let Some(account) = context::current_account_id() {
            // SAFETY: a row of the relation, and a uuid column of it.
            let given = unsafe { uuid(row, columns.account, description) };
            if given.is_none_or(|given| given != *account.as_bytes() && !Context::current().is_superadmin()) {
                changes.push((columns.account, account.into_datum()));
            }
        }
        // SAFETY: values of the columns' types.
        return Ok(unsafe { with(row, description, &changes) });
    }
    let (old, new) = (data.tg_trigtuple, data.tg_newtuple);
    // SAFETY: rows of the relation, and columns of it.
    unsafe {
        for column in [columns.id, columns.account] {
            if uuid(old, column, description) != uuid(new, column, description) {
                return Err(Error::RecordMoved);
            }
        }
        let changes = [
            (columns.created_at, value(old, columns.created_at, description)),
            (columns.created_by, value(old, columns.created_by, description)),
            (columns.updated_at, now),
            (columns.updated_by, actor),
        ];
        Ok(with(new, description, &changes))
    }
}

/// The value of a column; None for NULL.
///
/// # Safety
/// `row` must be a row of the description, and `column` the number of one of its columns.
unsafe fn value(
    row: pg_sys::HeapTuple,
    column: c_int,
    description: pg_sys::TupleDesc,
) -> Option<pg_sys::Datum> {
    let mut is_null = false;
    // SAFETY: the caller promises it.
    let value = unsafe { pg_sys::heap_getattr(row, column, description, &mut is_null) };
    (!is_null).then_some(value)
}

/// The bytes of a value of type uuid; None for NULL.
///
/// # Safety
/// As [`value`], and the column must be of this type.
unsafe fn uuid(row: pg_sys::HeapTuple, column: c_int, description: pg_sys::TupleDesc) -> Option<[u8; 16]> {
    // SAFETY: the caller promises it; a uuid is a pointer to 16 bytes without alignment.
    unsafe { value(row, column, description).map(|uuid| uuid.cast_mut_ptr::<[u8; 16]>().read_unaligned()) }
}

/// The row with other values in some columns.
///
/// # Safety
/// `row` must be a row of the description, the numbers those of its columns, and the values of their types.
unsafe fn with<'a>(
    row: pg_sys::HeapTuple,
    description: pg_sys::TupleDesc,
    changes: &[(c_int, Option<pg_sys::Datum>)],
) -> PgHeapTuple<'a, AllocatedByPostgres> {
    let numbers: Vec<c_int> = changes.iter().map(|(number, _)| *number).collect();
    let values: Vec<pg_sys::Datum> = changes
        .iter()
        .map(|(_, value)| value.unwrap_or(pg_sys::Datum::from(0usize)))
        .collect();
    let nulls: Vec<bool> = changes.iter().map(|(_, value)| value.is_none()).collect();
    // SAFETY: the caller promises it; the arrays have one element per change and are copied from.
    unsafe {
        let changed = pg_sys::heap_modify_tuple_by_cols(
            row,
            description,
            changes.len() as c_int,
            numbers.as_ptr().cast_mut(),
            values.as_ptr().cast_mut(),
            nulls.as_ptr().cast_mut(),
        );
        PgHeapTuple::from_heap_tuple(PgTupleDesc::from_pg_unchecked(description), changed)
    }
}
