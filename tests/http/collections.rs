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
async fn a_definition_is_refused_with_every_fault() {
    let world = World::new().await;
    let field = |change: Value| {
        let mut field = json!({"name": "a", "type": "text"});
        field
            .as_object_mut()
            .expect("an object")
            .extend(change.as_object().expect("an object").clone());
        field
    };
    let one = |field: Value| json!({"name": "things", "fields": [field]});
    let reference = json!({"type": "reference", "collection": "nothing", "on_delete": "cascade"});
    let cases = [
        (
            json!({"name": "1things", "fields": [field(json!({}))]}),
            "name_invalid_format",
        ),
        (
            json!({"name": "a".repeat(60), "fields": [field(json!({}))]}),
            "name_too_long",
        ),
        (one(field(json!({"name": "9x"}))), "field_name_invalid_format"),
        (one(field(json!({"name": "Account_ID"}))), "field_name_reserved"),
        (one(field(json!({"name": "xmin"}))), "field_name_reserved"),
        (one(field(json!({"name": "in"}))), "field_name_reserved"),
        (one(field(json!({"type": "money"}))), "field_type_invalid"),
        (
            one(field(json!({"type": "number", "default": "x"}))),
            "default_invalid",
        ),
        (
            one(field(json!({"type": "reference", "on_delete": "cascade"}))),
            "reference_collection_required",
        ),
        (
            one(field(json!({"type": "reference", "collection": "posts"}))),
            "reference_on_delete_required",
        ),
        (
            one(field(
                json!({"type": "reference", "collection": "posts", "on_delete": "explode"}),
            )),
            "reference_on_delete_invalid",
        ),
        (one(field(reference)), "reference_collection_not_found"),
        (
            json!({"name": "things", "fields": [field(json!({})), field(json!({"name": "A"}))]}),
            "field_name_duplicate",
        ),
    ];
    for (definition, code) in cases {
        let answer = world.root.post("/collections", definition.clone()).await;
        let codes = answer.codes();
        assert!(
            codes.iter().any(|found| found.ends_with(&format!(":{code}"))),
            "{definition}: {codes:?} {}",
            answer.text
        );
        assert!(
            answer.json["message"]
                .as_str()
                .is_some_and(|text| text.starts_with("Validation failed: "))
        );
        answer.expect(400);
    }
    for shape in [
        json!({"name": "ab", "fields": [field(json!({}))]}),
        json!({"name": "things", "fields": []}),
        json!({"name": 5, "fields": [field(json!({}))]}),
        json!({"name": "things"}),
    ] {
        let answer = world.root.post("/collections", shape.clone()).await;
        assert_eq!(answer.status, 422, "{shape}: {}", answer.text);
    }
    let mut rule = one(field(json!({})));
    rule["list_rule"] = json!("nothing = 1");
    let answer = world.root.post("/collections", rule).await;
    assert!(answer.text.contains("Invalid list_rule"), "{}", answer.text);
    answer.expect(400);
    for taken in ["posts", "POSTS"] {
        let answer = world
            .root
            .post(
                "/collections",
                json!({"name": taken, "fields": [field(json!({}))]}),
            )
            .await;
        assert_eq!(answer.json["field"], "name", "{}", answer.text);
        answer.expect(409);
    }
    let names = world.root.get("/collections/names").await.expect(200);
    assert_eq!(names["names"], json!(["posts"]), "nothing was created on the way");
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
    world.root.delete("/collections/posts").await.expect(200);
}
