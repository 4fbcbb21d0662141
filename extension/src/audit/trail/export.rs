//! The whole trail that a filter lets through, piece by piece: contract `audit.md` §3.3.

use pgrx::datum::DatumWithOid;
use pgrx::pg_sys::panic::ErrorReport;
use pgrx::prelude::*;
use snackbase_core::trail::{self, BRIEF, FULL, Field};

use super::filter::{Filter, Query};
use super::masks::Masks;
use super::{COLUMNS, Change};
use crate::error::{Error, raise};
use crate::guc::TimePerPart;
use crate::json::JsonText;
use crate::spi::{self, Cursor};

/// Changes per piece: some hundred kilobytes of text.
const PIECE: i64 = 128;

/// Entries of a document with pages, which is laid out in memory: 600 pages.
const MOST_ROWS: i64 = 10_000;

/// An export as texts: first the number of entries, then the document, piece by piece, in the order `occurred_at` desc. Called in
/// the select list it is evaluated as it is fetched and holds one piece in memory; in FROM Postgres would collect it first.
///
/// `query` has the filters of `audit_list`, `format` (`json`, `csv`, or `rows`: for a document with pages, one JSON array of texts a line,
/// titles first, the signature last, at most 10,000 entries) and `full` (every field; default false).
///
/// Errors: 22023 unknown format, or too many entries for `rows` · 22P02 a date that is none.
#[pg_extern(stable, parallel_unsafe)]
fn audit_export(query: JsonText) -> Result<SetOfIterator<'static, String>, ErrorReport> {
    let _limit = TimePerPart::begin();
    Ok(SetOfIterator::new(Export::new(&Query::parse(&query.0)?)?))
}

#[derive(Clone, Copy, PartialEq)]
enum Format {
    Json,
    Csv,
    Rows,
}

enum Stage {
    Count(i64),
    Entries,
    End,
}

struct Export {
    format: Format,
    full: bool,
    stage: Stage,
    /// Nothing of the document was written yet.
    at_start: bool,
    masks: Masks,
    changes: Cursor,
}

impl Export {
    fn new(query: &Query) -> Result<Export, Error> {
        let format = match query.text("format").as_deref() {
            Some("json") => Format::Json,
            None | Some("csv") => Format::Csv,
            Some("rows") => Format::Rows,
            Some(_) => return Err(Error::Malformed("format is csv, json or rows".into())),
        };
        let filter = Filter::new(query)?;
        let arguments: Vec<DatumWithOid> = filter.arguments().into_iter().map(DatumWithOid::from).collect();
        let total = format!(
            "select coalesce(sum(c.column_count), 0) from snackbase.audit_change c where {}",
            filter.condition
        );
        let total = spi::select(&total, &arguments, |rows| {
            Ok(rows.first().get_one::<i64>()?.unwrap_or(0))
        })?;
        if format == Format::Rows && total > MOST_ROWS {
            return Err(Error::Query {
                title: "Export too large",
                message: format!(
                    "This export has {total} entries and a PDF takes at most {MOST_ROWS}: narrow the filter, or choose csv or json"
                ),
            });
        }
        // One statement sees one snapshot: what is counted above is what is read here.
        let changes = format!(
            "select {COLUMNS} from snackbase.audit_change c where {} order by c.occurred_at desc, c.id desc",
            filter.condition
        );
        Ok(Export {
            format,
            full: query.text("full").as_deref() == Some("true"),
            stage: Stage::Count(total),
            at_start: true,
            masks: Masks::for_caller()?,
            changes: Cursor::open(&changes, &arguments)?,
        })
    }

    fn fields(&self) -> &'static [Field] {
        if self.full { FULL } else { BRIEF }
    }

    fn piece(&mut self) -> Result<Option<String>, Error> {
        match self.stage {
            Stage::Count(total) => {
                self.stage = Stage::Entries;
                Ok(Some(total.to_string()))
            }
            Stage::Entries => self.entries().map(Some),
            Stage::End => Ok(None),
        }
    }

    fn entries(&mut self) -> Result<String, Error> {
        let changes = self.changes.fetch(PIECE, Change::read)?;
        let fields = self.fields();
        let format = self.format;
        let mut out = String::new();
        let at_start = std::mem::replace(&mut self.at_start, false);
        if at_start {
            match format {
                Format::Json => out.push('['),
                Format::Csv => trail::write_csv_header(&mut out, fields, !self.full),
                Format::Rows => {
                    trail::write_row_titles(&mut out);
                    out.push('\n');
                }
            }
        }
        let mut first = at_start;
        for change in &changes {
            change.each_entry(
                &mut self.masks,
                true,
                |_| true,
                |entry| match format {
                    Format::Json => {
                        out.push_str(if std::mem::take(&mut first) {
                            "\n  "
                        } else {
                            ",\n  "
                        });
                        trail::write_json(&mut out, entry, fields, true);
                    }
                    Format::Csv => trail::write_csv(&mut out, entry, fields),
                    Format::Rows => {
                        trail::write_row(&mut out, entry);
                        out.push('\n');
                    }
                },
            )?;
        }
        if (changes.len() as i64) < PIECE {
            self.stage = Stage::End;
            if format == Format::Json {
                out.push_str(if first { "]\n" } else { "\n]\n" });
            }
        }
        Ok(out)
    }
}

impl Iterator for Export {
    type Item = String;

    fn next(&mut self) -> Option<String> {
        let _limit = TimePerPart::begin();
        self.piece().unwrap_or_else(|error| raise(error))
    }
}
