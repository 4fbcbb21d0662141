//! Cursors: where a page of a list ended, as a text that only this installation can write.
//!
//! A cursor is `base64url( tag ‖ key )`: `key` is the JSON array of the sort values of one row (texts or null, `id` last),
//! and `tag` the first [`TAG`] bytes of HMAC-SHA-256 over the [`Binding`] and the key. What the cursor belongs to
//! is therefore not in it and need not be compared: with another collection, account, sort or filter the tag is wrong,
//! as it is when a bit was changed. Clients see nothing in it that they did not see in the row.

use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

/// Bytes of the tag. RFC 2104, §5: at least half of the digest.
const TAG: usize = 16;

/// The longest cursor that is looked at, in bytes: sort values can be long texts.
const LONGEST: usize = 64 * 1024;

/// What a cursor is good for.
#[derive(Debug, Clone, Copy)]
pub struct Binding<'a> {
    /// Id of the collection.
    pub collection: &'a str,
    /// Id of the caller's account.
    pub account: &'a str,
    /// The order, in one spelling for all that mean the same.
    pub order: &'a str,
    /// The filter as it was sent; empty when there is none.
    pub filter: &'a str,
}

impl Binding<'_> {
    fn mac(&self, secret: &[u8], key: &[u8]) -> Hmac<Sha256> {
        let mut mac = Hmac::<Sha256>::new_from_slice(secret)
            // HMAC takes keys of every length.
            .unwrap_or_else(|_| unreachable!("HMAC takes keys of every length"));
        for part in [self.collection, self.account, self.order, self.filter] {
            // The length keeps two parts from being read as two others.
            mac.update(&(part.len() as u64).to_be_bytes());
            mac.update(part.as_bytes());
        }
        mac.update(key);
        mac
    }

    /// The cursor at the row with these sort values; `None` where a value is NULL.
    ///
    /// ```
    /// use snackbase_core::records::Binding;
    /// let list = Binding { collection: "c", account: "a", order: "-created_at,-id", filter: "" };
    /// let key = vec![Some("2026-01-02T03:04:05Z".to_owned()), None];
    /// let cursor = list.seal(b"secret", &key);
    /// assert_eq!(list.open(b"secret", &cursor), Some(key));
    /// assert_eq!(Binding { filter: "active", ..list }.open(b"secret", &cursor), None);
    /// ```
    pub fn seal(&self, secret: &[u8], key: &[Option<String>]) -> String {
        let key = serde_json::Value::from(key.to_vec()).to_string();
        let tag = self.mac(secret, key.as_bytes()).finalize().into_bytes();
        let mut bytes = tag[..TAG].to_vec();
        bytes.extend_from_slice(key.as_bytes());
        BASE64_URL_SAFE_NO_PAD.encode(bytes)
    }

    /// The sort values in a cursor; `None` when it is not one of this list.
    pub fn open(&self, secret: &[u8], cursor: &str) -> Option<Vec<Option<String>>> {
        if cursor.len() > LONGEST {
            return None;
        }
        let bytes = BASE64_URL_SAFE_NO_PAD.decode(cursor).ok()?;
        let (tag, key) = bytes.split_at_checked(TAG)?;
        self.mac(secret, key).verify_truncated_left(tag).ok()?;
        serde_json::from_slice(key).ok()
    }
}
