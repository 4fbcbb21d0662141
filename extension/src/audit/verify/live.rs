//! Live rows: each must be what the ledger last said of it.
//!
//! The rows of a table come in the order of the histories (account, record id), so both are walked once, side by side.
//! When only a range of changes is verified, the row of each record in it is looked up instead.

use pgrx::datum::DatumWithOid;
use pgrx::pg_sys;
use snackbase_core::ledger::sealed;
use snackbase_core::names::{quote, quote_literal};

use super::finding::{Finding, Report, uuid};
use super::records::{Image, Names, Place};
use super::{Scope, Table};
use crate::audit::image::{self, Column};
use crate::audit::treatment::{self, Treatment};
use crate::context::SYSTEM_ACCOUNT;
use crate::error::Error;
use crate::spi::Acting;
use crate::spi::scan::{Query, Reader, Scan};
use crate::subjects::{self, Opened};

/// The row type of the queries: owner, key, then the columns that are compared.
const FIRST: usize = 2;

/// The live rows of one table.
pub struct Live<'r> {
    table: String,
    rows: Rows<'r>,
    secret: Vec<String>,
    columns: Vec<Compared>,
    /// Values may be shown: not to an account's reader, who may not see all of them.
    shows_values: bool,
}

enum Rows<'r> {
    /// All of them, in order; whether `scan` stands on one.
    All { scan: Scan<'r>, on_row: bool },
    /// One at a time, by account and key; whether keys are uuids.
    Probe { query: Query<'r>, by_uuid: bool },
}

struct Compared {
    column: Column,
    /// In the row type of the query.
    position: usize,
    /// In the images of the walk.
    place: usize,
    treatment: Treatment,
}

/// How rows are wanted.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// In the order of the histories.
    All,
    /// By record.
    Probe,
}

impl<'r> Live<'r> {
    /// The rows of a table, as far as the caller may read them. `None`: the table is gone, or it is not the account's.
    ///
    /// # Errors
    /// 42501, raised by Postgres, when a superadmin may not read a table.
    pub fn open(
        reader: &'r Reader,
        table: &Table,
        scope: &Scope,
        access: Access,
    ) -> Result<Option<Self>, Error> {
        // What a macro of the account may read: the account's rows, beyond the rules.
        let _reader = scope.restricted.then(|| Acting::begin(c"snackbase_hook"));
        let Some(arguments) = &table.arguments else {
            return Ok(None);
        };
        let Some(shape) = Shape::read(reader, &table.name, scope.restricted)? else {
            return Ok(None);
        };
        let owner = match (shape.has_account, table.name.as_str()) {
            (true, _) => "t.account_id".to_owned(),
            (false, "accounts") => "t.id".to_owned(),
            (false, _) => format!("'{SYSTEM_ACCOUNT}'::uuid"),
        };
        let keys: Vec<&str> = arguments
            .first()
            .map_or("id", String::as_str)
            .split(',')
            .collect();
        if keys
            .iter()
            .any(|key| !shape.columns.iter().any(|(name, _)| name == key))
        {
            return Ok(None);
        }
        let by_uuid =
            matches!(keys[..], [key] if shape.columns.iter().any(|(name, uuid)| name == key && *uuid));
        let key: Vec<String> = keys.iter().map(|key| format!("t.{}::text", quote(key))).collect();
        let key = key.join(" || ':' || ");
        let columns: Vec<String> = shape
            .columns
            .iter()
            .map(|(name, _)| format!("t.{}", quote(name)))
            .collect();
        let select = format!(
            "select {owner}, {key}, {columns} from snackbase.{relation} t",
            columns = columns.join(", "),
            relation = quote(&table.name)
        );
        // Uuids are in the order of their texts.
        let sorted = match keys[..] {
            [key] if by_uuid => format!("t.{}", quote(key)),
            _ => format!("({key}) collate \"C\""),
        };
        let rows = match access {
            Access::All => Rows::All {
                scan: reader.scan(
                    &format!(
                        "{select} where {} order by {owner}, {sorted}",
                        scope.account_condition(&owner)
                    ),
                    &[],
                )?,
                on_row: false,
            },
            Access::Probe => {
                let (condition, key_type) = if by_uuid {
                    (format!("{sorted} = $2"), pg_sys::UUIDOID)
                } else {
                    (format!("({key}) = $2"), pg_sys::TEXTOID)
                };
                Rows::Probe {
                    query: reader.prepare(
                        &format!("{select} where {owner} = $1 and {condition}"),
                        &[pg_sys::UUIDOID, key_type],
                    )?,
                    by_uuid,
                }
            }
        };
        let mut live = Live {
            table: table.name.clone(),
            rows,
            secret: arguments.iter().skip(1).cloned().collect(),
            columns: Vec::new(),
            shows_values: !scope.restricted,
        };
        if let Rows::All { scan, on_row } = &mut live.rows {
            *on_row = scan.advance();
        }
        Ok(Some(live))
    }

