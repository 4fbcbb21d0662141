//! Signed checkpoints, and the keys that sign them.

use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use aws_lc_rs::signature::{ED25519, UnparsedPublicKey};
use serde_json::Value as Json;
use snackbase_e2e::{Session, environment, gateway_command};

use super::{merkle, scene, seal, seal_all};

/// A directory that belongs to the server's user.
pub fn server_directory(name: &str) -> PathBuf {
    let log = std::fs::metadata(environment("SNACKBASE_TEST_LOG")).expect("the cluster has a log");
    let directory = Path::new(&environment("SNACKBASE_TEST_SPARE_HOST"))
        .ancestors()
        .nth(2)
        .expect("the socket lies in the directory of its cluster")
        .join(name);
    std::fs::create_dir(&directory).expect("a new directory");
    chown(&directory, Some(log.uid()), Some(log.gid())).expect("the server's user gets it");
    directory
}

/// Makes a key with the gateway's program and gives it to the server's user. Returns the file and the public half.
pub async fn keygen(directory: &Path, name: &str) -> (String, String) {
    let file = directory.join(name);
    let path = file.to_str().expect("UTF-8").to_owned();
    let database = snackbase_e2e::Database {
        name: "none".to_owned(),
    };
    let output = gateway_command(&database, 1)
        .env_clear()
        .args(["audit", "keygen", &path, "--name", &format!("example.com/{name}")])
        .stdout(std::process::Stdio::piped())
        .output()
        .await
        .expect("the gateway program starts");
    assert!(output.status.success(), "{output:?}");
    let owner = std::fs::metadata(directory).expect("a directory");
    chown(&file, Some(owner.uid()), Some(owner.gid())).expect("the server's user gets it");
    (
        path,
        String::from_utf8(output.stdout).expect("UTF-8").trim().to_owned(),
    )
}

fn base64(text: &str) -> Vec<u8> {
    let alphabet = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let bits = text.bytes().filter(|byte| *byte != b'=').flat_map(|byte| {
        let value = alphabet
            .iter()
            .position(|letter| *letter == byte)
            .expect("base64");
        (0..6).rev().map(move |bit| value >> bit & 1)
    });
    let bits: Vec<usize> = bits.collect();
    bits.chunks_exact(8)
        .map(|byte| byte.iter().fold(0, |value, bit| value << 1 | *bit as u8))
        .collect()
}

/// The names of the keys whose signatures on a note are good; all others make the test fail.
fn signers(note: &str, keys: &[&str]) -> Vec<String> {
    let (text, signatures) = note.rsplit_once("\n\n").expect("a note");
    let text = format!("{text}\n");
    signatures
        .lines()
        .map(|line| {
            let mut parts = line.strip_prefix("— ").expect("a signature").split(' ');
            let (name, signature) = (
                parts.next().expect("a name"),
                base64(parts.next().expect("a signature")),
            );
            let key = keys
                .iter()
                .find(|key| key.starts_with(&format!("{name}+")))
                .unwrap_or_else(|| panic!("an unknown key: {line}"));
            let public = base64(key.splitn(3, '+').nth(2).expect("a key"));
            UnparsedPublicKey::new(&ED25519, &public[1..])
                .verify(text.as_bytes(), &signature[4..])
                .unwrap_or_else(|_| panic!("a bad signature: {line}"));
            name.to_owned()
        })
        .collect()
}

/// Writes a note and seals it; the new checkpoint.
async fn checkpoint(session: &Session) -> String {
    session.value("select scene.note('One', 'signed')").await;
    seal_all(session).await;
    // (what the key itself left in the trail may be sealed by now, too)
    let begun = Instant::now();
    while session.value("select (select max(block_number) from snackbase.audit_checkpoint) = (select max(number) from snackbase.audit_block)").await != "t" {
        seal(session).await;
        assert!(begun.elapsed() < Duration::from_secs(20), "no checkpoint");
    }
    session
        .value("select note from snackbase.audit_checkpoint order by block_number desc limit 1")
        .await
}

async fn fault(session: &Session) -> Json {
    let status: Json =
        serde_json::from_str(&session.value("select snackbase.audit_status()").await).expect("JSON");
    status["key_fault"].clone()
}

