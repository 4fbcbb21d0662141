//! Heads of blocks and the accounts in them, as they are stored.

use pgrx::datum::{DatumWithOid, TimestampWithTimeZone};
use pgrx::pg_sys;
use snackbase_core::ledger::Hash;
use snackbase_core::ledger::block;
use snackbase_core::ledger::lines::{Decimal, HeadText, Hex};
use snackbase_core::ledger::merkle::Frontier;

use super::Scope;
use crate::error::Error;
use crate::json::timestamp_micros_text;
use crate::spi::scan::{Reader, Scan};

/// The head of a block as stored.
pub struct Head<'s> {
    pub number: i64,
    pub system: i64,
    pub from_xid: u64,
    pub to_xid: u64,
    pub import: Option<i64>,
    pub change_count: i64,
    pub tree_root: &'s [u8],
    pub previous: Option<&'s [u8]>,
    sealed_at: String,
    pub hash: &'s [u8],
    pub nodes: &'s [u8],
}

impl<'s> Head<'s> {
    /// The current row.
    pub fn read(row: &'s Scan<'_>) -> Self {
        let sealed_at = TimestampWithTimeZone::try_from(row.int(8).unwrap_or_default());
        Head {
            number: row.int(0).unwrap_or_default(),
            system: row.int(1).unwrap_or_default(),
            from_xid: row.int(2).unwrap_or_default() as u64,
            to_xid: row.int(3).unwrap_or_default() as u64,
            import: row.int(4),
            change_count: row.int(5).unwrap_or_default(),
            tree_root: row.bytes(6).unwrap_or_default(),
            previous: row.bytes(7),
            sealed_at: sealed_at.map(timestamp_micros_text).unwrap_or_default(),
            hash: row.bytes(9).unwrap_or_default(),
            nodes: row.bytes(10).unwrap_or_default(),
        }
    }

    /// The hash it should have; `None` when a hash in it is none.
    pub fn computed(&self) -> Option<Hash> {
        let head = HeadText {
            change_count: Decimal(self.change_count as u64),
            from_xid: Decimal(self.from_xid),
            import_id: self.import.map(|id| Decimal(id as u64)),
            number: Decimal(self.number as u64),
            previous_block_hash: match self.previous {
                Some(bytes) => Some(Hex(Hash::try_from(bytes).ok()?)),
                None => None,
            },
            sealed_at: self.sealed_at.as_str().into(),
            system_identifier: Decimal(self.system as u64),
            to_xid: Decimal(self.to_xid),
            tree_root: Hex(Hash::try_from(self.tree_root).ok()?),
        };
        Some(head.hash())
    }
}

/// The accounts of blocks, in the order of the blocks.
pub struct Accounts<'r> {
    scan: Scan<'r>,
    on_row: bool,
    /// Only the blocks of one account are here.
    some: bool,
}

impl<'r> Accounts<'r> {
    /// From this block on.
    ///
    /// # Errors
    /// What the query raises.
    pub fn open(reader: &'r Reader, scope: &Scope, from: i64) -> Result<Self, Error> {
        let blocks = match scope.account {
            Some(_) => format!(
                "a.block_number in (select o.block_number from snackbase.audit_block_account o where {})",
                scope.account_condition("o.account_id")
            ),
            None => "true".to_owned(),
        };
        let mut scan = reader.scan(
            &format!(
                "select a.block_number, a.account_id, a.change_count, a.previous_block, a.root
                   from snackbase.audit_block_account a
                  where a.block_number >= $1 and {blocks}
                  order by a.block_number, a.account_id"
            ),
            &[from.into()],
        )?;
        Ok(Accounts {
            on_row: scan.advance(),
            scan,
            some: scope.account.is_some(),
        })
    }

    /// Root of the tree over the accounts of a block, and their changes. `None`: the block is not looked at.
    pub fn of_block(&mut self, number: i64) -> Option<(Hash, u64)> {
        let block = |scan: &Scan<'_>| scan.int(0).unwrap_or_default();
        while self.on_row && block(&self.scan) < number {
            self.on_row = self.scan.advance();
        }
        let mut tree = Frontier::default();
        let mut count = 0u64;
        while self.on_row && block(&self.scan) == number {
            let changes = self.scan.int(2).unwrap_or_default() as u64;
            let root = self.scan.bytes(4).and_then(|root| Hash::try_from(root).ok());
            tree.push(block::account_leaf(
                &self.scan.uuid(1).unwrap_or_default(),
                changes,
                self.scan.int(3).unwrap_or_default() as u64,
                &root.unwrap_or_default(),
            ));
            count = count.wrapping_add(changes);
            self.on_row = self.scan.advance();
        }
        (!self.some || tree.size() > 0).then(|| (tree.root(), count))
    }
}

/// The number of the newest block, 0 if there is none.
pub fn newest(reader: &Reader) -> Result<i64, Error> {
    let mut scan = reader.scan(
        "select b.number from snackbase.audit_block b order by b.number desc limit 1",
        &[],
    )?;
    Ok(if scan.advance() {
        scan.int(0).unwrap_or_default()
    } else {
        0
    })
}

/// The tree over the blocks 1 to `number` from stored nodes, and the hash of block `number`. Where other blocks are missing
/// the tree is another one. `None`: there is no block of that number.
pub fn restore(reader: &Reader, number: i64) -> Result<Option<(Frontier, Vec<u8>)>, Error> {
    let of = reader.prepare(
        "select b.nodes, b.block_hash from snackbase.audit_block b where b.number = $1",
        &[pg_sys::INT8OID],
    )?;
    let mut scan = of.open(&[number.into()])?;
    if !scan.advance() {
        return Ok(None);
    }
    let block_hash = scan.bytes(1).unwrap_or_default().to_vec();
    let size = number as u64;
    let mut hashes = Vec::new();
    for node in Frontier::nodes_of(size) {
        let mut scan = of.open(&[DatumWithOid::from(node.completed_at() as i64)])?;
        let start = 32 * node.level as usize;
        let hash = scan
            .advance()
            .then(|| scan.bytes(0)?.get(start..start + 32)?.try_into().ok())
            .flatten();
        hashes.push(hash.unwrap_or_default());
    }
    let tree = Frontier::restore(size, hashes).unwrap_or_default();
    Ok(Some((tree, block_hash)))
}
