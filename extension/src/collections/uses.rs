//! Who uses a field, or the whole collection: what would break when it goes away or becomes another.

use snackbase_core::rules::ast::Expr;
use snackbase_core::rules::{self, MacroBody, Macros, NoMacros};
use snackbase_core::schema::{Change, Field, FieldList, Problem};

use super::Collection;
use crate::error::Error;
use crate::macros::{self, Registry};
use crate::{bi, spi};

/// Refuses to drop or retype fields that something uses, naming everything that does.
///
/// # Errors
/// [`Error::Definition`], code `field_in_use`.
pub fn refuse(current: &Collection, next: &Collection, steps: &[Change<'_>]) -> Result<(), Error> {
    let mut problems = Vec::new();
    for step in steps {
        let (field, dropped) = match *step {
            Change::DropField(field) => (field, true),
            Change::SetType(_, field) => (field, false),
            _ => continue,
        };
        let mut users = in_definition(next, field, dropped)?;
        users.extend(in_database(current, field)?);
        if !users.is_empty() {
            problems.push(Problem::new(
                format!("{}.{}", current.definition.name, field.name),
                "field_in_use",
                format!("'{}' is used by {}", field.name, users.join(", ")),
            ));
        }
    }
    if problems.is_empty() {
        Ok(())
    } else {
        Err(Error::Definition(problems))
    }
}

/// Refuses to drop a collection that views or functions of others are built on.
///
/// # Errors
/// [`Error::InUse`].
pub fn refuse_drop(current: &Collection) -> Result<(), Error> {
    macros::refuse_readers(&current.table)?;
    let mut users = bi::dependents(current)?;
    users.extend(dependents(current, None)?);
    users.sort();
    users.dedup();
    if users.is_empty() {
        return Ok(());
    }
    Err(Error::InUse {
        what: format!("Collection '{}'", current.definition.name),
        by: users,
    })
}

/// Rules, field lists and computed fields.
fn in_definition(collection: &Collection, field: &Field, dropped: bool) -> Result<Vec<String>, Error> {
    let definition = &collection.definition;
    let rules = definition.rules.rules();
    let registry = Registry::load_for(rules.iter().filter_map(|(_, rule)| *rule))?;
    let mut users: Vec<String> = Vec::new();
    for (key, rule) in rules {
        let tree = rule.and_then(|source| rules::parse(source).ok());
        match tree.and_then(|tree| named_in(&tree, &field.name, &registry, 0)) {
            Some(None) => users.push(key.to_owned()),
            Some(Some(name)) => users.push(format!("{key} through macro '@{name}'")),
            None => {}
        }
    }
    for (key, list) in definition.rules.lists() {
        let listed = matches!(list, FieldList::Only(_)) && list.allows(&field.name);
        if dropped && listed {
            users.push(key.to_owned());
        }
    }
    for computed in definition.fields.iter().filter(|field| !field.is_stored()) {
        let tree = rules::parse(computed.expression.as_deref().unwrap_or_default());
        let named = tree.is_ok_and(|tree| named_in(&tree, &field.name, &NoMacros, 0).is_some());
        if named && computed.name != field.name {
            users.push(format!("computed field '{}'", computed.name));
        }
    }
    Ok(users)
}

/// Whether an expression names a field, of the record or of the data about to be written: by itself, or in the text of a
/// macro, whose name is given then.
fn named_in(tree: &Expr, field: &str, macros: &dyn Macros, depth: usize) -> Option<Option<String>> {
    let own = tree
        .names()
        .into_iter()
        .any(|name| name == field || name.strip_prefix("@request.data.") == Some(field));
    if own {
        return Some(None);
    }
    if depth > rules::limits::MACRO_DEPTH {
        return None;
    }
    tree.macro_names().into_iter().find_map(|name| {
        let Some(MacroBody::Fragment(source)) = macros.lookup(name) else {
            return None;
        };
        let tree = rules::parse_fragment(&source).ok()?;
        named_in(&tree, field, macros, depth + 1).map(|_| Some(name.to_owned()))
    })
}

/// Views and functions: those on the column, and, when the view for BI tools shows it, those on that view.
fn in_database(collection: &Collection, field: &Field) -> Result<Vec<String>, Error> {
    let mut users = dependents(collection, Some(field))?;
    if bi::shows(collection, &field.name)? {
        users.extend(bi::dependents(collection)?);
    }
    users.sort();
    users.dedup();
    Ok(users)
}

/// Views and functions of others on a column of the table, or on the table.
fn dependents(collection: &Collection, field: Option<&Field>) -> Result<Vec<String>, Error> {
    spi::select_latest(
        "select distinct case when r.oid is not null then pg_describe_object('pg_class'::regclass, r.ev_class, 0)
                              else pg_describe_object(d.classid, d.objid, 0) end
           from pg_depend d
           left join pg_rewrite r on d.classid = 'pg_rewrite'::regclass and r.oid = d.objid
          where d.refclassid = 'pg_class'::regclass and d.refobjid = $1::regclass
            and ($2 is null or d.refobjsubid = 0
                 or d.refobjsubid = (select a.attnum from pg_attribute a where a.attrelid = $1::regclass and a.attname = $2))
            and d.classid in ('pg_rewrite'::regclass, 'pg_proc'::regclass)
            and not exists (select from pg_class v
                              where v.oid = r.ev_class and v.relnamespace = 'snackbase_bi'::regnamespace and v.relname = $3)
          order by 1",
        &[
            collection.relation.as_str().into(),
            field.map(|field| field.name.as_str()).into(),
            bi::relname(collection).into(),
        ],
        |rows| {
            rows.into_iter()
                .map(|row| Ok(readable(row.get::<String>(1)?.unwrap_or_default())))
                .collect()
        },
    )
}

/// A description by Postgres; the function of a macro by the name of the macro.
fn readable(description: String) -> String {
    let name = description
        .strip_prefix("function snackbase.macro_")
        .and_then(|rest| rest.split_once('('));
    match name {
        Some((name, _)) => format!("macro '@{name}'"),
        None => description,
    }
}
