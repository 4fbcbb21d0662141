//! The syntax tree: what a source text says, before anybody asks whether its names exist.
//!
//! Chains (`a && b && c`, `a + b - c`) are one node with many children, so the depth of a tree follows the nesting
//! the author wrote, which the parser limits, and not the length of the text.

use std::fmt;

/// A range of characters of the source; `end` is exclusive.
///
/// All spans are equal: two trees are the same when they say the same, wherever it was written.
#[derive(Debug, Clone, Copy, Default)]
pub struct Span {
    /// First character.
    pub start: usize,
    /// One past the last character.
    pub end: usize,
}

impl PartialEq for Span {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

/// A piece of the tree and where it stands.
#[derive(Debug, Clone, PartialEq)]
pub struct Expr {
    /// What it says.
    pub kind: ExprKind,
    /// Where. For a single name or literal: without parentheses around it.
    pub span: Span,
}

/// What an expression says.
#[derive(Debug, Clone, PartialEq)]
pub enum ExprKind {
    /// `null`
    Null,
    /// `true`, `false`
    Boolean(bool),
    /// A string, its escapes resolved.
    Text(String),
    /// A number, always unsigned.
    Number(Number),
    /// A field, `@request.…`, or a macro without parentheses.
    Name(String),
    /// `$1`, `$2`, …: an argument; only inside a macro's body.
    Hole(usize),
    /// `name(arguments)`: a function or macro. The span is that of the name.
    Call(String, Span, Vec<Expr>),
    /// `!a`
    Not(Box<Expr>),
    /// `-a`
    Negate(Box<Expr>),
    /// `a && b && …`: at least two.
    And(Vec<Expr>),
    /// `a || b || …`: at least two.
    Or(Vec<Expr>),
    /// `a + b - …` or `a * b / …`: at least one step, all of one precedence, from left to right.
    Arithmetic(Box<Expr>, Vec<(Arithmetic, Expr)>),
    /// `a < b`; the span is the operator's.
    Compare(Box<Expr>, Comparison, Span, Box<Expr>),
    /// `a IN (b, …)`; the span is that of `IN`. Only the JSON form makes an empty list: no row.
    In(Box<Expr>, Span, Vec<Expr>),
    /// `a IS NULL`, or `a IS NOT NULL` when the flag is set.
    IsNull(Box<Expr>, bool),
}

impl Expr {
    /// Every name in the tree (fields, `@request.…`, macros without parentheses), in order, repeated as written.
    pub fn names(&self) -> Vec<&str> {
        let mut names = Vec::new();
        self.collect_names(&mut names);
        names
    }

    fn collect_names<'a>(&'a self, names: &mut Vec<&'a str>) {
        match &self.kind {
            ExprKind::Name(name) => names.push(name),
            ExprKind::Null
            | ExprKind::Boolean(_)
            | ExprKind::Text(_)
            | ExprKind::Number(_)
            | ExprKind::Hole(_) => {}
            ExprKind::Call(_, _, list) | ExprKind::And(list) | ExprKind::Or(list) => {
                list.iter().for_each(|expr| expr.collect_names(names));
            }
            ExprKind::Not(expr) | ExprKind::Negate(expr) | ExprKind::IsNull(expr, _) => {
                expr.collect_names(names);
            }
            ExprKind::Arithmetic(first, steps) => {
                first.collect_names(names);
                steps.iter().for_each(|(_, expr)| expr.collect_names(names));
            }
            ExprKind::Compare(left, _, _, right) => {
                left.collect_names(names);
                right.collect_names(names);
            }
            ExprKind::In(expr, _, list) => {
                expr.collect_names(names);
                list.iter().for_each(|expr| expr.collect_names(names));
            }
        }
    }
}

/// A number and the digits it was written with: `title = 1.0` means the text `1.0`.
#[derive(Debug, Clone, PartialEq)]
pub struct Number {
    /// Finite.
    pub value: f64,
    /// As written.
    pub spelling: String,
}

/// The comparison operators.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Comparison {
    Equal,
    Unequal,
    Less,
    Greater,
    LessOrEqual,
    GreaterOrEqual,
    Like,
}

impl Comparison {
    /// The operator as it is written in a rule.
    pub fn symbol(self) -> &'static str {
        match self {
            Comparison::Equal => "=",
            Comparison::Unequal => "!=",
            Comparison::Less => "<",
            Comparison::Greater => ">",
            Comparison::LessOrEqual => "<=",
            Comparison::GreaterOrEqual => ">=",
            Comparison::Like => "~",
        }
    }
}

/// The arithmetic operators.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Arithmetic {
    Add,
    Subtract,
    Multiply,
    Divide,
    Modulo,
}

impl Arithmetic {
    /// The operator as it is written in a rule.
    pub fn symbol(self) -> &'static str {
        match self {
            Arithmetic::Add => "+",
            Arithmetic::Subtract => "-",
            Arithmetic::Multiply => "*",
            Arithmetic::Divide => "/",
            Arithmetic::Modulo => "%",
        }
    }

    fn is_sum(self) -> bool {
        matches!(self, Arithmetic::Add | Arithmetic::Subtract)
    }
}

