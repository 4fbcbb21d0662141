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
        Some(master) => {
            let wrapped = sealed::wrap(&master, &random::<NONCE>()?, &id.to_string(), &secret);
            (
                wrapped.ok_or_else(|| Error::Internal("a key was too long".into()))?,
                true,
            )
        }
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

fn unwrapped(id: &str, stored: &[u8], wrapped: bool) -> Result<[u8; KEY], Error> {
    if !wrapped {
        return stored
            .try_into()
            .map_err(|_| Error::Internal("a key has another length".into()));
    }
    let master = master()?.ok_or_else(|| {
        Error::MasterKey("keys are wrapped, and snackbase.subject_master_key_file is not set".into())
    })?;
    sealed::unwrap(&master, id, stored)
        .ok_or_else(|| Error::MasterKey("the file holds another key than the one that wrapped".into()))
}

/// The master key, if one is configured: 64 hexadecimal digits in a file that the server can read.
fn master() -> Result<Option<[u8; KEY]>, Error> {
    let Some(path) = guc::subject_master_key_file() else {
        return Ok(None);
    };
    // The path is an administrator's; what the system says about it goes to the server's log only.
    let text = std::fs::read_to_string(path).map_err(|e| Error::MasterKey(e.to_string()))?;
    let key = snackbase_core::ledger::from_hex(text.trim());
    key.map(Some)
        .ok_or_else(|| Error::MasterKey("the file does not hold 64 hexadecimal digits".into()))
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
