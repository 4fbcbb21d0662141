//! The JSON of exports and proofs: what its parts are called and how hashes are spelled. `docs/ledger.md` §7 and §8
//! describe it member by member.
//!
//! Members that are hashed appear exactly as they are hashed, so that a verifier needs no conversion: all members of a
//! header and of the head of a block are strings or null. Every member must be there, and no other.

use std::borrow::Cow;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::de::{Deserializer, Error as _};
use serde::ser::Serializer;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::entry::{Column, HASH_VERSION, Header};
pub use super::v1::Entry as EntryV1;
use super::{Hash, from_hex, header_hash, to_hex};

/// A text that may be null, but must be there.
pub(super) fn text_or_null<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<Cow<'de, str>>, D::Error> {
    Option::deserialize(deserializer)
}

/// A hash in 64 hexadecimal digits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Hex(pub Hash);

impl Serialize for Hex {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&to_hex(&self.0))
    }
}

impl<'de> Deserialize<'de> for Hex {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = Cow::<str>::deserialize(deserializer)?;
        from_hex(&text)
            .map(Hex)
            .ok_or_else(|| D::Error::custom("a hash has 64 lower-case hexadecimal digits"))
    }
}

pub(super) fn hex_or_null<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Hex>, D::Error> {
    Option::deserialize(deserializer)
}

/// Hashes one after the other, in base64: two thirds of the length of hexadecimal digits.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Path(pub Vec<Hash>);

impl Serialize for Path {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&STANDARD.encode(self.0.concat()))
    }
}

impl<'de> Deserialize<'de> for Path {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = Cow::<str>::deserialize(deserializer)?;
        let bytes = STANDARD.decode(text.as_bytes()).map_err(D::Error::custom)?;
        match bytes.as_chunks::<32>() {
            (hashes, []) => Ok(Path(hashes.to_vec())),
            _ => Err(D::Error::custom("hashes have 32 bytes each")),
        }
    }
}

/// A number as the text that is hashed: decimal, without sign or leading zeros.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Decimal(pub u64);

impl Serialize for Decimal {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for Decimal {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = Cow::<str>::deserialize(deserializer)?;
        match text.parse() {
            Ok(number) if u64::to_string(&number) == text => Ok(Decimal(number)),
            _ => Err(D::Error::custom("a number is written in decimal, in a string")),
        }
    }
}

fn decimal_or_null<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Decimal>, D::Error> {
    Option::deserialize(deserializer)
}

/// The header of a change: the object whose canonical JSON is hashed.
#[derive(Debug, Clone, Serialize, Deserialize, PartialEq, Eq)]
#[serde(deny_unknown_fields)]
#[allow(missing_docs)] // the members are those of `entry::Header`
pub struct HeaderText<'a> {
    #[serde(borrow)]
    pub account_id: Cow<'a, str>,
    #[serde(borrow, deserialize_with = "text_or_null")]
    pub auth_method: Option<Cow<'a, str>>,
    #[serde(borrow, deserialize_with = "text_or_null")]
    pub es_reason: Option<Cow<'a, str>>,
    #[serde(borrow, deserialize_with = "text_or_null")]
    pub es_timestamp: Option<Cow<'a, str>>,
    #[serde(borrow, deserialize_with = "text_or_null")]
    pub es_username: Option<Cow<'a, str>>,
    #[serde(borrow, deserialize_with = "text_or_null")]
    pub extra_metadata: Option<Cow<'a, str>>,
    pub hash_version: Decimal,
    #[serde(borrow, deserialize_with = "text_or_null")]
    pub ip_address: Option<Cow<'a, str>>,
    #[serde(borrow)]
    pub occurred_at: Cow<'a, str>,
    #[serde(borrow)]
    pub operation: Cow<'a, str>,
    #[serde(borrow)]
    pub record_id: Cow<'a, str>,
    pub record_version: Decimal,
    #[serde(borrow, deserialize_with = "text_or_null")]
    pub request_id: Option<Cow<'a, str>>,
    #[serde(borrow)]
    pub table_name: Cow<'a, str>,
    #[serde(borrow, deserialize_with = "text_or_null")]
    pub user_agent: Option<Cow<'a, str>>,
    #[serde(borrow)]
    pub user_email: Cow<'a, str>,
    #[serde(borrow)]
    pub user_id: Cow<'a, str>,
    #[serde(borrow)]
    pub user_name: Cow<'a, str>,
}

