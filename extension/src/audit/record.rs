//! The recorder: a statement trigger that turns the rows a statement wrote into changes of the ledger.
//!
//! Transition tables give all rows of a statement at once, whatever wrote them: INSERT, COPY, MERGE, ON CONFLICT, a
//! cascade. They are read row by row and written in batches, so memory stays flat. The predecessor of a change is looked up
//! by the unique key of the chain; the lock on the record's own row already orders its writers, so the ledger needs no lock of
//! its own, and a fork fails on that key.
//!
//! A row is read once: each value is printed, escaped and hashed where it stands, and what is the same for the whole statement
//! (who, the beginning of the header) is made once. What the catalogs say of a table is kept by the backend.

use std::collections::HashMap;

use pgrx::heap_tuple::PgHeapTuple;
use pgrx::pg_sys;
use pgrx::prelude::*;
use pgrx::{AllocatedByRust, PgMemoryContexts};
use snackbase_core::ledger::sealed::Place;
use snackbase_core::ledger::{ColumnHasher, Hash, Header, SharedHeader, entry_hash, write_string};

use super::image::{self, Column, bytes_of_uuid};
use super::origin::Origin;
use super::store::{Change, Ledger, Shared};
use super::treatment::{self, Treatment};
use crate::context::SYSTEM_ACCOUNT;
use crate::error::{Error, raise};
use crate::subjects::Keys;
use crate::{cache, guc, json};

/// Records the rows of one statement. Trigger arguments: the key column (several joined by a comma), then the columns
/// stored as `***`.
#[pg_trigger]
fn _audit_record<'a>(
    trigger: &'a PgTrigger<'a>,
) -> Result<Option<PgHeapTuple<'a, AllocatedByRust>>, pgrx::pg_sys::panic::ErrorReport> {
    if !guc::is_restoring()
        && let Err(error) = record(trigger)
    {
        raise(error);
    }
    Ok(None)
}

fn record(trigger: &PgTrigger<'_>) -> Result<(), Error> {
    let data = trigger.trigger_data();
    // SAFETY: the trigger manager gives every call its trigger.
    let recorder = cache::get(unsafe { (*data.tg_trigger).tgoid }, || Recorder::new(trigger))?;
    let mut old = Rows::open(data, data.tg_oldtable);
    let mut new = Rows::open(data, data.tg_newtable);
    let mut memory = PgMemoryContexts::new("snackbase values");
    let mut printing = None;
    let mut writer: Option<Writer> = None;
    let mut row = Row::default();
    let mut keys = Keys::default();
    // Old and new rows of an UPDATE come in the same order.
    loop {
        let (before, after) = (old.next(), new.next());
        if before.is_none() && after.is_none() {
            break;
        }
        printing.get_or_insert_with(|| guc::CanonicalPrinting::begin(!recorder.is_plain));
        // SAFETY: nothing allocated inside outlives it: texts are copied into the row.
        unsafe {
            memory.switch_to(|_| recorder.read(before, after, &mut row, &mut keys))?;
            memory.reset();
        }
        if row.hashes.is_empty() {
            continue;
        }
        let writer = match &mut writer {
            Some(writer) => writer,
            None => writer.insert(Writer::open(&recorder)?),
        };
        writer.write(&row)?;
    }
    if let Some(writer) = writer {
        writer.ledger.close();
    }
    Ok(())
}

/// What the rows of one table need to become changes.
struct Recorder {
    table: String,
    operation: &'static str,
    columns: Vec<Audited>,
    /// Positions in `columns`.
    keys: Vec<usize>,
    account: Account,
    is_plain: bool,
    /// The column that names the subject of erasable values; the outer None: there are none.
    subject: Option<Option<usize>>,
    /// Where the columns keep what they need to print.
    _memory: OwnMemory,
}

/// A column, and how it goes into the ledger.
struct Audited {
    column: Column,
    treatment: Treatment,
    hasher: ColumnHasher,
    /// The beginning of its entry in `columns` of the change: `["title",`
    opening: Vec<u8>,
}

