//! API keys: `sb_ak.<key id>.<32 random bytes>`, both in base64url. The database learns the SHA-256 of the text and nothing else;
//! whose the key is and whether it still opens anything is said there. Keys of an original instance (`sb_sk_…`) are
//! accepted where their hashes were brought over. Source: identity contract §3.1 and §3.4.

use aws_lc_rs::rand;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64URL;
use uuid::Uuid;

use super::jwt::fingerprint;
use crate::error::Error;

/// How a key of ours begins.
pub const PREFIX: &str = "sb_ak.";

/// How a key of an original instance begins.
const LEGACY_PREFIX: &str = "sb_sk_";

/// Longest text that is taken for a key of an original instance, in bytes.
const LONGEST_LEGACY: usize = 512;

/// A key that was presented, as the database is asked about it. Never the key itself.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ApiKey {
    /// Id of its row; none for a key of an original instance, which is found by its hash.
    pub id: Option<Uuid>,
    /// SHA-256 of the whole text in hexadecimal.
    pub hash: String,
}

impl ApiKey {
    /// Reads what was presented; `None` when no key looks like that.
    #[must_use]
    pub fn read(text: &str) -> Option<Self> {
        let id = match text.strip_prefix(PREFIX) {
            Some(rest) => Some(id_of(rest)?),
            None => (text.starts_with(LEGACY_PREFIX) && text.len() <= LONGEST_LEGACY).then_some(None)?,
        };
        Some(Self {
            id,
            hash: fingerprint(text),
        })
    }
}

/// The id in `<key id>.<secret>`, when both have the shape they are made in.
fn id_of(rest: &str) -> Option<Uuid> {
    let (id, secret) = rest.split_once('.')?;
    let secret = BASE64URL.decode(secret).ok()?;
    let id = BASE64URL.decode(id).ok()?;
    (secret.len() == SECRET_BYTES).then(|| Uuid::from_slice(&id).ok())?
}

const SECRET_BYTES: usize = 32;

/// A new key. Its text is shown once, to whoever made it.
pub struct NewKey {
    /// Id of its row.
    pub id: Uuid,
    /// The key.
    pub text: String,
    /// SHA-256 of the text in hexadecimal: what the database keeps.
    pub hash: String,
    /// The four characters after the prefix: of the id.
    pub first_four: String,
    /// The last four characters.
    pub last_four: String,
}

impl NewKey {
    /// Makes one.
    ///
    /// # Errors
    /// [`Error::Defect`] when the system gives no random numbers.
    pub fn make() -> Result<Self, Error> {
        let mut secret = [0u8; SECRET_BYTES];
        rand::fill(&mut secret)
            .map_err(|_| Error::Defect("the system gives no random numbers".to_owned()))?;
        let id = Uuid::new_v4();
        let (name, secret) = (BASE64URL.encode(id.as_bytes()), BASE64URL.encode(secret));
        let text = format!("{PREFIX}{name}.{secret}");
        Ok(Self {
            id,
            hash: fingerprint(&text),
            first_four: name[..4].to_owned(),
            last_four: secret[secret.len() - 4..].to_owned(),
            text,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_new_key_is_read_back() {
        let made = NewKey::make().unwrap_or_else(|failure| panic!("{failure}"));
        let read = ApiKey::read(&made.text).unwrap_or_else(|| panic!("a key"));
        assert_eq!((read.id, &read.hash), (Some(made.id), &made.hash));
        assert!(made.text.starts_with(&format!("sb_ak.{}", made.first_four)));
        assert!(made.text.ends_with(&made.last_four));
        assert_eq!(
            (made.text.len(), made.text.split('.').count()),
            (6 + 22 + 1 + 43, 3)
        );
        let other = NewKey::make().unwrap_or_else(|failure| panic!("{failure}"));
        assert_ne!((made.id, made.text), (other.id, other.text));
    }

    #[test]
    fn keys_of_an_original_instance_are_found_by_their_hash() {
        let key = ApiKey::read("sb_sk_AB1001_secret").unwrap_or_else(|| panic!("a key"));
        assert_eq!((key.id, key.hash), (None, fingerprint("sb_sk_AB1001_secret")));
    }

    #[test]
    fn nothing_else_is_a_key() {
        let made = NewKey::make().unwrap_or_else(|failure| panic!("{failure}"));
        for text in [
            String::new(),
            "sb_ak".to_owned(),
            "sb_ak.".to_owned(),
            "sb_ak..".to_owned(),
            "sb_ak.a.b".to_owned(),
            "sb_pt.a.b".to_owned(),
            "sb_ot.a.b".to_owned(),
            "eyJ.a.b".to_owned(),
            made.text[..made.text.len() - 1].to_owned(),
            format!("{}A", made.text),
            format!("{}.x", made.text),
            format!(" {}", made.text),
            made.text.replace('.', ","),
            made.text.to_uppercase(),
            format!("sb_sk_{}", "x".repeat(LONGEST_LEGACY)),
        ] {
            assert_eq!(ApiKey::read(&text), None, "{text}");
        }
    }
}
