//! Reading what is committed *now*, whatever snapshot the running transaction has.
//!
//! SPI reads with the active snapshot only when it is told that it may not write, and pgrx tells it otherwise as soon as
//! the transaction has written. A sealer inside a REPEATABLE READ transaction would then miss what was committed since
//! that began, hence these few calls of their own. Rows are read as datums, batch by batch, and freed: memory stays flat.

use std::cell::RefCell;
use std::collections::HashMap;
use std::ffi::CString;

use pgrx::datum::{DatumWithOid, FromDatum};
use pgrx::{Spi, pg_sys};

use crate::error::Error;

/// Rows per fetch.
const BATCH: std::ffi::c_long = 10_000;

/// While it lives, [`Fresh::read`] sees what was committed when it began, and what this transaction has done before.
pub struct Fresh {
    xmin: u64,
    next: u64,
}

thread_local! {
    /// Plans by role and text, as `spi` keeps them; the statements are constants.
    static PLANS: RefCell<HashMap<(u32, &'static str), pg_sys::SPIPlanPtr>> = RefCell::new(HashMap::new());
}

impl Fresh {
    /// Takes the newest snapshot there is.
    pub fn begin() -> Fresh {
        // SAFETY: inside a transaction; the snapshot is popped when this is dropped, or by the abort after a Postgres error.
        unsafe {
            pg_sys::CommandCounterIncrement();
            let snapshot = pg_sys::GetLatestSnapshot();
            pg_sys::PushActiveSnapshot(snapshot);
            // Read after the snapshot was taken, so it is the later one.
            let next = pg_sys::ReadNextFullTransactionId().value;
            Fresh {
                xmin: full(next, (*snapshot).xmin.into_inner()),
                next,
            }
        }
    }

    /// No transaction below this one is still running: all of `pg_snapshot_xmin()`.
    pub fn xmin(&self) -> u64 {
        self.xmin
    }

    /// No transaction from this one on had an id. (Not the snapshot's xmax: that is the first not *completed*, and those after
    /// it may be writing already.)
    pub fn next_xid(&self) -> u64 {
        self.next
    }

    /// Runs a query and hands over its rows, one by one.
    ///
    /// # Errors
    /// What `each` returns, and [`Error::Spi`]. Failures inside the statement unwind as Postgres errors.
    pub fn read(
        &self,
        statement: &'static str,
        arguments: &[DatumWithOid],
        mut each: impl FnMut(&Row) -> Result<(), Error>,
    ) -> Result<(), Error> {
        Spi::connect(|_| {
            let plan = plan_of(statement, arguments)?;
            let mut values: Vec<pg_sys::Datum> = Vec::with_capacity(arguments.len());
            let mut nulls = Vec::with_capacity(arguments.len());
            for argument in arguments {
                values.push(
                    argument
                        .datum()
                        .map_or(pg_sys::Datum::null(), |datum| datum.sans_lifetime()),
                );
                nulls.push(if argument.datum().is_none() { b'n' } else { b' ' } as std::ffi::c_char);
            }
            // SAFETY: connected to SPI; the plan is kept for the life of the backend and was made for these types; the
            // arrays have one element per argument. Read-only: the active snapshot is used, which is ours. The tuple
            // table is used until it is freed, and nothing of it leaves `each`.
            unsafe {
                let portal = pg_sys::SPI_cursor_open(
                    std::ptr::null(),
                    plan,
                    values.as_mut_ptr(),
                    nulls.as_ptr(),
                    true,
                );
                loop {
                    pg_sys::SPI_cursor_fetch(portal, true, BATCH);
                    let table = pg_sys::SPI_tuptable;
                    let count = pg_sys::SPI_processed as usize;
                    for place in 0..count {
                        each(&Row {
                            tuple: *(*table).vals.add(place),
                            description: (*table).tupdesc,
                        })?;
                    }
                    pg_sys::SPI_freetuptable(table);
                    if count < BATCH as usize {
                        break;
                    }
                }
                pg_sys::SPI_cursor_close(portal);
            }
            Ok(())
        })
    }

    /// The first row of a query, as `read` understands it.
    ///
    /// # Errors
    /// As [`Fresh::read`].
    pub fn first<T>(
        &self,
        statement: &'static str,
        arguments: &[DatumWithOid],
        read: impl Fn(&Row) -> Result<T, Error>,
    ) -> Result<Option<T>, Error> {
        let mut found = None;
        self.read(statement, arguments, |row| {
            if found.is_none() {
                found = Some(read(row)?);
            }
            Ok(())
        })?;
        Ok(found)
    }
}

impl Drop for Fresh {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            // SAFETY: pops what `begin` pushed. After a Postgres error the abort of the transaction does.
            unsafe { pg_sys::PopActiveSnapshot() };
        }
    }
}

