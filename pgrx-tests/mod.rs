//! In-database tests: one file per subject, each test named after the behaviour. `make db` runs them.

mod scene;

mod accounts;
mod audit;
mod batches;
mod bi;
mod catalog;
mod changes;
mod collections;
mod computed;
mod configuration;
mod context;
mod doctor;
mod explain;
mod fields;
mod history;
mod imports;
mod isolation;
mod lockout;
mod macros;
mod mail;
mod migrations;
mod patterns;
mod permissions;
mod reading;
mod records;
mod rules;
mod schema;
mod signatures;
mod subjects;
mod tampering;
mod trail;
mod transfer;
mod types;
mod vectors;
