//! Who is asking: `enter()` introduces a caller for one transaction, the accessors tell everybody else.
//!
//! Policies and triggers call the SQL accessors; Rust calls [`Context::current`]. Both read the settings of
//! [`crate::guc`], which only a superuser or the gateway's login role can set, and the gateway's only before it has
//! taken an operation role: from then on identity is frozen for the transaction.

use std::sync::atomic::{AtomicBool, Ordering};

use pgrx::datum::Uuid;
use pgrx::pg_sys::panic::ErrorReport;
use pgrx::prelude::*;
use serde::Deserialize;
use snackbase_core::rules;

use crate::error::Error;
use crate::fresh::Fresh;
use crate::json::JsonText;
use crate::{caller, credentials, guc, signatures, spi};

/// The system account: its users are superadmins.
pub const SYSTEM_ACCOUNT: &str = "00000000-0000-0000-0000-000000000000";

/// An operation on the records of a collection. Each has a role and a policy of its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Operation {
    /// Many records.
    List,
    /// One record.
    View,
    /// A new record.
    Create,
    /// A changed record.
    Update,
    /// A removed record.
    Delete,
}

impl Operation {
    /// All five, in the order of the contract.
    pub const ALL: [Operation; 5] = [
        Operation::List,
        Operation::View,
        Operation::Create,
        Operation::Update,
        Operation::Delete,
    ];

    /// The word of the contract, which is also the name of the policy.
    pub fn name(self) -> &'static str {
        match self {
            Operation::List => "list",
            Operation::View => "view",
            Operation::Create => "create",
            Operation::Update => "update",
            Operation::Delete => "delete",
        }
    }

    /// The same as rules know it.
    pub fn in_rules(self) -> rules::Operation {
        match self {
            Operation::List => rules::Operation::List,
            Operation::View => rules::Operation::View,
            Operation::Create => rules::Operation::Create,
            Operation::Update => rules::Operation::Update,
            Operation::Delete => rules::Operation::Delete,
        }
    }

    /// The NOLOGIN role of the operation.
    pub fn role(self) -> &'static str {
        match self {
            Operation::List => "snackbase_list",
            Operation::View => "snackbase_view",
            Operation::Create => "snackbase_create",
            Operation::Update => "snackbase_update",
            Operation::Delete => "snackbase_delete",
        }
    }
}

/// What `enter` established, or what an administrator fixed for a login role.
pub struct Context {
    /// Account id text; `None` when nobody was introduced.
    pub account_id: Option<String>,
    /// `None` when nobody was introduced.
    pub auth_method: Option<String>,
}

impl Context {
    /// The context of the running transaction.
    pub fn current() -> Context {
        Context {
            account_id: caller::account_id(),
            auth_method: caller::auth_method(),
        }
    }

    /// A user of the system account.
    pub fn is_superadmin(&self) -> bool {
        self.account_id.as_deref() == Some(SYSTEM_ACCOUNT) && self.is_authenticated()
    }

    /// Somebody with an identity: not an anonymous visitor, and not nobody.
    pub fn is_authenticated(&self) -> bool {
        matches!(self.auth_method.as_deref(), Some(method) if method != ANONYMOUS)
    }

    /// A visitor without credentials.
    pub fn is_anonymous(&self) -> bool {
        self.auth_method.as_deref() == Some(ANONYMOUS)
    }

    /// Whether a visitor who reads has named an account that exists.
    ///
    /// # Errors
    /// [`Error::AccountHeaderMissing`], [`Error::AccountNotFound`]: what `enter` left to be said here.
    pub fn require_account(&self) -> Result<(), Error> {
        match self.account_id.as_deref() {
            None => Err(Error::AccountHeaderMissing),
            Some(UNKNOWN_ACCOUNT) => Err(Error::AccountNotFound),
            Some(_) => Ok(()),
        }
    }
}

const ANONYMOUS: &str = "anonymous";

/// Stands for an account that does not exist. It is no uuid: the accessors say NULL, and every policy refuses.
const UNKNOWN_ACCOUNT: &str = "unknown";

#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
enum Kind {
    User,
    ApiKey,
    Anonymous,
    /// The gateway itself: what it does by itself and from the command line.
    System,
}

#[derive(Deserialize)]
struct Caller {
    kind: Kind,
    user_id: Option<String>,
    account_id: Option<String>,
    session_id: Option<String>,
    key_id: Option<String>,
    key_hash: Option<String>,
    /// Whether the statement may run for long: then nothing is noted of a key, because a transaction that has written holds up the sealer.
    #[serde(default)]
    streams: bool,
    account: Option<String>,
    auth_method: Option<String>,
    request_id: Option<String>,
    ip_address: Option<String>,
    user_agent: Option<String>,
    signature: Option<Signature>,
}

