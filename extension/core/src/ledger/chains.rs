//! The chains of records, checked while changes pass by in the order of blocks, with memory for a part of the records at
//! a time.
//!
//! Within a block changes come in the order of their transactions, and a transaction with a smaller number may have waited
//! for one with a larger: then version 3 comes before version 2. Such changes wait for the end of the block.

use std::collections::{BTreeMap, HashMap};

use sha2::{Digest, Sha256};

use super::Hash;
use super::finding::{Finding, Kind, Record};

/// So many records are remembered at once; beyond, the rest is left to further passes. About 40 MB.
const RECORDS: usize = 400_000;

/// Table and record, hashed.
type Key = [u8; 16];

/// One change as far as its chain is concerned.
#[derive(Debug, Clone)]
pub(super) struct Link {
    pub(super) record: Record,
    pub(super) previous: Option<Hash>,
    pub(super) checksum: Hash,
}

#[derive(Debug)]
struct Head {
    version: i64,
    checksum: Hash,
}

/// The newest change of each record so far.
#[derive(Debug)]
pub(super) struct Chains {
    heads: HashMap<Key, Head>,
    waiting: HashMap<Key, BTreeMap<i64, Link>>,
    /// Which records this pass is about: those whose key is `pass` modulo `passes`, a power of two.
    pass: u32,
    passes: u32,
    limit: usize,
    /// The changes do not begin with the first of the account: nothing is known of what came before.
    pub(super) partial: bool,
}

impl Chains {
    pub(super) fn new() -> Self {
        Self::pass(0, 1)
    }

    pub(super) fn pass(pass: u32, passes: u32) -> Self {
        Self {
            heads: HashMap::new(),
            waiting: HashMap::new(),
            pass,
            passes,
            limit: RECORDS,
            partial: false,
        }
    }

    #[cfg(test)]
    pub(super) fn limit(mut self, records: usize) -> Self {
        self.limit = records;
        self
    }

    pub(super) fn passes(&self) -> u32 {
        self.passes
    }

    fn concerns(pass: u32, passes: u32, key: &Key) -> bool {
        u32::from_be_bytes([key[0], key[1], key[2], key[3]]) & (passes - 1) == pass
    }

    /// Takes the next change.
    pub(super) fn push(&mut self, block: u64, link: Link, report: &mut dyn FnMut(Finding)) {
        let key = key(&link.record);
        if !Self::concerns(self.pass, self.passes, &key) {
            return;
        }
        let version = link.record.version;
        match self.heads.get(&key) {
            None if version != 1 => self.wait(block, key, link, report),
            Some(head) if version > head.version.saturating_add(1) => self.wait(block, key, link, report),
            _ => {
                self.follow(block, key, &link, report);
                self.drain(block, key, report);
            }
        }
    }

    fn wait(&mut self, block: u64, key: Key, link: Link, report: &mut dyn FnMut(Finding)) {
        let waiting = self.waiting.entry(key).or_default();
        if let Some(twin) = waiting.insert(link.record.version, link) {
            report(found(
                Kind::Fork,
                block,
                &twin.record,
                "two changes have this version",
            ));
        }
    }

    /// Those that waited for the change that has just come.
    fn drain(&mut self, block: u64, key: Key, report: &mut dyn FnMut(Finding)) {
        while let Some(head) = self.heads.get(&key)
            && let Some(waiting) = self.waiting.get_mut(&key)
        {
            let Some(link) = waiting.remove(&head.version.saturating_add(1)) else {
                return;
            };
            if waiting.is_empty() {
                self.waiting.remove(&key);
            }
            self.follow(block, key, &link, report);
        }
    }

    /// All changes of the block have come: what still waits, waits for a version that is not there.
    pub(super) fn end_block(&mut self, block: u64, report: &mut dyn FnMut(Finding)) {
        let mut waiting: Vec<_> = std::mem::take(&mut self.waiting).into_iter().collect();
        // In the order of names, so that findings come in an order.
        waiting.sort_by(|(_, a), (_, b)| first(a).cmp(&first(b)));
        for (key, links) in waiting {
            for link in links.into_values() {
                self.follow(block, key, &link, report);
            }
        }
    }

    /// Judges a change against the one before, and takes its place.
    fn follow(&mut self, block: u64, key: Key, link: &Link, report: &mut dyn FnMut(Finding)) {
        let version = link.record.version;
        let mut found = |kind, what: &str| report(found(kind, block, &link.record, what));
        match self.heads.get(&key) {
            None if version == 1 && link.previous.is_some() => {
                found(Kind::Link, "the first change of a record names one before it");
            }
            None if version != 1 && !self.partial => {
                found(Kind::Gap, "the versions before are not there");
            }
            None => {}
            Some(head) if version <= head.version => {
                found(Kind::Fork, "the record has a change of this version already");
                return;
            }
            Some(head) if version > head.version.saturating_add(1) => {
                found(Kind::Gap, &format!("it comes after version {}", head.version));
            }
            Some(head) if link.previous != Some(head.checksum) => {
                found(Kind::Link, "it does not name the checksum of the version before");
            }
            Some(_) => {}
        }
        self.heads.insert(
            key,
            Head {
                version,
                checksum: link.checksum,
            },
        );
        if self.pass == 0 && self.heads.len() > self.limit && self.passes < 1 << 31 {
            self.passes *= 2;
            let passes = self.passes;
            self.heads.retain(|key, _| Self::concerns(0, passes, key));
            self.waiting.retain(|key, _| Self::concerns(0, passes, key));
        }
    }
}

