//! The sealer: closes blocks over committed changes (design `ledger.md` §5, `docs/ledger.md`).
//!
//! A block holds the changes of the transactions from the end of the block before up to the oldest that is still running:
//! nothing can commit below that any more, so no change is marked, and none is missed. Changes are found by their ids,
//! without an index on `xid` that every writer would pay for. A transaction has its id before it draws ids of changes
//! from the sequence (what it records, it has written first). So whatever a transaction records that had not begun when
//! the sequence stood at *n* has ids from *n* on. Each block keeps such a pair, and the next search begins at the newest
//! whose transactions are all sealed: it reads what is new, and a little of what was recorded meanwhile.

mod open;

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;

use pgrx::pg_sys;
use pgrx::pg_sys::panic::ErrorReport;
use pgrx::prelude::*;
use serde_json::{Value, json};
use snackbase_core::ledger::Hash;
use snackbase_core::ledger::merkle::Frontier;

use open::{OpenBlock, Span};

use super::key;
use crate::error::Error;
use crate::fresh::Fresh;
use crate::{guc, spi};

/// The advisory lock that only one sealer holds; a session that replays a dump shares it. "snabseal" as a number.
const LOCK_KEY: i64 = 0x736e_6162_7365_616c;

/// Accounts per write.
const ACCOUNTS: usize = 500;

/// How many samples of the sequence a process remembers besides those in the blocks.
const SAMPLES: usize = 64;

/// The identifier of this cluster, as `pg_control_system()` shows it: of whoever writes a change. Transaction ids mean
/// nothing outside their cluster.
#[pg_extern(stable, parallel_safe)]
fn _system_identifier() -> i64 {
    system_identifier()
}

/// The same.
pub fn system_identifier() -> i64 {
    // SAFETY: reads a number of the control file, which every process of the server has in memory.
    unsafe { pg_sys::GetSystemIdentifier() }.cast_signed()
}

/// The key of the sealer's advisory lock.
#[pg_extern(immutable, parallel_safe)]
fn _seal_lock_key() -> i64 {
    LOCK_KEY
}

/// One step of the sealer: closes a block over everything committed and not sealed, and signs the checkpoint that is due. What
/// it did, as JSON: `blocks` ([{number, changes, accounts, lag_ms}], usually none or one; `lag_ms`: how old the block's
/// oldest change was), `checkpoint` (the number of the block that was signed, or null), `checkpoint_fault` (why not, when
/// the key cannot be used), `horizon_xid` (no transaction below is running).
///
/// While another sealer's transaction runs, or a dump is being replayed, it waits, or answers NULL if it is not to.
///
/// # Errors
/// 25006 on a standby and in a read-only transaction; XX000 when stored blocks are damaged.
#[pg_extern(volatile, parallel_unsafe, security_definer)]
fn audit_seal(wait: default!(bool, true)) -> Result<Option<pgrx::Json>, ErrorReport> {
    LAST.set(None);
    // SAFETY: inside a transaction; raises a Postgres error (25006), which unwinds, where nothing can be written.
    unsafe {
        pg_sys::PreventCommandDuringRecovery(c"snackbase.audit_seal".as_ptr());
        pg_sys::PreventCommandIfReadOnly(c"snackbase.audit_seal".as_ptr());
    }
    if wait {
        lock()?;
    } else if !try_lock()? {
        return Ok(None);
    }
    let step = step()?;
    let told = step.json();
    LAST.set(Some(step));
    Ok(Some(pgrx::Json(told)))
}

/// What the last call of `audit_seal` in this process did; for the background worker, which calls it by way of SQL. `None`: it
/// did not get the lock.
pub fn take_last_step() -> Option<Step> {
    LAST.take()
}

fn lock() -> Result<(), Error> {
    spi::select(
        "select pg_catalog.pg_advisory_xact_lock($1)",
        &[LOCK_KEY.into()],
        |_| Ok(()),
    )
}

fn try_lock() -> Result<bool, Error> {
    spi::select(
        "select pg_catalog.pg_try_advisory_xact_lock($1)",
        &[LOCK_KEY.into()],
        |rows| Ok(rows.first().get_one::<bool>()?.unwrap_or(false)),
    )
}

/// What a step did.
pub struct Step {
    sealed: Vec<Sealed>,
    checkpoint: key::Outcome,
    /// No transaction below this one was running.
    pub horizon: u64,
    /// Every transaction that had begun is sealed and signed, if it left anything: until another begins, there is nothing to do.
    pub complete: bool,
}

impl Step {
    fn json(&self) -> Value {
        json!({
            "blocks": self.sealed.iter().map(Sealed::json).collect::<Vec<_>>(),
            "checkpoint": self.checkpoint.signed,
            "checkpoint_fault": self.checkpoint.fault,
            "horizon_xid": self.horizon.to_string(),
        })
    }

    /// Why no checkpoint was signed, when the key is to blame.
    pub fn fault(&self) -> Option<&str> {
        self.checkpoint.fault.as_deref()
    }
}