/// What goes with a write: `docs/sql-api.md` §1.
#[derive(Deserialize)]
pub struct Signature {
    /// Whose password was checked; absent: nobody signs, a reason is given.
    pub user_id: Option<String>,
    /// SHA-256 of the password hash that was checked, in lower-case hexadecimal.
    pub checked: Option<String>,
    /// One of [`signatures::MEANINGS`]; of a signature only.
    pub meaning: Option<String>,
    /// Not blank.
    pub reason: String,
}

impl Caller {
    /// How it proved who it is. Words that say who it is are for those who are it; of a key nobody can say otherwise: what
    /// keys may not do hangs on it.
    fn method(&self) -> Result<String, Error> {
        let of_kind = match self.kind {
            Kind::User => "jwt",
            Kind::ApiKey => return Ok(credentials::API_KEY.to_owned()),
            Kind::Anonymous => ANONYMOUS,
            Kind::System => guc::SYSTEM_USER,
        };
        match self.auth_method.as_deref() {
            None => Ok(of_kind.to_owned()),
            Some(given) if given == of_kind => Ok(given.to_owned()),
            Some(given) if matches!(self.kind, Kind::User) && !RESERVED_METHODS.contains(&given) => {
                Ok(given.to_owned())
            }
            Some(_) => Err(Error::Malformed(
                "caller: auth_method does not go with its kind".into(),
            )),
        }
    }
}

/// Methods that no user has.
const RESERVED_METHODS: [&str; 3] = [ANONYMOUS, guc::SYSTEM_USER, "direct_sql"];

/// The login role of the gateway.
const GATEWAY: &str = "snackbase_gateway";

struct Identity {
    account_id: String,
    user_id: String,
    email: String,
}

impl Identity {
    /// A visitor of an account.
    fn nobody(account_id: String) -> Self {
        Self {
            account_id,
            user_id: String::new(),
            email: String::new(),
        }
    }
}

/// Introduces `caller` for the rest of the transaction and takes the role of `operation`; `docs/sql-api.md` §1 has
/// the keys, the operations and the errors. Always true.
///
/// `SECURITY INVOKER`, because a role cannot be taken inside a `SECURITY DEFINER` function; the look-up of the user
/// alone runs as the owner.
#[pg_extern(volatile, parallel_unsafe)]
fn enter(caller: JsonText, operation: &str) -> Result<bool, ErrorReport> {
    introduce(&caller.0, operation)?;
    Ok(true)
}

