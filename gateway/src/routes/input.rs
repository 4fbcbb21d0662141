//! What comes in: bodies and query strings, and the one shape of a request that does not fit (422).
//!
//! No message repeats a value: it can be a password.

mod parameters;

use std::borrow::Cow;
use std::ops::RangeInclusive;

use axum::extract::{FromRequest, FromRequestParts, OptionalFromRequest, Request};
use bytes::Bytes;
use serde::de::IgnoredAny;
use serde_json::{Map, Value};

use crate::db::JsonText;
use crate::error::{Error, Misfit};
use crate::state::State;
pub use parameters::Parameters;

/// Segments of the path, percent-decoded; a segment of the wrong type is 422.
#[derive(FromRequestParts)]
#[from_request(via(axum::extract::Path), rejection(Error))]
pub struct Path<T>(pub T);

/// The id in the path of a request. Whether it fits is said to those only who are admitted.
pub type Id<T = uuid::Uuid> = Result<Path<T>, Error>;

/// A body that is a JSON object, forwarded as it was written.
pub struct JsonObject(pub JsonText);

/// A body that is a JSON object, read key by key. Mistakes are gathered; `finish` reports them together.
pub struct Fields {
    object: Map<String, Value>,
    misfits: Vec<Misfit>,
}

/// A query string, read key by key. Mistakes are gathered; `finish` reports them together.
pub struct Query<'a> {
    pairs: Vec<(Cow<'a, str>, Cow<'a, str>)>,
    misfits: Vec<Misfit>,
}

fn misfit(kind: &'static str, place: &'static str, name: &str, msg: impl Into<Cow<'static, str>>) -> Misfit {
    Misfit {
        kind: kind.into(),
        loc: vec![place.into(), name.to_owned().into()],
        msg: msg.into(),
    }
}

fn not_json(kind: &'static str, msg: &'static str) -> Error {
    Error::Misfits(vec![Misfit {
        kind: kind.into(),
        loc: vec!["body".into()],
        msg: msg.into(),
    }])
}

/// Reads the whole body within the size limit and the time limit.
async fn body(request: Request, state: &State) -> Result<Bytes, Error> {
    // Reading may take half of the time of a request; the rest is for the work.
    let patience = state.config.request_timeout / 2;
    match tokio::time::timeout(patience, Bytes::from_request(request, state)).await {
        Ok(body) => body.map_err(Error::from),
        Err(_) => Err(Error::BodyTimedOut),
    }
}

impl FromRequest<State> for JsonObject {
    type Rejection = Error;

    async fn from_request(request: Request, state: &State) -> Result<Self, Error> {
        let body = body(request, state).await?;
        check_object(&body)?;
        Ok(Self(JsonText(body)))
    }
}

/// Whether the text is a JSON object; nothing is built from it.
fn check_object(body: &[u8]) -> Result<(), Error> {
    let text = std::str::from_utf8(body).map_err(|_| not_json("json_invalid", "The body is not UTF-8"))?;
    serde_json::from_str::<IgnoredAny>(text)
        .map_err(|_| not_json("json_invalid", "The body is not valid JSON"))?;
    if text.trim_start().starts_with('{') {
        return Ok(());
    }
    Err(not_json("dict_type", "The body must be a JSON object"))
}

impl FromRequest<State> for Fields {
    type Rejection = Error;

    async fn from_request(request: Request, state: &State) -> Result<Self, Error> {
        Self::parse(&body(request, state).await?)
    }
}

impl OptionalFromRequest<State> for Fields {
    type Rejection = Error;

    /// A body that is empty is absent.
    async fn from_request(request: Request, state: &State) -> Result<Option<Self>, Error> {
        let body = body(request, state).await?;
        if body.is_empty() {
            Ok(None)
        } else {
            Self::parse(&body).map(Some)
        }
    }
}

impl Fields {
    fn parse(body: &[u8]) -> Result<Self, Error> {
        check_object(body)?;
        let object = serde_json::from_slice(body)
            .map_err(|_| not_json("json_invalid", "The body is not valid JSON"))?;
        Ok(Self {
            object,
            misfits: Vec::new(),
        })
    }

    /// An empty object, for a body that may be left out.
    #[must_use]
    pub fn none() -> Self {
        Self {
            object: Map::new(),
            misfits: Vec::new(),
        }
    }

