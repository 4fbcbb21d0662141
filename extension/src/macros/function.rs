//! The function behind a SELECT macro, and everything else that is done as `snackbase_hook`.
//!
//! | The body must not | What sees to it |
//! |---|---|
//! | be anything but one SELECT | PostgreSQL's own parser, before anything else happens to the text |
//! | write | no INTO, no FOR UPDATE, no data-modifying WITH, no volatile function; and whatever it calls runs in a read-only transaction |
//! | see more than the account | it runs as `snackbase_hook`, whom the account policies bind |
//! | see a password hash | column grants of `snackbase_hook` |
//! | become somebody else | SECURITY DEFINER forbids a change of role; `snackbase_hook` may not set identity |
//! | mean something else later | a body that is parsed when it is created does not look at `search_path` again |

use std::ffi::{CStr, CString};
use std::panic::AssertUnwindSafe;

use pgrx::PgTryBuilder;
use pgrx::pg_sys::panic::{CaughtError, ErrorReport};
use pgrx::prelude::*;
use snackbase_core::names::quote;
use snackbase_core::rules;
use snackbase_core::schema::Problem;

use super::Registry;
use crate::error::{Error, state_of};
use crate::json::JsonText;
use crate::{guc, spi};

/// Makes or replaces the function `name` with `arity` text arguments from a body of which only PostgreSQL's part is left.
/// Runs as `snackbase_hook`, to whom its owner lends the right to create in the schema.
///
/// Errors: 22P02 with a problem of the field `sql_query`.
#[pg_extern(volatile, parallel_unsafe, security_definer)]
fn _macro_function_make(name: &str, arity: i32, sql: &str) -> Result<(), ErrorReport> {
    let _ddl = guc::OwnDdl::begin();
    let arity = usize::try_from(arity).unwrap_or_default();
    let sql = refusals_of("sql_query", || make(name, arity, sql))?;
    // What the planner would have to be allowed to do for a rule, it is asked now: rights on tables, columns and functions.
    spi::update(
        "select snackbase._macro_probe($1, $2)",
        &[sql.into(), i32::try_from(arity).unwrap_or_default().into()],
        |_| Ok(()),
    )?;
    Ok(())
}

fn make(name: &str, arity: usize, sql: &str) -> Result<String, Error> {
    let select = one_select(sql, arity)?;
    let function = signature(name, arity);
    spi::execute(&format!(
        "create or replace function {function} returns boolean
         language sql stable parallel restricted security definer
         set search_path = pg_catalog, pg_temp
         begin atomic
             select snackbase._truth(t.c) from (\n{select}\n) as t(c) limit 1;
         end"
    ))?;
    // Its one door is `_macro_call`, which sees to it that nothing is written.
    spi::execute(&format!("revoke all on function {function} from public"))?;
    Ok(select)
}

/// Drops the function, if there is one. Runs as `snackbase_hook`, its owner.
#[pg_extern(volatile, parallel_unsafe, security_definer)]
#[search_path(pg_catalog, pg_temp)]
fn _macro_function_drop(name: &str, arity: i32) -> Result<(), ErrorReport> {
    let _ddl = guc::OwnDdl::begin();
    let arity = usize::try_from(arity).unwrap_or_default();
    Ok(spi::execute(&format!(
        "drop function if exists {}",
        signature(name, arity)
    ))?)
}

fn signature(name: &str, arity: usize) -> String {
    format!("snackbase.{}({})", quote(name), vec!["text"; arity].join(", "))
}

/// Plans a body as `snackbase_hook` and read-only, without running it. Errors: as [`_macro_function_make`].
#[pg_extern(volatile, parallel_unsafe, security_definer)]
fn _macro_probe(sql: &str, arity: i32) -> Result<(), ErrorReport> {
    let _reading = guc::ReadOnly::begin();
    let arguments = vec![None; usize::try_from(arity).unwrap_or_default()];
    Ok(refusals_of("sql_query", || {
        spi::explain(sql, arguments).map(|_| ())
    })?)
}

/// Runs the macro of this id with these arguments (`{"parameters": [text, …]}`); the first column of the first row as
/// text. Runs as `snackbase_hook`, read-only. A fragment is compiled as a rule without a record.
///
/// Errors: P0002 no such macro · 22P02 malformed or the wrong number of arguments · what the query raises.
#[pg_extern(volatile, parallel_unsafe, security_definer)]
fn _macro_run(id: i64, arguments: JsonText) -> Result<Option<String>, ErrorReport> {
    let _reading = guc::ReadOnly::begin();
    Ok(run(id, &arguments.0)?)
}

