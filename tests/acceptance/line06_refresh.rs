//! Line 6: refresh rotates; parallel refresh of one token → exactly one success; late replay kills the family.

use futures_util::future::join_all;
use serde_json::{Value, json};
use snackbase_e2e::{Answer, World};

use crate::sdk;

async fn refresh(world: &World, token: &Value) -> Answer {
    let body = json!({"refresh_token": token});
    world.gateway.api().post("/auth/refresh", body).await
}

#[tokio::test]
async fn through_the_client() {
    let file = "tests/sdk/acceptance/line06_refresh.test.mjs";
    sdk::against(&World::new().await, file, &[]).await;
}

#[tokio::test]
async fn one_of_many_wins_and_a_late_replay_ends_the_family() {
    let world = World::new().await;
    let first = world.people["bob"]["refresh_token"].clone();
    let answers = join_all((0..20).map(|_| refresh(&world, &first))).await;
    let (won, lost): (Vec<_>, Vec<_>) = answers.into_iter().partition(|answer| answer.status == 200);
    assert_eq!((won.len(), lost.len()), (1, 19));
    assert!(lost.iter().all(|answer| answer.status == 401));
    let second = won[0].json["refresh_token"].clone();
    assert_ne!(first, second);
    let third = refresh(&world, &second).await.expect(200);
    let superuser = world.database.superuser().await;
    superuser
        .batch_execute("update snackbase.refresh_tokens set spent_at = spent_at - interval '11 seconds' where spent_at is not null")
        .await
        .expect("time passes");
    refresh(&world, &first).await.expect(401);
    refresh(&world, &third["refresh_token"]).await.expect(401);
    let access = third["token"].as_str().expect("a token");
    let bob = world.gateway.api().with_token(access);
    bob.get("/auth/me").await.expect(401);
    // Nobody else's, and no other session, is touched.
    world.alice.get("/auth/me").await.expect(200);
    let credentials =
        json!({"account": "acme", "email": "bob@example.com", "password": snackbase_e2e::PASSWORD});
    world
        .gateway
        .api()
        .post("/auth/login", credentials)
        .await
        .expect(200);
}
