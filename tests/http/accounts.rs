//! Accounts: codes, slugs, and who may manage them.

use serde_json::json;
use snackbase_e2e::{Scenario, World, run};

#[tokio::test]
async fn codes_count_up_and_are_never_given_twice() {
    let world = World::new().await;
    assert_eq!(world.people["root"]["account"]["account_code"], "SY0000");
    assert_eq!(world.people["alice"]["account"]["account_code"], "AA0001");
    assert_eq!(world.people["carol"]["account"]["account_code"], "AA0002");
    let third = world
        .root
        .post("/accounts", json!({"name": "Third"}))
        .await
        .expect(201);
    assert_eq!(third["account_code"], "AA0003");
    assert_eq!(third["slug"], "third");
    assert_eq!(third["collections_used"], json!([]));
    let superuser = world.database.superuser().await;
    let id = third["id"].as_str().expect("an id");
    superuser
        .batch_execute(&format!("delete from snackbase.accounts where id = '{id}'"))
        .await
        .expect("an account can go");
    let fourth = world
        .root
        .post("/accounts", json!({"name": "Fourth"}))
        .await
        .expect(201);
    assert_eq!(fourth["account_code"], "AA0004");
}

#[tokio::test]
async fn slugs_are_made_or_checked() {
    let world = World::new().await;
    let made = world
        .root
        .post("/accounts", json!({"name": "Acme"}))
        .await
        .expect(201);
    assert_eq!(made["slug"], "acme-1", "a generated slug steps aside");
    world
        .root
        .post("/accounts", json!({"name": "X", "slug": "acme"}))
        .await
        .expect(422);
    world
        .root
        .post("/accounts", json!({"name": "X", "slug": "A B"}))
        .await
        .expect(422);
    world
        .root
        .post("/accounts", json!({"name": ""}))
        .await
        .expect(422);
    world.root.post("/accounts", json!({})).await.expect(422);
    let named = world
        .root
        .post("/accounts", json!({"name": "Initech", "slug": "ini-tech"}))
        .await
        .expect(201);
    assert_eq!(named["slug"], "ini-tech");
}

#[tokio::test]
async fn an_account_is_found_by_id_slug_and_code() {
    let world = World::new().await;
    for account in [world.account_id("alice"), "acme", "AA0001", "aa0001"] {
        let found = world.root.get(&format!("/accounts/{account}")).await.expect(200);
        assert_eq!(found["name"], "Acme", "{account}");
        assert_eq!(found["user_count"], 2);
    }
    world.root.get("/accounts/nowhere").await.expect(404);
    let list = world
        .root
        .get("/accounts?search=acm&page_size=10")
        .await
        .expect(200);
    assert_eq!(
        (list["total"].as_u64(), list["total_pages"].as_u64()),
        (Some(1), Some(1))
    );
    assert_eq!(list["items"][0]["slug"], "acme");
    let sorted = world
        .root
        .get("/accounts?sort_by=account_code&sort_order=asc")
        .await
        .expect(200);
    let codes: Vec<_> = sorted["items"]
        .as_array()
        .expect("items")
        .iter()
        .map(|item| &item["account_code"])
        .collect();
    assert_eq!(codes, ["AA0001", "AA0002", "SY0000"]);
}

#[tokio::test]
async fn only_superadmins_manage() {
    let world = World::new().await;
    let nobody = world.gateway.api();
    for request in [
        "GET /accounts",
        "POST /accounts",
        "GET /accounts/acme",
        "PUT /accounts/acme",
        "DELETE /accounts/acme",
        "GET /accounts/acme/users",
        "GET /collections",
        "POST /collections",
    ] {
        let line = |name, caller, status, contains| Scenario {
            name,
            caller,
            request,
            body: if request.starts_with('P') {
                json!({"name": "xyz"})
            } else {
                serde_json::Value::Null
            },
            status,
            contains,
            lacks: &["superadmin", "restricted", "email", "verify"],
        };
        run(&[
            line(
                "an account's admin",
                &world.alice,
                403,
                &["Superadmin access required"],
            ),
            line("nobody", &nobody, 401, &["\"detail\":\""]),
        ])
        .await;
    }
}

#[tokio::test]
async fn an_account_is_renamed_and_deleted_with_all_it_has() {
    let world = World::new().await;
    for (caller, title) in [(&world.alice, "ours"), (&world.carol, "theirs")] {
        caller
            .post("/records/posts", json!({"title": title, "status": "published"}))
            .await
            .expect(201);
    }
    let acme = world.root.get("/accounts/acme").await.expect(200);
    assert_eq!(acme["collections_used"], json!(["posts"]));
    let renamed = world
        .root
        .put("/accounts/AA0001", json!({"name": "Acme & Co", "slug": "other"}))
        .await
        .expect(200);
    assert_eq!(
        (&renamed["name"], &renamed["slug"]),
        (&json!("Acme & Co"), &json!("acme"))
    );
    for body in [
        json!({}),
        json!({"name": ""}),
        json!({"name": " "}),
        json!({"name": 1}),
    ] {
        let refused = world.root.put("/accounts/acme", body).await;
        assert_eq!(
            (refused.status, refused.json["details"][0]["field"].as_str()),
            (422, Some("name")),
            "{}",
            refused.text
        );
    }
    world
        .root
        .put("/accounts/nowhere", json!({"name": "x"}))
        .await
        .expect(404);
    let people = world
        .root
        .get("/accounts/acme/users?page=1&page_size=1")
        .await
        .expect(200);
    assert_eq!(
        (
            &people["total"],
            &people["total_pages"],
            &people["items"][0]["role"]
        ),
        (&json!(2), &json!(2), &json!("user"))
    );
    world.root.get("/accounts/nowhere/users").await.expect(404);

    for account in ["system", "SY0000", "00000000-0000-0000-0000-000000000000"] {
        let refused = world.root.delete(&format!("/accounts/{account}")).await;
        assert_eq!(refused.status, 422, "{}", refused.text);
        world
            .root
            .put(&format!("/accounts/{account}"), json!({"name": "Mine"}))
            .await
            .expect(422);
    }
    world.root.delete("/accounts/acme").await.expect(204);
    world.root.delete("/accounts/acme").await.expect(404);
    // At once, for people who are logged in as for those who want to be.
    world.alice.get("/auth/me").await.expect(401);
    let login = json!({"account": "acme", "email": "alice@example.com", "password": snackbase_e2e::PASSWORD});
    world.gateway.api().post("/auth/login", login).await.expect(401);
    let left = world.root.get("/records/posts").await.expect(200);
    assert_eq!(
        (&left["total"], &left["items"][0]["title"]),
        (&json!(1), &json!("theirs"))
    );
    let superuser = world.database.superuser().await;
    let deleted = superuser
        .value("select string_agg(distinct table_name, ' ' order by table_name) from snackbase.audit_change where operation = 'DELETE'")
        .await;
    assert_eq!(deleted, "accounts col_posts groups users users_groups");
    assert!(world.audit_findings().await.is_empty());
    let next = world
        .root
        .post("/accounts", json!({"name": "Next"}))
        .await
        .expect(201);
    assert_eq!(next["account_code"], "AA0003");
}
