//! The one home of every `snackbase.*` setting: names, registration, reading, and setting for a transaction.
//!
//! All are superuser-set: a client cannot change them, whatever it sends (`GRANT SET` goes to the gateway's role
//! alone). They are defined when the library is preloaded; before that anybody could create a placeholder of the
//! same name, which is why nothing else in the house reads them by name.
//!
//! Here: who is asking, which is set for one transaction. What an administrator chooses is in [`options`], what is different while a
//! value lives in [`scope`], and how long a statement may run in [`time`].

mod options;
mod scope;
mod time;

use std::ffi::{CStr, CString};

use pgrx::guc::{GucContext, GucFlags, GucRegistry, GucSetting};
use pgrx::{PgLogLevel, pg_sys};

use crate::error::Error;
pub use options::{
    audit_checkpoint_interval_ms, audit_databases, audit_key_file, audit_seal_interval_ms, batch_max_items,
    expand_max_depth, sorts_bare_names_descending, subject_master_key_file, subject_master_key_file_previous,
};
pub use scope::{CanonicalPrinting, FixedSearchPath, OwnDdl, ReadOnly, SystemActor};
pub use time::{TimePerPart, limit_time, unlimit_time};

type Text = GucSetting<Option<CString>>;

/// One setting: its name, where its value lives, and what it means.
pub struct Setting {
    name: &'static CStr,
    meaning: &'static CStr,
    value: Text,
}

// SAFETY: a backend is one thread; a Postgres setting is process-global in exactly the same way.
unsafe impl Sync for Setting {}

impl Setting {
    const fn new(name: &'static CStr, meaning: &'static CStr) -> Self {
        Setting {
            name,
            meaning,
            value: Text::new(None),
        }
    }

    /// The value in force, or `None` when it was never set or is empty. (A transaction-local value reads back as the
    /// empty string afterwards, not as NULL.)
    pub fn get(&self) -> Option<String> {
        let value = self.text();
        (!value.is_empty()).then(|| value.to_string_lossy().into_owned())
    }

    /// The value in force, which nobody may set as long as it is looked at.
    fn text(&self) -> &CStr {
        // SAFETY: Postgres keeps NULL or a NUL-terminated text here, until the setting is set.
        unsafe {
            let value = *self.value.as_ptr();
            if value.is_null() {
                c""
            } else {
                CStr::from_ptr(value)
            }
        }
    }

    /// Sets the value until the end of the transaction, with the rights of the current role.
    ///
    /// # Errors
    /// 42501, raised by Postgres, when the current role may not set the parameter; 22023 for a NUL byte.
    pub fn set_local(&self, value: &str) -> Result<(), Error> {
        if self.text().to_bytes() == value.as_bytes() {
            return Ok(());
        }
        set_config_local(self.name, value)
    }
}

/// The account of the caller: uuid text.
pub static ACCOUNT_ID: Setting = Setting::new(c"snackbase.account_id", c"Account of the caller (uuid).");
/// The caller's id; a user's uuid, or empty.
pub static USER_ID: Setting = Setting::new(c"snackbase.user_id", c"Id of the caller.");
/// The caller's address.
pub static USER_EMAIL: Setting = Setting::new(c"snackbase.user_email", c"Email address of the caller.");
/// How the caller proved who it is: `jwt`, `anonymous`, `direct_sql`, …
pub static AUTH_METHOD: Setting = Setting::new(
    c"snackbase.auth_method",
    c"How the caller was authenticated; empty means nobody was introduced.",
);
/// The correlation id of the request.
pub static REQUEST_ID: Setting = Setting::new(c"snackbase.request_id", c"Correlation id of the request.");
/// The client's address.
pub static IP_ADDRESS: Setting = Setting::new(c"snackbase.ip_address", c"Address of the client.");
/// The client's `User-Agent`.
pub static USER_AGENT: Setting = Setting::new(c"snackbase.user_agent", c"User agent of the client.");
/// Who signed the changes of this transaction: the signer's address.
pub static ES_USERNAME: Setting = Setting::new(c"snackbase.es_username", c"Signer of the changes.");
/// Why the changes are made; of a signature, with its meaning in front.
pub static ES_REASON: Setting = Setting::new(c"snackbase.es_reason", c"Reason of the changes.");
/// When they were signed: microseconds since 2000-01-01 UTC.
pub static ES_TIMESTAMP: Setting = Setting::new(c"snackbase.es_timestamp", c"When the changes were signed.");
/// The signer's id.
pub static ES_USER_ID: Setting = Setting::new(c"snackbase.es_user_id", c"Id of the signer.");

static ALL: [&Setting; 11] = [
    &ACCOUNT_ID,
    &USER_ID,
    &USER_EMAIL,
    &AUTH_METHOD,
    &REQUEST_ID,
    &IP_ADDRESS,
    &USER_AGENT,
    &ES_USERNAME,
    &ES_REASON,
    &ES_TIMESTAMP,
    &ES_USER_ID,
];

