//! `POST /auth/login`: address and password for a pair of tokens.

use axum::response::Response;

use super::Opening;
use crate::auth::{Caller, Origin, jwt};
use crate::db::{Argument, Statement};
use crate::error::{Error, FieldFault};
use crate::routes::input::Fields;
use crate::state::State;

/// Source: identity contract §4.1 #2, §5.2 and §5.3. An unknown account, an unknown address, another provider and a wrong
/// password take the same work and get the same answer. Only a correct password learns that the address is not confirmed.
pub async fn login(state: State, origin: Origin, mut fields: Fields) -> Result<Response, Error> {
    let account = fields.optional_text("account", 0..=255);
    let email = fields.text("email", 1..=1024);
    let password = fields.password("password");
    fields.finish()?;

    let meant = Meant::of(&state, &origin, account);
    meant.require()?;
    let nobody = origin.nobody();
    for _ in 0..2 {
        match attempt(&state, &nobody, &meant, email.trim(), &password).await {
            // Somebody changed the password, or renewed its hash, while it was checked: what counts is what it is now.
            Err(Error::Refused(refusal)) if refusal.sqlstate == "28P01" => {}
            other => return other,
        }
    }
    Err(Error::Unauthenticated(WRONG))
}

const WRONG: &str = "Invalid credentials";

async fn attempt(
    state: &State,
    nobody: &Caller,
    meant: &Meant,
    email: &str,
    password: &str,
) -> Result<Response, Error> {
    // From the look-up, which asks how many wrong passwords came from here, to the note of another one: so that many at a
    // time overdraw the budget by no more than are checked at a time.
    let slot = state.passwords.slot().await?;
    let found = state
        .database
        .login(
            nobody,
            meant.account.as_deref(),
            meant.host_label.as_deref(),
            meant.fallback.as_deref(),
            email,
        )
        .await?;
    let found = found.filter(|login| login.auth_provider == "password");
    let hash = found.as_ref().and_then(|login| login.password_hash.clone());
    let correct = state
        .passwords
        .verify_in(&slot, password.to_owned(), hash.clone())
        .await?;
    // The right password of an inactive user is as wrong as any other, in the counters and on the wire as well.
    let admitted = correct && found.as_ref().is_some_and(|login| login.is_active);
    if !admitted {
        // As many flights as a login that succeeds, whoever it was about.
        let (account, user) = (
            found.as_ref().map(|login| login.account_id),
            found.as_ref().map(|login| login.user_id),
        );
        state
            .database
            .flag(nobody, Statement::LoginFailed, &[&account, &user])
            .await?;
    }
    let Some((login, hash)) = found.zip(hash).filter(|_| admitted) else {
        return Err(Error::Unauthenticated(WRONG));
    };
    if !login.email_verified {
        return Err(Error::EmailNotVerified);
    }
    let renewed = state
        .passwords
        .renew_in(&slot, password.to_owned(), &hash)
        .await?;
    drop(slot);

    let opening = Opening::new(state, login.user_id, login.account_id)?;
    let checked = jwt::fingerprint(&hash);
    let arguments: [Argument<'_>; 8] = [
        &login.user_id,
        &login.account_id,
        &checked,
        &renewed,
        &opening.session_id,
        &opening.refresh.id,
        &opening.refresh.hash,
        &opening.refresh.expires_at,
    ];
    let opened = state
        .database
        .json(nobody, Statement::LoginFinish, &arguments)
        .await?;
    opening.answer(state, &opened)
}

/// Which account a request is about; the database chooses. Source: identity contract §2.5.
pub(super) struct Meant {
    /// As the request names it.
    pub account: Option<String>,
    /// As the host does.
    pub host_label: Option<String>,
    /// The account of an installation with one account.
    pub fallback: Option<String>,
}

impl Meant {
    /// Gathers what there is.
    pub fn of(state: &State, origin: &Origin, account: Option<String>) -> Self {
        let account = account
            .map(|account| account.trim().to_owned())
            .filter(|account| !account.is_empty());
        let base_domain = state.config.base_domain.as_deref();
        let host_label = origin
            .host
            .as_deref()
            .and_then(|host| account_label(host, base_domain))
            .map(str::to_owned);
        let fallback = state.config.single_tenant.as_ref();
        Self {
            account,
            host_label,
            fallback: fallback.map(|only| only.account.clone()),
        }
    }

    /// Refuses a request that names no account at all.
    pub fn require(&self) -> Result<(), Error> {
        if self.account.is_some() || self.host_label.is_some() || self.fallback.is_some() {
            return Ok(());
        }
        let message = "Account is required".to_owned();
        Err(Error::Faults(vec![FieldFault {
            field: "account",
            message,
            code: "required",
        }]))
    }
}

/// The part of the host that names an account: the label in front of the base domain or, without one, the first of at
/// least three labels of a name that is no address. Names that every installation needs count as absent.
/// Source: identity contract §2.5 step 2.
fn account_label<'a>(host: &'a str, base_domain: Option<&str>) -> Option<&'a str> {
    const RESERVED: [&str; 10] = [
        "system", "www", "api", "app", "admin", "auth", "static", "docs", "status", "mail",
    ];
    let label = match base_domain {
        Some(domain) => host.strip_suffix(domain)?.strip_suffix('.')?,
        None => {
            if host.starts_with('[') || host.parse::<std::net::IpAddr>().is_ok() {
                return None;
            }
            let (label, rest) = host.split_once('.')?;
            rest.trim_end_matches('.').contains('.').then_some(label)?
        }
    };
    let usable = !label.is_empty() && !label.contains('.') && !RESERVED.contains(&label);
    usable.then_some(label)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_host_names_the_account() {
        let cases = [
            ("ab1001.example.com", None, Some("ab1001")),
            ("acme-corp.eu.example.com", None, Some("acme-corp")),
            ("example.com", None, None),
            ("example.com.", None, None),
            ("localhost", None, None),
            ("127.0.0.1", None, None),
            ("[::1]", None, None),
            ("www.example.com", None, None),
            ("api.example.com", None, None),
            ("acme.example.com", Some("example.com"), Some("acme")),
            ("acme.localhost", Some("localhost"), Some("acme")),
            ("example.com", Some("example.com"), None),
            ("acme.example.org", Some("example.com"), None),
            ("acmeexample.com", Some("example.com"), None),
            ("a.b.example.com", Some("example.com"), None),
            ("system.example.com", Some("example.com"), None),
        ];
        for (host, domain, label) in cases {
            assert_eq!(account_label(host, domain), label, "{host} {domain:?}");
        }
    }
}
