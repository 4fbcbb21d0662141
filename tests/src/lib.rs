//! The harness of the end-to-end tests: it starts what a user would start and talks to it over sockets.
//!
//! `tools/with-cluster.sh` (behind `make e2e`) provides a Postgres with the extension's files, a template database
//! and the gateway program; the environment variables are listed there. Everything else a test needs it makes
//! itself: a [`Database`] of its own, a [`Gateway`] on a free port, callers with an [`Api`] each. Nothing is shared
//! between tests, so they run in any order and in parallel.

mod api;
mod cluster;
mod database;
pub mod drill;
mod gateway;
mod mail;
mod proxy;
mod scenario;
mod world;

pub use api::{Answer, Api};
pub use cluster::{Cluster, Kill, Program};
pub use database::{Database, Session, sql_state};
pub use gateway::{Gateway, gateway_command};
pub use mail::MailServer;
pub use proxy::Proxy;
pub use scenario::{Scenario, run};
pub use world::{PASSWORD, World};

/// A variable that `tools/with-cluster.sh` sets.
///
/// # Panics
/// When the variable is absent: the tests were started without a cluster.
pub fn environment(name: &str) -> String {
    std::env::var(name).unwrap_or_else(|_| panic!("{name} is not set; run these tests with `make e2e`"))
}
