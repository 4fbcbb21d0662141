//! The verification of an export, line by line.

use super::{BlockLine, ChangeLine, CheckpointLine, End, FORMAT, ImportedLine, Line, Manifest, uuid};
use crate::ledger::chains::{Chains, Link};
use crate::ledger::checkpoint::{self, Checkpoint};
use crate::ledger::finding::{Finding, Kind, Record};
use crate::ledger::lines::{ColumnText, Hex};
use crate::ledger::merkle::{Frontier, leaf_hash, root_of_inclusion, verify_consistency};
use crate::ledger::note::{self, VerifierKey};
use crate::ledger::{Column, Hash, block, entry_hashes};

/// Why a file cannot be judged at all.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Unusable {
    /// The first line is something else.
    #[error("this is not an export of a ledger: {0}")]
    NotAnExport(String),
    /// A checkpoint that was given is none.
    #[error(transparent)]
    Checkpoint(#[from] checkpoint::Error),
}

/// What an export turned out to be.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Summary {
    /// The account.
    pub account_id: String,
    /// Blocks with changes of the account.
    pub blocks: u64,
    /// Changes and imported entries.
    pub changes: u64,
    /// Where the export says it begins: nothing is known of blocks before, or of the account's changes in them.
    pub from_block: u64,
    /// The size of the tree of blocks.
    pub size: u64,
    /// The origin in the checkpoint that was believed, and the key that signed it.
    pub signed: Option<(String, String)>,
    /// The file has more records than are checked at once: it is to be read so many times in all, see
    /// [`Verifier::again`].
    pub passes: u32,
}

/// Judges an export line by line.
#[derive(Debug)]
pub struct Verifier {
    keys: Vec<VerifierKey>,
    /// Checkpoints from outside, with the key that signed, and whether the export was compared with it.
    outside: Vec<(Checkpoint, String, bool)>,
    /// In a further pass only the chains of records are looked at.
    links_only: bool,
    account: [u8; 16],
    /// The signed root of the tree of size `summary.size`.
    trusted: Option<Checkpoint>,
    /// Without a signed root: that of the first block's path, so that blocks are at least compared with each other.
    assumed: Option<Hash>,
    begun: bool,
    ended: bool,
    current: Option<Current>,
    last: Option<(u64, Hash)>,
    chains: Chains,
    lines: u64,
    summary: Summary,
}

/// The block whose changes are coming.
#[derive(Debug)]
struct Current {
    number: u64,
    import: bool,
    change_count: u64,
    root: Hash,
    tree: Frontier,
    /// A line could not be read: the tree cannot come out right, and that was said.
    spoilt: bool,
}

impl Verifier {
    /// Believes checkpoints that one of these keys signed.
    pub fn new(keys: Vec<VerifierKey>) -> Self {
        Self {
            keys,
            outside: Vec::new(),
            links_only: false,
            account: [0; 16],
            trusted: None,
            assumed: None,
            begun: false,
            ended: false,
            current: None,
            last: None,
            chains: Chains::new(),
            lines: 0,
            summary: Summary::default(),
        }
    }

    /// For reading the same file another time, after [`Summary::passes`] turned out larger than 1: `pass` counts from 1.
    pub fn again(pass: u32, passes: u32) -> Self {
        let mut verifier = Self::new(Vec::new());
        verifier.links_only = true;
        verifier.chains = Chains::pass(pass, passes);
        verifier
    }

    /// Takes a checkpoint that was kept outside, before the first line. The export must agree with it.
    pub fn checkpoint(&mut self, note: &str, report: &mut dyn FnMut(Finding)) -> Result<(), Unusable> {
        match Checkpoint::open(note, &self.keys) {
            Ok((checkpoint, signers)) => {
                let label = self.label(&signers);
                self.outside.push((checkpoint, label, false));
                Ok(())
            }
            Err(checkpoint::Error::Note(error @ (note::Error::UnknownKey | note::Error::Signature(_)))) => {
                let number = Checkpoint::parse_unverified(note)
                    .ok()
                    .map(|checkpoint| checkpoint.number);
                report(Finding::new(
                    Kind::Checkpoint,
                    number,
                    format!("the checkpoint from outside: {error}"),
                ));
                Ok(())
            }
            Err(error) => Err(error.into()),
        }
    }

