//! `audit_verify()`: recomputes the ledger and compares it with what it speaks of.
//!
//! - [`records`]: record chains, every change of every record
//! - [`recorders`]: whether every table still has its recorder
//! - [`seeds`]: rows that are older than the ledger
//! - [`live`]: live rows against the last audited values
//! - [`blocks`]: which changes a block counted, the chain of blocks
//! - [`checkpoints`]: what was signed
//! - [`finding`]: what is reported
//!
//! Nothing is collected: each part walks sorted rows once, so memory is flat. Everything is read at one snapshot, taken after
//! the audited tables were locked against changes of their definition, so writers and the sealer may go on meanwhile.
//! Nothing here writes.

mod blocks;
mod checkpoints;
mod finding;
mod heads;
mod imports;
mod live;
mod recorders;
mod records;
mod seeds;

use std::collections::{BTreeMap, BTreeSet};

use pgrx::Uuid;
use pgrx::pg_sys::panic::ErrorReport;
use pgrx::prelude::*;
use serde::Deserialize;
use serde_json::{Value as Json, json};

use self::finding::{Finding, Report, entry_id};
use self::live::{Access, Live};
use self::records::Chains;
use super::schema;
use crate::context::{self, Context};
use crate::error::Error;
use crate::json::JsonText;
use crate::spi;
use crate::spi::scan::{self, Reader};

/// Checks the ledger, of one account or of all; no rows means clean, and at most `max_errors` are returned.
///
/// | `kind` | What is wrong |
/// |---|---|
/// | `checksum` | a stored change does not hash to its checksum: something in it was edited |
/// | `link` | a change does not name the checksum of the change before it |
/// | `gap` | a version is missing in the history of a record, or a block is missing between others |
/// | `fork` | a version stands twice |
/// | `live` | a live row differs from its last audited values, or is gone without an entry; or, without a record, a table is gone or lacks its recorder |
/// | `missing` | a live row has no history |
/// | `block` | a block is not what was sealed: its hash, its link, its tree; or a change stands in it that it did not count |
/// | `truncated` | a block counted more changes than there are, or a checkpoint more blocks |
/// | `checkpoint` | a checkpoint has a bad signature, or says something else than the block |
///
/// Changes that are not sealed yet are checked in the chains of their records, and are no finding.
///
/// - `account`: only this account: its histories, its rows, its place in each block, and the chain of blocks. A reader of
///   an account can ask for no other, and is shown no values.
/// - `from_block`: only changes in this block and later, sealed or not, and the rows they changed.
/// - `since_checkpoint`: the same from the block after the newest checkpoint that is stored or given.
/// - `checkpoint`: a signed note that was kept outside; the ledger must contain what it says.
///
/// `record_version` and `entry_id` are those of the change where it shows. Errors: 42501 when the caller may read no
/// trail, or not that one, 22023 when `checkpoint` is no checkpoint.
#[pg_extern(volatile, parallel_unsafe)]
#[allow(clippy::type_complexity)]
fn audit_verify(
    account: default!(Option<Uuid>, "NULL"),
    from_block: default!(Option<i64>, "NULL"),
    since_checkpoint: default!(bool, false),
    max_errors: default!(i32, 100),
    checkpoint: default!(Option<String>, "NULL"),
) -> Result<
    TableIterator<
        'static,
        (
            name!(kind, &'static str),
            name!(block, Option<i64>),
            name!(account_id, Option<Uuid>),
            name!(table_name, Option<String>),
            name!(record_id, Option<String>),
            name!(record_version, Option<i64>),
            name!(entry_id, Option<i64>),
            name!(expected, Option<String>),
            name!(actual, Option<String>),
        ),
    >,
    ErrorReport,
> {
    let wanted = Wanted {
        account_id: account.map(|id| uuid::Uuid::from_bytes(*id.as_bytes()).to_string()),
        from_block,
        since_checkpoint,
        max_errors: Some(max_errors),
        checkpoints: checkpoint.into_iter().collect(),
        ..Wanted::default()
    };
    let findings = verify(&wanted, |report| Ok(std::mem::take(&mut report.findings)))?;
    Ok(TableIterator::new(findings.into_iter().map(|f: Finding| {
        (
            f.kind,
            f.block,
            f.account.map(finding::uuid),
            f.table,
            f.record,
            f.version,
            f.change.map(|change| entry_id(change, 1)),
            f.expected,
            f.actual,
        )
    })))
}

/// What `GET /audit-logs/verify` answers (audit contract §3.4): [`audit_verify`] with counts.
///
/// `query`: `{"account_id", "from_block", "since_checkpoint", "max_errors", "from_id", "to_id", "checkpoints": [note],
/// "part", "from_account", "to_account"}`, all optional. `from_id` and `to_id` are ids of entries: only the changes between them are checked, against the
/// stored predecessors, and `to_id` leaves live rows out. For programs that divide the work: `part` is `"records"` or
/// `"blocks"`, and `from_account` (inclusive) and `to_account` (exclusive) bound the accounts whose records are checked.
///
/// Answer: `{"is_valid", "checked", "first_id", "last_id", "head_block", "head_checksum", "expected_head_checksum", "errors": [{"id", "kind",
/// "block", "account_id", "table_name", "record_id", "record_version", "expected", "actual"}], "truncated", "duration_ms"}`. `checked` counts
/// entries, `truncated` says that there are more findings than `max_errors`; the head is the newest block, its hash as stored and as
/// computed. Errors: as of [`audit_verify`]; 22023 for a query of another shape.
#[pg_extern(volatile, parallel_unsafe)]
fn audit_verify_report(query: JsonText) -> Result<JsonText, ErrorReport> {
    let began = std::time::Instant::now();
    let wanted: Wanted = serde_json::from_str(&query.0)
        .map_err(|e| Error::Malformed(format!("the query does not fit: {e}")))?;
    let answer = verify(&wanted, |report| {
        let errors: Vec<Json> = report.findings.iter().map(Finding::json).collect();
        Ok(json!({
            "is_valid": errors.is_empty() && !report.is_full(),
            "checked": report.checked,
            "first_id": report.changes.map(|(first, _)| entry_id(first, 1)),
            "last_id": report.changes.map(|(_, last)| entry_id(last, 1)),
            "head_block": report.head.as_ref().map(|(number, ..)| number),
            "head_checksum": report.head.as_ref().map(|(_, stored, _)| stored),
            "expected_head_checksum": report.head.as_ref().map(|(.., computed)| computed),
            "errors": errors,
            "truncated": report.cut,
            "duration_ms": u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX),
        }))
    })?;
    Ok(JsonText(answer.to_string()))
}

