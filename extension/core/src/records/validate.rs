//! One body against one schema. Source: contract of records §2, §4, §7; contract of rules §1.1.

use serde_json::{Map, Value as Json, json};

use crate::schema::{Field, FieldList, FieldType, Problem, SYSTEM_FIELDS, Value, convert, default_value};

/// How a body is meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// POST: a new record.
    Create,
    /// PUT: all required fields must be there; missing ones with a default are reset to it, others keep their value.
    Replace,
    /// PATCH: only what is given.
    Patch,
}

/// What a body writes.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Write {
    /// Values by index into the fields, ascending, each index at most once. A field that is not here keeps its value, or
    /// is NULL in a new record.
    pub values: Vec<(usize, Value)>,
    /// The account a superadmin creates the record in, as a lower-case uuid; absent otherwise.
    pub account_id: Option<String>,
}

/// Why a body is refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Rejection {
    /// The body is JSON but not an object (HTTP 422).
    NotAnObject,
    /// The body holds keys that the caller may not set (HTTP 422).
    FieldAccess {
        /// The keys, sorted; at most [`MAX_UNKNOWN`].
        unauthorized: Vec<String>,
        /// What may be set, sorted; `None` when the keys are system fields, which nobody sets.
        allowed: Option<Vec<String>>,
        /// `system` or `restricted`.
        field_type: &'static str,
    },
    /// Values do not fit (HTTP 400): unknown keys first, then in the order of the schema.
    Invalid(Vec<Problem>),
}

/// How many keys that nobody knows are named in one answer: the answer, and the server's log, must not grow with a body
/// made of nothing else.
pub const MAX_UNKNOWN: usize = 100;

/// What is shown instead of an encrypted value. Sent back, it means "unchanged".
pub const PLACEHOLDER: &str = "••••••••";

impl Rejection {
    /// What clients are told: for field access an object with `error`, `message`, `unauthorized_fields`,
    /// `allowed_fields` (unless system fields) and `field_type`; otherwise an array of problems.
    pub fn to_json(&self) -> Json {
        match self {
            Self::NotAnObject => json!([Problem::new("body", "invalid_type", self.to_string())]),
            Self::Invalid(problems) => json!(problems),
            Self::FieldAccess {
                unauthorized,
                allowed,
                field_type,
            } => {
                let mut object = Map::new();
                object.insert("error".to_owned(), "Field access denied".into());
                object.insert("message".to_owned(), self.to_string().into());
                object.insert("unauthorized_fields".to_owned(), unauthorized.as_slice().into());
                if let Some(allowed) = allowed {
                    object.insert("allowed_fields".to_owned(), allowed.as_slice().into());
                }
                object.insert("field_type".to_owned(), (*field_type).into());
                Json::Object(object)
            }
        }
    }
}

/// One sentence, without values.
impl std::fmt::Display for Rejection {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::NotAnObject => f.write_str("The body must be a JSON object"),
            Self::Invalid(_) => f.write_str("Validation error"),
            Self::FieldAccess {
                unauthorized,
                field_type,
                ..
            } => {
                let rule = if *field_type == "system" {
                    "are set by the server"
                } else {
                    "may not be set here"
                };
                write!(f, "These fields {rule}: {}", unauthorized.join(", "))
            }
        }
    }
}

impl std::error::Error for Rejection {}

