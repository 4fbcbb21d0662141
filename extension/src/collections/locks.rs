//! Who waits for whom when a schema changes.
//!
//! | Lock | Held by | Against |
//! |---|---|---|
//! | shared, on macros | whoever compiles rules and stores the result | a macro that changes meanwhile |
//! | advisory, exclusive, on a collection's name | whoever defines, changes or drops it | another change of the same collection |
//! | advisory, shared, on the names it refers to | the same | a target that disappears meanwhile |
//! | the tables | the same, while it changes them | requests |
//!
//! Requests hold what they have locked until their transaction ends, so a change must take its locks in the order in which
//! requests take theirs: `users` (which `enter()` reads), the view of `snackbase_bi`, the collection's table. That table is locked
//! twice: first against writers, while records are read and indexes built, then against everybody, for moments. Asking
//! for more is safe because requests never do: a writer has its lock from the start ([`super::open_for_writing`]).

use std::collections::{BTreeMap, BTreeSet};

use snackbase_core::schema::{Change, Field, FieldType, default_sql};

use super::{Collection, load};
use crate::error::Error;
use crate::{macros, spi};

/// Locks collection names until the end of the transaction, all in one order: `changed` against everybody, `used` against
/// those who change them.
///
/// # Errors
/// 55P03, raised by Postgres, when `lock_timeout` runs out.
pub fn names<'a, 'b>(
    changed: impl IntoIterator<Item = &'a str>,
    used: impl IntoIterator<Item = &'b str>,
) -> Result<(), Error> {
    let mut wanted: BTreeMap<String, &str> = used
        .into_iter()
        .map(|name| (name.to_ascii_lowercase(), "pg_advisory_xact_lock_shared"))
        .collect();
    wanted.extend(
        changed
            .into_iter()
            .map(|name| (name.to_ascii_lowercase(), "pg_advisory_xact_lock")),
    );
    // Before any lock on a collection: whoever changes a macro takes them in this order, too.
    macros::hold();
    for (name, lock) in &wanted {
        spi::update(
            &format!("select {lock}(hashtext('snackbase.collection'), hashtext($1))"),
            &[name.as_str().into()],
            |_| Ok(()),
        )?;
    }
    Ok(())
}

/// The collections that fields refer to.
pub fn targets(fields: &[Field]) -> impl Iterator<Item = &str> {
    fields
        .iter()
        .filter(|field| field.field_type == FieldType::Reference)
        .filter_map(|field| field.collection.as_deref())
}

/// The present definition of a collection (by id or name) that the caller is about to change, read after waiting for
/// whoever was changing it. `used` are further names to lock.
///
/// # Errors
/// [`Error::CollectionNotFound`]; as [`names`].
pub fn current<'a>(wanted: &str, used: impl IntoIterator<Item = &'a str>) -> Result<Collection, Error> {
    let (_, found) = load(wanted)?;
    names([found.definition.name.as_str()], used)?;
    match load(&found.id) {
        Ok((_, current)) => Ok(current),
        // Dropped while we waited: said in the words of the request.
        Err(Error::CollectionNotFound(_)) => Err(Error::CollectionNotFound(wanted.to_owned())),
        Err(other) => Err(other),
    }
}

/// Whether what the records contain decides about these steps, or is read to carry them out.
pub fn reads_records(steps: &[Change<'_>]) -> bool {
    steps.iter().any(|step| match *step {
        Change::AddUnique(_) | Change::AddIndex(..) | Change::SetType(..) => true,
        Change::SetReference(before, field) => before.target() != field.target(),
        Change::AddField(field) => field.target().is_some() && default_sql(field).is_some(),
        _ => false,
    })
}

/// The first locks of a change: the tables that its foreign keys point at, and, when records must be read, the collection's
/// own against writers. Readers go on.
///
/// # Errors
/// As [`names`].
pub fn against_writers(collection: &Collection, steps: &[Change<'_>]) -> Result<(), Error> {
    // Who adds a foreign key stops the writers of its target. Who drops one locks its target out, at the end; the writers are
    // stopped before, because a deletion there goes on to this table.
    let mut dropped = BTreeSet::new();
    let mut added = BTreeSet::new();
    for step in steps {
        let (before, after) = match *step {
            Change::DropField(before) => (Some(before), None),
            Change::AddField(after) => (None, Some(after)),
            Change::SetReference(before, after) | Change::SetType(before, after) => {
                (Some(before), Some(after))
            }
            _ => (None, None),
        };
        dropped.extend(before.and_then(Field::target));
        added.extend(after.and_then(Field::target));
    }
    if dropped.contains("users") {
        table("users", "access exclusive")?;
    }
    for target in added
        .union(&dropped)
        .filter(|target| **target != collection.table)
    {
        table(target, "share row exclusive")?;
    }
    if reads_records(steps) {
        table(&collection.table, "share")?;
    }
    Ok(())
}

/// Locks one table of ours until the end of the transaction.
///
/// # Errors
/// As [`names`].
pub fn table(name: &str, mode: &str) -> Result<(), Error> {
    spi::execute(&format!(
        "lock table snackbase.{} in {mode} mode",
        snackbase_core::names::quote(name)
    ))
}
