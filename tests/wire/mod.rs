//! What a request costs on the wire between gateway and Postgres.

use reqwest::Method;
use serde_json::{Value, json};
use snackbase_e2e::{PASSWORD, Proxy, World};

use crate::http::api_keys::key_of;

#[tokio::test]
async fn a_request_is_one_round_trip() {
    let proxy = Proxy::start().await;
    let world = quiet_world(&proxy, &[]).await;
    world.rules("posts", json!({"delete_rule": ""})).await;
    let record = world
        .alice
        .post("/records/posts", json!({"title": "t"}))
        .await
        .expect(201);
    let path = format!("/records/posts/{}", record["id"].as_str().expect("an id"));
    let requests = [
        (Method::GET, "/records/posts".to_owned(), Value::Null),
        (
            Method::GET,
            "/records/posts?filter=status+%3D+%22draft%22&sort=-created_at&limit=20".to_owned(),
            Value::Null,
        ),
        (Method::GET, path.clone(), Value::Null),
        (Method::POST, "/records/posts".to_owned(), json!({"title": "u"})),
        (Method::PATCH, path.clone(), json!({"rating": 4})),
        (Method::PUT, path.clone(), json!({"title": "v"})),
        (Method::GET, "/auth/me".to_owned(), Value::Null),
        (Method::DELETE, path, Value::Null),
        // What is refused inside Postgres costs no more.
        (Method::GET, "/records/nothing".to_owned(), Value::Null),
        (Method::POST, "/records/posts".to_owned(), json!({})),
        (
            Method::GET,
            "/records/posts?filter=secret+%3D+%22x%22".to_owned(),
            Value::Null,
        ),
    ];
    let connections = proxy.connections();
    let mut wrong = Vec::new();
    for (method, path, body) in requests {
        let body = (!body.is_null()).then(|| body.to_string());
        let before = proxy.flights();
        let answer = world.alice.send(method, &path, body.as_deref()).await;
        let flights = proxy.flights() - before;
        if flights != 1 {
            wrong.push(format!(
                "{} ({}): {flights} flights",
                answer.request, answer.status
            ));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    assert_eq!(proxy.connections(), connections, "the pool keeps its connection");
}

#[tokio::test]
async fn what_needs_no_database_asks_none() {
    let proxy = Proxy::start().await;
    let world = quiet_world(&proxy, &[]).await;
    let before = proxy.flights();
    world
        .gateway
        .api()
        .with_token("nonsense")
        .get("/records/posts")
        .await
        .expect(401);
    world.gateway.api().get("!/live").await.expect(200);
    world.alice.get("/records/posts?limit=1000").await.expect(422);
    assert_eq!(proxy.flights(), before);
}

/// The usual people, with a gateway that works over one connection, behind `proxy`, and does nothing by itself.
async fn quiet_world(proxy: &Proxy, settings: &[(&str, &str)]) -> World {
    let ours = [
        ("SNACKBASE_DB_POOL_SIZE", "1"),
        ("SNACKBASE_WORKER_ENABLED", "false"),
    ];
    let world = World::through(proxy.port, &[&ours, settings].concat()).await;
    // It may still be making the connection on which it listens.
    let mut quiet = 0;
    for _ in 0..1000 {
        let before = proxy.flights();
        world.alice.get("/groups").await.expect(200);
        quiet = if proxy.flights() - before == 1 {
            quiet + 1
        } else {
            0
        };
        if quiet == 20 {
            return world;
        }
    }
    panic!("a request is not one flight");
}

/// How long a refused login takes says nothing about why, and this part of it can be counted. (`bench/identity` measures the rest.)
#[tokio::test]
async fn a_login_is_two_round_trips_whoever_it_is_about() {
    let proxy = Proxy::start().await;
    let world = quiet_world(&proxy, &[("SNACKBASE_LOGIN_LOCKOUT_THRESHOLD", "3")]).await;
    let superuser = world.database.superuser().await;
    superuser
        .batch_execute(&format!(
            "insert into snackbase.users (account_id, email, password_hash, role_id, is_active, email_verified, auth_provider, locked_until)
             select account_id, name || '@example.com', password_hash, 2, name <> 'inactive', true,
                    case name when 'oauth' then 'oauth' else 'password' end, case name when 'locked' then now() + interval '1 hour' end
               from snackbase.users, unnest(array['inactive', 'oauth', 'locked']) as name where id = '{}'",
            world.user_id("bob")
        ))
        .await
        .expect("a superuser may");
    let wrong = "Wrong-Horse-7-Battery";
    let nobody = world.gateway.api();
    let flights = async |account: &str, email: &str, password: &str, status: u16| {
        let before = proxy.flights();
        let body = json!({"account": account, "email": email, "password": password});
        nobody.post("/auth/login", body).await.expect(status);
        proxy.flights() - before
    };
    assert_eq!(flights("acme", "bob@example.com", PASSWORD, 200).await, 2);
    let mut counted = Vec::new();
    for (account, email, password) in [
        ("acme", "bob@example.com", wrong),
        ("acme", "nobody@example.com", PASSWORD),
        ("nowhere", "bob@example.com", PASSWORD),
        ("acme", "inactive@example.com", PASSWORD),
        ("acme", "inactive@example.com", wrong),
        ("acme", "oauth@example.com", PASSWORD),
        ("acme", "locked@example.com", PASSWORD),
        ("acme", "locked@example.com", wrong),
    ] {
        counted.push(flights(account, email, password, 401).await);
    }
    assert_eq!(counted, [2; 8]);
}

#[tokio::test]
async fn an_api_key_is_looked_up_and_noted_in_the_flight_of_the_work() {
    let proxy = Proxy::start().await;
    let world = quiet_world(&proxy, &[]).await;
    let superuser = world.database.superuser().await;
    let caller = world
        .gateway
        .api()
        .with_header("x-api-key", &key_of(&world.alice).await);
    let flights = async |path: &str, status: u16| {
        let before = proxy.flights();
        caller.get(path).await.expect(status);
        proxy.flights() - before
    };
    let counted = [
        flights("/records/posts", 200).await,
        flights("/records/posts", 200).await,
        flights("/records/nothing", 404).await,
    ];
    assert_eq!(counted, [1; 3], "the first use, the second, a refusal");
    let used = superuser
        .value("select bool_and(last_used_at is not null)::text from snackbase.api_key_uses")
        .await;
    assert_eq!(used, "true");
}

#[tokio::test]
async fn managing_people_is_one_round_trip_and_two_where_a_password_is_hashed_between() {
    let proxy = Proxy::start().await;
    let world = quiet_world(&proxy, &[]).await;
    let id = |made: &Value| made["id"].as_str().expect("an id").to_owned();
    let group = world
        .alice
        .post("/groups", json!({"name": "g"}))
        .await
        .expect(201);
    let (group, bob) = (
        format!("/groups/{}", id(&group)),
        format!("/users/{}", world.user_id("bob")),
    );
    let foreign = format!("/users/{}", world.user_id("carol"));
    let new = json!({"email": "new@example.com", "password": "Correct-Horse-7-Battery", "role_id": 2});
    let requests = [
        (Method::GET, "/users?sort=-email".to_owned(), Value::Null, 1),
        (Method::GET, bob.clone(), Value::Null, 1),
        (Method::PATCH, bob.clone(), json!({"role": "admin"}), 1),
        (Method::PATCH, bob.clone(), json!({"role": "user"}), 1),
        (Method::POST, format!("{bob}/verify"), json!({}), 1),
        (Method::PATCH, foreign.clone(), json!({"role": "user"}), 1),
        (Method::GET, "/groups".to_owned(), Value::Null, 1),
        (Method::GET, group.clone(), Value::Null, 1),
        (Method::PATCH, group.clone(), json!({"description": "d"}), 1),
        (
            Method::POST,
            format!("{group}/users"),
            json!({"user_id": world.user_id("bob")}),
            1,
        ),
        (
            Method::DELETE,
            format!("{group}/users/{}", world.user_id("bob")),
            Value::Null,
            1,
        ),
        (Method::DELETE, group, Value::Null, 1),
        (Method::POST, "/users".to_owned(), new, 2),
        (
            Method::PUT,
            format!("{bob}/password"),
            json!({"new_password": "Another-Horse-8-Battery"}),
            2,
        ),
        // Somebody else's is not found before a password is hashed.
        (
            Method::PUT,
            format!("{foreign}/password"),
            json!({"new_password": "Another-Horse-8-Battery"}),
            1,
        ),
        (Method::DELETE, bob, Value::Null, 1),
    ];
    let mut wrong = Vec::new();
    for (method, path, body, expected) in requests {
        let body = (!body.is_null()).then(|| body.to_string());
        let before = proxy.flights();
        let answer = world.alice.send(method, &path, body.as_deref()).await;
        let flights = proxy.flights() - before;
        if flights != expected {
            wrong.push(format!(
                "{} ({}): {flights} flights",
                answer.request, answer.status
            ));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}
