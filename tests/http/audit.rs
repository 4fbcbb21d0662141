//! The audit trail as the API shows it.

use serde_json::{Value, json};
use snackbase_e2e::World;

#[tokio::test]
async fn every_change_leaves_one_entry_per_column() {
    let world = World::new().await;
    let api = world
        .alice
        .with_header("user-agent", "e2e/1")
        .with_header("x-correlation-id", "cid_0123456789ab");
    let made = api
        .post("/records/posts", json!({"title": "first", "secret": "s"}))
        .await
        .expect(201);
    let id = made["id"].as_str().expect("an id");
    let path = format!("/records/posts/{id}");
    api.patch(&path, json!({"title": "second"})).await.expect(200);
    world.root.delete(&path).await.expect(204);

    let entries = async |operation: &str| -> Vec<Value> {
        let query = [
            ("table_name", "col_posts"),
            ("record_id", id),
            ("operation", operation),
            ("limit", "500"),
        ];
        let page = world.root.query("/audit-logs", &query).await.expect(200);
        let items = page["items"].as_array().expect("items").clone();
        assert_eq!(page["total"].as_u64(), Some(items.len() as u64));
        assert_eq!(page["audit_logging_enabled"], true);
        items
    };
    let column = |entries: &[Value], name: &str| -> Value {
        entries
            .iter()
            .find(|entry| entry["column_name"] == name)
            .unwrap_or_else(|| panic!("no entry for {name}"))
            .clone()
    };
    let created = entries("CREATE").await;
    assert_eq!(created.len(), 10, "4 fields and 6 system columns");
    let title = column(&created, "title");
    assert_eq!(
        (&title["old_value"], &title["new_value"]),
        (&Value::Null, &json!("first"))
    );
    assert_eq!(title["account_id"].as_str(), Some(world.account_id("alice")));
    assert_eq!(title["user_id"].as_str(), Some(world.user_id("alice")));
    assert_eq!(title["user_email"], "alice@example.com");
    assert_eq!(title["ip_address"], "127.0.0.1");
    assert_eq!(title["user_agent"], "e2e/1");
    assert_eq!(title["request_id"], "cid_0123456789ab");
    assert_eq!(title["extra_metadata"]["auth_method"], "jwt");
    let checksum = title["checksum"].as_str().expect("a checksum");
    assert!(
        checksum.len() == 64 && checksum.bytes().all(|byte| byte.is_ascii_hexdigit()),
        "{checksum}"
    );

    let updated = entries("update").await;
    let title = column(&updated, "title");
    assert_eq!(
        (&title["old_value"], &title["new_value"]),
        (&json!("first"), &json!("second"))
    );
    assert!(
        updated.iter().all(|entry| entry["column_name"] != "status"),
        "what did not change has no entry"
    );

    let deleted = entries("DELETE").await;
    assert_eq!(deleted.len(), 10);
    let title = column(&deleted, "title");
    assert_eq!(
        (&title["old_value"], &title["new_value"]),
        (&json!("second"), &Value::Null)
    );
    assert_eq!(
        title["user_email"], "root@example.com",
        "the actor is who acted, the account is the record's"
    );
    assert_eq!(title["account_id"].as_str(), Some(world.account_id("alice")));

    let one = world
        .root
        .get(&format!("/audit-logs/{}", title["id"]))
        .await
        .expect(200);
    assert_eq!(one, title);
    let missing = world.root.get("/audit-logs/999999999").await;
    assert!(
        missing.text.contains("Audit log entry 999999999 not found"),
        "{}",
        missing.text
    );
    missing.expect(404);
    world.root.get("/audit-logs/x").await.expect(422);
    assert_eq!(world.audit_findings().await, [""; 0]);
}

#[tokio::test]
async fn secrets_never_reach_the_trail() {
    let world = World::new().await;
    let page = world.root.get("/audit-logs?limit=500").await;
    assert!(!page.text.contains("argon2"), "no password hash: {}", page.text);
    let users = world
        .root
        .query("/audit-logs", &[("table_name", "users"), ("limit", "500")])
        .await
        .expect(200);
    assert!(users["total"].as_u64() > Some(0), "registrations are audited");
    for entry in users["items"].as_array().expect("items") {
        if entry["column_name"] == "password_hash" {
            assert!(
                entry["new_value"].is_null() || entry["new_value"] == "***",
                "{entry}"
            );
        }
    }
}

#[tokio::test]
async fn the_list_is_paged_and_checked() {
    let world = World::new().await;
    world
        .alice
        .post("/records/posts", json!({"title": "t"}))
        .await
        .expect(201);
    let page = world
        .root
        .get("/audit-logs?table_name=col_posts&skip=2&limit=3&sort_by=id&sort_order=asc")
        .await
        .expect(200);
    assert_eq!(
        (
            page["total"].as_u64(),
            page["skip"].as_u64(),
            page["limit"].as_u64()
        ),
        (Some(10), Some(2), Some(3))
    );
    let ids: Vec<_> = page["items"]
        .as_array()
        .expect("items")
        .iter()
        .map(|item| item["id"].as_u64())
        .collect();
    assert!(ids.windows(2).all(|pair| pair[0] < pair[1]), "{ids:?}");
    assert_eq!(
        world
            .root
            .get("/audit-logs?from_date=2999-01-01")
            .await
            .expect(200)["total"],
        0
    );
    let globex = world.account_id("carol");
    let list = world
        .root
        .query(
            "/audit-logs",
            &[("account_id", globex), ("table_name", "col_posts")],
        )
        .await
        .expect(200);
    assert_eq!(list["total"], 0);
    for bad in [
        "limit=0",
        "limit=501",
        "skip=-1",
        "sort_order=up",
        "from_date=2024-13-32",
    ] {
        let answer = world.root.get(&format!("/audit-logs?{bad}")).await;
        assert!(
            answer.status == 422 || answer.status == 400,
            "{bad}: {} {}",
            answer.status,
            answer.text
        );
    }
    world.root.get("/audit-logs/?limit=1").await.expect(200);
}
