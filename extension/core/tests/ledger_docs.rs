//! What `docs/ledger.md` says of trees, blocks, checkpoints, proofs and exports: its vectors, and its Python program. The
//! vectors were made by that program, not by this library.

mod ledger_fixture;

use std::process::Command;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use ledger_fixture::{Ledger, Write, texts, vkey};
use serde_json::Value;
use snackbase_core::ledger::block::account_leaf;
use snackbase_core::ledger::checkpoint::Checkpoint;
use snackbase_core::ledger::export::Verifier;
use snackbase_core::ledger::lines::HeadText;
use snackbase_core::ledger::merkle::{
    consistency_path, inclusion_path, leaf_hash, root, verify_consistency, verify_inclusion,
};
use snackbase_core::ledger::note::{SigningKey, VerifierKey};
use snackbase_core::ledger::proof::{Consistency, Proof};
use snackbase_core::ledger::{Hash, from_hex, to_hex};

const PAGE: &str = include_str!("../../../docs/ledger.md");

/// The blocks of a language, in order.
fn blocks(language: &str) -> Vec<&'static str> {
    let fence = format!("```{language}\n");
    PAGE.split(fence.as_str())
        .skip(1)
        .filter_map(|part| part.split("```").next())
        .collect()
}

/// The vectors of a section, by their place among the JSON blocks of the page.
fn vectors(place: usize) -> Value {
    serde_json::from_str(blocks("json")[place]).expect("a JSON block")
}

const TREES: usize = 2;
const BLOCKS: usize = 3;
const CHECKPOINTS: usize = 4;
const PROOF: usize = 5;

fn text(value: &Value) -> &str {
    value.as_str().expect("a string")
}

fn number(value: &Value) -> u64 {
    value.as_u64().expect("a number")
}

fn list(value: &Value) -> &[Value] {
    value.as_array().expect("a list")
}

fn hash(value: &Value) -> Hash {
    from_hex(text(value)).expect("a hash")
}

fn path(value: &Value) -> Vec<Hash> {
    STANDARD
        .decode(text(value))
        .expect("base64")
        .as_chunks::<32>()
        .0
        .to_vec()
}

#[test]
fn trees() {
    let vectors = vectors(TREES);
    let bytes = |hex: &str| -> Vec<u8> {
        (0..hex.len())
            .step_by(2)
            .map(|i| u8::from_str_radix(&hex[i..i + 2], 16).expect("hex"))
            .collect()
    };
    let leaves: Vec<Hash> = list(&vectors["leaves"])
        .iter()
        .map(|data| leaf_hash(&bytes(text(data))))
        .collect();
    let roots: Vec<Hash> = list(&vectors["roots"]).iter().map(hash).collect();
    assert_eq!(roots.len(), 8);
    for (i, expected) in roots.iter().enumerate() {
        assert_eq!(root(&leaves[..=i]), *expected);
    }
    for proof in list(&vectors["inclusion"]) {
        let (index, size, path) = (
            number(&proof["index"]),
            number(&proof["size"]),
            path(&proof["path"]),
        );
        assert_eq!(
            inclusion_path(&leaves[..size as usize], index as usize),
            Some(path.clone())
        );
        assert!(verify_inclusion(
            &leaves[index as usize],
            index,
            size,
            &path,
            &roots[size as usize - 1]
        ));
    }
    for proof in list(&vectors["consistency"]) {
        let (from, to, path) = (number(&proof["from"]), number(&proof["to"]), path(&proof["path"]));
        assert_eq!(
            consistency_path(&leaves[..to as usize], from as usize),
            Some(path.clone())
        );
        assert!(verify_consistency(
            from,
            &roots[from as usize - 1],
            to,
            &roots[to as usize - 1],
            &path
        ));
    }
}

#[test]
fn blocks_and_accounts() {
    for block in list(&vectors(BLOCKS)) {
        let mut leaves = Vec::new();
        for account in list(&block["accounts"]) {
            let sums: Vec<Hash> = list(&account["checksums"])
                .iter()
                .map(|sum| leaf_hash(&hash(sum)))
                .collect();
            assert_eq!(root(&sums), hash(&account["root"]));
            let id = text(&account["account_id"]).replace('-', "") + &"0".repeat(32);
            let id = from_hex(&id).expect("a uuid");
            let id = id.first_chunk().expect("16 bytes");
            let leaf = account_leaf(
                id,
                sums.len() as u64,
                number(&account["previous_block"]),
                &root(&sums),
            );
            assert_eq!(leaf, hash(&account["leaf"]));
            leaves.push(leaf);
        }
        assert_eq!(root(&leaves), hash(&block["head"]["tree_root"]));
        let head = block["head"].to_string();
        let head: HeadText = serde_json::from_str(&head).expect("a head");
        assert_eq!(to_hex(&head.hash()), text(&block["hash"]));
    }
}

#[test]
fn checkpoints() {
    let vectors = vectors(CHECKPOINTS);
    let key = SigningKey::parse(text(&vectors["private_key"])).expect("a private key");
    assert_eq!(key.verifier().to_string(), text(&vectors["key"]));
    let notes = list(&vectors["notes"]);
    let keys = [key.verifier().clone()];
    for (i, note) in notes.iter().enumerate() {
        let (checkpoint, signers) = Checkpoint::open(text(note), &keys).expect("signed");
        assert_eq!((checkpoint.number, &signers[..]), (i as u64 + 1, &[0][..]));
        assert_eq!(
            checkpoint.sign(&[&key]).expect("signed"),
            text(note),
            "Ed25519 signs in one way"
        );
    }
    let consistency = vectors["consistency"].to_string();
    let consistency = Consistency::parse(&consistency).expect("a proof");
    assert!(
        consistency
            .verify(&keys, text(&notes[0]), text(&notes[1]))
            .is_ok()
    );
}

