//! Two accounts share every table and see nothing of each other.

use serde_json::{Value, json};
use snackbase_e2e::{Scenario, World, run};

#[tokio::test]
async fn a_foreign_record_does_not_exist() {
    let world = World::new().await;
    let foreign = world
        .carol
        .post(
            "/records/posts",
            json!({"title": "globex plans", "status": "published"}),
        )
        .await
        .expect(201);
    let path = format!("/records/posts/{}", foreign["id"].as_str().expect("an id"));
    let missing = "/records/posts/00000000-0000-4000-8000-000000000001";
    let line =
        |name, request: &'static str, path: &str, body: Value| (name, format!("{request} {path}"), body);
    let lines = [
        line("view", "GET", &path, Value::Null),
        line("put", "PUT", &path, json!({"title": "mine"})),
        line("patch", "PATCH", &path, json!({"title": "mine"})),
        line("view, missing", "GET", missing, Value::Null),
        line("put, missing", "PUT", missing, json!({"title": "mine"})),
        line("patch, missing", "PATCH", missing, json!({"title": "mine"})),
    ];
    let scenarios: Vec<_> = lines
        .iter()
        .map(|(name, request, body)| Scenario {
            name,
            caller: &world.alice,
            request,
            body: body.clone(),
            status: 404,
            contains: &["Record not found"],
            lacks: &["globex", "plans"],
        })
        .collect();
    run(&scenarios).await;
    let still = world.carol.get(&path).await.expect(200);
    assert_eq!(still["title"], "globex plans");
}

#[tokio::test]
async fn a_foreign_record_cannot_be_deleted() {
    let world = World::new().await;
    world.rules("posts", json!({"delete_rule": ""})).await;
    let foreign = world
        .carol
        .post("/records/posts", json!({"title": "theirs"}))
        .await
        .expect(201);
    let path = format!("/records/posts/{}", foreign["id"].as_str().expect("an id"));
    world.alice.delete(&path).await.expect(404);
    world.carol.delete(&path).await.expect(204);
    world.carol.delete(&path).await.expect(404);
}

#[tokio::test]
async fn lists_and_totals_hold_only_the_own_account() {
    let world = World::new().await;
    for number in 0..3 {
        let body = json!({"title": format!("globex-{number}"), "status": "published"});
        world.carol.post("/records/posts", body).await.expect(201);
    }
    world
        .alice
        .post(
            "/records/posts",
            json!({"title": "acme-0", "status": "published"}),
        )
        .await
        .expect(201);

    let answer = world.alice.get("/records/posts").await;
    assert!(!answer.text.contains("globex"), "{}", answer.text);
    let list = answer.expect(200);
    assert_eq!(list["total"], 1);

    let filter = format!("account_id = \"{}\"", world.account_id("carol"));
    let list = world
        .alice
        .query("/records/posts", &[("filter", &filter)])
        .await
        .expect(200);
    assert_eq!(list["total"], 0);
    let list = world
        .alice
        .query(
            "/records/posts",
            &[("filter", "title ~ \"globex%\" || true = true")],
        )
        .await;
    assert!(!list.text.contains("globex"), "{}", list.text);

    let all = world.root.get("/records/posts").await.expect(200);
    assert_eq!(all["total"], 4, "the superadmin sees every account");
}

#[tokio::test]
async fn the_account_of_a_record_cannot_be_forged() {
    let world = World::new().await;
    let globex = world.account_id("carol");
    let body = json!({"title": "planted", "status": "published", "account_id": globex});
    let refused = world.alice.post("/records/posts", body).await.expect(422);
    assert_eq!(refused["detail"]["field_type"], "system", "{refused}");
    for field in [
        "id",
        "account_id",
        "created_at",
        "created_by",
        "updated_at",
        "updated_by",
    ] {
        world
            .alice
            .post("/records/posts", json!({"title": "x", field: globex}))
            .await
            .expect(422);
    }
    let own = world
        .alice
        .post("/records/posts", json!({"title": "mine"}))
        .await
        .expect(201);
    assert_eq!(own["account_id"].as_str(), Some(world.account_id("alice")));
    let path = format!("/records/posts/{}", own["id"].as_str().expect("an id"));
    world
        .alice
        .patch(&path, json!({"account_id": globex}))
        .await
        .expect(422);
    // The header counts for callers without a token only.
    let answer = world
        .alice
        .with_header("x-account-id", "globex")
        .get("/records/posts")
        .await
        .expect(200);
    assert_eq!(answer["total"], 1);
    assert_eq!(world.carol.get("/records/posts").await.expect(200)["total"], 0);
}

