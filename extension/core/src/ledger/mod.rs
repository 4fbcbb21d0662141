//! The audit ledger: canonical bytes and entry hashes.