fn published_key() -> VerifierKey {
    VerifierKey::parse(text(&vectors(CHECKPOINTS)["key"])).expect("a key")
}

#[test]
fn a_proof() {
    let proof = Proof::parse(blocks("json")[PROOF]).expect("a proof");
    let proved = proof.verify(&[published_key()], None).expect("valid");
    assert_eq!((proved.block, proved.checkpoint.number), (1, 2));
}

#[test]
fn an_export() {
    let mut verifier = Verifier::new(vec![published_key()]);
    let mut found = Vec::new();
    for line in blocks("jsonl")[0].lines() {
        verifier
            .line(line.as_bytes(), &mut |finding| found.push(finding.to_string()))
            .expect("an export");
    }
    let summary = verifier
        .finish(&mut |finding| found.push(finding.to_string()))
        .expect("an export");
    assert_eq!(found, Vec::<String>::new());
    assert_eq!((summary.blocks, summary.changes, summary.size), (2, 3, 2));
}

/// The program of the page, over an export; its exit code and output. `None` without Python.
fn python(name: &str, export: &str, key: &str) -> Option<(i32, String)> {
    let folder = std::path::PathBuf::from(env!("CARGO_TARGET_TMPDIR"));
    let (program, file) = (folder.join("verify.py"), folder.join(name));
    std::fs::write(&program, blocks("python").join("\n")).expect("written");
    std::fs::write(&file, export).expect("written");
    let version = Command::new("python3")
        .args(["-c", "import sys; sys.exit(sys.version_info < (3, 11))"])
        .status();
    if !version.is_ok_and(|status| status.success()) {
        return None;
    }
    let output = Command::new("python3")
        .arg(program)
        .arg(file)
        .arg(key)
        .output()
        .expect("python3 runs");
    let error = String::from_utf8_lossy(&output.stderr);
    assert_eq!(error, "", "{name}");
    Some((
        output.status.code()?,
        String::from_utf8(output.stdout).expect("UTF-8"),
    ))
}

#[test]
fn the_python_program_agrees() {
    let write = |account, record| Write {
        account,
        record,
        columns: 1,
    };
    let ledger = Ledger::new(
        &[
            vec![write(0, 1), write(1, 1), write(0, 2), write(0, 1)],
            vec![write(0, 1)],
            vec![write(1, 1)],
            vec![write(0, 3), write(2, 2)],
        ],
        true,
    );
    let key = vkey().to_string();
    let clean = texts(&ledger.export(0, 1, &[2])).concat();
    let Some(first) = python("clean.jsonl", &clean, &key) else {
        eprintln!("no Python 3.11: the program of docs/ledger.md was not tried");
        return;
    };
    assert_eq!(first, (0, String::new()));
    let later = texts(&ledger.export(0, 2, &[])).concat();
    assert_eq!(python("later.jsonl", &later, &key), Some((0, String::new())));
    let published = blocks("jsonl")[0];
    assert_eq!(
        python("published.jsonl", published, &published_key().to_string()),
        Some((0, String::new()))
    );
    let without = |start: &str, nth: usize| -> String {
        let mut seen = 0;
        let keep = |line: &&str| {
            seen += usize::from(line.starts_with(start));
            !line.starts_with(start) || seen != nth
        };
        clean.lines().filter(keep).collect::<Vec<_>>().join("\n")
    };
    let no_path = |line: &str| {
        let mut line: Value = serde_json::from_str(line).expect("JSON");
        line.get_mut("checkpoint")
            .into_iter()
            .for_each(|checkpoint| checkpoint["consistency"] = "".into());
        line.to_string()
    };
    for (what, export, expected) in [
        (
            "value",
            clean.replacen("v3 ", "v3  ", 1),
            "checksum\t2\tcol_posts/r\u{e9}c-1@3",
        ),
        (
            "signature",
            clean.replacen("\\n4\\n", "\\n5\\n", 1),
            "checkpoint\t-\t-",
        ),
        (
            "consistency",
            clean.lines().map(no_path).collect::<Vec<_>>().join("\n"),
            "checkpoint\t2\t-",
        ),
        (
            "sealed_at",
            clean.replacen("03:05:00", "03:05:01", 1),
            "block\t1\t-",
        ),
        ("change", without("{\"change\"", 4), "missing\t2\t-"),
        ("block", without("{\"block\"", 2), "block\t1\t-"),
        ("end", without("{\"end\"", 1), "truncated\t4\t-"),
        (
            "count",
            clean.replacen("{\"end\":{\"blocks\":3", "{\"end\":{\"blocks\":4", 1),
            "truncated\t4\t-",
        ),
    ] {
        let (code, out) = python(&format!("{what}.jsonl"), &export, &key).expect("it is there");
        assert!(code == 1 && out.starts_with(expected), "{what}: {code} {out}");
    }
    let Some((code, out)) = python("key.jsonl", &clean, &published_key().to_string()) else {
        return;
    };
    assert!(
        code == 1 && out.starts_with("checkpoint\t-\t-\tno signature of this key"),
        "{out}"
    );
}
