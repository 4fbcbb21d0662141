//! Permissions of roles: rows that narrow the rules of a collection for users of a role.
//!
//! For each operation all permissions of a collection are one restrictive policy, `role_<operation>`:
//!
//! ```text
//! case (select snackbase.current_role_id()) when 3 then (…) when 7 then (…) else true end
//! ```
//!
//! The role is looked up once per statement, whatever the number of roles. Restrictive policies are further conditions beside
//! the account's and the rule's, so those still find their indexes. Lists of fields cannot be column grants, because all roles
//! share the operation roles: the records functions cut what they read and take (`Collection::allowed`), and a trigger refuses
//! what somebody writes by SQL.

use std::collections::BTreeMap;

use pgrx::pg_sys::panic::ErrorReport;
use pgrx::prelude::*;
use serde_json::Value as Json;
use snackbase_core::names::quote;
use snackbase_core::rules::{self, Rule, Schema};
use snackbase_core::schema::{FieldList, default_sql};

use crate::collections::{self, Access, Collection, rule_schema};
use crate::context::{Context, Operation};
use crate::error::Error;
use crate::macros::{self, Registry};
use crate::{guc, policies, spi};

/// For every collection.
const ALL: &str = "*";

/// What a permission says about one act.
#[derive(Debug, Clone)]
pub struct Act {
    /// Rule text; empty narrows no rows.
    pub rule: String,
    /// The fields that remain.
    pub fields: FieldList,
}

/// A row of `snackbase.permissions`.
#[derive(Debug, Clone)]
pub struct Permission {
    /// Its id.
    pub id: i32,
    /// The role whose users it narrows.
    pub role_id: i32,
    /// The name of that role, for messages.
    pub role: String,
    /// A collection's name, or `*`.
    pub collection: String,
    acts: BTreeMap<String, Act>,
}

impl Permission {
    /// What it says about the operation: listing and viewing are both reading.
    pub fn act(&self, operation: Operation) -> Option<&Act> {
        self.acts.get(act_name(operation))
    }

    /// The columns its rules may name: those of every collection, or those of this one.
    pub fn schema(&self, collection: &Collection) -> Schema {
        if self.collection == ALL {
            Schema::new(&collection.table, Schema::system_columns())
        } else {
            rule_schema(collection, Access::Everything, false)
        }
    }
}

fn act_name(operation: Operation) -> &'static str {
    match operation {
        Operation::List | Operation::View => "read",
        Operation::Create => "create",
        Operation::Update => "update",
        Operation::Delete => "delete",
    }
}

/// The permissions that narrow a collection, as they are committed now and as this transaction has left them.
///
/// # Errors
/// [`Error::Internal`] when a stored permission cannot be read.
pub fn of(collection: &str) -> Result<Vec<Permission>, Error> {
    let _owner = spi::Acting::begin(c"snackbase_owner");
    spi::select_latest(
        "select p.id, p.role_id, r.name, p.collection, p.rules::pg_catalog.text
           from snackbase.permissions p
           join snackbase.roles r on r.id operator(pg_catalog.=) p.role_id
          where p.collection operator(pg_catalog.=) '*' or p.collection operator(pg_catalog.=) $1
          order by p.id using operator(pg_catalog.<)",
        &[collection.into()],
        |rows| {
            rows.into_iter()
                .map(|row| {
                    let damaged = || Error::Internal("a stored permission cannot be read".into());
                    let rules = row.get::<String>(5)?.unwrap_or_default();
                    let rules: BTreeMap<String, Json> =
                        serde_json::from_str(&rules).map_err(|_| damaged())?;
                    let acts = rules
                        .into_iter()
                        .filter(|(_, act)| !act.is_null())
                        .map(|(name, act)| {
                            let rule = act["rule"].as_str().ok_or_else(damaged)?.to_owned();
                            let fields = field_list(&act["fields"]).ok_or_else(damaged)?;
                            Ok((name, Act { rule, fields }))
                        })
                        .collect::<Result<_, Error>>()?;
                    Ok(Permission {
                        id: row.get::<i32>(1)?.unwrap_or_default(),
                        role_id: row.get::<i32>(2)?.unwrap_or_default(),
                        role: row.get::<String>(3)?.unwrap_or_default(),
                        collection: row.get::<String>(4)?.unwrap_or_default(),
                        acts,
                    })
                })
                .collect()
        },
    )
}

