//! Locked, public and expression rules, and the field lists beside them.

use serde_json::{Value, json};
use snackbase_e2e::{Scenario, World, run};

#[tokio::test]
async fn a_rule_has_three_states() {
    let world = World::new().await;
    world
        .define(json!({"name": "locked", "fields": [{"name": "title", "type": "text"}]}))
        .await;
    world
        .define(json!({
            "name": "open", "fields": [{"name": "title", "type": "text"}],
            "list_rule": "", "view_rule": "", "create_rule": "", "update_rule": "", "delete_rule": ""
        }))
        .await;
    let record = world
        .alice
        .post("/records/open", json!({"title": "one"}))
        .await
        .expect(201);
    let one = format!("/records/open/{}", record["id"].as_str().expect("an id"));
    let (view, patch, delete) = (
        format!("GET {one}"),
        format!("PATCH {one}"),
        format!("DELETE {one}"),
    );
    let line = |name, caller, request, body, status, contains| Scenario {
        name,
        caller,
        request,
        body,
        status,
        contains,
        lacks: &[],
    };
    let none = Value::Null;
    run(&[
        line(
            "locked, list",
            &world.alice,
            "GET /records/locked",
            none.clone(),
            403,
            &["locked"],
        ),
        line(
            "locked, create",
            &world.alice,
            "POST /records/locked",
            json!({"title": "x"}),
            403,
            &["locked"],
        ),
        line(
            "locked, anonymous",
            &world.anonymous,
            "GET /records/locked",
            none.clone(),
            403,
            &["locked"],
        ),
        line(
            "locked, superadmin",
            &world.root,
            "GET /records/locked",
            none.clone(),
            200,
            &["\"total\""],
        ),
        line(
            "public, member",
            &world.bob,
            "GET /records/open",
            none.clone(),
            200,
            &["one"],
        ),
        line(
            "public, anonymous",
            &world.anonymous,
            "GET /records/open",
            none.clone(),
            200,
            &["one"],
        ),
        line(
            "public, view",
            &world.anonymous,
            &view,
            none.clone(),
            200,
            &["one"],
        ),
        line(
            "public, patch",
            &world.bob,
            &patch,
            json!({"title": "two"}),
            200,
            &["two"],
        ),
        line("public, delete", &world.bob, &delete, none.clone(), 204, &[]),
        line(
            "expression, anonymous",
            &world.anonymous,
            "GET /records/posts",
            none.clone(),
            401,
            &[],
        ),
        line(
            "unknown collection",
            &world.alice,
            "GET /records/nothing",
            none,
            404,
            &["Collection 'nothing' not found"],
        ),
    ])
    .await;
}

#[tokio::test]
async fn an_expression_selects_rows() {
    let world = World::new().await;
    world
        .alice
        .post("/records/posts", json!({"title": "alice draft"}))
        .await
        .expect(201);
    let published = json!({"title": "alice published", "status": "published"});
    world.alice.post("/records/posts", published).await.expect(201);
    let draft = world
        .bob
        .post("/records/posts", json!({"title": "bob draft"}))
        .await
        .expect(201);

    let seen = |list: Value| -> Vec<String> {
        let items = list["items"].as_array().expect("items").clone();
        let mut titles: Vec<_> = items
            .iter()
            .map(|item| item["title"].as_str().unwrap_or("?").to_owned())
            .collect();
        titles.sort();
        assert_eq!(list["total"], titles.len(), "total is counted after the rule");
        titles
    };
    assert_eq!(
        seen(world.alice.get("/records/posts").await.expect(200)),
        ["alice draft", "alice published"]
    );
    assert_eq!(
        seen(world.bob.get("/records/posts").await.expect(200)),
        ["alice published", "bob draft"]
    );

    let path = format!("/records/posts/{}", draft["id"].as_str().expect("an id"));
    world.alice.get(&path).await.expect(404);
    world.bob.get(&path).await.expect(200);
    world
        .alice
        .patch(&path, json!({"title": "stolen"}))
        .await
        .expect(404);
    assert_eq!(
        world
            .bob
            .patch(&path, json!({"title": "edited"}))
            .await
            .expect(200)["title"],
        "edited"
    );
}