fn first(links: &BTreeMap<i64, Link>) -> Option<(&str, &str)> {
    links
        .values()
        .next()
        .map(|link| (&*link.record.table_name, &*link.record.record_id))
}

fn found(kind: Kind, block: u64, record: &Record, what: &str) -> Finding {
    Finding {
        kind,
        block: Some(block),
        record: Some(record.clone()),
        what: what.into(),
    }
}

fn key(record: &Record) -> Key {
    let hash: Hash = Sha256::new()
        .chain_update((record.table_name.len() as u64).to_be_bytes())
        .chain_update(&record.table_name)
        .chain_update(&record.record_id)
        .finalize()
        .into();
    std::array::from_fn(|i| hash[i])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn link(record: &str, version: i64) -> Link {
        let record = Record {
            table_name: "t".into(),
            record_id: record.into(),
            version,
        };
        let sum = |version: i64| Sha256::digest(version.to_be_bytes()).into();
        Link {
            record,
            previous: (version > 1).then(|| sum(version - 1)),
            checksum: sum(version),
        }
    }

    fn run(chains: &mut Chains, blocks: &[&[Link]]) -> Vec<String> {
        let mut found = Vec::new();
        let mut report = |f: Finding| {
            let record = f
                .record
                .map(|r| format!("{}@{}", r.record_id, r.version))
                .unwrap_or_default();
            found.push(format!("{} {} {record}", f.kind.name(), f.block.unwrap_or(0)));
        };
        for (block, links) in blocks.iter().enumerate() {
            links
                .iter()
                .for_each(|link| chains.push(block as u64 + 1, link.clone(), &mut report));
            chains.end_block(block as u64 + 1, &mut report);
        }
        found
    }

    #[test]
    fn chains_in_any_order_within_a_block() {
        let clean = |blocks: &[&[Link]]| assert_eq!(run(&mut Chains::new(), blocks), Vec::<String>::new());
        clean(&[&[link("a", 1), link("b", 1), link("a", 2)], &[link("a", 3)]]);
        clean(&[
            &[link("a", 3), link("a", 2), link("a", 1)],
            &[link("a", 5), link("a", 4)],
        ]);
        // Across blocks there is an order.
        let found = run(&mut Chains::new(), &[&[link("a", 2)], &[link("a", 1)]]);
        assert_eq!(found, ["gap 1 a@2", "fork 2 a@1"]);
    }

    #[test]
    fn breaks_are_named() {
        let mut other = link("a", 2);
        other.previous = Some([7; 32]);
        let mut first = link("b", 1);
        first.previous = Some([7; 32]);
        for (blocks, expected) in [
            (
                &[&[link("a", 1), other][..], &[link("a", 3)]][..],
                &["link 1 a@2"][..],
            ),
            (&[&[first]], &["link 1 b@1"]),
            (&[&[link("a", 1), link("a", 3), link("a", 4)]], &["gap 1 a@3"]),
            (&[&[link("a", 1), link("a", 1)]], &["fork 1 a@1"]),
            (
                &[&[link("a", 1), link("a", 3), link("a", 3)]],
                &["fork 1 a@3", "gap 1 a@3"],
            ),
            (
                &[&[link("a", i64::MAX)], &[link("a", i64::MAX)]],
                &["gap 1 a@9223372036854775807", "fork 2 a@9223372036854775807"],
            ),
            (&[&[link("a", -1)]], &["gap 1 a@-1"]),
        ] {
            assert_eq!(run(&mut Chains::new(), blocks), expected);
        }
    }

    #[test]
    fn a_part_begins_anywhere() {
        let mut chains = Chains::new();
        chains.partial = true;
        let found = run(
            &mut chains,
            &[&[link("a", 8), link("a", 7), link("b", 1)], &[link("a", 10)]],
        );
        assert_eq!(found, ["gap 2 a@10"]);
    }

    #[test]
    fn many_records_take_several_passes() {
        let records: Vec<String> = (0..1000).map(|i| i.to_string()).collect();
        let one: Vec<Link> = records.iter().map(|r| link(r, 1)).collect();
        let two: Vec<Link> = records
            .iter()
            .map(|r| link(r, if r == "7" || r == "8" { 3 } else { 2 }))
            .collect();
        let blocks = [&one[..], &two];
        let mut first = Chains::new().limit(100);
        let mut found = run(&mut first, &blocks);
        assert_eq!(first.passes(), 16);
        assert!(first.heads.len() <= 100);
        for pass in 1..16 {
            found.extend(run(&mut Chains::pass(pass, 16), &blocks));
        }
        found.sort();
        assert_eq!(found, ["gap 2 7@3", "gap 2 8@3"]);
    }
}
