//! Exports that somebody has changed: whatever is done to one is named.

mod ledger_fixture;

use ledger_fixture::{findings, five_blocks, key, texts, uuid_text};
use serde_json::{Value, json};
use snackbase_core::ledger::checkpoint::origin;
use snackbase_core::ledger::export::{Line, Verifier};
use snackbase_core::ledger::lines::{ColumnText, Hex};
use snackbase_core::ledger::merkle::{leaf_hash, root};
use snackbase_core::ledger::note::SigningKey;
use snackbase_core::ledger::{Column, block, entry_hashes};

/// The export of account 0 as JSON, to be changed.
fn values() -> Vec<Value> {
    texts(&five_blocks().export(0, 1, &[]))
        .iter()
        .map(|line| serde_json::from_str(line).expect("JSON"))
        .collect()
}

fn found(values: &[Value]) -> Vec<String> {
    findings(&values.iter().map(Value::to_string).collect::<Vec<_>>(), &[])
}

/// The lines are: manifest, key, checkpoint, block 1, three changes, block 2, change, block 4, three changes, block 5,
/// change, end.
const BLOCK_1: usize = 3;
const CHANGES_1: usize = 4;
const BLOCK_2: usize = 7;
const BLOCK_4: usize = 9;
const BLOCK_5: usize = 13;

#[test]
fn the_layout_is_as_said() {
    let kinds: Vec<String> = values()
        .iter()
        .map(|line| {
            line.as_object()
                .and_then(|o| o.keys().next())
                .expect("one member")
                .clone()
        })
        .collect();
    let changes = ["change"; 3];
    let expected = [
        &["manifest", "key", "checkpoint", "block"][..],
        &changes,
        &["block", "change", "block"],
        &changes,
        &["block", "change", "end"],
    ];
    assert_eq!(kinds, expected.concat());
}

