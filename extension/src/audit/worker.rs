//! The background worker: seals by itself, in each database that `snackbase.audit_databases` names.
//!
//! A *launcher* starts with the server and is connected to no database. It starts one *sealer* per database that exists, and
//! again when it ended, so a database may be created, dropped and created again without noise in the log. A sealer makes one
//! [step](super::seal) per interval. When no transaction has begun since a step that left nothing to do, it does not even
//! begin one: an idle server is not written to, and hardly read.
//!
//! SIGTERM is left to the handler of ordinary backends: it ends a sealer in the middle of a large block or while it waits for a
//! lock, where a flag of our own would only be seen afterwards, and a fast shutdown would hang.

use std::ffi::CStr;
use std::panic::AssertUnwindSafe;
use std::ptr;
use std::time::{Duration, Instant};

use pgrx::bgworkers::{
    BackgroundWorker, BackgroundWorkerBuilder, BackgroundWorkerStatus, BgWorkerStartTime,
    DynamicBackgroundWorker, SignalWakeFlags,
};
use pgrx::pg_sys::panic::CaughtError;
use pgrx::prelude::*;
use pgrx::{PgTryBuilder, pg_sys};

use super::seal::{self, Step};
use crate::error::Error;
use crate::{guc, spi};

/// How `pg_stat_activity.backend_type` names a sealer.
pub const SEALER: &str = "snackbase sealer";

/// How often the launcher looks after its sealers, at least.
const LOOK: Duration = Duration::from_secs(1);

/// The longest pause after failures that repeat.
const LONGEST_PAUSE: Duration = Duration::from_secs(30);

/// Registers the launcher, if a database is named. Called from `_PG_init` while the library is preloaded.
pub fn register() {
    // SAFETY: a plain global of the server, set before libraries are loaded. pg_upgrade copies files while one server or the
    // other runs: nothing may be written then, least of all with transaction ids of its own.
    if unsafe { pg_sys::IsBinaryUpgrade } || guc::audit_databases().is_empty() {
        return;
    }
    BackgroundWorkerBuilder::new("snackbase sealer launcher")
        .set_library("snackbase")
        .set_function("snackbase_sealer_launcher")
        .enable_spi_access()
        // On a standby it starts when that is promoted.
        .set_start_time(BgWorkerStartTime::RecoveryFinished)
        .set_restart_time(Some(Duration::from_secs(1)))
        .load();
}

/// A database and who seals it.
struct Charge {
    database: String,
    sealer: Option<DynamicBackgroundWorker>,
    /// When it was started last.
    started: Option<Instant>,
    pause: Duration,
}

/// Main function of the launcher.
#[pg_guard]
#[unsafe(no_mangle)]
pub extern "C-unwind" fn snackbase_sealer_launcher(_argument: pg_sys::Datum) {
    handle_signals();
    BackgroundWorker::connect_worker_to_spi(None, None);
    let mut charges: Vec<Charge> = guc::audit_databases()
        .into_iter()
        .map(|database| Charge {
            database,
            sealer: None,
            started: None,
            pause: LOOK,
        })
        .collect();
    // (looks before it waits: after a crash the sealers are back at once)
    loop {
        for charge in &mut charges {
            charge.look_after();
        }
        if !BackgroundWorker::wait_latch(Some(LOOK)) {
            break;
        }
        reload();
    }
}

