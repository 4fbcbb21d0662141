//! Names in SQL: quoting of identifiers and literals, and the physical names of a collection.

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
    if doubled.contains('\\') { format!("E'{}'", doubled.replace('\\', "\\\\")) } else { format!("'{doubled}'") }
}

/// The physical table of a collection, without schema and unquoted: `col_` + the name in lower case.
///
/// ```
/// assert_eq!(snackbase_core::names::table("User_Profiles"), "col_user_profiles");
/// ```
pub fn table(collection: &str) -> String {
    format!("col_{}", collection.to_ascii_lowercase())
}
