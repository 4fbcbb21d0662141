//! The tokens we issue: HS256 and nothing else, one key per purpose.
//!
//! The keys are derived with HKDF from the secret key, so that a refresh token can never pass for an access token even if
//! a check of the claims were forgotten. `kid` names the secret a token was made with; the secret before the last change
//! stays good for checking, never for signing. Claims: identity contract §3.2, RFC 7519.

use std::time::{Duration, SystemTime};

use aws_lc_rs::error::Unspecified;
use aws_lc_rs::hkdf::{HKDF_SHA256, KeyType, Salt};
use aws_lc_rs::{digest, rand};
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::config::Config;
use crate::error::Error;

const ISSUER: &str = "snackbase";

/// What a token is for.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// Opens the API for an hour or so.
    Access,
    /// Buys the next pair of tokens, once.
    Refresh,
}

/// Claims of an access token. All are required.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct AccessClaims {
    /// `snackbase`.
    pub iss: String,
    /// The user, as RFC 7519 wants it.
    pub sub: Uuid,
    /// The user.
    pub user_id: Uuid,
    /// The account of the user.
    pub account_id: Uuid,
    /// For clients that look inside; never trusted here.
    pub email: String,
    /// Role name, for clients that look inside; never trusted here.
    pub role: String,
    /// Always [`Kind::Access`].
    #[serde(rename = "type")]
    pub kind: Kind,
    /// Issued at, in seconds since 1970.
    pub iat: u64,
    /// Valid before, in seconds since 1970.
    pub exp: u64,
    /// Identifier of the token.
    pub jti: Uuid,
    /// The session.
    pub sid: Uuid,
}

/// Claims of a refresh token. All are required.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct RefreshClaims {
    /// `snackbase`.
    pub iss: String,
    /// The user, as RFC 7519 wants it.
    pub sub: Uuid,
    /// The user.
    pub user_id: Uuid,
    /// The account of the user.
    pub account_id: Uuid,
    /// Always [`Kind::Refresh`].
    #[serde(rename = "type")]
    pub kind: Kind,
    /// Issued at, in seconds since 1970.
    pub iat: u64,
    /// Valid before, in seconds since 1970.
    pub exp: u64,
    /// Identifier of the token and of its row in the database.
    pub jti: Uuid,
    /// The session.
    pub sid: Uuid,
}

/// The part of any of our tokens that names the session.
#[derive(Deserialize)]
struct SessionClaims {
    #[serde(rename = "type")]
    kind: Kind,
    sid: Uuid,
}

/// Why a token is refused. The texts avoid the words by which clients classify a 401 (`error`).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Invalid {
    /// It was good once.
    Expired,
    /// Anything else.
    Forged,
}

impl Invalid {
    /// The failure of a request that presents such a token.
    #[must_use]
    pub fn into_error(self) -> Error {
        Error::Unauthenticated(match self {
            Self::Expired => "Token has expired",
            Self::Forged => "Could not validate credentials",
        })
    }
}

/// A new refresh token.
pub struct RefreshToken {
    /// The text for the client.
    pub token: String,
    /// SHA-256 of the text in hexadecimal: what the database keeps.
    pub hash: String,
    /// Identifier of its row.
    pub id: Uuid,
    /// When it ends.
    pub expires_at: SystemTime,
}

/// Keys of one purpose.
struct Pair {
    sign: EncodingKey,
    check: DecodingKey,
}

/// Keys of one secret.
struct KeySet {
    kid: String,
    access: Pair,
    refresh: Pair,
}

/// All keys, and how long tokens live.
pub struct Keys {
    current: KeySet,
    previous: Option<KeySet>,
    access_lifetime: Duration,
    refresh_lifetime: Duration,
    validation: Validation,
    /// As `validation`, for a token that may have expired.
    lenient: Validation,
}

