//! Line 18: a user of an account knocks at every route for superadmins and is sent away (403); whoever names what belongs to another
//! account is told that it does not exist (404). Line 10's rules for 401 and 403 bodies are looked at on the way.

use std::collections::BTreeMap;
use std::path::Path;

use reqwest::Method;
use serde_json::json;
use snackbase_e2e::{Answer, Api, World};

/// Whom a route admits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Admits {
    /// Everybody.
    All,
    /// Whom the collection's rules admit.
    Rules,
    /// Users.
    Members,
    /// Users of role `admin`, for their own account.
    Administrators,
    /// Superadmins.
    Superadmins,
}

use Admits::{Administrators, All, Members, Rules, Superadmins};

/// Every route of the gateway, and whom it admits. With a method in front, that method alone.
const ROUTES: &[(Admits, &[&str])] = &[
    (
        All,
        &[
            "",
            "/auth/register",
            "/auth/login",
            "/auth/refresh",
            "/auth/logout",
            "/auth/send-verification",
            "/auth/resend-verification",
            "/auth/verify-email",
            "/auth/forgot-password",
            "/auth/reset-password",
            "/auth/verify-reset-token/{token}",
            "GET /invitations/{key}",
            "/invitations/{key}/accept",
        ],
    ),
    (
        Rules,
        &[
            "/records/{collection}",
            "/records/{collection}/aggregate",
            "/records/{collection}/batch",
            "/records/{collection}/{id}",
            "/{collection}",
            "/{collection}/aggregate",
            "/{collection}/batch",
            "/{collection}/{id}",
        ],
    ),
    (
        Members,
        &[
            "/auth/me",
            "/auth/accounts",
            "GET /macros",
            "GET /macros/{id}",
            "GET /groups",
            "GET /groups/{id}",
            "GET /invitations",
        ],
    ),
    (
        Administrators,
        &[
            "/users",
            "/users/{id}",
            "/users/{id}/password",
            "/users/{id}/verify",
            "/users/{id}/resend-verification",
            "POST /groups",
            "PATCH /groups/{id}",
            "DELETE /groups/{id}",
            "/groups/{id}/users",
            "/groups/{id}/users/{user_id}",
            "POST /invitations",
            "DELETE /invitations/{key}",
            "/invitations/{key}/resend",
            "/admin/api-keys",
            "/admin/api-keys/{id}",
            "/audit-logs",
            "/audit-logs/export",
            "/audit-logs/imported",
            "/audit-logs/verify",
            "/audit-logs/checkpoint",
            "/audit-logs/ledger-export",
            "/audit-logs/consistency",
            "/audit-logs/{id}/proof",
            "/audit-logs/{id}",
        ],
    ),
    (
        Superadmins,
        &[
            "/accounts",
            "/accounts/{account}",
            "/accounts/{account}/users",
            "/admin/subjects/erase",
            "/audit-logs/status",
            "/collections",
            "/collections/names",
            "/collections/export",
            "/collections/import",
            "/collections/{collection}",
            "/collections/{collection}/rules",
            "POST /macros",
            "PUT /macros/{id}",
            "DELETE /macros/{id}",
            "/macros/{id}/test",
            "/migrations",
            "/migrations/current",
            "/migrations/history",
            "/migrations/plan",
            "/migrations/generate",
            "/rules/validate",
            "/rules/test",
            "/roles",
            "/roles/validate-rule",
            "/roles/test-rule",
            "/roles/{id}",
            "/roles/{id}/permissions",
            "/roles/{id}/permissions/matrix",
            "/roles/{id}/permissions/bulk",
            "/roles/permissions/{id}",
            "/permissions/{id}",
            "/admin/configuration",
            "/admin/configuration/stats",
            "/admin/configuration/recent",
            "/admin/configuration/system",
            "/admin/configuration/account",
            "/admin/configuration/providers",
            "/admin/configuration/schema/{category}/{provider}",
            "/admin/configuration/test-connection",
            "/admin/configuration/{id}",
            "/admin/configuration/{id}/values",
            "/admin/configuration/{id}/set-default",
            "/dashboard/stats",
            "/admin/email/templates",
            "/admin/email/templates/render",
            "/admin/email/templates/{id}",
            "/admin/email/templates/{id}/test",
            "/admin/email/logs",
            "/admin/email/logs/{id}",
        ],
    ),
];

