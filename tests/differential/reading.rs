//! The reference for requests that read over HTTP.

use serde_json::{Map, Value as Json, json};

use super::evaluate::order;
use super::language::{Expr, Kind, Value};
use super::model::{Collection, Field, Operation, Row, SYSTEM_FIELDS, account_name, to_json};
use super::reference::Case;
use super::request::{Expected, Query, Totals};

impl Case<'_> {
    pub fn list(&self, query: &Query) -> Result<Expected, Expected> {
        self.gate(Operation::List)?;
        let readable = self.collection.readable(Operation::List, &self.caller);
        self.readable_only(query, &readable)?;
        let items = self.items(query, readable);
        let total = items.len();
        let page: Vec<Json> = items.into_iter().skip(query.skip).take(query.limit).collect();
        Ok(Expected::answer(
            "200",
            json!({"items": page, "total": total, "skip": query.skip, "limit": query.limit}),
        ))
    }

    /// The same in pages of `limit`: forward to the last one, and back to the first.
    pub fn pages(&self, query: &Query, count: bool) -> Result<Expected, Expected> {
        self.gate(Operation::List)?;
        let readable = self.collection.readable(Operation::List, &self.caller);
        self.readable_only(query, &readable)?;
        let items = self.items(query, readable);
        let total = count.then_some(items.len());
        let mut forward: Vec<Vec<Json>> = items.chunks(query.limit).map(<[Json]>::to_vec).collect();
        if forward.is_empty() {
            forward.push(Vec::new());
        }
        let backward: Vec<Vec<Json>> = forward.iter().rev().skip(1).cloned().collect();
        Ok(Expected::answer(
            "200",
            json!({"forward": forward, "backward": backward, "total": total}),
        ))
    }

    /// One record.
    pub fn get(&self, id: &str, fields: Option<&[String]>, expand: &[String]) -> Result<Expected, Expected> {
        self.gate(Operation::View)?;
        self.expandable(Operation::View, expand)?;
        let row = self.existing(id)?;
        if !self.collection.admits(Operation::View, &self.caller, row, row) {
            return Err(Expected::refusal(&["404"]));
        }
        let shown = wanted(self.collection.readable(Operation::View, &self.caller), fields);
        let record = self.collection.record(row, &shown, &self.caller);
        Ok(Expected::answer(
            "200",
            self.expanded(self.collection, record, &paths(expand)).into(),
        ))
    }

    /// Every record a list shows, in order.
    fn items(&self, query: &Query, readable: Vec<&Field>) -> Vec<Json> {
        let mut rows = self.found(query.filter.as_ref());
        self.sort(&mut rows, &query.sort, &readable);
        let trimmed = query.fields.is_some() || self.collection.is_trimmed(Operation::List, &self.caller);
        let shown = wanted(readable, query.fields.as_deref());
        let item = |row: &Row| {
            let record = self.collection.record(row, &shown, &self.caller);
            let mut record = self.expanded(self.collection, record, &paths(&query.expand));
            let account = if trimmed {
                Json::Null
            } else {
                account_name(&row["account_id"])
            };
            record.insert("account_name".to_owned(), account);
            record.into()
        };
        rows.into_iter().map(item).collect()
    }

    /// A path begins with a reference that the caller can read.
    fn expandable(&self, operation: Operation, expand: &[String]) -> Result<(), Expected> {
        let readable = self.collection.readable(operation, &self.caller);
        let begins = |path: &Vec<&str>| {
            readable
                .iter()
                .any(|field| field.name == path[0] && field.kind == Kind::Id && field.computed.is_none())
        };
        if paths(expand).iter().all(begins) {
            Ok(())
        } else {
            Err(Expected::refusal(&["400"]))
        }
    }

    /// A record with what it refers to in the place of ids, as the view of the target would show it; null when it would not.
    fn expanded(
        &self,
        collection: &Collection,
        mut record: Map<String, Json>,
        paths: &[Vec<&str>],
    ) -> Map<String, Json> {
        for field in collection.fields.iter().filter(|field| field.kind == Kind::Id) {
            let within: Vec<Vec<&str>> = paths
                .iter()
                .filter(|path| path[0] == field.name)
                .map(|path| path[1..].to_vec())
                .collect();
            let Some(Json::String(id)) = record.get(&field.name).filter(|_| !within.is_empty()) else {
                continue;
            };
            let object = match &field.refers {
                None => self.world.people.iter().find(|person| person.id == *id).map(|person| {
                    json!({"id": id, "email": format!("{}@example.com", person.name), "first_name": null, "last_name": null, "avatar_url": null})
                }),
                Some((target, _)) => self
                    .world
                    .collections
                    .iter()
                    .find(|collection| collection.name == *target)
                    .and_then(|target| {
                        let row = target.find(id)?;
                        let shown = target.readable(Operation::View, &self.caller);
                        let visible = target.admits(Operation::View, &self.caller, row, row);
                        let deeper: Vec<Vec<&str>> = within.into_iter().filter(|path| !path.is_empty()).collect();
                        visible.then(|| self.expanded(target, target.record(row, &shown, &self.caller), &deeper).into())
                    }),
            };
            record.insert(field.name.clone(), object.unwrap_or(Json::Null));
        }
        record
    }

    /// Functions over the records a list would show, by groups in the order of their values.
    pub fn aggregate(&self, totals: &Totals) -> Result<Expected, Expected> {
        let Totals {
            functions,
            groups,
            filter,
            more_than,
        } = totals;
        let filter = filter.as_ref();
        self.gate(Operation::List)?;
        let readable = self.collection.readable(Operation::List, &self.caller);
        self.filterable(filter, false, &readable)?;
        let known = |name: &String| {
            self.collection.field(name).is_none() || readable.iter().any(|field| field.name == *name)
        };
        let masked = |name: &String| self.collection.field(name).is_some_and(|field| self.masks(field));
        let arguments_fit = functions
            .iter()
            .filter_map(|(function, field)| Some((*function, field.as_ref()?)))
            .all(|(function, field)| known(field) && (function == "count" || !masked(field)));
        if !arguments_fit || !groups.iter().all(|name| known(name) && !masked(name)) {
            return Err(Expected::refusal(&["400"]));
        }
        let rows = self.found(filter);
        let value = |row: &Row, name: &str| self.collection.value(row, name, &self.caller);
        let mut grouped: Vec<(Vec<Value>, Vec<&Row>)> = Vec::new();
        if groups.is_empty() {
            grouped.push((Vec::new(), Vec::new()));
        }
        for row in rows {
            let key: Vec<Value> = groups.iter().map(|name| value(row, name)).collect();
            match grouped.iter_mut().find(|(known, _)| *known == key) {
                Some((_, rows)) => rows.push(row),
                None => grouped.push((key, vec![row])),
            }
        }
        grouped.retain(|(_, rows)| more_than.is_none_or(|least| rows.len() > least));
        grouped.sort_by(|(left, _), (right, _)| {
            left.iter()
                .zip(right)
                .map(|(left, right)| null_last(left, right))
                .find(|order| order.is_ne())
                .unwrap_or(std::cmp::Ordering::Equal)
        });
        let results: Vec<Json> = grouped
            .into_iter()
            .map(|(key, rows)| {
                let mut result: Map<String, Json> =
                    groups.iter().cloned().zip(key.iter().map(to_json)).collect();
                for (function, field) in functions {
                    let values = rows.iter().map(|row| {
                        field
                            .as_ref()
                            .map_or(Value::Bool(true), |field| value(row, field))
                    });
                    let name = field
                        .as_ref()
                        .map_or_else(|| (*function).to_owned(), |field| format!("{function}_{field}"));
                    result.insert(
                        name,
                        to_json(&summary(
                            function,
                            values.filter(|value| *value != Value::Null).collect(),
                        )),
                    );
                }
                result.into()
            })
            .collect();
        Ok(Expected::answer(
            "200",
            json!({"total_groups": results.len(), "results": results}),
        ))
    }

    /// Whether the caller sees masks in the place of a field's values.
    fn masks(&self, field: &Field) -> bool {
        !self.caller.sees_personal_data() && self.collection.mask(field).is_some()
    }

    fn readable_only(&self, query: &Query, readable: &[&Field]) -> Result<(), Expected> {
        self.filterable(query.filter.as_ref(), query.json, readable)?;
        self.expandable(Operation::List, &query.expand)?;
        let masked = |name: &str| {
            readable
                .iter()
                .any(|field| field.name == name && self.masks(field))
        };
        if query.sort.iter().any(|(name, _)| masked(name)) {
            return Err(Expected::refusal(&["400"]));
        }
        Ok(())
    }

    /// A field the caller cannot read does not exist for a filter.
    /// A masked one answers questions of equality only.
    fn filterable(&self, filter: Option<&Expr>, json: bool, readable: &[&Field]) -> Result<(), Expected> {
        let hidden = |part: &Expr| match part {
            Expr::Field(name) => {
                self.collection.field(name).is_some() && !readable.iter().any(|field| field.name == *name)
            }
            _ => false,
        };
        let masked = |name: &str| self.collection.field(name).is_some_and(|field| self.masks(field));
        match filter {
            Some(filter) if filter.any(&hidden) || needs_more_than_equality(filter, json, &masked) => {
                Err(Expected::refusal(&["400"]))
            }
            _ => Ok(()),
        }
    }

    fn found(&self, filter: Option<&Expr>) -> Vec<&Row> {
        let mut rows = self.collection.visible(Operation::List, &self.caller);
        rows.retain(|row| {
            filter.is_none_or(|filter| self.collection.scope(row, row, &self.caller).admits(filter))
        });
        rows
    }

    /// Keys the caller cannot read are ignored; `id` goes last, in the direction of the last key.
    fn sort(&self, rows: &mut [&Row], sort: &[(String, bool)], readable: &[&Field]) {
        let known = |name: &str| {
            readable
                .iter()
                .any(|field| field.name == name && field.kind != Kind::Json)
                || SYSTEM_FIELDS.iter().any(|(system, _)| *system == name)
        };
        let mut keys: Vec<(&str, bool)> = sort
            .iter()
            .filter(|(name, _)| known(name))
            .map(|(name, descending)| (name.as_str(), *descending))
            .collect();
        if keys.is_empty() {
            keys.push(("created_at", true));
        }
        keys.push(("id", keys[keys.len() - 1].1));
        rows.sort_by(|left, right| {
            keys.iter()
                .map(|(name, descending)| {
                    let value = |row: &Row| self.collection.value(row, name, &self.caller);
                    let (left, right) = (value(left), value(right));
                    let order = null_last(&left, &right);
                    if *descending { order.reverse() } else { order }
                })
                .find(|order| order.is_ne())
                .unwrap_or(std::cmp::Ordering::Equal)
        });
    }
}

