//! Limits of requests and of wrong passwords. Source: identity contract §5.3.

use serde_json::json;
use snackbase_e2e::{Answer, Api, Gateway, PASSWORD, World};

use super::api_keys::key_of;

/// A world whose gateway limits, with further settings.
pub async fn limited(settings: &[(&str, &str)]) -> World {
    let on = [("SNACKBASE_RATE_LIMIT_ENABLED", "true")];
    World::with(&[&on[..], settings].concat()).await
}

/// The same caller from another address, as the proxy in front says.
pub fn from(caller: &Api, address: &str) -> Api {
    caller.with_header("x-forwarded-for", address)
}

/// `limit burst remaining`.
fn told(answer: &Answer) -> String {
    let header = |name: &str| answer.header(&format!("x-ratelimit-{name}")).to_owned();
    format!("{} {} {}", header("limit"), header("burst"), header("remaining"))
}

/// Logs in from an address.
pub async fn login(caller: &Api, address: &str, email: &str, password: &str) -> Answer {
    let body = json!({"account": "acme", "email": email, "password": password});
    from(caller, address).post("/auth/login", body).await
}

#[tokio::test]
async fn every_answer_says_what_is_left_and_the_last_one_when_there_is_more() {
    let world = limited(&[("SNACKBASE_RATE_LIMIT_PER_MINUTE", "3")]).await;
    let nobody = world.gateway.api();
    for remaining in [2, 1, 0] {
        let answer = nobody.get("/auth/me").await;
        assert_eq!((answer.status, told(&answer)), (401, format!("3 3 {remaining}")));
        assert_eq!(answer.header("retry-after"), "");
        let reset: u64 = answer.header("x-ratelimit-reset").parse().expect("seconds");
        assert_eq!(reset, 20 * (3 - remaining));
    }
    let refused = nobody.get("/auth/me").await;
    assert_eq!((refused.status, told(&refused)), (429, "3 3 0".to_owned()));
    let seconds: u64 = refused.header("retry-after").parse().expect("seconds");
    assert!((1..=20).contains(&seconds), "{seconds}");
    assert_eq!(refused.json["error"], "Too Many Requests");
    assert_eq!(
        (&refused.json["detail"], &refused.json["retryAfter"]),
        (&refused.json["message"], &json!(seconds))
    );
    // Probes, the root and what does not exist elsewhere are not metered; unknown routes of the API are.
    for path in ["!/health", "!/live", "", "!/nowhere"] {
        let answer = nobody.get(path).await;
        assert_eq!(
            (answer.status == 429, told(&answer)),
            (false, "  ".to_owned()),
            "{path}"
        );
    }
    nobody.get("/no/such/route/here").await.expect(429);
}

#[tokio::test]
async fn users_are_counted_by_user_and_superadmins_only_where_passwords_are_tried() {
    let world = limited(&[
        ("SNACKBASE_RATE_LIMIT_AUTHENTICATED_PER_MINUTE", "3"),
        ("SNACKBASE_RATE_LIMIT_BURST_MULTIPLIER", "2"),
    ])
    .await;
    let session = login(&world.gateway.api(), "192.0.2.9", "alice@example.com", PASSWORD)
        .await
        .expect(200);
    let second = world
        .gateway
        .api()
        .with_token(session["token"].as_str().expect("a token"));
    for number in 0..3 {
        let answer = from(&world.alice, &format!("192.0.2.{number}"))
            .get("/records/posts")
            .await;
        assert_eq!(
            (answer.status, told(&answer)),
            (200, format!("3 6 {}", 5 - number))
        );
    }
    for _ in 0..3 {
        second.get("/records/posts").await.expect(200);
    }
    second.get("/records/posts").await.expect(429);
    world.alice.get("/records/posts").await.expect(429);
    world.bob.get("/records/posts").await.expect(200);
    for _ in 0..8 {
        let answer = world.root.get("/accounts").await;
        assert_eq!((answer.status, told(&answer)), (200, "  ".to_owned()));
    }
    for _ in 0..6 {
        world.root.get("/auth/me").await.expect(200);
    }
    world.root.get("/auth/me").await.expect(429);
}

