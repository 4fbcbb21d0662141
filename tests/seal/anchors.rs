//! Checkpoints leave the house: into a file and into a real S3 server, each once, whatever fails on the way.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use hyper_util::rt::TokioIo;
use s3s::auth::SimpleAuth;
use s3s::service::S3ServiceBuilder;
use serde_json::{Value as Json, json};
use snackbase_e2e::{Gateway, Session, environment, gateway_command};
use tokio::net::TcpListener;

use super::key::{keygen, server_directory};
use super::{scene, seal, seal_all};

const PASSWORD: &str = "Correct-Horse-7-Battery";

/// A new directory for the test's own files.
fn directory(name: &str) -> PathBuf {
    let directory = std::env::temp_dir().join(format!("snackbase-{}-{name}", std::process::id()));
    std::fs::create_dir_all(directory.join("ledger")).expect("a directory");
    directory
}

/// An S3 server over a directory, whose folders are its buckets. It ends when the handle is aborted, connections included.
fn s3(root: &Path, listener: TcpListener) -> tokio::task::JoinHandle<()> {
    let mut builder = S3ServiceBuilder::new(s3s_fs::FileSystem::new(root).expect("a file system"));
    builder.set_auth(SimpleAuth::from_single("id", "secret"));
    let service = builder.build();
    tokio::spawn(async move {
        let mut connections = tokio::task::JoinSet::new();
        loop {
            let (stream, _) = listener.accept().await.expect("a connection");
            let service = service.clone();
            connections.spawn(async move {
                let http = hyper::server::conn::http1::Builder::new();
                let _ = http.serve_connection(TokioIo::new(stream), service).await;
            });
        }
    })
}

/// The objects of the bucket, by name.
fn objects(root: &Path) -> Vec<(String, String)> {
    let mut found = Vec::new();
    let mut directories = vec![root.join("ledger")];
    while let Some(directory) = directories.pop() {
        for entry in std::fs::read_dir(directory).expect("a directory").flatten() {
            let path = entry.path();
            let name = entry.file_name().to_string_lossy().into_owned();
            if path.is_dir() {
                directories.push(path);
            } else if name.len() == 20 && !name.starts_with('.') {
                found.push((name, std::fs::read_to_string(path).expect("a note")));
            }
        }
    }
    found.sort();
    found
}

async fn anchors(session: &Session) -> Vec<Json> {
    let status: Json =
        serde_json::from_str(&session.value("select snackbase.audit_status()").await).expect("JSON");
    status["anchors"].as_array().expect("a list").clone()
}

