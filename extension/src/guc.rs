//! The one home of every `snackbase.*` setting: names, registration, reading, and setting for a transaction.
//!
//! All are superuser-set: a client cannot change them, whatever it sends (`GRANT SET` goes to the gateway's role
//! alone). They are defined when the library is preloaded; before that anybody could create a placeholder of the
//! same name, which is why nothing else in the house reads them by name.

use std::ffi::{CStr, CString};

use pgrx::guc::{GucContext, GucFlags, GucRegistry, GucSetting};
use pgrx::{PgLogLevel, pg_sys};

use crate::error::Error;

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

/// How requests are read; an administrator chooses it for a database or a server.
static SORT_BARE_DESC: GucSetting<bool> = GucSetting::<bool>::new(false);
static EXPAND_MAX_DEPTH: GucSetting<i32> = GucSetting::<i32>::new(3);
static BATCH_MAX_ITEMS: GucSetting<i32> = GucSetting::<i32>::new(100);

/// Does `sort=name` mean descending, as in the original? (`sort=+name` always ascends.)
pub fn sorts_bare_names_descending() -> bool {
    SORT_BARE_DESC.get()
}

/// How many references `expand` may follow one after another.
pub fn expand_max_depth() -> usize {
    usize::try_from(EXPAND_MAX_DEPTH.get()).unwrap_or(0)
}

/// How many records one batch may hold.
pub fn batch_max_items() -> usize {
    usize::try_from(BATCH_MAX_ITEMS.get()).unwrap_or(0)
}

/// Where the key lies that wraps the keys of subjects.
static SUBJECT_MASTER_KEY_FILE: GucSetting<Option<CString>> = GucSetting::<Option<CString>>::new(None);

/// Where the key lies that wrapped them before.
static SUBJECT_MASTER_KEY_FILE_PREVIOUS: GucSetting<Option<CString>> =
    GucSetting::<Option<CString>>::new(None);

/// The file with the master key of personal data; `None`: keys of subjects are not wrapped.
pub fn subject_master_key_file() -> Option<String> {
    path(&SUBJECT_MASTER_KEY_FILE)
}

/// The file with the master key before the last change; `None`: there was none.
pub fn subject_master_key_file_previous() -> Option<String> {
    path(&SUBJECT_MASTER_KEY_FILE_PREVIOUS)
}

fn path(setting: &GucSetting<Option<CString>>) -> Option<String> {
    let path = setting.get()?.to_string_lossy().into_owned();
    (!path.is_empty()).then_some(path)
}

/// How long guessing passwords locks a user; read by `sql/047_lockout.sql`.
static LOGIN_LOCKOUT_THRESHOLD: GucSetting<i32> = GucSetting::<i32>::new(20);
static LOGIN_LOCKOUT_SECONDS: GucSetting<i32> = GucSetting::<i32>::new(900);

/// How many wrong passwords a client's network may try in a minute; read by `sql/047_lockout.sql`.
static LOGIN_RATE_LIMIT_PER_MINUTE: GucSetting<i32> = GucSetting::<i32>::new(10);
/// How many active keys a user may have; read by `sql/049_api_keys.sql`.
static API_KEY_MAX_PER_USER: GucSetting<i32> = GucSetting::<i32>::new(10);
/// Who manages people; read by policies and by `sql/043_people.sql` and its neighbours.
static ACCOUNT_ADMIN_MANAGES_USERS: GucSetting<bool> = GucSetting::<bool>::new(true);
static GROUP_WRITES_ADMIN_ONLY: GucSetting<bool> = GucSetting::<bool>::new(true);
static IS_DEMO: GucSetting<bool> = GucSetting::<bool>::new(false);

/// The sealer of the audit trail; `docs/operating.md` says how to use them.
static AUDIT_DATABASES: Text = Text::new(None);
static AUDIT_SEAL_INTERVAL_MS: GucSetting<i32> = GucSetting::<i32>::new(200);
static AUDIT_KEY_FILE: Text = Text::new(None);
static AUDIT_CHECKPOINT_INTERVAL_MS: GucSetting<i32> = GucSetting::<i32>::new(0);

