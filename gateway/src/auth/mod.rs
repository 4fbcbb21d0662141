//! Who is asking. No state of its own, and no database: the token's signature, kind and expiry are checked here, whether
//! its user still exists and its session still stands is decided by `snackbase.enter` in the same statement as the work.

pub mod jwt;
pub mod password;
