//! Who is asking. No state of its own, and no database: the token's signature, kind and expiry are checked here, whether
//! its user still exists and its session still stands is decided by `snackbase.enter` in the same statement as the work.

pub mod api_key;
pub mod jwt;
pub mod password;
pub mod signature;

use std::convert::Infallible;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderName, HeaderValue, header};
use serde::Serialize;
use uuid::Uuid;

use self::api_key::ApiKey;
use self::signature::Signature;
use crate::error::Error;
use crate::state::State;

/// Address of the connected peer; `serve` puts it into every request.
#[derive(Clone, Copy, Debug)]
pub struct Peer(pub SocketAddr);

/// Identifier of a request, in `X-Correlation-ID`, the log and the audit trail. The outermost layer sets it.
#[derive(Clone, Debug)]
pub struct RequestId(pub HeaderValue);

/// Where a request comes from. It goes into the audit trail and decides nothing.
#[derive(Clone, Debug)]
pub struct Origin {
    request_id: Option<HeaderValue>,
    address: Option<IpAddr>,
    user_agent: Option<HeaderValue>,
    /// The host the client asked for, in lower case and without port.
    pub host: Option<String>,
}

impl Origin {
    fn of(parts: &Parts, state: &State) -> Self {
        let peer = parts.extensions.get::<Peer>().map(|peer| peer.0.ip());
        let proxies = &state.config.trusted_proxies;
        Self {
            request_id: parts.extensions.get::<RequestId>().map(|id| id.0.clone()),
            address: peer.map(|peer| proxies.client_address(peer, &parts.headers)),
            user_agent: parts.headers.get(header::USER_AGENT).cloned(),
            host: None,
        }
    }

    /// This origin with nobody behind it: for the flows before a login.
    #[must_use]
    pub fn nobody(self) -> Caller {
        Caller {
            who: Who::Anonymous { account: None },
            origin: self,
            signature: None,
        }
    }
}

impl FromRequestParts<State> for Origin {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, state: &State) -> Result<Self, Infallible> {
        let mut origin = Self::of(parts, state);
        if let Some(Peer(peer)) = parts.extensions.get::<Peer>() {
            origin.host = state.config.trusted_proxies.host(peer.ip(), &parts.headers);
        }
        Ok(origin)
    }
}

/// Who is asking, as far as the credential tells.
#[derive(Clone, Debug)]
pub enum Who {
    /// The bearer of a valid access token.
    User {
        /// The user.
        user_id: Uuid,
        /// The account that the token was issued for.
        account_id: Uuid,
        /// The session; the database refuses a revoked one.
        session_id: Uuid,
    },
    /// The bearer of what may be an API key. Only the database knows, and `accepted` says that it has said so.
    ApiKey {
        /// What was presented.
        key: ApiKey,
        /// Shared with the limiter, which believes nothing else.
        accepted: Arc<AtomicBool>,
    },
    /// Nobody, in the account that the header `X-Account-ID` names.
    Anonymous {
        /// Slug or code.
        account: Option<HeaderValue>,
    },
    /// The gateway itself. No request is: what makes a caller of a request's parts knows the others only.
    System,
}

/// Who is asking and from where: what `snackbase.enter` is told.
///
/// As an extractor it demands a credential and answers 401 without one. A handler without a `Caller` is public.
#[derive(Clone, Debug)]
pub struct Caller {
    who: Who,
    origin: Origin,
    /// What the caller signs in this request; boxed, because few do.
    signature: Option<Box<Signature>>,
}

/// A [`Caller`] that may be anonymous; for records only. A credential that is presented but not valid is still 401.
#[derive(Clone, Debug)]
pub struct CallerOrAnonymous(pub Caller);

/// A [`Caller`] whose credential counts when it is good and is ignored when it is not: client libraries send a stale one along
/// to the flows before a login.
#[derive(Clone, Debug)]
pub struct CallerIfAny(pub Option<Caller>);

/// The first parameter of every statement. Shape: `docs/sql-api.md` §1.
#[derive(Debug, Serialize)]
pub struct Introduction<'a> {
    kind: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    user_id: Option<Uuid>,
    #[serde(skip_serializing_if = "Option::is_none")]
    account_id: Option<Uuid>,
    #[serde(skip_serializing_if = "Option::is_none")]
    session_id: Option<Uuid>,
    #[serde(skip_serializing_if = "Option::is_none")]
    key_id: Option<Uuid>,
    #[serde(skip_serializing_if = "Option::is_none")]
    key_hash: Option<&'a str>,
    /// Whether the statement may run as long as its client reads.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub(crate) streams: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    account: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    request_id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    ip_address: Option<IpAddr>,
    #[serde(skip_serializing_if = "Option::is_none")]
    user_agent: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    signature: Option<&'a Signature>,
}

impl Introduction<'_> {
    /// Leaves out where the request came from, which only the trail keeps.
    pub(crate) fn without_origin(&mut self) {
        self.request_id = None;
        self.ip_address = None;
        self.user_agent = None;
    }
}

