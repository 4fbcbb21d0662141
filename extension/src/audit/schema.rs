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
use crate::error::Error;
use crate::json::JsonText;
use crate::spi;

/// One thing that happened to a table.
pub enum Event {
    /// These columns went.
    Removed(BTreeSet<String>),
    /// The table went. (It may be there again, with the rows of another collection or, taken over, with its own.)
    Dropped,
}

/// Events by table name, each with the id of the change that tells it, in their order.
pub type Events = HashMap<String, Vec<(i64, Event)>>;

/// Reads the changes of definitions.
///
/// # Errors
/// 42501, raised by Postgres, when the caller may not read the ledger.
pub fn events() -> Result<Events, Error> {
    let mut tables: HashMap<String, String> = HashMap::new();
    let mut events = Events::new();
    spi::select(
        "select c.id, c.record_id::text, c.operation, c.columns
           from snackbase.audit_change c
          where c.table_name = 'collections'
          order by c.id",
        &[],
        |rows| {
            for row in rows {
                let (Some(id), Some(record), Some(operation), Some(columns)) = (
                    row.get::<i64>(1)?,
                    row.get::<String>(2)?,
                    row.get::<String>(3)?,
                    row.get::<JsonText>(4)?,
                ) else {
                    continue;
                };
                let entries = entry::entries(&columns.0)?;
                // The old and the new value of a column.
                let value = |column: &str| {
                    let found = entries
                        .iter()
                        .map(Entry::column)
                        .find(|entry| entry.name == column);
                    found.map_or((None, None), |entry| (entry.old, entry.new))
                };
                if operation == "CREATE" {
                    tables.extend(value("name").1.map(|name| (record, names::table(name))));
                    continue;
                }
                let Some(table) = tables.get(&record) else {
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
            Ok(())
        },
    )?;
    Ok(events)
}

/// The names of the fields of a schema that have a column.
fn stored(schema: Option<&str>) -> BTreeSet<String> {
    let schema: Option<Json> = schema.and_then(|text| serde_json::from_str(text).ok());
    let fields = schema.as_ref().and_then(Json::as_array);
    fields
        .into_iter()
        .flatten()
        .filter(|field| field["type"] != "computed")
        .filter_map(|field| field["name"].as_str().map(str::to_owned))
        .collect()
}