/// Registers every setting. Called once, from `_PG_init`.
pub fn register() {
    for setting in ALL {
        GucRegistry::define_string_guc(
            setting.name,
            setting.meaning,
            c"Set by snackbase.enter() for one transaction, or by an administrator with ALTER ROLE ... SET.",
            &setting.value,
            GucContext::Suset,
            // RESET ALL is allowed to everybody and would otherwise take the identity away in the middle of a transaction.
            GucFlags::NO_RESET_ALL,
        );
    }
    options::register();
    // From here on nobody can create a setting of our prefix that we did not define.
    // SAFETY: a NUL-terminated literal; called while the library is loaded, as the manual asks.
    unsafe { pg_sys::MarkGUCPrefixReserved(c"snackbase".as_ptr()) };
}

/// Takes a role until the end of the transaction, as `SET LOCAL ROLE` does: the session's login role must be a member.
///
/// # Errors
/// 42501, raised by Postgres, when it is not, or inside a security-restricted function.
pub fn set_role_local(role: &str) -> Result<(), Error> {
    set_config_local(c"role", role)
}

fn set_config_local(name: &CStr, value: &str) -> Result<(), Error> {
    let value = CString::new(value).map_err(|_| Error::Malformed("a value holds U+0000".into()))?;
    // SAFETY: both strings outlive the call, which copies them; it raises a Postgres error, which pgrx turns into an
    // unwinding panic, when the current role may not set the parameter.
    unsafe {
        let context = if pg_sys::superuser() {
            pg_sys::GucContext::PGC_SUSET
        } else {
            pg_sys::GucContext::PGC_USERSET
        };
        pg_sys::set_config_option(
            name.as_ptr(),
            value.as_ptr(),
            context,
            pg_sys::GucSource::PGC_S_SESSION,
            pg_sys::GucAction::GUC_ACTION_LOCAL,
            true,
            PgLogLevel::ERROR as i32,
            false,
        );
    }
    Ok(())
}

/// Makes this transaction's commit wait for the disk even where `synchronous_commit` is off: what others are told of it, such as a
/// checkpoint kept outside, must survive a crash.
///
/// # Errors
/// None of our own.
pub fn require_durable_commit() -> Result<(), Error> {
    // SAFETY: a plain global of the backend.
    let off = unsafe { pg_sys::synchronous_commit } == pg_sys::SyncCommitLevel::SYNCHRONOUS_COMMIT_OFF as i32;
    if off {
        set_config_local(c"synchronous_commit", "local")
    } else {
        Ok(())
    }
}

/// Id and method of the actor of what is the work of nobody's but the system's (contract `audit.md` §1.4).
pub const SYSTEM_USER: &str = "system";

/// Its address.
pub const SYSTEM_EMAIL: &str = "system@snackbase.internal";

/// Settings of a server or database that are meant for people must not stop a background worker.
pub fn prepare_worker_session() {
    for (name, value) in [
        (c"default_transaction_read_only", c"off"),
        (c"default_transaction_isolation", c"read committed"),
        (c"lock_timeout", c"0"),
        (c"row_security", c"on"),
    ] {
        // SAFETY: NUL-terminated literals, which the call copies.
        unsafe {
            pg_sys::set_config_option(
                name.as_ptr(),
                value.as_ptr(),
                pg_sys::GucContext::PGC_SUSET,
                pg_sys::GucSource::PGC_S_SESSION,
                pg_sys::GucAction::GUC_ACTION_SET,
                true,
                0,
                false,
            );
        }
    }
}

/// Keeps backtraces out of errors. pgrx appends one to the DETAIL of a Postgres error that passes through Rust when the
/// server was started with `RUST_BACKTRACE`; clients parse that DETAIL, and need not know the paths of our sources.
pub fn disable_backtraces() {
    // SAFETY: called from `_PG_init` only, where the process has one thread, as every process of Postgres.
    unsafe { std::env::set_var("RUST_LIB_BACKTRACE", "0") };
}

/// Is the library in `shared_preload_libraries`? Known only while `_PG_init` runs.
pub fn is_preloading() -> bool {
    // SAFETY: a plain global of the server, written by the postmaster only.
    unsafe { pg_sys::process_shared_preload_libraries_in_progress }
}

/// True while a superuser replays a dump. pg_dump and pg_restore begin every session with `row_security = off` and
/// `check_function_bodies = off`, and nobody works with both by accident. Restored rows bring their audit entries
/// with them and must not be audited again; a superuser could disable the triggers as well.
pub fn is_restoring() -> bool {
    // SAFETY: plain globals of the backend; superuser_arg reads the syscache inside a transaction.
    unsafe {
        !pg_sys::row_security
            && !pg_sys::check_function_bodies
            && pg_sys::superuser_arg(pg_sys::GetSessionUserId())
    }
}

/// Did a superuser log in to this session (whatever role it has taken since)?
pub fn is_session_superuser() -> bool {
    // SAFETY: reads a global and the syscache, inside a transaction.
    unsafe { pg_sys::superuser_arg(pg_sys::GetSessionUserId()) }
}
