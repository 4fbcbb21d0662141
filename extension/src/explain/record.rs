//! Why somebody sees a record, or does not.
//!
//! The verdict is not worked out from the rule but taken from what enforces it. For list and view that is row security
//! itself: the record is looked up as the operation's role. The other operations would have to write, so the policies of the
//! table are read from the catalog and each is asked about the row: one permissive policy must hold, and all restrictive ones.
//! The clauses of the rule are shown beside it, compiled anew, so a difference between rule and policy would be seen.

use std::ffi::CString;

use serde::Serialize;
use serde_json::{Value as Json, json};
use snackbase_core::names::{quote, quote_literal};
use snackbase_core::rules;

use super::{operation_of, value_of};
use crate::caller::{self, Identity, Trial};
use crate::collections::{self, Access, Collection, rule_schema};
use crate::context::{self, Context, Operation};
use crate::error::Error;
use crate::json::JsonText;
use crate::macros::Registry;
use crate::{enter, guc, permissions, query, spi};

/// The answer, in the order in which it is read.
#[derive(Serialize)]
struct Answer {
    collection: String,
    operation: &'static str,
    record_id: String,
    verdict: &'static str,
    because: String,
    caller: Json,
    account: Json,
    rule: Json,
    permissions: Vec<Json>,
    fields: Json,
    policies: Vec<Json>,
    plan: Vec<String>,
}

/// A policy that binds the operation's role, and what it says about the row.
struct Policy {
    name: String,
    permissive: bool,
    part: &'static str,
    value: Option<bool>,
}

pub fn explain(name: &str, operation: &str, record_id: &str, caller: &str) -> Result<JsonText, Error> {
    let operation = operation_of(operation)?;
    let identity = enter::identify(caller)?;
    let collection = collections::open(name)?;
    let id = query::uuid_value(record_id)
        .ok_or(Error::RecordNotFound)?
        .to_string();
    let _path = guc::FixedSearchPath::begin();
    let owner = account_of(&collection, &id)?;
    let _trial = Trial::begin(identity.clone());
    let subject = Subject {
        collection: &collection,
        operation,
        id: &id,
        identity: &identity,
    };
    let answer = subject.answer(owner)?;
    let text = serde_json::to_string_pretty(&answer)
        .map_err(|error| Error::Internal(format!("an explanation cannot be written: {error}")))?;
    Ok(JsonText(text))
}

/// The account of the record, as whoever asks sees it: a superadmin or a superuser.
fn account_of(collection: &Collection, id: &str) -> Result<String, Error> {
    let statement = format!(
        "select account_id::text from {} where id = {}::uuid",
        collection.relation,
        quote_literal(id)
    );
    spi::select_once(&statement, Vec::new(), spi::first_value::<String>)?.ok_or(Error::RecordNotFound)
}

struct Subject<'a> {
    collection: &'a Collection,
    operation: Operation,
    id: &'a str,
    identity: &'a Identity,
}