fn introduce(caller: &str, operation: &str) -> Result<(), Error> {
    if !PRELOADED.load(Ordering::Relaxed) {
        return Err(Error::NotPreloaded);
    }
    let caller: Caller =
        serde_json::from_str(caller).map_err(|e| Error::Malformed(format!("caller: {e}")))?;
    let anonymous = matches!(caller.kind, Kind::Anonymous);
    let system = matches!(caller.kind, Kind::System);
    if system && (operation != "auth" || spi::session_user() != GATEWAY) {
        return Err(Error::SystemRefused);
    }
    let method = caller.method()?;
    let reads = matches!(operation, "list" | "view");
    let identity = match caller.kind {
        Kind::User => Some(look_up_user(&caller)?),
        Kind::ApiKey => {
            let (key, identity) = look_up_key(&caller)?;
            if !caller.streams {
                key.note_use()?;
            }
            Some(identity)
        }
        Kind::System => None,
        Kind::Anonymous if operation == "auth" => None,
        Kind::Anonymous => match look_up_account(&caller) {
            // What is wrong with the collection or its rule is said first (contract records.md §3.7), and is not known
            // here. Without an account nothing can be read meanwhile.
            Err(Error::AccountHeaderMissing) if reads => None,
            Err(Error::AccountNotFound) if reads => Some(Identity::nobody(UNKNOWN_ACCOUNT.to_owned())),
            found => Some(found?),
        },
    };
    let superadmin = !anonymous && identity.as_ref().is_some_and(|i| i.account_id == SYSTEM_ACCOUNT);
    let role = match operation {
        "auth" => None,
        "superadmin" if superadmin => Some("snackbase_superadmin"),
        "superadmin" if anonymous => return Err(Error::AuthenticationRequired),
        "superadmin" => return Err(Error::SuperadminRequired),
        "member" | "people" | "admin" | "audit" if anonymous => return Err(Error::AuthenticationRequired),
        _ if superadmin => Some("snackbase_superadmin"),
        "member" => Some("snackbase_member"),
        "audit" => match &identity {
            Some(identity) if administers(identity)? => Some("snackbase_member"),
            _ => return Err(Error::SuperadminRequired),
        },
        "people" => match &identity {
            Some(identity) if administers(identity)? => Some("snackbase_admin"),
            _ => Some("snackbase_member"),
        },
        "admin" => match &identity {
            Some(identity) if administers(identity)? => Some("snackbase_admin"),
            _ => return Err(Error::AdministratorRequired),
        },
        name => match Operation::ALL.into_iter().find(|o| o.name() == name) {
            Some(operation) => Some(operation.role()),
            None => return Err(Error::Malformed(format!("operation: unknown value {name}"))),
        },
    };

    // Everything first, the role last: afterwards nothing here can be set any more.
    guc::AUTH_METHOD.set_local(&method)?;
    if system {
        guc::USER_ID.set_local(guc::SYSTEM_USER)?;
        guc::USER_EMAIL.set_local(guc::SYSTEM_EMAIL)?;
    }
    if !reads {
        // For the audit trail, which reading does not touch.
        let user_agent: Option<String> = caller.user_agent.map(|text| text.chars().take(500).collect());
        guc::REQUEST_ID.set_local(caller.request_id.as_deref().unwrap_or_default())?;
        guc::IP_ADDRESS.set_local(caller.ip_address.as_deref().unwrap_or_default())?;
        guc::USER_AGENT.set_local(user_agent.as_deref().unwrap_or_default())?;
    }
    let account = identity.as_ref().map(|identity| identity.account_id.clone());
    if let Some(identity) = identity {
        guc::ACCOUNT_ID.set_local(&identity.account_id)?;
        guc::USER_ID.set_local(&identity.user_id)?;
        guc::USER_EMAIL.set_local(&identity.email)?;
    }
    if !reads {
        // Each of the four is set by every caller, so that nothing of an earlier one of this transaction is left.
        let account = account.filter(|_| !anonymous);
        signatures::introduce(caller.signature.as_ref(), account.as_deref())?;
    }
    if let Some(role) = role {
        guc::set_role_local(role)?;
    }
    Ok(())
}

/// The role whose users administer their account and read its audit trail.
const ADMINISTRATORS: &str = "admin";

fn administers(identity: &Identity) -> Result<bool, Error> {
    let role = caller::role_of(&identity.user_id, &identity.account_id)?;
    Ok(role.is_some_and(|role| role.name == ADMINISTRATORS))
}

/// The caller that [`enter`] would introduce, as an identity to try rules for. Nothing is set.
///
/// # Errors
/// As [`enter`].
pub fn identify(caller: &str) -> Result<caller::Identity, Error> {
    let caller: Caller =
        serde_json::from_str(caller).map_err(|e| Error::Malformed(format!("caller: {e}")))?;
    let method = caller.method()?;
    let identity = match caller.kind {
        Kind::User => look_up_user(&caller)?,
        Kind::ApiKey => look_up_key(&caller)?.1,
        Kind::Anonymous => look_up_account(&caller)?,
        Kind::System => return Err(Error::SystemRefused),
    };
    let given = |text: String| Some(text).filter(|text| !text.is_empty());
    Ok(caller::Identity {
        account_id: given(identity.account_id),
        user_id: given(identity.user_id),
        email: given(identity.email),
        auth_method: Some(method),
        ..caller::Identity::default()
    })
}

/// The address of an active user, if the session it names was not revoked.
const USER: &str = "
select u.email
  from snackbase.users u
 where u.id operator(pg_catalog.=) $1 and u.account_id operator(pg_catalog.=) $2 and u.is_active";

const USER_IN_SESSION: &str = "
select u.email
  from snackbase.sessions s
  join snackbase.users u on u.id operator(pg_catalog.=) s.user_id and u.account_id operator(pg_catalog.=) s.account_id
 where s.id operator(pg_catalog.=) $3 and s.account_id operator(pg_catalog.=) $2 and s.revoked_at is null
   and u.id operator(pg_catalog.=) $1 and u.is_active";

