//! What proofs and exports read of the ledger: changes as texts, blocks, and the trees over them. Everything is read as
//! the caller, so row security decides; only the hashes of other accounts beside a path are read as the owner.

use std::borrow::Cow;
use std::collections::HashMap;

use pgrx::datum::{FromDatum, Uuid};
use pgrx::prelude::*;
use snackbase_core::ledger::lines::{Decimal, EntryV1, HeadText, Hex};
use snackbase_core::ledger::merkle::{
    Joined, Node, consistency_path_from, inclusion_path, inclusion_path_from,
};
use snackbase_core::ledger::{Hash, Header, block};

use crate::error::Error;
use crate::json::timestamp_micros_text;
use crate::spi::{self, Row};

/// What [`Change::read`] reads, of `snackbase.audit_change c`.
pub const CHANGE: &str = "c.id, c.account_id::text, c.auth_method, c.es_reason, c.es_timestamp, c.es_username, c.extra_metadata::text,
       c.ip_address, c.occurred_at, c.operation, c.record_id::text, c.record_version, c.request_id, c.table_name::text,
       c.user_agent, c.user_email, c.user_id, c.user_name, c.columns::text, c.previous_hash, c.checksum";

/// How many columns that are.
pub const CHANGE_WIDTH: usize = 21;

/// What [`BlockRow::read`] reads, of `snackbase.audit_block b`.
pub const BLOCK: &str = "b.number, b.system_identifier, b.from_xid::text, b.to_xid::text, b.import_id, b.change_count, b.tree_root,
       b.previous_block_hash, b.sealed_at, b.block_hash";

/// How many columns that are.
pub const BLOCK_WIDTH: usize = 10;

/// One stored change of hash version 2.
pub struct Change {
    /// Its number.
    pub id: i64,
    account_id: String,
    auth_method: Option<String>,
    es_reason: Option<String>,
    es_timestamp: Option<String>,
    es_username: Option<String>,
    extra_metadata: Option<String>,
    ip_address: Option<String>,
    occurred_at: String,
    operation: String,
    record_id: String,
    record_version: i64,
    request_id: Option<String>,
    table_name: String,
    user_agent: Option<String>,
    user_email: String,
    user_id: String,
    user_name: String,
    /// As stored; [`super::entry::entries`] reads it.
    pub columns: String,
    /// The checksum of the record's change before.
    pub previous: Option<Hash>,
    /// Its own.
    pub checksum: Hash,
}

impl Change {
    /// Reads [`CHANGE`] from the first columns of a row.
    ///
    /// # Errors
    /// [`Error::Spi`]; [`Error::Internal`] when something is missing that a change always has.
    pub fn read(row: &Row<'_>) -> Result<Change, Error> {
        let instant = |column| {
            Ok::<_, Error>(
                row.get::<TimestampWithTimeZone>(column)?
                    .map(timestamp_micros_text),
            )
        };
        Ok(Change {
            id: want(row, 1)?,
            account_id: want(row, 2)?,
            auth_method: row.get(3)?,
            es_reason: row.get(4)?,
            es_timestamp: instant(5)?,
            es_username: row.get(6)?,
            extra_metadata: row.get(7)?,
            ip_address: row.get(8)?,
            occurred_at: instant(9)?.ok_or_else(damaged)?,
            operation: want(row, 10)?,
            record_id: want(row, 11)?,
            record_version: want(row, 12)?,
            request_id: row.get(13)?,
            table_name: want(row, 14)?,
            user_agent: row.get(15)?,
            user_email: want(row, 16)?,
            user_id: want(row, 17)?,
            user_name: want(row, 18)?,
            columns: want(row, 19)?,
            previous: hash_or_null(row, 20)?,
            checksum: hash(row, 21)?,
        })
    }

    /// What all its entries share.
    pub fn header(&self) -> Header<'_> {
        Header {
            account_id: &self.account_id,
            auth_method: self.auth_method.as_deref(),
            es_reason: self.es_reason.as_deref(),
            es_timestamp: self.es_timestamp.as_deref(),
            es_username: self.es_username.as_deref(),
            extra_metadata: self.extra_metadata.as_deref(),
            ip_address: self.ip_address.as_deref(),
            occurred_at: &self.occurred_at,
            operation: &self.operation,
            record_id: &self.record_id,
            record_version: self.record_version,
            request_id: self.request_id.as_deref(),
            table_name: &self.table_name,
            user_agent: self.user_agent.as_deref(),
            user_email: &self.user_email,
            user_id: &self.user_id,
            user_name: &self.user_name,
        }
    }
}

/// What [`Imported::read`] reads, of `snackbase.audit_import_entry e`.
pub const IMPORTED: &str = "e.id, e.computed, e.account_id::text, e.column_name, e.es_reason, e.es_timestamp, e.es_username, e.extra_metadata::text,
       e.ip_address, e.new_value, e.occurred_at, e.old_value, e.operation, e.previous_hash, e.record_id, e.request_id, e.table_name,
       e.user_agent, e.user_email, e.user_id, e.user_name";

/// How many columns that are.
pub const IMPORTED_WIDTH: usize = 21;

