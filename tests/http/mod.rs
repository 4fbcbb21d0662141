//! What the gateway answers.

mod accounts;
mod aggregate;
mod audit;
mod batch;
mod collections;
mod cursors;
mod dashboard;
mod definitions;
mod doors;
mod email;
mod expand;
mod headers;
mod identity;
mod isolation;
mod lockout;
mod macros;
mod migrations;
mod program;
mod protocol;
mod records;
mod roles;
mod rules;
mod sessions;
mod signatures;
mod transfer;
mod visitors;
