//! Proofs for somebody who has one entry, or two checkpoints, and no ledger: `docs/ledger.md` §7.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};

use super::block::account_leaf;
use super::checkpoint::Checkpoint;
use super::entry::{Column, column_hash, entry_hash};
use super::finding::{Finding, Kind};
use super::lines::{EntryV1, HeadText, HeaderText, Hex, Path, hex_or_null};
use super::merkle::{leaf_hash, root_of_inclusion, verify_consistency};
use super::note::VerifierKey;
use super::{Hash, export};

/// What a proof of inclusion says it is.
pub const FORMAT: &str = "snackbase-ledger-proof/1";
/// What a proof of consistency says it is.
pub const CONSISTENCY_FORMAT: &str = "snackbase-ledger-consistency/1";

/// Proves that one entry is in the ledger: from its text to a signed checkpoint.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Proof<'a> {
    /// [`FORMAT`].
    #[serde(borrow)]
    pub format: Cow<'a, str>,
    /// The entry.
    #[serde(borrow)]
    pub subject: Subject<'a>,
    /// The place of its change among the changes of the account in the block.
    pub change: Place,
    /// The account's number of the block before; 0 for none.
    pub previous_block: u64,
    /// The place of the account among the accounts of the block.
    pub account: Place,
    /// The block.
    #[serde(borrow)]
    pub block: HeadText<'a>,
    /// The number of blocks in the tree of the checkpoint, and the path of this block in it, whose place is its
    /// number - 1.
    pub tree: Tree,
    /// The checkpoint of that tree. Null if there is none yet: then the proof counts for somebody who has one.
    #[serde(borrow)]
    pub note: Option<Cow<'a, str>>,
}

/// What is proved.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Subject<'a> {
    /// One column of a change.
    #[serde(borrow)]
    Entry(Box<Entry<'a>>),
    /// An imported entry of hash version 1.
    #[serde(borrow)]
    Imported(Box<Imported<'a>>),
}

/// One column of a change, without the other columns: of those it holds hashes.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Entry<'a> {
    /// The entry's number: not hashed, for people.
    pub id: i64,
    /// The column.
    #[serde(borrow)]
    pub column_name: Cow<'a, str>,
    /// The value before.
    #[serde(borrow)]
    pub old_value: Option<Cow<'a, str>>,
    /// The value after.
    #[serde(borrow)]
    pub new_value: Option<Cow<'a, str>>,
    /// What the entry shares with the other columns.
    #[serde(borrow)]
    pub header: HeaderText<'a>,
    /// The hash of the entry before: of the column before, or of the last column of the record's change before. Null for
    /// the first entry of a record.
    #[serde(deserialize_with = "hex_or_null")]
    pub previous: Option<Hex>,
    /// The hashes of the columns after this one in the change.
    pub following: Path,
}

/// An entry of an imported log.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Imported<'a> {
    /// Its number in the original log.
    pub id: i64,
    /// What is hashed.
    #[serde(borrow)]
    pub entry: EntryV1<'a>,
}

/// The place of a leaf in a tree.
#[derive(Debug, Clone, Serialize, Deserialize, PartialEq, Eq)]
#[serde(deny_unknown_fields)]
pub struct Place {
    /// From 0, among …
    pub index: u64,
    /// … so many leaves.
    pub count: u64,
    /// The hashes beside the way to the root.
    pub path: Path,
}

impl Place {
    fn root(&self, leaf: &Hash) -> Option<Hash> {
        root_of_inclusion(leaf, self.index, self.count, &self.path.0)
    }
}

/// A tree of blocks, and the path of one of them.
#[derive(Debug, Clone, Serialize, Deserialize, PartialEq, Eq)]
#[serde(deny_unknown_fields)]
pub struct Tree {
    /// How many blocks.
    pub size: u64,
    /// The hashes beside the way to the root.
    pub path: Path,
}

/// What a valid proof shows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Proved {
    /// The block that holds the entry.
    pub block: u64,
    /// When it was sealed.
    pub sealed_at: String,
    /// The checkpoint that was believed.
    pub checkpoint: Checkpoint,
    /// The key that signed it.
    pub key: String,
}

impl Subject<'_> {
    fn account_id(&self) -> &str {
        match self {
            Subject::Entry(entry) => &entry.header.account_id,
            Subject::Imported(imported) => &imported.entry.account_id,
        }
    }

    /// The checksum of the whole change.
    fn checksum(&self) -> Option<Hash> {
        match self {
            Subject::Entry(entry) => {
                let header = entry.header.hash()?;
                let column = Column {
                    name: &entry.column_name,
                    old: entry.old_value.as_deref(),
                    new: entry.new_value.as_deref(),
                };
                let previous = entry.previous.map(|hash| hash.0).unwrap_or_default();
                let first = entry_hash(&previous, &header, &column_hash(&column));
                let next = |previous: Hash, column: &Hash| entry_hash(&previous, &header, column);
                Some(entry.following.0.iter().fold(first, next))
            }
            Subject::Imported(imported) => Some(imported.entry.checksum()),
        }
    }

    fn finding(&self, kind: Kind, block: u64, what: impl Into<String>) -> Finding {
        let finding = Finding::new(kind, Some(block), what);
        match self {
            Subject::Entry(entry) => {
                let header = &entry.header;
                finding.of(
                    &header.table_name,
                    &header.record_id,
                    header.version().unwrap_or(i64::MAX),
                )
            }
            Subject::Imported(imported) => {
                finding.of(&imported.entry.table_name, &imported.entry.record_id, imported.id)
            }
        }
    }
}

