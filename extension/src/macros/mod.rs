//! Custom macros: the table behind `@name` in rules, and the locks that keep rules and macros in step.
//!
//! A macro that is a SELECT is also a SQL function, which belongs to `snackbase_hook` ([`function`]); a rule that uses it
//! calls that function. Every other macro is text of a rule and disappears when the rule is compiled, so a change compiles
//! the rules that use it again ([`define`]).

mod call;
mod define;
mod function;

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::CStr;

use pgrx::pg_sys;
use snackbase_core::rules::{self, MacroBody, Uses};
use snackbase_core::schema::RULE_KEYS;

use crate::error::Error;
use crate::spi;

/// A row of `snackbase.macros`.
#[derive(Debug, Clone, PartialEq)]
pub struct Macro {
    id: i32,
    name: String,
    description: Option<String>,
    source: String,
    parameters: Vec<String>,
}

impl Macro {
    fn is_select(&self) -> bool {
        rules::is_select(&self.source)
    }

    /// Name and number of arguments of the function; none for a fragment.
    fn function(&self) -> Option<(String, usize)> {
        self.is_select().then(|| {
            let arity = rules::select_arity(&self.source, &self.parameters);
            (rules::function_name(self.id.into(), &self.name), arity)
        })
    }
}

/// Every custom macro, by name.
#[derive(Debug, Default)]
pub struct Registry(BTreeMap<String, Macro>);

impl rules::Macros for Registry {
    fn lookup(&self, name: &str) -> Option<MacroBody> {
        let found = self.0.get(name)?;
        Some(match found.function() {
            Some((function, arity)) => MacroBody::Select { function, arity },
            None => MacroBody::Fragment(found.source.clone()),
        })
    }
}

impl Registry {
    /// The macros as they are committed now, and as this transaction has left them.
    ///
    /// # Errors
    /// [`Error::Spi`].
    pub fn load() -> Result<Registry, Error> {
        // Whoever compiles may know them; snackbase_hook has no right on the table, nor needs one.
        let _owner = spi::Acting::begin(c"snackbase_owner");
        spi::select_latest(
            "select id, name, description, sql_query, parameters from snackbase.macros",
            &[],
            |rows| {
                rows.into_iter()
                    .map(|row| {
                        let name = row.get::<String>(2)?.unwrap_or_default();
                        let found = Macro {
                            id: row.get::<i32>(1)?.unwrap_or_default(),
                            name: name.clone(),
                            description: row.get::<String>(3)?,
                            source: row.get::<String>(4)?.unwrap_or_default(),
                            parameters: row.get::<Vec<String>>(5)?.unwrap_or_default(),
                        };
                        Ok((name, found))
                    })
                    .collect::<Result<_, Error>>()
                    .map(Registry)
            },
        )
    }

    /// The macros, if any of these rules may name one: most collections do without.
    ///
    /// # Errors
    /// [`Error::Spi`].
    pub fn load_for<'a>(sources: impl IntoIterator<Item = &'a str>) -> Result<Registry, Error> {
        if sources.into_iter().any(|source| source.contains('@')) {
            Registry::load()
        } else {
            Ok(Registry::default())
        }
    }

    fn by_id(&self, id: i64) -> Result<&Macro, Error> {
        self.0
            .values()
            .find(|found| i64::from(found.id) == id)
            .ok_or(Error::MacroNotFound(id))
    }

    /// Which macros each macro uses: as its text says, and, for functions, as Postgres has noted: SQL may call the function
    /// of a macro by its own name.
    fn uses(&self) -> Result<Uses, Error> {
        let mut uses = Uses::default();
        for found in self.0.values() {
            let used = if found.is_select() {
                rules::select_body(&found.source, &found.parameters, self)
                    .map(|body| body.macros)
                    .unwrap_or_default()
            } else {
                fragment_macros(&found.source)
            };
            used.iter().for_each(|used| uses.add(&found.name, used));
        }
        let name_of = |function: &str| {
            self.0
                .values()
                .find(|found| found.function().is_some_and(|(name, _)| name == function))
                .map(|found| found.name.clone())
        };
        for (user, used) in function::dependencies()? {
            if let (Some(user), Some(used)) = (name_of(&user), name_of(&used)) {
                uses.add(&user, &used);
            }
        }
        Ok(uses)
    }
}

