//! What `functions` and `having` of an aggregate request say. Source: contract of records §6.
//!
//! `having` is compiled as a filter over the keys that `functions` asked for, by the same checks and the same emitter;
//! only its surface differs: `AND` and `OR` are words, and `sum(price)` is another spelling of the key `sum_price`.

use crate::rules::{self, Code, Kind};

/// An aggregate function.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Function {
    /// How many rows, or how many values that are not null.
    Count,
    /// Their sum.
    Sum,
    /// Their mean.
    Avg,
    /// The least.
    Min,
    /// The greatest.
    Max,
}

impl Function {
    const ALL: [(&'static str, Function); 5] = [
        ("count", Function::Count),
        ("sum", Function::Sum),
        ("avg", Function::Avg),
        ("min", Function::Min),
        ("max", Function::Max),
    ];

    /// The name, which is also that of the SQL function.
    pub fn name(self) -> &'static str {
        match self {
            Function::Count => "count",
            Function::Sum => "sum",
            Function::Avg => "avg",
            Function::Min => "min",
            Function::Max => "max",
        }
    }

    /// Whether values of that type can be aggregated.
    pub fn takes(self, kind: Kind) -> bool {
        match self {
            Function::Count => true,
            Function::Sum | Function::Avg => kind == Kind::Number,
            Function::Min | Function::Max => {
                matches!(kind, Kind::Number | Kind::Date | Kind::Datetime | Kind::Text)
            }
        }
    }

    /// The type of the result for values of type `kind`.
    pub fn returns(self, kind: Kind) -> Kind {
        match self {
            Function::Count | Function::Sum | Function::Avg => Kind::Number,
            Function::Min | Function::Max => kind,
        }
    }
}

/// One member of `functions`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Call {
    /// The function.
    pub function: Function,
    /// Its field, as written; `None` only for `count()`.
    pub field: Option<String>,
    /// Where the field stands, in characters; the call itself when there is none.
    pub position: usize,
    /// How many characters it covers.
    pub length: usize,
}

impl Call {
    /// The key of the result: `count`, `sum_price`.
    pub fn key(&self) -> String {
        match &self.field {
            None => self.function.name().to_owned(),
            Some(field) => format!("{}_{field}", self.function.name()),
        }
    }
}

/// Reads `functions`: a comma list of `count()`, `count(field)`, `sum(field)`, … with function names in any case.
///
/// # Errors
/// `syntax`, `unknown_function`, `arity`; a key that appears twice is `arity`, too. Whether the fields exist and have a fitting
/// type is for the caller to say.
///
/// ```
/// use snackbase_core::records::aggregate::{Function, parse_functions};
/// let calls = parse_functions("count(), SUM(price)").unwrap();
/// assert_eq!(calls[1].function, Function::Sum);
/// assert_eq!(calls.iter().map(|call| call.key()).collect::<Vec<_>>(), ["count", "sum_price"]);
/// assert!(parse_functions("sum()").is_err() && parse_functions("median(price)").is_err());
/// ```
pub fn parse_functions(text: &str) -> Result<Vec<Call>, rules::Error> {
    let mut calls: Vec<Call> = Vec::new();
    for written in rules::parse_calls(text)? {
        let error =
            |code, message: String| Err(rules::Error::at(code, written.position, written.length, message));
        let name = written.name.to_ascii_lowercase();
        let Some((_, function)) = Function::ALL.into_iter().find(|(known, _)| *known == name) else {
            let message = format!(
                "There is no function '{}'; available: count, sum, avg, min, max",
                written.name
            );
            return error(Code::UnknownFunction, message);
        };
        if written.argument.is_none() && function != Function::Count {
            return error(Code::Arity, format!("{name}() needs a field"));
        }
        let (position, length) = match &written.argument {
            Some(argument) => (argument.position, argument.length),
            None => (written.position, written.length),
        };
        let call = Call {
            function,
            field: written.argument.as_ref().map(|argument| argument.name.clone()),
            position,
            length,
        };
        if calls.iter().any(|other| other.key() == call.key()) {
            return error(Code::Arity, format!("'{}' is asked for twice", call.key()));
        }
        calls.push(call);
    }
    Ok(calls)
}
