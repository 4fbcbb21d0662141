//! Tokens that somebody made up, against the running gateway: always 401, never 5xx, and nothing is believed.
//!
//! The test knows the secret key, derives the signing keys as `gateway/src/auth/jwt.rs` says, and so can spoil one thing at a time:
//! what is unspoilt is accepted, or the refusals would prove nothing.

use std::time::{SystemTime, UNIX_EPOCH};

use aws_lc_rs::{digest, hkdf, hmac};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64URL;
use serde_json::{Value, json};
use snackbase_e2e::World;

use crate::http::api_keys::key_of;

const SECRET: &str = "a secret of this test, of more than 32 characters";

struct Length;

impl hkdf::KeyType for Length {
    fn len(&self) -> usize {
        32
    }
}

fn derive(secret: &str, purpose: &str) -> [u8; 32] {
    let root = hkdf::Salt::new(hkdf::HKDF_SHA256, b"snackbase gateway").extract(secret.as_bytes());
    let mut key = [0; 32];
    root.expand(&[purpose.as_bytes()], Length)
        .and_then(|expanded| expanded.fill(&mut key))
        .expect("32 bytes");
    key
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Header and claims, signed with HMAC.
fn signed(algorithm: hmac::Algorithm, key: &[u8], header: &Value, claims: &Value) -> String {
    let text = |part: &Value| BASE64URL.encode(part.to_string());
    let signed = format!("{}.{}", text(header), text(claims));
    let tag = hmac::sign(&hmac::Key::new(algorithm, key), signed.as_bytes());
    format!("{signed}.{}", BASE64URL.encode(tag))
}

/// A good token, in parts.
struct Good {
    key: [u8; 32],
    header: Value,
    claims: Value,
}

impl Good {
    async fn of(world: &World) -> Self {
        let superuser = world.database.superuser().await;
        let (user, account) = (world.user_id("bob"), world.account_id("bob"));
        let session = superuser
            .value(&format!(
                "select id::text from snackbase.sessions where user_id = '{user}'"
            ))
            .await;
        let now = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .expect("after 1970")
            .as_secs();
        let kid = hex(&derive(SECRET, "key id 1")[..6]);
        Self {
            key: derive(SECRET, "access token 1"),
            header: json!({"typ": "JWT", "alg": "HS256", "kid": kid}),
            claims: json!({"iss": "snackbase", "sub": user, "user_id": user, "account_id": account, "email": "bob@example.com", "role": "user",
                "type": "access", "iat": now, "exp": now + 600, "jti": session, "sid": session}),
        }
    }

    fn sign(&self, header: &Value, claims: &Value) -> String {
        signed(hmac::HMAC_SHA256, &self.key, header, claims)
    }

    fn token(&self) -> String {
        self.sign(&self.header, &self.claims)
    }

    /// With other claims; null takes one away.
    fn claiming(&self, changes: Value) -> String {
        self.sign(&self.header, &merged(&self.claims, changes))
    }

    fn headed(&self, changes: Value) -> String {
        self.sign(&merged(&self.header, changes), &self.claims)
    }
}

fn merged(object: &Value, changes: Value) -> Value {
    let mut object = object.clone();
    let members = object.as_object_mut().expect("an object");
    for (name, value) in changes.as_object().expect("an object") {
        match value {
            Value::Null => members.remove(name),
            value => members.insert(name.clone(), value.clone()),
        };
    }
    object
}

/// Presents a token at routes of three kinds: one that only looks at the caller, one open to visitors, one that writes.
async fn refused(world: &World, what: &str, token: &str) {
    let caller = world
        .gateway
        .api()
        .with_header("x-account-id", "acme")
        .with_token(token);
    let answers = [
        caller.get("/auth/me").await,
        caller.get("/records/open").await,
        caller.post("/records/open", json!({"title": "t"})).await,
    ];
    for answer in answers {
        assert_eq!(
            answer.status, 401,
            "{what}: {} answered {}",
            answer.request, answer.text
        );
        assert!(
            answer.json["detail"].is_string()
                && !answer.text.contains("email")
                && !answer.text.contains("verify"),
            "{what}: {}",
            answer.text
        );
    }
}

async fn scene() -> (World, Good) {
    let world = World::with(&[("SNACKBASE_SECRET_KEY", SECRET)]).await;
    let open = json!({"list_rule": "", "create_rule": "", "list_fields": "*", "create_fields": "*"});
    // The world's own tokens are of another key: the superadmin logs in again.
    let login =
        json!({"account": "system", "email": "root@example.com", "password": snackbase_e2e::PASSWORD});
    let root = world.gateway.api().post("/auth/login", login).await.expect(200);
    let root = world
        .gateway
        .api()
        .with_token(root["token"].as_str().expect("a token"));
    let definition = json!({"name": "open", "fields": [{"name": "title", "type": "text"}]});
    root.post("/collections", definition).await.expect(201);
    root.put("/collections/open/rules", open).await.expect(200);
    let good = Good::of(&world).await;
    (world, good)
}

#[tokio::test]
async fn a_token_with_one_thing_wrong_is_refused() {
    let (world, good) = scene().await;
    world
        .gateway
        .api()
        .with_token(&good.token())
        .get("/auth/me")
        .await
        .expect(200);

    let parts: Vec<String> = good.token().split('.').map(str::to_owned).collect();
    let unsigned = |algorithm: &str| {
        let header = BASE64URL.encode(merged(&good.header, json!({"alg": algorithm})).to_string());
        format!("{header}.{}.", parts[1])
    };
    let nobody = "00000000-0000-4000-8000-000000000000";
    let alice = world.user_id("alice");
    let carol = world.account_id("carol");
    let refresh_key = derive(SECRET, "refresh token 1");
    let mut bad: Vec<(&str, String)> = vec![
        ("no algorithm", unsigned("none")),
        ("no algorithm, shouted", unsigned("NONE")),
        (
            "no algorithm but a signature",
            good.headed(json!({"alg": "none"})),
        ),
        (
            "an algorithm that only says so",
            good.headed(json!({"alg": "RS256"})),
        ),
        (
            "another HMAC that only says so",
            good.headed(json!({"alg": "HS512"})),
        ),
        (
            "another HMAC",
            signed(
                hmac::HMAC_SHA512,
                &good.key,
                &merged(&good.header, json!({"alg": "HS512"})),
                &good.claims,
            ),
        ),
        (
            "another HMAC under the right name",
            signed(hmac::HMAC_SHA384, &good.key, &good.header, &good.claims),
        ),
        ("nobody's algorithm", good.headed(json!({"alg": "XX1"}))),
        ("no algorithm named", good.headed(json!({"alg": null}))),
        ("no key id", good.headed(json!({"kid": null}))),
        ("an unknown key id", good.headed(json!({"kid": "0123456789ab"}))),
        (
            "a path for a key id",
            good.headed(json!({"kid": "../../../dev/null"})),
        ),
        (
            "the key of refresh tokens",
            signed(hmac::HMAC_SHA256, &refresh_key, &good.header, &good.claims),
        ),
        (
            "the secret itself for a key",
            signed(hmac::HMAC_SHA256, SECRET.as_bytes(), &good.header, &good.claims),
        ),
        (
            "an empty key",
            signed(hmac::HMAC_SHA256, b"", &good.header, &good.claims),
        ),
        (
            "the key of another installation",
            signed(
                hmac::HMAC_SHA256,
                &derive("another secret", "access token 1"),
                &good.header,
                &good.claims,
            ),
        ),
        ("another issuer", good.claiming(json!({"iss": "elsewhere"}))),
        (
            "a list of issuers",
            good.claiming(json!({"iss": ["elsewhere", "x"]})),
        ),
        ("expired", good.claiming(json!({"exp": 1_700_000_000}))),
        (
            "expired a second ago",
            good.claiming(json!({"exp": good.claims["iat"].as_u64().expect("a number") - 1})),
        ),
        ("an end that is no number", good.claiming(json!({"exp": "never"}))),
        ("a negative end", good.claiming(json!({"exp": -1}))),
        ("a refresh token", good.claiming(json!({"type": "refresh"}))),
        ("no such type", good.claiming(json!({"type": "reset"}))),
        ("two users", good.claiming(json!({"sub": alice}))),
        (
            "another user's session",
            good.claiming(json!({"sub": alice, "user_id": alice})),
        ),
        ("nobody", good.claiming(json!({"sub": nobody, "user_id": nobody}))),
        ("another account", good.claiming(json!({"account_id": carol}))),
        (
            "the system account",
            good.claiming(json!({"account_id": "00000000-0000-0000-0000-000000000000"})),
        ),
        ("a session that never was", good.claiming(json!({"sid": nobody}))),
        ("an id that is none", good.claiming(json!({"sid": "' or 1=1 --"}))),
    ];
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
        let mut missing = serde_json::Map::new();
        missing.insert(claim.to_owned(), Value::Null);
        bad.push(("a claim that is missing", good.claiming(missing.into())));
    }
    bad.push(("claims that are a list", good.sign(&good.header, &json!([1, 2]))));
    bad.push((
        "a header that is a text",
        good.sign(&json!("HS256"), &good.claims),
    ));
    for (what, token) in &bad {
        refused(&world, what, token).await;
    }
    let revoked = world.gateway.api().with_token(&good.token());
    revoked.post("/auth/logout", json!({})).await.expect(200);
    refused(&world, "a session that has ended", &good.token()).await;
}