impl Subject<'_> {
    fn answer(&self, owner: String) -> Result<Answer, Error> {
        let context = Context::current();
        let role = caller::role()?;
        let superadmin = context.is_superadmin();
        let same = self.identity.account_id.as_deref() == Some(owner.as_str());
        let source = self.collection.rule(self.operation);
        let key = format!("{}_rule", self.operation.name());
        let tree = match source {
            Some(source) if !source.is_empty() => Some(self.clauses(source, None)?),
            _ => None,
        };
        let narrowing = match &role {
            Some(role) if !superadmin => self.narrowing(role.id)?,
            _ => Vec::new(),
        };
        let policies = if superadmin { Vec::new() } else { self.policies()? };
        let admitted = superadmin
            || match self.operation {
                Operation::List | Operation::View => self.is_seen()?,
                _ => {
                    policies
                        .iter()
                        .any(|policy| policy.permissive && policy.value == Some(true))
                        && !policies
                            .iter()
                            .any(|policy| policy.part == "trigger" && policy.value == Some(false))
                        && ["using", "check"].iter().all(|part| {
                            let of_part = || policies.iter().filter(|policy| policy.part == *part);
                            let permitted =
                                of_part().any(|policy| policy.permissive && policy.value == Some(true));
                            (permitted || of_part().all(|policy| !policy.permissive))
                                && of_part().all(|policy| policy.permissive || policy.value == Some(true))
                        })
                }
            };
        let because = self.because(superadmin, same, source, &key, tree.as_ref(), &narrowing);
        let state = match source {
            None => "locked",
            Some("") => "public",
            Some(_) => "predicate",
        };
        Ok(Answer {
            collection: self.collection.definition.name.clone(),
            operation: self.operation.name(),
            record_id: self.id.to_owned(),
            verdict: if admitted { "admitted" } else { "denied" },
            because,
            caller: json!({
                "kind": if context.is_anonymous() { "anonymous" } else { "user" },
                "user_id": self.identity.user_id,
                "email": self.identity.email,
                "account_id": self.identity.account_id,
                "role": role.as_ref().map(|role| &role.name),
                "groups": context::groups()?,
                "superadmin": superadmin,
            }),
            account: json!({"of_record": owner, "of_caller": self.identity.account_id, "same": same}),
            rule: json!({"key": key, "state": state, "text": source, "value": tree.as_ref().map(|tree| tree["value"].clone()), "clauses": tree}),
            permissions: narrowing,
            fields: self.fields(superadmin)?,
            policies: policies
                .iter()
                .map(|policy| {
                    json!({"name": policy.name, "kind": if policy.permissive { "permissive" } else { "restrictive" },
                           "part": policy.part, "value": policy.value})
                })
                .collect(),
            plan: self.plan(superadmin)?,
        })
    }

    /// The clauses of a rule with their values for this record and caller.
    fn clauses(&self, source: &str, schema: Option<rules::Schema>) -> Result<Json, Error> {
        let schema = schema.unwrap_or_else(|| rule_schema(self.collection, Access::Everything, false));
        let registry = Registry::load_for([source])?;
        let clause = rules::clauses(source, self.operation.in_rules(), &schema, &registry)
            .map_err(|errors| Error::Internal(format!("a stored rule: {}", rules::summary(&errors))))?;
        value_of(&clause, &self.rows(), Vec::new())
    }

    /// Where the record stands, for conditions over its table; an update rule compares it with itself.
    fn rows(&self) -> String {
        let (relation, id) = (&self.collection.relation, quote_literal(self.id));
        match self.operation {
            Operation::Update => {
                format!(
                    "from {relation} as old, {relation} as new where old.id = {id}::uuid and new.id = {id}::uuid"
                )
            }
            _ => format!(
                "from {relation} where {}.id = {id}::uuid",
                quote(&self.collection.table)
            ),
        }
    }

    fn narrowing(&self, role: Option<i32>) -> Result<Vec<Json>, Error> {
        let mut found = Vec::new();
        for permission in permissions::of(&self.collection.definition.name)? {
            if Some(permission.role_id) != role {
                continue;
            }
            let Some(act) = permission.act(self.operation) else {
                continue;
            };
            let clauses = match act.rule.as_str() {
                "" => Json::Null,
                rule => self.clauses(rule, Some(permission.schema(self.collection)))?,
            };
            let value = clauses.get("value").cloned().unwrap_or(Json::Bool(true));
            found.push(json!({
                "permission_id": permission.id, "role": permission.role, "collection": permission.collection,
                "rule": act.rule, "fields": act.fields.to_text(), "value": value, "clauses": clauses,
            }));
        }
        Ok(found)
    }

    /// The fields that the caller may read, or write, in this operation.
    fn fields(&self, superadmin: bool) -> Result<Json, Error> {
        if superadmin || self.operation == Operation::Delete {
            return Ok(json!("*"));
        }
        let list = self.collection.allowed(self.operation)?;
        let names = self.collection.definition.fields.iter().map(|field| &field.name);
        let (allowed, hidden): (Vec<&String>, Vec<&String>) = names.partition(|name| list.allows(name));
        Ok(json!({"allowed": allowed, "not_allowed": hidden}))
    }

    /// Whether row security shows the record.
    fn is_seen(&self) -> Result<bool, Error> {
        let role = CString::new(self.operation.role()).unwrap_or_default();
        let _role = spi::Acting::begin(&role);
        let statement = format!(
            "select 1 from {} where id = {}::uuid",
            self.collection.relation,
            quote_literal(self.id)
        );
        spi::select_once(&statement, Vec::new(), |rows| {
            Ok(rows.into_iter().next().is_some())
        })
    }

    /// The policies that bind the operation's role, from the catalog, and the conditions of update triggers.
    fn policies(&self) -> Result<Vec<Policy>, Error> {
        let command = match self.operation {
            Operation::List | Operation::View => "r",
            Operation::Create => "a",
            Operation::Update => "w",
            Operation::Delete => "d",
        };
        let statement = format!(
            "select p.polname::text, p.polpermissive, pg_get_expr(p.polqual, p.polrelid), pg_get_expr(p.polwithcheck, p.polrelid)
               from pg_policy p
              where p.polrelid = {}::regclass and p.polcmd in ('*', '{command}')
                and {}::regrole = any (p.polroles)
              order by p.polpermissive, p.polname",
            quote_literal(&self.collection.relation),
            quote_literal(self.operation.role()),
        );
        let found = spi::select_once(&statement, Vec::new(), |rows| {
            rows.into_iter()
                .map(|row| {
                    Ok((
                        row.get::<String>(1)?.unwrap_or_default(),
                        row.get::<bool>(2)?.unwrap_or_default(),
                        row.get::<String>(3)?,
                        row.get::<String>(4)?,
                    ))
                })
                .collect::<Result<Vec<_>, Error>>()
        })?;
        let mut policies = Vec::new();
        for (name, permissive, using, check) in found {
            let check = check.or_else(|| using.clone());
            let parts = match self.operation {
                Operation::Create => vec![("check", check)],
                Operation::Update => vec![("using", using), ("check", check)],
                _ => vec![("using", using)],
            };
            for (part, condition) in parts {
                let value = match condition {
                    Some(condition) => self.judge(&condition)?,
                    None => Some(true),
                };
                policies.push(Policy {
                    name: name.clone(),
                    permissive,
                    part,
                    value,
                });
            }
        }
        if self.operation == Operation::Update {
            policies.extend(self.triggers()?);
        }
        Ok(policies)
    }

    /// A condition of the catalog about the row: its columns are written without a table.
    fn judge(&self, condition: &str) -> Result<Option<bool>, Error> {
        let statement = format!(
            "select ({condition}) from {} where id = {}::uuid",
            self.collection.relation,
            quote_literal(self.id)
        );
        spi::select_once(&statement, Vec::new(), |rows| {
            Ok(rows.first().get_one::<bool>()?)
        })
    }

    /// The parts of an update rule that compare both rows; true when the trigger would let the row pass.
    fn triggers(&self) -> Result<Vec<Policy>, Error> {
        let predicates = crate::policies::compile(self.collection)?;
        let mut found = Vec::new();
        for (name, condition) in predicates.transitions() {
            let statement = format!("select ({condition}) {}", self.rows());
            let value = spi::select_once(&statement, Vec::new(), |rows| {
                Ok(rows.first().get_one::<bool>()?)
            })?;
            found.push(Policy {
                name: name.to_owned(),
                permissive: false,
                part: "trigger",
                value: Some(value == Some(true)),
            });
        }
        Ok(found)
    }

    /// The plan of the look-up of this operation, made as its role.
    fn plan(&self, superadmin: bool) -> Result<Vec<String>, Error> {
        if !matches!(self.operation, Operation::List | Operation::View) {
            return Ok(Vec::new());
        }
        let access = if superadmin {
            Access::Everything
        } else {
            Access::Listed(self.collection.allowed(self.operation)?)
        };
        let projection = query::own_projection(self.collection, self.operation, access, None)?;
        let (relation, table) = (&self.collection.relation, quote(&self.collection.table));
        let end = match self.operation {
            Operation::List => format!("order by {table}.created_at desc, {table}.id desc limit 30"),
            _ => format!("where {table}.id = {}::uuid", quote_literal(self.id)),
        };
        let role = if superadmin {
            "snackbase_superadmin"
        } else {
            self.operation.role()
        };
        let role = CString::new(role).unwrap_or_default();
        let _role = spi::Acting::begin(&role);
        spi::explain(
            &format!("select {} from {relation} {end}", projection.select),
            Vec::new(),
        )
    }

    fn because(
        &self,
        superadmin: bool,
        same: bool,
        source: Option<&str>,
        key: &str,
        tree: Option<&Json>,
        narrowing: &[Json],
    ) -> String {
        if superadmin {
            return "Superadmins see and change every record; rules are not asked.".to_owned();
        }
        if !same {
            return "The record belongs to another account, and no rule reaches beyond the caller's own."
                .to_owned();
        }
        let visitor = Context::current().is_anonymous();
        let rule = match (source, tree) {
            (None, _) => {
                return format!("{key} is null: the operation is locked for everybody but superadmins.");
            }
            (Some(_), Some(_)) if visitor => {
                return format!(
                    "{key} is an expression, which never admits a visitor; only an empty rule does."
                );
            }
            (Some(_), Some(tree)) => format!("{key} is {}: {}.", truth(tree), reason(tree)),
            (Some(_), None) => format!("{key} is empty: it admits everybody of the account."),
        };
        let narrowed: Vec<String> = narrowing
            .iter()
            .filter(|permission| permission["value"] != Json::Bool(true))
            .map(|permission| {
                format!(
                    " Permission {} of role '{}' on {} is {}: {}.",
                    permission["permission_id"],
                    permission["role"].as_str().unwrap_or_default(),
                    permission["collection"].as_str().unwrap_or_default(),
                    truth(permission),
                    reason(&permission["clauses"])
                )
            })
            .collect();
        format!("{rule}{}", narrowed.concat())
    }
}