/// The methods of every route below `/api/v1`, as the route table of the gateway has them.
fn table() -> BTreeMap<String, Vec<&'static str>> {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../gateway/src/routes/mod.rs");
    let source = std::fs::read_to_string(file).expect("the route table");
    let (_, source) = source.split_once("Table::new(&state").expect("its beginning");
    let (source, _) = source.split_once("let outside").expect("its end");
    let mut table: BTreeMap<String, Vec<&'static str>> = BTreeMap::new();
    for route in source.split(".at(").skip(1) {
        let mut parts = route.splitn(3, '"').skip(1);
        let (path, handlers) = (parts.next().expect("a path"), parts.next().expect("handlers"));
        let has = |name: &str| {
            handlers.match_indices(&format!("{name}(")).any(|(at, _)| {
                // the method router, not a handler that is called like one
                !handlers[..at].ends_with(|c: char| c.is_alphanumeric() || c == '_' || c == ':')
            })
        };
        let methods = match (has("record"), has("batch")) {
            (true, _) => vec!["GET", "PUT", "PATCH", "DELETE"],
            (_, true) => vec!["POST", "PATCH", "DELETE"],
            _ => ["get", "post", "put", "patch", "delete"]
                .into_iter()
                .zip(["GET", "POST", "PUT", "PATCH", "DELETE"])
                .filter(|(name, _)| has(name))
                .map(|(_, method)| method)
                .collect(),
        };
        assert!(!methods.is_empty(), "{path} has no method: {handlers}");
        table.insert(path.to_owned(), methods);
    }
    table
}

/// Every method and path, with whom it admits.
fn routes() -> Vec<(Admits, &'static str, String)> {
    let mut found = Vec::new();
    let mut table = table();
    for (admits, list) in ROUTES {
        for route in *list {
            let (method, path) = route.split_once(' ').unwrap_or(("", route));
            let methods = table
                .get_mut(path)
                .unwrap_or_else(|| panic!("there is no route {path}"));
            let (taken, left): (Vec<_>, Vec<_>) = methods
                .iter()
                .partition(|known| method.is_empty() || method == **known);
            assert!(!taken.is_empty(), "{path} is not asked by {method}");
            *methods = left;
            found.extend(taken.into_iter().map(|method| (*admits, method, path.to_owned())));
        }
    }
    table.retain(|_, methods| !methods.is_empty());
    assert!(table.is_empty(), "nobody says whom these admit: {table:?}");
    found
}

/// What stands for the variables of a path: something of Acme's where there is something, or what cannot be.
fn filled(world: &World, group: &str, path: &str, own: bool) -> String {
    let numbered = ["/roles", "/permissions", "/macros", "/audit-logs"];
    let id = match path {
        _ if path.starts_with("/users") => world.user_id("bob"),
        _ if path.starts_with("/groups") => group,
        _ if numbered.iter().any(|start| path.starts_with(start)) => "1",
        _ => "00000000-0000-4000-8000-000000000001",
    };
    let known = [
        ("{collection}", "posts"),
        ("{account}", "acme"),
        ("{category}", "email_providers"),
        ("{provider}", "smtp"),
        ("{token}", "nonsense"),
        ("{key}", id),
        ("{user_id}", world.user_id("bob")),
        ("{id}", id),
    ];
    known.iter().fold(path.to_owned(), |path, (variable, value)| {
        path.replace(variable, if own { value } else { "%00'\"--" })
    })
}

async fn send(api: &Api, method: &str, path: &str) -> Answer {
    let body = (!matches!(method, "GET" | "DELETE")).then_some("{}");
    let method = Method::from_bytes(method.as_bytes()).expect("a method");
    api.send(method, path, body).await
}

/// What is wrong with an answer to somebody who may not; a client tells refusals apart by their words.
fn faults(answer: &Answer, status: u16) -> Vec<String> {
    let shown = format!("{} {}", answer.request, answer.text);
    let mut faults = Vec::new();
    if answer.status != status {
        faults.push(format!("{} instead of {status}: {shown}", answer.status));
    }
    if !answer.json["detail"].is_string() {
        faults.push(format!("detail is no text: {shown}"));
    }
    for word in ["verify", "email", "superadmin", "restricted"] {
        if answer.text.contains(word) {
            faults.push(format!("{word}: {shown}"));
        }
    }
    faults
}

