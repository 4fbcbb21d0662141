//! Custom macros over HTTP: `/macros`, and rules that use them on every path.

use serde_json::{Value, json};
use snackbase_e2e::{Scenario, World, run};

async fn create(world: &World, name: &str, body: &str) -> i64 {
    let made = world
        .root
        .post("/macros", json!({"name": name, "sql_query": body}))
        .await
        .expect(201);
    made["id"].as_i64().expect("an id")
}

#[tokio::test]
async fn macros_are_created_read_changed_and_deleted() {
    let world = World::new().await;
    let body = json!({"name": "is_fine", "sql_query": "SELECT :title <> 'bad'", "parameters": ["title"], "description": "d"});
    let made = world.root.post("/macros", body).await.expect(201);
    let mut keys: Vec<&str> = made
        .as_object()
        .expect("an object")
        .keys()
        .map(String::as_str)
        .collect();
    keys.sort_unstable();
    assert_eq!(
        keys,
        [
            "created_at",
            "created_by",
            "description",
            "id",
            "name",
            "parameters",
            "sql_query",
            "updated_at"
        ]
    );
    assert_eq!(made["created_by"], world.user_id("root"));
    let path = format!("/macros/{}", made["id"]);
    assert_eq!(world.bob.get(&path).await.expect(200), made);
    create(&world, "another", "true").await;
    let names: Vec<Value> = world
        .bob
        .get("/macros")
        .await
        .expect(200)
        .as_array()
        .expect("a bare array")
        .iter()
        .map(|m| m["name"].clone())
        .collect();
    assert_eq!(names, ["another", "is_fine"]);
    assert_eq!(
        world.bob.get("/macros?skip=1&limit=1").await.expect(200)[0]["name"],
        "is_fine"
    );

    let changed = world
        .root
        .put(&path, json!({"description": "e", "name": null}))
        .await
        .expect(200);
    assert_eq!(
        (&changed["description"], &changed["name"], &changed["parameters"]),
        (&json!("e"), &made["name"], &json!(["title"]))
    );
    let tested = world
        .root
        .post(&format!("{path}/test"), json!({"parameters": ["good"]}))
        .await
        .expect(200);
    assert_eq!(
        (&tested["result"], &tested["rows_affected"]),
        (&json!("true"), &json!(0))
    );
    assert!(tested["execution_time"].is_f64(), "{tested}");
    world.root.delete(&path).await.expect(204);
    world.root.get(&path).await.expect(404);
}

