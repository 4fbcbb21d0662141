//! The texts of a mail: a subset of Jinja2, in a sandbox.
//!
//! Whoever may edit a template decides what people read, and nothing else: no template includes another, no function reaches
//! the process, steps and output are counted. Values are escaped in the HTML part only; a subject is one line.
//! Source: identity contract §5.5, trap 36.

use std::io;

use minijinja::value::Value as Shown;
use minijinja::{AutoEscape, Environment, ErrorKind, UndefinedBehavior};
use serde::Deserialize;
use serde_json::{Map, Value};

/// Steps that one part may take; our own texts take some dozens.
const FUEL: u64 = 20_000;
/// Bytes that one part may become.
const LARGEST: usize = 256 * 1024;

/// Sources of the three parts.
#[derive(Debug, Clone, Deserialize)]
pub struct Template {
    /// One line.
    pub subject: String,
    /// HTML.
    pub html_body: String,
    /// Plain text.
    pub text_body: String,
}

/// The three parts with their values.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Texts {
    /// One line.
    pub subject: String,
    /// HTML.
    pub html: String,
    /// Plain text.
    pub text: String,
}

/// What is wrong with a part.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{part}: {message}")]
pub struct Fault {
    /// `subject`, `html_body` or `text_body`.
    pub part: &'static str,
    /// For people; does not repeat values.
    pub message: String,
}

/// Puts values into a template. What is not given is empty.
///
/// # Errors
/// The first part that does not parse, asks for something the sandbox does not have, or grows too large.
pub fn render(template: &Template, variables: &Map<String, Value>) -> Result<Texts, Fault> {
    let values = Shown::from_pairs(
        variables
            .iter()
            .map(|(name, value)| (name.as_str(), shown(value))),
    );
    let subject = part("subject", &template.subject, false, &values)?;
    Ok(Texts {
        subject: one_line(&subject),
        html: part("html_body", &template.html_body, true, &values)?,
        text: part("text_body", &template.text_body, false, &values)?,
    })
}

/// Whether a part parses. Whether it works is known when it has its values.
///
/// # Errors
/// What is wrong, and in which line.
pub fn check(part: &'static str, source: &str) -> Result<(), Fault> {
    match environment(false).template_from_named_str(part, source) {
        Ok(_) => Ok(()),
        Err(failure) => Err(fault(part, &failure)),
    }
}

/// Line ends would begin a header of somebody else's choice.
#[must_use]
pub fn one_line(text: &str) -> String {
    let plain: String = text
        .chars()
        .map(|c| if c.is_control() { ' ' } else { c })
        .collect();
    plain.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// `html`: values are escaped.
fn environment(html: bool) -> Environment<'static> {
    // Empty: no functions, no filters. `safe` is left out on purpose.
    let mut environment = Environment::empty();
    environment.add_filter("default", minijinja::filters::default);
    environment.add_filter("lower", minijinja::filters::lower);
    environment.add_filter("trim", minijinja::filters::trim);
    environment.add_filter("upper", minijinja::filters::upper);
    environment.set_fuel(Some(FUEL));
    environment.set_recursion_limit(50);
    environment.set_undefined_behavior(UndefinedBehavior::Lenient);
    environment.set_auto_escape_callback(move |_| if html { AutoEscape::Html } else { AutoEscape::None });
    environment
}

fn part(name: &'static str, source: &str, html: bool, values: &Shown) -> Result<String, Fault> {
    let environment = environment(html);
    let template = environment
        .template_from_named_str(name, source)
        .map_err(|failure| fault(name, &failure))?;
    let mut out = Limited(Vec::new());
    let done = template.render_captured_to(values.clone(), &mut out);
    done.map_err(|failure| fault(name, &failure))?;
    String::from_utf8(out.0).map_err(|_| Fault {
        part: name,
        message: "the text is not UTF-8".to_owned(),
    })
}

fn fault(part: &'static str, failure: &minijinja::Error) -> Fault {
    let what = match failure.kind() {
        ErrorKind::OutOfFuel => "the template takes too many steps".to_owned(),
        ErrorKind::WriteFailure => "the text becomes too large".to_owned(),
        ErrorKind::SyntaxError => failure.detail().unwrap_or("it cannot be read").to_owned(),
        ErrorKind::UnknownFilter => "it uses a filter that mail does not have".to_owned(),
        ErrorKind::UnknownFunction => "it calls a function that mail does not have".to_owned(),
        kind => kind.to_string(),
    };
    let message = match failure.line() {
        Some(line) => format!("line {line}: {what}"),
        None => what,
    };
    Fault { part, message }
}

