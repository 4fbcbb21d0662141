//! The acceptance lines of `contract/identity.md` §9, one file per line.

mod configuration;
