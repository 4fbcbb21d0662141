//! T18: `Alice@` and `alice@` are two users.

use futures_util::future::join_all;
use serde_json::json;
use snackbase_e2e::{PASSWORD, World};

#[tokio::test]
async fn an_address_is_one_user_whatever_its_case() {
    let world = World::new().await;
    let create = |email: &str| {
        let alice = world.alice.clone();
        let body = json!({"email": email, "password": PASSWORD, "role_id": 2});
        async move { alice.post("/users", body).await }
    };
    for email in ["ALICE@example.com", "Alice@Example.COM", " alice@example.com "] {
        let taken = create(email).await;
        assert_eq!(
            (taken.status, taken.json["field"].as_str()),
            (409, Some("email")),
            "{email}"
        );
    }
    let path = format!("/users/{}", world.user_id("bob"));
    let taken = world
        .alice
        .patch(&path, json!({"email": "aLICE@example.com"}))
        .await;
    assert_eq!((taken.status, taken.json["field"].as_str()), (409, Some("email")));
    // At once: one is the first, and nobody gets a server error.
    let spellings = [
        "new@example.com",
        "New@example.com",
        "NEW@example.com",
        "nEw@EXAMPLE.com",
    ];
    let answers = join_all((0..12).map(|number| create(spellings[number % 4]))).await;
    let made = answers.iter().filter(|answer| answer.status == 201).count();
    let refused = answers.iter().filter(|answer| answer.status == 409).count();
    assert_eq!((made, refused), (1, 11));
    // Whoever writes the table itself.
    let superuser = world.database.superuser().await;
    let attempt = format!(
        "insert into snackbase.users (account_id, email, role_id) values ('{}', 'BOB@example.com', 2)",
        world.account_id("bob")
    );
    assert_eq!(superuser.state_of(&attempt).await, "23505");
    let login = json!({"account": "acme", "email": "BOB@EXAMPLE.COM", "password": PASSWORD});
    let session = world.gateway.api().post("/auth/login", login).await.expect(200);
    assert_eq!(session["user"]["id"], world.user_id("bob"));
}
