//! Hash version 1: the format of the original server, so that its logs can be imported and verified. Nothing new is
//! written in it.
//!
//! One chain over all entries of an instance; each entry is hashed by itself, with the checksum of the entry before as
//! one of its members. Source: contract of the audit trail §2.

use std::borrow::Cow;

use serde_json::Value as Json;
use sha2::{Digest, Sha256};

use super::Hash;
use super::canonical::escape;

/// One entry: the nineteen members that are hashed, in the order in which they are.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Entry<'a> {
    /// The account of the data.
    pub account_id: &'a str,
    /// The column.
    pub column_name: &'a str,
    /// Electronic signature: why.
    pub es_reason: Option<&'a str>,
    /// Electronic signature: when; a UTC timestamp as in `occurred_at`.
    pub es_timestamp: Option<&'a str>,
    /// Electronic signature: who.
    pub es_username: Option<&'a str>,
    /// Hashed as nested JSON with sorted keys. Numbers keep the spelling they have.
    pub extra_metadata: Option<&'a Json>,
    /// The client's address.
    pub ip_address: Option<&'a str>,
    /// The value after.
    pub new_value: Option<&'a str>,
    /// UTC: `YYYY-MM-DDTHH:MM:SS`, optionally a fraction, optionally `Z` or an offset, which is dropped unread; one space
    /// may stand for the `T`. Text of another form is hashed as it stands.
    pub occurred_at: &'a str,
    /// The value before.
    pub old_value: Option<&'a str>,
    /// `CREATE`, `UPDATE` or `DELETE`.
    pub operation: &'a str,
    /// The checksum of the entry before, in hex; `None` for the first.
    pub previous_hash: Option<&'a str>,
    /// The record.
    pub record_id: &'a str,
    /// The request.
    pub request_id: Option<&'a str>,
    /// The physical table.
    pub table_name: &'a str,
    /// The client's `User-Agent`.
    pub user_agent: Option<&'a str>,
    /// The acting user's address.
    pub user_email: &'a str,
    /// The acting user.
    pub user_id: &'a str,
    /// The acting user's name.
    pub user_name: &'a str,
}

/// The checksum of an entry.
pub fn checksum(entry: &Entry) -> Hash {
    Sha256::digest(pre_image(entry)).into()
}

/// The bytes that are hashed: pure ASCII JSON.
pub fn pre_image(entry: &Entry) -> Vec<u8> {
    let es_timestamp = entry.es_timestamp.map(timestamp);
    let occurred_at = timestamp(entry.occurred_at);
    let texts = |text| Member::Text(text);
    let members = [
        ("account_id", texts(Some(entry.account_id))),
        ("column_name", texts(Some(entry.column_name))),
        ("es_reason", texts(entry.es_reason)),
        ("es_timestamp", texts(es_timestamp.as_deref())),
        ("es_username", texts(entry.es_username)),
        ("extra_metadata", Member::Json(entry.extra_metadata)),
        ("ip_address", texts(entry.ip_address)),
        ("new_value", texts(entry.new_value)),
        ("occurred_at", texts(Some(&occurred_at))),
        ("old_value", texts(entry.old_value)),
        ("operation", texts(Some(entry.operation))),
        ("previous_hash", texts(entry.previous_hash)),
        ("record_id", texts(Some(entry.record_id))),
        ("request_id", texts(entry.request_id)),
        ("table_name", texts(Some(entry.table_name))),
        ("user_agent", texts(entry.user_agent)),
        ("user_email", texts(Some(entry.user_email))),
        ("user_id", texts(Some(entry.user_id))),
        ("user_name", texts(Some(entry.user_name))),
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
            ' '..='\u{7f}' => buffer.push(c as u8),
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
