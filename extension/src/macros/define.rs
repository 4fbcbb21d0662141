//! Creating, changing and removing macros, and compiling again what uses them: in one transaction, or not at all.
//!
//! Everything here runs as `snackbase_owner`, who stores the definition, and asks `snackbase_hook` to make the function.

use std::collections::BTreeSet;

use pgrx::pg_sys::panic::ErrorReport;
use pgrx::prelude::*;
use serde_json::{Map, Value as Json};
use snackbase_core::rules::{self, Code};
use snackbase_core::schema::Problem;

use super::{Macro, Registry, collections_using, function, hold_alone, permissions_using};
use crate::collections::load;
use crate::context::{Context, current_actor};
use crate::error::Error;
use crate::json::JsonText;
use crate::{guc, policies, spi};

/// Creates a macro; `docs/sql-api.md` §6.
#[pg_extern(volatile, parallel_unsafe, security_definer)]
#[search_path(pg_catalog, pg_temp)]
fn macro_create(definition: JsonText) -> Result<JsonText, ErrorReport> {
    Ok(create(&definition.0)?)
}

/// Changes a macro and compiles every rule that uses it again; `docs/sql-api.md` §6.
#[pg_extern(volatile, parallel_unsafe, security_definer)]
#[search_path(pg_catalog, pg_temp)]
fn macro_change(id: i64, changes: JsonText) -> Result<JsonText, ErrorReport> {
    Ok(change(id, &changes.0)?)
}

/// Removes a macro that nothing uses; `docs/sql-api.md` §6.
#[pg_extern(volatile, parallel_unsafe, security_definer)]
#[search_path(pg_catalog, pg_temp)]
fn macro_drop(id: i64) -> Result<bool, ErrorReport> {
    remove(id)?;
    Ok(true)
}

pub(super) fn require_superadmin() -> Result<(), Error> {
    if Context::current().is_superadmin() || guc::is_session_superuser() {
        Ok(())
    } else {
        Err(Error::SuperadminRequired)
    }
}

/// Reads the keys of a body; every mistake is reported.
struct Body {
    object: Map<String, Json>,
    problems: Vec<Problem>,
}

impl Body {
    fn parse(text: &str) -> Result<Body, Error> {
        match serde_json::from_str(text) {
            Ok(Json::Object(object)) => Ok(Body {
                object,
                problems: Vec::new(),
            }),
            Ok(_) | Err(_) => Err(Error::Shape(vec![Problem::new(
                "body",
                "dict_type",
                "The body must be a JSON object",
            )])),
        }
    }

    fn text(&mut self, key: &str, required: bool) -> Option<String> {
        match self.object.get(key) {
            None | Some(Json::Null) => {
                if required {
                    self.problems.push(Problem::new(key, "missing", "Field required"));
                }
                None
            }
            Some(Json::String(text)) if text.contains('\0') => {
                let message = "Must not contain the character U+0000";
                self.problems.push(Problem::new(key, "string_type", message));
                None
            }
            Some(Json::String(text)) => Some(text.clone()),
            Some(_) => {
                self.problems
                    .push(Problem::new(key, "string_type", "Input should be a text"));
                None
            }
        }
    }

    fn name(&mut self, required: bool) -> Option<String> {
        let name = self.text("name", required)?;
        if let Some(message) = rules::name_problem(&name) {
            self.problems.push(Problem::new("name", "value_error", message));
        }
        Some(name)
    }

    fn source(&mut self, required: bool) -> Option<String> {
        let source = self.text("sql_query", required)?;
        if source.trim().is_empty() || source.chars().count() > rules::limits::CHARACTERS {
            let message = format!("Text of 1 to {} characters", rules::limits::CHARACTERS);
            self.problems
                .push(Problem::new("sql_query", "value_error", message));
        }
        Some(source)
    }

    fn parameters(&mut self) -> Option<Vec<String>> {
        let list = match self.object.get("parameters") {
            None | Some(Json::Null) => return None,
            Some(Json::Array(list)) => list,
            Some(_) => {
                self.problems.push(Problem::new(
                    "parameters",
                    "list_type",
                    "Input should be a list of texts",
                ));
                return None;
            }
        };
        let names: Vec<String> = list.iter().filter_map(Json::as_str).map(str::to_owned).collect();
        let distinct: BTreeSet<&String> = names.iter().collect();
        let plain = |name: &String| {
            let mut bytes = name.bytes();
            bytes.next().is_some_and(|b| b.is_ascii_alphabetic() || b == b'_')
                && bytes.all(|b| b.is_ascii_alphanumeric() || b == b'_')
                && name.len() <= 63
        };
        if names.len() != list.len()
            || distinct.len() != names.len()
            || !names.iter().all(plain)
            || names.len() > rules::limits::SELECT_ARGUMENTS
        {
            let message = "Names of arguments are distinct: a letter or underscore, then letters, digits and underscores; at most 100";
            self.problems
                .push(Problem::new("parameters", "value_error", message));
        }
        Some(names)
    }

