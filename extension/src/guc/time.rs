//! How long the running statement may go on.

use pgrx::pg_sys;

// Not in pgrx's bindings; declared in `utils/timeout.h`, the same in PostgreSQL 15 to 18.
unsafe extern "C-unwind" {
    fn enable_timeout_at(id: i32, finish: pg_sys::TimestampTz);
    fn disable_timeout(id: i32, keep_indicator: bool);
    fn get_timeout_active(id: i32) -> bool;
    fn get_timeout_finish_time(id: i32) -> pg_sys::TimestampTz;
}

/// `STATEMENT_TIMEOUT` of `enum TimeoutId`.
const STATEMENT_TIMEOUT: i32 = 3;

thread_local! {
    /// When the statement would have been cancelled without the limit; the outer None: there is no limit of ours.
    static LIMITED: std::cell::Cell<Option<Option<pg_sys::TimestampTz>>> = const { std::cell::Cell::new(None) };
}

/// Lets the running statement be cancelled (57014) after so many milliseconds, unless it would be sooner. `statement_timeout`
/// counts from the start of a statement only, so it cannot be set from within one.
pub fn limit_time(milliseconds: i32) {
    // SAFETY: timeouts are a service of the backend's own; STATEMENT_TIMEOUT is registered in every backend and its handler
    // only sets a flag. After an error the main loop disables all timeouts.
    unsafe {
        let before =
            get_timeout_active(STATEMENT_TIMEOUT).then(|| get_timeout_finish_time(STATEMENT_TIMEOUT));
        let end = pg_sys::GetCurrentTimestamp() + i64::from(milliseconds) * 1000;
        LIMITED.set(Some(before));
        if before.is_none_or(|before| end < before) {
            disable_timeout(STATEMENT_TIMEOUT, false);
            enable_timeout_at(STATEMENT_TIMEOUT, end);
        }
    }
}

/// Ends the limit of [`limit_time`]: what was in force before counts again.
pub fn unlimit_time() {
    if let Some(before) = LIMITED.take() {
        // SAFETY: as above.
        unsafe {
            disable_timeout(STATEMENT_TIMEOUT, false);
            if let Some(before) = before {
                enable_timeout_at(STATEMENT_TIMEOUT, before);
            }
        }
    }
}

/// Suspends `statement_timeout` while a result travels to the client, and lets it count anew for the next part: of a statement
/// that streams, each part has that much time, and a client may read as slowly as the gateway lets it.
pub struct TimePerPart(());

impl TimePerPart {
    /// The work on a part begins.
    pub fn begin() -> TimePerPart {
        // SAFETY: as in `limit_time`; StatementTimeout is the setting in milliseconds, 0 for none.
        unsafe {
            disable_timeout(STATEMENT_TIMEOUT, false);
            let milliseconds = pg_sys::StatementTimeout;
            if milliseconds > 0 {
                let end = pg_sys::GetCurrentTimestamp() + i64::from(milliseconds) * 1000;
                enable_timeout_at(STATEMENT_TIMEOUT, end);
            }
        }
        TimePerPart(())
    }
}

impl Drop for TimePerPart {
    fn drop(&mut self) {
        // SAFETY: as above; it neither allocates nor raises.
        unsafe { disable_timeout(STATEMENT_TIMEOUT, false) };
    }
}