    fn label(&self, signers: &[usize]) -> String {
        signers
            .first()
            .and_then(|place| self.keys.get(*place))
            .map(VerifierKey::label)
            .unwrap_or_default()
    }

    /// Takes the next line, with or without its line feed.
    pub fn line(&mut self, line: &[u8], report: &mut dyn FnMut(Finding)) -> Result<(), Unusable> {
        self.lines += 1;
        let line = line.strip_suffix(b"\n").unwrap_or(line);
        let read = serde_json::from_slice::<Line>(line);
        if self.lines == 1 {
            return match read {
                Ok(Line::Manifest(manifest)) => self.manifest(&manifest, report),
                Ok(_) => Err(Unusable::NotAnExport("the first line is not a manifest".into())),
                Err(error) => Err(Unusable::NotAnExport(error.to_string())),
            };
        }
        if self.links_only {
            self.links(read.ok(), report);
            return Ok(());
        }
        let block = self.current.as_ref().map(|current| current.number);
        let mut wrong = |what: String| report(Finding::new(Kind::Block, block, what));
        if self.ended {
            wrong(format!("line {} comes after the end", self.lines));
            return Ok(());
        }
        match read {
            Err(error) => {
                wrong(format!("line {} cannot be read: {error}", self.lines));
                self.current.iter_mut().for_each(|current| current.spoilt = true);
            }
            Ok(Line::Manifest(_)) => wrong(format!("line {} is a second manifest", self.lines)),
            Ok(Line::Key(_)) => {}
            Ok(Line::Checkpoint(_)) if self.begun => {
                wrong(format!(
                    "line {} is a checkpoint after the first block",
                    self.lines
                ));
            }
            Ok(Line::Checkpoint(checkpoint)) => self.inside(&checkpoint, report),
            Ok(Line::Block(block)) => self.block(&block, report),
            Ok(Line::Change(change)) => self.change(&change, report),
            Ok(Line::Imported(imported)) => self.imported(&imported, report),
            Ok(Line::End(end)) => self.end(&end, report),
        }
        Ok(())
    }

    /// All lines have come.
    pub fn finish(mut self, report: &mut dyn FnMut(Finding)) -> Result<Summary, Unusable> {
        if self.lines == 0 {
            return Err(Unusable::NotAnExport("the file is empty".into()));
        }
        self.end_block(report);
        if !self.ended && !self.links_only {
            self.begin(report);
            report(Finding::new(
                Kind::Truncated,
                self.last.map(|(number, _)| number),
                "the export has no end",
            ));
        }
        self.summary.passes = self.chains.passes();
        Ok(self.summary)
    }

    fn manifest(&mut self, manifest: &Manifest, report: &mut dyn FnMut(Finding)) -> Result<(), Unusable> {
        if manifest.format != FORMAT {
            let error = format!("its format is {:?}, not {FORMAT}", manifest.format);
            return Err(Unusable::NotAnExport(error));
        }
        self.account = uuid(&manifest.account_id)
            .ok_or_else(|| Unusable::NotAnExport("its account is not a lower-case uuid".into()))?;
        self.summary.account_id = manifest.account_id.clone().into_owned();
        self.summary.size = manifest.size;
        self.summary.from_block = manifest.from_block;
        self.chains.partial = manifest.from_block > 1;
        let mut outside = std::mem::take(&mut self.outside);
        for (checkpoint, label, compared) in &mut outside {
            if checkpoint.number > manifest.size {
                *compared = true;
                let what = format!(
                    "the export ends with block {}, before this checkpoint",
                    manifest.size
                );
                report(Finding::new(Kind::Truncated, Some(checkpoint.number), what));
            } else if checkpoint.number == manifest.size {
                *compared = true;
                self.trust(checkpoint.clone(), label, report);
            }
        }
        self.outside = outside;
        Ok(())
    }

