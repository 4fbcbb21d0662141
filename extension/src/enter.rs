//! Introducing a caller for one transaction: `enter()`.
//!
//! It finds out what the tables say now of whoever the gateway names, puts that into the settings of [`crate::guc`], and takes the
//! role of the operation; from then on identity is frozen for the transaction.

use std::borrow::Cow;
use std::ops::Deref;
use std::sync::atomic::{AtomicBool, Ordering};

use pgrx::datum::Uuid;
use pgrx::pg_sys::panic::ErrorReport;
use pgrx::prelude::*;
use serde::Deserialize;

use crate::context::{ADMINISTRATORS, ANONYMOUS, Operation, SYSTEM_ACCOUNT, UNKNOWN_ACCOUNT, uuid_of};
use crate::error::Error;
use crate::json::JsonText;
use crate::{caller, credentials, guc, people, signatures, spi};

#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
enum Kind {
    User,
    ApiKey,
    Anonymous,
    /// The gateway itself: what it does by itself and from the command line.
    System,
}

/// A text of the caller's, copied only if it has escapes.
#[derive(Deserialize)]
struct Text<'a>(#[serde(borrow)] Cow<'a, str>);

impl Deref for Text<'_> {
    type Target = str;

    fn deref(&self) -> &str {
        &self.0
    }
}

#[derive(Deserialize)]
struct Caller<'a> {
    kind: Kind,
    #[serde(borrow)]
    user_id: Option<Text<'a>>,
    #[serde(borrow)]
    account_id: Option<Text<'a>>,
    #[serde(borrow)]
    session_id: Option<Text<'a>>,
    #[serde(borrow)]
    key_id: Option<Text<'a>>,
    #[serde(borrow)]
    key_hash: Option<Text<'a>>,
    /// Whether the statement may run for long: then nothing is noted of a key, because a transaction that has written holds up the sealer.
    #[serde(default)]
    streams: bool,
    #[serde(borrow)]
    account: Option<Text<'a>>,
    #[serde(borrow)]
    auth_method: Option<Text<'a>>,
    #[serde(borrow)]
    request_id: Option<Text<'a>>,
    #[serde(borrow)]
    ip_address: Option<Text<'a>>,
    #[serde(borrow)]
    user_agent: Option<Text<'a>>,
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

impl Caller<'_> {
    /// How it proved who it is. Words that say who it is are for those who are it; of a key nobody can say otherwise: what
    /// keys may not do hangs on it.
    fn method(&self) -> Result<&str, Error> {
        let of_kind = match self.kind {
            Kind::User => "jwt",
            Kind::ApiKey => return Ok(credentials::API_KEY),
            Kind::Anonymous => ANONYMOUS,
            Kind::System => guc::SYSTEM_USER,
        };
        match self.auth_method.as_deref() {
            None => Ok(of_kind),
            Some(given) if given == of_kind => Ok(given),
            Some(given) if matches!(self.kind, Kind::User) && !RESERVED_METHODS.contains(&given) => Ok(given),
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
    /// Id of the user's role; None for a visitor.
    role: Option<i32>,
}

impl Identity {
    fn of(user_id: Uuid, account_id: Uuid, user: people::User) -> Self {
        Self {
            account_id: text_of(account_id),
            user_id: text_of(user_id),
            email: user.email,
            role: Some(user.role),
        }
    }

    /// A visitor of an account.
    fn nobody(account_id: String) -> Self {
        Self {
            account_id,
            user_id: String::new(),
            email: String::new(),
            role: None,
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
    let caller: Caller<'_> =
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
    guc::AUTH_METHOD.set_local(method)?;
    if system {
        guc::USER_ID.set_local(guc::SYSTEM_USER)?;
        guc::USER_EMAIL.set_local(guc::SYSTEM_EMAIL)?;
    }
    if !reads {
        // For the audit trail, which reading does not touch.
        let user_agent: Option<String> = caller
            .user_agent
            .as_ref()
            .map(|text| text.chars().take(500).collect());
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

fn administers(identity: &Identity) -> Result<bool, Error> {
    let role = identity.role.map(people::role_name).transpose()?.flatten();
    Ok(role.is_some_and(|name| name == ADMINISTRATORS))
}

/// The caller that [`enter`] would introduce, as an identity to try rules for. Nothing is set.
///
/// # Errors
/// As [`enter`].
pub fn identify(caller: &str) -> Result<caller::Identity, Error> {
    let caller: Caller<'_> =
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
        auth_method: Some(method.to_owned()),
        ..caller::Identity::default()
    })
}

fn look_up_user(caller: &Caller<'_>) -> Result<Identity, Error> {
    let (Some(user_id), Some(account_id)) = (&caller.user_id, &caller.account_id) else {
        return Err(Error::Malformed(
            "caller: a user has user_id and account_id".into(),
        ));
    };
    let parse = |text: &Text<'_>| uuid_of(text).ok_or(Error::Unauthenticated);
    let (user_id, account_id) = (parse(user_id)?, parse(account_id)?);
    let session = caller.session_id.as_ref().map(parse).transpose()?;
    if let Some(session) = session
        && !people::session_lives(session, user_id, account_id)?
    {
        return Err(Error::Unauthenticated);
    }
    let user = people::active_user(user_id, account_id)?.ok_or(Error::Unauthenticated)?;
    Ok(Identity::of(user_id, account_id, user))
}

fn look_up_key(caller: &Caller<'_>) -> Result<(credentials::Key, Identity), Error> {
    let Some(hash) = &caller.key_hash else {
        return Err(Error::Malformed("caller: an API key has key_hash".into()));
    };
    let (key, owner) = match &caller.key_id {
        Some(id) => credentials::key(uuid_of(id).ok_or(Error::Unauthenticated)?, hash)?,
        None => credentials::legacy_key(hash)?,
    };
    let identity = Identity::of(key.user_id, key.account_id, owner);
    Ok((key, identity))
}

fn look_up_account(caller: &Caller<'_>) -> Result<Identity, Error> {
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

/// The text of a uuid, as Postgres writes it.
fn text_of(id: Uuid) -> String {
    // (pgrx's own takes five times as long.)
    uuid::Uuid::from_bytes(*id.as_bytes()).to_string()
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
