//! Running one statement with bound parameters. The only SPI calls of the house.
//!
//! Plans are kept per backend and role: under row security a plan belongs to the role it was made for, and a rule,
//! grant or table that changes makes Postgres re-plan by itself. [`scan`] reads many rows at one snapshot.

pub mod scan;

use std::cell::RefCell;
use std::ffi::CStr;
use std::panic::AssertUnwindSafe;
use std::rc::Rc;

use pgrx::datum::{DatumWithOid, FromDatum, IntoDatum, Uuid};
use pgrx::pg_sys;
use pgrx::pg_sys::panic::CaughtError;
use pgrx::spi::{OwnedPreparedStatement, SpiHeapTupleData, SpiTupleTable};

use pgrx::{PgBuiltInOids, PgOid, PgTryBuilder, Spi};
use rustc_hash::FxHashMap;

use crate::error::{Error, state_of};
use crate::json::JsonText;

/// The rows of a statement, valid while its `read` closure runs.
pub type Rows<'a> = SpiTupleTable<'a>;

/// One row of them.
pub type Row<'a> = SpiHeapTupleData<'a>;

/// The first column of the first row; `None` when there is no row, or NULL in it.
///
/// # Errors
/// [`Error::Spi`] when the column has another type.
pub fn first_value<T: FromDatum + IntoDatum>(rows: Rows<'_>) -> Result<Option<T>, Error> {
    match rows.into_iter().next() {
        Some(row) => Ok(row.get(1)?),
        None => Ok(None),
    }
}

/// How many plans a backend keeps. Statement texts do not depend on values, so this many distinct *shapes* of
/// requests; beyond it all are dropped and the ones in use come back.
const MAX_PLANS: usize = 500;

#[derive(PartialEq, Eq, Hash)]
struct Key {
    role: u32,
    writes: bool,
    /// The types of the arguments: a column that has another type now may leave the text of a statement as it was.
    types: Vec<u32>,
    statement: String,
}

thread_local! {
    static PLANS: RefCell<FxHashMap<Key, Rc<OwnedPreparedStatement>>> = RefCell::new(FxHashMap::default());
}

