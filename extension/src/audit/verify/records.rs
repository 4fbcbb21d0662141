//! Record chains: every change is hashed again, and must follow the record's change before it.

use std::borrow::Cow;
use std::collections::HashMap;

use pgrx::datum::{DatumWithOid, TimestampWithTimeZone};
use pgrx::pg_sys;
use snackbase_core::ledger::{self, Column, Hash, Header};

use super::finding::{Finding, Report, hex, uuid};
use super::live::Live;
use super::{Scope, Table};
use crate::audit::entry::{self, Entry};
use crate::audit::schema::Event;
use crate::error::Error;
use crate::json::timestamp_micros_text;
use crate::spi::scan::{Query, Reader, Scan};

/// What is read of a change; the constants below are the places.
const COLUMNS: &str = "
    c.account_id, c.table_name, c.record_id, c.record_version, c.id, c.system_identifier, c.xid, c.operation, c.columns,
    c.previous_hash, c.checksum, c.auth_method, c.es_reason, c.es_timestamp, c.es_username, c.extra_metadata::text,
    c.ip_address, c.occurred_at, c.request_id, c.user_agent, c.user_email, c.user_id, c.user_name,
    c.hash_version::bigint, c.column_count::bigint";
const ACCOUNT: usize = 0;
const TABLE: usize = 1;
const RECORD: usize = 2;
const VERSION: usize = 3;
const ID: usize = 4;
const SYSTEM: usize = 5;
const XID: usize = 6;
const OPERATION: usize = 7;
const CHANGED: usize = 8;
const PREVIOUS: usize = 9;
const CHECKSUM: usize = 10;
const HASH_VERSION: usize = 23;
const COLUMN_COUNT: usize = 24;

/// Which accounts have a history in which table, in order: by a walk over the edges of the unique index, with as many steps
/// as there are pairs.
///
/// # Errors
/// As [`Reader::scan`].
pub fn pairs(reader: &Reader, scope: &Scope) -> Result<HashMap<String, Vec<[u8; 16]>>, Error> {
    let condition = scope.account_condition("c.account_id");
    let mut scan = reader.scan(
        &format!(
            "with recursive p as (
                (select c.account_id, c.table_name
                   from snackbase.audit_change c
                  where {condition}
                  order by 1, 2
                  limit 1)
                union all
                select n.account_id, n.table_name
                  from p
                 cross join lateral (
                       select c.account_id, c.table_name
                         from snackbase.audit_change c
                        where (c.account_id, c.table_name) > (p.account_id, p.table_name) and {condition}
                        order by 1, 2
                        limit 1) n)
             select p.account_id, p.table_name from p"
        ),
        &[],
    )?;
    let mut pairs: HashMap<String, Vec<[u8; 16]>> = HashMap::new();
    while scan.advance() {
        if let (Some(account), Some(table)) = (scan.uuid(0), scan.text(1)) {
            match pairs.get_mut(table) {
                Some(accounts) => accounts.push(account),
                None => drop(pairs.insert(table.to_owned(), vec![account])),
            }
        }
    }
    Ok(pairs)
}

/// The queries of record chains, prepared once.
pub struct Chains<'r> {
    history: Query<'r>,
    version: Query<'r>,
}

impl<'r> Chains<'r> {
    /// # Errors
    /// As [`Reader::prepare`].
    pub fn prepare(reader: &'r Reader) -> Result<Self, Error> {
        Ok(Chains {
            history: reader.prepare(
                &format!(
                    "select {COLUMNS} from snackbase.audit_change c
                      where c.account_id = $1 and c.table_name = $2
                      order by c.record_id, c.record_version"
                ),
                &[pg_sys::UUIDOID, pg_sys::TEXTOID],
            )?,
            version: reader.prepare(
                "select c.checksum from snackbase.audit_change c
                  where c.account_id = $1 and c.table_name = $2 and c.record_id = $3 and c.record_version = $4",
                &[pg_sys::UUIDOID, pg_sys::TEXTOID, pg_sys::TEXTOID, pg_sys::INT8OID],
            )?,
        })
    }

    /// Everything about one table: all histories, and the live rows against them.
    ///
    /// # Errors
    /// What the queries raise.
    pub fn whole_table(
        &self,
        table: &Table,
        accounts: &[[u8; 16]],
        events: &[(i64, Event)],
        live: Option<Live<'r>>,
        report: &mut Report<'_>,
    ) -> Result<(), Error> {
        let mut walk = Walk::new(self, &table.name, events, live, false);
        for account in accounts {
            let mut changes = self
                .history
                .open(&[DatumWithOid::from(uuid(*account)), table.name.as_str().into()])?;
            while !report.is_full() && changes.advance() {
                walk.change(&changes, report)?;
            }
        }
        walk.finish(report)
    }

