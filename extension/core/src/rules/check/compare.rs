//! Comparisons: which operators a type has, and how a literal becomes a value of the type it is compared with.

use super::super::ast::{Comparison, Number, Span};
use super::super::error::{Code, Error};
use super::super::schema::Kind;
use super::super::typed::Node;
use super::{Checker, Scope, Type, Typed};
use crate::schema::time;

/// An operand after its literal has met the common type.
enum Operand<'s> {
    Value(Node<'s>),
    /// A text that is no value of the type, hence unequal to all of them.
    Foreign,
}

/// Operators of a type; None stands for `IN`.
pub(super) fn has_operator(kind: Kind, operator: Option<Comparison>) -> bool {
    match (kind, operator) {
        (Kind::Text, _) => true,
        (Kind::Number | Kind::Date | Kind::Datetime, operator) => operator != Some(Comparison::Like),
        (Kind::Boolean, operator) => matches!(operator, Some(Comparison::Equal | Comparison::Unequal)),
        (Kind::Uuid, operator) => matches!(operator, None | Some(Comparison::Equal | Comparison::Unequal)),
        (Kind::File, operator) => operator == Some(Comparison::Like),
        (Kind::Json, _) => false,
    }
}

/// The operators of a type, as listed in a message.
fn operators(kind: Kind) -> &'static str {
    match kind {
        Kind::Text => "= != < > <= >= ~ IN, IS NULL",
        Kind::Number | Kind::Date | Kind::Datetime => "= != < > <= >= IN, IS NULL",
        Kind::Boolean => "= !=, IS NULL",
        Kind::Uuid => "= != IN, IS NULL",
        Kind::File => "~, IS NULL",
        Kind::Json => "IS NULL",
    }
}

