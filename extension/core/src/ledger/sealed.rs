//! Erasable values: what the trail keeps of a personal value is a ciphertext under the key of its subject, so the hash of an
//! entry covers the ciphertext, and destroying the key erases the value while every entry still verifies.
//!
//! XChaCha20-Poly1305 with a random nonce of 24 bytes: long enough to be drawn at random for every value of a key.
//! The place of the value is authenticated with it, so that a ciphertext cannot be shown as another column's.
//! Source: `docs/ledger.md` §12; draft-irtf-cfrg-xchacha-03.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use chacha20poly1305::aead::{Aead, KeyInit, Payload};
use chacha20poly1305::{XChaCha20Poly1305, XNonce};

/// Bytes of a key.
pub const KEY: usize = 32;

/// Bytes of a nonce.
pub const NONCE: usize = 24;

/// How a sealed text begins; the key's id and a colon follow, then base64url (no padding) of nonce and ciphertext.
const PREFIX: &str = "sealed:v1:";

/// Where a value stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place<'a> {
    /// The account, as text.
    pub account: &'a str,
    /// The physical table.
    pub table: &'a str,
    /// The record's key.
    pub record: &'a str,
    /// The column.
    pub column: &'a str,
}

impl Place<'_> {
    /// Texts of PostgreSQL hold no U+0000, so nothing can be moved from one part to the next.
    fn bytes(&self) -> Vec<u8> {
        [
            "snackbase sealed v1",
            self.account,
            self.table,
            self.record,
            self.column,
        ]
        .join("\0")
        .into_bytes()
    }
}

/// The sealed form of a value; `nonce` must be random. `None`: the text is too long for the cipher (256 GiB).
///
/// ```
/// use snackbase_core::ledger::sealed::{Place, Sealed, seal};
/// let place = Place { account: "a", table: "col_people", record: "r", column: "phone" };
/// let text = seal(&[7; 32], "6f1c…", &[9; 24], &place, "555").unwrap_or_default();
/// assert!(text.starts_with("sealed:v1:6f1c…:"));
/// let sealed = Sealed::parse(&text);
/// assert_eq!(sealed.and_then(|s| s.open(&[7; 32], &place)).as_deref(), Some("555"));
/// ```
pub fn seal(
    key: &[u8; KEY],
    key_id: &str,
    nonce: &[u8; NONCE],
    place: &Place<'_>,
    text: &str,
) -> Option<String> {
    let payload = Payload {
        msg: text.as_bytes(),
        aad: &place.bytes(),
    };
    let ciphertext = XChaCha20Poly1305::new(key.into())
        .encrypt(&XNonce::from(*nonce), payload)
        .ok()?;
    let mut bytes = nonce.to_vec();
    bytes.extend_from_slice(&ciphertext);
    Some(format!("{PREFIX}{key_id}:{}", URL_SAFE_NO_PAD.encode(bytes)))
}

/// A text of the sealed form. Whether it is one, only the key says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sealed<'a> {
    /// The id of the key.
    pub key_id: &'a str,
    nonce: [u8; NONCE],
    ciphertext: Vec<u8>,
}

