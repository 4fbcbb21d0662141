//! `POST /auth/logout`: ends the session.

use axum::Json;
use axum::http::HeaderMap;
use serde_json::{Value, json};

use crate::auth::jwt::Kind;
use crate::auth::{Credential, Origin};
use crate::db::Statement;
use crate::error::Error;
use crate::routes::input::Fields;
use crate::state::State;

/// Source: identity contract §4.1 #4. The session is the one of the access token, which may have expired, or of the posted
/// refresh token; with `all`, every session of its user ends. Ending it twice is fine.
pub async fn logout(
    state: State,
    origin: Origin,
    headers: HeaderMap,
    fields: Option<Fields>,
) -> Result<Json<Value>, Error> {
    let mut fields = fields.unwrap_or_else(Fields::none);
    let posted = fields.optional_text("refresh_token", 1..=4096);
    let all = fields.optional_flag("all");
    fields.finish()?;
    let carried = match Credential::of(&headers, &state.config.api_keys.header) {
        Credential::Bearer(token) => Some((token.to_owned(), Kind::Access)),
        Credential::Key(_) | Credential::Other | Credential::Absent => None,
    };
    let tokens = carried
        .into_iter()
        .chain(posted.map(|token| (token, Kind::Refresh)));
    let mut sessions: Vec<_> = tokens
        .filter_map(|(token, kind)| state.keys.session(&token, kind).ok())
        .collect();
    sessions.dedup();
    if sessions.is_empty() {
        return Err(Error::Unauthenticated("Not authenticated"));
    }
    let everywhere = all.unwrap_or_default();
    let nobody = origin.nobody();
    for session in sessions {
        state
            .database
            .flag(&nobody, Statement::Logout, &[&session, &everywhere])
            .await?;
    }
    Ok(Json(json!({ "success": true, "message": "Logged out" })))
}
