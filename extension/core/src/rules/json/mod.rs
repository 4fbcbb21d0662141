//! The JSON form of a filter: an object whose members are conditions, made into the same tree as the text form.

mod read;

use super::ast::{Comparison, Expr, ExprKind, Span};
use super::error::{Code, Error};
use super::limits;
use read::{Json, Member, Value};

/// The operators of a field, as listed in a message.
const OPERATORS: &str = "$eq $ne $gt $gte $lt $lte $in $nin $like $null";

/// Whether a filter is in the JSON form: its first character is `{`.
pub(super) fn is_json(source: &str) -> bool {
    source.trim_start().starts_with('{')
}

/// Reads a filter in the JSON form; None when it has no condition.
pub(super) fn parse(source: &str) -> Result<Option<Expr>, Vec<Error>> {
    super::parse::check_length(source).map_err(|error| vec![error])?;
    let json = read::read(source).map_err(|error| vec![error])?;
    let mut builder = Builder { errors: Vec::new() };
    let expr = builder.object(&json);
    if builder.errors.is_empty() {
        Ok(expr)
    } else {
        Err(builder.errors)
    }
}

struct Builder {
    errors: Vec<Error>,
}

impl Builder {
    fn wrong(&mut self, code: Code, span: Span, message: impl Into<String>) -> Option<Expr> {
        if self.errors.len() < limits::ERRORS {
            self.errors.push(Error::new(code, span, message));
        }
        None
    }

    /// The conditions of an object, ANDed; None when it has none, or after a finding.
    fn object(&mut self, json: &Json) -> Option<Expr> {
        let Value::Object(members) = &json.value else {
            return self.wrong(
                Code::TypeMismatch,
                json.span,
                "An object with conditions is needed here",
            );
        };
        if let Some(expression) = expression(members) {
            return self.expression(expression, json.span);
        }
        let conditions = members.iter().filter_map(|member| self.member(member)).collect();
        join(conditions, json.span, ExprKind::And)
    }

    fn member(&mut self, member: &Member) -> Option<Expr> {
        let Member { key, span, json } = member;
        match key.as_str() {
            "$and" => {
                let conditions = self.objects(json)?.into_iter().flatten().collect();
                join(conditions, json.span, ExprKind::And)
            }
            "$or" => {
                let branches = self.objects(json)?;
                if branches.is_empty() {
                    return self.wrong(Code::Syntax, json.span, "$or needs at least one object");
                }
                // An object without conditions is true.
                let branches = branches
                    .into_iter()
                    .map(|branch| branch.unwrap_or(boolean(true, json.span)));
                join(branches.collect(), json.span, ExprKind::Or)
            }
            "$not" => {
                let operand = self.object(json).unwrap_or(boolean(true, json.span));
                Some(not(operand, json.span))
            }
            _ if key.starts_with('$') => {
                let message = format!("There is no '{key}' here; available: $and $or $not");
                self.wrong(Code::OperatorNotAllowed, *span, message)
            }
            _ => self.field(member),
        }
    }

    /// The members of an array of objects; None after a finding.
    fn objects(&mut self, json: &Json) -> Option<Vec<Option<Expr>>> {
        match &json.value {
            Value::Array(members) => Some(members.iter().map(|member| self.object(member)).collect()),
            _ => {
                self.wrong(
                    Code::TypeMismatch,
                    json.span,
                    "An array of objects is needed here",
                );
                None
            }
        }
    }

    fn field(&mut self, member: &Member) -> Option<Expr> {
        let field = Expr {
            kind: ExprKind::Name(member.key.clone()),
            span: member.span,
        };
        match &member.json.value {
            Value::Object(operators) if operators.is_empty() => {
                let message = format!("An operator is needed here: {OPERATORS}");
                self.wrong(Code::Syntax, member.json.span, message)
            }
            Value::Object(operators) => {
                let conditions = operators
                    .iter()
                    .filter_map(|operator| self.operator(&field, operator));
                join(conditions.collect(), member.json.span, ExprKind::And)
            }
            Value::Array(_) => self.membership(&field, member.span, &member.json),
            _ => self.comparison(&field, Comparison::Equal, member.span, &member.json),
        }
    }

    fn operator(&mut self, field: &Expr, member: &Member) -> Option<Expr> {
        let Member { key, span, json } = member;
        let comparison = match key.as_str() {
            "$eq" => Comparison::Equal,
            "$ne" => Comparison::Unequal,
            "$gt" => Comparison::Greater,
            "$gte" => Comparison::GreaterOrEqual,
            "$lt" => Comparison::Less,
            "$lte" => Comparison::LessOrEqual,
            "$like" => Comparison::Like,
            "$in" => return self.membership(field, *span, json),
            "$nin" => {
                return self
                    .membership(field, *span, json)
                    .map(|listed| not(listed, *span));
            }
            "$null" => {
                return match json.value {
                    Value::Boolean(is_null) => Some(null_test(field, !is_null, *span)),
                    _ => self.wrong(Code::TypeMismatch, json.span, "$null takes true or false"),
                };
            }
            _ => {
                let message = format!("There is no operator '{key}'; available: {OPERATORS}");
                return self.wrong(Code::OperatorNotAllowed, *span, message);
            }
        };
        self.comparison(field, comparison, *span, json)
    }