    /// Compares a record with its row, and reports rows before it that have no history.
    ///
    /// # Errors
    /// As [`Query::open`].
    pub fn compare(
        &mut self,
        last: &Place,
        image: &Image,
        names: &mut Names,
        report: &mut Report<'_>,
    ) -> Result<(), Error> {
        let probed;
        let row = match &mut self.rows {
            Rows::All { scan, on_row } => {
                let wanted = (last.account, last.record.as_str());
                while *on_row && !report.is_full() && key(scan) < wanted {
                    without_history(&self.table, scan, report);
                    *on_row = scan.advance();
                }
                (*on_row && key(scan) == wanted).then_some(&*scan)
            }
            Rows::Probe { query, by_uuid } => {
                probed = probe(query, *by_uuid, last)?;
                probed.as_ref()
            }
        };
        let finding =
            |report: &Report<'_>, expected: Option<&str>, actual: Option<&str>| -> Result<Finding, Error> {
                Ok(Finding {
                    kind: "live",
                    block: report.block_of(last.system, last.xid)?,
                    account: Some(last.account),
                    table: Some(self.table.clone()),
                    record: Some(last.record.clone()),
                    version: Some(last.version),
                    change: Some(last.change),
                    expected: expected.map(str::to_owned),
                    actual: actual.map(str::to_owned),
                })
            };
        match (image.alive, row) {
            (None, _) | (Some(false), None) => {}
            (Some(true), None) if image.lost => {}
            (Some(true), None) => report.push(finding(report, Some("a row"), None)?),
            (Some(false), Some(_)) => report.push(finding(report, None, Some("a row"))?),
            (Some(true), Some(row)) => {
                if self.columns.is_empty() {
                    self.columns = compared(row, &self.secret, names);
                }
                for compared in &self.columns {
                    // A column that the history does not know was added later; its default is in the audited definition.
                    let Some(expected) = image.values.get(compared.place).filter(|value| value.known) else {
                        continue;
                    };
                    let mut actual = compared.text(row);
                    if compared.agrees(&self.table, last, expected.get(), actual.as_deref())? {
                        continue;
                    }
                    if let Some(text) = &mut actual {
                        compared.hide(&self.table, text);
                    }
                    let name = &compared.column.name;
                    let show = |value: Option<&str>| match self.shows_values {
                        true => format!("{name} = {}", value.unwrap_or("null")),
                        false => name.clone(),
                    };
                    let (expected, actual) = (show(expected.get()), show(actual.as_deref()));
                    report.push(finding(report, Some(&expected), Some(&actual))?);
                }
            }
        }
        if let Rows::All { scan, on_row } = &mut self.rows
            && *on_row
            && key(scan) == (last.account, last.record.as_str())
        {
            *on_row = scan.advance();
        }
        Ok(())
    }

    /// Reports the rows behind the last history.
    ///
    /// # Errors
    /// None so far.
    pub fn rest(&mut self, report: &mut Report<'_>) -> Result<(), Error> {
        if let Rows::All { scan, on_row } = &mut self.rows {
            while *on_row && !report.is_full() {
                without_history(&self.table, scan, report);
                *on_row = scan.advance();
            }
        }
        Ok(())
    }
}

fn key<'s>(scan: &'s Scan<'_>) -> ([u8; 16], &'s str) {
    (scan.uuid(0).unwrap_or_default(), scan.text(1).unwrap_or_default())
}

/// The row of a record, if there is one.
fn probe<'r>(query: &Query<'r>, by_uuid: bool, record: &Place) -> Result<Option<Scan<'r>>, Error> {
    let key: DatumWithOid = if by_uuid {
        match uuid::Uuid::parse_str(&record.record) {
            // Only the spelling that a key has as text is that key.
            Ok(id) if id.to_string() == record.record => uuid(*id.as_bytes()).into(),
            _ => return Ok(None),
        }
    } else {
        record.record.as_str().into()
    };
    let mut scan = query.open(&[uuid(record.account).into(), key])?;
    Ok(scan.advance().then_some(scan))
}

