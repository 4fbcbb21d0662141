//! Who is asking, and for what: what [`crate::enter`] established, told to everybody else.
//!
//! Policies and triggers call the SQL accessors; Rust calls [`Context::current`]. Both read the settings of
//! [`crate::guc`], which only a superuser or the gateway's login role can set, and the gateway's only before it has
//! taken an operation role.

use pgrx::datum::Uuid;
use pgrx::pg_sys::panic::ErrorReport;
use pgrx::prelude::*;
use snackbase_core::rules;

use crate::error::Error;
use crate::fresh::Fresh;
use crate::{caller, guc, spi};

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

/// `auth_method` of a visitor without credentials.
pub const ANONYMOUS: &str = "anonymous";

/// Stands for an account that does not exist. It is no uuid: the accessors say NULL, and every policy refuses.
pub const UNKNOWN_ACCOUNT: &str = "unknown";

/// True while a superuser replays a dump; see [`guc::is_restoring`].
#[pg_extern(stable, parallel_restricted)]
fn _restoring() -> bool {
    guc::is_restoring()
}

/// The role whose users administer their account and read its audit trail.
pub const ADMINISTRATORS: &str = "admin";

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
