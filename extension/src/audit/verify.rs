//! `audit_verify()`: recomputes every record chain and compares live rows with the last audited values.
//!
//! Per table, two cursors walk in the same order (account, record id): the changes of the ledger, and the live rows.
//! Memory stays flat. Nothing here writes; it runs with the rights of whoever calls it.

use std::collections::BTreeMap;
use std::iter::Peekable;

use pgrx::Uuid;
use pgrx::pg_sys::panic::ErrorReport;
use pgrx::prelude::*;
use snackbase_core::ledger::to_hex;
use snackbase_core::names::{quote, quote_literal};

use super::entry;
use super::schema::{self, Event};
use crate::error::Error;
use crate::json::JsonText;
use crate::spi::{self, Cursor};

/// Rows per fetch from a cursor.
const BATCH: i64 = 1000;

type Finding = (
    &'static str,
    Option<Uuid>,
    String,
    String,
    Option<i64>,
    Option<String>,
    Option<String>,
);

/// Checks the ledger, of one account or of all; no rows means clean, and at most `max_errors` are returned.
///
/// | `kind` | What is wrong |
/// |---|---|
/// | `checksum` | a stored change does not hash to its checksum: something in it was edited |
/// | `link` | a change does not name the checksum of the change before it |
/// | `gap` | a version is missing in the history of a record |
/// | `fork` | a version stands twice |
/// | `live` | a live row differs from its last audited values, or is gone without an entry |
/// | `missing` | a live row has no history |
///
/// Errors: 42501 when the caller may not read a table.
#[pg_extern(volatile, parallel_unsafe)]
#[allow(clippy::type_complexity)]
fn audit_verify(
    account: default!(Option<Uuid>, "NULL"),
    max_errors: default!(i32, 100),
) -> Result<
    TableIterator<
        'static,
        (
            name!(kind, &'static str),
            name!(account_id, Option<Uuid>),
            name!(table_name, String),
            name!(record_id, String),
            name!(record_version, Option<i64>),
            name!(expected, Option<String>),
            name!(actual, Option<String>),
        ),
    >,
    ErrorReport,
> {
    let mut findings = Findings {
        list: Vec::new(),
        max: usize::try_from(max_errors).unwrap_or(0),
    };
    let events = schema::events()?;
    for table in tables()? {
        if findings.is_full() {
            break;
        }
        let events = events.get(&table.name).map_or(&[][..], Vec::as_slice);
        verify_table(&table, account, events, &mut findings)?;
    }
    Ok(TableIterator::new(findings.list))
}

struct Findings {
    list: Vec<Finding>,
    max: usize,
}

impl Findings {
    fn is_full(&self) -> bool {
        self.list.len() >= self.max
    }

    fn push(
        &mut self,
        kind: &'static str,
        record: &Key,
        version: Option<i64>,
        expected: Option<String>,
        actual: Option<String>,
        table: &str,
    ) {
        if !self.is_full() {
            let account = uuid::Uuid::parse_str(&record.0)
                .ok()
                .map(|id| Uuid::from_bytes(*id.as_bytes()));
            self.list.push((
                kind,
                account,
                table.to_owned(),
                record.1.clone(),
                version,
                expected,
                actual,
            ));
        }
    }
}

/// A table with a recorder, or one that only the ledger remembers.
struct Table {
    name: String,
    /// The trigger's arguments; `None` when the table is gone.
    arguments: Option<Vec<String>>,
}

fn tables() -> Result<Vec<Table>, Error> {
    spi::select(
        "select coalesce(t.name, l.table_name), t.arguments
           from (select c.relname::text collate \"C\" as name,
                        string_to_array(rtrim(encode(g.tgargs, 'escape'), '\\000'), '\\000') as arguments
                   from pg_catalog.pg_trigger g
                   join pg_catalog.pg_class c on c.oid = g.tgrelid
                  where g.tgname = 'audit_insert' and c.relnamespace = 'snackbase'::regnamespace) t
           full join (select distinct a.table_name from snackbase.audit_change a) l on l.table_name = t.name
          order by 1",
        &[],
        |rows| {
            rows.into_iter()
                .map(|row| {
                    Ok(Table {
                        name: row.get::<String>(1)?.unwrap_or_default(),
                        arguments: row.get::<Vec<String>>(2)?,
                    })
                })
                .collect()
        },
    )
}

/// Account and record id, in the order of collation C.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Key(String, String);

struct Stored {
    id: i64,
    key: Key,
    version: i64,
    operation: String,
    columns: String,
    previous: Option<Vec<u8>>,
    checksum: Vec<u8>,
    computed: Vec<u8>,
}

/// What the ledger says of a record: its columns, or `None` after DELETE.
type Image = Option<Record>;

#[derive(Default)]
struct Record {
    columns: BTreeMap<String, Option<String>>,
    /// The table was dropped since.
    lost: bool,
}

fn verify_table(
    table: &Table,
    account: Option<Uuid>,
    events: &[(i64, Event)],
    findings: &mut Findings,
) -> Result<(), Error> {
    let account = account.map(|id| uuid::Uuid::from_bytes(*id.as_bytes()).to_string());
    let mut changes = Batches::new(
        Cursor::open(&changes_query(table, account.as_deref()))?,
        read_change,
    )
    .peekable();
    let mut live = match &table.arguments {
        Some(arguments) => Some(
            Batches::new(
                Cursor::open(&live_query(table, arguments, account.as_deref())?)?,
                read_live,
            )
            .peekable(),
        ),
        None => None,
    };
    while !findings.is_full() {
        let Some((key, image)) = next_record(&mut changes, &table.name, events, findings)? else {
            break;
        };
        if let Some(live) = &mut live {
            compare(live, &key, image, &table.name, findings)?;
        }
    }
    if let Some(live) = &mut live {
        while let Some(row) = live.next_if(|_| !findings.is_full()) {
            without_history(&row?.0, &table.name, findings);
        }
    }
    Ok(())
}

fn changes_query(table: &Table, account: Option<&str>) -> String {
    format!(
        "select c.account_id::text, c.record_id::text, c.record_version, c.operation, c.columns, c.previous_hash, c.checksum,
                snackbase._audit_chain(snackbase._audit_header(c), c.columns, c.previous_hash), c.id
           from snackbase.audit_change c
          where c.table_name = {} {}
          order by c.account_id, c.record_id, c.record_version",
        quote_literal(&table.name),
        account.map(|id| format!("and c.account_id = {}::uuid", quote_literal(id))).unwrap_or_default()
    )
}

fn live_query(table: &Table, arguments: &[String], account: Option<&str>) -> Result<String, Error> {
    let key = arguments.first().map(String::as_str).unwrap_or("id");
    let key: Vec<String> = key
        .split(',')
        .map(|column| format!("t.{}::text", quote(column)))
        .collect();
    let masked: Vec<String> = arguments
        .iter()
        .skip(1)
        .map(|column| quote_literal(column))
        .collect();
    let has_account = spi::select(
        "select exists (select from pg_catalog.pg_attribute a
                         where a.attrelid = to_regclass('snackbase.' || quote_ident($1)) and a.attname = 'account_id')",
        &[table.name.as_str().into()],
        |rows| Ok(rows.first().get_one::<bool>()?.unwrap_or(false)),
    )?;
    let owner = match (has_account, table.name.as_str()) {
        (true, _) => "t.account_id",
        (false, "accounts") => "t.id",
        (false, _) => "'00000000-0000-0000-0000-000000000000'::uuid",
    };
    Ok(format!(
        "select {owner}::text, ({key})::text, snackbase._audit_image(t, array[{masked}]::text[])
           from snackbase.{relation} t
          {filter}
          order by {owner}, ({key}) collate \"C\"",
        key = key.join(" || ':' || "),
        masked = masked.join(", "),
        relation = quote(&table.name),
        filter = account
            .map(|id| format!("where {owner} = {}::uuid", quote_literal(id)))
            .unwrap_or_default(),
    ))
}

