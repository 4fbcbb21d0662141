//! A rule taken apart: each of its clauses with its place in the source and the SQL that says whether it holds.

use super::ast::{Expr, ExprKind};
use super::error::Error;
use super::macros::{MacroBody, Macros};
use super::schema::Schema;
use super::{Dialect, Operation, check, emit, parse, parse_fragment};

/// How the parts of a clause make its value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Joint {
    /// `&&`
    And,
    /// `||`
    Or,
    /// `!`
    Not,
    /// A macro that is rule text; its part is what it stands for.
    Macro,
    /// Nothing below it.
    Leaf,
}

impl Joint {
    /// The word in an explanation; none for a leaf.
    pub fn word(self) -> Option<&'static str> {
        match self {
            Joint::And => Some("and"),
            Joint::Or => Some("or"),
            Joint::Not => Some("not"),
            Joint::Macro => Some("macro"),
            Joint::Leaf => None,
        }
    }
}

/// A condition of a rule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Clause {
    /// As it is written; inside a macro, with its arguments in place.
    pub text: String,
    /// First character and number of characters in the rule; none inside a macro.
    pub place: Option<(usize, usize)>,
    /// A boolean expression. Over the columns of the schema's table; of an update rule, over `OLD` and `NEW`.
    pub sql: String,
    /// How `parts` belong together.
    pub joint: Joint,
    /// The conditions it is made of.
    pub parts: Vec<Clause>,
}

/// Takes a rule apart. `source` must not be empty: a public rule has no clause.
///
/// Errors: as for [`compile_rule`](super::compile_rule).
pub fn clauses(
    source: &str,
    operation: Operation,
    schema: &Schema,
    macros: &dyn Macros,
) -> Result<Clause, Vec<Error>> {
    let expr = parse(source).map_err(|error| vec![error])?;
    // The whole first: after that no part of it can be wrong, too deep or without end.
    check::condition(&expr, Dialect::Rule(operation), schema, macros).result?;
    let source = source.chars().collect();
    let splitter = Splitter {
        source,
        operation,
        schema,
        macros,
    };
    splitter.clause(&expr, true)
}

struct Splitter<'a> {
    source: Vec<char>,
    operation: Operation,
    schema: &'a Schema,
    macros: &'a dyn Macros,
}

impl Splitter<'_> {
    fn clause(&self, expr: &Expr, in_source: bool) -> Result<Clause, Vec<Error>> {
        let node = check::condition(expr, Dialect::Rule(self.operation), self.schema, self.macros).result?;
        let sql = match self.operation {
            Operation::Update => emit::transition(&node),
            _ => emit::policy(&node, self.schema),
        };
        let place = (expr.span.start, expr.span.end.saturating_sub(expr.span.start));
        let written = self.source.get(expr.span.start..expr.span.end);
        let text = match written {
            Some(written) if in_source => written.iter().collect(),
            _ => expr.to_string(),
        };
        let all = |parts: &[Expr]| {
            parts
                .iter()
                .map(|part| self.clause(part, in_source))
                .collect::<Result<Vec<_>, _>>()
        };
        let (joint, parts) = match &expr.kind {
            ExprKind::And(parts) => (Joint::And, all(parts)?),
            ExprKind::Or(parts) => (Joint::Or, all(parts)?),
            ExprKind::Not(part) => (Joint::Not, vec![self.clause(part, in_source)?]),
            ExprKind::Name(name) => self.expanded(name, &[])?,
            ExprKind::Call(name, _, arguments) => self.expanded(name, arguments)?,
            _ => (Joint::Leaf, Vec::new()),
        };
        Ok(Clause {
            text,
            place: in_source.then_some(place),
            sql,
            joint,
            parts,
        })
    }

    fn expanded(&self, name: &str, arguments: &[Expr]) -> Result<(Joint, Vec<Clause>), Vec<Error>> {
        let custom = name.strip_prefix('@').and_then(|name| self.macros.lookup(name));
        let Some(MacroBody::Fragment(body)) = custom else {
            return Ok((Joint::Leaf, Vec::new()));
        };
        let body = parse_fragment(&body).map_err(|error| vec![error])?;
        let part = self.clause(&body.with_arguments(arguments), false)?;
        Ok((Joint::Macro, vec![part]))
    }
}
