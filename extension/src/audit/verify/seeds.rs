//! What the installation put into audited tables: it has no history, so it must be what it was.

use super::finding::{Finding, Report};
use crate::context::SYSTEM_ACCOUNT;
use crate::error::Error;
use crate::spi::Acting;
use crate::spi::scan::Reader;

/// Reports rows of the installation that are gone or changed and of which the trail says nothing. (What it says of the others is
/// compared with their rows like everything else.)
///
/// # Errors
/// As [`Reader::scan`].
pub fn check(reader: &Reader, report: &mut Report<'_>) -> Result<(), Error> {
    let _owner = Acting::begin(c"snackbase_owner");
    let mut rows = reader.scan(
        &format!(
            "select s.relation, s.record, s.digest, r.digest
               from snackbase._seeds() s
               left join snackbase._seed_rows() r on r.relation = s.relation and r.record = s.record
              where r.digest is distinct from s.digest
                and not exists (select from snackbase.audit_change c
                                 where c.account_id = '{SYSTEM_ACCOUNT}' and c.table_name = s.relation and c.record_id = s.record)
              order by 1, 2"
        ),
        &[],
    )?;
    let account = uuid::Uuid::parse_str(SYSTEM_ACCOUNT)
        .ok()
        .map(uuid::Uuid::into_bytes);
    while !report.is_full() && rows.advance() {
        let digest = |column| {
            rows.text(column)
                .map(|digest| format!("a row that hashes to {digest}"))
        };
        report.push(Finding {
            kind: "live",
            account,
            table: rows.text(0).map(str::to_owned),
            record: rows.text(1).map(str::to_owned),
            expected: digest(2),
            actual: digest(3),
            ..Finding::default()
        });
    }
    Ok(())
}
