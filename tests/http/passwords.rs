//! Forgotten passwords over HTTP. Source: identity contract §4.1 #9 to #11, §5.4.

use serde_json::{Value, json};
use snackbase_e2e::{Gateway, PASSWORD, World};

const NEW: &str = "Another-Horse-8-Battery";

async fn login(world: &World, password: &str) -> snackbase_e2e::Answer {
    let body = json!({"account": "acme", "email": "bob@example.com", "password": password});
    world.gateway.api().post("/auth/login", body).await
}

#[tokio::test]
async fn a_reset_ends_sessions_and_the_old_password() {
    let world = World::new().await;
    // Clients send what they have got; here it does not matter.
    let api = world.gateway.api().with_token("x.y.z");
    let mut answers = Vec::new();
    for email in ["bob@example.com", "nobody@example.com", "carol@example.com"] {
        answers.push(
            api.post(
                "/auth/forgot-password",
                json!({"email": email, "account": "acme"}),
            )
            .await,
        );
    }
    answers.push(
        api.post(
            "/auth/forgot-password",
            json!({"email": "bob@example.com", "account": "nowhere"}),
        )
        .await,
    );
    assert!(
        answers
            .iter()
            .all(|answer| answer.status == 200 && answer.text == answers[0].text)
    );
    let token = world.mailed_token("bob@example.com").await;
    let check = async |token: &str| -> Value {
        api.get(&format!("/auth/verify-reset-token/{token}"))
            .await
            .expect(200)
    };
    let good = check(&token).await;
    assert_eq!(good["valid"], true);
    assert!(
        good["expires_at"]
            .as_str()
            .is_some_and(|text| text.ends_with('Z')),
        "{good}"
    );
    assert_eq!(check("x").await, json!({"valid": false, "expires_at": null}));

    // What is wrong with the password is said first, and costs no token.
    let reset = async |token: &str, password: &str| {
        api.post(
            "/auth/reset-password",
            json!({"token": token, "new_password": password}),
        )
        .await
    };
    let weak = reset(&token, "password").await;
    assert_eq!(
        weak.json["detail"]["details"], weak.json["details"],
        "{}",
        weak.text
    );
    assert!(
        weak.codes().contains(&"password:password_no_digit".to_owned()),
        "{}",
        weak.text
    );
    weak.expect(400);
    reset("x", "password").await.expect(400);
    reset(&token, "short").await.expect(422);
    let unknown = reset("x", NEW).await;
    assert!(unknown.json["detail"].is_string(), "{}", unknown.text);
    unknown.expect(400);

    world.bob.get("/auth/me").await.expect(200);
    let done = reset(&token, NEW).await.expect(200);
    assert!(done["message"].is_string(), "{done}");
    world.bob.get("/auth/me").await.expect(401);
    let refresh = json!({"refresh_token": world.people["bob"]["refresh_token"]});
    api.post("/auth/refresh", refresh).await.expect(401);
    login(&world, PASSWORD).await.expect(401);
    login(&world, NEW).await.expect(200);
    assert_eq!(check(&token).await["valid"], false);
    reset(&token, PASSWORD).await.expect(400);
    login(&world, NEW).await.expect(200);
}

#[tokio::test]
async fn who_forgot_a_password_says_where() {
    let world = World::new().await;
    let api = world.gateway.api();
    let nameless = api
        .post("/auth/forgot-password", json!({"email": "bob@example.com"}))
        .await;
    assert_eq!(nameless.codes(), ["account:required"], "{}", nameless.text);
    nameless.expect(400);
    for body in [
        json!({"account": "acme"}),
        json!({"account": "acme", "email": "nobody"}),
        json!({"account": 1, "email": "bob@example.com"}),
    ] {
        api.post("/auth/forgot-password", body).await.expect(422);
    }
    api.with_header("host", "acme.example.com")
        .post("/auth/forgot-password", json!({"email": "bob@example.com"}))
        .await
        .expect(200);
    assert_eq!(world.mailed_token("bob@example.com").await.len(), 43);
    for body in [
        json!({"token": "x"}),
        json!({"new_password": NEW}),
        json!({"token": "x", "new_password": "x".repeat(1025)}),
    ] {
        api.post("/auth/reset-password", body).await.expect(422);
    }
}

