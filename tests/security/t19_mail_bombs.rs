//! T19: the original sends mail while the request waits, so that its time tells who is known (acceptance line 17 measures ours),
//! sends as often as it is asked, and lets a failed mail destroy the link before.

use serde_json::json;
use snackbase_e2e::World;

#[tokio::test]
async fn an_address_gets_three_of_each_and_the_last_link_works() {
    let world = World::new().await;
    let superuser = world.database.superuser().await;
    superuser
        .batch_execute("update snackbase.users set email_verified = false where email = 'bob@example.com'")
        .await
        .expect("a superuser may");
    let api = world.gateway.api();
    let mut texts = std::collections::BTreeSet::new();
    for _ in 0..6 {
        for email in ["bob@example.com", "BOB@example.com", "nobody@example.com"] {
            for path in [
                "/auth/forgot-password",
                "/auth/resend-verification",
                "/auth/send-verification",
            ] {
                let answer = api.post(path, json!({"account": "acme", "email": email})).await;
                texts.insert((path.contains("forgot"), answer.status, answer.text));
            }
        }
    }
    assert_eq!(texts.len(), 2, "{texts:?}");
    let sent = superuser
        .value("select string_agg(template_type || ' ' || n, ', ' order by template_type) from (select template_type, count(*) as n from snackbase.mail_outbox group by 1) x")
        .await;
    assert_eq!(sent, "email_verification 3, password_reset 3");
    let token = superuser
        .value("select variables ->> 'token' from snackbase.mail_outbox where template_type = 'password_reset' order by id desc limit 1")
        .await;
    assert_eq!(
        api.get(&format!("/auth/verify-reset-token/{token}"))
            .await
            .expect(200)["valid"],
        true
    );
    // Another account's user of the same address is somebody else.
    let carols = json!({"account": "globex", "email": "carol@example.com"});
    api.post("/auth/forgot-password", carols).await.expect(200);
    assert_eq!(world.mailed_token("carol@example.com").await.len(), 43);
}

#[tokio::test]
async fn administrators_send_ten_of_each_to_an_address() {
    let world = World::new().await;
    let superuser = world.database.superuser().await;
    let body = json!({"email": "victim@example.org", "password": snackbase_e2e::PASSWORD, "role_id": 2});
    let made = world.alice.post("/users", body).await.expect(201);
    let path = format!("/users/{}", made["id"].as_str().expect("an id"));
    for number in 0..12 {
        let wanted = if number < 10 { 200 } else { 400 };
        let resend = format!("{path}/resend-verification");
        let refused = world.alice.post(&resend, json!({})).await;
        assert_eq!(refused.status, wanted, "{number}: {}", refused.text);
        let link = json!({"send_reset_link": true});
        let refused = world.alice.put(&format!("{path}/password"), link).await;
        assert_eq!(refused.status, wanted, "{number}: {}", refused.text);
    }
    let sent = "select string_agg(template_type || ' ' || n, ', ' order by template_type)
                  from (select template_type, count(*) as n from snackbase.mail_outbox where recipient = 'victim@example.org' group by 1) x";
    assert_eq!(
        superuser.value(sent).await,
        "email_verification 10, password_reset 10"
    );
}
