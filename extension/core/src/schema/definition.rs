//! Bodies of `POST /collections` and `PUT /collections/{id}`.

use serde_json::{Map, Value as Json};

use super::read::Reader;
use super::rules::read_rules;
use super::{DefinitionError, Field, MAX_COLLECTION_NAME, Options, Problem, Rules, RulesChange};
use crate::names;

/// A collection as its author describes it.
#[derive(Debug, Clone, PartialEq)]
pub struct Definition {
    /// 3 to 59 characters, in the author's case; unique ignoring case.
    pub name: String,
    /// At least one, in the author's order.
    pub fields: Vec<Field>,
    /// Locked unless said otherwise.
    pub rules: Rules,
    /// None unless said otherwise.
    pub options: Options,
}

impl Definition {
    /// The field of this name; exact case.
    pub fn field(&self, name: &str) -> Option<&Field> {
        self.fields.iter().find(|field| field.name == name)
    }

    /// The value of the key `schema` in responses: the fields, each with its thirteen keys.
    pub fn schema_json(&self) -> Json {
        self.fields.iter().map(Field::to_json).collect()
    }
}

/// What a `PUT /collections/{id}` mentions.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct DefinitionChange {
    /// The name, if sent. It must be the present one.
    pub name: Option<String>,
    /// The whole new list of fields; `None` leaves them as they are.
    pub fields: Option<Vec<Field>>,
    /// The rules mentioned.
    pub rules: RulesChange,
    /// All options, if sent.
    pub options: Option<Options>,
}

impl DefinitionChange {
    /// The definition after the change. Whether the table can follow is up to [`diff`](super::diff()).
    ///
    /// # Errors
    /// Semantic `name_change_not_allowed`, also for a change of case; `unknown_field` in a field list; `subject_invalid`.
    pub fn apply(self, current: &Definition) -> Result<Definition, DefinitionError> {
        let mut problems = Vec::new();
        if self.name.is_some_and(|name| name != current.name) {
            problems.push(Problem::new(
                "name",
                "name_change_not_allowed",
                "A collection cannot be renamed",
            ));
        }
        let changed = Definition {
            name: current.name.clone(),
            fields: self.fields.unwrap_or_else(|| current.fields.clone()),
            rules: self.rules.apply(current.rules.clone()),
            options: self.options.unwrap_or_else(|| current.options.clone()),
        };
        problems.extend(changed.rules.check(&changed.fields));
        problems.extend(changed.options.check(&changed.fields));
        if problems.is_empty() {
            Ok(changed)
        } else {
            Err(DefinitionError::Semantic(problems))
        }
    }
}

/// Reads the body of `POST /collections`: `name`; `schema` or `fields` (`schema` wins); optionally the nine keys of
/// [`Rules`], and `options`. Unknown keys are ignored.
///
/// # Errors
/// Every problem of the form, or, if the form is right, every other problem. See [`DefinitionError`].
pub fn parse_definition(body: &Json) -> Result<Definition, DefinitionError> {
    let mut reader = Reader::default();
    let mut definition = Definition {
        name: String::new(),
        fields: Vec::new(),
        rules: Rules::default(),
        options: Options::default(),
    };
    if let Some(body) = reader.object(body) {
        definition.name = read_name(&mut reader, body);
        let fields = fields_of(body).unwrap_or(&Json::Null);
        definition.fields = reader.fields(fields);
        definition.rules = read_rules(&mut reader, body).apply(Rules::default());
        reader.check_lists(&definition.rules);
        definition.options = reader.collection_options(body.get("options").unwrap_or(&Json::Null));
        reader
            .semantic
            .extend(definition.options.check(&definition.fields));
    }
    reader.finish(definition)
}

/// Reads the body of `PUT /collections/{id}`. `schema` or `fields`, `name`, `options` and the nine keys of [`Rules`] are optional,
/// but one of them must be there; unknown keys are ignored.
///
/// # Errors
/// As [`parse_definition`]. The name is compared, and names in field lists are checked, by [`DefinitionChange::apply`].
pub fn parse_change(body: &Json) -> Result<DefinitionChange, DefinitionError> {
    let mut reader = Reader::default();
    let mut change = DefinitionChange::default();
    if let Some(body) = reader.object(body) {
        change.name = reader.text(body, "", "name");
        change.fields = fields_of(body).map(|fields| reader.fields(fields));
        change.rules = read_rules(&mut reader, body);
        change.options = body
            .get("options")
            .map(|options| reader.collection_options(options));
        if change == DefinitionChange::default() {
            reader.shape(
                "schema",
                "schema_empty",
                "The body changes nothing: send schema, fields, options or rules",
            );
        }
    }
    reader.finish(change)
}

/// Reads a list of fields, as stored or as part of a larger document. Paths of problems start at `schema`.
pub fn parse_fields(json: &Json) -> Result<Vec<Field>, DefinitionError> {
    let mut reader = Reader::default();
    let fields = reader.fields(json);
    reader.finish(fields)
}

/// The list of fields under either of its keys; null counts as absent.
fn fields_of(body: &Map<String, Json>) -> Option<&Json> {
    ["schema", "fields"]
        .into_iter()
        .filter_map(|key| body.get(key))
        .find(|fields| !fields.is_null())
}

fn read_name(reader: &mut Reader, body: &Map<String, Json>) -> String {
    let Some(name) = reader.text(body, "", "name") else {
        reader.shape_unless_reported("name", "name_required", "Collection name is required");
        return String::new();
    };
    // The original's limits are a matter of form; the stricter upper one is ours.
    match name.chars().count() {
        0 => reader.shape("name", "name_required", "Collection name is required"),
        1 | 2 => reader.shape(
            "name",
            "name_too_short",
            "Collection name must have at least 3 characters",
        ),
        65.. => reader.shape(
            "name",
            "name_too_long",
            format!("Collection name must have at most {MAX_COLLECTION_NAME} characters"),
        ),
        _ => {}
    }
    if name.len() > MAX_COLLECTION_NAME {
        let message = format!("Collection name must have at most {MAX_COLLECTION_NAME} characters");
        reader.semantic("name", "name_too_long", message);
    }
    if !names::is_plain(&name) {
        let message =
            "Collection name must start with a letter and hold only letters, digits and underscores";
        reader.semantic("name", "name_invalid_format", message);
    }
    name
}
