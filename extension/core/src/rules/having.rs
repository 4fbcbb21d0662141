//! The two small texts of an aggregate request, read with the lexer of rules: `functions`, a list of calls, and `having`, a
//! condition over their results.
//!
//! ```text
//! calls    = call , { "," , call } ;                call = NAME , "(" , [ NAME ] , ")" ;
//! having   = and_h , { ( "OR" | "||" ) , and_h } ;  and_h = cmp_h , { ( "AND" | "&&" ) , cmp_h } ;
//! cmp_h    = "(" , having , ")" | key , op , value ;  op = "=" | "!=" | "<" | ">" | "<=" | ">=" ;
//! key      = NAME | call ;                          value = [ "-" ] NUMBER | STRING ;
//! ```

use super::ast::{Comparison, Expr, ExprKind, Span};
use super::check;
use super::emit;
use super::error::{Code, Error};
use super::lex::{Lexer, Token};
use super::limits;
use super::macros::NoMacros;
use super::parse::check_length;
use super::schema::Schema;
use super::{Dialect, Filter};

/// A name and where it stands, in characters.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Name {
    /// As written.
    pub name: String,
    /// Its first character.
    pub position: usize,
    /// Its length.
    pub length: usize,
}

/// `name()` or `name(argument)`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Call {
    /// The function's name, as written.
    pub name: String,
    /// Its first character.
    pub position: usize,
    /// Its length.
    pub length: usize,
    /// The name in parentheses.
    pub argument: Option<Name>,
}

/// Reads a comma list of calls; at least one.
///
/// # Errors
/// The first error of syntax.
pub fn parse_calls(source: &str) -> Result<Vec<Call>, Error> {
    let mut reader = Reader::new(source)?;
    let mut calls = Vec::new();
    loop {
        let name = reader.name("a function")?;
        let argument = reader.argument()?;
        calls.push(Call {
            name: name.name,
            position: name.position,
            length: name.length,
            argument,
        });
        if reader.token == Token::End {
            return Ok(calls);
        }
        reader.expect(&Token::Comma)?;
    }
}

/// Compiles a condition over the columns of `schema`, which are the keys of the results. The first value is
/// `$first_param`.
///
/// # Errors
/// As [`super::compile_filter`].
pub fn compile_having(source: &str, schema: &Schema, first_param: usize) -> Result<Filter, Vec<Error>> {
    let expr = parse(source).map_err(|error| vec![error])?;
    let node = check::condition(&expr, Dialect::Filter, schema, &NoMacros).result?;
    let (sql, params) = emit::filter(&node, schema, first_param);
    Ok(Filter {
        sql,
        params,
        selective: false,
    })
}

fn parse(source: &str) -> Result<Expr, Error> {
    let mut reader = Reader::new(source)?;
    let expr = reader.any()?;
    match reader.token {
        Token::End => Ok(expr),
        _ => Err(reader.unexpected("AND, OR or the end")),
    }
}

struct Reader {
    lexer: Lexer,
    /// The next token, not yet consumed.
    token: Token,
    span: Span,
    depth: usize,
}

impl Reader {
    fn new(source: &str) -> Result<Self, Error> {
        check_length(source)?;
        let mut lexer = Lexer::new(source, false);
        let (token, span) = lexer.next()?;
        Ok(Reader {
            lexer,
            token,
            span,
            depth: 0,
        })
    }

    fn advance(&mut self) -> Result<(Token, Span), Error> {
        let (token, span) = self.lexer.next()?;
        let span = std::mem::replace(&mut self.span, span);
        Ok((std::mem::replace(&mut self.token, token), span))
    }

    fn expect(&mut self, wanted: &Token) -> Result<(), Error> {
        if self.token != *wanted {
            return Err(self.unexpected(&wanted.describe()));
        }
        self.advance().map(|_| ())
    }

    fn unexpected(&self, expected: &str) -> Error {
        let message = format!("Unexpected {}, expected {expected}", self.token.describe());
        Error::new(Code::Syntax, self.span, message)
    }

