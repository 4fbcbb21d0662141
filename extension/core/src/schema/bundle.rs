//! Bodies with many collections: `POST /migrations/plan` and `/generate`, `POST /collections/import`.

use std::collections::HashSet;

use serde_json::{Map, Value as Json};

use super::read::Reader;
use super::{Definition, DefinitionError, Problem, parse_definition};

/// Collections of one body.
pub const MAX_COLLECTIONS: usize = 1_000;

/// What an import does with a collection that exists.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum IfExists {
    /// The collection is reported as failed.
    Error,
    /// It is left alone.
    Skip,
    /// Its fields become those of the file.
    Update,
}

/// The body of `POST /collections/import`.
#[derive(Debug, Clone, PartialEq)]
pub struct Import {
    /// What happens to collections that exist; [`IfExists::Error`] unless said otherwise.
    pub if_exists: IfExists,
    /// Everything or nothing.
    pub atomic: bool,
    /// Whether [`IfExists::Update`] replaces rules and field lists, too.
    pub update_rules: bool,
    /// The collections, in the order of the file: name, and the definition as `POST /collections` takes it. What is wrong
    /// with a definition concerns that collection alone, so it is not read here.
    pub items: Vec<(String, Json)>,
}

/// Reads the collections of `POST /migrations/plan` and `/generate`: names and fields; rules are none of its business.
///
/// # Errors
/// As [`parse_definition`], with paths that start at `collections[0].`; `name_duplicate` (case does not count),
/// `too_many_collections`.
pub fn parse_collections(body: &Json) -> Result<Vec<Definition>, DefinitionError> {
    let mut reader = Reader::default();
    let items = match reader.object(body) {
        Some(body) => list(&mut reader, body, "collections", "collections"),
        None => &[],
    };
    let mut names = HashSet::new();
    let mut definitions = Vec::with_capacity(items.len());
    for (i, item) in items.iter().enumerate() {
        let mut kept = Map::new();
        let keys = ["name", "schema", "fields"];
        for key in keys {
            kept.extend(item.get(key).map(|value| (key.to_owned(), value.clone())));
        }
        let item = if item.is_object() {
            Json::Object(kept)
        } else {
            item.clone()
        };
        match parse_definition(&item) {
            Ok(definition) => {
                if !names.insert(definition.name.to_ascii_lowercase()) {
                    reader.semantic(
                        format!("collections[{i}].name"),
                        "name_duplicate",
                        "Another collection of this request has this name (case does not count)",
                    );
                }
                definitions.push(definition);
            }
            Err(error) => reader.within(&format!("collections[{i}]."), error),
        }
    }
    reader.finish(definitions)
}

/// Reads the body of `POST /collections/import`: `data`, an export file; `strategy`, `atomic` and `update_rules` are
/// optional.
///
/// # Errors
/// Shape problems; semantic `version_unsupported`, `too_many_collections`.
pub fn parse_import(body: &Json) -> Result<Import, DefinitionError> {
    let mut reader = Reader::default();
    let mut import = Import {
        if_exists: IfExists::Error,
        atomic: false,
        update_rules: false,
        items: Vec::new(),
    };
    if let Some(body) = reader.object(body) {
        import.atomic = reader.flag(body, "", "atomic");
        import.update_rules = reader.flag(body, "", "update_rules");
        match reader.text(body, "", "strategy").as_deref() {
            None | Some("error") => {}
            Some("skip") => import.if_exists = IfExists::Skip,
            Some("update") => import.if_exists = IfExists::Update,
            Some(_) => reader.shape("strategy", "strategy_invalid", "Must be error, skip or update"),
        }
        match body.get("data") {
            Some(Json::Object(data)) => import.items = read_file(&mut reader, data),
            Some(_) => reader.shape("data", "invalid_type", "Must be an export file, as an object"),
            None => reader.shape("data", "missing", "The export file is required"),
        }
    }
    reader.finish(import)
}