    fn finish(self) -> Result<(), Error> {
        if self.problems.is_empty() {
            Ok(())
        } else {
            Err(Error::Shape(self.problems))
        }
    }
}

fn create(body: &str) -> Result<JsonText, Error> {
    require_superadmin()?;
    let mut body = Body::parse(body)?;
    let (name, source) = (body.name(true), body.source(true));
    let (description, parameters) = (body.text("description", false), body.parameters());
    body.finish()?;
    let wanted = Macro {
        id: 0,
        name: name.unwrap_or_default(),
        description,
        source: source.unwrap_or_default(),
        parameters: parameters.unwrap_or_default(),
    };
    hold_alone();
    refuse_taken_name(&Registry::load()?, &wanted)?;
    let id = spi::update(
        "insert into snackbase.macros (name, description, sql_query, parameters, created_by)
              values ($1, $2, $3, $4, $5) returning id",
        &[
            wanted.name.as_str().into(),
            wanted.description.clone().into(),
            wanted.source.as_str().into(),
            wanted.parameters.clone().into(),
            current_actor().into(),
        ],
        |rows| Ok(rows.first().get_one::<i32>()?.unwrap_or_default()),
    )?;
    let registry = Registry::load()?;
    establish(&registry, &Macro { id, ..wanted })?;
    show(id)
}

fn change(id: i64, body: &str) -> Result<JsonText, Error> {
    require_superadmin()?;
    let mut body = Body::parse(body)?;
    let (name, source) = (body.name(false), body.source(false));
    let (description, parameters) = (body.text("description", false), body.parameters());
    body.finish()?;
    hold_alone();
    let before = Registry::load()?;
    let old = before.by_id(id)?.clone();
    let new = Macro {
        id: old.id,
        name: name.unwrap_or_else(|| old.name.clone()),
        description: description.or_else(|| old.description.clone()),
        source: source.unwrap_or_else(|| old.source.clone()),
        parameters: parameters.unwrap_or_else(|| old.parameters.clone()),
    };
    if new.name != old.name {
        refuse_taken_name(&before, &new)?;
    }
    let mut users = before.uses()?.users_of(&old.name);
    spi::update(
        "update snackbase.macros set name = $2, description = $3, sql_query = $4, parameters = $5 where id = $1",
        &[
            new.id.into(),
            new.name.as_str().into(),
            new.description.clone().into(),
            new.source.as_str().into(),
            new.parameters.clone().into(),
        ],
        |_| Ok(()),
    )?;
    if (&new.name, &new.source, &new.parameters) != (&old.name, &old.source, &old.parameters) {
        let after = Registry::load()?;
        establish(&after, &new)?;
        // A function that takes the same arguments under the same name is called as before.
        if new.function().is_none() || new.function() != old.function() {
            users.remove(&old.name);
            re_establish(&after, &users)?;
            refuse_left_behind(&old, &new)?;
            users.insert(old.name.clone());
            recompile(&users)?;
            if let Some((function, arity)) = old.function()
                && new.function() != old.function()
            {
                drop_function(&function, arity)?;
            }
        }
    }
    show(old.id)
}

fn remove(id: i64) -> Result<(), Error> {
    require_superadmin()?;
    hold_alone();
    let registry = Registry::load()?;
    let found = registry.by_id(id)?;
    let mut users = registry.uses()?.users_of(&found.name);
    let rules: usize = collections_using(&users)?
        .iter()
        .chain(&permissions_using(&users)?)
        .map(|(_, count)| count)
        .sum();
    users.remove(&found.name);
    if rules > 0 || !users.is_empty() {
        return Err(Error::MacroInUse {
            name: found.name.clone(),
            rules,
            macros: users.into_iter().collect(),
        });
    }
    spi::update(
        "delete from snackbase.macros where id = $1",
        &[found.id.into()],
        |_| Ok(()),
    )?;
    match found.function() {
        Some((function, arity)) => drop_function(&function, arity),
        None => Ok(()),
    }
}

fn refuse_taken_name(registry: &Registry, wanted: &Macro) -> Result<(), Error> {
    if registry.0.contains_key(&wanted.name) {
        return Err(Error::Conflict {
            message: format!("A macro named '{}' exists already", wanted.name),
            field: "name",
        });
    }
    Ok(())
}

