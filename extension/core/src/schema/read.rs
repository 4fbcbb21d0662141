//! Reads definitions: one pass that types the parts, checks them, and collects every problem on the way.

use std::collections::HashSet;

use serde_json::{Map, Value as Json};

use super::value::{convert, storable};
use super::{
    DefinitionError, Field, FieldType, MAX_COMPUTED_FIELDS, MAX_FIELD_NAME, MAX_FIELDS, MaskType, Problem,
    Rules, is_system_field,
};
use crate::names;

/// Words of the rule grammar that a field name would shadow, and the columns PostgreSQL itself adds to every table.
/// `account_name` is a key of listed records.
const RESERVED: [&str; 12] = [
    "account_name",
    "in",
    "is",
    "true",
    "false",
    "null",
    "tableoid",
    "xmin",
    "cmin",
    "xmax",
    "cmax",
    "ctid",
];

/// Collects problems while the parts of a body are read. A part with a problem is replaced by a harmless value, so that
/// reading goes on; [`Reader::finish`] then discards the result.
#[derive(Default)]
pub(super) struct Reader {
    pub(super) shape: Vec<Problem>,
    pub(super) semantic: Vec<Problem>,
    /// The names of all fields read, wrong ones too.
    names: HashSet<String>,
}

/// Reads one field by itself.
pub(super) fn field(json: &Json) -> Result<Field, DefinitionError> {
    let mut reader = Reader::default();
    match reader.field(json, "field") {
        Some(field) => reader.finish(field),
        None => Err(reader.into_error()),
    }
}

impl Reader {
    /// Notes a problem of form.
    pub(super) fn shape(&mut self, path: impl Into<String>, code: &'static str, message: impl Into<String>) {
        self.shape.push(Problem::new(path, code, message));
    }

    /// Notes a problem of form unless the same place already has one.
    pub(super) fn shape_unless_reported(&mut self, path: &str, code: &'static str, message: &str) {
        if !self.shape.iter().any(|problem| problem.path == path) {
            self.shape(path, code, message);
        }
    }

    /// Notes a problem of meaning.
    pub(super) fn semantic(
        &mut self,
        path: impl Into<String>,
        code: &'static str,
        message: impl Into<String>,
    ) {
        self.semantic.push(Problem::new(path, code, message));
    }

    /// The result, if there was no problem.
    pub(super) fn finish<T>(self, result: T) -> Result<T, DefinitionError> {
        if self.shape.is_empty() && self.semantic.is_empty() {
            Ok(result)
        } else {
            Err(self.into_error())
        }
    }

    fn into_error(self) -> DefinitionError {
        if self.shape.is_empty() {
            DefinitionError::Semantic(self.semantic)
        } else {
            DefinitionError::Shape(self.shape)
        }
    }

