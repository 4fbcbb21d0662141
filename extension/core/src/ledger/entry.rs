//! Hash version 2: one header per change, one entry per column.

use sha2::{Digest, Sha256};

use super::Hash;
use super::canonical::Object;

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
    let version = HASH_VERSION.to_string();
    let record_version = header.record_version.to_string();
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
        .member("operation", Some(header.operation))
        .member("record_id", Some(header.record_id))
        .member("record_version", Some(&record_version))
        .member("request_id", header.request_id)
        .member("table_name", Some(header.table_name))
        .member("user_agent", header.user_agent)
        .member("user_email", Some(header.user_email))
        .member("user_id", Some(header.user_id))
        .member("user_name", Some(header.user_name));
    Sha256::digest(object.finish()).into()
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
