//! Erasable values (crypto-shredding): sealed for the trail under the key of their subject, opened for readers as long as the
//! key exists. Bytes: [`snackbase_core::ledger::sealed`]; keys and their destruction: `sql/085_subjects.sql`.

use std::collections::HashMap;

use pgrx::datum::{DatumWithOid, Uuid};
use pgrx::pg_sys;
use pgrx::pg_sys::panic::ErrorReport;
use pgrx::prelude::*;
use snackbase_core::ledger::sealed::{self, KEY, NONCE, Place, Sealed};

use crate::audit::trail::masks::{self, Masks};
use crate::context::uuid_of;
use crate::error::Error;
use crate::json::JsonText;
use crate::{caller, context, guc, spi};

/// What readers see of a value whose key was destroyed.
pub const ERASED: &str = "[erased]";

/// Keys kept at a time; one statement may write records of more subjects.
const MAX_KEPT: usize = 10_000;

#[derive(Clone)]
struct Key {
    id: String,
    secret: [u8; KEY],
}

/// The keys that a statement has needed so far.
#[derive(Default)]
pub struct Keys(HashMap<(String, String), Key>);

impl Keys {
    /// The sealed form of a value of this subject.
    ///
    /// # Errors
    /// [`Error::MasterKey`]; [`Error::Spi`].
    pub fn seal(&mut self, place: &Place<'_>, subject: &str, text: &str) -> Result<String, Error> {
        let name = (place.account.to_owned(), subject.to_owned());
        if !self.0.contains_key(&name) {
            if self.0.len() >= MAX_KEPT {
                self.0.clear();
            }
            let key = obtain(place.account, subject)?;
            self.0.insert(name.clone(), key);
        }
        let key = self
            .0
            .get(&name)
            .ok_or_else(|| Error::Internal("a key was lost".into()))?;
        sealed::seal(&key.secret, &key.id, &random()?, place, text)
            .ok_or_else(|| Error::Malformed("a value is too long to be sealed".into()))
    }
}

/// What a text of the trail is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Opened {
    /// Not sealed: its own value.
    Plain,
    /// A sealed value.
    Clear(String),
    /// A value whose key was destroyed.
    Erased,
}

/// Opens a text of the trail. Whether the caller may see what comes out is for the caller of this function to ask.
///
/// # Errors
/// [`Error::MasterKey`]; [`Error::Spi`].
pub fn open(place: &Place<'_>, text: &str) -> Result<Opened, Error> {
    let Some(sealed) = Sealed::parse(text) else {
        return Ok(Opened::Plain);
    };
    let (Some(id), Some(account)) = (uuid_of(sealed.key_id), uuid_of(place.account)) else {
        return Ok(Opened::Plain);
    };
    let found = spi::select_as_owner(
        "select k.secret, k.wrapped from snackbase._subject_key_by_id($1, $2) k",
        &[id.into(), account.into()],
        |rows| {
            rows.into_iter()
                .next()
                .map(|row| Ok((row.get::<Vec<u8>>(1)?, row.get::<bool>(2)? == Some(true))))
                .transpose()
        },
    )?;
    Ok(match found {
        // Somebody's text that only looks like it.
        None => Opened::Plain,
        Some((None, _)) => Opened::Erased,
        Some((Some(secret), wrapped)) => {
            let secret = unwrapped(sealed.key_id, &secret, wrapped)?;
            sealed.open(&secret, place).map_or(Opened::Plain, Opened::Clear)
        }
    })
}

/// A text of the trail as the caller may see it: sealed values in clear, or masked for callers who may not see personal data;
/// `[erased]` when the key was destroyed; every other text as it is. Only of the caller's own account, superadmins and
/// superusers apart.
#[pg_extern(volatile, parallel_unsafe)]
#[search_path(pg_catalog, pg_temp)]
fn _audit_reveal(
    account_id: Uuid,
    table_name: &str,
    record_id: &str,
    column_name: &str,
    value: Option<&str>,
) -> Result<Option<String>, ErrorReport> {
    let Some(text) = value else { return Ok(None) };
    if Sealed::parse(text).is_none() {
        return Ok(Some(text.to_owned()));
    }
    let account = uuid::Uuid::from_bytes(*account_id.as_bytes()).to_string();
    let superior = context::Context::current().is_superadmin() || spi::is_bound_to_no_account();
    if !superior && caller::account_id().as_deref() != Some(account.as_str()) {
        return Ok(Some(text.to_owned()));
    }
    let place = Place {
        account: &account,
        table: table_name,
        record: record_id,
        column: column_name,
    };
    Ok(Some(match open(&place, text)? {
        Opened::Plain => text.to_owned(),
        Opened::Erased => ERASED.to_owned(),
        Opened::Clear(clear) => {
            let mask = Masks::for_caller()?.of(table_name, column_name)?;
            masks::shown(mask, Some(&clear)).unwrap_or_default().into_owned()
        }
    }))
}

