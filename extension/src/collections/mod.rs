//! Collections: the definition a request works with, and (in [`define`]) its creation, change and removal.
//!
//! A definition is read once per backend and kept until Postgres says that some table changed. It cannot be stale:
//! [`open`] first locks the collection's table, which makes this backend process every invalidation of finished DDL,
//! and every change of a definition, a rule or a field list is DDL on that table.

mod adopt;
mod catalog;
mod columns;
mod convert;
mod define;
mod facts;
mod import;
mod locks;
mod plan;
mod table;
mod uses;

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, HashMap};
use std::rc::Rc;

use pgrx::pg_sys;
use snackbase_core::names;
use snackbase_core::schema::{Definition, FieldList, Options, Rules, parse_fields};

pub use columns::{
    Access, Readable, kind, mask_of, readable_columns, rule_schema, sees_masks, value_expression,
};
pub use table::recorder_arguments;

use crate::context::Operation;
use crate::error::Error;
use crate::query::Projection;
use crate::{caller, permissions, spi};

/// A collection as requests see it.
#[derive(Debug)]
pub struct Collection {
    /// Id of the definition.
    pub id: String,
    /// Name, fields and rules.
    pub definition: Definition,
    /// The physical table without schema, unquoted: `col_posts`.
    pub table: String,
    /// The physical table, qualified and quoted.
    pub relation: String,
    /// One more with every change of the definition.
    pub revision: i64,
    /// Field lists of roles that have less than the collection's own, from permissions; a collection about to be stored has
    /// none yet.
    narrowed: HashMap<Operation, BTreeMap<i32, FieldList>>,
    projections: RefCell<HashMap<(Operation, bool), Rc<Projection>>>,
}

impl Collection {
    /// A definition with the names that follow from it.
    pub fn new(id: String, definition: Definition, revision: i64) -> Collection {
        let table = names::table(&definition.name);
        let relation = format!("snackbase.{}", names::quote(&table));
        Collection {
            id,
            definition,
            table,
            relation,
            revision,
            narrowed: HashMap::new(),
            projections: RefCell::default(),
        }
    }

    /// The projection kept under `key`, made by `build` the first time.
    ///
    /// # Errors
    /// Those of `build`.
    pub fn projection(
        &self,
        key: (Operation, bool),
        build: impl FnOnce() -> Result<Projection, Error>,
    ) -> Result<Rc<Projection>, Error> {
        if let Some(kept) = self.projections.borrow().get(&key) {
            return Ok(kept.clone());
        }
        let made = Rc::new(build()?);
        self.projections.borrow_mut().insert(key, made.clone());
        Ok(made)
    }

    /// The source of the operation's rule: `None` is locked, empty is public.
    pub fn rule(&self, operation: Operation) -> Option<&str> {
        let rules = &self.definition.rules;
        match operation {
            Operation::List => rules.list_rule.as_deref(),
            Operation::View => rules.view_rule.as_deref(),
            Operation::Create => rules.create_rule.as_deref(),
            Operation::Update => rules.update_rule.as_deref(),
            Operation::Delete => rules.delete_rule.as_deref(),
        }
    }

    /// The fields that the operation may show or take when the caller asks: the operation's own list, less what
    /// permissions of the caller's role leave out.
    ///
    /// # Errors
    /// [`Error::Spi`].
    pub fn allowed(&self, operation: Operation) -> Result<&FieldList, Error> {
        let own = self.field_list(operation);
        let Some(by_role) = self.narrowed.get(&operation) else {
            return Ok(own);
        };
        let narrowed = caller::role_id()?.and_then(|role| by_role.get(&role));
        Ok(narrowed.unwrap_or(own))
    }

    /// The fields that the operation may show or take. Deleting shows nothing.
    pub fn field_list(&self, operation: Operation) -> &FieldList {
        static ALL: FieldList = FieldList::All;
        let rules = &self.definition.rules;
        match operation {
            Operation::List => &rules.list_fields,
            Operation::View => &rules.view_fields,
            Operation::Create => &rules.create_fields,
            Operation::Update => &rules.update_fields,
            Operation::Delete => &ALL,
        }
    }
}

struct Cached {
    relation: pg_sys::Oid,
    collection: Rc<Collection>,
}

thread_local! {
    static CACHE: RefCell<HashMap<String, Cached>> = RefCell::new(HashMap::new());
    /// Set by the invalidation callback, which may run at any moment and must not touch the cache itself.
    static STALE: Cell<bool> = const { Cell::new(false) };
}

/// Asks Postgres to be told when a table changes. Called once, from `_PG_init`.
pub fn register_invalidation() {
    // SAFETY: the callback has the required signature, allocates nothing and cannot raise.
    unsafe { pg_sys::CacheRegisterRelcacheCallback(Some(on_relation_change), pg_sys::Datum::from(0usize)) };
}

extern "C-unwind" fn on_relation_change(_argument: pg_sys::Datum, _relation: pg_sys::Oid) {
    STALE.set(true);
}

