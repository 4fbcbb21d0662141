//! In-database tests: one file per subject.