    fn name(&mut self, expected: &str) -> Result<Name, Error> {
        match self.advance()? {
            (Token::Name(name), span) => Ok(Name {
                name,
                position: span.start,
                length: span.end - span.start,
            }),
            (token, span) => {
                let message = format!("Unexpected {}, expected {expected}", token.describe());
                Err(Error::new(Code::Syntax, span, message))
            }
        }
    }

    /// `()` or `(name)`
    fn argument(&mut self) -> Result<Option<Name>, Error> {
        self.expect(&Token::Open)?;
        let argument = match self.token {
            Token::Close => None,
            _ => Some(self.name("a field")?),
        };
        self.expect(&Token::Close)?;
        Ok(argument)
    }

    fn is_word(&self, word: &str) -> bool {
        matches!(&self.token, Token::Name(name) if name.eq_ignore_ascii_case(word))
    }

    fn any(&mut self) -> Result<Expr, Error> {
        self.chain(Token::Or, "or", ExprKind::Or, Self::all)
    }

    fn all(&mut self) -> Result<Expr, Error> {
        self.chain(Token::And, "and", ExprKind::And, Self::comparison)
    }

    fn chain(
        &mut self,
        sign: Token,
        word: &str,
        join: fn(Vec<Expr>) -> ExprKind,
        operand: fn(&mut Self) -> Result<Expr, Error>,
    ) -> Result<Expr, Error> {
        let first = operand(self)?;
        let start = first.span.start;
        let mut operands = vec![first];
        while self.token == sign || self.is_word(word) {
            self.advance()?;
            operands.push(operand(self)?);
        }
        let end = operands.last().map_or(start, |last| last.span.end);
        Ok(match operands.len() {
            1 => operands.remove(0),
            _ => Expr {
                kind: join(operands),
                span: Span { start, end },
            },
        })
    }

    fn comparison(&mut self) -> Result<Expr, Error> {
        if self.token == Token::Open {
            if self.depth >= limits::NESTING {
                return Err(Error::new(Code::TooDeep, self.span, "Too many parentheses"));
            }
            self.depth += 1;
            self.advance()?;
            let inner = self.any()?;
            self.expect(&Token::Close)?;
            self.depth -= 1;
            return Ok(inner);
        }
        let key = self.key()?;
        let (operator, at) = self.operator()?;
        let value = self.value()?;
        let span = Span {
            start: key.span.start,
            end: value.span.end,
        };
        Ok(Expr {
            kind: ExprKind::Compare(Box::new(key), operator, at, Box::new(value)),
            span,
        })
    }

    fn key(&mut self) -> Result<Expr, Error> {
        let name = self.name("the key of a result")?;
        let mut key = name.name;
        if self.token == Token::Open {
            key.make_ascii_lowercase();
            if let Some(argument) = self.argument()? {
                key = format!("{key}_{}", argument.name);
            }
        }
        Ok(Expr {
            kind: ExprKind::Name(key),
            span: Span {
                start: name.position,
                end: name.position + name.length,
            },
        })
    }

    fn operator(&mut self) -> Result<(Comparison, Span), Error> {
        let operator = match self.token {
            Token::Equal => Comparison::Equal,
            Token::Unequal => Comparison::Unequal,
            Token::Less => Comparison::Less,
            Token::Greater => Comparison::Greater,
            Token::LessOrEqual => Comparison::LessOrEqual,
            Token::GreaterOrEqual => Comparison::GreaterOrEqual,
            _ => return Err(self.unexpected("a comparison")),
        };
        let (_, at) = self.advance()?;
        Ok((operator, at))
    }

    fn value(&mut self) -> Result<Expr, Error> {
        let start = self.span.start;
        let negative = self.token == Token::Minus;
        if negative {
            self.advance()?;
        }
        let (token, span) = self.advance()?;
        let kind = match token {
            Token::Number(number) if negative => ExprKind::Negate(Box::new(Expr {
                kind: ExprKind::Number(number),
                span,
            })),
            Token::Number(number) => ExprKind::Number(number),
            Token::Text(text) if !negative => ExprKind::Text(text),
            token => {
                let message = format!("Unexpected {}, expected a number or a text", token.describe());
                return Err(Error::new(Code::Syntax, span, message));
            }
        };
        Ok(Expr {
            kind,
            span: Span { start, end: span.end },
        })
    }
}
