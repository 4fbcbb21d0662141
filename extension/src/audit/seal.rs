//! The sealer: closes blocks over committed changes (design `ledger.md` §5).

use pgrx::pg_sys;
use pgrx::prelude::*;

/// The advisory lock that only one sealer holds; a session that replays a dump shares it. "snabseal" as a number.
const LOCK_KEY: i64 = 0x736e_6162_7365_616c;

/// The identifier of this cluster, as `pg_control_system()` shows it: of whoever writes a change. Transaction ids mean
/// nothing outside their cluster.
#[pg_extern(stable, parallel_safe)]
fn _system_identifier() -> i64 {
    // SAFETY: reads a number of the control file, which every process of the server has in memory.
    unsafe { pg_sys::GetSystemIdentifier() }.cast_signed()
}

/// The key of the sealer's advisory lock.
#[pg_extern(immutable, parallel_safe)]
fn _seal_lock_key() -> i64 {
    LOCK_KEY
}
