//! A small installation in memory: who there is, what the collections allow, which rows they hold; and who may see what.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value as Json, json};

use super::evaluate::{Scope, mask};
use super::language::{Expr, Kind, Value};
use super::time;

/// Id, slug and name of the two accounts.
pub const ACCOUNTS: [(&str, &str, &str); 2] = [
    ("aaaaaaaa-0000-4000-8000-00000000000a", "north", "North"),
    ("bbbbbbbb-0000-4000-8000-00000000000b", "south", "South"),
];

/// The account of superadmins.
pub const SYSTEM: &str = "00000000-0000-0000-0000-000000000000";

/// Columns that every collection has.
pub const SYSTEM_FIELDS: [(&str, Kind); 6] = [
    ("id", Kind::Id),
    ("account_id", Kind::Id),
    ("created_at", Kind::Time),
    ("updated_at", Kind::Time),
    ("created_by", Kind::Text),
    ("updated_by", Kind::Text),
];

/// A record: every stored column by name.
pub type Row = BTreeMap<String, Value>;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Operation {
    List,
    View,
    Create,
    Update,
    Delete,
}

impl Operation {
    pub const ALL: [Self; 5] = [Self::List, Self::View, Self::Create, Self::Update, Self::Delete];

    /// The act of a permission.
    pub fn act(self) -> &'static str {
        ["read", "read", "create", "update", "delete"][self as usize]
    }

    pub fn name(self) -> &'static str {
        ["list", "view", "create", "update", "delete"][self as usize]
    }
}

/// The three states of a rule.
#[derive(Debug, Clone, PartialEq)]
pub enum Rule {
    Locked,
    Public,
    When(Expr),
}

#[derive(Debug, Clone, PartialEq)]
pub struct Field {
    pub name: String,
    pub kind: Kind,
    /// The type on the wire.
    pub wire: &'static str,
    /// Personal data: how it is masked.
    pub mask: Option<&'static str>,
    pub default: Option<Value>,
    /// No two records of an account have the same value.
    pub unique: bool,
    /// Asked for with `options.index`; it must not change an answer.
    pub indexed: bool,
    /// Of a reference: the collection it refers to and what deleting there does here.
    pub refers: Option<(String, &'static str)>,
    pub computed: Option<Expr>,
}

#[derive(Debug, Clone, PartialEq)]
pub struct Collection {
    pub name: String,
    pub fields: Vec<Field>,
    /// By operation.
    pub rules: [Rule; 5],
    /// By operation, deleting aside; `None` is `*`.
    pub lists: [Option<Vec<String>>; 4],
    pub permissions: Vec<Permission>,
    pub rows: Vec<Row>,
}

/// What narrows an act on a collection for people of a role.
#[derive(Debug, Clone, PartialEq)]
pub struct Permission {
    pub role: &'static str,
    pub act: &'static str,
    pub rule: Rule,
    /// `None` is `*`.
    pub fields: Option<Vec<String>>,
}

#[derive(Debug, Clone, PartialEq)]
pub struct Person {
    pub name: &'static str,
    pub id: String,
    pub account: usize,
    pub role: String,
    pub groups: BTreeSet<String>,
}

#[derive(Debug, Clone)]
pub struct World {
    /// Id of the superadmin.
    pub root: String,
    pub people: Vec<Person>,
    pub collections: Vec<Collection>,
}

/// Who asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Caller {
    Person(usize),
    /// Nobody, naming that account.
    Anonymous(usize),
    Superadmin,
    /// A login made by `bi_role_create` for that account.
    Bi(usize),
}

/// What the rules know of who asks.
#[derive(Debug, Clone)]
pub struct Identity {
    pub account: String,
    pub id: Option<String>,
    pub email: Option<String>,
    pub role: Option<String>,
    pub groups: BTreeSet<String>,
    pub anonymous: bool,
    pub superadmin: bool,
}

impl Identity {
    pub fn sees_personal_data(&self) -> bool {
        self.superadmin || self.groups.contains("pii_access")
    }