/// How sessions are renewed; read by `sql/045_authentication.sql`.
static REFRESH_GRACE_SECONDS: GucSetting<i32> = GucSetting::<i32>::new(10);
static SESSION_LIFETIME_DAYS: GucSetting<i32> = GucSetting::<i32>::new(90);

/// The databases that have a sealer of their own.
pub fn audit_databases() -> Vec<String> {
    let value = AUDIT_DATABASES.get().unwrap_or_default();
    let names = value.to_string_lossy();
    names
        .split(',')
        .map(str::trim)
        .filter(|name| !name.is_empty())
        .map(str::to_owned)
        .collect()
}

/// How long a sealer waits between two steps.
pub fn audit_seal_interval_ms() -> u64 {
    u64::try_from(AUDIT_SEAL_INTERVAL_MS.get()).unwrap_or(200)
}

/// The file of the private key, or two, as a list with a comma; `None` when there is none.
pub fn audit_key_file() -> Option<String> {
    let value = AUDIT_KEY_FILE.get()?;
    Some(value.to_string_lossy().trim().to_owned()).filter(|files| !files.is_empty())
}

/// How long after a checkpoint the next one is signed, at the earliest.
pub fn audit_checkpoint_interval_ms() -> i64 {
    AUDIT_CHECKPOINT_INTERVAL_MS.get().into()
}

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
    GucRegistry::define_bool_guc(
        c"snackbase.sort_bare_desc",
        c"Whether a sort key without a sign descends.",
        c"Off: sort=name ascends, as the client's documentation says.",
        &SORT_BARE_DESC,
        GucContext::Suset,
        GucFlags::default(),
    );
    GucRegistry::define_int_guc(
        c"snackbase.expand_max_depth",
        c"How many references expand may follow one after another.",
        c"Each field and level is one more query of the same request.",
        &EXPAND_MAX_DEPTH,
        1,
        10,
        GucContext::Suset,
        GucFlags::default(),
    );
    GucRegistry::define_int_guc(
        c"snackbase.batch_max_items",
        c"How many records one batch request may hold.",
        c"A batch is one transaction: it holds its row locks until it ends.",
        &BATCH_MAX_ITEMS,
        1,
        10_000,
        GucContext::Suset,
        GucFlags::default(),
    );
    GucRegistry::define_string_guc(
        c"snackbase.subject_master_key_file",
        c"File with the key that wraps the keys of subjects.",
        c"64 hexadecimal digits, readable by the server and by nobody else. Empty: the keys are not wrapped.",
        &SUBJECT_MASTER_KEY_FILE,
        GucContext::Suset,
        GucFlags::SUPERUSER_ONLY,
    );
    GucRegistry::define_string_guc(
        c"snackbase.subject_master_key_file_previous",
        c"File with the key that wrapped the keys of subjects before the last change.",
        c"Read until subject_keys_rewrap() has wrapped them all again.",
        &SUBJECT_MASTER_KEY_FILE_PREVIOUS,
        GucContext::Suset,
        GucFlags::SUPERUSER_ONLY,
    );
    GucRegistry::define_int_guc(
        c"snackbase.login_lockout_threshold",
        c"How many wrong passwords in a row lock a user.",
        c"Of logins and of electronic signatures together.",
        &LOGIN_LOCKOUT_THRESHOLD,
        1,
        1000,
        GucContext::Suset,
        GucFlags::default(),
    );
    GucRegistry::define_int_guc(
        c"snackbase.login_lockout_seconds",
        c"How long the first lock lasts.",
        c"Each further one in a row lasts twice as long, a day at most.",
        &LOGIN_LOCKOUT_SECONDS,
        1,
        86_400,
        GucContext::Suset,
        GucFlags::default(),
    );
    GucRegistry::define_int_guc(
        c"snackbase.login_rate_limit_per_minute",
        c"How many wrong passwords a client may try in a minute.",
        c"A client is an IPv4 address or a /64 of IPv6. A right password clears the count. 0: no limit.",
        &LOGIN_RATE_LIMIT_PER_MINUTE,
        0,
        100_000,
        GucContext::Suset,
        GucFlags::default(),
    );
    GucRegistry::define_int_guc(
        c"snackbase.api_key_max_per_user",
        c"How many active API keys a user may have.",
        c"Revoked keys do not count, expired ones do until they are revoked.",
        &API_KEY_MAX_PER_USER,
        0,
        1000,
        GucContext::Suset,
        GucFlags::default(),
    );
    GucRegistry::define_bool_guc(
        c"snackbase.account_admin_manages_users",
        c"Whether users of role admin manage the people of their account.",
        c"Off: superadmins alone do.",
        &ACCOUNT_ADMIN_MANAGES_USERS,
        GucContext::Suset,
        GucFlags::default(),
    );
    GucRegistry::define_bool_guc(
        c"snackbase.group_writes_admin_only",
        c"Whether only administrators write groups and their members.",
        c"Off: every user writes those of the own account, but not the group pii_access.",
        &GROUP_WRITES_ADMIN_ONLY,
        GucContext::Suset,
        GucFlags::default(),
    );
    GucRegistry::define_bool_guc(
        c"snackbase.is_demo",
        c"Whether this is a demonstration, whose superadmins nobody changes.",
        c"On: email, role, password and activity of superadmins are refused to change.",
        &IS_DEMO,
        GucContext::Suset,
        GucFlags::default(),
    );
    GucRegistry::define_string_guc(
        c"snackbase.audit_databases",
        c"Databases whose audit trail is sealed by a background worker, separated by commas.",
        c"Empty: none; somebody else has to call snackbase.audit_seal().",
        &AUDIT_DATABASES,
        GucContext::Postmaster,
        GucFlags::default(),
    );
    GucRegistry::define_int_guc(
        c"snackbase.audit_seal_interval_ms",
        c"How long the background worker waits between two steps.",
        c"A step closes at most one block, and none when nothing was written.",
        &AUDIT_SEAL_INTERVAL_MS,
        10,
        3_600_000,
        GucContext::Suset,
        GucFlags::UNIT_MS,
    );
    GucRegistry::define_string_guc(
        c"snackbase.audit_key_file",
        c"File of the private key that signs checkpoints of the audit trail.",
        c"A second file, after a comma, holds the key that the first replaces.",
        &AUDIT_KEY_FILE,
        GucContext::Suset,
        GucFlags::SUPERUSER_ONLY,
    );
    GucRegistry::define_int_guc(
        c"snackbase.audit_checkpoint_interval_ms",
        c"How long after a checkpoint the next one is signed, at the earliest.",
        c"Zero: each block has one.",
        &AUDIT_CHECKPOINT_INTERVAL_MS,
        0,
        86_400_000,
        GucContext::Suset,
        GucFlags::UNIT_MS,
    );
    GucRegistry::define_int_guc(
        c"snackbase.refresh_grace_seconds",
        c"How long a spent refresh token may be presented again without ending its session.",
        c"It is refused all the same; tabs of a browser share one token.",
        &REFRESH_GRACE_SECONDS,
        0,
        3600,
        GucContext::Suset,
        GucFlags::default(),
    );
    GucRegistry::define_int_guc(
        c"snackbase.session_lifetime_days",
        c"How long a session lasts at most, however often it is renewed.",
        c"Zero: as long as it is renewed in time.",
        &SESSION_LIFETIME_DAYS,
        0,
        3650,
        GucContext::Suset,
        GucFlags::default(),
    );
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

