//! Guessing a password over HTTP. Source: identity contract §5.3.

use serde_json::json;
use snackbase_e2e::{PASSWORD, World};

#[tokio::test]
async fn a_locked_user_is_told_what_a_wrong_password_is_told() {
    let world = World::new().await;
    let superuser = world.database.superuser().await;
    superuser
        .batch_execute(&format!(
            "alter database {} set snackbase.login_lockout_threshold = 3",
            world.database.name
        ))
        .await
        .expect("a setting");
    // The gateway's connections are older than the setting.
    let gateway = snackbase_e2e::Gateway::start(&world.database, &[]).await;
    let login = async |email: &str, password: &str| {
        gateway
            .api()
            .post(
                "/auth/login",
                json!({"account": "acme", "email": email, "password": password}),
            )
            .await
    };
    let stranger = login("nobody@example.com", PASSWORD).await;
    for _ in 0..3 {
        let answer = login("alice@example.com", "Wrong-Horse-7-Battery").await;
        assert_eq!((answer.status, &answer.text), (401, &stranger.text));
    }
    let locked = login("alice@example.com", PASSWORD).await;
    assert_eq!((locked.status, &locked.text), (401, &stranger.text));
    login("bob@example.com", PASSWORD).await.expect(200);
    // The session that stands is no matter of passwords.
    world.alice.get("/auth/me").await.expect(200);
    superuser
        .execute(
            "update snackbase.users set locked_until = clock_timestamp() where email = 'alice@example.com'",
            &[],
        )
        .await
        .expect("time passes");
    login("alice@example.com", PASSWORD).await.expect(200);
}

/// Whoever sets a password locks the user and then the failures; a login in the other order would end in a deadlock.
#[tokio::test]
async fn a_login_and_a_change_of_its_user_wait_in_one_order() {
    let world = World::new().await;
    let log_in = async |password: &str| {
        let body = json!({"account": "acme", "email": "bob@example.com", "password": password});
        world.gateway.api().post("/auth/login", body).await
    };
    log_in("Wrong-Horse-7-Battery").await.expect(401);
    let superuser = world.database.superuser().await;
    superuser
        .batch_execute(
            "begin; update snackbase.users set profile_data = '{}' where email = 'bob@example.com'",
        )
        .await
        .expect("a superuser may");
    let (answer, ()) = tokio::join!(log_in(PASSWORD), async {
        // The login waits for the user by now.
        tokio::time::sleep(std::time::Duration::from_millis(500)).await;
        superuser
            .batch_execute("delete from snackbase.login_failures; commit")
            .await
            .expect("nobody is in the way");
    });
    answer.expect(200);
}
