//! Bodies of SELECT macros: SQL in which `:name`, `@request.auth.…` and `@other` stand for what they mean.
//!
//! Only these words are replaced, outside of strings, quoted names and comments; everything else is left to PostgreSQL,
//! whose own parser reads the result. A text that this scanner reads differently is therefore wrong, never dangerous.

use super::ast::Span;
use super::error::{Code, Error};
use super::macros::{MacroBody, Macros, RESERVED};
use super::typed::Attribute;
use crate::names;

/// A body ready for PostgreSQL.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SelectBody {
    /// The text; arguments are `$1`, `$2`, …
    pub sql: String,
    /// The number of arguments: of the names given, or the largest `$n`.
    pub arity: usize,
    /// The macros it calls as `@name`.
    pub macros: Vec<String>,
}

/// The number of arguments of a SELECT macro.
pub fn select_arity(source: &str, parameters: &[String]) -> usize {
    if !parameters.is_empty() {
        return parameters.len();
    }
    let mut scanner = Scanner::new(source, parameters, &super::NoMacros);
    scanner.run();
    scanner.largest
}

/// Replaces what is ours in the body of a SELECT macro.
///
/// Errors, with their places: `unknown_context`, `unknown_macro` (also for fragments, which SQL cannot use), `arity` for a
/// `$n` beyond `parameters`.
///
/// ```
/// use snackbase_core::rules::{NoMacros, select_body};
/// let body = select_body("select :who = @request.auth.id, ':who'", &["who".to_owned()], &NoMacros).unwrap();
/// assert_eq!(body.sql, "select $1 = (select snackbase.current_user_id()), ':who'");
/// ```
pub fn select_body(
    source: &str,
    parameters: &[String],
    macros: &dyn Macros,
) -> Result<SelectBody, Vec<Error>> {
    let mut scanner = Scanner::new(source, parameters, macros);
    scanner.run();
    if !scanner.errors.is_empty() {
        return Err(scanner.errors);
    }
    let arity = if parameters.is_empty() {
        scanner.largest
    } else {
        parameters.len()
    };
    Ok(SelectBody {
        sql: scanner.out,
        arity,
        macros: scanner.called,
    })
}

struct Scanner<'a> {
    chars: Vec<char>,
    at: usize,
    parameters: &'a [String],
    macros: &'a dyn Macros,
    out: String,
    largest: usize,
    called: Vec<String>,
    errors: Vec<Error>,
}

fn starts_word(c: char) -> bool {
    c.is_alphabetic() || c == '_' || !c.is_ascii()
}

fn continues_word(c: char) -> bool {
    starts_word(c) || c.is_ascii_digit() || c == '$'
}

impl<'a> Scanner<'a> {
    fn new(source: &str, parameters: &'a [String], macros: &'a dyn Macros) -> Self {
        Scanner {
            chars: source.chars().collect(),
            at: 0,
            parameters,
            macros,
            out: String::with_capacity(source.len() + 64),
            largest: 0,
            called: Vec::new(),
            errors: Vec::new(),
        }
    }

    fn peek(&self, ahead: usize) -> Option<char> {
        self.chars.get(self.at + ahead).copied()
    }

    /// Copies `count` characters, or what is left.
    fn copy(&mut self, count: usize) {
        let end = self.chars.len().min(self.at + count);
        self.out.extend(&self.chars[self.at..end]);
        self.at = end;
    }

    /// The characters from `start` (relative to here) on that fit.
    fn word(&self, start: usize, fits: impl Fn(char) -> bool) -> String {
        let rest = self.chars.get(self.at + start..).unwrap_or_default();
        rest.iter().take_while(|c| fits(**c)).collect()
    }

    fn report(&mut self, code: Code, length: usize, message: String) {
        let span = Span {
            start: self.at,
            end: self.at + length,
        };
        self.errors.push(Error::new(code, span, message));
    }

    fn run(&mut self) {
        while let Some(c) = self.peek(0) {
            match (c, self.peek(1)) {
                ('\'', _) => self.quoted('\'', false),
                ('"', _) => self.quoted('"', false),
                ('-', Some('-')) => {
                    let comment = self.word(0, |c| c != '\n');
                    self.copy(comment.chars().count());
                }
                ('/', Some('*')) => self.comment(),
                ('$', Some(next)) if next.is_ascii_digit() => self.hole(),
                ('$', Some(next)) if next == '$' || starts_word(next) => self.dollar_quoted(),
                (':', Some(':')) => self.copy(2),
                (':', Some(next)) if starts_word(next) => self.parameter(),
                ('@', Some(next)) if starts_word(next) => self.context(),
                _ if starts_word(c) => {
                    let word = self.word(0, continues_word);
                    self.copy(word.chars().count());
                    if self.peek(0) == Some('\'') {
                        // E'…' is the one kind of string with backslashes.
                        self.quoted('\'', word.eq_ignore_ascii_case("e"));
                    }
                }
                // A `$` inside a number or after it is not ours to judge.
                _ if c.is_ascii_digit() => {
                    let number = self.word(0, |c| c.is_ascii_digit());
                    self.copy(number.chars().count());
                }
                _ => self.copy(1),
            }
        }
    }