#[tokio::test]
async fn routes_for_others_are_closed_whatever_is_sent() {
    let world = World::new().await;
    let nobody = world.gateway.api();
    let group = world
        .alice
        .post("/groups", json!({"name": "planners"}))
        .await
        .expect(201);
    let group = group["id"].as_str().expect("an id");
    let mut found = Vec::new();
    for (admits, method, path) in routes() {
        let mut refused: Vec<(&Api, u16)> = Vec::new();
        if !matches!(admits, All | Rules) {
            refused.push((&nobody, 401));
        }
        if matches!(admits, Administrators | Superadmins) {
            refused.push((&world.bob, 403));
        }
        if admits == Superadmins {
            refused.push((&world.alice, 403));
        }
        for (caller, status) in refused {
            for own in [true, false] {
                let answer = send(caller, method, &filled(&world, group, &path, own)).await;
                // A path that is none is refused before anybody is asked who it is.
                if own || !matches!(answer.status, 400 | 404) {
                    found.extend(faults(&answer, status));
                }
            }
        }
    }
    assert!(found.is_empty(), "{found:#?}");
}

#[tokio::test]
async fn what_belongs_to_another_account_does_not_exist() {
    let world = World::new().await;
    let id = |answer: serde_json::Value| answer["id"].as_str().expect("an id").to_owned();
    let record = json!({"title": "globex plans", "status": "published"});
    let record = id(world.carol.post("/records/posts", record).await.expect(201));
    let group = id(world
        .carol
        .post("/groups", json!({"name": "planners"}))
        .await
        .expect(201));
    let invitation = json!({"email": "new@globex.example"});
    let invitation = id(world.carol.post("/invitations", invitation).await.expect(201));
    let key = id(world
        .carol
        .post("/admin/api-keys", json!({"name": "reports"}))
        .await
        .expect(201));
    let entries = world
        .carol
        .get("/audit-logs?table_name=col_posts")
        .await
        .expect(200);
    let entry = entries["items"][0]["id"].clone();
    let carol = world.user_id("carol");

    let attempts = [
        ("GET", format!("/records/posts/{record}"), json!(null)),
        (
            "PATCH",
            format!("/records/posts/{record}"),
            json!({"title": "mine"}),
        ),
        ("GET", format!("/users/{carol}"), json!(null)),
        ("PATCH", format!("/users/{carol}"), json!({"is_active": false})),
        ("DELETE", format!("/users/{carol}"), json!(null)),
        (
            "PUT",
            format!("/users/{carol}/password"),
            json!({"new_password": "Correct-Horse-8"}),
        ),
        (
            "PUT",
            format!("/users/{carol}/password"),
            json!({"send_reset_link": true}),
        ),
        ("POST", format!("/users/{carol}/verify"), json!({})),
        ("POST", format!("/users/{carol}/resend-verification"), json!({})),
        ("GET", format!("/groups/{group}"), json!(null)),
        ("PATCH", format!("/groups/{group}"), json!({"name": "mine"})),
        ("DELETE", format!("/groups/{group}"), json!(null)),
        (
            "POST",
            format!("/groups/{group}/users"),
            json!({"user_id": world.user_id("bob")}),
        ),
        ("DELETE", format!("/groups/{group}/users/{carol}"), json!(null)),
        ("POST", format!("/invitations/{invitation}/resend"), json!({})),
        ("DELETE", format!("/invitations/{invitation}"), json!(null)),
        ("GET", format!("/admin/api-keys/{key}"), json!(null)),
        ("DELETE", format!("/admin/api-keys/{key}"), json!(null)),
        ("GET", format!("/audit-logs/{entry}"), json!(null)),
        ("GET", format!("/audit-logs/{entry}/proof"), json!(null)),
    ];
    let mut found = Vec::new();
    for (method, path, body) in attempts {
        let body = (!body.is_null()).then(|| body.to_string());
        let method = Method::from_bytes(method.as_bytes()).expect("a method");
        let answer = world.alice.send(method.clone(), &path, body.as_deref()).await;
        if answer.status != 404 || answer.text.to_lowercase().contains("globex") {
            found.push(format!("{method} {path}: {} {}", answer.status, answer.text));
        }
    }
    assert!(found.is_empty(), "{found:#?}");

    // Nor does it appear in a list, and nothing of it was changed.
    for path in [
        "/users",
        "/groups",
        "/invitations",
        "/admin/api-keys",
        "/audit-logs",
        "/records/posts",
    ] {
        let list = world.alice.get(path).await;
        for word in ["globex", "planners", "carol@"] {
            assert!(!list.text.contains(word), "{path}: {}", list.text);
        }
        list.expect(200);
    }
    let kept = world.carol.get(&format!("/groups/{group}")).await.expect(200);
    assert_eq!(kept["name"], "planners");
    world.carol.get("/auth/me").await.expect(200);
    world
        .carol
        .get(&format!("/admin/api-keys/{key}"))
        .await
        .expect(200);
}
