//! Tokens to a syntax tree: recursive descent with precedence climbing.
//!
//! Written by hand rather than with a combinator library: the language has seven levels of precedence and one token of
//! lookahead, and three things must be exact. An error is always at a token and says what may stand there; the depth
//! is counted before the parser goes deeper, so no input can overflow the stack; and the limits count tokens and
//! members as they are read. Combinators give byte offsets of the furthest alternative and recurse without a count.

use super::ast::{Arithmetic, Comparison, Expr, ExprKind, Span, binding};
use super::error::{Code, Error};
use super::lex::{Lexer, Token};
use super::limits;

/// Parses a rule, a filter or a computed expression.
///
/// Errors: the first one in reading order; `empty_expression` when there is nothing but white space.
///
/// ```
/// let tree = snackbase_core::rules::parse(r#"!a = 1 && (b || c)"#)?;
/// assert_eq!(tree.to_string(), "!a = 1 && (b || c)");
/// # Ok::<(), snackbase_core::rules::Error>(())
/// ```
pub fn parse(source: &str) -> Result<Expr, Error> {
    Parser::new(source, false)?.input()
}

/// Parses the body of a macro, where `$1`, `$2`, … stand for the arguments.
pub fn parse_fragment(source: &str) -> Result<Expr, Error> {
    Parser::new(source, true)?.input()
}

struct Parser {
    lexer: Lexer,
    /// The next token, not yet consumed.
    token: Token,
    span: Span,
    /// End of the last consumed token.
    end: usize,
    depth: usize,
}

/// Refuses a source that is longer than [`limits::CHARACTERS`].
pub(super) fn check_length(source: &str) -> Result<(), Error> {
    let length = source.chars().count();
    if length <= limits::CHARACTERS {
        return Ok(());
    }
    let message = format!(
        "The expression has {length} characters; at most {} are allowed",
        limits::CHARACTERS
    );
    Err(Error::new(
        Code::TooLong,
        Span {
            start: 0,
            end: length,
        },
        message,
    ))
}

impl Parser {
    fn new(source: &str, holes: bool) -> Result<Self, Error> {
        check_length(source)?;
        let mut lexer = Lexer::new(source, holes);
        let (token, span) = lexer.next()?;
        Ok(Parser {
            lexer,
            token,
            span,
            end: 0,
            depth: 0,
        })
    }

    fn input(mut self) -> Result<Expr, Error> {
        if self.token == Token::End {
            return Err(Error::new(
                Code::EmptyExpression,
                self.span,
                "There is nothing but white space",
            ));
        }
        let expr = self.expr(binding::OR)?;
        if self.token == Token::End {
            Ok(expr)
        } else {
            Err(self.unexpected("an operator or the end"))
        }
    }

    fn advance(&mut self) -> Result<Token, Error> {
        let (token, span) = self.lexer.next()?;
        self.end = self.span.end;
        self.span = span;
        Ok(std::mem::replace(&mut self.token, token))
    }

    fn accept(&mut self, wanted: &Token) -> Result<bool, Error> {
        let found = self.token == *wanted;
        if found {
            self.advance()?;
        }
        Ok(found)
    }

    fn expect(&mut self, wanted: &Token) -> Result<(), Error> {
        if self.accept(wanted)? {
            Ok(())
        } else {
            Err(self.unexpected(&wanted.describe()))
        }
    }

    fn unexpected(&self, expected: &str) -> Error {
        let hint = match &self.token {
            Token::Name(name) => match name.to_ascii_uppercase().as_str() {
                "AND" => "; write && for \"and\"",
                "OR" => "; write || for \"or\"",
                "NOT" => "; write !(…) for \"not\"",
                "LIKE" | "ILIKE" => "; write ~ for \"like\"",
                "BETWEEN" => "; write a >= x && a <= y",
                _ => "",
            },
            Token::Equal | Token::Unequal | Token::Less | Token::Greater if expected.starts_with("an op") => {
                "; comparisons cannot be chained"
            }
            Token::Equal => "; equality is a single =",
            Token::Greater => "; \"not equal\" is !=",
            Token::Plus => "; a number has no + sign",
            _ => "",
        };
        let message = format!("Unexpected {}, expected {expected}{hint}", self.token.describe());
        Error::new(Code::Syntax, self.span, message)
    }