/// Where the account of a row is.
enum Account {
    Column(usize),
    /// Tables that belong to all accounts.
    System,
}

/// One row as the ledger will hold it. Used again for the next: no allocation per row.
#[derive(Default)]
struct Row {
    account: [u8; 16],
    record: String,
    /// `[[name, old, new], …]`: every column on CREATE and DELETE, the changed ones on UPDATE.
    columns: Vec<u8>,
    /// One per entry of `columns`; empty when nothing changed.
    hashes: Vec<Hash>,
    old: String,
    new: String,
}

impl Recorder {
    fn new(trigger: &PgTrigger<'_>) -> Result<(pg_sys::Oid, Recorder), Error> {
        let internal = |e: PgTriggerError| Error::Internal(e.to_string());
        let relation = trigger.relation().map_err(internal)?;
        let table = relation.name().to_owned();
        let memory = OwnMemory::new();
        let columns = image::columns_in(&relation.tuple_desc(), memory.0);
        let arguments = trigger.extra_args().map_err(internal)?;
        let position = |name: &str| columns.iter().position(|c| c.name == name);
        let key_names = arguments.first().map(String::as_str).unwrap_or("id");
        let keys = key_names
            .split(',')
            .map(|name| {
                position(name).ok_or_else(|| Error::Internal(format!("{table} has no column {name}")))
            })
            .collect::<Result<_, _>>()?;
        let account = match position("account_id") {
            Some(index) => Account::Column(index),
            None if table == "accounts" => {
                Account::Column(position("id").ok_or_else(|| Error::Internal("accounts has no id".into()))?)
            }
            None => Account::System,
        };
        let operation = match trigger.op().map_err(internal)? {
            PgTriggerOperation::Insert => "CREATE",
            PgTriggerOperation::Update => "UPDATE",
            PgTriggerOperation::Delete => "DELETE",
            PgTriggerOperation::Truncate => return Err(Error::Internal("TRUNCATE has no rows".into())),
        };
        let rest = arguments.get(1..).unwrap_or_default();
        let erases = columns
            .iter()
            .any(|column| Treatment::of(&column.name, rest) == Treatment::Erasable);
        let subject = erases.then(|| treatment::subject(rest).and_then(position));
        let recorder = Recorder {
            subject,
            operation,
            keys,
            account,
            is_plain: columns.iter().all(|column| column.is_plain),
            columns: columns
                .into_iter()
                .map(|column| {
                    let mut opening = b"[".to_vec();
                    write_string(&mut opening, &column.name);
                    opening.push(b',');
                    Audited {
                        treatment: Treatment::of(&column.name, rest),
                        hasher: ColumnHasher::new(&column.name),
                        opening,
                        column,
                    }
                })
                .collect(),
            table,
            _memory: memory,
        };
        Ok((relation.oid(), recorder))
    }

