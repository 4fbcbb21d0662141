//! Blocks: which changes each counted, and the chain they form.
//!
//! Two walks. The chain, in the order of the numbers: head, link, tree over accounts, tree over blocks, checkpoints. Then
//! the changes, in the order of account and transaction, beside the accounts of blocks: so each account's tree is computed
//! once, with a handful of hashes in memory.

use std::collections::{BTreeSet, HashMap};

use pgrx::pg_sys;
use snackbase_core::ledger::block::AccountTree;
use snackbase_core::ledger::merkle::{Frontier, leaf_hash};
use snackbase_core::ledger::{Hash, to_hex};

use super::checkpoints::{self, Checkpoints};
use super::finding::{Finding, Report, hex, uuid};
use super::heads::{Accounts, Head, newest, restore};
use super::{Scope, Wanted, imports};
use crate::error::Error;
use crate::spi::Acting;
use crate::spi::scan::{Query, Reader, Scan};

/// How many damaged blocks are searched for what was written in them later.
const SEARCHES: usize = 10;

/// Where verification begins.
pub struct Range {
    /// The first block, from 1.
    from: i64,
    /// No change before it has a smaller id; 0 for all.
    next_id: i64,
    /// Only some ids are wanted, so blocks cannot be counted.
    by_id: bool,
}

impl Range {
    /// # Errors
    /// 22023 for a block number below 1, and for a note that is no checkpoint.
    pub fn new(reader: &Reader, scope: &Scope, wanted: &Wanted) -> Result<Range, Error> {
        let _owner = scope.restricted.then(|| Acting::begin(c"snackbase_owner"));
        let mut from = wanted.from_block.unwrap_or(1);
        if from < 1 {
            return Err(Error::Malformed("from_block is at least 1".into()));
        }
        if wanted.since_checkpoint {
            let mut newest = reader.scan(
                "select p.block_number from snackbase.audit_checkpoint p order by 1 desc limit 1",
                &[],
            )?;
            let mut last = if newest.advance() {
                newest.int(0).unwrap_or_default()
            } else {
                0
            };
            for note in &wanted.checkpoints {
                last = last.max(checkpoints::number(note)?);
            }
            from = from.max(last.saturating_add(1));
        }
        let mut next_id = 0;
        if from > 1 {
            // What a block says of later ids holds from its next_xid on.
            let mut before = reader.scan(
                "select b.next_id
                   from snackbase.audit_block b
                  where b.number < $1
                    and b.next_xid <= (select l.to_xid
                                         from snackbase.audit_block l
                                        where l.system_identifier = b.system_identifier and l.number < $1
                                        order by l.to_xid desc
                                        limit 1)
                  order by b.number desc
                  limit 1",
                &[from.into()],
            )?;
            if before.advance() {
                next_id = before.int(0).unwrap_or_default();
            }
        }
        Ok(Range {
            from,
            next_id,
            by_id: wanted.from_id.is_some() || wanted.to_id.is_some(),
        })
    }

    /// An SQL condition on changes `c`; `None` for all of them.
    pub fn of_changes(&self, wanted: &Wanted) -> Option<String> {
        let mut conditions = Vec::new();
        if let Some(from) = wanted.from_id {
            conditions.push(format!("c.id >= {}", from / 2048));
        }
        if let Some(to) = wanted.to_id {
            conditions.push(format!("c.id <= {}", to / 2048));
        }
        conditions.extend(self.not_before());
        (!conditions.is_empty()).then(|| conditions.join(" and "))
    }

    fn not_before(&self) -> Option<String> {
        (self.from > 1).then(|| {
            format!(
                "c.id >= {} and not exists (
                    select from snackbase.audit_block b
                     where b.number < {} and b.system_identifier = c.system_identifier and b.from_xid <= c.xid and b.to_xid > c.xid)",
                self.next_id, self.from
            )
        })
    }
}

/// Verifies blocks and checkpoints.
///
/// # Errors
/// What the queries raise.
pub fn verify(
    reader: &Reader,
    scope: &Scope,
    range: &Range,
    given: &[String],
    report: &mut Report<'_>,
) -> Result<(), Error> {
    // Hashes only; other accounts' are needed for the trees of blocks, and their names are not reported.
    let _owner = scope.restricted.then(|| Acting::begin(c"snackbase_owner"));
    let mut chain = Chain::new(reader, scope, range)?;
    chain.walk(reader, given, report)?;
    if !range.by_id && !report.is_full() {
        chain.accounts(reader, report)?;
        imports::verify(reader, scope, range.from, report)?;
    }
    Ok(())
}

struct Chain<'a> {
    scope: &'a Scope,
    range: &'a Range,
    /// Up to which transaction each cluster is sealed.
    sealed: HashMap<i64, u64>,
    /// Blocks whose tree is not that of the accounts stored with them.
    bad_trees: BTreeSet<i64>,
}

