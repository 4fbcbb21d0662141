//! API keys: whose a key is, and that it was used. The gateway tells the hash of what was presented; everything else about the
//! caller is what the tables say now. Contract `identity.md` §3.4.

use std::cell::RefCell;
use std::ffi::CStr;

use pgrx::datum::{TimestampWithTimeZone, Uuid};
use pgrx::pg_sys;
use rustc_hash::FxHashMap;

use crate::error::Error;
use crate::keyed::{self, Keyed, Values};
use crate::people::{self, User};
use crate::{context, spi};

/// `auth_method` of a caller who presented an API key.
pub const API_KEY: &str = "api_key";

/// A key that was accepted.
pub struct Key {
    id: Uuid,
    /// The account of its owner.
    pub account_id: Uuid,
    /// Its owner.
    pub user_id: Uuid,
}

/// A key as it is stored, usable or not.
struct Stored {
    key: Key,
    hash: String,
    prefix: String,
    usable: bool,
}

/// What [`Stored`] reads.
const COLUMNS: &[&str] = &[
    "id",
    "account_id",
    "user_id",
    "key_hash",
    "prefix",
    "is_active",
    "expires_at",
];

impl Stored {
    fn read(values: &Values<'_>) -> Result<Self, Error> {
        let expires: Option<TimestampWithTimeZone> = values.get(6);
        Ok(Stored {
            key: Key {
                id: values.want(0)?,
                account_id: values.want(1)?,
                user_id: values.want(2)?,
            },
            hash: values.want(3)?,
            prefix: values.want(4)?,
            usable: values.want::<bool>(5)? && expires.is_none_or(|instant| i64::from(instant) > now()),
        })
    }
}

struct ById(Stored);

impl Keyed for ById {
    const TABLE: &'static CStr = c"api_keys";
    const KEY: &'static CStr = c"api_keys_pkey";
    const COLUMNS: &'static [&'static str] = COLUMNS;

    fn read(values: &Values<'_>) -> Result<Self, Error> {
        Stored::read(values).map(ById)
    }
}

struct ByHash(Stored);

impl Keyed for ByHash {
    const TABLE: &'static CStr = c"api_keys";
    const KEY: &'static CStr = c"api_keys_key_hash_key";
    const COLUMNS: &'static [&'static str] = COLUMNS;

    fn read(values: &Values<'_>) -> Result<Self, Error> {
        Stored::read(values).map(ByHash)
    }
}

struct LastUse(Option<i64>);

impl Keyed for LastUse {
    const TABLE: &'static CStr = c"api_key_uses";
    const KEY: &'static CStr = c"api_key_uses_pkey";
    const COLUMNS: &'static [&'static str] = &["last_used_at"];

    fn read(values: &Values<'_>) -> Result<Self, Error> {
        let last: Option<TimestampWithTimeZone> = values.get(0);
        Ok(LastUse(last.map(i64::from)))
    }
}

/// Microseconds since 2000-01-01.
fn now() -> i64 {
    // SAFETY: reads the clock.
    unsafe { pg_sys::GetCurrentTimestamp() }
}

/// The key of this id, if `hash` is its hash and it may be used, and its owner.
///
/// # Errors
/// [`Error::Unauthenticated`]: unknown, wrong, revoked and expired keys, and keys of inactive users, all look alike.
pub fn key(id: Uuid, hash: &str) -> Result<(Key, User), Error> {
    // Ids are unique per account, and which account it is only the key says.
    let found = keyed::first::<ById>(&[id.into()], |ById(stored)| same(&stored.hash, hash))?;
    with_owner(found.map(|ById(stored)| stored), "sb_ak.")
}

/// A key of an original instance (`sb_sk_…`), which is found by its hash alone. Only superadmins have any.
///
/// # Errors
/// As [`key`], and [`Error::KeyRestricted`].
pub fn legacy_key(hash: &str) -> Result<(Key, User), Error> {
    let found = keyed::find::<ByHash>(&[keyed::Key::Text(hash)])?;
    let (key, owner) = with_owner(found.map(|ByHash(stored)| stored), "sb_sk_")?;
    match key.account_id.to_string() == context::SYSTEM_ACCOUNT {
        true => Ok((key, owner)),
        false => Err(Error::KeyRestricted),
    }
}

fn with_owner(found: Option<Stored>, prefix: &str) -> Result<(Key, User), Error> {
    let usable = found.filter(|stored| stored.usable && stored.prefix == prefix);
    let key = usable.ok_or(Error::Unauthenticated)?.key;
    let owner = people::active_user(key.user_id, key.account_id)?.ok_or(Error::Unauthenticated)?;
    Ok((key, owner))
}

/// Whether two hashes are the same, in a time that does not depend on where they differ.
fn same(stored: &str, presented: &str) -> bool {
    let (stored, presented) = (stored.as_bytes(), presented.as_bytes());
    let difference = stored
        .iter()
        .zip(presented)
        .fold(0, |difference, (a, b)| std::hint::black_box(difference | (a ^ b)));
    stored.len() == presented.len() && difference == 0
}

/// In microseconds.
const MINUTE: i64 = 60_000_000;

/// Of how many keys a backend remembers the last use.
const MANY: usize = 1000;

/// Id and account of a key.
type Name = [[u8; 16]; 2];

thread_local! {
    /// When keys were used last as far as this backend saw: for a minute from then it need not look again.
    static SEEN: RefCell<FxHashMap<Name, i64>> = RefCell::new(FxHashMap::default());
}

/// Whoever finds the row locked leaves it: somebody else is noting the same minute.
const NOTE_USE: &str = "
update snackbase.api_key_uses s
   set last_used_at = pg_catalog.clock_timestamp()
  from (select o.key_id, o.account_id
          from snackbase.api_key_uses o
         where o.key_id operator(pg_catalog.=) $1 and o.account_id operator(pg_catalog.=) $2
           and (o.last_used_at is null
                or o.last_used_at operator(pg_catalog.<) (pg_catalog.clock_timestamp() operator(pg_catalog.-) interval '1 minute'))
           for update skip locked) o
 where s.key_id operator(pg_catalog.=) o.key_id and s.account_id operator(pg_catalog.=) o.account_id";

impl Key {
    /// Notes that the key is used, once a minute at most, unless the transaction only reads.
    ///
    /// # Errors
    /// [`Error::Spi`].
    pub fn note_use(&self) -> Result<(), Error> {
        // SAFETY: reads a global of the transaction.
        if unsafe { pg_sys::XactReadOnly } {
            return Ok(());
        }
        let name = [*self.id.as_bytes(), *self.account_id.as_bytes()];
        let fresh = |last: &i64| *last >= now() - MINUTE;
        if SEEN.with_borrow(|seen| seen.get(&name).is_some_and(fresh)) {
            return Ok(());
        }
        let found = keyed::find::<LastUse>(&[self.id.into(), self.account_id.into()])?;
        if let Some(last) = found.and_then(|LastUse(last)| last).filter(fresh) {
            SEEN.with_borrow_mut(|seen| {
                if seen.len() >= MANY {
                    seen.clear();
                }
                seen.insert(name, last);
            });
            return Ok(());
        }
        let arguments = [self.id.into(), self.account_id.into()];
        spi::as_owner(|| spi::update(NOTE_USE, &arguments, |_| Ok(())))
    }
}
