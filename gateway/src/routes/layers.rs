//! What surrounds every route, from outside in: request id, log and security headers; CORS; rate limit; body limit; time limit.
//! The audit trail has compression innermost.
//!
//! A failure is logged here, once, with the request id. Tokens, passwords, bodies and addresses of people are not logged,
//! and of a path only the route it matched.

use std::net::IpAddr;
use std::sync::atomic::Ordering;
use std::time::Instant;

use axum::Router;
use axum::extract::{DefaultBodyLimit, MatchedPath, Request};
use axum::http::{HeaderName, HeaderValue, Method, StatusCode, header};
use axum::middleware::{Next, from_fn_with_state, map_request};
use axum::response::{IntoResponse, Response};
use tower_http::compression::CompressionLayer;
use tower_http::cors::{AllowHeaders, AllowMethods, AllowOrigin, CorsLayer};
use uuid::Uuid;

use crate::auth::{Identified, Peer, RequestId, Who};
use crate::config::{Allowed, Cors};
use crate::error::{Cause, Error};
use crate::limits::rate::Subject;
use crate::state::State;

const CORRELATION: HeaderName = HeaderName::from_static("x-correlation-id");

/// Puts the layers around the routes.
pub fn around(router: Router<State>, state: &State) -> Router<State> {
    router
        .layer(from_fn_with_state(state.clone(), time_limit))
        .layer(DefaultBodyLimit::max(state.config.body_limit_bytes))
        .layer(from_fn_with_state(state.clone(), rate_limit))
        .layer(cors(&state.config.cors))
        .layer(from_fn_with_state(state.clone(), outermost))
}

/// Puts compression around the routes of the audit trail: gzip, for clients that ask for it. A proof and an export are kept and
/// sent on, and a third to a tenth of them is left. A stream stays one: what is compressed is sent when the next piece is awaited.
///
/// Around nothing else. Other answers are small or awaited by somebody, and some of them hold a token beside what the request said:
/// the length of such an answer, compressed, tells who listens how much the two have in common. Here are no secrets of that
/// kind, and no credential that a browser would send by itself.
pub fn compressed(router: Router<State>) -> Router<State> {
    router
        .route_layer(CompressionLayer::new())
        .route_layer(map_request(plain_is_acceptable))
}

/// A client that refuses every form we have gets the plain one, as it does of the other routes: the layer would put 406 over the
/// status of a finished answer. Source: RFC 9110 §12.4.1.
async fn plain_is_acceptable(mut request: Request) -> Request {
    if let header::Entry::Occupied(mut accepted) = request.headers_mut().entry(header::ACCEPT_ENCODING) {
        // Before all others, because the first mention of a form counts.
        let others = accepted.insert_mult(HeaderValue::from_static("identity;q=0.001"));
        let others: Vec<HeaderValue> = others.collect();
        others.into_iter().for_each(|value| accepted.append(value));
    }
    request
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

/// Takes the request out of its caller's bucket, before anything that costs: no database, no hash, no body so far. Inside of
/// CORS, so that a browser may read the refusal. Source: identity contract §5.3.
async fn rate_limit(state: State, mut request: Request, next: Next) -> Response {
    let path = request.uri().path();
    let Some(limiter) = state
        .limiter
        .as_ref()
        .filter(|_| request.method() != Method::OPTIONS && is_metered(path, &state.config.api_prefix))
    else {
        return next.run(request).await;
    };
    let identified = Identified::of(request.headers(), &state);
    let subject = match identified.who() {
        // Whoever runs the installation is not kept out of it, but may guess no more passwords than others.
        Some(Who::User { account_id, .. })
            if account_id.is_nil() && !is_below(path, &state.config.api_prefix, "/auth/") =>
        {
            None
        }
        Some(Who::User { user_id, .. }) => Some(Subject::User(*user_id)),
        Some(Who::ApiKey { key, .. }) if limiter.knows(key) => Some(Subject::key(key)),
        // A credential that nobody has vouched for is as good as none.
        _ => {
            let peer = request.extensions().get::<Peer>().map(|peer| peer.0.ip());
            let peer = peer.unwrap_or(IpAddr::from([0, 0, 0, 0]));
            let client = state
                .config
                .trusted_proxies
                .client_address(peer, request.headers());
            Some(Subject::network(client))
        }
    };
    let verdict = subject.map(|subject| limiter.judge(&subject, path));
    if let Some(verdict) = &verdict
        && let Some(seconds) = verdict.retry_after
    {
        let mut response = Error::TooManyRequests(seconds).into_response();
        verdict.write(response.headers_mut());
        return response;
    }
    let key = match identified.who() {
        Some(Who::ApiKey { key, accepted }) => Some((key.clone(), accepted.clone())),
        _ => None,
    };
    request.extensions_mut().insert(identified);
    let mut response = next.run(request).await;
    if let Some((key, accepted)) = key {
        let accepted = accepted.load(Ordering::Relaxed);
        if accepted || response.status() == StatusCode::UNAUTHORIZED {
            limiter.remember(&key, accepted);
        }
    }
    if let Some(verdict) = verdict {
        verdict.write(response.headers_mut());
    }
    response
}

/// Probes and the root are not metered.
fn is_metered(path: &str, prefix: &str) -> bool {
    is_below(path, prefix, "/")
        && !matches!(path, "/health" | "/ready" | "/live")
        && path.len() > prefix.len() + 1
}

/// Whether a path lies under a route's beginning.
fn is_below(path: &str, prefix: &str, beginning: &str) -> bool {
    path.strip_prefix(prefix)
        .is_some_and(|rest| rest.starts_with(beginning))
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
