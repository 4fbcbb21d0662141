//! What became of the tables of collections, as the ledger itself tells it: definitions are audited like everything else.
//!
//! A field that is dropped leaves no entry per record, and neither does a collection: the records of all accounts would have
//! to be written once more only to disappear. The entry of the definition says it for all of them, and every change with
//! a smaller id was made before (the table is locked while its definition changes). So nothing is expected of a column that
//! was dropped since, not even when a field of the same name comes later; and no row of a table that was dropped since.

use std::collections::{BTreeSet, HashMap};

use serde_json::Value as Json;
use snackbase_core::names;

use super::entry::{self, Entry};
use crate::context::SYSTEM_ACCOUNT;
use crate::error::Error;
use crate::spi::Acting;
use crate::spi::scan::Reader;

/// One thing that happened to a table.
pub enum Event {
    /// These columns went.
    Removed(BTreeSet<String>),
    /// The table went. (It may be there again, with the rows of another collection or, taken over, with its own.)
    Dropped,
}

/// Events by table name, each with the id of the change that tells it, in their order.
pub type Events = HashMap<String, Vec<(i64, Event)>>;

/// Reads the changes of definitions, as the owner: they are the system account's, and tell no values of anybody.
///
/// # Errors
/// As [`Reader::scan`].
pub fn events(reader: &Reader) -> Result<Events, Error> {
    let _owner = Acting::begin(c"snackbase_owner");
    let mut tables: HashMap<String, String> = HashMap::new();
    let mut events = Events::new();
    let mut changes = reader.scan(
        &format!(
            "select c.id, c.record_id, c.operation, c.columns
               from snackbase.audit_change c
              where c.account_id = '{SYSTEM_ACCOUNT}' and c.table_name = 'collections'
              order by c.id"
        ),
        &[],
    )?;
    while changes.advance() {
        let (Some(id), Some(record), Some(operation), Some(columns)) =
            (changes.int(0), changes.text(1), changes.text(2), changes.text(3))
        else {
            continue;
        };
        // A change that does not read is reported where its hash is checked.
        let entries = entry::entries(columns).unwrap_or_default();
        // The old and the new value of a column.
        let value = |column: &str| {
            let found = entries
                .iter()
                .map(Entry::column)
                .find(|entry| entry.name == column);
            found.map_or((None, None), |entry| (entry.old, entry.new))
        };
        if operation == "CREATE" {
            tables.extend(
                value("name")
                    .1
                    .map(|name| (record.to_owned(), names::table(name))),
            );
            continue;
        }
        let Some(table) = tables.get(record) else {
            continue;
        };
        let event = if operation == "DELETE" {
            Some(Event::Dropped)
        } else {
            let (before, after) = value("schema");
            let (before, after) = (stored(before), stored(after));
            let gone: BTreeSet<String> = before.difference(&after).cloned().collect();
            (!gone.is_empty()).then_some(Event::Removed(gone))
        };
        if let Some(event) = event {
            events.entry(table.clone()).or_default().push((id, event));
        }
    }
    Ok(events)
}

/// The names of the fields of a schema that have a column.
fn stored(schema: Option<&str>) -> BTreeSet<String> {
    let schema: Option<Json> = schema.and_then(|text| serde_json::from_str(text).ok());
    let fields = schema.as_ref().and_then(Json::as_array);
    fields
        .into_iter()
        .flatten()
        .filter(|field| field["type"] != "computed" && field["options"]["audit"] != "skip")
        .filter_map(|field| field["name"].as_str().map(str::to_owned))
        .collect()
}
