//! Templates and the log of mail, for superadmins. Source: identity contract §4.11 (74–80).

use axum::http::{StatusCode, Uri};
use serde_json::{Map, Value, json};
use uuid::Uuid;

use super::for_superadmins;
use super::input::{Fields, Id, Parameters, Path, both};
use crate::auth::Caller;
use crate::db::{Argument, Json, JsonText, Statement};
use crate::error::{Error, Misfit};
use crate::mail::template::{self, Fault, Template};
use crate::mail::{self, Letter};
use crate::state::State;

/// The parts of a template, under the names that requests have for them.
const PARTS: [&str; 3] = ["subject", "html_body", "text_body"];
/// Characters of a part in a request; the database counts bytes.
const LONGEST: usize = 65_536;

/// `GET /admin/email/templates`.
pub async fn list(state: State, caller: Caller, uri: Uri) -> Result<Json, Error> {
    let mut wanted = Parameters::new(uri.query());
    wanted.given(&["template_type", "locale", "account_id"]);
    wanted.flag("enabled");
    let wanted = for_superadmins(&state, &caller, wanted.finish().map(JsonText::of)).await?;
    state
        .database
        .json(&caller, Statement::TemplateList, &[&wanted])
        .await
}

/// `GET /admin/email/templates/{id}`.
pub async fn view(state: State, caller: Caller, path: Id) -> Result<Json, Error> {
    let Path(id) = for_superadmins(&state, &caller, path).await?;
    state
        .database
        .json(&caller, Statement::TemplateView, &[&id])
        .await
}

/// The parts and the switch that a request gives, checked to parse.
fn parts(fields: &mut Fields, required: bool) -> Map<String, Value> {
    let mut parts = Map::new();
    for name in PARTS {
        if required {
            fields.require(name);
        }
        let longest = if name == "subject" { 255 } else { LONGEST };
        if let Some(source) = fields.optional_text(name, 1..=longest) {
            if let Err(fault) = template::check(name, &source) {
                fields.note("template_syntax", name, fault.message);
            }
            parts.insert(name.to_owned(), source.into());
        }
    }
    if let Some(enabled) = fields.optional_flag("enabled") {
        parts.insert("enabled".to_owned(), enabled.into());
    }
    parts
}

/// `PUT /admin/email/templates/{id}`: what is absent stays.
pub async fn change(
    state: State,
    caller: Caller,
    path: Id,
    body: Result<Fields, Error>,
) -> Result<Json, Error> {
    let read = |mut fields: Fields| {
        let parts = parts(&mut fields, false);
        fields.finish().map(|_| parts)
    };
    let input = both(path, body.and_then(read));
    let (Path(id), parts) = for_superadmins(&state, &caller, input).await?;
    let parts = JsonText::of(parts);
    state
        .database
        .json(&caller, Statement::TemplateChange, &[&id, &parts])
        .await
}

/// `POST /admin/email/templates`.
pub async fn create(
    state: State,
    caller: Caller,
    body: Result<Fields, Error>,
) -> Result<(StatusCode, Json), Error> {
    let read = |mut fields: Fields| {
        let mut row = parts(&mut fields, true);
        row.insert(
            "template_type".to_owned(),
            fields.text("template_type", 1..=50).into(),
        );
        for (name, longest) in [("account_id", 255), ("locale", 10)] {
            if let Some(text) = fields.optional_text(name, 1..=longest) {
                row.insert(name.to_owned(), text.into());
            }
        }
        fields.finish().map(|_| row)
    };
    let row = for_superadmins(&state, &caller, body.and_then(read)).await?;
    let row = JsonText::of(row);
    let created = state
        .database
        .json(&caller, Statement::TemplateCreate, &[&row])
        .await?;
    Ok((StatusCode::CREATED, created))
}

/// `DELETE /admin/email/templates/{id}`; not for built-in ones.
pub async fn remove(state: State, caller: Caller, path: Id) -> Result<StatusCode, Error> {
    let Path(id) = for_superadmins(&state, &caller, path).await?;
    state
        .database
        .flag(&caller, Statement::TemplateDrop, &[&id])
        .await?;
    Ok(StatusCode::NO_CONTENT)
}

/// A fault of a template as a request that does not fit.
fn misfit(fault: Fault) -> Error {
    Error::Misfits(vec![Misfit {
        kind: "template_fault".into(),
        loc: vec!["body".into(), fault.part.into()],
        msg: fault.message.into(),
    }])
}

/// A template and the account it is for, as the database has it.
struct Stored {
    account_id: Uuid,
    template_type: String,
    locale: String,
    template: Template,
}

fn stored(json: &Json) -> Result<Stored, Error> {
    #[derive(serde::Deserialize)]
    struct Row {
        account_id: Uuid,
        template_type: String,
        locale: String,
        #[serde(flatten)]
        template: Template,
    }
    let row: Row = serde_json::from_slice(&json.0)
        .map_err(|failure| Error::Defect(format!("an email template: {failure}")))?;
    Ok(Stored {
        account_id: row.account_id,
        template_type: row.template_type,
        locale: row.locale,
        template: row.template,
    })
}