    /// A text of so many characters; absent and null are `None`.
    pub fn optional_text(&mut self, name: &str, length: RangeInclusive<usize>) -> Option<String> {
        let text = match self.object.get(name) {
            None | Some(Value::Null) => return None,
            Some(Value::String(text)) => text,
            Some(_) => {
                self.note("string_type", name, "Input should be a text");
                return None;
            }
        };
        let count = text.chars().count();
        if count < *length.start() {
            self.note(
                "string_too_short",
                name,
                format!("Text should have at least {} characters", length.start()),
            );
        } else if count > *length.end() {
            self.note(
                "string_too_long",
                name,
                format!("Text should have at most {} characters", length.end()),
            );
        } else {
            return Some(text.clone());
        }
        None
    }

    /// As [`Fields::optional_text`], and required. The text is empty when it is missing or does not fit.
    pub fn text(&mut self, name: &str, length: RangeInclusive<usize>) -> String {
        self.require(name);
        self.optional_text(name, length).unwrap_or_default()
    }

    /// An address of mail, trimmed, with something on both sides of one `@`; required.
    pub fn email(&mut self, name: &str) -> String {
        self.require(name);
        self.optional_email(name).unwrap_or_default()
    }

    /// As [`Fields::email`]; absent and null are `None`.
    pub fn optional_email(&mut self, name: &str) -> Option<String> {
        let text = self.optional_text(name, 1..=usize::MAX)?;
        let email = text.trim();
        let parts = email.split_once('@');
        let plain = |part: &str| !part.is_empty() && !part.contains('@');
        let valid = parts.is_some_and(|(local, domain)| plain(local) && plain(domain))
            && email.len() <= 254
            && !email.chars().any(|c| c.is_whitespace() || c.is_control());
        if !valid {
            self.note("value_error", name, "Input should be a valid address");
        }
        valid.then(|| email.to_owned())
    }

    /// A password that is not longer than a password may be; required.
    pub fn password(&mut self, name: &str) -> String {
        let password = self.text(name, 1..=usize::MAX);
        if password.len() > crate::auth::password::LONGEST {
            self.note("string_too_long", name, "Text should have at most 1024 bytes");
        }
        password
    }

    /// A password to be: as [`Fields::password`], of at least eight characters whatever the policy says; required.
    pub fn new_password(&mut self, name: &str) -> String {
        let password = self.password(name);
        if !password.is_empty() && password.chars().count() < 8 {
            self.note("string_too_short", name, "Text should have at least 8 characters");
        }
        password
    }

    /// A list of texts; absent and null are `None`.
    pub fn optional_texts(&mut self, name: &str) -> Option<Vec<String>> {
        let list = match self.object.get(name) {
            None | Some(Value::Null) => return None,
            Some(list) => serde_json::from_value(list.clone()).ok(),
        };
        if list.is_none() {
            self.note("list_type", name, "Input should be a list of texts");
        }
        list
    }

    /// An object; required.
    pub fn object(&mut self, name: &str) -> Map<String, Value> {
        match self.object.get(name) {
            Some(Value::Object(object)) => return object.clone(),
            None | Some(Value::Null) => self.note("missing", name, "Field required"),
            Some(_) => self.note("dict_type", name, "Input should be an object"),
        }
        Map::new()
    }

    /// True or false; absent and null are `None`.
    pub fn optional_flag(&mut self, name: &str) -> Option<bool> {
        match self.object.get(name) {
            None | Some(Value::Null) => None,
            Some(Value::Bool(flag)) => Some(*flag),
            Some(_) => {
                self.note("bool_type", name, "Input should be true or false");
                None
            }
        }
    }

    /// A whole number within a range; absent and null are `None`.
    pub fn optional_number(&mut self, name: &str, range: RangeInclusive<i64>) -> Option<i64> {
        let number = match self.object.get(name) {
            None | Some(Value::Null) => return None,
            Some(value) => value.as_i64().filter(|number| range.contains(number)),
        };
        if number.is_none() {
            let msg = format!(
                "Input should be a whole number from {} to {}",
                range.start(),
                range.end()
            );
            self.note("int_type", name, msg);
        }
        number
    }

