//! Query strings that the database takes as one JSON object.

use std::ops::RangeInclusive;

use serde_json::{Map, Value};

use super::Query;
use crate::error::Error;

/// A query string, read key by key into a JSON object with the same keys. What is absent is left out; mistakes are gathered as
/// [`Query`] does.
pub struct Parameters<'a> {
    /// For what the object does not say under the name of the parameter.
    pub query: Query<'a>,
    object: Map<String, Value>,
}

impl<'a> Parameters<'a> {
    /// Begins with an empty object.
    #[must_use]
    pub fn new(query: Option<&'a str>) -> Self {
        Self {
            query: Query::new(query),
            object: Map::new(),
        }
    }

    /// Says something of the object, if there is something to say.
    pub fn keep(&mut self, name: &str, value: Option<impl Into<Value>>) {
        if let Some(value) = value {
            self.object.insert(name.to_owned(), value.into());
        }
    }

    /// Keeps a text, empty or not.
    pub fn text(&mut self, name: &str) {
        let text = self.query.text(name);
        self.keep(name, text);
    }

    /// Keeps texts. A form field that is left empty asks for nothing.
    pub fn given(&mut self, names: &[&str]) {
        for name in names {
            let text = self.query.text(name).filter(|text| !text.is_empty());
            self.keep(name, text);
        }
    }

    /// Keeps a whole number in a range.
    pub fn number(&mut self, name: &str, range: RangeInclusive<i64>) {
        let number = self.query.number(name, range);
        self.keep(name, number);
    }

    /// Keeps true or false.
    pub fn flag(&mut self, name: &str) {
        let flag = self.query.flag(name);
        self.keep(name, flag);
    }

    /// Keeps one of a few words.
    pub fn word(&mut self, name: &str, words: &'static [&'static str]) {
        let word = self.query.word(name, words);
        self.keep(name, word);
    }

    /// Keeps an id; empty is absent.
    pub fn id(&mut self, name: &str) {
        let id = self.query.id(name).map(|id| id.to_string());
        self.keep(name, id);
    }

    /// Keeps `skip` and `limit`, as [`Query::pages`] reads them.
    pub fn pages(&mut self, usual: i64, most: i64) {
        let (skip, limit) = self.query.pages(usual, most);
        self.keep("skip", Some(skip));
        self.keep("limit", Some(limit));
    }

    /// Keeps `sort`, as [`Query::sort`] reads it.
    pub fn sort(&mut self, usual: &'static str, columns: &'static [&'static str]) {
        let sort = self.query.sort(usual, columns);
        self.keep("sort", sort);
    }

    /// The object, once every parameter fits.
    ///
    /// # Errors
    /// [`Error::Misfits`] with everything that was noted.
    pub fn finish(self) -> Result<Map<String, Value>, Error> {
        self.query.finish()?;
        Ok(self.object)
    }
}
