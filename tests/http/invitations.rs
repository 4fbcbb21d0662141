//! Invitations over HTTP. Source: identity contract §4.8.

use serde_json::{Value, json};
use snackbase_e2e::{PASSWORD, World};

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_else(|| panic!("not a text: {value}"))
}

#[tokio::test]
async fn an_invitation_is_made_sent_again_read_and_accepted() {
    let world = World::new().await;
    let api = world.gateway.api();
    let groups = world.alice.get("/auth/me").await.expect(200)["user"]["groups"].clone();
    assert_eq!(groups, json!(["pii_access"]));
    let superuser = world.database.superuser().await;
    let group = superuser
        .value("select g.id from snackbase.groups g join snackbase.accounts a on a.id = g.account_id where a.slug = 'acme'")
        .await;
    let body = json!({"email": "Eve@example.org", "role_id": "1", "groups": [group]});
    let made = world.alice.post("/invitations", body.clone()).await.expect(201);
    let id = text(&made["id"]);
    assert_eq!(
        made.as_object().expect("an object").keys().collect::<Vec<_>>(),
        [
            "id",
            "account_id",
            "account_code",
            "email",
            "invited_by",
            "expires_at",
            "accepted_at",
            "created_at",
            "updated_at",
            "email_sent",
            "email_sent_at",
            "status",
            "role_id",
            "groups",
            "token"
        ]
    );
    let token = text(&made["token"]);
    assert!(
        token.len() == 64 && token.bytes().all(|byte| byte.is_ascii_hexdigit()),
        "{token}"
    );
    assert_eq!(made["invited_by"].as_str(), Some(world.user_id("alice")));
    assert_eq!(
        (&made["status"], &made["email_sent"], &made["role_id"]),
        (&json!("pending"), &json!(false), &json!(1))
    );
    let pending = world.alice.post("/invitations", body).await;
    assert_eq!(pending.json["field"], "email", "{}", pending.text);
    pending.expect(409);

    let public = api
        .get(&format!("/invitations/{}", text(&made["token"])))
        .await
        .expect(200);
    assert_eq!(public["email"], "Eve@example.org");
    assert_eq!(public["account_name"], "Acme");
    assert_eq!(public["invited_by_name"], "alice@example.com");
    assert_eq!(public["is_valid"], true);
    let again = world
        .alice
        .post(&format!("/invitations/{id}/resend"), json!({}))
        .await
        .expect(200);
    assert!(again["message"].is_string(), "{again}");
    let token = text(&again["token"]);
    let accept = async |token: &str, password: &str| {
        // Clients send a stale token along.
        api.with_token("x.y.z")
            .post(
                &format!("/invitations/{token}/accept"),
                json!({"password": password}),
            )
            .await
    };
    accept(text(&made["token"]), PASSWORD).await.expect(404);
    let weak = accept(token, "password").await;
    assert!(
        weak.codes().contains(&"password:password_no_digit".to_owned()),
        "{}",
        weak.text
    );
    weak.expect(400);
    accept(token, "short").await.expect(422);
    api.post(&format!("/invitations/{token}/accept"), json!({}))
        .await
        .expect(422);

    let answer = accept(token, PASSWORD).await;
    assert_eq!(answer.header("cache-control"), "no-store");
    let session = answer.expect(200);
    assert_eq!(session["user"]["role"], "admin");
    assert_eq!(session["user"]["groups"], json!(["pii_access"]));
    assert_eq!(session["user"]["email_verified"], true);
    assert_eq!(session["account"]["slug"], "acme");
    let eve = api.with_token(text(&session["token"]));
    assert_eq!(eve.get("/auth/me").await.expect(200)["role"], "admin");
    api.post(
        "/auth/refresh",
        json!({"refresh_token": session["refresh_token"]}),
    )
    .await
    .expect(200);
    let login = json!({"account": "acme", "email": "eve@example.org", "password": PASSWORD});
    api.post("/auth/login", login).await.expect(200);

    accept(token, PASSWORD).await.expect(404);
    let spent = api.get(&format!("/invitations/{token}")).await;
    assert_eq!(spent.json["error"], "Already accepted");
    spent.expect(400);
    world
        .alice
        .post(&format!("/invitations/{id}/resend"), json!({}))
        .await
        .expect(400);
    let member = world
        .alice
        .post("/invitations", json!({"email": "EVE@example.org"}))
        .await;
    member.expect(400);
}