    /// Checks a whole number within a range, written as a number or in a text; absent and null fit.
    pub fn optional_whole(&mut self, name: &str, range: RangeInclusive<i64>) {
        let number = match self.object.get(name) {
            None | Some(Value::Null) => return,
            Some(Value::String(text)) if !text.starts_with('+') => text.parse().ok(),
            Some(value) => value.as_i64(),
        };
        if !number.is_some_and(|number| range.contains(&number)) {
            self.note("int_type", name, "Input should be a whole number in range");
        }
    }

    /// Checks an object; absent and null fit.
    pub fn optional_object(&mut self, name: &str) {
        if self.has(name) {
            self.object(name);
        }
    }

    /// Whether the key is there and not null.
    pub fn has(&self, name: &str) -> bool {
        self.object.get(name).is_some_and(|value| !value.is_null())
    }

    /// An id; absent and null are `None`.
    pub fn optional_id(&mut self, name: &str) -> Option<uuid::Uuid> {
        let id = match self.object.get(name) {
            None | Some(Value::Null) => return None,
            Some(value) => value.as_str().and_then(|text| text.parse().ok()),
        };
        if id.is_none() {
            self.note("uuid_parsing", name, "Input should be a UUID");
        }
        id
    }

    /// An object of texts, numbers, booleans and nulls; absent and null are empty unless it is required.
    pub fn scalars(&mut self, name: &str, required: bool) -> Map<String, Value> {
        let absent = self.object.get(name).is_none_or(Value::is_null);
        if absent && !required {
            return Map::new();
        }
        let map = self.object(name);
        if map.values().any(|value| value.is_object() || value.is_array()) {
            self.note("scalar_type", name, "Values should be texts, numbers or booleans");
        }
        map
    }

    /// Notes that a key must be there.
    pub fn require(&mut self, name: &str) {
        if self.object.get(name).is_none_or(Value::is_null) {
            self.note("missing", name, "Field required");
        }
    }

    /// Notes a mistake.
    pub fn note(&mut self, kind: &'static str, name: &str, msg: impl Into<Cow<'static, str>>) {
        self.misfits.push(misfit(kind, "body", name, msg));
    }

    /// The object itself, once every key fits.
    ///
    /// # Errors
    /// [`Error::Misfits`] with everything that was noted.
    pub fn finish(self) -> Result<Map<String, Value>, Error> {
        if self.misfits.is_empty() {
            Ok(self.object)
        } else {
            Err(Error::Misfits(self.misfits))
        }
    }
}

impl<'a> Query<'a> {
    /// Decodes a query string as browsers encode it: `+` is a space.
    #[must_use]
    pub fn new(query: Option<&'a str>) -> Self {
        let pairs = form_urlencoded::parse(query.unwrap_or_default().as_bytes()).collect();
        Self {
            pairs,
            misfits: Vec::new(),
        }
    }

    /// Takes a parameter out, as often as it is given, in order.
    fn texts(&mut self, name: &str) -> Vec<String> {
        self.pairs
            .extract_if(.., |(key, _)| key == name)
            .map(|(_, value)| value.into_owned())
            .collect()
    }

    /// Takes a parameter out. Of a repeated one the last counts.
    pub fn text(&mut self, name: &str) -> Option<String> {
        self.texts(name).pop()
    }

    /// As [`Query::text`]; given twice is a mistake, because one of them would be ignored.
    ///
    /// # Errors
    /// [`Error::RepeatedParameter`].
    pub fn single(&mut self, name: &'static str) -> Result<Option<String>, Error> {
        if self.pairs.iter().filter(|(key, _)| key == name).count() > 1 {
            return Err(Error::RepeatedParameter(name));
        }
        Ok(self.text(name))
    }

    /// A whole number in a range.
    pub fn number(&mut self, name: &str, range: RangeInclusive<i64>) -> Option<i64> {
        let text = self.text(name)?;
        self.whole(name, &text, &range)
    }

    /// As [`Query::number`], of a parameter that may be given several times.
    pub fn numbers(&mut self, name: &str, range: RangeInclusive<i64>) -> Vec<i64> {
        let texts = self.texts(name);
        texts
            .iter()
            .filter_map(|text| self.whole(name, text, &range))
            .collect()
    }

    fn whole(&mut self, name: &str, text: &str, range: &RangeInclusive<i64>) -> Option<i64> {
        let (least, most) = (range.start(), range.end());
        match text.trim().parse::<i64>() {
            Ok(number) if number < *least => {
                self.note(
                    "greater_than_equal",
                    name,
                    format!("Input should be at least {least}"),
                );
            }
            Ok(number) if number > *most => {
                self.note("less_than_equal", name, format!("Input should be at most {most}"));
            }
            Ok(number) => return Some(number),
            Err(_) => self.note("int_parsing", name, "Input should be a whole number"),
        }
        None
    }