impl<'s> Checker<'s> {
    pub(super) fn compare(
        &mut self,
        left: Typed<'s>,
        (operator, at): (Comparison, Span),
        right: Typed<'s>,
        span: Span,
        scope: &Scope<'_>,
    ) -> Typed<'s> {
        if operator == Comparison::Like {
            return self.like(left, at, right, span, scope);
        }
        let Some(operands) = self.unify(vec![left, right], Some(operator), at, scope) else {
            return Typed::unknown(span);
        };
        let Ok([left, right]) = <[Operand<'s>; 2]>::try_from(operands) else {
            return Typed::unknown(span);
        };
        let node = match (left, right) {
            (Operand::Value(left), Operand::Value(right)) => {
                Node::Compare(Box::new(left), operator, Box::new(right))
            }
            (Operand::Value(operand), Operand::Foreign) | (Operand::Foreign, Operand::Value(operand)) => {
                Node::Never(Box::new(operand), operator == Comparison::Unequal)
            }
            // Two literals are compared as what they are.
            (Operand::Foreign, Operand::Foreign) => Node::Boolean(operator == Comparison::Equal),
        };
        Typed::new(node, Kind::Boolean, span)
    }

    pub(super) fn membership(
        &mut self,
        operand: Typed<'s>,
        at: Span,
        members: Vec<Typed<'s>>,
        span: Span,
        scope: &Scope<'_>,
    ) -> Typed<'s> {
        let operands = std::iter::once(operand).chain(members).collect();
        let Some(operands) = self.unify(operands, None, at, scope) else {
            return Typed::unknown(span);
        };
        let mut operands = operands.into_iter();
        let operand = operands.next();
        let node = match operand {
            Some(_) if operands.len() == 0 => Node::Boolean(false),
            Some(Operand::Value(operand)) => {
                // `x = a || x = foreign` is `x = a`, except that nothing is left of a list of foreigners.
                let members: Vec<Node<'s>> = operands
                    .filter_map(|member| match member {
                        Operand::Value(member) => Some(member),
                        Operand::Foreign => None,
                    })
                    .collect();
                match members.is_empty() {
                    true => Node::Never(Box::new(operand), false),
                    false => Node::In(Box::new(operand), members),
                }
            }
            Some(Operand::Foreign) | None => Node::Or(
                operands
                    .map(|member| match member {
                        Operand::Value(member) => Node::Never(Box::new(member), false),
                        Operand::Foreign => Node::Boolean(false),
                    })
                    .collect(),
            ),
        };
        Typed::new(node, Kind::Boolean, span)
    }

    fn like(
        &mut self,
        left: Typed<'s>,
        at: Span,
        right: Typed<'s>,
        span: Span,
        scope: &Scope<'_>,
    ) -> Typed<'s> {
        let mut fits = !left.is_unknown();
        if let Type::Is(kind) = left.ty
            && !left.node.is_literal()
            && !has_operator(kind, Some(Comparison::Like))
        {
            self.operator_error(kind, "~", at, scope);
            return Typed::unknown(span);
        }
        let pattern = match right.node {
            _ if right.is_unknown() => None,
            Node::Null(_) => {
                self.warn_null(right.span);
                Some(Node::Null(Kind::Text))
            }
            Node::Text(text) => Some(Node::Text(text)),
            Node::Number(number) => Some(Node::Text(number.spelling)),
            _ => {
                let message = "The pattern after ~ must be a text in quotes";
                self.report(Code::BadPattern, right.span, scope, message);
                None
            }
        };
        // PostgreSQL would refuse it only for the rows where it gets that far.
        if let Some(Node::Text(text)) = &pattern {
            let backslashes = text.len() - text.trim_end_matches('\\').len();
            if backslashes % 2 == 1 {
                let message = r"The pattern ends in a lone backslash; write \\\\ for one that is meant";
                self.report(Code::BadPattern, right.span, scope, message);
                fits = false;
            }
        }
        let left = match left.ty {
            Type::Is(Kind::File) => Node::ToText(Box::new(left.node)),
            _ => self.literal_as(left, Kind::Text, scope),
        };
        match pattern {
            Some(pattern) if fits => Typed::new(
                Node::Compare(Box::new(left), Comparison::Like, Box::new(pattern)),
                Kind::Boolean,
                span,
            ),
            _ => Typed::unknown(span),
        }
    }

    /// Finds the type all operands are compared as and makes each a value of it. None after a finding.
    fn unify(
        &mut self,
        operands: Vec<Typed<'s>>,
        operator: Option<Comparison>,
        at: Span,
        scope: &Scope<'_>,
    ) -> Option<Vec<Operand<'s>>> {
        if operands.iter().any(Typed::is_unknown) {
            // Whatever the type is, null is no value of it.
            for operand in operands.iter().filter(|operand| operand.ty == Type::Null) {
                self.warn_null(operand.span);
            }
            return None;
        }
        let symbol = operator.map_or("IN", Comparison::symbol);
        for operand in operands.iter().filter(|operand| !operand.node.is_literal()) {
            if let Type::Is(kind) = operand.ty
                && !has_operator(kind, operator)
            {
                self.operator_error(kind, symbol, at, scope);
                return None;
            }
        }
        let kind = self.common_type(&operands, scope)?;
        if !has_operator(kind, operator) {
            self.operator_error(kind, symbol, at, scope);
            return None;
        }
        let count = operands.len();
        let unified: Vec<Operand<'s>> = operands
            .into_iter()
            .filter_map(|operand| self.convert(operand, kind, scope))
            .collect();
        (unified.len() == count).then_some(unified)
    }

    /// Columns and expressions decide, literals follow; ids and texts meet as texts, unless the only text is an
    /// attribute of the caller that can be had as a uuid.
    pub(super) fn common_type(&mut self, operands: &[Typed<'s>], scope: &Scope<'_>) -> Option<Kind> {
        let typed = |literal: bool| {
            operands
                .iter()
                .filter(move |operand| operand.node.is_literal() == literal)
                .filter_map(|operand| match operand.ty {
                    Type::Is(kind) => Some((kind, operand)),
                    _ => None,
                })
        };
        let all_literals = typed(false).next().is_none();
        let Some((first, _)) = typed(all_literals).next() else {
            return Some(Kind::Text);
        };
        let text_like = |kind: Kind| !all_literals && matches!(kind, Kind::Text | Kind::Uuid);
        if text_like(first) {
            let needs_text =
                typed(false).any(|(kind, operand)| kind == Kind::Text && !can_be_uuid(&operand.node));
            let has_uuid = typed(false).any(|(kind, _)| kind == Kind::Uuid);
            let misfit = typed(false).find(|(kind, _)| !text_like(*kind));
            return match misfit {
                Some((kind, operand)) => self.mismatch(first, kind, operand.span, scope),
                None if has_uuid && !needs_text => Some(Kind::Uuid),
                None => Some(Kind::Text),
            };
        }
        match typed(all_literals).find(|(kind, _)| *kind != first) {
            Some((kind, operand)) => self.mismatch(first, kind, operand.span, scope),
            None => Some(first),
        }
    }

    fn mismatch(&mut self, expected: Kind, found: Kind, span: Span, scope: &Scope<'_>) -> Option<Kind> {
        let message = format!(
            "A value of type {} cannot be compared with one of type {}",
            found.name(),
            expected.name()
        );
        self.report(Code::TypeMismatch, span, scope, message);
        None
    }

    fn operator_error(&mut self, kind: Kind, symbol: &str, at: Span, scope: &Scope<'_>) {
        let message = format!(
            "Type {} has no operator {symbol}; available: {}",
            kind.name(),
            operators(kind)
        );
        self.report(Code::OperatorNotAllowed, at, scope, message);
    }

    fn warn_null(&mut self, span: Span) {
        let message = "A comparison with null is never true; write IS NULL or IS NOT NULL";
        self.warnings
            .push(Error::new(Code::NullComparison, span, message));
    }

    /// One operand as a value of the common type. None after a finding.
    fn convert(&mut self, operand: Typed<'s>, kind: Kind, scope: &Scope<'_>) -> Option<Operand<'s>> {
        if operand.ty == Type::Null {
            self.warn_null(operand.span);
        }
        match (operand.node, kind) {
            (Node::Text(text), Kind::Uuid) => Some(uuid(&text).map_or(Operand::Foreign, Operand::Value)),
            (Node::Number(_), Kind::Uuid) => Some(Operand::Foreign),
            (Node::Attribute(attribute), Kind::Uuid) => Some(Operand::Value(Node::AttributeUuid(attribute))),
            (node, Kind::Text) if operand.ty == Type::Is(Kind::Uuid) => {
                Some(Operand::Value(Node::ToText(Box::new(node))))
            }
            (node, _) if node.is_literal() => self
                .literal(Typed { node, ..operand }, kind, scope)
                .map(Operand::Value),
            (node, _) => Some(Operand::Value(node)),
        }
    }

    /// A literal as a value of that type, anything else as it is. None after a finding.
    pub(super) fn literal(&mut self, operand: Typed<'s>, kind: Kind, scope: &Scope<'_>) -> Option<Node<'s>> {
        let findings = self.errors.len();
        let node = self.literal_as(operand, kind, scope);
        (self.errors.len() == findings).then_some(node)
    }

    /// A literal as a value of that type; reports when it is none. Anything else stays as it is.
    pub(super) fn literal_as(&mut self, operand: Typed<'s>, kind: Kind, scope: &Scope<'_>) -> Node<'s> {
        let span = operand.span;
        match (operand.node, kind) {
            (Node::Null(_), _) if operand.ty == Type::Null => Node::Null(kind),
            (Node::Text(text), Kind::Datetime) => match time::parse_datetime(&text) {
                Some(datetime) => Node::Datetime(datetime),
                None => {
                    let message = "A point in time is written like 2024-01-31T13:00:00Z or 2024-01-31";
                    self.wrong(Code::BadDatetime, span, scope, message).node
                }
            },
            (Node::Text(text), Kind::Date) => match time::parse_date(&text) {
                Some(date) => Node::Date(date),
                None => {
                    let message = "A date is written YYYY-MM-DD";
                    self.wrong(Code::BadDatetime, span, scope, message).node
                }
            },
            (Node::Text(text), Kind::Number) => match json_number(&text) {
                Some(value) => Node::Number(Number {
                    value,
                    spelling: text,
                }),
                None => {
                    let message = "A number is needed here; this text is none";
                    self.wrong(Code::TypeMismatch, span, scope, message).node
                }
            },
            (Node::Number(number), Kind::Text) => Node::Text(number.spelling),
            (Node::Number(number), Kind::Boolean) if number.value == 0.0 => Node::Boolean(false),
            (Node::Number(number), Kind::Boolean) if number.value == 1.0 => Node::Boolean(true),
            (node, _) => match operand.ty {
                Type::Is(found) if node.is_literal() && found != kind => {
                    let message = format!(
                        "A value of type {} is needed here, not {}",
                        kind.name(),
                        found.name()
                    );
                    self.wrong(Code::TypeMismatch, span, scope, message).node
                }
                _ => node,
            },
        }
    }
}

