//! API keys over HTTP: how they are presented, what is said about them. Source: identity contract §3.1, §3.4 and §4.9.

use serde_json::{Value, json};
use snackbase_e2e::{Api, World};

const KEYS: &str = "/admin/api-keys";

/// A key of somebody's, in clear.
pub async fn key_of(person: &Api) -> String {
    let made = person.post(KEYS, json!({"name": "a key"})).await.expect(201);
    made["key"].as_str().expect("a key").to_owned()
}

#[tokio::test]
async fn a_key_is_shown_once_and_masked_from_then_on() {
    let world = World::new().await;
    let answer = world.alice.post(KEYS, json!({"name": " reports ", "expires_at": "2099-01-01T00:00:00Z", "scopes": ["records:secrets:read"]})).await;
    assert_eq!(answer.header("cache-control"), "no-store");
    let made = answer.expect(201);
    let key = made["key"].as_str().expect("a key");
    assert_eq!((key.len(), key.split('.').count(), &key[..6]), (72, 3, "sb_ak."));
    let mask = format!("{}...{}", &key[..10], &key[68..]);
    let id = made["id"].as_str().expect("an id");
    for (what, shown) in [
        ("one", world.alice.get(&format!("{KEYS}/{id}")).await.expect(200)),
        (
            "the list",
            world.alice.get(KEYS).await.expect(200)["items"][0].clone(),
        ),
    ] {
        assert_eq!(shown["key"], mask.as_str(), "{what}");
        assert_eq!(shown["last_used_at"], Value::Null);
        for member in ["id", "name", "expires_at", "is_active", "created_at", "scopes"] {
            assert_eq!(shown[member], made[member], "{what}: {member}");
        }
    }
    assert_eq!(
        (&made["name"], &made["is_active"]),
        (&json!("reports"), &json!(true))
    );
    // Nowhere in the database, and not in the trail.
    let superuser = world.database.superuser().await;
    let everything = superuser
        .value("select (select string_agg(k::text, '') from snackbase.api_keys k) || (select string_agg(a::text, '') from snackbase.audit_change a)")
        .await;
    assert!(!everything.contains(&key[30..]), "the secret is stored");
    assert!(world.audit_findings().await.is_empty());
}

#[tokio::test]
async fn a_key_is_presented_in_either_header_and_a_bad_bearer_is_not_rescued() {
    let world = World::new().await;
    let key = key_of(&world.alice).await;
    let nobody = world.gateway.api();
    let bearer = |token: &str| nobody.with_header("authorization", token);
    for (what, caller, status) in [
        ("the header for keys", nobody.with_header("x-api-key", &key), 200),
        ("a bearer", bearer(&format!("Bearer {key}")), 200),
        (
            "another scheme beside it",
            bearer("Basic YTpi").with_header("x-api-key", &key),
            200,
        ),
        (
            "a bad bearer beside it",
            bearer("Bearer a.b.c").with_header("x-api-key", &key),
            401,
        ),
        (
            "an empty bearer beside it",
            bearer("Bearer").with_header("x-api-key", &key),
            401,
        ),
        (
            "a good bearer beside a bad key",
            world.bob.with_header("x-api-key", "sb_ak.a.b"),
            200,
        ),
        (
            "an access token as a key",
            nobody.with_header(
                "x-api-key",
                world.people["bob"]["token"].as_str().expect("a token"),
            ),
            401,
        ),
        (
            "a key cut short",
            nobody.with_header("x-api-key", &key[..71]),
            401,
        ),
        (
            "a key nobody made",
            nobody.with_header("x-api-key", &format!("{}AAAA", &key[..68])),
            401,
        ),
        (
            "a kind that is not issued",
            nobody.with_header("x-api-key", &key.replace("sb_ak", "sb_pt")),
            401,
        ),
    ] {
        let answer = caller.get("/auth/me").await;
        assert_eq!(answer.status, status, "{what}: {}", answer.text);
    }
    let me = nobody
        .with_header("x-api-key", &key)
        .get("/auth/me")
        .await
        .expect(200);
    assert_eq!(
        (&me["email"], &me["role"]),
        (&json!("alice@example.com"), &json!("admin"))
    );

    let renamed = World::with(&[("SNACKBASE_API_KEY_HEADER", "X-Service-Key")]).await;
    let key = key_of(&renamed.alice).await;
    let nobody = renamed.gateway.api();
    nobody
        .with_header("x-service-key", &key)
        .get("/auth/me")
        .await
        .expect(200);
    nobody
        .with_header("x-api-key", &key)
        .get("/auth/me")
        .await
        .expect(401);
}