/// `"*"`, a list of names, or such a list inside a text.
fn field_list(json: &Json) -> Option<FieldList> {
    match json {
        Json::String(text) => FieldList::from_text(text),
        Json::Array(_) => FieldList::from_text(&json.to_string()),
        Json::Null => Some(FieldList::All),
        _ => None,
    }
}

/// The field lists of an operation by role, for roles that have less than the collection's own list.
pub fn narrowed_lists(
    permissions: &[Permission],
    operation: Operation,
    own: &FieldList,
) -> BTreeMap<i32, FieldList> {
    let mut lists: BTreeMap<i32, FieldList> = BTreeMap::new();
    for permission in permissions {
        if let Some(Act {
            fields: FieldList::Only(names),
            ..
        }) = permission.act(operation)
        {
            let before = lists.get(&permission.role_id).unwrap_or(own);
            let kept = names.iter().filter(|name| before.allows(name)).cloned().collect();
            lists.insert(permission.role_id, FieldList::Only(kept));
        }
    }
    lists
}

/// What the permissions of a collection become; none where there is nothing to narrow.
#[derive(Default)]
pub struct Narrowing {
    using: BTreeMap<&'static str, String>,
    create: Option<String>,
    update: Option<(String, String)>,
    transition: Option<String>,
    create_fields: Option<String>,
    update_fields: Option<String>,
}

impl Narrowing {
    /// The condition over `old` and `new`, with its trigger's name.
    pub fn transition(&self) -> Option<(&'static str, &str)> {
        Some(("zz_role_update", self.transition.as_deref()?))
    }
}

/// Compiles the permissions that narrow a collection.
///
/// # Errors
/// [`Error::Breaks`] for the first that does not compile, with role and collection.
pub fn compile(collection: &Collection) -> Result<Narrowing, Error> {
    let permissions = of(&collection.definition.name)?;
    let registry = Registry::load_for(
        permissions
            .iter()
            .flat_map(|permission| permission.acts.values().map(|act| act.rule.as_str())),
    )?;
    let mut narrowing = Narrowing::default();
    for operation in Operation::ALL {
        let (mut using, mut check, mut transition) = (Cases::default(), Cases::default(), Cases::default());
        for permission in &permissions {
            let Some(act) = permission.act(operation) else {
                continue;
            };
            let schema = permission.schema(collection);
            let compiled = rules::compile_rule(&act.rule, operation.in_rules(), &schema, &registry)
                .map_err(|errors| broken(permission, operation, collection, errors))?;
            if let Rule::Predicate(predicate) = compiled {
                using.add(permission.role_id, predicate.using);
                check.add(permission.role_id, predicate.check);
                transition.add(permission.role_id, predicate.transition);
            }
        }
        let once = "(select snackbase.current_role_id())";
        let (using, check) = (using.sql(once), check.sql(once));
        match operation {
            Operation::List | Operation::View | Operation::Delete => {
                narrowing
                    .using
                    .extend(using.map(|using| (operation.name(), using)));
            }
            Operation::Create => narrowing.create = check,
            Operation::Update => {
                if using.is_some() || check.is_some() {
                    let open = || "true".to_owned();
                    narrowing.update = Some((using.unwrap_or_else(open), check.unwrap_or_else(open)));
                }
                narrowing.transition = transition.sql("snackbase.current_role_id()");
            }
        }
    }
    narrowing.create_fields = written(collection, &permissions, Operation::Create);
    narrowing.update_fields = written(collection, &permissions, Operation::Update);
    Ok(narrowing)
}

fn broken(
    permission: &Permission,
    operation: Operation,
    collection: &Collection,
    errors: Vec<rules::Error>,
) -> Error {
    let name = &collection.definition.name;
    let act = act_name(operation);
    Error::Breaks {
        what: format!(
            "{act} permission of role '{}' on collection '{name}'",
            permission.role
        ),
        reason: rules::summary(&errors),
        errors,
        place: vec![
            ("collection", name.clone()),
            ("role", permission.role.clone()),
            ("rule_key", act.to_owned()),
        ],
    }
}

/// Conditions by role.
#[derive(Default)]
struct Cases(BTreeMap<i32, Vec<String>>);

impl Cases {
    fn add(&mut self, role: i32, condition: Option<String>) {
        if let Some(condition) = condition {
            self.0.entry(role).or_default().push(format!("({condition})"));
        }
    }

    fn sql(&self, role: &str) -> Option<String> {
        if self.0.is_empty() {
            return None;
        }
        let cases: Vec<String> = self
            .0
            .iter()
            .map(|(id, conditions)| format!("when {id} then {}", conditions.join(" and ")))
            .collect();
        Some(format!("case {role} {} else true end", cases.join(" ")))
    }
}

