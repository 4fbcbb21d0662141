//! Reading many rows at one snapshot, one at a time and without copies: what verifying the ledger is made of.
//!
//! The rest of the house reads a handful of rows and takes them as Rust values. Here a row is deformed in place, its
//! texts are borrowed, and what a value needs in memory is given back before the next row.

use std::ffi::CString;

use pgrx::datum::DatumWithOid;
use pgrx::{PgMemoryContexts, PgTupleDesc, Spi, pg_sys};

use crate::error::Error;

/// Rows per fetch. A row holds large values as pointers, so this many rows are small.
const BATCH: i64 = 200;

/// A connection to SPI and a snapshot. Everything opened from it sees the same state of the database.
pub struct Reader(());

/// Runs `work` with a reader whose snapshot is taken now; in a transaction that is REPEATABLE READ or stricter, the
/// transaction's own.
///
/// # Errors
/// Those of `work`.
pub fn at_one_snapshot<R>(work: impl FnOnce(&Reader) -> Result<R, Error>) -> Result<R, Error> {
    Spi::connect(|_| {
        // SAFETY: inside a transaction; popped below, or by the abort after a Postgres error.
        unsafe { pg_sys::PushActiveSnapshot(pg_sys::GetTransactionSnapshot()) };
        let result = work(&Reader(()));
        // SAFETY: pops what was pushed above.
        unsafe { pg_sys::PopActiveSnapshot() };
        result
    })
}

impl Reader {
    /// Prepares a statement that reads. `types` are those of `$1`, `$2`, …
    ///
    /// # Errors
    /// [`Error::Internal`]; what Postgres refuses unwinds as its error.
    pub fn prepare(&self, statement: &str, types: &[pg_sys::Oid]) -> Result<Query<'_>, Error> {
        let text = CString::new(statement).map_err(|_| Error::Internal("a statement with a NUL".into()))?;
        let mut types = types.to_vec();
        // SAFETY: connected to SPI as long as the reader lives; the array has as many elements as is said.
        let plan = unsafe {
            pg_sys::SPI_prepare_cursor(
                text.as_ptr(),
                types.len() as i32,
                types.as_mut_ptr(),
                pg_sys::CURSOR_OPT_NO_SCROLL as i32,
            )
        };
        if plan.is_null() {
            return Err(Error::Internal(format!("not prepared: {statement}")));
        }
        Ok(Query { reader: self, plan })
    }

    /// The rows of a statement that is run once.
    ///
    /// # Errors
    /// As [`Reader::prepare`].
    pub fn scan(&self, statement: &str, arguments: &[DatumWithOid]) -> Result<Scan<'_>, Error> {
        let types: Vec<_> = arguments.iter().map(DatumWithOid::oid).collect();
        // A portal keeps what it needs of the plan.
        self.prepare(statement, &types)?.open(arguments)
    }
}

/// A prepared statement.
pub struct Query<'r> {
    reader: &'r Reader,
    plan: pg_sys::SPIPlanPtr,
}

impl<'r> Query<'r> {
    /// Runs it as the current role.
    ///
    /// # Errors
    /// [`Error::Internal`]; what Postgres refuses unwinds as its error.
    pub fn open(&self, arguments: &[DatumWithOid]) -> Result<Scan<'r>, Error> {
        let mut values: Vec<pg_sys::Datum> = Vec::with_capacity(arguments.len());
        let mut nulls: Vec<std::ffi::c_char> = Vec::with_capacity(arguments.len());
        for argument in arguments {
            let datum = argument.datum();
            nulls.push(if datum.is_some() { b' ' } else { b'n' } as std::ffi::c_char);
            values.push(datum.map_or(pg_sys::Datum::from(0usize), |datum| datum.sans_lifetime()));
        }
        // SAFETY: the plan lives; there is one value and one flag per parameter, of the type that was prepared. Read-only:
        // the active snapshot, which is the reader's, is used as it is.
        let portal = unsafe {
            pg_sys::SPI_cursor_open(
                std::ptr::null(),
                self.plan,
                values.as_mut_ptr(),
                nulls.as_ptr(),
                true,
            )
        };
        if portal.is_null() {
            return Err(Error::Internal("a cursor was not opened".into()));
        }
        Ok(Scan {
            _reader: self.reader,
            portal,
            table: std::ptr::null_mut(),
            next: 0,
            count: 0,
            done: false,
            values: Vec::new(),
            nulls: Vec::new(),
            memory: PgMemoryContexts::new("snackbase scan row"),
        })
    }
}

impl Drop for Query<'_> {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            // SAFETY: made in `prepare`, freed once; open portals have a reference of their own.
            unsafe { pg_sys::SPI_freeplan(self.plan) };
        }
    }
}

