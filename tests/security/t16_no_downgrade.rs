//! Trap 16: invalid credentials silently become an anonymous visitor on routes that admit one.

use serde_json::json;
use snackbase_e2e::World;

use crate::http::api_keys::key_of;

#[tokio::test]
async fn a_credential_that_is_not_valid_is_refused_where_none_is_needed() {
    let world = World::new().await;
    let records = json!({"title": "open", "status": "published"});
    let id = world.alice.post("/records/posts", records).await.expect(201)["id"]
        .as_str()
        .expect("an id")
        .to_owned();
    let key = key_of(&world.alice).await;
    let spoilt = format!("{}AAAA", &key[..68]);
    let refresh = world.people["alice"]["refresh_token"].as_str().expect("a token");
    let open = "";
    world
        .rules(
            "posts",
            json!({"list_rule": open, "view_rule": open, "create_rule": ""}),
        )
        .await;
    world.anonymous.get("/records/posts").await.expect(200);
    for (name, value) in [
        ("authorization", "Bearer a.b.c".to_owned()),
        ("authorization", "Bearer ".to_owned()),
        ("authorization", format!("Bearer {refresh}")),
        ("authorization", format!("Bearer {spoilt}")),
        ("authorization", "Basic YWxpY2U6cGFzcw==".to_owned()),
        ("x-api-key", spoilt.clone()),
        ("x-api-key", "nonsense".to_owned()),
        ("x-api-key", String::new()),
    ] {
        let caller = world.anonymous.with_header(name, &value);
        for path in [
            "/records/posts".to_owned(),
            "/posts".to_owned(),
            format!("/records/posts/{id}"),
            "/records/posts/aggregate?functions=count()".to_owned(),
        ] {
            let answer = caller.get(&path).await;
            assert_eq!(
                (answer.status, answer.header("www-authenticate")),
                (401, "Bearer"),
                "{name}: {value}: {path}: {}",
                answer.text
            );
        }
        caller
            .post("/records/posts", json!({"title": "t"}))
            .await
            .expect(401);
        // Routes before a login do not look: the client library sends an old token along.
        let login =
            json!({"account": "acme", "email": "bob@example.com", "password": snackbase_e2e::PASSWORD});
        caller.post("/auth/login", login).await.expect(200);
    }
}
