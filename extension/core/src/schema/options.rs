//! The options of a collection: what writing a record asks for beyond the rules, and whom its personal data belong to.

use serde_json::{Map, Value as Json, json};

use super::read::Reader;
use super::{Field, Problem};

/// What whoever writes a record has to give.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Requirement {
    /// A reason.
    Reason,
    /// An electronic signature: name, password, meaning and reason. Source: 21 CFR 11.50 and 11.200.
    Signature,
}

impl Requirement {
    /// The name on the wire.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Reason => "reason",
            Self::Signature => "signature",
        }
    }

    /// The requirement with this wire name.
    pub fn from_name(name: &str) -> Option<Self> {
        [Self::Reason, Self::Signature]
            .into_iter()
            .find(|requirement| requirement.name() == name)
    }
}

/// The operations that write, in the order of [`Options::signature`].
pub const WRITES: [&str; 3] = ["create", "update", "delete"];

/// The key `options` of a definition.
///
/// ```
/// use snackbase_core::schema::{Options, Requirement};
/// let options = Options { signature: [None, Some(Requirement::Signature), None], ..Options::default() };
/// assert_eq!(options.to_json().to_string(), r#"{"signature":{"update":"signature"}}"#);
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Options {
    /// What each of [`WRITES`] asks for.
    pub signature: [Option<Requirement>; 3],
    /// Whether another user of the account than the one who asks may sign.
    pub second_signer: bool,
    /// Whom the erasable values of a record belong to: the field that names the subject. `None`: the record itself.
    pub subject: Option<String>,
}

impl Options {
    /// Reads the stored form, which [`Options::to_json`] wrote.
    pub fn from_json(json: &Json) -> Option<Self> {
        let mut reader = Reader::default();
        let options = reader.collection_options(json);
        reader.finish(options).ok()
    }

    /// The options that are not what they are by default.
    pub fn to_json(&self) -> Json {
        let mut object = Map::new();
        let signature: Map<String, Json> = WRITES
            .iter()
            .zip(self.signature)
            .filter_map(|(write, requirement)| Some(((*write).to_owned(), requirement?.name().into())))
            .collect();
        if !signature.is_empty() {
            object.insert("signature".into(), signature.into());
        }
        if self.second_signer {
            object.insert("second_signer".into(), true.into());
        }
        if let Some(subject) = &self.subject {
            object.insert("subject".into(), json!(subject));
        }
        object.into()
    }

    /// What is wrong with the options of a collection that has these fields: a subject that is no identity.
    pub fn check(&self, fields: &[Field]) -> Option<Problem> {
        let subject = self.subject.as_deref()?;
        let identifies = subject == "created_by"
            || fields.iter().any(|field| {
                field.name == subject && field.field_type.is_reference() && field.erasable() != Some(true)
            });
        (!identifies).then(|| {
            let message = "The subject is created_by, or a field of type reference or user";
            Problem::new("options.subject", "subject_invalid", message)
        })
    }
}

impl Reader {
    /// The value of the key `options`.
    pub(super) fn collection_options(&mut self, json: &Json) -> Options {
        let mut options = Options::default();
        let object = match json {
            Json::Null => return options,
            Json::Object(object) => object,
            _ => {
                self.shape("options", "invalid_type", "Must be an object");
                return options;
            }
        };
        // An option that is misspelt would protect nothing.
        for key in object.keys() {
            if !["signature", "second_signer", "subject"].contains(&key.as_str()) {
                self.shape(format!("options.{key}"), "unknown_key", "Unknown option");
            }
        }
        options.second_signer = self.flag(object, "options.", "second_signer");
        options.subject = self
            .text(object, "options.", "subject")
            .filter(|subject| subject != "id");
        match object.get("signature") {
            None | Some(Json::Null) => {}
            Some(Json::Object(wanted)) => {
                for (key, value) in wanted {
                    let path = format!("options.signature.{key}");
                    let Some(place) = WRITES.iter().position(|write| write == key) else {
                        self.shape(path, "unknown_key", "Must be create, update or delete");
                        continue;
                    };
                    options.signature[place] = match value {
                        Json::Null => None,
                        value => {
                            let requirement = value.as_str().and_then(Requirement::from_name);
                            if requirement.is_none() {
                                let message = "Must be \"signature\", \"reason\" or null";
                                self.shape(path, "signature_invalid", message);
                            }
                            requirement
                        }
                    };
                }
            }
            Some(_) => self.shape("options.signature", "invalid_type", "Must be an object"),
        }
        options
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schema::{DefinitionError, parse_change, parse_definition};

    fn codes(options: Json) -> Vec<String> {
        let body = json!({"name": "things", "options": options, "fields": [
            {"name": "owner", "type": "user"},
            {"name": "phone", "type": "text", "pii": true, "options": {"erasable": true}}]});
        match parse_definition(&body) {
            Ok(_) => Vec::new(),
            Err(DefinitionError::Shape(problems) | DefinitionError::Semantic(problems)) => problems
                .iter()
                .map(|problem| format!("{}:{}", problem.path, problem.code))
                .collect(),
        }
    }

    #[test]
    fn options_are_read_and_written() {
        for (json, written) in [
            (json!(null), json!({})),
            (json!({}), json!({})),
            (
                json!({"signature": {"create": "reason", "update": null}, "second_signer": false, "subject": "id"}),
                json!({"signature": {"create": "reason"}}),
            ),
            (
                json!({"subject": "created_by", "second_signer": true}),
                json!({"second_signer": true, "subject": "created_by"}),
            ),
        ] {
            assert_eq!(
                Options::from_json(&json).map(|o| o.to_json()),
                Some(written),
                "{json}"
            );
        }
    }

    #[test]
    fn every_fault_has_its_place() {
        for (options, code) in [
            (json!([]), "options:invalid_type"),
            (json!({"signatures": {}}), "options.signatures:unknown_key"),
            (json!({"signature": "update"}), "options.signature:invalid_type"),
            (
                json!({"signature": {"list": "reason"}}),
                "options.signature.list:unknown_key",
            ),
            (
                json!({"signature": {"update": true}}),
                "options.signature.update:signature_invalid",
            ),
            (
                json!({"signature": {"update": "Signature"}}),
                "options.signature.update:signature_invalid",
            ),
            (json!({"second_signer": 1}), "options.second_signer:invalid_type"),
            (json!({"subject": "nobody"}), "options.subject:subject_invalid"),
            (json!({"subject": "phone"}), "options.subject:subject_invalid"),
        ] {
            assert_eq!(codes(options.clone()), [code], "{options}");
        }
        assert_eq!(codes(json!({"subject": "owner"})), [""; 0]);
    }

    #[test]
    fn a_change_replaces_the_options_or_leaves_them() {
        let current = parse_definition(&json!({"name": "things", "options": {"second_signer": true},
            "fields": [{"name": "a", "type": "text"}]}))
        .expect("a definition");
        let change = |body: Json| parse_change(&body).and_then(|change| change.apply(&current));
        let left = change(json!({"list_rule": ""})).expect("a change");
        assert!(left.options.second_signer);
        let gone = change(json!({"options": {}})).expect("a change");
        assert_eq!(gone.options, Options::default());
        assert!(change(json!({"options": {"subject": "a"}})).is_err());
    }
}
