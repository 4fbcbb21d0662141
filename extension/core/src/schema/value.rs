//! A JSON value checked against a field type.

use serde_json::{Number, Value as Json};

use super::{Field, FieldType, time};
use crate::names;

/// A value that fits its field, typed and normalised: what is bound to a statement.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// SQL NULL, of any type.
    Null,
    /// `text`, without U+0000.
    Text(String),
    /// `double precision`, finite.
    Number(f64),
    /// `boolean`.
    Boolean(bool),
    /// `timestamptz` as RFC 3339 in UTC.
    Datetime(String),
    /// `date` as `YYYY-MM-DD`.
    Date(String),
    /// `uuid`, hyphenated, lower case.
    Uuid(String),
    /// `jsonb` as compact JSON text, without U+0000.
    Json(String),
}

/// Why a JSON value does not fit a type.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mismatch {
    /// The code of the contract of records.
    pub code: &'static str,
    /// What is expected; does not repeat the value.
    pub message: String,
}

fn mismatch<T>(code: &'static str, message: impl Into<String>) -> Result<T, Mismatch> {
    Err(Mismatch {
        code,
        message: message.into(),
    })
}

/// Checks a JSON value against a field type. JSON null is [`Value::Null`] for every type: whether null is allowed is a
/// property of the field. Nothing is ever written to a computed field: `invalid_type`.
///
/// Codes: `invalid_type`, `invalid_datetime_format`, `invalid_date_format`, `invalid_email_format`,
/// `invalid_url_format`, `invalid_json`, `missing_file_metadata`, `invalid_file_metadata`, `empty_reference`,
/// `invalid_reference`. A text or JSON value with U+0000, which PostgreSQL cannot store, is `invalid_type`.
pub fn convert(field_type: FieldType, json: &Json) -> Result<Value, Mismatch> {
    if json.is_null() {
        return Ok(Value::Null);
    }
    match field_type {
        FieldType::Text => text(json).map(|t| Value::Text(t.to_owned())),
        FieldType::Number => match json {
            Json::Number(number) => number.as_f64().filter(|n| n.is_finite()).map(Value::Number),
            _ => None,
        }
        .map_or_else(
            || mismatch("invalid_type", "Must be a number within double precision"),
            Ok,
        ),
        FieldType::Boolean => match json {
            Json::Bool(value) => Ok(Value::Boolean(*value)),
            _ => mismatch("invalid_type", "Must be true or false"),
        },
        FieldType::Datetime => time::parse_datetime(text(json)?)
            .map(Value::Datetime)
            .map_or_else(
                || {
                    mismatch(
                        "invalid_datetime_format",
                        "Must be an ISO 8601 date and time, like 2026-01-31T09:30:00Z",
                    )
                },
                Ok,
            ),
        FieldType::Date => time::parse_date(text(json)?).map(Value::Date).map_or_else(
            || mismatch("invalid_date_format", "Must be a date, like 2026-01-31"),
            Ok,
        ),
        FieldType::Email => match text(json)? {
            email if is_email(email) => Ok(Value::Text(email.to_owned())),
            _ => mismatch("invalid_email_format", "Must be an e-mail address"),
        },
        FieldType::Url => match text(json)? {
            url if is_url(url) => Ok(Value::Text(url.to_owned())),
            _ => mismatch(
                "invalid_url_format",
                "Must be an address that starts with http:// or https://",
            ),
        },
        FieldType::Json => storable(json).map(|()| Value::Json(json.to_string())),
        FieldType::Reference | FieldType::User => match text(json)? {
            id if id.trim().is_empty() => mismatch("empty_reference", "Must not be blank"),
            id if is_uuid(id) => Ok(Value::Uuid(id.to_ascii_lowercase())),
            _ => mismatch("invalid_reference", "Refers to nothing in this account"),
        },
        FieldType::File => file(json),
        FieldType::Computed => mismatch("invalid_type", "A computed field cannot be written"),
    }
}

/// The default of a field as a value; `None` without one. A default that no longer fits its type counts as none:
/// definitions are checked when they are read, so that cannot come from a client.
pub fn default_value(field: &Field) -> Option<Value> {
    let value = convert(field.field_type, field.default.as_ref()?).ok()?;
    (value != Value::Null).then_some(value)
}

/// The default of a field as a constant SQL expression of the column's type, so that a row inserted by SQL gets the very
/// value that [`default_value`] gives to one written over HTTP. `None` without a default.
///
/// ```
/// use serde_json::json;
/// use snackbase_core::schema::{Field, default_sql};
/// let field = Field::from_json(&json!({"name": "day", "type": "date", "default": "2026-01-31"}))?;
/// assert_eq!(default_sql(&field).as_deref(), Some("'2026-01-31'::date"));
/// # Ok::<(), snackbase_core::schema::DefinitionError>(())
/// ```
pub fn default_sql(field: &Field) -> Option<String> {
    let sql_type = field.field_type.sql_type()?;
    let literal = match default_value(field)? {
        Value::Null => return None,
        Value::Boolean(value) => return Some(value.to_string()),
        Value::Number(number) => names::quote_literal(&format!("{number:?}")),
        Value::Text(text)
        | Value::Datetime(text)
        | Value::Date(text)
        | Value::Uuid(text)
        | Value::Json(text) => names::quote_literal(&text),
    };
    Some(format!("{literal}::{sql_type}"))
}

