//! What an identifier means: a field, the caller, the data about to be written, a macro, a function.

use super::super::ast::{Expr, Span};
use super::super::error::Code;
use super::super::parse;
use super::super::schema::{Column, Kind};
use super::super::typed::{Attribute, Node, Row};
use super::super::{Dialect, Operation};
use super::{Checker, Scope, Typed, Usage};

impl<'s> Checker<'s> {
    pub(super) fn name(&mut self, name: &str, span: Span, scope: &Scope<'_>, usage: Usage) -> Typed<'s> {
        match name.strip_prefix('@') {
            Some(context) if self.context_allowed(name, span, scope) => {
                match context.split_once('.').unwrap_or((context, "")) {
                    ("request", path) => self.request(path, name, span, scope, usage),
                    _ => self.expand(context, span, &[], scope),
                }
            }
            Some(_) => Typed::unknown(scope.place(span)),
            None => self.field(name, span, scope, usage),
        }
    }

    pub(super) fn call(
        &mut self,
        name: &str,
        span: Span,
        arguments: &[Expr],
        scope: &Scope<'_>,
    ) -> Typed<'s> {
        match name.strip_prefix('@') {
            Some(called) if self.context_allowed(name, span, scope) => {
                self.expand(called, span, arguments, scope)
            }
            Some(_) => Typed::unknown(scope.place(span)),
            None if scope.dialect == Dialect::Computed => self.function(name, span, arguments, scope),
            None => {
                for argument in arguments {
                    self.value(argument, scope);
                }
                let hint = match name.to_ascii_uppercase().as_str() {
                    "NOT" => "write !(…)",
                    _ => "functions exist in computed fields only",
                };
                let message = format!("There is no function '{name}' here; {hint}");
                self.wrong(Code::UnknownFunction, span, scope, message)
            }
        }
    }

    /// Whether `@…` may stand here; reports if not.
    fn context_allowed(&mut self, name: &str, span: Span, scope: &Scope<'_>) -> bool {
        let place = match scope.dialect {
            Dialect::Rule(_) => return true,
            Dialect::Filter => "a filter",
            Dialect::Computed => "a computed field",
        };
        let message = format!("'{name}' cannot be used in {place}: it may only name fields");
        self.report(Code::ContextNotAllowed, span, scope, message);
        false
    }

    fn request(&mut self, path: &str, name: &str, span: Span, scope: &Scope<'_>, usage: Usage) -> Typed<'s> {
        let place = scope.place(span);
        match path.split_once('.') {
            Some(("auth", attribute)) => {
                if let Some((_, attribute)) = Attribute::NAMES.iter().find(|(known, _)| *known == attribute) {
                    return Typed::new(Node::Attribute(*attribute), Kind::Text, place);
                }
            }
            Some(("data", field)) => return self.data(field, span, scope, usage),
            _ => {}
        }
        let known = Attribute::NAMES.map(|(known, _)| known).join(", ");
        let message = format!(
            "'{name}' does not exist; available: @request.auth. with {known}, and @request.data. with a field"
        );
        self.wrong(Code::UnknownContext, span, scope, message)
    }

    fn data(&mut self, field: &str, span: Span, scope: &Scope<'_>, usage: Usage) -> Typed<'s> {
        if !matches!(
            scope.dialect,
            Dialect::Rule(Operation::Create | Operation::Update)
        ) {
            let message = "@request.data exists in create and update rules only";
            return self.wrong(Code::DataNotAllowed, span, scope, message);
        }
        let scope = Scope {
            row: Row::Data,
            ..*scope
        };
        match self.schema.column(field) {
            Some(column) if column.computed.is_some() => {
                let message = format!("'{field}' is computed: it is not part of the data that is written");
                self.wrong(Code::UnknownField, span, &scope, message)
            }
            _ => self.field(field, span, &scope, usage),
        }
    }

    pub(super) fn field(&mut self, name: &str, span: Span, scope: &Scope<'_>, usage: Usage) -> Typed<'s> {
        let schema = self.schema;
        let in_computed = scope.dialect == Dialect::Computed;
        match schema.column(name) {
            Some(column) if column.computed.is_some() && in_computed => {
                let message =
                    format!("'{name}' is computed itself: a computed field may only use stored fields");
                self.wrong(Code::UnknownField, span, scope, message)
            }
            Some(_) if !schema.is_typed(name) => Typed::unknown(scope.place(span)),
            Some(column) => self.column(column, span, scope, usage),
            None if schema.is_open() => Typed::unknown(scope.place(span)),
            None => {
                let known: Vec<&str> = schema
                    .columns()
                    .iter()
                    .filter(|column| !(in_computed && column.computed.is_some()))
                    .map(|column| column.name.as_str())
                    .collect();
                let message = format!("Field '{name}' does not exist; available: {}", known.join(", "));
                self.wrong(Code::UnknownField, span, scope, message)
            }
        }
    }

    fn column(&mut self, column: &'s Column, span: Span, scope: &Scope<'_>, usage: Usage) -> Typed<'s> {
        let is_rule = matches!(scope.dialect, Dialect::Rule(_));
        if column.encrypted && !(is_rule && usage == Usage::NullTest) {
            let allowed = if is_rule {
                "it can only be tested with IS NULL or IS NOT NULL"
            } else {
                "it cannot be used here"
            };
            let message = format!("Field '{}' is encrypted: {allowed}", column.name);
            return self.wrong(Code::EncryptedField, span, scope, message);
        }
        // What a computed field is made of is judged by the computed field itself.
        if column.masked && usage == Usage::Value && scope.dialect != Dialect::Computed {
            let message = format!(
                "Field '{}' is masked: it can only be compared by =, != and IN, or tested with IS NULL",
                column.name
            );
            return self.wrong(Code::MaskedField, span, scope, message);
        }
        let place = scope.place(span);
        let Some(source) = &column.computed else {
            return Typed::new(Node::Column(scope.row, column), column.kind, place);
        };
        let within = format!("computed field '{}'", column.name);
        let inner = Scope {
            dialect: Dialect::Computed,
            row: scope.row,
            site: Some(place),
            within: &within,
            arguments: &[],
            outer: None,
        };
        match parse::parse(source) {
            Ok(expr) => Typed::new(self.result(&expr, column.kind, &inner), column.kind, place),
            Err(error) => self.wrong(error.code, place, &inner, error.to_string()),
        }
    }
}