#[tokio::test]
async fn a_unique_value_of_another_account_is_free() {
    let world = World::new().await;
    world
        .define(json!({
            "name": "products",
            "fields": [{"name": "sku", "type": "text", "required": true, "unique": true}],
            "create_rule": "", "list_rule": ""
        }))
        .await;
    world
        .carol
        .post("/records/products", json!({"sku": "A-1"}))
        .await
        .expect(201);
    world
        .alice
        .post("/records/products", json!({"sku": "A-1"}))
        .await
        .expect(201);
    let refused = world.alice.post("/records/products", json!({"sku": "A-1"})).await;
    assert_eq!(refused.codes(), ["sku:not_unique"], "{}", refused.text);
    refused.expect(400);
}

#[tokio::test]
async fn a_reference_cannot_cross_accounts() {
    let world = World::new().await;
    world
        .define(json!({
            "name": "customers", "fields": [{"name": "name", "type": "text"}], "create_rule": "", "list_rule": "", "view_rule": ""
        }))
        .await;
    world
        .define(json!({
            "name": "orders",
            "fields": [{"name": "customer", "type": "reference", "collection": "customers", "on_delete": "restrict", "required": true}],
            "create_rule": "", "list_rule": ""
        }))
        .await;
    let foreign = world
        .carol
        .post("/records/customers", json!({"name": "theirs"}))
        .await
        .expect(201);
    let own = world
        .alice
        .post("/records/customers", json!({"name": "ours"}))
        .await
        .expect(201);

    let refused = world
        .alice
        .post("/records/orders", json!({"customer": foreign["id"]}))
        .await;
    assert_eq!(
        refused.codes(),
        ["customer:invalid_reference"],
        "{}",
        refused.text
    );
    let missing = json!({"customer": "00000000-0000-4000-8000-000000000001"});
    let unknown = world.alice.post("/records/orders", missing).await;
    assert_eq!(
        unknown.status, refused.status,
        "a foreign record and a missing one look alike"
    );
    assert_eq!(unknown.codes(), refused.codes());
    world
        .alice
        .post("/records/orders", json!({"customer": own["id"]}))
        .await
        .expect(201);
}

#[tokio::test]
async fn anonymous_callers_stay_in_the_account_they_name() {
    let world = World::new().await;
    world
        .define(json!({
            "name": "notices", "fields": [{"name": "line", "type": "text"}],
            "list_rule": "", "view_rule": "", "create_rule": ""
        }))
        .await;
    let foreign = world
        .carol
        .post("/records/notices", json!({"line": "globex only"}))
        .await
        .expect(201);
    let own = world
        .anonymous
        .post("/records/notices", json!({"line": "hello"}))
        .await
        .expect(201);
    assert_eq!(own["created_by"], "anonymous");
    assert_eq!(own["account_id"].as_str(), Some(world.account_id("alice")));
    let answer = world.anonymous.get("/records/notices").await;
    assert!(!answer.text.contains("globex only"));
    assert_eq!(answer.expect(200)["total"], 1);
    let path = format!("/records/notices/{}", foreign["id"].as_str().expect("an id"));
    world.anonymous.get(&path).await.expect(404);

    let nameless = world.gateway.api();
    nameless.get("/records/notices").await.expect(400);
    nameless
        .with_header("x-account-id", "nowhere")
        .get("/records/notices")
        .await
        .expect(404);
    let by_code = world.people["alice"]["account"]["account_code"]
        .as_str()
        .expect("a code")
        .to_owned();
    let list = nameless
        .with_header("x-account-id", &by_code)
        .get("/records/notices")
        .await
        .expect(200);
    assert_eq!(list["total"], 1);
}
