//! Every way the extension refuses, one variant per cause, and the one place that chooses SQLSTATEs.
//!
//! MESSAGE is for people; DETAIL is JSON when a client needs fields; `docs/errors.md` has the table to HTTP.

use pgrx::pg_sys::panic::ErrorReport;
use pgrx::{PgLogLevel, PgSqlErrorCode, function_name};
use serde_json::{Value, json};
use snackbase_core::{rules, schema::Problem};
use thiserror::Error as ThisError;

use crate::context::Operation;

/// A refusal.
#[derive(Debug, ThisError)]
pub enum Error {
    /// The master key of subjects' keys cannot be used.
    #[error("the master key of personal data: {0}")]
    MasterKey(String),
    /// The library is not in `shared_preload_libraries`.
    #[error("snackbase is not in shared_preload_libraries")]
    NotPreloaded,
    /// The caller is unknown, inactive, or its session was revoked.
    #[error("Invalid or expired credentials")]
    Unauthenticated,
    /// The rule asks who the caller is, and the caller is anonymous.
    #[error("Authentication required")]
    AuthenticationRequired,
    /// The operation is for users of the system account.
    #[error("Superadmin access required")]
    SuperadminRequired,
    /// The operation is for administrators of an account.
    #[error("Administrator access required")]
    AdministratorRequired,
    /// A key of an original instance whose owner is no superadmin. The text is the contract's (`identity.md` §3.1).
    #[error("API keys are restricted to superadmin users")]
    KeyRestricted,
    /// Somebody else than the gateway's login role says to be the system.
    #[error("Only the login role of the gateway may act as the system")]
    SystemRefused,
    /// An anonymous caller named no account.
    #[error("X-Account-ID header is required for unauthenticated requests")]
    AccountHeaderMissing,
    /// An anonymous caller named an account that does not exist.
    #[error("Account not found")]
    AccountNotFound,
    /// The function of a macro raised an error while it judged a row.
    #[error("A macro in the rules of this collection failed ({function}: {state})")]
    MacroFailed {
        /// Name of the function.
        function: String,
        /// The SQLSTATE it raised.
        state: String,
    },
    /// An argument that no correct program sends.
    #[error("{0}")]
    Malformed(String),
    /// No collection of this name.
    #[error("Collection '{0}' not found")]
    CollectionNotFound(String),
    /// No visible record of this id: hidden and missing look alike.
    #[error("Record not found")]
    RecordNotFound,
    /// No visible entry of the trail of this id.
    #[error("Audit log entry {0} not found")]
    EntryNotFound(i64),
    /// The sealer has not come to this entry yet.
    #[error("Audit log entry {0} is in no block yet; it will be in a moment")]
    EntryNotSealed(i64),
    /// The ledger has no such block.
    #[error("There is no block {0}")]
    BlockNotFound(i64),
    /// No checkpoint was signed after this block.
    #[error("There is no checkpoint of block {0}")]
    CheckpointNotFound(i64),
    /// A proof or an export holds values in clear, and the caller sees some of them masked.
    #[error("This shows values that are masked for you; it takes the group pii_access")]
    Masked,
    /// The operation's rule is null.
    #[error("Access denied: {} is locked for this collection", .0.name())]
    Locked(Operation),
    /// The body names fields that the caller may not write; the object of contract `rules.md` §1.1.
    #[error("Field access denied")]
    FieldAccess(Value),
    /// An expression of a request that does not compile: a filter, or a text of an aggregate request.
    #[error("{}", rules::summary(errors))]
    Expression {
        /// The short title in the answer.
        title: &'static str,
        /// Every error of the compiler.
        errors: Vec<rules::Error>,
    },
    /// A request that is well formed but asks for what is not there: a cursor of another list, an unknown field.
    #[error("{message}")]
    Query {
        /// The short title in the answer.
        title: &'static str,
        /// For people.
        message: String,
    },
    /// A rule that does not compile, with its key (`list_rule`, …).
    #[error("Invalid {key}: {}", rules::summary(errors))]
    Rule {
        /// The key of the rule in the request.
        key: &'static str,
        /// Every error of the compiler.
        errors: Vec<rules::Error>,
    },
    /// A record that does not fit its collection.
    #[error("Validation error")]
    Invalid(Vec<Problem>),
    /// A collection definition with semantic errors.
    #[error("Validation failed: {}", problem_texts(.0))]
    Definition(Vec<Problem>),
    /// A request body of the wrong shape (HTTP 422).
    #[error("The request body does not have the expected shape")]
    Shape(Vec<Problem>),
    /// What stands in the place of an electronic signature is none: nobody signed who may, or not any more. One text for all
    /// causes, as of a wrong password.
    #[error("The electronic signature was not accepted")]
    SignatureRefused,
    /// Somebody else signed than who asks, and the collection does not want that.
    #[error("The signer must be the user who makes the request")]
    SecondSigner,
    /// The second signer could not carry out the write.
    #[error("The signer has no right to this operation")]
    SignerRefused,
    /// The new row fails the create or update rule.
    #[error("Record does not satisfy collection rules")]
    RuleDenied,
    /// An update that gives a record another id or account.
    #[error("a record cannot change its id or account")]
    RecordMoved,
    /// The record was changed since the caller read it.
    #[error("The record was changed since it was read: its updated_at is another one")]
    Changed,
    /// No visible record of this id, in a batch.
    #[error("Record '{id}' not found (index {index})")]
    ItemNotFound {
        /// Position in the batch, from 0.
        index: usize,
        /// The id as it was sent.
        id: String,
    },
    /// What is wrong with one item of a batch.
    #[error("{error} (index {index})")]
    Item {
        /// Position in the batch, from 0.
        index: usize,
        /// The fault, as of a single record.
        error: Box<Error>,
    },
    /// Something exists already, or is still in use.
    #[error("{message}")]
    Conflict {
        /// For people.
        message: String,
        /// The field in question.
        field: &'static str,
    },
    /// Views or functions of others are built on it.
    #[error("{what} is used by {}", by.join(", "))]
    InUse {
        /// What cannot go, as the subject of the sentence.
        what: String,
        /// By what, as Postgres describes it.
        by: Vec<String>,
    },
    /// One of several collections of an import that stand or fall together.
    #[error("{0}")]
    ImportFailed(String),
    /// The change loses values, and nobody has confirmed it.
    #[error("The change is destructive: send confirm to carry it out")]
    Unconfirmed(Value),
    /// Other collections refer to the one to be dropped.
    #[error("Collection is referenced by other collections")]
    Referenced(Vec<(String, String)>),
    /// Records that refer to this one forbid its removal.
    #[error("The record is still referenced by other records")]
    RecordReferenced,
    /// No macro of this id.
    #[error("Macro {0} not found")]
    MacroNotFound(i64),
    /// No permission of this id.
    #[error("Permission {0} not found")]
    PermissionNotFound(i64),
    /// The body of a macro that does not compile.
    #[error("Invalid macro: {}", rules::summary(.0))]
    Macro(Vec<rules::Error>),
    /// A rule, permission or macro that would no longer compile after a change elsewhere.
    #[error("Invalid {what}: {reason}")]
    Breaks {
        /// `list_rule of collection 'posts'`, for people.
        what: String,
        /// Why.
        reason: String,
        /// Every error of the compiler.
        errors: Vec<rules::Error>,
        /// What goes beside each error: collection and key of the rule.
        place: Vec<(&'static str, String)>,
    },
    /// A macro that is to be deleted and is used.
    #[error(
        "Cannot delete macro '{name}': it is used in {rules} collection rule(s){}",
        also_in(macros)
    )]
    MacroInUse {
        /// The macro.
        name: String,
        /// How many rules use it, directly or through other macros.
        rules: usize,
        /// The macros that do.
        macros: Vec<String>,
    },
    /// A collection that is to be dropped and is read by macros.
    #[error("Collection is used by {0}")]
    CollectionInMacros(String),
    /// The file of the ledger's private key cannot be used.
    #[error("{0}")]
    KeyFile(String),
    /// Our own defect: what the database holds contradicts what the code believes.
    #[error("internal: {0}")]
    Internal(String),
    /// A failure of SPI itself. (Failures of the statements it runs keep their own SQLSTATE.)
    #[error("internal: {0}")]
    Spi(#[from] pgrx::spi::SpiError),
}

