//! Electronic signatures on writes of records: what the headers say, and the check of the password. Source: audit contract
//! §5.4, 21 CFR 11.200; `docs/part11.md`.
//!
//! Two flights: the hash of the signer, then the write with the signature in its introduction. That the hash is still the
//! signer's, and that the write may be signed by this signer, is judged by the database in the second. A password lives in
//! memory from the header to the hash and is written nowhere.

use std::borrow::Cow;
use std::fmt;

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue};
use serde::Serialize;
use uuid::Uuid;

use super::{Caller, jwt, password};
use crate::db::Statement;
use crate::error::{Error, Misfit};
use crate::state::State;

const USERNAME: &str = "x-es-username";
const PASSWORD: &str = "x-es-password";
const MEANING: &str = "x-es-meaning";
const REASON: &str = "x-es-reason";

/// Bytes of a reason, after decoding; the database has the same limit.
const LONGEST_REASON: usize = 2_000;

/// What the headers of a request present besides its credential.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Presented {
    /// Nothing.
    Nothing,
    /// A reason alone.
    Reason(String),
    /// A signature, not yet checked.
    Signature {
        /// Address of the signer.
        username: String,
        /// Its password.
        password: Secret,
        /// What the signature means.
        meaning: String,
        /// Why.
        reason: String,
    },
}

/// A text that is not printed.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

/// A checked signature, or a reason, as `snackbase.enter` is told: `docs/sql-api.md` §1.
#[derive(Clone, Debug, Serialize)]
pub struct Signature {
    #[serde(skip_serializing_if = "Option::is_none")]
    user_id: Option<Uuid>,
    #[serde(skip_serializing_if = "Option::is_none")]
    checked: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    meaning: Option<String>,
    reason: String,
}

/// What would be signed; goes into the note about a failure.
#[derive(Clone, Copy, Debug)]
pub struct Act<'a> {
    /// Name of the collection.
    pub collection: &'a str,
    /// `create`, `update`, `delete`.
    pub operation: &'static str,
    /// Id of the record, where there is one.
    pub record: Option<&'a str>,
}

/// Who may sign for a caller, as far as the database tells.
pub struct Signer {
    /// The user of that name, if there is one.
    pub user_id: Option<Uuid>,
    /// PHC string; none when the signature will not be accepted.
    pub password_hash: Option<String>,
    /// Why it will not be.
    pub cause: Option<String>,
}

impl FromRequestParts<State> for Presented {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, _: &State) -> Result<Self, Error> {
        Self::of(&parts.headers)
    }
}

impl Presented {
    /// Reads the four headers.
    ///
    /// # Errors
    /// [`Error::Misfits`]: a signature lacks a part, a text is too long or not decodable.
    fn of(headers: &HeaderMap) -> Result<Self, Error> {
        let mut misfits = Vec::new();
        let mut read = |name: &'static str, longest: usize| -> Option<String> {
            let value = headers.get(name)?;
            match decoded(value).filter(|text| text.len() <= longest && !text.contains('\0')) {
                Some(text) => Some(text),
                None => {
                    let msg = format!("Must be a text of at most {longest} bytes");
                    misfits.push(misfit(name, "header_parsing", msg));
                    None
                }
            }
        };
        let username = read(USERNAME, 1024);
        let password = read(PASSWORD, password::LONGEST);
        let meaning = read(MEANING, 50);
        let reason = read(REASON, LONGEST_REASON);
        if !misfits.is_empty() {
            return Err(Error::Misfits(misfits));
        }
        let trimmed = |text: Option<String>| {
            text.map(|text| text.trim().to_owned())
                .filter(|text| !text.is_empty())
        };
        let signs = [USERNAME, PASSWORD, MEANING]
            .iter()
            .any(|name| headers.contains_key(*name));
        let (username, meaning, reason) = (trimmed(username), trimmed(meaning), trimmed(reason));
        if !signs {
            return Ok(reason.map_or(Self::Nothing, Self::Reason));
        }
        match (username, password, meaning, reason) {
            (Some(username), Some(password), Some(meaning), Some(reason)) => Ok(Self::Signature {
                username,
                password: Secret(password),
                meaning,
                reason,
            }),
            (username, password, meaning, reason) => {
                let given = [
                    (USERNAME, username.is_some()),
                    (PASSWORD, password.is_some()),
                    (MEANING, meaning.is_some()),
                    (REASON, reason.is_some()),
                ];
                let missing = given.iter().filter(|(_, given)| !given);
                let misfits = missing
                    .map(|(name, _)| misfit(name, "missing", "A signature needs this header".to_owned()));
                Err(Error::Misfits(misfits.collect()))
            }
        }
    }

    /// The caller with this signature or reason on what it will write; the password is checked here.
    ///
    /// # Errors
    /// [`Error::SignatureRefused`], after the failure was noted; what the database refuses.
    pub async fn sign(self, state: &State, caller: Caller, act: Act<'_>) -> Result<Caller, Error> {
        let (username, password, meaning, reason) = match self {
            Self::Nothing => return Ok(caller),
            Self::Reason(reason) => {
                return Ok(caller.signed(Signature {
                    user_id: None,
                    checked: None,
                    meaning: None,
                    reason,
                }));
            }
            Self::Signature {
                username,
                password,
                meaning,
                reason,
            } => (username, password, meaning, reason),
        };
        if caller.is_anonymous() {
            return Err(Error::Unauthenticated("Not authenticated"));
        }
        let signer = state.database.signer(&caller, act.collection, &username).await?;
        let correct = state
            .passwords
            .verify(password.0, signer.password_hash.clone())
            .await?;
        match (signer.user_id, signer.password_hash) {
            (Some(user_id), Some(hash)) if correct => Ok(caller.signed(Signature {
                user_id: Some(user_id),
                checked: Some(jwt::fingerprint(&hash)),
                meaning: Some(meaning),
                reason,
            })),
            _ => {
                state
                    .database
                    .flag(
                        &caller,
                        Statement::SignatureFailed,
                        &[
                            &username,
                            &signer.user_id,
                            &signer.cause,
                            &act.collection,
                            &act.operation,
                            &act.record,
                            &meaning,
                            &reason,
                        ],
                    )
                    .await?;
                Err(Error::SignatureRefused)
            }
        }
    }
}

