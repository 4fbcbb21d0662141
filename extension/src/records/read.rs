//! Reading records: one page, one record.

use pgrx::datum::DatumWithOid;

use super::{admit, one_row};
use crate::context::Operation;
use crate::error::Error;
use crate::query::{self, uuid_value};
use crate::{collections, json, spi};

/// Rows that may be skipped: beyond it, every page costs more than the one before.
const MAX_SKIP: i64 = 100_000;

pub fn list(
    name: &str,
    filter: Option<&str>,
    sort: Option<&str>,
    skip: i64,
    limit: i64,
    fields: Option<&str>,
) -> Result<String, Error> {
    let collection = collections::open(name)?;
    let access = admit(&collection, Operation::List)?;
    if !(0..=MAX_SKIP).contains(&skip) || !(1..=100).contains(&limit) {
        return Err(Error::Malformed(format!(
            "skip is 0 to {MAX_SKIP}, limit is 1 to 100"
        )));
    }
    let shown_columns = query::projection(&collection, Operation::List, access, fields)?;
    let condition = query::condition(&collection, access, filter, 3)?;
    let order = query::order_by(&collection, access, sort)?;
    let relation = &collection.relation;
    let page = format!(
        "select {} from {relation} {} {order} limit $1 offset $2",
        shown_columns.select, condition.sql
    );
    let mut arguments: Vec<DatumWithOid> = vec![limit.into(), skip.into()];
    arguments.extend(query::bind(&condition.params));

    let mut out = String::from("{\"items\":[");
    let shown = spi::select(&page, &arguments, |rows| {
        let mut count = 0i64;
        for row in rows {
            if count > 0 {
                out.push(',');
            }
            json::write_row(&mut out, &row, 1, &shown_columns.members)?;
            if shown_columns.trimmed {
                // The key is always there; see contract records.md §2.
                out.truncate(out.len() - 1);
                out.push_str(",\"account_name\":null}");
            }
            count += 1;
        }
        Ok(count)
    })?;
    let total = if shown < limit && (shown > 0 || skip == 0) {
        // The page ends before its limit, so it shows the end: nothing is left to count.
        skip + shown
    } else {
        // Same snapshot as the page: this function has written nothing.
        let condition = query::condition(&collection, access, filter, 1)?;
        let count = format!("select count(*) from {relation} {}", condition.sql);
        spi::select(&count, &query::bind(&condition.params), |rows| {
            Ok(rows.first().get_one::<i64>()?.unwrap_or(0))
        })?
    };
    out.push_str(&format!(
        "],\"total\":{total},\"skip\":{skip},\"limit\":{limit}}}"
    ));
    Ok(out)
}

pub fn view(name: &str, id: &str, fields: Option<&str>) -> Result<String, Error> {
    let collection = collections::open(name)?;
    let access = admit(&collection, Operation::View)?;
    let columns = query::projection(&collection, Operation::View, access, fields)?;
    let id = uuid_value(id).ok_or(Error::RecordNotFound)?;
    let statement = format!(
        "select {} from {} where id = $1",
        columns.select, collection.relation
    );
    spi::select(&statement, &[id.into()], |rows| one_row(rows, &columns.members))?
        .ok_or(Error::RecordNotFound)
}