#[tokio::test]
async fn each_block_has_a_signed_checkpoint() {
    let directory = server_directory("keys_signed");
    let (file, public) = keygen(&directory, "first").await;
    let (_database, session) = scene().await;
    seal_all(&session).await;
    assert_eq!(
        session
            .value("select count(*) from snackbase.audit_checkpoint")
            .await,
        "0"
    );
    session
        .batch_execute(&format!("set snackbase.audit_key_file = '{file}'"))
        .await
        .expect("set");
    let note = checkpoint(&session).await;
    assert_eq!(signers(&note, &[&public]), ["example.com/first"]);
    let lines: Vec<&str> = note.lines().collect();
    let head = session
        .value("select number || ' block ' || encode(block_hash, 'hex') from snackbase.audit_block order by number desc limit 1")
        .await;
    assert_eq!(format!("{} {}", lines[1], lines[3]), head);
    assert_eq!(
        lines[0],
        session
            .value(
                "select 'snackbase/' || case when s < 0 then s + 18446744073709551616 else s end || '/' || oid
                   from (select system_identifier::numeric as s from pg_control_system()) c, pg_database where datname = current_database()",
            )
            .await
    );
    assert_eq!(
        base64(lines[2]),
        merkle::check(&session).await,
        "the root of the tree over all blocks"
    );
    // the key stands in the trail, by nobody's hand
    assert_eq!(
        session
            .value("select distinct user_id || ' ' || auth_method from snackbase.audit_change where table_name = 'audit_key'")
            .await,
        "system system"
    );
    assert_eq!(session.value("select snackbase.current_user_id()").await, "∅");
    // the private half is nowhere
    let secret = std::fs::read_to_string(&file).expect("the key");
    let secret = secret.trim().splitn(5, '+').nth(4).expect("a key").to_owned();
    assert_eq!(
        session
            .value(&format!(
                "select count(*) from snackbase.audit_change c where c.columns::text like '%{secret}%'"
            ))
            .await,
        "0"
    );
    assert_eq!(session.state_of("delete from snackbase.audit_key").await, "42501");
}

#[tokio::test]
async fn a_new_key_takes_over_and_the_old_one_stays() {
    let directory = server_directory("keys_rotated");
    let (old, old_public) = keygen(&directory, "old").await;
    let (new, new_public) = keygen(&directory, "new").await;
    let keys = [old_public.as_str(), new_public.as_str()];
    let (_database, session) = scene().await;
    session
        .batch_execute(&format!("set snackbase.audit_key_file = '{old}'"))
        .await
        .expect("set");
    assert_eq!(signers(&checkpoint(&session).await, &keys), ["example.com/old"]);

    session
        .batch_execute(&format!("set snackbase.audit_key_file = '{new}, {old}'"))
        .await
        .expect("set");
    checkpoint(&session).await;
    let signed: Vec<Vec<String>> = session
        .query(
            "select note from snackbase.audit_checkpoint order by block_number",
            &[],
        )
        .await
        .expect("notes")
        .iter()
        .map(|row| signers(row.get(0), &keys))
        .collect();
    let both = signed
        .iter()
        .position(|names| names.len() == 2)
        .expect("one is signed by both");
    assert_eq!(signed[both], ["example.com/new", "example.com/old"]);
    assert!(
        signed[..both].iter().all(|names| names == &["example.com/old"]),
        "{signed:?}"
    );
    assert!(
        signed[both + 1..]
            .iter()
            .all(|names| names == &["example.com/new"]),
        "{signed:?}"
    );
    assert_eq!(
        session
            .value("select string_agg(name || ' ' || (retired_at is null), ', ' order by activated_at) from snackbase.audit_key")
            .await,
        "example.com/old false, example.com/new true"
    );
    // the change is in the trail
    assert_eq!(
        session
            .value(
                "select string_agg(operation, ' ' order by id) from snackbase.audit_change where table_name = 'audit_key'",
            )
            .await,
        "CREATE UPDATE CREATE"
    );

    // A retired key does not come back; blocks go on without it, and its checkpoint follows.
    session
        .batch_execute(&format!("set snackbase.audit_key_file = '{old}'"))
        .await
        .expect("set");
    session.value("select scene.note('One', 'unsigned')").await;
    seal_all(&session).await;
    let step = seal(&session).await;
    assert!(
        step["checkpoint_fault"]
            .as_str()
            .is_some_and(|fault| fault.contains("was retired")),
        "{step}"
    );
    session
        .batch_execute(&format!("set snackbase.audit_key_file = '{new}'"))
        .await
        .expect("set");
    assert_eq!(signers(&checkpoint(&session).await, &keys), ["example.com/new"]);
}

