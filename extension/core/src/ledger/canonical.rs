//! Canonical JSON of strings and nulls, written straight into a byte buffer: this runs for every changed row.

/// Starts an empty object at the end of a buffer; members follow in the order of their keys.
pub(super) struct Object<'a> {
    buffer: &'a mut Vec<u8>,
    empty: bool,
}

impl<'a> Object<'a> {
    /// Opens the object. The buffer is cleared: it holds one object at a time.
    pub(super) fn new(buffer: &'a mut Vec<u8>) -> Self {
        buffer.clear();
        buffer.push(b'{');
        Self { buffer, empty: true }
    }

    /// Adds a member. Keys are ASCII, need no escapes and come in ascending order, as RFC 8785 §3.2.3 wants them.
    pub(super) fn member(&mut self, key: &str, value: Option<&str>) -> &mut Self {
        if !std::mem::replace(&mut self.empty, false) {
            self.buffer.push(b',');
        }
        self.buffer.push(b'"');
        self.buffer.extend_from_slice(key.as_bytes());
        self.buffer.extend_from_slice(b"\":");
        write_value(self.buffer, value);
        self
    }

    /// How many bytes there are so far.
    pub(super) fn length(&self) -> usize {
        self.buffer.len()
    }

    /// Closes the object and returns its bytes.
    pub(super) fn finish(self) -> &'a [u8] {
        self.buffer.push(b'}');
        self.buffer
    }
}

/// Appends a string, or `null`, as [`write_string`] does.
pub(super) fn write_value(buffer: &mut Vec<u8>, value: Option<&str>) {
    match value {
        Some(text) => write_string(buffer, text),
        None => buffer.extend_from_slice(b"null"),
    }
}

/// Appends a JSON string as RFC 8785 §3.2.2.2 writes it: escapes only where JSON demands them, the short form where there is
/// one, everything else as UTF-8.
pub fn write_string(buffer: &mut Vec<u8>, text: &str) {
    buffer.push(b'"');
    let bytes = text.as_bytes();
    let mut start = 0;
    for (i, byte) in bytes.iter().enumerate() {
        if *byte >= 0x20 && *byte != b'"' && *byte != b'\\' {
            continue;
        }
        buffer.extend_from_slice(&bytes[start..i]);
        start = i + 1;
        escape(buffer, u16::from(*byte));
    }
    buffer.extend_from_slice(&bytes[start..]);
    buffer.push(b'"');
}

/// One UTF-16 unit as an escape: the short form where there is one, else `\uxxxx` in lower case.
pub(super) fn escape(buffer: &mut Vec<u8>, unit: u16) {
    const DIGITS: [u8; 16] = *b"0123456789abcdef";
    let short = match unit {
        0x08 => b'b',
        0x09 => b't',
        0x0a => b'n',
        0x0c => b'f',
        0x0d => b'r',
        0x22 => b'"',
        0x5c => b'\\',
        _ => {
            buffer.extend_from_slice(b"\\u");
            buffer.extend([12, 8, 4, 0].map(|shift| DIGITS[usize::from(unit >> shift & 15)]));
            return;
        }
    };
    buffer.extend_from_slice(&[b'\\', short]);
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn written(text: &str) -> String {
        let mut buffer = Vec::new();
        write_string(&mut buffer, text);
        String::from_utf8(buffer).expect("canonical JSON is UTF-8")
    }

    #[test]
    fn strings_are_escaped_as_rfc_8785_says() {
        // The example of RFC 8785 §3.2.2.
        assert_eq!(
            written("\u{20ac}$\u{f}\nA'B\"\\\\\"/"),
            r#""€$\u000f\nA'B\"\\\\\"/""#
        );
        assert_eq!(written("\u{8}\t\n\u{c}\r"), r#""\b\t\n\f\r""#);
        assert_eq!(written("\0\u{1}\u{b}\u{1f}"), r#""\u0000\u0001\u000b\u001f""#);
        for plain in [
            "", "/", "\u{7f}", "\u{80}", "\u{2028}", "\u{feff}", "דּ", "😀", "<&>",
        ] {
            assert_eq!(written(plain), format!("\"{plain}\""));
        }
    }

    #[test]
    fn objects() {
        let mut buffer = b"left over".to_vec();
        let mut object = Object::new(&mut buffer);
        object
            .member("a", None)
            .member("b", Some(""))
            .member("c", Some("\""));
        assert_eq!(object.finish(), br#"{"a":null,"b":"","c":"\""}"#);
        assert_eq!(Object::new(&mut buffer).finish(), b"{}");
    }

    proptest! {
        #[test]
        fn every_string_reads_back(text in any::<String>()) {
            prop_assert_eq!(serde_json::from_str::<String>(&written(&text)).expect("valid JSON"), text);
        }

        #[test]
        fn control_characters_read_back(text in "[\\x00-\\x7f]{0,40}") {
            prop_assert_eq!(serde_json::from_str::<String>(&written(&text)).expect("valid JSON"), text);
        }
    }
}
