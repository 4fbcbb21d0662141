//! Who the ledger says did it, how, and from where (contract `audit.md` §5.3).

use std::cell::OnceCell;
use std::ffi::CStr;

use pgrx::pg_sys;

use crate::context::Context;
use crate::error::Error;
use crate::{guc, spi};

const DIRECT_SQL: &str = "direct_sql";
const ANONYMOUS: &str = "anonymous";

/// Characters of a client program's name that are kept.
const USER_AGENT_CHARACTERS: usize = 500;

/// What every change of a statement says of its author.
pub struct Origin {
    /// A user's id, or the login role.
    pub user_id: String,
    /// A user's address, or one made from the login role.
    pub user_email: String,
    /// As the address: users have no other name.
    pub user_name: String,
    /// `jwt`, `anonymous`, `direct_sql`, …
    pub auth_method: String,
    /// Electronic signature: who.
    pub es_username: Option<String>,
    /// Electronic signature: why.
    pub es_reason: Option<String>,
    /// Electronic signature: when, in microseconds since 2000-01-01.
    pub es_timestamp: Option<i64>,
    /// The client's address; None for a local socket.
    pub ip_address: Option<String>,
    /// `User-Agent`, or the application name of a direct connection.
    pub user_agent: Option<String>,
    /// The correlation id.
    pub request_id: Option<String>,
}

impl Origin {
    /// The origin of what happens now.
    ///
    /// # Errors
    /// [`Error::Spi`].
    pub fn current() -> Result<Origin, Error> {
        let (user_id, user_email, auth_method) = author();
        let direct = auth_method == DIRECT_SQL;
        Ok(Origin {
            user_id,
            user_name: user_email.clone(),
            user_email,
            auth_method,
            es_username: guc::ES_USERNAME.get(),
            es_reason: guc::ES_REASON.get(),
            es_timestamp: guc::ES_TIMESTAMP.get().and_then(|text| text.parse().ok()),
            ip_address: if direct {
                client_address()?
            } else {
                guc::IP_ADDRESS.get()
            },
            user_agent: if direct {
                application_name()
            } else {
                guc::USER_AGENT.get()
            },
            request_id: guc::REQUEST_ID.get(),
        })
    }
}

/// Id, address, and how they were authenticated.
fn author() -> (String, String, String) {
    let context = Context::current();
    if context.is_anonymous() {
        return (ANONYMOUS.into(), ANONYMOUS.into(), ANONYMOUS.into());
    }
    match (context.auth_method, guc::USER_ID.get()) {
        (Some(method), Some(id)) => (id, guc::USER_EMAIL.get().unwrap_or_default(), method),
        _ => {
            let role = spi::session_user();
            let email = format!("{role}@direct.local");
            (role, email, DIRECT_SQL.into())
        }
    }
}

/// The address of whoever holds the connection, which is the same for its life.
fn client_address() -> Result<Option<String>, Error> {
    thread_local! {
        static ADDRESS: OnceCell<Option<String>> = const { OnceCell::new() };
    }
    if let Some(known) = ADDRESS.with(|address| address.get().cloned()) {
        return Ok(known);
    }
    let found = spi::select(
        "select pg_catalog.host(pg_catalog.inet_client_addr())",
        &[],
        |rows| Ok(rows.first().get_one::<String>()?),
    )?;
    Ok(ADDRESS.with(|address| address.get_or_init(|| found).clone()))
}

fn application_name() -> Option<String> {
    // SAFETY: a NUL-terminated string of the backend's, which no other thread changes.
    let name = unsafe {
        let name = pg_sys::application_name;
        (!name.is_null()).then(|| CStr::from_ptr(name).to_string_lossy())
    }?;
    Some(name.chars().take(USER_AGENT_CHARACTERS).collect())
}