#[test]
fn every_tampering_is_named() {
    type Tamper = fn(&mut Vec<Value>);
    let cases: &[(&str, Tamper, &[&str])] = &[
        (
            "a value",
            |v| v[CHANGES_1]["change"]["columns"][0][2] = "forged".into(),
            &["checksum 1 col_posts/r\u{e9}c-1@1"],
        ),
        (
            "NULL for a value",
            |v| v[CHANGES_1]["change"]["columns"][0][2] = Value::Null,
            &["checksum 1 col_posts/r\u{e9}c-1@1"],
        ),
        (
            "who did it",
            |v| v[CHANGES_1]["change"]["header"]["user_id"] = "u2".into(),
            &["checksum 1 col_posts/r\u{e9}c-1@1"],
        ),
        (
            "a column less",
            |v| drop(v[CHANGES_1]["change"]["columns"].as_array_mut().map(|c| c.pop())),
            &["checksum 1 col_posts/r\u{e9}c-1@1"],
        ),
        (
            "no columns",
            |v| v[CHANGES_1]["change"]["columns"] = json!([]),
            &["checksum 1 col_posts/r\u{e9}c-1@1"],
        ),
        (
            "columns swapped",
            |v| {
                v[CHANGES_1]["change"]["columns"]
                    .as_array_mut()
                    .expect("a list")
                    .swap(0, 1)
            },
            &["checksum 1 col_posts/r\u{e9}c-1@1"],
        ),
        (
            "the checksum",
            |v| v[CHANGES_1]["change"]["checksum"] = "0".repeat(64).into(),
            &[
                "checksum 1 col_posts/r\u{e9}c-1@1",
                "link 1 col_posts/r\u{e9}c-1@2",
                "block 1 -",
            ],
        ),
        (
            "the link",
            |v| v[CHANGES_1 + 2]["change"]["previous"] = "0".repeat(64).into(),
            &[
                "checksum 1 col_posts/r\u{e9}c-1@2",
                "link 1 col_posts/r\u{e9}c-1@2",
            ],
        ),
        (
            "a change left out",
            |v| drop(v.remove(CHANGES_1)),
            &["gap 1 col_posts/r\u{e9}c-1@2", "missing 1 -", "truncated - -"],
        ),
        (
            "a change twice",
            |v| v.insert(CHANGES_1, v[CHANGES_1].clone()),
            &["fork 1 col_posts/r\u{e9}c-1@1", "block 1 -", "truncated - -"],
        ),
        (
            "changes swapped",
            |v| v.swap(CHANGES_1, CHANGES_1 + 1),
            &["block 1 -"],
        ),
        (
            "a change in another block",
            |v| v.swap(BLOCK_2, CHANGES_1 + 2),
            &["missing 1 -", "block 2 -"],
        ),
        (
            "a block left out",
            |v| drop(v.drain(BLOCK_2..BLOCK_4)),
            &["missing 4 -", "truncated - -"],
        ),
        (
            "the first block left out",
            |v| drop(v.drain(BLOCK_1..BLOCK_2)),
            &[
                "missing 2 -",
                "gap 2 col_posts/r\u{e9}c-1@3",
                "gap 4 col_posts/r\u{e9}c-2@2",
                "truncated - -",
            ],
        ),
        (
            "blocks swapped",
            |v| v[BLOCK_1..BLOCK_4].rotate_left(BLOCK_2 - BLOCK_1),
            &[
                "missing 2 -",
                "gap 2 col_posts/r\u{e9}c-1@3",
                "block 1 -",
                "fork 1 col_posts/r\u{e9}c-1@1",
                "fork 1 col_posts/r\u{e9}c-1@2",
                "missing 4 -",
            ],
        ),
        ("the tail", |v| v.truncate(BLOCK_5), &["truncated 4 -"]),
        (
            "the tail, with a new end",
            |v| drop(v.drain(BLOCK_5..BLOCK_5 + 2)),
            &["truncated - -"],
        ),
        (
            "half of a block",
            |v| v.truncate(BLOCK_4 + 2),
            &["missing 4 -", "truncated 4 -"],
        ),
        (
            "when it was sealed",
            |v| v[BLOCK_2]["block"]["head"]["sealed_at"] = "2026-01-02T03:05:00.000001Z".into(),
            &["block 2 -"],
        ),
        (
            "the block hash",
            |v| v[BLOCK_2]["block"]["hash"] = "0".repeat(64).into(),
            &["block 2 -", "block 2 -"],
        ),
        (
            "the block's path",
            |v| v[BLOCK_2]["block"]["path"] = "".into(),
            &["block 2 -"],
        ),
        (
            "the block's number",
            |v| v[BLOCK_2]["block"]["head"]["number"] = "3".into(),
            &["block 3 -", "block 3 -", "block 4 -", "block 4 -"],
        ),
        (
            "how many changes",
            |v| v[BLOCK_2]["block"]["account"]["change_count"] = 2.into(),
            &["block 2 -", "missing 2 -"],
        ),
        (
            "the account's root",
            |v| v[BLOCK_2]["block"]["account"]["root"] = "0".repeat(64).into(),
            &["block 2 -", "block 2 -"],
        ),
        (
            "the account's block before",
            |v| v[BLOCK_2]["block"]["account"]["previous_block"] = 0.into(),
            &["block 2 -", "block 2 -"],
        ),
        (
            "the account's place",
            |v| v[BLOCK_1]["block"]["account"]["index"] = 1.into(),
            &["block 1 -"],
        ),
        (
            "a broken line",
            |v| v[CHANGES_1] = json!({"change": {}}),
            &["block 1 -", "gap 1 col_posts/r\u{e9}c-1@2", "truncated - -"],
        ),
        (
            "a member too many",
            |v| v[CHANGES_1]["change"]["note"] = "x".into(),
            &["block 1 -", "gap 1 col_posts/r\u{e9}c-1@2", "truncated - -"],
        ),
        (
            "a member too few",
            |v| {
                drop(
                    v[CHANGES_1]["change"]["header"]
                        .as_object_mut()
                        .map(|h| h.remove("es_reason")),
                )
            },
            &["block 1 -", "gap 1 col_posts/r\u{e9}c-1@2", "truncated - -"],
        ),
        (
            "lines after the end",
            |v| v.push(v[CHANGES_1].clone()),
            &["block - -"],
        ),
        (
            "a change before the first block",
            |v| v.swap(BLOCK_1, CHANGES_1),
            &["block - -", "gap 1 col_posts/r\u{e9}c-1@2", "missing 1 -"],
        ),
        (
            "the counts at the end",
            |v| v[15]["end"]["changes"] = 7.into(),
            &["truncated - -"],
        ),
        (
            "another account",
            |v| v[0]["manifest"]["account_id"] = uuid_text(&ledger_fixture::account(1)).into(),
            &[
                "block 1 -",
                "block 1 col_posts/r\u{e9}c-1@1",
                "block 1 col_posts/r\u{e9}c-2@1",
                "block 1 col_posts/r\u{e9}c-1@2",
                "block 2 -",
                "block 2 col_posts/r\u{e9}c-1@3",
                "block 4 -",
                "block 4 col_posts/r\u{e9}c-3@1",
                "block 4 col_posts/r\u{e9}c-2@2",
                "block 4 col_posts/r\u{e9}c-3@2",
                "block 5 -",
                "block 5 col_posts/r\u{e9}c-3@3",
            ],
        ),
        (
            "the size",
            |v| v[0]["manifest"]["size"] = 4.into(),
            &[
                "checkpoint 5 -",
                "checkpoint 4 -",
                "block 1 -",
                "block 2 -",
                "block 4 -",
                "block 5 -",
            ],
        ),
        ("no checkpoint", |v| drop(v.remove(2)), &["checkpoint 5 -"]),
        (
            "a checkpoint later",
            |v| v.swap(2, 3),
            &["checkpoint 5 -", "block 1 -"],
        ),
        (
            "the signature",
            |v| {
                let note = v[2]["checkpoint"]["note"].as_str().expect("a note").to_owned();
                v[2]["checkpoint"]["note"] = note.replacen("\n5\n", "\n6\n", 1).into();
            },
            &["checkpoint 6 -", "checkpoint 5 -"],
        ),
        (
            "another key",
            |v| {
                let other = SigningKey::from_seed(&origin(7, 5), &[4; 32]).expect("a key");
                v[2]["checkpoint"]["note"] = five_blocks().state(5).sign(&[&other]).expect("signed").into();
            },
            &["checkpoint 5 -", "checkpoint 5 -"],
        ),
    ];
    for (what, tamper, expected) in cases {
        let mut lines = values();
        tamper(&mut lines);
        let found = found(&lines);
        assert_eq!(found, *expected, "{what}");
    }
}