#[tokio::test]
async fn lists_filters_and_refusals() {
    let world = World::new().await;
    let api = world.gateway.api();
    let invite = async |email: &str| {
        world
            .alice
            .post("/invitations", json!({"email": email}))
            .await
            .expect(201)
    };
    let (kept, dropped, old) = (
        invite("a@example.org").await,
        invite("b@example.org").await,
        invite("c@example.org").await,
    );
    let path = |one: &Value| format!("/invitations/{}", text(&one["id"]));
    for caller in [&world.bob, &world.carol, &api] {
        let (status, foreign) = match caller.get("/auth/me").await.json["role"].as_str() {
            Some("user") => (403, 403),
            Some(_) => (404, 201),
            None => (401, 401),
        };
        assert_eq!(caller.delete(&path(&dropped)).await.status, status);
        assert_eq!(
            caller
                .post(&format!("{}/resend", path(&dropped)), json!({}))
                .await
                .status,
            status
        );
        assert_eq!(
            caller
                .post("/invitations", json!({"email": "d@example.org"}))
                .await
                .status,
            foreign
        );
    }
    let foreign = json!({"email": "d@example.org", "account_id": world.account_id("carol")});
    let refused = world.alice.post("/invitations", foreign).await;
    assert!(
        refused.json["detail"].is_string() && !refused.text.contains("superadmin"),
        "{}",
        refused.text
    );
    refused.expect(403);
    world.alice.delete(&path(&dropped)).await.expect(204);
    world.alice.delete(&path(&dropped)).await.expect(404);
    api.get(&format!("/invitations/{}", text(&dropped["token"])))
        .await
        .expect(404);
    let superuser = world.database.superuser().await;
    superuser
        .batch_execute("update snackbase.invitations set expires_at = now() where email = 'c@example.org'")
        .await
        .expect("time passes");
    let expired = api.get(&format!("/invitations/{}", text(&old["token"]))).await;
    assert_eq!(expired.json["error"], "Expired");
    expired.expect(400);
    api.post(
        &format!("/invitations/{}/accept", text(&old["token"])),
        json!({"password": PASSWORD}),
    )
    .await
    .expect(404);
    api.get("/invitations/nothing").await.expect(404);

    let list = async |caller: &snackbase_e2e::Api, query: &str| {
        let answer = caller.get(&format!("/invitations{query}")).await;
        assert!(!answer.text.contains(text(&kept["token"])), "{}", answer.text);
        let answer = answer.expect(200);
        let emails: Vec<String> = answer["invitations"]
            .as_array()
            .expect("an array")
            .iter()
            .map(|one| {
                assert!(one["token"].is_null(), "{one}");
                format!("{} {}", text(&one["email"]), text(&one["status"]))
            })
            .collect();
        (answer["total"].as_u64().expect("a number"), emails.join(", "))
    };
    let all = (
        3,
        "c@example.org expired, b@example.org cancelled, a@example.org pending".to_owned(),
    );
    // Members read what their administrators do.
    assert_eq!(list(&world.alice, "").await, all);
    assert_eq!(list(&world.bob, "").await, all);
    assert_eq!(
        list(&world.bob, &format!("?account_id={}", world.account_id("carol"))).await,
        all
    );
    assert_eq!(
        list(&world.carol, "").await,
        (1, "d@example.org pending".to_owned())
    );
    assert_eq!(list(&world.root, "").await.0, 4);
    assert_eq!(
        list(&world.root, &format!("?account_id={}", world.account_id("alice"))).await,
        all
    );
    assert_eq!(
        list(&world.alice, "?status_filter=cancelled").await,
        (1, "b@example.org cancelled".to_owned())
    );
    assert_eq!(
        list(&world.alice, "?status_filter=accepted").await,
        (0, String::new())
    );
    assert_eq!(
        list(&world.alice, "?page=2&page_size=2").await,
        (3, "a@example.org pending".to_owned())
    );
    world
        .alice
        .get("/invitations?status_filter=all")
        .await
        .expect(422);
    api.get("/invitations").await.expect(401);
    for body in [
        json!({}),
        json!({"email": "no address"}),
        json!({"email": "x@example.org", "role_id": "first"}),
        json!({"email": "x@example.org", "role_id": 99}),
        json!({"email": "x@example.org", "groups": "pii_access"}),
        json!({"email": "x@example.org", "groups": ["00000000-0000-4000-8000-000000000000"]}),
    ] {
        world.alice.post("/invitations", body).await.expect(422);
    }
    assert_eq!(
        world.root.get("/dashboard/stats").await.expect(200)["feature_counts"]["invitations_pending"],
        2
    );
}

#[tokio::test]
async fn whoever_joined_meanwhile_is_a_conflict() {
    let world = World::new().await;
    let made = world
        .alice
        .post("/invitations", json!({"email": "eve@example.org"}))
        .await
        .expect(201);
    let user = json!({"email": "Eve@example.org", "password": PASSWORD, "account_id": world.account_id("alice"), "role_id": 2});
    world.root.post("/users", user).await.expect(201);
    let path = format!("/invitations/{}/accept", text(&made["token"]));
    let answer = world
        .gateway
        .api()
        .post(&path, json!({"password": PASSWORD}))
        .await;
    assert_eq!(answer.json["field"], "email", "{}", answer.text);
    answer.expect(409);
}