impl<'a> Chain<'a> {
    fn new(reader: &Reader, scope: &'a Scope, range: &'a Range) -> Result<Self, Error> {
        let mut sealed = HashMap::new();
        if range.from > 1 {
            let mut scan = reader.scan(
                "select distinct on (b.system_identifier) b.system_identifier, b.to_xid
                   from snackbase.audit_block b
                  where b.number < $1 and b.import_id is null
                  order by b.system_identifier, b.to_xid desc",
                &[range.from.into()],
            )?;
            while scan.advance() {
                sealed.insert(
                    scan.int(0).unwrap_or_default(),
                    scan.int(1).unwrap_or_default() as u64,
                );
            }
        }
        Ok(Chain {
            scope,
            range,
            sealed,
            bad_trees: BTreeSet::new(),
        })
    }

    /// The heads, in order.
    fn walk(&mut self, reader: &Reader, given: &[String], report: &mut Report<'_>) -> Result<(), Error> {
        let from = self.range.from;
        let mut points = Checkpoints::open(reader, from - 1, given, report)?;
        let mut previous: Option<Vec<u8>> = None;
        // Notes about blocks before the range: the tree up to there is restored from stored nodes, which they prove.
        while let Some(number) = points.first_given().filter(|number| *number < from - 1) {
            let Some((tree, hash)) = restore(reader, number)? else {
                break;
            };
            points.at(number, || tree.root(), &hash, report);
        }
        let mut tree = Frontier::default();
        if from > 1 {
            match restore(reader, from - 1)? {
                Some((restored, hash)) => {
                    tree = restored;
                    points.at(from - 1, || tree.root(), &hash, report);
                    previous = Some(hash);
                }
                // There is no such block any more, or none yet.
                None => {
                    points.rest(newest(reader)?, report);
                    return Ok(());
                }
            }
        }
        let mut heads = reader.scan(
            "select b.number, b.system_identifier, b.from_xid, b.to_xid, b.import_id, b.change_count, b.tree_root,
                    b.previous_block_hash, b.sealed_at, b.block_hash, b.nodes
               from snackbase.audit_block b
              where b.number >= $1
              order by b.number",
            &[from.into()],
        )?;
        let mut accounts = Accounts::open(reader, self.scope, from)?;
        let mut expected = from;
        while !report.is_full() && heads.advance() {
            let head = Head::read(&heads);
            let number = head.number;
            if number != expected {
                report.push(Finding {
                    block: Some(expected),
                    ..mismatch("gap", expected.to_string(), number.to_string())
                });
            } else if head.previous != previous.as_deref() {
                report.push(Finding {
                    block: Some(number),
                    ..mismatch(
                        "block",
                        format!(
                            "previous_block_hash {}",
                            previous.as_deref().map_or("null".into(), hex)
                        ),
                        format!("previous_block_hash {}", head.previous.map_or("null".into(), hex)),
                    )
                });
            }
            self.check(&head, &mut accounts, &mut tree, report);
            points.at(number, || tree.root(), head.hash, report);
            expected = number + 1;
            previous = Some(head.hash.to_vec());
        }
        if !report.is_full() {
            points.rest(expected - 1, report);
        }
        Ok(())
    }

    /// One head against itself, its accounts and the trees.
    fn check(
        &mut self,
        head: &Head<'_>,
        accounts: &mut Accounts<'_>,
        tree: &mut Frontier,
        report: &mut Report<'_>,
    ) {
        let number = head.number;
        let mut wrong = |what: &str, expected: String, actual: String| {
            report.push(Finding {
                block: Some(number),
                ..mismatch("block", format!("{what} {expected}"), format!("{what} {actual}"))
            });
        };
        let computed = head.computed();
        if computed.as_ref().is_none_or(|hash| hash != head.hash) {
            let computed = computed.as_ref().map_or("null".to_owned(), to_hex);
            wrong("block_hash", computed, hex(head.hash));
        }
        if head.import.is_none() {
            let begins = self.sealed.get(&head.system).copied().unwrap_or(0);
            if head.from_xid != begins {
                wrong("from_xid", begins.to_string(), head.from_xid.to_string());
            }
            self.sealed.insert(head.system, begins.max(head.to_xid));
        }
        if let Some((root, count)) = accounts.of_block(number) {
            if root != head.tree_root {
                wrong("tree_root", to_hex(&root), hex(head.tree_root));
                self.bad_trees.insert(number);
            } else if count != head.change_count as u64 {
                wrong("change_count", count.to_string(), head.change_count.to_string());
            }
        }
        let leaf = leaf_hash(head.hash);
        // Behind a gap the tree is another one anyway; the gap is reported, and so is the first checkpoint after it.
        let nodes: Vec<u8> = tree.push_completing(leaf).concat();
        if nodes != head.nodes && tree.size() == number as u64 {
            wrong(
                "nodes",
                format!("{} bytes, other", nodes.len()),
                format!("{} bytes", head.nodes.len()),
            );
        }
        report.head = Some((
            number,
            hex(head.hash),
            computed.as_ref().map_or_else(String::new, to_hex),
        ));
    }