    /// The changes of a range, by table; their records are compared as far as the range tells.
    ///
    /// # Errors
    /// What the queries raise.
    pub fn range(
        &self,
        reader: &'r Reader,
        scope: &Scope,
        condition: &str,
        mut open: impl FnMut(&str) -> Result<Option<Live<'r>>, Error>,
        events: &crate::audit::schema::Events,
        report: &mut Report<'_>,
    ) -> Result<(), Error> {
        let account = scope.account_condition("c.account_id");
        let mut changes = reader.scan(
            &format!(
                "select {COLUMNS} from snackbase.audit_change c where {condition} and {account}
                  order by c.table_name, c.account_id, c.record_id, c.record_version"
            ),
            &[],
        )?;
        let mut walk: Option<Walk<'_, '_>> = None;
        while !report.is_full() && changes.advance() {
            let table = changes.text(TABLE).unwrap_or_default();
            if walk.as_ref().is_none_or(|walk| walk.table != table) {
                if let Some(before) = walk.take() {
                    before.finish(report)?;
                }
                let events = events.get(table).map_or(&[][..], Vec::as_slice);
                walk = Some(Walk::new(self, table, events, open(table)?, true));
            }
            if let Some(walk) = &mut walk {
                walk.change(&changes, report)?;
            }
        }
        walk.map_or(Ok(()), |walk| walk.finish(report))
    }
}

/// What the ledger says of one record: the last values, by place in [`Names`].
#[derive(Default)]
pub struct Image {
    pub values: Vec<Value>,
    /// `None`: nothing is known yet. `Some(false)`: deleted.
    pub alive: Option<bool>,
    /// The table was dropped since.
    pub lost: bool,
}

/// One value of an image. Texts are kept for their memory.
#[derive(Default, Clone)]
pub struct Value {
    pub known: bool,
    pub null: bool,
    pub text: String,
}

impl Value {
    /// The value as text; `None` for NULL.
    pub fn get(&self) -> Option<&str> {
        (!self.null).then_some(self.text.as_str())
    }
}

impl Image {
    fn forget(&mut self) {
        self.values.iter_mut().for_each(|value| value.known = false);
    }

    fn reset(&mut self) {
        self.forget();
        self.alive = None;
        self.lost = false;
    }

    fn set(&mut self, place: usize, text: Option<&str>) {
        if self.values.len() <= place {
            self.values.resize(place + 1, Value::default());
        }
        let value = &mut self.values[place];
        value.known = true;
        value.null = text.is_none();
        value.text.clear();
        value.text.push_str(text.unwrap_or_default());
    }
}

/// The columns of a table, as its history and its rows name them, by number.
#[derive(Default)]
pub struct Names {
    list: Vec<String>,
    places: HashMap<String, usize>,
}

impl Names {
    /// The number of a column; `guess` is tried first.
    pub fn place(&mut self, name: &str, guess: usize) -> usize {
        if self.list.get(guess).is_some_and(|known| known == name) {
            return guess;
        }
        if let Some(place) = self.places.get(name) {
            return *place;
        }
        self.list.push(name.to_owned());
        self.places.insert(name.to_owned(), self.list.len() - 1);
        self.list.len() - 1
    }
}

/// The place of a record in the trail, for findings.
#[derive(Clone, Default)]
pub struct Place {
    pub account: [u8; 16],
    pub record: String,
    pub version: i64,
    pub change: i64,
    pub system: i64,
    pub xid: u64,
}

/// The walk through the histories of one table.
struct Walk<'c, 'r> {
    chains: &'c Chains<'r>,
    table: String,
    events: &'c [(i64, Event)],
    next_event: usize,
    names: Names,
    live: Option<Live<'r>>,
    image: Image,
    /// Of the last change read.
    last: Option<Place>,
    last_checksum: Vec<u8>,
    /// Histories may begin in the middle.
    partial: bool,
}

impl<'c, 'r> Walk<'c, 'r> {
    fn new(
        chains: &'c Chains<'r>,
        table: &str,
        events: &'c [(i64, Event)],
        live: Option<Live<'r>>,
        partial: bool,
    ) -> Self {
        Walk {
            chains,
            table: table.to_owned(),
            events,
            next_event: 0,
            names: Names::default(),
            live,
            image: Image::default(),
            last: None,
            last_checksum: Vec::new(),
            partial,
        }
    }

