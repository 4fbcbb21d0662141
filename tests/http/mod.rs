//! What the gateway answers.

mod accounts;
mod audit;
mod collections;
mod identity;
mod isolation;
mod program;
mod protocol;
mod records;
mod rules;
mod sessions;
