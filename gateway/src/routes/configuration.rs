//! Configuration of providers, for superadmins. Source: identity contract §4.10 (60–73).

use std::time::Duration;

use axum::http::Uri;
use serde_json::{Map, Value, json};
use uuid::Uuid;

use super::for_superadmins;
use super::input::{Fields, Id, Path, Query, both};
use crate::auth::Caller;
use crate::configuration::Provider;
use crate::configuration::values::{self, Draft};
use crate::db::{Argument, Json, JsonText, Statement};
use crate::error::{Error, FieldFault};
use crate::mail;
use crate::state::State;

/// Longest time of a test of a connection; the client library waits for 15 seconds.
const TEST_LIMIT: Duration = Duration::from_secs(10);

/// `GET /admin/configuration/stats`.
pub async fn stats(state: State, caller: Caller) -> Result<Json, Error> {
    state
        .database
        .json(&caller, Statement::ConfigurationStats, &[])
        .await
}

/// `GET /admin/configuration/recent`. A limit that is too large is made smaller.
pub async fn recent(state: State, caller: Caller, uri: Uri) -> Result<Json, Error> {
    let mut query = Query::new(uri.query());
    let limit = query.number("limit", i64::MIN..=i64::MAX);
    for_superadmins(&state, &caller, query.finish()).await?;
    state
        .database
        .json(&caller, Statement::ConfigurationRecent, &[&limit])
        .await
}

/// `GET /admin/configuration/system`.
pub async fn system(state: State, caller: Caller, uri: Uri) -> Result<Json, Error> {
    let category = Query::new(uri.query()).text("category");
    let nobody: Option<String> = None;
    state
        .database
        .json(&caller, Statement::ConfigurationList, &[&nobody, &category])
        .await
}

/// `GET /admin/configuration/account`.
pub async fn account(state: State, caller: Caller, uri: Uri) -> Result<Json, Error> {
    let mut query = Query::new(uri.query());
    let account = query.text("account_id").filter(|text| !text.is_empty());
    let account = query.required("account_id", account);
    let category = query.text("category");
    for_superadmins(&state, &caller, query.finish()).await?;
    state
        .database
        .json(&caller, Statement::ConfigurationList, &[&account, &category])
        .await
}

/// `GET /admin/configuration/providers`.
pub async fn providers(state: State, caller: Caller, uri: Uri) -> Result<Json, Error> {
    let category = Query::new(uri.query()).text("category");
    state
        .database
        .json(&caller, Statement::ConfigurationProviders, &[&category])
        .await
}

/// `GET /admin/configuration/schema/{category}/{provider}`.
pub async fn schema(state: State, caller: Caller, path: Id<(String, String)>) -> Result<Json, Error> {
    let Path((category, provider)) = for_superadmins(&state, &caller, path).await?;
    state
        .database
        .json(&caller, Statement::ConfigurationSchema, &[&category, &provider])
        .await
}