/// Checks a stored macro; makes its function.
fn establish(registry: &Registry, wanted: &Macro) -> Result<(), Error> {
    let invalid = |code, message: &str| {
        Error::Macro(vec![rules::Error {
            code,
            message: message.to_owned(),
            position: 0,
            length: 0,
        }])
    };
    let check_uses = || match registry.uses()?.problem(&wanted.name) {
        None => Ok(()),
        Some(Code::MacroCycle) => Err(invalid(
            Code::MacroCycle,
            &format!("The macro '@{}' uses itself", wanted.name),
        )),
        Some(code) => Err(invalid(
            code,
            &format!("Macros are nested more than {} deep", rules::limits::MACRO_DEPTH),
        )),
    };
    if wanted.is_select() {
        make_function(registry, wanted)?;
    } else {
        let errors = rules::check_fragment(&wanted.name, &wanted.source, registry);
        if !errors.is_empty() {
            return Err(Error::Macro(errors));
        }
    }
    check_uses()
}

/// Macros that use a changed one: fragments are checked, functions made again, because the one they called may be gone.
fn re_establish(registry: &Registry, users: &BTreeSet<String>) -> Result<(), Error> {
    for user in users.iter().filter_map(|name| registry.0.get(name)) {
        let outcome = if user.is_select() {
            function::reported(|| make_function(registry, user))
        } else {
            match rules::check_fragment(&user.name, &user.source, registry) {
                errors if errors.is_empty() => Ok(()),
                errors => Err(Error::Macro(errors)),
            }
        };
        outcome.map_err(|error| Error::Breaks {
            what: format!("macro '@{}'", user.name),
            reason: error.to_string(),
            errors: match error {
                Error::Macro(errors) => errors,
                _ => Vec::new(),
            },
            place: Vec::new(),
        })?;
    }
    Ok(())
}

/// Refuses when a function still calls the one that `old` had and `new` has no more: with other arguments, or by its name.
fn refuse_left_behind(old: &Macro, new: &Macro) -> Result<(), Error> {
    let Some((function, arity)) = old.function().filter(|_| new.function() != old.function()) else {
        return Ok(());
    };
    match function::callers_of(&function, arity)?.first() {
        None => Ok(()),
        Some(user) => Err(Error::Breaks {
            what: format!("macro '@{}'", user.strip_prefix("macro_").unwrap_or(user)),
            reason: format!("it calls '@{}' as it was before", old.name),
            errors: Vec::new(),
            place: Vec::new(),
        }),
    }
}

fn make_function(registry: &Registry, wanted: &Macro) -> Result<(), Error> {
    let body = rules::select_body(&wanted.source, &wanted.parameters, registry).map_err(Error::Macro)?;
    if body.macros.contains(&wanted.name) {
        return Err(Error::Macro(vec![rules::Error {
            code: Code::MacroCycle,
            message: format!("The macro '@{}' uses itself", wanted.name),
            position: 0,
            length: 0,
        }]));
    }
    let function = rules::function_name(wanted.id.into(), &wanted.name);
    let _ddl = guc::OwnDdl::begin();
    // Lent, and taken back before anybody can see it: otherwise whatever runs as snackbase_hook could create functions here.
    spi::execute("grant create on schema snackbase to snackbase_hook")?;
    spi::update(
        "select snackbase._macro_function_make($1, $2, $3)",
        &[
            function.into(),
            i32::try_from(body.arity).unwrap_or_default().into(),
            body.sql.into(),
        ],
        |_| Ok(()),
    )?;
    spi::execute("revoke create on schema snackbase from snackbase_hook")
}

fn drop_function(name: &str, arity: usize) -> Result<(), Error> {
    spi::update(
        "select snackbase._macro_function_drop($1, $2)",
        &[name.into(), i32::try_from(arity).unwrap_or_default().into()],
        |_| Ok(()),
    )
}

/// Compiles the rules that name one of these macros again.
fn recompile(macros: &BTreeSet<String>) -> Result<(), Error> {
    let _ddl = guc::OwnDdl::begin();
    let mut ids: BTreeSet<String> = collections_using(macros)?.into_iter().map(|(id, _)| id).collect();
    for (name, _) in permissions_using(macros)? {
        ids.extend(crate::permissions::collections_of(&name)?);
    }
    for id in ids {
        let (_, collection) = load(&id)?;
        let predicates = policies::compile(&collection).map_err(|error| {
            let reason = error.to_string();
            match error {
                Error::Rule { key, errors } => Error::Breaks {
                    what: format!("{key} of collection '{}'", collection.definition.name),
                    reason: rules::summary(&errors),
                    errors,
                    place: vec![
                        ("collection", collection.definition.name.clone()),
                        ("rule_key", key.to_owned()),
                    ],
                },
                broken @ Error::Breaks { .. } => broken,
                _ => Error::Internal(reason),
            }
        })?;
        policies::refresh(&collection, &predicates)?;
    }
    Ok(())
}

fn show(id: i32) -> Result<JsonText, Error> {
    spi::select(
        "select snackbase.macro_view($1)::text",
        &[i64::from(id).into()],
        |rows| Ok(JsonText(rows.first().get_one::<String>()?.unwrap_or_default())),
    )
}
