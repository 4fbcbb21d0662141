//! Users, for superadmins and for administrators of their own account. Source: identity contract §4.5 (24–31).

use axum::http::{StatusCode, Uri};
use uuid::Uuid;

use super::for_people_managers;
use super::input::{Fields, Id, Parameters, Path, both};
use crate::auth::{Caller, password};
use crate::db::{Json, JsonText, Statement};
use crate::error::Error;
use crate::state::State;

const PROVIDERS: [&str; 4] = ["password", "oauth", "saml", "platform"];

/// What users can be sorted by.
const SORTED_BY: [&str; 14] = [
    "id",
    "email",
    "account_id",
    "account_code",
    "account_name",
    "role_id",
    "role",
    "role_name",
    "is_active",
    "email_verified",
    "auth_provider",
    "created_at",
    "updated_at",
    "last_login",
];

/// `GET /users`, with `skip`, `limit` and `sort`, or with `page`, `page_size`, `sort_by` and `sort_order`.
pub async fn list(state: State, caller: Caller, uri: Uri) -> Result<Json, Error> {
    let wanted = for_people_managers(&state, &caller, wanted(uri.query())).await?;
    state
        .database
        .json(&caller, Statement::UserList, &[&wanted])
        .await
}

fn wanted(query: Option<&str>) -> Result<JsonText, Error> {
    let mut wanted = Parameters::new(query);
    wanted.id("account_id");
    wanted.number("role_id", 1..=i32::MAX.into());
    wanted.flag("is_active");
    wanted.text("search");
    wanted.pages(30, 100);
    wanted.sort("created_at", &SORTED_BY);
    wanted.finish().map(JsonText::of)
}

/// `POST /users`. The password is replaced by its hash; everything else is forwarded. Whether the caller may do this is
/// asked first: a hash costs too much to make it for anybody.
pub async fn create(
    state: State,
    caller: Caller,
    body: Result<Fields, Error>,
) -> Result<(StatusCode, Json), Error> {
    state
        .database
        .flag(&caller, Statement::PeopleManager, &[])
        .await?;
    let mut fields = body?;
    let email = fields.email("email");
    fields.optional_text("account_id", 36..=36);
    role(&mut fields);
    let provider = provider(&mut fields);
    let password = fields.optional_text("password", 1..=password::LONGEST);
    let mut body = fields.finish()?;

    let hash = match password {
        Some(password) => hashed(&state, password).await?,
        None if provider.as_deref().unwrap_or("password") == "password" => {
            return Err(Error::BadRequest(
                "Password is required for the provider 'password'",
            ));
        }
        // Users of other providers get a password that nobody knows.
        None => {
            let nobody_knows = format!("{}{}", Uuid::new_v4(), Uuid::new_v4());
            state.passwords.hash(nobody_knows).await?
        }
    };
    body.remove("password");
    body.insert("email".to_owned(), email.into());
    body.insert("password_hash".to_owned(), hash.into());
    let body = JsonText::of(body);
    let user = state
        .database
        .json(&caller, Statement::UserCreate, &[&body])
        .await?;
    Ok((StatusCode::CREATED, user))
}

/// The hash of a password that somebody chose, if the policy allows it.
async fn hashed(state: &State, password: String) -> Result<String, Error> {
    let faults = state.passwords.faults(&password);
    if !faults.is_empty() {
        return Err(Error::NestedFaults(faults));
    }
    state.passwords.hash(password).await
}

/// Checks `role_id`, a number or one in a text, and `role`, a name. Whether there is such a role is the database's to say.
fn role(fields: &mut Fields) {
    fields.optional_whole("role_id", 1..=i32::MAX.into());
    fields.optional_text("role", 1..=50);
}

/// Checks what describes where a user comes from; answers the provider.
fn provider(fields: &mut Fields) -> Option<String> {
    let provider = fields.optional_text("auth_provider", 1..=50);
    if provider
        .as_deref()
        .is_some_and(|provider| !PROVIDERS.contains(&provider))
    {
        let msg = format!("Input should be one of {}", PROVIDERS.join(", "));
        fields.note("enum", "auth_provider", msg);
    }
    fields.optional_flag("is_active");
    fields.optional_text("auth_provider_name", 1..=100);
    fields.optional_text("external_id", 1..=500);
    fields.optional_text("external_email", 1..=254);
    fields.optional_object("profile_data");
    provider
}

/// `GET /users/{id}`.
pub async fn view(state: State, caller: Caller, path: Id) -> Result<Json, Error> {
    one(&state, &caller, path, Statement::UserView).await
}

/// `PATCH /users/{id}`: what is absent stays.
pub async fn change(
    state: State,
    caller: Caller,
    path: Id,
    body: Result<Fields, Error>,
) -> Result<Json, Error> {
    let read = |mut fields: Fields| {
        let email = fields.has("email").then(|| fields.email("email"));
        role(&mut fields);
        provider(&mut fields);
        let mut changes = fields.finish()?;
        if let Some(email) = email {
            changes.insert("email".to_owned(), email.into());
        }
        Ok(JsonText::of(changes))
    };
    let input = both(path, body.and_then(read));
    let (Path(id), changes) = for_people_managers(&state, &caller, input).await?;
    state
        .database
        .json(&caller, Statement::UserChange, &[&id, &changes])
        .await
}

/// `DELETE /users/{id}`: deactivates.
pub async fn remove(state: State, caller: Caller, path: Id) -> Result<StatusCode, Error> {
    let Path(id) = for_people_managers(&state, &caller, path).await?;
    state.database.flag(&caller, Statement::UserDrop, &[&id]).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// `PUT /users/{id}/password`: a new password, a link to one, or both. As in [`create`], a hash is made for those only who may
/// set it.
pub async fn set_password(
    state: State,
    caller: Caller,
    path: Id,
    body: Result<Fields, Error>,
) -> Result<Json, Error> {
    let read = |mut fields: Fields| {
        let password = fields.optional_text("new_password", 1..=password::LONGEST);
        let link = fields.optional_flag("send_reset_link");
        if password.is_none() && link != Some(true) && !fields.has("new_password") {
            fields.note(
                "missing",
                "new_password",
                "new_password or send_reset_link is required",
            );
        }
        fields.finish().map(|_| (password, link))
    };
    let input = both(path, body.and_then(read));
    let (Path(id), (password, link)) = for_people_managers(&state, &caller, input).await?;
    let hash = match password {
        Some(password) => {
            // Somebody else's user is not found, whatever the password is.
            state.database.json(&caller, Statement::UserView, &[&id]).await?;
            Some(hashed(&state, password).await?)
        }
        None => None,
    };
    state
        .database
        .json(&caller, Statement::UserPasswordChange, &[&id, &hash, &link])
        .await
}

/// `POST /users/{id}/resend-verification`.
pub async fn resend_verification(state: State, caller: Caller, path: Id) -> Result<Json, Error> {
    one(&state, &caller, path, Statement::UserVerificationSend).await
}

/// `POST /users/{id}/verify`.
pub async fn verify(state: State, caller: Caller, path: Id) -> Result<Json, Error> {
    one(&state, &caller, path, Statement::UserVerify).await
}

async fn one(state: &State, caller: &Caller, path: Id, statement: Statement) -> Result<Json, Error> {
    let Path(id) = for_people_managers(state, caller, path).await?;
    state.database.json(caller, statement, &[&id]).await
}
