//! Visitors without credentials, and what is said first when more than one thing is wrong.

use reqwest::Method;
use serde_json::{Value, json};
use snackbase_e2e::{Api, Scenario, World, run};

/// Collections `open` (rules `""`), `closed` (rules null), and the world's `posts` (expressions), with a record each.
async fn three(world: &World) -> [String; 3] {
    let fields = json!([{"name": "title", "type": "text"}]);
    let open = json!({"name": "open", "fields": fields, "list_rule": "", "view_rule": "", "create_rule": "", "update_rule": "", "delete_rule": ""});
    world.define(open).await;
    world.define(json!({"name": "closed", "fields": fields})).await;
    let mut paths = Vec::new();
    for (caller, name) in [
        (&world.alice, "open"),
        (&world.root, "closed"),
        (&world.alice, "posts"),
    ] {
        let account = (name == "closed").then(|| json!(world.account_id("alice")));
        let mut body = json!({"title": "t"});
        if let Some(account) = account {
            body["account_id"] = account;
        }
        let made = caller.post(&format!("/records/{name}"), body).await.expect(201);
        paths.push(format!("/records/{name}/{}", made["id"].as_str().expect("an id")));
    }
    paths.try_into().expect("three paths")
}

#[tokio::test]
async fn a_visitor_reads_what_is_public_in_the_account_it_names() {
    let world = World::new().await;
    let [open, closed, posts] = three(&world).await;
    let nobody = world.gateway.api();
    let of = |account: &str| nobody.with_header("x-account-id", account);
    let superuser = world.database.superuser().await;
    let code = superuser
        .value("select account_code from snackbase.accounts where slug = 'acme'")
        .await;

    for name in ["acme", "ACME", " acme ", &code, &code.to_lowercase()] {
        let list = of(name).get("/records/open").await.expect(200);
        assert_eq!(list["total"], 1, "{name}");
        of(name).get(&open).await.expect(200);
    }
    assert_eq!(of("globex").get("/records/open").await.expect(200)["total"], 0);
    of("globex").get(&open).await.expect(404);
    let made = of("acme")
        .post("/records/open", json!({"title": "by a visitor"}))
        .await
        .expect(201);
    assert_eq!(
        (&made["created_by"], &made["account_id"]),
        (&json!("anonymous"), &json!(world.account_id("alice")))
    );

    let header = "X-Account-ID header is required for unauthenticated requests";
    let unknown = [
        of("nosuch"),
        of("ZZ9999"),
        of(world.account_id("alice")),
        of("acme' or '1'='1"),
        of("acme,globex"),
    ];
    let missing = [nobody.clone(), of(""), of("  ")];
    for (number, caller) in unknown.iter().chain(&missing).enumerate() {
        let (status, words) = if number < unknown.len() {
            (404, "Account not found")
        } else {
            (400, header)
        };
        // What the rule says of visitors does not depend on an account.
        for (path, status, words) in [
            ("/records/open", status, words),
            (&open, status, words),
            ("/open/", status, words),
            ("/records/open/aggregate?functions=count()", status, words),
            ("/records/open?filter=title+IS+NULL&cursor=", status, words),
            (
                "/records/closed",
                403,
                "Access denied: list is locked for this collection",
            ),
            (&closed, 403, "Access denied: view is locked for this collection"),
            ("/records/closed/aggregate?functions=count()", 403, "locked"),
            ("/records/posts", 401, "Authentication required"),
            (&posts, 401, "Authentication required"),
            ("/records/nothing", 404, "Collection 'nothing' not found"),
            ("/records/nothing/1", 404, "Collection 'nothing' not found"),
        ] {
            let answer = caller.get(path).await;
            assert_eq!(answer.status, status, "{number} {path}: {}", answer.text);
            let message = answer.json["message"].as_str().unwrap_or_default();
            assert!(
                message.contains(words) && answer.json["detail"] == message,
                "{number} {path}: {}",
                answer.text
            );
        }
        // A write is for an account before it is for a collection.
        for (method, path, body) in [
            (Method::POST, "/records/open", Some("{}")),
            (Method::POST, "/records/closed", Some("{}")),
            (Method::POST, "/records/nothing", Some("{}")),
            (Method::PATCH, &*open, Some("{}")),
            (Method::DELETE, &*open, None),
            (Method::POST, "/records/open/batch", Some("{\"records\":[{}]}")),
        ] {
            let answer = caller.send(method, path, body).await;
            assert_eq!(answer.status, status, "{number} {path}: {}", answer.text);
        }
    }
    assert_eq!(world.alice.get("/records/open").await.expect(200)["total"], 2);
}