fn truth(tree: &Json) -> &'static str {
    match tree["value"] {
        Json::Bool(true) => "true",
        Json::Bool(false) => "false",
        _ => "NULL",
    }
}

/// The clauses that decided, in one sentence.
fn reason(tree: &Json) -> String {
    let parts = |key: &str| tree.get(key).and_then(Json::as_array);
    let holds = tree["value"] == Json::Bool(true);
    let chosen = |parts: &[Json], wanted: bool| {
        let mut all: Vec<String> = parts
            .iter()
            .filter(|part| (part["value"] == Json::Bool(true)) == wanted)
            .map(reason)
            .collect();
        all.dedup();
        all
    };
    if let Some(parts) = parts("and") {
        // Everything that holds, or what does not.
        chosen(parts, holds).join(" and ")
    } else if let Some(parts) = parts("or") {
        match holds {
            true => chosen(parts, true).into_iter().next().unwrap_or_default(),
            false => chosen(parts, false).join(" and "),
        }
    } else if let Some(part) = parts("not").and_then(|parts| parts.first()) {
        reason(part)
    } else if let Some(part) = parts("macro").and_then(|parts| parts.first()) {
        format!(
            "{} stands for {}",
            tree["text"].as_str().unwrap_or_default(),
            reason(part)
        )
    } else {
        format!("{} is {}", tree["text"].as_str().unwrap_or_default(), truth(tree))
    }
}
