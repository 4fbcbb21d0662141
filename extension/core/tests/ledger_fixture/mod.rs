//! A small ledger in memory: changes, blocks, checkpoints, and what is made from them for outsiders.
#![allow(dead_code)] // each test binary uses its part

use std::collections::{BTreeMap, HashMap};

use snackbase_core::ledger::block::{AccountTree, account_leaf};
use snackbase_core::ledger::checkpoint::{Checkpoint, origin};
use snackbase_core::ledger::export::{
    self, AccountPart, BlockLine, ChangeLine, CheckpointLine, End, ImportedLine, Line, Manifest,
};
use snackbase_core::ledger::finding::Finding;
use snackbase_core::ledger::lines::{ColumnText, Decimal, EntryV1, HeadText, HeaderText, Hex, Path};
use snackbase_core::ledger::merkle::{consistency_path, inclusion_path, leaf_hash, root};
use snackbase_core::ledger::note::{SigningKey, VerifierKey};
use snackbase_core::ledger::proof::{self, Consistency, Entry, Place, Proof, Subject, Tree};
use snackbase_core::ledger::{Column, Hash, Header, column_hash, entry_hashes};

/// One change to be written: whose, of which record, and how many columns.
#[derive(Debug, Clone, Copy)]
pub struct Write {
    pub account: u8,
    pub record: u8,
    pub columns: u8,
}

/// A change of two columns.
pub fn write(account: u8, record: u8) -> Write {
    Write {
        account,
        record,
        columns: 2,
    }
}

/// Five blocks; account 0 is in 1, 2, 4 and 5.
pub fn five_blocks() -> Ledger {
    Ledger::new(
        &[
            vec![write(0, 1), write(1, 1), write(0, 2), write(0, 1)],
            vec![write(0, 1), write(2, 1)],
            vec![write(1, 1), write(2, 1)],
            vec![write(0, 3), write(0, 2), write(0, 3), write(1, 2)],
            vec![write(0, 3)],
        ],
        false,
    )
}

pub struct Change {
    pub id: i64,
    pub header: HeaderText<'static>,
    pub columns: Vec<ColumnText<'static>>,
    pub previous: Option<Hash>,
    pub entries: Vec<Hash>,
}

impl Change {
    pub fn checksum(&self) -> Hash {
        *self.entries.last().expect("a change has columns")
    }
}

pub struct Sealed {
    pub head: HeadText<'static>,
    pub hash: Hash,
    /// By account: the changes in their order, the block before, and the leaf.
    pub accounts: BTreeMap<[u8; 16], (Vec<Change>, u64, Hash)>,
    /// Entries of hash version 1, instead.
    pub imported: Vec<(i64, EntryV1<'static>)>,
}

#[derive(Default)]
pub struct Ledger {
    pub blocks: Vec<Sealed>,
    heads: HashMap<(u8, u8), (i64, Hash)>,
    last_block: HashMap<[u8; 16], u64>,
    ids: i64,
}

pub fn account(number: u8) -> [u8; 16] {
    // So that the order of numbers is not that of the bytes.
    let mut bytes = [number.wrapping_mul(151); 16];
    bytes[15] = number;
    bytes
}

pub fn uuid_text(bytes: &[u8; 16]) -> String {
    let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    [&hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..]].join("-")
}

pub fn key() -> SigningKey {
    SigningKey::from_seed(&origin(7, 5), &[3; 32]).expect("a key")
}

pub fn vkey() -> VerifierKey {
    key().verifier().clone()
}

impl Ledger {
    /// A ledger with these blocks. `reversed`: changes stand in a block in the opposite order of their making.
    pub fn new(blocks: &[Vec<Write>], reversed: bool) -> Self {
        let mut ledger = Self::default();
        for writes in blocks.iter().filter(|writes| !writes.is_empty()) {
            let mut changes: Vec<([u8; 16], Change)> = writes
                .iter()
                .map(|write| (account(write.account), ledger.write(*write)))
                .collect();
            if reversed {
                changes.reverse();
            }
            let mut accounts = BTreeMap::<[u8; 16], Vec<Change>>::new();
            for (account, change) in changes {
                accounts.entry(account).or_default().push(change);
            }
            ledger.seal(accounts, Vec::new());
        }
        ledger
    }

