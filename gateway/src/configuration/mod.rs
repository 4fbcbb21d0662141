//! What providers are configured for an account: read from the database, kept for five minutes, forgotten at once when
//! anybody changes a row.
//!
//! A change notifies every gateway at its commit. While a gateway does not hear notifications (its connection is broken), it
//! keeps nothing and asks every time. The values of an account, merged with the system's, are the database's doing
//! (`sql/065_configuration.sql`); here they are decrypted and checked. Source: identity contract §5.6.

pub mod secrets;
pub mod values;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use serde::Deserialize;
use serde_json::{Map, Value};
use uuid::Uuid;

use crate::auth::Caller;
use crate::config::Config;
use crate::db::{Database, JsonText, Statement};
use crate::error::Error;
use secrets::{Sealed, Vault};

/// How long an answer is kept. Source: identity contract §5.6.
const KEPT: Duration = Duration::from_secs(300);
/// Entries that are kept at most: accounts and categories come from requests.
const LARGEST: usize = 10_000;

/// A provider that counts for an account, with its values.
#[derive(Debug, Clone, PartialEq)]
pub struct Provider {
    /// Its name.
    pub name: String,
    /// Whether the account itself configures it.
    pub own: bool,
    /// Whether a secret of it cannot be decrypted; then no secret is in the values.
    pub unreadable: bool,
    values: Map<String, Value>,
}

impl Provider {
    /// A provider with these values, as a test of a connection has them.
    #[must_use]
    pub fn new(name: &str, values: Map<String, Value>) -> Self {
        Self {
            name: name.to_owned(),
            own: true,
            unreadable: false,
            values,
        }
    }

    /// A text.
    #[must_use]
    pub fn text(&self, name: &str) -> Option<&str> {
        self.values.get(name)?.as_str()
    }

    /// A whole number that is not negative.
    #[must_use]
    pub fn number(&self, name: &str) -> Option<u64> {
        self.values.get(name)?.as_u64()
    }

    /// True or false.
    #[must_use]
    pub fn flag(&self, name: &str) -> Option<bool> {
        self.values.get(name)?.as_bool()
    }

    /// Any value.
    #[must_use]
    pub fn value(&self, name: &str) -> Option<&Value> {
        self.values.get(name)
    }
}

/// A candidate as the database describes it.
#[derive(Deserialize)]
struct Candidate {
    provider_name: String,
    own: bool,
    config: Map<String, Value>,
    secrets: HashMap<String, Bound>,
}

/// A sealed secret and the row it belongs to.
#[derive(Deserialize)]
struct Bound {
    row: Uuid,
    #[serde(flatten)]
    sealed: Sealed,
}

type Answer = Arc<Vec<Provider>>;

#[derive(Default)]
struct Kept {
    /// Whether changes are heard of.
    listening: bool,
    /// Counts what was forgotten: an answer that was asked for before is not kept afterwards.
    generation: u64,
    answers: HashMap<(Uuid, String), (Instant, Answer)>,
}

/// The configuration of all accounts.
pub struct Configuration {
    database: Database,
    /// The keys of secrets.
    pub vault: Vault,
    kept: Mutex<Kept>,
}

impl Configuration {
    /// Derives the keys. Nothing is read yet.
    ///
    /// # Errors
    /// A sentence when the keys cannot be derived.
    pub fn new(config: &Config, database: Database) -> Result<Self, String> {
        let vault = Vault::new(
            config.encryption_key.as_deref(),
            config.previous_encryption_key.as_deref(),
        )?;
        Ok(Self {
            database,
            vault,
            kept: Mutex::default(),
        })
    }

    /// One provider as it counts for an account; `None` when it is not configured or switched off.
    ///
    /// # Errors
    /// What the database refuses.
    pub async fn get(
        &self,
        account: Uuid,
        category: &str,
        provider: &str,
    ) -> Result<Option<Provider>, Error> {
        let candidates = self.candidates(account, category).await?;
        let wanted = candidates.iter().find(|candidate| candidate.name == provider);
        Ok(wanted.cloned())
    }