/// Waits until the state of the anchors says so.
async fn until(session: &Session, what: &str, says: impl Fn(&[Json]) -> bool) {
    let begun = Instant::now();
    loop {
        let state = anchors(session).await;
        if says(&state) {
            return;
        }
        assert!(begun.elapsed() < Duration::from_secs(40), "{what}: {state:?}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

fn nothing_waits(state: &[Json]) -> bool {
    !state.is_empty() && state.iter().all(|anchor| anchor["waiting"] == 0)
}

async fn checkpoints(session: &Session, count: usize) {
    for number in 0..count {
        session
            .value(&format!("select scene.note('One', '{number}')"))
            .await;
        seal_all(session).await;
    }
    seal(session).await;
}

/// Numbers and notes of all checkpoints that anchors should have.
async fn notes(session: &Session) -> Vec<(String, String)> {
    session
        .query(
            "select lpad(block_number::text, 20, '0'), note from snackbase.audit_checkpoint
              where block_number >= (select min(block_number) from snackbase.audit_anchor) order by block_number",
            &[],
        )
        .await
        .expect("checkpoints")
        .iter()
        .map(|row| (row.get(0), row.get(1)))
        .collect()
}

#[tokio::test]
async fn each_checkpoint_is_published_once_and_none_is_lost() {
    let (key, _) = keygen(&server_directory("keys_anchors"), "anchors").await;
    let (database, session) = scene().await;
    session
        .batch_execute(&format!("set snackbase.audit_key_file = '{key}'"))
        .await
        .expect("set");
    checkpoints(&session, 1).await;

    let root = directory("anchors");
    let file = root.join("notes").to_string_lossy().into_owned();
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("an address");
    drop(listener);
    let endpoint = format!("http://{address}");
    let settings = [
        ("SNACKBASE_AUDIT_ANCHOR_FILE", file.as_str()),
        ("SNACKBASE_AUDIT_ANCHOR_S3_URL", "s3://ledger/prod"),
        ("SNACKBASE_AUDIT_ANCHOR_S3_ENDPOINT", endpoint.as_str()),
        ("SNACKBASE_AUDIT_ANCHOR_S3_ACCESS_KEY_ID", "id"),
        ("SNACKBASE_AUDIT_ANCHOR_S3_SECRET_ACCESS_KEY", "secret"),
        ("SNACKBASE_SUPERADMIN_EMAIL", "root@example.com"),
        ("SNACKBASE_SUPERADMIN_PASSWORD", PASSWORD),
    ];
    let gateway = Gateway::start(&database, &settings).await;

    // The store is down: seen, not lost; the file does not mind.
    until(&session, "a visible failure", |state| {
        state.iter().any(|anchor| {
            anchor["anchor"] == "s3://ledger/prod"
                && anchor["last_error"].is_string()
                && anchor["waiting"] == 1
        })
    })
    .await;
    checkpoints(&session, 2).await;
    until(&session, "the file goes on", |state| {
        state.iter().any(|anchor| {
            anchor["anchor"]
                .as_str()
                .is_some_and(|name| name.starts_with("file:"))
                && anchor["waiting"] == 0
        })
    })
    .await;
    let login = json!({"account": "system", "email": "root@example.com", "password": PASSWORD});
    let token = gateway.api().post("/auth/login", login).await.expect(200)["token"].clone();
    let root_api = gateway.api().with_token(token.as_str().expect("a token"));
    let status = root_api.get("/audit-logs/status").await.expect(200);
    assert!(
        status["anchors"].as_array().is_some_and(|list| list.len() == 2),
        "{status:?}"
    );
    gateway.api().get("/audit-logs/status").await.expect(401);

    // It comes up.
    let listener = TcpListener::bind(address).await.expect("the same port");
    let server = s3(&root, listener);
    until(&session, "everything is made up for", nothing_waits).await;
    assert_eq!(objects(&root), notes(&session).await);

    // Two gateways: each checkpoint is published by one of them.
    let second = Gateway::start(&database, &settings).await;
    session
        .batch_execute("create table scene.before as select anchor, block_number from snackbase.audit_anchor")
        .await
        .expect("a table");
    checkpoints(&session, 8).await;
    until(&session, "the new ones", nothing_waits).await;
    assert_eq!(objects(&root), notes(&session).await);
    assert_eq!(
        session
            .value(
                "select string_agg(distinct attempts::text, ' ') from snackbase.audit_anchor a
                  where not exists (select from scene.before b where (b.anchor, b.block_number) = (a.anchor, a.block_number))",
            )
            .await,
        "1"
    );
    let appended = std::fs::read_to_string(&file).expect("notes");
    let expected: String = notes(&session)
        .await
        .iter()
        .map(|(_, note)| format!("{}\n\n", note.trim_end()))
        .collect();
    assert_eq!(appended, expected);

    // An object that holds something else is not overwritten, and said.
    drop(second);
    let last = objects(&root).last().expect("an object").0.clone();
    let next = format!("{:020}", last.parse::<u64>().expect("a number") + 1);
    let place = root
        .join("ledger/prod")
        .join(appended.lines().next().expect("an origin"))
        .join(&next);
    std::fs::write(&place, "forged").expect("a forged object");
    session.value("select scene.note('One', 'contested')").await;
    seal_all(&session).await;
    until(&session, "a contested object", |state| {
        state.iter().any(|anchor| {
            anchor["last_error"]
                .as_str()
                .is_some_and(|error| error.contains("holds another note"))
        })
    })
    .await;
    assert_eq!(std::fs::read_to_string(&place).expect("the object"), "forged");
    server.abort();
    std::fs::remove_dir_all(&root).expect("the files can go");
}

#[tokio::test]
async fn the_command_publishes_what_waits_and_refuses_nonsense() {
    let (key, _) = keygen(&server_directory("keys_command"), "command").await;
    let (database, session) = scene().await;
    session
        .batch_execute(&format!("set snackbase.audit_key_file = '{key}'"))
        .await
        .expect("set");
    checkpoints(&session, 1).await;
    let root = directory("command");
    let file = root.join("notes").to_string_lossy().into_owned();
    let port = environment("PGPORT").parse().expect("a number");
    let run = |settings: Vec<(&'static str, String)>| {
        let mut command = gateway_command(&database, port);
        command
            .args(["audit", "anchor"])
            .envs(settings)
            .stdout(std::process::Stdio::piped())
            .stderr(std::process::Stdio::piped());
        async move {
            let output = command.output().await.expect("the gateway program starts");
            let text = String::from_utf8_lossy(&output.stdout).into_owned()
                + &String::from_utf8_lossy(&output.stderr);
            (output.status.code(), text)
        }
    };
    let (code, text) = run(vec![("SNACKBASE_AUDIT_ANCHOR_FILE", file.clone())]).await;
    assert_eq!(code, Some(0), "{text}");
    assert!(text.contains("1 checkpoints published"), "{text}");
    checkpoints(&session, 3).await;
    let waiting = session
        .value("select count(*) from snackbase.audit_checkpoint where block_number > (select max(block_number) from snackbase.audit_anchor)")
        .await;
    let (_, text) = run(vec![("SNACKBASE_AUDIT_ANCHOR_FILE", file.clone())]).await;
    assert!(
        text.contains(&format!("{waiting} checkpoints published")),
        "{text}"
    );
    let (_, text) = run(vec![("SNACKBASE_AUDIT_ANCHOR_FILE", file)]).await;
    assert!(text.contains("0 checkpoints published"), "{text}");

    for (name, value, words) in [
        (
            "SNACKBASE_AUDIT_ANCHOR_FILE",
            "/nowhere/at/all",
            "SNACKBASE_AUDIT_ANCHOR_FILE /nowhere/at/all",
        ),
        (
            "SNACKBASE_AUDIT_ANCHOR_S3_URL",
            "http://bucket",
            "must be s3://bucket",
        ),
        (
            "SNACKBASE_AUDIT_ANCHOR_S3_ENDPOINT",
            "https://s3.example.com",
            "of no use without",
        ),
    ] {
        let (code, text) = run(vec![(name, value.to_owned())]).await;
        assert_ne!(code, Some(0), "{name}: {text}");
        assert!(text.contains(words), "{name}: {text}");
    }
    let (code, text) = run(Vec::new()).await;
    assert_eq!(code, Some(1), "{text}");
    std::fs::remove_dir_all(&root).expect("the files can go");
}
