//! Trap 7: no way to log out, access tokens that cannot be revoked, and two tokens of one second that are the same.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64URL;
use serde_json::{Value, json};
use snackbase_e2e::{PASSWORD, World};

fn claims(token: &str) -> Value {
    let claims = token.split('.').nth(1).expect("three parts");
    serde_json::from_slice(&BASE64URL.decode(claims).expect("base64url")).expect("JSON")
}

#[tokio::test]
async fn a_session_ends_with_all_its_tokens_and_no_other_does() {
    let world = World::new().await;
    let nobody = world.gateway.api();
    let body = json!({"account": "acme", "email": "bob@example.com", "password": PASSWORD});
    // At once: within one second.
    let (first, second) = tokio::join!(
        nobody.post("/auth/login", body.clone()),
        nobody.post("/auth/login", body)
    );
    let (first, second) = (first.expect(200), second.expect(200));
    let text = |session: &Value, name: &str| session[name].as_str().expect("a token").to_owned();
    for kind in ["token", "refresh_token"] {
        let (one, other) = (text(&first, kind), text(&second, kind));
        assert_ne!(one, other);
        for claim in ["jti", "sid"] {
            assert!(claims(&one)[claim].is_string());
            assert_ne!(claims(&one)[claim], claims(&other)[claim], "{claim} of {kind}");
        }
    }
    let refreshed = nobody
        .post("/auth/refresh", json!({"refresh_token": first["refresh_token"]}))
        .await
        .expect(200);
    assert_eq!(
        claims(&text(&refreshed, "token"))["sid"],
        claims(&text(&first, "token"))["sid"]
    );
    let open = async |token: &str| nobody.with_token(token).get("/auth/me").await.status;
    for session in [&first, &refreshed, &second] {
        assert_eq!(open(&text(session, "token")).await, 200);
    }
    nobody
        .with_token(&text(&refreshed, "token"))
        .post("/auth/logout", json!({}))
        .await
        .expect(200);
    for session in [&first, &refreshed] {
        assert_eq!(open(&text(session, "token")).await, 401);
        nobody
            .post(
                "/auth/refresh",
                json!({"refresh_token": session["refresh_token"]}),
            )
            .await
            .expect(401);
    }
    assert_eq!(open(&text(&second, "token")).await, 200);
}
