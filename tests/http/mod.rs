//! What the gateway answers.

mod accounts;
mod audit;
mod collections;
mod identity;
mod isolation;
mod protocol;
mod records;
mod rules;
mod sessions;