    /// Runs `inner` one level deeper; `start` is where the construct starts.
    fn nested<T>(
        &mut self,
        start: Span,
        inner: impl FnOnce(&mut Self) -> Result<T, Error>,
    ) -> Result<T, Error> {
        if self.depth >= limits::NESTING {
            let message = format!("The expression is nested more than {} deep", limits::NESTING);
            return Err(Error::new(Code::TooDeep, start, message));
        }
        self.depth += 1;
        let result = inner(self);
        self.depth -= 1;
        result
    }

    fn span_from(&self, start: usize) -> Span {
        Span { start, end: self.end }
    }

    /// An expression whose operators all bind at least as tightly as `least`.
    ///
    /// Precedence climbing: one call per operand instead of one per level of the grammar, so that a parenthesis costs
    /// little stack. `level` says what has been read: each operator accepts on its left only what binds tighter.
    fn expr(&mut self, least: u8) -> Result<Expr, Error> {
        let start = self.span.start;
        let (mut left, mut level) = if self.token == Token::Not && least <= binding::NOT {
            (self.not()?, binding::NOT)
        } else {
            (self.atom()?, binding::ATOM)
        };
        loop {
            let operator = operator_binding(&self.token);
            if operator < least || operator >= level {
                return Ok(left);
            }
            let kind = match operator {
                binding::OR => ExprKind::Or(self.operands(left, &Token::Or, binding::AND)?),
                binding::AND => ExprKind::And(self.operands(left, &Token::And, binding::NOT)?),
                binding::COMPARISON => self.comparison(left, start)?,
                _ => self.arithmetic(left, operator)?,
            };
            left = Expr {
                kind,
                span: self.span_from(start),
            };
            level = operator;
        }
    }

    fn not(&mut self) -> Result<Expr, Error> {
        let start = self.span;
        let operand = self.nested(start, |parser| {
            parser.advance()?;
            parser.expr(binding::NOT)
        })?;
        Ok(Expr {
            kind: ExprKind::Not(Box::new(operand)),
            span: self.span_from(start.start),
        })
    }

    /// `first { separator operand }`
    fn operands(&mut self, first: Expr, separator: &Token, least: u8) -> Result<Vec<Expr>, Error> {
        let mut operands = vec![first];
        while self.accept(separator)? {
            operands.push(self.expr(least)?);
        }
        Ok(operands)
    }

    fn arithmetic(&mut self, first: Expr, level: u8) -> Result<ExprKind, Error> {
        let mut steps = Vec::new();
        while operator_binding(&self.token) == level {
            let operator = match self.advance()? {
                Token::Plus => Arithmetic::Add,
                Token::Minus => Arithmetic::Subtract,
                Token::Star => Arithmetic::Multiply,
                Token::Slash => Arithmetic::Divide,
                _ => Arithmetic::Modulo,
            };
            steps.push((operator, self.expr(level + 1)?));
        }
        Ok(ExprKind::Arithmetic(Box::new(first), steps))
    }

    fn comparison(&mut self, left: Expr, start: usize) -> Result<ExprKind, Error> {
        let operator_span = self.span;
        let operator = match self.advance()? {
            Token::In => return self.in_list(left, operator_span, start),
            Token::Is => return self.null_test(left),
            Token::Equal => Comparison::Equal,
            Token::Unequal => Comparison::Unequal,
            Token::Less => Comparison::Less,
            Token::Greater => Comparison::Greater,
            Token::LessOrEqual => Comparison::LessOrEqual,
            Token::GreaterOrEqual => Comparison::GreaterOrEqual,
            _ => Comparison::Like,
        };
        let right = self.expr(binding::SUM)?;
        Ok(ExprKind::Compare(
            Box::new(left),
            operator,
            operator_span,
            Box::new(right),
        ))
    }

