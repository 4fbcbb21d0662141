//! Tokens: what is accepted, and every way to be refused.

use super::*;
use serde_json::{Value, json};

const SECRET: (&str, &str) = ("SNACKBASE_SECRET_KEY", "one secret of thirty-two letters");

fn keys(pairs: &[(&str, &str)]) -> Keys {
    let config = Config::read(&|name| {
        pairs
            .iter()
            .find(|(key, _)| *key == name)
            .map(|(_, value)| (*value).to_owned())
    });
    Keys::new(&config.unwrap_or_else(|mistakes| panic!("{mistakes:?}"))).unwrap()
}

fn token(keys: &Keys) -> String {
    keys.issue_access(
        Uuid::from_u128(1),
        Uuid::from_u128(2),
        Uuid::from_u128(3),
        "a@example.com",
        "user",
    )
    .unwrap()
}

/// A token with our access key and claims as `change` leaves them.
fn changed(keys: &Keys, change: impl Fn(&mut Header, &mut Value)) -> String {
    let mut claims = json!({
        "iss": "snackbase", "sub": Uuid::from_u128(1), "user_id": Uuid::from_u128(1),
        "account_id": Uuid::from_u128(2), "email": "a@example.com", "role": "user", "type": "access",
        "iat": now(), "exp": now() + 60, "jti": Uuid::from_u128(4), "sid": Uuid::from_u128(3),
    });
    let mut header = Header::new(Algorithm::HS256);
    header.kid = Some(keys.current.kid.clone());
    change(&mut header, &mut claims);
    jsonwebtoken::encode(&header, &claims, &keys.current.access.sign).unwrap()
}

/// `token` with another header in front, signature unchanged.
fn with_header(token: &str, header: &Value) -> String {
    let header = base64url(header.to_string().as_bytes());
    let (_, rest) = token.split_once('.').unwrap();
    format!("{header}.{rest}")
}

fn base64url(bytes: &[u8]) -> String {
    const ALPHABET: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let mut text = String::new();
    for chunk in bytes.chunks(3) {
        let word =
            chunk.iter().fold(0u32, |word, byte| word << 8 | u32::from(*byte)) << (8 * (3 - chunk.len()));
        for place in 0..=chunk.len() {
            text.push(char::from(ALPHABET[(word >> (18 - 6 * place)) as usize & 63]));
        }
    }
    text
}

#[test]
fn a_token_comes_back_as_it_was_issued() {
    let keys = keys(&[SECRET]);
    let claims = keys.access(&token(&keys)).unwrap();
    assert_eq!(
        (claims.user_id, claims.sub),
        (Uuid::from_u128(1), Uuid::from_u128(1))
    );
    assert_eq!(
        (claims.account_id, claims.sid),
        (Uuid::from_u128(2), Uuid::from_u128(3))
    );
    assert_eq!((claims.iss.as_str(), claims.kind), ("snackbase", Kind::Access));
    assert_eq!(claims.exp - claims.iat, 3600);
    let refresh = keys
        .issue_refresh(Uuid::from_u128(1), Uuid::from_u128(2), Uuid::from_u128(3))
        .unwrap();
    let claims = keys.refresh(&refresh.token).unwrap();
    assert_eq!((claims.jti, claims.sid), (refresh.id, Uuid::from_u128(3)));
    assert_eq!(claims.exp - claims.iat, 7 * 86_400);
    assert_eq!(refresh.hash, fingerprint(&refresh.token));
}

#[test]
fn the_unchanged_helper_makes_a_valid_token() {
    let keys = keys(&[SECRET]);
    assert!(keys.access(&changed(&keys, |_, _| ())).is_ok());
}

#[test]
fn a_token_is_good_for_its_purpose_only() {
    let keys = keys(&[SECRET]);
    let refresh = keys
        .issue_refresh(Uuid::from_u128(1), Uuid::from_u128(2), Uuid::from_u128(3))
        .unwrap();
    assert_eq!(keys.access(&refresh.token).unwrap_err(), Invalid::Forged);
    assert_eq!(keys.refresh(&token(&keys)).unwrap_err(), Invalid::Forged);
    let wrong_type = changed(&keys, |_, claims| claims["type"] = json!("refresh"));
    assert_eq!(keys.access(&wrong_type).unwrap_err(), Invalid::Forged);
}

#[test]
fn every_claim_is_required() {
    let keys = keys(&[SECRET]);
    for claim in [
        "iss",
        "sub",
        "user_id",
        "account_id",
        "email",
        "role",
        "type",
        "iat",
        "exp",
        "jti",
        "sid",
    ] {
        let token = changed(&keys, |_, claims| {
            claims.as_object_mut().unwrap().remove(claim);
        });
        assert_eq!(keys.access(&token).unwrap_err(), Invalid::Forged, "{claim}");
    }
}