    /// The body as an object.
    pub(super) fn object<'a>(&mut self, body: &'a Json) -> Option<&'a Map<String, Json>> {
        let object = body.as_object();
        if object.is_none() {
            self.shape("body", "invalid_type", "Must be an object");
        }
        object
    }

    /// An optional string; null counts as absent.
    pub(super) fn text(&mut self, object: &Map<String, Json>, prefix: &str, key: &str) -> Option<String> {
        let message = match object.get(key) {
            None | Some(Json::Null) => return None,
            Some(Json::String(text)) if !text.contains('\0') => return Some(text.clone()),
            Some(Json::String(_)) => "Must not contain the character U+0000",
            Some(_) => "Must be a string",
        };
        self.shape(format!("{prefix}{key}"), "invalid_type", message);
        None
    }

    /// A boolean, false when absent.
    pub(super) fn flag(&mut self, object: &Map<String, Json>, prefix: &str, key: &str) -> bool {
        match object.get(key) {
            None => false,
            Some(Json::Bool(value)) => *value,
            Some(_) => {
                self.shape(format!("{prefix}{key}"), "invalid_type", "Must be true or false");
                false
            }
        }
    }

    /// Notes names in field lists that no field has.
    pub(super) fn check_lists(&mut self, rules: &Rules) {
        let problems = rules.check_names(|name| self.names.contains(name));
        self.semantic.extend(problems);
    }

    /// The list of fields under the key `schema`.
    pub(super) fn fields(&mut self, json: &Json) -> Vec<Field> {
        let items = match json {
            Json::Array(items) if !items.is_empty() => items,
            Json::Array(_) | Json::Null => {
                self.shape("schema", "schema_empty", "At least one field is required");
                return Vec::new();
            }
            _ => {
                self.shape("schema", "invalid_type", "Must be an array of fields");
                return Vec::new();
            }
        };
        if items.len() > MAX_FIELDS {
            let message = format!("A collection may have at most {MAX_FIELDS} fields");
            self.semantic("schema", "too_many_fields", message);
        }
        let mut seen = HashSet::new();
        let mut fields = Vec::with_capacity(items.len());
        for (i, item) in items.iter().enumerate() {
            let name = item.get("name").and_then(Json::as_str).unwrap_or_default();
            if !name.is_empty() && !seen.insert(name.to_ascii_lowercase()) {
                let message = "Another field has this name (case does not count)";
                self.semantic(format!("schema[{i}].name"), "field_name_duplicate", message);
            }
            fields.extend(self.field(item, &format!("schema[{i}]")));
        }
        if fields
            .iter()
            .filter(|field| field.field_type == FieldType::Computed)
            .count()
            > MAX_COMPUTED_FIELDS
        {
            let message = format!("A collection may have at most {MAX_COMPUTED_FIELDS} computed fields");
            self.semantic("schema", "too_many_computed_fields", message);
        }
        fields
    }

    /// One field. `None` when it has no usable type; a problem has then been noted.
    fn field(&mut self, json: &Json, path: &str) -> Option<Field> {
        let Some(object) = json.as_object() else {
            self.shape(path, "invalid_type", "A field must be an object");
            return None;
        };
        let prefix = format!("{path}.");
        let name = self.field_name(object, &prefix);
        let field_type = self.field_type(object, &prefix);
        let pii = self.flag(object, &prefix, "pii");
        let mut field = Field {
            name,
            field_type: field_type.unwrap_or(FieldType::Text),
            required: self.flag(object, &prefix, "required"),
            default: object
                .get("default")
                .filter(|default| !default.is_null())
                .cloned(),
            unique: self.flag(object, &prefix, "unique"),
            options: self.options(object, &prefix),
            collection: self.text(object, &prefix, "collection"),
            on_delete: None,
            pii,
            mask_type: self.mask_type(object, &prefix, pii),
            encrypted: self.flag(object, &prefix, "encrypted"),
            expression: self.text(object, &prefix, "expression"),
            return_type: None,
        };
        let on_delete = self.text(object, &prefix, "on_delete");
        let return_type = self.text(object, &prefix, "return_type");
        field_type?;
        self.reference(&mut field, on_delete.as_deref(), &prefix);
        self.computed(&mut field, return_type.as_deref(), &prefix);
        self.encrypted(&field, object, &prefix);
        self.index(&field, &prefix);
        self.trail(&field, &prefix);
        if field.field_type != FieldType::Computed
            && let Some(default) = &field.default
            && let Err(mismatch) = convert(field.field_type, default)
        {
            self.semantic(
                format!("{prefix}default"),
                "default_invalid",
                format!("Default: {}", mismatch.message),
            );
        }
        Some(field)
    }

    fn field_name(&mut self, object: &Map<String, Json>, prefix: &str) -> String {
        let path = format!("{prefix}name");
        let Some(name) = self.text(object, prefix, "name") else {
            self.shape_unless_reported(&path, "field_name_required", "Field name is required");
            return String::new();
        };
        let too_long = format!("Field name must have at most {MAX_FIELD_NAME} characters");
        match name.chars().count() {
            0 => self.shape(&path, "field_name_required", "Field name is required"),
            65.. => self.shape(&path, "field_name_too_long", &too_long),
            _ => {}
        }
        if name.len() > MAX_FIELD_NAME {
            self.semantic(&path, "field_name_too_long", &too_long);
        }
        if !names::is_plain(&name) {
            let message = "Field name must start with a letter and hold only letters, digits and underscores";
            self.semantic(&path, "field_name_invalid_format", message);
        }
        if is_system_field(&name) || RESERVED.iter().any(|word| word.eq_ignore_ascii_case(&name)) {
            self.semantic(&path, "field_name_reserved", "This field name is reserved");
        }
        self.names.insert(name.clone());
        name
    }

    fn field_type(&mut self, object: &Map<String, Json>, prefix: &str) -> Option<FieldType> {
        let path = format!("{prefix}type");
        let Some(name) = self.text(object, prefix, "type") else {
            self.shape_unless_reported(&path, "field_type_required", "Field type is required");
            return None;
        };
        let field_type = FieldType::from_name(&name);
        if name.trim().is_empty() {
            self.semantic(path, "field_type_required", "Field type is required");
        } else if field_type.is_none() {
            let message = format!(
                "Field type must be one of: {}",
                FieldType::ALL.map(FieldType::name).join(", ")
            );
            self.semantic(path, "field_type_invalid", message);
        }
        field_type
    }

    fn options(&mut self, object: &Map<String, Json>, prefix: &str) -> Option<Json> {
        let options = object.get("options").filter(|options| !options.is_null())?;
        let path = format!("{prefix}options");
        if !options.is_object() && !options.is_array() {
            self.shape(path, "invalid_type", "Must be an object or an array");
        } else if let Err(mismatch) = storable(options) {
            self.shape(path, mismatch.code, mismatch.message);
        }
        Some(options.clone())
    }

    fn mask_type(&mut self, object: &Map<String, Json>, prefix: &str, pii: bool) -> Option<MaskType> {
        let name = self.text(object, prefix, "mask_type")?;
        let path = format!("{prefix}mask_type");
        let mask_type = MaskType::from_name(&name);
        if mask_type.is_none() {
            let message = "Mask type must be one of: email, ssn, phone, name, full, custom";
            self.shape(&path, "mask_type_invalid", message);
        }
        if !pii {
            self.shape(
                &path,
                "mask_type_requires_pii",
                "A mask type needs pii to be true",
            );
        }
        mask_type
    }
}