/// The key of a subject; a new one when it has none.
fn obtain(account: &str, subject: &str) -> Result<Key, Error> {
    let account = uuid_of(account).ok_or_else(|| Error::Internal("an account is no uuid".into()))?;
    let id = uuid::Uuid::from_bytes(random()?);
    let secret: [u8; KEY] = random()?;
    let (proposed, wrapped) = match master()? {
        Some(master) => (wrapped(&master, &id.to_string(), &secret)?, true),
        None => (secret.to_vec(), false),
    };
    let arguments: [DatumWithOid; 5] = [
        account.into(),
        subject.into(),
        Uuid::from_bytes(*id.as_bytes()).into(),
        proposed.into(),
        wrapped.into(),
    ];
    let statement = "select k.id, k.secret, k.wrapped from snackbase._subject_key($1, $2, $3, $4, $5) k";
    let found = spi::as_owner(|| {
        spi::update(statement, &arguments, |rows| {
            rows.into_iter()
                .next()
                .map(|row| Ok((row.get::<Uuid>(1)?, row.get::<Vec<u8>>(2)?, row.get::<bool>(3)?)))
                .transpose()
        })
    })?;
    let Some((Some(id), Some(stored), Some(wrapped))) = found else {
        return Err(Error::Internal("no key for a subject".into()));
    };
    let id = uuid::Uuid::from_bytes(*id.as_bytes()).to_string();
    let secret = unwrapped(&id, &stored, wrapped)?;
    Ok(Key { id, secret })
}

fn wrapped(master: &[u8; KEY], id: &str, secret: &[u8; KEY]) -> Result<Vec<u8>, Error> {
    sealed::wrap(master, &random::<NONCE>()?, id, secret)
        .ok_or_else(|| Error::Internal("a key was too long".into()))
}

fn unwrapped(id: &str, stored: &[u8], wrapped: bool) -> Result<[u8; KEY], Error> {
    if !wrapped {
        return plain(stored);
    }
    let master = master()?.ok_or_else(|| {
        Error::MasterKey("keys are wrapped, and snackbase.subject_master_key_file is not set".into())
    })?;
    if let Some(secret) = sealed::unwrap(&master, id, stored) {
        return Ok(secret);
    }
    previous_master()?
        .and_then(|previous| sealed::unwrap(&previous, id, stored))
        .ok_or_else(|| Error::MasterKey("the file holds another key than the one that wrapped".into()))
}

fn plain(stored: &[u8]) -> Result<[u8; KEY], Error> {
    stored
        .try_into()
        .map_err(|_| Error::Internal("a key has another length".into()))
}

/// The master key, if one is configured: 64 hexadecimal digits in a file that the server can read.
fn master() -> Result<Option<[u8; KEY]>, Error> {
    guc::subject_master_key_file().map(read_master).transpose()
}

/// The one before the last change.
fn previous_master() -> Result<Option<[u8; KEY]>, Error> {
    guc::subject_master_key_file_previous()
        .map(read_master)
        .transpose()
}

fn read_master(path: String) -> Result<[u8; KEY], Error> {
    // The path is an administrator's; what the system says about it goes to the server's log only.
    let text = std::fs::read_to_string(path).map_err(|e| Error::MasterKey(e.to_string()))?;
    snackbase_core::ledger::from_hex(text.trim())
        .ok_or_else(|| Error::MasterKey("the file does not hold 64 hexadecimal digits".into()))
}

/// Keys that one call of [`subject_keys_rewrap`] looks at, unless told otherwise.
const REWRAPPED_AT_ONCE: i32 = 1000;