    /// What goes into `created_by`.
    pub fn actor(&self) -> String {
        self.id.clone().unwrap_or_else(|| "anonymous".to_owned())
    }
}

impl World {
    pub fn identity(&self, caller: Caller) -> Identity {
        let nobody = |account: usize| Identity {
            account: ACCOUNTS[account].0.to_owned(),
            id: None,
            email: None,
            role: None,
            groups: BTreeSet::new(),
            anonymous: false,
            superadmin: false,
        };
        match caller {
            Caller::Person(number) => {
                let person = &self.people[number];
                Identity {
                    id: Some(person.id.clone()),
                    email: Some(format!("{}@example.com", person.name)),
                    role: Some(person.role.clone()),
                    groups: person.groups.clone(),
                    ..nobody(person.account)
                }
            }
            Caller::Anonymous(account) => Identity {
                anonymous: true,
                ..nobody(account)
            },
            Caller::Bi(account) => nobody(account),
            Caller::Superadmin => {
                let id = Some(self.root.clone());
                Identity {
                    account: SYSTEM.to_owned(),
                    id,
                    superadmin: true,
                    ..nobody(0)
                }
            }
        }
    }
}

impl Collection {
    pub fn field(&self, name: &str) -> Option<&Field> {
        self.fields.iter().find(|field| field.name == name)
    }

    /// The expression of a computed field.
    pub fn computed(&self, name: &str) -> Option<&Expr> {
        self.field(name)?.computed.as_ref()
    }

    pub fn rule(&self, operation: Operation) -> &Rule {
        &self.rules[operation as usize]
    }

    /// The fields a computed one is made of.
    fn sources<'a>(&'a self, field: &'a Field) -> impl Iterator<Item = &'a Field> {
        self.fields.iter().filter(move |source| {
            field
                .computed
                .as_ref()
                .is_some_and(|made| made.mentions(&source.name))
        })
    }

