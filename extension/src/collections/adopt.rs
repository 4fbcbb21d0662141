//! A table `col_<name>` that is there before its definition: left by somebody who deleted the definition, or made by hand.
//! It becomes the table of the collection only when it has exactly the columns that a new one would have.

use super::Collection;
use crate::error::Error;
use crate::spi;

/// Is there a relation of this name?
pub fn exists(table: &str) -> Result<bool, Error> {
    spi::select_latest(
        "select exists (select from pg_class where relname = $1 and relnamespace = 'snackbase'::regnamespace)",
        &[table.into()],
        |rows| Ok(rows.first().get_one::<bool>()?.unwrap_or(false)),
    )
}

/// Removes everything from an existing table that is not a column, so that it can be made anew.
///
/// # Errors
/// [`Error::Conflict`] when its columns are not those of the collection, when it is no table, or not ours.
pub fn strip(collection: &Collection) -> Result<(), Error> {
    let Collection { relation, table, .. } = collection;
    if !matches(collection)? {
        return Err(Error::Conflict {
            message: format!(
                "A table {table} exists already, without a collection, and its columns are not those of this one"
            ),
            field: "name",
        });
    }
    super::locks::table(table, "access exclusive")?;
    // Foreign keys first, those of others that point here too: they hold the primary key.
    let statements = spi::select_latest(
        "select coalesce(array_agg(statement order by place), '{}')
           from (select case contype when 'f' then 1 else 2 end as place,
                        format('alter table %s drop constraint if exists %I', conrelid::regclass, conname) as statement
                   from pg_constraint
                  -- NOT NULL is a property of the column, though newer servers keep a constraint for it
                  where (conrelid = $1::regclass or confrelid = $1::regclass) and contype <> 'n'
                 union all
                 select 3, format('drop index if exists %s', indexrelid::regclass) from pg_index i
                  where indrelid = $1::regclass and not exists (select from pg_constraint c where c.conindid = i.indexrelid)
                 union all
                 select 4, format('drop trigger %I on %s', tgname, tgrelid::regclass) from pg_trigger
                  where tgrelid = $1::regclass and not tgisinternal) s",
        &[relation.as_str().into()],
        |rows| Ok(rows.first().get_one::<Vec<String>>()?.unwrap_or_default()),
    )?;
    statements
        .iter()
        .try_for_each(|statement| spi::execute(statement))
}

/// Whether the table belongs to the owner and has the columns of the collection, in any order: names, types, NOT NULL and
/// defaults, no more and no fewer. A new table is made, compared and dropped again: so both sides are described in the
/// server's words.
fn matches(collection: &Collection) -> Result<bool, Error> {
    let pattern = "snackbase.\"$pattern\"";
    spi::execute(&super::table::blank(collection, pattern))?;
    let same = spi::select_latest(
        "with columns as (
            select a.attrelid, a.attname, a.atttypid, a.atttypmod, a.attnotnull, a.attgenerated, a.attidentity, a.attcollation,
                   pg_get_expr(d.adbin, d.adrelid) as value
              from pg_attribute a
              left join pg_attrdef d on d.adrelid = a.attrelid and d.adnum = a.attnum
             where a.attrelid in ($1::regclass, $2::regclass) and a.attnum > 0 and not a.attisdropped)
         select not exists (
                select from columns
                 group by attname, atttypid, atttypmod, attnotnull, attgenerated, attidentity, attcollation, value
                having count(*) <> 2)
            and exists (select from pg_class c
                         where c.oid = $1::regclass and c.relkind = 'r' and c.relpersistence = 'p' and not c.relispartition
                           and c.reloftype = 0 and c.relowner = (select p.relowner from pg_class p where p.oid = $2::regclass)
                           and not exists (select from pg_inherits h where c.oid in (h.inhparent, h.inhrelid)))",
        &[collection.relation.as_str().into(), pattern.into()],
        |rows| Ok(rows.first().get_one::<bool>()?.unwrap_or(false)),
    )?;
    spi::execute(&format!("drop table {pattern}"))?;
    Ok(same)
}
