//! A block while it is filled, and how it is closed.

use pgrx::datum::Uuid;
use pgrx::pg_sys;
use pgrx::prelude::*;
use snackbase_core::ledger::Hash;
use snackbase_core::ledger::block::{AccountTree, account_leaf};
use snackbase_core::ledger::lines::{Decimal, HeadText, Hex};
use snackbase_core::ledger::merkle::{Frontier, leaf_hash};

use super::{ACCOUNTS, Newest, Sample, Sealed, tree_of_blocks};
use crate::error::Error;
use crate::fresh::Fresh;
use crate::json::timestamp_micros_text;
use crate::spi;

/// What a block covers.
pub(super) struct Span {
    pub from: u64,
    pub to: u64,
    pub import_id: Option<i64>,
}

/// A block that is being filled.
pub struct OpenBlock<'a> {
    fresh: &'a Fresh,
    newest: Option<Newest>,
    system: i64,
    tree: Frontier,
    account: Option<OpenAccount>,
    done: Vec<ClosedAccount>,
    changes: u64,
    accounts: u64,
    /// When the oldest change happened, as a timestamptz.
    oldest: i64,
}

struct OpenAccount {
    id: Uuid,
    tree: AccountTree,
    first_id: i64,
    last_id: i64,
}

struct ClosedAccount {
    id: Uuid,
    change_count: u64,
    root: Hash,
    tiles: Option<Vec<u8>>,
    first_id: i64,
    last_id: i64,
}