#[tokio::test]
async fn a_key_that_others_may_read_is_refused() {
    let directory = server_directory("keys_refused");
    let (file, _) = keygen(&directory, "open").await;
    let (_database, session) = scene().await;
    seal_all(&session).await;
    session
        .batch_execute(&format!("set snackbase.audit_key_file = '{file}'"))
        .await
        .expect("set");
    assert_eq!(fault(&session).await, Json::Null);
    let mode = |mode| std::fs::set_permissions(&file, std::fs::Permissions::from_mode(mode)).expect("a mode");
    for (bits, word) in [
        (0o640, "chmod 0600"),
        (0o604, "chmod 0600"),
        (0o660, "chmod 0600"),
    ] {
        mode(bits);
        let step = seal(&session).await;
        assert!(
            step["checkpoint_fault"]
                .as_str()
                .is_some_and(|fault| fault.contains(word)),
            "{bits:o}: {step}"
        );
        assert!(
            fault(&session)
                .await
                .as_str()
                .is_some_and(|fault| fault.contains(word))
        );
    }
    mode(0o600);
    chown(&file, Some(65534), None).expect("another owner");
    assert!(seal(&session).await["checkpoint_fault"].is_string());
    for (path, words) in [
        (directory.to_str().expect("UTF-8"), "no regular file"),
        ("/nowhere/key", "No such file"),
        ("a, b, c", "one file, or two"),
    ] {
        session
            .batch_execute(&format!("set snackbase.audit_key_file = '{path}'"))
            .await
            .expect("set");
        let told = seal(&session).await["checkpoint_fault"]
            .as_str()
            .unwrap_or_default()
            .to_owned();
        assert!(told.contains(words), "{path}: {told}");
    }
    let rubbish = directory.join("rubbish");
    std::fs::write(&rubbish, "PRIVATE+KEY+a+00000000+AAAA").expect("a file");
    std::fs::set_permissions(&rubbish, std::fs::Permissions::from_mode(0o600)).expect("a mode");
    let owner = std::fs::metadata(&directory).expect("a directory");
    chown(&rubbish, Some(owner.uid()), None).expect("the server's user gets it");
    session
        .batch_execute(&format!("set snackbase.audit_key_file = '{}'", rubbish.display()))
        .await
        .expect("set");
    let told = seal(&session).await["checkpoint_fault"]
        .as_str()
        .unwrap_or_default()
        .to_owned();
    assert!(told.contains("holds no private key"), "{told}");
    assert_eq!(
        session
            .value("select count(*) from snackbase.audit_checkpoint")
            .await,
        "0"
    );
}

#[tokio::test]
async fn checkpoints_keep_their_distance() {
    let directory = server_directory("keys_interval");
    let (file, _) = keygen(&directory, "slow").await;
    let (_database, session) = scene().await;
    seal_all(&session).await;
    session
        .batch_execute(&format!(
            "set snackbase.audit_key_file = '{file}'; set snackbase.audit_checkpoint_interval_ms = '1h'"
        ))
        .await
        .expect("set");
    assert!(
        seal(&session).await["checkpoint"].is_number(),
        "the first is due at once"
    );
    session.value("select scene.note('One', 'later')").await;
    seal_all(&session).await;
    assert_eq!(
        session
            .value("select count(*) from snackbase.audit_checkpoint")
            .await,
        "1"
    );
    session
        .batch_execute("set snackbase.audit_checkpoint_interval_ms = 0")
        .await
        .expect("set");
    assert!(seal(&session).await["checkpoint"].is_number());
}