    fn write(&mut self, write: Write) -> Change {
        self.ids += 1;
        let (version, previous) = match self.heads.get(&(write.account, write.record)) {
            Some((version, hash)) => (version + 1, Some(*hash)),
            None => (1, None),
        };
        let operation = if version == 1 { "CREATE" } else { "UPDATE" };
        let account = uuid_text(&account(write.account));
        let record = format!("r\u{e9}c-{}", write.record);
        let header = Header {
            account_id: &account,
            auth_method: Some("jwt"),
            es_reason: None,
            es_timestamp: None,
            es_username: None,
            extra_metadata: Some("{\"a\":\"\\\"\"}"),
            ip_address: Some("192.0.2.1"),
            occurred_at: "2026-01-02T03:04:05.678901Z",
            operation,
            record_id: &record,
            record_version: version,
            request_id: None,
            table_name: "col_posts",
            user_agent: Some("curl/8"),
            user_email: "a@example.com",
            user_id: "u1",
            user_name: "A",
        };
        let header = owned(HeaderText::from(&header));
        let columns: Vec<ColumnText> = (0..=write.columns)
            .map(|c| {
                let old = (version > 1).then(|| format!("v{}\n", version - 1).into());
                ColumnText(
                    format!("c{c}").into(),
                    old,
                    Some(format!("v{version} \u{1f600} \"{c}\"").into()),
                )
            })
            .collect();
        let plain: Vec<Column> = columns.iter().map(ColumnText::column).collect();
        let entries = entry_hashes(previous, &header.hash().expect("version 2"), &plain);
        drop(plain);
        let change = Change {
            id: self.ids,
            header,
            columns,
            previous,
            entries,
        };
        self.heads
            .insert((write.account, write.record), (version, change.checksum()));
        change
    }

    fn seal(&mut self, accounts: BTreeMap<[u8; 16], Vec<Change>>, imported: Vec<(i64, EntryV1<'static>)>) {
        let number = self.blocks.len() as u64 + 1;
        let mut sealed = BTreeMap::new();
        let mut count = 0;
        let mut add = |account: [u8; 16], changes: Vec<Change>, sums: Vec<(i64, Hash)>| {
            let mut tree = AccountTree::default();
            sums.iter().for_each(|(id, sum)| tree.push(*id, sum));
            let tree = tree.finish();
            let before = self.last_block.insert(account, number).unwrap_or(0);
            count += tree.change_count;
            let leaf = account_leaf(&account, tree.change_count, before, &tree.root);
            sealed.insert(account, (changes, before, leaf));
        };
        for (account, changes) in accounts {
            let sums = changes
                .iter()
                .map(|change| (change.id, change.checksum()))
                .collect();
            add(account, changes, sums);
        }
        if !imported.is_empty() {
            let sums = imported
                .iter()
                .map(|(id, entry)| (*id, entry.checksum()))
                .collect();
            add(account(0), Vec::new(), sums);
        }
        let leaves: Vec<Hash> = sealed.values().map(|(_, _, leaf)| *leaf).collect();
        let head = HeadText {
            change_count: Decimal(count),
            from_xid: Decimal(number * 10),
            import_id: (!imported.is_empty()).then_some(Decimal(4)),
            number: Decimal(number),
            previous_block_hash: self.blocks.last().map(|block| Hex(block.hash)),
            sealed_at: "2026-01-02T03:05:00.000000Z".into(),
            system_identifier: Decimal(u64::MAX - 5),
            to_xid: Decimal(number * 10 + if imported.is_empty() { 10 } else { 0 }),
            tree_root: Hex(root(&leaves)),
        };
        self.blocks.push(Sealed {
            hash: head.hash(),
            head,
            accounts: sealed,
            imported,
        });
    }

    /// One more block, of imported entries of account 0.
    pub fn import(&mut self, entries: Vec<(i64, EntryV1<'static>)>) {
        self.seal(BTreeMap::new(), entries);
    }

    fn leaves(&self) -> Vec<Hash> {
        self.blocks.iter().map(|block| leaf_hash(&block.hash)).collect()
    }

    /// What a checkpoint after so many blocks says.
    pub fn state(&self, number: u64) -> Checkpoint {
        Checkpoint {
            origin: origin(7, 5),
            number,
            root: root(&self.leaves()[..number as usize]),
            block_hash: self.blocks[number as usize - 1].hash,
        }
    }

    /// The signed checkpoint after so many blocks.
    pub fn note(&self, number: u64) -> String {
        self.state(number).sign(&[&key()]).expect("signed")
    }

    /// The export of an account from `from_block` on, with a checkpoint of the newest block and of the given ones.
    pub fn export(&self, number: u8, from_block: u64, checkpoints: &[u64]) -> Vec<Line<'_>> {
        let account = account(number);
        let leaves = self.leaves();
        let size = leaves.len() as u64;
        let mut lines = vec![Line::Manifest(Manifest {
            format: export::FORMAT.into(),
            account_id: uuid_text(&account).into(),
            from_block,
            size,
            exported_at: "2026-02-01T00:00:00.000000Z".into(),
        })];
        lines.push(Line::Key(export::Key {
            key: vkey().to_string().into(),
            activated_at: "2026-01-01T00:00:00.000000Z".into(),
            retired_at: None,
        }));
        for number in [size].iter().filter(|size| **size > 0).chain(checkpoints) {
            lines.push(Line::Checkpoint(CheckpointLine {
                note: self.note(*number).into(),
                consistency: Path(consistency_path(&leaves, *number as usize).expect("a path")),
            }));
        }
        let (mut blocks, mut count) = (0, 0);
        for (place, block) in self.blocks.iter().enumerate().skip(from_block as usize - 1) {
            let Some((changes, before, _)) = block.accounts.get(&account) else {
                continue;
            };
            let index = block.accounts.keys().position(|a| *a == account).expect("there");
            let of_block: Vec<Hash> = block.accounts.values().map(|(_, _, leaf)| *leaf).collect();
            let sums: Vec<Hash> = changes
                .iter()
                .map(Change::checksum)
                .chain(block.imported.iter().map(|(_, entry)| entry.checksum()))
                .map(|sum| leaf_hash(&sum))
                .collect();
            blocks += 1;
            count += sums.len() as u64;
            lines.push(Line::Block(BlockLine {
                head: block.head.clone(),
                hash: Hex(block.hash),
                path: Path(inclusion_path(&leaves, place).expect("a path")),
                account: AccountPart {
                    change_count: sums.len() as u64,
                    previous_block: *before,
                    root: Hex(root(&sums)),
                    index: index as u64,
                    accounts: of_block.len() as u64,
                    path: Path(inclusion_path(&of_block, index).expect("a path")),
                },
            }));
            for change in changes {
                lines.push(Line::Change(ChangeLine {
                    id: change.id,
                    header: change.header.clone(),
                    columns: change.columns.clone(),
                    previous: change.previous.map(Hex),
                    checksum: Hex(change.checksum()),
                }));
            }
            for (id, entry) in &block.imported {
                let checksum = Hex(entry.checksum());
                lines.push(Line::Imported(ImportedLine {
                    id: *id,
                    entry: entry.clone(),
                    checksum,
                }));
            }
        }
        lines.push(Line::End(End {
            blocks,
            changes: count,
        }));
        lines
    }

    /// The proof of one column of one change, up to the checkpoint after `size` blocks.
    pub fn proof(&self, block: u64, number: u8, change: usize, column: usize, size: u64) -> Proof<'_> {
        let sealed = &self.blocks[block as usize - 1];
        let account = account(number);
        let (changes, before, _) = &sealed.accounts[&account];
        let index = sealed.accounts.keys().position(|a| *a == account).expect("there");
        let of_block: Vec<Hash> = sealed.accounts.values().map(|(_, _, leaf)| *leaf).collect();
        let sums: Vec<Hash> = changes.iter().map(|c| leaf_hash(&c.checksum())).collect();
        let leaves = &self.leaves()[..size as usize];
        let subject = &changes[change];
        let ColumnText(name, old, new) = subject.columns[column].clone();
        Proof {
            format: proof::FORMAT.into(),
            subject: Subject::Entry(Box::new(Entry {
                id: subject.id * 2048 + column as i64 + 1,
                column_name: name,
                old_value: old,
                new_value: new,
                header: subject.header.clone(),
                previous: column
                    .checked_sub(1)
                    .map(|c| subject.entries[c])
                    .or(subject.previous)
                    .map(Hex),
                following: Path(
                    subject.columns[column + 1..]
                        .iter()
                        .map(|c| column_hash(&c.column()))
                        .collect(),
                ),
            })),
            change: Place {
                index: change as u64,
                count: sums.len() as u64,
                path: Path(inclusion_path(&sums, change).expect("a path")),
            },
            previous_block: *before,
            account: Place {
                index: index as u64,
                count: of_block.len() as u64,
                path: Path(inclusion_path(&of_block, index).expect("a path")),
            },
            block: sealed.head.clone(),
            tree: Tree {
                size,
                path: Path(inclusion_path(leaves, block as usize - 1).expect("a path")),
            },
            note: Some(self.note(size).into()),
        }
    }

