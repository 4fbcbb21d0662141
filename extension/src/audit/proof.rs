//! Proofs for outsiders: that one entry is in the ledger, and that one checkpoint continues another. The formats are those
//! of `docs/ledger.md` §7.

use pgrx::datum::Uuid;
use pgrx::pg_sys::panic::ErrorReport;
use pgrx::prelude::*;
use snackbase_core::ledger::block::{TILE_LEAVES, read_tiles, tiles_around};
use snackbase_core::ledger::lines::{Hex, Path};
use snackbase_core::ledger::merkle::{inclusion_path, leaf_hash};
use snackbase_core::ledger::proof::{
    self, CONSISTENCY_FORMAT, Consistency, Entry, FORMAT, Place, Proof, Subject, Tree,
};
use snackbase_core::ledger::{Column, Hash, column_hash, entry_hashes, header_hash};

use super::entry;
use super::evidence::{
    BLOCK, BLOCK_WIDTH, BlockRow, BlockTree, CHANGE, CHANGE_WIDTH, Change, IMPORTED, IMPORTED_WIDTH,
    Imported, account_place, damaged, hash, number, want,
};
use super::trail::masks::sees_everything;
use crate::error::Error;
use crate::json::JsonText;
use crate::spi::{self, Row};

/// Entries of a change have the ids from `id * 2048 + 1` on.
const PER_CHANGE: i64 = 2048;

/// Proves that one entry of the trail is in the ledger, up to the first checkpoint that covers it; the JSON of
/// `docs/ledger.md` §7. With an `import_id` it is the entry that has the id in that imported log. For whoever may read the
/// entry, and values in clear: a hash would give away a masked one.
///
/// NULL for NULL. Errors: P0002 no such visible entry, or it is not sealed yet · 42501 the caller does not see all values in clear.
#[pg_extern(stable, parallel_unsafe)]
fn audit_proof(
    entry_id: Option<i64>,
    import_id: default!(Option<i64>, "NULL"),
) -> Result<Option<JsonText>, ErrorReport> {
    let Some(entry_id) = entry_id else { return Ok(None) };
    Ok(Some(JsonText(match import_id {
        None => proof_of_own(entry_id)?,
        Some(import_id) => proof_of_imported(import_id, entry_id)?,
    })))
}

/// Proves that the blocks 1 to `from_block` are the beginning of the blocks 1 to `to_block` (default: all); the JSON of
/// `docs/ledger.md` §7.
///
/// Errors: 22023 unless 1 <= from_block <= to_block · P0002 there is no block `to_block`.
#[pg_extern(stable, parallel_unsafe)]
fn audit_consistency(
    from_block: i64,
    to_block: default!(Option<i64>, "NULL"),
) -> Result<JsonText, ErrorReport> {
    Ok(JsonText(consistency(from_block, to_block)?))
}

/// Where a sealed leaf is, and the checkpoint above it.
struct Found {
    /// The id by which leaves are ordered and found: of a change, or of an imported entry in its log.
    id: i64,
    block: BlockRow,
    account: Uuid,
    change_count: u64,
    previous_block: u64,
    first_id: i64,
    last_id: i64,
    tiles: Option<Vec<u8>>,
    note: Option<String>,
    size: u64,
}

/// What [`Found::read`] reads: [`BLOCK`], and `a`, the account in it, with the checkpoint `k`.
const FOUND: &str = "a.account_id, a.change_count, a.previous_block, a.first_id, a.last_id, a.tiles,
                k.note, coalesce(k.block_number, (select max(n.number) from snackbase.audit_block n))";

/// The first checkpoint that covers block `b`.
const CHECKPOINT: &str = "left join lateral (
                select p.block_number, p.note from snackbase.audit_checkpoint p
                 where p.block_number >= b.number
                 order by p.block_number limit 1) k on true";

impl Found {
    /// Reads [`BLOCK`] and [`FOUND`] from the columns of a row after the first `skip`; `None` for what is in no block.
    fn read(row: &Row<'_>, id: i64, skip: usize) -> Result<Option<Found>, Error> {
        if row.get::<i64>(skip + 1)?.is_none() {
            return Ok(None);
        }
        let rest = skip + BLOCK_WIDTH;
        Ok(Some(Found {
            id,
            block: BlockRow::read(row, skip)?,
            account: want(row, rest + 1)?,
            change_count: number(row, rest + 2)?,
            previous_block: number(row, rest + 3)?,
            first_id: want(row, rest + 4)?,
            last_id: want(row, rest + 5)?,
            tiles: row.get(rest + 6)?,
            note: row.get(rest + 7)?,
            size: number(row, rest + 8)?,
        }))
    }

