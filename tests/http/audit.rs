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

#[tokio::test]
async fn readers_of_an_account_see_its_trail_and_others_are_refused() {
    let world = World::new().await;
    for api in [&world.alice, &world.carol] {
        api.post("/records/posts", json!({"title": "t"}))
            .await
            .expect(201);
    }
    let hers = world
        .alice
        .get("/audit-logs?table_name=col_posts")
        .await
        .expect(200);
    assert_eq!(hers["total"], 10);
    let acme = world.account_id("alice");
    assert!(
        hers["items"]
            .as_array()
            .expect("items")
            .iter()
            .all(|entry| entry["account_id"] == acme)
    );
    let foreign = world
        .root
        .get("/audit-logs?table_name=col_posts&limit=1&account_id=")
        .await
        .expect(200);
    assert_eq!(foreign["total"], 20);
    let his = world
        .root
        .query(
            "/audit-logs",
            &[("account_id", world.account_id("carol")), ("limit", "1")],
        )
        .await
        .expect(200)["items"][0]["id"]
        .to_string();
    world.alice.get(&format!("/audit-logs/{his}")).await.expect(404);
    let export = world
        .alice
        .get("/audit-logs/export?format=json&table_name=col_posts")
        .await;
    assert_eq!(export.header("x-total-count"), "10");
    assert!(!export.text.contains("carol@example.com"), "{}", export.text);
    for path in [
        "/audit-logs",
        "/audit-logs/1",
        "/audit-logs/x",
        "/audit-logs/export",
        "/audit-logs/export?format=xml",
    ] {
        let refused = world.bob.get(path).await;
        assert!(
            refused.text.contains("Superadmin access required"),
            "{path}: {}",
            refused.text
        );
        refused.expect(403);
        world.anonymous.get(path).await.expect(401);
    }
    world.alice.get("/audit-logs/export?format=xml").await.expect(422);
    world
        .alice
        .get("/audit-logs/export?from_date=2024-13-32")
        .await
        .expect(422);
}

#[tokio::test]
async fn exports_are_documents_of_all_three_kinds() {
    let world = World::new().await;
    let made = world
        .alice
        .post("/records/posts", json!({"title": "=1+1", "status": "a,\"b\""}))
        .await
        .expect(201);
    let id = made["id"].as_str().expect("an id");
    let ask = async |more: &str| {
        // what a client library sends along with the filter
        let path = format!("/audit-logs/export?record_id={id}&skip=5&limit=0&sort_by=x&sort_order=up&{more}");
        world.root.get(&path).await
    };
    let named = |answer: &snackbase_e2e::Answer, end: &str| {
        let name = answer.header("content-disposition").to_owned();
        assert!(
            name.starts_with("attachment; filename=audit_logs_2") && name.ends_with(end),
            "{name}"
        );
        assert_eq!(answer.header("x-total-count"), "10");
        assert_eq!(answer.status, 200, "{}", answer.text);
    };

    let answer = ask("format=json").await;
    named(&answer, ".json");
    assert_eq!(answer.header("content-type"), "application/json");
    let entries = answer.json.as_array().expect("an array");
    assert_eq!(entries.len(), 10);
    assert_eq!(entries[0].as_object().expect("an entry").len(), 11);
    assert!(answer.text.starts_with("[\n  {\n    \"id\": "), "{}", answer.text);

    let answer = ask("format=json&full=true").await;
    let entries = answer.json.as_array().expect("an array");
    let by_checksum = |hash: &Value| entries.iter().find(|entry| &entry["checksum"] == hash);
    let firsts = entries
        .iter()
        .filter(|entry| entry["previous_hash"].is_null())
        .count();
    assert_eq!(firsts, 1, "one entry begins the record");
    assert!(
        entries
            .iter()
            .all(|entry| entry["previous_hash"].is_null() || by_checksum(&entry["previous_hash"]).is_some())
    );
    assert_eq!(
        (&entries[0]["hash_version"], &entries[0]["masked"]),
        (&json!(2), &json!(false))
    );

    let answer = ask("").await;
    named(&answer, ".csv");
    assert_eq!(answer.header("content-type"), "text/csv; charset=utf-8");
    assert!(answer.text.starts_with(
        "ID,Timestamp,Operation,Table,Record ID,Column,Old Value,New Value,User,IP Address,Checksum\r\n"
    ));
    assert!(
        answer.text.contains(",'=1+1,") && answer.text.contains(",\"a,\"\"b\"\"\","),
        "{}",
        answer.text
    );

    let answer = ask("format=pdf").await;
    named(&answer, ".pdf");
    assert_eq!(answer.header("content-type"), "text/plain");
    assert!(
        answer.text.starts_with("JVBERi0"),
        "base64 of %PDF-: {}",
        &answer.text[..20]
    );
    let raw = world
        .root
        .with_header("accept", "application/pdf")
        .get(&format!("/audit-logs/export?record_id={id}&format=pdf"))
        .await;
    assert_eq!(raw.header("content-type"), "application/pdf");
    assert!(raw.text.starts_with("%PDF-") && raw.text.contains("(=1+1)"));
}

