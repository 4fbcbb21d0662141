//! Invitations into an account. Source: identity contract §4.8 (50–55).

use axum::http::{StatusCode, Uri};
use axum::response::Response;
use uuid::Uuid;

use super::auth::{Opening, read};
use super::for_people_managers;
use super::input::{Fields, Id, Parameters, Path};
use crate::auth::{Caller, Origin};
use crate::db::{self, Json, JsonText, Statement};
use crate::error::Error;
use crate::state::State;

/// The token in the path of a request.
type Token = Result<Path<String>, Error>;

const STATUSES: [&str; 4] = ["pending", "accepted", "expired", "cancelled"];

/// `GET /invitations`: of one's own account; superadmins name another one, or see all.
pub async fn list(state: State, caller: Caller, uri: Uri) -> Result<Json, Error> {
    let mut wanted = Parameters::new(uri.query());
    wanted.word("status_filter", &STATUSES);
    wanted.id("account_id");
    wanted.pages(1000, 1000);
    let wanted = JsonText::of(wanted.finish()?);
    state
        .database
        .json(&caller, Statement::InvitationList, &[&wanted])
        .await
}

/// `POST /invitations`. The answer holds the token, this once.
pub async fn create(
    state: State,
    caller: Caller,
    body: Result<Fields, Error>,
) -> Result<(StatusCode, Json), Error> {
    let wanted = for_people_managers(&state, &caller, body.and_then(invitation)).await?;
    let made = state
        .database
        .json(&caller, Statement::InvitationCreate, &[&wanted])
        .await?;
    Ok((StatusCode::CREATED, made))
}

fn invitation(mut fields: Fields) -> Result<JsonText, Error> {
    let email = fields.email("email");
    fields.optional_whole("role_id", 1..=i32::MAX.into());
    fields.optional_text("role", 1..=50);
    fields.optional_texts("groups");
    fields.optional_text("account_id", 0..=255);
    let mut body = fields.finish()?;
    body.insert("email".to_owned(), email.into());
    Ok(JsonText::of(body))
}

/// `POST /invitations/{id}/resend`: with a new token; the one before is dead.
pub async fn resend(state: State, caller: Caller, path: Id) -> Result<Json, Error> {
    let Path(id) = for_people_managers(&state, &caller, path).await?;
    state
        .database
        .json(&caller, Statement::InvitationResend, &[&id])
        .await
}

/// `DELETE /invitations/{id}`.
pub async fn cancel(state: State, caller: Caller, path: Id) -> Result<StatusCode, Error> {
    let Path(id) = for_people_managers(&state, &caller, path).await?;
    state
        .database
        .flag(&caller, Statement::InvitationCancel, &[&id])
        .await?;
    Ok(StatusCode::NO_CONTENT)
}

/// `GET /invitations/{token}`: what whoever holds the token may know.
pub async fn view(state: State, origin: Origin, path: Token) -> Result<Json, Error> {
    let Path(token) = path?;
    let nobody = origin.nobody();
    state
        .database
        .json(&nobody, Statement::InvitationView, &[&token])
        .await
}

/// `POST /invitations/{token}/accept`: a password makes a user of whoever holds the token, and logs it in.
pub async fn accept(
    state: State,
    origin: Origin,
    path: Token,
    body: Result<Fields, Error>,
) -> Result<Response, Error> {
    let Path(token) = path?;
    let mut fields = body?;
    let password = fields.new_password("password");
    fields.finish()?;
    let faults = state.passwords.faults(&password);
    if !faults.is_empty() {
        return Err(Error::Faults(faults));
    }
    let nobody = origin.nobody();
    // A hash costs too much to make one for a token that is none.
    let found = state
        .database
        .json(&nobody, Statement::InvitationFind, &[&token])
        .await?;
    let account_id = serde_json::from_value(read(&found)?["account_id"].take())
        .map_err(|failure| Error::Defect(format!("auth_invitation_find: {failure}")))?;
    let hash = state.passwords.hash(password).await?;
    let opening = Opening::new(&state, Uuid::new_v4(), account_id)?;
    let arguments: [db::Argument<'_>; 7] = [
        &token,
        &opening.user_id,
        &hash,
        &opening.session_id,
        &opening.refresh.id,
        &opening.refresh.hash,
        &opening.refresh.expires_at,
    ];
    let opened = state
        .database
        .json(&nobody, Statement::InvitationAccept, &arguments)
        .await?;
    opening.answer(&state, &opened)
}
