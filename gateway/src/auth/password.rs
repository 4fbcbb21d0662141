//! Passwords: the policy, and Argon2id off the threads that serve requests.
//!
//! One hash takes 64 MiB and tens of milliseconds. A semaphore bounds how many run at once, so that a burst of logins
//! costs time and not memory. Source: identity contract §5.1 and §5.2; parameters of RFC 9106, second choice, with four
//! lanes.

use std::sync::Arc;

use argon2::password_hash::phc::PasswordHash;
use argon2::{Algorithm, Argon2, Params, PasswordHasher, PasswordVerifier, Version};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::config::Config;
use crate::error::{Error, FieldFault};

/// Longest password in bytes; longer ones are 422.
pub const LONGEST: usize = 1024;

const ITERATIONS: u32 = 3;
const LANES: u32 = 4;
const SPECIAL: &str = "!@#$%^&*()_+-=[]{};':\"\\|,.<>/?`~";

/// The policy, the parameters and the queue of hashes.
pub struct Hasher {
    shortest: usize,
    argon2: Argon2<'static>,
    slots: Arc<Semaphore>,
}

/// The right to compute one hash at a time. It belongs to the work as well: a client that hangs up does not free it early.
pub struct Slot(Arc<OwnedSemaphorePermit>);

impl Hasher {
    /// Takes policy and parameters from the settings.
    ///
    /// # Errors
    /// A sentence when Argon2 refuses the parameters.
    pub fn new(config: &Config) -> Result<Self, String> {
        let params = Params::new(config.password_hash_memory_kib, ITERATIONS, LANES, Some(32))
            .map_err(|failure| format!("Argon2 refuses SNACKBASE_PASSWORD_HASH_MEMORY_KIB: {failure}."))?;
        Ok(Self {
            shortest: config.password_min_length,
            argon2: Argon2::new(Algorithm::Argon2id, Version::V0x13, params),
            slots: Arc::new(Semaphore::new(config.password_hash_concurrency)),
        })
    }

    /// What the policy finds wrong with a new password, all of it, and always about the field `password`, whatever the request calls
    /// it (identity contract §5.1). Empty: nothing.
    #[must_use]
    pub fn faults(&self, password: &str) -> Vec<FieldFault> {
        let has = |test: fn(char) -> bool| password.chars().any(test);
        let rules = [
            (
                password.chars().count() >= self.shortest,
                "password_too_short",
                format!("Password must have at least {} characters", self.shortest),
            ),
            (
                has(|c| c.is_ascii_uppercase()),
                "password_no_uppercase",
                "Password must have an uppercase letter".to_owned(),
            ),
            (
                has(|c| c.is_ascii_lowercase()),
                "password_no_lowercase",
                "Password must have a lowercase letter".to_owned(),
            ),
            (
                has(|c| c.is_ascii_digit()),
                "password_no_digit",
                "Password must have a digit".to_owned(),
            ),
            (
                has(|c| SPECIAL.contains(c)),
                "password_no_special",
                "Password must have a special character".to_owned(),
            ),
        ];
        rules
            .into_iter()
            .filter(|(kept, ..)| !kept)
            .map(|(_, code, message)| FieldFault {
                field: "password",
                message,
                code,
            })
            .collect()
    }

    /// Hashes a password. Shape: PHC string.
    ///
    /// # Errors
    /// [`Error::Defect`] when hashing fails, which means no memory.
    pub async fn hash(&self, password: String) -> Result<String, Error> {
        self.hash_in(&self.slot().await?, password).await
    }

    async fn hash_in(&self, slot: &Slot, password: String) -> Result<String, Error> {
        let argon2 = self.argon2.clone();
        let hashed = slot
            .run(move || {
                argon2
                    .hash_password(password.as_bytes())
                    .map(|hash| hash.to_string())
            })
            .await?;
        hashed.map_err(|failure| Error::Defect(format!("cannot hash a password: {failure}")))
    }

    /// Whether the password belongs to the hash. Without a hash the same work is done and the answer is no: an unknown
    /// user must take as long as a wrong password.
    ///
    /// # Errors
    /// [`Error::Defect`] when the stored hash cannot be read.
    pub async fn verify(&self, password: String, hash: Option<String>) -> Result<bool, Error> {
        self.verify_in(&self.slot().await?, password, hash).await
    }

    /// As [`Hasher::verify`], in a slot that is held already.
    ///
    /// # Errors
    /// As there.
    pub async fn verify_in(
        &self,
        slot: &Slot,
        password: String,
        hash: Option<String>,
    ) -> Result<bool, Error> {
        let Some(hash) = hash else {
            return self.hash_in(slot, password).await.map(|_| false);
        };
        let argon2 = self.argon2.clone();
        // The parameters are those of the hash, not ours.
        let verified = slot
            .run(move || {
                let hash = PasswordHash::new(&hash)?;
                match argon2.verify_password(password.as_bytes(), &hash) {
                    Ok(()) => Ok(true),
                    Err(argon2::password_hash::Error::PasswordInvalid) => Ok(false),
                    Err(failure) => Err(failure),
                }
            })
            .await?;
        verified.map_err(|failure| Error::Defect(format!("cannot check a password: {failure}")))
    }

