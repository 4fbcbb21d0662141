//! The trail of one account for somebody who does not trust this database: `docs/ledger.md` §8.

use std::collections::VecDeque;

use pgrx::datum::{DatumWithOid, Uuid};
use pgrx::pg_sys::panic::ErrorReport;
use pgrx::prelude::*;
use snackbase_core::ledger::Hash;
use snackbase_core::ledger::export::{
    AccountPart, BlockLine, ChangeLine, CheckpointLine, End, FORMAT, ImportedLine, Key, Line, Manifest,
};
use snackbase_core::ledger::lines::{ColumnText, Hex, Path};
use snackbase_core::ledger::note::VerifierKey;

use super::entry;
use super::evidence::{
    BLOCK, BLOCK_WIDTH, BlockRow, BlockTree, CHANGE, Change, IMPORTED, Imported, account_place, damaged,
    hash, number, want,
};
use super::history::readable_account;
use super::proof::newest_block;
use super::trail::masks::sees_everything;
use crate::context::{Context, uuid_of};
use crate::error::{Error, raise};
use crate::guc::TimePerPart;
use crate::json::timestamp_micros_text;
use crate::spi::{self, Cursor, Row};

/// Blocks, and changes, that are read at once.
const BATCH: i64 = 200;

/// Everything of one account that is sealed, up to the newest checkpoint (without any, the newest block): one line of JSON per
/// row, as `docs/ledger.md` §8 describes them. Called in the select list it is evaluated as it is fetched and holds some
/// hundred changes in memory; in FROM Postgres would collect it first.
///
/// `account`: default the caller's. `from_block`: earlier blocks are left out. `checkpoints`: numbers of blocks whose
/// checkpoints are to be shown to be continued, for somebody who has one of them.
///
/// Errors: 42501 the caller is no audit reader of that account, or does not see all values in clear · 22023 `from_block` below 1 · P0002 no
/// checkpoint of such a block.
#[pg_extern(stable, parallel_unsafe)]
fn audit_account_export(
    account: default!(Option<Uuid>, "null"),
    from_block: default!(i64, 1),
    checkpoints: default!(Vec<i64>, "'{}'"),
) -> Result<SetOfIterator<'static, String>, ErrorReport> {
    let _limit = TimePerPart::begin();
    Ok(SetOfIterator::new(Export::new(
        account,
        from_block,
        &checkpoints,
    )?))
}

/// Where the document is.
enum Stage {
    /// Lines that are made already; then blocks follow.
    Blocks,
    /// The changes of a block, from a cursor.
    Changes(Cursor),
    /// The imported entries of a block, from a cursor.
    Imported(Cursor),
    End,
}

struct Export {
    account: Uuid,
    /// Lines to be given out.
    ready: VecDeque<String>,
    stage: Stage,
    blocks: Cursor,
    read: VecDeque<Part>,
    tree: BlockTree,
    end: End,
}

/// A block, and the account in it.
struct Part {
    block: BlockRow,
    change_count: u64,
    previous_block: u64,
    root: Hash,
    first_id: i64,
    last_id: i64,
}

impl Export {
    fn new(account: Option<Uuid>, from_block: i64, checkpoints: &[i64]) -> Result<Export, Error> {
        let own = || Context::current().account_id.as_deref().and_then(uuid_of);
        let account = readable_account(account)?
            .or_else(own)
            .ok_or_else(|| Error::Malformed("account: whose trail?".into()))?;
        if !sees_everything()? {
            return Err(Error::Masked);
        }
        let from = u64::try_from(from_block).ok().filter(|from| *from > 0);
        let from = from.ok_or_else(|| Error::Malformed("from_block: blocks are counted from 1".into()))?;
        let newest = checkpoint("order by k.block_number desc limit 1", &[])?;
        let size = match &newest {
            Some((number, _)) => *number,
            None => newest_block()?,
        };
        let mut export = Export {
            account,
            ready: VecDeque::new(),
            stage: Stage::Blocks,
            blocks: blocks(account, from_block, size)?,
            read: VecDeque::new(),
            tree: BlockTree::new(size),
            end: End {
                blocks: 0,
                changes: 0,
            },
        };
        export.begin(from, size, newest, checkpoints)?;
        Ok(export)
    }