/// While it lives, the actor of what is written is the system.
pub struct SystemActor(i32);

impl SystemActor {
    /// Sets it, as a function's SET clause does.
    pub fn begin() -> SystemActor {
        // SAFETY: inside a transaction; the level is ended below, or by the abort after a Postgres error.
        let level = unsafe { pg_sys::NewGUCNestLevel() };
        for (setting, value) in [
            (&AUTH_METHOD, c"system"),
            (&USER_ID, c"system"),
            (&USER_EMAIL, c"system@snackbase.internal"),
        ] {
            // SAFETY: NUL-terminated literals, which the call copies; it is we who set it, whoever is asking.
            unsafe {
                pg_sys::set_config_option(
                    setting.name.as_ptr(),
                    value.as_ptr(),
                    pg_sys::GucContext::PGC_SUSET,
                    pg_sys::GucSource::PGC_S_SESSION,
                    pg_sys::GucAction::GUC_ACTION_SAVE,
                    true,
                    0,
                    false,
                );
            }
        }
        SystemActor(level)
    }
}

impl Drop for SystemActor {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            // SAFETY: ends the level that `begin` started; nothing else has started one that is still open.
            unsafe { pg_sys::AtEOXact_GUC(true, self.0) };
        }
    }
}

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

/// While it lives, `search_path` is that of our `SECURITY DEFINER` functions.
pub struct FixedSearchPath(i32);