/// Runs a statement that reads and hands its rows to `read`. Several calls of one SQL function see one snapshot
/// as long as the transaction has not written.
///
/// # Errors
/// What `read` returns, and [`Error::Spi`]. Failures inside the statement unwind as Postgres errors.
pub fn select<R>(
    statement: &str,
    arguments: &[DatumWithOid],
    read: impl FnOnce(Rows<'_>) -> Result<R, Error>,
) -> Result<R, Error> {
    run(statement, arguments, false, read)
}

/// Runs a statement that reads what is committed now, and what this transaction has done: for definitions, which must
/// agree with tables that are locked already, whatever the snapshot of the calling statement is. Later calls of
/// [`select`] are not affected.
///
/// # Errors
/// As [`select`].
pub fn select_latest<R>(
    statement: &str,
    arguments: &[DatumWithOid],
    read: impl FnOnce(Rows<'_>) -> Result<R, Error>,
) -> Result<R, Error> {
    // SAFETY: inside a transaction; the snapshot is popped below, or by the abort after a Postgres error.
    unsafe { pg_sys::PushActiveSnapshot(pg_sys::GetLatestSnapshot()) };
    let result = run(statement, arguments, false, read);
    // SAFETY: pops what was pushed above.
    unsafe { pg_sys::PopActiveSnapshot() };
    result
}

/// Runs a statement that writes and hands its rows (of `returning`) to `read`.
///
/// # Errors
/// As [`select`].
pub fn update<R>(
    statement: &str,
    arguments: &[DatumWithOid],
    read: impl FnOnce(Rows<'_>) -> Result<R, Error>,
) -> Result<R, Error> {
    run(statement, arguments, true, read)
}

/// Runs a statement that reads as `snackbase_owner`, for the few questions about identity that a caller may ask but not
/// answer by reading the tables: what a `SECURITY DEFINER` function does, without a second executor for the call.
///
/// The caller's `search_path` stays in force, so a statement given here must qualify everything, operators included
/// (`operator(pg_catalog.=)`).
///
/// # Errors
/// As [`select`].
pub fn select_as_owner<R>(
    statement: &'static str,
    arguments: &[DatumWithOid],
    read: impl FnOnce(Rows<'_>) -> Result<R, Error>,
) -> Result<R, Error> {
    let _owner = Acting::begin(c"snackbase_owner");
    run(statement, arguments, false, read)
}

/// Runs a statement that reads as `snackbase_view`: what `expand` shows of another collection is what its view rule shows to
/// the caller, whatever operation the request is. Only the role changes; the identity stays.
///
/// The statement is made from the request, so the names in it are looked up in `pg_catalog` only, whatever
/// `search_path` the session has: nobody's operator can run as another role.
///
/// # Errors
/// As [`select`].
pub fn select_as_viewer<R>(
    statement: &str,
    arguments: &[DatumWithOid],
    read: impl FnOnce(Rows<'_>) -> Result<R, Error>,
) -> Result<R, Error> {
    let _path = crate::guc::FixedSearchPath::begin();
    let _viewer = Acting::begin(c"snackbase_view");
    run(statement, arguments, false, read)
}

/// Runs DDL, and writes to the catalog of collections, as `snackbase_owner`. Only for functions that fix their
/// `search_path` and have made sure who is asking.
///
/// # Errors
/// Those of `act`.
pub fn as_owner<R>(act: impl FnOnce() -> Result<R, Error>) -> Result<R, Error> {
    let _owner = Acting::begin(c"snackbase_owner");
    act()
}

/// While it lives, the current user is another role of ours. Given back on unwinding, too.
pub struct Acting {
    user: pg_sys::Oid,
    context: i32,
}

impl Acting {
    /// Becomes the role of this name.
    pub fn begin(role: &CStr) -> Acting {
        let mut before = Acting {
            user: pg_sys::InvalidOid,
            context: 0,
        };
        // SAFETY: the out-pointers are valid; the role exists as long as the extension does, else a Postgres error is
        // raised. The flag forbids SET ROLE, as inside a SECURITY DEFINER function.
        unsafe {
            pg_sys::GetUserIdAndSecContext(&mut before.user, &mut before.context);
            let role = pg_sys::get_role_oid(role.as_ptr(), false);
            let flags = before.context | pg_sys::SECURITY_LOCAL_USERID_CHANGE as i32;
            pg_sys::SetUserIdAndSecContext(role, flags);
        }
        before
    }
}

impl Drop for Acting {
    fn drop(&mut self) {
        // SAFETY: puts back what `begin` read. After a Postgres error the abort of the transaction does so as well.
        unsafe { pg_sys::SetUserIdAndSecContext(self.user, self.context) };
    }
}

/// Runs `work` in a subtransaction that is kept when it succeeds and rolled back when it is refused: what it wrote is undone,
/// and the transaction can go on. `None`: it was refused, by an [`Error`] or by a Postgres error about values, constraints
/// or rights.
///
/// Everything else unwinds further, above all a cancelled statement and a deadlock: nobody may go on after those.
pub fn attempt<R>(work: impl FnOnce() -> Result<R, Error>) -> Option<R> {
    in_subtransaction(work, true)
}

/// Runs `work` in a subtransaction and undoes it, whatever came of it. Whether it would have succeeded.
///
/// What is no refusal unwinds, as in [`attempt`].
pub fn rehearse<R>(work: impl FnOnce() -> Result<R, Error>) -> bool {
    in_subtransaction(work, false).is_some()
}

fn in_subtransaction<R>(work: impl FnOnce() -> Result<R, Error>, keep: bool) -> Option<R> {
    // SAFETY: reads globals of the backend.
    let (memory, owner) = unsafe { (pg_sys::CurrentMemoryContext, pg_sys::CurrentResourceOwner) };
    // SAFETY: as PL/pgSQL does for a block with an exception handler: the subtransaction is ended on each of the two ways
    // below, and the memory context and resource owner of before are put back after both calls.
    unsafe {
        pg_sys::BeginInternalSubTransaction(std::ptr::null());
        pg_sys::MemoryContextSwitchTo(memory);
    }
    let outcome = PgTryBuilder::new(AssertUnwindSafe(|| Ok(work().ok())))
        .catch_others(Err)
        .execute();
    // SAFETY: as above.
    unsafe {
        match &outcome {
            Ok(Some(_)) if keep => pg_sys::ReleaseCurrentSubTransaction(),
            Ok(_) | Err(_) => pg_sys::RollbackAndReleaseCurrentSubTransaction(),
        }
        pg_sys::MemoryContextSwitchTo(memory);
        pg_sys::CurrentResourceOwner = owner;
    }
    match outcome {
        Ok(done) => done,
        Err(CaughtError::PostgresError(report))
            if matches!(
                &state_of(report.sql_error_code())[..2],
                "22" | "23" | "42" | "44" | "P0"
            ) =>
        {
            None
        }
        Err(other) => other.rethrow(),
    }
}

/// Runs a utility statement (DDL), which has no parameters and no plan.
///
/// # Errors
/// [`Error::Spi`]; failures inside the statement unwind as Postgres errors.
pub fn execute(statement: &str) -> Result<(), Error> {
    Spi::connect_mut(|client| client.update(statement, None, &[]).map(|_| ())).map_err(Error::from)
}

/// Runs a query that is asked once, its plan not kept. Text arguments.
///
/// # Errors
/// As [`select`].
pub fn select_once<R>(
    statement: &str,
    arguments: Vec<Option<String>>,
    read: impl FnOnce(Rows<'_>) -> Result<R, Error>,
) -> Result<R, Error> {
    let arguments: Vec<DatumWithOid> = arguments.into_iter().map(DatumWithOid::from).collect();
    Spi::connect(|client| read(client.select(statement, None, &arguments)?))
}

/// The plan of a statement, which is not run, line by line. Text arguments; the plan is made for the current role.
///
/// # Errors
/// [`Error::Spi`]; what Postgres refuses unwinds as its error.
pub fn explain(statement: &str, arguments: Vec<Option<String>>) -> Result<Vec<String>, Error> {
    let arguments: Vec<DatumWithOid> = arguments.into_iter().map(DatumWithOid::from).collect();
    Spi::connect_mut(|client| {
        client
            .update(&format!("explain (costs off) {statement}"), None, &arguments)?
            .map(|row| Ok(row.get::<String>(1)?.unwrap_or_default()))
            .collect()
    })
}

/// How many rows the planner expects of a query. Text arguments.
///
/// # Errors
/// [`Error::Spi`]; what Postgres refuses unwinds as its error.
pub fn estimate(statement: &str, arguments: Vec<Option<String>>) -> Result<f64, Error> {
    let arguments: Vec<DatumWithOid> = arguments.into_iter().map(DatumWithOid::from).collect();
    let statement = format!("explain (format json) {statement}");
    Spi::connect_mut(|client| {
        let plan = client
            .update(&statement, None, &arguments)?
            .first()
            .get_one::<JsonText>()?;
        let plan = plan.and_then(|plan| serde_json::from_str::<serde_json::Value>(&plan.0).ok());
        let rows = plan.and_then(|plan| plan[0]["Plan"]["Plan Rows"].as_f64());
        rows.ok_or_else(|| Error::Internal("EXPLAIN names no number of rows".into()))
    })
}

fn run<R>(
    statement: &str,
    arguments: &[DatumWithOid],
    writes: bool,
    read: impl FnOnce(Rows<'_>) -> Result<R, Error>,
) -> Result<R, Error> {
    let key = Key {
        role: current_role(),
        writes,
        types: arguments.iter().map(|argument| argument.oid().to_u32()).collect(),
        statement: statement.to_owned(),
    };
    Spi::connect_mut(|client| {
        // The clone keeps the plan alive while it runs; a trigger it fires may come back here.
        let cached = PLANS.with_borrow(|plans| plans.get(&key).cloned());
        let plan = match cached {
            Some(plan) => plan,
            None => {
                let types: Vec<PgOid> = arguments
                    .iter()
                    .map(|argument| PgOid::from(argument.oid()))
                    .collect();
                let prepared = if writes {
                    client.prepare_mut(statement, &types)?
                } else {
                    client.prepare(statement, &types)?
                };
                let plan = Rc::new(prepared.keep());
                PLANS.with_borrow_mut(|plans| {
                    if plans.len() >= MAX_PLANS {
                        plans.clear();
                    }
                    plans.insert(key, plan.clone());
                });
                plan
            }
        };
        let rows = if writes {
            client.update(&*plan, None, arguments)?
        } else {
            client.select(&*plan, None, arguments)?
        };
        read(rows)
    })
}

/// A query whose rows are fetched batch by batch. It ends with the transaction and not before: who streams rows to a client drops
/// what it holds while the transaction is being undone, when nothing can be closed any more.
pub struct Cursor(String);

impl Cursor {
    /// Opens a cursor.
    ///
    /// # Errors
    /// [`Error::Spi`].
    pub fn open(statement: &str, arguments: &[DatumWithOid]) -> Result<Cursor, Error> {
        Spi::connect(|client| {
            Ok(Cursor(
                client.try_open_cursor(statement, arguments)?.detach_into_name(),
            ))
        })
    }

    /// The next rows, at most `count`; fewer at the end.
    ///
    /// # Errors
    /// What `read` returns, and [`Error::Spi`].
    pub fn fetch<T>(
        &mut self,
        count: i64,
        read: impl Fn(&Row<'_>) -> Result<T, Error>,
    ) -> Result<Vec<T>, Error> {
        Spi::connect(|client| {
            let mut cursor = client.find_cursor(&self.0)?;
            let rows = cursor.fetch(count)?.map(|row| read(&row)).collect();
            cursor.detach_into_name();
            rows
        })
    }

    /// Ends it now: for who opens many in one statement.
    ///
    /// # Errors
    /// [`Error::Spi`].
    pub fn close(self) -> Result<(), Error> {
        // A cursor that is found and not detached is closed.
        Spi::connect(|client| Ok(client.find_cursor(&self.0).map(drop)?))
    }
}

/// A `text[]` parameter.
pub fn text_array(values: Vec<Option<String>>) -> DatumWithOid<'static> {
    // SAFETY: the oid is that of the value's type.
    unsafe { DatumWithOid::new(values, PgBuiltInOids::TEXTARRAYOID.value()) }
}

/// A `float8[]` parameter.
pub fn number_array(values: Vec<Option<f64>>) -> DatumWithOid<'static> {
    // SAFETY: the oid is that of the value's type.
    unsafe { DatumWithOid::new(values, PgBuiltInOids::FLOAT8ARRAYOID.value()) }
}

/// A `boolean[]` parameter.
pub fn boolean_array(values: Vec<Option<bool>>) -> DatumWithOid<'static> {
    // SAFETY: the oid is that of the value's type.
    unsafe { DatumWithOid::new(values, PgBuiltInOids::BOOLARRAYOID.value()) }
}

/// A `uuid[]` parameter.
pub fn uuid_array(values: Vec<Option<Uuid>>) -> DatumWithOid<'static> {
    // SAFETY: the oid is that of the value's type.
    unsafe { DatumWithOid::new(values, PgBuiltInOids::UUIDARRAYOID.value()) }
}

/// A `bigint[]` parameter.
pub fn bigint_array(values: Vec<Option<i64>>) -> DatumWithOid<'static> {
    // SAFETY: the oid is that of the value's type.
    unsafe { DatumWithOid::new(values, PgBuiltInOids::INT8ARRAYOID.value()) }
}

/// A `bytea[]` parameter.
pub fn bytea_array<'a>(values: Vec<Option<&'a [u8]>>) -> DatumWithOid<'a> {
    // SAFETY: the oid is that of the value's type.
    unsafe { DatumWithOid::new(values, PgBuiltInOids::BYTEAARRAYOID.value()) }
}

/// An `xid8` parameter.
pub fn xid(value: u64) -> DatumWithOid<'static> {
    // SAFETY: an xid8 is passed as the 8-byte number itself.
    unsafe { DatumWithOid::new(value.cast_signed(), pg_sys::XID8OID) }
}