fn look_up_user(caller: &Caller) -> Result<Identity, Error> {
    let (Some(user_id), Some(account_id)) = (&caller.user_id, &caller.account_id) else {
        return Err(Error::Malformed(
            "caller: a user has user_id and account_id".into(),
        ));
    };
    let parse = |text: &String| uuid_of(text).ok_or(Error::Unauthenticated);
    let (user, account) = (parse(user_id)?, parse(account_id)?);
    let first = |rows: spi::Rows<'_>| {
        rows.into_iter()
            .next()
            .map(|row| row.get::<String>(1))
            .transpose()
            .map_err(Error::from)
    };
    let found = match &caller.session_id {
        None => spi::select_as_owner(USER, &[user.into(), account.into()], first)?,
        Some(session) => {
            let arguments = [user.into(), account.into(), parse(session)?.into()];
            spi::select_as_owner(USER_IN_SESSION, &arguments, first)?
        }
    };
    let email = found.flatten().ok_or(Error::Unauthenticated)?;
    Ok(Identity {
        account_id: account.to_string(),
        user_id: user.to_string(),
        email,
    })
}

fn look_up_key(caller: &Caller) -> Result<(credentials::Key, Identity), Error> {
    let Some(hash) = &caller.key_hash else {
        return Err(Error::Malformed("caller: an API key has key_hash".into()));
    };
    let (key, owner) = match &caller.key_id {
        Some(id) => credentials::key(uuid_of(id).ok_or(Error::Unauthenticated)?, hash)?,
        None => credentials::legacy_key(hash)?,
    };
    let identity = Identity {
        account_id: key.account_id.to_string(),
        user_id: owner.user_id.to_string(),
        email: owner.email,
    };
    Ok((key, identity))
}

fn look_up_account(caller: &Caller) -> Result<Identity, Error> {
    // Named by slug or code, never by id (contract records.md §1.1).
    let Some(name) = caller
        .account
        .as_deref()
        .map(str::trim)
        .filter(|name| !name.is_empty())
    else {
        return Err(Error::AccountHeaderMissing);
    };
    let account_id = if uuid_of(name).is_some() {
        None
    } else {
        spi::select_as_owner(
            "select snackbase._account_find($1)::pg_catalog.text",
            &[name.into()],
            |rows| Ok(rows.first().get_one::<String>()?),
        )?
    };
    let account_id = account_id.ok_or(Error::AccountNotFound)?;
    Ok(Identity::nobody(account_id))
}

static PRELOADED: AtomicBool = AtomicBool::new(false);

/// Remembers how the library was loaded. Called once, from `_PG_init`; a backend inherits the postmaster's answer.
pub fn remember_preloading() {
    PRELOADED.store(guc::is_preloading(), Ordering::Relaxed);
}

/// Is the library in `shared_preload_libraries`? Without it a client could prepare placeholder settings.
#[pg_extern(stable, parallel_restricted)]
fn _is_preloaded() -> bool {
    PRELOADED.load(Ordering::Relaxed)
}

/// True while a superuser replays a dump; see [`guc::is_restoring`].
#[pg_extern(stable, parallel_restricted)]
fn _restoring() -> bool {
    guc::is_restoring()
}

/// The caller's account, or NULL.
#[pg_extern(stable, parallel_safe)]
pub fn current_account_id() -> Option<Uuid> {
    uuid_of(&caller::account_id()?)
}

/// The caller's id as text, or NULL for anonymous visitors and when nobody was introduced.
#[pg_extern(stable, parallel_safe)]
fn current_user_id() -> Option<String> {
    caller::user_id()
}

/// The caller's id when it is a UUID, else NULL: what a rule compares with a reference to users.
#[pg_extern(stable, parallel_safe)]
fn current_user_uuid() -> Option<Uuid> {
    uuid_of(&caller::user_id()?)
}

/// The caller's email address, or NULL.
#[pg_extern(stable, parallel_safe)]
fn current_user_email() -> Option<String> {
    caller::email()
}

/// The names of the caller's groups, sorted; empty when there are none. Looked up when asked.
#[pg_extern(stable, parallel_restricted)]
fn current_user_groups() -> Result<Vec<String>, ErrorReport> {
    Ok(groups()?)
}

/// The names of the caller's groups, sorted.
///
/// # Errors
/// [`Error::Spi`].
pub fn groups() -> Result<Vec<String>, Error> {
    if let Some(given) = caller::given_groups() {
        return Ok(given);
    }
    let (Some(user), Some(account)) = (current_user_uuid(), current_account_id()) else {
        return Ok(Vec::new());
    };
    let statement = "
        select g.name
          from snackbase.users_groups ug
          join snackbase.groups g on g.id operator(pg_catalog.=) ug.group_id and g.account_id operator(pg_catalog.=) ug.account_id
         where ug.account_id operator(pg_catalog.=) $2 and ug.user_id operator(pg_catalog.=) $1
         order by g.name using operator(pg_catalog.<)";
    spi::select_as_owner(statement, &[user.into(), account.into()], |rows| {
        rows.into_iter()
            .filter_map(|row| row.get::<String>(1).map_err(Error::from).transpose())
            .collect()
    })
}