    /// Makes one row of the transition tables into `row`.
    fn read(
        &self,
        before: Option<Values>,
        after: Option<Values>,
        row: &mut Row,
        keys: &mut Keys,
    ) -> Result<(), Error> {
        row.columns.clear();
        row.hashes.clear();
        let Some(values) = after.or(before) else {
            return Ok(());
        };
        if let (Some(old), Some(new)) = (before, after)
            && self.moves(old, new)
        {
            return Err(Error::RecordMoved);
        }
        let subjects = match self.subject {
            None => None,
            Some(column) => {
                self.identify(values, row);
                let of = |values: Option<Values>| values.map(|values| self.subject_of(column, values, row));
                Some((of(before), of(after)))
            }
        };
        // Values that belong to somebody else now are recorded again, under the other key.
        let moved = matches!(&subjects, Some((Some(old), Some(new))) if old != new);
        row.columns.push(b'[');
        let updates = before.is_some() && after.is_some();
        for audited in &self.columns {
            let Audited {
                column, treatment, ..
            } = audited;
            if *treatment == Treatment::Skipped {
                continue;
            }
            let moves = moved && *treatment == Treatment::Erasable;
            let value = |values: Option<Values>| values.and_then(|values| values.get(column));
            let (old, new) = (value(before), value(after));
            if updates {
                match (old, new) {
                    (None, None) => continue,
                    // SAFETY: both are values of this column.
                    (Some(old), Some(new)) if !moves && unsafe { column.is_same(old, new) } => continue,
                    _ => {}
                }
            }
            for (value, text) in [(old, &mut row.old), (new, &mut row.new)] {
                text.clear();
                if let Some(value) = value {
                    // SAFETY: a value of this column.
                    unsafe { column.write(value, text) };
                }
            }
            if updates && !moves && old.is_some() == new.is_some() && row.old == row.new {
                continue;
            }
            match (&subjects, treatment) {
                (Some((of_old, of_new)), Treatment::Erasable) => {
                    let account = uuid::Uuid::from_bytes(row.account).to_string();
                    let place = Place {
                        account: &account,
                        table: &self.table,
                        record: &row.record,
                        column: &column.name,
                    };
                    if let (Some(_), Some(subject)) = (old, of_old) {
                        row.old = keys.seal(&place, subject, &row.old)?;
                    }
                    if let (Some(_), Some(subject)) = (new, of_new) {
                        row.new = keys.seal(&place, subject, &row.new)?;
                    }
                }
                _ => {
                    if old.is_some() {
                        treatment.apply(&self.table, &column.name, &mut row.old);
                    }
                    if new.is_some() {
                        treatment.apply(&self.table, &column.name, &mut row.new);
                    }
                }
            }
            let text = |value: Option<pg_sys::Datum>, text| value.map(|_| text);
            audited.write(
                text(old, row.old.as_str()),
                text(new, row.new.as_str()),
                &mut row.columns,
                &mut row.hashes,
            );
        }
        row.columns.push(b']');
        if !row.hashes.is_empty() && self.subject.is_none() {
            self.identify(values, row);
        }
        Ok(())
    }

    /// Whether an update gives a row another key or account. It would end one history without a word, and begin another in the
    /// middle.
    fn moves(&self, old: Values, new: Values) -> bool {
        let account = match self.account {
            Account::Column(index) => Some(index),
            Account::System => None,
        };
        self.keys.iter().copied().chain(account).any(|index| {
            let column = &self.columns[index].column;
            match (old.get(column), new.get(column)) {
                (None, None) => false,
                // SAFETY: both are values of this column.
                (Some(old), Some(new)) => unsafe {
                    !column.is_same(old, new) && column.text(old, false) != column.text(new, false)
                },
                _ => true,
            }
        })
    }

    /// Whose values a row holds.
    fn subject_of(&self, column: Option<usize>, values: Values, row: &Row) -> String {
        let mut subject = String::new();
        if let Some(column) = column.map(|index| &self.columns[index].column)
            && let Some(value) = values.get(column)
        {
            // SAFETY: a value of this column.
            unsafe { column.write(value, &mut subject) };
        }
        if subject.is_empty() {
            subject.push_str(&row.record);
        }
        subject
    }

    /// Writes account and key of a row into `row`.
    fn identify(&self, values: Values, row: &mut Row) {
        row.account = match self.account {
            Account::Column(index) => match values.get(&self.columns[index].column) {
                // SAFETY: accounts are named by uuids.
                Some(value) => unsafe { bytes_of_uuid(value) },
                None => system_account(),
            },
            Account::System => system_account(),
        };
        row.record.clear();
        for &index in &self.keys {
            let column = &self.columns[index].column;
            if let Some(value) = values.get(column) {
                if !row.record.is_empty() {
                    row.record.push(':');
                }
                // SAFETY: a value of this column.
                unsafe { column.write(value, &mut row.record) };
            }
        }
    }
}

impl Audited {
    /// Appends the entry of this column, and its hash: the values are escaped once for both.
    fn write(&self, old: Option<&str>, new: Option<&str>, columns: &mut Vec<u8>, hashes: &mut Vec<Hash>) {
        if !hashes.is_empty() {
            columns.push(b',');
        }
        columns.extend_from_slice(&self.opening);
        let write = |columns: &mut Vec<u8>, value: Option<&str>| {
            let start = columns.len();
            match value {
                Some(text) => write_string(columns, text),
                None => columns.extend_from_slice(b"null"),
            }
            start..columns.len()
        };
        let old = write(columns, old);
        columns.push(b',');
        let new = write(columns, new);
        hashes.push(self.hasher.hash(&columns[old], &columns[new]));
        columns.push(b']');
    }
}

