//! Characters to tokens, one at a time, so that the first thing wrong in reading order is the one reported.

use super::ast::{Number, Span};
use super::error::{Code, Error};
use super::limits;

/// What a token is.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Token {
    Name(String),
    Number(Number),
    Text(String),
    Hole(usize),
    True,
    False,
    Null,
    In,
    Is,
    Open,
    Close,
    Comma,
    Or,
    And,
    Not,
    Equal,
    Unequal,
    Less,
    Greater,
    LessOrEqual,
    GreaterOrEqual,
    Like,
    Plus,
    Minus,
    Star,
    Slash,
    Percent,
    End,
}

impl Token {
    /// The token as it is named in a message.
    pub(super) fn describe(&self) -> String {
        let text = match self {
            Token::Name(name) => return format!("'{name}'"),
            Token::Number(number) => return format!("number {}", number.spelling),
            Token::Text(_) => return "a string".to_owned(),
            Token::End => return "end of input".to_owned(),
            Token::Hole(index) => return format!("'${index}'"),
            Token::True => "true",
            Token::False => "false",
            Token::Null => "null",
            Token::In => "IN",
            Token::Is => "IS",
            Token::Open => "(",
            Token::Close => ")",
            Token::Comma => ",",
            Token::Or => "||",
            Token::And => "&&",
            Token::Not => "!",
            Token::Equal => "=",
            Token::Unequal => "!=",
            Token::Less => "<",
            Token::Greater => ">",
            Token::LessOrEqual => "<=",
            Token::GreaterOrEqual => ">=",
            Token::Like => "~",
            Token::Plus => "+",
            Token::Minus => "-",
            Token::Star => "*",
            Token::Slash => "/",
            Token::Percent => "%",
        };
        format!("'{text}'")
    }
}

/// Reads tokens from a source text.
pub(super) struct Lexer {
    characters: Vec<char>,
    at: usize,
    holes: bool,
    tokens: usize,
}

impl Lexer {
    /// `holes`: whether `$1` is a token. The caller has checked the length of the source.
    pub(super) fn new(source: &str, holes: bool) -> Self {
        Lexer {
            characters: source.chars().collect(),
            at: 0,
            holes,
            tokens: 0,
        }
    }

    fn peek(&self) -> Option<char> {
        self.characters.get(self.at).copied()
    }

    fn take_while(&mut self, accept: impl Fn(char) -> bool) -> String {
        let start = self.at;
        while self.peek().is_some_and(&accept) {
            self.at += 1;
        }
        self.characters[start..self.at].iter().collect()
    }

    fn take_if(&mut self, wanted: char) -> bool {
        let found = self.peek() == Some(wanted);
        self.at += usize::from(found);
        found
    }

    /// The next token; [`Token::End`] for ever after the last one.
    pub(super) fn next(&mut self) -> Result<(Token, Span), Error> {
        self.take_while(char::is_whitespace);
        let start = self.at;
        let Some(character) = self.peek() else {
            return Ok((Token::End, Span { start, end: start }));
        };
        let token = match character {
            '"' | '\'' => self.text(character)?,
            '0'..='9' => self.number()?,
            _ if is_name_start(character) => {
                let name = self.take_while(is_name_part);
                keyword(&name).unwrap_or(Token::Name(name))
            }
            '$' if self.holes => self.hole()?,
            _ => self.symbol(character)?,
        };
        let span = Span { start, end: self.at };
        // Commas are free: a list of the largest size allowed must fit.
        self.tokens += usize::from(token != Token::Comma);
        if self.tokens > limits::TOKENS {
            let message = format!("The expression has more than {} words and signs", limits::TOKENS);
            return Err(Error::new(Code::TooLong, span, message));
        }
        Ok((token, span))
    }

