//! Reading records: one page, one record.

use pgrx::datum::DatumWithOid;
use snackbase_core::records::Binding;

use super::admit;
use super::expand::Columns;
use crate::collections::{self, Access, Collection};
use crate::context::{Context, Operation};
use crate::error::Error;
use crate::json::Slot;
use crate::query::{self, Order, Place, uuid_value};
use crate::{json, spi};

/// Rows that may be skipped: beyond it, every page costs more than the one before.
const MAX_SKIP: i64 = 100_000;

/// What a list request asks for; `docs/sql-api.md` §2.
pub struct Page<'a> {
    pub filter: Option<&'a str>,
    pub sort: Option<&'a str>,
    pub skip: i64,
    pub limit: i64,
    pub fields: Option<&'a str>,
    pub expand: Option<&'a str>,
    pub cursor: Option<&'a str>,
    pub cursor_before: Option<&'a str>,
    pub include_count: bool,
}

impl Page<'_> {
    /// Whether a cursor, and not `skip`, says where the page begins.
    fn has_cursor(&self) -> bool {
        self.cursor.is_some() || self.cursor_before.is_some()
    }

    fn check(&self) -> Result<(), Error> {
        let skips = self.has_cursor() || (0..=MAX_SKIP).contains(&self.skip);
        if !skips || !(1..=100).contains(&self.limit) {
            return Err(Error::Malformed(format!(
                "skip is 0 to {MAX_SKIP}, limit is 1 to 100; to read further, use cursors"
            )));
        }
        if self.cursor.is_some() && self.cursor_before.is_some() {
            return Err(Error::Query {
                title: "Invalid pagination parameters",
                message: "cursor and cursor_before exclude each other".into(),
            });
        }
        Ok(())
    }
}

/// One page of a collection.
pub fn list(name: &str, page: &Page<'_>) -> Result<String, Error> {
    let collection = collections::open(name)?;
    let access = admit(&collection, Operation::List)?;
    page.check()?;
    let columns = Columns::read(&collection, Operation::List, access, page.fields, page.expand);
    // What is wrong with the filter is said before what is wrong with expand (contract records.md §3.7).
    let columns =
        columns.or_else(|error| query::condition(&collection, access, page.filter, 1).and(Err(error)))?;
    let reader = Reader {
        collection: &collection,
        access,
        order: Order::read(&collection, access, page.sort)?,
        columns: &columns,
        page,
    };
    let mut slots = Vec::new();
    let text = if page.has_cursor() {
        reader.by_cursor(&mut slots)?
    } else {
        reader.by_offset(&mut slots)?
    };
    columns.fill(text, &slots)
}

struct Reader<'a> {
    collection: &'a Collection,
    access: Access<'a>,
    order: Order,
    columns: &'a Columns,
    page: &'a Page<'a>,
}