fn run(id: i64, arguments: &str) -> Result<Option<String>, Error> {
    super::define::require_superadmin()?;
    let registry = Registry::load()?;
    let found = registry.by_id(id)?;
    let given = arguments_of(arguments)?;
    let shape = |code, message: String| Err(Error::Shape(vec![Problem::new("parameters", code, message)]));
    let expected = match found.function() {
        Some((_, arity)) => arity,
        None => rules::parse_fragment(&found.source).map_or(0, |expr| expr.arguments()),
    };
    if given.len() != expected {
        let message = format!(
            "@{} takes {expected} argument(s), not {}",
            found.name,
            given.len()
        );
        return shape("arity", message);
    }
    let sql = if found.is_select() {
        let body = rules::select_body(&found.source, &found.parameters, &registry)
            .map_err(|errors| Error::Malformed(rules::summary(&errors)))?;
        let select = one_select(&body.sql, body.arity)?;
        return once(
            &format!("select (t.c)::text from (\n{select}\n) as t(c) limit 1"),
            given,
        );
    } else {
        let call = format!(
            "@{}({})",
            found.name,
            given
                .iter()
                .map(|argument| literal(argument.as_deref()))
                .collect::<Vec<_>>()
                .join(", ")
        );
        let schema = rules::Schema::new("r", Vec::new());
        match rules::compile_rule(&call, rules::Operation::List, &schema, &registry) {
            Ok(rules::Rule::Predicate(predicate)) => predicate.using.unwrap_or_else(|| "true".to_owned()),
            Ok(rules::Rule::Public) => "true".to_owned(),
            Err(errors) => return shape("query_failed", rules::summary(&errors)),
        }
    };
    once(&format!("select ({sql})::text"), Vec::new())
}

/// A text as a rule writes it.
fn literal(text: Option<&str>) -> String {
    match text {
        Some(text) => format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\"")),
        None => "null".to_owned(),
    }
}

fn arguments_of(body: &str) -> Result<Vec<Option<String>>, Error> {
    let wrong = || {
        Error::Shape(vec![Problem::new(
            "parameters",
            "list_type",
            "parameters must be a list of texts",
        )])
    };
    let body: serde_json::Value = serde_json::from_str(body).map_err(|_| wrong())?;
    match body.get("parameters") {
        None | Some(serde_json::Value::Null) => Ok(Vec::new()),
        Some(serde_json::Value::Array(list)) => list
            .iter()
            .map(|argument| match argument {
                serde_json::Value::Null => Ok(None),
                serde_json::Value::String(text) if !text.contains('\0') => Ok(Some(text.clone())),
                _ => Err(wrong()),
            })
            .collect(),
        Some(_) => Err(wrong()),
    }
}

/// The first column of the first row of a query.
fn once(statement: &str, arguments: Vec<Option<String>>) -> Result<Option<String>, Error> {
    spi::select_once(statement, arguments, spi::first_value::<String>)
}

/// The one SELECT that a text is, without the semicolon that may end it.
///
/// The text is judged alone and only then put into parentheses, so it cannot close them; and it is judged by what
/// PostgreSQL made of it, so no spelling is missed.
fn one_select(sql: &str, arity: usize) -> Result<String, Error> {
    let refused = |message: &str| Err(Error::Malformed(message.to_owned()));
    let Ok(text) = CString::new(sql) else {
        return refused("the text holds U+0000");
    };
    let types = vec![pg_sys::TEXTOID; arity];
    // SAFETY: the text is NUL-terminated and outlives the calls; raw_parser and parse_analyze return trees in the current
    // memory context or raise; list cells are read within the list's length, and a node's tag says its type.
    unsafe {
        let list = pg_sys::raw_parser(text.as_ptr(), pg_sys::RawParseMode::RAW_PARSE_DEFAULT);
        if list.is_null() || (*list).length != 1 {
            return refused("the body must be exactly one SELECT");
        }
        let raw = (*(*list).elements).ptr_value.cast::<pg_sys::RawStmt>();
        if (*(*raw).stmt).type_ != pg_sys::NodeTag::T_SelectStmt {
            return refused("the body must be a SELECT");
        }
        let start = usize::try_from((*raw).stmt_location).unwrap_or_default();
        let length = usize::try_from((*raw).stmt_len).unwrap_or_default();
        let count = i32::try_from(arity).unwrap_or_default();
        let query = pg_sys::parse_analyze_fixedparams(
            raw,
            text.as_ptr(),
            types.as_ptr(),
            count,
            std::ptr::null_mut(),
        );
        if (*query).commandType != pg_sys::CmdType::CMD_SELECT || (*query).hasModifyingCTE {
            return refused("the body must only read");
        }
        // Names and texts in this print have their blanks escaped, so that they cannot look like a member.
        let print = pg_sys::nodeToString(query.cast());
        let locks = CStr::from_ptr(print)
            .to_bytes()
            .windows(19)
            .any(|window| window == b":hasForUpdate true ");
        if locks {
            return refused("the body must not lock rows (FOR UPDATE, FOR SHARE)");
        }
        if pg_sys::contain_volatile_functions(query.cast()) {
            return refused(
                "the body must not call a volatile function (such as pg_sleep, random, set_config, nextval or a \
                 function that may write)",
            );
        }
        let end = if length == 0 { sql.len() } else { start + length };
        Ok(sql.get(start..end).unwrap_or(sql).to_owned())
    }
}