impl FixedSearchPath {
    /// Sets it, as a function's SET clause does.
    pub fn begin() -> FixedSearchPath {
        // SAFETY: inside a transaction; the level is ended below, or by the abort after a Postgres error.
        let level = unsafe { pg_sys::NewGUCNestLevel() };
        save_and_set(c"search_path", c"pg_catalog, pg_temp");
        FixedSearchPath(level)
    }
}

impl Drop for FixedSearchPath {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            // SAFETY: ends the level that `begin` started; nothing else has started one that is still open.
            unsafe { pg_sys::AtEOXact_GUC(true, self.0) };
        }
    }
}

unsafe extern "C" {
    // `utils/bytea.h`; not in pgrx's bindings. An enum of C.
    static bytea_output: std::ffi::c_int;
}

/// `BYTEA_OUTPUT_HEX` of `enum ByteaOutputType`.
const BYTEA_OUTPUT_HEX: std::ffi::c_int = 1;

/// While it lives, output functions print values as the trail has them, whatever the session has set. As the SET clauses of a
/// function would do it, but those set and reset every parameter at every call, and nearly every session has these values.
pub struct CanonicalPrinting(Option<i32>);

impl CanonicalPrinting {
    /// `names`: values may contain names, which are printed with their schemas unless these are searched.
    pub fn begin(names: bool) -> CanonicalPrinting {
        // SAFETY: plain globals of the backend.
        let canonical = unsafe {
            pg_sys::extra_float_digits >= 1
                && pg_sys::DateStyle == pg_sys::USE_ISO_DATES as i32
                && pg_sys::IntervalStyle == pg_sys::INTSTYLE_POSTGRES as i32
                && bytea_output == BYTEA_OUTPUT_HEX
        };
        if canonical && !names {
            return CanonicalPrinting(None);
        }
        // SAFETY: inside a transaction; the level is ended below, or by the abort after a Postgres error.
        let level = unsafe { pg_sys::NewGUCNestLevel() };
        for (name, value) in [
            (c"extra_float_digits", c"1"),
            (c"datestyle", c"ISO, YMD"),
            (c"intervalstyle", c"postgres"),
            (c"bytea_output", c"hex"),
            (c"search_path", c"pg_catalog, pg_temp"),
        ] {
            save_and_set(name, value);
        }
        CanonicalPrinting(Some(level))
    }
}

impl Drop for CanonicalPrinting {
    fn drop(&mut self) {
        if let Some(level) = self.0
            && !std::thread::panicking()
        {
            // SAFETY: ends the level that `begin` started; nothing else has started one that is still open.
            unsafe { pg_sys::AtEOXact_GUC(true, level) };
        }
    }
}

