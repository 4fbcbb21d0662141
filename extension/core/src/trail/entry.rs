//! One entry, and which of its fields go where.

use std::fmt::Write;

use crate::json::{write_optional, write_text};

/// One column of one change, as it is shown. Instants are RFC 3339 in UTC; hashes are 64 lower-case hex digits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Entry<'a> {
    /// Number of the entry; of an imported one, its number in the log.
    pub id: i64,
    /// The import, for an imported one.
    pub import_id: Option<i64>,
    /// The account of the data.
    pub account_id: &'a str,
    /// `CREATE`, `UPDATE` or `DELETE`.
    pub operation: &'a str,
    /// The physical table.
    pub table_name: &'a str,
    /// The record.
    pub record_id: &'a str,
    /// The column.
    pub column_name: &'a str,
    /// The value before, or its mask.
    pub old_value: Option<&'a str>,
    /// The value after, or its mask.
    pub new_value: Option<&'a str>,
    /// The acting user.
    pub user_id: &'a str,
    /// The acting user's address.
    pub user_email: &'a str,
    /// The acting user's name.
    pub user_name: &'a str,
    /// Electronic signature: who.
    pub es_username: Option<&'a str>,
    /// Electronic signature: why.
    pub es_reason: Option<&'a str>,
    /// Electronic signature: when.
    pub es_timestamp: Option<&'a str>,
    /// The client's address.
    pub ip_address: Option<&'a str>,
    /// The client's `User-Agent`.
    pub user_agent: Option<&'a str>,
    /// The request.
    pub request_id: Option<&'a str>,
    /// When.
    pub occurred_at: &'a str,
    /// The entry's own hash. Of an imported one, what the log says.
    pub checksum: Option<&'a str>,
    /// The hash before it.
    pub previous_hash: Option<&'a str>,
    /// JSON text of an object, `auth_method` among its members.
    pub extra_metadata: &'a str,
    /// Version of the record; none in version 1.
    pub record_version: Option<i64>,
    /// How `checksum` is computed.
    pub hash_version: i64,
    /// Whether a value is shown as a mask, so that the hash cannot be computed again.
    pub masked: bool,
}

/// The value of a field.
pub(super) enum Value<'a> {
    Number(Option<i64>),
    Text(Option<&'a str>),
    Json(&'a str),
    Flag(bool),
}

/// Makes [`Field`] of one table: each field, the member of [`Entry`] that it is called after, and what that holds.
macro_rules! fields {
    ($($field:ident = $member:ident: $kind:ident,)*) => {
        /// A field of an entry.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        #[allow(missing_docs)] // they are the members of `Entry`
        pub enum Field {
            $($field,)*
        }

        impl Field {
            const ALL: &[Field] = &[$(Field::$field),*];

            /// Its name on the wire.
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$field => stringify!($member),)*
                }
            }

            pub(super) fn of<'a>(self, entry: &Entry<'a>) -> Value<'a> {
                match self {
                    $(Self::$field => Value::$kind(entry.$member.into()),)*
                }
            }
        }
    };
}

// In the order of the contract; around it, where an imported entry is, and what else a hash needs.
fields! {
    ImportId = import_id: Number,
    Id = id: Number,
    AccountId = account_id: Text,
    Operation = operation: Text,
    TableName = table_name: Text,
    RecordId = record_id: Text,
    ColumnName = column_name: Text,
    OldValue = old_value: Text,
    NewValue = new_value: Text,
    UserId = user_id: Text,
    UserEmail = user_email: Text,
    UserName = user_name: Text,
    EsUsername = es_username: Text,
    EsReason = es_reason: Text,
    EsTimestamp = es_timestamp: Text,
    IpAddress = ip_address: Text,
    UserAgent = user_agent: Text,
    RequestId = request_id: Text,
    OccurredAt = occurred_at: Text,
    Checksum = checksum: Text,
    PreviousHash = previous_hash: Text,
    ExtraMetadata = extra_metadata: Json,
    RecordVersion = record_version: Number,
    HashVersion = hash_version: Number,
    Masked = masked: Flag,
}