impl Reader<'_> {
    fn by_offset(&self, slots: &mut Vec<Slot>) -> Result<String, Error> {
        let Page { skip, limit, .. } = *self.page;
        let condition = query::condition(self.collection, self.access, self.page.filter, 3)?;
        let statement = format!(
            "select {} from {} where {} {} limit $1 offset $2",
            self.columns.select,
            self.collection.relation,
            condition.sql,
            self.order.sql(false, condition.selective)
        );
        let mut arguments: Vec<DatumWithOid> = vec![limit.into(), skip.into()];
        arguments.extend(query::bind(&condition.params));

        let mut out = String::from("{\"items\":[");
        let shown = spi::select(&statement, &arguments, |rows| {
            let mut count = 0i64;
            for row in rows {
                if count > 0 {
                    out.push(',');
                }
                self.write(&mut out, &row, slots)?;
                count += 1;
            }
            Ok(count)
        })?;
        let total = if shown < limit && (shown > 0 || skip == 0) {
            // The page ends before its limit, so it shows the end: nothing is left to count.
            skip + shown
        } else {
            self.count()?
        };
        out.push_str(&format!(
            "],\"total\":{total},\"skip\":{skip},\"limit\":{limit}}}"
        ));
        Ok(out)
    }

    /// Keyset paging. One row more than the page is read, to know whether there are more.
    fn by_cursor(&self, slots: &mut Vec<Slot>) -> Result<String, Error> {
        let given = self.page.cursor.or(self.page.cursor_before).unwrap_or_default();
        // An empty cursor starts at the beginning, whichever of the two it is.
        let backward = self.page.cursor_before.is_some() && !given.is_empty();
        let account = Context::current().account_id.unwrap_or_default();
        let order = self.order.spelling();
        let binding = Binding {
            collection: &self.collection.id,
            account: &account,
            order: &order,
            filter: self.page.filter.unwrap_or_default(),
        };
        let secret = cursor_secret()?;
        let place = match given {
            "" => None,
            cursor => Some(
                binding
                    .open(&secret, cursor)
                    .ok_or_else(|| self.foreign_cursor())?,
            ),
        };

        let limit = usize::try_from(self.page.limit).unwrap_or_default();
        let mut arguments: Vec<DatumWithOid> = vec![(self.page.limit + 1).into()];
        let mut beyond = "true".to_owned();
        if let Some(place) = &place {
            let values;
            (beyond, values) = self
                .order
                .beyond(place, backward, 2)
                .ok_or_else(|| self.foreign_cursor())?;
            arguments.extend(values);
        }
        let condition = query::condition(
            self.collection,
            self.access,
            self.page.filter,
            arguments.len() + 1,
        )?;
        arguments.extend(query::bind(&condition.params));
        let statement = format!(
            "select {}{} from {} where {} and {beyond} {} limit $1",
            self.columns.select,
            self.order.columns(),
            self.collection.relation,
            condition.sql,
            self.order.sql(backward, condition.selective)
        );
        let first_of_place = self.columns.members.len() + 1;
        let (rows, more) = spi::select(&statement, &arguments, |rows| {
            let more = rows.len() > limit;
            let rows: Result<Vec<(String, Vec<Slot>, Place)>, Error> = rows
                .into_iter()
                .take(limit)
                .map(|row| {
                    let (mut text, mut slots) = (String::new(), Vec::new());
                    self.write(&mut text, &row, &mut slots)?;
                    Ok((text, slots, self.order.place(&row, first_of_place)?))
                })
                .collect();
            Ok((rows?, more))
        })?;

        // A cursor leads to where a row was: there is a page on its other side.
        let (has_previous, has_next) = match (&place, backward) {
            (None, _) => (false, more),
            (Some(_), false) => (!rows.is_empty(), more),
            (Some(_), true) => (more, !rows.is_empty()),
        };
        let places: Vec<&Place> = rows.iter().map(|(_, _, place)| place).collect();
        let (first, last) = match backward {
            false => (places.first(), places.last()),
            true => (places.last(), places.first()),
        };
        let token = |wanted: bool, place: Option<&&Place>| match place {
            Some(place) if wanted => format!("\"{}\"", binding.seal(&secret, place)),
            _ => "null".to_owned(),
        };
        let (next, previous) = (token(has_next, last), token(has_previous, first));

        let mut out = String::from("{\"items\":[");
        let in_order: Box<dyn Iterator<Item = &(String, Vec<Slot>, Place)>> = match backward {
            false => Box::new(rows.iter()),
            true => Box::new(rows.iter().rev()),
        };
        for (index, (text, own, _)) in in_order.enumerate() {
            if index > 0 {
                out.push(',');
            }
            let start = out.len();
            out.push_str(text);
            slots.extend(own.iter().map(|slot| Slot {
                at: start + slot.at,
                branch: slot.branch,
                id: slot.id.clone(),
            }));
        }
        let total = match self.page.include_count {
            true => self.count()?.to_string(),
            false => "null".to_owned(),
        };
        out.push_str(&format!(
            "],\"next_cursor\":{next},\"prev_cursor\":{previous},\"has_more\":{has_next},\"total\":{total}}}"
        ));
        Ok(out)
    }

    fn write(&self, out: &mut String, row: &spi::Row<'_>, slots: &mut Vec<Slot>) -> Result<(), Error> {
        json::write_row(out, row, 1, &self.columns.members, slots)?;
        if self.columns.trimmed {
            // The key is always there; see contract records.md §2.
            out.truncate(out.len() - 1);
            out.push_str(",\"account_name\":null}");
        }
        Ok(())
    }

    /// How many records the filter selects, in the snapshot of the page: this function has written nothing.
    fn count(&self) -> Result<i64, Error> {
        let condition = query::condition(self.collection, self.access, self.page.filter, 1)?;
        let statement = format!(
            "select count(*) from {} where {}",
            self.collection.relation, condition.sql
        );
        spi::select(&statement, &query::bind(&condition.params), |rows| {
            Ok(rows.first().get_one::<i64>()?.unwrap_or(0))
        })
    }

    fn foreign_cursor(&self) -> Error {
        let (title, name) = match self.page.cursor {
            Some(_) => ("Invalid cursor", "cursor"),
            None => ("Invalid cursor_before", "cursor_before"),
        };
        Error::Query {
            title,
            message: format!(
                "This {name} is not one of this list: it belongs to its collection, sort and filter"
            ),
        }
    }
}

/// The key that signs cursors: made with the extension, different in every database, not part of a dump.
fn cursor_secret() -> Result<Vec<u8>, Error> {
    let statement = "select k.secret from snackbase.cursor_key k";
    spi::select_as_owner(statement, &[], |rows| Ok(rows.first().get_one::<Vec<u8>>()?))?
        .ok_or_else(|| Error::Internal("there is no key for cursors".into()))
}

/// One record.
pub fn view(name: &str, id: &str, fields: Option<&str>, expand: Option<&str>) -> Result<String, Error> {
    let collection = collections::open(name)?;
    let access = admit(&collection, Operation::View)?;
    let columns = Columns::read(&collection, Operation::View, access, fields, expand)?;
    let id = uuid_value(id).ok_or(Error::RecordNotFound)?;
    let statement = format!(
        "select {} from {} where id = $1",
        columns.select, collection.relation
    );
    let (mut out, mut slots) = (String::new(), Vec::new());
    let found = spi::select(&statement, &[id.into()], |rows| match rows.into_iter().next() {
        Some(row) => json::write_row(&mut out, &row, 1, &columns.members, &mut slots).map(|()| true),
        None => Ok(false),
    })?;
    if !found {
        return Err(Error::RecordNotFound);
    }
    columns.fill(out, &slots)
}
