//! CSV as RFC 4180 has it, made harmless for spreadsheets.

use super::entry::{Entry, Field, Value};

/// Appends the line of titles: those of the contract for the eleven fields, wire names for all of them.
pub fn write_csv_header(out: &mut String, fields: &[Field], titled: bool) {
    let names = fields
        .iter()
        .map(|field| if titled { field.title() } else { field.name() });
    out.push_str(&names.collect::<Vec<_>>().join(","));
    out.push_str("\r\n");
}

/// Appends one line. Nothing between two commas is null, `""` an empty text. A text that a spreadsheet could take for a
/// formula gets an apostrophe in front; so does one that begins with an apostrophe, so that [`unneutralised`] gives back
/// every text.
pub fn write_csv(out: &mut String, entry: &Entry<'_>, fields: &[Field]) {
    for (index, field) in fields.iter().enumerate() {
        if index > 0 {
            out.push(',');
        }
        match field.of(entry) {
            Value::Number(number) => out.extend(number.map(|number| number.to_string())),
            Value::Text(text) => out.extend(text.map(cell)),
            Value::Json(json) => out.push_str(&cell(json)),
            Value::Flag(flag) => out.push_str(if flag { "true" } else { "false" }),
        }
    }
    out.push_str("\r\n");
}

/// What a formula begins with; in some languages spreadsheets take the wide forms for the narrow ones. Source: OWASP, CSV injection.
const FORMULA: [char; 11] = ['=', '+', '-', '@', '\t', '\r', '\n', '＝', '＋', '－', '＠'];

fn cell(text: &str) -> String {
    let apostrophe = if text.starts_with(FORMULA) || text.starts_with('\'') {
        "'"
    } else {
        ""
    };
    if !text.is_empty() && !text.contains([',', '"', '\r', '\n']) && text.trim() == text {
        return format!("{apostrophe}{text}");
    }
    format!("\"{apostrophe}{}\"", text.replace('"', "\"\""))
}

/// The text that a cell was made of.
///
/// ```
/// assert_eq!(snackbase_core::trail::unneutralised("'=1+2"), "=1+2");
/// ```
pub fn unneutralised(cell: &str) -> &str {
    cell.strip_prefix('\'').unwrap_or(cell)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::entry::{BRIEF, FULL, tests::ENTRY};
    use super::*;

    #[test]
    fn titles_and_lines_are_those_of_the_contract() {
        let mut out = String::new();
        write_csv_header(&mut out, BRIEF, true);
        write_csv(&mut out, &ENTRY, BRIEF);
        assert_eq!(
            out,
            "ID,Timestamp,Operation,Table,Record ID,Column,Old Value,New Value,User,IP Address,Checksum\r\n\
             2049,2026-01-02T03:04:05Z,UPDATE,col_posts,\"r\"\"1\",title,,\"'=1+\"\"2\"\"\n\",a@example.com,192.0.2.1,ab\r\n"
        );
        let mut out = String::new();
        write_csv_header(&mut out, FULL, false);
        assert!(
            out.starts_with("id,account_id,") && out.ends_with(",record_version,hash_version,masked\r\n")
        );
    }

    #[test]
    fn formulas_are_made_harmless() {
        for (text, expected) in [
            ("=cmd()", "'=cmd()"),
            ("+1", "'+1"),
            ("-1", "'-1"),
            ("@x", "'@x"),
            ("＝1+1", "'＝1+1"),
            ("＠x", "'＠x"),
            ("\n=1", "\"'\n=1\""),
            ("'x", "''x"),
            ("\t=1", "\"'\t=1\""),
            ("", "\"\""),
            (" a", "\" a\""),
            ("a,b", "\"a,b\""),
            ("plain", "plain"),
        ] {
            assert_eq!(cell(text), expected, "{text:?}");
        }
    }

    /// The only cell of a line.
    fn read(cell: &str) -> String {
        match cell.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')) {
            Some(quoted) => quoted.replace("\"\"", "\""),
            None => cell.to_owned(),
        }
    }

    proptest! {
        #[test]
        fn every_text_comes_back(text in "[=+@'\"\\-, a\r\n\t＝＠]{0,6}|.*") {
            let written = read(&cell(&text));
            prop_assert_eq!(unneutralised(&written), text);
            prop_assert!(!written.starts_with(FORMULA));
        }
    }
}