fn system_account() -> [u8; 16] {
    uuid::Uuid::parse_str(SYSTEM_ACCOUNT)
        .unwrap_or_default()
        .into_bytes()
}

/// Writes the changes of one statement.
struct Writer<'a> {
    recorder: &'a Recorder,
    origin: Origin,
    ledger: Ledger,
    /// Microseconds since 2000-01-01; the changes of a batch have one instant.
    occurred_at: i64,
    /// What the headers of the account that came last have in common.
    header: Option<([u8; 16], SharedHeader)>,
    /// Version and checksum of changes that the ledger has not written yet, by account and record. One statement may write a row
    /// twice: a record that is deleted clears each of the references of another record by an UPDATE of its own.
    unwritten: HashMap<Vec<u8>, (i64, Hash)>,
    key: Vec<u8>,
}

impl<'a> Writer<'a> {
    fn open(recorder: &'a Recorder) -> Result<Writer<'a>, Error> {
        let origin = Origin::current()?;
        let ledger = Ledger::open(&Shared {
            operation: recorder.operation,
            table: &recorder.table,
            origin: &origin,
        })?;
        Ok(Writer {
            recorder,
            origin,
            ledger,
            occurred_at: now(),
            header: None,
            unwritten: HashMap::new(),
            key: Vec::new(),
        })
    }

    fn write(&mut self, row: &Row) -> Result<(), Error> {
        self.key.clear();
        self.key.extend_from_slice(&row.account);
        self.key.extend_from_slice(row.record.as_bytes());
        let newest = match self.unwritten.get(&self.key) {
            Some(newest) => Some(*newest),
            None => self.ledger.newest(&row.account, &row.record)?,
        };
        let (version, previous) =
            newest.map_or((1, None), |(version, checksum)| (version + 1, Some(checksum)));
        let header = self.header(&row.account).hash(&row.record, version);
        let start = previous.unwrap_or_default();
        let checksum = row
            .hashes
            .iter()
            .fold(start, |previous, column| entry_hash(&previous, &header, column));
        let full = self.ledger.push(&Change {
            account: row.account,
            record: &row.record,
            version,
            columns: &row.columns,
            // Postgres allows 1,600 columns.
            count: row.hashes.len() as i16,
            occurred_at: self.occurred_at,
            previous,
            checksum,
        });
        if full {
            self.unwritten.clear();
            self.occurred_at = now();
            self.header = None;
        } else if self.recorder.operation != "CREATE" {
            self.unwritten.insert(self.key.clone(), (version, checksum));
        }
        Ok(())
    }

    fn header(&mut self, account: &[u8; 16]) -> &SharedHeader {
        let kept = self.header.take().filter(|(of, _)| of == account);
        let kept = kept.unwrap_or_else(|| {
            let origin = &self.origin;
            let id = uuid::Uuid::from_bytes(*account).to_string();
            let instant = |micros: i64| {
                let mut text = String::new();
                // SAFETY: an instant is passed as the number itself.
                if let Some(instant) = unsafe { TimestampWithTimeZone::from_datum(micros.into(), false) } {
                    json::write_timestamp_micros(&mut text, instant);
                }
                text
            };
            let header = SharedHeader::new(&Header {
                account_id: &id,
                auth_method: Some(&origin.auth_method),
                es_reason: origin.es_reason.as_deref(),
                es_timestamp: origin.es_timestamp.map(instant).as_deref(),
                es_username: origin.es_username.as_deref(),
                extra_metadata: None,
                ip_address: origin.ip_address.as_deref(),
                occurred_at: &instant(self.occurred_at),
                operation: self.recorder.operation,
                record_id: "",
                record_version: 0,
                request_id: origin.request_id.as_deref(),
                table_name: &self.recorder.table,
                user_agent: origin.user_agent.as_deref(),
                user_email: &origin.user_email,
                user_id: &origin.user_id,
                user_name: &origin.user_name,
            });
            (*account, header)
        });
        &self.header.insert(kept).1
    }
}

/// The wall clock, in microseconds since 2000-01-01.
fn now() -> i64 {
    // SAFETY: reads the clock.
    unsafe { pg_sys::GetCurrentTimestamp() }
}

/// The rows of one transition table.
struct Rows {
    store: *mut pg_sys::Tuplestorestate,
    slot: *mut pg_sys::TupleTableSlot,
}

/// The values of a row, until the next one of its [`Rows`] is read.
#[derive(Clone, Copy)]
struct Values {
    values: *const pg_sys::Datum,
    nulls: *const bool,
}

impl Values {
    /// The value of a column; None for NULL.
    fn get(&self, column: &Column) -> Option<pg_sys::Datum> {
        let index = column.number - 1;
        // SAFETY: there is one value and one flag per attribute of the relation, and the column is one of them.
        unsafe { (!*self.nulls.add(index)).then(|| *self.values.add(index)) }
    }
}

impl Rows {
    /// A reader of `store`, which is null when the trigger has no such transition table.
    fn open(data: &pg_sys::TriggerData, store: *mut pg_sys::Tuplestorestate) -> Rows {
        if store.is_null() {
            return Rows {
                store,
                slot: std::ptr::null_mut(),
            };
        }
        // SAFETY: the trigger manager keeps the relation and the store open while the trigger runs; the tuplestore
        // holds minimal tuples of the relation's row type.
        unsafe {
            pg_sys::tuplestore_rescan(store);
            let slot = pg_sys::MakeSingleTupleTableSlot(
                (*data.tg_relation).rd_att,
                &raw const pg_sys::TTSOpsMinimalTuple,
            );
            Rows { store, slot }
        }
    }

