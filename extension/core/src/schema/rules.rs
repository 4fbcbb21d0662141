//! The five rules and four field lists of a collection, as source text: nothing is compiled here.

use serde_json::{Map, Value as Json};

use super::read::Reader;
use super::{DefinitionError, Field, Problem, SYSTEM_FIELDS};

/// The keys of the rules on the wire, in the order of the contract.
pub const RULE_KEYS: [&str; 5] = [
    "list_rule",
    "view_rule",
    "create_rule",
    "update_rule",
    "delete_rule",
];

/// The keys of the field lists on the wire, in the order of the contract. There is none for delete.
pub const LIST_KEYS: [&str; 4] = ["list_fields", "view_fields", "create_fields", "update_fields"];

/// The fields an operation may show or take.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum FieldList {
    /// Every field, later ones too.
    #[default]
    All,
    /// These, each once, in the order given. Empty: none.
    Only(Vec<String>),
}

impl FieldList {
    /// Whether the list holds a field name; exact case.
    pub fn allows(&self, name: &str) -> bool {
        match self {
            Self::All => true,
            Self::Only(names) => names.iter().any(|listed| listed == name),
        }
    }

    /// The wire form: `*`, or a JSON array inside a string.
    ///
    /// ```
    /// use snackbase_core::schema::FieldList;
    /// assert_eq!(FieldList::All.to_text(), "*");
    /// assert_eq!(FieldList::Only(vec!["title".into()]).to_text(), r#"["title"]"#);
    /// ```
    pub fn to_text(&self) -> String {
        match self {
            Self::All => "*".to_owned(),
            Self::Only(names) => Json::from(names.as_slice()).to_string(),
        }
    }

    /// Reads the wire form, as stored; `None` if the text is neither.
    pub fn from_text(text: &str) -> Option<Self> {
        match text.trim() {
            "*" => Some(Self::All),
            text => serde_json::from_str(text).ok().map(Self::only),
        }
    }

    fn only(names: Vec<String>) -> Self {
        let mut kept: Vec<String> = Vec::with_capacity(names.len());
        for name in names {
            if !kept.contains(&name) {
                kept.push(name);
            }
        }
        Self::Only(kept)
    }
}

/// What a collection allows. Of a rule: `None` is locked, empty text is public, anything else an expression.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Rules {
    /// Which rows a list shows.
    pub list_rule: Option<String>,
    /// Which rows can be fetched by id.
    pub view_rule: Option<String>,
    /// Which new rows are accepted.
    pub create_rule: Option<String>,
    /// Which rows can be changed, and to what.
    pub update_rule: Option<String>,
    /// Which rows can be deleted.
    pub delete_rule: Option<String>,
    /// What a list shows of a row.
    pub list_fields: FieldList,
    /// What a fetched row shows.
    pub view_fields: FieldList,
    /// What a new row may set, and shows.
    pub create_fields: FieldList,
    /// What a change may set, and shows.
    pub update_fields: FieldList,
}

