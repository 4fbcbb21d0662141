//! From the syntax tree to the predicate: names are looked up, types compared, macros and computed fields expanded.
//!
//! A check does not stop at the first finding: what is wrong gets the type [`Type::Unknown`], which fits everywhere, so
//! that one mistake is reported once and the next one is found too.

mod builtin;
mod compare;
mod functions;
mod names;

use super::Dialect;
use super::ast::{Arithmetic, Comparison, Expr, ExprKind, Number, Span};
use super::error::{Code, Error};
use super::limits;
use super::macros::Macros;
use super::schema::{Kind, Schema};
use super::typed::{Node, Row};

/// A checked tree, or everything that is wrong with it, in reading order; and what may be meant otherwise.
pub(super) struct Checked<T> {
    pub result: Result<T, Vec<Error>>,
    pub warnings: Vec<Error>,
}

/// Checks a tree that must be a condition.
pub(super) fn condition<'s>(
    expr: &Expr,
    dialect: Dialect,
    schema: &'s Schema,
    macros: &'s dyn Macros,
) -> Checked<Node<'s>> {
    Checker::run(schema, macros, |checker| {
        checker.condition(expr, &Scope::source(dialect))
    })
}

/// Everything that is wrong with the body of the macro `name`, whatever its type and its fields.
pub(super) fn fragment(expr: &Expr, name: &str, dialect: Dialect, macros: &dyn Macros) -> Vec<Error> {
    let schema = Schema::open();
    let within = format!("macro '@{name}'");
    let scope = Scope {
        within: &within,
        ..Scope::source(dialect)
    };
    Checker::run(&schema, macros, |checker| checker.value(expr, &scope).node)
        .result
        .err()
        .unwrap_or_default()
}

/// Checks a computed expression that must have the type `kind`.
pub(super) fn computed<'s>(
    expr: &Expr,
    kind: Kind,
    schema: &'s Schema,
    macros: &'s dyn Macros,
) -> Checked<Node<'s>> {
    Checker::run(schema, macros, |checker| {
        checker.result(expr, kind, &Scope::source(Dialect::Computed))
    })
}

/// The type of an expression.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Type {
    /// Already reported as wrong.
    Unknown,
    /// The literal `null`: takes any type.
    Null,
    Is(Kind),
}

#[derive(Debug)]
struct Typed<'s> {
    node: Node<'s>,
    ty: Type,
    span: Span,
}

impl<'s> Typed<'s> {
    fn new(node: Node<'s>, kind: Kind, span: Span) -> Self {
        Typed {
            node,
            ty: Type::Is(kind),
            span,
        }
    }

    fn unknown(span: Span) -> Self {
        Typed {
            node: Node::Null(Kind::Text),
            ty: Type::Unknown,
            span,
        }
    }

    fn is_unknown(&self) -> bool {
        self.ty == Type::Unknown
    }

    /// The type as it is named in a message.
    fn name(&self) -> &'static str {
        match self.ty {
            Type::Unknown => "unknown",
            Type::Null => "null",
            Type::Is(kind) => kind.name(),
        }
    }
}

/// What the value of an expression is needed for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Usage {
    Value,
    /// `=`, `!=`, `IN`: allowed for masked fields too.
    Equality,
    /// `IS [NOT] NULL`: allowed for masked and encrypted fields too.
    NullTest,
}

/// Where an expression stands: in the source itself, in a macro's body or in a computed field.
#[derive(Clone, Copy)]
struct Scope<'e> {
    dialect: Dialect,
    /// The row that field names mean.
    row: Row,
    /// Where findings are reported; None: where they are.
    site: Option<Span>,
    /// What the body belongs to, for messages.
    within: &'e str,
    /// Arguments of the macro whose body this is, and the scope they were written in.
    arguments: &'e [Expr],
    outer: Option<&'e Scope<'e>>,
}

impl Scope<'static> {
    fn source(dialect: Dialect) -> Self {
        Scope {
            dialect,
            row: Row::Record,
            site: None,
            within: "",
            arguments: &[],
            outer: None,
        }
    }
}

impl Scope<'_> {
    fn place(&self, span: Span) -> Span {
        self.site.unwrap_or(span)
    }
}

struct Checker<'s> {
    schema: &'s Schema,
    macros: &'s dyn Macros,
    errors: Vec<Error>,
    warnings: Vec<Error>,
    depth: usize,
    size: usize,
}

