//! A stored value as a value of another type: what happens to the records when a field changes its type.

use serde_json::{Number, Value as Json};

use super::{FieldType, Value, convert, time};

/// The value with the text `image`, of a field of the type `from`, as text of a field of the type `to`; `None` when it is
/// not a value of that type. Nothing is guessed, rounded or cut: a moment is a date only at midnight UTC, a number is a
/// boolean only if it is 0 or 1, a text is what HTTP would accept for the new type.
///
/// `image` is the text that the audit trail has: what the type's output function prints, but `true` and `false` for a boolean and
/// `YYYY-MM-DDTHH:MM:SS.ffffffZ` for a moment. The result is what its input function reads.
///
/// ```
/// use snackbase_core::schema::{FieldType, retype};
/// assert_eq!(retype("1.50", FieldType::Text, FieldType::Number).as_deref(), Some("1.5"));
/// assert_eq!(retype("1,5", FieldType::Text, FieldType::Number), None);
/// ```
pub fn retype(image: &str, from: FieldType, to: FieldType) -> Option<String> {
    let value = wire(image, from)?;
    let wanted = if to.text_like() {
        Json::String(as_text(&value)?)
    } else {
        match (to, &value) {
            (FieldType::Number, Json::Bool(flag)) => Json::from(i32::from(*flag)),
            (FieldType::Boolean, Json::Number(number)) => Json::Bool(as_flag(number)?),
            // A text is the JSON text of what it shall become.
            (FieldType::Number | FieldType::Boolean | FieldType::Json, Json::String(text))
                if from.text_like() =>
            {
                serde_json::from_str(text).ok()?
            }
            (FieldType::Date, Json::String(text)) if from == FieldType::Datetime => {
                Json::from(text.strip_suffix("T00:00:00Z")?)
            }
            _ => value,
        }
    };
    Some(match convert(to, &wanted).ok()? {
        Value::Null => return None,
        Value::Number(number) => number_text(number),
        Value::Boolean(flag) => flag.to_string(),
        Value::Text(text)
        | Value::Datetime(text)
        | Value::Date(text)
        | Value::Uuid(text)
        | Value::Json(text) => text,
    })
}

/// A stored value as the wire shows it.
fn wire(image: &str, from: FieldType) -> Option<Json> {
    Some(match from {
        FieldType::Number => Json::Number(serde_json::from_str::<Number>(image).ok()?),
        FieldType::Boolean => Json::Bool(image == "true"),
        FieldType::Datetime => {
            let text = time::parse_datetime(image)?;
            let Some((seconds, fraction)) = text.strip_suffix('Z').and_then(|text| text.split_once('.'))
            else {
                return Some(Json::String(text));
            };
            match fraction.trim_end_matches('0') {
                "" => Json::String(format!("{seconds}Z")),
                fraction => Json::String(format!("{seconds}.{fraction}Z")),
            }
        }
        FieldType::Json | FieldType::File => serde_json::from_str(image).ok()?,
        FieldType::Computed => return None,
        FieldType::Text
        | FieldType::Email
        | FieldType::Url
        | FieldType::Date
        | FieldType::Reference
        | FieldType::User => Json::from(image),
    })
}

fn as_text(value: &Json) -> Option<String> {
    match value {
        Json::Null => None,
        Json::String(text) => Some(text.clone()),
        Json::Number(number) => number.as_f64().map(number_text),
        other => Some(other.to_string()),
    }
}

fn as_flag(number: &Number) -> Option<bool> {
    match number.as_f64()? {
        0.0 => Some(false),
        1.0 => Some(true),
        _ => None,
    }
}

/// As a record shows it: with an exponent only where JavaScript writes one.
fn number_text(number: f64) -> String {
    if number == 0.0 {
        "0".to_owned()
    } else if (1e-6..1e21).contains(&number.abs()) {
        number.to_string()
    } else {
        format!("{number:e}")
    }
}
