//! Tokens: what they open, how they are renewed, how they end.

use serde_json::{Value, json};
use snackbase_e2e::{Api, World};

/// Log alice in once more; the world's own session of hers stays untouched.
async fn session(world: &World) -> Value {
    let body =
        json!({"account": "acme", "email": "alice@example.com", "password": "Correct-Horse-7-Battery"});
    world.gateway.api().post("/auth/login", body).await.expect(200)
}

fn bearer(world: &World, session: &Value) -> Api {
    world
        .gateway
        .api()
        .with_token(session["token"].as_str().expect("a token"))
}

async fn refresh(world: &World, session: &Value) -> snackbase_e2e::Answer {
    world
        .gateway
        .api()
        .post(
            "/auth/refresh",
            json!({"refresh_token": session["refresh_token"]}),
        )
        .await
}

#[tokio::test]
async fn me_tells_who_the_token_is() {
    let world = World::new().await;
    let me = world.alice.get("/auth/me").await.expect(200);
    assert_eq!(me["user_id"].as_str(), Some(world.user_id("alice")));
    assert_eq!(me["account_id"].as_str(), Some(world.account_id("alice")));
    assert_eq!(
        (me["email"].as_str(), me["role"].as_str()),
        (Some("alice@example.com"), Some("admin"))
    );
    assert_eq!(me["account"]["slug"], "acme");
    assert_eq!(me["account"]["name"], "Acme");
    assert_eq!(me["user"]["id"], me["user_id"]);
}

#[tokio::test]
async fn a_request_without_a_good_token_is_refused() {
    let world = World::new().await;
    let token = world.people["alice"]["token"].as_str().expect("a token");
    let (signed, signature) = token.rsplit_once('.').expect("three parts");
    let other = if signature.starts_with('A') { "B" } else { "A" };
    let forged = format!("{signed}.{other}{}", &signature[1..]);
    let unsigned = format!(
        "eyJhbGciOiJub25lIiwidHlwIjoiSldUIn0.{}.",
        token.split('.').nth(1).expect("claims")
    );
    let refresh = world.people["alice"]["refresh_token"].as_str().expect("a token");
    for bad in ["", "x", "a.b.c", &forged, &unsigned, refresh] {
        let answer = world.gateway.api().with_token(bad).get("/auth/me").await;
        assert_eq!(answer.header("www-authenticate"), "Bearer", "{bad}");
        assert!(answer.json["detail"].is_string(), "{}", answer.text);
        assert!(
            !answer.text.contains("mail") && !answer.text.contains("verif"),
            "{}",
            answer.text
        );
        answer.expect(401);
        // Nor does a bad token make its bearer an anonymous caller.
        let api = world
            .gateway
            .api()
            .with_token(bad)
            .with_header("x-account-id", "acme");
        api.get("/records/posts").await.expect(401);
        // Open routes do not look at it.
        api.post(
            "/auth/login",
            json!({"account": "acme", "email": "alice@example.com", "password": "no"}),
        )
        .await
        .expect(401);
    }
    world.gateway.api().get("/auth/me").await.expect(401);
}

#[tokio::test]
async fn a_refresh_token_is_good_once() {
    let world = World::new().await;
    let first = session(&world).await;
    let second = refresh(&world, &first).await.expect(200);
    assert_ne!(first["refresh_token"], second["refresh_token"]);
    assert_eq!(second["expires_in"], 3600);
    bearer(&world, &second).get("/auth/me").await.expect(200);
    // A race of two tabs is forgiven: refused, but the session lives on.
    refresh(&world, &first).await.expect(401);
    let third = refresh(&world, &second).await.expect(200);
    // Long after, it is a theft: the whole session ends.
    let superuser = world.database.superuser().await;
    superuser
        .batch_execute("update snackbase.refresh_tokens set spent_at = spent_at - interval '1 hour' where spent_at is not null")
        .await
        .expect("the table says when a token was spent");
    refresh(&world, &first).await.expect(401);
    bearer(&world, &third).get("/auth/me").await.expect(401);
    refresh(&world, &third).await.expect(401);
    world.alice.get("/auth/me").await.expect(200);
}

