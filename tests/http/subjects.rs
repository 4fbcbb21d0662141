//! Erasure of personal values over HTTP: `docs/ledger.md` §12.

use serde_json::{Value, json};
use snackbase_e2e::{PASSWORD, World, environment, gateway_command};

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

/// `snackbase-gateway audit rewrap-keys` between two master keys: what was erased stays so, the rest opens under the new one only.
#[tokio::test]
async fn the_master_key_is_changed_by_command() {
    let world = World::new().await;
    world
        .define(json!({"name": "people",
            "fields": [{"name": "phone", "type": "text", "pii": true, "options": {"erasable": true}}], "create_rule": ""}))
        .await;
    let superuser = world.database.superuser().await;
    let directory = std::env::temp_dir().join(format!("snackbase-masters-{}", std::process::id()));
    std::fs::create_dir_all(&directory).expect("a directory");
    let file = |name: &str, digits: &str| {
        let file = directory.join(name);
        std::fs::write(&file, digits.repeat(32)).expect("a file");
        file.display().to_string()
    };
    let (old, new) = (file("old", "0e"), file("new", "e0"));
    let masters = async |current: &str, previous: &str| {
        let database = superuser.value("select quote_ident(current_database())").await;
        for (setting, file) in [("", current), ("_previous", previous)] {
            superuser
                .batch_execute(&format!(
                    "alter database {database} set snackbase.subject_master_key_file{setting} = '{file}'"
                ))
                .await
                .expect("a setting");
        }
        // For sessions that begin later.
        superuser
            .batch_execute(
                "select pg_terminate_backend(a.pid) from pg_stat_activity a
                  where a.datname = current_database() and a.usename = 'snackbase_gateway'",
            )
            .await
            .expect("new sessions");
        for _ in 0..50 {
            if world.root.get("/auth/me").await.status == 200 {
                return;
            }
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
        panic!("the gateway does not come back");
    };
    let port = environment("PGPORT").parse().expect("a port");
    let command = async || {
        let output = gateway_command(&world.database, port)
            .args(["audit", "rewrap-keys"])
            .stdout(std::process::Stdio::piped())
            .stderr(std::process::Stdio::piped())
            .output()
            .await
            .expect("the gateway program starts");
        let text =
            String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
        (output.status.code(), text)
    };
    let trail = async || {
        world
            .root
            .get("/audit-logs?table_name=col_people&limit=500")
            .await
    };

    assert_eq!(command().await.0, Some(1), "there is no master key");
    masters(&old, "").await;
    let mut ids = Vec::new();
    for phone in ["555-0100", "555-0200"] {
        let made = world
            .alice
            .post("/records/people", json!({ "phone": phone }))
            .await
            .expect(201);
        ids.push(made["id"].clone());
    }
    let subject = json!({"account_id": world.account_id("alice"), "subject": ids[1]});
    world
        .root
        .post("/admin/subjects/erase", subject)
        .await
        .expect(200);

    masters(&new, "").await;
    let (code, text) = command().await;
    assert!(
        code == Some(1) && text.contains("1 keys are wrapped by another"),
        "{text}"
    );
    assert!(trail().await.status >= 500, "the new key opens nothing yet");
    masters(&new, &old).await;
    let (code, text) = command().await;
    assert_eq!((code, text.trim()), (Some(0), "1 keys wrapped again."));
    masters(&new, "").await;
    let answer = trail().await;
    assert!(
        answer.text.contains("555-0100")
            && answer.text.contains("[erased]")
            && !answer.text.contains("555-0200"),
        "{}",
        answer.text
    );
    masters(&old, "").await;
    assert!(trail().await.status >= 500, "the old key opens nothing any more");
    std::fs::remove_dir_all(&directory).expect("the files go");
}