#[tokio::test]
async fn noise_is_refused() {
    let (world, good) = scene().await;
    let token = good.token();
    let alice = json!({"account": "acme", "email": "alice@example.com", "password": snackbase_e2e::PASSWORD});
    let alice = world.gateway.api().post("/auth/login", alice).await.expect(200);
    let key = key_of(
        &world
            .gateway
            .api()
            .with_token(alice["token"].as_str().expect("a token")),
    )
    .await;
    let mut random = fastrand::Rng::with_seed(11);
    for whole in [&token, &key] {
        for end in (0..whole.len()).step_by(7) {
            refused(&world, "cut short", &whole[..end]).await;
        }
        for _ in 0..80 {
            let mut bytes = whole.clone().into_bytes();
            let place = random.usize(..bytes.len());
            // Not in the last character, whose lower bits say nothing.
            let place = place.min(bytes.len() - 2);
            let other = *random.choice(b"ABCxyz019-_.").expect("some");
            if bytes[place] == other {
                continue;
            }
            bytes[place] = other;
            refused(&world, "one character", &String::from_utf8(bytes).expect("ascii")).await;
        }
    }
    for _ in 0..120 {
        let length = random.usize(0..600);
        let noise: String = (0..length).map(|_| char::from(random.u8(0x21..0x7f))).collect();
        refused(&world, "noise", &noise).await;
        let digest = digest::digest(&digest::SHA256, noise.as_bytes());
        refused(
            &world,
            "noise in the shape of a token",
            &format!(
                "{}.{}.{}",
                BASE64URL.encode(&noise),
                BASE64URL.encode(&noise),
                BASE64URL.encode(digest)
            ),
        )
        .await;
        refused(
            &world,
            "noise in the shape of a key",
            &format!(
                "sb_ak.{}.{}",
                BASE64URL.encode(random.u128(..).to_be_bytes()),
                BASE64URL.encode(digest)
            ),
        )
        .await;
    }
    // The unspoilt ones are good still.
    for good in [&token, &key] {
        world
            .gateway
            .api()
            .with_token(good)
            .get("/auth/me")
            .await
            .expect(200);
    }
}
