//! Records as they were: `record_at()` and `account_at()` replay the trail up to an instant.
//!
//! A change counts when its `occurred_at` is not later. What became of a collection meanwhile comes from the changes of its
//! definition, which are in the trail like everything else (`docs/ledger.md` §2): a dropped field takes its values along, a new
//! one brings its default. Nothing is read from the live tables, so this also restores what was deleted, or a collection that
//! was dropped.

use pgrx::datum::{DatumWithOid, Uuid};
use pgrx::pg_sys::panic::ErrorReport;
use pgrx::prelude::*;
use snackbase_core::json::write_text;
use snackbase_core::ledger::sealed::Place;
use snackbase_core::schema::{Field, FieldType, Value, default_value, parse_fields};
use snackbase_core::{names, records, trail};
use std::collections::{BTreeMap, HashMap};

use super::entry::{self, Entry};
use super::trail::masks::Masks;
use crate::context::{self, Context, SYSTEM_ACCOUNT};
use crate::error::{Error, raise};
use crate::guc::TimePerPart;
use crate::json::JsonText;
use crate::spi::{self, Cursor, Row};
use crate::subjects::{self, Opened};

/// Changes per fetch.
const BATCH: i64 = 500;

/// A record as `records_view` would have shown it at that instant, computed fields left out; NULL when there was none.
///
/// `account`: whose record; NULL is the caller's account, and for superadmins any. Personal data is masked as in the trail.
///
/// Errors: 42501 the caller is no audit reader of that account · P0002 no such collection at that time · 22023 no account is named
/// and several have a record of this id.
#[pg_extern(stable, parallel_unsafe)]
fn record_at(
    collection: &str,
    id: &str,
    at: TimestampWithTimeZone,
    account: default!(Option<Uuid>, "NULL"),
) -> Result<Option<JsonText>, ErrorReport> {
    Ok(record(collection, id, at, account)?.map(JsonText))
}

fn record(
    collection: &str,
    id: &str,
    at: TimestampWithTimeZone,
    account: Option<Uuid>,
) -> Result<Option<String>, Error> {
    let account = match readable_account(account)? {
        Some(account) => account,
        None => match owners(collection, id)?.as_slice() {
            [] => return require(collection, at).map(|()| None),
            [account] => *account,
            _ => {
                return Err(Error::Malformed(
                    "records of several accounts have this id: name the account".into(),
                ));
            }
        },
    };
    let definitions = Definitions::read(Some(collection))?;
    let table = names::table(collection);
    if definitions.collection(&table, at).is_none() {
        return Err(Error::CollectionNotFound(collection.to_owned()));
    }
    let statement = format!("{CHANGES} and c.table_name = $3 and c.record_id = $4 order by c.record_version");
    let arguments = [account.into(), at.into(), table.as_str().into(), id.into()];
    let changes = spi::select(&statement, &arguments, |rows| {
        rows.into_iter()
            .map(|row| Change::read(&row))
            .collect::<Result<Vec<_>, _>>()
    })?;
    let mut replay = Replay::new(at, definitions)?;
    for change in changes {
        replay.apply(change)?;
    }
    Ok(replay.finish()?.map(|past| past.record))
}

fn require(collection: &str, at: TimestampWithTimeZone) -> Result<(), Error> {
    match Definitions::read(Some(collection))?.collection(&names::table(collection), at) {
        Some(_) => Ok(()),
        None => Err(Error::CollectionNotFound(collection.to_owned())),
    }
}

/// The accounts that have a record of this id in their trail, among those that the caller sees.
fn owners(collection: &str, id: &str) -> Result<Vec<Uuid>, Error> {
    let statement = "
        with recursive accounts as (
            (select a.account_id from snackbase.audit_change a order by a.account_id limit 1)
            union all
            select n.account_id
              from accounts o
             cross join lateral (select a.account_id from snackbase.audit_change a
                                  where a.account_id > o.account_id order by a.account_id limit 1) n)
        select o.account_id
          from accounts o
         where exists (select from snackbase.audit_change c
                        where c.account_id = o.account_id and c.table_name = $1 and c.record_id = $2)
         limit 2";
    spi::select(statement, &[names::table(collection).into(), id.into()], |rows| {
        rows.into_iter()
            .filter_map(|row| row.get::<Uuid>(1).map_err(Error::from).transpose())
            .collect()
    })
}