impl Caller {
    /// The gateway itself, for what it does at start and from the command line.
    #[must_use]
    pub fn gateway() -> Self {
        let origin = Origin {
            request_id: None,
            address: None,
            user_agent: Some(HeaderValue::from_static("snackbase-gateway")),
            host: None,
        };
        Self {
            who: Who::System,
            origin,
            signature: None,
        }
    }

    /// The caller as the database is told.
    #[must_use]
    pub fn introduction(&self) -> Introduction<'_> {
        let mut introduction = Introduction {
            kind: "anonymous",
            user_id: None,
            account_id: None,
            session_id: None,
            key_id: None,
            key_hash: None,
            streams: false,
            account: None,
            request_id: text(self.origin.request_id.as_ref()),
            ip_address: self.origin.address,
            user_agent: text(self.origin.user_agent.as_ref()),
            signature: self.signature.as_deref(),
        };
        match &self.who {
            Who::User {
                user_id,
                account_id,
                session_id,
            } => {
                introduction.kind = "user";
                introduction.user_id = Some(*user_id);
                introduction.account_id = Some(*account_id);
                introduction.session_id = Some(*session_id);
            }
            Who::ApiKey { key, .. } => {
                introduction.kind = "api_key";
                introduction.key_id = key.id;
                introduction.key_hash = Some(&key.hash);
            }
            Who::Anonymous { account } => introduction.account = text(account.as_ref()),
            Who::System => introduction.kind = "system",
        }
        introduction
    }

    /// The same caller, who signs what it writes.
    #[must_use]
    fn signed(self, signature: Signature) -> Self {
        Self {
            signature: Some(Box::new(signature)),
            ..self
        }
    }

    /// Whether nobody is behind it.
    #[must_use]
    pub fn is_anonymous(&self) -> bool {
        matches!(self.who, Who::Anonymous { .. })
    }

    /// Whether an API key is behind it.
    #[must_use]
    pub fn has_api_key(&self) -> bool {
        matches!(self.who, Who::ApiKey { .. })
    }

    /// Notes that the database has let the caller in.
    pub fn accepted(&self) {
        if let Who::ApiKey { accepted, .. } = &self.who {
            accepted.store(true, Ordering::Relaxed);
        }
    }
}

/// What a request presents, looked at once: the limiter asks first, the extractors afterwards.
#[derive(Clone, Debug)]
pub struct Identified(Result<Option<Who>, jwt::Invalid>);

impl Identified {
    /// Reads the credential, if there is one. Signature, kind and expiry of a token are checked; a key only for its shape.
    #[must_use]
    pub fn of(headers: &HeaderMap, state: &State) -> Self {
        let key = |text| {
            let accepted = Arc::default();
            let key = ApiKey::read(text).ok_or(jwt::Invalid::Forged)?;
            Ok(Some(Who::ApiKey { key, accepted }))
        };
        Self(match Credential::of(headers, &state.config.api_keys.header) {
            Credential::Bearer(token) if token.starts_with("sb_") => key(token),
            Credential::Bearer(token) => state.keys.access(token).map(|claims| {
                Some(Who::User {
                    user_id: claims.user_id,
                    account_id: claims.account_id,
                    session_id: claims.sid,
                })
            }),
            Credential::Key(text) => key(text),
            Credential::Other => Err(jwt::Invalid::Forged),
            Credential::Absent => Ok(None),
        })
    }

    /// The bearer of a credential that may be valid.
    #[must_use]
    pub fn who(&self) -> Option<&Who> {
        self.0.as_ref().ok()?.as_ref()
    }

    /// The bearer of a valid credential, nobody without one.
    fn find(parts: &mut Parts, state: &State) -> Result<Option<Who>, Error> {
        let known = parts.extensions.remove::<Self>();
        let known = known.unwrap_or_else(|| Self::of(&parts.headers, state));
        known.0.map_err(jwt::Invalid::into_error)
    }
}

/// The text of a header; a header that is no text is as good as absent.
fn text(value: Option<&HeaderValue>) -> Option<&str> {
    value.and_then(|value| value.to_str().ok())
}