impl Proof<'_> {
    /// Reads a proof.
    ///
    /// # Errors
    /// Says where the text is not that of a proof.
    pub fn parse(text: &str) -> Result<Proof<'_>, String> {
        let proof: Proof = serde_json::from_str(text).map_err(|error| error.to_string())?;
        match &*proof.format {
            FORMAT => Ok(proof),
            other => Err(format!("its format is {other:?}, not {FORMAT}")),
        }
    }

    /// Follows the entry up to the checkpoint: the one from outside if there is one for this size of the tree, else its
    /// own, in either case signed by one of the keys. The error is what does not fit.
    pub fn verify(&self, keys: &[VerifierKey], outside: Option<&str>) -> Result<Proved, Finding> {
        let block = self.block.number.0;
        let wrong = |kind, what: &str| self.subject.finding(kind, block, what);
        let Some(note) = outside.or(self.note.as_deref()) else {
            return Err(wrong(
                Kind::Checkpoint,
                "the proof holds no checkpoint, and none was given",
            ));
        };
        let (checkpoint, signers) =
            Checkpoint::open(note, keys).map_err(|error| wrong(Kind::Checkpoint, &error.to_string()))?;
        if checkpoint.number != self.tree.size {
            let what = format!(
                "the proof leads to the tree of {} blocks, the checkpoint is of block {}",
                self.tree.size, checkpoint.number
            );
            return Err(wrong(Kind::Checkpoint, &what));
        }
        let account = export::uuid(self.subject.account_id())
            .ok_or_else(|| wrong(Kind::Checksum, "its account is not a lower-case uuid"))?;
        let checksum = self.subject.checksum().ok_or_else(|| {
            wrong(
                Kind::Checksum,
                "another hash version, or an impossible record version",
            )
        })?;
        let root = self
            .change
            .root(&leaf_hash(&checksum))
            .ok_or_else(|| wrong(Kind::Block, "the path of the change does not fit its place"))?;
        let leaf = account_leaf(&account, self.change.count, self.previous_block, &root);
        if self.account.root(&leaf) != Some(self.block.tree_root.0) {
            let what = "the entry is not in this block: its text, or a path, is not what was sealed";
            return Err(wrong(Kind::Checksum, what));
        }
        let hash = self.block.hash();
        let root = block
            .checked_sub(1)
            .and_then(|index| root_of_inclusion(&leaf_hash(&hash), index, self.tree.size, &self.tree.path.0));
        if root != Some(checkpoint.root) {
            return Err(wrong(
                Kind::Block,
                "the block is not in the tree of the checkpoint",
            ));
        }
        if block == checkpoint.number && hash != checkpoint.block_hash {
            return Err(wrong(Kind::Checkpoint, "the checkpoint names another block hash"));
        }
        let key = signers
            .first()
            .and_then(|place| keys.get(*place))
            .map(VerifierKey::label);
        Ok(Proved {
            block,
            sealed_at: self.block.sealed_at.clone().into_owned(),
            checkpoint,
            key: key.unwrap_or_default(),
        })
    }
}

/// Proves that the blocks of one checkpoint are the beginning of those of another.
#[derive(Debug, Clone, Serialize, Deserialize, PartialEq, Eq)]
#[serde(deny_unknown_fields)]
pub struct Consistency<'a> {
    /// [`CONSISTENCY_FORMAT`].
    #[serde(borrow)]
    pub format: Cow<'a, str>,
    /// The block of the older checkpoint.
    pub from: u64,
    /// The block of the newer one.
    pub to: u64,
    /// The proof (RFC 9162 §2.1.4).
    pub path: Path,
}

impl Consistency<'_> {
    /// Reads a proof.
    ///
    /// # Errors
    /// Says where the text is not that of a proof.
    pub fn parse(text: &str) -> Result<Consistency<'_>, String> {
        let proof: Consistency = serde_json::from_str(text).map_err(|error| error.to_string())?;
        match &*proof.format {
            CONSISTENCY_FORMAT => Ok(proof),
            other => Err(format!("its format is {other:?}, not {CONSISTENCY_FORMAT}")),
        }
    }

    /// Checks both signatures and the proof between them. The error is what does not fit.
    pub fn verify(
        &self,
        keys: &[VerifierKey],
        old: &str,
        new: &str,
    ) -> Result<(Checkpoint, Checkpoint), Finding> {
        let open = |which: &str, note: &str, number: u64| {
            let wrong = |what: String| {
                Finding::new(
                    Kind::Checkpoint,
                    Some(number),
                    format!("the {which} checkpoint: {what}"),
                )
            };
            let (checkpoint, _) = Checkpoint::open(note, keys).map_err(|error| wrong(error.to_string()))?;
            if checkpoint.number != number {
                return Err(wrong(format!(
                    "it is of block {}, the proof is of {number}",
                    checkpoint.number
                )));
            }
            Ok(checkpoint)
        };
        let (old, new) = (open("older", old, self.from)?, open("newer", new, self.to)?);
        if !verify_consistency(self.from, &old.root, self.to, &new.root, &self.path.0) {
            let what = format!(
                "its blocks are not shown to be the beginning of the blocks of checkpoint {}",
                self.to
            );
            return Err(Finding::new(Kind::Checkpoint, Some(self.from), what));
        }
        Ok((old, new))
    }
}