/// What is asked for.
#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Wanted {
    account_id: Option<String>,
    from_block: Option<i64>,
    since_checkpoint: bool,
    max_errors: Option<i32>,
    from_id: Option<i64>,
    to_id: Option<i64>,
    checkpoints: Vec<String>,
    part: Part,
    from_account: Option<String>,
    to_account: Option<String>,
}

#[derive(Default, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Part {
    #[default]
    All,
    Records,
    Blocks,
}

/// Whose ledger is verified, and by whom.
pub struct Scope {
    /// `None`: all.
    pub account: Option<[u8; 16]>,
    /// Only accounts from the first on, and before the second.
    pub bounds: (Option<uuid::Uuid>, Option<uuid::Uuid>),
    /// A reader of one account asks: live rows are read as the account's own SQL reads them.
    pub restricted: bool,
}

impl Scope {
    /// # Errors
    /// 22023: the account is no uuid. 42501: it is not the caller's own, or the caller may not read its trail.
    fn of(wanted: &Wanted) -> Result<Scope, Error> {
        // SAFETY: reads the catalog of roles inside a transaction; the role exists as long as the extension does.
        let sees_all = unsafe {
            let all = pg_sys::get_role_oid(c"snackbase_superadmin".as_ptr(), false);
            pg_sys::has_privs_of_role(pg_sys::GetUserId(), all)
        };
        let read = |id: &Option<String>| match id {
            Some(id) => match uuid::Uuid::parse_str(id) {
                Ok(id) => Ok(Some(id)),
                Err(_) => Err(Error::Malformed(format!("an account is a uuid, and not {id:?}"))),
            },
            None => Ok(None),
        };
        let account = read(&wanted.account_id)?.map(uuid::Uuid::into_bytes);
        let bounds = (read(&wanted.from_account)?, read(&wanted.to_account)?);
        if sees_all {
            return Ok(Scope {
                account,
                bounds,
                restricted: false,
            });
        }
        if !context::reads_audit_of_own_account()? {
            return Err(Error::SuperadminRequired);
        }
        let own = Context::current()
            .account_id
            .and_then(|id| uuid::Uuid::parse_str(&id).ok());
        let own = own.ok_or(Error::SuperadminRequired)?.into_bytes();
        if account.is_some_and(|account| account != own) {
            return Err(Error::SuperadminRequired);
        }
        Ok(Scope {
            account: Some(own),
            bounds,
            restricted: true,
        })
    }