fn also_in(macros: &[String]) -> String {
    match macros {
        [] => String::new(),
        names => format!(
            ", and by the macro(s) {}",
            names
                .iter()
                .map(|name| format!("@{name}"))
                .collect::<Vec<_>>()
                .join(", ")
        ),
    }
}

/// The five characters of a SQLSTATE.
pub fn state_of(code: PgSqlErrorCode) -> String {
    let code = code as i32;
    (0..5)
        .map(|place| char::from(b'0' + ((code >> (6 * place)) & 0x3f) as u8))
        .collect()
}

fn problem_texts(problems: &[Problem]) -> String {
    problems
        .iter()
        .map(|p| format!("{}: {}", p.path, p.message))
        .collect::<Vec<_>>()
        .join("; ")
}

/// The errors of a rule, each with the rule's key.
fn rule_errors(errors: &[rules::Error], key: &str) -> Value {
    errors
        .iter()
        .map(|error| {
            let mut object = json!(error);
            object["rule_key"] = json!(key);
            object
        })
        .collect()
}

impl Error {
    /// A filter that does not compile. One that asks for a hidden value has a title of its own (contract `rules.md` v128).
    pub fn filter(errors: Vec<rules::Error>) -> Error {
        let hidden = |error: &rules::Error| {
            matches!(error.code, rules::Code::EncryptedField | rules::Code::MaskedField)
        };
        let title = if errors.iter().any(hidden) {
            "Invalid query"
        } else {
            "Invalid filter expression"
        };
        Error::Expression { title, errors }
    }

