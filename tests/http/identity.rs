//! Registration, login, and which account is meant.

use serde_json::{Value, json};
use snackbase_e2e::{Database, Gateway, Scenario, World, run};

const PASSWORD: &str = "Correct-Horse-7-Battery";

fn credentials(account: &str, email: &str, password: &str) -> Value {
    json!({"account": account, "email": email, "password": password})
}

#[tokio::test]
async fn a_registration_has_to_be_confirmed_before_it_logs_in() {
    let world = World::new().await;
    let api = world.gateway.api();
    let body = json!({"email": "Dora@Example.com", "password": PASSWORD, "account_name": "Initech GmbH"});
    let made = api.post("/auth/register", body).await.expect(201);
    assert_eq!(made["account"]["slug"], "initech-gmbh");
    assert_eq!(made["user"]["role"], "admin");
    assert_eq!(made["user"]["email_verified"], false);
    assert!(
        made.get("token").is_none(),
        "registration does not log in: {made}"
    );

    let early = api
        .post(
            "/auth/login",
            credentials("initech-gmbh", "dora@example.com", PASSWORD),
        )
        .await;
    assert!(
        early.json["message"]
            .as_str()
            .is_some_and(|text| text.contains("Email not verified")),
        "{}",
        early.text
    );
    early.expect(401);
    let wrong = api
        .post(
            "/auth/login",
            credentials("initech-gmbh", "dora@example.com", "Wrong-Horse-7"),
        )
        .await;
    assert!(
        !wrong.text.contains("mail") && !wrong.text.contains("verif"),
        "{}",
        wrong.text
    );
    wrong.expect(401);

    let user = made["user"]["id"].as_str().expect("an id");
    world
        .alice
        .post(&format!("/users/{user}/verify"), json!({}))
        .await
        .expect(404);
    world
        .root
        .post(&format!("/users/{user}/verify"), json!({}))
        .await
        .expect(200);
    world
        .root
        .post(&format!("/users/{user}/verify"), json!({}))
        .await
        .expect(200);
    let session = api
        .post(
            "/auth/login",
            credentials("initech-gmbh", "DORA@example.com", PASSWORD),
        )
        .await
        .expect(200);
    assert_eq!(session["account"]["id"], made["account"]["id"]);
    assert_eq!(session["expires_in"], 3600);
    assert_eq!(session["user"]["token_type"], "jwt");
    assert_eq!(session["user"]["account_id"], made["account"]["id"]);
    assert!(
        session["user"]["groups"]
            .as_array()
            .is_some_and(|groups| groups.contains(&json!("pii_access")))
    );
    assert!(!session.to_string().contains("password_hash"), "{session}");
}

#[tokio::test]
async fn what_a_registration_refuses() {
    let world = World::new().await;
    let api = world.gateway.api();
    let body = |change: Value| {
        let mut body = json!({"email": "eve@example.com", "password": PASSWORD, "account_name": "Eve"});
        body.as_object_mut()
            .expect("an object")
            .extend(change.as_object().expect("an object").clone());
        body
    };
    let line = |name, body, status, contains| Scenario {
        name,
        caller: &api,
        request: "POST /auth/register",
        body,
        status,
        contains,
        lacks: &[PASSWORD, "argon2"],
    };
    run(&[
        line(
            "name taken",
            body(json!({"account_name": "Acme"})),
            409,
            &["account_slug"],
        ),
        line(
            "slug taken",
            body(json!({"account_slug": "acme"})),
            409,
            &["account_slug"],
        ),
        line(
            "slug like a code",
            body(json!({"account_slug": "ab1234"})),
            400,
            &["account_slug"],
        ),
        line(
            "reserved slug",
            body(json!({"account_slug": "system"})),
            400,
            &["account_slug"],
        ),
        line(
            "slug starts with a digit",
            body(json!({"account_slug": "1abc"})),
            400,
            &["slug_invalid_start"],
        ),
        line(
            "slug with a blank",
            body(json!({"account_slug": "a bc"})),
            400,
            &["slug_invalid_chars"],
        ),
        line(
            "short password",
            body(json!({"password": "short"})),
            400,
            &["password"],
        ),
        line(
            "no account",
            body(json!({"account_name": null})),
            400,
            &["account_name"],
        ),
        line("no address", body(json!({"email": null})), 422, &["email"]),
        line(
            "malformed address",
            body(json!({"email": "nobody"})),
            422,
            &["email"],
        ),
        line("fine", body(json!({})), 201, &["\"slug\":\"eve\""]),
    ])
    .await;
}

#[tokio::test]
async fn login_finds_the_account_by_slug_code_and_id() {
    let world = World::new().await;
    let api = world.gateway.api();
    let acme = &world.people["alice"]["account"];
    let code = acme["account_code"].as_str().expect("a code");
    for account in [
        "acme",
        "ACME",
        code,
        &code.to_lowercase(),
        acme["id"].as_str().expect("an id"),
    ] {
        let session = api
            .post("/auth/login", credentials(account, "alice@example.com", PASSWORD))
            .await
            .expect(200);
        assert_eq!(session["account"]["slug"], "acme", "{account}");
    }
    for account in ["system", "SY0000", "00000000-0000-0000-0000-000000000000"] {
        let session = api
            .post("/auth/login", credentials(account, "root@example.com", PASSWORD))
            .await
            .expect(200);
        assert_eq!(
            session["user"]["account_id"], "00000000-0000-0000-0000-000000000000",
            "{account}"
        );
    }
}

