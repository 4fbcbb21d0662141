//! Headers of every answer: identity contract §5.10.

use snackbase_e2e::World;

#[tokio::test]
async fn no_cache_keeps_an_answer() {
    let world = World::new().await;
    for path in [
        "/dashboard/stats",
        "/auth/me",
        "/records/posts",
        "!/health",
        "/nothing/here/at/all",
    ] {
        let answer = world.root.get(path).await;
        assert_eq!(answer.header("cache-control"), "no-store", "{path}");
    }
}

#[tokio::test]
async fn plain_http_before_the_proxy_is_sent_to_https_when_the_settings_say_so() {
    let world = World::with(&[("SNACKBASE_HTTPS_REDIRECT_ENABLED", "true")]).await;
    let client = reqwest::Client::builder()
        .redirect(reqwest::redirect::Policy::none())
        .build()
        .expect("a client");
    let ask = async |path: &str, headers: &[(&str, &str)]| {
        let mut request = client.get(format!("{}{path}", world.gateway.base));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let answer = request.send().await.expect("an answer");
        let location = answer.headers().get("location");
        let location = location
            .and_then(|value| value.to_str().ok())
            .unwrap_or_default()
            .to_owned();
        assert!(answer.headers().contains_key("x-content-type-options"));
        (answer.status().as_u16(), location)
    };
    let http = [
        ("x-forwarded-proto", "http"),
        ("x-forwarded-host", "api.example.com"),
    ];
    assert_eq!(
        ask("/api/v1/records/posts?limit=1", &http).await,
        (
            308,
            "https://api.example.com/api/v1/records/posts?limit=1".to_owned()
        )
    );
    let https = [("x-forwarded-proto", "https")];
    assert_eq!(ask("/api/v1", &https).await.0, 200);
    // without a word of the proxy, and for probes
    assert_eq!(ask("/api/v1", &[]).await.0, 200);
    assert_eq!(ask("/health", &http).await.0, 200);
    let off = World::new().await;
    let answer = client
        .get(format!("{}/api/v1", off.gateway.base))
        .header("x-forwarded-proto", "http")
        .send()
        .await
        .expect("an answer");
    assert_eq!(answer.status().as_u16(), 200);
}

#[tokio::test]
async fn health_answers_head_without_a_body() {
    let world = World::new().await;
    for path in ["!/health", "!/ready", "!/live"] {
        let answer = world.gateway.api().send(reqwest::Method::HEAD, path, None).await;
        assert_eq!((answer.status, answer.text.as_str()), (200, ""), "{path}");
    }
    let health = world.gateway.api().get("!/health").await.expect(200);
    assert_eq!(health["encryption_key_configured"], false);
    let with_key = World::with(&[("SNACKBASE_ENCRYPTION_KEY", "a key of the tests, of 32 characters")]).await;
    let health = with_key.gateway.api().get("!/health").await.expect(200);
    assert_eq!(health["encryption_key_configured"], true);
}
