//! The audit ledger: canonical bytes and entry hashes. The specification with test vectors is `docs/ledger.md`.
//!
//! One change of one record has one entry per column. Entries of a record form a chain: each hashes the one before, the
//! first of a change the last of the record's previous change. Here are the bytes; where they are stored, and in which
//! order changes happen, is the database's business.

mod canonical;
mod entry;
pub mod v1;

pub use entry::{Column, HASH_VERSION, Header, entry_hashes, header_hash};

/// A SHA-256 digest.
pub type Hash = [u8; 32];

/// A digest as it is shown: 64 lower-case hex digits.
///
/// ```
/// assert_eq!(snackbase_core::ledger::to_hex(&[0xab; 32]), "ab".repeat(32));
/// ```
pub fn to_hex(hash: &Hash) -> String {
    const DIGITS: [u8; 16] = *b"0123456789abcdef";
    let digit = |nibble: u8| char::from(DIGITS[usize::from(nibble & 15)]);
    hash.iter()
        .flat_map(|byte| [digit(byte >> 4), digit(*byte)])
        .collect()
}