/// The plan of a statement for the current role.
fn plan_of(statement: &'static str, arguments: &[DatumWithOid]) -> Result<pg_sys::SPIPlanPtr, Error> {
    // SAFETY: reads a global of the backend.
    let role = unsafe { pg_sys::GetUserId() }.to_u32();
    if let Some(plan) = PLANS.with_borrow(|plans| plans.get(&(role, statement)).copied()) {
        return Ok(plan);
    }
    let text = CString::new(statement).map_err(|e| Error::Internal(e.to_string()))?;
    let mut types: Vec<pg_sys::Oid> = arguments.iter().map(DatumWithOid::oid).collect();
    // SAFETY: connected to SPI; the text is NUL-terminated and outlives the call, which copies it.
    let plan = unsafe {
        let plan = pg_sys::SPI_prepare(text.as_ptr(), types.len() as i32, types.as_mut_ptr());
        if plan.is_null() || pg_sys::SPI_keepplan(plan) != 0 {
            return Err(Error::Internal(format!("no plan for: {statement}")));
        }
        plan
    };
    PLANS.with_borrow_mut(|plans| plans.insert((role, statement), plan));
    Ok(plan)
}

/// The 64 bits of a transaction id that is not younger than `next`, nor older by half a circle.
fn full(next: u64, xid: u32) -> u64 {
    next - u64::from((next as u32).wrapping_sub(xid))
}

/// One row, valid while its closure runs.
pub struct Row {
    tuple: pg_sys::HeapTuple,
    description: pg_sys::TupleDesc,
}

impl Row {
    fn datum(&self, column: i32) -> Option<pg_sys::Datum> {
        let mut null = false;
        // SAFETY: tuple and description belong together and live in the tuple table.
        let datum = unsafe { pg_sys::SPI_getbinval(self.tuple, self.description, column, &mut null) };
        (!null).then_some(datum)
    }

    /// A value of column `column`, counted from 1; `None` for NULL. `T` is the Rust type of the column's SQL type; references
    /// are copied out of the row by whoever keeps them.
    pub fn get<T: FromDatum>(&self, column: i32) -> Option<T> {
        // SAFETY: the statements of the callers say the type of each column.
        self.datum(column)
            .and_then(|datum| unsafe { T::from_datum(datum, false) })
    }

    /// A value that cannot be NULL.
    ///
    /// # Errors
    /// [`Error::Internal`] if it is.
    pub fn want<T: FromDatum>(&self, column: i32) -> Result<T, Error> {
        self.get(column)
            .ok_or_else(|| Error::Internal(format!("column {column} of a query is NULL")))
    }

    /// An `xid8`, `bigint` or `timestamptz`, whose datum is the number itself.
    ///
    /// # Errors
    /// [`Error::Internal`] if it is NULL.
    pub fn number(&self, column: i32) -> Result<u64, Error> {
        self.datum(column)
            .map(|datum| datum.value() as u64)
            .ok_or_else(|| Error::Internal(format!("column {column} of a query is NULL")))
    }

    /// A hash of 32 bytes.
    ///
    /// # Errors
    /// [`Error::Internal`] if it is something else.
    pub fn hash(&self, column: i32) -> Result<[u8; 32], Error> {
        self.want::<&[u8]>(column)?
            .try_into()
            .map_err(|_| Error::Internal("a hash of the ledger has 32 bytes".into()))
    }
}
