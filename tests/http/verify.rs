//! The ledger is verified on demand: by HTTP and by the command.

use serde_json::{Value, json};
use snackbase_e2e::{World, environment, gateway_command};

use crate::seal::seal_all;

/// A post of Alice, changed once; its id.
async fn posted(world: &World) -> String {
    let made = world
        .alice
        .post("/records/posts", json!({"title": "first", "status": "published"}))
        .await
        .expect(201);
    let id = made["id"].as_str().expect("an id").to_owned();
    let path = format!("/records/posts/{id}");
    world
        .alice
        .patch(&path, json!({"title": "second"}))
        .await
        .expect(200);
    id
}

/// A row changed by somebody who can switch triggers off.
async fn damage(world: &World, id: &str) {
    let session = world.database.superuser().await;
    let script = format!(
        "set session_replication_role = replica; update snackbase.col_posts set title = 'third' where id = '{id}'"
    );
    session.batch_execute(&script).await.expect("a superuser may");
}

#[tokio::test]
async fn the_report_says_what_was_checked_and_what_is_wrong() {
    let world = World::new().await;
    let id = posted(&world).await;
    let entries = world.root.get("/audit-logs?limit=1").await.expect(200)["total"].clone();
    let report = world.root.get("/audit-logs/verify").await.expect(200);
    assert_eq!(report["is_valid"], true, "{report}");
    assert_eq!(report["errors"], json!([]));
    assert_eq!(report["truncated"], false);
    assert_eq!(report["checked"], entries, "every entry was hashed");
    assert!(
        report["duration_ms"].is_u64() && report["first_id"].as_i64() < report["last_id"].as_i64(),
        "{report}"
    );

    damage(&world, &id).await;
    let report = world.root.get("/audit-logs/verify/").await.expect(200);
    assert_eq!(report["is_valid"], false);
    let errors = report["errors"].as_array().expect("errors");
    assert_eq!(errors.len(), 1, "{report}");
    for (key, value) in [
        ("kind", json!("live")),
        ("table_name", json!("col_posts")),
        ("record_id", json!(id)),
        ("record_version", json!(2)),
        ("account_id", json!(world.account_id("alice"))),
        ("expected", json!("title = second")),
        ("actual", json!("title = third")),
    ] {
        assert_eq!(errors[0][key], value, "{key}");
    }
    // The finding leads to the entry.
    let entry = world
        .root
        .get(&format!("/audit-logs/{}", errors[0]["id"]))
        .await
        .expect(200);
    assert_eq!(entry["record_id"].as_str(), Some(id.as_str()));

    let is_valid = async |query: &str| -> Value {
        world
            .root
            .get(&format!("/audit-logs/verify?{query}"))
            .await
            .expect(200)["is_valid"]
            .clone()
    };
    assert_eq!(
        is_valid(&format!("account_id={}", world.account_id("alice"))).await,
        false
    );
    assert_eq!(
        is_valid(&format!("account_id={}", world.account_id("carol"))).await,
        true
    );
    // Only the changes up to that one are looked at, and no rows.
    assert_eq!(is_valid(&format!("to_id={}", errors[0]["id"])).await, true);
    assert_eq!(is_valid(&format!("from_id={}", errors[0]["id"])).await, false);
    assert_eq!(is_valid("since_checkpoint=true&max_errors=1").await, false);
}

#[tokio::test]
async fn only_those_who_may_read_a_trail_verify_it() {
    let world = World::new().await;
    for (api, status) in [(&world.bob, 403), (&world.anonymous, 401)] {
        api.get("/audit-logs/verify").await.expect(status);
        // Whoever may not does not hear what does not fit, either.
        api.get("/audit-logs/verify?max_errors=0").await.expect(status);
    }
    for bad in [
        "max_errors=0",
        "from_id=x",
        "from_block=0",
        "since_checkpoint=maybe",
    ] {
        world
            .root
            .get(&format!("/audit-logs/verify?{bad}"))
            .await
            .expect(422);
    }
    world
        .root
        .get("/audit-logs/verify?account_id=nobody")
        .await
        .expect(400);
}

