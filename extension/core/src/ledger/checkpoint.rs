//! Checkpoints (C2SP `tlog-checkpoint`): the root of the tree over all blocks, signed, to be kept outside the database.
//!
//! ```text
//! snackbase/7423987120934/16384
//! 42
//! CsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=
//! block 8463f5bcb221850adbf89b0380d7768cc2640c7dba25d595ff7bdaf3953a0d63
//!
//! — snackbase/7423987120934/16384 Az3grlgtzPICa5OS8npVmf1Myq/5IZniMp+ZJurm…
//! ```

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::note::{self, SigningKey, VerifierKey};
use super::{Hash, from_hex, to_hex};

/// What a checkpoint says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Checkpoint {
    /// Which ledger: `snackbase/<system identifier>/<database oid>`, also the name of the keys that sign.
    pub origin: String,
    /// The newest block, and so the size of the tree over blocks: from 1.
    pub number: u64,
    /// The root of the tree over the leaves SHA-256(0x00 ‖ block hash) of the blocks 1 to `number`.
    pub root: Hash,
    /// The hash of block `number`.
    pub block_hash: Hash,
}

/// Why a checkpoint is not accepted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The note around it.
    #[error(transparent)]
    Note(#[from] note::Error),
    /// A note, but not with the text of a checkpoint.
    #[error("not a checkpoint of a ledger: {0}")]
    Malformed(&'static str),
}

/// The origin of the ledger in a database.
pub fn origin(system_identifier: u64, database: u32) -> String {
    format!("snackbase/{system_identifier}/{database}")
}

impl Checkpoint {
    /// The text that is signed: four lines.
    pub fn text(&self) -> String {
        format!(
            "{}\n{}\n{}\nblock {}\n",
            self.origin,
            self.number,
            STANDARD.encode(self.root),
            to_hex(&self.block_hash)
        )
    }

    /// The signed note. Fails only for an origin that is no line of text.
    pub fn sign(&self, keys: &[&SigningKey]) -> Result<String, Error> {
        let text = self.text();
        Self::parse_text(&text)?;
        Ok(note::sign(&text, keys)?)
    }

    /// Reads a note that at least one of the keys signed, and says which did: their places in the list.
    pub fn open(note: &str, keys: &[VerifierKey]) -> Result<(Self, Vec<usize>), Error> {
        let opened = note::open(note, keys)?;
        Ok((Self::parse_text(opened.text)?, opened.signers))
    }

    /// Reads a note without looking at its signatures: to find the block it is about, never to rely on.
    pub fn parse_unverified(note: &str) -> Result<Self, Error> {
        Self::parse_text(note::unverified_text(note)?)
    }

    /// Reads the text of a checkpoint, which has one spelling.
    fn parse_text(text: &str) -> Result<Self, Error> {
        let mut lines = text.split('\n');
        let mut line = || lines.next().unwrap_or_default();
        let (origin, number, root, block) = (line(), line(), line(), line());
        let read = || {
            let origin = Some(origin)
                .filter(|origin| !origin.is_empty())
                .ok_or("no origin")?;
            let number = number.parse().ok().filter(|n| (1..=i64::MAX as u64).contains(n));
            let root = STANDARD.decode(root).ok().and_then(|bytes| bytes.try_into().ok());
            let block_hash = block.strip_prefix("block ").and_then(from_hex);
            Ok(Self {
                origin: origin.to_owned(),
                number: number.ok_or("the second line is not the number of a block")?,
                root: root.ok_or("the third line is not a hash in base64")?,
                block_hash: block_hash.ok_or("the fourth line is not the hash of a block")?,
            })
        };
        let checkpoint = read().map_err(Error::Malformed)?;
        // Leading zeros, a plus sign, more lines: all that reads alike but is not what we write.
        if checkpoint.text() != text {
            return Err(Error::Malformed("it is not written as a checkpoint is"));
        }
        Ok(checkpoint)
    }
}