#[tokio::test]
async fn keys_are_counted_by_key_once_the_database_has_accepted_them() {
    let world = limited(&[
        ("SNACKBASE_API_KEY_RATE_LIMIT_PER_MINUTE", "2"),
        ("SNACKBASE_RATE_LIMIT_PER_MINUTE", "5"),
    ])
    .await;
    let key = key_of(&world.alice).await;
    let caller = from(&world.gateway.api(), "192.0.2.1").with_header("x-api-key", &key);
    // The first one is taken from the network: nobody has vouched for the key yet.
    let first = caller.get("/records/posts").await;
    assert_eq!((first.status, told(&first)), (200, "5 5 4".to_owned()));
    for remaining in [1, 0] {
        let answer = caller.get("/records/posts").await;
        assert_eq!((answer.status, told(&answer)), (200, format!("2 2 {remaining}")));
    }
    caller.get("/records/posts").await.expect(429);
    // A new made-up key is no new bucket, also where credentials are not looked at or the route does not exist.
    let made_up = |number: usize| {
        let text = format!("{}{number:04}", &key[..68]);
        from(&world.gateway.api(), "192.0.2.2").with_header("x-api-key", &text)
    };
    let bodies = json!({"account": "acme", "email": "alice@example.com", "password": PASSWORD});
    made_up(0).get("/records/posts").await.expect(401);
    made_up(0).get("/records/posts").await.expect(401);
    made_up(1).post("/auth/login", bodies).await.expect(200);
    made_up(1).get("/no/such/route/here").await.expect(404);
    made_up(1).get("/records/posts").await.expect(401);
    for number in 0..3 {
        made_up(number).get("/records/posts").await.expect(429);
    }
}

#[tokio::test]
async fn a_network_has_a_budget_of_wrong_passwords_at_all_gateways() {
    let settings = [("SNACKBASE_LOGIN_RATE_LIMIT_PER_MINUTE", "3")];
    let world = World::with(&settings).await;
    let second = Gateway::start(&world.database, &settings).await;
    let (here, there) = (world.gateway.api(), second.api());
    let wrong = "Wrong-Horse-7-Battery";
    // A success clears what was charged.
    for _ in 0..2 {
        login(&here, "192.0.2.1", "alice@example.com", wrong)
            .await
            .expect(401);
        login(&here, "192.0.2.1", "nobody@example.com", wrong)
            .await
            .expect(401);
        login(&here, "192.0.2.1", "bob@example.com", PASSWORD)
            .await
            .expect(200);
    }
    for (gateway, email) in [
        (&here, "alice@example.com"),
        (&there, "nobody@example.com"),
        (&here, "alice@example.com"),
    ] {
        login(gateway, "192.0.2.1", email, wrong).await.expect(401);
    }
    for gateway in [&here, &there] {
        for (email, password) in [("alice@example.com", PASSWORD), ("nobody@example.com", wrong)] {
            let refused = login(gateway, "192.0.2.1", email, password).await;
            let seconds: u64 = refused.header("retry-after").parse().expect("seconds");
            assert!((1..=60).contains(&seconds), "{seconds}");
            assert_eq!(
                (refused.status, &refused.json["error"], &refused.json["code"]),
                (429, &json!("Too Many Requests"), &json!("too_many_failures"))
            );
        }
    }
    login(&here, "192.0.2.2", "alice@example.com", PASSWORD)
        .await
        .expect(200);
    // Charged only by failures that were tried: time alone makes it good again.
    let superuser = world.database.superuser().await;
    assert_eq!(
        superuser
            .value("select count(*)::text from snackbase.login_failures")
            .await,
        "1",
        "bob's success cleared, alice's from elsewhere her own"
    );
}
