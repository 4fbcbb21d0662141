//! Answers of the audit trail as they go over the wire: gzip for clients that ask for it, and for no other route.

use std::io::Read;

use flate2::read::GzDecoder;
use serde_json::json;
use snackbase_e2e::{Answer, Api, PASSWORD, Session, World};

use super::proofs::{checkpointed, outsider};
use super::seal_all;

/// As a browser introduces itself.
const BROWSER: &str =
    "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0.0.0 Safari/537.36";

/// Whether a cache is told that the answer depends on what the client accepts.
fn varies(answer: &Answer) -> bool {
    let mut vary = answer.headers.get_all("vary").iter();
    vary.any(|value| value == "accept-encoding")
}

/// Writes records of an account, all in one transaction.
async fn posts(session: &Session, account: &str, count: u32) {
    session
        .batch_execute(&format!(
            "insert into snackbase.col_posts (account_id, title) select '{account}', 'post ' || n from generate_series(1, {count}) n"
        ))
        .await
        .expect("posts");
}

/// The same answer in plain and as gzip, and what the latter says.
async fn both(caller: &Api, path: &str) -> (Answer, Answer, String) {
    let plain = caller.get(path).await;
    assert_eq!(plain.header("content-encoding"), "", "{path}");
    assert!(varies(&plain), "{path}");
    let packed = caller.with_header("accept-encoding", "gzip").get(path).await;
    assert_eq!(packed.header("content-encoding"), "gzip", "{path}");
    assert!(varies(&packed), "{path}");
    for header in ["content-type", "x-total-count", "cache-control"] {
        assert_eq!(packed.header(header), plain.header(header), "{path}");
    }
    assert_eq!(packed.status, plain.status, "{path}");
    assert!(packed.bytes.len() < plain.bytes.len(), "{path}");
    let mut bytes = Vec::new();
    let mut decoder = GzDecoder::new(&packed.bytes[..]);
    decoder.read_to_end(&mut bytes).expect("gzip");
    (plain, packed, String::from_utf8_lossy(&bytes).into_owned())
}

#[tokio::test]
async fn a_proof_takes_less_than_two_kilobytes_as_gzip() {
    let world = World::new().await;
    let session = world.database.superuser().await;
    let outsider = outsider(&session, "compression-proof").await;
    let fields = [
        ("title", "text"),
        ("body", "text"),
        ("amount", "number"),
        ("state", "text"),
        ("done", "boolean"),
        ("due", "datetime"),
    ];
    let fields = fields.map(|(name, kind)| json!({ "name": name, "type": kind }));
    let measured = json!({ "name": "measured", "fields": fields, "create_rule": "", "view_rule": "" });
    world.root.post("/collections", measured).await.expect(201);
    let made = world
        .alice
        .with_header("user-agent", BROWSER)
        .post(
            "/records/measured",
            json!({ "title": "Item 1", "body": "A line or two of text, as records have it", "amount": 0.5, "state": "new",
                "done": false, "due": "2026-01-01T00:00:00Z" }),
        )
        .await
        .expect(201);
    let id = made["id"].as_str().expect("an id");
    // One block with many changes of the account, and others after it, before a checkpoint covers them.
    posts(&session, world.account_id("alice"), 2000).await;
    seal_all(&session).await;
    for _ in 0..4 {
        posts(&session, world.account_id("carol"), 1).await;
        seal_all(&session).await;
    }
    checkpointed(&session).await;
    let place = session
        .value(&format!(
            "select id * 2048 + 1 || ' ' || column_count from snackbase.audit_change where record_id = '{id}'"
        ))
        .await;
    let (entry, columns) = place.split_once(' ').expect("both");
    assert_eq!(columns, "12", "as the system's columns are six");

    let (plain, packed, text) = both(&world.alice, &format!("/audit-logs/{entry}/proof")).await;
    assert_eq!(text, plain.text);
    outsider.accepts(&["proof", &outsider.file("proof", &text)]);
    let sent = packed.bytes.len();
    println!("a proof: {} bytes, {sent} as gzip", plain.text.len());
    assert!(sent < 2048, "{sent} bytes");
}

#[tokio::test]
async fn lists_and_exports_of_the_trail_say_the_same_as_gzip() {
    let world = World::new().await;
    let session = world.database.superuser().await;
    let outsider = outsider(&session, "compression-export").await;
    posts(&session, world.account_id("alice"), 1000).await;
    seal_all(&session).await;
    checkpointed(&session).await;
    for path in [
        "/audit-logs?limit=500",
        "/audit-logs/checkpoint",
        "/audit-logs/export?format=json",
        "/audit-logs/export?format=json&full=true",
        "/audit-logs/export?format=csv",
        "/audit-logs/999999999/proof",
        "/audit-logs/export?format=xml",
    ] {
        let (plain, _, text) = both(&world.alice, path).await;
        assert_eq!(text, plain.text, "{path}");
    }
    let (plain, _, text) = both(&world.alice, "/audit-logs/ledger-export").await;
    let after_the_manifest = |text: &str| text.split_once('\n').expect("lines").1.to_owned();
    assert_eq!(after_the_manifest(&text), after_the_manifest(&plain.text));
    outsider.accepts(&["export", &outsider.file("export", &text)]);
    // The pages of a document are text.
    let document = "/audit-logs/export?format=pdf&record_id=nobody";
    let (plain, _, text) = both(&world.root.with_header("accept", "application/pdf"), document).await;
    assert!(text.starts_with("%PDF-") && plain.text.starts_with("%PDF-"));
}

#[tokio::test]
async fn nothing_but_the_trail_is_compressed() {
    let world = World::new().await;
    let of_alice = world.alice.with_header("accept-encoding", "gzip, *");
    let title = json!({ "title": "a".repeat(5000) });
    let made = of_alice.post("/records/posts", title).await;
    let path = format!("/records/posts/{}", made.json["id"].as_str().expect("an id"));
    let login = json!({ "account": "acme", "email": "alice@example.com", "password": PASSWORD });
    let answers = [
        made,
        of_alice.get(&path).await,
        of_alice.get("/records/posts").await,
        of_alice.get("/posts").await,
        of_alice.post("/auth/login", login).await,
        of_alice.get("/auth/me").await,
        of_alice.get("/users").await,
        of_alice.get("/audit-log").await,
    ];
    for answer in answers {
        assert_eq!(answer.header("content-encoding"), "", "{}", answer.request);
        assert!(answer.json.is_object(), "{}: {}", answer.request, answer.text);
    }
}
