//! What is wrong with a body: one problem per place, all of them together.

use std::fmt;

use serde::Serialize;

/// One thing wrong at one place of a JSON body. As JSON: `{"field", "message", "code"}`, and `records` and `accounts` when
/// it is records that are in the way.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Problem {
    /// Where: `name`, `schema[0].type`, `list_fields`; in a record simply the key.
    #[serde(rename = "field")]
    pub path: String,
    /// For people; holds no values of the body other than names.
    pub message: String,
    /// For programs; the closed lists are in the contract of collections (definitions) and records.
    pub code: &'static str,
    /// How many records are in the way.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub records: Option<u64>,
    /// In how many accounts they are.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub accounts: Option<u64>,
}

impl Problem {
    /// A problem at `path`.
    pub fn new(path: impl Into<String>, code: &'static str, message: impl Into<String>) -> Self {
        Self {
            path: path.into(),
            code,
            message: message.into(),
            records: None,
            accounts: None,
        }
    }

    /// The same problem with the number of records in the way, and of the accounts that they are in.
    #[must_use]
    pub fn counting(self, records: u64, accounts: u64) -> Self {
        Self {
            records: Some(records),
            accounts: Some(accounts),
            ..self
        }
    }
}

/// Why a definition is refused. Never holds an empty list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DefinitionError {
    /// The body does not have the form of a definition: wrong JSON types, lengths, masks (HTTP 422).
    Shape(Vec<Problem>),
    /// It has the form but cannot be a collection (HTTP 400). Checked only when the form is right.
    Semantic(Vec<Problem>),
}

impl DefinitionError {
    /// The problems, in the order of the body.
    pub fn problems(&self) -> &[Problem] {
        match self {
            Self::Shape(problems) | Self::Semantic(problems) => problems,
        }
    }
}

/// `Validation failed: schema[0].name: Field name is required; schema[1].type: …`
impl fmt::Display for DefinitionError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Validation failed: ")?;
        for (i, problem) in self.problems().iter().enumerate() {
            let separator = if i == 0 { "" } else { "; " };
            write!(f, "{separator}{}: {}", problem.path, problem.message)?;
        }
        Ok(())
    }
}

impl std::error::Error for DefinitionError {}