    /// Believes a checkpoint of the whole tree.
    fn trust(&mut self, checkpoint: Checkpoint, label: &str, report: &mut dyn FnMut(Finding)) {
        match &self.trusted {
            None => {
                self.summary.signed = Some((checkpoint.origin.clone(), label.to_owned()));
                self.trusted = Some(checkpoint);
            }
            Some(trusted)
                if (trusted.root, trusted.block_hash) != (checkpoint.root, checkpoint.block_hash) =>
            {
                let what = "two signed checkpoints of this block disagree";
                report(Finding::new(Kind::Checkpoint, Some(checkpoint.number), what));
            }
            Some(_) => {}
        }
    }

    /// A checkpoint of the export itself.
    fn inside(&mut self, line: &CheckpointLine, report: &mut dyn FnMut(Finding)) {
        let size = self.summary.size;
        let (checkpoint, signers) = match Checkpoint::open(&line.note, &self.keys) {
            Ok(opened) => opened,
            Err(error) => {
                let number = Checkpoint::parse_unverified(&line.note)
                    .ok()
                    .map(|checkpoint| checkpoint.number);
                report(Finding::new(Kind::Checkpoint, number, error.to_string()));
                return;
            }
        };
        let number = checkpoint.number;
        if number == size {
            let label = self.label(&signers);
            self.trust(checkpoint, &label, report);
            return;
        }
        let mut wrong = |what: &str| report(Finding::new(Kind::Checkpoint, Some(number), what));
        if number > size {
            wrong("a checkpoint of a block that the export does not reach");
            return;
        }
        for (outside, _, compared) in self
            .outside
            .iter_mut()
            .filter(|(outside, _, _)| outside.number == number)
        {
            *compared = true;
            if (outside.root, outside.block_hash) != (checkpoint.root, checkpoint.block_hash) {
                wrong("the checkpoint of the export is not the one from outside");
            }
        }
        let Some(trusted) = &self.trusted else {
            wrong("there is no signed checkpoint of the whole export before it");
            return;
        };
        if !verify_consistency(number, &checkpoint.root, size, &trusted.root, &line.consistency.0) {
            wrong(&format!(
                "its blocks are not the beginning of the {size} blocks of the export"
            ));
        }
    }

    /// Before the first block: is there something to compare blocks with?
    fn begin(&mut self, report: &mut dyn FnMut(Finding)) {
        if std::mem::replace(&mut self.begun, true) {
            return;
        }
        let size = self.summary.size;
        if self.trusted.is_none() {
            let (block, what) = match size {
                0 => (None, "it speaks of no block, so nothing of it is signed"),
                _ => (
                    Some(size),
                    "no checkpoint of this block is signed by a key that was given",
                ),
            };
            report(Finding::new(Kind::Checkpoint, block, what));
        }
        for (checkpoint, _, compared) in &self.outside {
            if !compared {
                let what = "the export does not prove that it continues this checkpoint; export with it";
                report(Finding::new(Kind::Checkpoint, Some(checkpoint.number), what));
            }
        }
    }