#[tokio::test]
async fn a_visitor_without_an_account_is_nobody_in_sql_as_well() {
    let world = World::new().await;
    three(&world).await;
    let session = world.database.gateway_role().await;
    for account in ["null", "\"nosuch\""] {
        let caller = format!("{{\"kind\":\"anonymous\",\"account\":{account}}}");
        for operation in ["list", "view"] {
            session.batch_execute("begin").await.expect("a transaction");
            session
                .value(&format!("select snackbase.enter('{caller}', '{operation}')"))
                .await;
            assert_eq!(
                session.value("select count(*) from snackbase.col_open").await,
                "0"
            );
            assert_eq!(session.value("select snackbase.current_account_id()").await, "∅");
            session.batch_execute("rollback").await.expect("the end of it");
        }
    }
}

#[tokio::test]
async fn of_several_faults_the_contract_says_which_one_is_told() {
    let world = World::new().await;
    three(&world).await;
    let nobody = world.gateway.api();
    let expired = nobody.with_token("nonsense");
    let line = |name, caller, request, status, contains| Scenario {
        name,
        caller,
        request,
        body: Value::Null,
        status,
        contains,
        lacks: &["nonsense"],
    };
    let acme: &Api = &world.anonymous;
    run(&[
        line(
            "a bad token before everything",
            &expired,
            "GET /records/nothing?limit=0&x=1",
            401,
            &["validate"],
        ),
        line(
            "a wrong type before the rule",
            acme,
            "GET /records/closed?limit=0&x=1",
            422,
            &["limit"],
        ),
        line(
            "the rule before unknown parameters",
            acme,
            "GET /records/closed?x=1",
            403,
            &["locked"],
        ),
        line(
            "the rule before cursor and filter",
            acme,
            "GET /records/posts?cursor=x&filter=%5B",
            401,
            &["Authentication"],
        ),
        line(
            "the collection before unknown parameters",
            &world.alice,
            "GET /records/nothing?x=1",
            404,
            &["Collection"],
        ),
        line(
            "the rule before the account",
            &nobody,
            "GET /records/closed?x=1",
            403,
            &["locked"],
        ),
        line(
            "unknown parameters before the cursor",
            &world.alice,
            "GET /records/open?x=1&cursor=x&filter=%5B",
            400,
            &["'x' is not supported"],
        ),
        line(
            "the cursor before the filter",
            &world.alice,
            "GET /records/open?cursor=x&cursor_before=y&filter=%5B",
            400,
            &["Invalid pagination parameters"],
        ),
        line(
            "the filter before expand",
            &world.alice,
            "GET /records/open?filter=%5B&expand=title",
            400,
            &["Invalid filter expression"],
        ),
        line(
            "expand last",
            &world.alice,
            "GET /records/open?expand=title",
            400,
            &["Invalid expand field"],
        ),
        line(
            "one record ignores what it does not know",
            &world.alice,
            "GET /records/open/x?x=1&limit=0",
            404,
            &["Record not found"],
        ),
        line(
            "so do aggregates",
            &world.alice,
            "GET /records/open/aggregate?functions=count()&x=1&limit=0",
            200,
            &["\"count\":1"],
        ),
        line(
            "functions must be there",
            &world.alice,
            "GET /records/open/aggregate?x=1",
            422,
            &["functions"],
        ),
    ])
    .await;
}
