//! One row of a table of ours by its key, below SQL.
//!
//! Every request asks who its caller is, and that is always a row or two by their primary keys. The executor takes several times
//! as long to get ready for such a question as to answer it, so it is left out: the index is asked, as the executor would ask it,
//! with the snapshot of the calling statement, or a new one if the transaction has written. Neither grants nor row security are
//! looked at: these are the few questions about identity that a caller may ask but not answer by reading the tables.
//!
//! Where a row was found is remembered, and looked at first the next time. Nothing else is remembered: the row that stands there
//! counts if the snapshot sees it and if it has the key, and a changed row stands elsewhere. So nothing can go stale.

use std::cell::{Cell, RefCell};
use std::ffi::{CStr, c_int};
use std::hash::BuildHasher;
use std::marker::PhantomData;
use std::ptr;
use std::rc::Rc;

use pgrx::datum::{DatumWithOid, Uuid};
use pgrx::{FromDatum, PgRelation, pg_sys};
use rustc_hash::{FxBuildHasher, FxHashMap};

use crate::cache;
use crate::error::Error;

/// A row, or what is wanted of it.
pub trait Keyed: Sized + 'static {
    /// Name of the table, in schema `snackbase`.
    const TABLE: &'static CStr;
    /// Name of a unique index over plain columns: the key.
    const KEY: &'static CStr;
    /// Names of the columns that [`read`](Self::read) gets, in their order.
    const COLUMNS: &'static [&'static str];

    /// Makes it from the values of the columns. Looks nothing up.
    ///
    /// # Errors
    /// [`Error::Internal`] for a NULL where none can be.
    fn read(values: &Values<'_>) -> Result<Self, Error>;
}

/// The values of one row, valid while it is read.
pub struct Values<'a> {
    slot: *mut pg_sys::TupleTableSlot,
    columns: &'a [c_int],
}

impl Values<'_> {
    /// The value of the column at `place` of [`Keyed::COLUMNS`]; `None` for NULL. `T` is the Rust type of the column's SQL type.
    pub fn get<T: FromDatum>(&self, place: usize) -> Option<T> {
        let index = *self.columns.get(place)? as usize - 1;
        // SAFETY: the slot holds a row whose attributes were read up to the last of the columns.
        unsafe {
            let null = *(*self.slot).tts_isnull.add(index);
            T::from_datum(*(*self.slot).tts_values.add(index), null)
        }
    }

    /// The value of a column that cannot be NULL.
    ///
    /// # Errors
    /// [`Error::Internal`] if it is.
    pub fn want<T: FromDatum>(&self, place: usize) -> Result<T, Error> {
        self.get(place)
            .ok_or_else(|| Error::Internal(format!("column {place} of a row by its key is NULL")))
    }
}

/// A value of a column of a key.
#[derive(Clone, Copy, Hash)]
pub enum Key<'a> {
    /// uuid.
    Uuid([u8; 16]),
    /// text.
    Text(&'a str),
    /// integer.
    Number(i32),
}

impl From<Uuid> for Key<'_> {
    fn from(id: Uuid) -> Self {
        Key::Uuid(*id.as_bytes())
    }
}

impl Key<'_> {
    /// As Postgres has it, in the current memory context, and its type.
    fn datum(self) -> DatumWithOid<'static> {
        match self {
            Key::Uuid(bytes) => Uuid::from_bytes(bytes).into(),
            Key::Text(text) => text.into(),
            Key::Number(number) => number.into(),
        }
    }
}

/// A column of a key: where it is in the table, and how a value of it is compared.
struct Part {
    column: c_int,
    value: pg_sys::Oid,
    collation: pg_sys::Oid,
    equals: pg_sys::Oid,
}

/// Where the rows of an `R` are found.
struct Place<R> {
    table: pg_sys::Oid,
    index: pg_sys::Oid,
    parts: Vec<Part>,
    /// Attribute numbers of [`Keyed::COLUMNS`].
    columns: Vec<c_int>,
    /// The last attribute that anybody looks at.
    last: c_int,
    /// Where rows were found before, by the hash of their keys. Only a hint: what stands there now is judged like anything else.
    seen: RefCell<FxHashMap<u64, pg_sys::ItemPointerData>>,
    of: PhantomData<fn() -> R>,
}