fn misfit(name: &'static str, kind: &'static str, msg: String) -> Misfit {
    Misfit {
        kind: kind.into(),
        loc: vec!["header".into(), name.into()],
        msg: msg.into(),
    }
}

/// The text of a header. Headers are bytes: UTF-8 where they are UTF-8, else Latin-1, which is what browsers send. A value that
/// begins with `UTF-8''` is percent-encoded, as in RFC 8187: so any text can be sent by any client.
fn decoded(value: &HeaderValue) -> Option<String> {
    let bytes = value.as_bytes();
    if let Some(encoded) = bytes.strip_prefix(b"UTF-8''") {
        let mut text = Vec::with_capacity(encoded.len());
        let mut rest = encoded.iter();
        while let Some(&byte) = rest.next() {
            if byte != b'%' {
                text.push(byte);
                continue;
            }
            let mut digit = || char::from(*rest.next()?).to_digit(16);
            let (high, low) = (digit()?, digit()?);
            text.push(u8::try_from(high * 16 + low).ok()?);
        }
        return String::from_utf8(text).ok();
    }
    let text = match std::str::from_utf8(bytes) {
        Ok(text) => Cow::Borrowed(text),
        Err(_) => bytes
            .iter()
            .map(|&byte| char::from(byte))
            .collect::<String>()
            .into(),
    };
    Some(text.into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn presented(pairs: &[(&'static str, &[u8])]) -> Result<Presented, Error> {
        let mut headers = HeaderMap::new();
        for (name, value) in pairs {
            let value = HeaderValue::from_bytes(value).unwrap_or_else(|fault| panic!("{name}: {fault}"));
            headers.insert(*name, value);
        }
        Presented::of(&headers)
    }

    #[test]
    fn a_signature_has_four_parts_and_a_reason_may_stand_alone() {
        assert_eq!(presented(&[]).ok(), Some(Presented::Nothing));
        assert_eq!(
            presented(&[("x-es-reason", b"  ")]).ok(),
            Some(Presented::Nothing)
        );
        assert_eq!(
            presented(&[("x-es-reason", b" typo ")]).ok(),
            Some(Presented::Reason("typo".into()))
        );
        let whole: [(&str, &[u8]); 4] = [
            ("x-es-username", b"a@example.com"),
            ("x-es-password", b" pass "),
            ("x-es-meaning", b"approval"),
            ("x-es-reason", b"typo"),
        ];
        let Ok(Presented::Signature { password, .. }) = presented(&whole) else {
            panic!("a signature")
        };
        assert_eq!(password.0, " pass ", "a password is not trimmed");
        for left_out in 0..4 {
            let mut parts = whole.to_vec();
            let (name, _) = parts.remove(left_out);
            let Err(Error::Misfits(misfits)) = presented(&parts) else {
                panic!("{name} may not be missing")
            };
            let places: Vec<_> = misfits.iter().map(|misfit| misfit.loc.join(".")).collect();
            assert_eq!(places, [format!("header.{name}")]);
        }
        assert!(presented(&[("x-es-reason", &[b'x'; 2001])]).is_err());
    }

    #[test]
    fn headers_carry_every_text() {
        for (sent, text) in [
            (&b"plain"[..], Some("plain")),
            ("für".as_bytes(), Some("für")),
            (b"f\xfcr", Some("für")),
            (b"UTF-8''f%C3%BCr%20%E4%B8%AD", Some("für 中")),
            (b"UTF-8''%", None),
            (b"UTF-8''%zz", None),
            (b"UTF-8''%ff", None),
        ] {
            let value = HeaderValue::from_bytes(sent).unwrap_or_else(|fault| panic!("{fault}"));
            assert_eq!(decoded(&value).as_deref(), text);
        }
    }

    #[test]
    fn a_password_is_not_printed() {
        let presented = presented(&[
            ("x-es-username", b"a"),
            ("x-es-password", b"hidden"),
            ("x-es-meaning", b"review"),
            ("x-es-reason", b"r"),
        ]);
        assert!(!format!("{presented:?}").contains("hidden"));
    }
}