/// A `timestamptz` parameter, as microseconds since 2000-01-01.
pub fn instant(micros: i64) -> DatumWithOid<'static> {
    // SAFETY: a timestamptz is passed as the 8-byte integer itself.
    unsafe { DatumWithOid::new(micros, PgBuiltInOids::TIMESTAMPTZOID.value()) }
}

/// A `date` parameter, as days since 2000-01-01.
pub fn day(days: i32) -> DatumWithOid<'static> {
    // SAFETY: a date is passed as the 4-byte integer itself.
    unsafe { DatumWithOid::new(days, PgBuiltInOids::DATEOID.value()) }
}

fn current_role() -> u32 {
    // SAFETY: reads a global of the backend.
    unsafe { pg_sys::GetUserId() }.to_u32()
}

/// Whether the current role may see all accounts: superadmins, and a superuser in psql.
pub fn is_bound_to_no_account() -> bool {
    // SAFETY: reads of the syscache, inside a transaction; `true`: a missing role is InvalidOid, of which nobody is a member.
    unsafe {
        let role = pg_sys::get_role_oid(c"snackbase_superadmin".as_ptr(), true);
        pg_sys::has_privs_of_role(pg_sys::GetUserId(), role)
    }
}

/// Whether the login role of this session is a superuser, whatever role it has taken.
pub fn is_session_superuser() -> bool {
    // SAFETY: reads of the syscache, inside a transaction.
    unsafe { pg_sys::superuser_arg(pg_sys::GetSessionUserId()) }
}

/// The name of the login role of this session.
pub fn session_user() -> String {
    // SAFETY: GetUserNameFromId returns a palloc'ed, NUL-terminated name; the session's role exists.
    unsafe { CStr::from_ptr(pg_sys::GetUserNameFromId(pg_sys::GetSessionUserId(), false)) }
        .to_string_lossy()
        .into_owned()
}
