//! Collections: define, change, drop, and what is refused.

use serde_json::{Value, json};
use snackbase_e2e::World;

#[tokio::test]
async fn a_collection_is_defined_read_and_dropped() {
    let world = World::new().await;
    let made = world
        .define(json!({"name": "Invoices", "fields": [{"name": "number", "type": "text", "unique": true}, {"name": "paid", "type": "boolean"}], "label": "ignored"}))
        .await;
    assert_eq!(made["name"], "Invoices");
    assert_eq!(made["table_name"], "col_invoices");
    let keys: Vec<_> = made["schema"][0]
        .as_object()
        .expect("a field")
        .keys()
        .cloned()
        .collect();
    for key in [
        "name",
        "type",
        "required",
        "default",
        "unique",
        "options",
        "collection",
        "on_delete",
        "pii",
        "mask_type",
        "encrypted",
        "expression",
        "return_type",
    ] {
        assert!(keys.contains(&key.to_owned()), "{key} is missing: {keys:?}");
    }
    let id = made["id"].as_str().expect("an id");
    assert_eq!(
        world.root.get(&format!("/collections/{id}")).await.expect(200)["name"],
        "Invoices"
    );
    assert_eq!(
        world.root.get("/collections/Invoices").await.expect(200)["id"].as_str(),
        Some(id)
    );
    let names = world.root.get("/collections/names").await.expect(200);
    assert_eq!(names["names"], json!(["Invoices", "posts"]));

    let list = world.root.get("/collections?search=inv").await.expect(200);
    assert_eq!(
        (
            list["total"].as_u64(),
            list["page"].as_u64(),
            list["page_size"].as_u64()
        ),
        (Some(1), Some(1), Some(25))
    );
    assert_eq!(list["items"][0]["fields_count"], 2);
    assert_eq!(list["items"][0]["records_count"], 0);
    assert_eq!(list["items"][0]["has_public_access"], false);

    // Locked until rules say otherwise; the name is matched exactly.
    world.alice.get("/records/Invoices").await.expect(403);
    world.alice.get("/records/invoices").await.expect(404);
    world
        .root
        .post("/records/Invoices", json!({"number": "1"}))
        .await
        .expect(201);
    let dropped = world.root.delete(&format!("/collections/{id}")).await.expect(200);
    assert_eq!(dropped["records_deleted"], 1);
    assert_eq!(dropped["table_name"], "col_invoices");
    world.root.delete(&format!("/collections/{id}")).await.expect(404);
    world.alice.get("/records/Invoices").await.expect(404);
    assert_eq!(
        world.audit_findings().await,
        [""; 0],
        "the trail outlives its collection"
    );
}

#[tokio::test]
async fn fields_can_be_added_and_tightened() {
    let world = World::new().await;
    let collection = |fields: Value| json!({"schema": fields});
    let define = json!({"name": "tasks", "fields": [{"name": "title", "type": "text"}], "list_rule": "", "create_rule": "", "view_rule": ""});
    let id = world.define(define).await["id"]
        .as_str()
        .expect("an id")
        .to_owned();
    let path = format!("/collections/{id}");
    let old = world
        .alice
        .post("/records/tasks", json!({"title": null}))
        .await
        .expect(201);

    let title = json!({"name": "title", "type": "text"});
    let two = json!([title, {"name": "points", "type": "number", "default": 3}]);
    let changed = world.root.put(&path, collection(two.clone())).await.expect(200);
    assert_eq!(changed["schema"].as_array().map(Vec::len), Some(2));
    let new = world
        .alice
        .post("/records/tasks", json!({"title": "new"}))
        .await
        .expect(201);
    assert_eq!(new["points"].as_f64(), Some(3.0));
    world
        .alice
        .get(&format!("/records/tasks/{}", old["id"].as_str().expect("an id")))
        .await
        .expect(200);

    let removed = world.root.put(&path, collection(json!([title]))).await;
    assert!(removed.text.contains("deletion"), "{}", removed.text);
    removed.expect(400);
    let retyped = world
        .root
        .put(
            &path,
            collection(json!([title, {"name": "points", "type": "text"}])),
        )
        .await;
    assert!(retyped.text.contains("type change"), "{}", retyped.text);
    retyped.expect(400);
    let required = json!([{"name": "title", "type": "text", "required": true}, {"name": "points", "type": "number", "default": 3}]);
    world.root.put(&path, collection(required)).await.expect(400);
    let added = json!([title, {"name": "points", "type": "number", "default": 3}, {"name": "due", "type": "date", "required": true}]);
    let answer = world.root.put(&path, collection(added)).await;
    assert!(
        answer.text.contains("required_without_default"),
        "{}",
        answer.text
    );
    world
        .alice
        .post("/records/tasks", json!({"title": "new"}))
        .await
        .expect(201);
    let unique = json!([{"name": "title", "type": "text", "unique": true}, {"name": "points", "type": "number", "default": 3}]);
    let answer = world.root.put(&path, collection(unique)).await;
    assert!(answer.text.contains("unique_violated"), "{}", answer.text);
    answer.expect(400);
    let kept = world.root.get(&path).await.expect(200);
    assert_eq!(
        kept["schema"], changed["schema"],
        "a refused change changes nothing"
    );
    world.root.put(&path, json!({"name": "other"})).await.expect(400);
    world.root.put(&path, json!({})).await.expect(422);
    world
        .root
        .put("/collections/nothing", collection(two))
        .await
        .expect(404);
}

#[tokio::test]
async fn a_collection_in_use_cannot_be_dropped() {
    let world = World::new().await;
    world
        .define(json!({"name": "comments", "fields": [{"name": "post", "type": "reference", "collection": "posts", "on_delete": "cascade"}]}))
        .await;
    let answer = world.root.delete("/collections/posts").await.expect(409);
    assert_eq!(
        answer["referenced_by"],
        json!([{"collection": "comments", "field": "post"}]),
        "{answer}"
    );
    world.root.delete("/collections/comments").await.expect(200);
    let superuser = world.database.superuser().await;
    superuser
        .batch_execute("create view public.report as select title from snackbase_bi.posts")
        .await
        .expect("a view of somebody's own");
    let answer = world.root.delete("/collections/posts").await;
    assert_eq!(answer.codes(), ["view public.report:in_use"], "{}", answer.text);
    answer.expect(409);
    // A field that comes is no matter to it, one that goes is.
    let wider = json!({"schema": [
        {"name": "more", "type": "date"}, {"name": "title", "type": "text", "required": true},
        {"name": "status", "type": "text", "default": "draft"}, {"name": "rating", "type": "number"},
        {"name": "secret", "type": "text"}
    ], "list_fields": "*"});
    world.root.put("/collections/posts", wider).await.expect(200);
    let answer = world
        .root
        .put("/collections/posts/rules", json!({"list_fields": ["status"]}))
        .await;
    assert_eq!(answer.codes(), ["view public.report:in_use"], "{}", answer.text);
    answer.expect(409);
    superuser
        .batch_execute("drop view public.report")
        .await
        .expect("no view");
    world.root.delete("/collections/posts").await.expect(200);
}