/// How tightly a node binds; a child that binds less than its place asks for needs parentheses.
pub(super) mod binding {
    pub const OR: u8 = 1;
    pub const AND: u8 = 2;
    pub const NOT: u8 = 3;
    pub const COMPARISON: u8 = 4;
    pub const SUM: u8 = 5;
    pub const PRODUCT: u8 = 6;
    pub const NEGATION: u8 = 7;
    pub const ATOM: u8 = 8;
}

impl ExprKind {
    fn binding(&self) -> u8 {
        match self {
            ExprKind::Or(_) => binding::OR,
            ExprKind::And(_) => binding::AND,
            ExprKind::Not(_) => binding::NOT,
            ExprKind::Compare(..) | ExprKind::In(..) | ExprKind::IsNull(..) => binding::COMPARISON,
            ExprKind::Arithmetic(_, steps) => match steps.first() {
                Some((operator, _)) if !operator.is_sum() => binding::PRODUCT,
                _ => binding::SUM,
            },
            ExprKind::Negate(_) => binding::NEGATION,
            _ => binding::ATOM,
        }
    }
}

/// Prints source text that parses to the same tree.
impl fmt::Display for Expr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.kind {
            ExprKind::Null => f.write_str("null"),
            ExprKind::Boolean(value) => write!(f, "{value}"),
            ExprKind::Text(text) => write!(f, "\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\"")),
            ExprKind::Number(number) => f.write_str(&number.spelling),
            ExprKind::Name(name) => f.write_str(name),
            ExprKind::Hole(index) => write!(f, "${index}"),
            ExprKind::Call(name, _, arguments) => {
                write!(f, "{name}(")?;
                list(f, arguments, binding::OR, ", ")?;
                f.write_str(")")
            }
            ExprKind::Not(operand) => {
                f.write_str("!")?;
                child(f, operand, binding::NOT)
            }
            ExprKind::Negate(operand) => {
                f.write_str("-")?;
                child(f, operand, binding::NEGATION)
            }
            ExprKind::And(operands) => list(f, operands, binding::NOT, " && "),
            ExprKind::Or(operands) => list(f, operands, binding::AND, " || "),
            ExprKind::Arithmetic(first, steps) => {
                let place = self.kind.binding() + 1;
                child(f, first, place)?;
                steps.iter().try_for_each(|(operator, operand)| {
                    write!(f, " {} ", operator.symbol())?;
                    child(f, operand, place)
                })
            }
            ExprKind::Compare(left, operator, _, right) => {
                child(f, left, binding::SUM)?;
                write!(f, " {} ", operator.symbol())?;
                child(f, right, binding::SUM)
            }
            ExprKind::In(operand, _, members) => {
                child(f, operand, binding::SUM)?;
                f.write_str(" IN (")?;
                list(f, members, binding::SUM, ", ")?;
                f.write_str(")")
            }
            ExprKind::IsNull(operand, negated) => {
                child(f, operand, binding::SUM)?;
                f.write_str(if *negated { " IS NOT NULL" } else { " IS NULL" })
            }
        }
    }
}

fn child(f: &mut fmt::Formatter<'_>, expr: &Expr, place: u8) -> fmt::Result {
    if expr.kind.binding() < place {
        write!(f, "({expr})")
    } else {
        write!(f, "{expr}")
    }
}

fn list(f: &mut fmt::Formatter<'_>, exprs: &[Expr], place: u8, separator: &str) -> fmt::Result {
    exprs.iter().enumerate().try_for_each(|(index, expr)| {
        if index > 0 {
            f.write_str(separator)?;
        }
        child(f, expr, place)
    })
}

impl Expr {
    /// The largest `$n` in the tree, 0 when there is none.
    pub(super) fn largest_hole(&self) -> usize {
        let largest =
            |exprs: &mut dyn Iterator<Item = &Expr>| exprs.map(Expr::largest_hole).max().unwrap_or(0);
        match &self.kind {
            ExprKind::Hole(index) => *index,
            ExprKind::Null
            | ExprKind::Boolean(_)
            | ExprKind::Text(_)
            | ExprKind::Number(_)
            | ExprKind::Name(_) => 0,
            ExprKind::Call(_, _, operands) | ExprKind::And(operands) | ExprKind::Or(operands) => {
                largest(&mut operands.iter())
            }
            ExprKind::Not(operand) | ExprKind::Negate(operand) | ExprKind::IsNull(operand, _) => {
                operand.largest_hole()
            }
            ExprKind::Arithmetic(first, steps) => first
                .largest_hole()
                .max(largest(&mut steps.iter().map(|(_, operand)| operand))),
            ExprKind::Compare(left, _, _, right) => left.largest_hole().max(right.largest_hole()),
            ExprKind::In(operand, _, members) => operand.largest_hole().max(largest(&mut members.iter())),
        }
    }
}
