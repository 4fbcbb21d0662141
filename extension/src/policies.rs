//! Rules and field lists become what Postgres enforces: policies, column grants, and the view for BI tools.
//!
//! | Policy | For | Roles | Expression |
//! |---|---|---|---|
//! | `account` (restrictive) | all | every role but `snackbase_superadmin` | the row's account is the caller's |
//! | `list` | select | `snackbase_list`, `snackbase_reader` | list rule |
//! | `view` | select | `snackbase_view` | view rule |
//! | `create` | insert | `snackbase_create` | check: create rule |
//! | `update` | update | `snackbase_update` | using: its part on the old row; check: its part on the new row |
//! | `delete` | delete | `snackbase_delete` | delete rule |
//! | `target` | select | the three writing roles | true: a write must see what it addresses |
//! | `hook`, `superadmin` | all | the roles of these names | true |
//! | `role_<operation>` (restrictive) | as the operation | the operation's role | what permissions of the caller's role leave; [`crate::permissions`] |
//!
//! A locked rule (null) has no policy. A rule that is an expression never admits an anonymous caller, whatever it says.

use snackbase_core::names::quote;
use snackbase_core::rules::{self, Rule};
use snackbase_core::schema::{FieldType, RULE_KEYS, SYSTEM_FIELDS};

use crate::collections::{Access, Collection, kind, rule_schema};
use crate::context::Operation;
use crate::error::Error;
use crate::macros::Registry;
use crate::permissions::{self, Narrowing};
use crate::{signatures, spi};

/// The roles that the account policy binds.
const BOUND: &str = "snackbase_list, snackbase_view, snackbase_create, snackbase_update, snackbase_delete, \
                     snackbase_member, snackbase_admin, snackbase_hook, snackbase_reader";

/// The compiled rules of a collection: SQL ready to become policies.
pub struct Predicates {
    list: Option<String>,
    view: Option<String>,
    create: Option<String>,
    update: Option<Update>,
    delete: Option<String>,
    narrowing: Narrowing,
}

struct Update {
    using: String,
    check: String,
    /// Over `old` and `new`; the condition of a trigger.
    transition: Option<String>,
}

/// Compiles the five rules.
///
/// # Errors
/// [`Error::Rule`] for the first rule that does not compile, with all its errors.
pub fn compile(collection: &Collection) -> Result<Predicates, Error> {
    let schema = rule_schema(collection, Access::Everything, false);
    let sources = &collection.definition.rules;
    let macros = Registry::load_for(
        Operation::ALL
            .into_iter()
            .filter_map(|operation| collection.rule(operation)),
    )?;
    let rule = |index: usize, operation, source: Option<&str>| match source {
        None => Ok(None),
        Some(source) => rules::compile_rule(source, operation, &schema, &macros)
            .map(Some)
            .map_err(|errors| Error::Rule {
                key: RULE_KEYS[index],
                errors,
            }),
    };
    Ok(Predicates {
        list: rule(0, rules::Operation::List, sources.list_rule.as_deref())?.map(using),
        view: rule(1, rules::Operation::View, sources.view_rule.as_deref())?.map(using),
        create: rule(2, rules::Operation::Create, sources.create_rule.as_deref())?
            .map(|rule| update(rule).check),
        update: rule(3, rules::Operation::Update, sources.update_rule.as_deref())?.map(update),
        delete: rule(4, rules::Operation::Delete, sources.delete_rule.as_deref())?.map(using),
        narrowing: permissions::compile(collection)?,
    })
}

fn using(rule: Rule) -> String {
    update(rule).using
}

fn update(rule: Rule) -> Update {
    match rule {
        Rule::Public => Update {
            using: "true".into(),
            check: "true".into(),
            transition: None,
        },
        Rule::Predicate(predicate) => Update {
            using: authenticated(predicate.using),
            check: authenticated(predicate.check),
            transition: predicate.transition,
        },
    }
}

/// The predicate for callers with an identity. The sub-select is evaluated once per statement.
fn authenticated(predicate: Option<String>) -> String {
    match predicate {
        Some(predicate) => format!("(select snackbase.is_authenticated()) and ({predicate})"),
        None => "(select snackbase.is_authenticated())".to_owned(),
    }
}

