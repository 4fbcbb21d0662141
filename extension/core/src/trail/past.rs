//! Values of the past: the canonical text of the trail as the JSON that a record shows today.

use std::borrow::Cow;

use crate::json::{write_number, write_text};
use crate::schema::FieldType;

/// Appends the JSON form of a value of the trail, as records show a field of this type. A text that does not fit the type (of
/// a column that was written past us) stays a text.
pub fn write_value(out: &mut String, field_type: FieldType, text: &str) {
    match field_type {
        FieldType::Number => match text.parse::<f64>() {
            Ok(number) => write_number(out, number),
            Err(_) => write_text(out, text),
        },
        FieldType::Boolean => match text {
            "t" | "true" => out.push_str("true"),
            "f" | "false" => out.push_str("false"),
            _ => write_text(out, text),
        },
        FieldType::Datetime => write_text(out, &instant(text)),
        FieldType::Json => out.push_str(text),
        // A file goes out as JSON text inside a string.
        _ => write_text(out, text),
    }
}

/// `…:05.678000Z` as `…:05.678Z`: the trail has six digits of fraction, records have those that are not zero.
fn instant(text: &str) -> Cow<'_, str> {
    match text.strip_suffix('Z') {
        Some(body) if body.contains('.') => {
            format!("{}Z", body.trim_end_matches('0').trim_end_matches('.')).into()
        }
        _ => text.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_have_the_form_of_records() {
        for (field_type, text, expected) in [
            (FieldType::Text, "a\"", r#""a\"""#),
            (FieldType::Number, "5", "5"),
            (FieldType::Number, "1e+22", "1e22"),
            (FieldType::Number, "NaN", "null"),
            (FieldType::Boolean, "t", "true"),
            (FieldType::Boolean, "false", "false"),
            (
                FieldType::Datetime,
                "2026-01-02T03:04:05.678000Z",
                r#""2026-01-02T03:04:05.678Z""#,
            ),
            (
                FieldType::Datetime,
                "2026-01-02T03:04:10.000000Z",
                r#""2026-01-02T03:04:10Z""#,
            ),
            (FieldType::Datetime, "infinity", r#""infinity""#),
            (FieldType::Date, "2026-01-02", r#""2026-01-02""#),
            (FieldType::Json, r#"{"a": [1]}"#, r#"{"a": [1]}"#),
            (FieldType::File, r#"{"a": 1}"#, r#""{\"a\": 1}""#),
            (FieldType::Reference, "x", r#""x""#),
        ] {
            let mut out = String::new();
            write_value(&mut out, field_type, text);
            assert_eq!(out, expected, "{field_type:?} {text}");
        }
    }
}
