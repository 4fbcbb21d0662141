//! Roles and their permissions over HTTP.

use serde_json::{Value, json};
use snackbase_e2e::{Scenario, World, run};

#[tokio::test]
async fn a_permission_narrows_what_its_role_sees_and_writes() {
    let world = World::new().await;
    world
        .rules("posts", json!({"list_rule": "", "update_rule": ""}))
        .await;
    for rating in 1..=3 {
        world
            .alice
            .post("/records/posts", json!({"title": "t", "rating": rating}))
            .await
            .expect(201);
    }
    let bulk = json!({"updates": [
        {"collection": "posts", "operation": "read", "rule": "rating > 1", "fields": ["title", "rating"]},
        {"collection": "posts", "operation": "update", "rule": "", "fields": ["title"]},
        {"collection": "*", "operation": "create", "rule": "@owns_record()", "fields": "*"},
        {"collection": "posts", "operation": "delete", "rule": "nosuch = 1", "fields": "*"}
    ]});
    let answer = world
        .root
        .put("/roles/2/permissions/bulk", bulk)
        .await
        .expect(200);
    assert_eq!(
        (&answer["success_count"], &answer["failure_count"]),
        (&json!(3), &json!(1))
    );
    assert!(
        answer["errors"][0].as_str().expect("a text").contains("nosuch"),
        "{answer}"
    );

    let listed = world.bob.get("/records/posts").await.expect(200);
    assert_eq!(listed["total"], 2);
    let post = &listed["items"][0];
    assert!(
        post.get("title").is_some() && post.get("status").is_none(),
        "{post}"
    );
    assert_eq!(
        world.alice.get("/records/posts").await.expect(200)["total"],
        3,
        "alice is of another role"
    );
    world
        .bob
        .query("/records/posts", &[("filter", "status = \"draft\"")])
        .await
        .expect(400);
    let path = format!("/records/posts/{}", post["id"].as_str().expect("an id"));
    let refused = world.bob.patch(&path, json!({"rating": 9})).await.expect(422);
    assert_eq!(refused["detail"]["unauthorized_fields"], json!(["rating"]));
    world.bob.patch(&path, json!({"title": "new"})).await.expect(200);

    let shown = world.root.get("/roles/2/permissions").await.expect(200);
    assert_eq!(
        (&shown["role_id"], &shown["role_name"]),
        (&json!(2), &json!("user"))
    );
    let posts = &shown["permissions"][1];
    assert_eq!(
        (&posts["collection"], &posts["delete"]),
        (&json!("posts"), &Value::Null)
    );
    assert_eq!(
        posts["read"],
        json!({"rule": "rating > 1", "fields": ["title", "rating"]})
    );
    let matrix = world.root.get("/roles/1/permissions/matrix").await.expect(200);
    assert_eq!(matrix["permissions"][0]["collection"], "posts");
    world
        .root
        .delete(&format!("/roles/permissions/{}", posts["permission_id"]))
        .await
        .expect(204);
    assert_eq!(world.bob.get("/records/posts").await.expect(200)["total"], 3);
    assert_eq!(world.audit_findings().await, [""; 0]);
}

#[tokio::test]
async fn roles_have_a_life_of_their_own() {
    let world = World::new().await;
    let made = world
        .root
        .post("/roles", json!({"name": " editor ", "description": "d"}))
        .await
        .expect(201);
    assert_eq!(made["name"], "editor");
    let one = format!("/roles/{}", made["id"]);
    assert_eq!(
        world.root.put(&one, json!({"name": "writer"})).await.expect(200)["description"],
        "d"
    );
    assert_eq!(world.root.get(&one).await.expect(200)["name"], "writer");
    let listed = world.root.get("/roles").await.expect(200);
    assert_eq!(
        (&listed["total"], &listed["items"][0]["name"]),
        (&json!(3), &json!("admin"))
    );
    let put = format!("PUT {one}");
    let bulk = format!("PUT {one}/permissions/bulk");
    let line = |name, caller, request, body, status, contains| Scenario {
        name,
        caller,
        request,
        body,
        status,
        contains,
        lacks: &[],
    };
    run(&[
        line(
            "member",
            &world.alice,
            "GET /roles",
            Value::Null,
            403,
            &["Superadmin"],
        ),
        line(
            "member, nonsense",
            &world.alice,
            &bulk,
            json!({"updates": 1}),
            403,
            &["Superadmin"],
        ),
        line("anonymous", &world.anonymous, "GET /roles", Value::Null, 401, &[]),
        line(
            "taken",
            &world.root,
            "POST /roles",
            json!({"name": "admin"}),
            409,
            &["\"name\""],
        ),
        line(
            "blank",
            &world.root,
            "POST /roles",
            json!({"name": "  "}),
            422,
            &["\"name\""],
        ),
        line(
            "long",
            &world.root,
            &put,
            json!({"name": "x".repeat(51)}),
            422,
            &["\"name\""],
        ),
        line(
            "rename to taken",
            &world.root,
            &put,
            json!({"name": "user"}),
            409,
            &[],
        ),
        line(
            "built in",
            &world.root,
            "PUT /roles/1",
            json!({"name": "x"}),
            422,
            &["admin and user"],
        ),
        line(
            "delete built in",
            &world.root,
            "DELETE /roles/2",
            Value::Null,
            422,
            &["admin and user"],
        ),
        line(
            "no such role",
            &world.root,
            "GET /roles/99/permissions",
            Value::Null,
            404,
            &["Role 99 not found"],
        ),
        line(
            "word id",
            &world.root,
            "GET /roles/x",
            Value::Null,
            422,
            &["path"],
        ),
        line("no updates", &world.root, &bulk, json!({}), 422, &["updates"]),
        line(
            "operation",
            &world.root,
            &bulk,
            json!({"updates": [{"collection": "posts", "operation": "list", "rule": "", "fields": "*"}]}),
            422,
            &["updates"],
        ),
        line(
            "no permission",
            &world.root,
            "DELETE /roles/permissions/99",
            Value::Null,
            404,
            &["Permission 99 not found"],
        ),
    ])
    .await;
    world.root.delete(&one).await.expect(204);
    world.root.get(&one).await.expect(404);
}
