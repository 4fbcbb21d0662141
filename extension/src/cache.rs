//! What was read from the catalogs about a relation, kept by the backend until the relation changes.

use std::any::{Any, TypeId};
use std::cell::{Cell, RefCell};
use std::rc::Rc;

use pgrx::pg_sys;
use pgrx::prelude::*;
use rustc_hash::FxHashMap;

use crate::error::Error;

/// Beyond so many changed relations everything is forgotten.
const MANY: usize = 100;

struct Kept {
    relation: pg_sys::Oid,
    value: Rc<dyn Any>,
}

thread_local! {
    static KEPT: RefCell<FxHashMap<(TypeId, pg_sys::Oid), Kept>> = RefCell::new(FxHashMap::default());
    /// Relations that changed since somebody looked. The callback may come at any time, also while `KEPT` is borrowed.
    static CHANGED: Cell<Vec<pg_sys::Oid>> = const { Cell::new(Vec::new()) };
    static LISTENS: Cell<bool> = const { Cell::new(false) };
}

/// The value of type `T` under `key` (a trigger, a relation, …), made when there is none; `make` says which relation it is about.
///
/// # Errors
/// Those of `make`.
pub fn get<T: 'static>(
    key: pg_sys::Oid,
    make: impl FnOnce() -> Result<(pg_sys::Oid, T), Error>,
) -> Result<Rc<T>, Error> {
    forget_changed();
    let key = (TypeId::of::<T>(), key);
    let found = KEPT.with_borrow(|kept| kept.get(&key).map(|kept| kept.value.clone()));
    if let Some(Ok(value)) = found.map(Rc::downcast::<T>) {
        return Ok(value);
    }
    let (relation, value) = make()?;
    let value = Rc::new(value);
    KEPT.with_borrow_mut(|kept| {
        kept.insert(
            key,
            Kept {
                relation,
                value: value.clone(),
            },
        );
    });
    Ok(value)
}

/// Whether what [`get`] gave last is still so: no relation changed since.
pub fn is_current() -> bool {
    let changed = CHANGED.take();
    let none = changed.is_empty();
    CHANGED.set(changed);
    none
}

fn forget_changed() {
    if !LISTENS.replace(true) {
        // SAFETY: registered once per backend; the callback only touches a thread-local.
        unsafe { pg_sys::CacheRegisterRelcacheCallback(Some(changed), pg_sys::Datum::from(0usize)) };
    }
    let changed = CHANGED.take();
    if changed.is_empty() {
        return;
    }
    let all = changed.contains(&pg_sys::InvalidOid);
    // Dropped when the map is no longer borrowed: a value may do something when it goes.
    let gone: Vec<Kept> = KEPT.with_borrow_mut(|kept| {
        kept.extract_if(|_, kept| all || changed.contains(&kept.relation))
            .map(|(_, kept)| kept)
            .collect()
    });
    drop(gone);
}

/// Postgres says that a relation is not what it was; 0 stands for all.
#[pg_guard]
unsafe extern "C-unwind" fn changed(_argument: pg_sys::Datum, relation: pg_sys::Oid) {
    let mut changed = CHANGED.take();
    if changed.len() >= MANY {
        changed = vec![pg_sys::InvalidOid];
    } else {
        changed.push(relation);
    }
    CHANGED.set(changed);
}
