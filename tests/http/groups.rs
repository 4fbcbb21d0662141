//! Groups over HTTP: identity contract §4.7.

use serde_json::{Value, json};
use snackbase_e2e::{Scenario, World, run};

const NOBODY: &str = "11111111-2222-3333-4444-555555555555";

fn id(made: &Value) -> String {
    made["id"].as_str().expect("an id").to_owned()
}

fn names(list: &Value) -> Vec<&str> {
    list.as_array()
        .expect("an array")
        .iter()
        .map(|group| group["name"].as_str().expect("a name"))
        .collect()
}

#[tokio::test]
async fn a_group_lives_from_its_creation_to_its_end() {
    let world = World::new().await;
    let made = world
        .alice
        .post("/groups", json!({"name": "editors", "description": "edit"}))
        .await
        .expect(201);
    for key in [
        "id",
        "account_id",
        "account_code",
        "name",
        "description",
        "is_system",
        "member_count",
        "created_at",
        "updated_at",
        "users",
    ] {
        assert!(made.get(key).is_some(), "{key}");
    }
    assert_eq!(made["account_code"], "AA0001");
    let path = format!("/groups/{}", id(&made));
    let bob = world.user_id("bob");
    world
        .alice
        .post(&format!("{path}/users"), json!({"user_id": bob}))
        .await
        .expect(201);
    let again = world
        .alice
        .post(&format!("{path}/users"), json!({"user_id": bob}))
        .await;
    assert_eq!(
        (again.status, again.json["field"].as_str()),
        (409, Some("user_id"))
    );
    let seen = world.bob.get(&path).await.expect(200);
    assert_eq!(
        (&seen["member_count"], &seen["users"][0]["id"]),
        (&json!(1), &json!(bob))
    );
    assert_eq!(
        world.bob.get("/auth/me").await.expect(200)["user"]["groups"],
        json!(["editors"])
    );
    let changed = world
        .alice
        .patch(&path, json!({"name": "writers"}))
        .await
        .expect(200);
    assert_eq!(
        (&changed["name"], &changed["description"]),
        (&json!("writers"), &json!("edit"))
    );
    let taken = world.alice.patch(&path, json!({"name": "pii_access"})).await;
    assert_eq!((taken.status, taken.json["field"].as_str()), (409, Some("name")));
    for _ in 0..2 {
        world
            .alice
            .delete(&format!("{path}/users/{bob}"))
            .await
            .expect(204);
    }
    world.alice.delete(&path).await.expect(204);
    world.alice.get(&path).await.expect(404);
}

#[tokio::test]
async fn a_list_is_an_array_with_both_ways_of_paging() {
    let world = World::new().await;
    for name in ["b%", "c_", "a"] {
        world
            .alice
            .post("/groups", json!({"name": name}))
            .await
            .expect(201);
    }
    for (query, found) in [
        ("", vec!["a", "b%", "c_", "pii_access"]),
        ("?skip=1&limit=2", vec!["b%", "c_"]),
        ("?page=2&page_size=3", vec!["pii_access"]),
        ("?search=%25", vec!["b%"]),
        ("?search=_", vec!["c_", "pii_access"]),
        ("?search=PII", vec!["pii_access"]),
        ("?search=nothing", vec![]),
    ] {
        let list = world.bob.get(&format!("/groups{query}")).await.expect(200);
        assert_eq!(names(&list), found, "{query}");
    }
    assert_eq!(
        names(&world.carol.get("/groups").await.expect(200)),
        ["pii_access"]
    );
    assert_eq!(
        world
            .root
            .get("/groups")
            .await
            .expect(200)
            .as_array()
            .map(Vec::len),
        Some(5)
    );
    for query in ["limit=0", "limit=1001", "skip=-1", "page=0", "page_size=x"] {
        world.bob.get(&format!("/groups?{query}")).await.expect(422);
    }
    world.gateway.api().get("/groups").await.expect(401);
}

#[tokio::test]
async fn what_is_refused_is_refused_in_its_words() {
    let world = World::new().await;
    let list = world.alice.get("/groups").await.expect(200);
    let pii = format!("/groups/{}", id(&list[0]));
    let theirs = format!("/groups/{}", id(&world.carol.get("/groups").await.expect(200)[0]));
    let foreign = json!({"name": "x", "account_id": world.account_id("carol")});
    let line = |name, caller, request, body, status, contains| Scenario {
        name,
        caller,
        request,
        body,
        status,
        contains,
        lacks: &["superadmin", "restricted"],
    };
    let delete = format!("DELETE {pii}");
    let rename = format!("PATCH {pii}");
    let join = format!("POST {pii}/users");
    let leave = format!("DELETE {pii}/users/{}", world.user_id("alice"));
    let view = format!("GET {theirs}");
    let join_theirs = format!("POST {theirs}/users");
    let (alice, bob, carol) = (&world.alice, &world.bob, world.user_id("carol"));
    let myself = || json!({"user_id": world.user_id("bob")});
    run(&[
        line(
            "pii_access",
            alice,
            &delete,
            Value::Null,
            422,
            &["group:", "built_in"],
        ),
        line(
            "its name",
            alice,
            &rename,
            json!({"name": "x"}),
            422,
            &["built_in"],
        ),
        line(
            "a user joins it",
            bob,
            &join,
            myself(),
            403,
            &["Administrator access required"],
        ),
        line("a user removes another", bob, &leave, Value::Null, 403, &[]),
        line("a user makes one", bob, "POST /groups", json!({}), 403, &[]),
        line(
            "another account's",
            alice,
            &view,
            Value::Null,
            404,
            &["Group not found"],
        ),
        line(
            "joining it",
            alice,
            &join_theirs,
            json!({"user_id": world.user_id("alice")}),
            404,
            &["Group not found"],
        ),
        line(
            "another account's user",
            alice,
            &join,
            json!({"user_id": carol}),
            404,
            &["User not found"],
        ),
        line(
            "nobody",
            alice,
            &join,
            json!({"user_id": NOBODY}),
            404,
            &["User not found"],
        ),
        line("in another account", alice, "POST /groups", foreign, 403, &[]),
        line("no name", alice, "POST /groups", json!({}), 422, &["missing"]),
        line(
            "a blank name",
            alice,
            "POST /groups",
            json!({"name": " "}),
            422,
            &["name"],
        ),
        line("no user", alice, &join, json!({}), 422, &["user_id"]),
        line("no id", alice, "GET /groups/x", Value::Null, 422, &[]),
    ])
    .await;
}

#[tokio::test]
async fn a_superadmin_makes_groups_anywhere() {
    let world = World::new().await;
    let made = world
        .root
        .post(
            "/groups",
            json!({"name": "ours", "account_id": world.account_id("carol")}),
        )
        .await
        .expect(201);
    assert_eq!(made["account_code"], "AA0002");
    let path = format!("/groups/{}/users", id(&made));
    world
        .root
        .post(&path, json!({"user_id": world.user_id("carol")}))
        .await
        .expect(201);
    world
        .root
        .post(&path, json!({"user_id": world.user_id("alice")}))
        .await
        .expect(404);
    world
        .root
        .post("/groups", json!({"name": "x", "account_id": NOBODY}))
        .await
        .expect(404);
}
