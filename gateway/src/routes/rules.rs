//! Rules and field lists of a collection, for superadmins. Source: rules contract §2.

use super::for_superadmins;
use super::input::{Fields, JsonObject, Path};
use crate::auth::Caller;
use crate::db::{Json, JsonText, Statement};
use crate::error::Error;
use crate::state::State;

/// `GET /collections/{collection}/rules`.
pub async fn view(state: State, caller: Caller, Path(collection): Path<String>) -> Result<Json, Error> {
    state
        .database
        .json(&caller, Statement::RulesView, &[&collection])
        .await
}

/// `PUT /collections/{collection}/rules`: any subset of the nine keys.
pub async fn change(
    state: State,
    caller: Caller,
    Path(collection): Path<String>,
    body: Result<JsonObject, Error>,
) -> Result<Json, Error> {
    let JsonObject(body) = for_superadmins(&state, &caller, body).await?;
    state
        .database
        .json(&caller, Statement::RulesChange, &[&collection, &body])
        .await
}

/// The operations a rule may be for.
const OPERATIONS: [&str; 5] = ["list", "view", "create", "update", "delete"];

/// `POST /rules/validate`: whether a rule compiles over these fields, or over those of a collection.
pub async fn validate(state: State, caller: Caller, body: Result<Fields, Error>) -> Result<Json, Error> {
    let read = |mut fields: Fields| {
        let rule = fields.text("rule", 0..=usize::MAX);
        let operation = fields.text("operation", 1..=20);
        if !operation.is_empty() && !OPERATIONS.contains(&operation.as_str()) {
            fields.note(
                "enum",
                "operation",
                "Input should be one of list, view, create, update, delete",
            );
        }
        let names = fields.optional_texts("collectionFields");
        let collection = fields.optional_text("collection", 1..=255);
        fields.finish().map(|_| (rule, operation, names, collection))
    };
    let (rule, operation, names, collection) = for_superadmins(&state, &caller, body.and_then(read)).await?;
    let names = names.map(JsonText::of);
    state
        .database
        .json(
            &caller,
            Statement::RuleValidate,
            &[&rule, &operation, &names, &collection],
        )
        .await
}

/// `POST /rules/test`: what a rule says about an invented record and caller.
pub async fn test(state: State, caller: Caller, body: Result<Fields, Error>) -> Result<Json, Error> {
    try_rule(state, caller, body, Statement::RuleTest).await
}

/// `POST /roles/test-rule`: the same in other words (identity contract §4.6 #40).
pub async fn test_for_role(state: State, caller: Caller, body: Result<Fields, Error>) -> Result<Json, Error> {
    try_rule(state, caller, body, Statement::RoleRuleTest).await
}

/// `POST /roles/validate-rule`: whether a rule compiles, whatever fields there are (identity contract §4.6 #39).
pub async fn validate_for_role(
    state: State,
    caller: Caller,
    body: Result<Fields, Error>,
) -> Result<Json, Error> {
    let read = |mut fields: Fields| {
        let rule = fields.text("rule", 0..=usize::MAX);
        fields.finish().map(|_| rule)
    };
    let rule = for_superadmins(&state, &caller, body.and_then(read)).await?;
    state
        .database
        .json(&caller, Statement::RoleRuleValidate, &[&rule])
        .await
}

async fn try_rule(
    state: State,
    caller: Caller,
    body: Result<Fields, Error>,
    statement: Statement,
) -> Result<Json, Error> {
    let read = |mut fields: Fields| {
        let rule = fields.text("rule", 0..=usize::MAX);
        let context = fields.object("context");
        fields.finish().map(|_| (rule, context))
    };
    let (rule, context) = for_superadmins(&state, &caller, body.and_then(read)).await?;
    let context = JsonText::of(context);
    state.database.json(&caller, statement, &[&rule, &context]).await
}