    fn code(&self) -> PgSqlErrorCode {
        use PgSqlErrorCode as Code;
        match self {
            Error::NotPreloaded | Error::MasterKey(_) | Error::KeyFile(_) => {
                Code::ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE
            }
            Error::Unauthenticated | Error::AuthenticationRequired => {
                Code::ERRCODE_INVALID_AUTHORIZATION_SPECIFICATION
            }
            Error::SignatureRefused
            | Error::SecondSigner
            | Error::SignerRefused
            | Error::Masked
            | Error::SuperadminRequired
            | Error::AdministratorRequired
            | Error::KeyRestricted
            | Error::Locked(_)
            | Error::FieldAccess(_)
            | Error::SystemRefused
            | Error::RecordMoved => Code::ERRCODE_INSUFFICIENT_PRIVILEGE,
            Error::AccountHeaderMissing
            | Error::Malformed(_)
            | Error::Expression { .. }
            | Error::Query { .. }
            | Error::MacroFailed { .. }
            | Error::Rule { .. }
            | Error::Macro(_)
            | Error::Breaks { .. } => Code::ERRCODE_INVALID_PARAMETER_VALUE,
            Error::MacroNotFound(_)
            | Error::PermissionNotFound(_)
            | Error::AccountNotFound
            | Error::CollectionNotFound(_)
            | Error::RecordNotFound
            | Error::EntryNotFound(_)
            | Error::EntryNotSealed(_)
            | Error::BlockNotFound(_)
            | Error::CheckpointNotFound(_)
            | Error::ItemNotFound { .. } => Code::ERRCODE_NO_DATA_FOUND,
            Error::Changed => Code::ERRCODE_RAISE_EXCEPTION,
            Error::Item { error, .. } => error.code(),
            Error::Invalid(_) | Error::Definition(_) | Error::ImportFailed(_) => {
                Code::ERRCODE_CHECK_VIOLATION
            }
            Error::InUse { .. } => Code::ERRCODE_DEPENDENT_OBJECTS_STILL_EXIST,
            Error::Unconfirmed(_) => Code::ERRCODE_INTEGRITY_CONSTRAINT_VIOLATION,
            Error::Shape(_) => Code::ERRCODE_INVALID_TEXT_REPRESENTATION,
            Error::RuleDenied => Code::ERRCODE_WITH_CHECK_OPTION_VIOLATION,
            Error::Conflict { .. } => Code::ERRCODE_UNIQUE_VIOLATION,
            Error::Referenced(_)
            | Error::RecordReferenced
            | Error::MacroInUse { .. }
            | Error::CollectionInMacros(_) => Code::ERRCODE_FOREIGN_KEY_VIOLATION,
            Error::Internal(_) | Error::Spi(_) => Code::ERRCODE_INTERNAL_ERROR,
        }
    }

