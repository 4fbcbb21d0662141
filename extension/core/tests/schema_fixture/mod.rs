//! Definitions that are refused, and what they are made of.

use serde_json::{Value, json};
use snackbase_core::schema::*;

/// Body, then every problem as `path code`; `S` for problems of form, `M` for problems of meaning.
pub fn refused(body: &Value) -> (char, Vec<String>) {
    let list = |problems: &[Problem]| {
        problems
            .iter()
            .map(|p| format!("{} {}", p.path, p.code))
            .collect()
    };
    match parse_definition(body) {
        Ok(_) => panic!("accepted: {body}"),
        Err(DefinitionError::Shape(problems)) => ('S', list(&problems)),
        Err(DefinitionError::Semantic(problems)) => ('M', list(&problems)),
    }
}

/// A collection with one field.
pub fn with(field: Value) -> Value {
    json!({"name": "posts", "schema": [field]})
}

/// A field of a type that has all it needs, with more keys.
pub fn field(kind: &str, more: Value) -> Value {
    let mut field = json!({"name": "f", "type": kind});
    let members = field.as_object_mut().expect("an object");
    if kind == "reference" {
        members.insert("collection".into(), "users".into());
        members.insert("on_delete".into(), "restrict".into());
    }
    if kind == "computed" {
        members.insert("expression".into(), "1 + 1".into());
        members.insert("return_type".into(), "number".into());
    }
    members.extend(more.as_object().expect("an object").clone());
    field
}