fn read_change(row: &spi::Row<'_>) -> Result<Stored, Error> {
    let missing = || Error::Internal("a change of the ledger lacks a column".into());
    Ok(Stored {
        id: row.get::<i64>(9)?.ok_or_else(missing)?,
        key: Key(
            row.get::<String>(1)?.ok_or_else(missing)?,
            row.get::<String>(2)?.ok_or_else(missing)?,
        ),
        version: row.get::<i64>(3)?.ok_or_else(missing)?,
        operation: row.get::<String>(4)?.ok_or_else(missing)?,
        columns: row.get::<JsonText>(5)?.ok_or_else(missing)?.0,
        previous: row.get::<Vec<u8>>(6)?,
        checksum: row.get::<Vec<u8>>(7)?.ok_or_else(missing)?,
        computed: row.get::<Vec<u8>>(8)?.ok_or_else(missing)?,
    })
}

fn read_live(row: &spi::Row<'_>) -> Result<(Key, BTreeMap<String, Option<String>>), Error> {
    let text = |ordinal| -> Result<String, Error> { Ok(row.get::<String>(ordinal)?.unwrap_or_default()) };
    let image =
        serde_json::from_str(&text(3)?).map_err(|e| Error::Internal(format!("image of a row: {e}")))?;
    Ok((Key(text(1)?, text(2)?), image))
}

