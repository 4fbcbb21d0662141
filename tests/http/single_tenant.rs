//! An installation with one account. Source: identity contract §5.8.

use serde_json::json;
use snackbase_e2e::{Database, Gateway, PASSWORD, World, environment, gateway_command};

const ONLY: [(&str, &str); 3] = [
    ("SNACKBASE_SINGLE_TENANT_MODE", "true"),
    ("SNACKBASE_SINGLE_TENANT_ACCOUNT", "Our-House"),
    ("SNACKBASE_SINGLE_TENANT_ACCOUNT_NAME", "Our House"),
];

#[tokio::test]
async fn everybody_joins_the_one_account_and_need_not_name_it() {
    let mut settings = ONLY.to_vec();
    settings.push(("SNACKBASE_BASE_DOMAIN", "example.com"));
    let world = World::with(&settings).await;
    let api = world.gateway.api();
    // Clients send an account all the same, even one that could not be.
    let body = json!({"email": "dora@example.org", "password": PASSWORD, "account_name": "defaultAccount", "account_slug": 7});
    let made = api.post("/auth/register", body.clone()).await.expect(201);
    assert_eq!(made["account"]["slug"], "our-house");
    assert_eq!(made["account"]["name"], "Our House");
    assert_eq!(made["user"]["role"], "user");
    assert_eq!(made["user"]["groups"], json!([]));
    assert!(made.get("token").is_none(), "{made}");
    let again = api.post("/auth/register", body).await;
    assert_eq!(again.json["field"], "email", "{}", again.text);
    again.expect(409);
    let weak = json!({"email": "eve@example.org", "password": "short"});
    api.post("/auth/register", weak).await.expect(400);

    let token = world.mailed_token("dora@example.org").await;
    api.post("/auth/verify-email", json!({"token": token}))
        .await
        .expect(200);
    let login = json!({"email": "dora@example.org", "password": PASSWORD});
    for host in [
        "127.0.0.1",
        "our-house.example.com",
        "nowhere.example.com",
        "example.com",
        "elsewhere.example.org",
    ] {
        let session = api
            .with_header("host", host)
            .post("/auth/login", login.clone())
            .await
            .expect(200);
        assert_eq!(session["account"]["slug"], "our-house", "{host}");
    }
    // A label that names another account means it, and so does the body.
    api.with_header("host", "acme.example.com")
        .post("/auth/login", login.clone())
        .await
        .expect(401);
    let elsewhere = json!({"account": "nowhere", "email": "dora@example.org", "password": PASSWORD});
    api.post("/auth/login", elsewhere).await.expect(401);
    let root = json!({"account": "system", "email": "root@example.com", "password": PASSWORD});
    api.post("/auth/login", root).await.expect(200);

    for path in ["/auth/forgot-password", "/auth/resend-verification"] {
        api.post(path, json!({"email": "dora@example.org"}))
            .await
            .expect(200);
    }
    let sent = world
        .database
        .superuser()
        .await
        .value("select string_agg(template_type, ' ' order by id) from snackbase.mail_outbox")
        .await;
    assert_eq!(sent, "email_verification password_reset");
}

#[tokio::test]
async fn gateways_that_start_at_once_make_one_account() {
    let database = Database::fresh().await;
    let starts = (0..4).map(|_| Gateway::start(&database, &ONLY));
    let gateways = futures_util::future::join_all(starts).await;
    let superuser = database.superuser().await;
    let accounts = "select string_agg(slug || ' ' || name || ' ' || account_code, ', ') from snackbase.accounts where account_code <> 'SY0000'";
    assert_eq!(superuser.value(accounts).await, "our-house Our House AA0001");
    drop(gateways);
    // Later starts find it, whatever it is called meanwhile.
    superuser
        .batch_execute("update snackbase.accounts set name = 'Renamed' where slug = 'our-house'")
        .await
        .expect("a superuser may");
    let _again = Gateway::start(&database, &ONLY).await;
    assert_eq!(superuser.value(accounts).await, "our-house Renamed AA0001");
}

#[tokio::test]
async fn an_account_that_is_gone_is_a_404() {
    let world = World::with(&ONLY).await;
    world
        .database
        .superuser()
        .await
        .batch_execute("delete from snackbase.accounts where slug = 'our-house'")
        .await
        .expect("a superuser may");
    let body = json!({"email": "dora@example.org", "password": PASSWORD});
    world.gateway.api().post("/auth/register", body).await.expect(404);
}

#[tokio::test]
async fn bad_settings_end_the_start_with_one_sentence() {
    let database = Database::fresh().await;
    let port = environment("PGPORT").parse().expect("PGPORT is a number");
    for (account, word) in [
        (
            None,
            "SNACKBASE_SINGLE_TENANT_MODE needs SNACKBASE_SINGLE_TENANT_ACCOUNT.",
        ),
        (Some("system"), "\"system\": The system account cannot be"),
        (Some("admin"), "\"admin\": This slug is reserved."),
        (Some("no slug"), "A slug consists of"),
        (Some("x"), "A slug has at least 3 characters."),
    ] {
        let mut command = gateway_command(&database, port);
        command
            .env("SNACKBASE_LOG_LEVEL", "error")
            .env("SNACKBASE_SINGLE_TENANT_MODE", "true")
            .stderr(std::process::Stdio::piped())
            .arg("serve");
        if let Some(account) = account {
            command.env("SNACKBASE_SINGLE_TENANT_ACCOUNT", account);
        }
        let output = command.output().await.expect("the gateway program starts");
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(2), "{said}");
        assert!(
            said.contains(word) && said.lines().count() == 1,
            "{account:?}: {said}"
        );
    }
    let accounts = database.superuser().await;
    assert_eq!(
        accounts.value("select count(*) from snackbase.accounts").await,
        "1"
    );
}