/// Every record of an account as it was at that instant, as `{"collection": name, "record": {…}}`, by collection and id. Called
/// in the select list it is evaluated as it is fetched, and holds one record in memory.
///
/// Errors: 42501 the caller is no audit reader of that account.
#[pg_extern(stable, parallel_unsafe)]
fn account_at(
    account: Uuid,
    at: TimestampWithTimeZone,
) -> Result<SetOfIterator<'static, JsonText>, ErrorReport> {
    let _limit = TimePerPart::begin();
    let past = Past::open(account, at)?;
    Ok(SetOfIterator::new(past))
}

/// The account whose trail the caller may read: the one that is named, or its own; `None`: any.
///
/// # Errors
/// [`Error::SuperadminRequired`] when it may not; [`Error::Spi`].
pub fn readable_account(named: Option<Uuid>) -> Result<Option<Uuid>, Error> {
    let context = Context::current();
    if spi::is_bound_to_no_account() || context.is_superadmin() {
        return Ok(named);
    }
    let own = context.account_id.as_deref().and_then(context::uuid_of);
    match own {
        Some(own) if context::reads_audit_of_own_account()? && named.is_none_or(|named| named == own) => {
            Ok(Some(own))
        }
        _ => Err(Error::SuperadminRequired),
    }
}

/// Changes up to an instant ($2) of an account ($1).
const CHANGES: &str = "
select c.table_name::text, c.record_id::text, c.id, c.operation, c.columns::text
  from snackbase.audit_change c
 where c.account_id = $1 and c.occurred_at <= $2";

struct Change {
    table: String,
    record: String,
    id: i64,
    operation: String,
    /// As stored; [`entry::entries`] reads it.
    columns: String,
}

impl Change {
    fn read(row: &Row<'_>) -> Result<Change, Error> {
        let text = |ordinal| -> Result<String, Error> { Ok(row.get::<String>(ordinal)?.unwrap_or_default()) };
        Ok(Change {
            table: text(1)?,
            record: text(2)?,
            id: row.get::<i64>(3)?.unwrap_or_default(),
            operation: text(4)?,
            columns: text(5)?,
        })
    }
}

/// What happened to the definition of a table.
struct Event {
    /// The change that tells it.
    id: i64,
    at: TimestampWithTimeZone,
    /// The collection as it is written; the table has it in lower case.
    name: String,
    /// The fields that have a column from then on; `None`: the table went.
    fields: Option<Vec<Field>>,
}

/// The past of the definitions, by table.
struct Definitions(HashMap<String, Vec<Event>>);

impl Definitions {
    /// Reads it from the trail, as the owner: definitions belong to all accounts.
    fn read(collection: Option<&str>) -> Result<Definitions, Error> {
        // By the id of the definition.
        let mut collections: HashMap<String, String> = HashMap::new();
        let mut events: HashMap<String, Vec<Event>> = HashMap::new();
        let system = context::uuid_of(SYSTEM_ACCOUNT);
        spi::select_as_owner(
            "select c.id, c.record_id::pg_catalog.text, c.operation, c.columns::pg_catalog.text, c.occurred_at
               from snackbase.audit_change c
              where c.account_id operator(pg_catalog.=) $1 and c.table_name operator(pg_catalog.=) 'collections'
              order by c.id using operator(pg_catalog.<)",
            &[system.into()],
            |rows| {
                for row in rows {
                    let (Some(id), Some(record), Some(operation), Some(text), Some(at)) = (
                        row.get::<i64>(1)?,
                        row.get::<String>(2)?,
                        row.get::<String>(3)?,
                        row.get::<String>(4)?,
                        row.get::<TimestampWithTimeZone>(5)?,
                    ) else {
                        continue;
                    };
                    let entries = entry::entries(&text)?;
                    let new = |name: &str| {
                        let mut columns = entries.iter().map(Entry::column);
                        columns.find(|column| column.name == name).and_then(|column| column.new)
                    };
                    if let Some(name) = new("name")
                        && collection.is_none_or(|wanted| wanted == name)
                    {
                        collections.insert(record.clone(), name.to_owned());
                    }
                    let Some(name) = collections.get(&record) else {
                        continue;
                    };
                    let fields = match (operation.as_str(), new("schema")) {
                        ("DELETE", _) => None,
                        (_, Some(schema)) => Some(stored(schema)?),
                        (_, None) => continue,
                    };
                    events.entry(names::table(name)).or_default().push(Event {
                        id,
                        at,
                        name: name.clone(),
                        fields,
                    });
                }
                Ok(())
            },
        )?;
        Ok(Definitions(events))
    }

