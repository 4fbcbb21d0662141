//! Secrets at rest: AES-256-GCM, bound to the row and the name they belong to, with the id of the key beside them.
//!
//! The keys are derived with HKDF from `SNACKBASE_ENCRYPTION_KEY` (and the one before it, for reading). A secret moved to
//! another row or another name does not open, nor does one whose key is not here: nothing falls back to the bytes as they are.
//! Source: identity contract §5.7; NIST SP 800-38D (random nonces of 96 bits).

use aws_lc_rs::aead::{AES_256_GCM, Aad, NONCE_LEN, Nonce, RandomizedNonceKey};
use aws_lc_rs::error::Unspecified;
use aws_lc_rs::hkdf::{HKDF_SHA256, KeyType, Salt};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use uuid::Uuid;

/// A secret as the database has it.
#[derive(Debug, Clone, Serialize, Deserialize, PartialEq, Eq)]
pub struct Sealed {
    /// Which key it was sealed with.
    pub key: String,
    /// Base64 of nonce, ciphertext and tag.
    pub value: String,
}

/// Why a secret cannot be sealed or opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Locked {
    /// No key is set.
    #[error("SNACKBASE_ENCRYPTION_KEY is not set, so secrets can be neither stored nor read")]
    NoKey,
    /// The secret was sealed with a key that is not here.
    #[error("a secret was encrypted with another key than SNACKBASE_ENCRYPTION_KEY")]
    OtherKey,
    /// The stored bytes are not what was sealed for this row and name.
    #[error("a stored secret was changed or moved")]
    Forged,
}

struct Key {
    id: String,
    aead: RandomizedNonceKey,
}

/// The keys: the first one seals, all of them open.
pub struct Vault {
    keys: Vec<Key>,
}

impl Vault {
    /// Derives the keys; `None` for a secret that is not set.
    ///
    /// # Errors
    /// A sentence when the derivation fails.
    pub fn new(current: Option<&str>, previous: Option<&str>) -> Result<Self, String> {
        let keys = [current, previous].into_iter().flatten().map(derive);
        let keys = keys.collect::<Result<_, _>>();
        Ok(Self {
            keys: keys.map_err(|Unspecified| "The keys for secrets cannot be derived.".to_owned())?,
        })
    }

    /// Seals a secret for one name of one row.
    ///
    /// # Errors
    /// [`Locked::NoKey`].
    pub fn seal(&self, row: Uuid, name: &str, secret: &Value) -> Result<Sealed, Locked> {
        let key = self.keys.first().ok_or(Locked::NoKey)?;
        let mut bytes = secret.to_string().into_bytes();
        let nonce = key
            .aead
            .seal_in_place_append_tag(Aad::from(bound_to(row, name)), &mut bytes)
            .map_err(|Unspecified| Locked::NoKey)?;
        let mut all = nonce.as_ref().to_vec();
        all.extend_from_slice(&bytes);
        Ok(Sealed {
            key: key.id.clone(),
            value: STANDARD.encode(all),
        })
    }

    /// Opens a secret.
    ///
    /// # Errors
    /// [`Locked`].
    pub fn open(&self, row: Uuid, name: &str, sealed: &Sealed) -> Result<Value, Locked> {
        if self.keys.is_empty() {
            return Err(Locked::NoKey);
        }
        let key = self
            .keys
            .iter()
            .find(|key| key.id == sealed.key)
            .ok_or(Locked::OtherKey)?;
        let all = STANDARD.decode(&sealed.value).map_err(|_| Locked::Forged)?;
        let (nonce, rest) = all.split_at_checked(NONCE_LEN).ok_or(Locked::Forged)?;
        let nonce = Nonce::try_assume_unique_for_key(nonce).map_err(|Unspecified| Locked::Forged)?;
        let mut bytes = rest.to_vec();
        let opened = key
            .aead
            .open_in_place(nonce, Aad::from(bound_to(row, name)), &mut bytes)
            .map_err(|Unspecified| Locked::Forged)?;
        serde_json::from_slice(opened).map_err(|_| Locked::Forged)
    }