    /// All providers of a category that count for an account, in the order of choice.
    ///
    /// # Errors
    /// What the database refuses.
    pub async fn candidates(&self, account: Uuid, category: &str) -> Result<Answer, Error> {
        let place = (account, category.to_owned());
        let generation = {
            let kept = self.kept();
            if let Some((since, answer)) = kept.answers.get(&place)
                && since.elapsed() < KEPT
            {
                return Ok(Arc::clone(answer));
            }
            kept.generation
        };
        let answer = Arc::new(self.ask(account, category).await?);
        let mut kept = self.kept();
        if kept.listening && kept.generation == generation {
            if kept.answers.len() >= LARGEST {
                kept.answers.clear();
            }
            kept.answers.insert(place, (Instant::now(), Arc::clone(&answer)));
        }
        Ok(answer)
    }

    async fn ask(&self, account: Uuid, category: &str) -> Result<Vec<Provider>, Error> {
        let json = self
            .database
            .json(
                &Caller::gateway(),
                Statement::ConfigurationCandidates,
                &[&account, &category],
            )
            .await?;
        let candidates: Vec<Candidate> = serde_json::from_slice(&json.0)
            .map_err(|failure| Error::Defect(format!("configuration_candidates: {failure}")))?;
        Ok(candidates
            .into_iter()
            .map(|candidate| self.opened(candidate))
            .collect())
    }

    fn opened(&self, candidate: Candidate) -> Provider {
        let mut provider = Provider {
            name: candidate.provider_name,
            own: candidate.own,
            unreadable: false,
            values: candidate.config,
        };
        for (name, bound) in candidate.secrets {
            match self.vault.open(bound.row, &name, &bound.sealed) {
                Ok(secret) => {
                    provider.values.insert(name, secret);
                }
                Err(locked) => {
                    tracing::error!(row = %bound.row, cause = %locked, "a secret cannot be read");
                    provider.unreadable = true;
                }
            }
        }
        provider
    }

    /// Forgets what is known of an account; of the system account, or of `None`: everything.
    pub fn forget(&self, account: Option<Uuid>) {
        let mut kept = self.kept();
        kept.generation += 1;
        match account {
            Some(account) if !account.is_nil() => kept.answers.retain(|(known, _), _| *known != account),
            _ => kept.answers.clear(),
        }
    }

    /// Seals all secrets with the current key. Answers how many rows were changed, and how many have a secret that no key
    /// opens; those stay as they are.
    ///
    /// # Errors
    /// What the database refuses.
    pub async fn reencrypt(&self) -> Result<(usize, usize), Error> {
        #[derive(Deserialize)]
        struct Row {
            row_id: Uuid,
            revision: i32,
            secrets: HashMap<String, Sealed>,
        }
        let caller = Caller::gateway();
        let mut changed = 0;
        // A row that somebody changes meanwhile is read again.
        for _ in 0..5 {
            let json = self
                .database
                .json(&caller, Statement::ConfigurationSecrets, &[])
                .await?;
            let rows: Vec<Row> = serde_json::from_slice(&json.0)
                .map_err(|failure| Error::Defect(format!("configuration_secrets: {failure}")))?;
            let mut unreadable = 0;
            let mut again = false;
            for row in rows {
                if row.secrets.values().all(|sealed| self.vault.is_current(sealed)) {
                    continue;
                }
                let sealed_again = row.secrets.iter().map(|(name, sealed)| {
                    let secret = self.vault.open(row.row_id, name, sealed)?;
                    Ok((name.as_str(), self.vault.seal(row.row_id, name, &secret)?))
                });
                let Ok(secrets) = sealed_again.collect::<Result<HashMap<_, _>, secrets::Locked>>() else {
                    unreadable += 1;
                    continue;
                };
                let secrets = JsonText::of(serde_json::json!(secrets));
                let arguments: [crate::db::Argument<'_>; 3] = [&row.row_id, &row.revision, &secrets];
                match self
                    .database
                    .flag(&caller, Statement::ConfigurationSecretsChange, &arguments)
                    .await?
                {
                    true => changed += 1,
                    false => again = true,
                }
            }
            if !again {
                return Ok((changed, unreadable));
            }
        }
        Err(Error::Unavailable(
            "the configuration is being changed".to_owned(),
        ))
    }

    /// Hears of changes as long as the process runs.
    pub async fn listen(&self, config: &Config) {
        loop {
            let heard = crate::db::listen(
                config,
                || {
                    // What was asked before may be old.
                    self.forget(None);
                    self.kept().listening = true;
                },
                |account| self.forget(account.parse().ok()),
            )
            .await;
            self.kept().listening = false;
            self.forget(None);
            tracing::warn!(cause = heard, "changes of the configuration are not heard of");
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
    }

    /// A panic elsewhere leaves a map that is still a map.
    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