    /// An id; empty is absent.
    pub fn id(&mut self, name: &str) -> Option<uuid::Uuid> {
        let text = self.text(name).filter(|text| !text.is_empty())?;
        let id = text.parse().ok();
        if id.is_none() {
            self.note("uuid_parsing", name, "Input should be a UUID");
        }
        id
    }

    /// Rows to skip and rows at most, from `skip` and `limit` or from `page` and `page_size`.
    pub fn pages(&mut self, usual: i64, most: i64) -> (i64, i64) {
        let skip = self.number("skip", 0..=i64::MAX);
        let limit = self.number("limit", 1..=most);
        let page = self.number("page", 1..=i64::MAX / most);
        let size = self.number("page_size", 1..=most);
        let limit = limit.or(size).unwrap_or(usual);
        (skip.unwrap_or_else(|| (page.unwrap_or(1) - 1) * limit), limit)
    }

    /// A column to sort by, with `-` in front of it to descend: from `sort`, written so, or from `sort_by` and `sort_order`, which
    /// descends unless it says `asc`. `None` when neither is given.
    pub fn sort(&mut self, usual: &'static str, columns: &'static [&'static str]) -> Option<String> {
        let sort = self.text("sort").filter(|sort| !sort.is_empty());
        let by = self.word("sort_by", columns);
        let order = self.word("sort_order", &["asc", "desc"]);
        if let Some(sort) = sort {
            let column = sort.strip_prefix(['-', '+', ' ']).unwrap_or(&sort);
            if !columns.contains(&column) {
                self.note(
                    "enum",
                    "sort",
                    format!("Input should be one of {}", columns.join(", ")),
                );
            }
            return Some(match sort.starts_with('-') {
                true => format!("-{column}"),
                false => column.to_owned(),
            });
        }
        (by.is_some() || order.is_some()).then(|| match order {
            Some("asc") => by.unwrap_or(usual).to_owned(),
            _ => format!("-{}", by.unwrap_or(usual)),
        })
    }

    /// One of a few words, in any case.
    pub fn word(&mut self, name: &str, words: &'static [&'static str]) -> Option<&'static str> {
        let text = self.text(name)?;
        let word = words
            .iter()
            .find(|word| word.eq_ignore_ascii_case(&text))
            .copied();
        if word.is_none() {
            self.note(
                "enum",
                name,
                format!("Input should be one of {}", words.join(", ")),
            );
        }
        word
    }

    /// True or false, in the spellings that client libraries use.
    pub fn flag(&mut self, name: &str) -> Option<bool> {
        let text = self.text(name)?;
        match text.to_ascii_lowercase().as_str() {
            "true" | "1" | "yes" | "on" => Some(true),
            "false" | "0" | "no" | "off" => Some(false),
            _ => {
                self.note("bool_parsing", name, "Input should be true or false");
                None
            }
        }
    }

    /// The value of a parameter that must be there; empty, and noted, when it is not.
    pub fn required(&mut self, name: &str, value: Option<String>) -> String {
        if value.is_none() {
            self.note("missing", name, "Field required");
        }
        value.unwrap_or_default()
    }

    fn note(&mut self, kind: &'static str, name: &str, msg: impl Into<Cow<'static, str>>) {
        self.misfits.push(misfit(kind, "query", name, msg));
    }

    /// The name of a parameter that nobody has taken.
    #[must_use]
    pub fn left_over(&self) -> Option<&str> {
        self.pairs.first().map(|(name, _)| name.as_ref())
    }

    /// Ends the reading.
    ///
    /// # Errors
    /// [`Error::Misfits`] with everything that was noted.
    pub fn finish(self) -> Result<(), Error> {
        if self.misfits.is_empty() {
            Ok(())
        } else {
            Err(Error::Misfits(self.misfits))
        }
    }
}

/// Both parts of a request, or the first mistake.
///
/// # Errors
/// That of the first part that has one.
pub fn both<A, B>(first: Result<A, Error>, second: Result<B, Error>) -> Result<(A, B), Error> {
    Ok((first?, second?))
}

#[cfg(test)]
mod tests;
