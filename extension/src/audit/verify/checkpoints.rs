//! Checkpoints: what was signed must be what the blocks say.

use pgrx::datum::DatumWithOid;
use snackbase_core::ledger::checkpoint::{Checkpoint, Error as Refusal};
use snackbase_core::ledger::note::VerifierKey;
use snackbase_core::ledger::{Hash, to_hex};

use super::finding::{Finding, Report};
use crate::error::Error;
use crate::spi::scan::{Reader, Scan};

/// The checkpoints that are stored or given, in the order of their blocks.
pub struct Checkpoints<'r> {
    keys: Vec<VerifierKey>,
    stored: Scan<'r>,
    on_row: bool,
    /// Notes from outside, sorted by block.
    given: Vec<(i64, String)>,
    /// A checkpoint differs already; every later one does so too, and is not reported again.
    diverged: bool,
}

/// The block that a note from outside is about.
///
/// # Errors
/// 22023: it is not the text of a checkpoint.
pub fn number(note: &str) -> Result<i64, Error> {
    let parsed = Checkpoint::parse_unverified(note).map_err(|why| Error::Malformed(why.to_string()))?;
    // A checkpoint's number fits, says its reader.
    Ok(i64::try_from(parsed.number).unwrap_or(i64::MAX))
}

impl<'r> Checkpoints<'r> {
    /// Checkpoints of the block `from` and later, and all that are given.
    ///
    /// # Errors
    /// [`Error::Malformed`] for a note that is no checkpoint.
    pub fn open(
        reader: &'r Reader,
        from: i64,
        given: &[String],
        report: &mut Report<'_>,
    ) -> Result<Self, Error> {
        let mut keys = Vec::new();
        let mut scan = reader.scan("select k.name, k.public_key from snackbase.audit_key k", &[])?;
        while scan.advance() {
            let name = scan.text(0).unwrap_or_default();
            let public = scan.bytes(1).and_then(|bytes| <&[u8; 32]>::try_from(bytes).ok());
            match public.map(|public| VerifierKey::new(name, public)) {
                Some(Ok(key)) => keys.push(key),
                _ => report.push(Finding {
                    kind: "checkpoint",
                    table: Some("audit_key".to_owned()),
                    expected: Some("an Ed25519 key".to_owned()),
                    actual: Some(name.to_owned()),
                    ..Finding::default()
                }),
            }
        }
        let mut stored = reader.scan(
            "select p.block_number, p.note from snackbase.audit_checkpoint p where p.block_number >= $1 order by 1",
            &[DatumWithOid::from(from)],
        )?;
        let mut given = given
            .iter()
            .map(|note| Ok((number(note)?, note.clone())))
            .collect::<Result<Vec<_>, Error>>()?;
        given.sort();
        given.reverse();
        Ok(Checkpoints {
            keys,
            on_row: stored.advance(),
            stored,
            given,
            diverged: false,
        })
    }

    /// The smallest block of a note from outside.
    pub fn first_given(&self) -> Option<i64> {
        self.given.last().map(|(number, _)| *number)
    }

    /// Compares the checkpoints of a block, and of blocks before it that are not there, with what the ledger says.
    pub fn at(&mut self, number: i64, root: impl Fn() -> Hash, block_hash: &[u8], report: &mut Report<'_>) {
        while self.on_row && self.stored.int(0).is_some_and(|block| block <= number) && !report.is_full() {
            let block = self.stored.int(0).unwrap_or_default();
            let found = (block == number).then(|| (root(), block_hash));
            let note = self.stored.text(1).unwrap_or_default();
            let finding = judge(&self.keys, block, note, found, &mut self.diverged);
            finding.into_iter().for_each(|finding| report.push(finding));
            self.on_row = self.stored.advance();
        }
        while let Some((block, note)) = self.given.pop_if(|(block, _)| *block <= number) {
            let found = (block == number).then(|| (root(), block_hash));
            let finding = judge(&self.keys, block, &note, found, &mut self.diverged);
            finding.into_iter().for_each(|finding| report.push(finding));
        }
    }

    /// The checkpoints of blocks behind the last one.
    pub fn rest(&mut self, last: i64, report: &mut Report<'_>) {
        let mut beyond = |keys: &[VerifierKey], block: i64, note: &str, diverged: &mut bool| {
            if let Some(finding) = judge(keys, block, note, None, diverged) {
                report.push(finding);
            }
            report.push(Finding {
                kind: "truncated",
                block: Some(block),
                expected: Some(format!("{block} blocks")),
                actual: Some(format!("{last} blocks")),
                ..Finding::default()
            });
        };
        while self.on_row {
            let block = self.stored.int(0).unwrap_or_default();
            beyond(
                &self.keys,
                block,
                self.stored.text(1).unwrap_or_default(),
                &mut self.diverged,
            );
            self.on_row = self.stored.advance();
        }
        while let Some((block, note)) = self.given.pop() {
            beyond(&self.keys, block, &note, &mut self.diverged);
        }
    }
}

/// What is wrong with one checkpoint. `found`: root and hash of its block, `None` when there is no such block.
fn judge(
    keys: &[VerifierKey],
    block: i64,
    note: &str,
    found: Option<(Hash, &[u8])>,
    diverged: &mut bool,
) -> Option<Finding> {
    let finding = |expected: String, actual: String| Finding {
        kind: "checkpoint",
        block: Some(block),
        expected: Some(expected),
        actual: Some(actual),
        ..Finding::default()
    };
    let checkpoint = match Checkpoint::open(note, keys) {
        Ok((checkpoint, _)) => checkpoint,
        Err(Refusal::Malformed(why)) => return Some(finding("a checkpoint".into(), why.to_owned())),
        Err(why) => return Some(finding("a signature of a known key".into(), why.to_string())),
    };
    if i64::try_from(checkpoint.number) != Ok(block) {
        return Some(finding(
            format!("a checkpoint of block {block}"),
            format!("a checkpoint of block {}", checkpoint.number),
        ));
    }
    let (root, block_hash) = found?;
    let (signed, stored) = if checkpoint.block_hash[..] != *block_hash {
        (
            format!("block {}", to_hex(&checkpoint.block_hash)),
            format!("block {}", super::finding::hex(block_hash)),
        )
    } else if checkpoint.root != root {
        (
            format!("root {}", to_hex(&checkpoint.root)),
            format!("root {}", to_hex(&root)),
        )
    } else {
        return None;
    };
    // Once the chain is another one, so is every root after it: the first says where.
    (!std::mem::replace(diverged, true)).then(|| finding(signed, stored))
}
