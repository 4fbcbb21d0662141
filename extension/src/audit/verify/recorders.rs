//! Recorders: every table that the trail speaks of must have its own, with the arguments it was given.
//!
//! Live rows are compared by what the recorder says of its table: which columns are the key, and what is not kept of the others. So
//! a table without one would be compared with nothing, and one with other arguments with less. Whoever may take a
//! recorder away could then change rows unseen.

use std::collections::BTreeMap;

use serde_json::Value as Json;
use snackbase_core::names;
use snackbase_core::schema::{Options, parse_fields};

use super::finding::{Finding, Report};
use crate::collections::recorder_arguments;
use crate::error::Error;
use crate::spi::Acting;
use crate::spi::scan::Reader;

/// The arguments of recorders, by table.
pub type Recorders = BTreeMap<String, Vec<String>>;

/// The recorders that are there.
///
/// # Errors
/// As [`Reader::scan`].
pub fn present(reader: &Reader) -> Result<Recorders, Error> {
    let mut scan = reader.scan(
        "select c.relname::text, rtrim(encode(g.tgargs, 'escape'), '\\000')
           from pg_catalog.pg_trigger g
           join pg_catalog.pg_class c on c.oid = g.tgrelid
           join pg_catalog.pg_proc p on p.oid = g.tgfoid
          where g.tgname = 'audit_insert' and c.relnamespace = 'snackbase'::regnamespace
            and p.proname = '_audit_record' and p.pronamespace = c.relnamespace",
        &[],
    )?;
    let mut recorders = Recorders::new();
    while scan.advance() {
        let arguments = scan.text(1).unwrap_or_default().split("\\000").map(str::to_owned);
        recorders.insert(scan.text(0).unwrap_or_default().to_owned(), arguments.collect());
    }
    Ok(recorders)
}

/// Reports every table whose recorder is not the one it was given.
///
/// # Errors
/// As [`Reader::scan`].
pub fn check(reader: &Reader, present: &Recorders, report: &mut Report<'_>) -> Result<(), Error> {
    for (table, expected) in expected(reader)? {
        let actual = present.get(&table);
        if actual != Some(&expected) {
            let show = |arguments: &Vec<String>| format!("recorder({})", arguments.join(", "));
            report.push(Finding {
                kind: "live",
                expected: Some(show(&expected)),
                actual: actual.map(show),
                table: Some(table),
                ..Finding::default()
            });
        }
    }
    Ok(())
}

/// What each table was given: core tables by the installation, those of collections by their definitions, which are
/// audited. Read as the owner: it tells no values of anybody.
fn expected(reader: &Reader) -> Result<Recorders, Error> {
    let _owner = Acting::begin(c"snackbase_owner");
    let mut expected = Recorders::new();
    let mut core = reader.scan(
        "select g.relation, substring(g.definition from '_audit_record\\((.*?)\\)')
           from snackbase._guards() g
          where g.kind = 'trigger' and g.name = 'audit_insert'",
        &[],
    )?;
    while core.advance() {
        let arguments = core.text(1).unwrap_or_default().split(", ");
        let arguments = arguments.map(|argument| argument.trim_matches('\'').to_owned());
        expected.insert(core.text(0).unwrap_or_default().to_owned(), arguments.collect());
    }
    let mut collections = reader.scan(
        "select c.name, c.schema::text, c.options::text from snackbase.collections c",
        &[],
    )?;
    while collections.advance() {
        let json = |column| {
            let text = collections.text(column).unwrap_or_default();
            serde_json::from_str::<Json>(text).unwrap_or_default()
        };
        let name = collections.text(0).unwrap_or_default();
        // A definition that cannot be read is no recorder's.
        let arguments = match (parse_fields(&json(1)), Options::from_json(&json(2))) {
            (Ok(fields), Some(options)) => recorder_arguments(&fields, &options),
            _ => Vec::new(),
        };
        expected.insert(names::table(name), arguments);
    }
    Ok(expected)
}
