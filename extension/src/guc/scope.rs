//! What is different as long as a value lives.

use std::ffi::CStr;

use pgrx::pg_sys;

use super::{AUTH_METHOD, USER_EMAIL, USER_ID};

/// While it lives, the actor of what is written is the system.
pub struct SystemActor(i32);

impl SystemActor {
    /// Sets it, as a function's SET clause does.
    pub fn begin() -> SystemActor {
        // SAFETY: inside a transaction; the level is ended below, or by the abort after a Postgres error.
        let level = unsafe { pg_sys::NewGUCNestLevel() };
        for (setting, value) in [
            (&AUTH_METHOD, c"system"),
            (&USER_ID, c"system"),
            (&USER_EMAIL, c"system@snackbase.internal"),
        ] {
            // SAFETY: NUL-terminated literals, which the call copies; it is we who set it, whoever is asking.
            unsafe {
                pg_sys::set_config_option(
                    setting.name.as_ptr(),
                    value.as_ptr(),
                    pg_sys::GucContext::PGC_SUSET,
                    pg_sys::GucSource::PGC_S_SESSION,
                    pg_sys::GucAction::GUC_ACTION_SAVE,
                    true,
                    0,
                    false,
                );
            }
        }
        SystemActor(level)
    }
}

impl Drop for SystemActor {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            // SAFETY: ends the level that `begin` started; nothing else has started one that is still open.
            unsafe { pg_sys::AtEOXact_GUC(true, self.0) };
        }
    }
}

/// While it lives, `search_path` is that of our `SECURITY DEFINER` functions.
pub struct FixedSearchPath(i32);

impl FixedSearchPath {
    /// Sets it, as a function's SET clause does.
    pub fn begin() -> FixedSearchPath {
        // SAFETY: inside a transaction; the level is ended below, or by the abort after a Postgres error.
        let level = unsafe { pg_sys::NewGUCNestLevel() };
        save_and_set(c"search_path", c"pg_catalog, pg_temp");
        FixedSearchPath(level)
    }
}

impl Drop for FixedSearchPath {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            // SAFETY: ends the level that `begin` started; nothing else has started one that is still open.
            unsafe { pg_sys::AtEOXact_GUC(true, self.0) };
        }
    }
}

unsafe extern "C" {
    // `utils/bytea.h`; not in pgrx's bindings. An enum of C.
    static bytea_output: std::ffi::c_int;
}

/// `BYTEA_OUTPUT_HEX` of `enum ByteaOutputType`.
const BYTEA_OUTPUT_HEX: std::ffi::c_int = 1;

/// While it lives, output functions print values as the trail has them, whatever the session has set. As the SET clauses of a
/// function would do it, but those set and reset every parameter at every call, and nearly every session has these values.
pub struct CanonicalPrinting(Option<i32>);

impl CanonicalPrinting {
    /// `names`: values may contain names, which are printed with their schemas unless these are searched.
    pub fn begin(names: bool) -> CanonicalPrinting {
        // SAFETY: plain globals of the backend.
        let canonical = unsafe {
            pg_sys::extra_float_digits >= 1
                && pg_sys::DateStyle == pg_sys::USE_ISO_DATES as i32
                && pg_sys::IntervalStyle == pg_sys::INTSTYLE_POSTGRES as i32
                && bytea_output == BYTEA_OUTPUT_HEX
        };
        if canonical && !names {
            return CanonicalPrinting(None);
        }
        // SAFETY: inside a transaction; the level is ended below, or by the abort after a Postgres error.
        let level = unsafe { pg_sys::NewGUCNestLevel() };
        for (name, value) in [
            (c"extra_float_digits", c"1"),
            (c"datestyle", c"ISO, YMD"),
            (c"intervalstyle", c"postgres"),
            (c"bytea_output", c"hex"),
            (c"search_path", c"pg_catalog, pg_temp"),
        ] {
            save_and_set(name, value);
        }
        CanonicalPrinting(Some(level))
    }
}

impl Drop for CanonicalPrinting {
    fn drop(&mut self) {
        if let Some(level) = self.0
            && !std::thread::panicking()
        {
            // SAFETY: ends the level that `begin` started; nothing else has started one that is still open.
            unsafe { pg_sys::AtEOXact_GUC(true, level) };
        }
    }
}

/// Sets a parameter that everybody may set, until the innermost nesting level ends.
fn save_and_set(name: &CStr, value: &CStr) {
    // SAFETY: NUL-terminated strings, which are copied.
    unsafe {
        pg_sys::set_config_option(
            name.as_ptr(),
            value.as_ptr(),
            pg_sys::GucContext::PGC_USERSET,
            pg_sys::GucSource::PGC_S_SESSION,
            pg_sys::GucAction::GUC_ACTION_SAVE,
            true,
            0,
            false,
        );
    }
}

/// While it lives, nothing that the transaction executes may write: 25006. What runs already, such as the INSERT whose rule is
/// judged, is not hindered. A SET clause of a function can do this up to PostgreSQL 15 only.
pub struct ReadOnly(bool);

impl ReadOnly {
    /// Begins a stretch of reading; stretches may nest. What runs in it cannot end it: a transaction that has a snapshot does not become
    /// writable again (25001).
    pub fn begin() -> ReadOnly {
        // SAFETY: a plain global of the backend, behind the setting `transaction_read_only`. A subtransaction that begins inside
        // inherits it, and puts it back when it ends.
        unsafe {
            let before = pg_sys::XactReadOnly;
            pg_sys::XactReadOnly = true;
            ReadOnly(before)
        }
    }
}

impl Drop for ReadOnly {
    fn drop(&mut self) {
        // SAFETY: as above; also right on the way out of an error, for it is what was in force before.
        unsafe { pg_sys::XactReadOnly = self.0 };
    }
}

thread_local! {
    static OWN_DDL: std::cell::Cell<u32> = const { std::cell::Cell::new(0) };
}

/// While one of these lives, DDL on collection tables is ours; the event trigger refuses anybody else's. Dropped on
/// unwinding too, so a failed definition leaves no door open.
pub struct OwnDdl(());

impl OwnDdl {
    /// Begins a stretch of our own DDL; stretches may nest.
    pub fn begin() -> OwnDdl {
        OWN_DDL.set(OWN_DDL.get() + 1);
        OwnDdl(())
    }

    /// Is one of them alive?
    pub fn is_running() -> bool {
        OWN_DDL.get() > 0
    }
}

impl Drop for OwnDdl {
    fn drop(&mut self) {
        OWN_DDL.set(OWN_DDL.get().saturating_sub(1));
    }
}
