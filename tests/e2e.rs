//! End-to-end tests, run by `make e2e`: sockets and SQL only, nothing of ours is linked.
//!
//! | Folder | Question |
//! |---|---|
//! | `http/` | Does HTTP say what the contract says, and nothing more? |
//! | `psql/` | Would a person agree with what psql shows? Do the SQL blocks of `docs/` run? |
//! | `race/` | Do many connections at once keep every promise? |
//! | `crash/` | What is left when processes of the server are killed under load? |
//! | `differential/` | Do all doors agree with a small reference about random rules, rows and requests? |
//! | `dump/` | Does a dump restore to the same thing? |
//! | `upgrade/` | Does a newer major version of Postgres take everything over? |
//! | `garbage/` | Is whatever does not fit refused, with nothing written and nobody hurt? |
//! | `mail/` | Does mail reach a real server, once, whatever fails on the way? |
//! | `acceptance/` | Do the acceptance lines of the identity contract hold, one file per line? |
//! | `security/` | Does each trap of the identity contract stay shut, one file per trap? |
//! | `wire/` | How many round trips does a request cost? |
//! | `seal/` | Do blocks hold every committed change once, with hashes that a stranger computes? |
//! | `tamper/` | Is whatever a superuser does to the ledger named, and nothing else? |
//! | `sdk/` | Does the published JavaScript client work, unchanged? Does ours (`clients/js`) on top of it? |

mod acceptance;
mod crash;
mod differential;
mod dump;
mod garbage;
mod http;
mod mail;
mod psql;
mod race;
mod sdk;
mod seal;
mod security;
mod tamper;
mod upgrade;
mod wire;