/// `POST /admin/email/templates/render`: the texts, with parts of the request in place of the stored ones.
pub async fn render(
    state: State,
    caller: Caller,
    body: Result<Fields, Error>,
) -> Result<axum::Json<Value>, Error> {
    let read = |mut fields: Fields| {
        let template_type = fields.text("template_type", 1..=50);
        let locale = fields.optional_text("locale", 1..=10);
        let account = fields.optional_text("account_id", 1..=255);
        let variables = fields.scalars("variables", true);
        let parts = parts(&mut fields, false);
        fields
            .finish()
            .map(|_| (template_type, locale, account, variables, parts))
    };
    let (template_type, locale, account, variables, mut parts) =
        for_superadmins(&state, &caller, body.and_then(read)).await?;
    let arguments: [Argument<'_>; 3] = [&account, &template_type, &locale];
    let found = state
        .database
        .json(&caller, Statement::TemplateFind, &arguments)
        .await?;
    let mut found = stored(&found)?;
    let template = &mut found.template;
    for (name, part) in [
        ("subject", &mut template.subject),
        ("html_body", &mut template.html_body),
        ("text_body", &mut template.text_body),
    ] {
        if let Some(Value::String(given)) = parts.remove(name) {
            *part = given;
        }
    }
    let variables = mail::variables(&state.configuration, found.account_id, variables).await?;
    let texts = template::render(&found.template, &variables).map_err(misfit)?;
    Ok(axum::Json(json!({
        "subject": texts.subject, "html_body": texts.html, "text_body": texts.text,
    })))
}

/// `POST /admin/email/templates/{id}/test`: sends the mail at once. A failure is 400 with the reason, because clients repeat
/// a 5xx.
pub async fn test(
    state: State,
    caller: Caller,
    path: Id,
    body: Result<Fields, Error>,
) -> Result<axum::Json<Value>, Error> {
    let read = |mut fields: Fields| {
        let recipient = fields.email("recipient_email");
        let variables = fields.scalars("variables", false);
        let provider = fields.optional_text("provider", 1..=100);
        fields.finish().map(|_| (recipient, variables, provider))
    };
    let input = both(path, body.and_then(read));
    let (Path(id), (recipient, given, provider)) = for_superadmins(&state, &caller, input).await?;
    let found = state
        .database
        .json(&caller, Statement::TemplateView, &[&id])
        .await?;
    let found = stored(&found)?;
    let variables = mail::variables(&state.configuration, found.account_id, given.clone()).await?;
    let texts = template::render(&found.template, &variables).map_err(misfit)?;
    let wanted = provider.as_deref().filter(|name| *name != "auto");
    let provider = mail::provider(&state.configuration, found.account_id, wanted).await?;
    let (used, outcome) = match provider {
        Ok(provider) => {
            let letter = Letter {
                message_id: format!("test.{}@snackbase.invalid", Uuid::new_v4().simple()),
                recipient: recipient.clone(),
                texts,
            };
            let outcome = mail::deliver(&state.outbound, &provider, &letter).await;
            (Some(provider.name), outcome)
        }
        Err(undelivered) => (None, Err(undelivered)),
    };
    let reason = outcome.as_ref().err().map(ToString::to_string);
    let account = found.account_id.to_string();
    let given = JsonText::of(given);
    let arguments: [Argument<'_>; 6] = [&account, &found.template_type, &recipient, &given, &used, &reason];
    state
        .database
        .flag(&caller, Statement::MailLogAdd, &arguments)
        .await?;
    match reason {
        Some(reason) => Err(Error::Undelivered(reason)),
        None => Ok(axum::Json(json!({
            "status": "sent", "message": "The mail was sent", "template_type": found.template_type, "locale": found.locale,
        }))),
    }
}

/// `GET /admin/email/logs`.
pub async fn logs(state: State, caller: Caller, uri: Uri) -> Result<Json, Error> {
    let mut wanted = Parameters::new(uri.query());
    wanted.word("status_filter", &["sent", "failed", "pending"]);
    wanted.given(&["template_type", "start_date", "end_date"]);
    wanted.number("page", 1..=i64::MAX / 100);
    wanted.number("page_size", 1..=100);
    let wanted = for_superadmins(&state, &caller, wanted.finish().map(JsonText::of)).await?;
    state
        .database
        .json(&caller, Statement::MailLogList, &[&wanted])
        .await
}

/// `GET /admin/email/logs/{id}`.
pub async fn log(state: State, caller: Caller, path: Id<i64>) -> Result<Json, Error> {
    let Path(id) = for_superadmins(&state, &caller, path).await?;
    state.database.json(&caller, Statement::MailLogView, &[&id]).await
}