fn can_be_uuid(node: &Node<'_>) -> bool {
    matches!(node, Node::Attribute(attribute) if attribute.is_uuid())
}

/// A uuid in the form 8-4-4-4-12, either case.
fn uuid(text: &str) -> Option<Node<'static>> {
    let hyphens = [8, 13, 18, 23];
    let fits = text.len() == 36
        && text
            .bytes()
            .enumerate()
            .all(|(index, byte)| match hyphens.contains(&index) {
                true => byte == b'-',
                false => byte.is_ascii_hexdigit(),
            });
    fits.then(|| Node::Uuid(text.to_ascii_lowercase()))
}

/// The value of a text that is a number of RFC 8259, §6, and finite.
fn json_number(text: &str) -> Option<f64> {
    let unsigned = text.strip_prefix('-').unwrap_or(text);
    let (mantissa, exponent) = match unsigned.find(['e', 'E']) {
        Some(at) => (&unsigned[..at], Some(&unsigned[at + 1..])),
        None => (unsigned, None),
    };
    let (integer, fraction) = match mantissa.split_once('.') {
        Some((integer, fraction)) => (integer, Some(fraction)),
        None => (mantissa, None),
    };
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let fits = digits(integer)
        && (integer == "0" || !integer.starts_with('0'))
        && fraction.is_none_or(digits)
        && exponent.is_none_or(|exponent| digits(exponent.strip_prefix(['+', '-']).unwrap_or(exponent)));
    text.parse().ok().filter(|value: &f64| fits && value.is_finite())
}
