//! What every request shares: built once, never copied.

use std::convert::Infallible;
use std::ops::Deref;
use std::sync::Arc;

use axum::extract::FromRequestParts;
use axum::http::request::Parts;

use crate::auth::jwt::Keys;
use crate::auth::password::Hasher;
use crate::config::Config;
use crate::configuration::Configuration;
use crate::db::Database;
use crate::limits::rate::Limiter;
use crate::outbound::Outbound;

/// A handle to the shared parts; cloning it copies a pointer.
#[derive(Clone)]
pub struct State(Arc<Shared>);

/// The shared parts.
pub struct Shared {
    /// The settings.
    pub config: Config,
    /// The pool of connections.
    pub database: Database,
    /// The keys of tokens.
    pub keys: Keys,
    /// What providers are configured.
    pub configuration: Configuration,
    /// The client for calls out.
    pub outbound: Outbound,
    /// The password policy and the queue of hashes.
    pub passwords: Hasher,
    /// How many requests a caller may make; `None`: as many as it likes.
    pub limiter: Option<Limiter>,
}

impl State {
    /// Builds keys and pool. No connection is made before the first request.
    ///
    /// # Errors
    /// A sentence when the pool, the keys or the password parameters cannot be built.
    pub fn new(config: Config) -> Result<Self, String> {
        let database = Database::new(&config)?;
        let keys = Keys::new(&config)?;
        let configuration = Configuration::new(&config, database.clone())?;
        let outbound = Outbound::new(&config.outbound)?;
        let passwords = Hasher::new(&config)?;
        let limiter = config.rates.as_ref().map(Limiter::new);
        Ok(Self(Arc::new(Shared {
            config,
            configuration,
            database,
            keys,
            outbound,
            passwords,
            limiter,
        })))
    }
}

impl Deref for State {
    type Target = Shared;

    fn deref(&self) -> &Shared {
        &self.0
    }
}

/// A handler that needs the shared parts takes a [`State`].
impl FromRequestParts<State> for State {
    type Rejection = Infallible;

    async fn from_request_parts(_: &mut Parts, state: &State) -> Result<Self, Infallible> {
        Ok(state.clone())
    }
}
