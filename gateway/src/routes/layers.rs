//! What surrounds every route, from outside in: request id, log and security headers; CORS; body limit; time limit.
//!
//! A failure is logged here, once, with the request id. Tokens, passwords, bodies and addresses of people are not logged,
//! and of a path only the route it matched.

use std::time::Instant;

use axum::Router;
use axum::extract::{DefaultBodyLimit, MatchedPath, Request};
use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use tower_http::cors::{AllowHeaders, AllowMethods, AllowOrigin, CorsLayer};
use uuid::Uuid;

use crate::auth::{Peer, RequestId};
use crate::config::{Allowed, Cors};
use crate::error::{Cause, Error};
use crate::state::State;

const CORRELATION: HeaderName = HeaderName::from_static("x-correlation-id");

/// Puts the layers around the routes.
pub fn around(router: Router<State>, state: &State) -> Router<State> {
    router
        .layer(from_fn_with_state(state.clone(), time_limit))
        .layer(DefaultBodyLimit::max(state.config.body_limit_bytes))
        .layer(cors(&state.config.cors))
        .layer(from_fn_with_state(state.clone(), outermost))
}

async fn outermost(state: State, mut request: Request, next: Next) -> Response {
    let id = request_id(&request);
    request.extensions_mut().insert(RequestId(id.clone()));
    let method = request.method().clone();
    let route = request.extensions().get::<MatchedPath>().cloned();
    let started = Instant::now();

    let mut response = match to_https(&state, &request) {
        Some(redirect) => redirect,
        None => next.run(request).await,
    };

    let headers = response.headers_mut();
    for (name, value) in &state.config.security_headers {
        headers.insert(name, value.clone());
    }
    headers.insert(CORRELATION, id.clone());
    // Answers hold tokens, keys and records: no cache keeps one that does not say it may.
    if !headers.contains_key(header::CACHE_CONTROL) {
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    }
    let cause = response.extensions_mut().remove::<Cause>();
    if state.config.access_log || cause.is_some() {
        let request_id = id.to_str().unwrap_or_default();
        let route = route.as_ref().map_or("none", MatchedPath::as_str);
        let status = response.status().as_u16();
        let duration_us = u64::try_from(started.elapsed().as_micros()).unwrap_or(u64::MAX);
        if let Some(Cause(cause)) = cause {
            tracing::error!(request_id, %method, route, status, duration_us, cause, "request failed");
        } else {
            tracing::info!(request_id, %method, route, status, duration_us, "request");
        }
    }
    response
}

/// The redirect of a request that a trusted proxy got by plain http, when the settings want it. Probes of health stay.
/// Source: identity contract §5.10.
fn to_https(state: &State, request: &Request) -> Option<Response> {
    if !state.config.https_redirect || matches!(request.uri().path(), "/health" | "/ready" | "/live") {
        return None;
    }
    let Peer(peer) = request.extensions().get::<Peer>()?;
    let proxies = &state.config.trusted_proxies;
    if !proxies.came_by_http(peer.ip(), request.headers()) {
        return None;
    }
    let host = proxies.host(peer.ip(), request.headers())?;
    let path = request.uri().path_and_query().map_or("/", |path| path.as_str());
    let place = HeaderValue::try_from(format!("https://{host}{path}")).ok()?;
    Some((StatusCode::PERMANENT_REDIRECT, [(header::LOCATION, place)]).into_response())
}

/// The client's `X-Correlation-ID` if it is plain and short, else `cid_` and twelve hexadecimal digits.
/// Source: identity contract §1.
fn request_id(request: &Request) -> HeaderValue {
    let plain = |byte: &u8| byte.is_ascii_alphanumeric() || b"-_.:".contains(byte);
    let given = request.headers().get(CORRELATION);
    if let Some(id) = given.filter(|id| (1..=64).contains(&id.len()) && id.as_bytes().iter().all(plain)) {
        return id.clone();
    }
    let mut digits = [0u8; uuid::fmt::Simple::LENGTH];
    let digits: &str = Uuid::new_v4().simple().encode_lower(&mut digits);
    let mut id = String::with_capacity(16);
    id.push_str("cid_");
    id.push_str(&digits[..12]);
    HeaderValue::try_from(id).unwrap_or(HeaderValue::from_static("cid_"))
}

async fn time_limit(state: State, request: Request, next: Next) -> Response {
    match tokio::time::timeout(state.config.request_timeout, next.run(request)).await {
        Ok(response) => response,
        Err(_) => Error::TimedOut.into_response(),
    }
}

/// Source: identity contract §1.4.
fn cors(cors: &Cors) -> CorsLayer {
    let exposed = [
        "retry-after",
        "x-ratelimit-limit",
        "x-ratelimit-burst",
        "x-ratelimit-remaining",
        "x-ratelimit-reset",
        "x-correlation-id",
        "x-total-count",
        "content-disposition",
    ];
    CorsLayer::new()
        .allow_origin(match &cors.origins {
            Allowed::Any => AllowOrigin::any(),
            Allowed::List(origins) => AllowOrigin::list(origins.iter().cloned()),
        })
        .allow_credentials(cors.credentials)
        .allow_methods(match &cors.methods {
            Allowed::Any => AllowMethods::mirror_request(),
            Allowed::List(methods) => AllowMethods::list(methods.iter().cloned()),
        })
        .allow_headers(match &cors.headers {
            Allowed::Any => AllowHeaders::mirror_request(),
            Allowed::List(headers) => AllowHeaders::list(headers.iter().cloned()),
        })
        .expose_headers(exposed.map(HeaderName::from_static))
}