#[tokio::test]
async fn a_reader_of_an_account_verifies_its_own_trail() {
    let world = World::new().await;
    let id = posted(&world).await;
    let session = world.database.superuser().await;
    seal_all(&session).await;
    for api in [&world.alice, &world.carol] {
        let report = api.get("/audit-logs/verify").await.expect(200);
        assert_eq!(report["is_valid"], true, "{report}");
        assert!(report["head_block"].as_i64() > Some(0), "{report}");
        let entries = &api.get("/audit-logs?limit=1").await.expect(200)["total"];
        assert_eq!(&report["checked"], entries, "its own, and nothing else");
    }
    let foreign = format!("/audit-logs/verify?account_id={}", world.account_id("alice"));
    world.carol.get(&foreign).await.expect(403);
    world
        .carol
        .get("/audit-logs/verify?max_errors=0")
        .await
        .expect(422);

    damage(&world, &id).await;
    let answer = world.alice.get("/audit-logs/verify").await;
    assert!(
        !answer.text.contains("second") && !answer.text.contains("third"),
        "no values: {}",
        answer.text
    );
    let report = answer.expect(200);
    let error = &report["errors"][0];
    assert_eq!(
        (&error["kind"], &error["record_id"], &error["expected"]),
        (&json!("live"), &json!(id), &json!("title")),
        "{report}"
    );
    // The newest change goes, too. Its block counted it.
    let block = session
        .value(&format!(
            "select b.number from snackbase.audit_block b
               join snackbase.audit_change c
                 on c.system_identifier = b.system_identifier and c.xid >= b.from_xid and c.xid < b.to_xid
              where c.record_id = '{id}' and c.record_version = 2"
        ))
        .await;
    session
        .batch_execute(&format!(
            "alter event trigger snackbase_guard_ddl disable;
             alter table snackbase.audit_change disable trigger user;
             delete from snackbase.audit_change where record_id = '{id}' and record_version = 2"
        ))
        .await
        .expect("a superuser may");
    let report = world.alice.get("/audit-logs/verify").await.expect(200);
    let truncated = report["errors"].as_array().expect("errors").iter();
    let blocks: Vec<String> = truncated
        .filter(|error| error["kind"] == "truncated")
        .map(|error| error["block"].to_string())
        .collect();
    assert_eq!(blocks, [block], "{report}");
    // Nothing of it is the neighbour's.
    let report = world.carol.get("/audit-logs/verify").await.expect(200);
    assert_eq!(report["is_valid"], true, "{report}");
}

#[tokio::test]
async fn the_command_tells_findings_by_its_exit_code() {
    let world = World::new().await;
    let id = posted(&world).await;
    let port = environment("PGPORT").parse().expect("PGPORT is a number");
    let run = async |arguments: &[&str]| -> (Option<i32>, String, String) {
        let output = gateway_command(&world.database, port)
            .args(["audit", "verify"])
            .args(arguments)
            .stdout(std::process::Stdio::piped())
            .stderr(std::process::Stdio::piped())
            .output()
            .await
            .expect("the gateway program starts");
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("UTF-8");
        (output.status.code(), text(output.stdout), text(output.stderr))
    };
    let (code, out, err) = run(&[]).await;
    assert_eq!(code, Some(0), "{out}{err}");
    assert!(
        out.contains(" entries checked in ") && out.ends_with(" 0 findings.\n"),
        "{out}"
    );
    damage(&world, &id).await;
    let expected = format!(
        "live account={} table=col_posts record={id} version=2 entry=",
        world.account_id("alice")
    );
    for arguments in [
        &[][..],
        &["--jobs", "3"],
        &["--account", world.account_id("alice")],
    ] {
        let (code, out, err) = run(arguments).await;
        assert_eq!(code, Some(1), "{arguments:?}: {out}{err}");
        assert!(out.starts_with(&expected), "{arguments:?}: {out}");
        assert!(
            out.ends_with("expected=\"title = second\" found=\"title = third\"\n"),
            "{out}"
        );
        assert_eq!(out.lines().count(), 1);
        assert!(err.contains(": 1 findings."), "{err}");
    }
    let (code, out, _) = run(&["--account", world.account_id("carol")]).await;
    assert_eq!(code, Some(0), "{out}");
    for arguments in [&["--checkpoint", "/nowhere"][..], &["--from-block", "0"]] {
        let (code, out, _) = run(arguments).await;
        assert_eq!((code, out.as_str()), (Some(2), ""), "{arguments:?}");
    }
}
