//! JSON text to values that know where they stand.
//!
//! An own reader, because a finding needs the position of its value, and because a key that appears twice must be
//! refused: keeping the last one, as parsers do, would silently drop a condition.

use super::super::ast::{Number, Span};
use super::super::error::{Code, Error};
use super::super::limits;

/// A value and where it stands.
#[derive(Debug)]
pub(super) struct Json {
    pub value: Value,
    pub span: Span,
}

#[derive(Debug)]
pub(super) enum Value {
    Null,
    Boolean(bool),
    Number { negative: bool, number: Number },
    Text(String),
    Array(Vec<Json>),
    Object(Vec<Member>),
}

/// A member of an object; the span is the key's.
#[derive(Debug)]
pub(super) struct Member {
    pub key: String,
    pub span: Span,
    pub json: Json,
}

/// Reads one JSON text (RFC 8259; any white space between the values).
pub(super) fn read(source: &str) -> Result<Json, Error> {
    let mut reader = Reader {
        characters: source.chars().collect(),
        at: 0,
        depth: 0,
        values: 0,
    };
    let json = reader.json()?;
    reader.skip_space();
    if reader.at < reader.characters.len() {
        return Err(reader.unexpected("the end"));
    }
    Ok(json)
}

struct Reader {
    characters: Vec<char>,
    at: usize,
    depth: usize,
    values: usize,
}

impl Reader {
    fn peek(&self) -> Option<char> {
        self.characters.get(self.at).copied()
    }

    fn skip_space(&mut self) {
        while self.peek().is_some_and(char::is_whitespace) {
            self.at += 1;
        }
    }

    fn take_if(&mut self, wanted: char) -> bool {
        let found = self.peek() == Some(wanted);
        self.at += usize::from(found);
        found
    }

    fn span_from(&self, start: usize) -> Span {
        Span { start, end: self.at }
    }

    fn unexpected(&self, expected: &str) -> Error {
        let (found, end) = match self.peek() {
            Some(character) => (format!("'{}'", character.escape_debug()), self.at + 1),
            None => ("end of input".to_owned(), self.at),
        };
        let span = Span { start: self.at, end };
        Error::new(
            Code::Syntax,
            span,
            format!("Unexpected {found} in the JSON filter, expected {expected}"),
        )
    }

    fn json(&mut self) -> Result<Json, Error> {
        self.skip_space();
        let start = self.at;
        self.values += 1;
        if self.values > limits::TOKENS {
            let message = format!("The filter has more than {} values", limits::TOKENS);
            return Err(Error::new(Code::TooLong, self.span_from(start), message));
        }
        let value = match self.peek() {
            Some('{') => self.nested(Self::object)?,
            Some('[') => self.nested(Self::array)?,
            Some('"') => Value::Text(self.text()?),
            Some('-' | '0'..='9') => self.number()?,
            _ => self.word()?,
        };
        Ok(Json {
            value,
            span: self.span_from(start),
        })
    }

    fn nested(&mut self, inner: impl FnOnce(&mut Self) -> Result<Value, Error>) -> Result<Value, Error> {
        if self.depth >= limits::JSON_NESTING {
            let span = Span {
                start: self.at,
                end: self.at + 1,
            };
            let message = format!("The filter is nested more than {} deep", limits::JSON_NESTING);
            return Err(Error::new(Code::TooDeep, span, message));
        }
        self.depth += 1;
        self.at += 1;
        let value = inner(self);
        self.depth -= 1;
        value
    }

    fn object(&mut self) -> Result<Value, Error> {
        let mut members: Vec<Member> = Vec::new();
        self.skip_space();
        if self.take_if('}') {
            return Ok(Value::Object(members));
        }
        loop {
            self.skip_space();
            let start = self.at;
            if self.peek() != Some('"') {
                return Err(self.unexpected("a key in double quotes"));
            }
            let key = self.text()?;
            let span = self.span_from(start);
            if members.iter().any(|member| member.key == key) {
                return Err(Error::new(
                    Code::Syntax,
                    span,
                    format!("The key '{key}' appears twice"),
                ));
            }
            self.skip_space();
            if !self.take_if(':') {
                return Err(self.unexpected("':'"));
            }
            let json = self.json()?;
            members.push(Member { key, span, json });
            self.skip_space();
            if self.take_if('}') {
                return Ok(Value::Object(members));
            }
            if !self.take_if(',') {
                return Err(self.unexpected("',' or '}'"));
            }
        }
    }