impl Predicates {
    /// The conditions over `old` and `new` that triggers check, with the triggers' names.
    pub fn transitions(&self) -> Vec<(&'static str, &str)> {
        let own = self
            .update
            .as_ref()
            .and_then(|update| update.transition.as_deref());
        let own = own.map(|condition| ("zz_update_rule", condition));
        own.into_iter().chain(self.narrowing.transition()).collect()
    }
}

/// Checks that every computed field compiles to its return type.
///
/// # Errors
/// [`Error::Definition`], code `computed_field_expression_error`.
pub fn check_computed(collection: &Collection) -> Result<(), Error> {
    let schema = rule_schema(collection, Access::Everything, false);
    let mut problems = Vec::new();
    for (index, field) in collection.definition.fields.iter().enumerate() {
        if field.is_stored() {
            continue;
        }
        let source = field.expression.as_deref().unwrap_or_default();
        let returns = kind(field.return_type.unwrap_or(FieldType::Text));
        if let Err(errors) = rules::compile_computed(source, &schema, returns) {
            problems.push(snackbase_core::schema::Problem::new(
                format!("schema[{index}].expression"),
                "computed_field_expression_error",
                rules::summary(&errors),
            ));
        }
    }
    if problems.is_empty() {
        Ok(())
    } else {
        Err(Error::Definition(problems))
    }
}

/// Replaces policies, grants and the view of a collection, whose new definition is stored already.
///
/// # Errors
/// Failures of the DDL keep their SQLSTATE.
pub fn apply(collection: &Collection, predicates: &Predicates) -> Result<(), Error> {
    replace_policies(collection, predicates)?;
    signatures::replace_triggers(collection)?;
    replace_grants(collection)?;
    spi::update(
        "select snackbase._bi_view_replace($1)",
        &[collection.id.as_str().into()],
        |_| Ok(()),
    )?;
    prove(collection)
}

/// Replaces the policies of a collection whose definition stays: what its rules mean has changed.
///
/// # Errors
/// As [`apply`].
pub fn refresh(collection: &Collection, predicates: &Predicates) -> Result<(), Error> {
    replace_policies(collection, predicates)?;
    prove(collection)
}

/// Plans one statement of each operation as its role. A rule that cannot be planned must not be saved: every request would
/// fail (policies that refer to each other's tables, for one).
fn prove(collection: &Collection) -> Result<(), Error> {
    let relation = &collection.relation;
    for (role, statement) in [
        (c"snackbase_list", format!("select id from {relation}")),
        (c"snackbase_reader", format!("select id from {relation}")),
        (c"snackbase_view", format!("select id from {relation}")),
        (
            c"snackbase_create",
            format!("insert into {relation} default values"),
        ),
        (
            c"snackbase_update",
            format!("update {relation} set updated_at = updated_at"),
        ),
        (c"snackbase_delete", format!("delete from {relation}")),
    ] {
        let _role = spi::Acting::begin(role);
        spi::explain(&statement, Vec::new())?;
    }
    Ok(())
}