#[tokio::test]
async fn a_reset_opens_the_lock_and_confirms_the_address() {
    let world = World::new().await;
    let superuser = world.database.superuser().await;
    superuser
        .batch_execute(
            "update snackbase.users set email_verified = false, failed_login_attempts = 40, locked_until = now() + interval '1 hour'
              where email = 'bob@example.com'",
        )
        .await
        .expect("a superuser may");
    login(&world, PASSWORD).await.expect(401);
    let api = world.gateway.api();
    let forget = json!({"email": "bob@example.com", "account": "acme"});
    api.post("/auth/forgot-password", forget).await.expect(200);
    let token = world.mailed_token("bob@example.com").await;
    api.post(
        "/auth/reset-password",
        json!({"token": token, "new_password": NEW}),
    )
    .await
    .expect(200);
    assert_eq!(
        login(&world, NEW).await.expect(200)["user"]["email_verified"],
        true
    );
}

#[tokio::test]
async fn a_password_that_is_changed_while_it_is_checked_opens_no_session() {
    let world = World::new().await;
    let superuser = world.database.superuser().await;
    let sql = "begin; select snackbase._password_set(account_id, id, left(password_hash, -6) || 'AAAAAA')
                 from snackbase.users where email = 'bob@example.com'";
    superuser.batch_execute(sql).await.expect("a superuser may");
    // The look-up sees the old hash, and the opening of the session waits for the change.
    let (answer, ()) = tokio::join!(login(&world, PASSWORD), async {
        tokio::time::sleep(std::time::Duration::from_millis(500)).await;
        superuser
            .batch_execute("commit")
            .await
            .expect("the change commits");
    });
    assert_eq!(answer.json["message"], "Invalid credentials", "{}", answer.text);
    answer.expect(401);
    let living = "select count(*) from snackbase.sessions s join snackbase.users u on u.id = s.user_id
                   where u.email = 'bob@example.com' and s.revoked_at is null";
    assert_eq!(superuser.value(living).await, "0");
}

#[tokio::test]
async fn a_login_renews_a_hash_that_was_made_with_other_parameters() {
    let world = World::new().await;
    let superuser = world.database.superuser().await;
    let parameters = async |email: &str| {
        superuser
            .value(&format!(
                "select split_part(password_hash, '$', 4) from snackbase.users where email = '{email}'"
            ))
            .await
    };
    let settings = [("SNACKBASE_PASSWORD_HASH_MEMORY_KIB", "2048")];
    let gateway = Gateway::start(&world.database, &settings).await;
    let log_in = async |account: &str, email: &str, password: &str| {
        let body = json!({"account": account, "email": email, "password": password});
        gateway.api().post("/auth/login", body).await
    };
    assert_eq!(parameters("bob@example.com").await, "m=1024,t=3,p=4");
    log_in("acme", "bob@example.com", NEW).await.expect(401);
    assert_eq!(parameters("bob@example.com").await, "m=1024,t=3,p=4");
    // Of two at a time one comes too late for the old hash, and is let in all the same.
    let both = tokio::join!(
        log_in("acme", "bob@example.com", PASSWORD),
        log_in("acme", "bob@example.com", PASSWORD)
    );
    both.0.expect(200);
    both.1.expect(200);
    assert_eq!(parameters("bob@example.com").await, "m=2048,t=3,p=4");
    log_in("acme", "bob@example.com", PASSWORD).await.expect(200);
    // Sessions from before go on: the password is the same.
    world.bob.get("/auth/me").await.expect(200);

    // Superadmins of a demonstration log in, and nothing of them changes.
    let database = &world.database.name;
    superuser
        .batch_execute(&format!("alter database {database} set snackbase.is_demo = on"))
        .await
        .expect("a superuser may");
    let settings = [("SNACKBASE_PASSWORD_HASH_MEMORY_KIB", "2048")];
    let demonstration = Gateway::start(&world.database, &settings).await;
    let body = json!({"account": "system", "email": "root@example.com", "password": PASSWORD});
    demonstration.api().post("/auth/login", body).await.expect(200);
    assert_eq!(parameters("root@example.com").await, "m=1024,t=3,p=4");
    assert_eq!(world.audit_findings().await, [""; 0]);
}