/// All fields but one, in their order.
const fn all_but(left_out: Field) -> [Field; Field::ALL.len() - 1] {
    let mut fields = [left_out; Field::ALL.len() - 1];
    let mut i = 0;
    while i < fields.len() {
        fields[i] = Field::ALL[if i < left_out as usize { i } else { i + 1 }];
        i += 1;
    }
    fields
}

/// What an entry of an import says: where it is in which log, and what an entry of ours says.
pub const IMPORTED: &[Field] = &all_but(Field::RecordVersion);

/// What an entry says, in the order of the contract, and what else its hash needs.
pub const FULL: &[Field] = &all_but(Field::ImportId);

/// The twenty-one fields of a list.
pub const LISTED: &[Field] = FULL.split_at(21).0;

/// The eleven fields of an export.
pub const BRIEF: &[Field] = &[
    Field::Id,
    Field::OccurredAt,
    Field::Operation,
    Field::TableName,
    Field::RecordId,
    Field::ColumnName,
    Field::OldValue,
    Field::NewValue,
    Field::UserEmail,
    Field::IpAddress,
    Field::Checksum,
];

impl Field {
    /// Its title in a table of the eleven fields.
    pub const fn title(self) -> &'static str {
        match self {
            Self::Id => "ID",
            Self::OccurredAt => "Timestamp",
            Self::Operation => "Operation",
            Self::TableName => "Table",
            Self::RecordId => "Record ID",
            Self::ColumnName => "Column",
            Self::OldValue => "Old Value",
            Self::NewValue => "New Value",
            Self::UserEmail => "User",
            Self::IpAddress => "IP Address",
            Self::Checksum => "Checksum",
            other => other.name(),
        }
    }
}

/// Appends the fields as a JSON object; `indented` as the second level of a document that is indented by two spaces.
pub fn write_json(out: &mut String, entry: &Entry<'_>, fields: &[Field], indented: bool) {
    out.push('{');
    for (index, field) in fields.iter().enumerate() {
        if index > 0 {
            out.push(',');
        }
        out.push_str(if indented { "\n    " } else { "" });
        write_text(out, field.name());
        out.push_str(if indented { ": " } else { ":" });
        match field.of(entry) {
            Value::Number(None) => out.push_str("null"),
            // Writing into a String cannot fail.
            Value::Number(Some(number)) => drop(write!(out, "{number}")),
            Value::Text(text) => write_optional(out, text),
            Value::Json(json) => out.push_str(json),
            Value::Flag(flag) => out.push_str(if flag { "true" } else { "false" }),
        }
    }
    out.push_str(if indented { "\n  }" } else { "}" });
}

/// What stands above the last column of [`write_row`].
const SIGNATURE: &str = "Signature";

/// Appends the titles of what [`write_row`] appends, as a JSON array.
pub fn write_row_titles(out: &mut String) {
    for (index, title) in BRIEF
        .iter()
        .map(|field| field.title())
        .chain([SIGNATURE])
        .enumerate()
    {
        out.push(if index == 0 { '[' } else { ',' });
        write_text(out, title);
    }
    out.push(']');
}

/// Appends the eleven fields, and who signed it when and why, as a JSON array of texts, null where there is no value: one row of a table
/// that is laid out elsewhere, for people. Source of the last: 21 CFR 11.50(b).
pub fn write_row(out: &mut String, entry: &Entry<'_>) {
    for (index, field) in BRIEF.iter().enumerate() {
        out.push(if index == 0 { '[' } else { ',' });
        match field.of(entry) {
            Value::Number(number) => write_optional(out, number.map(|n| n.to_string()).as_deref()),
            Value::Text(text) => write_optional(out, text),
            Value::Json(json) => write_text(out, json),
            Value::Flag(flag) => write_text(out, if flag { "true" } else { "false" }),
        }
    }
    out.push(',');
    write_optional(out, signature(entry).as_deref());
    out.push(']');
}