impl<'s> Checker<'s> {
    fn run(
        schema: &'s Schema,
        macros: &'s dyn Macros,
        check: impl FnOnce(&mut Self) -> Node<'s>,
    ) -> Checked<Node<'s>> {
        let mut checker = Checker {
            schema,
            macros,
            errors: Vec::new(),
            warnings: Vec::new(),
            depth: 0,
            size: 0,
        };
        let node = check(&mut checker);
        let Checker {
            mut errors,
            mut warnings,
            ..
        } = checker;
        // An argument that a macro uses twice is checked twice.
        for findings in [&mut errors, &mut warnings] {
            findings.sort_by_key(|finding| finding.position);
            findings.dedup();
        }
        Checked {
            result: if errors.is_empty() { Ok(node) } else { Err(errors) },
            warnings,
        }
    }

    fn report(&mut self, code: Code, span: Span, scope: &Scope<'_>, message: impl AsRef<str>) {
        let message = match scope.within {
            "" => message.as_ref().to_owned(),
            within => format!("In {within}: {}", message.as_ref()),
        };
        if self.errors.len() < limits::ERRORS {
            self.errors.push(Error::new(code, scope.place(span), message));
        }
    }

    /// Reports and gives the value that fits everywhere.
    fn wrong(&mut self, code: Code, span: Span, scope: &Scope<'_>, message: impl AsRef<str>) -> Typed<'s> {
        self.report(code, span, scope, message);
        Typed::unknown(scope.place(span))
    }

    fn condition(&mut self, expr: &Expr, scope: &Scope<'_>) -> Node<'s> {
        let typed = self.value(expr, scope);
        match typed.ty {
            Type::Is(Kind::Boolean) | Type::Unknown => {}
            _ => {
                let message = format!("A condition is needed here, not a value of type {}", typed.name());
                self.report(Code::NotBoolean, typed.span, scope, message);
            }
        }
        typed.node
    }

    /// A computed expression as a value of exactly that type.
    fn result(&mut self, expr: &Expr, kind: Kind, scope: &Scope<'_>) -> Node<'s> {
        let typed = self.value(expr, scope);
        match typed.ty {
            Type::Is(Kind::Uuid) if kind == Kind::Text => Node::ToText(Box::new(typed.node)),
            Type::Is(found) if !typed.node.is_literal() && found != kind => {
                let message = format!("The expression is of type {}, not {}", found.name(), kind.name());
                self.wrong(Code::TypeMismatch, typed.span, scope, message).node
            }
            _ => self.literal_as(typed, kind, scope),
        }
    }

    fn value(&mut self, expr: &Expr, scope: &Scope<'_>) -> Typed<'s> {
        self.value_for(expr, scope, Usage::Value)
    }

    fn value_for(&mut self, expr: &Expr, scope: &Scope<'_>, usage: Usage) -> Typed<'s> {
        let weight = match &expr.kind {
            ExprKind::Text(text) => text.len() / 16,
            _ => 0,
        };
        if self.size > limits::EXPANDED_SIZE {
            return Typed::unknown(scope.place(expr.span));
        }
        self.size += 1 + weight;
        if self.size > limits::EXPANDED_SIZE {
            let message = "The expression is too large once macros and computed fields are expanded";
            return self.wrong(Code::TooLong, expr.span, scope, message);
        }
        if self.depth >= limits::TREE_DEPTH {
            let message = "The expression is nested too deep, macros and computed fields included";
            return self.wrong(Code::TooDeep, expr.span, scope, message);
        }
        self.depth += 1;
        let typed = self.node(expr, scope, usage);
        self.depth -= 1;
        typed
    }

    fn node(&mut self, expr: &Expr, scope: &Scope<'_>, usage: Usage) -> Typed<'s> {
        let span = scope.place(expr.span);
        match &expr.kind {
            ExprKind::Null => Typed {
                node: Node::Null(Kind::Text),
                ty: Type::Null,
                span,
            },
            ExprKind::Boolean(value) => Typed::new(Node::Boolean(*value), Kind::Boolean, span),
            ExprKind::Text(text) => Typed::new(Node::Text(text.clone()), Kind::Text, span),
            ExprKind::Number(number) => Typed::new(Node::Number(number.clone()), Kind::Number, span),
            ExprKind::Name(name) => self.name(name, expr.span, scope, usage),
            ExprKind::Hole(index) => self.argument(*index, expr.span, scope, usage),
            ExprKind::Call(name, at, arguments) => self.call(name, *at, arguments, scope),
            ExprKind::Not(operand) => {
                let operand = self.condition(operand, scope);
                Typed::new(Node::Not(Box::new(operand)), Kind::Boolean, span)
            }
            ExprKind::And(operands) => {
                Typed::new(Node::And(self.conditions(operands, scope)), Kind::Boolean, span)
            }
            ExprKind::Or(operands) => {
                Typed::new(Node::Or(self.conditions(operands, scope)), Kind::Boolean, span)
            }
            ExprKind::Negate(operand) => {
                let operand = self.value(operand, scope);
                self.negate(operand, span, scope)
            }
            ExprKind::Arithmetic(first, steps) => self.arithmetic(first, steps, span, scope),
            ExprKind::Compare(left, operator, at, right) => {
                let usage = match operator {
                    Comparison::Equal | Comparison::Unequal => Usage::Equality,
                    _ => Usage::Value,
                };
                let left = self.value_for(left, scope, usage);
                let right = self.value_for(right, scope, usage);
                self.compare(left, (*operator, *at), right, span, scope)
            }
            ExprKind::In(operand, at, members) => {
                let operand = self.value_for(operand, scope, Usage::Equality);
                let members = members
                    .iter()
                    .map(|member| self.value_for(member, scope, Usage::Equality))
                    .collect();
                self.membership(operand, *at, members, span, scope)
            }
            ExprKind::IsNull(operand, negated) => {
                let operand = self.value_for(operand, scope, Usage::NullTest);
                Typed::new(
                    Node::IsNull(Box::new(operand.node), *negated),
                    Kind::Boolean,
                    span,
                )
            }
        }
    }

    fn conditions(&mut self, operands: &[Expr], scope: &Scope<'_>) -> Vec<Node<'s>> {
        operands
            .iter()
            .map(|operand| self.condition(operand, scope))
            .collect()
    }

    fn negate(&mut self, operand: Typed<'s>, span: Span, scope: &Scope<'_>) -> Typed<'s> {
        match operand.node {
            // A negative literal is a literal, so that it can be compared with any type that takes numbers.
            Node::Number(Number { value, spelling }) => {
                let spelling = match spelling.strip_prefix('-') {
                    Some(positive) => positive.to_owned(),
                    None => format!("-{spelling}"),
                };
                Typed::new(
                    Node::Number(Number {
                        value: -value,
                        spelling,
                    }),
                    Kind::Number,
                    span,
                )
            }
            _ => match self.numbers(vec![operand], scope) {
                Some(mut operands) => {
                    let operand = operands.pop().unwrap_or(Node::Null(Kind::Number));
                    Typed::new(Node::Negate(Box::new(operand)), Kind::Number, span)
                }
                None => Typed::unknown(span),
            },
        }
    }

    fn arithmetic(
        &mut self,
        first: &Expr,
        steps: &[(Arithmetic, Expr)],
        span: Span,
        scope: &Scope<'_>,
    ) -> Typed<'s> {
        let operands = std::iter::once(first)
            .chain(steps.iter().map(|(_, operand)| operand))
            .map(|operand| self.value(operand, scope))
            .collect();
        let Some(operands) = self.numbers(operands, scope) else {
            return Typed::unknown(span);
        };
        let mut operands = operands.into_iter();
        let Some(first) = operands.next() else {
            return Typed::unknown(span);
        };
        let steps = steps
            .iter()
            .map(|(operator, _)| *operator)
            .zip(operands)
            .collect();
        Typed::new(Node::Arithmetic(Box::new(first), steps), Kind::Number, span)
    }

    /// The operands as numbers. None after a finding; an operand that is already wrong says nothing about the others.
    fn numbers(&mut self, operands: Vec<Typed<'s>>, scope: &Scope<'_>) -> Option<Vec<Node<'s>>> {
        if operands.iter().any(Typed::is_unknown) {
            return None;
        }
        let mut numbers = Vec::with_capacity(operands.len());
        let count = operands.len();
        for operand in operands {
            match operand.ty {
                Type::Is(Kind::Number) => numbers.push(operand.node),
                Type::Null => numbers.push(Node::Null(Kind::Number)),
                _ => {
                    let message = format!("Arithmetic needs numbers, not {}", operand.name());
                    self.report(Code::TypeMismatch, operand.span, scope, message);
                }
            }
        }
        (numbers.len() == count).then_some(numbers)
    }
}