    fn block(&mut self, line: &BlockLine, report: &mut dyn FnMut(Finding)) {
        self.begin(report);
        self.end_block(report);
        self.summary.blocks += 1;
        let (head, account, size) = (&line.head, &line.account, self.summary.size);
        let number = head.number.0;
        let mut wrong = |kind, what: String| report(Finding::new(kind, Some(number), what));
        let mut block = |what: &str| wrong(Kind::Block, what.into());
        if head.hash() != line.hash.0 {
            block("the head of the block does not have the hash of the block");
        }
        let leaf = block::account_leaf(
            &self.account,
            account.change_count,
            account.previous_block,
            &account.root.0,
        );
        if root_of_inclusion(&leaf, account.index, account.accounts, &account.path.0)
            != Some(head.tree_root.0)
        {
            block("the account is not in the tree of the block");
        }
        if account.change_count > head.change_count.0 {
            block("the account has more changes than the block");
        }
        let root = number
            .checked_sub(1)
            .and_then(|index| root_of_inclusion(&leaf_hash(&line.hash.0), index, size, &line.path.0));
        let expected = self.trusted.as_ref().map(|trusted| trusted.root).or(self.assumed);
        match root {
            None => block(&format!("it has no place among {size} blocks")),
            Some(root) if expected.is_some_and(|expected| expected != root) => {
                block(&format!("it is not among the {size} blocks of the checkpoint"));
            }
            Some(root) => self.assumed = Some(root),
        }
        let at_end = self.trusted.iter();
        let before = self
            .outside
            .iter()
            .map(|(checkpoint, _, _)| checkpoint)
            .filter(|outside| outside.number < size);
        for checkpoint in at_end
            .chain(before)
            .filter(|checkpoint| checkpoint.number == number)
        {
            if checkpoint.block_hash != line.hash.0 {
                wrong(
                    Kind::Checkpoint,
                    "a signed checkpoint names another hash for this block".into(),
                );
            }
        }
        self.order(line, report);
        self.last = Some((number, line.hash.0));
        self.current = Some(Current {
            number,
            import: head.import_id.is_some(),
            change_count: account.change_count,
            root: account.root.0,
            tree: Frontier::default(),
            spoilt: false,
        });
    }

    /// Blocks ascend, and none with changes of the account was left out.
    fn order(&self, line: &BlockLine, report: &mut dyn FnMut(Finding)) {
        let number = line.head.number.0;
        let previous_block = line.account.previous_block;
        let mut wrong = |kind, what: String| report(Finding::new(kind, Some(number), what));
        let before = self.last.map_or(0, |(number, _)| number);
        if number <= before || number < self.summary.from_block {
            wrong(Kind::Block, "blocks do not come in their order".into());
        } else if self.last.is_none() && previous_block < self.summary.from_block {
            // The blocks before are not part of this export.
        } else if previous_block > before && previous_block < number {
            let what = format!("block {previous_block} has changes of the account, and is not here");
            wrong(Kind::Missing, what);
        } else if previous_block != before {
            wrong(
                Kind::Block,
                format!("it names block {previous_block} as the account's block before, not {before}"),
            );
        }
        let expected = match self.last {
            Some((last, hash)) if last + 1 == number => Some(Some(hash)),
            None if number == 1 => Some(None),
            _ => None,
        };
        if expected.is_some_and(|hash| line.head.previous_block_hash != hash.map(Hex)) {
            wrong(
                Kind::Block,
                "it does not name the hash of the block before".into(),
            );
        }
    }

    /// A line of the current block; `false` if there is none, or one of another kind.
    fn leaf(&mut self, checksum: &Hash, import: bool, report: &mut dyn FnMut(Finding)) -> Option<u64> {
        self.summary.changes += 1;
        let line = self.lines;
        match &mut self.current {
            Some(current) if current.import == import => {
                current.tree.push(leaf_hash(checksum));
                Some(current.number)
            }
            other => {
                let block = other.as_ref().map(|current| current.number);
                report(Finding::new(
                    Kind::Block,
                    block,
                    format!("line {line} does not belong into a block here"),
                ));
                None
            }
        }
    }