    fn change(&mut self, row: &Scan<'_>, report: &mut Report<'_>) -> Result<(), Error> {
        let here = Place {
            account: row.uuid(ACCOUNT).unwrap_or_default(),
            record: row.text(RECORD).unwrap_or_default().to_owned(),
            version: row.int(VERSION).unwrap_or_default(),
            change: row.int(ID).unwrap_or_default(),
            system: row.int(SYSTEM).unwrap_or_default(),
            xid: row.int(XID).unwrap_or_default() as u64,
        };
        let same = self
            .last
            .as_ref()
            .is_some_and(|last| last.account == here.account && last.record == here.record);
        if !same {
            self.end_record(report)?;
        }
        while let Some((id, event)) = self.events.get(self.next_event)
            && *id < here.change
        {
            happen(&mut self.image, &self.names, event);
            self.next_event += 1;
        }
        // What changes outside the range did to the record is not known.
        if self.partial
            && self
                .last
                .as_ref()
                .is_some_and(|last| here.version > last.version + 1)
        {
            self.image.reset();
        }
        let entries = entry::entries(row.text(CHANGED).unwrap_or_default()).ok();
        let columns: Option<Vec<Column<'_>>> = entries
            .as_ref()
            .map(|entries| entries.iter().map(Entry::column).collect());
        self.check_hash(row, &here, columns.as_deref(), report)?;
        self.check_order(row, &here, report)?;
        // One statement may update a row (a cleared reference) and then delete it (a cascade). Changes are recorded per
        // operation, so the update can come after the delete. It does not bring the row back.
        let operation = row.text(OPERATION).unwrap_or_default();
        if !(self.image.alive == Some(false) && operation == "UPDATE") {
            self.apply(operation, columns.as_deref().unwrap_or_default());
        }
        self.last_checksum.clear();
        self.last_checksum
            .extend_from_slice(row.bytes(CHECKSUM).unwrap_or_default());
        self.last = Some(here);
        Ok(())
    }

