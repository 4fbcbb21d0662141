//! What the records of a collection have against a change of its schema. Runs as the caller, a superadmin, who sees the
//! records of all accounts: the owner, who changes the table, sees none.

use snackbase_core::names::quote;
use snackbase_core::schema::{Change, Field, Problem, default_sql};

use super::Collection;
use super::convert;
use crate::error::Error;
use crate::spi;

/// Refuses a change that records contradict, with one problem per fact: how many records, in how many accounts. It takes no
/// lock that a request could feel. A foreign key is not checked by anybody else: Postgres would do it in the name of the
/// table's owner, who sees no record. So this is asked again when nobody can write any more.
///
/// # Errors
/// [`Error::Definition`]: `required_without_default`, `required_null`, `unique_violated`, `reference_violated`,
/// `type_not_convertible`.
pub fn refuse(current: &Collection, steps: &[Change<'_>], fields: &[Field]) -> Result<(), Error> {
    let relation = &current.relation;
    let mut problems = Problems {
        fields,
        list: Vec::new(),
    };
    for step in steps {
        match *step {
            Change::AddField(field) if field.required && default_sql(field).is_none() => {
                problems.count(
                    field,
                    &format!("from {relation} r"),
                    "required_without_default",
                    "exist; a required field needs a default",
                )?;
            }
            Change::AddField(field) if field.target().is_some() => {
                if let Some(default) = default_sql(field) {
                    problems.dangling(relation, field, &default)?;
                }
            }
            Change::SetRequired(field) => {
                problems.nulls(relation, field)?;
            }
            Change::AddUnique(field) => {
                problems.duplicates(relation, field, &quote(&field.name))?;
            }
            Change::SetReference(before, field) if before.target() != field.target() => {
                problems.dangling(relation, field, &format!("r.{}", quote(&field.name)))?;
            }
            Change::SetType(before, field) => {
                problems.unconvertible(relation, field, &convert::fails(before, field))?;
                if field.required && !before.required {
                    problems.nulls(relation, field)?;
                }
                if field.unique {
                    problems.duplicates(relation, field, &convert::converted(before, field))?;
                }
                problems.dangling(relation, field, &convert::converted(before, field))?;
            }
            _ => {}
        }
    }
    problems.finish()
}

/// Refuses dangling references of a table that was there before its definition. Its foreign keys hold for what is written
/// from now on, but they were checked in the name of the owner, who sees no record.
///
/// # Errors
/// [`Error::Definition`], code `reference_violated`.
pub fn refuse_dangling(adopted: &Collection) -> Result<(), Error> {
    let fields = &adopted.definition.fields;
    let mut problems = Problems {
        fields,
        list: Vec::new(),
    };
    for field in fields {
        problems.dangling(&adopted.relation, field, &format!("r.{}", quote(&field.name)))?;
    }
    problems.finish()
}

struct Problems<'a> {
    fields: &'a [Field],
    list: Vec<Problem>,
}

impl Problems<'_> {
    /// Counts records and accounts of `source`, a FROM clause with the alias `r`, and notes a problem when there are any.
    fn count(
        &mut self,
        field: &Field,
        source: &str,
        code: &'static str,
        predicate: &str,
    ) -> Result<(), Error> {
        self.note(
            field,
            &format!("select count(*), count(distinct r.account_id) {source}"),
            code,
            predicate,
        )
    }

    fn unconvertible(&mut self, relation: &str, field: &Field, condition: &str) -> Result<(), Error> {
        let predicate = format!(
            "have a value that is no {}; nothing is converted that could be lost",
            field.field_type.name()
        );
        let source = format!("from {relation} r where {condition}");
        self.count(field, &source, "type_not_convertible", &predicate)
    }

    fn nulls(&mut self, relation: &str, field: &Field) -> Result<(), Error> {
        let source = format!("from {relation} r where r.{} is null", quote(&field.name));
        self.count(field, &source, "required_null", "have no value")
    }

    fn duplicates(&mut self, relation: &str, field: &Field, value: &str) -> Result<(), Error> {
        let statement = format!(
            "select coalesce(sum(d.n), 0)::bigint, count(distinct d.account_id)
               from (select r.account_id, count(*) as n from {relation} r where {value} is not null
                      group by r.account_id, {value} having count(*) > 1) d"
        );
        self.note(
            field,
            &statement,
            "unique_violated",
            "share a value with another of their account",
        )
    }

    fn dangling(&mut self, relation: &str, field: &Field, value: &str) -> Result<(), Error> {
        let Some(target) = field.target() else {
            return Ok(());
        };
        let source = format!(
            "from {relation} r where {value} is not null
              and not exists (select from snackbase.{} t where t.id = {value} and t.account_id = r.account_id)",
            quote(&target)
        );
        self.count(
            field,
            &source,
            "reference_violated",
            "refer to nothing in their account",
        )
    }

    fn note(
        &mut self,
        field: &Field,
        statement: &str,
        code: &'static str,
        predicate: &str,
    ) -> Result<(), Error> {
        let (records, accounts) = spi::select_latest(statement, &[], |rows| {
            let row = rows.first();
            Ok((row.get::<i64>(1)?.unwrap_or(0), row.get::<i64>(2)?.unwrap_or(0)))
        })?;
        if records > 0 {
            let index = self.fields.iter().position(|f| f.name == field.name).unwrap_or(0);
            let message = format!(
                "'{}': {} in {} {predicate}",
                field.name,
                counted(records, "record"),
                counted(accounts, "account")
            );
            self.list.push(
                Problem::new(format!("schema[{index}]"), code, message)
                    .counting(records.unsigned_abs(), accounts.unsigned_abs()),
            );
        }
        Ok(())
    }

    fn finish(self) -> Result<(), Error> {
        if self.list.is_empty() {
            Ok(())
        } else {
            Err(Error::Definition(self.list))
        }
    }
}

fn counted(number: i64, noun: &str) -> String {
    format!("{number} {noun}{}", if number == 1 { "" } else { "s" })
}