#[tokio::test]
async fn what_does_not_fit_is_refused_in_the_words_of_the_contract() {
    let world = World::new().await;
    let id = create(&world, "taken", "select $1 = 'a'").await;
    let (one, test) = (format!("/macros/{id}"), format!("/macros/{id}/test"));
    let (get, put, delete, dry) = (
        format!("GET {one}"),
        format!("PUT {one}"),
        format!("DELETE {one}"),
        format!("POST {test}"),
    );
    let line = |name, caller, request, body, status, contains| Scenario {
        name,
        caller,
        request,
        body,
        status,
        contains,
        lacks: &["panicked", "snackbase_hook"],
    };
    let body = |sql: &str| json!({"name": "new", "sql_query": sql});
    let post = "POST /macros";
    run(&[
        line(
            "anonymous",
            &world.anonymous,
            "GET /macros",
            Value::Null,
            401,
            &[],
        ),
        line(
            "member writes",
            &world.alice,
            post,
            body("true"),
            403,
            &["Superadmin"],
        ),
        line(
            "member writes nonsense",
            &world.alice,
            post,
            json!({}),
            403,
            &["Superadmin"],
        ),
        line(
            "member tests",
            &world.alice,
            &dry,
            json!({}),
            403,
            &["Superadmin"],
        ),
        line(
            "member deletes",
            &world.alice,
            &delete,
            Value::Null,
            403,
            &["Superadmin"],
        ),
        line(
            "member, bad id",
            &world.alice,
            "DELETE /macros/x",
            Value::Null,
            403,
            &["Superadmin"],
        ),
        line(
            "name taken",
            &world.root,
            post,
            json!({"name": "taken", "sql_query": "true"}),
            409,
            &["taken"],
        ),
        line(
            "no name",
            &world.root,
            post,
            json!({"sql_query": "true"}),
            422,
            &["\"name\"", "missing"],
        ),
        line(
            "no body",
            &world.root,
            post,
            json!({"name": "x"}),
            422,
            &["\"sql_query\""],
        ),
        line(
            "reserved",
            &world.root,
            post,
            json!({"name": "request", "sql_query": "true"}),
            422,
            &["reserved"],
        ),
        line(
            "wrong type",
            &world.root,
            post,
            json!({"name": 1, "sql_query": []}),
            422,
            &["\"name\"", "\"sql_query\""],
        ),
        line(
            "two statements",
            &world.root,
            post,
            body("select 1; drop table users"),
            422,
            &["exactly one SELECT"],
        ),
        line(
            "tabs",
            &world.root,
            post,
            body("select\t1\tfrom\t(delete\tfrom\tcol_posts)\tx"),
            422,
            &["sql_query"],
        ),
        line(
            "sleeps",
            &world.root,
            post,
            body("select pg_sleep(9) is null"),
            422,
            &["volatile"],
        ),
        line(
            "hashes",
            &world.root,
            post,
            body("select password_hash from users"),
            422,
            &["permission denied"],
        ),
        line(
            "cycle",
            &world.root,
            post,
            json!({"name": "new", "sql_query": "@new"}),
            400,
            &["macro_cycle", "\"position\":0"],
        ),
        line(
            "syntax",
            &world.root,
            post,
            body("views = = 1"),
            400,
            &["\"syntax\"", "\"position\":8"],
        ),
        line(
            "unknown",
            &world.root,
            post,
            body("@nope"),
            400,
            &["unknown_macro"],
        ),
        line(
            "word id",
            &world.root,
            "GET /macros/abc",
            Value::Null,
            422,
            &["path"],
        ),
        line(
            "no such id",
            &world.root,
            "GET /macros/999",
            Value::Null,
            404,
            &["Macro 999 not found"],
        ),
        line(
            "limit",
            &world.root,
            "GET /macros?limit=1001",
            Value::Null,
            422,
            &["limit"],
        ),
        line(
            "rename to taken",
            &world.root,
            &put,
            json!({"name": "owns_record"}),
            422,
            &["reserved"],
        ),
        line(
            "parameters",
            &world.root,
            &put,
            json!({"parameters": ["a", "a"]}),
            422,
            &["distinct"],
        ),
        line(
            "count",
            &world.root,
            &dry,
            json!({"parameters": []}),
            422,
            &["takes 1 argument"],
        ),
        line("no test body", &world.root, &dry, Value::Null, 422, &["body"]),
        line(
            "still there",
            &world.root,
            &get,
            Value::Null,
            200,
            &["select $1 = 'a'"],
        ),
    ])
    .await;
}

#[tokio::test]
async fn rules_with_macros_work_on_every_path_and_follow_their_macros() {
    let world = World::new().await;
    let low = create(&world, "low", "rating < $1").await;
    let mine = create(&world, "mine", "select $1 = @request.auth.id").await;
    world
        .rules("posts", json!({"list_rule": "@low(3) && @mine(created_by)"}))
        .await;
    world
        .define(json!({
            "name": "tasks", "fields": [{"name": "rating", "type": "number"}],
            "list_rule": "@low(3)", "create_rule": "@low(9) && @mine(created_by)", "update_rule": "@mine(created_by) && @request.data.rating > rating"
        }))
        .await;
    for (rating, status) in [(1, 201), (5, 201), (9, 400)] {
        world
            .alice
            .post("/records/tasks", json!({"rating": rating}))
            .await
            .expect(status);
        world
            .alice
            .post("/records/posts", json!({"title": "t", "rating": rating}))
            .await
            .expect(201);
        world
            .bob
            .post("/records/posts", json!({"title": "t", "rating": rating}))
            .await
            .expect(201);
    }
    let total = async |collection: &str| {
        world
            .alice
            .get(&format!("/records/{collection}"))
            .await
            .expect(200)["total"]
            .clone()
    };
    assert_eq!((total("posts").await, total("tasks").await), (json!(1), json!(1)));
    world
        .root
        .put(&format!("/macros/{low}"), json!({"sql_query": "rating > $1"}))
        .await
        .expect(200);
    assert_eq!((total("posts").await, total("tasks").await), (json!(2), json!(1)));

    let refused = world
        .root
        .put(&format!("/macros/{low}"), json!({"sql_query": "secret = $1"}))
        .await;
    assert!(
        refused.text.contains("'tasks'") && refused.text.contains("list_rule"),
        "{}",
        refused.text
    );
    let refused = refused.expect(400);
    assert_eq!(
        (&refused["errors"][0]["code"], &refused["errors"][0]["collection"]),
        (&json!("unknown_field"), &json!("tasks"))
    );
    assert_eq!(
        world.root.get(&format!("/macros/{low}")).await.expect(200)["sql_query"],
        "rating > $1"
    );
    let used = world.root.delete(&format!("/macros/{mine}")).await.expect(409);
    assert_eq!(
        used["detail"],
        "Cannot delete macro 'mine': it is used in 3 collection rule(s)"
    );
    for rule in ["@nope", "@low", "@low(1, 2)", "@mine(views)"] {
        let refused = world
            .root
            .put("/collections/posts/rules", json!({"list_rule": rule}))
            .await
            .expect(400);
        assert!(refused["errors"][0]["code"].is_string(), "{refused}");
    }
    assert_eq!(world.audit_findings().await, [""; 0]);
}