    /// An SQL condition on a column that holds accounts.
    pub fn account_condition(&self, column: &str) -> String {
        let mut conditions = Vec::new();
        if let Some(account) = self.account {
            conditions.push(format!("{column} = '{}'::uuid", uuid::Uuid::from_bytes(account)));
        }
        if let Some(from) = self.bounds.0 {
            conditions.push(format!("{column} >= '{from}'::uuid"));
        }
        if let Some(to) = self.bounds.1 {
            conditions.push(format!("{column} < '{to}'::uuid"));
        }
        if conditions.is_empty() {
            return "true".to_owned();
        }
        conditions.join(" and ")
    }
}

/// A table with a recorder, or one that only the ledger remembers.
pub struct Table {
    pub name: String,
    /// The arguments of the recorder's trigger; `None` when the table is gone.
    pub arguments: Option<Vec<String>>,
}

/// Verifies what is wanted, and lets `finish` read the report.
fn verify<R>(wanted: &Wanted, finish: impl FnOnce(&mut Report<'_>) -> Result<R, Error>) -> Result<R, Error> {
    let scope = Scope::of(wanted)?;
    lock_tables()?;
    scan::at_one_snapshot(|reader| {
        let mut report = Report::new(reader, wanted.max_errors.unwrap_or(100))?;
        let range = blocks::Range::new(reader, &scope, wanted)?;
        if wanted.part != Part::Records {
            blocks::verify(reader, &scope, &range, &wanted.checkpoints, &mut report)?;
        }
        if wanted.part != Part::Blocks && !report.is_full() {
            verify_records(reader, &scope, wanted, &range, &mut report)?;
        }
        finish(&mut report)
    })
}

fn verify_records(
    reader: &Reader,
    scope: &Scope,
    wanted: &Wanted,
    range: &blocks::Range,
    report: &mut Report<'_>,
) -> Result<(), Error> {
    let chains = Chains::prepare(reader)?;
    let events = schema::events(reader)?;
    let present = recorders::present(reader)?;
    // Once, however the accounts are divided.
    if wanted.to_id.is_none() && scope.bounds.0.is_none() {
        recorders::check(reader, &present, report)?;
        if scope.account.is_none() {
            seeds::check(reader, report)?;
        }
    }
    let mut tables: BTreeMap<String, Option<Vec<String>>> = present
        .into_iter()
        .map(|(table, arguments)| (table, Some(arguments)))
        .collect();
    if let Some(condition) = range.of_changes(wanted) {
        let open = |name: &str| match tables.get(name) {
            Some(arguments) if wanted.to_id.is_none() => {
                let table = Table {
                    name: name.to_owned(),
                    arguments: arguments.clone(),
                };
                Live::open(reader, &table, scope, Access::Probe)
            }
            _ => Ok(None),
        };
        return chains.range(reader, scope, &condition, open, &events, report);
    }
    let pairs = records::pairs(reader, scope)?;
    for name in pairs.keys() {
        tables.entry(name.clone()).or_default();
    }
    for (name, arguments) in tables {
        if report.is_full() {
            break;
        }
        let accounts = pairs.get(&name).map_or(&[][..], Vec::as_slice);
        let events = events.get(&name).map_or(&[][..], Vec::as_slice);
        let table = Table { name, arguments };
        let live = Live::open(reader, &table, scope, Access::All)?;
        chains.whole_table(&table, accounts, events, live, report)?;
    }
    Ok(())
}

/// Locks the audited tables against changes of their definition, as pg_dump does, until the transaction ends. A table that
/// was rewritten after the snapshot would look empty; so the snapshot is taken when no more can come.
fn lock_tables() -> Result<(), Error> {
    let mut locked: BTreeSet<u32> = BTreeSet::new();
    loop {
        let found = spi::select_latest(
            "select g.tgrelid from pg_catalog.pg_trigger g
               join pg_catalog.pg_class c on c.oid = g.tgrelid
              where g.tgname = 'audit_insert' and c.relnamespace = 'snackbase'::regnamespace",
            &[],
            |rows| {
                rows.map(|row| Ok(row.get::<pg_sys::Oid>(1)?.map_or(0, pg_sys::Oid::to_u32)))
                    .collect::<Result<BTreeSet<u32>, Error>>()
            },
        )?;
        let new: Vec<u32> = found.difference(&locked).copied().collect();
        if new.is_empty() {
            return Ok(());
        }
        for relation in new {
            // SAFETY: any oid may be locked; the transaction gives it back.
            unsafe {
                pg_sys::LockRelationOid(pg_sys::Oid::from(relation), pg_sys::AccessShareLock as i32);
            }
            locked.insert(relation);
        }
    }
}
