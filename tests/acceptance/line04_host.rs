//! Line 4: `Host: ab1001.example.com` without body account logs in; body account wins over host; unknown host label = 401.

use serde_json::json;
use snackbase_e2e::{PASSWORD, World};

#[tokio::test]
async fn the_host_stands_in_for_the_account() {
    let world = World::new().await;
    let code = world.people["alice"]["account"]["account_code"]
        .as_str()
        .expect("a code");
    let at = |host: &str| world.gateway.api().with_header("host", host);
    let alice = json!({"email": "alice@example.com", "password": PASSWORD});
    let session = at(&format!("{}.example.com", code.to_lowercase()))
        .post("/auth/login", alice.clone())
        .await
        .expect(200);
    assert_eq!(session["account"]["account_code"], code);
    let mut named = alice.clone();
    named["account"] = json!("acme");
    let session = at("globex.example.com")
        .post("/auth/login", named.clone())
        .await
        .expect(200);
    assert_eq!(session["account"]["slug"], "acme");
    named["account"] = json!("globex");
    at("acme.example.com")
        .post("/auth/login", named)
        .await
        .expect(401);
    let unknown = at("zz9998.example.com").post("/auth/login", alice.clone()).await;
    let wrong = json!({"email": "alice@example.com", "password": "Wrong-Horse-7-Battery", "account": "acme"});
    let wrong = at("acme.example.com").post("/auth/login", wrong).await;
    assert_eq!((unknown.status, unknown.text), (401, wrong.text));
}
