//! What an administrator chooses for a server, a database or a role.

use std::ffi::CString;

use pgrx::guc::{GucContext, GucFlags, GucRegistry, GucSetting};

use super::Text;

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

/// Registers them.
pub(super) fn register() {
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
}
