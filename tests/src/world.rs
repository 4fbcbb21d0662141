//! A small populated installation: a superadmin, two accounts with people, and a collection.

use serde_json::{Value, json};
use tokio::sync::OnceCell;

use crate::{Api, Database, Gateway};

/// The password of everybody.
pub const PASSWORD: &str = "Correct-Horse-7-Battery";

/// The installation most tests start from. Each test gets a copy of its own, with its own gateway.
///
/// | Caller | Account | Role |
/// |---|---|---|
/// | `root` | system | superadmin |
/// | `alice`, `bob` | Acme (`acme`) | `admin`, `user` |
/// | `carol` | Globex (`globex`) | `admin` |
/// | `anonymous` | Acme by `X-Account-ID` | none |
///
/// Collection `posts`: `title` text required, `status` text default `draft`, `rating` number, `secret` text.
/// Rules: list and view `status = "published" || @owns_record()`, create `""`, update `@owns_record()`, delete locked;
/// `list_fields` and `view_fields` leave `secret` out.
pub struct World {
    /// The database behind it.
    pub database: Database,
    /// The gateway in front of it.
    pub gateway: Gateway,
    /// Ids and tokens of the people, as they were made.
    pub people: Value,
    /// The superadmin.
    pub root: Api,
    /// Admin of Acme.
    pub alice: Api,
    /// User of Acme.
    pub bob: Api,
    /// Admin of Globex.
    pub carol: Api,
    /// Nobody, asking for Acme.
    pub anonymous: Api,
}

static TEMPLATE: OnceCell<(String, Value)> = OnceCell::const_new();

impl World {
    /// A copy of the installation.
    pub async fn new() -> Self {
        Self::with(&[]).await
    }

    /// A copy of the installation whose gateway has further settings.
    pub async fn with(settings: &[(&str, &str)]) -> Self {
        let (template, people) = TEMPLATE.get_or_init(build).await;
        let database = Database::copy_of(template).await;
        let gateway = Gateway::start(&database, settings).await;
        Self::around(database, gateway, people.clone())
    }

    /// The same callers against another gateway in front of a copy of the installation.
    pub async fn through(postgres_port: u16, settings: &[(&str, &str)]) -> Self {
        let (template, people) = TEMPLATE.get_or_init(build).await;
        let database = Database::copy_of(template).await;
        let gateway = Gateway::start_through(&database, postgres_port, settings).await;
        Self::around(database, gateway, people.clone())
    }

    fn around(database: Database, gateway: Gateway, people: Value) -> Self {
        let caller = |name: &str| gateway.api().with_token(text(&people[name]["token"]));
        Self {
            root: caller("root"),
            alice: caller("alice"),
            bob: caller("bob"),
            carol: caller("carol"),
            anonymous: gateway.api().with_header("x-account-id", "acme"),
            database,
            gateway,
            people,
        }
    }

    /// The user id of one of the people.
    pub fn user_id(&self, name: &str) -> &str {
        text(&self.people[name]["user"]["id"])
    }

    /// The account id of one of the people.
    pub fn account_id(&self, name: &str) -> &str {
        text(&self.people[name]["account"]["id"])
    }

    /// Make a collection; the superadmin does.
    pub async fn define(&self, definition: Value) -> Value {
        self.root.post("/collections", definition).await.expect(201)
    }

    /// Change rules or field lists of a collection.
    pub async fn rules(&self, collection: &str, changes: Value) -> Value {
        self.root
            .put(&format!("/collections/{collection}/rules"), changes)
            .await
            .expect(200)
    }

    /// The token in the newest mail to an address; in a world without a provider of mail, all mail waits in the queue.
    pub async fn mailed_token(&self, address: &str) -> String {
        let superuser = self.database.superuser().await;
        superuser
            .value(&format!(
                "select variables ->> 'token' from snackbase.mail_outbox
                  where recipient = '{address}' and variables ? 'token' order by id desc limit 1"
            ))
            .await
    }

    /// What `snackbase.audit_verify` finds, one line per finding; empty when the trail is intact.
    pub async fn audit_findings(&self) -> Vec<String> {
        let superuser = self.database.superuser().await;
        let rows = superuser
            .query("select kind || ' ' || coalesce(table_name, '') || ' ' || coalesce(record_id, '') from snackbase.audit_verify()", &[])
            .await
            .unwrap_or_else(|error| panic!("audit_verify: {error:?}"));
        rows.iter().map(|row| row.get(0)).collect()
    }
}

/// A text value of a JSON answer.
fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_else(|| panic!("not a text: {value}"))
}

/// Build the installation once, through the same doors a user has, and leave its database unused.
async fn build() -> (String, Value) {
    let database = Database::fresh().await;
    let bootstrap = [
        ("SNACKBASE_SUPERADMIN_EMAIL", "root@example.com"),
        ("SNACKBASE_SUPERADMIN_PASSWORD", PASSWORD),
    ];
    let gateway = Gateway::start(&database, &bootstrap).await;
    let api = gateway.api();

    let root = login(&api, "system", "root@example.com").await;
    let superadmin = api.with_token(text(&root["token"]));
    for (email, name) in [("alice@example.com", "Acme"), ("carol@example.com", "Globex")] {
        let made = api
            .post(
                "/auth/register",
                json!({"email": email, "password": PASSWORD, "account_name": name}),
            )
            .await
            .expect(201);
        verify(&superadmin, &made["user"]["id"]).await;
    }
    let alice = login(&api, "acme", "alice@example.com").await;
    let carol = login(&api, "globex", "carol@example.com").await;
    let bob = json!({
        "email": "bob@example.com", "password": PASSWORD, "account_id": alice["account"]["id"], "role_id": 2
    });
    let bob = superadmin.post("/users", bob).await.expect(201);
    verify(&superadmin, &bob["id"]).await;
    let bob = login(&api, "acme", "bob@example.com").await;

    let posts = json!({
        "name": "posts",
        "fields": [
            {"name": "title", "type": "text", "required": true},
            {"name": "status", "type": "text", "default": "draft"},
            {"name": "rating", "type": "number"},
            {"name": "secret", "type": "text"}
        ],
        "list_rule": "status = \"published\" || @owns_record()",
        "view_rule": "status = \"published\" || @owns_record()",
        "create_rule": "",
        "update_rule": "@owns_record()",
        "list_fields": "[\"title\",\"status\",\"rating\"]",
        "view_fields": "[\"title\",\"status\",\"rating\"]"
    });
    superadmin.post("/collections", posts).await.expect(201);

    gateway.stop().await;
    // Their addresses are confirmed: what the registrations wanted to send is not waited for.
    database
        .superuser()
        .await
        .batch_execute("delete from snackbase.mail_outbox; delete from snackbase.one_time_tokens")
        .await
        .expect("a superuser may");
    database.wait_until_unused().await;
    (
        database.name,
        json!({"root": root, "alice": alice, "bob": bob, "carol": carol}),
    )
}

async fn login(api: &Api, account: &str, email: &str) -> Value {
    api.post(
        "/auth/login",
        json!({"account": account, "email": email, "password": PASSWORD}),
    )
    .await
    .expect(200)
}

async fn verify(superadmin: &Api, user: &Value) {
    superadmin
        .post(&format!("/users/{}/verify", text(user)), json!({}))
        .await
        .expect(200);
}
