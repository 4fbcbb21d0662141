//! What verification found, and how much it looked at.

use pgrx::Uuid;
use pgrx::datum::DatumWithOid;
use serde_json::{Value as Json, json};
use snackbase_core::ledger::{Hash, to_hex};

use crate::error::Error;
use crate::spi::scan::{Query, Reader};

/// One thing that is wrong. See [`super::audit_verify`] for the kinds.
#[derive(Debug, Clone, Default)]
pub struct Finding {
    pub kind: &'static str,
    pub block: Option<i64>,
    pub account: Option<[u8; 16]>,
    pub table: Option<String>,
    pub record: Option<String>,
    pub version: Option<i64>,
    /// A change; [`entry_id`] makes an id of the API of it.
    pub change: Option<i64>,
    pub expected: Option<String>,
    pub actual: Option<String>,
}

/// The id of an entry on the wire: the first (1) entry of a change, or another one.
pub fn entry_id(change: i64, ordinal: i64) -> i64 {
    change.saturating_mul(2048).saturating_add(ordinal)
}

impl Finding {
    /// As `GET /audit-logs/verify` shows it.
    pub fn json(&self) -> Json {
        json!({
            "id": self.change.map(|change| entry_id(change, 1)),
            "kind": self.kind,
            "block": self.block,
            "account_id": self.account.map(|id| uuid::Uuid::from_bytes(id).to_string()),
            "table_name": self.table,
            "record_id": self.record,
            "record_version": self.version,
            "expected": self.expected,
            "actual": self.actual,
        })
    }
}

/// The findings so far, and what was checked.
pub struct Report<'r> {
    pub findings: Vec<Finding>,
    max: usize,
    /// There was more than fits.
    pub cut: bool,
    /// Entries whose hash was computed.
    pub checked: i64,
    /// The smallest and the largest change among them.
    pub changes: Option<(i64, i64)>,
    /// The newest block: its number, its hash as stored, and as computed.
    pub head: Option<(i64, String, String)>,
    block_of: Query<'r>,
}

const BLOCK_OF: &str = "
    select b.number
      from snackbase.audit_block b
     where b.system_identifier = $1 and b.from_xid <= $2::text::xid8 and b.to_xid > $2::text::xid8
     order by b.number
     limit 1";

impl<'r> Report<'r> {
    /// # Errors
    /// As [`Reader::prepare`].
    pub fn new(reader: &'r Reader, max_errors: i32) -> Result<Self, Error> {
        Ok(Report {
            findings: Vec::new(),
            max: usize::try_from(max_errors).unwrap_or(0),
            cut: false,
            checked: 0,
            changes: None,
            head: None,
            block_of: reader.prepare(BLOCK_OF, &[pgrx::pg_sys::INT8OID, pgrx::pg_sys::TEXTOID])?,
        })
    }

    /// Whether nothing more needs to be looked for.
    pub fn is_full(&self) -> bool {
        self.cut || self.max == 0
    }

    /// Adds a finding; one more than asked for shows that there are more.
    pub fn push(&mut self, finding: Finding) {
        if self.findings.len() < self.max {
            self.findings.push(finding);
        } else {
            self.cut = true;
        }
    }

    /// The block that covers a transaction. `None`: not sealed yet.
    ///
    /// # Errors
    /// As [`Query::open`].
    pub fn block_of(&self, system: i64, xid: u64) -> Result<Option<i64>, Error> {
        let mut scan = self
            .block_of
            .open(&[DatumWithOid::from(system), DatumWithOid::from(xid.to_string())])?;
        Ok(if scan.advance() { scan.int(0) } else { None })
    }

    /// Blocks of the account, in this range, that hold fewer changes than they counted: where a missing change was.
    pub fn short_block(&self, account: &[u8; 16], from: Option<i64>, to: Option<i64>) -> Option<i64> {
        let mut blocks = self
            .findings
            .iter()
            .filter(|f| f.kind == "truncated" && f.account.as_ref() == Some(account) && f.table.is_none())
            .filter_map(|f| f.block)
            .filter(|block| from.is_none_or(|from| from <= *block) && to.is_none_or(|to| *block <= to));
        let first = blocks.next();
        first.filter(|_| blocks.next().is_none())
    }

    /// Counts a change and its entries.
    pub fn saw(&mut self, change: i64, entries: usize) {
        self.checked += entries as i64;
        self.changes = Some(match self.changes {
            Some((first, last)) => (first.min(change), last.max(change)),
            None => (change, change),
        });
    }
}

/// A digest in hex; anything else by its length.
pub fn hex(bytes: &[u8]) -> String {
    match Hash::try_from(bytes) {
        Ok(hash) => to_hex(&hash),
        Err(_) => format!("{} bytes", bytes.len()),
    }
}

/// A uuid as Postgres takes it.
pub fn uuid(bytes: [u8; 16]) -> Uuid {
    Uuid::from_bytes(bytes)
}