#[test]
fn issuer_subject_and_expiry_are_checked() {
    let keys = keys(&[SECRET]);
    let refused = |change: fn(&mut Header, &mut Value)| keys.access(&changed(&keys, change)).unwrap_err();
    assert_eq!(
        refused(|_, claims| claims["iss"] = json!("somebody")),
        Invalid::Forged
    );
    assert_eq!(
        refused(|_, claims| claims["sub"] = json!(Uuid::from_u128(9))),
        Invalid::Forged
    );
    assert_eq!(
        refused(|_, claims| claims["exp"] = json!(now() - 1)),
        Invalid::Expired
    );
    assert_eq!(
        refused(|_, claims| claims["exp"] = json!("never")),
        Invalid::Forged
    );
}

#[test]
fn the_algorithm_is_pinned() {
    let keys = keys(&[SECRET]);
    let good = token(&keys);
    let kid = &keys.current.kid;
    for algorithm in ["none", "None", "HS384", "HS512", "RS256", "ES256", "EdDSA", ""] {
        let forged = with_header(&good, &json!({ "alg": algorithm, "typ": "JWT", "kid": kid }));
        assert_eq!(keys.access(&forged).unwrap_err(), Invalid::Forged, "{algorithm}");
        let (unsigned, _) = forged.rsplit_once('.').unwrap();
        for stripped in [format!("{unsigned}."), unsigned.to_owned()] {
            assert_eq!(
                keys.access(&stripped).unwrap_err(),
                Invalid::Forged,
                "{algorithm}"
            );
        }
    }
    // Signed with the right key, but by another algorithm of the same family.
    let mut header = Header::new(Algorithm::HS512);
    header.kid = Some(kid.clone());
    let claims = keys.access(&good).unwrap();
    let hs512 = jsonwebtoken::encode(&header, &claims, &keys.current.access.sign).unwrap();
    assert_eq!(keys.access(&hs512).unwrap_err(), Invalid::Forged);
}

#[test]
fn the_key_id_must_be_known() {
    let keys = keys(&[SECRET]);
    let none = changed(&keys, |header, _| header.kid = None);
    let other = changed(&keys, |header, _| header.kid = Some("0123456789ab".into()));
    assert_eq!(keys.access(&none).unwrap_err(), Invalid::Forged);
    assert_eq!(keys.access(&other).unwrap_err(), Invalid::Forged);
}

#[test]
fn a_changed_secret_ends_tokens_unless_it_is_named_as_previous() {
    let old = keys(&[SECRET]);
    let new = ("SNACKBASE_SECRET_KEY", "another secret of thirty-two let");
    let issued = token(&old);
    assert_eq!(keys(&[new]).access(&issued).unwrap_err(), Invalid::Forged);
    let rotated = keys(&[new, ("SNACKBASE_SECRET_KEY_PREVIOUS", SECRET.1)]);
    assert!(rotated.access(&issued).is_ok());
    assert_eq!(old.access(&token(&rotated)).unwrap_err(), Invalid::Forged);
    // Without a secret every process has its own.
    assert_eq!(keys(&[]).access(&token(&keys(&[]))).unwrap_err(), Invalid::Forged);
}

#[test]
fn an_expired_token_still_names_its_session_and_a_forged_one_does_not() {
    let keys = keys(&[SECRET]);
    let expired = changed(&keys, |_, claims| claims["exp"] = json!(1));
    assert_eq!(keys.session(&expired, Kind::Access), Ok(Uuid::from_u128(3)));
    assert_eq!(keys.session(&expired, Kind::Refresh), Err(Invalid::Forged));
    let tampered = format!("{}x", &expired[..expired.len() - 1]);
    assert_eq!(keys.session(&tampered, Kind::Access), Err(Invalid::Forged));
}

#[test]
fn nonsense_is_refused() {
    let keys = keys(&[SECRET]);
    for nonsense in ["", ".", "..", "a.b.c", "sb_ak.x.y", "eyJ", "\u{0}", "ä.ö.ü"] {
        assert_eq!(keys.access(nonsense).unwrap_err(), Invalid::Forged, "{nonsense}");
    }
}

#[test]
fn no_text_announces_an_unconfirmed_address() {
    for invalid in [Invalid::Expired, Invalid::Forged] {
        let text = invalid.into_error().to_string();
        assert!(!text.contains("email") && !text.contains("verify"), "{text}");
    }
}
