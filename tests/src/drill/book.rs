//! What the clients know of their transactions.

use std::{
    collections::BTreeMap,
    sync::{Mutex, PoisonError},
};

use super::lines;
use crate::Session;

/// What became of a transaction, as its client saw it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// The server said so.
    Committed,
    /// It failed, was rolled back, or never got as far as being committed.
    RolledBack,
    /// The connection broke when it was being committed: everything or nothing.
    InDoubt,
}

#[derive(Clone, Copy, Debug)]
struct Entry {
    fate: Fate,
    /// Rows written; with cascades at least so many.
    rows: u64,
    exact: bool,
}

/// Transactions by their number, shared by all clients.
#[derive(Default)]
pub struct Book(Mutex<BTreeMap<u64, Entry>>);

impl Book {
    /// Note the fate of a transaction that wrote `rows` rows, or at least so many.
    pub fn note(&self, xid: u64, fate: Fate, rows: u64, exact: bool) {
        let mut entries = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        entries.insert(xid, Entry { fate, rows, exact });
    }

    /// How many transactions had this fate.
    pub fn count(&self, fate: Fate) -> usize {
        let entries = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        entries.values().filter(|entry| entry.fate == fate).count()
    }

    /// Compare with the ledger, from transaction `from` on: one line per transaction that has other entries than it must
    /// have. Transactions of nobody must not be there, so nobody else may write to the two collections meanwhile.
    ///
    /// # Panics
    /// When the ledger cannot be read.
    pub async fn check(&self, session: &Session, from: u64) -> Vec<String> {
        let ledger = lines(
            session,
            &format!(
                "select xid || ' ' || count(*) from snackbase.audit_change
                  where table_name in ('col_parents', 'col_children') and xid >= '{from}' group by xid"
            ),
        )
        .await;
        let ledger: BTreeMap<u64, u64> = ledger
            .iter()
            .map(|line| {
                let (xid, count) = line.split_once(' ').expect("two numbers");
                (xid.parse().expect("a number"), count.parse().expect("a number"))
            })
            .collect();
        let entries = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let mut wrong = Vec::new();
        for (xid, entry) in entries.range(from..) {
            let found = ledger.get(xid).copied().unwrap_or(0);
            let complete = if entry.exact {
                found == entry.rows
            } else {
                found >= entry.rows
            };
            let fits = match entry.fate {
                Fate::Committed => complete,
                Fate::RolledBack => found == 0,
                Fate::InDoubt => found == 0 || complete,
            };
            if !fits {
                wrong.push(format!("transaction {xid}: {found} entries for {entry:?}"));
            }
        }
        for (xid, found) in ledger {
            if !entries.contains_key(&xid) {
                wrong.push(format!("transaction {xid}: {found} entries of nobody"));
            }
        }
        wrong
    }
}
