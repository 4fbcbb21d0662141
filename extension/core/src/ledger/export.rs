//! The export of one account's trail: lines of JSON, and their verification without a database.
//!
//! A [`Verifier`] takes one line after the other and reports what is wrong; it keeps the way to the root of one block, not
//! the changes. Each block carries its own path into the tree of the checkpoint, so the block that was forged is named even
//! when everything inside it was recomputed. The format is described in `docs/ledger.md` §8.

mod verifier;

use std::borrow::Cow;

use serde::{Deserialize, Serialize};

use super::lines::{ColumnText, EntryV1, HeadText, HeaderText, Hex, Path, hex_or_null};
pub use verifier::{Summary, Unusable, Verifier};

/// What the first line says the file is.
pub const FORMAT: &str = "snackbase-ledger-export/1";

/// One line: an object with one member, which says what it is.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Line<'a> {
    /// The first line.
    #[serde(borrow)]
    Manifest(Manifest<'a>),
    /// A public key that signed checkpoints. For information: who verifies must know the key from elsewhere.
    #[serde(borrow)]
    Key(Key<'a>),
    /// A checkpoint; the first is of block `size`.
    #[serde(borrow)]
    Checkpoint(CheckpointLine<'a>),
    /// A block with changes of the account. They follow.
    #[serde(borrow)]
    Block(BlockLine<'a>),
    /// A change of the block before.
    #[serde(borrow)]
    Change(ChangeLine<'a>),
    /// An imported entry of the block before, which notarises an import.
    #[serde(borrow)]
    Imported(ImportedLine<'a>),
    /// The last line.
    End(End),
}

/// What the export is about.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest<'a> {
    /// [`FORMAT`].
    #[serde(borrow)]
    pub format: Cow<'a, str>,
    /// The account, a lower-case uuid.
    #[serde(borrow)]
    pub account_id: Cow<'a, str>,
    /// 1, or the block from which changes are exported.
    pub from_block: u64,
    /// The newest block, and so the size of the tree over blocks; 0 if there is none.
    pub size: u64,
    /// When; for people.
    #[serde(borrow)]
    pub exported_at: Cow<'a, str>,
}

/// A key that the database knows.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Key<'a> {
    /// `<name>+<hash>+<key>`.
    #[serde(borrow)]
    pub key: Cow<'a, str>,
    /// Since when it signs; for people.
    #[serde(borrow)]
    pub activated_at: Cow<'a, str>,
    /// Until when it signed; for people.
    #[serde(borrow)]
    pub retired_at: Option<Cow<'a, str>>,
}

/// A checkpoint and how it relates to the tree of the export.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CheckpointLine<'a> {
    /// The signed note.
    #[serde(borrow)]
    pub note: Cow<'a, str>,
    /// Proves that its tree is the beginning of the tree of size `size`; empty when it is that tree.
    pub consistency: Path,
}

/// A block, and the account in it.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BlockLine<'a> {
    /// What is hashed.
    #[serde(borrow)]
    pub head: HeadText<'a>,
    /// Its hash.
    pub hash: Hex,
    /// From its leaf, number `number` - 1, to the root of the tree of size `size`.
    pub path: Path,
    /// The account's leaf in the tree of the block.
    pub account: AccountPart,
}

/// The leaf of an account in the tree of a block.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AccountPart {
    /// How many changes of the account are in the block.
    pub change_count: u64,
    /// The block before that has changes of the account; 0 for none.
    pub previous_block: u64,
    /// The root of the tree over these changes.
    pub root: Hex,
    /// The account's place in the block, from 0, among …
    pub index: u64,
    /// … so many accounts.
    pub accounts: u64,
    /// From the leaf to the root of the block's tree.
    pub path: Path,
}

/// A change of hash version 2.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ChangeLine<'a> {
    /// Its number in the database: not hashed, for people.
    pub id: i64,
    /// What is hashed of all columns.
    #[serde(borrow)]
    pub header: HeaderText<'a>,
    /// `[name, old, new]` of each column, in order.
    #[serde(borrow)]
    pub columns: Vec<ColumnText<'a>>,
    /// The checksum of the record's change before; null at the first.
    #[serde(deserialize_with = "hex_or_null")]
    pub previous: Option<Hex>,
    /// Its own.
    pub checksum: Hex,
}

/// An entry of hash version 1.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ImportedLine<'a> {
    /// Its number in the original log: not hashed, but it decides the order.
    pub id: i64,
    /// What is hashed.
    #[serde(borrow)]
    pub entry: EntryV1<'a>,
    /// The checksum it had there.
    pub checksum: Hex,
}

/// Says that nothing is missing at the end of the file.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct End {
    /// How many lines are blocks.
    pub blocks: u64,
    /// How many lines are changes or imported entries.
    pub changes: u64,
}

impl Line<'_> {
    /// The line, with its line feed.
    pub fn text(&self) -> String {
        // Texts and numbers under text keys: serialising them into memory has no way to fail.
        let mut line = serde_json::to_string(self).unwrap_or_default();
        line.push('\n');
        line
    }
}

/// The sixteen bytes of a uuid in its one lower-case spelling.
pub(super) fn uuid(text: &str) -> Option<[u8; 16]> {
    let mut digits = [b'0'; 64];
    let mut place = 0;
    for (i, byte) in text.bytes().enumerate() {
        match (i, byte) {
            (8 | 13 | 18 | 23, b'-') => {}
            (8 | 13 | 18 | 23, _) => return None,
            (0..36, digit) => {
                *digits.get_mut(place)? = digit;
                place += 1;
            }
            _ => return None,
        }
    }
    let hash = super::from_hex(std::str::from_utf8(&digits).ok()?)?;
    (text.len() == 36).then(|| std::array::from_fn(|i| hash[i]))
}
