//! Exports of an account: untouched ones are clean, and whatever is done to one is named.

mod ledger_fixture;

use ledger_fixture::{Ledger, Write, findings, key, texts, uuid_text, vkey};
use proptest::prelude::*;
use serde_json::{Value, json};
use snackbase_core::ledger::checkpoint::origin;
use snackbase_core::ledger::export::{Line, Unusable, Verifier};
use snackbase_core::ledger::lines::{ColumnText, EntryV1, Hex};
use snackbase_core::ledger::merkle::{leaf_hash, root};
use snackbase_core::ledger::note::SigningKey;
use snackbase_core::ledger::{Column, block, entry_hashes};

fn write(account: u8, record: u8) -> Write {
    Write {
        account,
        record,
        columns: 2,
    }
}

/// Five blocks; account 0 is in 1, 2, 4 and 5.
fn ledger() -> Ledger {
    Ledger::new(
        &[
            vec![write(0, 1), write(1, 1), write(0, 2), write(0, 1)],
            vec![write(0, 1), write(2, 1)],
            vec![write(1, 1), write(2, 1)],
            vec![write(0, 3), write(0, 2), write(0, 3), write(1, 2)],
            vec![write(0, 3)],
        ],
        false,
    )
}

fn imported(id: i64) -> (i64, EntryV1<'static>) {
    let text = json!({
        "account_id": uuid_text(&ledger_fixture::account(0)), "operation": "CREATE", "table_name": "col_posts",
        "record_id": format!("old-{id}"), "column_name": "title", "old_value": null, "new_value": "H\u{e9}llo",
        "user_id": "u1", "user_email": "a@example.com", "user_name": "a@example.com", "es_username": null,
        "es_reason": null, "es_timestamp": null, "ip_address": null, "user_agent": null, "request_id": null,
        "occurred_at": "2025-01-02T03:04:05", "extra_metadata": {"b": 1.50, "a": [null]}, "previous_hash": null
    })
    .to_string();
    // Leaked: a test's two entries.
    (
        id,
        serde_json::from_str(Box::leak(text.into_boxed_str())).expect("an entry"),
    )
}

#[test]
fn an_untouched_export_is_clean() {
    let ledger = ledger();
    let none: [&str; 0] = [];
    for account in 0..4 {
        for from_block in 1..=5 {
            let lines = texts(&ledger.export(account, from_block, &[]));
            assert_eq!(
                findings(&lines, &[]),
                none,
                "account {account} from block {from_block}"
            );
        }
    }
    let lines = texts(&ledger.export(0, 1, &[3, 1]));
    assert_eq!(
        findings(&lines, &[&ledger.note(5), &ledger.note(3), &ledger.note(1)]),
        none
    );
    let empty = Ledger::default();
    assert_eq!(findings(&texts(&empty.export(0, 1, &[])), &[]), none);
}

#[test]
fn an_import_is_part_of_the_export() {
    let mut ledger = ledger();
    ledger.import(vec![imported(3), imported(9)]);
    let mut lines = texts(&ledger.export(0, 1, &[]));
    assert_eq!(findings(&lines, &[]), Vec::<String>::new());
    let place = lines
        .iter()
        .position(|line| line.starts_with("{\"imported\""))
        .expect("there");
    lines[place] = lines[place].replace("H\u{e9}llo", "Hello");
    assert_eq!(findings(&lines, &[]), ["checksum 6 col_posts/old-3@3"]);
    // An entry of version 1 cannot stand in a block of changes, nor the other way round.
    let mut lines = texts(&ledger.export(0, 1, &[]));
    let imported = lines.remove(place);
    lines.insert(3 + 1, imported);
    assert_eq!(findings(&lines, &[]), ["block 1 -", "missing 6 -"]);
}

