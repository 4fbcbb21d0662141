//! The SnackBase gateway: authenticates a request, introduces its caller to Postgres and forwards.
//!
//! Isolation, access rules and audit live in the database (`docs/ARCHITECTURE.md`). The gateway knows no column and no
//! table of a collection, and does not parse the rows it forwards. One request is one prepared statement (`db`).

pub mod anchors;
pub mod audit_key;
pub mod audit_verify;
pub mod auth;
pub mod config;
pub mod configuration;
pub mod db;
pub mod error;
mod import;
pub mod limits;
pub mod mail;
pub mod outbound;
mod routes;
pub mod serve;
pub mod state;
pub mod subject_keys;
pub mod worker;

pub use routes::app;
