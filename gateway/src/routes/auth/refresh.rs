//! `POST /auth/refresh`: a refresh token, once, for the next pair.

use axum::response::Response;
use serde_json::json;

use super::{read, text, with_tokens};
use crate::auth::{Origin, jwt};
use crate::db::Statement;
use crate::error::Error;
use crate::routes::input::Fields;
use crate::state::State;

/// Source: identity contract §3.3 and §4.1 #3. The database spends the token; role and address come from there.
pub async fn refresh(state: State, origin: Origin, mut fields: Fields) -> Result<Response, Error> {
    let token = fields.text("refresh_token", 1..=4096);
    fields.finish()?;
    let old = state.keys.refresh(&token).map_err(jwt::Invalid::into_error)?;
    let new = state.keys.issue_refresh(old.user_id, old.account_id, old.sid)?;
    let hash = jwt::fingerprint(&token);
    let spent = state
        .database
        .json_or_null(
            &origin.nobody(),
            Statement::Refresh,
            &[&old.jti, &hash, &new.id, &new.hash, &new.expires_at],
        )
        .await?;
    // Unknown, expired and spent look alike.
    let spent = spent.ok_or(Error::Unauthenticated("Invalid or expired refresh token"))?;
    let spent = read(&spent)?;
    let (email, role) = (text(&spent, "/email")?, text(&spent, "/role")?);
    let access = state
        .keys
        .issue_access(old.user_id, old.account_id, old.sid, email, role)?;
    Ok(with_tokens(json!({
        "token": access,
        "refresh_token": new.token,
        "token_type": "bearer",
        "expires_in": state.keys.access_seconds(),
    })))
}