/// Who signed, when, and what it means; or a reason for change alone.
fn signature(entry: &Entry<'_>) -> Option<String> {
    let parts = [entry.es_username, entry.es_timestamp, entry.es_reason];
    let parts: Vec<&str> = parts.into_iter().flatten().collect();
    (!parts.is_empty()).then(|| parts.join(" | "))
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    pub(in crate::trail) const ENTRY: Entry<'static> = Entry {
        id: 2049,
        import_id: None,
        account_id: "550e8400-e29b-41d4-a716-446655440000",
        operation: "UPDATE",
        table_name: "col_posts",
        record_id: "r\"1",
        column_name: "title",
        old_value: None,
        new_value: Some("=1+\"2\"\n"),
        user_id: "u1",
        user_email: "a@example.com",
        user_name: "a@example.com",
        es_username: None,
        es_reason: None,
        es_timestamp: None,
        ip_address: Some("192.0.2.1"),
        user_agent: None,
        request_id: None,
        occurred_at: "2026-01-02T03:04:05Z",
        checksum: Some("ab"),
        previous_hash: None,
        extra_metadata: r#"{"auth_method": "jwt"}"#,
        record_version: Some(2),
        hash_version: 2,
        masked: false,
    };

    #[test]
    fn an_exported_entry_has_eleven_members_on_lines_of_their_own() {
        let mut out = String::new();
        write_json(&mut out, &ENTRY, BRIEF, true);
        let expected = r#"{
    "id": 2049,
    "occurred_at": "2026-01-02T03:04:05Z",
    "operation": "UPDATE",
    "table_name": "col_posts",
    "record_id": "r\"1",
    "column_name": "title",
    "old_value": null,
    "new_value": "=1+\"2\"\n",
    "user_email": "a@example.com",
    "ip_address": "192.0.2.1",
    "checksum": "ab"
  }"#;
        assert_eq!(out, expected);
    }

    #[test]
    fn a_full_entry_nests_its_metadata() {
        let mut out = String::new();
        write_json(&mut out, &ENTRY, FULL, false);
        let json: serde_json::Value = serde_json::from_str(&out).expect("valid JSON");
        assert_eq!(json.as_object().map(|members| members.len()), Some(24));
        assert_eq!(json["extra_metadata"]["auth_method"], "jwt");
        assert_eq!(
            (&json["record_version"], &json["masked"]),
            (&2.into(), &false.into())
        );
        assert_eq!(LISTED.len(), 21);
        assert!(LISTED.contains(&Field::ExtraMetadata) && !LISTED.contains(&Field::RecordVersion));
    }

    #[test]
    fn a_row_of_texts_is_json() {
        let mut out = String::new();
        write_row(&mut out, &ENTRY);
        let row: Vec<Option<String>> = serde_json::from_str(&out).expect("valid JSON");
        assert_eq!(row.len(), 12);
        assert_eq!((row[0].as_deref(), row[6].as_deref()), (Some("2049"), None));
        assert_eq!(row[11], None);
        let mut titles = String::new();
        write_row_titles(&mut titles);
        let titles: Vec<String> = serde_json::from_str(&titles).expect("valid JSON");
        assert_eq!(
            (titles.len(), titles[0].as_str(), titles[11].as_str()),
            (12, "ID", "Signature")
        );
    }

    #[test]
    fn a_row_shows_who_signed_when_and_why() {
        let last = |entry: &Entry<'_>| {
            let mut out = String::new();
            write_row(&mut out, entry);
            let mut row: Vec<Option<String>> = serde_json::from_str(&out).expect("valid JSON");
            row.pop().flatten()
        };
        let signed = Entry {
            es_username: Some("b@example.com"),
            es_timestamp: Some("2026-01-02T03:04:04Z"),
            es_reason: Some("approval: \"typo\""),
            ..ENTRY
        };
        assert_eq!(
            last(&signed).as_deref(),
            Some("b@example.com | 2026-01-02T03:04:04Z | approval: \"typo\"")
        );
        let reason = Entry {
            es_reason: Some("typo"),
            ..ENTRY
        };
        assert_eq!(last(&reason).as_deref(), Some("typo"));
    }
}