    /// The lines before the first block.
    fn begin(
        &mut self,
        from_block: u64,
        size: u64,
        newest: Option<(u64, String)>,
        others: &[i64],
    ) -> Result<(), Error> {
        self.ready.push_back(line(&Line::Manifest(Manifest {
            format: FORMAT.into(),
            account_id: uuid::Uuid::from_bytes(*self.account.as_bytes())
                .to_string()
                .into(),
            from_block,
            size,
            exported_at: timestamp_micros_text(now()).into(),
        })));
        for (key, activated_at, retired_at) in keys()? {
            self.ready.push_back(line(&Line::Key(Key {
                key: key.into(),
                activated_at: activated_at.into(),
                retired_at: retired_at.map(Into::into),
            })));
        }
        let mut checkpoints: Vec<(u64, String)> = newest.into_iter().collect();
        for other in others {
            let condition = "where k.block_number = $1";
            let found =
                checkpoint(condition, &[(*other).into()])?.ok_or(Error::CheckpointNotFound(*other))?;
            if !checkpoints.iter().any(|(number, _)| *number == found.0) {
                checkpoints.push(found);
            }
        }
        for (number, note) in checkpoints {
            let consistency = Path(self.tree.consistency(number)?);
            self.ready.push_back(line(&Line::Checkpoint(CheckpointLine {
                note: note.into(),
                consistency,
            })));
        }
        Ok(())
    }

    fn step(&mut self) -> Result<Option<String>, Error> {
        loop {
            if let Some(line) = self.ready.pop_front() {
                return Ok(Some(line));
            }
            match &mut self.stage {
                Stage::End => return Ok(None),
                Stage::Changes(cursor) => {
                    let changes = cursor.fetch(BATCH, Change::read)?;
                    if (changes.len() as i64) < BATCH
                        && let Stage::Changes(cursor) = std::mem::replace(&mut self.stage, Stage::Blocks)
                    {
                        cursor.close()?;
                    }
                    self.changes(&changes)?;
                }
                Stage::Imported(cursor) => {
                    let lines = cursor.fetch(BATCH, imported)?;
                    if (lines.len() as i64) < BATCH
                        && let Stage::Imported(cursor) = std::mem::replace(&mut self.stage, Stage::Blocks)
                    {
                        cursor.close()?;
                    }
                    self.end.changes += lines.len() as u64;
                    self.ready.extend(lines);
                }
                Stage::Blocks => {
                    if self.read.is_empty() {
                        self.read = self.blocks.fetch(BATCH, Part::read)?.into();
                    }
                    match self.read.pop_front() {
                        Some(part) => self.block(&part)?,
                        None => {
                            self.ready.push_back(line(&Line::End(self.end.clone())));
                            self.stage = Stage::End;
                        }
                    }
                }
            }
        }
    }

    fn block(&mut self, part: &Part) -> Result<(), Error> {
        let (index, accounts, path) = account_place(part.block.number, self.account)?;
        self.end.blocks += 1;
        self.ready.push_back(line(&Line::Block(BlockLine {
            head: part.block.head()?,
            hash: Hex(part.block.hash),
            path: Path(self.tree.inclusion(part.block.number)?),
            account: AccountPart {
                change_count: part.change_count,
                previous_block: part.previous_block,
                root: Hex(part.root),
                index,
                accounts,
                path: Path(path),
            },
        })));
        if let Some(import_id) = part.block.import_id {
            let statement = format!(
                "select {IMPORTED}
                   from snackbase.audit_import_entry e
                  where e.account_id = $1 and e.import_id = $2
                  order by e.id"
            );
            self.stage = Stage::Imported(Cursor::open(
                &statement,
                &[self.account.into(), import_id.into()],
            )?);
            return Ok(());
        }
        let statement = format!(
            "select {CHANGE}
               from snackbase.audit_change c
              where c.account_id = $1 and c.id between $2 and $3 and c.system_identifier = $4
                and c.xid >= ($5::text)::xid8 and c.xid < ($6::text)::xid8
              order by c.xid, c.id"
        );
        let arguments: [DatumWithOid; 6] = [
            self.account.into(),
            part.first_id.into(),
            part.last_id.into(),
            part.block.system_identifier.into(),
            part.block.from_xid.as_str().into(),
            part.block.to_xid.as_str().into(),
        ];
        if part.change_count > BATCH.cast_unsigned() {
            self.stage = Stage::Changes(Cursor::open(&statement, &arguments)?);
            return Ok(());
        }
        // Most blocks are small: their query keeps its plan.
        let changes = spi::select(&statement, &arguments, |rows| {
            rows.map(|row| Change::read(&row))
                .collect::<Result<Vec<_>, Error>>()
        })?;
        self.changes(&changes)
    }