/// How many places of rows a backend remembers per table.
const MANY: usize = 1000;

impl<R: Keyed> Place<R> {
    fn find() -> Result<Rc<Place<R>>, Error> {
        cache::get(pg_sys::InvalidOid, || {
            let missing = |what: &str| Error::Internal(format!("{:?} has no {what}", R::TABLE));
            // SAFETY: look-ups in the system caches, inside a transaction; the names are NUL-terminated.
            let (table, index) = unsafe {
                let schema = pg_sys::get_namespace_oid(c"snackbase".as_ptr(), false);
                let named = |name: &CStr| pg_sys::get_relname_relid(name.as_ptr(), schema);
                (named(R::TABLE), named(R::KEY))
            };
            if [table, index].contains(&pg_sys::InvalidOid) {
                return Err(missing("such key"));
            }
            // SAFETY: both exist; the locks are kept until the end of the transaction, as for every table that is read.
            let (relation, key) = unsafe {
                let lock = pg_sys::AccessShareLock as _;
                (
                    PgRelation::with_lock(table, lock),
                    PgRelation::with_lock(index, lock),
                )
            };
            let description = relation.tuple_desc();
            let columns = R::COLUMNS
                .iter()
                .map(|name| {
                    let found = description
                        .iter()
                        .find(|attribute| !attribute.is_dropped() && attribute.name() == *name);
                    found
                        .map(|attribute| c_int::from(attribute.attnum))
                        .ok_or_else(|| missing(name))
                })
                .collect::<Result<Vec<_>, _>>()?;
            let parts = parts(&key).ok_or_else(|| missing("unique key of plain columns"))?;
            let of_key = parts.iter().map(|part| part.column);
            let place = Place {
                table,
                index,
                last: columns.iter().copied().chain(of_key).max().unwrap_or(0),
                parts,
                columns,
                seen: RefCell::default(),
                of: PhantomData,
            };
            Ok((table, place))
        })
    }