fn read_file(reader: &mut Reader, data: &Map<String, Json>) -> Vec<(String, Json)> {
    match reader.text(data, "data.", "version") {
        Some(version) if version.starts_with("1.") => {}
        Some(_) => reader.semantic(
            "data.version",
            "version_unsupported",
            "Only files of version 1 can be imported",
        ),
        None => {
            reader.shape_unless_reported("data.version", "missing", "The version of the file is required")
        }
    }
    let mut items = Vec::new();
    for (i, item) in list(reader, data, "data.collections", "collections")
        .iter()
        .enumerate()
    {
        let path = format!("data.collections[{i}]");
        let Some(object) = item.as_object() else {
            reader.shape(path, "invalid_type", "A collection must be an object");
            continue;
        };
        let Some(name) = reader.text(object, &format!("{path}."), "name") else {
            reader.shape_unless_reported(
                &format!("{path}.name"),
                "name_required",
                "Collection name is required",
            );
            continue;
        };
        let mut definition = object.clone();
        match definition.remove("rules") {
            None | Some(Json::Null) => {}
            Some(Json::Object(rules)) => definition.extend(rules),
            Some(_) => reader.shape(format!("{path}.rules"), "invalid_type", "Must be an object"),
        }
        items.push((name, Json::Object(definition)));
    }
    items
}

/// The array under a key; it must be there.
fn list<'a>(reader: &mut Reader, object: &'a Map<String, Json>, path: &str, key: &str) -> &'a [Json] {
    match object.get(key) {
        Some(Json::Array(items)) if items.len() > MAX_COLLECTIONS => {
            let message = format!("At most {MAX_COLLECTIONS} collections at once");
            reader.semantic(path, "too_many_collections", message);
            &[]
        }
        Some(Json::Array(items)) => items,
        None | Some(Json::Null) => {
            reader.shape(path, "missing", "The collections are required");
            &[]
        }
        Some(_) => {
            reader.shape(path, "invalid_type", "Must be an array of collections");
            &[]
        }
    }
}

impl Reader {
    /// Takes over the problems of a part.
    fn within(&mut self, prefix: &str, error: DefinitionError) {
        let placed = |problem: Problem| Problem {
            path: format!("{prefix}{}", problem.path),
            ..problem
        };
        match error {
            DefinitionError::Shape(problems) => self.shape.extend(problems.into_iter().map(placed)),
            DefinitionError::Semantic(problems) => self.semantic.extend(problems.into_iter().map(placed)),
        }
    }
}

/// An order in which things can be made that need each other: `needs[i]` are the indexes that `i` needs. Each group comes
/// after all it needs; a group of several is a cycle. Groups, and members of a group, stand in the order of the list as
/// far as their needs allow.
///
/// ```
/// use snackbase_core::schema::in_order;
/// // 0 needs 1, which needs 2 and is needed by it; 3 needs itself
/// assert_eq!(in_order(&[vec![1], vec![2], vec![1], vec![3]]), [vec![3], vec![1, 2], vec![0]]);
/// ```
pub fn in_order(needs: &[Vec<usize>]) -> Vec<Vec<usize>> {
    // Whoever needs more things, however indirectly, comes later: what it needs needs a true subset, or is in its cycle.
    let reach: Vec<HashSet<usize>> = (0..needs.len())
        .map(|start| {
            let mut found = HashSet::from([start]);
            let mut open = vec![start];
            while let Some(next) = open.pop() {
                for &needed in needs.get(next).into_iter().flatten() {
                    if found.insert(needed) {
                        open.push(needed);
                    }
                }
            }
            found
        })
        .collect();
    let mut order: Vec<usize> = (0..needs.len()).collect();
    order.sort_by_key(|&i| reach[i].len());
    let mut groups: Vec<Vec<usize>> = Vec::new();
    for i in order {
        let same = |group: &&mut Vec<usize>| {
            group
                .first()
                .is_some_and(|&other| reach[i].contains(&other) && reach[other].contains(&i))
        };
        match groups.iter_mut().find(same) {
            Some(group) => group.push(i),
            None => groups.push(vec![i]),
        }
    }
    groups
}