    /// That the checkpoint after `to` blocks continues that after `from`.
    pub fn consistency(&self, from: u64, to: u64) -> Consistency<'static> {
        let leaves = self.leaves();
        let path = consistency_path(&leaves[..to as usize], from as usize).expect("a path");
        Consistency {
            format: proof::CONSISTENCY_FORMAT.into(),
            from,
            to,
            path: Path(path),
        }
    }
}

fn owned(header: HeaderText) -> HeaderText<'static> {
    let text = serde_json::to_string(&header).expect("JSON");
    // Leaked: a test's few headers.
    serde_json::from_str(Box::leak(text.into_boxed_str())).expect("reads back")
}

/// The findings of a verifier in an export, as `kind block record`.
pub fn findings(lines: &[String], notes: &[&str]) -> Vec<String> {
    let mut found = Vec::new();
    let mut report = |finding: Finding| {
        let line = finding.to_string();
        found.push(line.split('\t').take(3).collect::<Vec<_>>().join(" "));
    };
    let mut verifier = export::Verifier::new(vec![vkey()]);
    for note in notes {
        verifier.checkpoint(note, &mut report).expect("a note");
    }
    for line in lines {
        verifier.line(line.as_bytes(), &mut report).expect("an export");
    }
    verifier.finish(&mut report).expect("an export");
    found
}

/// The lines as text.
pub fn texts(lines: &[Line]) -> Vec<String> {
    lines.iter().map(Line::text).collect()
}
