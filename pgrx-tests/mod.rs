//! In-database tests: one file per subject, each test named after the behaviour. `make db` runs them.

mod scene;

mod catalog;
mod context;
mod isolation;
mod rules;