impl Charge {
    fn look_after(&mut self) {
        match self.sealer.as_ref().map(DynamicBackgroundWorker::pid) {
            Some(Ok(_) | Err(BackgroundWorkerStatus::NotYetStarted)) => return,
            Some(Err(_)) => {
                // One that lived for a while was stopped, or its database was dropped; one that did not cannot connect.
                let lived = self.started.map_or(Duration::ZERO, |started| started.elapsed());
                self.pause = if lived > LONGEST_PAUSE {
                    LOOK
                } else {
                    (self.pause * 2).min(LONGEST_PAUSE)
                };
                self.sealer = None;
            }
            None => {}
        }
        if self.started.is_some_and(|started| started.elapsed() < self.pause) {
            return;
        }
        // A failure here is one of memory or locks: the next look will tell.
        if !transaction(|| Ok(exists(&self.database))).unwrap_or(false) {
            return;
        }
        // SAFETY: a global of the process, set before its main function is called.
        let launcher = unsafe { pg_sys::MyProcPid };
        self.started = Some(Instant::now());
        self.sealer = BackgroundWorkerBuilder::new(&format!("snackbase sealer of {}", self.database))
            .set_type(SEALER)
            .set_library("snackbase")
            .set_function("snackbase_sealer")
            .set_extra(&self.database)
            .enable_spi_access()
            .set_start_time(BgWorkerStartTime::RecoveryFinished)
            .set_restart_time(None)
            .set_notify_pid(launcher)
            .load_dynamic()
            .ok();
        if self.sealer.is_none() && self.pause < LONGEST_PAUSE {
            self.pause = LONGEST_PAUSE;
            warning!(
                "no sealer for database {}: max_worker_processes is too low",
                self.database
            );
        }
    }
}

/// Whether there is a database of that name; inside a transaction.
///
/// `get_database_oid` would want an index, whose description a process without a database only finds in a file that each
/// start of the server removes and the first session makes again. The whole catalog is read instead, like the launcher of
/// autovacuum does.
fn exists(database: &str) -> bool {
    // SAFETY: the description of pg_database itself is built into the server; the tuple is valid until the next one is
    // asked for, and its first columns are never null; relation and scan are closed by the end of the transaction if an
    // error comes in between.
    unsafe {
        let catalog = pg_sys::table_open(pg_sys::DatabaseRelationId, pg_sys::AccessShareLock as _);
        let scan = pg_sys::systable_beginscan(
            catalog,
            pg_sys::InvalidOid,
            false,
            ptr::null_mut(),
            0,
            ptr::null_mut(),
        );
        let mut found = false;
        while !found {
            let tuple = pg_sys::systable_getnext(scan);
            if tuple.is_null() {
                break;
            }
            let row = pg_sys::GETSTRUCT(tuple).cast::<pg_sys::FormData_pg_database>();
            found = CStr::from_ptr((*row).datname.data.as_ptr()).to_bytes() == database.as_bytes();
        }
        pg_sys::systable_endscan(scan);
        pg_sys::table_close(catalog, pg_sys::AccessShareLock as _);
        found
    }
}

/// Main function of a sealer; `bgw_extra` is the database.
#[pg_guard]
#[unsafe(no_mangle)]
pub extern "C-unwind" fn snackbase_sealer(_argument: pg_sys::Datum) {
    handle_signals();
    let database = BackgroundWorker::get_extra();
    BackgroundWorker::connect_worker_to_spi(Some(database), None);
    guc::prepare_worker_session();
    let mut state = Sealer {
        idle_at: None,
        fault: None,
        pause: interval(),
    };
    while BackgroundWorker::wait_latch(Some(state.pause)) {
        if reload() {
            state.idle_at = None;
        }
        state.round();
    }
}

struct Sealer {
    /// The next transaction id when there was nothing to do.
    idle_at: Option<u64>,
    /// What was logged last, so that it is logged once.
    fault: Option<String>,
    pause: Duration,
}

impl Sealer {
    fn round(&mut self) {
        // SAFETY: reads shared memory.
        let next = unsafe { pg_sys::ReadNextFullTransactionId() }.value;
        if self.idle_at == Some(next) {
            return;
        }
        self.idle_at = None;
        match transaction(step) {
            Ok(Round::Absent) => {
                // CREATE EXTENSION is a transaction that will be seen.
                self.idle_at = Some(next);
                self.pause = interval();
            }
            Ok(Round::Busy) => self.pause = interval(),
            Ok(Round::Done(step)) => {
                if step.complete {
                    self.idle_at = Some(step.horizon);
                }
                match step.fault() {
                    Some(fault) => self.complain(fault),
                    None if self.fault.take().is_some() => log!("the sealer works again"),
                    None => {}
                }
                self.pause = interval();
            }
            Err(fault) => {
                self.complain(&fault);
                self.pause = (self.pause * 2).clamp(Duration::from_secs(1), LONGEST_PAUSE);
            }
        }
    }