/// Scalars as they are written; anything else is empty.
fn shown(value: &Value) -> Shown {
    match value {
        Value::Bool(flag) => Shown::from(*flag),
        Value::Number(number) => Shown::from(number.to_string()),
        Value::String(text) => Shown::from(text.as_str()),
        Value::Null | Value::Array(_) | Value::Object(_) => Shown::from(()),
    }
}

/// A text that may not grow beyond [`LARGEST`].
struct Limited(Vec<u8>);

impl io::Write for Limited {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.0.len() + bytes.len() > LARGEST {
            return Err(io::Error::other("too large"));
        }
        self.0.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn template(subject: &str, html: &str, text: &str) -> Template {
        Template {
            subject: subject.to_owned(),
            html_body: html.to_owned(),
            text_body: text.to_owned(),
        }
    }

    fn values(value: Value) -> Map<String, Value> {
        match value {
            Value::Object(map) => map,
            _ => Map::new(),
        }
    }

    #[test]
    fn values_are_escaped_in_html_only_and_a_subject_is_one_line() {
        let template = template("Hi {{ name }}", "<p>{{ name }}</p>", "{{ name }}");
        let texts = render(
            &template,
            &values(json!({"name": "<b>A & B</b>\r\nBcc: evil@example.com"})),
        );
        let texts = texts.expect("a text");
        assert_eq!(texts.subject, "Hi <b>A & B</b> Bcc: evil@example.com");
        assert_eq!(
            texts.html,
            "<p>&lt;b&gt;A &amp; B&lt;&#x2f;b&gt;\r\nBcc: evil@example.com</p>"
        );
        assert_eq!(texts.text, "<b>A & B</b>\r\nBcc: evil@example.com");
    }

    #[test]
    fn what_is_missing_is_empty_and_scalars_are_written_plainly() {
        let source = "[{{ nothing }}{% if nothing %}x{% endif %}{% if flag %}yes{% else %}no{% endif %} {{ count }} {{ price }}{{ nothing.more }}]";
        let texts = render(
            &template("s", "h", source),
            &values(json!({"flag": false, "count": 3, "price": 1.5})),
        );
        // one level below nothing is a mistake of the template
        assert!(texts.is_err());
        let source = source.replace("{{ nothing.more }}", "");
        let texts = render(
            &template("s", "h", &source),
            &values(json!({"flag": false, "count": 3, "price": 1.5})),
        );
        assert_eq!(texts.expect("a text").text, "[no 3 1.5]");
    }

    #[test]
    fn the_sandbox_has_no_doors() {
        for source in [
            "{% include 'other' %}",
            "{% extends 'other' %}",
            "{% import 'other' as x %}",
            "{{ range(10) }}",
            "{{ debug() }}",
            "{{ name | safe }}",
            "{% for x in 'ab' * 100000 %}{% for y in 'ab' * 100000 %}{{ x }}{% endfor %}{% endfor %}",
            "{{ 'x' * 1000000000000 }}",
            "{% for a in name %}{{ 'xxxxxxxxxxxxxxxx' * 60000 }}{% endfor %}",
            "{{ name.__class__.__mro__ }}",
            "{% set x = x ~ x %}{{ x.y.z }}",
            "{{ unclosed",
            "{% if %}",
        ] {
            let texts = render(&template("s", source, "t"), &values(json!({"name": "ab"})));
            assert!(
                texts.as_ref().is_err_and(|fault| fault.part == "html_body"),
                "{source}: {texts:?}"
            );
        }
    }

    #[test]
    fn a_source_that_does_not_parse_is_named_with_its_line() {
        assert_eq!(check("subject", "fine {{ x }}"), Ok(()));
        let fault = check("text_body", "one\n{% if %}").expect_err("it does not parse");
        assert_eq!(fault.part, "text_body");
        assert!(fault.message.starts_with("line 2: "), "{}", fault.message);
    }
}