/// The action of a foreign key runs as the owner of the table. Postgres asks for the right to execute what the condition of
/// the update trigger calls before it evaluates any of it.
#[tokio::test]
async fn deleting_a_target_clears_references_whose_update_rule_calls_a_macro() {
    let world = World::new().await;
    create(&world, "quiet", "select count(*) < 100 from users").await;
    world
        .define(json!({"name": "shelves", "fields": [{"name": "label", "type": "text"}], "create_rule": "", "delete_rule": ""}))
        .await;
    world
        .define(json!({
            "name": "books",
            "fields": [
                {"name": "title", "type": "text"},
                {"name": "shelf", "type": "reference", "collection": "shelves", "on_delete": "set_null"}
            ],
            "create_rule": "", "view_rule": "",
            "update_rule": "@quiet() && title = \"free\" || @request.data.title = title"
        }))
        .await;
    let shelf = world.alice.post("/records/shelves", json!({})).await.expect(201);
    let book = json!({"title": "bound", "shelf": shelf["id"]});
    let book = world.alice.post("/records/books", book).await.expect(201);
    let path = |collection: &str, record: &Value| {
        format!("/records/{collection}/{}", record["id"].as_str().expect("an id"))
    };
    let book = path("books", &book);
    world
        .alice
        .patch(&book, json!({"title": "new"}))
        .await
        .expect(400);
    world.alice.delete(&path("shelves", &shelf)).await.expect(204);
    assert_eq!(world.alice.get(&book).await.expect(200)["shelf"], Value::Null);
}

#[tokio::test]
async fn imported_rules_may_use_macros_that_exist() {
    let world = World::new().await;
    create(&world, "low", "rating < $1").await;
    world
        .define(json!({"name": "tasks", "fields": [{"name": "rating", "type": "number"}], "list_rule": "@low(3)", "create_rule": ""}))
        .await;
    let mut file = world.root.get("/collections/export").await.expect(200);
    file["collections"]
        .as_array_mut()
        .expect("a list")
        .retain(|one| one["name"] == "tasks");
    file["collections"][0]["name"] = json!("copied");
    let answer = world
        .root
        .post("/collections/import", json!({"data": file}))
        .await
        .expect(200);
    assert_eq!(answer["imported_count"], 1, "{answer}");
    for rating in [1, 5] {
        world
            .alice
            .post("/records/copied", json!({"rating": rating}))
            .await
            .expect(201);
    }
    assert_eq!(world.alice.get("/records/copied").await.expect(200)["total"], 1);
    file["collections"][0]["name"] = json!("refused");
    file["collections"][0]["rules"]["list_rule"] = json!("@nosuch(3)");
    let answer = world
        .root
        .post("/collections/import", json!({"data": file}))
        .await
        .expect(200);
    assert_eq!(
        (&answer["imported_count"], &answer["failed_count"]),
        (&json!(0), &json!(1)),
        "{answer}"
    );
    world.root.get("/records/refused").await.expect(404);
}
