//! Macros: the built-in ones, and the expansion of custom ones on the tree.

use super::super::ast::{Comparison, Expr, ExprKind, Span};
use super::super::error::{Code, Error};
use super::super::limits;
use super::super::macros::MacroBody;
use super::super::parse;
use super::super::schema::Kind;
use super::super::typed::{Attribute, Node};
use super::{Checker, Scope, Type, Typed, Usage};

/// The built-in macros, as listed in a message.
const BUILT_IN: &str =
    "@owns_record @is_creator @is_public @has_role @has_group @in_time_range @has_permission";

/// What a permission of a role may mention.
const PERMITTED: [&str; 4] = ["create", "read", "update", "delete"];

impl<'s> Checker<'s> {
    /// The macro `name` (without `@`) applied to its arguments.
    pub(super) fn expand(
        &mut self,
        name: &str,
        span: Span,
        arguments: &[Expr],
        scope: &Scope<'_>,
    ) -> Typed<'s> {
        let place = scope.place(span);
        match (name, arguments) {
            ("owns_record" | "is_creator", []) => self.owns("created_by", span, span, scope),
            ("owns_record", [field]) => match &filled(field, scope).kind {
                ExprKind::Name(name) | ExprKind::Text(name) if !name.starts_with('@') => {
                    self.owns(name, field.span, span, scope)
                }
                _ => {
                    let message = "The argument of @owns_record must be the name of a field";
                    self.wrong(Code::TypeMismatch, field.span, scope, message)
                }
            },
            ("owns_record", _) => self.arity(name, "at most 1 argument", span, scope),
            ("is_creator", _) => self.arity(name, "no argument", span, scope),
            ("is_public", []) => {
                let field = self.field("public", span, scope, Usage::Value);
                match field.ty {
                    Type::Is(Kind::Boolean) | Type::Unknown => field,
                    _ => {
                        let message = "@is_public needs the field 'public' to be a boolean";
                        self.wrong(Code::TypeMismatch, span, scope, message)
                    }
                }
            }
            ("is_public", _) => self.arity(name, "no argument", span, scope),
            ("has_role", [role]) => {
                let role = self.value(role, scope);
                let caller = Typed::new(Node::Attribute(Attribute::Role), Kind::Text, place);
                self.compare(caller, (Comparison::Equal, span), role, place, scope)
            }
            ("has_role", _) => self.arity(name, "exactly 1 argument", span, scope),
            ("has_group", [group]) => {
                let group = self.value(group, scope);
                match self.text(group, scope) {
                    Some(group) => Typed::new(Node::InGroup(Box::new(group)), Kind::Boolean, place),
                    None => Typed::unknown(place),
                }
            }
            ("has_group", _) => self.arity(name, "exactly 1 argument", span, scope),
            ("in_time_range", [from, to]) => match (self.hour(from, scope), self.hour(to, scope)) {
                (Some(from), Some(to)) => Typed::new(Node::InHours(from, to), Kind::Boolean, place),
                _ => Typed::unknown(place),
            },
            ("in_time_range", _) => self.arity(name, "exactly 2 arguments", span, scope),
            ("has_permission", [act, collection]) => self.permission(act, collection, place, scope),
            ("has_permission", _) => self.arity(name, "exactly 2 arguments", span, scope),
            _ => self.custom(name, span, arguments, scope),
        }
    }

    fn arity(&mut self, name: &str, needs: &str, span: Span, scope: &Scope<'_>) -> Typed<'s> {
        self.wrong(Code::Arity, span, scope, format!("@{name} takes {needs}"))
    }

    /// `@has_permission("act", "collection")`: literals, so that it is asked once per statement.
    fn permission(&mut self, act: &Expr, collection: &Expr, place: Span, scope: &Scope<'_>) -> Typed<'s> {
        let text = |expr: &Expr| match &filled(expr, scope).kind {
            ExprKind::Text(text) => Some(text.clone()),
            _ => None,
        };
        let known = text(act).filter(|act| PERMITTED.contains(&act.as_str()));
        match (known, text(collection)) {
            (Some(act), Some(collection)) => {
                Typed::new(Node::HasPermission(act, collection), Kind::Boolean, place)
            }
            (None, _) => {
                let message =
                    "The first argument of @has_permission is \"create\", \"read\", \"update\" or \"delete\"";
                self.wrong(Code::TypeMismatch, act.span, scope, message)
            }
            (_, None) => {
                let message = "The second argument of @has_permission is the name of a collection in quotes";
                self.wrong(Code::TypeMismatch, collection.span, scope, message)
            }
        }
    }

    /// `field = @request.auth.id`
    fn owns(&mut self, field: &str, span: Span, macro_span: Span, scope: &Scope<'_>) -> Typed<'s> {
        let field = self.field(field, span, scope, Usage::Value);
        match field.ty {
            Type::Is(Kind::Text | Kind::Uuid) | Type::Unknown => {
                let place = scope.place(macro_span);
                let caller = Typed::new(Node::Attribute(Attribute::Id), Kind::Text, place);
                self.compare(field, (Comparison::Equal, macro_span), caller, place, scope)
            }
            _ => {
                let message = format!("The owner must be a text or an id, not {}", field.name());
                self.wrong(Code::TypeMismatch, span, scope, message)
            }
        }
    }

    /// An argument that must be a text. None after a finding.
    fn text(&mut self, argument: Typed<'s>, scope: &Scope<'_>) -> Option<Node<'s>> {
        match argument.ty {
            Type::Unknown => None,
            Type::Is(Kind::Uuid) => Some(Node::ToText(Box::new(argument.node))),
            Type::Is(found) if !argument.node.is_literal() && found != Kind::Text => {
                let message = format!("A text is needed here, not {}", found.name());
                self.report(Code::TypeMismatch, argument.span, scope, message);
                None
            }
            _ => self.literal(argument, Kind::Text, scope),
        }
    }

    /// An argument that must be an hour of the day. None after a finding.
    fn hour(&mut self, argument: &Expr, scope: &Scope<'_>) -> Option<u8> {
        let argument = self.value(argument, scope);
        if let Node::Number(number) = &argument.node {
            let hour = (0..=24).find(|hour| f64::from(*hour) == number.value);
            if hour.is_some() {
                return hour;
            }
        }
        if !argument.is_unknown() {
            let message = "An hour of the day is a whole number from 0 to 24";
            self.report(Code::TypeMismatch, argument.span, scope, message);
        }
        None
    }

    fn custom(&mut self, name: &str, span: Span, arguments: &[Expr], scope: &Scope<'_>) -> Typed<'s> {
        let place = scope.place(span);
        match self.macros.lookup(name) {
            None => {
                let message = format!("There is no macro '@{name}'; built in: {BUILT_IN}");
                self.wrong(Code::UnknownMacro, span, scope, message)
            }
            Some(MacroBody::Select { function, arity }) => {
                let values: Vec<Typed<'s>> = arguments
                    .iter()
                    .map(|argument| self.value(argument, scope))
                    .collect();
                if arguments.len() != arity {
                    return self.arity(name, &count(arity), span, scope);
                }
                if values.iter().any(Typed::is_unknown) {
                    return Typed::unknown(place);
                }
                let values = values.into_iter().map(any_as_text).collect();
                Typed::new(Node::Macro(function, values), Kind::Boolean, place)
            }
            Some(MacroBody::Fragment(body)) => self.fragment(name, &body, span, arguments, scope),
        }
    }

    fn fragment(
        &mut self,
        name: &str,
        body: &str,
        span: Span,
        arguments: &[Expr],
        scope: &Scope<'_>,
    ) -> Typed<'s> {
        let within = format!("macro '@{name}'");
        let open: Vec<&str> = std::iter::successors(Some(scope), |scope| scope.outer)
            .map(|scope| scope.within)
            .filter(|within| !within.is_empty())
            .collect();
        if open.contains(&within.as_str()) {
            return self.wrong(
                Code::MacroCycle,
                span,
                scope,
                format!("The macro '@{name}' uses itself"),
            );
        }
        if open.len() >= limits::MACRO_DEPTH {
            let message = format!("Macros are nested more than {} deep", limits::MACRO_DEPTH);
            return self.wrong(Code::MacroDepth, span, scope, message);
        }
        let inner = Scope {
            dialect: scope.dialect,
            row: scope.row,
            site: Some(scope.place(span)),
            within: &within,
            arguments,
            outer: Some(scope),
        };
        match parse::parse_fragment(body) {
            Err(Error { code, message, .. }) => self.wrong(code, span, &inner, message),
            Ok(expr) if expr.largest_hole() != arguments.len() => {
                self.arity(name, &count(expr.largest_hole()), span, scope)
            }
            Ok(expr) => self.value(&expr, &inner),
        }
    }

    /// `$n` in a macro's body: the argument, read where it was written.
    pub(super) fn argument(
        &mut self,
        index: usize,
        span: Span,
        scope: &Scope<'_>,
        usage: Usage,
    ) -> Typed<'s> {
        match (scope.arguments.get(index.wrapping_sub(1)), scope.outer) {
            (Some(argument), Some(outer)) => self.value_for(argument, outer, usage),
            _ => self.wrong(
                Code::Arity,
                span,
                scope,
                format!("There is no argument ${index} here"),
            ),
        }
    }
}

/// What an argument is in the end: one that is a hole is what was put there.
fn filled<'e>(expr: &'e Expr, scope: &Scope<'e>) -> &'e Expr {
    match (&expr.kind, scope.outer) {
        (ExprKind::Hole(index), Some(outer)) => match scope.arguments.get(index.wrapping_sub(1)) {
            Some(argument) => filled(argument, outer),
            None => expr,
        },
        _ => expr,
    }
}

fn count(arguments: usize) -> String {
    match arguments {
        0 => "no argument".to_owned(),
        1 => "exactly 1 argument".to_owned(),
        _ => format!("exactly {arguments} arguments"),
    }
}

/// What a SQL function receives for an argument.
fn any_as_text(argument: Typed<'_>) -> Node<'_> {
    match (argument.node, argument.ty) {
        (_, Type::Null) => Node::Null(Kind::Text),
        (Node::Text(text), _) => Node::Text(text),
        (Node::Number(number), _) => Node::Text(number.spelling),
        (Node::Boolean(value), _) => Node::Text(value.to_string()),
        (node, Type::Is(Kind::Text)) => node,
        (node, _) => Node::ToText(Box::new(node)),
    }
}
