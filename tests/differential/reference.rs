//! The reference: what the answer to a request must be, decided from the rules alone. Reading and writing each have a module.

use serde_json::Value as Json;

use super::language::Value;
use super::model::{Collection, Field, Identity, Operation, Row, Rule, SYSTEM_FIELDS, World, to_json};
use super::request::{Action, Address, Body, Expected, Request, by_id, returned};

/// Evaluates a request against the world.
pub fn expect(world: &World, request: &Request) -> Expected {
    let case = Case {
        world,
        collection: &world.collections[request.collection],
        caller: world.identity(request.caller),
        number: request.collection,
    };
    match case.decide(&request.action) {
        Ok(expected) | Err(expected) => expected,
    }
}

/// A request and what it is about.
pub struct Case<'a> {
    pub world: &'a World,
    pub collection: &'a Collection,
    pub caller: Identity,
    pub number: usize,
}

impl Case<'_> {
    /// The answer, or the refusal.
    pub fn decide(&self, action: &Action) -> Result<Expected, Expected> {
        match action {
            Action::List(query) => self.list(query),
            Action::Pages { query, count } => self.pages(query, *count),
            Action::Aggregate(totals) => self.aggregate(totals),
            Action::Get { id, fields, expand } => self.get(id, fields.as_deref(), expand),
            Action::CreateMany(_) | Action::UpdateMany(_) | Action::DeleteMany(_) => self.many(action),
            Action::Create { body } => {
                self.gate(Operation::Create)?;
                self.field_access(Operation::Create, body)?;
                let row = self.created(body);
                if !self
                    .collection
                    .admits(Operation::Create, &self.caller, &row, &row)
                    || !self.keeps_keys(&row)
                {
                    return Err(Expected::refusal(&["400"]));
                }
                Ok(self.written("201", row, Operation::Create))
            }
            Action::Update { id, body, replace } => {
                let row = self.existing(id)?;
                self.gate(Operation::Update)?;
                self.field_access(Operation::Update, body)?;
                let new = self.updated(row, body, *replace);
                if !self.collection.admits_old(&self.caller, row) {
                    return Err(Expected::refusal(&["404"]));
                }
                if !self.collection.admits(Operation::Update, &self.caller, row, &new)
                    || !self.keeps_keys(&new)
                {
                    return Err(Expected::refusal(&["400"]));
                }
                Ok(self.written("200", new, Operation::Update))
            }
            Action::Delete { id } => {
                let row = self.existing(id)?;
                self.gate(Operation::Delete)?;
                if !self.collection.admits(Operation::Delete, &self.caller, row, row) {
                    return Err(Expected::refusal(&["404"]));
                }
                let after = self.without(&[row]).ok_or_else(|| Expected::refusal(&["409"]))?;
                Ok(Expected {
                    after: Some(after),
                    ..Expected::answer("204", Json::Null)
                })
            }
            Action::Select {
                operation,
                columns,
                tested,
                ..
            } => {
                let named: Vec<String> = columns.iter().chain(tested).cloned().collect();
                self.column_access(*operation, &named)?;
                let mut rows = self.collection.visible(*operation, &self.caller);
                rows.retain(|row| tested.as_ref().is_none_or(|name| row[name] != Value::Null));
                Ok(rows_of(&rows, columns))
            }
            Action::Insert { body, .. } => {
                self.column_access(Operation::Create, &names(body))?;
                let row = self.created(body);
                if self.oversteps(Operation::Create, None, &row)
                    || !self
                        .collection
                        .admits(Operation::Create, &self.caller, &row, &row)
                {
                    return Err(Expected::refusal(&["42501"]));
                }
                if !self.keeps_keys(&row) {
                    return Err(Expected::refusal(&["23503", "23505"]));
                }
                Ok(rows_of(
                    &[&row],
                    &returned(self.collection, Operation::Create, &self.caller),
                ))
            }
            Action::Change { at, body, .. } => {
                self.column_access(Operation::Update, &names(body))?;
                let addressed = self.addressed(Operation::Update, at)?;
                let judged: Vec<(&Row, Row)> = addressed
                    .filter(|row| self.collection.admits_old(&self.caller, row))
                    .map(|row| (row, self.updated(row, body, false)))
                    .collect();
                let refused = judged.iter().any(|(old, new)| {
                    self.oversteps(Operation::Update, Some(old), new)
                        || !self.collection.admits(Operation::Update, &self.caller, old, new)
                });
                let twice = self.repeats(body, &judged);
                let broken = twice || !judged.iter().all(|(_, new)| self.keeps_keys(new));
                // Which row comes first is not laid down.
                let codes: &[&'static str] = match (refused, broken) {
                    (false, false) => &[],
                    (true, false) => &["42501", "44000"],
                    (false, true) => &["23503", "23505"],
                    (true, true) => &["42501", "44000", "23503", "23505"],
                };
                if !codes.is_empty() {
                    return Err(Expected::refusal(codes));
                }
                let rows: Vec<&Row> = judged.iter().map(|(_, new)| new).collect();
                Ok(rows_of(
                    &rows,
                    &returned(self.collection, Operation::Update, &self.caller),
                ))
            }
            Action::Remove { at, .. } => {
                let rows: Vec<&Row> = self
                    .addressed(Operation::Delete, at)?
                    .filter(|row| self.collection.admits(Operation::Delete, &self.caller, row, row))
                    .collect();
                if self.without(&rows).is_none() {
                    return Err(Expected::refusal(&["23503", "23001"]));
                }
                Ok(rows_of(&rows, &["id".to_owned()]))
            }
            Action::Report => {
                let readable = self.collection.readable(Operation::List, &self.caller);
                let rows = self.collection.visible(Operation::List, &self.caller);
                let mut items: Vec<Json> = rows
                    .into_iter()
                    .map(|row| self.collection.record(row, &readable, &self.caller).into())
                    .collect();
                by_id(&mut items);
                Ok(Expected::answer("00000", Json::Array(items)))
            }
        }
    }

    /// Whether the body gives one unique value to several records of an account.
    fn repeats(&self, body: &Body, judged: &[(&Row, Row)]) -> bool {
        let given = |field: &&Field| {
            field.unique
                && body
                    .iter()
                    .any(|(name, value)| *name == field.name && *value != Value::Null)
        };
        let accounts: Vec<&Value> = judged.iter().map(|(_, new)| &new["account_id"]).collect();
        self.collection.fields.iter().any(|field| given(&field))
            && accounts
                .iter()
                .enumerate()
                .any(|(index, account)| accounts[..index].contains(account))
    }

    /// What the rule says of the caller alone, over HTTP.
    pub fn gate(&self, operation: Operation) -> Result<(), Expected> {
        match self.collection.rule(operation) {
            _ if self.caller.superadmin => Ok(()),
            Rule::Locked => Err(Expected::refusal(&["403"])),
            Rule::When(_) if self.caller.anonymous => Err(Expected::refusal(&["401"])),
            _ => Ok(()),
        }
    }

    /// The rows a statement addresses. It can only test what it may read, which for deleting is nothing but ids.
    fn addressed(&self, operation: Operation, at: &Address) -> Result<impl Iterator<Item = &Row>, Expected> {
        let may_test = |name: &String| {
            self.caller.superadmin
                || (operation != Operation::Delete && self.collection.allows(operation, name))
        };
        if !at.tested.iter().all(may_test) {
            return Err(Expected::refusal(&["42501"]));
        }
        let id = at.id.clone().map(Value::Text);
        let tested = at.tested.clone();
        Ok(self.collection.rows.iter().filter(move |row| {
            self.own(row)
                && id.as_ref().is_none_or(|id| row["id"] == *id)
                && tested.as_ref().is_none_or(|name| row[name] != Value::Null)
        }))
    }

    fn own(&self, row: &Row) -> bool {
        self.caller.superadmin || row["account_id"] == Value::Text(self.caller.account.clone())
    }

    /// The record of that id in the caller's account, whatever the rules say.
    pub fn existing(&self, id: &str) -> Result<&Row, Expected> {
        self.collection
            .find(id)
            .filter(|row| self.own(row))
            .ok_or_else(|| Expected::refusal(&["404"]))
    }

    pub fn field_access(&self, operation: Operation, body: &Body) -> Result<(), Expected> {
        let allowed = |(name, _): &(String, Value)| {
            !is_system(name) && self.collection.may(operation, name, &self.caller)
        };
        if body.iter().all(allowed) {
            return Ok(());
        }
        Err(Expected::refusal(&["422"]))
    }

    /// Column grants: the listed fields, and to read the system columns as well.
    fn column_access(&self, operation: Operation, columns: &[String]) -> Result<(), Expected> {
        let reads = matches!(operation, Operation::List | Operation::View);
        let granted = |name: &String| match is_system(name) {
            true => reads,
            false => self.collection.allows(operation, name),
        };
        if self.caller.superadmin || columns.iter().all(granted) {
            return Ok(());
        }
        Err(Expected::refusal(&["42501"]))
    }
}

fn is_system(name: &str) -> bool {
    SYSTEM_FIELDS.iter().any(|(system, _)| *system == name)
}

fn names(body: &Body) -> Vec<String> {
    body.iter().map(|(name, _)| name.clone()).collect()
}

/// Stored values by column, in the order of the ids.
fn rows_of(rows: &[&Row], columns: &[String]) -> Expected {
    let object = |row: &&Row| -> Json {
        columns
            .iter()
            .map(|name| (name.clone(), to_json(&row[name])))
            .collect::<serde_json::Map<_, _>>()
            .into()
    };
    let mut rows: Vec<Json> = rows.iter().map(object).collect();
    by_id(&mut rows);
    Expected::answer("00000", Json::Array(rows))
}
