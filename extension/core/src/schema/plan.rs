//! What a new definition would change, said before it is done. Source: contract of collections §3.3.

use serde::Serialize;
use serde_json::{Map, Value as Json};

use super::{Field, FieldType};

/// A field that would come or go.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Item {
    /// Name of the collection.
    pub collection: String,
    /// Name of the field.
    pub field: String,
    /// Its type, as on the wire.
    #[serde(rename = "type")]
    pub field_type: &'static str,
    /// Whether values are lost.
    pub destructive: bool,
}

/// A field that would be another.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ChangedItem {
    /// Name of the collection.
    pub collection: String,
    /// Name of the field.
    pub field: String,
    /// The keys that differ, as they are.
    pub from: Map<String, Json>,
    /// The same keys, as they shall be.
    pub to: Map<String, Json>,
    /// Whether values may be lost or refused: another type, or unique from now on.
    pub destructive: bool,
}

/// The answer of `POST /migrations/plan`.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Plan {
    /// Fields of new collections, and new fields.
    pub added: Vec<Item>,
    /// Fields that are not named any more.
    pub removed: Vec<Item>,
    /// Fields with other properties.
    pub changed: Vec<ChangedItem>,
}

impl Plan {
    /// Adds what it takes to bring a collection from `old` (none: there is no such collection) to `new`.
    pub fn add(&mut self, collection: &str, old: &[Field], new: &[Field]) {
        let item = |field: &Field, destructive| Item {
            collection: collection.to_owned(),
            field: field.name.clone(),
            field_type: field.field_type.name(),
            destructive,
        };
        for field in new {
            match old.iter().find(|other| other.name == field.name) {
                None => self.added.push(item(field, false)),
                Some(before) => self.changed.extend(changed(collection, before, field)),
            }
        }
        for field in old
            .iter()
            .filter(|field| !new.iter().any(|other| other.name == field.name))
        {
            // Nothing is lost with a computed field.
            self.removed
                .push(item(field, field.field_type != FieldType::Computed));
        }
    }

    /// Whether nothing would change.
    pub fn is_empty(&self) -> bool {
        self.added.is_empty() && self.removed.is_empty() && self.changed.is_empty()
    }

    /// Whether a part of it is destructive.
    pub fn is_destructive(&self) -> bool {
        self.removed.iter().any(|item| item.destructive) || self.changed.iter().any(|item| item.destructive)
    }
}

fn changed(collection: &str, before: &Field, field: &Field) -> Option<ChangedItem> {
    let (Json::Object(from), Json::Object(to)) = (before.to_json(), field.to_json()) else {
        return None;
    };
    let differs = |key: &String| from.get(key) != to.get(key);
    let keys: Vec<&String> = from.keys().filter(|key| differs(key)).collect();
    let only = |all: &Map<String, Json>| {
        keys.iter()
            .map(|key| ((*key).clone(), all.get(*key).cloned().unwrap_or(Json::Null)))
            .collect()
    };
    (!keys.is_empty()).then(|| ChangedItem {
        collection: collection.to_owned(),
        field: field.name.clone(),
        from: only(&from),
        to: only(&to),
        destructive: before.field_type != field.field_type || (!before.unique && field.unique),
    })
}