    fn events(&self, table: &str) -> &[Event] {
        self.0.get(table).map_or(&[], Vec::as_slice)
    }

    /// The collection of a table at an instant, and its fields; `None` when there was no such table.
    fn collection(&self, table: &str, at: TimestampWithTimeZone) -> Option<(&str, &[Field])> {
        let event = self.events(table).iter().rev().find(|event| event.at <= at)?;
        Some((&event.name, event.fields.as_deref()?))
    }
}

/// The fields of a schema that have a column.
fn stored(schema: &str) -> Result<Vec<Field>, Error> {
    let damaged = || Error::Internal("a schema in the trail cannot be read".into());
    let schema = serde_json::from_str(schema).map_err(|_| damaged())?;
    let mut fields = parse_fields(&schema).map_err(|_| damaged())?;
    fields.retain(Field::is_stored);
    Ok(fields)
}

/// A record that has been replayed.
struct PastRecord {
    collection: String,
    record: String,
}

/// Replays one record after the other.
struct Replay {
    at: TimestampWithTimeZone,
    definitions: Definitions,
    masks: Masks,
    /// Table and id of the record, and what is known of it: `None` while it is deleted.
    current: Option<(String, String)>,
    image: Option<BTreeMap<String, Option<String>>>,
    /// Its definition went, and the table with it; unless it was taken over, which the record's next change tells.
    lost: bool,
    /// Events of its table that have happened to it.
    happened: usize,
}

impl Replay {
    fn new(at: TimestampWithTimeZone, definitions: Definitions) -> Result<Replay, Error> {
        Ok(Replay {
            at,
            definitions,
            masks: Masks::for_caller()?,
            current: None,
            image: None,
            lost: false,
            happened: 0,
        })
    }

    /// Whether the change belongs to another record than those before.
    fn begins(&self, change: &Change) -> bool {
        let same = |(table, record): &(String, String)| *table == change.table && *record == change.record;
        self.current.as_ref().is_some_and(|current| !same(current))
    }

    fn apply(&mut self, change: Change) -> Result<(), Error> {
        self.happen(&change.table, |event| event.id < change.id);
        // One statement may clear a reference of a row and delete it, and the update can come after the delete. It does not bring
        // the row back.
        let deleted = self.current.is_some() && self.image.is_none();
        self.lost = false;
        match change.operation.as_str() {
            "DELETE" => self.image = None,
            "UPDATE" if deleted => {}
            operation => {
                let image = self.image.get_or_insert_default();
                if operation == "CREATE" {
                    image.clear();
                }
                for entry in &entry::entries(&change.columns)? {
                    let column = entry.column();
                    image.insert(column.name.to_owned(), column.new.map(str::to_owned));
                }
            }
        }
        self.current = Some((change.table, change.record));
        Ok(())
    }

    /// Lets the events of the table happen to the record, as far as they are before something.
    fn happen(&mut self, table: &str, before: impl Fn(&Event) -> bool) {
        let events = self.definitions.events(table);
        while let Some(event) = events.get(self.happened).filter(|event| before(event)) {
            let earlier = self
                .happened
                .checked_sub(1)
                .and_then(|index| events[index].fields.as_deref());
            self.happened += 1;
            let Some(image) = &mut self.image else { continue };
            let Some(fields) = &event.fields else {
                self.lost = true;
                continue;
            };
            let has = |fields: &[Field], name: &str| fields.iter().any(|field| field.name == name);
            for gone in earlier
                .unwrap_or_default()
                .iter()
                .filter(|field| !has(fields, &field.name))
            {
                image.remove(&gone.name);
            }
            for new in fields
                .iter()
                .filter(|field| !has(earlier.unwrap_or_default(), &field.name))
            {
                // A table that was taken over has the column already.
                image.entry(new.name.clone()).or_insert_with(|| default_text(new));
            }
        }
    }