impl<'a> Sealed<'a> {
    /// The parts of a sealed text; `None` for any other.
    pub fn parse(text: &'a str) -> Option<Sealed<'a>> {
        let (key_id, rest) = text.strip_prefix(PREFIX)?.split_once(':')?;
        let bytes = URL_SAFE_NO_PAD.decode(rest).ok()?;
        let (nonce, ciphertext) = bytes.split_first_chunk::<NONCE>()?;
        Some(Sealed {
            key_id,
            nonce: *nonce,
            ciphertext: ciphertext.to_vec(),
        })
    }

    /// The value; `None` under another key, at another place, or when a bit was changed.
    pub fn open(&self, key: &[u8; KEY], place: &Place<'_>) -> Option<String> {
        let payload = Payload {
            msg: &self.ciphertext,
            aad: &place.bytes(),
        };
        let bytes = XChaCha20Poly1305::new(key.into())
            .decrypt(&XNonce::from(self.nonce), payload)
            .ok()?;
        String::from_utf8(bytes).ok()
    }
}

/// A subject's key under the master key: nonce and ciphertext; the key's id is authenticated.
pub fn wrap(master: &[u8; KEY], nonce: &[u8; NONCE], key_id: &str, key: &[u8; KEY]) -> Option<Vec<u8>> {
    let payload = Payload {
        msg: key,
        aad: key_id.as_bytes(),
    };
    let ciphertext = XChaCha20Poly1305::new(master.into())
        .encrypt(&XNonce::from(*nonce), payload)
        .ok()?;
    let mut bytes = nonce.to_vec();
    bytes.extend_from_slice(&ciphertext);
    Some(bytes)
}

/// The key that [`wrap`] wrapped.
pub fn unwrap(master: &[u8; KEY], key_id: &str, wrapped: &[u8]) -> Option<[u8; KEY]> {
    let (nonce, ciphertext) = wrapped.split_first_chunk::<NONCE>()?;
    let payload = Payload {
        msg: ciphertext,
        aad: key_id.as_bytes(),
    };
    let key = XChaCha20Poly1305::new(master.into())
        .decrypt(&XNonce::from(*nonce), payload)
        .ok()?;
    key.try_into().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLACE: Place<'static> = Place {
        account: "550e8400-e29b-41d4-a716-446655440000",
        table: "col_people",
        record: "3f2504e0-4f89-41d3-9a0c-0305e82c3301",
        column: "phone",
    };

    #[test]
    fn a_sealed_value_opens_with_its_key_at_its_place_only() {
        let key = [1; KEY];
        let text = seal(&key, "id", &[2; NONCE], &PLACE, "+49 30 ü").expect("it is short");
        let sealed = Sealed::parse(&text).expect("it is sealed");
        assert_eq!(sealed.open(&key, &PLACE).as_deref(), Some("+49 30 ü"));
        assert_eq!(sealed.open(&[3; KEY], &PLACE), None);
        for other in [
            Place {
                account: "x",
                ..PLACE
            },
            Place { table: "x", ..PLACE },
            Place { record: "x", ..PLACE },
            Place { column: "x", ..PLACE },
        ] {
            assert_eq!(sealed.open(&key, &other), None, "{other:?}");
        }
        let last = text.len() - 1;
        let damaged = format!("{}{}", &text[..last], if text.ends_with('A') { 'Q' } else { 'A' });
        assert_eq!(
            Sealed::parse(&damaged).and_then(|sealed| sealed.open(&key, &PLACE)),
            None
        );
    }

    /// The test vector of `docs/ledger.md` §12.
    #[test]
    fn the_form_is_the_documented_one() {
        let key: [u8; KEY] = std::array::from_fn(|i| i as u8);
        let nonce: [u8; NONCE] = std::array::from_fn(|i| 0x40 + i as u8);
        let text = seal(
            &key,
            "7d444840-9dc0-11d1-b245-5ffdce74fad2",
            &nonce,
            &PLACE,
            "+49 30 1234567",
        );
        let text = text.expect("it is short");
        assert_eq!(text, VECTOR);
    }

    const VECTOR: &str = "sealed:v1:7d444840-9dc0-11d1-b245-5ffdce74fad2:\
        QEFCQ0RFRkdISUpLTE1OT1BRUlNUVVZX_w08UOPQWSe9x7OLmasK1ljRJc8eKLuy49DzEmQN";

    #[test]
    fn other_texts_are_not_sealed() {
        for text in [
            "",
            "sealed:v1:",
            "sealed:v1:id",
            "sealed:v1:id:",
            "sealed:v1:id:AAAA",
            "sealed:v2:id:AAAA",
            "sealed:v1:id:*",
        ] {
            assert_eq!(Sealed::parse(text), None, "{text}");
        }
    }

    #[test]
    fn a_wrapped_key_comes_back_under_its_id_and_master_only() {
        let wrapped = wrap(&[1; KEY], &[2; NONCE], "id", &[3; KEY]).expect("a key is short");
        assert_eq!(unwrap(&[1; KEY], "id", &wrapped), Some([3; KEY]));
        assert_eq!(unwrap(&[1; KEY], "other", &wrapped), None);
        assert_eq!(unwrap(&[4; KEY], "id", &wrapped), None);
        assert_eq!(unwrap(&[1; KEY], "id", &wrapped[1..]), None);
    }
}