    fn complain(&mut self, fault: &str) {
        if self.fault.as_deref() != Some(fault) {
            log!("the sealer cannot do its work, and will try again: {fault}");
            self.fault = Some(fault.to_owned());
        }
    }
}

enum Round {
    /// The extension is not installed here.
    Absent,
    /// Another sealer is at work, or a dump is being replayed.
    Busy,
    Done(Step),
}

fn step() -> Result<Round, Error> {
    // SAFETY: inside a transaction; a NUL-terminated literal.
    if unsafe { pg_sys::get_extension_oid(c"snackbase".as_ptr(), true) } == pg_sys::InvalidOid {
        return Ok(Round::Absent);
    }
    // By way of SQL: the function says as whom, and with which settings, it works. (`update` would give each round a
    // transaction id, whether or not it writes.)
    spi::select("select snackbase.audit_seal(false)", &[], |_| Ok(()))?;
    Ok(seal::take_last_step().map_or(Round::Busy, Round::Done))
}

/// Runs `work` in a transaction of its own. An error rolls it back and becomes its message.
fn transaction<R>(work: impl FnOnce() -> Result<R, Error>) -> Result<R, String> {
    let outcome = PgTryBuilder::new(AssertUnwindSafe(|| {
        // SAFETY: as every background worker that uses SPI; what follows ends the transaction in each case.
        unsafe {
            pg_sys::SetCurrentStatementStartTimestamp();
            pg_sys::StartTransactionCommand();
            pg_sys::PushActiveSnapshot(pg_sys::GetTransactionSnapshot());
        }
        let result = work().map_err(|error| error.to_string());
        if result.is_ok() {
            // SAFETY: the snapshot pushed above; the transaction begun above.
            unsafe {
                pg_sys::PopActiveSnapshot();
                pg_sys::CommitTransactionCommand();
            }
        }
        result
    }))
    .catch_others(|caught| {
        Err(match caught {
            CaughtError::PostgresError(report) | CaughtError::ErrorReport(report) => {
                report.message().to_owned()
            }
            CaughtError::RustPanic { ereport, .. } => ereport.message().to_owned(),
        })
    })
    .execute();
    if outcome.is_err() {
        // SAFETY: what the main loop of a backend does after an error; also right when the transaction has not begun.
        unsafe { pg_sys::AbortCurrentTransaction() };
    }
    outcome
}

fn interval() -> Duration {
    Duration::from_millis(guc::audit_seal_interval_ms())
}

/// Reads the configuration again if it was asked for.
fn reload() -> bool {
    let asked = BackgroundWorker::sighup_received();
    if asked {
        // SAFETY: outside a transaction, as the main loops of other processes do.
        unsafe {
            pg_sys::ConfigReloadPending = 0;
            pg_sys::ProcessConfigFile(pg_sys::GucContext::PGC_SIGHUP);
        }
    }
    asked
}

unsafe extern "C-unwind" {
    /// The server's own handler of SIGTERM. The binding of pgrx is a wrapper, and no handler.
    fn die(signal: i32);
}

fn handle_signals() {
    // SAFETY: signals are still blocked; `die` is the server's own handler.
    unsafe {
        #[cfg(not(feature = "pg18"))]
        pg_sys::pqsignal(pg_sys::SIGTERM as i32, Some(die));
        #[cfg(feature = "pg18")]
        pg_sys::pqsignal_be(pg_sys::SIGTERM as i32, Some(die));
    }
    BackgroundWorker::attach_signal_handlers(SignalWakeFlags::SIGHUP);
}
