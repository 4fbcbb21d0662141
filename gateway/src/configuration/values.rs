//! Values of a provider on their way in: merged with what is there, secrets apart and sealed, checked against the schema.
//!
//! Source: identity contract §4.10 (66, 69) and §5.6.

use serde::Deserialize;
use serde_json::{Map, Value, json};
use uuid::Uuid;

use super::secrets::{Locked, Sealed, Vault};
use crate::error::{Error, Misfit};

/// What stands for a secret in answers; sent back, it keeps the secret.
pub const PLACEHOLDER: &str = "••••••••";

/// A row that exists or is to be made, as `snackbase.configuration_draft` describes it.
#[derive(Debug, Deserialize)]
pub struct Draft {
    /// The row, when it exists.
    pub row_id: Option<Uuid>,
    /// Its account.
    pub account_id: Uuid,
    /// Its category.
    pub category: String,
    /// Its provider.
    pub provider_name: String,
    /// Its revision, when it exists.
    pub revision: Option<i32>,
    /// What values look like; none for an unknown provider.
    pub schema: Option<Value>,
    /// Its own values.
    pub config: Map<String, Value>,
    /// Its own secrets.
    pub secrets: Map<String, Value>,
    /// The system's value of each name that says where a secret goes.
    pub destinations: Map<String, Value>,
    /// What its own values are laid over; secrets are placeholders.
    pub inherited: Map<String, Value>,
}

/// Values that may be stored.
#[derive(Debug)]
pub struct Checked {
    /// No secrets.
    pub config: Map<String, Value>,
    /// Sealed.
    pub secrets: Map<String, Value>,
    /// Everything that counts, secrets in clear: for a test of the connection. Secrets of the system are left out.
    pub complete: Map<String, Value>,
}

/// Lays `changes` over the row: null removes a value, the placeholder keeps a secret.
///
/// # Errors
/// [`Error::Misfits`] for values that break the schema, [`Error::Words`] for what looks like a credential without a schema
/// that would say so, and when there is no key for secrets.
pub fn check(draft: &Draft, row: Uuid, changes: Map<String, Value>, vault: &Vault) -> Result<Checked, Error> {
    let mut config = draft.config.clone();
    let mut secrets = draft.secrets.clone();
    let mut clear = Map::new();
    for (name, value) in changes {
        if value.is_null() {
            config.remove(&name);
            secrets.remove(&name);
        } else if draft.is_secret(&name) {
            if value != PLACEHOLDER {
                let sealed = vault.seal(row, &name, &value).map_err(locked)?;
                secrets.insert(name.clone(), json!(sealed));
                clear.insert(name, value);
            }
        } else {
            if draft.schema.is_none()
                && let Some(name) = credential(&name, &value)
            {
                let words =
                    format!("{name} looks like a secret: give a config_schema that says secret: true");
                return Err(Error::Words(words));
            }
            config.insert(name, value);
        }
    }
    for (name, sealed) in &secrets {
        if !clear.contains_key(name) {
            let sealed: Sealed = serde_json::from_value(sealed.clone())
                .map_err(|failure| Error::Defect(format!("a sealed secret: {failure}")))?;
            clear.insert(name.clone(), vault.open(row, name, &sealed).map_err(locked)?);
        }
    }
    let mut complete = draft.inherited.clone();
    // As the database does: the system's secret does not follow an account to another destination.
    let moved = config.iter().any(|(name, value)| {
        draft
            .destinations
            .get(name)
            .is_some_and(|systems| systems != value)
    });
    let names: Vec<String> = complete
        .keys()
        .filter(|name| draft.is_secret(name))
        .cloned()
        .collect();
    let mut inherited = Vec::new();
    for name in names {
        if moved || clear.contains_key(&name) {
            complete.remove(&name);
        } else {
            inherited.push(name);
        }
    }
    complete.extend(config.clone());
    complete.extend(clear);
    if let Some(schema) = &draft.schema {
        conforms(schema, &complete, &inherited)?;
    }
    for name in inherited {
        complete.remove(&name);
    }
    Ok(Checked {
        config,
        secrets,
        complete,
    })
}