/// Whether a row about to be written holds something in a column that the caller's role may not write: at creation anything
/// but its default, at a change anything but what was there. None when no role has less than the collection's list.
fn written(collection: &Collection, permissions: &[Permission], operation: Operation) -> Option<String> {
    let own = collection.field_list(operation);
    let cases: Vec<String> = narrowed_lists(permissions, operation, own)
        .into_iter()
        .filter_map(|(role, list)| {
            let touched: Vec<String> = collection
                .definition
                .fields
                .iter()
                .filter(|field| field.is_stored() && own.allows(&field.name) && !list.allows(&field.name))
                .map(|field| {
                    let column = quote(&field.name);
                    let before = match operation {
                        Operation::Create => default_sql(field).unwrap_or_else(|| "null".to_owned()),
                        _ => format!("old.{column}"),
                    };
                    format!("new.{column} is distinct from {before}")
                })
                .collect();
            (!touched.is_empty()).then(|| format!("when {role} then {}", touched.join(" or ")))
        })
        .collect();
    (!cases.is_empty()).then(|| {
        format!(
            "case snackbase.current_role_id() {} else false end",
            cases.join(" ")
        )
    })
}

/// Replaces the policies and triggers that come from permissions.
///
/// # Errors
/// Failures of the DDL keep their SQLSTATE.
pub fn replace_policies(collection: &Collection, narrowing: &Narrowing) -> Result<(), Error> {
    let relation = &collection.relation;
    for operation in Operation::ALL {
        spi::execute(&format!(
            "drop policy if exists role_{} on {relation}",
            operation.name()
        ))?;
    }
    for (name, using) in &narrowing.using {
        let command = if *name == "delete" { "delete" } else { "select" };
        spi::execute(&format!(
            "create policy role_{name} on {relation} as restrictive for {command} to snackbase_{name} using ({using})"
        ))?;
    }
    if let Some(check) = &narrowing.create {
        spi::execute(&format!(
            "create policy role_create on {relation} as restrictive for insert to snackbase_create with check ({check})"
        ))?;
    }
    if let Some((using, check)) = &narrowing.update {
        spi::execute(&format!(
            "create policy role_update on {relation} as restrictive for update to snackbase_update \
             using ({using}) with check ({check})"
        ))?;
    }
    let trigger = |name: &str, event: &str, refused: Option<String>, function: &str| -> Result<(), Error> {
        spi::execute(&format!("drop trigger if exists {name} on {relation}"))?;
        match refused {
            None => Ok(()),
            Some(refused) => spi::execute(&format!(
                "create trigger {name} before {event} on {relation} for each row when ({} and {refused}) \
                 execute function snackbase.{function}()",
                policies::bound_by(if event == "insert" { "create" } else { event }),
            )),
        }
    };
    // First of all triggers: what they judge is what the caller wrote, and not what a hook adds to it.
    let fields = [
        ("a_role_create_fields", "insert", &narrowing.create_fields),
        ("a_role_update_fields", "update", &narrowing.update_fields),
    ];
    for (name, event, refused) in fields {
        trigger(name, event, refused.clone(), "_refuse_fields")?;
    }
    let refused = narrowing
        .transition
        .as_ref()
        .map(|condition| format!("({condition}) is not true"));
    trigger("zz_role_update", "update", refused, "_refuse_update")
}

/// Whether a permission of the caller's role mentions this act on this collection or on all. What its rule says does not
/// matter.
#[pg_extern(stable, parallel_restricted)]
fn has_permission(act: &str, collection: &str) -> Result<bool, ErrorReport> {
    let Some(role) = crate::caller::role_id()? else {
        return Ok(false);
    };
    let statement = "
        select 1 from snackbase.permissions p
         where p.role_id operator(pg_catalog.=) $1
           and (p.collection operator(pg_catalog.=) $2 or p.collection operator(pg_catalog.=) '*')
           and pg_catalog.jsonb_typeof(p.rules operator(pg_catalog.->) $3) operator(pg_catalog.=) 'object'";
    Ok(spi::select_as_owner(
        statement,
        &[role.into(), collection.into(), act.into()],
        |rows| Ok(!rows.is_empty()),
    )?)
}

/// Sets what a role's permission says about one act; `docs/sql-api.md` §5.
#[pg_extern(volatile, parallel_unsafe, security_definer)]
#[search_path(pg_catalog, pg_temp)]
fn _permission_set(
    role_id: i32,
    collection: &str,
    operation: &str,
    rule: &str,
    fields: crate::json::JsonText,
) -> Result<(), ErrorReport> {
    Ok(set(role_id, collection, operation, rule, &fields.0)?)
}