fn replace_policies(collection: &Collection, predicates: &Predicates) -> Result<(), Error> {
    let relation = &collection.relation;
    for name in [
        "account",
        "list",
        "view",
        "create",
        "update",
        "delete",
        "target",
        "hook",
        "superadmin",
    ] {
        spi::execute(&format!("drop policy if exists {} on {relation}", quote(name)))?;
    }
    let policy = |name: &str, rest: String| {
        spi::execute(&format!("create policy {} on {relation} {rest}", quote(name)))
    };
    policy(
        "account",
        format!(
            "as restrictive for all to {BOUND} using (account_id = (select snackbase.current_account_id()))"
        ),
    )?;
    if let Some(list) = &predicates.list {
        policy(
            "list",
            format!("for select to snackbase_list, snackbase_reader using ({list})"),
        )?;
    }
    if let Some(view) = &predicates.view {
        policy("view", format!("for select to snackbase_view using ({view})"))?;
    }
    if let Some(create) = &predicates.create {
        policy(
            "create",
            format!("for insert to snackbase_create with check ({create})"),
        )?;
    }
    if let Some(update) = &predicates.update {
        let Update { using, check, .. } = update;
        policy(
            "update",
            format!("for update to snackbase_update using ({using}) with check ({check})"),
        )?;
    }
    if let Some(delete) = &predicates.delete {
        policy(
            "delete",
            format!("for delete to snackbase_delete using ({delete})"),
        )?;
    }
    policy(
        "target",
        "for select to snackbase_create, snackbase_update, snackbase_delete using (true)".into(),
    )?;
    policy(
        "hook",
        "for all to snackbase_hook using (true) with check (true)".into(),
    )?;
    policy(
        "superadmin",
        "for all to snackbase_superadmin using (true) with check (true)".into(),
    )?;

    spi::execute(&format!("drop trigger if exists zz_update_rule on {relation}"))?;
    if let Some(condition) = predicates
        .update
        .as_ref()
        .and_then(|update| update.transition.as_ref())
    {
        // After z_stamp, so that it judges the finished row. It binds whom policy `update` would bind: the operation
        // role and the logins that inherit it, unless policy `hook` or `superadmin` admits them as well (a superuser
        // counts as a member of every role).
        spi::execute(&format!(
            "create trigger zz_update_rule before update on {relation} for each row \
             when ({} and ({condition}) is not true) \
             execute function snackbase._refuse_update()",
            bound_by("update"),
        ))?;
    }
    permissions::replace_policies(collection, &predicates.narrowing)
}

/// The condition of a trigger that binds whom the policy of this operation would bind.
pub fn bound_by(operation: &str) -> String {
    format!(
        "pg_has_role(current_user, 'snackbase_{operation}', 'usage') \
         and not pg_has_role(current_user, 'snackbase_superadmin', 'usage') \
         and not pg_has_role(current_user, 'snackbase_hook', 'usage')"
    )
}

fn replace_grants(collection: &Collection) -> Result<(), Error> {
    let relation = &collection.relation;
    spi::execute(&format!(
        "revoke all on {relation} from {BOUND}, snackbase_superadmin"
    ))?;
    let grant =
        |privileges: String, role: &str| spi::execute(&format!("grant {privileges} on {relation} to {role}"));
    let columns = |privilege: &str, names: Vec<&str>| {
        let list: Vec<String> = names.into_iter().map(quote).collect();
        format!("{privilege} ({})", list.join(", "))
    };
    let readable = |operation| {
        let mut names = SYSTEM_FIELDS.to_vec();
        names.extend(granted_fields(collection, operation));
        columns("select", names)
    };
    grant(readable(Operation::List), "snackbase_list, snackbase_reader")?;
    grant(readable(Operation::View), "snackbase_view")?;
    grant(readable(Operation::Create), "snackbase_create")?;
    grant(readable(Operation::Update), "snackbase_update")?;
    grant(
        columns("select", vec!["id", "account_id", "updated_at"]),
        "snackbase_delete",
    )?;
    // A record may be created without any field (`default values`), which needs the right to insert some column.
    let mut insertable = granted_fields(collection, Operation::Create);
    insertable.push("created_at");
    grant(columns("insert", insertable), "snackbase_create")?;
    // An empty PATCH touches updated_at; z_stamp decides its value.
    let mut updatable = granted_fields(collection, Operation::Update);
    updatable.push("updated_at");
    grant(columns("update", updatable), "snackbase_update")?;
    grant("delete".into(), "snackbase_delete")?;
    grant("select, insert, update, delete".into(), "snackbase_hook")?;
    grant("select, insert, update, delete".into(), "snackbase_superadmin")
}

/// The stored columns of an operation's field list.
fn granted_fields(collection: &Collection, operation: Operation) -> Vec<&str> {
    let list = collection.field_list(operation);
    collection
        .definition
        .fields
        .iter()
        .filter(|field| field.is_stored() && list.allows(&field.name))
        .map(|field| field.name.as_str())
        .collect()
}