#[tokio::test]
async fn logout_ends_both_tokens_of_one_session() {
    let world = World::new().await;
    let ended = session(&world).await;
    let api = bearer(&world, &ended);
    let answer = api.post("/auth/logout", json!({})).await.expect(200);
    assert_eq!(answer["success"], true);
    api.get("/auth/me").await.expect(401);
    api.get("/records/posts").await.expect(401);
    refresh(&world, &ended).await.expect(401);
    api.post("/auth/logout", json!({})).await.expect(200);
    world.alice.get("/auth/me").await.expect(200);
}

#[tokio::test]
async fn logout_of_all_ends_every_session_of_the_user() {
    let world = World::new().await;
    let (one, another) = (session(&world).await, session(&world).await);
    // The posted refresh token names the session, too; nobody else's end.
    let body = json!({"refresh_token": one["refresh_token"], "all": true});
    let api = world.gateway.api();
    api.post("/auth/logout", body.clone()).await.expect(200);
    for ended in [&one, &another] {
        bearer(&world, ended).get("/auth/me").await.expect(401);
        refresh(&world, ended).await.expect(401);
    }
    world.alice.get("/auth/me").await.expect(401);
    world.bob.get("/auth/me").await.expect(200);
    // Twice is fine, and ends nothing that began since.
    let later = session(&world).await;
    api.post("/auth/logout", body).await.expect(200);
    bearer(&world, &later).get("/auth/me").await.expect(200);
    api.post("/auth/logout", json!({"all": true})).await.expect(401);
    api.post("/auth/logout", json!({"all": 1})).await.expect(422);
}

#[tokio::test]
async fn an_address_is_told_where_it_has_a_user() {
    let world = World::new().await;
    let body = json!({"email": "Alice@example.com", "password": "Correct-Horse-8-Battery",
        "account_id": world.account_id("carol"), "role_id": 2});
    let made = world.root.post("/users", body).await.expect(201);
    let accounts = async || {
        let answer = world.alice.get("/auth/accounts").await.expect(200);
        answer["accounts"].as_array().expect("an array").clone()
    };
    let slugs = |list: &[Value]| -> Vec<String> {
        list.iter()
            .map(|one| format!("{} {} {}", one["slug"], one["role"], one["is_current"]))
            .collect()
    };
    assert_eq!(slugs(&accounts().await), ["\"acme\" \"admin\" true"]);
    world
        .root
        .post(
            &format!("/users/{}/verify", made["id"].as_str().expect("an id")),
            json!({}),
        )
        .await
        .expect(200);
    let both = accounts().await;
    assert_eq!(
        slugs(&both),
        ["\"acme\" \"admin\" true", "\"globex\" \"user\" false"]
    );
    assert_eq!(
        both[1].as_object().expect("an object").keys().collect::<Vec<_>>(),
        ["id", "account_code", "name", "slug", "role", "is_current"]
    );
    world.gateway.api().get("/auth/accounts").await.expect(401);
    // To switch is to log in there.
    let login = |password: &str| json!({"account": both[1]["slug"], "email": "alice@example.com", "password": password});
    let api = world.gateway.api();
    api.post("/auth/login", login("Correct-Horse-7-Battery"))
        .await
        .expect(401);
    api.post("/auth/login", login("Correct-Horse-8-Battery"))
        .await
        .expect(200);
}

#[tokio::test]
async fn a_change_of_a_person_counts_at_once() {
    let world = World::new().await;
    let superuser = world.database.superuser().await;
    world
        .rules("posts", json!({"list_rule": "@has_role(\"admin\")"}))
        .await;
    world
        .alice
        .post("/records/posts", json!({"title": "t"}))
        .await
        .expect(201);
    assert_eq!(world.alice.get("/records/posts").await.expect(200)["total"], 1);
    let id = world.user_id("alice");
    superuser
        .batch_execute(&format!(
            "update snackbase.users set role_id = 2 where id = '{id}'"
        ))
        .await
        .expect("role");
    assert_eq!(world.alice.get("/records/posts").await.expect(200)["total"], 0);
    superuser
        .batch_execute(&format!(
            "update snackbase.users set is_active = false where id = '{id}'"
        ))
        .await
        .expect("active");
    world.alice.get("/records/posts").await.expect(401);
    let body =
        json!({"account": "acme", "email": "alice@example.com", "password": "Correct-Horse-7-Battery"});
    world.gateway.api().post("/auth/login", body).await.expect(401);
}