    /// The next row.
    fn next(&mut self) -> Option<Values> {
        if self.store.is_null() {
            return None;
        }
        // SAFETY: store and slot are live (see `open`); after slot_getsomeattrs the value arrays have one element per
        // attribute of the relation.
        unsafe {
            // A row of a store that was spilled to disk is allocated here, and freed by the slot when the next one comes.
            let caller = pg_sys::MemoryContextSwitchTo((*self.slot).tts_mcxt);
            let found = pg_sys::tuplestore_gettupleslot(self.store, true, false, self.slot);
            pg_sys::MemoryContextSwitchTo(caller);
            if !found {
                return None;
            }
            let count = (*(*self.slot).tts_tupleDescriptor).natts;
            pg_sys::slot_getsomeattrs_int(self.slot, count);
            Some(Values {
                values: (*self.slot).tts_values,
                nulls: (*self.slot).tts_isnull,
            })
        }
    }
}

impl Drop for Rows {
    fn drop(&mut self) {
        if !self.slot.is_null() && !std::thread::panicking() {
            // SAFETY: made in `open`, dropped once. After a Postgres error the memory context frees it instead.
            unsafe { pg_sys::ExecDropSingleTupleTableSlot(self.slot) };
        }
    }
}

/// A memory context that lives as long as this does.
struct OwnMemory(pg_sys::MemoryContext);

impl OwnMemory {
    fn new() -> OwnMemory {
        // SAFETY: below the context that is never reset; the name is a literal, as Postgres wants.
        OwnMemory(unsafe {
            pg_sys::AllocSetContextCreateExtended(
                pg_sys::TopMemoryContext,
                c"snackbase recorder".as_ptr(),
                pg_sys::ALLOCSET_SMALL_MINSIZE as usize,
                pg_sys::ALLOCSET_SMALL_INITSIZE as usize,
                pg_sys::ALLOCSET_SMALL_MAXSIZE as usize,
            )
        })
    }
}

impl Drop for OwnMemory {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            // SAFETY: made in `new`, deleted once; whoever printed with it is gone.
            unsafe { pg_sys::MemoryContextDelete(self.0) };
        }
    }
}