fn drop_stale() {
    if STALE.replace(false) {
        CACHE.with_borrow_mut(HashMap::clear);
    }
}

/// The collection of this name (exact case), its table locked for reading until the transaction ends.
///
/// # Errors
/// [`Error::CollectionNotFound`].
pub fn open(name: &str) -> Result<Rc<Collection>, Error> {
    open_locked(name, pg_sys::AccessShareLock)
}

/// As [`open`], locked for writing at once: a request that had it for reading and asked for more later could hold up a
/// change that holds it up.
///
/// # Errors
/// As [`open`].
pub fn open_for_writing(name: &str) -> Result<Rc<Collection>, Error> {
    open_locked(name, pg_sys::RowExclusiveLock)
}

fn open_locked(name: &str, mode: u32) -> Result<Rc<Collection>, Error> {
    drop_stale();
    let cached = CACHE.with_borrow(|cache| cache.get(name).map(|c| (c.relation, c.collection.clone())));
    if let Some((relation, collection)) = cached {
        lock(relation, mode);
        drop_stale();
        if CACHE.with_borrow(|cache| cache.contains_key(name)) {
            return Ok(collection);
        }
    }
    loop {
        let (relation, collection) = load(name)?;
        lock(relation, mode);
        // Locking may have brought news of a change that this load did not see yet.
        if STALE.get() {
            drop_stale();
            continue;
        }
        let collection = Rc::new(collection);
        CACHE.with_borrow_mut(|cache| {
            cache.insert(
                name.to_owned(),
                Cached {
                    relation,
                    collection: collection.clone(),
                },
            )
        });
        return Ok(collection);
    }
}

fn lock(relation: pg_sys::Oid, mode: u32) {
    // SAFETY: locking an oid is safe even when the relation was dropped meanwhile; the lock is released at the end of
    // the transaction.
    unsafe { pg_sys::LockRelationOid(relation, mode as pg_sys::LOCKMODE) };
}

/// Reads a definition by name or id, without the cache.
///
/// # Errors
/// [`Error::CollectionNotFound`]; [`Error::Internal`] when the stored definition cannot be read.
pub fn load(wanted: &str) -> Result<(pg_sys::Oid, Collection), Error> {
    let found = spi::select_latest(
        "select id::text, name, schema::text, rules::text, revision, relation, options::text from snackbase._collection_load($1)",
        &[wanted.into()],
        |rows| {
            rows.into_iter()
                .next()
                .map(|row| {
                    Ok((
                        row.get::<String>(1)?,
                        row.get::<String>(2)?,
                        row.get::<String>(3)?,
                        row.get::<String>(4)?,
                        row.get::<i64>(5)?,
                        row.get::<pg_sys::Oid>(6)?,
                        row.get::<String>(7)?,
                    ))
                })
                .transpose()
        },
    )?;
    let Some((
        Some(id),
        Some(name),
        Some(schema),
        Some(rules),
        Some(revision),
        Some(relation),
        Some(options),
    )) = found
    else {
        return Err(Error::CollectionNotFound(wanted.to_owned()));
    };
    let damaged = |what: &str| Error::Internal(format!("the stored {what} of a collection cannot be read"));
    let schema = serde_json::from_str(&schema).map_err(|_| damaged("schema"))?;
    let fields = parse_fields(&schema).map_err(|_| damaged("schema"))?;
    let rules: serde_json::Value = serde_json::from_str(&rules).map_err(|_| damaged("rules"))?;
    let rules = stored_rules(&rules).ok_or_else(|| damaged("rules"))?;
    let options = serde_json::from_str(&options)
        .ok()
        .and_then(|options| Options::from_json(&options))
        .ok_or_else(|| damaged("options"))?;
    let definition = Definition {
        name,
        fields,
        rules,
        options,
    };
    let mut collection = Collection::new(id, definition, revision);
    let permissions = permissions::of(&collection.definition.name)?;
    for operation in Operation::ALL {
        let lists = permissions::narrowed_lists(&permissions, operation, collection.field_list(operation));
        if !lists.is_empty() {
            collection.narrowed.insert(operation, lists);
        }
    }
    Ok((relation, collection))
}

/// A row of `collection_rules` as the rules it stands for.
fn stored_rules(row: &serde_json::Value) -> Option<Rules> {
    let rule = |key: &str| row.get(key).and_then(|value| value.as_str()).map(str::to_owned);
    let list = |key: &str| FieldList::from_text(row.get(key)?.as_str()?);
    Some(Rules {
        list_rule: rule("list_rule"),
        view_rule: rule("view_rule"),
        create_rule: rule("create_rule"),
        update_rule: rule("update_rule"),
        delete_rule: rule("delete_rule"),
        list_fields: list("list_fields")?,
        view_fields: list("view_fields")?,
        create_fields: list("create_fields")?,
        update_fields: list("update_fields")?,
    })
}