    /// What narrows the operation for the caller.
    fn narrowing<'a>(
        &'a self,
        operation: Operation,
        caller: &'a Identity,
    ) -> impl Iterator<Item = &'a Permission> {
        let act = operation.act();
        self.permissions.iter().filter(move |permission| {
            permission.act == act && caller.role.as_deref() == Some(permission.role)
        })
    }

    /// Whether the caller may show, take or use this field in an operation. (What a session reads by SQL is limited by grants
    /// alone, see [`Self::allows`].)
    pub fn may(&self, operation: Operation, name: &str, caller: &Identity) -> bool {
        let listed = |permission: &Permission| {
            permission
                .fields
                .as_ref()
                .is_none_or(|list| list.iter().any(|listed| listed == name))
        };
        caller.superadmin || (self.allows(operation, name) && self.narrowing(operation, caller).all(listed))
    }

    /// Whether some list of fields holds for the caller, even if it names them all.
    pub fn is_trimmed(&self, operation: Operation, caller: &Identity) -> bool {
        let own = self.lists[operation as usize].is_some();
        !caller.superadmin
            && (own
                || self
                    .narrowing(operation, caller)
                    .any(|permission| permission.fields.is_some()))
    }

    /// Whether the field list of the operation has this name.
    pub fn allows(&self, operation: Operation, name: &str) -> bool {
        match self.lists.get(operation as usize) {
            Some(Some(list)) => list.iter().any(|listed| listed == name),
            _ => true,
        }
    }

    /// The fields that the operation shows: what is computed from hidden values is hidden.
    pub fn readable(&self, operation: Operation, caller: &Identity) -> Vec<&Field> {
        let shown = |field: &Field| {
            self.may(operation, &field.name, caller)
                && self
                    .sources(field)
                    .all(|source| self.may(operation, &source.name, caller))
        };
        self.fields
            .iter()
            .filter(|field| caller.superadmin || shown(field))
            .collect()
    }

    /// The mask of a field: what is computed from personal data is personal data.
    pub fn mask(&self, field: &Field) -> Option<&'static str> {
        field.mask.or_else(|| {
            self.sources(field)
                .any(|source| source.mask.is_some())
                .then_some("full")
        })
    }

    pub fn scope<'a>(&'a self, record: &'a Row, data: &'a Row, caller: &'a Identity) -> Scope<'a> {
        Scope {
            collection: self,
            record,
            data,
            caller,
        }
    }

    /// The rules that a row of the caller's account has to satisfy; `None` when the operation is locked, or asks for an identity.
    fn rules<'a>(&'a self, operation: Operation, caller: &'a Identity) -> Option<Vec<&'a Expr>> {
        let own = match self.rule(operation) {
            Rule::Locked => return None,
            Rule::When(_) if caller.anonymous => return None,
            own => own,
        };
        let narrowing = self
            .narrowing(operation, caller)
            .map(|permission| &permission.rule);
        let conditions = [own].into_iter().chain(narrowing).filter_map(|rule| match rule {
            Rule::When(condition) => Some(condition),
            _ => None,
        });
        Some(conditions.collect())
    }

    /// Whether the rules of the operation admit a row (to be written as `data`).
    pub fn admits(&self, operation: Operation, caller: &Identity, record: &Row, data: &Row) -> bool {
        self.judge(operation, caller, record, data, false)
    }

    /// The part of the update rules that speaks of the old record only; a refusal by it looks like a missing record.
    pub fn admits_old(&self, caller: &Identity, record: &Row) -> bool {
        self.judge(Operation::Update, caller, record, record, true)
    }

    fn judge(
        &self,
        operation: Operation,
        caller: &Identity,
        record: &Row,
        data: &Row,
        old_only: bool,
    ) -> bool {
        if caller.superadmin {
            return true;
        }
        let own = record["account_id"] == Value::Text(caller.account.clone());
        let of_data = |conjunct: &Expr| conjunct.any(&|part| matches!(part, Expr::Data(_)));
        let scope = self.scope(record, data, caller);
        let admits = |rules: Vec<&Expr>| {
            rules
                .into_iter()
                .flat_map(Expr::conjuncts)
                .filter(|conjunct| !(old_only && of_data(conjunct)))
                .all(|conjunct| scope.admits(conjunct))
        };
        own && self.rules(operation, caller).is_some_and(admits)
    }

    /// The rows a reading operation shows, in the order they are stored.
    pub fn visible(&self, operation: Operation, caller: &Identity) -> Vec<&Row> {
        self.rows
            .iter()
            .filter(|row| self.admits(operation, caller, row, row))
            .collect()
    }

    /// The value of a stored, system or computed field.
    pub fn value(&self, row: &Row, name: &str, caller: &Identity) -> Value {
        self.scope(row, row, caller).value(&Expr::Field(name.to_owned()))
    }

    /// A record as the caller sees it: these fields, the system fields, masks where they belong.
    pub fn record(&self, row: &Row, fields: &[&Field], caller: &Identity) -> Map<String, Json> {
        let mut record = Map::new();
        for (name, _) in SYSTEM_FIELDS {
            record.insert(name.to_owned(), to_json(&row[name]));
        }
        for field in fields {
            let value = self.value(row, &field.name, caller);
            let shown = match self.mask(field) {
                Some(kind) if !caller.sees_personal_data() => mask(kind, &value),
                _ => value,
            };
            record.insert(field.name.clone(), to_json(&shown));
        }
        record
    }

    pub fn find(&self, id: &str) -> Option<&Row> {
        self.rows
            .iter()
            .find(|row| row["id"] == Value::Text(id.to_owned()))
    }
}

/// A value as it goes on the wire.
pub fn to_json(value: &Value) -> Json {
    match value {
        Value::Null => Json::Null,
        Value::Bool(value) => json!(value),
        Value::Number(value) => json!(value),
        Value::Text(value) | Value::Date(value) => json!(value),
        Value::Time(value) => json!(time::print(*value)),
        Value::Json(value) => serde_json::from_str(value).expect("the generator writes JSON"),
    }
}

/// The account's name, as lists show it.
pub fn account_name(id: &Value) -> Json {
    ACCOUNTS
        .iter()
        .find(|(account, ..)| *id == Value::Text((*account).to_owned()))
        .map_or(json!("System"), |(_, _, name)| json!(name))
}
