//! Planted faults: what somebody could get wrong, done to a good database. The harness has to find each of them.

use snackbase_e2e::Session;

use super::language::Kind;
use super::model::{Operation, World};
use super::statement::table;

/// A fault that the superuser plants after the world was made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// The restrictive policy that keeps accounts apart is gone.
    AccountPolicyDropped,
    /// The account's condition is glued in front of the list rule without parentheses: `account and a or b`.
    OrWithoutParentheses,
    /// The view for BI tools shows personal data in clear.
    MaskForgotten,
    /// An update is judged by the old row only.
    CheckForgotten,
    /// The condition over old and new row is not enforced.
    TransitionForgotten,
    /// Everybody counts as somebody who may see personal data.
    EverybodySeesPersonalData,
    /// A reference is not checked, so it can lead into another account.
    ReferenceUnchecked,
    /// Permissions of roles narrow no rows.
    RoleForgotten,
    /// A hidden column is granted to the role that lists.
    ColumnGranted,
}

impl Fault {
    pub const ALL: [Self; 9] = [
        Self::AccountPolicyDropped,
        Self::OrWithoutParentheses,
        Self::MaskForgotten,
        Self::CheckForgotten,
        Self::TransitionForgotten,
        Self::EverybodySeesPersonalData,
        Self::ReferenceUnchecked,
        Self::RoleForgotten,
        Self::ColumnGranted,
    ];

    /// The statements that plant it in every collection where it can be planted.
    pub async fn script(self, superuser: &Session, world: &World) -> String {
        let mut script = String::from(
            "alter event trigger snackbase_guard_ddl disable; alter event trigger snackbase_guard_drop disable;",
        );
        for collection in &world.collections {
            let table = table(collection);
            let statement = match self {
                Self::AccountPolicyDropped => format!("drop policy if exists account on {table};"),
                Self::OrWithoutParentheses => or_without_parentheses(superuser, &table).await,
                Self::MaskForgotten => {
                    let view = format!("snackbase_bi.{}", collection.name);
                    let body = superuser
                        .value(&format!("select pg_get_viewdef('{view}'::regclass)"))
                        .await;
                    unmasked(&view, &body)
                }
                Self::CheckForgotten => format!(
                    "do $$ begin alter policy update on {table} with check (true); exception when undefined_object then null; end $$;"
                ),
                Self::TransitionForgotten => format!("drop trigger if exists zz_update_rule on {table};"),
                Self::EverybodySeesPersonalData => {
                    "create or replace function snackbase.sees_pii() returns boolean language sql stable return true;".to_owned()
                }
                Self::ReferenceUnchecked => collection
                    .fields
                    .iter()
                    .filter(|field| field.kind == Kind::Id)
                    .map(|field| format!("alter table {table} drop constraint if exists \"col_{}${}$fkey\";", collection.name, field.name))
                    .collect(),
                Self::RoleForgotten => Operation::ALL
                    .map(|operation| format!("drop policy if exists role_{} on {table};", operation.name()))
                    .concat(),
                Self::ColumnGranted => format!("grant select on {table} to snackbase_list;"),
            };
            script.push_str(&statement);
        }
        script.push_str(
            "alter event trigger snackbase_guard_ddl enable always; alter event trigger snackbase_guard_drop enable always;",
        );
        script
    }
}

/// The list policy as naive gluing would write it; nothing where the rule has no outermost `or`.
async fn or_without_parentheses(superuser: &Session, table: &str) -> String {
    let expression = superuser
        .value(&format!(
            "select coalesce((select pg_get_expr(polqual, polrelid) from pg_policy where polrelid = '{table}'::regclass and polname = 'list'), '')"
        ))
        .await;
    // `(( SELECT snackbase.is_authenticated() AS is_authenticated) AND (a OR b))`, until it is planted.
    let rule = expression
        .strip_suffix("))")
        .and_then(|rest| rest.split_once("is_authenticated) AND ("))
        .map(|(_, rule)| rule)
        .filter(|rule| rule.contains(" OR "));
    let Some(rule) = rule else {
        return String::new();
    };
    format!(
        "alter policy list on {table} using (account_id = (select snackbase.current_account_id()) and {rule});
         drop policy account on {table};
         create policy account on {table} as restrictive for all
             to snackbase_view, snackbase_create, snackbase_update, snackbase_delete
             using (account_id = (select snackbase.current_account_id()));"
    )
}

/// The view again, without its masks.
fn unmasked(view: &str, body: &str) -> String {
    let mut open = String::new();
    let mut rest = body;
    // `snackbase.mask('full'::text, (x)::text) AS x`
    while let Some((before, after)) = rest.split_once("snackbase.mask('") {
        let value = after.split_once("::text, ").map_or(after, |(_, value)| value);
        open.push_str(before);
        open.push('(');
        rest = value;
    }
    open.push_str(rest);
    format!("create or replace view {view} with (security_barrier = true) as {open}")
}
