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
    pub hash_version: i16,
    /// Whether a value is shown as a mask, so that the hash cannot be computed again.
    pub masked: bool,
}

/// A field of an entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Field {
    ImportId,
    Id,
    AccountId,
    Operation,
    TableName,
    RecordId,
    ColumnName,
    OldValue,
    NewValue,
    UserId,
    UserEmail,
    UserName,
    EsUsername,
    EsReason,
    EsTimestamp,
    IpAddress,
    UserAgent,
    RequestId,
    OccurredAt,
    Checksum,
    PreviousHash,
    ExtraMetadata,
    RecordVersion,
    HashVersion,
    Masked,
}

/// What an entry of an import says: where it is in which log, and what an entry of ours says.
pub const IMPORTED: &[Field] = &[
    Field::ImportId,
    Field::Id,
    Field::AccountId,
    Field::Operation,
    Field::TableName,
    Field::RecordId,
    Field::ColumnName,
    Field::OldValue,
    Field::NewValue,
    Field::UserId,
    Field::UserEmail,
    Field::UserName,
    Field::EsUsername,
    Field::EsReason,
    Field::EsTimestamp,
    Field::IpAddress,
    Field::UserAgent,
    Field::RequestId,
    Field::OccurredAt,
    Field::Checksum,
    Field::PreviousHash,
    Field::ExtraMetadata,
    Field::HashVersion,
    Field::Masked,
];

/// What an entry says, in the order of the contract, and what else its hash needs.
pub const FULL: &[Field] = &[
    Field::Id,
    Field::AccountId,
    Field::Operation,
    Field::TableName,
    Field::RecordId,
    Field::ColumnName,
    Field::OldValue,
    Field::NewValue,
    Field::UserId,
    Field::UserEmail,
    Field::UserName,
    Field::EsUsername,
    Field::EsReason,
    Field::EsTimestamp,
    Field::IpAddress,
    Field::UserAgent,
    Field::RequestId,
    Field::OccurredAt,
    Field::Checksum,
    Field::PreviousHash,
    Field::ExtraMetadata,
    Field::RecordVersion,
    Field::HashVersion,
    Field::Masked,
];

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

/// The value of a field.
pub(super) enum Value<'a> {
    Number(Option<i64>),
    Text(Option<&'a str>),
    Json(&'a str),
    Flag(bool),
}

impl Field {
    /// Its name on the wire.
    pub const fn name(self) -> &'static str {
        match self {
            Self::ImportId => "import_id",
            Self::Id => "id",
            Self::AccountId => "account_id",
            Self::Operation => "operation",
            Self::TableName => "table_name",
            Self::RecordId => "record_id",
            Self::ColumnName => "column_name",
            Self::OldValue => "old_value",
            Self::NewValue => "new_value",
            Self::UserId => "user_id",
            Self::UserEmail => "user_email",
            Self::UserName => "user_name",
            Self::EsUsername => "es_username",
            Self::EsReason => "es_reason",
            Self::EsTimestamp => "es_timestamp",
            Self::IpAddress => "ip_address",
            Self::UserAgent => "user_agent",
            Self::RequestId => "request_id",
            Self::OccurredAt => "occurred_at",
            Self::Checksum => "checksum",
            Self::PreviousHash => "previous_hash",
            Self::ExtraMetadata => "extra_metadata",
            Self::RecordVersion => "record_version",
            Self::HashVersion => "hash_version",
            Self::Masked => "masked",
        }
    }

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

    pub(super) fn of<'a>(self, entry: &Entry<'a>) -> Value<'a> {
        match self {
            Self::ImportId => Value::Number(entry.import_id),
            Self::Id => Value::Number(Some(entry.id)),
            Self::AccountId => Value::Text(Some(entry.account_id)),
            Self::Operation => Value::Text(Some(entry.operation)),
            Self::TableName => Value::Text(Some(entry.table_name)),
            Self::RecordId => Value::Text(Some(entry.record_id)),
            Self::ColumnName => Value::Text(Some(entry.column_name)),
            Self::OldValue => Value::Text(entry.old_value),
            Self::NewValue => Value::Text(entry.new_value),
            Self::UserId => Value::Text(Some(entry.user_id)),
            Self::UserEmail => Value::Text(Some(entry.user_email)),
            Self::UserName => Value::Text(Some(entry.user_name)),
            Self::EsUsername => Value::Text(entry.es_username),
            Self::EsReason => Value::Text(entry.es_reason),
            Self::EsTimestamp => Value::Text(entry.es_timestamp),
            Self::IpAddress => Value::Text(entry.ip_address),
            Self::UserAgent => Value::Text(entry.user_agent),
            Self::RequestId => Value::Text(entry.request_id),
            Self::OccurredAt => Value::Text(Some(entry.occurred_at)),
            Self::Checksum => Value::Text(entry.checksum),
            Self::PreviousHash => Value::Text(entry.previous_hash),
            Self::ExtraMetadata => Value::Json(entry.extra_metadata),
            Self::RecordVersion => Value::Number(entry.record_version),
            Self::HashVersion => Value::Number(Some(entry.hash_version.into())),
            Self::Masked => Value::Flag(entry.masked),
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

/// Appends the fields as a JSON array of texts, null where there is no value: one row of a table that is laid out elsewhere.
pub fn write_texts(out: &mut String, entry: &Entry<'_>, fields: &[Field]) {
    for (index, field) in fields.iter().enumerate() {
        out.push(if index == 0 { '[' } else { ',' });
        match field.of(entry) {
            Value::Number(number) => write_optional(out, number.map(|n| n.to_string()).as_deref()),
            Value::Text(text) => write_optional(out, text),
            Value::Json(json) => write_text(out, json),
            Value::Flag(flag) => write_text(out, if flag { "true" } else { "false" }),
        }
    }
    out.push(']');
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
        write_texts(&mut out, &ENTRY, BRIEF);
        let row: Vec<Option<String>> = serde_json::from_str(&out).expect("valid JSON");
        assert_eq!(row.len(), 11);
        assert_eq!((row[0].as_deref(), row[6].as_deref()), (Some("2049"), None));
    }
}