/// Checks a body against the fields of its collection and says what it writes.
///
/// `allowed` is the field list of the operation; `superadmin` lets a new record name its `account_id`, and nothing else.
/// Keys are compared by exact case. Computed keys that are allowed are ignored. In a new record and with PUT an omitted
/// optional field gets its default; an omitted required one is an error even if it has a default. Problems come one per
/// field.
///
/// # Errors
/// In this order: [`Rejection::NotAnObject`]; [`Rejection::FieldAccess`] for system fields, then for keys outside
/// `allowed`; [`Rejection::Invalid`] with `unknown_field`, `required_missing`, `required_null` and the codes of
/// [`convert`].
///
/// ```
/// use serde_json::json;
/// use snackbase_core::records::{Mode, Value, validate};
/// use snackbase_core::schema::{FieldList, parse_fields};
/// let fields = parse_fields(&json!([{"name": "title", "type": "text"}, {"name": "views", "type": "number"}]))?;
/// let write = validate(&json!({"views": 3}), &fields, &FieldList::All, Mode::Create, false);
/// assert_eq!(write.map(|w| w.values), Ok(vec![(1, Value::Number(3.0))]));
/// # Ok::<(), snackbase_core::schema::DefinitionError>(())
/// ```
pub fn validate(
    body: &Json,
    fields: &[Field],
    allowed: &FieldList,
    mode: Mode,
    superadmin: bool,
) -> Result<Write, Rejection> {
    let body = body.as_object().ok_or(Rejection::NotAnObject)?;
    let names_account = superadmin && mode == Mode::Create;
    let is_account = |key: &str| names_account && key == "account_id";
    check_access(body, allowed, is_account)?;

    let mut write = Write::default();
    let mut problems = unknown_keys(body, fields, is_account);
    if names_account && let Some(account) = body.get("account_id") {
        match convert(FieldType::Reference, account) {
            Ok(Value::Uuid(id)) => write.account_id = Some(id),
            Ok(_) => {}
            Err(mismatch) => problems.push(Problem::new("account_id", mismatch.code, mismatch.message)),
        }
    }
    for (i, field) in fields.iter().enumerate().filter(|(_, field)| field.is_stored()) {
        match read_field(body.get(&field.name), field, mode) {
            Ok(Some(value)) => write.values.push((i, value)),
            Ok(None) => {}
            Err(problem) => problems.push(problem),
        }
    }
    if problems.is_empty() {
        Ok(write)
    } else {
        Err(Rejection::Invalid(problems))
    }
}

/// Whether the caller may set all keys of the body.
fn check_access(
    body: &Map<String, Json>,
    allowed: &FieldList,
    is_account: impl Fn(&str) -> bool,
) -> Result<(), Rejection> {
    let keys = |wrong: &dyn Fn(&str) -> bool| {
        let keys = body.keys().filter(|key| wrong(key) && !is_account(key));
        let mut keys: Vec<String> = keys.take(MAX_UNKNOWN).cloned().collect();
        keys.sort_unstable();
        keys
    };
    let system = keys(&|key| SYSTEM_FIELDS.contains(&key));
    if !system.is_empty() {
        return Err(Rejection::FieldAccess {
            unauthorized: system,
            allowed: None,
            field_type: "system",
        });
    }
    let FieldList::Only(names) = allowed else {
        return Ok(());
    };
    let restricted = keys(&|key| !allowed.allows(key));
    if restricted.is_empty() {
        return Ok(());
    }
    let mut names = names.clone();
    names.sort_unstable();
    Err(Rejection::FieldAccess {
        unauthorized: restricted,
        allowed: Some(names),
        field_type: "restricted",
    })
}

/// Keys that no field has. Looking up the few fields in the body first keeps the usual body, where all keys are known,
/// from being compared name by name.
fn unknown_keys(
    body: &Map<String, Json>,
    fields: &[Field],
    is_account: impl Fn(&str) -> bool,
) -> Vec<Problem> {
    let known = fields
        .iter()
        .filter(|field| body.contains_key(&field.name))
        .count();
    let accounts = usize::from(body.keys().any(|key| is_account(key)));
    if known + accounts == body.len() {
        return Vec::new();
    }
    body.keys()
        .filter(|key| !is_account(key) && !fields.iter().any(|field| field.name == **key))
        .take(MAX_UNKNOWN)
        .map(|key| Problem::new(key, "unknown_field", "There is no such field"))
        .collect()
}

/// The value of one stored field; `None` if it is not written.
fn read_field(sent: Option<&Json>, field: &Field, mode: Mode) -> Result<Option<Value>, Problem> {
    let problem = |code, message: &str| Err(Problem::new(&field.name, code, message));
    let unchanged = field.encrypted && sent.and_then(Json::as_str) == Some(PLACEHOLDER);
    let sent = match (sent, mode) {
        // A new record has no value that could stay: the placeholder says nothing.
        (Some(_), Mode::Create) if unchanged => None,
        (Some(_), _) if unchanged => return Ok(None),
        (None, Mode::Patch) => return Ok(None),
        (sent, _) => sent,
    };
    match sent {
        None if field.required => problem("required_missing", "This field is required"),
        None => Ok(default_value(field)),
        Some(Json::Null) if field.required => problem("required_null", "This field must not be null"),
        Some(json) => convert(field.field_type, json)
            .map(Some)
            .map_err(|mismatch| Problem::new(&field.name, mismatch.code, mismatch.message)),
    }
}