    /// `field operator value`; comparing with null means testing for it.
    fn comparison(&mut self, field: &Expr, operator: Comparison, at: Span, json: &Json) -> Option<Expr> {
        match (&json.value, operator) {
            (Value::Null, Comparison::Equal) => Some(null_test(field, false, at)),
            (Value::Null, Comparison::Unequal) => Some(null_test(field, true, at)),
            (Value::Null, _) => self.wrong(
                Code::TypeMismatch,
                json.span,
                "Only = and != can be asked about null",
            ),
            _ => {
                let value = self.scalar(json)?;
                let kind = ExprKind::Compare(Box::new(field.clone()), operator, at, Box::new(value));
                Some(Expr {
                    kind,
                    span: cover(field.span, json.span),
                })
            }
        }
    }

    fn membership(&mut self, field: &Expr, at: Span, json: &Json) -> Option<Expr> {
        let Value::Array(members) = &json.value else {
            return self.wrong(Code::TypeMismatch, json.span, "An array of values is needed here");
        };
        if members.len() > limits::VALUES {
            let message = format!("A list has more than {} values", limits::VALUES);
            return self.wrong(Code::TooManyValues, json.span, message);
        }
        let findings = self.errors.len();
        let members = members.iter().filter_map(|member| self.scalar(member)).collect();
        let kind = ExprKind::In(Box::new(field.clone()), at, members);
        (self.errors.len() == findings).then(|| Expr {
            kind,
            span: cover(field.span, json.span),
        })
    }

    /// A value other than null, as a literal.
    fn scalar(&mut self, json: &Json) -> Option<Expr> {
        let kind = match &json.value {
            Value::Boolean(value) => ExprKind::Boolean(*value),
            Value::Text(text) => ExprKind::Text(text.clone()),
            Value::Number { negative, number } => {
                let number = ExprKind::Number(number.clone());
                match negative {
                    true => ExprKind::Negate(Box::new(Expr {
                        kind: number,
                        span: json.span,
                    })),
                    false => number,
                }
            }
            Value::Null => {
                return self.wrong(
                    Code::TypeMismatch,
                    json.span,
                    "null is not a value; ask with {\"$null\": true}",
                );
            }
            Value::Array(_) | Value::Object(_) => {
                return self.wrong(
                    Code::TypeMismatch,
                    json.span,
                    "A text, number or boolean is needed here",
                );
            }
        };
        Some(Expr {
            kind,
            span: json.span,
        })
    }

    /// The form `{"field", "operator", "value"}`.
    fn expression(&mut self, expression: Expression<'_>, span: Span) -> Option<Expr> {
        let Value::Text(name) = &expression.field.value else {
            return self.wrong(
                Code::TypeMismatch,
                expression.field.span,
                "The name of a field is needed here",
            );
        };
        let field = Expr {
            kind: ExprKind::Name(name.clone()),
            span: expression.field.span,
        };
        let at = expression.operator.span;
        let symbol = match &expression.operator.value {
            Value::Text(symbol) => symbol.to_ascii_uppercase(),
            _ => String::new(),
        };
        let comparison = match symbol.as_str() {
            "=" => Comparison::Equal,
            "!=" => Comparison::Unequal,
            ">" => Comparison::Greater,
            ">=" => Comparison::GreaterOrEqual,
            "<" => Comparison::Less,
            "<=" => Comparison::LessOrEqual,
            "~" => Comparison::Like,
            "IS NULL" => return Some(null_test(&field, false, span)),
            "IS NOT NULL" => return Some(null_test(&field, true, span)),
            "IN" => return self.membership(&field, at, expression.value?),
            _ => {
                let message = "The operator must be one of = != > >= < <= ~ IN, IS NULL, IS NOT NULL";
                return self.wrong(Code::OperatorNotAllowed, at, message);
            }
        };
        self.comparison(&field, comparison, at, expression.value?)
    }
}

/// The filter expression of the client library, as one object.
struct Expression<'j> {
    field: &'j Json,
    operator: &'j Json,
    value: Option<&'j Json>,
}

/// Exactly the members `field`, `operator` and `value`; the tests for null need no value.
fn expression(members: &[Member]) -> Option<Expression<'_>> {
    let find = |key: &str| {
        members
            .iter()
            .find(|member| member.key == key)
            .map(|member| &member.json)
    };
    let (field, operator, value) = (find("field")?, find("operator")?, find("value"));
    let is_null_test =
        matches!(&operator.value, Value::Text(text) if text.to_ascii_uppercase().starts_with("IS "));
    let complete = members.len() == 3 && value.is_some() || members.len() == 2 && is_null_test;
    complete.then_some(Expression {
        field,
        operator,
        value,
    })
}

fn join(mut conditions: Vec<Expr>, span: Span, node: fn(Vec<Expr>) -> ExprKind) -> Option<Expr> {
    match conditions.len() {
        0 | 1 => conditions.pop(),
        _ => Some(Expr {
            kind: node(conditions),
            span,
        }),
    }
}

fn boolean(value: bool, span: Span) -> Expr {
    Expr {
        kind: ExprKind::Boolean(value),
        span,
    }
}

fn not(operand: Expr, span: Span) -> Expr {
    Expr {
        kind: ExprKind::Not(Box::new(operand)),
        span,
    }
}

fn null_test(field: &Expr, negated: bool, at: Span) -> Expr {
    Expr {
        kind: ExprKind::IsNull(Box::new(field.clone()), negated),
        span: cover(field.span, at),
    }
}

fn cover(left: Span, right: Span) -> Span {
    Span {
        start: left.start.min(right.start),
        end: left.end.max(right.end),
    }
}