    fn symbol(&mut self, character: char) -> Result<Token, Error> {
        let start = self.at;
        self.at += 1;
        Ok(match character {
            '(' => Token::Open,
            ')' => Token::Close,
            ',' => Token::Comma,
            '=' => Token::Equal,
            '~' => Token::Like,
            '+' => Token::Plus,
            '-' => Token::Minus,
            '*' => Token::Star,
            '/' => Token::Slash,
            '%' => Token::Percent,
            '!' if self.take_if('=') => Token::Unequal,
            '!' => Token::Not,
            '<' if self.take_if('=') => Token::LessOrEqual,
            '<' => Token::Less,
            '>' if self.take_if('=') => Token::GreaterOrEqual,
            '>' => Token::Greater,
            '&' if self.take_if('&') => Token::And,
            '|' if self.take_if('|') => Token::Or,
            _ => return Err(self.bad_character(character, start)),
        })
    }

    fn bad_character(&self, character: char, at: usize) -> Error {
        let rest: String = self.characters[at..].iter().take(15).collect();
        let hint = match character {
            '&' => "; write && for \"and\"",
            '|' => "; write || for \"or\"",
            '[' if rest == "[object Object]" => {
                "; a JavaScript object was turned into text before it was sent: send a string, or JSON.stringify(filter)"
            }
            '.' => "; a number starts with a digit, as in 0.5",
            '`' => "; names are written without quotes",
            _ => "",
        };
        let shown: String = character.escape_debug().collect();
        let shown = if character == '\'' { "'".to_owned() } else { shown };
        Error::new(
            Code::BadChar,
            Span {
                start: at,
                end: at + 1,
            },
            format!("Invalid character '{shown}'{hint}"),
        )
    }

    /// `\` escapes a quote or itself; before anything else it stands for itself.
    fn text(&mut self, quote: char) -> Result<Token, Error> {
        self.at += 1;
        let mut text = String::new();
        while let Some(character) = self.peek() {
            let start = self.at;
            self.at += 1;
            match character {
                _ if character == quote => return Ok(Token::Text(text)),
                // PostgreSQL's text cannot hold it.
                '\0' => return Err(self.bad_character(character, start)),
                '\\' => {
                    let escaped = self.peek().filter(|c| matches!(c, '\'' | '"' | '\\'));
                    self.at += usize::from(escaped.is_some());
                    text.push(escaped.unwrap_or('\\'));
                }
                _ => text.push(character),
            }
        }
        let end = Span {
            start: self.at,
            end: self.at,
        };
        Err(Error::new(
            Code::UnterminatedString,
            end,
            "A string is not closed",
        ))
    }

    fn number(&mut self) -> Result<Token, Error> {
        let start = self.at;
        self.take_while(|c| c.is_ascii_digit());
        if self.take_if('.') {
            self.take_while(|c| c.is_ascii_digit());
        }
        // An `e` that no digits follow starts a name.
        let before_exponent = self.at;
        if self.take_if('e') || self.take_if('E') {
            let _sign = self.take_if('+') || self.take_if('-');
            if self.take_while(|c| c.is_ascii_digit()).is_empty() {
                self.at = before_exponent;
            }
        }
        let spelling: String = self.characters[start..self.at].iter().collect();
        match spelling.parse::<f64>() {
            Ok(value) if value.is_finite() => Ok(Token::Number(Number { value, spelling })),
            _ => {
                let span = Span { start, end: self.at };
                Err(Error::new(Code::Syntax, span, "The number is too large"))
            }
        }
    }

    fn hole(&mut self) -> Result<Token, Error> {
        let start = self.at;
        self.at += 1;
        let digits = self.take_while(|c| c.is_ascii_digit());
        match digits.parse() {
            Ok(index) if (1..=limits::VALUES).contains(&index) => Ok(Token::Hole(index)),
            _ => {
                let span = Span { start, end: self.at };
                Err(Error::new(
                    Code::Syntax,
                    span,
                    "An argument is written $1, $2 and so on",
                ))
            }
        }
    }
}

fn is_name_start(character: char) -> bool {
    character.is_alphabetic() || character == '_' || character == '@'
}

fn is_name_part(character: char) -> bool {
    is_name_start(character) || character.is_ascii_digit() || character == '.'
}

fn keyword(name: &str) -> Option<Token> {
    let keywords = [
        ("in", Token::In),
        ("is", Token::Is),
        ("true", Token::True),
        ("false", Token::False),
        ("null", Token::Null),
    ];
    keywords
        .into_iter()
        .find(|(word, _)| name.eq_ignore_ascii_case(word))
        .map(|(_, token)| token)
}
