//! What is wrong with a rule or filter, and where.

use std::fmt;

use serde::{Serialize, Serializer};

use super::ast::Span;

/// One finding about a source text.
///
/// Serialised as `{"code","message","position","length"}`, the shape of a diagnostic on the wire.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Error {
    /// The kind of finding.
    pub code: Code,
    /// One sentence for people. Names what the source says and what would be valid, never values of rows.
    pub message: String,
    /// Where it starts: characters (code points) from the start of the source, counted from 0.
    /// At most the number of characters of the source.
    pub position: usize,
    /// How many characters it covers; 0 at the end of the input.
    pub length: usize,
}

impl Error {
    /// A finding about `length` characters from `position` on.
    pub fn at(code: Code, position: usize, length: usize, message: impl Into<String>) -> Self {
        Error {
            code,
            message: message.into(),
            position,
            length,
        }
    }

    pub(super) fn new(code: Code, span: Span, message: impl Into<String>) -> Self {
        let length = span.end.saturating_sub(span.start);
        Error {
            code,
            message: message.into(),
            position: span.start,
            length,
        }
    }
}

/// The message; findings of the lexer and parser also say their position, because they have no name to point at.
impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.code {
            Code::Syntax | Code::BadChar | Code::UnterminatedString => {
                write!(f, "{} at position {}", self.message, self.position)
            }
            _ => f.write_str(&self.message),
        }
    }
}

impl std::error::Error for Error {}

/// All findings in one line, joined by `; `.
pub fn summary(errors: &[Error]) -> String {
    errors.iter().map(Error::to_string).collect::<Vec<_>>().join("; ")
}

macro_rules! codes {
    ($($(#[doc = $doc:literal])* $variant:ident = $text:literal,)*) => {
        /// The kinds of findings. Their texts are part of the wire contract.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum Code { $($(#[doc = $doc])* $variant,)* }

        impl Code {
            /// Every code, for tables and documentation.
            pub const ALL: &'static [Code] = &[$(Code::$variant,)*];

            /// The code as it is written on the wire.
            pub fn as_str(self) -> &'static str {
                match self { $(Code::$variant => $text,)* }
            }
        }
    };
}

codes! {
    /// A token that cannot stand here; the end of the input where a value is missing.
    Syntax = "syntax",
    /// A character outside the alphabet, U+0000 in a string, or a single `&` or `|`.
    BadChar = "bad_char",
    /// A string without its closing quote. Position: the end of the input.
    UnterminatedString = "unterminated_string",
    /// No such field (or one the caller may not see).
    UnknownField = "unknown_field",
    /// `@request.…` with an attribute that does not exist.
    UnknownContext = "unknown_context",
    /// `@name` that is no macro.
    UnknownMacro = "unknown_macro",
    /// A function that does not exist in this dialect.
    UnknownFunction = "unknown_function",
    /// `@request.data` in a rule that writes nothing.
    DataNotAllowed = "data_not_allowed",
    /// Any `@name` in a filter or computed expression.
    ContextNotAllowed = "context_not_allowed",
    /// Two operands, or an argument, whose types do not fit.
    TypeMismatch = "type_mismatch",
    /// An operator the type does not have. Position: the operator.
    OperatorNotAllowed = "operator_not_allowed",
    /// Something else where a condition is required.
    NotBoolean = "not_boolean",
    /// A pattern after `~` that is not a literal, or ends in a lone backslash.
    BadPattern = "bad_pattern",
    /// A text that is no date or no point in time.
    BadDatetime = "bad_datetime",
    /// The wrong number of arguments.
    Arity = "arity",
    /// Macros nested more than eight deep.
    MacroDepth = "macro_depth",
    /// A macro that uses itself.
    MacroCycle = "macro_cycle",
    /// Too many characters, tokens, or nodes after expansion.
    TooLong = "too_long",
    /// Nested more than 100 deep.
    TooDeep = "too_deep",
    /// More than 1 000 members of one list.
    TooManyValues = "too_many_values",
    /// Nothing but white space where an expression is required.
    EmptyExpression = "empty_expression",
    /// An encrypted field where its value would be needed.
    EncryptedField = "encrypted_field",
    /// A masked field where its value, or an order of values, would be needed.
    MaskedField = "masked_field",
    /// A warning: a comparison with `null`, which is never true.
    NullComparison = "null_comparison",
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl Serialize for Code {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}
