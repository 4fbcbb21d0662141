//! What only the server's memory and files tell about the sealer: whether it runs, who holds it back, whether its key is good.
//! `sql/076_status.sql` tells the rest.

use std::ffi::CStr;

use pgrx::pg_sys;
use pgrx::prelude::*;

use super::key;
use super::worker::SEALER;

/// Backends with a transaction id, of all databases: `pid`, the id, `since` when the transaction runs, and the database's oid.
/// `pg_stat_activity` hides the ids from those who may not see the statements. (Prepared transactions are in
/// `pg_prepared_xacts`.)
#[pg_extern(stable, parallel_restricted)]
#[allow(clippy::type_complexity)]
fn _audit_writers() -> TableIterator<
    'static,
    (
        name!(pid, i32),
        name!(xid, pg_sys::TransactionId),
        name!(since, Option<TimestampWithTimeZone>),
        name!(database, pg_sys::Oid),
    ),
> {
    let mut writers = Vec::new();
    each_backend(|backend| {
        if backend.backend_xid != pg_sys::InvalidTransactionId {
            let status = &backend.backendStatus;
            let since = Some(status.st_xact_start_timestamp).filter(|since| *since != 0);
            writers.push((
                status.st_procpid,
                backend.backend_xid,
                since.and_then(|since| TimestampWithTimeZone::try_from(since).ok()),
                status.st_databaseid,
            ));
        }
    });
    TableIterator::new(writers)
}

/// The process of this database's sealer, or NULL.
#[pg_extern(stable, parallel_restricted)]
fn _audit_sealer_pid() -> Option<i32> {
    // SAFETY: reads a global of the backend.
    let database = unsafe { pg_sys::MyDatabaseId };
    let mut found = None;
    each_backend(|backend| {
        let status = &backend.backendStatus;
        if status.st_databaseid == database && status.st_backendType == pg_sys::BackendType::B_BG_WORKER {
            // SAFETY: returns null or a NUL-terminated text in static memory.
            let name = unsafe { pg_sys::GetBackgroundWorkerTypeByPid(status.st_procpid) };
            // SAFETY: as above; compared before the next call.
            if !name.is_null() && unsafe { CStr::from_ptr(name) }.to_bytes() == SEALER.as_bytes() {
                found = Some(status.st_procpid);
            }
        }
    });
    found
}

/// Why no checkpoint can be signed: no key is named, or the named one cannot be used. NULL when one can.
#[pg_extern(volatile, parallel_restricted)]
fn _audit_key_fault() -> Option<String> {
    key::fault()
}

fn each_backend(mut visit: impl FnMut(&pg_sys::LocalPgBackendStatus)) {
    // SAFETY: the entries are this backend's copy, made by the first call and kept until the end of the transaction; their
    // places count from 1.
    unsafe {
        for place in 1..=pg_sys::pgstat_fetch_stat_numbackends() {
            #[cfg(feature = "pg15")]
            let entry = pg_sys::pgstat_fetch_stat_local_beentry(place);
            #[cfg(not(feature = "pg15"))]
            let entry = pg_sys::pgstat_get_local_beentry_by_index(place);
            if let Some(entry) = entry.as_ref() {
                visit(entry);
            }
        }
    }
}
