//! Hash version 1: the format of the original server, so that its logs can be imported and verified. Nothing new is
//! written in it.
//!
//! One chain over all entries of an instance; each entry is hashed by itself, with the checksum of the entry before as
//! one of its members. Source: contract of the audit trail §2.

use std::borrow::Cow;

use serde::de::Deserializer;
use serde::{Deserialize, Serialize};
use serde_json::Value as Json;
use sha2::{Digest, Sha256};

use super::Hash;
use super::canonical::escape;
use super::lines::text_or_null;
use super::unique::Unique;

/// One entry: the nineteen members that are hashed, in the order in which they are. As JSON, every member must be there, and no
/// other.
#[derive(Debug, Clone, Serialize, Deserialize, PartialEq)]
#[serde(deny_unknown_fields)]
pub struct Entry<'a> {
    /// The account of the data.
    #[serde(borrow)]
    pub account_id: Cow<'a, str>,
    /// The column.
    #[serde(borrow)]
    pub column_name: Cow<'a, str>,
    /// Electronic signature: why.
    #[serde(borrow, deserialize_with = "text_or_null")]
    pub es_reason: Option<Cow<'a, str>>,
    /// Electronic signature: when; a UTC timestamp as in `occurred_at`.
    #[serde(borrow, deserialize_with = "instant_or_null")]
    pub es_timestamp: Option<Cow<'a, str>>,
    /// Electronic signature: who.
    #[serde(borrow, deserialize_with = "text_or_null")]
    pub es_username: Option<Cow<'a, str>>,
    /// Hashed as nested JSON with sorted keys. Numbers keep the spelling they have.
    #[serde(deserialize_with = "json_or_null")]
    pub extra_metadata: Option<Cow<'a, Json>>,
    /// The client's address.
    #[serde(borrow, deserialize_with = "text_or_null")]
    pub ip_address: Option<Cow<'a, str>>,
    /// The value after.
    #[serde(borrow, deserialize_with = "text_or_null")]
    pub new_value: Option<Cow<'a, str>>,
    /// UTC: `YYYY-MM-DDTHH:MM:SS`, optionally a fraction, optionally `Z` or an offset, which is dropped unread; one space
    /// may stand for the `T`. Text of another form is hashed as it stands. In JSON there is nothing that the hash would drop.
    #[serde(borrow, deserialize_with = "instant")]
    pub occurred_at: Cow<'a, str>,
    /// The value before.
    #[serde(borrow, deserialize_with = "text_or_null")]
    pub old_value: Option<Cow<'a, str>>,
    /// `CREATE`, `UPDATE` or `DELETE`.
    #[serde(borrow)]
    pub operation: Cow<'a, str>,
    /// The checksum of the entry before, in hex; `None` for the first.
    #[serde(borrow, deserialize_with = "text_or_null")]
    pub previous_hash: Option<Cow<'a, str>>,
    /// The record.
    #[serde(borrow)]
    pub record_id: Cow<'a, str>,
    /// The request.
    #[serde(borrow, deserialize_with = "text_or_null")]
    pub request_id: Option<Cow<'a, str>>,
    /// The physical table.
    #[serde(borrow)]
    pub table_name: Cow<'a, str>,
    /// The client's `User-Agent`.
    #[serde(borrow, deserialize_with = "text_or_null")]
    pub user_agent: Option<Cow<'a, str>>,
    /// The acting user's address.
    #[serde(borrow)]
    pub user_email: Cow<'a, str>,
    /// The acting user.
    #[serde(borrow)]
    pub user_id: Cow<'a, str>,
    /// The acting user's name.
    #[serde(borrow)]
    pub user_name: Cow<'a, str>,
}

/// Nested JSON that may be null, but must be there. What readers would take differently is refused: one of two members of the same name
/// is not hashed.
fn json_or_null<'a, 'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Cow<'a, Json>>, D::Error> {
    Ok(Option::<Unique>::deserialize(deserializer)?.map(|Unique(json)| Cow::Owned(json)))
}

/// The hash does not cover an offset, nor more than six digits of fraction: somebody could write any there.
fn covered<E: serde::de::Error>(text: &str) -> Result<(), E> {
    let rest = match timestamp(text) {
        // Hashed as it stands.
        Cow::Borrowed(_) => return Ok(()),
        Cow::Owned(_) => text.get(19..).unwrap_or_default(),
    };
    let rest = match rest.strip_prefix('.') {
        Some(fraction) => {
            let after = fraction.trim_start_matches(|c: char| c.is_ascii_digit());
            Some(after).filter(|after| (1..=6).contains(&(fraction.len() - after.len())))
        }
        None => Some(rest),
    };
    match rest {
        Some("" | "Z" | "+00:00") => Ok(()),
        _ => Err(E::custom(
            "an instant is in UTC, with at most six digits of fraction",
        )),
    }
}

fn instant<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Cow<'de, str>, D::Error> {
    let text = Cow::deserialize(deserializer)?;
    covered(&text).map(|()| text)
}