    /// The conditions of an index scan, which also say how a row is compared with the key.
    fn conditions(&self, key: &[Key<'_>]) -> Result<[pg_sys::ScanKeyData; 2], Error> {
        let mut conditions: [pg_sys::ScanKeyData; 2] = Default::default();
        let wrong = || Error::Internal(format!("{:?} has another key", R::TABLE));
        if !(1..=self.parts.len().min(conditions.len())).contains(&key.len()) {
            return Err(wrong());
        }
        for (index, (given, part)) in key.iter().zip(&self.parts).enumerate() {
            let given = given.datum();
            let value = given
                .datum()
                .filter(|_| given.oid() == part.value)
                .ok_or_else(wrong)?;
            // SAFETY: the function compares two values of the type that the value was just seen to have.
            unsafe {
                pg_sys::ScanKeyEntryInitialize(
                    &mut conditions[index],
                    0,
                    index as i16 + 1,
                    pg_sys::BTEqualStrategyNumber as _,
                    pg_sys::InvalidOid,
                    part.collation,
                    part.equals,
                    value.sans_lifetime(),
                );
            }
        }
        Ok(conditions)
    }
}

/// The columns of a unique index; None if it is not what a row can be found by.
fn parts(index: &PgRelation) -> Option<Vec<Part>> {
    // SAFETY: an open index has its row of pg_index, and one entry per key column in each of these arrays.
    unsafe {
        let relation = index.as_ptr();
        let form = &*(*relation).rd_index;
        let whole = pg_sys::RelationGetIndexPredicate(relation).is_null();
        let plain = pg_sys::RelationGetIndexExpressions(relation).is_null();
        if !(form.indisunique && form.indisvalid && whole && plain) {
            return None;
        }
        let part = |place: usize| {
            let value = *(*relation).rd_opcintype.add(place);
            let strategy = pg_sys::BTEqualStrategyNumber as i16;
            let family = *(*relation).rd_opfamily.add(place);
            let operator = pg_sys::get_opfamily_member(family, value, value, strategy);
            (operator != pg_sys::InvalidOid).then(|| Part {
                column: (*form.indkey.values.as_ptr().add(place)).into(),
                value,
                collation: *(*relation).rd_indcollation.add(place),
                equals: pg_sys::get_opcode(operator),
            })
        };
        (0..form.indnkeyatts as usize).map(part).collect()
    }
}

/// The row with this key, as the calling statement sees the table, and what the transaction did to it so far; `None` when there is
/// none.
///
/// # Errors
/// As [`first`].
pub fn find<R: Keyed>(key: &[Key<'_>]) -> Result<Option<R>, Error> {
    first(key, |_| true)
}

/// Of the rows whose key begins like this, the first one that is accepted; seen as by [`find`].
///
/// # Errors
/// Those of [`Keyed::read`]; [`Error::Internal`] when the key is not what the index is made of.
pub fn first<R: Keyed>(key: &[Key<'_>], accept: impl Fn(&R) -> bool) -> Result<Option<R>, Error> {
    let mut place = Place::<R>::find()?;
    // SAFETY: takes a lock, which needs no table to be there.
    unsafe { pg_sys::LockRelationOid(place.table, pg_sys::AccessShareLock as _) };
    // Until then the index may have been replaced by another; with the lock comes the news of it.
    if !cache::is_current() {
        place = Place::<R>::find()?;
    }
    // SAFETY: the table exists and is locked; what is begun is ended below, or by the abort after a Postgres error. What is read
    // of a row is no memory of Postgres'.
    unsafe {
        let scratch = scratch();
        let caller = pg_sys::MemoryContextSwitchTo(scratch);
        let wrote = pg_sys::GetTopTransactionIdIfAny() != pg_sys::InvalidTransactionId;
        if wrote {
            // A function that was called before in the same statement may have made the row.
            pg_sys::CommandCounterIncrement();
            pg_sys::PushActiveSnapshot(pg_sys::GetTransactionSnapshot());
        }
        let table = pg_sys::table_open(place.table, pg_sys::NoLock as _);
        let slot = pg_sys::table_slot_create(table, ptr::null_mut());
        let found = search(&place, table, slot, key, accept);
        pg_sys::ExecDropSingleTupleTableSlot(slot);
        pg_sys::table_close(table, pg_sys::NoLock as _);
        if wrote {
            pg_sys::PopActiveSnapshot();
        }
        pg_sys::MemoryContextSwitchTo(caller);
        pg_sys::MemoryContextReset(scratch);
        found
    }
}

/// # Safety
/// The table must be open and locked, the slot one of its own.
unsafe fn search<R: Keyed>(
    place: &Place<R>,
    table: pg_sys::Relation,
    slot: *mut pg_sys::TupleTableSlot,
    key: &[Key<'_>],
    accept: impl Fn(&R) -> bool,
) -> Result<Option<R>, Error> {
    let mut conditions = place.conditions(key)?;
    let conditions = &mut conditions[..key.len()];
    let name = FxBuildHasher.hash_one(key);
    // SAFETY: a slot that holds a row has all attributes up to the one that is asked for; the index exists as long as the table
    // is locked.
    unsafe {
        let snapshot = pg_sys::GetActiveSnapshot();
        let read = || {
            pg_sys::slot_getsomeattrs_int(slot, place.last);
            let columns = &place.columns;
            Ok::<_, Error>(Some(R::read(&Values { slot, columns })?).filter(&accept))
        };
        let seen = place.seen.borrow().get(&name).copied();
        if let Some(mut seen) = seen
            && stands(table, &mut seen, snapshot, slot)
            && matches(place, slot, conditions)
            && let Some(row) = read()?
        {
            return Ok(Some(row));
        }

        let index = pg_sys::index_open(place.index, pg_sys::AccessShareLock as _);
        let count = conditions.len() as c_int;
        #[cfg(not(feature = "pg18"))]
        let scan = pg_sys::index_beginscan(table, index, snapshot, count, 0);
        #[cfg(feature = "pg18")]
        let scan = pg_sys::index_beginscan(table, index, snapshot, ptr::null_mut(), count, 0);
        pg_sys::index_rescan(scan, conditions.as_mut_ptr(), count, ptr::null_mut(), 0);
        let mut found = Ok(None);
        while pg_sys::index_getnext_slot(scan, pg_sys::ScanDirection::ForwardScanDirection, slot) {
            found = read();
            if !matches!(found, Ok(None)) {
                let mut seen = place.seen.borrow_mut();
                if seen.len() >= MANY {
                    seen.clear();
                }
                seen.insert(name, (*slot).tts_tid);
                break;
            }
        }
        pg_sys::index_endscan(scan);
        pg_sys::index_close(index, pg_sys::NoLock as _);
        found
    }
}

/// Whether the row version that was seen in this place is still there and visible; then the slot holds it. There can be another
/// one there by now.
///
/// # Safety
/// As for [`search`]; the snapshot must be registered or active.
unsafe fn stands(
    table: pg_sys::Relation,
    place: &mut pg_sys::ItemPointerData,
    snapshot: pg_sys::Snapshot,
    slot: *mut pg_sys::TupleTableSlot,
) -> bool {
    let block = u32::from(place.ip_blkid.bi_hi) << 16 | u32::from(place.ip_blkid.bi_lo);
    // SAFETY: by the caller. A table may have become shorter; while it is locked it does not.
    unsafe {
        let blocks = pg_sys::RelationGetNumberOfBlocksInFork(table, pg_sys::ForkNumber::MAIN_FORKNUM);
        let routine = (*(*table).rd_tableam).tuple_fetch_row_version;
        // (guarded, as pgrx's own bindings are: a Postgres error becomes a panic)
        let fetch = |fetch: unsafe extern "C-unwind" fn(_, _, _, _) -> bool| {
            pg_sys::ffi::pg_guard_ffi_boundary(|| fetch(table, &raw mut *place, snapshot, slot))
        };
        block < blocks && routine.is_some_and(fetch)
    }
}

/// Whether the row in the slot has the key of the conditions.
///
/// # Safety
/// The slot must hold a row of the table of `place`.
unsafe fn matches<R>(
    place: &Place<R>,
    slot: *mut pg_sys::TupleTableSlot,
    conditions: &mut [pg_sys::ScanKeyData],
) -> bool {
    // SAFETY: by the caller; the function of a condition takes a value of the column's type and the condition's.
    unsafe {
        pg_sys::slot_getsomeattrs_int(slot, place.last);
        conditions.iter_mut().zip(&place.parts).all(|(condition, part)| {
            let index = part.column as usize - 1;
            let (function, value) = (&mut condition.sk_func, *(*slot).tts_values.add(index));
            let equal = |function| {
                pg_sys::FunctionCall2Coll(function, condition.sk_collation, value, condition.sk_argument)
            };
            !*(*slot).tts_isnull.add(index) && equal(function).value() != 0
        })
    }
}

/// Memory for one look-up, empty before and after it. A scan of a B-tree wants 27 KB at a time, for which the contexts of the
/// executor go to the system each time, and back.
fn scratch() -> pg_sys::MemoryContext {
    const KEPT: usize = 64 * 1024;
    /// Pieces of up to an eighth of it share a block.
    const BLOCK: usize = 1024 * 1024;
    thread_local! {
        static SCRATCH: Cell<pg_sys::MemoryContext> = const { Cell::new(ptr::null_mut()) };
    }
    if SCRATCH.get().is_null() {
        // SAFETY: a context below the one that lives as long as the backend.
        SCRATCH.set(unsafe {
            let name = c"snackbase look-ups".as_ptr();
            pg_sys::GenerationContextCreate(pg_sys::TopMemoryContext, name, KEPT, KEPT, BLOCK)
        });
    }
    SCRATCH.get()
}