fn wanted<'a>(mut fields: Vec<&'a Field>, names: Option<&[String]>) -> Vec<&'a Field> {
    if let Some(names) = names {
        fields.retain(|field| names.contains(&field.name));
    }
    fields
}

/// `a.b` as its names.
fn paths(expand: &[String]) -> Vec<Vec<&str>> {
    expand.iter().map(|path| path.split('.').collect()).collect()
}

/// NULL is greater than everything.
fn null_last(left: &Value, right: &Value) -> std::cmp::Ordering {
    order(left, right).unwrap_or_else(|| (*left == Value::Null).cmp(&(*right == Value::Null)))
}

/// Whether a masked field stands anywhere but beside `=`, `!=`, `IN` and `IS NULL`. A boolean alone is more than equality, but
/// a member `{"busy": true}` of the JSON form is not.
fn needs_more_than_equality(expr: &Expr, json: bool, masked: &dyn Fn(&str) -> bool) -> bool {
    let equality = matches!(
        expr,
        Expr::Compare(_, "=" | "!=", _) | Expr::In(..) | Expr::IsNull(..)
    );
    let logic = matches!(expr, Expr::And(_) | Expr::Or(_) | Expr::Not(_));
    let part = |part: &Expr| match part {
        Expr::Field(name) => masked(name) && !equality && !(logic && json),
        part => needs_more_than_equality(part, json, masked),
    };
    match expr {
        Expr::Field(name) => masked(name) && !json,
        _ => expr.parts().into_iter().any(part),
    }
}

/// A function over values that are not NULL.
fn summary(function: &str, values: Vec<Value>) -> Value {
    let numbers: Vec<f64> = values
        .iter()
        .filter_map(|value| match value {
            Value::Number(number) => Some(*number),
            _ => None,
        })
        .collect();
    #[expect(clippy::cast_precision_loss, reason = "a handful of rows")]
    let count = values.len() as f64;
    match function {
        "count" => Value::Number(count),
        _ if values.is_empty() => Value::Null,
        "sum" => Value::Number(numbers.iter().sum()),
        "avg" => Value::Number(numbers.iter().sum::<f64>() / count),
        "min" => values.into_iter().min_by(null_last).unwrap_or(Value::Null),
        _ => values.into_iter().max_by(null_last).unwrap_or(Value::Null),
    }
}