/// A block that was closed.
pub struct Sealed {
    number: i64,
    changes: u64,
    accounts: u64,
    lag_ms: i64,
}

impl Sealed {
    fn json(&self) -> Value {
        json!({"number": self.number, "changes": self.changes, "accounts": self.accounts, "lag_ms": self.lag_ms})
    }
}

/// The newest block, as far as the next one needs it.
#[derive(Clone)]
struct Newest {
    number: i64,
    system_identifier: i64,
    to_xid: u64,
    hash: Hash,
}

const NEWEST: &str = "
select number, system_identifier, to_xid, block_hash
  from snackbase.audit_block
 order by number desc
 limit 1";

impl Newest {
    fn read(fresh: &Fresh) -> Result<Option<Newest>, Error> {
        fresh.first(NEWEST, &[], |row| {
            Ok(Newest {
                number: row.want(1)?,
                system_identifier: row.want(2)?,
                to_xid: row.number(3)?,
                hash: row.hash(4)?,
            })
        })
    }
}

/// What the sequence of ids told when: transactions from `xid` on draw ids from `id` on.
#[derive(Clone, Copy)]
struct Sample {
    xid: u64,
    id: i64,
}

thread_local! {
    static LAST: RefCell<Option<Step>> = const { RefCell::new(None) };
    /// Samples of this process, oldest first. They spare it from reading again what piled up behind a long transaction.
    static RECENT: RefCell<VecDeque<Sample>> = const { RefCell::new(VecDeque::new()) };
    /// The database, block number and horizon of the last search that found nothing.
    static SEARCHED: Cell<Option<(u32, i64, u64)>> = const { Cell::new(None) };
}

/// The next id that the sequence will give.
const NEXT_ID: &str = "
select last_value + case when is_called then 1 else 0 end
  from snackbase.audit_change_id_seq";

/// Does the step. The caller holds the lock and acts as the owner.
fn step() -> Result<Step, Error> {
    let (sealed, horizon, complete) = seal_pending()?;
    let checkpoint = key::checkpoint()?;
    Ok(Step {
        complete: complete && !checkpoint.waiting && checkpoint.signed.is_none(),
        sealed,
        checkpoint,
        horizon,
    })
}

/// Closes blocks over what is pending: the blocks, the horizon, and whether nothing can be pending before the horizon moves.
fn seal_pending() -> Result<(Vec<Sealed>, u64, bool), Error> {
    // In this order: whoever begins after the second draws ids after the first.
    let next_id: i64 = {
        let fresh = Fresh::begin();
        fresh
            .first(NEXT_ID, &[], |row| row.want(1))?
            .ok_or_else(|| Error::Internal("the sequence of the ledger is gone".into()))?
    };
    let fresh = Fresh::begin();
    let (horizon, sample) = (
        fresh.xmin(),
        Sample {
            xid: fresh.next_xid(),
            id: next_id,
        },
    );
    RECENT.with_borrow_mut(|recent| {
        // The extension was dropped and created again.
        if recent.back().is_some_and(|last| last.id > sample.id) {
            recent.clear();
        }
        if recent.len() == SAMPLES {
            recent.pop_front();
        }
        recent.push_back(sample);
    });
    let newest = Newest::read(&fresh)?;
    let own = system_identifier();
    let complete = horizon == sample.xid;
    let nothing = (Vec::new(), horizon, complete);
    let sealed_all = newest
        .as_ref()
        .is_some_and(|block| block.system_identifier == own && block.to_xid == horizon);
    let searched = (
        database(),
        newest.as_ref().map_or(0, |block| block.number),
        horizon,
    );
    if sealed_all || SEARCHED.get() == Some(searched) {
        return Ok(nothing);
    }

    let mut sealed = Vec::new();
    let low = low_water(&fresh, newest.as_ref())?;
    let former = former_systems(&fresh, own, low)?;
    drop(fresh);
    for system in former {
        let fresh = Fresh::begin();
        let from = end_of(&fresh, system)?;
        let hint = Sample { xid: 0, id: low };
        sealed.extend(seal(&fresh, system, from, u64::MAX >> 1, low, hint)?);
    }
    let fresh = Fresh::begin();
    let from = end_of(&fresh, own)?;
    let low = RECENT.with_borrow(|recent| {
        recent
            .iter()
            .rev()
            .find(|s| s.xid <= from)
            .map_or(low, |s| s.id.max(low))
    });
    sealed.extend(seal(&fresh, own, from, horizon, low, sample)?);
    if sealed.is_empty() {
        SEARCHED.set(Some(searched));
        return Ok(nothing);
    }
    guc::require_durable_commit()?;
    Ok((sealed, horizon, false))
}

/// Where the changes that no block covers begin: no id below this one is theirs.
fn low_water(fresh: &Fresh, newest: Option<&Newest>) -> Result<i64, Error> {
    const LOW_WATER: &str = "
    select next_id
      from snackbase.audit_block
     where system_identifier <> $1 or next_xid <= $2
     order by number desc
     limit 1";
    let Some(newest) = newest else { return Ok(0) };
    let arguments = [newest.system_identifier.into(), spi::xid(newest.to_xid)];
    Ok(fresh
        .first(LOW_WATER, &arguments, |row| row.want(1))?
        .unwrap_or(0))
}

