//! One-time tokens: the part of them that SQL cannot say.

use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use pgrx::pg_sys::panic::ErrorReport;
use pgrx::prelude::*;

use crate::subjects;

/// A new token: 32 bytes of the system's random numbers in base64url, 43 characters, safe in a path. Whoever makes one stores
/// its SHA-256 and gives the text away once.
#[pg_extern(volatile, parallel_unsafe)]
fn _token_make() -> Result<String, ErrorReport> {
    let bytes: [u8; 32] = subjects::random()?;
    Ok(BASE64_URL_SAFE_NO_PAD.encode(bytes))
}