    /// The accounts of blocks against the changes themselves.
    fn accounts(&self, reader: &Reader, report: &mut Report<'_>) -> Result<(), Error> {
        let condition = self.range.not_before().unwrap_or_else(|| "true".to_owned());
        let mut changes = reader.scan(
            &format!(
                "select c.account_id, c.system_identifier, c.xid, c.id, c.checksum
                   from snackbase.audit_change c
                  where {condition} and {}
                  order by c.account_id, c.system_identifier, c.xid, c.id",
                self.scope.account_condition("c.account_id")
            ),
            &[],
        )?;
        let mut counted = reader.scan(
            &format!(
                "select a.account_id, b.system_identifier, b.from_xid, b.to_xid, a.block_number, a.change_count, a.previous_block,
                        a.root, a.first_id, a.last_id, a.tiles, a.before
                   from (select a.*, coalesce(lag(a.block_number) over (partition by a.account_id order by a.block_number),
                                (select max(p.block_number) from snackbase.audit_block_account p
                                  where p.account_id = a.account_id and p.block_number < $1), 0) as before
                           from snackbase.audit_block_account a
                          where a.block_number >= $1 and {}) a
                   join snackbase.audit_block b on b.number = a.block_number
                  where b.import_id is null
                  order by a.account_id, b.system_identifier, b.from_xid, a.block_number",
                self.scope.account_condition("a.account_id")
            ),
            &[self.range.from.into()],
        )?;
        let suspects = Suspects::prepare(reader)?;
        let mut outside = Outside::default();
        let mut more = changes.advance();
        while !report.is_full() && counted.advance() {
            let begin = place(&counted);
            let end = counted.int(3).unwrap_or_default() as u64;
            while more && place(&changes) < begin {
                self.outside(&changes, &mut outside, &suspects, report)?;
                more = changes.advance();
            }
            let mut tree = AccountTree::default();
            let mut ids: Option<(i64, i64)> = None;
            while more {
                let (account, system, xid) = place(&changes);
                if (account, system) != (begin.0, begin.1) || xid >= end {
                    break;
                }
                let id = changes.int(3).unwrap_or_default();
                ids = Some(ids.map_or((id, id), |(min, max)| (min.min(id), max.max(id))));
                let checksum = changes.bytes(4).and_then(|bytes| Hash::try_from(bytes).ok());
                tree.push(id, &checksum.unwrap_or_default());
                more = changes.advance();
            }
            compare(&counted, tree, ids, &suspects, report)?;
        }
        while more && !report.is_full() {
            self.outside(&changes, &mut outside, &suspects, report)?;
            more = changes.advance();
        }
        Ok(())
    }

    /// A change that stands in no account of a block: not sealed yet, or slipped in, or its account was taken out.
    fn outside(
        &self,
        change: &Scan<'_>,
        outside: &mut Outside,
        suspects: &Suspects<'_>,
        report: &mut Report<'_>,
    ) -> Result<(), Error> {
        let (account, system, xid) = place(change);
        if self.sealed.get(&system).is_none_or(|sealed| xid >= *sealed) {
            return Ok(());
        }
        let Some(number) = report.block_of(system, xid)? else {
            // The block itself is gone, which is reported.
            return Ok(());
        };
        if self.bad_trees.contains(&number) {
            if outside.last != Some((account, number)) {
                outside.last = Some((account, number));
                report.push(Finding {
                    block: Some(number),
                    account: Some(account),
                    ..mismatch("truncated", "the account in the block".into(), "null".into())
                });
            }
            return Ok(());
        }
        let id = change.int(3).unwrap_or_default();
        report.push(Finding {
            block: Some(number),
            account: Some(account),
            actual: Some("a change the block does not count".to_owned()),
            ..suspects.change(id, account)?
        });
        Ok(())
    }
}

#[derive(Default)]
struct Outside {
    last: Option<([u8; 16], i64)>,
}

/// Account, cluster and transaction: the order of both walks.
fn place(scan: &Scan<'_>) -> ([u8; 16], i64, u64) {
    (
        scan.uuid(0).unwrap_or_default(),
        scan.int(1).unwrap_or_default(),
        scan.int(2).unwrap_or_default() as u64,
    )
}

