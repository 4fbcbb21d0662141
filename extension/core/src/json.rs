//! JSON text, written piece by piece.

use std::fmt::Write;

/// Appends a JSON string.
pub fn write_text(out: &mut String, text: &str) {
    out.push('"');
    let mut start = 0;
    for (index, byte) in text.bytes().enumerate() {
        let escape = match byte {
            b'"' => "\\\"",
            b'\\' => "\\\\",
            b'\n' => "\\n",
            b'\r' => "\\r",
            b'\t' => "\\t",
            0..=0x1f => "",
            _ => continue,
        };
        out.push_str(&text[start..index]);
        if escape.is_empty() {
            // Writing into a String cannot fail; so below.
            let _ = write!(out, "\\u{byte:04x}");
        } else {
            out.push_str(escape);
        }
        start = index + 1;
    }
    out.push_str(&text[start..]);
    out.push('"');
}

/// Appends a JSON string, or `null`.
pub fn write_optional(out: &mut String, text: Option<&str>) {
    match text {
        Some(text) => write_text(out, text),
        None => out.push_str("null"),
    }
}

/// Appends the shortest JSON number that reads back as `number`, with an exponent where JavaScript writes one; `5` and not
/// `5.0`. JSON has no infinity and no NaN: `null`.
pub fn write_number(out: &mut String, number: f64) {
    let _ = if !number.is_finite() {
        write!(out, "null")
    } else if number == 0.0 || (1e-6..1e21).contains(&number.abs()) {
        write!(out, "{number}")
    } else {
        write!(out, "{number:e}")
    };
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn texts_read_back(text in any::<String>()) {
            let mut out = String::new();
            write_text(&mut out, &text);
            prop_assert_eq!(serde_json::from_str::<String>(&out).expect("valid JSON"), text);
        }

        #[test]
        fn numbers_read_back(number in any::<f64>().prop_filter("finite", |n| n.is_finite())) {
            let mut out = String::new();
            write_number(&mut out, number);
            prop_assert!(serde_json::from_str::<f64>(&out).is_ok(), "valid JSON: {}", out);
            // serde_json rounds as it reads; the standard library reads exactly.
            prop_assert_eq!(out.parse::<f64>().expect("a number"), number);
        }
    }
}