    /// The JSON of the proof of what was found.
    fn proof(&self, subject: Subject<'_>) -> Result<String, Error> {
        let (index, path) = self.place()?;
        let (account_index, accounts, account_path) = account_place(self.block.number, self.account)?;
        let proof = Proof {
            format: FORMAT.into(),
            subject,
            change: Place {
                index,
                count: self.change_count,
                path: Path(path),
            },
            previous_block: self.previous_block,
            account: Place {
                index: account_index,
                count: accounts,
                path: Path(account_path),
            },
            block: self.block.head()?,
            tree: Tree {
                size: self.size,
                path: Path(BlockTree::new(self.size).inclusion(self.block.number)?),
            },
            note: self.note.as_deref().map(Into::into),
        };
        serde_json::to_string(&proof).map_err(|e| Error::Internal(e.to_string()))
    }

    /// Its place in the tree of its account: index and path. Of a large block only the tiles are read whose ids could be
    /// those around it.
    fn place(&self) -> Result<(u64, Vec<Hash>), Error> {
        let Some(tiles) = &self.tiles else {
            let leaves = self.leaves_between(self.first_id, self.last_id)?;
            if leaves.len() as u64 != self.change_count {
                return Err(damaged());
            }
            let (index, leaves) = locate(self.id, &leaves)?;
            return Ok((index as u64, inclusion_path(&leaves, index).ok_or_else(damaged)?));
        };
        let tiles = read_tiles(tiles).ok_or_else(damaged)?;
        let together = tiles_around(&tiles, self.id).ok_or_else(damaged)?;
        let first = together.iter().map(|tile| tiles[*tile].min_id).min();
        let last = together.iter().map(|tile| tiles[*tile].max_id).max();
        let (Some(first), Some(last)) = (first, last) else {
            return Err(damaged());
        };
        let leaves = self.leaves_between(first, last)?;
        let (at, leaves) = locate(self.id, &leaves)?;
        // The leaves of these tiles, in their order: 256 each, the very last tile may have fewer.
        let (nth, within) = (at / TILE_LEAVES as usize, at % TILE_LEAVES as usize);
        let tile = *together.get(nth).ok_or_else(damaged)?;
        let own = leaves.chunks(TILE_LEAVES as usize).nth(nth).ok_or_else(damaged)?;
        let hashes: Vec<Hash> = tiles.iter().map(|tile| tile.hash).collect();
        let (Some(mut path), Some(above)) = (inclusion_path(own, within), inclusion_path(&hashes, tile))
        else {
            return Err(damaged());
        };
        path.extend(above);
        Ok((tile as u64 * TILE_LEAVES + within as u64, path))
    }

    /// Ids and leaves of what the account has in the block with ids in this range, in the order of the tree.
    fn leaves_between(&self, first: i64, last: i64) -> Result<Vec<(i64, Hash)>, Error> {
        const CHANGES: &str = "
            select c.id, c.checksum
              from snackbase.audit_change c
             where c.account_id = $1 and c.id between $2 and $3 and c.system_identifier = $4
               and c.xid >= ($5::text)::xid8 and c.xid < ($6::text)::xid8
             order by c.xid, c.id";
        const ENTRIES: &str = "
            select e.id, e.computed
              from snackbase.audit_import_entry e
             where e.account_id = $1 and e.id between $2 and $3 and e.import_id = $4
             order by e.id";
        let block = &self.block;
        let mut arguments = vec![self.account.into(), first.into(), last.into()];
        let statement = match block.import_id {
            Some(import_id) => {
                arguments.push(import_id.into());
                ENTRIES
            }
            None => {
                arguments.extend([
                    block.system_identifier.into(),
                    block.from_xid.as_str().into(),
                    block.to_xid.as_str().into(),
                ]);
                CHANGES
            }
        };
        spi::select(statement, &arguments, |rows| {
            rows.map(|row| Ok((want(&row, 1)?, leaf_hash(&hash(&row, 2)?))))
                .collect()
        })
    }
}

