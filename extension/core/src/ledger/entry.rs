//! Hash version 2: one header per change, one entry per column.

use sha2::{Digest, Sha256};

use super::Hash;
use super::canonical::{Object, write_string};

/// The version that [`header_hash`] writes into the header.
pub const HASH_VERSION: u16 = 2;

/// What all entries of one change share. Every member is hashed as text, whatever its column type.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Header<'a> {
    /// The account of the data, a lower-case uuid.
    pub account_id: &'a str,
    /// How the caller proved who they are: `jwt`, `direct_sql`, …
    pub auth_method: Option<&'a str>,
    /// Electronic signature: why.
    pub es_reason: Option<&'a str>,
    /// Electronic signature: when; the form of `occurred_at`.
    pub es_timestamp: Option<&'a str>,
    /// Electronic signature: who.
    pub es_username: Option<&'a str>,
    /// The canonical JSON text (RFC 8785) of an object, as one string.
    pub extra_metadata: Option<&'a str>,
    /// The client's address.
    pub ip_address: Option<&'a str>,
    /// `YYYY-MM-DDTHH:MM:SS.ffffffZ`, always with six digits of fraction.
    pub occurred_at: &'a str,
    /// `CREATE`, `UPDATE` or `DELETE`.
    pub operation: &'a str,
    /// The primary key of the record, without the account.
    pub record_id: &'a str,
    /// 1 for the first change of the record, then 2, 3, … without gaps.
    pub record_version: i64,
    /// The request that made the change.
    pub request_id: Option<&'a str>,
    /// The physical table, such as `col_posts`.
    pub table_name: &'a str,
    /// The client's `User-Agent`.
    pub user_agent: Option<&'a str>,
    /// The acting user's address at that time.
    pub user_email: &'a str,
    /// The acting user.
    pub user_id: &'a str,
    /// The acting user's name at that time.
    pub user_name: &'a str,
}

/// One column of a change. Values are canonical text, independent of session settings; NULL is `None`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Column<'a> {
    /// The column.
    pub name: &'a str,
    /// The value before; `None` on CREATE.
    pub old: Option<&'a str>,
    /// The value after; `None` on DELETE.
    pub new: Option<&'a str>,
}

/// SHA-256 of the canonical JSON of the header.
pub fn header_hash(header: &Header) -> Hash {
    SharedHeader::new(header).hash(header.record_id, header.record_version)
}

/// Headers that differ in the record only, as those of one statement do: what comes before the record in the canonical JSON is
/// hashed once.
#[derive(Clone)]
pub struct SharedHeader {
    before: Sha256,
    after: Vec<u8>,
}

impl SharedHeader {
    /// `record_id` and `record_version` of the header do not matter.
    pub fn new(header: &Header) -> SharedHeader {
        let version = HASH_VERSION.to_string();
        // A usual header has some 600 bytes: one allocation.
        let mut buffer = Vec::with_capacity(1024);
        let mut object = Object::new(&mut buffer);
        object
            .member("account_id", Some(header.account_id))
            .member("auth_method", header.auth_method)
            .member("es_reason", header.es_reason)
            .member("es_timestamp", header.es_timestamp)
            .member("es_username", header.es_username)
            .member("extra_metadata", header.extra_metadata)
            .member("hash_version", Some(&version))
            .member("ip_address", header.ip_address)
            .member("occurred_at", Some(header.occurred_at))
            .member("operation", Some(header.operation));
        let length = object.length();
        object
            .member("request_id", header.request_id)
            .member("table_name", Some(header.table_name))
            .member("user_agent", header.user_agent)
            .member("user_email", Some(header.user_email))
            .member("user_id", Some(header.user_id))
            .member("user_name", Some(header.user_name));
        object.finish();
        SharedHeader {
            before: Sha256::new_with_prefix(&buffer[..length]),
            after: buffer.split_off(length),
        }
    }

    /// The hash of the header of one change.
    pub fn hash(&self, record_id: &str, record_version: i64) -> Hash {
        let mut record = Vec::with_capacity(128);
        record.extend_from_slice(b",\"record_id\":");
        write_string(&mut record, record_id);
        record.extend_from_slice(b",\"record_version\":\"");
        record.extend_from_slice(record_version.to_string().as_bytes());
        record.push(b'"');
        let mut hash = self.before.clone();
        hash.update(&record);
        hash.update(&self.after);
        hash.finalize().into()
    }
}

/// Hashes the entries of one column, change after change.
#[derive(Clone)]
pub struct ColumnHasher {
    /// The object up to the new value.
    before: Vec<u8>,
}

impl ColumnHasher {
    /// For the column of this name.
    pub fn new(name: &str) -> ColumnHasher {
        let mut before = b"{\"column_name\":".to_vec();
        write_string(&mut before, name);
        before.extend_from_slice(b",\"new_value\":");
        ColumnHasher { before }
    }

    /// SHA-256 of the canonical JSON of name and values; the values are canonical JSON already: `null`, or what
    /// [`write_string`] wrote.
    pub fn hash(&self, old: &[u8], new: &[u8]) -> Hash {
        let mut hash = Sha256::new();
        hash.update(&self.before);
        hash.update(new);
        hash.update(b",\"old_value\":");
        hash.update(old);
        hash.update(b"}");
        hash.finalize().into()
    }
}

/// The hash of each entry of a change, in the order of the columns. The last is the checksum of the change; without
/// columns there is none.
///
/// `previous` is the checksum of the record's previous change, `None` at its first, which counts as 32 zero bytes.
pub fn entry_hashes(previous: Option<Hash>, header: &Hash, columns: &[Column]) -> Vec<Hash> {
    let mut buffer = Vec::with_capacity(256);
    let mut previous = previous.unwrap_or_default();
    let entry = |column: &Column| {
        previous = entry_hash(&previous, header, &column_hash_in(&mut buffer, column));
        previous
    };
    columns.iter().map(entry).collect()
}

/// SHA-256 of the canonical JSON of a column.
pub fn column_hash(column: &Column) -> Hash {
    column_hash_in(&mut Vec::with_capacity(256), column)
}

fn column_hash_in(buffer: &mut Vec<u8>, column: &Column) -> Hash {
    let mut object = Object::new(buffer);
    object
        .member("column_name", Some(column.name))
        .member("new_value", column.new)
        .member("old_value", column.old);
    Sha256::digest(object.finish()).into()
}

/// The hash of one entry: of the entry before (32 zero bytes if there is none), the header and the column.
pub fn entry_hash(previous: &Hash, header: &Hash, column: &Hash) -> Hash {
    let mut bytes = [0; 96];
    bytes[..32].copy_from_slice(previous);
    bytes[32..64].copy_from_slice(header);
    bytes[64..].copy_from_slice(column);
    Sha256::digest(bytes).into()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn canonical(value: Option<&str>) -> Vec<u8> {
        let mut bytes = Vec::new();
        match value {
            Some(text) => write_string(&mut bytes, text),
            None => bytes.extend_from_slice(b"null"),
        }
        bytes
    }

    proptest! {
        #[test]
        fn a_column_is_hashed_alike_in_both_ways(name: String, old: Option<String>, new: Option<String>) {
            let (old, new) = (old.as_deref(), new.as_deref());
            let hash = ColumnHasher::new(&name).hash(&canonical(old), &canonical(new));
            prop_assert_eq!(hash, column_hash(&Column { name: &name, old, new }));
        }
    }
}