    fn array(&mut self) -> Result<Value, Error> {
        let mut members = Vec::new();
        self.skip_space();
        if self.take_if(']') {
            return Ok(Value::Array(members));
        }
        loop {
            members.push(self.json()?);
            self.skip_space();
            if self.take_if(']') {
                return Ok(Value::Array(members));
            }
            if !self.take_if(',') {
                return Err(self.unexpected("',' or ']'"));
            }
        }
    }

    fn word(&mut self) -> Result<Value, Error> {
        let start = self.at;
        while self.peek().is_some_and(char::is_alphabetic) {
            self.at += 1;
        }
        let word: String = self.characters[start..self.at].iter().collect();
        match word.as_str() {
            "null" => Ok(Value::Null),
            "true" => Ok(Value::Boolean(true)),
            "false" => Ok(Value::Boolean(false)),
            _ => {
                self.at = start;
                Err(self.unexpected("a value"))
            }
        }
    }

    fn digits(&mut self) -> Result<(), Error> {
        if !self.peek().is_some_and(|c| c.is_ascii_digit()) {
            return Err(self.unexpected("a digit"));
        }
        while self.peek().is_some_and(|c| c.is_ascii_digit()) {
            self.at += 1;
        }
        Ok(())
    }

    fn number(&mut self) -> Result<Value, Error> {
        let negative = self.take_if('-');
        let start = self.at;
        // No zeros in front.
        if !self.take_if('0') {
            self.digits()?;
        }
        if self.take_if('.') {
            self.digits()?;
        }
        if self.take_if('e') || self.take_if('E') {
            let _sign = self.take_if('+') || self.take_if('-');
            self.digits()?;
        }
        let spelling: String = self.characters[start..self.at].iter().collect();
        match spelling.parse::<f64>() {
            Ok(value) if value.is_finite() => Ok(Value::Number {
                negative,
                number: Number { value, spelling },
            }),
            _ => Err(Error::new(
                Code::Syntax,
                self.span_from(start),
                "The number is too large",
            )),
        }
    }

    fn text(&mut self) -> Result<String, Error> {
        let mut text = String::new();
        self.at += 1;
        loop {
            let start = self.at;
            let Some(character) = self.peek() else {
                let end = Span { start, end: start };
                return Err(Error::new(
                    Code::UnterminatedString,
                    end,
                    "A string is not closed",
                ));
            };
            if character < ' ' {
                return Err(self.unexpected("an escape such as \\n"));
            }
            self.at += 1;
            let character = match character {
                '"' => return Ok(text),
                '\\' => self.escape(start)?,
                other => other,
            };
            if character == '\0' {
                let message = "A string cannot hold the character U+0000";
                return Err(Error::new(Code::BadChar, self.span_from(start), message));
            }
            text.push(character);
        }
    }

    /// What follows a backslash, which stands at `start`.
    fn escape(&mut self, start: usize) -> Result<char, Error> {
        let Some(character) = self.peek() else {
            return Err(self.unexpected("an escape"));
        };
        self.at += 1;
        Ok(match character {
            '"' | '\\' | '/' => character,
            'b' => '\u{8}',
            'f' => '\u{c}',
            'n' => '\n',
            'r' => '\r',
            't' => '\t',
            'u' => {
                let unit = self.unit()?;
                let scalar = match unit {
                    0xD800..0xDC00 if self.take_if('\\') && self.take_if('u') => {
                        let low = self.unit()?;
                        match low {
                            0xDC00..0xE000 => 0x10000 + ((unit - 0xD800) << 10) + (low - 0xDC00),
                            _ => unit,
                        }
                    }
                    _ => unit,
                };
                char::from_u32(scalar).ok_or_else(|| {
                    Error::new(
                        Code::BadChar,
                        self.span_from(start),
                        "Half of a character (a lone surrogate)",
                    )
                })?
            }
            _ => {
                self.at -= 1;
                return Err(self.unexpected("an escape"));
            }
        })
    }

    /// Four hexadecimal digits.
    fn unit(&mut self) -> Result<u32, Error> {
        let mut unit = 0;
        for _ in 0..4 {
            let Some(digit) = self.peek().and_then(|c| c.to_digit(16)) else {
                return Err(self.unexpected("four hexadecimal digits"));
            };
            self.at += 1;
            unit = unit * 16 + digit;
        }
        Ok(unit)
    }
}