impl<'a> OpenBlock<'a> {
    pub(super) fn begin(fresh: &'a Fresh, system: i64) -> Result<OpenBlock<'a>, Error> {
        Ok(OpenBlock {
            fresh,
            newest: Newest::read(fresh)?,
            system,
            tree: Frontier::default(),
            account: None,
            done: Vec::new(),
            changes: 0,
            accounts: 0,
            oldest: i64::MAX,
        })
    }

    fn number(&self) -> i64 {
        self.newest.as_ref().map_or(1, |block| block.number + 1)
    }

    /// Adds a change: `occurred_at` as microseconds since 2000-01-01.
    ///
    /// # Errors
    /// [`Error::Internal`] when accounts do not come in order; [`Error::Spi`].
    pub fn push(&mut self, account: Uuid, id: i64, checksum: &Hash, occurred_at: i64) -> Result<(), Error> {
        if self.account.as_ref().is_none_or(|open| open.id != account) {
            if self
                .account
                .as_ref()
                .is_some_and(|open| open.id.as_bytes() > account.as_bytes())
            {
                return Err(Error::Internal("accounts of a block do not come in order".into()));
            }
            self.close_account()?;
            self.account = Some(OpenAccount {
                id: account,
                tree: AccountTree::default(),
                first_id: id,
                last_id: id,
            });
        }
        if let Some(open) = &mut self.account {
            open.tree.push(id, checksum);
            open.first_id = open.first_id.min(id);
            open.last_id = open.last_id.max(id);
        }
        self.changes += 1;
        self.oldest = self.oldest.min(occurred_at);
        Ok(())
    }

    fn close_account(&mut self) -> Result<(), Error> {
        if let Some(mut open) = self.account.take() {
            let closed = open.tree.finish();
            self.done.push(ClosedAccount {
                id: open.id,
                change_count: closed.change_count,
                root: closed.root,
                tiles: closed.tiles,
                first_id: open.first_id,
                last_id: open.last_id,
            });
            self.accounts += 1;
        }
        if self.done.len() == ACCOUNTS {
            self.write_accounts()
        } else {
            Ok(())
        }
    }

    /// Links the closed accounts to their blocks before, puts them into the tree and writes them.
    fn write_accounts(&mut self) -> Result<(), Error> {
        const PREVIOUS: &str = "
        select coalesce((select b.block_number
                           from snackbase.audit_block_account b
                          where b.account_id = u.account
                          order by b.block_number desc
                          limit 1), 0)
          from unnest($1) with ordinality u(account, place)
         order by u.place";
        const INSERT: &str = "
        insert into snackbase.audit_block_account
               (block_number, account_id, change_count, previous_block, root, first_id, last_id, tiles)
        select $1, u.* from unnest($2, $3, $4, $5, $6, $7, $8) u";
        let done = std::mem::take(&mut self.done);
        let accounts = || spi::uuid_array(done.iter().map(|account| Some(account.id)).collect());
        let mut previous: Vec<i64> = Vec::with_capacity(done.len());
        self.fresh.read(PREVIOUS, &[accounts()], |row| {
            previous.push(row.want(1)?);
            Ok(())
        })?;
        for (account, previous) in done.iter().zip(&previous) {
            let previous = previous.cast_unsigned();
            self.tree.push(account_leaf(
                account.id.as_bytes(),
                account.change_count,
                previous,
                &account.root,
            ));
        }
        let numbers =
            |of: fn(&ClosedAccount) -> i64| spi::bigint_array(done.iter().map(of).map(Some).collect());
        spi::update(
            INSERT,
            &[
                self.number().into(),
                accounts(),
                numbers(|account| account.change_count.cast_signed()),
                spi::bigint_array(previous.into_iter().map(Some).collect()),
                spi::bytea_array(done.iter().map(|account| Some(&account.root[..])).collect()),
                numbers(|account| account.first_id),
                numbers(|account| account.last_id),
                spi::bytea_array(done.iter().map(|account| account.tiles.as_deref()).collect()),
            ],
            |_| Ok(()),
        )
    }

    /// Writes the head of the block. `None` when it is empty: then there is no block.
    pub(super) fn close(mut self, span: Span, hint: Sample) -> Result<Option<Sealed>, Error> {
        const INSERT: &str = "
        insert into snackbase.audit_block
               (number, system_identifier, from_xid, to_xid, import_id, change_count, tree_root, previous_block_hash,
                sealed_at, block_hash, nodes, next_xid, next_id)
        values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)";
        self.close_account()?;
        if self.changes == 0 {
            return Ok(None);
        }
        self.write_accounts()?;
        let number = self.number();
        // SAFETY: reads the clock.
        let now = unsafe { pg_sys::GetCurrentTimestamp() };
        let sealed_at = TimestampWithTimeZone::try_from(now).map_err(|e| Error::Internal(e.to_string()))?;
        let previous = self.newest.as_ref().map(|block| block.hash);
        let root = self.tree.root();
        let head = HeadText {
            change_count: Decimal(self.changes),
            from_xid: Decimal(span.from),
            import_id: span.import_id.map(i64::cast_unsigned).map(Decimal),
            number: Decimal(number.cast_unsigned()),
            previous_block_hash: previous.map(Hex),
            sealed_at: timestamp_micros_text(sealed_at).into(),
            system_identifier: Decimal(self.system.cast_unsigned()),
            to_xid: Decimal(span.to),
            tree_root: Hex(root),
        };
        let hash = head.hash();
        let nodes = tree_of_blocks(self.fresh, number - 1)?
            .push_completing(leaf_hash(&hash))
            .concat();
        spi::update(
            INSERT,
            &[
                number.into(),
                self.system.into(),
                spi::xid(span.from),
                spi::xid(span.to),
                span.import_id.into(),
                self.changes.cast_signed().into(),
                root.to_vec().into(),
                previous.map(|hash| hash.to_vec()).into(),
                spi::instant(now),
                hash.to_vec().into(),
                nodes.into(),
                spi::xid(hint.xid),
                hint.id.into(),
            ],
            |_| Ok(()),
        )?;
        Ok(Some(Sealed {
            number,
            changes: self.changes,
            accounts: self.accounts,
            lag_ms: (now - self.oldest).max(0) / 1000,
        }))
    }
}