/// One stored entry of hash version 1.
pub struct Imported {
    /// Its number in the original log.
    pub id: i64,
    /// The checksum of what is stored.
    pub computed: Hash,
    /// What is hashed.
    pub entry: EntryV1<'static>,
}

impl Imported {
    /// Reads [`IMPORTED`] from the first columns of a row.
    ///
    /// # Errors
    /// As [`Change::read`].
    pub fn read(row: &Row<'_>) -> Result<Imported, Error> {
        let text = |column| Ok::<_, Error>(Cow::Owned(want::<String>(row, column)?));
        let text_or_null = |column| Ok::<_, Error>(row.get::<String>(column)?.map(Cow::Owned));
        let instant = |column| {
            let instant = row.get::<TimestampWithTimeZone>(column)?;
            Ok::<_, Error>(instant.map(|instant| Cow::Owned(timestamp_micros_text(instant))))
        };
        let metadata = row
            .get::<String>(8)?
            .map(|text| serde_json::from_str(&text).map(Cow::Owned));
        Ok(Imported {
            id: want(row, 1)?,
            computed: hash(row, 2)?,
            entry: EntryV1 {
                account_id: text(3)?,
                column_name: text(4)?,
                es_reason: text_or_null(5)?,
                es_timestamp: instant(6)?,
                es_username: text_or_null(7)?,
                extra_metadata: metadata.transpose().map_err(|_| damaged())?,
                ip_address: text_or_null(9)?,
                new_value: text_or_null(10)?,
                occurred_at: instant(11)?.ok_or_else(damaged)?,
                old_value: text_or_null(12)?,
                operation: text(13)?,
                previous_hash: text_or_null(14)?,
                record_id: text(15)?,
                request_id: text_or_null(16)?,
                table_name: text(17)?,
                user_agent: text_or_null(18)?,
                user_email: text(19)?,
                user_id: text(20)?,
                user_name: text(21)?,
            },
        })
    }
}

/// The head of a stored block.
pub struct BlockRow {
    /// 1, 2, …
    pub number: u64,
    /// The cluster, as it is stored.
    pub system_identifier: i64,
    /// The transactions of the block, as texts of `xid8`.
    pub from_xid: String,
    /// Where they end.
    pub to_xid: String,
    /// The import that the block notarises.
    pub import_id: Option<i64>,
    change_count: u64,
    tree_root: Hash,
    previous_block_hash: Option<Hash>,
    sealed_at: String,
    /// Its hash.
    pub hash: Hash,
}

impl BlockRow {
    /// Reads [`BLOCK`] from the columns of a row after the first `skip`.
    ///
    /// # Errors
    /// As [`Change::read`].
    pub fn read(row: &Row<'_>, skip: usize) -> Result<BlockRow, Error> {
        let sealed_at: TimestampWithTimeZone = want(row, skip + 9)?;
        Ok(BlockRow {
            number: number(row, skip + 1)?,
            system_identifier: want(row, skip + 2)?,
            from_xid: want(row, skip + 3)?,
            to_xid: want(row, skip + 4)?,
            import_id: row.get(skip + 5)?,
            change_count: number(row, skip + 6)?,
            tree_root: hash(row, skip + 7)?,
            previous_block_hash: hash_or_null(row, skip + 8)?,
            sealed_at: timestamp_micros_text(sealed_at),
            hash: hash(row, skip + 10)?,
        })
    }

    /// What is hashed.
    ///
    /// # Errors
    /// [`Error::Internal`] for a transaction number that is none.
    pub fn head(&self) -> Result<HeadText<'_>, Error> {
        let xid = |text: &str| text.parse().map(Decimal).map_err(|_| damaged());
        Ok(HeadText {
            change_count: Decimal(self.change_count),
            from_xid: xid(&self.from_xid)?,
            import_id: self.import_id.map(i64::cast_unsigned).map(Decimal),
            number: Decimal(self.number),
            previous_block_hash: self.previous_block_hash.map(Hex),
            sealed_at: self.sealed_at.as_str().into(),
            system_identifier: Decimal(self.system_identifier.cast_unsigned()),
            to_xid: xid(&self.to_xid)?,
            tree_root: Hex(self.tree_root),
        })
    }
}

/// The place of an account in the tree of a block: its index, the number of accounts, and the path. The caller must have
/// seen that the account is in the block: what is read here belongs to others, and only hashes of it go out.
///
/// # Errors
/// [`Error::Internal`] when the account is not there.
pub fn account_place(number: u64, account: Uuid) -> Result<(u64, u64, Vec<Hash>), Error> {
    const ACCOUNTS: &str = "
        select a.account_id, a.change_count, a.previous_block, a.root
          from snackbase.audit_block_account a
         where a.block_number operator(pg_catalog.=) $1
         order by a.account_id";
    let accounts = spi::select_as_owner(ACCOUNTS, &[number.cast_signed().into()], |rows| {
        rows.map(|row| {
            let id: Uuid = want(&row, 1)?;
            let leaf = block::account_leaf(
                id.as_bytes(),
                self::number(&row, 2)?,
                self::number(&row, 3)?,
                &hash(&row, 4)?,
            );
            Ok((id, leaf))
        })
        .collect::<Result<Vec<_>, Error>>()
    })?;
    let index = accounts
        .iter()
        .position(|(id, _)| *id == account)
        .ok_or_else(damaged)?;
    let leaves: Vec<Hash> = accounts.into_iter().map(|(_, leaf)| leaf).collect();
    let path = inclusion_path(&leaves, index).ok_or_else(damaged)?;
    Ok((index as u64, leaves.len() as u64, path))
}

