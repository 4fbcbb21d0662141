//! The functions of computed fields.

use super::super::ast::{Comparison, Expr, Span};
use super::super::error::Code;
use super::super::schema::Kind;
use super::super::typed::{Function, Node, Unit};
use super::{Checker, Scope, Type, Typed};

/// Name, function, least and greatest number of arguments.
const FUNCTIONS: &[(&str, Function, usize, usize)] = &[
    ("concat", Function::Concat, 2, usize::MAX),
    ("upper", Function::Upper, 1, 1),
    ("lower", Function::Lower, 1, 1),
    ("trim", Function::Trim, 1, 1),
    ("length", Function::Length, 1, 1),
    ("substring", Function::Substring, 2, 3),
    ("abs", Function::Abs, 1, 1),
    ("ceil", Function::Ceil, 1, 1),
    ("floor", Function::Floor, 1, 1),
    ("round", Function::Round, 1, 2),
    ("if", Function::If, 3, 3),
    ("coalesce", Function::Coalesce, 2, usize::MAX),
    ("nullif", Function::NullIf, 2, 2),
    ("now", Function::Now, 0, 0),
    ("date_diff", Function::DateDiff(Unit::Seconds), 3, 3),
    ("date_add", Function::DateAdd(Unit::Seconds), 3, 3),
];

const UNITS: &[(&str, Unit)] = &[
    ("seconds", Unit::Seconds),
    ("minutes", Unit::Minutes),
    ("hours", Unit::Hours),
    ("days", Unit::Days),
    ("months", Unit::Months),
    ("years", Unit::Years),
];

