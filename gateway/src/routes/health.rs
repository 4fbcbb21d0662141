//! Health and root. Public, without limits. Source: identity contract §4.13.

use axum::Json;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};

use crate::state::State;

const SERVICE: &str = "SnackBase";
const VERSION: &str = env!("CARGO_PKG_VERSION");

/// The process runs. Asks no database.
pub async fn health(state: State) -> Json<Value> {
    // The audit trail is part of the database and cannot be switched off.
    Json(json!({
        "status": "healthy", "service": SERVICE, "version": VERSION, "audit_logging_enabled": true,
        "encryption_key_configured": state.config.encryption_key.is_some(),
    }))
}

/// The database answers.
pub async fn ready(state: State) -> Response {
    match state.database.ping().await {
        Ok(()) => Json(json!({
            "status": "ready", "service": SERVICE, "version": VERSION, "database": "connected",
            "audit_logging_enabled": true,
        }))
        .into_response(),
        Err(failure) => {
            tracing::warn!(cause = %failure, "not ready");
            let body = json!({ "status": "not_ready", "service": SERVICE, "database": "disconnected" });
            (StatusCode::SERVICE_UNAVAILABLE, Json(body)).into_response()
        }
    }
}

/// The process runs.
pub async fn live() -> Json<Value> {
    Json(json!({ "status": "alive", "service": SERVICE, "version": VERSION }))
}

/// What answers here.
pub async fn root() -> Json<Value> {
    Json(json!({ "name": SERVICE, "version": VERSION, "api_version": "v1" }))
}