#[tokio::test]
async fn data_rules_judge_the_new_row() {
    let world = World::new().await;
    world
        .define(json!({
            "name": "tickets",
            "fields": [{"name": "title", "type": "text"}, {"name": "state", "type": "text"}],
            "list_rule": "", "view_rule": "",
            "create_rule": "@request.data.state = \"new\"",
            "update_rule": "state != \"closed\" && @request.data.state != \"new\""
        }))
        .await;
    let refused = world
        .alice
        .post("/records/tickets", json!({"title": "t", "state": "closed"}))
        .await;
    assert!(
        refused.text.contains("Record does not satisfy collection rules"),
        "{}",
        refused.text
    );
    refused.expect(400);
    let ticket = world
        .alice
        .post("/records/tickets", json!({"title": "t", "state": "new"}))
        .await
        .expect(201);
    let path = format!("/records/tickets/{}", ticket["id"].as_str().expect("an id"));
    world
        .alice
        .patch(&path, json!({"title": "still new"}))
        .await
        .expect(400);
    world
        .alice
        .patch(&path, json!({"state": "closed"}))
        .await
        .expect(200);
    // The old row is closed now: the record part of the rule no longer holds.
    world
        .alice
        .patch(&path, json!({"state": "open"}))
        .await
        .expect(404);
}

#[tokio::test]
async fn a_hidden_field_is_neither_shown_nor_filtered_nor_sorted_by() {
    let world = World::new().await;
    let body = json!({"title": "t", "status": "published", "secret": "classified"});
    let created = world.alice.post("/records/posts", body).await.expect(201);
    let path = format!("GET /records/posts/{}", created["id"].as_str().expect("an id"));
    let line = |name, request, status, contains, lacks| Scenario {
        name,
        caller: &world.alice,
        request,
        body: Value::Null,
        status,
        contains,
        lacks,
    };
    run(&[
        line(
            "list",
            "GET /records/posts",
            200,
            &["\"title\""],
            &["classified", "\"secret\""],
        ),
        line("view", &path, 200, &["\"title\""], &["classified", "\"secret\""]),
        line(
            "fields",
            "GET /records/posts?fields=title,secret",
            200,
            &["\"title\""],
            &["classified"],
        ),
        line(
            "filter",
            "GET /records/posts?filter=secret+%3D+%22classified%22",
            400,
            &[],
            &["classified\""],
        ),
        line(
            "guess",
            "GET /records/posts?filter=secret+~+%22c%25%22",
            400,
            &[],
            &[],
        ),
        line(
            "sort",
            "GET /records/posts?sort=secret",
            200,
            &["\"title\""],
            &["classified"],
        ),
    ])
    .await;
    let all = world.root.get("/records/posts").await;
    assert!(
        all.text.contains("classified"),
        "the superadmin is not bound by field lists: {}",
        all.text
    );
}

#[tokio::test]
async fn a_field_outside_the_list_cannot_be_written() {
    let world = World::new().await;
    world
        .rules(
            "posts",
            json!({"create_fields": "[\"title\",\"status\"]", "update_fields": "[\"status\"]"}),
        )
        .await;
    let refused = world
        .alice
        .post(
            "/records/posts",
            json!({"title": "t", "rating": 5, "secret": "s"}),
        )
        .await
        .expect(422);
    assert_eq!(refused["detail"]["error"], "Field access denied", "{refused}");
    assert_eq!(
        refused["detail"]["unauthorized_fields"],
        json!(["rating", "secret"])
    );
    assert_eq!(refused["detail"]["allowed_fields"], json!(["status", "title"]));
    assert_eq!(refused["detail"]["field_type"], "restricted");

    let created = world
        .alice
        .post("/records/posts", json!({"title": "t"}))
        .await
        .expect(201);
    assert!(
        created.get("rating").is_none(),
        "the answer is trimmed to the same list: {created}"
    );
    assert!(created.get("id").is_some() && created.get("created_at").is_some());
    let path = format!("/records/posts/{}", created["id"].as_str().expect("an id"));
    world.alice.patch(&path, json!({"title": "u"})).await.expect(422);
    let patched = world
        .alice
        .patch(&path, json!({"status": "published"}))
        .await
        .expect(200);
    assert!(patched.get("title").is_none(), "{patched}");
}