/// The rows of a statement. [`Scan::advance`] goes to the next one; the other functions read the current one, columns
/// counted from 0.
pub struct Scan<'r> {
    _reader: &'r Reader,
    portal: pg_sys::Portal,
    table: *mut pg_sys::SPITupleTable,
    next: usize,
    count: usize,
    done: bool,
    values: Vec<pg_sys::Datum>,
    nulls: Vec<bool>,
    /// Where large values of the current row are unpacked.
    memory: PgMemoryContexts,
}

impl Scan<'_> {
    /// Goes to the next row; `false` behind the last.
    pub fn advance(&mut self) -> bool {
        // SAFETY: nothing borrowed from the row before lives on: borrows end with `&mut self`.
        unsafe { self.memory.reset() };
        if self.next == self.count && !self.fetch() {
            return false;
        }
        // SAFETY: `next` is below the number of tuples of the table; value arrays have an element per attribute.
        unsafe {
            let tuple = *(*self.table).vals.add(self.next);
            pg_sys::heap_deform_tuple(
                tuple,
                (*self.table).tupdesc,
                self.values.as_mut_ptr(),
                self.nulls.as_mut_ptr(),
            );
        }
        self.next += 1;
        true
    }

    fn fetch(&mut self) -> bool {
        self.free_table();
        (self.next, self.count) = (0, 0);
        if self.done {
            return false;
        }
        // SAFETY: connected to SPI (the reader lives) and the portal is open; the globals are those of this fetch.
        unsafe {
            pg_sys::SPI_cursor_fetch(self.portal, true, BATCH as std::ffi::c_long);
            self.table = std::ptr::replace(&raw mut pg_sys::SPI_tuptable, std::ptr::null_mut());
            self.count = usize::try_from(pg_sys::SPI_processed).unwrap_or(0);
            self.done = self.count < BATCH as usize;
            if !self.table.is_null() {
                let width = usize::try_from((*(*self.table).tupdesc).natts).unwrap_or(0);
                self.values.resize(width, pg_sys::Datum::from(0usize));
                self.nulls.resize(width, true);
            }
        }
        self.count > 0
    }

    fn free_table(&mut self) {
        if !self.table.is_null() {
            // SAFETY: the table of an earlier fetch of this connection, freed once.
            unsafe { pg_sys::SPI_freetuptable(self.table) };
            self.table = std::ptr::null_mut();
        }
    }

    /// The row type. `None` before the first row.
    pub fn description(&self) -> Option<PgTupleDesc<'static>> {
        // SAFETY: the descriptor is copied, so it does not depend on the table that is freed with the next batch.
        (!self.table.is_null()).then(|| unsafe { PgTupleDesc::from_pg_copy((*self.table).tupdesc) })
    }

    /// A value as it is; `None` for NULL.
    pub fn datum(&self, column: usize) -> Option<pg_sys::Datum> {
        (!self.nulls[column]).then(|| self.values[column])
    }

    /// Runs `work` in the memory of the current row.
    pub fn in_row<R>(&self, work: impl FnOnce() -> R) -> R {
        // SAFETY: the context lives as long as self; the context of before is put back. After a Postgres error the abort
        // does so.
        unsafe {
            let before = pg_sys::MemoryContextSwitchTo(self.memory.value());
            let result = work();
            pg_sys::MemoryContextSwitchTo(before);
            result
        }
    }

    /// A `bytea`, or any other type whose content is bytes.
    pub fn bytes(&self, column: usize) -> Option<&[u8]> {
        let datum = self.datum(column)?;
        self.in_row(|| {
            // SAFETY: the column is of a type with a varlena; it is unpacked, if need be, in the row's memory, and the
            // borrow of self ends before that is reset.
            unsafe {
                let varlena = pg_sys::pg_detoast_datum_packed(datum.cast_mut_ptr());
                Some(pgrx::varlena::varlena_to_byte_slice(varlena))
            }
        })
    }

    /// A `text`, `json`, or `varchar`.
    pub fn text(&self, column: usize) -> Option<&str> {
        // Databases of ours are UTF-8, which Postgres checks on every way in.
        self.bytes(column)
            .map(|bytes| std::str::from_utf8(bytes).unwrap_or_default())
    }

    /// A `bigint`, `timestamptz` or `xid8`: eight bytes.
    pub fn int(&self, column: usize) -> Option<i64> {
        self.datum(column).map(|datum| datum.value() as i64)
    }

    /// A `boolean`.
    pub fn boolean(&self, column: usize) -> Option<bool> {
        self.datum(column).map(|datum| datum.value() & 0xff != 0)
    }

    /// A `uuid`.
    pub fn uuid(&self, column: usize) -> Option<[u8; 16]> {
        // SAFETY: a uuid is passed as a pointer to its 16 bytes.
        self.datum(column)
            .map(|datum| unsafe { *datum.cast_mut_ptr::<[u8; 16]>() })
    }
}

impl Drop for Scan<'_> {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            self.free_table();
            // SAFETY: opened in `open`, closed once. After a Postgres error the abort closes it.
            unsafe { pg_sys::SPI_cursor_close(self.portal) };
        }
    }
}
