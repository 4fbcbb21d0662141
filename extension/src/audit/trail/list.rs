//! One page of the trail, and one entry.

use pgrx::datum::DatumWithOid;
use pgrx::pg_sys::panic::ErrorReport;
use pgrx::prelude::*;
use snackbase_core::trail::{LISTED, write_json};

use super::filter::{Filter, Query};
use super::masks::Masks;
use super::{COLUMNS, Change, PER_CHANGE};
use crate::error::Error;
use crate::json::JsonText;
use crate::spi;

/// Rows that are counted; how many there are beyond is the planner's estimate.
const COUNTED: i64 = 100_000;

/// What a list can be sorted by. The first two are in an index; by the others all changes that pass the filter are sorted.
const SORTS: [&str; 8] = [
    "occurred_at",
    "id",
    "account_id",
    "operation",
    "table_name",
    "record_id",
    "user_id",
    "user_email",
];

/// One page of entries: contract `audit.md` §3.1. Keys of `query`: `docs/sql-api.md` §4.
///
/// Errors: 22023 a number out of range · 22P02 a date that is none.
#[pg_extern(stable, parallel_unsafe)]
fn audit_list(query: JsonText) -> Result<JsonText, ErrorReport> {
    Ok(JsonText(list(&Query::parse(&query.0)?)?))
}

fn list(query: &Query) -> Result<String, Error> {
    let skip = query.number("skip", 0, i64::MAX >> 1, 0)?;
    let limit = query.number("limit", 1, 500, 50)?;
    let descending = query.is_descending()?;
    let wanted = query.text("sort_by");
    let sort = SORTS.into_iter().find(|name| wanted.as_deref() == Some(*name));
    let sort = sort.unwrap_or("occurred_at");
    let filter = Filter::new(query)?;

    let page = Page::find(&filter, sort, descending, skip, limit)?;
    // Within a change the newest entry is the last one, and only ids that ascend begin with the first.
    let reversed = descending || sort != "id";
    let mut items = String::new();
    let mut masks = Masks::for_caller()?;
    let (mut shown, mut skipped) = (0, page.skip);
    for change in page.changes()? {
        change.each_entry(
            &mut masks,
            reversed,
            |_| true,
            |entry| {
                if skipped > 0 {
                    skipped -= 1;
                } else if shown < limit {
                    if shown > 0 {
                        items.push(',');
                    }
                    shown += 1;
                    write_json(&mut items, entry, LISTED, false);
                }
            },
        )?;
    }
    // A page that ends before its limit needs no count.
    let (total, estimated) = if shown < limit && (shown > 0 || skip == 0) {
        (skip + shown, false)
    } else {
        let seen = if shown > 0 { skip + shown } else { 0 };
        count("snackbase.audit_change c", "c.column_count", &filter, seen)?
    };
    Ok(format!(
        r#"{{"items":[{items}],"total":{total},"skip":{skip},"limit":{limit},"audit_logging_enabled":true,"total_is_estimate":{estimated}}}"#
    ))
}

/// The changes of a page, by id and in order, and how many entries of the first are on the page before.
struct Page {
    ids: Vec<i64>,
    skip: i64,
}

impl Page {
    /// Every change has an entry at least, so the first n entries are in the first n changes. Of those only the counts are read.
    fn find(filter: &Filter, sort: &str, descending: bool, skip: i64, limit: i64) -> Result<Page, Error> {
        let direction = if descending { "desc" } else { "asc" };
        let ids = if sort == "id" { direction } else { "desc" };
        let order = match sort {
            "id" => format!("c.id {direction}"),
            sort => format!("c.{sort} {direction}, c.id {ids}"),
        };
        let parameter = filter.next_parameter();
        let statement = format!(
            "select p.id, p.before
               from (select c.id, sum(c.column_count) over (order by c.place) - c.column_count as before, c.column_count
                       from (select c.id, c.column_count, row_number() over (order by {order}) as place
                               from snackbase.audit_change c
                              where {condition}
                              order by {order}
                              limit ${parameter}) c
                    ) p
              where p.before < ${parameter} and p.before + p.column_count > ${next}
              order by p.before",
            condition = filter.condition,
            next = parameter + 1,
        );
        let arguments = filter.arguments();
        let mut arguments: Vec<DatumWithOid> = arguments.into_iter().map(DatumWithOid::from).collect();
        arguments.extend([(skip + limit).into(), skip.into()]);
        spi::select(&statement, &arguments, |rows| {
            let mut page = Page {
                ids: Vec::new(),
                skip: 0,
            };
            for row in rows {
                if page.ids.is_empty() {
                    page.skip = skip - row.get::<i64>(2)?.unwrap_or(skip);
                }
                page.ids.extend(row.get::<i64>(1)?);
            }
            Ok(page)
        })
    }

    fn changes(&self) -> Result<Vec<Change>, Error> {
        let statement = format!("select {COLUMNS} from snackbase.audit_change c where c.id = any ($1)");
        let mut changes = spi::select(&statement, &[self.ids.clone().into()], |rows| {
            rows.into_iter()
                .map(|row| Change::read(&row))
                .collect::<Result<Vec<_>, _>>()
        })?;
        changes.sort_unstable_by_key(|change| self.ids.iter().position(|id| *id == change.id));
        Ok(changes)
    }
}

/// How many entries pass a filter, at least `seen`, and whether that is an estimate. `entries`: those in one row of the relation.
///
/// # Errors
/// [`Error::Spi`].
pub fn count(relation: &str, entries: &str, filter: &Filter, seen: i64) -> Result<(i64, bool), Error> {
    let statement = format!(
        "select count(*), coalesce(sum(k.entries), 0)
           from (select {entries}::int as entries from {relation} where {} limit {}) k",
        filter.condition,
        COUNTED + 1
    );
    let arguments: Vec<DatumWithOid> = filter.arguments().into_iter().map(DatumWithOid::from).collect();
    let (rows, entries) = spi::select(&statement, &arguments, |rows| {
        let (rows, entries) = rows.first().get_two::<i64, i64>()?;
        Ok((rows.unwrap_or(0), entries.unwrap_or(0)))
    })?;
    if rows <= COUNTED {
        return Ok((entries.max(seen), false));
    }
    let statement = format!("select 1 from {relation} where {}", filter.condition);
    let expected = spi::estimate(&statement, filter.arguments())?;
    // An estimate of rows, and the entries that a row has on average among those that were counted.
    let estimate = (expected * entries as f64 / rows as f64) as i64;
    Ok((estimate.max(entries).max(seen), true))
}

/// One entry: contract `audit.md` §3.2.
///
/// Errors: P0002.
#[pg_extern(stable, parallel_unsafe)]
fn audit_view(id: i64) -> Result<JsonText, ErrorReport> {
    Ok(JsonText(view(id)?.ok_or(Error::EntryNotFound(id))?))
}

fn view(id: i64) -> Result<Option<String>, Error> {
    let page = Page {
        ids: vec![id.div_euclid(PER_CHANGE)],
        skip: 0,
    };
    let place = usize::try_from(id.rem_euclid(PER_CHANGE) - 1).ok();
    let mut found = None;
    if let Some(change) = page.changes()?.first() {
        change.each_entry(
            &mut Masks::for_caller()?,
            false,
            |each| Some(each) == place,
            |entry| write_json(found.get_or_insert_default(), entry, LISTED, false),
        )?;
    }
    Ok(found)
}