/// Consumes the history of one record, reports what is wrong with it, and says what it amounts to.
fn next_record(
    changes: &mut Peekable<impl Iterator<Item = Result<Stored, Error>>>,
    table: &str,
    events: &[(i64, Event)],
    findings: &mut Findings,
) -> Result<Option<(Key, Image)>, Error> {
    let Some(first) = changes.next().transpose()? else {
        return Ok(None);
    };
    let key = first.key.clone();
    let mut image: Image = None;
    let mut last: Option<(i64, Vec<u8>)> = None;
    let mut events = events.iter().peekable();
    let mut current = Some(first);
    while let Some(change) = current {
        while let Some((_, event)) = events.next_if(|(id, _)| *id < change.id) {
            happen(&mut image, event);
        }
        let mut report = |kind, expected: Option<String>, actual| {
            findings.push(kind, &key, Some(change.version), expected, actual, table);
        };
        if change.computed != change.checksum {
            report(
                "checksum",
                Some(hex(&change.computed)),
                Some(hex(&change.checksum)),
            );
        }
        let (last_version, last_checksum) = match &last {
            Some((version, checksum)) => (*version, Some(checksum)),
            None => (0, None),
        };
        if change.version == last_version {
            report(
                "fork",
                Some((last_version + 1).to_string()),
                Some(change.version.to_string()),
            );
        } else if change.version != last_version + 1 {
            report(
                "gap",
                Some((last_version + 1).to_string()),
                Some(change.version.to_string()),
            );
        } else if change.previous.as_ref() != last_checksum {
            report(
                "link",
                last_checksum.map(|c| hex(c)),
                change.previous.as_deref().map(hex),
            );
        }
        // One statement may update a row (a cleared reference) and then delete it (a cascade). Changes are recorded per
        // operation, so the update can come after the delete. It does not bring the row back.
        let deleted = last.is_some() && image.is_none();
        if !(deleted && change.operation == "UPDATE") {
            apply(&mut image, &change)?;
        }
        last = Some((change.version, change.checksum));
        current = match changes.next_if(|next| next.as_ref().is_ok_and(|next| next.key == key)) {
            Some(next) => Some(next?),
            None => None,
        };
    }
    for (_, event) in events {
        happen(&mut image, event);
    }
    Ok(Some((key, image)))
}