/// The end of the last block over changes of this cluster; 0 if there is none.
fn end_of(fresh: &Fresh, system: i64) -> Result<u64, Error> {
    const END: &str = "
    select to_xid
      from snackbase.audit_block
     where system_identifier = $1
     order by to_xid desc
     limit 1";
    Ok(fresh
        .first(END, &[system.into()], |row| row.number(1))?
        .unwrap_or(0))
}

/// Other clusters with changes that may not be sealed: those that were dumped, or upgraded, before a sealer came by. In the
/// order in which they wrote.
fn former_systems(fresh: &Fresh, own: i64, low: i64) -> Result<Vec<i64>, Error> {
    const FORMER: &str = "
    select c.system_identifier
      from snackbase.audit_change c
     where c.id >= $1 and c.system_identifier <> $2
     group by 1
     order by min(c.id)";
    let mut former = Vec::new();
    fresh.read(FORMER, &[low.into(), own.into()], |row| {
        former.push(row.want(1)?);
        Ok(())
    })?;
    Ok(former)
}

/// Closes a block over the changes of a cluster's transactions [`from`, `to`), if there are any.
fn seal(
    fresh: &Fresh,
    system: i64,
    from: u64,
    to: u64,
    low: i64,
    hint: Sample,
) -> Result<Option<Sealed>, Error> {
    const CHANGES: &str = "
    select account_id, id, checksum, xid, occurred_at
      from snackbase.audit_change
     where id >= $1 and system_identifier = $2 and xid >= $3 and xid < $4
     order by account_id, xid, id";
    let mut open = OpenBlock::begin(fresh, system)?;
    let mut last_xid = from;
    let arguments = [low.into(), system.into(), spi::xid(from), spi::xid(to)];
    fresh.read(CHANGES, &arguments, |row| {
        last_xid = last_xid.max(row.number(4)?);
        open.push(
            row.want(1)?,
            row.want(2)?,
            &row.hash(3)?,
            row.number(5)?.cast_signed(),
        )
    })?;
    // Nothing more comes from another cluster; our own next block begins where nothing was running.
    let to = if system == system_identifier() {
        to
    } else {
        last_xid + 1
    };
    open.close(
        Span {
            from,
            to,
            import_id: None,
        },
        hint,
    )
}

/// Closes a block over imported entries, whose hashes are not of our making. `fill` pushes them in the order of account
/// ids, and within an account in the order of the original ids. `None` when it pushed nothing.
///
/// # Errors
/// Those of `fill`, and as [`audit_seal`].
pub fn notarise(
    import_id: i64,
    fill: impl FnOnce(&mut OpenBlock) -> Result<(), Error>,
) -> Result<Option<i64>, Error> {
    lock()?;
    let fresh = Fresh::begin();
    let system = system_identifier();
    let newest = Newest::read(&fresh)?;
    let low = low_water(&fresh, newest.as_ref())?;
    let end = end_of(&fresh, system)?;
    let mut open = OpenBlock::begin(&fresh, system)?;
    fill(&mut open)?;
    let span = Span {
        from: end,
        to: end,
        import_id: Some(import_id),
    };
    let sealed = open.close(span, Sample { xid: 0, id: low })?;
    guc::require_durable_commit()?;
    Ok(sealed.map(|block| block.number))
}

/// The tree over the blocks 1 to `size`, from the hashes that the blocks keep.
///
/// # Errors
/// [`Error::Internal`] when a block that holds one is missing or damaged.
pub fn tree_of_blocks(fresh: &Fresh, size: i64) -> Result<Frontier, Error> {
    const NODES: &str = "select number, nodes from snackbase.audit_block where number = any ($1)";
    let size = size.cast_unsigned();
    let wanted = Frontier::nodes_of(size);
    let numbers = wanted
        .iter()
        .map(|node| Some(node.completed_at().cast_signed()))
        .collect();
    let mut found: Vec<Option<Hash>> = vec![None; wanted.len()];
    fresh.read(NODES, &[spi::bigint_array(numbers)], |row| {
        let (number, nodes) = (row.number(1)?, row.want::<&[u8]>(2)?);
        for (node, hash) in wanted.iter().zip(&mut found) {
            if node.completed_at() == number {
                *hash = nodes.as_chunks::<32>().0.get(node.level as usize).copied();
            }
        }
        Ok(())
    })?;
    found
        .into_iter()
        .collect::<Option<Vec<Hash>>>()
        .and_then(|hashes| Frontier::restore(size, hashes))
        .ok_or_else(|| {
            Error::Internal(format!(
                "the ledger is damaged: of the blocks up to {size} one is missing or holds no nodes"
            ))
        })
}

fn database() -> u32 {
    // SAFETY: reads a global of the backend.
    unsafe { pg_sys::MyDatabaseId }.to_u32()
}
