//! The language of rules and filters as the generator knows it: a tree, and how it is written. Written with as few
//! parentheses as the grammar allows, so that a wrong precedence in the compiler changes the meaning.

use std::fmt::Write;

use serde_json::{Value as Json, json};

/// A value of a row or an expression.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    Null,
    Bool(bool),
    Number(f64),
    /// Texts and ids (in lower case).
    Text(String),
    /// Microseconds since 1970, UTC.
    Time(i64),
    /// `YYYY-MM-DD`, which sorts as dates do.
    Date(String),
    /// JSON text.
    Json(String),
}

/// What can be compared with what.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Text,
    Number,
    Bool,
    Time,
    Date,
    Id,
    Json,
}

/// What rules know of the caller.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Attribute {
    Id,
    Email,
    Role,
    Account,
}

/// An expression of the language, well typed by construction.
#[derive(Debug, Clone, PartialEq)]
pub enum Expr {
    Null,
    /// A value and how it is spelled in a rule.
    Literal(Value, String),
    Field(String),
    /// `@request.data.<field>`
    Data(String),
    Caller(Attribute),
    Not(Box<Expr>),
    And(Vec<Expr>),
    Or(Vec<Expr>),
    Compare(Box<Expr>, &'static str, Box<Expr>),
    In(Box<Expr>, Vec<Expr>),
    /// The flag: `IS NOT NULL`.
    IsNull(Box<Expr>, bool),
    Negate(Box<Expr>),
    Arithmetic(Box<Expr>, char, Box<Expr>),
    /// The field that names the owner, and the macro as it is spelled.
    Owns(String, String),
    IsPublic,
    HasRole(String),
    HasGroup(String),
    /// A custom macro as it is spelled, and what it means.
    Macro(String, Box<Expr>),
    /// In computed fields, and in the meaning of macros.
    Function(&'static str, Vec<Expr>),
}

/// A text literal: the quotes vary with the text.
pub fn text(value: &str) -> Expr {
    let quote = if value.contains('\'') || value.len().is_multiple_of(2) {
        '"'
    } else {
        '\''
    };
    let mut spelling = String::from(quote);
    for letter in value.chars() {
        if letter == quote || letter == '\\' {
            spelling.push('\\');
        }
        spelling.push(letter);
    }
    spelling.push(quote);
    Expr::Literal(Value::Text(value.to_owned()), spelling)
}

/// How tightly an expression binds: the rungs of the grammar.
fn rung(expr: &Expr) -> u8 {
    match expr {
        Expr::Or(_) => 1,
        Expr::And(_) => 2,
        Expr::Not(_) => 3,
        Expr::Compare(..) | Expr::In(..) | Expr::IsNull(..) => 4,
        Expr::Arithmetic(_, '+' | '-', _) => 5,
        Expr::Arithmetic(..) => 6,
        Expr::Negate(_) => 7,
        _ => 8,
    }
}

impl std::fmt::Display for Expr {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Expr::Null => out.write_str("null"),
            Expr::Literal(_, spelling) => out.write_str(spelling),
            Expr::Field(name) => out.write_str(name),
            Expr::Data(name) => write!(out, "@request.data.{name}"),
            Expr::Caller(attribute) => write!(
                out,
                "@request.auth.{}",
                match attribute {
                    Attribute::Id => "id",
                    Attribute::Email => "email",
                    Attribute::Role => "role",
                    Attribute::Account => "account_id",
                }
            ),
            Expr::Not(operand) => write!(out, "!{}", within(operand, 3)),
            Expr::And(operands) => chain(out, operands, " && ", 3),
            Expr::Or(operands) => chain(out, operands, " || ", 2),
            Expr::Compare(left, operator, right) => {
                write!(out, "{} {operator} {}", within(left, 5), within(right, 5))
            }
            Expr::In(operand, members) => {
                write!(out, "{} IN (", within(operand, 5))?;
                chain(out, members, ", ", 5)?;
                out.write_char(')')
            }
            Expr::IsNull(operand, negated) => {
                let not = if *negated { "NOT " } else { "" };
                write!(out, "{} IS {not}NULL", within(operand, 5))
            }
            Expr::Negate(operand) => write!(out, "-{}", within(operand, 7)),
            Expr::Arithmetic(left, operator, right) => {
                let own = rung(self);
                write!(out, "{} {operator} {}", within(left, own), within(right, own + 1))
            }
            Expr::Owns(_, spelling) => out.write_str(spelling),
            Expr::Macro(spelling, _) => out.write_str(spelling),
            Expr::IsPublic => out.write_str("@is_public()"),
            Expr::HasRole(role) => write!(out, "@has_role({})", text(role)),
            Expr::HasGroup(group) => write!(out, "@has_group({})", text(group)),
            Expr::Function(name, arguments) => {
                write!(out, "{name}(")?;
                chain(out, arguments, ", ", 1)?;
                out.write_char(')')
            }
        }
    }
}

