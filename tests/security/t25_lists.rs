//! T25: a list of users that sorts by `password_hash` tells about hashes, one request at a time; and `%` and `_` in a search
//! find what nobody searched for.

use serde_json::{Value, json};
use snackbase_e2e::{PASSWORD, World};

#[tokio::test]
async fn the_order_of_users_tells_about_nothing_that_is_not_shown() {
    let world = World::new().await;
    for column in [
        "password_hash",
        "-password_hash",
        "failed_login_attempts",
        "locked_until",
        "profile_data",
        "external_id",
        "(select 1)",
        "email,password_hash",
        "u.password_hash",
        "1",
    ] {
        for query in [
            vec![("sort", column)],
            vec![("sort_by", column)],
            vec![("sort_by", column), ("sort_order", "asc")],
        ] {
            let refused = world.root.query("/users", &query).await;
            assert_eq!(refused.status, 422, "{query:?}: {}", refused.text);
        }
    }
    let refused = world
        .root
        .query("/accounts", &[("sort_by", "password_hash")])
        .await;
    assert_eq!(refused.status, 422, "{}", refused.text);
    let list = world.root.get("/users").await.expect(200);
    assert!(!list.to_string().contains("hash") && !list.to_string().contains("argon"));
}

fn count(list: &Value) -> usize {
    let items = list.as_array().or_else(|| list["items"].as_array());
    items.expect("a list").len()
}

#[tokio::test]
async fn a_search_is_for_the_text_itself() {
    let world = World::new().await;
    for email in ["a_b@example.org", "axb@example.org", "50%@example.org"] {
        let body = json!({"email": email, "password": PASSWORD, "role_id": 2});
        world.alice.post("/users", body).await.expect(201);
    }
    for name in ["a_b", "axb", "50%", r"back\slash"] {
        world
            .alice
            .post("/groups", json!({"name": name}))
            .await
            .expect(201);
        world
            .root
            .post("/accounts", json!({"name": name}))
            .await
            .expect(201);
    }
    for (path, search, found) in [
        ("/users", "a_b@", 1),
        ("/users", "0%@", 1),
        ("/users", "%", 1),
        ("/users", "_", 1),
        ("/users", r"\", 0),
        ("/users", "A_B@EXAMPLE", 1),
        ("/groups", "a_b", 1),
        ("/groups", "%", 1),
        ("/groups", r"\", 1),
        ("/accounts", "a_b", 1),
        ("/accounts", "%", 1),
        ("/accounts", r"k\s", 1),
    ] {
        let caller = if path == "/accounts" {
            &world.root
        } else {
            &world.alice
        };
        let list = caller.query(path, &[("search", search)]).await.expect(200);
        assert_eq!(count(&list), found, "{path} {search}: {list}");
    }
}