#[tokio::test]
async fn rules_are_read_and_changed() {
    let world = World::new().await;
    let rules = world.root.get("/collections/posts/rules").await.expect(200);
    assert_eq!(rules["create_rule"], "");
    assert_eq!(rules["delete_rule"], Value::Null);
    assert_eq!(rules["list_fields"], "[\"title\",\"status\",\"rating\"]");
    assert_eq!(rules["update_fields"], "*");

    let changed = world
        .rules(
            "posts",
            json!({"delete_rule": "@owns_record()", "list_fields": ["title"]}),
        )
        .await;
    assert_eq!(changed["delete_rule"], "@owns_record()");
    assert_eq!(changed["list_fields"], "[\"title\"]");
    assert_eq!(changed["create_rule"], "", "keys that are absent stay");

    let line = |name, body, status, contains| Scenario {
        name,
        caller: &world.root,
        request: "PUT /collections/posts/rules",
        body,
        status,
        contains,
        lacks: &[],
    };
    run(&[
        line(
            "unknown field",
            json!({"list_rule": "nothing = 1"}),
            400,
            &["Invalid list_rule"],
        ),
        line(
            "syntax",
            json!({"list_rule": "title = "}),
            400,
            &["Invalid list_rule", "position"],
        ),
        line(
            "white space",
            json!({"list_rule": "  "}),
            400,
            &["Invalid list_rule"],
        ),
        line(
            "unknown name in a list",
            json!({"list_fields": ["nothing"]}),
            400,
            &[],
        ),
        line("unknown key", json!({"lst_rule": ""}), 422, &[]),
        line("no text", json!({"list_rule": 5}), 422, &[]),
    ])
    .await;
    let kept = world.root.get("/collections/posts/rules").await.expect(200);
    assert_eq!(
        kept["list_rule"], "status = \"published\" || @owns_record()",
        "a refused change changes nothing"
    );
    world.alice.get("/collections/posts/rules").await.expect(403);
    world.root.get("/collections/nothing/rules").await.expect(404);
}

#[tokio::test]
async fn a_rule_change_binds_the_next_request() {
    let world = World::new().await;
    world
        .alice
        .post("/records/posts", json!({"title": "t", "status": "published"}))
        .await
        .expect(201);
    assert_eq!(world.bob.get("/records/posts").await.expect(200)["total"], 1);
    world.rules("posts", json!({"list_rule": "@owns_record()"})).await;
    assert_eq!(world.bob.get("/records/posts").await.expect(200)["total"], 0);
    world.rules("posts", json!({"list_rule": null})).await;
    world.bob.get("/records/posts").await.expect(403);
    world
        .rules("posts", json!({"list_rule": "@has_role(\"admin\")"}))
        .await;
    assert_eq!(world.bob.get("/records/posts").await.expect(200)["total"], 0);
    assert_eq!(world.alice.get("/records/posts").await.expect(200)["total"], 1);
}

