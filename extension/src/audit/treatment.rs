//! What becomes of a column's text before it enters the ledger. The one place where a value is kept out of it.

/// How the values of one column are stored. NULL stays NULL, and whether a value has changed is asked of the values themselves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Treatment {
    /// As they are.
    Plain,
    /// As `***`.
    Redacted,
}

impl Treatment {
    /// The treatment of a column of a table whose recorder names these columns as secret.
    pub fn of(column: &str, secret: &[String]) -> Treatment {
        if secret.iter().any(|name| name == column) {
            Treatment::Redacted
        } else {
            Treatment::Plain
        }
    }

    /// Replaces the text of a value by what is stored.
    pub fn apply(self, text: &mut String) {
        match self {
            Treatment::Plain => {}
            Treatment::Redacted => {
                text.clear();
                text.push_str(super::MASK);
            }
        }
    }
}
