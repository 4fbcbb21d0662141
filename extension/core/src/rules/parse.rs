//! Tokens to a syntax tree: recursive descent, one function per line of the grammar.
//!
//! Written by hand rather than with a combinator library: the language has seven levels of precedence and one token of
//! lookahead, and three things must be exact. An error is always at a token and says what may stand there; the depth
//! is counted before the parser goes deeper, so no input can overflow the stack; and the limits count tokens and
//! members as they are read. Combinators give byte offsets of the furthest alternative and recurse without a count.

use super::ast::{Arithmetic, Comparison, Expr, ExprKind, Span};
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
                "The expression is empty; the empty text (no spaces) makes a rule public",
            ));
        }
        let expr = self.expr()?;
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

    fn expr(&mut self) -> Result<Expr, Error> {
        self.chain(&Token::Or, ExprKind::Or, |parser| {
            parser.chain(&Token::And, ExprKind::And, Self::not_expr)
        })
    }

    /// `operand { separator operand }`; a single operand stays itself.
    fn chain(
        &mut self,
        separator: &Token,
        node: fn(Vec<Expr>) -> ExprKind,
        operand: impl Fn(&mut Self) -> Result<Expr, Error>,
    ) -> Result<Expr, Error> {
        let start = self.span.start;
        let first = operand(self)?;
        if self.token != *separator {
            return Ok(first);
        }
        let mut operands = vec![first];
        while self.accept(separator)? {
            operands.push(operand(self)?);
        }
        Ok(Expr {
            kind: node(operands),
            span: self.span_from(start),
        })
    }

    fn not_expr(&mut self) -> Result<Expr, Error> {
        if self.token != Token::Not {
            return self.comparison();
        }
        let start = self.span;
        let operand = self.nested(start, |parser| {
            parser.advance()?;
            parser.not_expr()
        })?;
        Ok(Expr {
            kind: ExprKind::Not(Box::new(operand)),
            span: self.span_from(start.start),
        })
    }

    fn comparison(&mut self) -> Result<Expr, Error> {
        let start = self.span.start;
        let left = self.sum()?;
        let operator = match self.token {
            Token::Equal => Comparison::Equal,
            Token::Unequal => Comparison::Unequal,
            Token::Less => Comparison::Less,
            Token::Greater => Comparison::Greater,
            Token::LessOrEqual => Comparison::LessOrEqual,
            Token::GreaterOrEqual => Comparison::GreaterOrEqual,
            Token::Like => Comparison::Like,
            Token::In => return self.in_list(left, start),
            Token::Is => return self.null_test(left, start),
            _ => return Ok(left),
        };
        let operator_span = self.span;
        self.advance()?;
        let right = self.sum()?;
        let kind = ExprKind::Compare(Box::new(left), operator, operator_span, Box::new(right));
        Ok(Expr {
            kind,
            span: self.span_from(start),
        })
    }

    fn in_list(&mut self, operand: Expr, start: usize) -> Result<Expr, Error> {
        let operator_span = self.span;
        self.advance()?;
        self.expect(&Token::Open)?;
        let members = self.values(start, Self::sum)?;
        let kind = ExprKind::In(Box::new(operand), operator_span, members);
        Ok(Expr {
            kind,
            span: self.span_from(start),
        })
    }

    /// One or more values up to the closing parenthesis; `start` is where the construct starts.
    fn values(
        &mut self,
        start: usize,
        value: impl Fn(&mut Self) -> Result<Expr, Error>,
    ) -> Result<Vec<Expr>, Error> {
        let mut values = vec![value(self)?];
        while self.accept(&Token::Comma)? {
            if values.len() >= limits::VALUES {
                let message = format!("A list has more than {} values", limits::VALUES);
                return Err(Error::new(Code::TooManyValues, self.span_from(start), message));
            }
            values.push(value(self)?);
        }
        if self.accept(&Token::Close)? {
            Ok(values)
        } else {
            Err(self.unexpected("',' or ')'"))
        }
    }

    fn null_test(&mut self, operand: Expr, start: usize) -> Result<Expr, Error> {
        self.advance()?;
        let negated = matches!(&self.token, Token::Name(name) if name.eq_ignore_ascii_case("not"));
        if negated {
            self.advance()?;
        }
        if !self.accept(&Token::Null)? {
            return Err(self.unexpected(if negated { "NULL" } else { "NULL or NOT NULL" }));
        }
        Ok(Expr {
            kind: ExprKind::IsNull(Box::new(operand), negated),
            span: self.span_from(start),
        })
    }

    fn sum(&mut self) -> Result<Expr, Error> {
        let operator = |token: &Token| match token {
            Token::Plus => Some(Arithmetic::Add),
            Token::Minus => Some(Arithmetic::Subtract),
            _ => None,
        };
        self.steps(operator, Self::product)
    }

    fn product(&mut self) -> Result<Expr, Error> {
        let operator = |token: &Token| match token {
            Token::Star => Some(Arithmetic::Multiply),
            Token::Slash => Some(Arithmetic::Divide),
            Token::Percent => Some(Arithmetic::Modulo),
            _ => None,
        };
        self.steps(operator, Self::atom)
    }

    fn steps(
        &mut self,
        operator: impl Fn(&Token) -> Option<Arithmetic>,
        operand: impl Fn(&mut Self) -> Result<Expr, Error>,
    ) -> Result<Expr, Error> {
        let start = self.span.start;
        let first = operand(self)?;
        let mut steps = Vec::new();
        while let Some(operator) = operator(&self.token) {
            self.advance()?;
            steps.push((operator, operand(self)?));
        }
        if steps.is_empty() {
            return Ok(first);
        }
        Ok(Expr {
            kind: ExprKind::Arithmetic(Box::new(first), steps),
            span: self.span_from(start),
        })
    }

    fn atom(&mut self) -> Result<Expr, Error> {
        let start = self.span;
        let kind = match &self.token {
            Token::Open => {
                return self.nested(start, |parser| {
                    parser.advance()?;
                    let expr = parser.expr()?;
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
            parser.values(span.start, Self::expr)
        })?;
        Ok(Expr {
            kind: ExprKind::Call(name, span, arguments),
            span: self.span_from(span.start),
        })
    }
}