impl Draft {
    fn is_secret(&self, name: &str) -> bool {
        let property = self
            .schema
            .as_ref()
            .and_then(|schema| schema["properties"].get(name));
        let marked = property.is_some_and(|property| property["secret"] == Value::Bool(true));
        marked || self.secrets.contains_key(name)
    }
}

fn locked(locked: Locked) -> Error {
    Error::Words(locked.to_string())
}

/// The name, or one inside of the value, that looks like that of a credential.
fn credential<'a>(name: &'a str, value: &'a Value) -> Option<&'a str> {
    match value {
        _ if looks_like_a_credential(name) => Some(name),
        Value::Object(map) => map.iter().find_map(|(name, value)| credential(name, value)),
        Value::Array(list) => list.iter().find_map(|value| credential("", value)),
        _ => None,
    }
}

fn looks_like_a_credential(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    [
        "password",
        "secret",
        "token",
        "api_key",
        "apikey",
        "private_key",
        "credential",
    ]
    .iter()
    .any(|word| name.contains(word))
}

/// Whether a schema is one.
///
/// # Errors
/// [`Error::Misfits`] with the place `config_schema`.
pub fn check_schema(schema: &Value) -> Result<(), Error> {
    let refused = |msg: &'static str| {
        Err(Error::Misfits(vec![Misfit {
            kind: "value_error".into(),
            loc: vec!["body".into(), "config_schema".into()],
            msg: msg.into(),
        }]))
    };
    if schema.to_string().len() > 65_536 {
        return refused("A schema has at most 65536 bytes");
    }
    // Others would have to be fetched.
    if mentions_other_documents(schema) {
        return refused("References must begin with #");
    }
    // Anywhere else it would not be looked for, and the value be stored as it is.
    if secret_out_of_place(schema) {
        return refused("secret stands in a property of the schema itself, and is true or false");
    }
    match schema.is_object() && validator(schema).is_some() {
        true => Ok(()),
        false => refused("Input should be a JSON Schema"),
    }
}

fn mentions_other_documents(schema: &Value) -> bool {
    match schema {
        Value::Object(map) => map.iter().any(|(key, value)| {
            matches!(key.as_str(), "$ref" | "$dynamicRef")
                && value
                    .as_str()
                    .is_some_and(|reference| !reference.starts_with('#'))
                || mentions_other_documents(value)
        }),
        Value::Array(list) => list.iter().any(mentions_other_documents),
        _ => false,
    }
}

/// Whether the mark `secret` stands elsewhere than in the properties of the schema itself, or is neither true nor false.
fn secret_out_of_place(schema: &Value) -> bool {
    let Value::Object(parts) = schema else {
        return false;
    };
    parts.iter().any(|(key, part)| match (key.as_str(), part) {
        ("properties", Value::Object(properties)) => properties.values().any(|property| {
            let mark = property.get("secret");
            mark.is_some_and(|mark| !mark.is_boolean()) || marks_a_secret(property, true)
        }),
        _ => marks_a_secret_at(key, part),
    })
}

/// Whether a schema, or one inside of it, has the mark; the schema itself may have it where `here` says so.
fn marks_a_secret(schema: &Value, here: bool) -> bool {
    match schema {
        Value::Object(parts) => parts
            .iter()
            .any(|(key, part)| !(here && key == "secret") && marks_a_secret_at(key, part)),
        Value::Array(list) => list.iter().any(|part| marks_a_secret(part, false)),
        _ => false,
    }
}

fn marks_a_secret_at(key: &str, part: &Value) -> bool {
    match (key, part) {
        ("secret", mark) => *mark != Value::Bool(false),
        // Values, not schemas.
        ("const" | "default" | "enum" | "examples", _) => false,
        // Names that lead to schemas.
        (
            "properties" | "patternProperties" | "$defs" | "definitions" | "dependentSchemas",
            Value::Object(named),
        ) => named.values().any(|schema| marks_a_secret(schema, false)),
        (_, part) => marks_a_secret(part, false),
    }
}

fn validator(schema: &Value) -> Option<jsonschema::Validator> {
    jsonschema::options()
        .should_validate_formats(true)
        .build(schema)
        .ok()
}