/// Sets a parameter that everybody may set, until the innermost nesting level ends.
fn save_and_set(name: &CStr, value: &CStr) {
    // SAFETY: NUL-terminated strings, which are copied.
    unsafe {
        pg_sys::set_config_option(
            name.as_ptr(),
            value.as_ptr(),
            pg_sys::GucContext::PGC_USERSET,
            pg_sys::GucSource::PGC_S_SESSION,
            pg_sys::GucAction::GUC_ACTION_SAVE,
            true,
            0,
            false,
        );
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

// Not in pgrx's bindings; declared in `utils/timeout.h`, the same in PostgreSQL 15 to 18.
unsafe extern "C-unwind" {
    fn enable_timeout_at(id: i32, finish: pg_sys::TimestampTz);
    fn disable_timeout(id: i32, keep_indicator: bool);
    fn get_timeout_active(id: i32) -> bool;
    fn get_timeout_finish_time(id: i32) -> pg_sys::TimestampTz;
}

/// `STATEMENT_TIMEOUT` of `enum TimeoutId`.
const STATEMENT_TIMEOUT: i32 = 3;

thread_local! {
    /// When the statement would have been cancelled without the limit; the outer None: there is no limit of ours.
    static LIMITED: std::cell::Cell<Option<Option<pg_sys::TimestampTz>>> = const { std::cell::Cell::new(None) };
}

/// Lets the running statement be cancelled (57014) after so many milliseconds, unless it would be sooner. `statement_timeout`
/// counts from the start of a statement only, so it cannot be set from within one.
pub fn limit_time(milliseconds: i32) {
    // SAFETY: timeouts are a service of the backend's own; STATEMENT_TIMEOUT is registered in every backend and its handler
    // only sets a flag. After an error the main loop disables all timeouts.
    unsafe {
        let before =
            get_timeout_active(STATEMENT_TIMEOUT).then(|| get_timeout_finish_time(STATEMENT_TIMEOUT));
        let end = pg_sys::GetCurrentTimestamp() + i64::from(milliseconds) * 1000;
        LIMITED.set(Some(before));
        if before.is_none_or(|before| end < before) {
            disable_timeout(STATEMENT_TIMEOUT, false);
            enable_timeout_at(STATEMENT_TIMEOUT, end);
        }
    }
}

/// Ends the limit of [`limit_time`]: what was in force before counts again.
pub fn unlimit_time() {
    if let Some(before) = LIMITED.take() {
        // SAFETY: as above.
        unsafe {
            disable_timeout(STATEMENT_TIMEOUT, false);
            if let Some(before) = before {
                enable_timeout_at(STATEMENT_TIMEOUT, before);
            }
        }
    }
}

/// Suspends `statement_timeout` while a result travels to the client, and lets it count anew for the next part: of a statement
/// that streams, each part has that much time, and a client may read as slowly as the gateway lets it.
pub struct TimePerPart(());

impl TimePerPart {
    /// The work on a part begins.
    pub fn begin() -> TimePerPart {
        // SAFETY: as in `limit_time`; StatementTimeout is the setting in milliseconds, 0 for none.
        unsafe {
            disable_timeout(STATEMENT_TIMEOUT, false);
            let milliseconds = pg_sys::StatementTimeout;
            if milliseconds > 0 {
                let end = pg_sys::GetCurrentTimestamp() + i64::from(milliseconds) * 1000;
                enable_timeout_at(STATEMENT_TIMEOUT, end);
            }
        }
        TimePerPart(())
    }
}

impl Drop for TimePerPart {
    fn drop(&mut self) {
        // SAFETY: as above; it neither allocates nor raises.
        unsafe { disable_timeout(STATEMENT_TIMEOUT, false) };
    }
}

thread_local! {
    static OWN_DDL: std::cell::Cell<u32> = const { std::cell::Cell::new(0) };
}

/// While one of these lives, DDL on collection tables is ours; the event trigger refuses anybody else's. Dropped on
/// unwinding too, so a failed definition leaves no door open.
pub struct OwnDdl(());

impl OwnDdl {
    /// Begins a stretch of our own DDL; stretches may nest.
    pub fn begin() -> OwnDdl {
        OWN_DDL.set(OWN_DDL.get() + 1);
        OwnDdl(())
    }

    /// Is one of them alive?
    pub fn is_running() -> bool {
        OWN_DDL.get() > 0
    }
}

impl Drop for OwnDdl {
    fn drop(&mut self) {
        OWN_DDL.set(OWN_DDL.get().saturating_sub(1));
    }
}
