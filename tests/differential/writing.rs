//! The reference for requests that write: the rows as they would be, and whether that may be.

use serde_json::{Value as Json, json};

use super::language::Value;
use super::model::{ACCOUNTS, Field, Operation, Row};
use super::reference::Case;
use super::request::{Action, Body, Expected, NEW, now};

impl Case<'_> {
    pub fn created(&self, body: &Body) -> Row {
        let actor = Value::Text(self.caller.actor());
        let mut row = Row::from([
            ("id".to_owned(), Value::Text(NEW.to_owned())),
            ("account_id".to_owned(), Value::Text(self.caller.account.clone())),
            ("created_at".to_owned(), now()),
            ("updated_at".to_owned(), now()),
            ("created_by".to_owned(), actor.clone()),
            ("updated_by".to_owned(), actor),
        ]);
        for field in self
            .collection
            .fields
            .iter()
            .filter(|field| field.computed.is_none())
        {
            row.insert(field.name.clone(), field.default.clone().unwrap_or(Value::Null));
        }
        row.extend(body.iter().cloned());
        row
    }

    pub fn updated(&self, row: &Row, body: &Body, replace: bool) -> Row {
        let mut new = row.clone();
        for field in self.collection.fields.iter().filter(|_| replace) {
            let allowed = self.collection.may(Operation::Update, &field.name, &self.caller);
            if let (Some(default), true) = (&field.default, allowed) {
                new.insert(field.name.clone(), default.clone());
            }
        }
        new.extend(body.iter().cloned());
        new.insert("updated_at".to_owned(), now());
        new.insert("updated_by".to_owned(), Value::Text(self.caller.actor()));
        new
    }

    /// Whether every reference finds its target in the row's own account, and every unique value is new there.
    pub fn keeps_keys(&self, row: &Row) -> bool {
        let taken = |field: &Field, other: &Row| {
            row[&field.name] != Value::Null
                && other[&field.name] == row[&field.name]
                && other["account_id"] == row["account_id"]
                && (other["id"] != row["id"] || row["id"] == Value::Text(NEW.to_owned()))
        };
        self.collection.fields.iter().all(|field| {
            if field.unique && self.collection.rows.iter().any(|other| taken(field, other)) {
                return false;
            }
            let Value::Text(id) = &row.get(&field.name).cloned().unwrap_or(Value::Null) else {
                return true;
            };
            match (&field.refers, field.wire) {
                (Some((target, _)), _) => self
                    .world
                    .collections
                    .iter()
                    .filter(|collection| collection.name == *target)
                    .filter_map(|collection| collection.find(id))
                    .any(|found| found["account_id"] == row["account_id"]),
                (None, "user") => self.world.people.iter().any(|person| {
                    person.id == *id
                        && row["account_id"] == Value::Text(ACCOUNTS[person.account].0.to_owned())
                }),
                _ => true,
            }
        })
    }

    /// Whether a column is written by SQL that the caller's role may not write: anything but its default, or what was there.
    pub fn oversteps(&self, operation: Operation, old: Option<&Row>, new: &Row) -> bool {
        self.collection.fields.iter().any(|field| {
            let before = match old {
                Some(old) => old.get(&field.name).cloned(),
                None => field.default.clone(),
            };
            field.computed.is_none()
                && self.collection.allows(operation, &field.name)
                && !self.collection.may(operation, &field.name, &self.caller)
                && new[&field.name] != before.unwrap_or(Value::Null)
        })
    }

    /// All rows without some of this collection, after what `on_delete` says; `None` when it forbids it.
    pub fn without(&self, gone: &[&Row]) -> Option<Vec<Vec<Row>>> {
        let is_gone =
            |value: Option<&Value>| value.is_some_and(|value| gone.iter().any(|row| row["id"] == *value));
        let mut all = Vec::new();
        for collection in &self.world.collections {
            let mut rows = Vec::new();
            for row in &collection.rows {
                if collection.name == self.collection.name && is_gone(row.get("id")) {
                    continue;
                }
                let mut row = row.clone();
                let mut keep = true;
                for field in &collection.fields {
                    match &field.refers {
                        Some((target, action))
                            if *target == self.collection.name && is_gone(row.get(&field.name)) =>
                        {
                            match *action {
                                "restrict" => return None,
                                "cascade" => keep = false,
                                _ => {
                                    row.insert(field.name.clone(), Value::Null);
                                    row.insert("updated_at".to_owned(), now());
                                    row.insert("updated_by".to_owned(), Value::Text(self.caller.actor()));
                                }
                            }
                        }
                        _ => {}
                    }
                }
                if keep {
                    rows.push(row);
                }
            }
            all.push(rows);
        }
        Some(all)
    }

    pub fn written(&self, code: &'static str, row: Row, operation: Operation) -> Expected {
        let readable = self.collection.readable(operation, &self.caller);
        let body = self.collection.record(&row, &readable, &self.caller);
        let mut after: Vec<Vec<Row>> = self
            .world
            .collections
            .iter()
            .map(|collection| collection.rows.clone())
            .collect();
        let rows = &mut after[self.number];
        match rows
            .iter_mut()
            .find(|old| old["id"] == row["id"] && code == "200")
        {
            Some(old) => *old = row,
            None => rows.push(row),
        }
        Expected {
            after: Some(after),
            ..Expected::answer(code, body.into())
        }
    }

    /// All or nothing, one after the other. With several bad ones, any of their refusals will do.
    pub fn many(&self, action: &Action) -> Result<Expected, Expected> {
        let (key, code, singles): (&str, &'static str, Vec<Action>) = match action {
            Action::CreateMany(bodies) => (
                "created",
                "201",
                bodies
                    .iter()
                    .map(|body| Action::Create { body: body.clone() })
                    .collect(),
            ),
            Action::UpdateMany(changes) => {
                let single = |(id, body): &(String, Body)| Action::Update {
                    id: id.clone(),
                    body: body.clone(),
                    replace: false,
                };
                ("updated", "200", changes.iter().map(single).collect())
            }
            Action::DeleteMany(ids) => {
                let mut once: Vec<String> = Vec::new();
                for id in ids {
                    if !once.contains(id) {
                        once.push(id.clone());
                    }
                }
                (
                    "deleted",
                    "200",
                    once.into_iter().map(|id| Action::Delete { id }).collect(),
                )
            }
            _ => panic!("{action:?} is not many"),
        };
        let mut world = self.world.clone();
        let mut answers = Vec::new();
        let mut refusals = Vec::new();
        for single in singles {
            let case = Case {
                world: &world,
                collection: &world.collections[self.number],
                caller: self.caller.clone(),
                number: self.number,
            };
            match case.decide(&single) {
                Err(refused) => refusals.extend(refused.codes),
                Ok(done) => {
                    answers.push(match single {
                        Action::Delete { id } => Json::from(id),
                        _ => done.body,
                    });
                    for (collection, rows) in world.collections.iter_mut().zip(done.after.unwrap_or_default())
                    {
                        collection.rows = rows;
                    }
                }
            }
        }
        if !refusals.is_empty() {
            // What is said of the caller and of the bodies may come before what is said of a record.
            let operation = action.operation();
            let bodies: Vec<&Body> = match action {
                Action::CreateMany(bodies) => bodies.iter().collect(),
                Action::UpdateMany(changes) => changes.iter().map(|(_, body)| body).collect(),
                _ => Vec::new(),
            };
            let early = bodies
                .into_iter()
                .map(|body| self.field_access(operation, body))
                .chain([self.gate(operation)]);
            refusals.extend(early.filter_map(Result::err).flat_map(|refused| refused.codes));
            return Err(Expected::refusal(&refusals));
        }
        let count = answers.len();
        let after = world
            .collections
            .into_iter()
            .map(|collection| collection.rows)
            .collect();
        Ok(Expected {
            after: Some(after),
            ..Expected::answer(code, json!({key: answers, "count": count}))
        })
    }
}
