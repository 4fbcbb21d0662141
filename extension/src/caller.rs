//! The caller as accessors see it: what `enter` established, or, while a rule is being explained or tried, what somebody is
//! taken to be.
//!
//! An identity on trial is a value of the backend and not a setting: it ends with the Rust frame that began it, also when an
//! error unwinds through that frame, so it cannot be left behind. It changes what accessors answer and nothing else; the role
//! that row security judges is changed by [`crate::spi::Acting`].

use std::cell::RefCell;

use pgrx::pg_sys;
use pgrx::pg_sys::panic::ErrorReport;
use pgrx::prelude::*;

use crate::context::uuid_of;
use crate::error::Error;
use crate::{guc, people, spi};

/// Somebody a rule is tried for.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Identity {
    /// uuid text.
    pub account_id: Option<String>,
    /// Usually uuid text.
    pub user_id: Option<String>,
    /// Address.
    pub email: Option<String>,
    /// `anonymous` for a visitor; None for nobody.
    pub auth_method: Option<String>,
    /// The role's name; None looks the user up.
    pub role: Option<Option<String>>,
    /// Names of groups; None looks the user up.
    pub groups: Option<Vec<String>>,
}

thread_local! {
    static TRIED: RefCell<Option<Identity>> = const { RefCell::new(None) };
    static ROLE: RefCell<Option<(Moment, Option<Role>)>> = const { RefCell::new(None) };
}

/// While it lives, accessors answer for this identity.
pub struct Trial(Option<Identity>);

impl Trial {
    /// Begins to take `identity` for the caller.
    pub fn begin(identity: Identity) -> Trial {
        Trial(TRIED.replace(Some(identity)))
    }
}

impl Drop for Trial {
    fn drop(&mut self) {
        TRIED.set(self.0.take());
    }
}

fn tried<T>(read: impl FnOnce(&Identity) -> T) -> Option<T> {
    TRIED.with_borrow(|tried| tried.as_ref().map(read))
}

/// The account of the caller.
pub fn account_id() -> Option<String> {
    tried(|identity| identity.account_id.clone()).unwrap_or_else(|| guc::ACCOUNT_ID.get())
}

/// The id of the caller.
pub fn user_id() -> Option<String> {
    tried(|identity| identity.user_id.clone()).unwrap_or_else(|| guc::USER_ID.get())
}

/// The address of the caller.
pub fn email() -> Option<String> {
    tried(|identity| identity.email.clone()).unwrap_or_else(|| guc::USER_EMAIL.get())
}

/// How the caller was authenticated.
pub fn auth_method() -> Option<String> {
    tried(|identity| identity.auth_method.clone()).unwrap_or_else(|| guc::AUTH_METHOD.get())
}

/// Groups that were given instead of being looked up.
pub fn given_groups() -> Option<Vec<String>> {
    tried(|identity| identity.groups.clone()).flatten()
}

/// A role of the product.
#[derive(Debug, Clone)]
pub struct Role {
    /// Id; None for a name that no role has.
    pub id: Option<i32>,
    /// Name.
    pub name: String,
}

/// One command of one statement, and who asks: as long as this is the same, so is the role.
#[derive(PartialEq)]
struct Moment {
    statement: i64,
    transaction: i64,
    command: u32,
    user: Option<String>,
    account: Option<String>,
    given: Option<Option<String>>,
}

/// The caller's role, or None. A trigger asks for each row, so the answer is kept for as long as nothing can have changed it.
///
/// # Errors
/// [`Error::Spi`].
pub fn role() -> Result<Option<Role>, Error> {
    // SAFETY: reads of the backend's own counters, inside a transaction.
    let (statement, transaction, command) = unsafe {
        (
            pg_sys::GetCurrentStatementStartTimestamp(),
            pg_sys::GetCurrentTransactionStartTimestamp(),
            pg_sys::GetCurrentCommandId(false),
        )
    };
    let moment = Moment {
        statement,
        transaction,
        command,
        user: user_id(),
        account: account_id(),
        given: tried(|identity| identity.role.clone()).flatten(),
    };
    let kept = ROLE.with_borrow(|kept| match kept {
        Some((then, role)) if *then == moment => Some(role.clone()),
        _ => None,
    });
    if let Some(role) = kept {
        return Ok(role);
    }
    let role = match &moment.given {
        Some(given) => given.as_deref().map(named).transpose()?,
        None => look_up(moment.user.as_deref(), moment.account.as_deref())?,
    };
    ROLE.set(Some((moment, role.clone())));
    Ok(role)
}

fn named(name: &str) -> Result<Role, Error> {
    let id = spi::select_as_owner(
        "select r.id from snackbase.roles r where r.name operator(pg_catalog.=) $1",
        &[name.into()],
        spi::first_value::<i32>,
    )?;
    Ok(Role {
        id,
        name: name.to_owned(),
    })
}

fn look_up(user: Option<&str>, account: Option<&str>) -> Result<Option<Role>, Error> {
    let (Some(user), Some(account)) = (user.and_then(uuid_of), account.and_then(uuid_of)) else {
        return Ok(None);
    };
    let Some(user) = people::active_user(user, account)? else {
        return Ok(None);
    };
    let name = people::role_name(user.role)?;
    Ok(name.map(|name| Role {
        id: Some(user.role),
        name,
    }))
}

/// The id of the caller's role.
///
/// # Errors
/// As [`role`].
pub fn role_id() -> Result<Option<i32>, Error> {
    Ok(role()?.and_then(|role| role.id))
}

/// The name of the caller's role, or NULL. Looked up when a rule asks, not at every request.
#[pg_extern(stable, parallel_restricted)]
fn current_user_role() -> Result<Option<String>, ErrorReport> {
    Ok(role()?.map(|role| role.name))
}

/// The id of the caller's role, or NULL: what the policies that come from permissions ask once per statement.
#[pg_extern(stable, parallel_restricted)]
fn current_role_id() -> Result<Option<i32>, ErrorReport> {
    Ok(role_id()?)
}
