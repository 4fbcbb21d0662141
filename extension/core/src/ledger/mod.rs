//! The audit ledger: canonical bytes and entry hashes. The specification with test vectors is `docs/ledger.md`.
//!
//! One change of one record has one entry per column. Entries of a record form a chain: each hashes the one before, the
//! first of a change the last of the record's previous change. Blocks hold Merkle trees over the checksums of changes
//! ([`merkle`], [`block`]); checkpoints are signed roots of the tree over all blocks ([`checkpoint`]). Here are the bytes;
//! where they are stored, and in which order changes happen, is the database's business.

pub mod block;
mod canonical;
mod chains;
pub mod checkpoint;
mod entry;
pub mod export;
pub mod finding;
pub mod lines;
pub mod merkle;
pub mod note;
pub mod proof;
pub mod sealed;
mod unique;
pub mod v1;

pub use canonical::write_string;
pub use entry::{
    Column, ColumnHasher, HASH_VERSION, Header, SharedHeader, column_hash, entry_hash, entry_hashes,
    header_hash,
};

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

/// Reads what [`to_hex`] writes: exactly 64 lower-case hex digits. `None` for anything else: a hash has one spelling.
pub fn from_hex(text: &str) -> Option<Hash> {
    let digits: &[u8; 64] = text.as_bytes().try_into().ok()?;
    let digit = |byte: u8| match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'a'..=b'f' => Some(byte - b'a' + 10),
        _ => None,
    };
    let mut hash = [0; 32];
    for (byte, pair) in hash.iter_mut().zip(digits.chunks_exact(2)) {
        *byte = digit(pair[0])? << 4 | digit(pair[1])?;
    }
    Some(hash)
}
