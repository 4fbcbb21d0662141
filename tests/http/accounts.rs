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
        "GET /collections",
        "POST /collections",
    ] {
        let line = |name, caller, status, contains| Scenario {
            name,
            caller,
            request,
            body: if request.starts_with("POST") {
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