#[tokio::test]
async fn rules_are_validated_and_tried_before_they_are_saved() {
    let world = World::new().await;
    let validate = async |body: Value| world.root.post("/rules/validate", body).await;
    let fields = json!(["title", "rating"]);
    let good = validate(json!({"rule": "rating > 1", "operation": "list", "collectionFields": fields})).await;
    assert_eq!(good.expect(200), json!({"valid": true, "diagnostics": []}));
    let bad = validate(json!({"rule": "rating >", "operation": "list", "collectionFields": fields}))
        .await
        .expect(200);
    assert_eq!(
        (
            &bad["valid"],
            &bad["diagnostics"][0]["code"],
            &bad["diagnostics"][0]["position"]
        ),
        (&json!(false), &json!("syntax"), &json!(8))
    );
    assert!(bad["errors"][0].is_string(), "{bad}");
    let typed = validate(json!({"rule": "rating = \"x\"", "operation": "list", "collectionFields": fields, "collection": "posts"})).await.expect(200);
    assert_eq!(typed["diagnostics"][0]["code"], "type_mismatch");
    let warned = validate(json!({"rule": "rating = null", "operation": "list", "collectionFields": fields}))
        .await
        .expect(200);
    assert_eq!(
        (&warned["valid"], warned["warnings"].as_array().map(Vec::len)),
        (&json!(true), Some(1)),
        "{warned}"
    );

    let context =
        json!({"auth": {"id": "u1", "role": "editor"}, "record": {"owner": "u1", "secret": "hidden value"}});
    let tried = world
        .root
        .post(
            "/rules/test",
            json!({"rule": "owner = @request.auth.id && @has_role(\"editor\")", "context": context}),
        )
        .await;
    assert_eq!(tried.expect(200), json!({"result": true}));
    let refused = world
        .root
        .post("/rules/test", json!({"rule": "nosuch = 1", "context": context}))
        .await;
    assert!(!refused.text.contains("hidden value"), "{}", refused.text);
    assert_eq!(refused.expect(400)["errors"][0]["code"], "unknown_field");
    let checked = world
        .root
        .post("/roles/validate-rule", json!({"rule": "a = = 1"}))
        .await
        .expect(200);
    assert_eq!(
        (&checked["valid"], checked["error"].is_string()),
        (&json!(false), true)
    );
    assert_eq!(
        world
            .root
            .post("/roles/validate-rule", json!({"rule": "a = 1"}))
            .await
            .expect(200),
        json!({"valid": true})
    );
    let tried = world
        .root
        .post(
            "/roles/test-rule",
            json!({"rule": "owner = \"u2\"", "context": {"owner": "u1"}}),
        )
        .await
        .expect(200);
    assert_eq!(
        (
            &tried["allowed"],
            &tried["evaluation_details"]["clauses"]["value"]
        ),
        (&json!(false), &json!(false))
    );
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
            "POST /rules/validate",
            json!({}),
            403,
            &["Superadmin"],
        ),
        line(
            "member tries",
            &world.alice,
            "POST /rules/test",
            json!({"rule": "true", "context": {}}),
            403,
            &["Superadmin"],
        ),
        line(
            "anonymous",
            &world.anonymous,
            "POST /rules/test",
            json!({"rule": "true", "context": {}}),
            401,
            &[],
        ),
        line(
            "no operation",
            &world.root,
            "POST /rules/validate",
            json!({"rule": ""}),
            422,
            &["operation"],
        ),
        line(
            "bad operation",
            &world.root,
            "POST /rules/validate",
            json!({"rule": "", "operation": "peek"}),
            422,
            &["operation"],
        ),
        line(
            "bad fields",
            &world.root,
            "POST /rules/validate",
            json!({"rule": "", "operation": "list", "collectionFields": "a"}),
            422,
            &["collectionFields"],
        ),
        line(
            "no context",
            &world.root,
            "POST /rules/test",
            json!({"rule": ""}),
            422,
            &["context"],
        ),
        line(
            "no rule",
            &world.root,
            "POST /roles/test-rule",
            json!({"context": {}}),
            422,
            &["rule"],
        ),
        line(
            "unknown collection",
            &world.root,
            "POST /rules/test",
            json!({"rule": "true", "context": {"collection": "nosuch"}}),
            404,
            &["nosuch"],
        ),
    ])
    .await;
}
