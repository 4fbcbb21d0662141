//! Trap 22: a client with IPv6 has as many budgets as addresses.

use snackbase_e2e::{PASSWORD, World};

use crate::http::limits::{from, limited, login};

#[tokio::test]
async fn a_64_is_one_client() {
    let world = limited(&[("SNACKBASE_RATE_LIMIT_PER_MINUTE", "5")]).await;
    let nobody = world.gateway.api();
    for number in 1..=5 {
        from(&nobody, &format!("2001:db8:0:1:{number}::{number}"))
            .get("/auth/me")
            .await
            .expect(401);
    }
    for number in 6..=9 {
        from(&nobody, &format!("2001:db8:0:1::{number}"))
            .get("/auth/me")
            .await
            .expect(429);
    }
    from(&nobody, "2001:db8:0:2::1").get("/auth/me").await.expect(401);
    // An IPv4 address is itself, however it is written.
    for address in [
        "192.0.2.1",
        "::ffff:192.0.2.1",
        "192.0.2.1:4711",
        "[::ffff:192.0.2.1]:4711",
        "192.0.2.1",
    ] {
        from(&nobody, address).get("/auth/me").await.expect(401);
    }
    from(&nobody, "192.0.2.1").get("/auth/me").await.expect(429);
    from(&nobody, "192.0.2.2").get("/auth/me").await.expect(401);
}

#[tokio::test]
async fn nor_does_it_have_more_passwords_to_try() {
    let world = World::with(&[("SNACKBASE_LOGIN_RATE_LIMIT_PER_MINUTE", "3")]).await;
    let nobody = world.gateway.api();
    for number in 1..=3 {
        login(
            &nobody,
            &format!("2001:db8::{number}"),
            "bob@example.com",
            "Wrong-Horse-7-Battery",
        )
        .await
        .expect(401);
    }
    login(&nobody, "2001:db8::ffff:9", "bob@example.com", PASSWORD)
        .await
        .expect(429);
    login(&nobody, "2001:db8:0:1::9", "bob@example.com", PASSWORD)
        .await
        .expect(200);
}

/// Whoever is no proxy of ours says about itself what it likes.
#[tokio::test]
async fn an_address_counts_only_from_a_trusted_proxy() {
    let world = limited(&[
        ("SNACKBASE_RATE_LIMIT_PER_MINUTE", "2"),
        ("SNACKBASE_TRUSTED_PROXIES", "192.0.2.99"),
    ])
    .await;
    let nobody = world.gateway.api();
    for (number, status) in [(1, 401), (2, 401), (3, 429)] {
        from(&nobody, &format!("198.51.100.{number}"))
            .with_header("cf-connecting-ip", &format!("203.0.113.{number}"))
            .get("/auth/me")
            .await
            .expect(status);
    }
}
