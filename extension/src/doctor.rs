//! What only the library can tell about the server it runs in; `sql/090_doctor.sql` tells the rest.

use pgrx::prelude::*;

/// The version of the loaded library (not of the installed SQL objects).
#[pg_extern(stable, parallel_safe)]
fn version() -> &'static str {
    env!("CARGO_PKG_VERSION")
}
