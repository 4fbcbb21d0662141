//! The reference evaluator: what an expression is on one row, in logic with three values. Written from the contract
//! (rules §3 and §4, collections §5, records §8); it shares nothing with the compiler but the pages both were written from.

use std::cmp::Ordering;

use super::language::{Attribute, Expr, Value};
use super::model::{Collection, Identity, Row};

/// Where names get their values.
pub struct Scope<'a> {
    pub collection: &'a Collection,
    /// What field names mean.
    pub record: &'a Row,
    /// What `@request.data` means.
    pub data: &'a Row,
    pub caller: &'a Identity,
}

impl Scope<'_> {
    /// Whether a condition is TRUE here: NULL means no.
    pub fn admits(&self, condition: &Expr) -> bool {
        self.value(condition) == Value::Bool(true)
    }

    /// The value of an expression.
    pub fn value(&self, expr: &Expr) -> Value {
        match expr {
            Expr::Null => Value::Null,
            Expr::Literal(value, _) => value.clone(),
            Expr::Field(name) => self.field(name),
            Expr::Data(name) => self.data.get(name).cloned().unwrap_or(Value::Null),
            Expr::Caller(attribute) => self.attribute(*attribute),
            Expr::Not(operand) => truth(self.value(operand)).map(|known| !known).into(),
            Expr::And(operands) => self.decide(operands, false),
            Expr::Or(operands) => self.decide(operands, true),
            Expr::Compare(left, operator, right) => {
                compare(&self.value(left), operator, &self.value(right)).into()
            }
            Expr::In(operand, members) => {
                let operand = self.value(operand);
                let found: Vec<Option<bool>> = members
                    .iter()
                    .map(|member| compare(&operand, "=", &self.value(member)))
                    .collect();
                any(found).into()
            }
            Expr::IsNull(operand, negated) => Value::Bool((self.value(operand) == Value::Null) != *negated),
            Expr::Negate(operand) => match self.value(operand) {
                Value::Number(number) => Value::Number(-number),
                _ => Value::Null,
            },
            Expr::Arithmetic(left, operator, right) => {
                arithmetic(&self.value(left), *operator, &self.value(right))
            }
            Expr::Owns(field, _) => compare(&self.field(field), "=", &self.attribute(Attribute::Id)).into(),
            Expr::Macro(_, meaning) => self.value(meaning),
            Expr::IsPublic => self.field("public"),
            Expr::HasRole(role) => {
                compare(&self.attribute(Attribute::Role), "=", &Value::Text(role.clone())).into()
            }
            Expr::HasGroup(group) => Value::Bool(self.caller.groups.contains(group)),
            Expr::Function(name, arguments) => function(
                name,
                arguments.iter().map(|argument| self.value(argument)).collect(),
            ),
        }
    }

    fn field(&self, name: &str) -> Value {
        match self.collection.computed(name) {
            Some(expression) => self.value(expression),
            None => self.record.get(name).cloned().unwrap_or(Value::Null),
        }
    }

    fn attribute(&self, attribute: Attribute) -> Value {
        let text = match attribute {
            Attribute::Id => self.caller.id.clone(),
            Attribute::Email => self.caller.email.clone(),
            Attribute::Role => self.caller.role.clone(),
            Attribute::Account => Some(self.caller.account.clone()),
        };
        text.map_or(Value::Null, Value::Text)
    }

    /// `||` is decided by a TRUE among its operands, `&&` by a FALSE; without it, a NULL makes it NULL.
    fn decide(&self, operands: &[Expr], decisive: bool) -> Value {
        let known: Vec<Option<bool>> = operands
            .iter()
            .map(|operand| truth(self.value(operand)))
            .collect();
        if known.contains(&Some(decisive)) {
            Value::Bool(decisive)
        } else if known.contains(&None) {
            Value::Null
        } else {
            Value::Bool(!decisive)
        }
    }
}

impl From<Option<bool>> for Value {
    fn from(known: Option<bool>) -> Self {
        known.map_or(Value::Null, Value::Bool)
    }
}

fn truth(value: Value) -> Option<bool> {
    match value {
        Value::Bool(known) => Some(known),
        _ => None,
    }
}

fn any(found: Vec<Option<bool>>) -> Option<bool> {
    if found.contains(&Some(true)) {
        Some(true)
    } else if found.contains(&None) {
        None
    } else {
        Some(false)
    }
}

