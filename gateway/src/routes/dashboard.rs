//! The superadmin's overview. Source: identity contract §4.12 (81).

use axum::http::Uri;

use super::for_superadmins;
use super::input::Query;
use crate::auth::Caller;
use crate::db::{Json, Statement};
use crate::error::Error;
use crate::state::State;

/// `GET /dashboard/stats`.
pub async fn stats(state: State, caller: Caller, uri: Uri) -> Result<Json, Error> {
    let mut query = Query::new(uri.query());
    let range = query.word("range", &["7d", "30d", "90d"]);
    for_superadmins(&state, &caller, query.finish()).await?;
    let days: i32 = match range {
        Some("30d") => 30,
        Some("90d") => 90,
        _ => 7,
    };
    state
        .database
        .json(&caller, Statement::DashboardStats, &[&days])
        .await
}