/// The export of account 0 as JSON, to be changed.
fn values() -> Vec<Value> {
    texts(&ledger().export(0, 1, &[]))
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
                v[2]["checkpoint"]["note"] = ledger().state(5).sign(&[&other]).expect("signed").into();
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
    let ledger = ledger();
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
fn checkpoints_from_outside_must_agree() {
    let ledger = ledger();
    let longer = Ledger::new(&vec![vec![write(0, 1), write(1, 1)]; 6], false);
    let lines = texts(&ledger.export(0, 1, &[3]));
    for (note, expected) in [
        (ledger.note(5), vec![]),
        (ledger.note(3), vec![]),
        // Not shown to be the beginning.
        (ledger.note(2), vec!["checkpoint 2 -"]),
        // Of another history.
        (longer.note(3), vec!["checkpoint 3 -"]),
        (longer.note(2), vec!["checkpoint 2 -", "checkpoint 2 -"]),
        (
            longer.note(5),
            vec![
                "checkpoint 5 -",
                "checkpoint 3 -",
                "block 1 -",
                "block 2 -",
                "block 4 -",
                "block 5 -",
                "checkpoint 5 -",
            ],
        ),
        // The export was cut, or is older.
        (longer.note(6), vec!["truncated 6 -"]),
    ] {
        assert_eq!(findings(&lines, &[&note]), expected, "{note}");
    }
    let other = SigningKey::from_seed(&origin(7, 5), &[4; 32]).expect("a key");
    let forged = ledger.state(5).sign(&[&other]).expect("signed");
    assert_eq!(findings(&lines, &[&forged]), ["checkpoint 5 -"]);
    let mut verifier = Verifier::new(vec![vkey()]);
    assert!(matches!(
        verifier.checkpoint("no note", &mut |_| ()),
        Err(Unusable::Checkpoint(_))
    ));
    // An export without a checkpoint counts for somebody who has one.
    let lines: Vec<String> = lines
        .into_iter()
        .filter(|line| !line.starts_with("{\"checkpoint\""))
        .collect();
    assert_eq!(findings(&lines, &[&ledger.note(5)]), Vec::<String>::new());
}

#[test]
fn a_consistency_path_inside_must_hold() {
    let ledger = ledger();
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
fn what_is_no_export() {
    let verifier = || Verifier::new(vec![vkey()]);
    for line in [
        "",
        "{}",
        "not JSON",
        "{\"end\":{\"blocks\":0,\"changes\":0}}",
        "\u{feff}{}",
    ] {
        assert!(verifier().line(line.as_bytes(), &mut |_| ()).is_err(), "{line}");
    }
    let good = texts(&ledger().export(0, 1, &[]))[0].clone();
    for (from, to) in [("export/1", "export/2"), ("-", ""), ("0000", "000A")] {
        assert!(
            verifier()
                .line(good.replacen(from, to, 1).as_bytes(), &mut |_| ())
                .is_err(),
            "{from}"
        );
    }
    assert!(matches!(
        verifier().finish(&mut |_| ()),
        Err(Unusable::NotAnExport(_))
    ));
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

fn shapes() -> impl Strategy<Value = Vec<Vec<Write>>> {
    let write = (0u8..5, 0u8..6, 0u8..4).prop_map(|(account, record, columns)| Write {
        account,
        record,
        columns,
    });
    prop::collection::vec(prop::collection::vec(write, 0..12), 0..12)
}

proptest! {
    #[test]
    fn any_ledger_exports_clean(
        blocks in shapes(), reversed: bool, account in 0u8..5, from in any::<prop::sample::Index>(),
        old in any::<prop::sample::Index>(),
    ) {
        let ledger = Ledger::new(&blocks, reversed);
        let size = ledger.blocks.len();
        prop_assume!(size > 0);
        let old = old.index(size) as u64 + 1;
        let lines = texts(&ledger.export(account, from.index(size) as u64 + 1, &[old]));
        prop_assert_eq!(findings(&lines, &[&ledger.note(old), &ledger.note(size as u64)]), Vec::<String>::new());
    }

    /// One byte, anywhere, except in what is only there for people.
    #[test]
    fn any_flipped_bit_is_named(blocks in shapes(), account in 0u8..5, at in any::<prop::sample::Index>(), bit in 0..8u8) {
        let ledger = Ledger::new(&blocks, false);
        let mut lines: Vec<Vec<u8>> =
            texts(&ledger.export(account, 1, &[])).into_iter().map(String::into_bytes).collect();
        let places: Vec<(usize, usize)> = lines
            .iter()
            .enumerate()
            .skip(2)
            .flat_map(|(l, line)| {
                let text = String::from_utf8_lossy(line);
                // `"id":17,` is not hashed.
                let id = text.starts_with("{\"change\"").then(|| text.find(',')).flatten().unwrap_or(0);
                (id..line.len() - 1).map(move |b| (l, b))
            })
            .collect();
        prop_assume!(!places.is_empty());
        let (l, b) = places[at.index(places.len())];
        lines[l][b] ^= 1 << bit;
        let mut found = 0;
        let mut verifier = Verifier::new(vec![vkey()]);
        for line in &lines {
            verifier.line(line, &mut |_| found += 1).expect("an export");
        }
        verifier.finish(&mut |_| found += 1).expect("an export");
        // A space for a space, or another escape for the same text, is the same JSON.
        let same = serde_json::from_slice::<Value>(&lines[l]).ok()
            == serde_json::from_str(&texts(&ledger.export(account, 1, &[]))[l]).ok();
        prop_assert!(found > 0 || same, "{}", String::from_utf8_lossy(&lines[l]));
    }

    #[test]
    fn any_lines_are_read_without_panic(lines in prop::collection::vec("[ -~]{0,60}", 0..5), at in any::<prop::sample::Index>()) {
        let mut all = texts(&ledger().export(0, 1, &[]));
        let place = at.index(all.len() - 1) + 1;
        all.splice(place..place, lines);
        findings(&all, &[]);
    }
}
