//! T40: the last superadmin is deactivated by another, and the roles that everything looks up by name are renamed.

use serde_json::{Value, json};
use snackbase_e2e::{PASSWORD, World};

fn text<'a>(value: &'a Value, key: &str) -> &'a str {
    value[key].as_str().expect("a text")
}

/// A second superadmin: its path and its token.
async fn second(world: &World) -> (String, String) {
    let body = json!({"email": "second@example.com", "password": PASSWORD, "role_id": 1, "account_id": world.account_id("root")});
    let made = world.root.post("/users", body).await.expect(201);
    let path = format!("/users/{}", text(&made, "id"));
    world
        .root
        .post(&format!("{path}/verify"), json!({}))
        .await
        .expect(200);
    let login = json!({"account": "system", "email": "second@example.com", "password": PASSWORD});
    let session = world.gateway.api().post("/auth/login", login).await.expect(200);
    (path, text(&session, "token").to_owned())
}

#[tokio::test]
async fn there_is_always_a_superadmin() {
    let world = World::new().await;
    let root = format!("/users/{}", world.user_id("root"));
    // Not oneself, …
    for body in [json!({"is_active": false}), json!({"role": "user"})] {
        let refused = world.root.patch(&root, body).await;
        assert_eq!(refused.status, 403, "{}", refused.text);
        assert!(!refused.text.contains("superadmin"), "{}", refused.text);
    }
    world.root.delete(&root).await.expect(403);
    // … and of two that deactivate each other at once, one.
    let (path, token) = second(&world).await;
    let other = world.gateway.api().with_token(&token);
    let superuser = world.database.superuser().await;
    for _ in 0..10 {
        let (one, two) = tokio::join!(world.root.delete(&path), other.delete(&root));
        let mut both = [one.status, two.status];
        both.sort_unstable();
        assert!(
            matches!(both, [204, 401 | 403]),
            "{} {} / {} {}",
            one.status,
            one.text,
            two.status,
            two.text
        );
        let left = superuser
            .value("select count(*) from snackbase.users where account_id = '00000000-0000-0000-0000-000000000000' and is_active")
            .await;
        assert_eq!(left, "1");
        superuser
            .batch_execute(
                "update snackbase.users set is_active = true where account_id = '00000000-0000-0000-0000-000000000000';
                 update snackbase.sessions set revoked_at = null",
            )
            .await
            .expect("a superuser may");
    }
}

#[tokio::test]
async fn no_isolation_level_loses_sight_of_the_other() {
    let world = World::new().await;
    second(&world).await;
    let (one, two) = (world.database.superuser().await, world.database.superuser().await);
    let deactivate =
        |email: &str| format!("update snackbase.users set is_active = false where email = '{email}'");
    for level in ["read committed", "repeatable read", "serializable"] {
        for session in [&one, &two] {
            session
                .batch_execute(&format!(
                    "begin isolation level {level}; select count(*) from snackbase.users"
                ))
                .await
                .expect("a transaction with a snapshot");
        }
        one.batch_execute(&deactivate("root@example.com"))
            .await
            .expect("the other is left");
        one.batch_execute("commit").await.expect("a commit");
        // Its snapshot still shows the first one active.
        let state = two.state_of(&deactivate("second@example.com")).await;
        assert!(["42501", "40001"].contains(&&*state), "{level}: {state}");
        two.batch_execute("rollback").await.expect("a rollback");
        one.batch_execute("update snackbase.users set is_active = true")
            .await
            .expect("a superuser may");
    }
}

#[tokio::test]
async fn the_roles_that_everything_stands_on_stay_as_they_are() {
    let world = World::new().await;
    for role in [1, 2] {
        let path = format!("/roles/{role}");
        for body in [json!({"name": "king"}), json!({"description": "x"})] {
            world.root.put(&path, body).await.expect(422);
        }
        world.root.delete(&path).await.expect(422);
    }
    let superuser = world.database.superuser().await;
    for attempt in [
        "update snackbase.roles set name = 'king' where name = 'admin'",
        "update snackbase.roles set id = 7 where name = 'user'",
        "delete from snackbase.roles where name = 'admin'",
    ] {
        assert_eq!(superuser.state_of(attempt).await, "23514", "{attempt}");
    }
    // Another role of a name like it opens nothing.
    for name in ["Admin", " admin"] {
        world.root.post("/roles", json!({"name": name})).await;
    }
    let bob = format!("/users/{}", world.user_id("bob"));
    world.root.patch(&bob, json!({"role": "Admin"})).await.expect(200);
    world.bob.get("/users").await.expect(403);
}

#[tokio::test]
async fn a_demonstration_keeps_its_superadmins() {
    let world = World::new().await;
    let (path, _) = second(&world).await;
    let superuser = world.database.superuser().await;
    superuser
        .batch_execute(&format!(
            "alter database {} set snackbase.is_demo = on",
            world.database.name
        ))
        .await
        .expect("a superuser may");
    let gateway = snackbase_e2e::Gateway::start(&world.database, &[]).await;
    let root = gateway.api().with_token(text(&world.people["root"], "token"));
    for body in [
        json!({"email": "x@example.com"}),
        json!({"role": "user"}),
        json!({"is_active": false}),
    ] {
        root.patch(&path, body).await.expect(403);
    }
    root.delete(&path).await.expect(403);
    let password = json!({"new_password": "Another-Horse-8-Battery"});
    root.put(&format!("{path}/password"), password).await.expect(403);
    // It works as ever otherwise.
    let login = json!({"account": "system", "email": "second@example.com", "password": PASSWORD});
    gateway.api().post("/auth/login", login).await.expect(200);
    let bob = format!("/users/{}", world.user_id("bob"));
    root.patch(&bob, json!({"email": "b@example.com"}))
        .await
        .expect(200);
}