    fn change(&mut self, line: &ChangeLine, report: &mut dyn FnMut(Finding)) {
        let Some(block) = self.leaf(&line.checksum.0, false, report) else {
            return;
        };
        let header = &line.header;
        let version = header.version().unwrap_or(i64::MAX);
        let mut wrong = |kind, what: &str| {
            report(Finding::new(kind, Some(block), what).of(&header.table_name, &header.record_id, version));
        };
        if uuid(&header.account_id) != Some(self.account) {
            wrong(Kind::Block, "the change belongs to another account");
        }
        match header.hash() {
            None => wrong(
                Kind::Checksum,
                "its header has another hash version, or an impossible record version",
            ),
            Some(header) => {
                let columns: Vec<Column> = line.columns.iter().map(ColumnText::column).collect();
                let hashes = entry_hashes(line.previous.map(|hash| hash.0), &header, &columns);
                if hashes.last() != Some(&line.checksum.0) {
                    wrong(Kind::Checksum, "what it says does not have its checksum");
                }
            }
        }
        if let Some(link) = link(line) {
            self.chains.push(block, link, report);
        }
    }

    fn imported(&mut self, line: &ImportedLine, report: &mut dyn FnMut(Finding)) {
        let Some(block) = self.leaf(&line.checksum.0, true, report) else {
            return;
        };
        let entry = &line.entry;
        let mut wrong = |kind, what: &str| {
            report(Finding::new(kind, Some(block), what).of(&entry.table_name, &entry.record_id, line.id));
        };
        if uuid(&entry.account_id) != Some(self.account) {
            wrong(Kind::Block, "the imported entry belongs to another account");
        }
        if entry.checksum() != line.checksum.0 {
            wrong(
                Kind::Checksum,
                "what the imported entry says does not have its checksum",
            );
        }
    }

    fn end_block(&mut self, report: &mut dyn FnMut(Finding)) {
        let Some(current) = self.current.take() else {
            return;
        };
        self.chains.end_block(current.number, report);
        let (size, expected) = (current.tree.size(), current.change_count);
        let mut wrong = |kind, what: String| report(Finding::new(kind, Some(current.number), what));
        if self.links_only || current.spoilt {
            return;
        }
        if size < expected {
            wrong(
                Kind::Missing,
                format!("the block holds {expected} changes of the account, {size} are here"),
            );
        } else if size > expected {
            wrong(
                Kind::Block,
                format!("the block holds {expected} changes of the account, {size} are here"),
            );
        } else if current.tree.root() != current.root {
            wrong(
                Kind::Block,
                "its changes are not those that were sealed, or in another order".into(),
            );
        }
    }

    fn end(&mut self, end: &End, report: &mut dyn FnMut(Finding)) {
        self.begin(report);
        self.end_block(report);
        self.ended = true;
        let (blocks, changes) = (self.summary.blocks, self.summary.changes);
        if (end.blocks, end.changes) != (blocks, changes) {
            let what = format!(
                "the end counts {} blocks and {} changes, there are {blocks} and {changes}",
                end.blocks, end.changes
            );
            report(Finding::new(Kind::Truncated, None, what));
        }
    }

    /// A line in a further pass: only chains.
    fn links(&mut self, line: Option<Line>, report: &mut dyn FnMut(Finding)) {
        match line {
            Some(Line::Block(block)) => {
                self.end_block(report);
                self.current = Some(Current {
                    number: block.head.number.0,
                    import: block.head.import_id.is_some(),
                    change_count: 0,
                    root: [0; 32],
                    tree: Frontier::default(),
                    spoilt: true,
                });
            }
            Some(Line::Change(change)) => {
                if let (
                    Some(Current {
                        number,
                        import: false,
                        ..
                    }),
                    Some(link),
                ) = (&self.current, link(&change))
                {
                    self.chains.push(*number, link, report);
                }
            }
            _ => {}
        }
    }
}

fn link(line: &ChangeLine) -> Option<Link> {
    Some(Link {
        record: Record {
            table_name: line.header.table_name.clone().into_owned(),
            record_id: line.header.record_id.clone().into_owned(),
            version: line.header.version()?,
        },
        previous: line.previous.map(|hash| hash.0),
        checksum: line.checksum.0,
    })
}