/// The tree over the first `size` blocks, from the hashes that the blocks keep.
pub struct BlockTree {
    size: u64,
    /// Hashes that were read. Those near the leaves are forgotten when there are many.
    known: HashMap<Node, Hash>,
}

/// So many hashes are kept: a few megabytes.
const KNOWN: usize = 50_000;

impl BlockTree {
    /// Nothing is read yet.
    pub fn new(size: u64) -> BlockTree {
        BlockTree {
            size,
            known: HashMap::new(),
        }
    }

    /// The path of a block to the root.
    ///
    /// # Errors
    /// [`Error::Internal`] when a block that holds a hash is missing or damaged.
    pub fn inclusion(&mut self, number: u64) -> Result<Vec<Hash>, Error> {
        let index = number.checked_sub(1).ok_or_else(damaged)?;
        self.path(
            |size, get| inclusion_path_from(index, size, get),
            |size, get| inclusion_path_from(index, size, get),
        )
    }

    /// The proof that the tree over the first `old` blocks is the beginning of this one.
    ///
    /// # Errors
    /// As [`BlockTree::inclusion`].
    pub fn consistency(&mut self, old: u64) -> Result<Vec<Hash>, Error> {
        self.path(
            |size, get| consistency_path_from(old, size, get),
            |size, get| consistency_path_from(old, size, get),
        )
    }

    /// Finds out which nodes the path needs, reads them in one query, and makes the path.
    fn path(
        &mut self,
        ask: impl FnOnce(u64, &mut dyn FnMut(Node) -> Asked) -> Option<Vec<Asked>>,
        make: impl FnOnce(u64, &mut dyn FnMut(Node) -> Option<Hash>) -> Option<Vec<Option<Hash>>>,
    ) -> Result<Vec<Hash>, Error> {
        let mut missing = Vec::new();
        ask(self.size, &mut |node| {
            if !self.known.contains_key(&node) {
                missing.push(node);
            }
            Asked
        });
        self.read(&missing)?;
        let path = make(self.size, &mut |node| self.known.get(&node).copied());
        let path = path
            .and_then(|path| path.into_iter().collect())
            .ok_or_else(damaged)?;
        if self.known.len() > KNOWN {
            self.known.retain(|node, _| node.level >= 8);
        }
        Ok(path)
    }

    fn read(&mut self, missing: &[Node]) -> Result<(), Error> {
        const NODES: &str = "select b.number, b.nodes from snackbase.audit_block b where b.number = any ($1)";
        if missing.is_empty() {
            return Ok(());
        }
        let numbers = missing
            .iter()
            .map(|node| Some(node.completed_at().cast_signed()))
            .collect();
        spi::select(NODES, &[spi::bigint_array(numbers)], |rows| {
            for row in rows {
                let (number, nodes) = (number(&row, 1)?, want::<Vec<u8>>(&row, 2)?);
                let hashes = nodes.as_chunks::<32>().0;
                for node in missing.iter().filter(|node| node.completed_at() == number) {
                    let hash = hashes.get(node.level as usize).ok_or_else(damaged)?;
                    self.known.insert(*node, *hash);
                }
            }
            Ok(())
        })
    }
}

/// In the place of a hash while it is only asked which are needed.
struct Asked;

impl Joined for Asked {
    fn join(_: Asked, _: Asked) -> Asked {
        Asked
    }
}

/// A column that is never NULL.
///
/// # Errors
/// [`Error::Spi`]; [`Error::Internal`] when it is NULL all the same.
pub fn want<T: FromDatum + IntoDatum>(row: &Row<'_>, column: usize) -> Result<T, Error> {
    row.get(column)?.ok_or_else(damaged)
}

/// A count or a number of a block: a bigint that is never negative.
///
/// # Errors
/// As [`want`].
pub fn number(row: &Row<'_>, column: usize) -> Result<u64, Error> {
    u64::try_from(want::<i64>(row, column)?).map_err(|_| damaged())
}

/// A hash.
///
/// # Errors
/// As [`want`].
pub fn hash(row: &Row<'_>, column: usize) -> Result<Hash, Error> {
    hash_or_null(row, column)?.ok_or_else(damaged)
}

fn hash_or_null(row: &Row<'_>, column: usize) -> Result<Option<Hash>, Error> {
    let bytes = row.get::<Vec<u8>>(column)?;
    bytes
        .map(|bytes| Hash::try_from(bytes).map_err(|_| damaged()))
        .transpose()
}

/// What was read cannot be: the ledger was tampered with, and verification will say where.
pub fn damaged() -> Error {
    Error::Internal("the ledger is damaged: audit_verify() says where".into())
}