fn proof_of_own(entry_id: i64) -> Result<String, Error> {
    let not_found = || Error::EntryNotFound(entry_id);
    let (change, found) = find(entry_id)?;
    let entries = entry::entries(&change.columns)?;
    let columns: Vec<Column> = entries.iter().map(entry::Entry::column).collect();
    let ordinal = usize::try_from(entry_id % PER_CHANGE).map_err(|_| not_found())?;
    let ordinal = ordinal
        .checked_sub(1)
        .filter(|o| *o < columns.len())
        .ok_or_else(not_found)?;
    let header = change.header();
    if !sees_everything()? {
        return Err(Error::Masked);
    }
    let (column, following) = (&columns[ordinal], &columns[ordinal + 1..]);
    let hashes = entry_hashes(change.previous, &header_hash(&header), &columns[..ordinal]);
    found.proof(Subject::Entry(Box::new(Entry {
        id: entry_id,
        column_name: column.name.into(),
        old_value: column.old.map(Into::into),
        new_value: column.new.map(Into::into),
        header: (&header).into(),
        previous: hashes.last().copied().or(change.previous).map(Hex),
        following: Path(following.iter().map(column_hash).collect()),
    })))
}

fn proof_of_imported(import_id: i64, entry_id: i64) -> Result<String, Error> {
    let statement = format!(
        "select {IMPORTED}, {BLOCK}, {FOUND}
           from snackbase.audit_import_entry e
           left join snackbase.audit_block b on b.import_id = e.import_id
           left join snackbase.audit_block_account a on a.account_id = e.account_id and a.block_number = b.number
           {CHECKPOINT}
          where e.import_id = $1 and e.id = $2"
    );
    let (imported, found) = spi::select(&statement, &[import_id.into(), entry_id.into()], |mut rows| {
        let row = rows.next().ok_or(Error::EntryNotFound(entry_id))?;
        let found = Found::read(&row, entry_id, IMPORTED_WIDTH)?;
        Ok((
            Imported::read(&row)?,
            found.ok_or(Error::EntryNotSealed(entry_id))?,
        ))
    })?;
    if !sees_everything()? {
        return Err(Error::Masked);
    }
    found.proof(Subject::Imported(Box::new(proof::Imported {
        id: entry_id,
        entry: imported.entry,
    })))
}

fn find(entry_id: i64) -> Result<(Change, Found), Error> {
    let statement = format!(
        "select {CHANGE}, {BLOCK}, {FOUND}
           from snackbase.audit_change c
           left join lateral (
                select * from snackbase.audit_block b
                 where b.system_identifier = c.system_identifier and b.to_xid > c.xid and b.import_id is null
                 order by b.to_xid limit 1) b on b.from_xid <= c.xid
           left join snackbase.audit_block_account a on a.account_id = c.account_id and a.block_number = b.number
           {CHECKPOINT}
          where c.id = $1"
    );
    let id = entry_id / PER_CHANGE;
    spi::select(&statement, &[id.into()], |mut rows| {
        let row = rows.next().ok_or(Error::EntryNotFound(entry_id))?;
        let found = Found::read(&row, id, CHANGE_WIDTH)?;
        Ok((Change::read(&row)?, found.ok_or(Error::EntryNotSealed(entry_id))?))
    })
}

fn locate(id: i64, changes: &[(i64, Hash)]) -> Result<(usize, Vec<Hash>), Error> {
    let index = changes
        .iter()
        .position(|(other, _)| *other == id)
        .ok_or_else(damaged)?;
    Ok((index, changes.iter().map(|(_, leaf)| *leaf).collect()))
}

fn consistency(from_block: i64, to_block: Option<i64>) -> Result<String, Error> {
    let newest = newest_block()?;
    let to_block = to_block.unwrap_or(newest.cast_signed());
    let (from, to) = match (u64::try_from(from_block), u64::try_from(to_block)) {
        (Ok(from), Ok(to)) if from >= 1 && from <= to => (from, to),
        _ => {
            return Err(Error::Malformed(
                "from_block is at least 1 and at most to_block".into(),
            ));
        }
    };
    if to > newest {
        return Err(Error::BlockNotFound(to_block));
    }
    let path = Path(BlockTree::new(to).consistency(from)?);
    let proof = Consistency {
        format: CONSISTENCY_FORMAT.into(),
        from,
        to,
        path,
    };
    serde_json::to_string(&proof).map_err(|e| Error::Internal(e.to_string()))
}

/// The number of the newest block, 0 if there is none.
///
/// # Errors
/// [`Error::Spi`].
pub fn newest_block() -> Result<u64, Error> {
    spi::select(
        "select coalesce(max(b.number), 0) from snackbase.audit_block b",
        &[],
        |mut rows| rows.next().map_or(Ok(0), |row| number(&row, 1)),
    )
}