/// `POST /admin/configuration`. A field that is missing is 400 here, one that does not fit is 422.
pub async fn create(state: State, caller: Caller, body: Result<Fields, Error>) -> Result<Json, Error> {
    state.database.flag(&caller, Statement::Superadmin, &[]).await?;
    let mut fields = body?;
    let missing: Vec<FieldFault> = ["category", "provider_name", "display_name", "config"]
        .into_iter()
        .filter(|field| !fields.has(field))
        .map(|field| FieldFault {
            field,
            message: "Field required".to_owned(),
            code: "missing",
        })
        .collect();
    if !missing.is_empty() {
        return Err(Error::Faults(missing));
    }
    let category = fields.text("category", 1..=50);
    let provider = fields.text("provider_name", 1..=100);
    let display_name = fields.text("display_name", 1..=255);
    let logo_url = fields.optional_text("logo_url", 0..=500);
    let account = fields.optional_text("account_id", 1..=255);
    let enabled = fields.optional_flag("enabled");
    let priority = fields.optional_number("priority", -1_000_000..=1_000_000);
    let given = fields.object("config");
    let body = fields.finish()?;
    let own_schema = body
        .get("config_schema")
        .filter(|schema| !schema.is_null())
        .cloned();
    if let Some(schema) = &own_schema {
        values::check_schema(schema)?;
    }

    let own_schema = own_schema.map(JsonText::of);
    let none: Option<Uuid> = None;
    let arguments: [Argument<'_>; 5] = [&none, &account, &category, &provider, &own_schema];
    let draft = draft(&state, &caller, &arguments).await?;
    let id = Uuid::new_v4();
    let checked = values::check(&draft, id, given, &state.configuration.vault)?;
    let row = json!({
        "id": id, "account_id": draft.account_id, "category": draft.category, "provider_name": draft.provider_name,
        "display_name": display_name, "logo_url": logo_url, "enabled": enabled, "priority": priority,
        "config_schema": body.get("config_schema"), "config": checked.config, "secrets": checked.secrets,
    });
    let row = JsonText::of(row);
    state
        .database
        .json(&caller, Statement::ConfigurationCreate, &[&row])
        .await
}

async fn draft(state: &State, caller: &Caller, arguments: &[Argument<'_>]) -> Result<Draft, Error> {
    let json = state
        .database
        .json(caller, Statement::ConfigurationDraft, arguments)
        .await?;
    serde_json::from_slice(&json.0)
        .map_err(|failure| Error::Defect(format!("configuration_draft: {failure}")))
}

async fn draft_of(state: &State, caller: &Caller, row: Uuid) -> Result<Draft, Error> {
    let none: Option<String> = None;
    let no_schema: Option<JsonText> = None;
    draft(state, caller, &[&row, &none, &none, &none, &no_schema]).await
}

/// `PATCH /admin/configuration/{id}`: switches a row on or off.
pub async fn enable(
    state: State,
    caller: Caller,
    path: Id,
    body: Result<Fields, Error>,
) -> Result<Json, Error> {
    let read = |mut fields: Fields| {
        fields.require("enabled");
        let enabled = fields.optional_flag("enabled");
        fields.finish().map(|_| enabled.unwrap_or_default())
    };
    let input = both(path, body.and_then(read));
    let (Path(id), enabled) = for_superadmins(&state, &caller, input).await?;
    state
        .database
        .json(&caller, Statement::ConfigurationEnable, &[&id, &enabled])
        .await
}

/// `GET /admin/configuration/{id}/values`, secrets masked.
pub async fn view_values(state: State, caller: Caller, path: Id) -> Result<Json, Error> {
    one(&state, &caller, path, Statement::ConfigurationValues).await
}

/// `PATCH /admin/configuration/{id}/values`: what is absent stays, null removes, the placeholder keeps a secret.
pub async fn change_values(
    state: State,
    caller: Caller,
    path: Id,
    body: Result<Fields, Error>,
) -> Result<Json, Error> {
    let input = both(path, body.and_then(Fields::finish));
    let (Path(id), changes) = for_superadmins(&state, &caller, input).await?;
    // Somebody else may change the values between the reading and the writing; then both are done again.
    let mut tries = 0;
    loop {
        let draft = draft_of(&state, &caller, id).await?;
        let checked = values::check(&draft, id, changes.clone(), &state.configuration.vault)?;
        let config = JsonText::of(checked.config);
        let secrets = JsonText::of(checked.secrets);
        let revision = draft.revision.unwrap_or_default();
        let arguments: [Argument<'_>; 4] = [&id, &revision, &config, &secrets];
        let changed = state
            .database
            .json(&caller, Statement::ConfigurationValuesChange, &arguments)
            .await;
        match changed {
            Err(Error::Refused(refusal)) if refusal.sqlstate == "40001" && tries < 3 => tries += 1,
            other => return other,
        }
    }
}

/// `POST /admin/configuration/{id}/set-default`.
pub async fn set_default(state: State, caller: Caller, path: Id) -> Result<Json, Error> {
    one(&state, &caller, path, Statement::ConfigurationDefaultSet).await
}

/// `DELETE /admin/configuration/{id}/set-default`.
pub async fn unset_default(state: State, caller: Caller, path: Id) -> Result<Json, Error> {
    one(&state, &caller, path, Statement::ConfigurationDefaultUnset).await
}

/// `DELETE /admin/configuration/{id}`.
pub async fn remove(state: State, caller: Caller, path: Id) -> Result<Json, Error> {
    one(&state, &caller, path, Statement::ConfigurationDrop).await
}

async fn one(state: &State, caller: &Caller, path: Id, statement: Statement) -> Result<Json, Error> {
    let Path(id) = for_superadmins(state, caller, path).await?;
    state.database.json(caller, statement, &[&id]).await
}

/// `POST /admin/configuration/test-connection`: 200 whatever comes of it. With `config_id` the row's own values count where
/// `config` says nothing or has the placeholder.
pub async fn test_connection(
    state: State,
    caller: Caller,
    body: Result<Fields, Error>,
) -> Result<axum::Json<Value>, Error> {
    state.database.flag(&caller, Statement::Superadmin, &[]).await?;
    let mut fields = body?;
    let row = fields.optional_id("config_id");
    let account = fields.optional_text("account_id", 1..=255);
    let category = fields.text("category", 1..=50);
    let provider = fields.text("provider_name", 1..=100);
    let given = fields.object("config");
    fields.finish()?;

    let outcome = tested(&state, &caller, row, account, category, provider, given);
    let (success, message) = match tokio::time::timeout(TEST_LIMIT, outcome).await {
        Ok(Ok(message)) => (true, message.to_owned()),
        Ok(Err(Refused::Test(message))) => (false, message),
        Ok(Err(Refused::Request(failure))) => return Err(failure),
        Err(_) => (false, "No answer in time".to_owned()),
    };
    Ok(axum::Json(json!({ "success": success, "message": message })))
}

/// Why a test did not succeed.
enum Refused {
    /// What the test found.
    Test(String),
    /// The database could not be asked.
    Request(Error),
}

async fn tested(
    state: &State,
    caller: &Caller,
    row: Option<Uuid>,
    account: Option<String>,
    category: String,
    provider: String,
    given: Map<String, Value>,
) -> Result<&'static str, Refused> {
    let no_schema: Option<JsonText> = None;
    let draft = draft(state, caller, &[&row, &account, &category, &provider, &no_schema]).await;
    let draft = draft.map_err(|failure| match failure {
        Error::Refused(refusal) if refusal.sqlstate == "P0002" => Refused::Test(refusal.message.clone()),
        other => Refused::Request(other),
    })?;
    // A secret sealed for a row that is not there would open nowhere; nothing of this is stored.
    let id = draft.row_id.unwrap_or_else(Uuid::new_v4);
    if draft.schema.is_none() {
        return Err(Refused::Test("This provider is not known".to_owned()));
    }
    let checked = values::check(&draft, id, given, &state.configuration.vault);
    let checked = checked.map_err(|failure| Refused::Test(in_words(&failure)))?;
    if draft.category != mail::CATEGORY {
        return Ok("The values are complete; this provider has no test of its connection");
    }
    let provider = Provider::new(&draft.provider_name, checked.complete);
    match mail::test(&state.outbound, &provider).await {
        Ok(()) => Ok("Connection successful"),
        Err(undelivered) => Err(Refused::Test(undelivered.to_string())),
    }
}

fn in_words(failure: &Error) -> String {
    match failure {
        Error::Misfits(list) => list
            .iter()
            .map(|misfit| {
                format!(
                    "{}: {}",
                    misfit.loc.last().map_or("config", |place| place),
                    misfit.msg
                )
            })
            .collect::<Vec<_>>()
            .join("; "),
        other => other.to_string(),
    }
}
