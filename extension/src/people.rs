//! Users, their sessions and roles, as callers are looked up: a row by its key, in the state it has now.

use std::ffi::CStr;

use pgrx::datum::{TimestampWithTimeZone, Uuid};

use crate::error::Error;
use crate::keyed::{self, Key, Keyed, Values};

/// An active user.
pub struct User {
    /// Address.
    pub email: String,
    /// Id of the role.
    pub role: i32,
}

struct StoredUser {
    is_active: bool,
    user: User,
}

impl Keyed for StoredUser {
    const TABLE: &'static CStr = c"users";
    const KEY: &'static CStr = c"users_pkey";
    const COLUMNS: &'static [&'static str] = &["is_active", "email", "role_id"];

    fn read(values: &Values<'_>) -> Result<Self, Error> {
        Ok(StoredUser {
            is_active: values.want(0)?,
            user: User {
                email: values.want(1)?,
                role: values.want(2)?,
            },
        })
    }
}

/// The user with this id in this account, if active.
///
/// # Errors
/// [`Error::Internal`].
pub fn active_user(id: Uuid, account: Uuid) -> Result<Option<User>, Error> {
    let found = keyed::find::<StoredUser>(&[id.into(), account.into()])?;
    Ok(found.filter(|stored| stored.is_active).map(|stored| stored.user))
}

struct Session {
    user: Uuid,
    revoked: bool,
}

impl Keyed for Session {
    const TABLE: &'static CStr = c"sessions";
    const KEY: &'static CStr = c"sessions_pkey";
    const COLUMNS: &'static [&'static str] = &["user_id", "revoked_at"];

    fn read(values: &Values<'_>) -> Result<Self, Error> {
        Ok(Session {
            user: values.want(0)?,
            revoked: values.get::<TimestampWithTimeZone>(1).is_some(),
        })
    }
}

/// Whether there is such a session of the user's that nobody revoked.
///
/// # Errors
/// [`Error::Internal`].
pub fn session_lives(id: Uuid, user: Uuid, account: Uuid) -> Result<bool, Error> {
    let found = keyed::find::<Session>(&[id.into(), account.into()])?;
    Ok(found.is_some_and(|session| session.user == user && !session.revoked))
}

struct RoleName(String);

impl Keyed for RoleName {
    const TABLE: &'static CStr = c"roles";
    const KEY: &'static CStr = c"roles_pkey";
    const COLUMNS: &'static [&'static str] = &["name"];

    fn read(values: &Values<'_>) -> Result<Self, Error> {
        values.want(0).map(RoleName)
    }
}

/// The name of a role.
///
/// # Errors
/// [`Error::Internal`].
pub fn role_name(id: i32) -> Result<Option<String>, Error> {
    Ok(keyed::find::<RoleName>(&[Key::Number(id)])?.map(|role| role.0))
}
