//! Custom macros as the compiler sees them. The built-in ones are in `check::builtin`.

use std::collections::{BTreeMap, BTreeSet};

use super::error::{Code, Error};
use super::{Operation, ast, check, limits, parse_fragment};
use crate::names;

/// Finds custom macros by name. Built-in names are never looked up.
pub trait Macros {
    /// The macro of this name, without `@`; case-sensitive.
    fn lookup(&self, name: &str) -> Option<MacroBody>;
}

/// What a custom macro is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MacroBody {
    /// Rule text in which `$1`, `$2`, … stand for the arguments. Expanded on the tree: an argument is never text.
    /// The number of arguments is the largest hole.
    Fragment(String),
    /// A SQL function `snackbase.<function>(text, …) → boolean`, called with `arity` arguments; NULL means false.
    Select {
        /// Unqualified, unquoted name of the function.
        function: String,
        /// Number of arguments.
        arity: usize,
    },
}

/// No custom macros.
#[derive(Debug, Clone, Copy, Default)]
pub struct NoMacros;

impl Macros for NoMacros {
    fn lookup(&self, _: &str) -> Option<MacroBody> {
        None
    }
}

/// Names that no custom macro may have: the built-in macros, and what `@request.…` begins with.
pub const RESERVED: [&str; 8] = [
    "request",
    "owns_record",
    "is_creator",
    "is_public",
    "has_role",
    "has_group",
    "in_time_range",
    "has_permission",
];

/// What is wrong with the name of a custom macro, in one sentence; None when nothing is.
///
/// ```
/// use snackbase_core::rules::name_problem;
/// assert_eq!(name_problem("_Is_Editor2"), None);
/// assert!(name_problem("request").is_some() && name_problem("a-b").is_some() && name_problem("a\n").is_some());
/// ```
pub fn name_problem(name: &str) -> Option<&'static str> {
    let rest = name.trim_start_matches('_');
    if name.len() > names::MAX_BYTES {
        Some("A macro's name has at most 63 characters")
    } else if !(names::is_plain(rest) || (rest.len() < name.len() && is_tail(rest))) {
        Some("A macro's name is a letter or underscore, followed by letters, digits and underscores")
    } else if RESERVED.contains(&name) {
        Some("This name is reserved")
    } else {
        None
    }
}

fn is_tail(text: &str) -> bool {
    text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
}

/// The name of the SQL function of a macro, unquoted: `macro_<name>`, or `macro_<id>` when that would be too long. A name
/// never starts with a digit, so the two forms cannot meet; it is always quoted, so `m` and `M` do not meet either.
///
/// ```
/// use snackbase_core::rules::function_name;
/// assert_eq!(function_name(7, "is_Editor"), "macro_is_Editor");
/// assert_eq!(function_name(7, &"x".repeat(63)), "macro_7");
/// ```
pub fn function_name(id: i64, name: &str) -> String {
    let long = format!("macro_{name}");
    if long.len() <= names::MAX_BYTES {
        long
    } else {
        format!("macro_{id}")
    }
}

/// Whether a body is SQL: its first word is SELECT. Everything else is a fragment of a rule.
///
/// ```
/// use snackbase_core::rules::is_select;
/// assert!(is_select("  select 1") && is_select("SELECT(1)") && is_select("Select\t1"));
/// assert!(!is_select("selected = 1") && !is_select("views > 1"));
/// ```
pub fn is_select(body: &str) -> bool {
    let mut words = body
        .trim_start()
        .split(|c: char| !(c.is_alphanumeric() || c == '_' || c == '$'));
    words
        .next()
        .is_some_and(|word| word.eq_ignore_ascii_case("select"))
}

/// Checks a fragment by itself: syntax, the macros it uses and their arguments, depth and cycles. Which fields exist is
/// known only where it is used. `macros` must know the macro itself, or it would not be found in its own body.
pub fn check_fragment(name: &str, body: &str, macros: &dyn Macros) -> Vec<Error> {
    let expr = match parse_fragment(body) {
        Ok(expr) => expr,
        Err(error) => return vec![error],
    };
    let arguments: Vec<ast::Expr> = (1..=expr.largest_hole())
        .map(|index| ast::Expr {
            kind: ast::ExprKind::Name(format!("${index}")),
            span: ast::Span::default(),
        })
        .collect();
    // The most permissive place: everything a fragment may hold may stand in an update rule.
    let dialect = super::Dialect::Rule(Operation::Update);
    check::fragment(&expr.with_arguments(&arguments), name, dialect, macros)
}

/// Which macros each macro uses directly: from the tree of a fragment, and from what the functions of the others depend on.
#[derive(Debug, Clone, Default)]
pub struct Uses(BTreeMap<String, BTreeSet<String>>);

impl Uses {
    /// Notes that `user` uses `used`.
    pub fn add(&mut self, user: &str, used: &str) {
        self.0.entry(user.to_owned()).or_default().insert(used.to_owned());
    }

    /// `name` and every macro that uses it, directly or through others.
    ///
    /// ```
    /// use snackbase_core::rules::Uses;
    /// let mut uses = Uses::default();
    /// uses.add("a", "b");
    /// uses.add("b", "c");
    /// assert_eq!(Vec::from_iter(uses.users_of("c")), ["a", "b", "c"]);
    /// ```
    pub fn users_of(&self, name: &str) -> BTreeSet<String> {
        let mut found = BTreeSet::from([name.to_owned()]);
        loop {
            let more: Vec<String> = self
                .0
                .iter()
                .filter(|(user, used)| !found.contains(*user) && !used.is_disjoint(&found))
                .map(|(user, _)| user.clone())
                .collect();
            if more.is_empty() {
                return found;
            }
            found.extend(more);
        }
    }

    /// Whether a macro ends up in itself, or the chains through it are longer than [`limits::MACRO_DEPTH`] macros.
    ///
    /// ```
    /// use snackbase_core::rules::{Code, Uses};
    /// let mut uses = Uses::default();
    /// uses.add("a", "b");
    /// assert_eq!(uses.problem("a"), None);
    /// uses.add("b", "a");
    /// assert_eq!(uses.problem("b"), Some(Code::MacroCycle));
    /// ```
    pub fn problem(&self, name: &str) -> Option<Code> {
        let below = |name: &str| self.0.get(name).cloned().unwrap_or_default();
        let above = |name: &str| -> BTreeSet<String> {
            let users = self.0.iter().filter(|(_, used)| used.contains(name));
            users.map(|(user, _)| user.clone()).collect()
        };
        let (Some(down), Some(up)) = (height(name, &below), height(name, &above)) else {
            return Some(Code::MacroCycle);
        };
        (down + up > limits::MACRO_DEPTH + 1).then_some(Code::MacroDepth)
    }
}

/// How many macros the longest chain from `name` has, itself included; None when `name` is met again, or when a chain is
/// so long that it matters no more.
fn height(name: &str, next: &dyn Fn(&str) -> BTreeSet<String>) -> Option<usize> {
    let mut level = BTreeSet::from([name.to_owned()]);
    let mut height = 0;
    while !level.is_empty() && height <= limits::MACRO_DEPTH + 1 {
        height += 1;
        level = level.iter().flat_map(|name| next(name)).collect();
        if level.contains(name) {
            return None;
        }
    }
    Some(height)
}
