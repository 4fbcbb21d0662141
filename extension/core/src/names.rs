//! Names in SQL: quoting of identifiers and literals, and the physical names of a collection.

use sha2::{Digest, Sha256};

/// Quotes an identifier for SQL text: always in double quotes, inner quotes doubled.
///
/// ```
/// assert_eq!(snackbase_core::names::quote("title"), "\"title\"");
/// assert_eq!(snackbase_core::names::quote("a\"b"), "\"a\"\"b\"");
/// ```
pub fn quote(identifier: &str) -> String {
    format!("\"{}\"", identifier.replace('"', "\"\""))
}

/// Quotes a text literal for SQL text. A literal with a backslash takes the `E''` form, so that the result means the
/// same whatever `standard_conforming_strings` says.
///
/// ```
/// assert_eq!(snackbase_core::names::quote_literal("it's"), "'it''s'");
/// assert_eq!(snackbase_core::names::quote_literal(r"a\b"), r"E'a\\b'");
/// ```
pub fn quote_literal(text: &str) -> String {
    let doubled = text.replace('\'', "''");
    if doubled.contains('\\') {
        format!("E'{}'", doubled.replace('\\', "\\\\"))
    } else {
        format!("'{doubled}'")
    }
}

/// The physical table of a collection, without schema and unquoted: `col_` + the name in lower case.
///
/// ```
/// assert_eq!(snackbase_core::names::table("User_Profiles"), "col_user_profiles");
/// ```
pub fn table(collection: &str) -> String {
    format!("col_{}", collection.to_ascii_lowercase())
}

/// The longest name PostgreSQL keeps, in bytes (`NAMEDATALEN - 1`); longer ones it cuts without an error.
pub const MAX_BYTES: usize = 63;

/// Whether the whole text is one plain name: an ASCII letter, then ASCII letters, digits and underscores. Says nothing
/// about length. Source: contract of collections §1.
///
/// ```
/// use snackbase_core::names::is_plain;
/// assert!(is_plain("User_Profiles2"));
/// assert!(!is_plain("2fast") && !is_plain("_x") && !is_plain("title\n") && !is_plain("größe") && !is_plain(""));
/// ```
pub fn is_plain(name: &str) -> bool {
    let bytes = name.as_bytes();
    bytes.first().is_some_and(u8::is_ascii_alphabetic)
        && bytes.iter().all(|b| b.is_ascii_alphanumeric() || *b == b'_')
}

/// The name of an index or constraint on `field` of `table`, unquoted: `table$field$suffix`. Both arguments are plain
/// names, so `$` keeps (`col_a`, `b_c`) and (`col_a_b`, `c`) apart: indexes of one schema share one name space.
///
/// A name beyond [`MAX_BYTES`] is cut and gets ten hex digits of a hash of both parts, after `$$`, which no uncut name
/// holds. The result depends on the arguments only, so the object can be found again when the definition changes.
///
/// ```
/// use snackbase_core::names::constraint;
/// assert_eq!(constraint("col_posts", "title", "key"), "col_posts$title$key");
/// assert_eq!(constraint(&"t".repeat(63), "title", "key").len(), 63);
/// ```
pub fn constraint(table: &str, field: &str, suffix: &str) -> String {
    let stem = format!("{table}${field}");
    if stem.len() + 1 + suffix.len() <= MAX_BYTES {
        return format!("{stem}${suffix}");
    }
    let digest = Sha256::digest(stem.as_bytes());
    let tail = format!(
        "$${}${suffix}",
        digest[..5].iter().map(|b| format!("{b:02x}")).collect::<String>()
    );
    let kept = stem.floor_char_boundary(MAX_BYTES.saturating_sub(tail.len()));
    format!("{}{tail}", &stem[..kept])
}