    /// A string or quoted name, its quote doubled inside. Not closed: the rest, and PostgreSQL complains.
    fn quoted(&mut self, quote: char, escapes: bool) {
        self.copy(1);
        while let Some(c) = self.peek(0) {
            match (c, self.peek(1)) {
                ('\\', Some(_)) if escapes => self.copy(2),
                _ if c == quote => {
                    self.copy(1);
                    if self.peek(0) != Some(quote) {
                        return;
                    }
                    self.copy(1);
                }
                _ => self.copy(1),
            }
        }
    }

    fn comment(&mut self) {
        let mut depth = 0usize;
        loop {
            match (self.peek(0), self.peek(1)) {
                (Some('/'), Some('*')) => depth += 1,
                (Some('*'), Some('/')) => depth -= 1,
                (None, _) => return,
                _ => {
                    self.copy(1);
                    continue;
                }
            }
            self.copy(2);
            if depth == 0 {
                return;
            }
        }
    }

    /// `$tag$…$tag$`
    fn dollar_quoted(&mut self) {
        let tag = self.word(1, |c| continues_word(c) && c != '$');
        let length = tag.chars().count();
        if self.peek(length + 1) != Some('$') {
            return self.copy(1);
        }
        let fence: Vec<char> = format!("${tag}$").chars().collect();
        self.copy(fence.len());
        let rest = &self.chars[self.at..];
        let end = rest
            .windows(fence.len())
            .position(|window| window == fence)
            .map_or(rest.len(), |start| start + fence.len());
        self.copy(end);
    }

    /// `$n`
    fn hole(&mut self) {
        let digits = self.word(1, |c| c.is_ascii_digit());
        let length = digits.len() + 1;
        let index = digits.parse::<usize>().unwrap_or(usize::MAX);
        let most = if self.parameters.is_empty() {
            super::limits::SELECT_ARGUMENTS
        } else {
            self.parameters.len()
        };
        if !(1..=most).contains(&index) {
            self.report(
                Code::Arity,
                length,
                format!("There is no argument ${digits} here"),
            );
        } else {
            self.largest = self.largest.max(index);
        }
        self.copy(length);
    }

    /// `:name`, if it is one of the parameters; else it is PostgreSQL's.
    fn parameter(&mut self) {
        let name = self.word(1, continues_word);
        match self.parameters.iter().position(|parameter| *parameter == name) {
            Some(index) => {
                self.out.push_str(&format!("${}", index + 1));
                self.at += 1 + name.chars().count();
            }
            None => self.copy(1),
        }
    }

    /// `@request.auth.…`, or `@macro` where it cannot be an operator.
    fn context(&mut self) {
        let name = self.word(1, |c| continues_word(c) || c == '.');
        let length = name.chars().count() + 1;
        if let Some(path) = name.strip_prefix("request.") {
            let attribute = path.strip_prefix("auth.").and_then(|wanted| {
                Attribute::NAMES
                    .iter()
                    .find(|(known, _)| *known == wanted)
                    .map(|(_, attribute)| *attribute)
            });
            let accessor = match attribute {
                Some(Attribute::Id) => "(select snackbase.current_user_id())",
                Some(Attribute::Email) => "(select snackbase.current_user_email())",
                Some(Attribute::Role) => "(select snackbase.current_user_role())",
                Some(Attribute::AccountId) => "(select snackbase.current_account_id())::text",
                None => {
                    let known = Attribute::NAMES.map(|(known, _)| known).join(", ");
                    let message =
                        format!("'@{name}' does not exist in SQL; available: @request.auth. with {known}");
                    self.report(Code::UnknownContext, length, message);
                    ""
                }
            };
            self.out.push_str(accessor);
            self.at += length;
            return;
        }
        let operator = "+-*/<>=~!@#%^&|`?";
        let before = self.at.checked_sub(1).and_then(|at| self.chars.get(at));
        if before.is_some_and(|c| operator.contains(*c)) {
            return self.copy(1);
        }
        match self.macros.lookup(&name) {
            Some(MacroBody::Select { function, .. }) => {
                self.called.push(name);
                self.out.push_str("snackbase.");
                self.out.push_str(&names::quote(&function));
                self.at += length;
                if self.peek(0) != Some('(') {
                    self.out.push_str("()");
                }
            }
            Some(MacroBody::Fragment(_)) => {
                let message = format!("'@{name}' is a fragment of a rule, which SQL cannot use");
                self.report(Code::UnknownMacro, length, message);
                self.copy(length);
            }
            None => {
                let message = if RESERVED.contains(&name.as_str()) {
                    format!("'@{name}' is built in, and cannot be used in SQL; see @request.auth")
                } else {
                    format!("There is no macro '@{name}'")
                };
                self.report(Code::UnknownMacro, length, message);
                self.copy(length);
            }
        }
    }
}