    fn check_hash(
        &self,
        row: &Scan<'_>,
        here: &Place,
        columns: Option<&[Column<'_>]>,
        report: &mut Report<'_>,
    ) -> Result<(), Error> {
        let stored = row.bytes(CHECKSUM).unwrap_or_default();
        report.saw(here.change, columns.map_or(0, <[_]>::len));
        // What is not under the hash, but follows from what is.
        let form = |version: i64, columns: usize| format!("hash version {version}, {columns} columns");
        let expected = form(ledger::HASH_VERSION.into(), columns.map_or(0, <[_]>::len));
        let actual = form(
            row.int(HASH_VERSION).unwrap_or_default(),
            usize::try_from(row.int(COLUMN_COUNT).unwrap_or_default()).unwrap_or_default(),
        );
        if expected != actual {
            report.push(Finding {
                expected: Some(expected),
                actual: Some(actual),
                ..self.finding("checksum", here, report)?
            });
            return Ok(());
        }
        let computed = match columns {
            Some(columns) => checksum(row, here, &self.table, columns),
            None => None,
        };
        if computed.as_ref().is_none_or(|computed| computed != stored) {
            let expected = match computed {
                Some(hash) => hex(&hash),
                None => "columns: [[name, old, new], …]".to_owned(),
            };
            report.push(Finding {
                expected: Some(expected),
                actual: Some(hex(stored)),
                ..self.finding("checksum", here, report)?
            });
        }
        Ok(())
    }

    fn check_order(&self, row: &Scan<'_>, here: &Place, report: &mut Report<'_>) -> Result<(), Error> {
        let stored = row.bytes(PREVIOUS);
        let expected = match &self.last {
            Some(last) if here.version == last.version => {
                report.push(Finding {
                    expected: Some((last.version + 1).to_string()),
                    actual: Some(here.version.to_string()),
                    ..self.finding("fork", here, report)?
                });
                return Ok(());
            }
            Some(last) if here.version == last.version + 1 => Some(Cow::Borrowed(&self.last_checksum)),
            None if here.version == 1 => None,
            // Also in the middle of a history: a transaction may write after one that began later, and be in an earlier
            // block, before the range.
            _ if self.partial && here.version > 1 => match self.checksum_of(here, here.version - 1)? {
                Some(checksum) => Some(Cow::Owned(checksum)),
                None => return self.gap(here, report),
            },
            _ => return self.gap(here, report),
        };
        let expected = expected.as_ref().map(|checksum| checksum.as_slice());
        if stored != expected {
            report.push(Finding {
                expected: expected.map(hex),
                actual: stored.map(hex),
                ..self.finding("link", here, report)?
            });
        }
        Ok(())
    }

    /// Versions are missing before this change. The block is the one that misses a change, if that is clear.
    fn gap(&self, here: &Place, report: &mut Report<'_>) -> Result<(), Error> {
        let after = report.block_of(here.system, here.xid)?;
        let before = match &self.last {
            Some(last) => report.block_of(last.system, last.xid)?,
            None => None,
        };
        let expected = self.last.as_ref().map_or(0, |last| last.version) + 1;
        report.push(Finding {
            block: report.short_block(&here.account, before, after).or(after),
            expected: Some(expected.to_string()),
            actual: Some(here.version.to_string()),
            ..self.finding("gap", here, report)?
        });
        Ok(())
    }

    fn checksum_of(&self, here: &Place, version: i64) -> Result<Option<Vec<u8>>, Error> {
        let mut scan = self.chains.version.open(&[
            uuid(here.account).into(),
            self.table.as_str().into(),
            here.record.as_str().into(),
            version.into(),
        ])?;
        Ok(if scan.advance() {
            scan.bytes(0).map(<[u8]>::to_vec)
        } else {
            None
        })
    }

    fn finding(&self, kind: &'static str, here: &Place, report: &Report<'_>) -> Result<Finding, Error> {
        Ok(Finding {
            kind,
            block: report.block_of(here.system, here.xid)?,
            account: Some(here.account),
            table: Some(self.table.clone()),
            record: Some(here.record.clone()),
            version: Some(here.version),
            change: Some(here.change),
            ..Finding::default()
        })
    }

    fn apply(&mut self, operation: &str, columns: &[Column<'_>]) {
        if operation == "DELETE" {
            self.image.alive = Some(false);
            self.image.forget();
            return;
        }
        self.image.lost = false;
        self.image.alive = Some(true);
        if operation == "CREATE" {
            self.image.forget();
        }
        for (index, column) in columns.iter().enumerate() {
            let place = self.names.place(column.name, index);
            self.image.set(place, column.new);
        }
    }

    /// Compares what is known of the record with its row.
    fn end_record(&mut self, report: &mut Report<'_>) -> Result<(), Error> {
        if let Some(last) = self.last.take() {
            for (_, event) in self.events.get(self.next_event..).unwrap_or_default() {
                happen(&mut self.image, &self.names, event);
            }
            // The newest change may be in an earlier block than one before it, and outside the range: then nothing is known.
            if self.live.is_some() && self.partial && self.checksum_of(&last, last.version + 1)?.is_some() {
                self.image.reset();
            }
            if let Some(live) = &mut self.live {
                live.compare(&last, &self.image, &mut self.names, report)?;
            }
        }
        self.image.reset();
        self.next_event = 0;
        self.last_checksum.clear();
        Ok(())
    }

    fn finish(mut self, report: &mut Report<'_>) -> Result<(), Error> {
        // Cut short, the last record may have changes that were not read.
        if report.is_full() {
            return Ok(());
        }
        self.end_record(report)?;
        match &mut self.live {
            Some(live) => live.rest(report),
            None => Ok(()),
        }
    }
}

/// What an event of the table does to what is known of its records.
fn happen(image: &mut Image, names: &Names, event: &Event) {
    if image.alive != Some(true) {
        return;
    }
    match event {
        Event::Removed(gone) => {
            for name in gone {
                if let Some(value) = names
                    .places
                    .get(name)
                    .and_then(|place| image.values.get_mut(*place))
                {
                    value.known = false;
                }
            }
        }
        Event::Dropped => image.lost = true,
    }
}

/// The hash of the change as it is stored.
fn checksum(row: &Scan<'_>, here: &Place, table: &str, columns: &[Column<'_>]) -> Option<Hash> {
    let instant = |column: usize| {
        let micros = row.int(column)?;
        TimestampWithTimeZone::try_from(micros)
            .ok()
            .map(timestamp_micros_text)
    };
    let account_id = uuid::Uuid::from_bytes(here.account).to_string();
    let (es_timestamp, occurred_at) = (instant(13), instant(17));
    let header = Header {
        account_id: &account_id,
        auth_method: row.text(11),
        es_reason: row.text(12),
        es_timestamp: es_timestamp.as_deref(),
        es_username: row.text(14),
        extra_metadata: row.text(15),
        ip_address: row.text(16),
        occurred_at: occurred_at.as_deref().unwrap_or_default(),
        operation: row.text(OPERATION).unwrap_or_default(),
        record_id: &here.record,
        record_version: here.version,
        request_id: row.text(18),
        table_name: table,
        user_agent: row.text(19),
        user_email: row.text(20).unwrap_or_default(),
        user_id: row.text(21).unwrap_or_default(),
        user_name: row.text(22).unwrap_or_default(),
    };
    let previous = match row.bytes(PREVIOUS) {
        Some(bytes) => Some(Hash::try_from(bytes).ok()?),
        None => None,
    };
    ledger::entry_hashes(previous, &ledger::header_hash(&header), columns)
        .last()
        .copied()
}