fn instant_or_null<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Cow<'de, str>>, D::Error> {
    let text = text_or_null(deserializer)?;
    text.as_deref().map_or(Ok(()), covered).map(|()| text)
}

impl Entry<'_> {
    /// The checksum of the entry.
    pub fn checksum(&self) -> Hash {
        Sha256::digest(self.pre_image()).into()
    }

    /// The bytes that are hashed: pure ASCII JSON.
    pub fn pre_image(&self) -> Vec<u8> {
        let es_timestamp = self.es_timestamp.as_deref().map(timestamp);
        let occurred_at = timestamp(&self.occurred_at);
        let texts = |text| Member::Text(text);
        let members = [
            ("account_id", texts(Some(&self.account_id))),
            ("column_name", texts(Some(&self.column_name))),
            ("es_reason", texts(self.es_reason.as_deref())),
            ("es_timestamp", texts(es_timestamp.as_deref())),
            ("es_username", texts(self.es_username.as_deref())),
            ("extra_metadata", Member::Json(self.extra_metadata.as_deref())),
            ("ip_address", texts(self.ip_address.as_deref())),
            ("new_value", texts(self.new_value.as_deref())),
            ("occurred_at", texts(Some(&occurred_at))),
            ("old_value", texts(self.old_value.as_deref())),
            ("operation", texts(Some(&self.operation))),
            ("previous_hash", texts(self.previous_hash.as_deref())),
            ("record_id", texts(Some(&self.record_id))),
            ("request_id", texts(self.request_id.as_deref())),
            ("table_name", texts(Some(&self.table_name))),
            ("user_agent", texts(self.user_agent.as_deref())),
            ("user_email", texts(Some(&self.user_email))),
            ("user_id", texts(Some(&self.user_id))),
            ("user_name", texts(Some(&self.user_name))),
        ];
        let mut buffer = Vec::with_capacity(1024);
        for (i, (key, member)) in members.into_iter().enumerate() {
            buffer.extend_from_slice(if i == 0 { b"{" } else { b", " });
            string(&mut buffer, key);
            buffer.extend_from_slice(b": ");
            match member {
                Member::Text(Some(text)) => string(&mut buffer, text),
                Member::Json(Some(json)) => value(&mut buffer, json),
                Member::Text(None) | Member::Json(None) => buffer.extend_from_slice(b"null"),
            }
        }
        buffer.push(b'}');
        buffer
    }
}

enum Member<'a> {
    Text(Option<&'a str>),
    Json(Option<&'a Json>),
}

/// An instant as it is hashed: without offset, and with six digits of fraction or none. Text of another form stays.
pub fn timestamp(text: &str) -> Cow<'_, str> {
    let Some((seconds, rest)) = text.split_at_checked(19) else {
        return text.into();
    };
    let (Some(day), Some(b'T' | b' '), Some(time)) =
        (seconds.get(..10), seconds.as_bytes().get(10), seconds.get(11..))
    else {
        return text.into();
    };
    let fraction = rest.strip_prefix('.').unwrap_or_default();
    let digits = fraction.bytes().take_while(u8::is_ascii_digit).take(6).count();
    let fraction = &fraction[..digits];
    if fraction.bytes().all(|digit| digit == b'0') {
        return format!("{day}T{time}").into();
    }
    format!("{day}T{time}.{fraction:0<6}").into()
}

fn string(buffer: &mut Vec<u8>, text: &str) {
    buffer.push(b'"');
    for c in text.chars() {
        match c {
            '"' | '\\' => escape(buffer, c as u16),
            ' '..='~' => buffer.push(c as u8),
            _ => c
                .encode_utf16(&mut [0; 2])
                .iter()
                .for_each(|unit| escape(buffer, *unit)),
        }
    }
    buffer.push(b'"');
}

/// Nested JSON. The depth is that of the parser, which stops at 128.
fn value(buffer: &mut Vec<u8>, json: &Json) {
    match json {
        Json::Null => buffer.extend_from_slice(b"null"),
        Json::Bool(value) => buffer.extend_from_slice(if *value { b"true" } else { b"false" }),
        Json::Number(number) => buffer.extend_from_slice(number.to_string().as_bytes()),
        Json::String(text) => string(buffer, text),
        Json::Array(items) => {
            buffer.push(b'[');
            for (i, item) in items.iter().enumerate() {
                buffer.extend_from_slice(if i == 0 { b"" } else { b", " });
                value(buffer, item);
            }
            buffer.push(b']');
        }
        Json::Object(members) => {
            let mut members: Vec<_> = members.iter().collect();
            members.sort_unstable_by_key(|(key, _)| *key);
            buffer.push(b'{');
            for (i, (key, member)) in members.into_iter().enumerate() {
                buffer.extend_from_slice(if i == 0 { b"" } else { b", " });
                string(buffer, key);
                buffer.extend_from_slice(b": ");
                value(buffer, member);
            }
            buffer.push(b'}');
        }
    }
}