    /// Ends the record. `None`: it was not there at the time.
    fn finish(&mut self) -> Result<Option<PastRecord>, Error> {
        let Some((table, id)) = self.current.take() else {
            return Ok(None);
        };
        let at = self.at;
        self.happen(&table, |event| event.at <= at);
        self.happened = 0;
        let lost = std::mem::take(&mut self.lost);
        let Some(image) = self.image.take().filter(|_| !lost) else {
            return Ok(None);
        };
        let Some((collection, fields)) = self.definitions.collection(&table, at) else {
            return Ok(None);
        };
        let account = image.get("account_id").cloned().flatten();
        let mut record = String::from("{");
        let mut member = |name: &str, field: Option<&Field>| -> Result<(), Error> {
            let form = field.map_or_else(|| system_type(name), |field| field.field_type);
            record.push_str(if record.len() > 1 { "," } else { "" });
            write_text(&mut record, name);
            record.push(':');
            let Some(value) = image.get(name).and_then(Option::as_deref) else {
                record.push_str("null");
                return Ok(());
            };
            let place = Place {
                account: account.as_deref().unwrap_or_default(),
                table: &table,
                record: &id,
                column: name,
            };
            let opened = subjects::open(&place, value)?;
            let value = match &opened {
                Opened::Plain => value,
                Opened::Clear(clear) => clear,
                Opened::Erased if form.text_like() => {
                    write_text(&mut record, subjects::ERASED);
                    return Ok(());
                }
                Opened::Erased => {
                    record.push_str("null");
                    return Ok(());
                }
            };
            // Personal data then, or now.
            let mask = match self.masks.of(&table, name)? {
                None if !self.masks.are_off() => field.and_then(Field::mask),
                mask => mask,
            };
            match mask {
                Some(mask) => write_text(&mut record, &records::mask(mask, value)),
                None => trail::write_value(&mut record, form, value),
            }
            Ok(())
        };
        for name in ["id", "account_id"] {
            member(name, None)?;
        }
        for field in fields {
            member(&field.name, Some(field))?;
        }
        for name in ["created_at", "updated_at", "created_by", "updated_by"] {
            member(name, None)?;
        }
        record.push('}');
        Ok(Some(PastRecord {
            collection: collection.to_owned(),
            record,
        }))
    }
}

fn system_type(name: &str) -> FieldType {
    match name {
        "created_at" | "updated_at" => FieldType::Datetime,
        _ => FieldType::Text,
    }
}

/// What a new column holds in the rows that are there already, as text.
fn default_text(field: &Field) -> Option<String> {
    Some(match default_value(field)? {
        Value::Null => return None,
        Value::Boolean(value) => value.to_string(),
        Value::Number(number) => number.to_string(),
        Value::Text(text)
        | Value::Datetime(text)
        | Value::Date(text)
        | Value::Uuid(text)
        | Value::Json(text) => text,
    })
}

/// The records of an account, one by one.
struct Past {
    replay: Replay,
    cursor: Cursor,
    changes: std::vec::IntoIter<Change>,
    more: bool,
}

impl Past {
    fn open(account: Uuid, at: TimestampWithTimeZone) -> Result<Past, Error> {
        readable_account(Some(account))?;
        let replay = Replay::new(at, Definitions::read(None)?)?;
        // In the order of the index of record chains.
        let statement = format!(
            "{CHANGES} and c.table_name >= 'col_' and c.table_name < 'col`' order by c.table_name, c.record_id, c.record_version"
        );
        let arguments: [DatumWithOid; 2] = [account.into(), at.into()];
        Ok(Past {
            replay,
            cursor: Cursor::open(&statement, &arguments)?,
            changes: Vec::new().into_iter(),
            more: true,
        })
    }

    fn change(&mut self) -> Result<Option<Change>, Error> {
        if let Some(change) = self.changes.next() {
            return Ok(Some(change));
        }
        if !self.more {
            return Ok(None);
        }
        let changes = self.cursor.fetch(BATCH, Change::read)?;
        self.more = changes.len() as i64 == BATCH;
        self.changes = changes.into_iter();
        Ok(self.changes.next())
    }

    fn record(&mut self) -> Result<Option<PastRecord>, Error> {
        loop {
            let change = self.change()?;
            let ended = match &change {
                Some(change) if !self.replay.begins(change) => None,
                _ => self.replay.finish()?,
            };
            let at_end = change.is_none();
            if let Some(change) = change {
                self.replay.apply(change)?;
            }
            if ended.is_some() || at_end {
                return Ok(ended);
            }
        }
    }
}

impl Iterator for Past {
    type Item = JsonText;

    fn next(&mut self) -> Option<JsonText> {
        let _limit = TimePerPart::begin();
        let past = self.record().unwrap_or_else(|error| raise(error))?;
        let mut out = String::from("{\"collection\":");
        write_text(&mut out, &past.collection);
        out.push_str(",\"record\":");
        out.push_str(&past.record);
        out.push('}');
        Some(JsonText(out))
    }
}