/// What an event of the table does to what is known of its records.
fn happen(image: &mut Image, event: &Event) {
    let Some(record) = image else { return };
    match event {
        Event::Removed(names) => record.columns.retain(|name, _| !names.contains(name)),
        Event::Dropped => record.lost = true,
    }
}

fn apply(image: &mut Image, change: &Stored) -> Result<(), Error> {
    if change.operation == "DELETE" {
        *image = None;
        return Ok(());
    }
    let Record { columns, lost } = image.get_or_insert_default();
    *lost = false;
    if change.operation == "CREATE" {
        columns.clear();
    }
    for entry in &entry::entries(&change.columns)? {
        let entry = entry.column();
        columns.insert(entry.name.to_owned(), entry.new.map(str::to_owned));
    }
    Ok(())
}

/// Compares the live rows up to `key` with what the ledger says of it.
fn compare(
    live: &mut Peekable<impl Iterator<Item = Result<(Key, BTreeMap<String, Option<String>>), Error>>>,
    key: &Key,
    image: Image,
    table: &str,
    findings: &mut Findings,
) -> Result<(), Error> {
    while let Some(row) = live.next_if(|row| row.as_ref().map_or(true, |(found, _)| found < key)) {
        without_history(&row?.0, table, findings);
    }
    let row = live
        .next_if(|row| row.as_ref().map_or(true, |(found, _)| found == key))
        .transpose()?;
    match (image, row) {
        (None, None) => {}
        (Some(audited), None) if audited.lost => {}
        (Some(_), None) => findings.push("live", key, None, Some("a row".into()), None, table),
        (None, Some(_)) => findings.push("live", key, None, None, Some("a row".into()), table),
        (Some(audited), Some((_, columns))) => {
            // A column that the history does not know was added later; its default is in the audited definition.
            for (name, value) in &columns {
                if let Some(expected) = audited.columns.get(name)
                    && expected != value
                {
                    let show = |value: &Option<String>| {
                        Some(format!("{name} = {}", value.as_deref().unwrap_or("null")))
                    };
                    findings.push("live", key, None, show(expected), show(value), table);
                }
            }
        }
    }
    Ok(())
}

/// A live row that the ledger has never heard of. What CREATE EXTENSION inserts is older than the ledger.
fn without_history(key: &Key, table: &str, findings: &mut Findings) {
    let seeded = match table {
        "accounts" => key.1 == crate::context::SYSTEM_ACCOUNT,
        "roles" => key.1 == "1" || key.1 == "2",
        _ => false,
    };
    if !seeded {
        findings.push("missing", key, None, None, Some("a row".into()), table);
    }
}

fn hex(bytes: &[u8]) -> String {
    match <[u8; 32]>::try_from(bytes) {
        Ok(hash) => to_hex(&hash),
        Err(_) => format!("{} bytes", bytes.len()),
    }
}

/// The rows of a cursor, one by one, fetched in batches.
struct Batches<T, F> {
    cursor: Cursor,
    read: F,
    rows: std::vec::IntoIter<T>,
    done: bool,
}

impl<T, F> Batches<T, F> {
    fn new(cursor: Cursor, read: F) -> Self {
        Batches {
            cursor,
            read,
            rows: Vec::new().into_iter(),
            done: false,
        }
    }
}

impl<T, F: Fn(&spi::Row<'_>) -> Result<T, Error>> Iterator for Batches<T, F> {
    type Item = Result<T, Error>;

    fn next(&mut self) -> Option<Self::Item> {
        if let Some(row) = self.rows.next() {
            return Some(Ok(row));
        }
        if self.done {
            return None;
        }
        match self.cursor.fetch(BATCH, &self.read) {
            Ok(rows) => {
                self.done = rows.len() < BATCH as usize;
                self.rows = rows.into_iter();
                self.rows.next().map(Ok)
            }
            Err(error) => {
                self.done = true;
                Some(Err(error))
            }
        }
    }
}