    fn changes(&mut self, changes: &[Change]) -> Result<(), Error> {
        self.end.changes += changes.len() as u64;
        for change in changes {
            let entries = entry::entries(&change.columns)?;
            self.ready.push_back(line(&Line::Change(ChangeLine {
                id: change.id,
                header: (&change.header()).into(),
                columns: entries
                    .iter()
                    .map(|entry| ColumnText::from(entry.column()))
                    .collect(),
                previous: change.previous.map(Hex),
                checksum: Hex(change.checksum),
            })));
        }
        Ok(())
    }
}

/// The line of one imported entry.
fn imported(row: &Row<'_>) -> Result<String, Error> {
    let imported = Imported::read(row)?;
    Ok(line(&Line::Imported(ImportedLine {
        id: imported.id,
        checksum: Hex(imported.computed),
        entry: imported.entry,
    })))
}

impl Iterator for Export {
    type Item = String;

    fn next(&mut self) -> Option<String> {
        let _limit = TimePerPart::begin();
        match self.step() {
            Ok(line) => line,
            Err(error) => raise(error),
        }
    }
}

impl Part {
    fn read(row: &Row<'_>) -> Result<Part, Error> {
        Ok(Part {
            block: BlockRow::read(row, 0)?,
            change_count: number(row, BLOCK_WIDTH + 1)?,
            previous_block: number(row, BLOCK_WIDTH + 2)?,
            root: hash(row, BLOCK_WIDTH + 3)?,
            first_id: want(row, BLOCK_WIDTH + 4)?,
            last_id: want(row, BLOCK_WIDTH + 5)?,
        })
    }
}

fn blocks(account: Uuid, from_block: i64, size: u64) -> Result<Cursor, Error> {
    let statement = format!(
        "select {BLOCK}, a.change_count, a.previous_block, a.root, a.first_id, a.last_id
           from snackbase.audit_block_account a
           join snackbase.audit_block b on b.number = a.block_number
          where a.account_id = $1 and a.block_number between $2 and $3
          order by a.block_number"
    );
    Cursor::open(
        &statement,
        &[account.into(), from_block.into(), size.cast_signed().into()],
    )
}

/// A line, without the line feed that [`Line::text`] ends it with.
fn line(line: &Line<'_>) -> String {
    let mut text = line.text();
    text.pop();
    text
}

fn now() -> TimestampWithTimeZone {
    pgrx::datum::datetime_support::transaction_timestamp()
}

/// Number and note of a checkpoint.
fn checkpoint(condition: &str, arguments: &[DatumWithOid]) -> Result<Option<(u64, String)>, Error> {
    let statement = format!("select k.block_number, k.note from snackbase.audit_checkpoint k {condition}");
    spi::select(&statement, arguments, |mut rows| {
        rows.next()
            .map(|row| Ok((number(&row, 1)?, want(&row, 2)?)))
            .transpose()
    })
}

/// The known keys as texts, since when, and until when.
fn keys() -> Result<Vec<(String, String, Option<String>)>, Error> {
    const KEYS: &str = "
        select k.name, k.public_key, k.activated_at, k.retired_at
          from snackbase.audit_key k
         order by k.activated_at, k.key_id";
    spi::select(KEYS, &[], |rows| {
        rows.map(|row| {
            let (name, activated_at): (String, TimestampWithTimeZone) = (want(&row, 1)?, want(&row, 3)?);
            let key = VerifierKey::new(&name, &hash(&row, 2)?).map_err(|_| damaged())?;
            let retired_at = row.get::<TimestampWithTimeZone>(4)?.map(timestamp_micros_text);
            Ok((key.to_string(), timestamp_micros_text(activated_at), retired_at))
        })
        .collect()
    })
}
