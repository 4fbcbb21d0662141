//! What becomes of a column's text before it enters the ledger. The one place where a value is kept out of it.
//!
//! The registry of write masks is the recorder's own list of arguments, in the catalog beside the table it guards:
//! `column` (as `column=redact`) or `column=none|redact|hash|skip|erasable`, and `*=column`, which names the subject of erasable
//! values. A column that it does not mention is treated as its name sounds ([`WriteMask::by_name`]): a secret must not enter
//! because somebody forgot to say so. `snackbase.audit_masks` shows it.

use pgrx::prelude::*;
use sha2::{Digest, Sha256};
use snackbase_core::ledger::to_hex;
use snackbase_core::schema::WriteMask;

/// How the values of one column are stored. NULL stays NULL, and whether a value has changed is asked of the values themselves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Treatment {
    /// As they are.
    Plain,
    /// As `***`.
    Redacted,
    /// As `sha256:` and the hash of table, column and value: equal values are recognised. Whoever can guess a value can
    /// confirm the guess.
    Hashed,
    /// Not at all.
    Skipped,
    /// Encrypted under the key of their subject ([`crate::subjects`]).
    Erasable,
}

impl Treatment {
    /// The treatment of a column, by the recorder's arguments after the key.
    pub fn of(column: &str, arguments: &[String]) -> Treatment {
        let named = arguments
            .iter()
            .find_map(|argument| match argument.split_once('=') {
                None => (argument == column).then_some("redact"),
                Some((name, mode)) => (name == column).then_some(mode),
            });
        let mask = match named {
            Some("erasable") => return Treatment::Erasable,
            // What nobody knows keeps values out.
            Some(mode) => WriteMask::from_name(mode).unwrap_or(WriteMask::Redact),
            None => WriteMask::by_name(column),
        };
        match mask {
            WriteMask::None => Treatment::Plain,
            WriteMask::Redact => Treatment::Redacted,
            WriteMask::Hash => Treatment::Hashed,
            WriteMask::Skip => Treatment::Skipped,
        }
    }

    /// Replaces the text of a value by what is stored. An erasable one is sealed elsewhere: that takes its record and a key.
    pub fn apply(self, table: &str, column: &str, text: &mut String) {
        match self {
            Treatment::Plain | Treatment::Erasable => {}
            Treatment::Redacted | Treatment::Skipped => {
                text.clear();
                text.push_str(super::MASK);
            }
            Treatment::Hashed => *text = hashed(table, column, text),
        }
    }
}

/// The hashed form of a value. Texts of PostgreSQL hold no U+0000.
pub fn hashed(table: &str, column: &str, text: &str) -> String {
    let mut hash = Sha256::new();
    for part in [table, "\0", column, "\0", text] {
        hash.update(part);
    }
    format!("sha256:{}", to_hex(&hash.finalize().into()))
}

/// The column that names the subject of erasable values; `None`: the record itself.
pub fn subject(arguments: &[String]) -> Option<&str> {
    arguments.iter().find_map(|argument| argument.strip_prefix("*="))
}

/// The word of the registry for what becomes of a column.
#[pg_extern(immutable, strict, parallel_safe)]
fn _audit_treatment(column_name: &str, arguments: Vec<String>) -> &'static str {
    match Treatment::of(column_name, &arguments) {
        Treatment::Plain => "none",
        Treatment::Redacted => "redact",
        Treatment::Hashed => "hash",
        Treatment::Skipped => "skip",
        Treatment::Erasable => "erasable",
    }
}