#[tokio::test]
async fn the_time_limit_of_a_statement_counts_for_each_piece_of_an_export() {
    let world = World::new().await;
    let superuser = world.database.superuser().await;
    superuser
        .batch_execute(&format!(
            "insert into snackbase.col_posts (account_id, title) select '{}', 't' || n from generate_series(1, 2000) n;
             set statement_timeout = '2s'",
            world.account_id("alice")
        ))
        .await
        .expect("bulk rows");
    // A reader that takes its time after each piece, longer than the limit in all.
    let pieces = superuser
        .query(
            "select p, pg_sleep(case when row_number() over () <= 5 then 0.6 else 0 end)
               from (select snackbase.audit_export('{\"format\": \"csv\"}') as p offset 0) e",
            &[],
        )
        .await
        .expect("no piece takes so long");
    assert!(pieces.len() >= 5, "{}", pieces.len());
    // It holds again once the export is over.
    assert_eq!(superuser.state_of("select pg_sleep(10)").await, "57014");
}

#[tokio::test]
async fn a_large_export_streams_and_a_client_that_leaves_ends_it() {
    let world = World::new().await;
    let superuser = world.database.superuser().await;
    superuser
        .batch_execute(&format!(
            "insert into snackbase.col_posts (account_id, title) select '{}', 't' || n from generate_series(1, 5000) n",
            world.account_id("alice")
        ))
        .await
        .expect("bulk rows");
    let answer = world
        .root
        .get("/audit-logs/export?format=json&table_name=col_posts")
        .await;
    assert_eq!(answer.header("x-total-count"), "50000");
    assert_eq!(answer.json.as_array().map(Vec::len), Some(50_000));
    let refused = world
        .root
        .get("/audit-logs/export?format=pdf&table_name=col_posts")
        .await;
    assert!(refused.text.contains("at most 10000"), "{}", refused.text);
    refused.expect(400);

    let token = world.people["root"]["token"].as_str().expect("a token");
    let url = format!("{}/api/v1/audit-logs/export?format=csv", world.gateway.base);
    let mut response = reqwest::Client::new()
        .get(url)
        .bearer_auth(token)
        .send()
        .await
        .expect("an answer");
    let first = response.chunk().await.expect("a chunk");
    assert!(first.is_some_and(|chunk| !chunk.is_empty()));
    drop(response);
    // the statement ends, although most of its rows were never fetched
    let running = "select count(*) from pg_stat_activity
                    where datname = current_database() and state <> 'idle' and query like '%audit_export%' and pid <> pg_backend_pid()";
    let started = std::time::Instant::now();
    while superuser
        .query_one(running, &[])
        .await
        .expect("a count")
        .get::<_, i64>(0)
        > 0
    {
        assert!(started.elapsed().as_secs() < 20, "the export still runs");
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    world
        .root
        .get("/audit-logs/export?format=csv&table_name=nosuch")
        .await
        .expect(200);
}
