//! Export and import of definitions.

use serde_json::{Value, json};
use snackbase_e2e::World;

fn plain(name: &str) -> Value {
    json!({"name": name, "schema": [{"name": "a", "type": "text"}], "rules": {"list_rule": "@owns_record()", "list_fields": "*"}})
}

#[tokio::test]
async fn definitions_travel_from_one_installation_to_another() {
    let (one, two) = (World::new().await, World::new().await);
    one.define(json!({
        "name": "Comments", "list_rule": "@owns_record()", "create_rule": "", "create_fields": ["body", "post"],
        "fields": [{"name": "post", "type": "reference", "collection": "posts", "on_delete": "cascade"}, {"name": "body", "type": "text"}]
    }))
    .await;
    let answer = one.root.get("/collections/export").await;
    assert!(answer.header("content-type").starts_with("application/json"));
    let name = answer.header("content-disposition").to_owned();
    let stamp = name
        .strip_prefix("attachment; filename=collections_export_")
        .and_then(|rest| rest.strip_suffix(".json"))
        .unwrap_or_else(|| panic!("{name}"));
    assert!(
        stamp.len() == 15 && stamp.chars().all(|c| c.is_ascii_digit() || c == '_'),
        "{stamp}"
    );
    let file = answer.expect(200);
    assert_eq!(
        json!([file["version"], file["exported_by"]]),
        json!(["1.0", "root@example.com"])
    );
    let id = one.root.get("/collections/Comments").await.expect(200)["id"].clone();
    let only = one
        .root
        .query(
            "/collections/export",
            &[(
                "collection_ids",
                &format!("{},nothing", id.as_str().expect("an id")),
            )],
        )
        .await
        .expect(200);
    assert_eq!(only["collections"].as_array().map(Vec::len), Some(1));

    let answer = two
        .root
        .post("/collections/import", json!({"data": file, "strategy": "skip"}))
        .await
        .expect(200);
    assert_eq!(
        json!([
            answer["success"],
            answer["imported_count"],
            answer["skipped_count"],
            answer["updated_count"],
            answer["failed_count"]
        ]),
        json!([true, 1, 1, 0, 0])
    );
    assert_eq!(
        json!([
            answer["collections"][0]["status"],
            answer["collections"][1]["status"],
            answer["migrations_created"].as_array().map(Vec::len)
        ]),
        json!(["skipped", "imported", 1])
    );
    let post = two
        .alice
        .post("/records/posts", json!({"title": "t"}))
        .await
        .expect(201);
    two.alice
        .post("/records/Comments", json!({"post": post["id"], "body": "b"}))
        .await
        .expect(201);
    assert_eq!(two.bob.get("/records/Comments").await.expect(200)["total"], 0);
    let exported = two.root.get("/collections/export").await.expect(200);
    assert_eq!(exported["collections"][1], file["collections"][1]);
}

#[tokio::test]
async fn an_import_answers_200_even_when_everything_failed() {
    let world = World::new().await;
    let mut broken = plain("broken");
    broken["rules"]["list_rule"] = json!("nosuch = 1");
    let file = json!({"version": "1.0", "collections": [plain("posts"), broken]});
    let answer = world
        .root
        .post("/collections/import", json!({"data": file}))
        .await
        .expect(200);
    assert_eq!(
        json!([answer["success"], answer["failed_count"]]),
        json!([false, 2])
    );
    let messages: Vec<&str> = answer["collections"]
        .as_array()
        .expect("a list")
        .iter()
        .filter_map(|item| item["message"].as_str())
        .collect();
    assert_eq!(messages[0], "Collection 'posts' exists already");
    assert!(messages[1].starts_with("Invalid list_rule: "), "{messages:?}");
    let names = world.root.get("/collections/names").await.expect(200);
    assert_eq!(names["names"], json!(["posts"]));

    let other = json!({"version": "2.0", "collections": []});
    let answer = world
        .root
        .post("/collections/import", json!({"data": other}))
        .await;
    assert_eq!(answer.json["error"], "Validation error");
    assert_eq!(answer.codes(), ["data.version:version_unsupported"]);
    answer.expect(400);
    for body in [
        json!({}),
        json!({"data": []}),
        json!({"data": {"version": "1.0"}}),
        json!({"data": file, "strategy": "merge"}),
    ] {
        world.root.post("/collections/import", body).await.expect(422);
    }
}

#[tokio::test]
async fn an_atomic_import_leaves_nothing_when_one_collection_fails() {
    let world = World::new().await;
    let link = |name: &str, to: &str| json!({"name": name, "schema": [{"name": "link", "type": "reference", "collection": to, "on_delete": "restrict"}]});
    let body = |more: Value| json!({"atomic": true, "data": {"version": "1.0", "collections": [link("left", "right"), link("right", "left"), more]}});
    let answer = world
        .root
        .post("/collections/import", body(plain("posts")))
        .await
        .expect(200);
    assert_eq!(
        json!([answer["success"], answer["failed_count"]]),
        json!([false, 3])
    );
    world.root.get("/collections/left").await.expect(404);
    let answer = world
        .root
        .post("/collections/import", body(plain("other")))
        .await
        .expect(200);
    assert_eq!(
        json!([answer["success"], answer["imported_count"]]),
        json!([true, 3])
    );
    // A cycle cannot be dropped by halves: that needs a plan.
    let refused = world.root.delete("/collections/left").await.expect(409);
    assert_eq!(
        refused["referenced_by"],
        json!([{"collection": "right", "field": "link"}])
    );
}
