//! What a verifier finds, in the words that every verifier of the ledger uses.

use std::fmt;

/// What is wrong. The names are those of `audit_verify()`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    /// A change does not have the hash it says it has.
    Checksum,
    /// A change does not follow the record's change before it.
    Link,
    /// Two changes claim the same place in the history of a record.
    Fork,
    /// A version of a record is not there.
    Gap,
    /// Something that another part of the ledger counts or names is not there.
    Missing,
    /// A block, or what it says of its changes, does not fit.
    Block,
    /// A checkpoint is not signed, or disagrees with the blocks.
    Checkpoint,
    /// The end is missing.
    Truncated,
}

impl Kind {
    /// The name in one lower-case word.
    pub fn name(self) -> &'static str {
        match self {
            Kind::Checksum => "checksum",
            Kind::Link => "link",
            Kind::Fork => "fork",
            Kind::Gap => "gap",
            Kind::Missing => "missing",
            Kind::Block => "block",
            Kind::Checkpoint => "checkpoint",
            Kind::Truncated => "truncated",
        }
    }
}

/// A place in the history of a record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// The physical table, such as `col_posts`.
    pub table_name: String,
    /// The key of the record.
    pub record_id: String,
    /// 1, 2, … per record.
    pub version: i64,
}

/// One thing that is wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// What kind of thing.
    pub kind: Kind,
    /// The block it was found in; `None` when it concerns no single block.
    pub block: Option<u64>,
    /// The record; `None` when it concerns no single record.
    pub record: Option<Record>,
    /// For people, in one line: what was expected, and what is there.
    pub what: String,
}

impl Finding {
    /// A finding that names no record.
    pub fn new(kind: Kind, block: Option<u64>, what: impl Into<String>) -> Self {
        Self {
            kind,
            block,
            record: None,
            what: what.into(),
        }
    }

    /// The same of a record.
    pub fn of(mut self, table_name: &str, record_id: &str, version: i64) -> Self {
        self.record = Some(Record {
            table_name: table_name.into(),
            record_id: record_id.into(),
            version,
        });
        self
    }
}

/// One line of four parts with tabs between them: kind, block, record as `table/id@version`, and what. `-` for none.
impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let block = self.block.map_or_else(|| "-".into(), |block| block.to_string());
        let record = self.record.as_ref().map_or_else(
            || "-".into(),
            |r| format!("{}/{}@{}", r.table_name, r.record_id, r.version),
        );
        let line = format!("{}\t{block}\t{record}\t{}", self.kind.name(), self.what);
        // Names come from the file that is judged: no line feed of theirs may look like the end of a finding.
        let plain = |c: char| {
            if c.is_control() && c != '\t' {
                '\u{fffd}'
            } else {
                c
            }
        };
        f.write_str(&line.chars().map(plain).collect::<String>())
    }
}