fn fragment_macros(source: &str) -> Vec<String> {
    match rules::parse_fragment(source) {
        Ok(expr) => expr.macro_names().into_iter().map(str::to_owned).collect(),
        Err(_) => Vec::new(),
    }
}

/// Whether a rule names one of these macros.
fn mentions(rule: &str, macros: &BTreeSet<String>) -> bool {
    rule.contains('@')
        && rules::parse(rule).is_ok_and(|expr| expr.macro_names().iter().any(|name| macros.contains(*name)))
}

/// The collections whose rules name one of these macros: id, and how many of the rules do.
fn collections_using(macros: &BTreeSet<String>) -> Result<Vec<(String, usize)>, Error> {
    let list = RULE_KEYS.map(|key| format!("r.{key}")).join(", ");
    spi::select_latest(
        &format!("select collection_id::text, {list} from snackbase.collection_rules r order by 1"),
        &[],
        |rows| {
            let mut found = Vec::new();
            for row in rows {
                let mut count = 0;
                for ordinal in 2..2 + RULE_KEYS.len() {
                    if let Some(rule) = row.get::<String>(ordinal)? {
                        count += usize::from(mentions(&rule, macros));
                    }
                }
                if count > 0 {
                    found.push((row.get::<String>(1)?.unwrap_or_default(), count));
                }
            }
            Ok(found)
        },
    )
}

/// Refuses when a macro reads this table (unqualified), which is to be dropped.
///
/// # Errors
/// [`Error::CollectionInMacros`].
pub fn refuse_readers(table: &str) -> Result<(), Error> {
    let readers = function::readers_of(table)?;
    if readers.is_empty() {
        return Ok(());
    }
    let registry = Registry::load()?;
    let names: Vec<String> = registry
        .0
        .values()
        .filter(|found| found.function().is_some_and(|(name, _)| readers.contains(&name)))
        .map(|found| format!("@{}", found.name))
        .collect();
    Err(Error::CollectionInMacros(names.join(", ")))
}

/// The permissions whose rules name one of these macros: the collection (or `*`), and how many of its rules do.
fn permissions_using(macros: &BTreeSet<String>) -> Result<Vec<(String, usize)>, Error> {
    spi::select_latest(
        "select p.collection, a.value ->> 'rule'
           from snackbase.permissions p cross join lateral jsonb_each(p.rules) a where jsonb_typeof(a.value) = 'object'",
        &[],
        |rows| {
            let mut found: BTreeMap<String, usize> = BTreeMap::new();
            for row in rows {
                let rule = row.get::<String>(2)?.unwrap_or_default();
                if mentions(&rule, macros) {
                    *found.entry(row.get::<String>(1)?.unwrap_or_default()).or_default() += 1;
                }
            }
            Ok(found.into_iter().collect())
        },
    )
}

/// Keeps macros and permissions as they are until the transaction ends, for whoever compiles a rule and stores the result.
/// Taken before any lock on a collection; many may hold it at once. Whoever changes a macro or a permission waits for all of
/// them, and they for it.
pub fn hold() {
    lock(c"macros", pg_sys::ShareLock);
    lock(c"permissions", pg_sys::ShareLock);
}

/// Taken by whoever changes a macro: see [`hold`].
fn hold_alone() {
    lock(c"macros", pg_sys::ExclusiveLock);
    lock(c"permissions", pg_sys::ShareLock);
}

/// Taken by whoever changes a permission: see [`hold`].
pub fn hold_permissions_alone() {
    lock(c"macros", pg_sys::ShareLock);
    lock(c"permissions", pg_sys::ExclusiveLock);
}

fn lock(table: &CStr, mode: u32) {
    // SAFETY: both names are NUL-terminated and exist as long as the extension does; the lock is released at the end of the
    // transaction. Locking needs no right on the table, which LOCK TABLE would.
    unsafe {
        let schema = pg_sys::get_namespace_oid(c"snackbase".as_ptr(), false);
        let table = pg_sys::get_relname_relid(table.as_ptr(), schema);
        pg_sys::LockRelationOid(table, mode as pg_sys::LOCKMODE);
    }
}