/// What the request presents.
pub enum Credential<'a> {
    /// A token in `Authorization: Bearer`, or an API key there.
    Bearer(&'a str),
    /// What the header for API keys holds.
    Key(&'a str),
    /// Another scheme, or something unreadable: nothing that is accepted.
    Other,
    /// Nothing.
    Absent,
}

impl<'a> Credential<'a> {
    /// `Authorization: Bearer` counts first, good or bad; the header for API keys only without it.
    /// Source: identity contract §3.1.
    #[must_use]
    pub fn of(headers: &'a HeaderMap, key_header: &HeaderName) -> Self {
        let authorization = headers.get(header::AUTHORIZATION);
        if let Some(token) = authorization.and_then(bearer) {
            return Self::Bearer(token);
        }
        match (headers.get(key_header), authorization) {
            (Some(key), _) => key.to_str().map_or(Self::Other, |key| Self::Key(key.trim())),
            (None, Some(_)) => Self::Other,
            (None, None) => Self::Absent,
        }
    }
}

/// The token of `Bearer <token>`; empty when the header is unreadable behind the scheme.
fn bearer(value: &HeaderValue) -> Option<&str> {
    let scheme = value.as_bytes().get(..6)?;
    let rest = &value.as_bytes()[6..];
    let named = scheme.eq_ignore_ascii_case(b"bearer") && rest.first().is_none_or(|byte| *byte == b' ');
    named.then(|| std::str::from_utf8(rest).map_or("", str::trim))
}

impl FromRequestParts<State> for Caller {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, state: &State) -> Result<Self, Error> {
        let who = Identified::find(parts, state)?.ok_or(Error::Unauthenticated("Not authenticated"))?;
        Ok(Self {
            who,
            origin: Origin::of(parts, state),
            signature: None,
        })
    }
}

impl FromRequestParts<State> for CallerOrAnonymous {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, state: &State) -> Result<Self, Error> {
        let who = Identified::find(parts, state)?;
        let who = who.unwrap_or_else(|| Who::Anonymous {
            account: parts.headers.get("x-account-id").cloned(),
        });
        Ok(Self(Caller {
            who,
            origin: Origin::of(parts, state),
            signature: None,
        }))
    }
}

impl FromRequestParts<State> for CallerIfAny {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, state: &State) -> Result<Self, Infallible> {
        Ok(Self(Caller::from_request_parts(parts, state).await.ok()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bearer_counts_before_an_api_key_and_is_not_rescued_by_it() {
        let presented = |pairs: &[(&'static str, &'static [u8])]| {
            let mut headers = HeaderMap::new();
            for (name, value) in pairs {
                let value = HeaderValue::from_bytes(value).unwrap_or_else(|fault| panic!("{name}: {fault}"));
                headers.insert(*name, value);
            }
            match Credential::of(&headers, &HeaderName::from_static("x-api-key")) {
                Credential::Bearer(token) => format!("bearer {token}"),
                Credential::Key(key) => format!("key {key}"),
                Credential::Other => "other".to_owned(),
                Credential::Absent => "absent".to_owned(),
            }
        };
        assert_eq!(presented(&[]), "absent");
        assert_eq!(presented(&[("authorization", b"Bearer abc")]), "bearer abc");
        assert_eq!(
            presented(&[("authorization", b"bearer  abc "), ("x-api-key", b"k")]),
            "bearer abc"
        );
        assert_eq!(
            presented(&[("authorization", b"Bearer"), ("x-api-key", b"k")]),
            "bearer "
        );
        assert_eq!(
            presented(&[("authorization", b"Bearer \xff"), ("x-api-key", b"k")]),
            "bearer "
        );
        assert_eq!(presented(&[("authorization", b"Bearers abc")]), "other");
        assert_eq!(presented(&[("authorization", b"Basic abc")]), "other");
        assert_eq!(
            presented(&[("authorization", b"Basic abc"), ("x-api-key", b"k")]),
            "key k"
        );
        assert_eq!(presented(&[("x-api-key", b" k ")]), "key k");
        assert_eq!(presented(&[("x-api-key", b"\xff")]), "other");
    }

    #[test]
    fn the_introduction_has_the_keys_of_the_contract() {
        let origin = Origin {
            request_id: Some(HeaderValue::from_static("cid_1")),
            address: Some(IpAddr::from([192, 0, 2, 1])),
            user_agent: Some(HeaderValue::from_static("curl/8")),
            host: None,
        };
        let account = Some(HeaderValue::from_static("acme"));
        let anonymous = Caller {
            who: Who::Anonymous { account },
            origin: origin.clone(),
            signature: None,
        };
        let json = |caller: &Caller| serde_json::to_value(caller.introduction()).unwrap_or_default();
        assert_eq!(
            json(&anonymous),
            serde_json::json!({ "kind": "anonymous", "account": "acme", "request_id": "cid_1",
                "ip_address": "192.0.2.1", "user_agent": "curl/8" })
        );
        let user = Who::User {
            user_id: Uuid::nil(),
            account_id: Uuid::nil(),
            session_id: Uuid::nil(),
        };
        let user = json(&Caller {
            who: user,
            origin,
            signature: None,
        });
        let mut reading = anonymous.introduction();
        reading.without_origin();
        assert_eq!(
            serde_json::to_value(reading).unwrap_or_default(),
            serde_json::json!({ "kind": "anonymous", "account": "acme" })
        );
        assert_eq!(user["kind"], "user");
        assert_eq!(user["session_id"], "00000000-0000-0000-0000-000000000000");
        assert!(user.get("account").is_none() && user.get("streams").is_none());
        assert_eq!(
            json(&Caller::gateway()),
            serde_json::json!({ "kind": "system", "user_agent": "snackbase-gateway" })
        );
    }
}