/// Is the caller in the group of this name, in its own account?
#[pg_extern(stable, parallel_restricted)]
fn in_group(name: &str) -> Result<bool, ErrorReport> {
    Ok(groups()?.iter().any(|group| group == name))
}

/// Is there another active superadmin? Sees what is committed now, in any isolation level, and what this transaction did.
#[pg_extern(volatile, parallel_unsafe)]
fn _superadmin_remains(besides: Uuid) -> Result<bool, ErrorReport> {
    let statement = "
        select exists (select from snackbase.users u
                        where u.account_id operator(pg_catalog.=) '00000000-0000-0000-0000-000000000000'
                          and u.is_active and u.id operator(pg_catalog.<>) $1)";
    let mut remains = false;
    Fresh::begin().read(statement, &[besides.into()], |row| {
        remains = row.get(1).unwrap_or(false);
        Ok(())
    })?;
    Ok(remains)
}

/// How the caller was authenticated, or NULL when nobody was introduced.
#[pg_extern(stable, parallel_safe)]
fn current_auth_method() -> Option<String> {
    caller::auth_method()
}

/// The client's address as the gateway saw it, or NULL.
#[pg_extern(stable, parallel_safe)]
fn current_ip_address() -> Option<String> {
    guc::IP_ADDRESS.get()
}

/// The client's user agent, or NULL.
#[pg_extern(stable, parallel_safe)]
fn current_user_agent() -> Option<String> {
    guc::USER_AGENT.get()
}

/// Is the caller somebody: neither anonymous nor nobody?
#[pg_extern(stable, parallel_safe)]
fn is_authenticated() -> bool {
    Context::current().is_authenticated()
}

/// Is the caller a user of the system account?
#[pg_extern(stable, parallel_safe)]
fn is_superadmin() -> bool {
    Context::current().is_superadmin()
}

/// May the caller read the audit trail of its account (contract `audit.md` §3.4): users of role `admin`, and superadmins.
#[pg_extern(stable, parallel_restricted)]
fn is_audit_reader() -> Result<bool, ErrorReport> {
    Ok(is_superadmin() || reads_audit_of_own_account()?)
}

/// Whether the caller is one of the audit readers of its account.
///
/// # Errors
/// [`Error::Spi`].
pub fn reads_audit_of_own_account() -> Result<bool, Error> {
    let admin = || Ok::<_, Error>(caller::role()?.is_some_and(|role| role.name == ADMINISTRATORS));
    Ok(is_authenticated() && admin()?)
}

/// May the caller see masked values in clear (contract `records.md` §8): superadmins and members of `pii_access`.
#[pg_extern(stable, parallel_restricted)]
fn sees_pii() -> Result<bool, ErrorReport> {
    Ok(caller_sees_pii()?)
}

/// The answer of `sees_pii()`.
///
/// # Errors
/// [`Error::Spi`] when the caller's groups cannot be looked up.
pub fn caller_sees_pii() -> Result<bool, Error> {
    Ok(is_superadmin() || groups()?.iter().any(|group| group == "pii_access"))
}

/// Who goes into `created_by`: the caller's id, `anonymous`, or the login role of a direct SQL session.
#[pg_extern(stable, parallel_restricted)]
pub fn current_actor() -> String {
    match caller::user_id() {
        Some(id) => id,
        None if Context::current().is_anonymous() => ANONYMOUS.to_owned(),
        None => spi::session_user(),
    }
}

/// A uuid, or None when the text is none.
pub fn uuid_of(text: &str) -> Option<Uuid> {
    text.parse::<uuid::Uuid>()
        .ok()
        .map(|id| Uuid::from_bytes(*id.as_bytes()))
}

/// Lets the running statement be cancelled after so many milliseconds; see [`guc::limit_time`].
#[pg_extern(volatile, parallel_restricted)]
fn _time_limit(milliseconds: i32) {
    guc::limit_time(milliseconds);
}

/// Ends the limit of [`_time_limit`].
#[pg_extern(volatile, parallel_restricted)]
fn _time_limit_end() {
    guc::unlimit_time();
}

/// Is a function of this extension doing DDL right now? Asked by the event trigger that guards our tables.
#[pg_extern(stable, parallel_restricted)]
fn _own_ddl() -> bool {
    guc::OwnDdl::is_running()
}