/// A JSON string that PostgreSQL can store.
fn text(json: &Json) -> Result<&str, Mismatch> {
    match json {
        Json::String(text) if text.contains('\0') => {
            mismatch("invalid_type", "Must not contain the character U+0000")
        }
        Json::String(text) => Ok(text),
        _ => mismatch("invalid_type", "Must be a string"),
    }
}

/// Whether `jsonb` can hold a JSON value: no U+0000 in keys and strings, and numbers that neither overflow `numeric`
/// nor turn a few bytes of input into kilobytes of digits on every read.
pub(crate) fn storable(json: &Json) -> Result<(), Mismatch> {
    match json {
        Json::Null | Json::Bool(_) => Ok(()),
        Json::Number(number) if !is_moderate(number) => {
            mismatch("invalid_type", "Contains a number that is too large or too long")
        }
        Json::Number(_) => Ok(()),
        Json::String(_) => text(json).map(|_| ()),
        Json::Array(items) => items.iter().try_for_each(storable),
        Json::Object(members) => members.iter().try_for_each(|(key, value)| {
            if key.contains('\0') {
                return mismatch("invalid_type", "Must not contain the character U+0000");
            }
            storable(value)
        }),
    }
}

/// Finite as double precision, an exponent of at most three digits, and at most 1,000 characters.
fn is_moderate(number: &Number) -> bool {
    let text = number.to_string();
    let exponent = text.split_once(['e', 'E']).map_or("", |(_, exponent)| exponent);
    let digits = exponent.trim_start_matches(['+', '-']).trim_start_matches('0');
    digits.len() <= 3 && text.len() <= 1_000 && number.as_f64().is_some_and(f64::is_finite)
}

/// File metadata: an object, or the JSON text of one.
fn file(json: &Json) -> Result<Value, Mismatch> {
    let parsed;
    let object = match json {
        Json::String(text) => match serde_json::from_str::<Json>(text) {
            Ok(value) => {
                parsed = value;
                &parsed
            }
            Err(_) => return mismatch("invalid_json", "Must be a file object, or the JSON text of one"),
        },
        other => other,
    };
    let Json::Object(members) = object else {
        return mismatch("invalid_type", "Must be a file object, or the JSON text of one");
    };
    const KEYS: [&str; 4] = ["filename", "size", "mime_type", "path"];
    let missing: Vec<_> = KEYS
        .into_iter()
        .filter(|key| !members.contains_key(*key))
        .collect();
    if !missing.is_empty() {
        return mismatch(
            "missing_file_metadata",
            format!("File object lacks: {}", missing.join(", ")),
        );
    }
    let wrong: Vec<_> = KEYS
        .into_iter()
        .filter(|key| match &members[*key] {
            Json::String(_) => *key == "size",
            Json::Number(size) => *key != "size" || !(size.is_i64() || size.is_u64()),
            _ => true,
        })
        .collect();
    if !wrong.is_empty() {
        return mismatch(
            "invalid_file_metadata",
            format!("File object has the wrong type in: {}", wrong.join(", ")),
        );
    }
    storable(object)?;
    Ok(Value::Json(object.to_string()))
}

/// Local part of ASCII letters, digits and `._%+-`; one `@`; a domain of letters, digits, dots and hyphens that ends
/// in a dot and at least two letters. Source: contract of records §2.
fn is_email(text: &str) -> bool {
    let Some((local, domain)) = text.split_once('@') else {
        return false;
    };
    let Some((host, ending)) = domain.rsplit_once('.') else {
        return false;
    };
    let all = |part: &str, extra: &[u8]| {
        !part.is_empty()
            && part
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || extra.contains(&b))
    };
    all(local, b"._%+-")
        && all(host, b".-")
        && ending.len() >= 2
        && ending.bytes().all(|b| b.is_ascii_alphabetic())
}

/// `http://` or `https://` in any case, then a host that does not start with `/ $ . ? #`, and no white space or control
/// character anywhere.
fn is_url(text: &str) -> bool {
    let rest = ["http://", "https://"].iter().find_map(|scheme| {
        let head = text.get(..scheme.len())?;
        head.eq_ignore_ascii_case(scheme).then(|| &text[scheme.len()..])
    });
    rest.is_some_and(|rest| {
        rest.chars().next().is_some_and(|first| !"/$.?#".contains(first))
            && !rest.chars().any(|c| c.is_whitespace() || c.is_control())
    })
}

/// The hyphenated form, 8-4-4-4-12 hex digits in any case. PostgreSQL reads more forms; one is enough for ids that the
/// server itself hands out.
fn is_uuid(text: &str) -> bool {
    text.len() == 36
        && text.bytes().enumerate().all(|(i, b)| match i {
            8 | 13 | 18 | 23 => b == b'-',
            _ => b.is_ascii_hexdigit(),
        })
}