    /// Whether a secret was sealed with the key that seals now.
    #[must_use]
    pub fn is_current(&self, sealed: &Sealed) -> bool {
        self.keys.first().is_some_and(|key| key.id == sealed.key)
    }
}

fn bound_to(row: Uuid, name: &str) -> Vec<u8> {
    format!("snackbase configuration {row} {name}").into_bytes()
}

/// Bytes of a derived key.
struct Length(usize);

impl KeyType for Length {
    fn len(&self) -> usize {
        self.0
    }
}

fn derive(secret: &str) -> Result<Key, Unspecified> {
    let material = Salt::new(HKDF_SHA256, b"snackbase secrets at rest").extract(secret.as_bytes());
    let mut key = [0u8; 32];
    material.expand(&[b"key"], Length(key.len()))?.fill(&mut key)?;
    // Derived as well, so that it says nothing about the key.
    let mut id = [0u8; 6];
    material.expand(&[b"id"], Length(id.len()))?.fill(&mut id)?;
    Ok(Key {
        id: id.iter().map(|byte| format!("{byte:02x}")).collect(),
        aead: RandomizedNonceKey::new(&AES_256_GCM, &key)?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const OLD: &str = "an old key of at least 32 characters";
    const NEW: &str = "a new key of at least 32 characters!";

    fn vault(current: Option<&str>, previous: Option<&str>) -> Vault {
        Vault::new(current, previous).unwrap_or_else(|sentence| panic!("{sentence}"))
    }

    #[test]
    fn a_secret_opens_for_its_own_row_and_name_only() {
        let vault = vault(Some(OLD), None);
        let (row, secret) = (Uuid::new_v4(), Value::from("hunter2"));
        let sealed = vault.seal(row, "password", &secret).expect("a key is set");
        assert!(!format!("{sealed:?}").contains("hunter2"));
        assert_eq!(vault.open(row, "password", &sealed), Ok(secret.clone()));
        assert_eq!(
            vault.open(Uuid::new_v4(), "password", &sealed),
            Err(Locked::Forged)
        );
        assert_eq!(vault.open(row, "api_key", &sealed), Err(Locked::Forged));
        let mut bytes = STANDARD.decode(&sealed.value).expect("base64");
        *bytes.last_mut().expect("some bytes") ^= 1;
        let changed = Sealed {
            value: STANDARD.encode(bytes),
            ..sealed.clone()
        };
        assert_eq!(vault.open(row, "password", &changed), Err(Locked::Forged));
        // the same secret twice looks different
        assert_ne!(
            vault.seal(row, "password", &secret).expect("a key is set"),
            sealed
        );
    }

    #[test]
    fn the_key_before_opens_and_never_seals() {
        let row = Uuid::new_v4();
        let sealed = vault(Some(OLD), None)
            .seal(row, "n", &Value::from(1))
            .expect("a key is set");
        let both = vault(Some(NEW), Some(OLD));
        assert_eq!(both.open(row, "n", &sealed), Ok(Value::from(1)));
        assert!(!both.is_current(&sealed));
        let again = both.seal(row, "n", &Value::from(1)).expect("a key is set");
        assert!(both.is_current(&again));
        assert_eq!(vault(Some(NEW), None).open(row, "n", &again), Ok(Value::from(1)));
        assert_eq!(
            vault(Some(NEW), None).open(row, "n", &sealed),
            Err(Locked::OtherKey)
        );
    }

    #[test]
    fn without_a_key_nothing_is_stored_or_read() {
        let sealed = vault(Some(OLD), None)
            .seal(Uuid::nil(), "n", &Value::from(1))
            .expect("a key is set");
        let none = vault(None, None);
        assert_eq!(none.seal(Uuid::nil(), "n", &Value::from(1)), Err(Locked::NoKey));
        assert_eq!(none.open(Uuid::nil(), "n", &sealed), Err(Locked::NoKey));
    }
}