#[tokio::test]
async fn administrators_have_keys_and_see_their_own() {
    let world = World::new().await;
    let made = world.alice.post(KEYS, json!({"name": "a key"})).await.expect(201);
    let path = format!("{KEYS}/{}", made["id"].as_str().expect("an id"));
    let bodies = || {
        [
            ("GET", KEYS, Value::Null),
            ("POST", KEYS, json!({"name": "a key"})),
            ("POST", KEYS, json!({})),
        ]
    };
    for (method, place, body) in bodies() {
        let method: reqwest::Method = method.parse().expect("a method");
        let body = (!body.is_null()).then(|| body.to_string());
        for (caller, status) in [(&world.bob, 403), (&world.anonymous, 401)] {
            caller
                .send(method.clone(), place, body.as_deref())
                .await
                .expect(status);
        }
    }
    for stranger in [&world.carol, &world.root] {
        assert_eq!(
            stranger.get(KEYS).await.expect(200),
            json!({"items": [], "total": 0})
        );
        stranger.get(&path).await.expect(404);
        stranger.delete(&path).await.expect(404);
    }
    world.alice.get(&format!("{KEYS}/nonsense")).await.expect(422);
    world.bob.get(&format!("{KEYS}/nonsense")).await.expect(403);
    world.alice.get(&path).await.expect(200);
    for _ in 0..2 {
        let revoked = world.alice.delete(&path).await;
        assert_eq!((revoked.status, revoked.text.as_str()), (204, ""));
    }
    assert_eq!(world.alice.get(&path).await.expect(200)["is_active"], false);
    key_of(&world.root).await;
    let stats = world.root.get("/dashboard/stats").await.expect(200);
    assert_eq!(stats["feature_counts"]["api_keys_active"], 1);
    let list = world
        .alice
        .query(KEYS, &[("limit", "1"), ("offset", "0")])
        .await
        .expect(200);
    assert_eq!(
        (&list["total"], &list["items"][0]["is_active"]),
        (&json!(1), &json!(false))
    );
}

#[tokio::test]
async fn what_a_key_is_made_of_is_judged() {
    let world = World::with(&[
        ("SNACKBASE_API_KEY_DEFAULT_EXPIRATION_DAYS", "30"),
        ("SNACKBASE_API_KEY_MAX_PER_USER", "2"),
    ])
    .await;
    for (body, status, code) in [
        (json!({}), 422, "name:value_error"),
        (json!({"name": "ab"}), 422, "name:value_error"),
        (
            json!({"name": "key", "expires_at": "2020-01-01T00:00:00Z"}),
            422,
            "expires_at:datetime_past",
        ),
        (
            json!({"name": "key", "scopes": ["*"]}),
            400,
            "scopes:unapproved_scope",
        ),
    ] {
        let answer = world.alice.post(KEYS, body).await;
        assert_eq!(
            (answer.status, answer.codes()),
            (status, vec![code.to_owned()]),
            "{}",
            answer.text
        );
    }
    let made = world.alice.post(KEYS, json!({"name": "key"})).await.expect(201);
    let superuser = world.database.superuser().await;
    let days = superuser
        .value(
            "select round(extract(epoch from expires_at - created_at) / 86400)::text from snackbase.api_keys",
        )
        .await;
    assert_eq!(days, "30", "{made}");
    key_of(&world.alice).await;
    let refused = world.alice.post(KEYS, json!({"name": "key"})).await;
    assert_eq!(
        (refused.status, refused.json["detail"].as_str()),
        (
            400,
            Some("A user can have at most 2 active API keys; revoke one first")
        )
    );
}

#[tokio::test]
async fn use_is_noted_also_of_reading() {
    let world = World::new().await;
    let key = key_of(&world.alice).await;
    let caller = world.gateway.api().with_header("x-api-key", &key);
    caller.get("/records/posts").await.expect(200);
    let used = async || world.alice.get(KEYS).await.expect(200)["items"][0]["last_used_at"].clone();
    let first = used().await;
    assert!(first.is_string(), "{first}");
    caller
        .post("/records/posts", json!({"title": "t"}))
        .await
        .expect(201);
    assert_eq!(used().await, first, "within the same minute");
    // An answer that is streamed is noted before it begins.
    let key = key_of(&world.alice).await;
    let caller = world.gateway.api().with_header("x-api-key", &key);
    assert!(used().await.is_null());
    caller.get("/audit-logs/export?format=json").await.expect(200);
    assert!(used().await.is_string());
}

#[tokio::test]
async fn keys_of_an_original_instance_open_for_superadmins_only() {
    let world = World::new().await;
    let superuser = world.database.superuser().await;
    for (person, key) in [("root", "sb_sk_SY0000_secret"), ("alice", "sb_sk_AA0001_secret")] {
        superuser
            .execute(
                &format!(
                    "insert into snackbase.api_keys (account_id, user_id, name, key_hash, prefix, first_four, last_four)
                     values ('{}', '{}', 'brought', encode(sha256('{key}'), 'hex'), 'sb_sk_', left('{key}', 4), right('{key}', 4))",
                    world.account_id(person),
                    world.user_id(person)
                ),
                &[],
            )
            .await
            .expect("a superuser may");
    }
    let present =
        async |name: &str, value: &str| world.gateway.api().with_header(name, value).get("/auth/me").await;
    let root = present("x-api-key", "sb_sk_SY0000_secret").await.expect(200);
    assert_eq!(root["email"], "root@example.com");
    present("authorization", "Bearer sb_sk_SY0000_secret")
        .await
        .expect(200);
    let refused = present("x-api-key", "sb_sk_AA0001_secret").await;
    assert_eq!(
        refused.json["detail"],
        "API keys are restricted to superadmin users"
    );
    assert_eq!(
        (refused.status, &refused.json["code"]),
        (403, &json!("api_key_restricted"))
    );
    present("x-api-key", "sb_sk_SY0000_other").await.expect(401);
}