/// Checks values; faults of inherited secrets, which are placeholders here, do not count.
fn conforms(schema: &Value, values: &Map<String, Value>, inherited: &[String]) -> Result<(), Error> {
    let validator =
        validator(schema).ok_or_else(|| Error::Defect("a stored config_schema is none".to_owned()))?;
    let instance = Value::Object(values.clone());
    let mut misfits = Vec::new();
    for fault in validator.iter_errors(&instance) {
        let mut loc = vec!["body".into(), "config".into()];
        let path = fault.instance_path().to_string();
        let place: Vec<&str> = path.split('/').filter(|part| !part.is_empty()).collect();
        if place
            .first()
            .is_some_and(|name| inherited.iter().any(|secret| secret == name))
        {
            continue;
        }
        loc.extend(place.into_iter().map(|part| part.to_owned().into()));
        if let jsonschema::error::ValidationErrorKind::Required { property } = fault.kind()
            && let Some(property) = property.as_str()
        {
            loc.push(property.to_owned().into());
            misfits.push(Misfit {
                kind: "missing".into(),
                loc,
                msg: "Field required".into(),
            });
            continue;
        }
        misfits.push(Misfit {
            kind: fault.kind().keyword().to_owned().into(),
            loc,
            // The value itself could be a secret.
            msg: fault.masked().to_string().into(),
        });
    }
    match misfits.is_empty() {
        true => Ok(()),
        false => Err(Error::Misfits(misfits)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn vault() -> Vault {
        Vault::new(Some("a key of at least 32 characters, yes"), None)
            .unwrap_or_else(|sentence| panic!("{sentence}"))
    }

    fn map(value: Value) -> Map<String, Value> {
        match value {
            Value::Object(map) => map,
            _ => Map::new(),
        }
    }

    fn draft(inherited: Value, destinations: Value) -> Draft {
        Draft {
            row_id: None,
            account_id: Uuid::nil(),
            category: "email_providers".to_owned(),
            provider_name: "smtp".to_owned(),
            revision: None,
            schema: Some(
                json!({"type": "object", "additionalProperties": false, "required": ["host", "port", "password"],
                "properties": {"host": {"type": "string", "minLength": 1}, "port": {"type": "integer", "minimum": 1, "maximum": 65535},
                               "from": {"type": "string", "format": "email"},
                               "password": {"type": "string", "maxLength": 20, "secret": true}}}),
            ),
            config: Map::new(),
            secrets: Map::new(),
            destinations: map(destinations),
            inherited: map(inherited),
        }
    }

    fn places(result: Result<Checked, Error>) -> Vec<String> {
        match result {
            Err(Error::Misfits(list)) => {
                assert!(
                    list.iter().all(|misfit| !misfit.msg.contains("hunter2")),
                    "{list:?}"
                );
                list.iter()
                    .map(|misfit| format!("{} {}", misfit.loc.join("."), misfit.kind))
                    .collect()
            }
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn secrets_are_sealed_and_kept_by_the_placeholder() {
        let mut draft = draft(json!({"port": 587}), json!({}));
        let row = Uuid::new_v4();
        let first = check(
            &draft,
            row,
            map(json!({"host": "h", "password": "hunter2"})),
            &vault(),
        );
        let first = first.expect("good values");
        assert_eq!(first.config, map(json!({"host": "h"})));
        assert!(!json!(first.secrets).to_string().contains("hunter2"));
        draft.config = first.config;
        draft.secrets = first.secrets.clone();
        let second = check(
            &draft,
            row,
            map(json!({"host": "i", "password": PLACEHOLDER})),
            &vault(),
        );
        let second = second.expect("good values");
        assert_eq!(second.secrets, first.secrets);
        assert_eq!(second.complete["password"], "hunter2");
        let removed = check(&draft, row, map(json!({"password": null})), &vault());
        assert_eq!(places(removed), ["body.config.password missing"]);
        // another key: nothing is stored on top of what cannot be read
        let other = Vault::new(Some("another key of at least 32 characters"), None).expect("a key");
        assert!(matches!(
            check(&draft, row, Map::new(), &other),
            Err(Error::Words(_))
        ));
    }

    #[test]
    fn faults_name_their_place_and_not_the_value() {
        let vault = vault();
        let values = map(
            json!({"host": "", "port": 70000, "from": "nobody", "password": "hunter2hunter2hunter2", "extra": 1}),
        );
        let mut found = places(check(&draft(json!({}), json!({})), Uuid::nil(), values, &vault));
        found.sort();
        assert_eq!(
            found,
            [
                "body.config additionalProperties",
                "body.config.from format",
                "body.config.host minLength",
                "body.config.password maxLength",
                "body.config.port maximum"
            ]
        );
    }

    #[test]
    fn an_inherited_secret_counts_as_given_unless_the_destination_is_another() {
        let system = json!({"host": "system", "port": 587, "password": PLACEHOLDER});
        let destinations = json!({"host": "system", "port": 587});
        let vault = vault();
        let inherits = check(
            &draft(system.clone(), destinations.clone()),
            Uuid::nil(),
            map(json!({"host": "system"})),
            &vault,
        );
        assert!(!inherits.expect("good values").complete.contains_key("password"));
        let moved = check(
            &draft(system, destinations),
            Uuid::nil(),
            map(json!({"host": "elsewhere"})),
            &vault,
        );
        assert_eq!(places(moved), ["body.config.password missing"]);
    }

    #[test]
    fn without_a_schema_nothing_that_looks_like_a_credential_is_stored() {
        let mut unknown = draft(json!({}), json!({}));
        unknown.schema = None;
        let vault = vault();
        assert!(check(&unknown, Uuid::nil(), map(json!({"colour": "red"})), &vault).is_ok());
        for name in ["password", "API_KEY", "oauth_token", "clientSecret"] {
            for values in [
                json!({name: "hunter2"}),
                json!({"inside": {name: "hunter2"}}),
                json!({"inside": [1, {"deeper": {name: "hunter2"}}]}),
            ] {
                let refused = check(&unknown, Uuid::nil(), map(values.clone()), &vault);
                assert!(matches!(refused, Err(Error::Words(_))), "{values}");
            }
        }
    }

    #[test]
    fn a_secret_is_marked_where_it_is_looked_for_or_the_schema_is_refused() {
        let secret = json!({"type": "string", "secret": true});
        for schema in [
            json!({"properties": {"a": secret}}),
            json!({"properties": {"a": {"secret": false, "properties": {"b": {"secret": false}}}}}),
            json!({"properties": {"secret": {"type": "string"}, "a": {"default": {"secret": 1}, "enum": [{"secret": 1}]}}}),
            json!({"properties": {"a": {"$ref": "#/$defs/a", "secret": true}}, "$defs": {"a": {"type": "string"}}}),
        ] {
            assert!(check_schema(&schema).is_ok(), "{schema}");
        }
        for schema in [
            json!({"secret": true}),
            json!({"properties": {"a": {"type": "string", "secret": "true"}}}),
            json!({"properties": {"a": {"properties": {"b": secret}}}}),
            json!({"properties": {"a": {"items": secret}}}),
            json!({"properties": {"a": {"$ref": "#/$defs/a"}}, "$defs": {"a": secret}}),
            json!({"patternProperties": {"^a": secret}}),
            json!({"additionalProperties": secret}),
            json!({"anyOf": [{"properties": {"a": secret}}]}),
            json!({"properties": {"secret": secret, "a": {"dependentSchemas": {"b": {"properties": {"c": secret}}}}}}),
        ] {
            assert!(check_schema(&schema).is_err(), "{schema}");
        }
    }

    #[test]
    fn schemas_are_checked_and_refer_to_nothing_outside() {
        assert!(
            check_schema(
                &json!({"type": "object", "properties": {"a": {"$ref": "#/$defs/a"}}, "$defs": {"a": {}}})
            )
            .is_ok()
        );
        for schema in [
            json!("text"),
            json!({"type": 3}),
            json!({"type": "object", "properties": {"a": {"$ref": "http://169.254.169.254/"}}}),
            json!({"allOf": [{"$ref": "file:///etc/passwd"}]}),
            json!({"type": "object", "properties": {"a": {"type": "string", "pattern": "("}}}),
        ] {
            assert!(check_schema(&schema).is_err(), "{schema}");
        }
    }
}