fn mismatch(kind: &'static str, expected: String, actual: String) -> Finding {
    Finding {
        kind,
        expected: Some(expected),
        actual: Some(actual),
        ..Finding::default()
    }
}

/// One account of one block, as stored and as its changes say.
fn compare(
    stored: &Scan<'_>,
    mut tree: AccountTree,
    ids: Option<(i64, i64)>,
    suspects: &Suspects<'_>,
    report: &mut Report<'_>,
) -> Result<(), Error> {
    let account = stored.uuid(0).unwrap_or_default();
    let number = stored.int(4).unwrap_or_default();
    let count = stored.int(5).unwrap_or_default();
    let (first, last) = (
        stored.int(8).unwrap_or_default(),
        stored.int(9).unwrap_or_default(),
    );
    let computed = tree.finish();
    let found = computed.change_count as i64;
    let finding = |finding: Finding| Finding {
        block: Some(number),
        account: Some(account),
        ..finding
    };
    let before = stored.int(11).unwrap_or_default();
    if stored.int(6) != Some(before) {
        report.push(finding(mismatch(
            "block",
            format!("previous_block {before}"),
            format!("previous_block {}", stored.int(6).unwrap_or_default()),
        )));
    }
    if found < count {
        // The account of a block says which ids it had at its ends.
        let gone = match ids {
            Some((min, _)) if min != first => Some(first),
            Some((_, max)) if max != last => Some(last),
            Some(_) => None,
            None => Some(first),
        };
        report.push(finding(Finding {
            change: gone,
            ..mismatch(
                "truncated",
                format!("{count} changes"),
                format!("{found} changes"),
            )
        }));
        return Ok(());
    }
    let root = stored.bytes(7).unwrap_or_default();
    let (expected, actual) = if found > count {
        (format!("{count} changes"), format!("{found} changes"))
    } else if computed.root != root {
        (
            format!("root {}", to_hex(&computed.root)),
            format!("root {}", hex(root)),
        )
    } else if computed.tiles.as_deref() != stored.bytes(10) || ids != Some((first, last)) {
        // Not hashed, but proofs are made of it.
        ("tiles and ids of the changes".to_owned(), "others".to_owned())
    } else {
        return Ok(());
    };
    report.push(finding(mismatch("block", expected, actual)));
    suspects.report(number, account, report)
}

/// Who wrote into a sealed block.
struct Suspects<'r> {
    by_id: Query<'r>,
    later: Query<'r>,
    searches: std::cell::Cell<usize>,
}

impl<'r> Suspects<'r> {
    fn prepare(reader: &'r Reader) -> Result<Self, Error> {
        Ok(Suspects {
            by_id: reader.prepare(
                "select c.table_name, c.record_id, c.record_version from snackbase.audit_change c
                  where c.id = $1 and c.account_id = $2",
                &[pg_sys::INT8OID, pg_sys::UUIDOID],
            )?,
            // Postgres keeps with each row which transaction wrote it last. What was written after the block was sealed (its
            // row is older) was not there then. Only as far as this cluster wrote both: a dump writes everything anew.
            later: reader.prepare(
                "select c.id
                   from snackbase.audit_block b
                   join snackbase.audit_change c
                     on c.system_identifier = b.system_identifier and c.xid >= b.from_xid and c.xid < b.to_xid
                  where b.number = $1 and c.account_id = $2 and b.system_identifier = snackbase._system_identifier()
                    and pg_catalog.age(c.xmin) < pg_catalog.age(b.xmin)
                  order by c.xid, c.id
                  limit 100",
                &[pg_sys::INT8OID, pg_sys::UUIDOID],
            )?,
            searches: std::cell::Cell::new(0),
        })
    }

    /// The record of a change.
    fn change(&self, id: i64, account: [u8; 16]) -> Result<Finding, Error> {
        let mut scan = self.by_id.open(&[id.into(), uuid(account).into()])?;
        let mut finding = Finding {
            kind: "block",
            change: Some(id),
            ..Finding::default()
        };
        if scan.advance() {
            finding.table = scan.text(0).map(str::to_owned);
            finding.record = scan.text(1).map(str::to_owned);
            finding.version = scan.int(2);
        }
        Ok(finding)
    }

    /// Names the changes of a damaged block that were written after it was sealed.
    fn report(&self, number: i64, account: [u8; 16], report: &mut Report<'_>) -> Result<(), Error> {
        if self.searches.replace(self.searches.get() + 1) >= SEARCHES {
            return Ok(());
        }
        let mut scan = self.later.open(&[number.into(), uuid(account).into()])?;
        while scan.advance() {
            report.push(Finding {
                block: Some(number),
                account: Some(account),
                actual: Some("written after the block was sealed".to_owned()),
                ..self.change(scan.int(0).unwrap_or_default(), account)?
            });
        }
        Ok(())
    }
}
