//! Checks of properties that belong to some field types only: references, computed and encrypted fields.

use serde_json::{Map, Value as Json};

use super::read::Reader;
use super::{Field, FieldType, Index, OnDelete, WriteMask};
use crate::rules;

/// Properties that promise something about the clear text of a field, which an encrypted one cannot keep.
const QUERY_OPTIONS: [&str; 7] = [
    "indexed",
    "index",
    "sortable",
    "searchable",
    "search",
    "aggregatable",
    "groupable",
];

/// How often an expression may name fields. A text of a computed field is joined from them, and one that exceeds the gigabyte
/// of a PostgreSQL value would fail every read: fifty bodies of the largest usual size do not.
const MAX_NAMES: usize = 50;

impl Reader {
    /// `collection` and `on_delete`.
    pub(super) fn reference(&mut self, field: &mut Field, on_delete: Option<&str>, prefix: &str) {
        let path = format!("{prefix}on_delete");
        let action = on_delete.and_then(OnDelete::from_name);
        match field.field_type {
            FieldType::Reference => {
                if field
                    .collection
                    .as_deref()
                    .is_none_or(|name| name.trim().is_empty())
                {
                    let message = "A reference needs the name of its target collection";
                    self.semantic(
                        format!("{prefix}collection"),
                        "reference_collection_required",
                        message,
                    );
                }
                if on_delete.is_none_or(|name| name.trim().is_empty()) {
                    let message = "A reference needs on_delete: cascade, set_null or restrict";
                    self.semantic(&path, "reference_on_delete_required", message);
                } else if action.is_none() {
                    let message = "on_delete must be cascade, set_null or restrict";
                    self.semantic(&path, "reference_on_delete_invalid", message);
                }
            }
            FieldType::User => {
                field.collection = None;
                if action == Some(OnDelete::Cascade) {
                    let message = "A user field cannot cascade: on_delete must be set_null or restrict";
                    self.semantic(&path, "user_on_delete_cascade_forbidden", message);
                } else if on_delete.is_some() && action.is_none() {
                    self.semantic(
                        &path,
                        "user_on_delete_invalid",
                        "on_delete must be set_null or restrict",
                    );
                }
            }
            _ => {
                field.collection = None;
                return;
            }
        }
        field.on_delete = action;
        if field.required && action == Some(OnDelete::SetNull) {
            let message = "A required field cannot be set to null: use restrict, or make it optional";
            self.semantic(path, "set_null_on_required", message);
        }
    }

    /// `expression` and `return_type`, and what a computed field may not have.
    pub(super) fn computed(&mut self, field: &mut Field, return_type: Option<&str>, prefix: &str) {
        if field.field_type != FieldType::Computed {
            field.expression = None;
            return;
        }
        if field
            .expression
            .as_deref()
            .is_none_or(|expression| expression.trim().is_empty())
        {
            let message = "A computed field needs an expression";
            self.semantic(
                format!("{prefix}expression"),
                "computed_field_expression_required",
                message,
            );
        }
        let source = field.expression.as_deref().unwrap_or_default();
        let fault = match rules::parse(source) {
            // A blank expression has been reported.
            _ if source.trim().is_empty() => None,
            Err(error) => Some(rules::summary(&[error])),
            Ok(tree) if tree.names().len() > MAX_NAMES => Some(format!(
                "A computed field may name fields {MAX_NAMES} times at most"
            )),
            Ok(_) => None,
        };
        if let Some(message) = fault {
            self.semantic(
                format!("{prefix}expression"),
                "computed_field_expression_invalid",
                message,
            );
        }
        let path = format!("{prefix}return_type");
        match return_type.filter(|name| !name.trim().is_empty()) {
            None => {
                let message = "A computed field needs a return type";
                self.semantic(path, "computed_field_return_type_required", message);
            }
            Some(name) => {
                field.return_type = FieldType::from_name(name).filter(|t| t.is_return_type());
                if field.return_type.is_none() {
                    let message = "Return type must be one of: text, number, boolean, datetime";
                    self.semantic(path, "computed_field_return_type_invalid", message);
                }
            }
        }
        for (present, key, code) in [
            (field.required, "required", "computed_field_no_required"),
            (field.default.is_some(), "default", "computed_field_no_default"),
            (field.unique, "unique", "computed_field_no_unique"),
        ] {
            if present {
                self.semantic(
                    format!("{prefix}{key}"),
                    code,
                    format!("A computed field cannot have {key}"),
                );
            }
        }
    }

    /// `options.index`: which index the column gets.
    pub(super) fn index(&mut self, field: &Field, prefix: &str) {
        let Some(hint) = field.options.as_ref().and_then(|options| options.get("index")) else {
            return;
        };
        if field.encrypted {
            // Reported with the other promises that an encrypted field cannot keep.
            return;
        }
        let message = match Index::from_hint(hint) {
            Err(message) => message,
            Ok(None) => return,
            Ok(Some(Index::Prefix)) if !field.field_type.text_like() => {
                "Only fields of text, email and url have prefixes"
            }
            Ok(Some(_)) => match field.field_type {
                FieldType::Json | FieldType::File | FieldType::Computed => {
                    "A field of this type cannot have an index"
                }
                _ => return,
            },
        };
        self.semantic(format!("{prefix}options.index"), "index_invalid", message);
    }

    /// `options.audit` and `options.erasable`: what the audit trail keeps of the values.
    pub(super) fn trail(&mut self, field: &Field, prefix: &str) {
        let option = |name: &str| field.options.as_ref().and_then(|options| options.get(name));
        if let Some(mask) = option("audit")
            && (mask.as_str().and_then(WriteMask::from_name).is_none() || !field.is_stored())
        {
            let message = "Must be none, redact, hash or skip, of a field that is stored";
            self.semantic(format!("{prefix}options.audit"), "audit_invalid", message);
        }
        let Some(erasable) = option("erasable") else {
            return;
        };
        let fault = match erasable {
            Json::Bool(false) => return,
            Json::Bool(true) if !field.is_stored() => "A computed field cannot be erasable",
            Json::Bool(true) if !field.pii => "Only personal data are erasable: set pii",
            // Erasing makes the value null.
            Json::Bool(true) if field.required => "A required field cannot be erasable",
            Json::Bool(true) if option("audit").is_some() => "Either audit or erasable",
            Json::Bool(true) => return,
            _ => "Must be true or false",
        };
        self.semantic(format!("{prefix}options.erasable"), "erasable_invalid", fault);
    }

    /// What an encrypted field may not be.
    pub(super) fn encrypted(&mut self, field: &Field, object: &Map<String, Json>, prefix: &str) {
        if !field.encrypted {
            return;
        }
        if !matches!(field.field_type, FieldType::Text | FieldType::Json) {
            let message = "Only text and json fields can be encrypted";
            self.semantic(format!("{prefix}encrypted"), "encrypted_type_invalid", message);
        }
        if field.unique {
            let message = "An encrypted field cannot be unique";
            self.semantic(format!("{prefix}unique"), "encrypted_no_unique", message);
        }
        let set = |value: Option<&Json>| value.and_then(Json::as_bool) == Some(true);
        for key in QUERY_OPTIONS {
            let place = if set(object.get(key)) {
                key.to_owned()
            } else if set(field.options.as_ref().and_then(|options| options.get(key))) {
                format!("options.{key}")
            } else {
                continue;
            };
            let message = format!("An encrypted field cannot have {key}");
            self.semantic(
                format!("{prefix}{place}"),
                "encrypted_query_option_forbidden",
                message,
            );
        }
    }
}
