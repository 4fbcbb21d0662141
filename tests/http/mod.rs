//! What the gateway answers.

mod accounts;
mod aggregate;
mod audit;
mod batch;
mod collections;
mod cursors;
mod definitions;
mod doors;
mod expand;
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