/// A forger who recomputes everything but cannot sign: the change is replaced in a ledger of their own.
#[test]
fn a_block_that_was_replaced_consistently_is_named() {
    let ledger = five_blocks();
    let mut lines = ledger.export(0, 1, &[]);
    let mut sums = Vec::new();
    let mut previous = None;
    for line in &mut lines[CHANGES_1..BLOCK_2] {
        let Line::Change(change) = line else {
            panic!("a change")
        };
        if &*change.header.record_id == "r\u{e9}c-1" {
            change.columns[0].2 = Some("forged".into());
            change.previous = previous.map(Hex);
            let columns: Vec<Column> = change.columns.iter().map(ColumnText::column).collect();
            let hashes = entry_hashes(previous, &change.header.hash().expect("version 2"), &columns);
            change.checksum = Hex(*hashes.last().expect("columns"));
            previous = Some(change.checksum.0);
        }
        sums.push(leaf_hash(&change.checksum.0));
    }
    let accounts = &ledger.blocks[0].accounts;
    let Line::Block(line) = &mut lines[BLOCK_1] else {
        panic!("a block")
    };
    line.account.root = Hex(root(&sums));
    let leaf = block::account_leaf(&ledger_fixture::account(0), 3, 0, &line.account.root.0);
    let leaves: Vec<_> = accounts
        .iter()
        .map(|(account, (_, _, old))| {
            if *account == ledger_fixture::account(0) {
                leaf
            } else {
                *old
            }
        })
        .collect();
    line.head.tree_root = Hex(root(&leaves));
    line.hash = Hex(line.head.hash());
    let found = findings(&texts(&lines), &[]);
    // The chain goes on from the old history, and the next block names the old hash.
    assert_eq!(found, ["block 1 -", "block 2 -", "link 2 col_posts/r\u{e9}c-1@3"]);
}

#[test]
fn a_consistency_path_inside_must_hold() {
    let ledger = five_blocks();
    let mut lines: Vec<Value> = texts(&ledger.export(0, 1, &[3]))
        .iter()
        .map(|line| serde_json::from_str(line).expect("JSON"))
        .collect();
    lines[3]["checkpoint"]["consistency"] = "".into();
    assert_eq!(found(&lines), ["checkpoint 3 -"]);
    // Before the one it leads to: it would not be compared.
    lines.swap(2, 3);
    assert_eq!(found(&lines), ["checkpoint 3 -"]);
    lines.swap(2, 3);
    // A checkpoint of a block beyond.
    lines[3]["checkpoint"]["note"] = {
        let mut state = ledger.state(5);
        state.number = 9;
        state.sign(&[&key()]).expect("signed").into()
    };
    assert_eq!(found(&lines), ["checkpoint 9 -"]);
}

#[test]
fn a_further_pass_looks_at_chains_only() {
    let mut lines = values();
    lines[CHANGES_1 + 1]["change"]["header"]["record_version"] = "2".into();
    lines[BLOCK_2]["block"]["hash"] = "0".repeat(64).into();
    let texts: Vec<String> = lines.iter().map(Value::to_string).collect();
    let mut found = Vec::new();
    for pass in 0..2 {
        let mut verifier = Verifier::again(pass, 2);
        for line in &texts {
            verifier
                .line(line.as_bytes(), &mut |finding| found.push(finding.to_string()))
                .expect("an export");
        }
        verifier
            .finish(&mut |finding| found.push(finding.to_string()))
            .expect("an export");
    }
    let kinds: Vec<&str> = found.iter().filter_map(|line| line.split('\t').next()).collect();
    // Version 2 without version 1, and the real version 2 a second time.
    assert_eq!(kinds, ["gap", "fork"], "{found:?}");
}