impl Keys {
    /// Derives the keys from the settings; without a secret key a random one is taken.
    ///
    /// # Errors
    /// A sentence when the system has no random numbers or the derivation fails.
    pub fn new(config: &Config) -> Result<Self, String> {
        let failed = |_| "The token keys cannot be derived.".to_owned();
        let current = match &config.secret_key {
            Some(secret) => KeySet::derive(secret.as_bytes()).map_err(failed)?,
            None => {
                let mut secret = [0u8; 32];
                rand::fill(&mut secret).map_err(|_| "The system gives no random numbers.".to_owned())?;
                KeySet::derive(&secret).map_err(failed)?
            }
        };
        let previous = config
            .previous_secret_key
            .as_ref()
            .map(|secret| KeySet::derive(secret.as_bytes()));
        let mut validation = Validation::new(Algorithm::HS256);
        validation.set_issuer(&[ISSUER]);
        validation.set_required_spec_claims(&["exp", "iss", "sub"]);
        validation.leeway = 0;
        let mut lenient = validation.clone();
        lenient.validate_exp = false;
        Ok(Self {
            current,
            previous: previous.transpose().map_err(failed)?,
            access_lifetime: config.access_token_lifetime,
            refresh_lifetime: config.refresh_token_lifetime,
            validation,
            lenient,
        })
    }

    /// Lifetime of an access token in seconds.
    #[must_use]
    pub fn access_seconds(&self) -> u64 {
        self.access_lifetime.as_secs()
    }

    /// A new access token.
    ///
    /// # Errors
    /// [`Error::Defect`] when the claims cannot be written as JSON, which does not happen.
    pub fn issue_access(
        &self,
        user_id: Uuid,
        account_id: Uuid,
        session_id: Uuid,
        email: &str,
        role: &str,
    ) -> Result<String, Error> {
        let iat = now();
        let claims = AccessClaims {
            iss: ISSUER.to_owned(),
            sub: user_id,
            user_id,
            account_id,
            email: email.to_owned(),
            role: role.to_owned(),
            kind: Kind::Access,
            iat,
            exp: iat + self.access_lifetime.as_secs(),
            jti: Uuid::new_v4(),
            sid: session_id,
        };
        self.sign(&claims, &self.current.access)
    }

    /// A new refresh token.
    ///
    /// # Errors
    /// [`Error::Defect`] when the claims cannot be written as JSON, which does not happen.
    pub fn issue_refresh(
        &self,
        user_id: Uuid,
        account_id: Uuid,
        session_id: Uuid,
    ) -> Result<RefreshToken, Error> {
        let iat = now();
        let exp = iat + self.refresh_lifetime.as_secs();
        let claims = RefreshClaims {
            iss: ISSUER.to_owned(),
            sub: user_id,
            user_id,
            account_id,
            kind: Kind::Refresh,
            iat,
            exp,
            jti: Uuid::new_v4(),
            sid: session_id,
        };
        let token = self.sign(&claims, &self.current.refresh)?;
        let expires_at = SystemTime::UNIX_EPOCH + Duration::from_secs(exp);
        Ok(RefreshToken {
            hash: fingerprint(&token),
            token,
            id: claims.jti,
            expires_at,
        })
    }

    /// Checks an access token.
    ///
    /// # Errors
    /// [`Invalid`].
    pub fn access(&self, token: &str) -> Result<AccessClaims, Invalid> {
        let keys = self.keys_of(token)?;
        let claims: AccessClaims = decode(token, &keys.access, &self.validation)?;
        let consistent = claims.kind == Kind::Access && claims.sub == claims.user_id;
        consistent.then_some(claims).ok_or(Invalid::Forged)
    }

    /// Checks a refresh token. Whether it was spent is known to the database only.
    ///
    /// # Errors
    /// [`Invalid`].
    pub fn refresh(&self, token: &str) -> Result<RefreshClaims, Invalid> {
        let keys = self.keys_of(token)?;
        let claims: RefreshClaims = decode(token, &keys.refresh, &self.validation)?;
        let consistent = claims.kind == Kind::Refresh && claims.sub == claims.user_id;
        consistent.then_some(claims).ok_or(Invalid::Forged)
    }