/// The order of two values of one type; texts by code point, which is what the test cluster's locale does.
pub fn order(left: &Value, right: &Value) -> Option<Ordering> {
    match (left, right) {
        (Value::Bool(left), Value::Bool(right)) => Some(left.cmp(right)),
        (Value::Number(left), Value::Number(right)) => left.partial_cmp(right),
        (Value::Text(left), Value::Text(right)) | (Value::Date(left), Value::Date(right)) => {
            Some(left.cmp(right))
        }
        (Value::Time(left), Value::Time(right)) => Some(left.cmp(right)),
        (Value::Null, _) | (_, Value::Null) => None,
        _ => panic!("the generator compared {left:?} with {right:?}"),
    }
}

fn compare(left: &Value, operator: &str, right: &Value) -> Option<bool> {
    let order = order(left, right)?;
    Some(match operator {
        "=" => order.is_eq(),
        "!=" => order.is_ne(),
        "<" => order.is_lt(),
        ">" => order.is_gt(),
        "<=" => order.is_le(),
        ">=" => order.is_ge(),
        _ => match (left, right) {
            (Value::Text(text), Value::Text(pattern)) => like(
                &text.to_lowercase().chars().collect::<Vec<_>>(),
                &pattern.to_lowercase().chars().collect::<Vec<_>>(),
            ),
            _ => panic!("the generator matched {left:?} with {right:?}"),
        },
    })
}

/// The whole text against the whole pattern.
fn like(text: &[char], pattern: &[char]) -> bool {
    match pattern {
        [] => text.is_empty(),
        ['%', rest @ ..] => (0..=text.len()).any(|skipped| like(&text[skipped..], rest)),
        ['_', rest @ ..] => !text.is_empty() && like(&text[1..], rest),
        ['\\', letter, rest @ ..] | [letter, rest @ ..] => {
            text.first() == Some(letter) && like(&text[1..], rest)
        }
    }
}

/// NULL wherever there is no finite answer.
fn arithmetic(left: &Value, operator: char, right: &Value) -> Value {
    let (Value::Number(left), Value::Number(right)) = (left, right) else {
        return Value::Null;
    };
    let result = match operator {
        '+' => left + right,
        '-' => left - right,
        '*' => left * right,
        '/' => left / right,
        _ => left % right,
    };
    if result.is_finite() {
        Value::Number(result)
    } else {
        Value::Null
    }
}

fn function(name: &str, arguments: Vec<Value>) -> Value {
    let texts = |change: fn(&str) -> Value| match &arguments[0] {
        Value::Text(text) => change(text),
        _ => Value::Null,
    };
    match name {
        "concat" => Value::Text(arguments.iter().map(plain).collect()),
        "upper" => texts(|text| Value::Text(text.to_uppercase())),
        "lower" => texts(|text| Value::Text(text.to_lowercase())),
        #[expect(clippy::cast_precision_loss, reason = "texts of a few characters")]
        "length" => texts(|text| Value::Number(text.chars().count() as f64)),
        "abs" => match arguments[0] {
            Value::Number(number) => Value::Number(number.abs()),
            _ => Value::Null,
        },
        "if" => arguments[if arguments[0] == Value::Bool(true) { 1 } else { 2 }].clone(),
        "coalesce" => arguments
            .into_iter()
            .find(|value| *value != Value::Null)
            .unwrap_or(Value::Null),
        "nullif" if compare(&arguments[0], "=", &arguments[1]) == Some(true) => Value::Null,
        "nullif" => arguments[0].clone(),
        _ => panic!("the generator called {name}"),
    }
}

/// A value as text; NULL is empty.
pub fn plain(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::Bool(value) => value.to_string(),
        Value::Number(value) => value.to_string(),
        Value::Text(value) | Value::Date(value) | Value::Json(value) => value.clone(),
        Value::Time(_) => panic!("the generator printed a point in time"),
    }
}

/// What somebody sees of personal data who may not see it.
pub fn mask(mask: &str, value: &Value) -> Value {
    if *value == Value::Null {
        return Value::Null;
    }
    let text = plain(value);
    Value::Text(match mask {
        "email" => match text
            .split_once('@')
            .map(|(local, domain)| (local.chars().next(), domain))
        {
            Some((Some(first), domain)) => format!("{first}***@{domain}"),
            _ => text,
        },
        "name" => {
            let words: Vec<String> = text
                .split_whitespace()
                .map(|word| word.chars().take(1).chain("***".chars()).collect())
                .collect();
            words.join(" ")
        }
        _ => "*".repeat(text.chars().count()),
    })
}