#[tokio::test]
async fn every_failed_login_looks_the_same() {
    let world = World::new().await;
    let api = world.gateway.api();
    let wrong = [
        credentials("acme", "alice@example.com", "Wrong-Horse-7-Battery"),
        credentials("acme", "nobody@example.com", PASSWORD),
        credentials("nowhere", "alice@example.com", PASSWORD),
        credentials("globex", "alice@example.com", PASSWORD),
        credentials("ZZ9999", "alice@example.com", PASSWORD),
    ];
    let mut bodies = Vec::new();
    for body in wrong {
        let answer = api.post("/auth/login", body).await.expect(401);
        assert_eq!(answer["error"], "Authentication failed");
        assert_eq!(answer["message"], "Invalid credentials");
        assert!(answer["detail"].is_string(), "{answer}");
        bodies.push(answer);
    }
    assert!(bodies.windows(2).all(|pair| pair[0] == pair[1]), "{bodies:?}");
    let nameless = api
        .post(
            "/auth/login",
            json!({"email": "alice@example.com", "password": PASSWORD}),
        )
        .await;
    assert_eq!(nameless.codes(), ["account:required"], "{}", nameless.text);
    nameless.expect(400);
    api.post(
        "/auth/login",
        json!({"account": "acme", "email": "alice@example.com"}),
    )
    .await
    .expect(422);
}

#[tokio::test]
async fn the_host_name_can_name_the_account() {
    let world = World::new().await;
    let body = json!({"email": "alice@example.com", "password": PASSWORD});
    let code = world.people["alice"]["account"]["account_code"]
        .as_str()
        .expect("a code")
        .to_lowercase();
    let at = |host: &str| world.gateway.api().with_header("host", host);
    at("acme.example.com")
        .post("/auth/login", body.clone())
        .await
        .expect(200);
    at("ACME.example.com:8443")
        .post("/auth/login", body.clone())
        .await
        .expect(200);
    at(&format!("{code}.example.com"))
        .post("/auth/login", body.clone())
        .await
        .expect(200);
    at("nowhere.example.com")
        .post("/auth/login", body.clone())
        .await
        .expect(401);
    at("globex.example.com")
        .post("/auth/login", body.clone())
        .await
        .expect(401);
    for host in [
        "www.example.com",
        "api.example.com",
        "example.com",
        "localhost",
        "127.0.0.1",
    ] {
        at(host).post("/auth/login", body.clone()).await.expect(400);
    }
    let named = credentials("acme", "alice@example.com", PASSWORD);
    at("globex.example.com")
        .post("/auth/login", named)
        .await
        .expect(200);
    let forwarded = world
        .gateway
        .api()
        .with_header("x-forwarded-host", "acme.example.com");
    forwarded.post("/auth/login", body.clone()).await.expect(200);

    // A forwarded host counts only when it comes through a trusted proxy.
    let distrustful = World::with(&[("SNACKBASE_TRUSTED_PROXIES", "192.0.2.1")]).await;
    let spoofed = distrustful
        .gateway
        .api()
        .with_header("x-forwarded-host", "acme.example.com");
    spoofed.post("/auth/login", body.clone()).await.expect(400);

    let based = World::with(&[("SNACKBASE_BASE_DOMAIN", "snack.test")]).await;
    let at = |host: &str| based.gateway.api().with_header("host", host);
    at("acme.snack.test")
        .post("/auth/login", body.clone())
        .await
        .expect(200);
    at("acme.example.com").post("/auth/login", body).await.expect(400);
}

#[tokio::test]
async fn one_address_in_two_accounts_is_two_people() {
    let world = World::new().await;
    let other = "Another-Horse-8-Battery";
    let body = json!({
        "email": "alice@example.com", "password": other, "account_id": world.account_id("carol"), "role_id": 2
    });
    let made = world.root.post("/users", body.clone()).await.expect(201);
    world.root.post("/users", body).await.expect(409);
    world
        .root
        .post(
            &format!("/users/{}/verify", made["id"].as_str().expect("an id")),
            json!({}),
        )
        .await
        .expect(200);
    let api = world.gateway.api();
    let there = api
        .post("/auth/login", credentials("globex", "alice@example.com", other))
        .await
        .expect(200);
    assert_eq!(there["user"]["role"], "user");
    api.post(
        "/auth/login",
        credentials("globex", "alice@example.com", PASSWORD),
    )
    .await
    .expect(401);
    api.post("/auth/login", credentials("acme", "alice@example.com", other))
        .await
        .expect(401);
    let here = api
        .post("/auth/login", credentials("acme", "alice@example.com", PASSWORD))
        .await
        .expect(200);
    assert_eq!(here["user"]["role"], "admin");
    assert_ne!(here["user"]["id"], there["user"]["id"]);
}

#[tokio::test]
async fn the_superadmin_is_made_once() {
    let database = Database::fresh().await;
    let first = [
        ("SNACKBASE_SUPERADMIN_EMAIL", "root@example.com"),
        ("SNACKBASE_SUPERADMIN_PASSWORD", PASSWORD),
    ];
    let gateway = Gateway::start(&database, &first).await;
    gateway
        .api()
        .post("/auth/login", credentials("system", "root@example.com", PASSWORD))
        .await
        .expect(200);
    assert!(gateway.stop().await, "SIGTERM ends the gateway with success");

    let other = "Another-Horse-8-Battery";
    let second = [
        ("SNACKBASE_SUPERADMIN_EMAIL", "other@example.com"),
        ("SNACKBASE_SUPERADMIN_PASSWORD", other),
    ];
    let gateway = Gateway::start(&database, &second).await;
    gateway
        .api()
        .post("/auth/login", credentials("system", "root@example.com", PASSWORD))
        .await
        .expect(200);
    gateway
        .api()
        .post("/auth/login", credentials("system", "other@example.com", other))
        .await
        .expect(401);
}