impl<'a> From<&Header<'a>> for HeaderText<'a> {
    fn from(header: &Header<'a>) -> Self {
        HeaderText {
            account_id: header.account_id.into(),
            auth_method: header.auth_method.map(Cow::from),
            es_reason: header.es_reason.map(Cow::from),
            es_timestamp: header.es_timestamp.map(Cow::from),
            es_username: header.es_username.map(Cow::from),
            extra_metadata: header.extra_metadata.map(Cow::from),
            hash_version: Decimal(HASH_VERSION.into()),
            ip_address: header.ip_address.map(Cow::from),
            occurred_at: header.occurred_at.into(),
            operation: header.operation.into(),
            record_id: header.record_id.into(),
            record_version: Decimal(header.record_version.unsigned_abs()),
            request_id: header.request_id.map(Cow::from),
            table_name: header.table_name.into(),
            user_agent: header.user_agent.map(Cow::from),
            user_email: header.user_email.into(),
            user_id: header.user_id.into(),
            user_name: header.user_name.into(),
        }
    }
}

impl HeaderText<'_> {
    /// Its hash; `None` for another version than ours, and for a record version that no database counts to.
    pub fn hash(&self) -> Option<Hash> {
        if self.hash_version != Decimal(HASH_VERSION.into()) {
            return None;
        }
        Some(header_hash(&Header {
            account_id: &self.account_id,
            auth_method: self.auth_method.as_deref(),
            es_reason: self.es_reason.as_deref(),
            es_timestamp: self.es_timestamp.as_deref(),
            es_username: self.es_username.as_deref(),
            extra_metadata: self.extra_metadata.as_deref(),
            ip_address: self.ip_address.as_deref(),
            occurred_at: &self.occurred_at,
            operation: &self.operation,
            record_id: &self.record_id,
            record_version: self.version()?,
            request_id: self.request_id.as_deref(),
            table_name: &self.table_name,
            user_agent: self.user_agent.as_deref(),
            user_email: &self.user_email,
            user_id: &self.user_id,
            user_name: &self.user_name,
        }))
    }

    /// The version of the record, as the database counts it.
    pub fn version(&self) -> Option<i64> {
        i64::try_from(self.record_version.0).ok()
    }
}

/// One column of a change: `[name, old value, new value]`.
#[derive(Debug, Clone, Serialize, Deserialize, PartialEq, Eq)]
pub struct ColumnText<'a>(
    #[serde(borrow)] pub Cow<'a, str>,
    #[serde(borrow)] pub Option<Cow<'a, str>>,
    #[serde(borrow)] pub Option<Cow<'a, str>>,
);

impl ColumnText<'_> {
    /// The column as it is hashed.
    pub fn column(&self) -> Column<'_> {
        Column {
            name: &self.0,
            old: self.1.as_deref(),
            new: self.2.as_deref(),
        }
    }
}

impl<'a> From<Column<'a>> for ColumnText<'a> {
    fn from(column: Column<'a>) -> Self {
        ColumnText(
            column.name.into(),
            column.old.map(Cow::from),
            column.new.map(Cow::from),
        )
    }
}

/// The head of a block: everything that its hash covers. This JSON is what is hashed: its members stand in canonical order.
#[derive(Debug, Clone, Serialize, Deserialize, PartialEq, Eq)]
#[serde(deny_unknown_fields)]
pub struct HeadText<'a> {
    /// All changes of all accounts in the block.
    pub change_count: Decimal,
    /// The block holds the changes of the transactions from this one …
    pub from_xid: Decimal,
    /// The import that the block notarises instead; then `from_xid` = `to_xid`.
    #[serde(deserialize_with = "decimal_or_null")]
    pub import_id: Option<Decimal>,
    /// 1, 2, … without gaps.
    pub number: Decimal,
    /// The hash of the block before; `None` in block 1.
    #[serde(deserialize_with = "hex_or_null")]
    pub previous_block_hash: Option<Hex>,
    /// `YYYY-MM-DDTHH:MM:SS.ffffffZ`, always with six digits of fraction.
    #[serde(borrow)]
    pub sealed_at: Cow<'a, str>,
    /// The cluster that wrote the changes (`pg_control_system`).
    pub system_identifier: Decimal,
    /// … up to, and without, this one.
    pub to_xid: Decimal,
    /// The root of the tree over [`account_leaf`](super::block::account_leaf), in the order of the account ids.
    pub tree_root: Hex,
}

impl HeadText<'_> {
    /// The hash of the block: SHA-256 of the canonical JSON of its head.
    pub fn hash(&self) -> Hash {
        // Texts and nulls: serialising them into memory has no way to fail, and serde_json escapes as RFC 8785 does.
        Sha256::digest(serde_json::to_vec(self).unwrap_or_default()).into()
    }
}