    /// The session of a token of the given kind, expired or not: enough to end the session, for nothing else.
    ///
    /// # Errors
    /// [`Invalid::Forged`].
    pub fn session(&self, token: &str, kind: Kind) -> Result<Uuid, Invalid> {
        let keys = self.keys_of(token)?;
        let pair = match kind {
            Kind::Access => &keys.access,
            Kind::Refresh => &keys.refresh,
        };
        let claims: SessionClaims = decode(token, pair, &self.lenient)?;
        (claims.kind == kind).then_some(claims.sid).ok_or(Invalid::Forged)
    }

    fn sign<T: Serialize>(&self, claims: &T, pair: &Pair) -> Result<String, Error> {
        let mut header = Header::new(Algorithm::HS256);
        header.kid = Some(self.current.kid.clone());
        jsonwebtoken::encode(&header, claims, &pair.sign)
            .map_err(|failure| Error::Defect(format!("cannot sign a token: {failure}")))
    }

    fn keys_of(&self, token: &str) -> Result<&KeySet, Invalid> {
        let header = jsonwebtoken::decode_header(token).map_err(|_| Invalid::Forged)?;
        let kid = header.kid.ok_or(Invalid::Forged)?;
        std::iter::once(&self.current)
            .chain(self.previous.as_ref())
            .find(|keys| keys.kid == kid)
            .ok_or(Invalid::Forged)
    }
}

fn decode<T: DeserializeOwned>(token: &str, pair: &Pair, validation: &Validation) -> Result<T, Invalid> {
    use jsonwebtoken::errors::ErrorKind;
    match jsonwebtoken::decode::<T>(token, &pair.check, validation) {
        Ok(token) => Ok(token.claims),
        Err(failure) if matches!(failure.kind(), ErrorKind::ExpiredSignature) => Err(Invalid::Expired),
        Err(_) => Err(Invalid::Forged),
    }
}

impl KeySet {
    fn derive(secret: &[u8]) -> Result<Self, Unspecified> {
        let root = Salt::new(HKDF_SHA256, b"snackbase gateway").extract(secret);
        let derive = |purpose: &str| -> Result<[u8; 32], Unspecified> {
            let mut key = [0u8; 32];
            root.expand(&[purpose.as_bytes()], Length(key.len()))?
                .fill(&mut key)?;
            Ok(key)
        };
        let pair = |purpose: &str| -> Result<Pair, Unspecified> {
            let key = derive(purpose)?;
            Ok(Pair {
                sign: EncodingKey::from_secret(&key),
                check: DecodingKey::from_secret(&key),
            })
        };
        Ok(Self {
            kid: hex(&derive("key id 1")?[..6]),
            access: pair("access token 1")?,
            refresh: pair("refresh token 1")?,
        })
    }
}

/// Length of an HKDF output in bytes.
struct Length(usize);

impl KeyType for Length {
    fn len(&self) -> usize {
        self.0
    }
}

/// SHA-256 in hexadecimal.
#[must_use]
pub fn fingerprint(token: &str) -> String {
    hex(digest::digest(&digest::SHA256, token.as_bytes()).as_ref())
}

fn hex(bytes: &[u8]) -> String {
    bytes
        .iter()
        .fold(String::with_capacity(2 * bytes.len()), |mut text, byte| {
            for digit in [byte >> 4, byte & 15] {
                text.push(char::from_digit(u32::from(digit), 16).unwrap_or('0'));
            }
            text
        })
}

fn now() -> u64 {
    SystemTime::now()
        .duration_since(SystemTime::UNIX_EPOCH)
        .map_or(0, |since| since.as_secs())
}

#[cfg(test)]
mod tests;