impl<'s> Checker<'s> {
    /// A function call in a computed field.
    pub(super) fn function(
        &mut self,
        name: &str,
        span: Span,
        arguments: &[Expr],
        scope: &Scope<'_>,
    ) -> Typed<'s> {
        let place = scope.place(span);
        let mut values: Vec<Typed<'s>> = arguments
            .iter()
            .map(|argument| self.value(argument, scope))
            .collect();
        let Some((name, function, least, most)) = FUNCTIONS
            .iter()
            .find(|(known, ..)| name.eq_ignore_ascii_case(known))
        else {
            let known = FUNCTIONS
                .iter()
                .map(|(known, ..)| *known)
                .collect::<Vec<_>>()
                .join(", ");
            let message = format!("There is no function '{name}'; available: {known}");
            return self.wrong(Code::UnknownFunction, span, scope, message);
        };
        if !(*least..=*most).contains(&values.len()) {
            let needs = match (least, most) {
                (least, &usize::MAX) => format!("at least {least} arguments"),
                (1, 1) => "exactly 1 argument".to_owned(),
                (least, most) if least == most => format!("exactly {least} arguments"),
                (least, most) => format!("{least} to {most} arguments"),
            };
            return self.wrong(Code::Arity, span, scope, format!("{name} takes {needs}"));
        }
        let function = match function {
            Function::DateDiff(_) | Function::DateAdd(_) => {
                let unit = values.pop().and_then(|unit| self.unit(unit, scope));
                match (function, unit) {
                    (_, None) => return Typed::unknown(place),
                    (Function::DateDiff(_), Some(unit)) => Function::DateDiff(unit),
                    (_, Some(unit)) => Function::DateAdd(unit),
                }
            }
            other => *other,
        };
        match self.apply(function, values, scope) {
            Some((kind, arguments)) => Typed::new(Node::Function(function, arguments), kind, place),
            None => Typed::unknown(place),
        }
    }

    /// The type of the result and the arguments as the function takes them. None after a finding.
    fn apply(
        &mut self,
        function: Function,
        mut values: Vec<Typed<'s>>,
        scope: &Scope<'_>,
    ) -> Option<(Kind, Vec<Node<'s>>)> {
        use Kind::{Datetime, Number, Text};
        let (result, parameters): (Kind, &[Kind]) = match function {
            Function::Concat => return Some((Text, self.each(values, scope, Self::printable)?)),
            Function::Coalesce => return self.same_type(values, scope),
            Function::NullIf => {
                let kind = self.value_type(&values, scope)?;
                if !super::compare::has_operator(kind, Some(Comparison::Equal)) {
                    let span = values.first()?.span;
                    let message = format!("Values of type {} cannot be compared", kind.name());
                    self.report(Code::OperatorNotAllowed, span, scope, message);
                    return None;
                }
                return self.same_type(values, scope);
            }
            Function::If => {
                let branches = values.split_off(1);
                let condition = self.boolean(values.pop()?, scope);
                let (kind, branches) = self.same_type(branches, scope)?;
                return Some((kind, std::iter::once(condition?).chain(branches).collect()));
            }
            Function::Upper | Function::Lower | Function::Trim => (Text, &[Text]),
            Function::Length => (Number, &[Text]),
            Function::Substring => (Text, &[Text, Number, Number]),
            Function::Abs | Function::Ceil | Function::Floor => (Number, &[Number]),
            Function::Round => (Number, &[Number, Number]),
            Function::Now => (Datetime, &[]),
            Function::DateDiff(_) => (Number, &[Datetime, Datetime]),
            Function::DateAdd(_) => (Datetime, &[Datetime, Number]),
        };
        let mut parameters = parameters.iter();
        let arguments = self.each(values, scope, |checker, value, scope| {
            let kind = *parameters.next()?;
            checker.parameter(value, kind, scope)
        })?;
        Some((result, arguments))
    }

    /// Converts every value, reporting all that do not fit.
    fn each(
        &mut self,
        values: Vec<Typed<'s>>,
        scope: &Scope<'_>,
        mut convert: impl FnMut(&mut Self, Typed<'s>, &Scope<'_>) -> Option<Node<'s>>,
    ) -> Option<Vec<Node<'s>>> {
        let count = values.len();
        let nodes: Vec<Node<'s>> = values
            .into_iter()
            .filter_map(|value| convert(self, value, scope))
            .collect();
        (nodes.len() == count).then_some(nodes)
    }

    /// A value as an argument of that type.
    fn parameter(&mut self, value: Typed<'s>, kind: Kind, scope: &Scope<'_>) -> Option<Node<'s>> {
        match value.ty {
            Type::Unknown => None,
            Type::Is(Kind::Uuid) if kind == Kind::Text => Some(Node::ToText(Box::new(value.node))),
            Type::Is(Kind::Date) if kind == Kind::Datetime => Some(Node::StartOfDay(Box::new(value.node))),
            Type::Is(found) if !value.node.is_literal() && found != kind => {
                let message = format!(
                    "A value of type {} is needed here, not {}",
                    kind.name(),
                    found.name()
                );
                self.report(Code::TypeMismatch, value.span, scope, message);
                None
            }
            _ => self.literal(value, kind, scope),
        }
    }

    /// A value that has one text form whatever the session's settings: text, id, number.
    fn printable(&mut self, value: Typed<'s>, scope: &Scope<'_>) -> Option<Node<'s>> {
        match value.ty {
            Type::Is(Kind::Number) if !value.node.is_literal() => Some(Node::ToText(Box::new(value.node))),
            _ => self.parameter(value, Kind::Text, scope),
        }
    }

    fn boolean(&mut self, value: Typed<'s>, scope: &Scope<'_>) -> Option<Node<'s>> {
        match value.ty {
            Type::Is(Kind::Boolean) => Some(value.node),
            Type::Unknown => None,
            _ => {
                let message = format!("A condition is needed here, not a value of type {}", value.name());
                self.report(Code::NotBoolean, value.span, scope, message);
                None
            }
        }
    }

    /// The type of a result that is one of the values. An id next to a literal is a text: the literal may be any.
    fn value_type(&mut self, values: &[Typed<'s>], scope: &Scope<'_>) -> Option<Kind> {
        if values.iter().any(Typed::is_unknown) {
            return None;
        }
        let has_literal = values
            .iter()
            .any(|value| value.node.is_literal() && value.ty != Type::Null);
        match self.common_type(values, scope)? {
            Kind::Uuid if has_literal => Some(Kind::Text),
            kind => Some(kind),
        }
    }

    fn same_type(&mut self, values: Vec<Typed<'s>>, scope: &Scope<'_>) -> Option<(Kind, Vec<Node<'s>>)> {
        let kind = self.value_type(&values, scope)?;
        let nodes = self.each(values, scope, |checker, value, scope| {
            checker.parameter(value, kind, scope)
        })?;
        Some((kind, nodes))
    }

    fn unit(&mut self, unit: Typed<'s>, scope: &Scope<'_>) -> Option<Unit> {
        if let Node::Text(text) = &unit.node
            && let Some((_, unit)) = UNITS.iter().find(|(known, _)| text.eq_ignore_ascii_case(known))
        {
            return Some(*unit);
        }
        if !unit.is_unknown() {
            let known = UNITS
                .iter()
                .map(|(known, _)| *known)
                .collect::<Vec<_>>()
                .join(", ");
            let message = format!("The unit must be one of these texts: {known}");
            self.report(Code::TypeMismatch, unit.span, scope, message);
        }
        None
    }
}