/// Removes a permission; `docs/sql-api.md` §5.
#[pg_extern(volatile, parallel_unsafe, security_definer)]
#[search_path(pg_catalog, pg_temp)]
fn permission_drop(id: i64) -> Result<bool, ErrorReport> {
    remove(id)?;
    Ok(true)
}

fn require_superadmin() -> Result<(), Error> {
    if Context::current().is_superadmin() || guc::is_session_superuser() {
        Ok(())
    } else {
        Err(Error::SuperadminRequired)
    }
}

fn set(role_id: i32, wanted: &str, act: &str, rule: &str, fields: &str) -> Result<(), Error> {
    require_superadmin()?;
    let fields = serde_json::from_str(fields)
        .ok()
        .and_then(|json| field_list(&json))
        .ok_or_else(|| Error::Malformed("fields is \"*\" or a list of names".into()))?;
    macros::hold_permissions_alone();
    let name = match wanted {
        ALL => ALL.to_owned(),
        _ => collection_named(wanted)?,
    };
    if let (FieldList::Only(names), true) = (&fields, name != ALL) {
        let (_, collection) = collections::load(&name)?;
        if let Some(unknown) = names
            .iter()
            .find(|name| collection.definition.field(name).is_none())
        {
            return Err(Error::Malformed(format!("Field '{unknown}' does not exist")));
        }
    }
    let fields = match &fields {
        FieldList::All => Json::from("*"),
        FieldList::Only(names) => Json::from(names.as_slice()),
    };
    if name == ALL {
        // Checked by itself, too: there may be no collection yet.
        let schema = Schema::new("r", Schema::system_columns());
        let registry = Registry::load_for([rule])?;
        let operation = match act {
            "create" => rules::Operation::Create,
            "update" => rules::Operation::Update,
            "delete" => rules::Operation::Delete,
            _ => rules::Operation::List,
        };
        rules::compile_rule(rule, operation, &schema, &registry).map_err(|errors| Error::Breaks {
            what: "rule".into(),
            reason: rules::summary(&errors),
            errors,
            place: Vec::new(),
        })?;
    }
    let entry = serde_json::json!({act: {"rule": rule, "fields": fields}});
    spi::update(
        "insert into snackbase.permissions (role_id, collection, rules) values ($1, $2, $3::jsonb)
         on conflict (role_id, collection) do update set rules = permissions.rules || excluded.rules",
        &[role_id.into(), name.as_str().into(), entry.to_string().into()],
        |_| Ok(()),
    )?;
    apply(&name)
}

fn remove(id: i64) -> Result<(), Error> {
    require_superadmin()?;
    macros::hold_permissions_alone();
    let name = spi::update(
        "delete from snackbase.permissions where id = $1 returning collection",
        &[id.into()],
        spi::first_value::<String>,
    )?;
    match name {
        None => Err(Error::PermissionNotFound(id)),
        Some(name) => apply(&name),
    }
}

fn collection_named(wanted: &str) -> Result<String, Error> {
    let found = spi::select_latest(
        "select c.name from snackbase.collections c where c.name = $1",
        &[wanted.into()],
        spi::first_value::<String>,
    )?;
    found.ok_or_else(|| Error::CollectionNotFound(wanted.to_owned()))
}

/// Writes the policies of the collection of this name, or of all.
fn apply(name: &str) -> Result<(), Error> {
    let _ddl = guc::OwnDdl::begin();
    for id in collections_of(name)? {
        let (_, collection) = collections::load(&id)?;
        policies::refresh(&collection, &policies::compile(&collection)?)?;
    }
    Ok(())
}

/// The ids of the collections that a permission on `name` narrows.
///
/// # Errors
/// [`Error::Spi`].
pub fn collections_of(name: &str) -> Result<Vec<String>, Error> {
    spi::select_latest(
        "select c.id::text from snackbase.collections c where $1 in ('*', c.name) order by c.name",
        &[name.into()],
        |rows| {
            rows.into_iter()
                .map(|row| Ok(row.get::<String>(1)?.unwrap_or_default()))
                .collect()
        },
    )
}

/// Forgets what was permitted on a collection that is dropped.
///
/// # Errors
/// [`Error::Spi`].
pub fn forget(collection: &str) -> Result<(), Error> {
    spi::update(
        "delete from snackbase.permissions where collection = $1",
        &[collection.into()],
        |_| Ok(()),
    )
}