fn within(expr: &Expr, least: u8) -> String {
    if rung(expr) < least {
        format!("({expr})")
    } else {
        expr.to_string()
    }
}

fn chain(out: &mut std::fmt::Formatter<'_>, items: &[Expr], separator: &str, least: u8) -> std::fmt::Result {
    for (index, item) in items.iter().enumerate() {
        let separator = if index > 0 { separator } else { "" };
        write!(out, "{separator}{}", within(item, least))?;
    }
    Ok(())
}

impl Expr {
    /// The direct parts.
    pub fn parts(&self) -> Vec<&Expr> {
        match self {
            Expr::Not(operand)
            | Expr::Negate(operand)
            | Expr::IsNull(operand, _)
            | Expr::Macro(_, operand) => vec![operand],
            Expr::And(operands) | Expr::Or(operands) | Expr::Function(_, operands) => {
                operands.iter().collect()
            }
            Expr::Compare(left, _, right) | Expr::Arithmetic(left, _, right) => vec![left, right],
            Expr::In(operand, members) => std::iter::once(&**operand).chain(members).collect(),
            _ => Vec::new(),
        }
    }

    /// The operands of the outermost `&&`, those of macros and parentheses included.
    pub fn conjuncts(&self) -> Vec<&Expr> {
        match self {
            Expr::And(operands) => operands.iter().flat_map(Expr::conjuncts).collect(),
            Expr::Macro(_, meaning) if matches!(**meaning, Expr::And(_)) => meaning.conjuncts(),
            other => vec![other],
        }
    }

    /// Whether some part, at any depth, is like that.
    pub fn any(&self, is: &dyn Fn(&Expr) -> bool) -> bool {
        is(self) || self.parts().into_iter().any(|part| part.any(is))
    }

    /// Whether it names that field, of the record or of the data.
    pub fn mentions(&self, name: &str) -> bool {
        self.any(&|part| match part {
            Expr::Field(field) | Expr::Data(field) | Expr::Owns(field, _) => field == name,
            Expr::IsPublic => name == "public",
            _ => false,
        })
    }

    /// As a filter of the JSON form; not everything can be said there.
    pub fn as_json(&self) -> Option<Json> {
        let member = |operand: &Expr, value: Json| match operand {
            Expr::Field(name) => Some(json!({ name: value })),
            _ => None,
        };
        let all = |operands: &[Expr]| operands.iter().map(Expr::as_json).collect::<Option<Vec<_>>>();
        match self {
            Expr::Field(_) => member(self, json!(true)),
            Expr::Not(operand) => match &**operand {
                Expr::In(operand, members) => member(operand, json!({"$nin": literals(members)?})),
                operand => Some(json!({"$not": operand.as_json()?})),
            },
            Expr::And(operands) => Some(json!({"$and": all(operands)?})),
            Expr::Or(operands) => Some(json!({"$or": all(operands)?})),
            Expr::In(operand, members) => member(operand, Json::Array(literals(members)?)),
            Expr::IsNull(operand, negated) => member(operand, json!({"$null": !negated})),
            Expr::Compare(operand, operator, right) => {
                let operator = match *operator {
                    "=" => "$eq",
                    "!=" => "$ne",
                    ">" => "$gt",
                    ">=" => "$gte",
                    "<" => "$lt",
                    "<=" => "$lte",
                    _ => "$like",
                };
                member(operand, json!({operator: literal(right)?}))
            }
            _ => None,
        }
    }
}

fn literals(members: &[Expr]) -> Option<Vec<Json>> {
    members.iter().map(literal).collect()
}

/// A literal as JSON. Points in time keep their spelling, which is not the canonical one.
fn literal(expr: &Expr) -> Option<Json> {
    match expr {
        Expr::Literal(Value::Bool(value), _) => Some(json!(value)),
        Expr::Literal(Value::Number(value), _) => Some(json!(value)),
        Expr::Literal(Value::Text(value) | Value::Date(value), _) => Some(json!(value)),
        Expr::Literal(Value::Time(_), spelling) => Some(json!(spelling.trim_matches('"'))),
        _ => None,
    }
}