    fn in_list(&mut self, operand: Expr, operator_span: Span, start: usize) -> Result<ExprKind, Error> {
        self.expect(&Token::Open)?;
        let members = self.values(start, binding::SUM)?;
        Ok(ExprKind::In(Box::new(operand), operator_span, members))
    }

    /// One or more values up to the closing parenthesis; `start` is where the construct starts.
    fn values(&mut self, start: usize, least: u8) -> Result<Vec<Expr>, Error> {
        let mut values = vec![self.expr(least)?];
        while self.accept(&Token::Comma)? {
            if values.len() >= limits::VALUES {
                let message = format!("A list has more than {} values", limits::VALUES);
                return Err(Error::new(Code::TooManyValues, self.span_from(start), message));
            }
            values.push(self.expr(least)?);
        }
        if self.accept(&Token::Close)? {
            Ok(values)
        } else {
            Err(self.unexpected("',' or ')'"))
        }
    }

    fn null_test(&mut self, operand: Expr) -> Result<ExprKind, Error> {
        let negated = matches!(&self.token, Token::Name(name) if name.eq_ignore_ascii_case("not"));
        if negated {
            self.advance()?;
        }
        if !self.accept(&Token::Null)? {
            return Err(self.unexpected(if negated { "NULL" } else { "NULL or NOT NULL" }));
        }
        Ok(ExprKind::IsNull(Box::new(operand), negated))
    }

    fn atom(&mut self) -> Result<Expr, Error> {
        let start = self.span;
        let kind = match &self.token {
            Token::Open => {
                return self.nested(start, |parser| {
                    parser.advance()?;
                    let expr = parser.expr(binding::OR)?;
                    parser.expect(&Token::Close)?;
                    Ok(expr)
                });
            }
            Token::Minus => {
                let operand = self.nested(start, |parser| {
                    parser.advance()?;
                    parser.atom()
                })?;
                let kind = ExprKind::Negate(Box::new(operand));
                return Ok(Expr {
                    kind,
                    span: self.span_from(start.start),
                });
            }
            Token::Name(_) => return self.name(),
            Token::Number(number) => ExprKind::Number(number.clone()),
            Token::Text(text) => ExprKind::Text(text.clone()),
            Token::Hole(index) => ExprKind::Hole(*index),
            Token::True => ExprKind::Boolean(true),
            Token::False => ExprKind::Boolean(false),
            Token::Null => ExprKind::Null,
            _ => return Err(self.unexpected("a value")),
        };
        self.advance()?;
        Ok(Expr { kind, span: start })
    }

    fn name(&mut self) -> Result<Expr, Error> {
        let span = self.span;
        let Token::Name(name) = self.advance()? else {
            return Err(self.unexpected("a name"));
        };
        if self.token != Token::Open {
            return Ok(Expr {
                kind: ExprKind::Name(name),
                span,
            });
        }
        let arguments = self.nested(span, |parser| {
            parser.advance()?;
            if parser.accept(&Token::Close)? {
                return Ok(Vec::new());
            }
            parser.values(span.start, binding::OR)
        })?;
        Ok(Expr {
            kind: ExprKind::Call(name, span, arguments),
            span: self.span_from(span.start),
        })
    }
}

/// How tightly an operator binds; 0 for anything that is none.
fn operator_binding(token: &Token) -> u8 {
    match token {
        Token::Or => binding::OR,
        Token::And => binding::AND,
        Token::Equal
        | Token::Unequal
        | Token::Less
        | Token::Greater
        | Token::LessOrEqual
        | Token::GreaterOrEqual
        | Token::Like
        | Token::In
        | Token::Is => binding::COMPARISON,
        Token::Plus | Token::Minus => binding::SUM,
        Token::Star | Token::Slash | Token::Percent => binding::PRODUCT,
        _ => 0,
    }
}