impl Rules {
    /// The rules with their keys, in the order of [`RULE_KEYS`].
    pub fn rules(&self) -> [(&'static str, Option<&str>); 5] {
        let rules = [
            &self.list_rule,
            &self.view_rule,
            &self.create_rule,
            &self.update_rule,
            &self.delete_rule,
        ];
        std::array::from_fn(|i| (RULE_KEYS[i], rules[i].as_deref()))
    }

    /// The field lists with their keys, in the order of [`LIST_KEYS`].
    pub fn lists(&self) -> [(&'static str, &FieldList); 4] {
        let lists = [
            &self.list_fields,
            &self.view_fields,
            &self.create_fields,
            &self.update_fields,
        ];
        std::array::from_fn(|i| (LIST_KEYS[i], lists[i]))
    }

    /// Names in field lists that are neither system fields nor among `fields`: code `unknown_field`, one problem per
    /// list. To be called again after a change of rules or fields.
    pub fn check(&self, fields: &[Field]) -> Vec<Problem> {
        self.check_names(|name| fields.iter().any(|field| field.name == name))
    }

    pub(super) fn check_names(&self, known: impl Fn(&str) -> bool) -> Vec<Problem> {
        let mut problems = Vec::new();
        for (key, list) in self.lists() {
            let FieldList::Only(names) = list else { continue };
            let unknown: Vec<_> = names
                .iter()
                .map(String::as_str)
                .filter(|name| !known(name) && !SYSTEM_FIELDS.contains(name))
                .collect();
            if !unknown.is_empty() {
                let message = format!("Unknown field in the list: {}", unknown.join(", "));
                problems.push(Problem::new(key, "unknown_field", message));
            }
        }
        problems
    }
}

/// A change of rules: an absent key leaves the rule or list as it is.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct RulesChange {
    /// One per [`RULE_KEYS`]; the inner `None` locks.
    pub rules: [Option<Option<String>>; 5],
    /// One per [`LIST_KEYS`].
    pub lists: [Option<FieldList>; 4],
}

impl RulesChange {
    /// Whether nothing is mentioned.
    pub fn is_empty(&self) -> bool {
        self.rules.iter().all(Option::is_none) && self.lists.iter().all(Option::is_none)
    }

    /// The rules after the change.
    pub fn apply(self, mut rules: Rules) -> Rules {
        let Rules {
            list_rule,
            view_rule,
            create_rule,
            update_rule,
            delete_rule,
            ..
        } = &mut rules;
        for (old, new) in [list_rule, view_rule, create_rule, update_rule, delete_rule]
            .into_iter()
            .zip(self.rules)
        {
            if let Some(new) = new {
                *old = new;
            }
        }
        let Rules {
            list_fields,
            view_fields,
            create_fields,
            update_fields,
            ..
        } = &mut rules;
        for (old, new) in [list_fields, view_fields, create_fields, update_fields]
            .into_iter()
            .zip(self.lists)
        {
            if let Some(new) = new {
                *old = new;
            }
        }
        rules
    }
}

/// Reads the body of `PUT /collections/{name}/rules`: any subset of the nine keys. Null locks a rule and opens a list.
/// An unknown key is a shape problem, `unknown_key`. Names in lists are checked by [`Rules::check`] after
/// [`RulesChange::apply`].
pub fn parse_rules_change(body: &Json) -> Result<RulesChange, DefinitionError> {
    let mut reader = Reader::default();
    let change = match reader.object(body) {
        None => RulesChange::default(),
        Some(body) => {
            for key in body.keys() {
                if !RULE_KEYS.contains(&key.as_str()) && !LIST_KEYS.contains(&key.as_str()) {
                    reader.shape(key, "unknown_key", "Unknown key");
                }
            }
            read_rules(&mut reader, body)
        }
    };
    reader.finish(change)
}

/// Reads the nine keys from a body that may hold others.
pub(super) fn read_rules(reader: &mut Reader, body: &Map<String, Json>) -> RulesChange {
    RulesChange {
        rules: RULE_KEYS.map(|key| body.get(key).map(|_| reader.text(body, "", key))),
        lists: LIST_KEYS.map(|key| body.get(key).map(|value| read_list(reader, key, value))),
    }
}

fn read_list(reader: &mut Reader, key: &str, value: &Json) -> FieldList {
    let list = match value {
        Json::Null => return FieldList::All,
        Json::String(text) => {
            let list = FieldList::from_text(text);
            if list.is_none() {
                let message = "Must be \"*\" or a JSON array of field names";
                reader.semantic(key, "field_list_invalid", message);
            }
            list
        }
        Json::Array(items) => {
            let names: Option<Vec<String>> = items
                .iter()
                .map(|item| item.as_str().map(str::to_owned))
                .collect();
            if names.is_none() {
                reader.shape(key, "invalid_type", "Must hold field names only");
            }
            names.map(FieldList::only)
        }
        _ => {
            reader.shape(key, "invalid_type", "Must be a string or an array");
            None
        }
    };
    list.unwrap_or_default()
}