/// Wraps the keys of subjects with the master key of `snackbase.subject_master_key_file` that another one wrapped, that of
/// `snackbase.subject_master_key_file_previous`, or that none did. What the keys seal stays as it is. Looks at the next `batch`
/// keys (default 1000) with ids after `after` (default: from the first) and answers `{"rewrapped","unreadable","last"}`: `last` is
/// where the next call begins, null when there are no more. A key that nothing opens stays as it is and is counted.
/// Destroyed keys stay destroyed, also those that are destroyed meanwhile.
///
/// For a superuser, or the gateway as the system. Errors: 42501 anybody else · 55000 no master key, or a file that
/// holds none.
#[pg_extern(volatile, parallel_unsafe)]
#[search_path(pg_catalog, pg_temp)]
fn subject_keys_rewrap(
    after: default!(Option<Uuid>, "NULL"),
    batch: default!(Option<i32>, "NULL"),
) -> Result<JsonText, ErrorReport> {
    Ok(JsonText(rewrap(after, batch.unwrap_or(REWRAPPED_AT_ONCE))?))
}

fn rewrap(after: Option<Uuid>, batch: i32) -> Result<String, Error> {
    let system = context::Context::current().auth_method.as_deref() == Some(guc::SYSTEM_USER);
    if !system && !spi::is_session_superuser() {
        return Err(Error::SystemRefused);
    }
    if batch < 1 {
        return Err(Error::Malformed("batch is at least 1".into()));
    }
    let master =
        master()?.ok_or_else(|| Error::MasterKey("snackbase.subject_master_key_file is not set".into()))?;
    let previous = previous_master()?;
    let keys = keys_after(after, batch)?;
    let (mut rewrapped, mut unreadable) = (0u64, 0u64);
    let last = keys
        .last()
        .filter(|_| keys.len() as i32 == batch)
        .map(|key| key.0);
    for (id, account, stored, is_wrapped) in keys {
        let name = uuid::Uuid::from_bytes(*id.as_bytes()).to_string();
        if is_wrapped && sealed::unwrap(&master, &name, &stored).is_some() {
            continue;
        }
        let secret = match is_wrapped {
            false => Some(plain(&stored)?),
            true => previous.and_then(|previous| sealed::unwrap(&previous, &name, &stored)),
        };
        let Some(secret) = secret else {
            unreadable += 1;
            continue;
        };
        // A key that was destroyed since it was read is not this secret any more.
        let arguments: [DatumWithOid; 4] = [
            id.into(),
            account.into(),
            stored.into(),
            wrapped(&master, &name, &secret)?.into(),
        ];
        let changed = spi::as_owner(|| spi::update(REWRAP, &arguments, |rows| Ok(rows.len())))?;
        rewrapped += changed as u64;
    }
    let last = last.map(|id| uuid::Uuid::from_bytes(*id.as_bytes()).to_string());
    Ok(serde_json::json!({ "rewrapped": rewrapped, "unreadable": unreadable, "last": last }).to_string())
}

const REWRAP: &str = "
update snackbase.subject_keys k
   set secret = $4, wrapped = true
 where k.id = $1 and k.account_id = $2 and k.secret = $3
returning k.id";

/// Id, account, secret, and whether it is wrapped, of keys that are not destroyed.
type Stored = (Uuid, Uuid, Vec<u8>, bool);

fn keys_after(after: Option<Uuid>, batch: i32) -> Result<Vec<Stored>, Error> {
    let statement = "
        select k.id, k.account_id, k.secret, k.wrapped
          from snackbase.subject_keys k
         where k.secret is not null and ($1 is null or k.id operator(pg_catalog.>) $1)
         order by k.id
         limit $2";
    spi::select_as_owner(statement, &[after.into(), batch.into()], |rows| {
        rows.into_iter()
            .map(|row| {
                let column = "a key lacks a column";
                let lost = || Error::Internal(column.into());
                Ok((
                    row.get(1)?.ok_or_else(lost)?,
                    row.get(2)?.ok_or_else(lost)?,
                    row.get(3)?.ok_or_else(lost)?,
                    row.get(4)?.ok_or_else(lost)?,
                ))
            })
            .collect()
    })
}

/// Bytes that nobody can guess.
///
/// # Errors
/// [`Error::Internal`] when the system has none.
pub fn random<const N: usize>() -> Result<[u8; N], Error> {
    let mut bytes = [0u8; N];
    // SAFETY: writes N bytes into an array of N bytes.
    if unsafe { pg_sys::pg_strong_random(bytes.as_mut_ptr().cast(), N) } {
        Ok(bytes)
    } else {
        Err(Error::Internal("the system has no random numbers".into()))
    }
}