/// The columns of the query that can be compared, with their places in images.
fn compared(row: &Scan<'_>, secret: &[String], names: &mut Names) -> Vec<Compared> {
    let Some(description) = row.description() else {
        return Vec::new();
    };
    image::columns(&description)
        .into_iter()
        .skip(FIRST)
        .enumerate()
        .map(|(index, column)| Compared {
            position: column.number - 1,
            place: names.place(&column.name, index),
            treatment: Treatment::of(&column.name, secret),
            column,
        })
        .collect()
}

impl Compared {
    /// The value in clear.
    fn text(&self, row: &Scan<'_>) -> Option<String> {
        let datum = row.datum(self.position)?;
        // SAFETY: the column was read from the row type of this very query.
        row.in_row(|| unsafe { self.column.text(datum, false) })
    }

    /// Whether a live value is what the trail says of it. What the trail keeps of a column may have changed since: an older
    /// text stands as it was written.
    fn agrees(
        &self,
        table: &str,
        record: &Place,
        trail: Option<&str>,
        live: Option<&str>,
    ) -> Result<bool, Error> {
        let (Some(trail), Some(live)) = (trail, live) else {
            return Ok(trail == live || self.treatment == Treatment::Skipped);
        };
        let column = &self.column.name;
        if trail == live
            || trail == crate::audit::MASK
            || self.treatment == Treatment::Skipped
            || (trail.starts_with("sha256:") && trail == treatment::hashed(table, column, live))
        {
            return Ok(true);
        }
        let place = sealed::Place {
            account: &uuid::Uuid::from_bytes(record.account).to_string(),
            table,
            record: &record.record,
            column,
        };
        Ok(match subjects::open(&place, trail)? {
            Opened::Plain => false,
            Opened::Clear(clear) => clear == live,
            // Nobody knows what it was.
            Opened::Erased => true,
        })
    }

    /// What a finding may show of a value.
    fn hide(&self, table: &str, text: &mut String) {
        match self.treatment {
            Treatment::Erasable => crate::audit::MASK.clone_into(text),
            other => other.apply(table, &self.column.name, text),
        }
    }
}

/// The built-in texts of mail, and the built-in configurations.
const SEEDED: [&str; 7] = [
    "00000000-0000-4000-8000-000000000001",
    "00000000-0000-4000-8000-000000000002",
    "00000000-0000-4000-8000-000000000003",
    "00000000-0000-4000-8000-000000000004",
    "00000000-0000-4000-8000-000000000101",
    "00000000-0000-4000-8000-000000000102",
    "00000000-0000-4000-8000-000000000103",
];

/// A live row that the ledger has never heard of. What CREATE EXTENSION inserts is older than the ledger.
fn without_history(table: &str, row: &Scan<'_>, report: &mut Report<'_>) {
    let (account, record) = key(row);
    let seeded = match table {
        "accounts" => record == SYSTEM_ACCOUNT,
        "roles" => record == "1" || record == "2",
        "email_templates" | "configurations" => SEEDED.contains(&record),
        _ => false,
    };
    if !seeded {
        report.push(Finding {
            kind: "missing",
            account: Some(account),
            table: Some(table.to_owned()),
            record: Some(record.to_owned()),
            actual: Some("a row".to_owned()),
            ..Finding::default()
        });
    }
}

/// The columns of a table that the current role may read.
struct Shape {
    has_account: bool,
    /// Name, and whether it is a uuid.
    columns: Vec<(String, bool)>,
}

impl Shape {
    fn read(reader: &Reader, table: &str, restricted: bool) -> Result<Option<Shape>, Error> {
        let readable = if restricted {
            "has_column_privilege(a.attrelid, a.attnum, 'select')"
        } else {
            "true"
        };
        let mut scan = reader.scan(
            &format!(
                "select a.attname::text, a.atttypid = 'uuid'::regtype
                   from pg_catalog.pg_attribute a
                   join pg_catalog.pg_class c on c.oid = a.attrelid
                  where c.relnamespace = 'snackbase'::regnamespace and c.relname = {}
                    and a.attnum > 0 and not a.attisdropped and {readable}
                  order by a.attnum",
                quote_literal(table)
            ),
            &[],
        )?;
        let mut columns = Vec::new();
        while scan.advance() {
            columns.push((
                scan.text(0).unwrap_or_default().to_owned(),
                scan.boolean(1).unwrap_or_default(),
            ));
        }
        Ok((!columns.is_empty()).then(|| Shape {
            has_account: columns.iter().any(|(name, _)| name == "account_id"),
            columns,
        }))
    }
}
