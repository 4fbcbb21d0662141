//! Electronic signatures and reasons for change (21 CFR Part 11; audit contract §5.4; `docs/part11.md`).
//!
//! The gateway checks the password, because a hash costs 64 MiB and a backend that holds locks is no place for that. Everything
//! else is decided here: `enter()` believes a signature only of an active user of the caller's own account whose password
//! hash is still the one that was checked; the settings it sets are superuser-set, so no other login can claim a signature; a
//! trigger of the table refuses the write that lacks one, whoever writes; and the recorder puts it into every change of the
//! transaction, under the hash.

use pgrx::prelude::*;
use snackbase_core::schema::{Requirement, WRITES};

use crate::caller::{Identity, Trial};
use crate::collections::Collection;
use crate::context::uuid_of;
use crate::enter::Signature;
use crate::error::Error;
use crate::{caller, guc, spi};

/// What a signature can mean. Source: 21 CFR 11.50(a)(3).
pub const MEANINGS: [&str; 4] = ["approval", "authorship", "responsibility", "review"];

/// Bytes of a reason.
const LONGEST_REASON: usize = 2_000;

/// The signer, if its password is the one that was checked and still counts.
const SIGNER: &str = "
select u.email, u.failed_login_attempts
  from snackbase.users u
 where u.id operator(pg_catalog.=) $1 and u.account_id operator(pg_catalog.=) $2 and u.is_active
   and u.auth_provider operator(pg_catalog.=) 'password'
   and (u.locked_until is null or u.locked_until operator(pg_catalog.<=) pg_catalog.clock_timestamp())
   and pg_catalog.encode(pg_catalog.sha256(pg_catalog.convert_to(u.password_hash, 'UTF8')), 'hex') operator(pg_catalog.=) $3";

/// Sets what the recorder and the triggers of signed collections read; everything empty when there is no signature.
///
/// # Errors
/// [`Error::SignatureRefused`]; [`Error::AuthenticationRequired`] when a visitor signs; [`Error::Malformed`].
pub fn introduce(signature: Option<&Signature>, account: Option<&str>) -> Result<(), Error> {
    let (mut user_id, mut username, mut reason, mut at) =
        (String::new(), String::new(), String::new(), String::new());
    if let Some(signature) = signature {
        let given = signature.reason.trim();
        if given.is_empty() || given.len() > LONGEST_REASON {
            return Err(Error::Malformed(format!(
                "signature: a reason has 1 to {LONGEST_REASON} bytes"
            )));
        }
        reason = given.to_owned();
        if let Some(signer) = &signature.user_id {
            let meaning = signature.meaning.as_deref().unwrap_or_default();
            if !MEANINGS.contains(&meaning) {
                return Err(Error::Malformed(format!(
                    "signature: a meaning is one of {}",
                    MEANINGS.join(", ")
                )));
            }
            let account = account.ok_or(Error::AuthenticationRequired)?;
            username = look_up(signer, account, signature.checked.as_deref().unwrap_or_default())?;
            user_id = signer.to_ascii_lowercase();
            reason = format!("{meaning}: {given}");
            // SAFETY: reads the clock.
            at = unsafe { pg_sys::GetCurrentTimestamp() }.to_string();
        }
    }
    guc::ES_USER_ID.set_local(&user_id)?;
    guc::ES_USERNAME.set_local(&username)?;
    guc::ES_REASON.set_local(&reason)?;
    guc::ES_TIMESTAMP.set_local(&at)
}

fn look_up(signer: &str, account: &str, checked: &str) -> Result<String, Error> {
    let (Some(user), Some(account)) = (uuid_of(signer), uuid_of(account)) else {
        return Err(Error::SignatureRefused);
    };
    let found = spi::select_as_owner(SIGNER, &[user.into(), account.into(), checked.into()], |rows| {
        rows.into_iter()
            .next()
            .map(|row| Ok((row.get::<String>(1)?, row.get::<i32>(2)?)))
            .transpose()
    })?;
    let Some((Some(email), failures)) = found else {
        return Err(Error::SignatureRefused);
    };
    if failures != Some(0) {
        let arguments = [account.into(), user.into(), guc::IP_ADDRESS.get().into()];
        spi::as_owner(|| {
            spi::update(
                "select snackbase._login_succeeded($1, $2, $3)",
                &arguments,
                |_| Ok(()),
            )
        })?;
    }
    Ok(email)
}

/// Is there what a write of a collection needs? Asked by the triggers `a_signature_<operation>`. `second`: the signer may be
/// another one than who asks.
///
/// DDL of our own rewrites records in the name of a definition that is audited itself, and a dump brings its signatures along.
#[pg_extern(stable, parallel_restricted)]
fn _signature_suffices(requirement: &str, second: bool) -> bool {
    if guc::is_restoring() || guc::OwnDdl::is_running() {
        return true;
    }
    if requirement == Requirement::Reason.name() {
        return guc::ES_REASON.get().is_some();
    }
    match (guc::ES_USERNAME.get(), guc::ES_USER_ID.get()) {
        (Some(_), Some(signer)) => second || caller::user_id() == Some(signer),
        _ => false,
    }
}

/// Makes the triggers that refuse writes without what the options ask for.
///
/// # Errors
/// Failures of the DDL keep their SQLSTATE.
pub fn replace_triggers(collection: &Collection) -> Result<(), Error> {
    let options = &collection.definition.options;
    for (write, requirement) in WRITES.iter().zip(options.signature) {
        let (relation, event) = (
            &collection.relation,
            if *write == "create" { "insert" } else { write },
        );
        spi::execute(&format!(
            "drop trigger if exists a_signature_{write} on {relation}"
        ))?;
        if let Some(requirement) = requirement {
            spi::execute(&format!(
                "create trigger a_signature_{write} before {event} on {relation} for each row \
                 when (not snackbase._signature_suffices('{name}', {second})) \
                 execute function snackbase._refuse_unsigned('{name}')",
                name = requirement.name(),
                second = options.second_signer
            ))?;
        }
    }
    Ok(())
}

/// Before records are written: a second signer must be wanted by the collection, and must be able to do what it signs. So the
/// write is done once in the signer's name, judged by the same policies and triggers, and undone.
///
/// # Errors
/// [`Error::SecondSigner`], [`Error::SignerRefused`].
pub fn countersigned<R>(collection: &Collection, write: impl Fn() -> Result<R, Error>) -> Result<R, Error> {
    let Some(signer) = guc::ES_USER_ID
        .get()
        .filter(|signer| caller::user_id().as_ref() != Some(signer))
    else {
        return write();
    };
    if !collection.definition.options.second_signer {
        return Err(Error::SecondSigner);
    }
    let identity = Identity {
        account_id: caller::account_id(),
        user_id: Some(signer),
        email: guc::ES_USERNAME.get(),
        auth_method: caller::auth_method(),
        ..Identity::default()
    };
    let tried = {
        let _trial = Trial::begin(identity);
        spi::rehearse(&write)
    };
    if !tried {
        // What is wrong with the write itself is said in its own words.
        write()?;
        return Err(Error::SignerRefused);
    }
    write()
}