/// Runs `work`; what PostgreSQL says against the text becomes a problem of the field. (The transaction fails all the same.)
fn refusals_of<T>(field: &'static str, work: impl FnOnce() -> Result<T, Error>) -> Result<T, Error> {
    let problem = move |message: String| Error::Shape(vec![Problem::new(field, "invalid_sql", message)]);
    let outcome = PgTryBuilder::new(AssertUnwindSafe(work))
        .catch_others(move |cause| match &cause {
            CaughtError::PostgresError(report)
                if matches!(
                    &state_of(report.sql_error_code())[..2],
                    "0A" | "21" | "22" | "25" | "42" | "54" | "P0"
                ) && report.detail().is_none_or(|detail| !detail.starts_with('[')) =>
            {
                Err(problem(report.message().to_owned()))
            }
            _ => cause.rethrow(),
        })
        .execute();
    outcome.map_err(|error| match error {
        Error::Malformed(message) => problem(message),
        other => other,
    })
}

/// Runs `work`; a refusal of [`_macro_function_make`], which arrives as an error of Postgres, becomes a value again, so that
/// its words can be put in place.
pub fn reported(work: impl FnOnce() -> Result<(), Error>) -> Result<(), Error> {
    PgTryBuilder::new(AssertUnwindSafe(work))
        .catch_when(
            PgSqlErrorCode::ERRCODE_INVALID_TEXT_REPRESENTATION,
            |cause| match &cause {
                CaughtError::PostgresError(report) => Err(Error::Malformed(report.message().to_owned())),
                _ => cause.rethrow(),
            },
        )
        .execute()
}

/// Which functions of macros call which: pairs of names.
pub fn dependencies() -> Result<Vec<(String, String)>, Error> {
    spi::select_latest(
        r"select distinct user_.proname::text, used.proname::text
            from pg_catalog.pg_depend d
            join pg_catalog.pg_proc user_ on user_.oid = d.objid
            join pg_catalog.pg_proc used on used.oid = d.refobjid
           where d.classid = 'pg_catalog.pg_proc'::regclass and d.refclassid = 'pg_catalog.pg_proc'::regclass
             and user_.pronamespace = 'snackbase'::regnamespace and used.pronamespace = 'snackbase'::regnamespace
             and user_.proname like 'macro\_%' and used.proname like 'macro\_%'",
        &[],
        |rows| {
            rows.into_iter()
                .map(|row| {
                    Ok((
                        row.get::<String>(1)?.unwrap_or_default(),
                        row.get::<String>(2)?.unwrap_or_default(),
                    ))
                })
                .collect()
        },
    )
}

/// The functions of macros that call this one.
pub fn callers_of(name: &str, arity: usize) -> Result<Vec<String>, Error> {
    spi::select_latest(
        "select distinct p.proname::text
           from pg_catalog.pg_depend d
           join pg_catalog.pg_proc p on p.oid = d.objid
          where d.classid = 'pg_catalog.pg_proc'::regclass and d.refclassid = 'pg_catalog.pg_proc'::regclass
            and d.refobjid = pg_catalog.to_regprocedure($1) and d.objid <> d.refobjid
          order by 1",
        &[signature(name, arity).into()],
        |rows| {
            rows.into_iter()
                .map(|row| Ok(row.get::<String>(1)?.unwrap_or_default()))
                .collect()
        },
    )
}

/// The macros (functions) that read this table.
pub fn readers_of(table: &str) -> Result<Vec<String>, Error> {
    spi::select_latest(
        r"select distinct p.proname::text
            from pg_catalog.pg_depend d
            join pg_catalog.pg_proc p on p.oid = d.objid
           where d.classid = 'pg_catalog.pg_proc'::regclass and d.refclassid = 'pg_catalog.pg_class'::regclass
             and d.refobjid = pg_catalog.to_regclass('snackbase.' || pg_catalog.quote_ident($1))
             and p.pronamespace = 'snackbase'::regnamespace and p.proname like 'macro\_%'
           order by 1",
        &[table.into()],
        |rows| {
            rows.into_iter()
                .map(|row| Ok(row.get::<String>(1)?.unwrap_or_default()))
                .collect()
        },
    )
}
