//! Erasure of personal values over HTTP: `docs/ledger.md` §12.

use serde_json::{Value, json};
use snackbase_e2e::{PASSWORD, World};

#[tokio::test]
async fn a_superadmin_erases_a_subject_and_nobody_else_does() {
    let world = World::new().await;
    world
        .define(json!({"name": "people",
            "fields": [{"name": "phone", "type": "text", "pii": true, "options": {"erasable": true}}],
            "list_rule": "", "view_rule": "", "create_rule": "", "update_rule": "",
            "options": {"signature": {"update": "signature"}}}))
        .await;
    let made = world
        .alice
        .post("/records/people", json!({"phone": "555-0100"}))
        .await
        .expect(201);
    let id = made["id"].as_str().expect("an id");
    let body = json!({"account_id": world.account_id("alice"), "subject": id});
    let trail = async || {
        world
            .root
            .get("/audit-logs?table_name=col_people&limit=500")
            .await
            .text
    };
    assert!(
        trail().await.contains("555-0100"),
        "readable while the key exists"
    );

    for caller in [&world.alice, &world.bob, &world.carol] {
        caller
            .post("/admin/subjects/erase", body.clone())
            .await
            .expect(403);
    }
    world
        .anonymous
        .post("/admin/subjects/erase", body.clone())
        .await
        .expect(401);
    world
        .root
        .post("/admin/subjects/erase", json!({"subject": id}))
        .await
        .expect(422);
    // Clearing the records is an update, which needs a signature here like any other.
    let unsigned = world.root.post("/admin/subjects/erase", body.clone()).await;
    assert_eq!(unsigned.json["code"], "signature_required", "{}", unsigned.text);
    let root = world
        .root
        .with_header("x-es-username", "root@example.com")
        .with_header("x-es-password", PASSWORD)
        .with_header("x-es-meaning", "responsibility")
        .with_header("x-es-reason", "request of the data subject");
    let erased = root.post("/admin/subjects/erase", body.clone()).await.expect(200);
    assert_eq!(
        (&erased["records"], &erased["keys_destroyed"]),
        (&json!(1), &json!(1))
    );
    let record = world.root.get(&format!("/records/people/{id}")).await.expect(200);
    assert_eq!(record["phone"], Value::Null);
    let after = trail().await;
    assert!(
        !after.contains("555-0100") && after.contains("[erased]"),
        "{after}"
    );
    assert_eq!(world.audit_findings().await, [""; 0]);
    let again = root.post("/admin/subjects/erase", body).await.expect(200);
    assert_eq!(
        (&again["records"], &again["keys_destroyed"]),
        (&json!(0), &json!(0))
    );
}
