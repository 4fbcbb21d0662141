//! The predicate: a source text whose names, types and coercions are settled, still without SQL.

use super::ast::{Arithmetic, Comparison, Number};
use super::schema::{Column, Kind};

/// Which row a column is read from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Row {
    /// A record field: the existing row; at create the new one.
    Record,
    /// `@request.data`: the row about to be written.
    Data,
}

/// An attribute of the caller. All are texts in rules.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Attribute {
    Id,
    Email,
    Role,
    AccountId,
}

impl Attribute {
    pub(super) const NAMES: [(&'static str, Attribute); 4] = [
        ("id", Attribute::Id),
        ("email", Attribute::Email),
        ("role", Attribute::Role),
        ("account_id", Attribute::AccountId),
    ];

    /// Whether the attribute can be had as a uuid, to be compared with a uuid column without a cast.
    pub(super) fn is_uuid(self) -> bool {
        matches!(self, Attribute::Id | Attribute::AccountId)
    }
}

/// A function of a computed field.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Function {
    Concat,
    Upper,
    Lower,
    Trim,
    Length,
    Substring,
    Abs,
    Ceil,
    Floor,
    Round,
    If,
    Coalesce,
    NullIf,
    Now,
    DateDiff(Unit),
    DateAdd(Unit),
}

/// A unit of time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Unit {
    Seconds,
    Minutes,
    Hours,
    Days,
    /// 30 days where a difference is measured.
    Months,
    /// 365 days where a difference is measured.
    Years,
}

/// A typed expression. Operands have the types their operator needs: nothing is left to PostgreSQL's own coercions.
#[derive(Debug, Clone)]
pub(super) enum Node<'s> {
    Null(Kind),
    Text(String),
    Number(Number),
    Boolean(bool),
    /// Canonical lower-case form.
    Uuid(String),
    /// RFC 3339 in UTC.
    Datetime(String),
    /// `YYYY-MM-DD`
    Date(String),
    Column(Row, &'s Column),
    Attribute(Attribute),
    /// The attribute as a uuid: id (NULL when it is none) or account_id.
    AttributeUuid(Attribute),
    /// The operand as text.
    ToText(Box<Node<'s>>),
    Not(Box<Node<'s>>),
    And(Vec<Node<'s>>),
    Or(Vec<Node<'s>>),
    Compare(Box<Node<'s>>, Comparison, Box<Node<'s>>),
    In(Box<Node<'s>>, Vec<Node<'s>>),
    IsNull(Box<Node<'s>>, bool),
    /// A value against a text that is no value of its type: always false (or always true, when the flag is set), and
    /// NULL where the value is NULL.
    Never(Box<Node<'s>>, bool),
    Negate(Box<Node<'s>>),
    Arithmetic(Box<Node<'s>>, Vec<(Arithmetic, Node<'s>)>),
    /// Whether the caller is in the group of this name.
    InGroup(Box<Node<'s>>),
    /// Whether a permission of the caller's role mentions this act on this collection.
    HasPermission(String, String),
    /// Whether the hour of the day in UTC is at least the first and below the second; past midnight when they are
    /// the other way round.
    InHours(u8, u8),
    /// A custom macro: function name and arguments.
    Macro(String, Vec<Node<'s>>),
    /// A function of a computed field.
    Function(Function, Vec<Node<'s>>),
    /// A date as its midnight in UTC.
    StartOfDay(Box<Node<'s>>),
}

impl<'s> Node<'s> {
    /// A constant whose type may still be adapted to what it meets.
    pub(super) fn is_literal(&self) -> bool {
        matches!(
            self,
            Node::Null(_) | Node::Text(_) | Node::Number(_) | Node::Boolean(_)
        )
    }

    fn children(&self) -> Vec<&Node<'s>> {
        match self {
            Node::Null(_)
            | Node::Text(_)
            | Node::Number(_)
            | Node::Boolean(_)
            | Node::Uuid(_)
            | Node::Datetime(_)
            | Node::Date(_)
            | Node::Column(..)
            | Node::Attribute(_)
            | Node::AttributeUuid(_)
            | Node::HasPermission(..)
            | Node::InHours(..) => Vec::new(),
            Node::ToText(operand)
            | Node::Not(operand)
            | Node::IsNull(operand, _)
            | Node::Never(operand, _)
            | Node::Negate(operand)
            | Node::InGroup(operand)
            | Node::StartOfDay(operand) => vec![operand],
            Node::And(operands)
            | Node::Or(operands)
            | Node::Macro(_, operands)
            | Node::Function(_, operands) => operands.iter().collect(),
            Node::Compare(left, _, right) => vec![left, right],
            Node::In(operand, members) => std::iter::once(&**operand).chain(members).collect(),
            Node::Arithmetic(first, steps) => std::iter::once(&**first)
                .chain(steps.iter().map(|(_, operand)| operand))
                .collect(),
        }
    }

    /// Whether any column of that row is read.
    pub(super) fn reads(&self, row: Row) -> bool {
        matches!(self, Node::Column(of, _) if *of == row)
            || self.children().into_iter().any(|child| child.reads(row))
    }

    /// The operands of the outermost `&&`, through all its parentheses; a row passes if each is TRUE.
    pub(super) fn into_conjuncts(self) -> Vec<Node<'s>> {
        match self {
            Node::And(operands) => operands.into_iter().flat_map(Node::into_conjuncts).collect(),
            node => vec![node],
        }
    }
}
