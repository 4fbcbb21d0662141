//! API keys: whose a key is, and that it was used. The gateway tells the hash of what was presented; everything else about the
//! caller is what the tables say now. Contract `identity.md` §3.4.

use pgrx::datum::Uuid;

use crate::error::Error;
use crate::{context, spi};

/// `auth_method` of a caller who presented an API key.
pub const API_KEY: &str = "api_key";

/// A key that was accepted.
pub struct Key {
    id: Uuid,
    /// The account of its owner.
    pub account_id: Uuid,
    /// Its last use is a minute ago or more, and this transaction may write.
    stale: bool,
}

/// The user behind a key.
pub struct Owner {
    /// Id.
    pub user_id: Uuid,
    /// Address.
    pub email: String,
}

/// Keys that may be used, and what is known of their owners; `place` is the condition that finds one.
macro_rules! usable_keys {
    ($place:literal) => {
        concat!(
            "
select k.id, k.account_id, k.key_hash, u.id, u.email,
       (s.last_used_at is null or s.last_used_at operator(pg_catalog.<) (pg_catalog.clock_timestamp() operator(pg_catalog.-) interval '1 minute'))
           and pg_catalog.current_setting('transaction_read_only') operator(pg_catalog.=) 'off'
  from snackbase.api_keys k
  join snackbase.users u on u.id operator(pg_catalog.=) k.user_id and u.account_id operator(pg_catalog.=) k.account_id
  left join snackbase.api_key_uses s on s.key_id operator(pg_catalog.=) k.id and s.account_id operator(pg_catalog.=) k.account_id
 where k.is_active and u.is_active
   and (k.expires_at is null or k.expires_at operator(pg_catalog.>) pg_catalog.clock_timestamp())
   and ",
            $place
        )
    };
}

const BY_ID: &str =
    usable_keys!("k.id operator(pg_catalog.=) $1 and k.prefix operator(pg_catalog.=) 'sb_ak.'");
const BY_HASH: &str =
    usable_keys!("k.key_hash operator(pg_catalog.=) $1 and k.prefix operator(pg_catalog.=) 'sb_sk_'");

/// The key of this id, if `hash` is its hash and it may be used.
///
/// # Errors
/// [`Error::Unauthenticated`]: unknown, wrong, revoked and expired keys, and keys of inactive users, all look alike.
pub fn key(id: Uuid, hash: &str) -> Result<(Key, Owner), Error> {
    spi::select_as_owner(BY_ID, &[id.into()], |rows| pick(rows, hash))
}

/// A key of an original instance (`sb_sk_…`), which is found by its hash alone. Only superadmins have any.
///
/// # Errors
/// As [`key`], and [`Error::KeyRestricted`].
pub fn legacy_key(hash: &str) -> Result<(Key, Owner), Error> {
    let (key, owner) = spi::select_as_owner(BY_HASH, &[hash.into()], |rows| pick(rows, hash))?;
    match key.account_id.to_string() == context::SYSTEM_ACCOUNT {
        true => Ok((key, owner)),
        false => Err(Error::KeyRestricted),
    }
}

fn pick(rows: spi::Rows<'_>, hash: &str) -> Result<(Key, Owner), Error> {
    for row in rows {
        let stored: String = row.get(3)?.unwrap_or_default();
        if !same(&stored, hash) {
            continue;
        }
        let missing = || Error::Internal("a key without id, account or owner".into());
        return Ok((
            Key {
                id: row.get(1)?.ok_or_else(missing)?,
                account_id: row.get(2)?.ok_or_else(missing)?,
                stale: row.get(6)?.unwrap_or(false),
            },
            Owner {
                user_id: row.get(4)?.ok_or_else(missing)?,
                email: row.get(5)?.unwrap_or_default(),
            },
        ));
    }
    Err(Error::Unauthenticated)
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
    /// Notes that the key is used, once a minute at most.
    ///
    /// # Errors
    /// [`Error::Spi`].
    pub fn note_use(&self) -> Result<(), Error> {
        if !self.stale {
            return Ok(());
        }
        spi::as_owner(|| spi::update(NOTE_USE, &[self.id.into(), self.account_id.into()], |_| Ok(())))
    }
}
