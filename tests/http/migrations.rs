//! Plans, destructive changes and the log of schema changes.

use serde_json::{Value, json};
use snackbase_e2e::World;

fn posts(fields: Value) -> Value {
    json!({"collections": [{"name": "posts", "schema": fields}]})
}

#[tokio::test]
async fn a_destructive_change_is_planned_confirmed_and_logged() {
    let world = World::new().await;
    world
        .alice
        .post(
            "/records/posts",
            json!({"title": "1.50", "status": "published", "secret": "s"}),
        )
        .await
        .expect(201);
    world
        .rules(
            "posts",
            json!({"list_fields": "*", "view_fields": "*", "list_rule": "", "view_rule": ""}),
        )
        .await;
    let fields = json!([
        {"name": "title", "type": "number", "required": true}, {"name": "status", "type": "text", "default": "draft"},
        {"name": "rating", "type": "number"}
    ]);
    let plan = world
        .root
        .post("/migrations/plan", posts(fields.clone()))
        .await
        .expect(200);
    assert_eq!(
        plan,
        json!({
            "added": [],
            "removed": [{"collection": "posts", "field": "secret", "type": "text", "destructive": true}],
            "changed": [{"collection": "posts", "field": "title", "from": {"type": "text"}, "to": {"type": "number"}, "destructive": true}]
        })
    );
    let answer = world
        .root
        .post("/migrations/generate", posts(fields.clone()))
        .await;
    assert_eq!(answer.json["plan"], plan, "{}", answer.text);
    assert_eq!(answer.json["error"], "Confirmation required");
    assert!(
        answer.json["message"]
            .as_str()
            .is_some_and(|text| text.contains("confirm"))
    );
    answer.expect(409);
    let mut confirmed = posts(fields);
    confirmed["confirm"] = json!(true);
    let done = world
        .root
        .post("/migrations/generate", confirmed.clone())
        .await
        .expect(200);
    assert_eq!((&done["plan"], &done["applied"]), (&plan, &json!(true)));
    let record = world.alice.get("/records/posts").await.expect(200)["items"][0].clone();
    assert_eq!((&record["title"], record.get("secret")), (&json!(1.5), None));
    assert_eq!(world.audit_findings().await, [""; 0]);
    let again = world
        .root
        .post("/migrations/generate", confirmed)
        .await
        .expect(200);
    assert_eq!(json!([again["revision"], again["applied"]]), json!([null, false]));

    let current = world.root.get("/migrations/current").await.expect(200);
    assert_eq!(current["revision"], done["revision"]);
    let list = world.root.get("/migrations").await.expect(200);
    assert_eq!(
        json!([list["total"], list["current_revision"]]),
        json!([2, done["revision"]])
    );
    assert_eq!(
        list["revisions"][0]["description"],
        "change collection posts: drop secret, retype title"
    );
    let history = world.root.get("/migrations/history").await.expect(200);
    assert_eq!(history["history"][0]["description"], "create collection posts");
}

#[tokio::test]
async fn what_does_not_convert_or_is_in_use_is_named_and_counted() {
    let world = World::new().await;
    for api in [&world.alice, &world.carol] {
        api.post("/records/posts", json!({"title": "words"}))
            .await
            .expect(201);
    }
    let mut body = posts(json!([
        {"name": "title", "type": "number"}, {"name": "rating", "type": "number"}, {"name": "secret", "type": "text"}
    ]));
    body["confirm"] = json!(true);
    let answer = world.root.post("/migrations/generate", body.clone()).await;
    assert_eq!(answer.codes(), ["collections[0].posts.status:field_in_use"]);
    for user in ["list_rule", "view_rule", "list_fields", "view_fields"] {
        assert!(answer.text.contains(user), "{user}: {}", answer.text);
    }
    answer.expect(400);
    world
        .rules(
            "posts",
            json!({"list_rule": null, "view_rule": null, "list_fields": "*", "view_fields": "*"}),
        )
        .await;
    let answer = world.root.post("/migrations/generate", body).await;
    assert_eq!(
        answer.codes(),
        ["collections[0].schema[0]:type_not_convertible"],
        "{}",
        answer.text
    );
    assert_eq!(
        json!([
            answer.json["details"][0]["records"],
            answer.json["details"][0]["accounts"],
            answer.json["error"]
        ]),
        json!([2, 2, "Validation error"])
    );
    answer.expect(400);
    let kept = world.root.get("/collections/posts").await.expect(200);
    assert_eq!(kept["schema"].as_array().map(Vec::len), Some(4));
}

#[tokio::test]
async fn plans_are_for_superadmins() {
    let world = World::new().await;
    let body = posts(json!([{"name": "title", "type": "text"}]));
    for path in ["/migrations/plan", "/migrations/generate", "/collections/import"] {
        for body in [body.clone(), json!({"nonsense": 1})] {
            world.alice.post(path, body.clone()).await.expect(403);
            world.gateway.api().post(path, body).await.expect(401);
        }
        world
            .alice
            .send("POST".parse().expect("a method"), path, Some("{"))
            .await
            .expect(403);
        world
            .root
            .send("POST".parse().expect("a method"), path, Some("{"))
            .await
            .expect(422);
        world.root.post(path, json!({})).await.expect(422);
        world
            .root
            .send("PUT".parse().expect("a method"), path, Some("{}"))
            .await
            .expect(405);
    }
    for path in [
        "/migrations",
        "/migrations/current",
        "/migrations/history",
        "/collections/export",
    ] {
        world.alice.get(path).await.expect(403);
        world.gateway.api().get(path).await.expect(401);
        world.root.get(path).await.expect(200);
    }
}