    fn detail(&self) -> Option<Value> {
        Some(match self {
            Error::AccountHeaderMissing => {
                json!([{"field": "X-Account-ID", "message": self.to_string(), "code": "required"}])
            }
            Error::FieldAccess(object) => object.clone(),
            Error::SignatureRefused | Error::SecondSigner | Error::SignerRefused => {
                json!({"error": "Signature refused", "code": "signature_refused"})
            }
            Error::KeyRestricted => json!({"error": "Forbidden", "code": "api_key_restricted"}),
            Error::Changed => json!({"status": 412}),
            Error::ItemNotFound { index, .. } => json!({"error": "not_found", "index": index}),
            Error::Item { index, error } => return error.item_detail(*index),
            Error::Expression { title, errors } => json!({"error": title, "errors": errors}),
            Error::Query { title, .. } => json!({"error": title}),
            Error::MacroFailed { .. } => json!({"error": "Rule failed"}),
            Error::Macro(errors) => json!({"error": "Invalid macro", "errors": errors}),
            Error::Breaks { errors, place, .. } => {
                let errors = errors.iter().map(|error| {
                    let mut object = json!(error);
                    for (key, value) in place {
                        object[key] = json!(value);
                    }
                    object
                });
                json!({"error": "A rule would break", "errors": errors.collect::<Vec<_>>()})
            }
            Error::Rule { key, errors } => json!({"errors": rule_errors(errors, key)}),
            Error::Invalid(problems) | Error::Definition(problems) | Error::Shape(problems) => {
                json!(problems)
            }
            Error::Conflict { field, message } => {
                json!([{"field": field, "message": message, "code": "conflict"}])
            }
            Error::InUse { by, .. } => by
                .iter()
                .map(|user| json!({"field": user, "message": self.to_string(), "code": "in_use"}))
                .collect(),
            Error::Unconfirmed(plan) => json!({"error": "Confirmation required", "plan": plan}),
            Error::Referenced(by) => json!({
                "referenced_by": by.iter()
                    .map(|(collection, field)| json!({"collection": collection, "field": field}))
                    .collect::<Vec<_>>(),
            }),
            _ => return None,
        })
    }

    /// The detail of a fault in one item of a batch (contract `records.md` §5): as of a single record, and the index.
    fn item_detail(&self, index: usize) -> Option<Value> {
        Some(match self {
            Error::Invalid(problems) => {
                json!({"error": "validation_error", "index": index, "details": problems})
            }
            Error::RuleDenied => json!({"error": "validation_error", "index": index, "details": []}),
            Error::RecordReferenced => json!({"error": "Conflict", "index": index}),
            Error::FieldAccess(object) => {
                let mut object = object.clone();
                object["index"] = json!(index);
                object
            }
            other => return other.detail(),
        })
    }

    fn hint(&self) -> Option<&'static str> {
        match self {
            Error::NotPreloaded => {
                Some("Set shared_preload_libraries = 'snackbase' in postgresql.conf and restart the server.")
            }
            _ => None,
        }
    }
}

impl From<Error> for ErrorReport {
    fn from(error: Error) -> ErrorReport {
        let mut report = ErrorReport::new(error.code(), error.to_string(), function_name!());
        if let Some(detail) = error.detail() {
            report = report.set_detail(detail.to_string());
        }
        if let Some(hint) = error.hint() {
            report = report.set_hint(hint);
        }
        report
    }
}

/// Raises `error` from code that has no `Result` to return (triggers).
pub fn raise(error: Error) -> ! {
    ErrorReport::from(error).report(PgLogLevel::ERROR);
    unreachable!("reporting at level ERROR does not return")
}