    /// A new hash of a password that belongs to `hash`, when that was made with other parameters than ours; else `None`.
    ///
    /// # Errors
    /// [`Error::Defect`] when hashing fails.
    pub async fn renew_in(&self, slot: &Slot, password: String, hash: &str) -> Result<Option<String>, Error> {
        if self.is_ours(hash) {
            return Ok(None);
        }
        self.hash_in(slot, password).await.map(Some)
    }

    fn is_ours(&self, hash: &str) -> bool {
        PasswordHash::new(hash).is_ok_and(|hash| {
            hash.algorithm == Algorithm::Argon2id.ident()
                && hash.version == Some(Version::V0x13.into())
                && Params::try_from(&hash).is_ok_and(|params| params == *self.argon2.params())
        })
    }

    /// Waits until one more hash may be computed.
    ///
    /// # Errors
    /// [`Error::Defect`] when the queue is closed, which does not happen.
    pub async fn slot(&self) -> Result<Slot, Error> {
        let permit = self.slots.clone().acquire_owned().await;
        permit
            .map(|permit| Slot(Arc::new(permit)))
            .map_err(|closed| Error::Defect(format!("password work stopped: {closed}")))
    }
}

impl Slot {
    /// Runs one computation on a thread for blocking work.
    async fn run<T: Send + 'static>(&self, work: impl FnOnce() -> T + Send + 'static) -> Result<T, Error> {
        let slot = self.0.clone();
        let work = move || {
            let result = work();
            drop(slot);
            result
        };
        tokio::task::spawn_blocking(work)
            .await
            .map_err(|panic| Error::Defect(format!("password work stopped: {panic}")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hasher() -> Hasher {
        let config =
            Config::read(&|name| (name == "SNACKBASE_PASSWORD_HASH_MEMORY_KIB").then(|| "32".to_owned()));
        let config = config.unwrap_or_else(|mistakes| panic!("{mistakes:?}"));
        Hasher::new(&config).unwrap_or_else(|sentence| panic!("{sentence}"))
    }

    #[test]
    fn the_policy_reports_every_fault() {
        let hasher = hasher();
        let codes = |password: &str| -> Vec<&'static str> {
            hasher.faults(password).iter().map(|f| f.code).collect()
        };
        assert_eq!(codes("Password1!"), [""; 0]);
        assert_eq!(codes("TestPass123!"), [""; 0]);
        assert_eq!(
            codes(""),
            [
                "password_too_short",
                "password_no_uppercase",
                "password_no_lowercase",
                "password_no_digit",
                "password_no_special",
            ]
        );
        assert_eq!(codes("password1!"), ["password_no_uppercase"]);
        assert_eq!(codes("PASSWORD1!"), ["password_no_lowercase"]);
        assert_eq!(codes("Password!!"), ["password_no_digit"]);
        // A space and a letter with an accent are not special, and a digit of another script is not a digit.
        assert_eq!(codes("Pässword 1"), ["password_no_special"]);
        assert_eq!(codes("Password٣!"), ["password_no_digit"]);
        assert_eq!(codes("Passw1!"), ["password_too_short"]);
        // Characters count, not bytes.
        assert_eq!(codes("Pa1!äääää"), ["password_too_short"]);
        for special in SPECIAL.chars() {
            assert_eq!(codes(&format!("Password1{special}")), [""; 0], "{special}");
        }
    }

    #[tokio::test]
    async fn a_hash_is_argon2id_and_belongs_to_its_password_only() {
        let hasher = hasher();
        let hash = hasher.hash("Password1!".into()).await.unwrap_or_default();
        assert!(hash.starts_with("$argon2id$v=19$m=32,t=3,p=4$"), "{hash}");
        assert!(
            hasher
                .verify("Password1!".into(), Some(hash.clone()))
                .await
                .unwrap_or(false)
        );
        assert!(
            !hasher
                .verify("Password2!".into(), Some(hash))
                .await
                .unwrap_or(true)
        );
        assert!(!hasher.verify("Password1!".into(), None).await.unwrap_or(true));
    }

    #[tokio::test]
    async fn a_hash_with_other_parameters_is_made_again() {
        let hasher = hasher();
        let slot = hasher.slot().await.unwrap_or_else(|failure| panic!("{failure}"));
        let renewed = async |hash: &str| hasher.renew_in(&slot, "Password1!".into(), hash).await;
        let ours = hasher.hash("Password1!".into()).await.unwrap_or_default();
        assert!(matches!(renewed(&ours).await, Ok(None)));
        for other in [
            ours.replace("m=32", "m=64"),
            ours.replace("t=3", "t=2"),
            ours.replace("argon2id", "argon2i"),
            ours.replace("v=19", "v=16"),
            ours[..ours.len() - 8].to_owned(),
        ] {
            let renewed = renewed(&other).await.ok().flatten().unwrap_or_default();
            assert!(
                renewed.starts_with("$argon2id$v=19$m=32,t=3,p=4$"),
                "{other}: {renewed}"
            );
        }
    }

    #[tokio::test]
    async fn an_unreadable_hash_is_our_defect_and_not_a_wrong_password() {
        let verified = hasher().verify("Password1!".into(), Some("plain".into())).await;
        assert!(matches!(verified, Err(Error::Defect(_))));
    }
}
