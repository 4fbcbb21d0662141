//! Proofs of one entry, and between two checkpoints.

mod ledger_fixture;

use ledger_fixture::{Ledger, Write, account, key, vkey, write};
use proptest::prelude::*;
use serde_json::{Value, json};
use snackbase_core::ledger::block::account_leaf;
use snackbase_core::ledger::checkpoint::{Checkpoint, origin};
use snackbase_core::ledger::finding::Kind;
use snackbase_core::ledger::lines::{Hex, Path};
use snackbase_core::ledger::merkle::{inclusion_path, leaf_hash, root};
use snackbase_core::ledger::note::SigningKey;
use snackbase_core::ledger::proof::{Consistency, Place, Proof, Subject, Tree};
use snackbase_core::ledger::{Column, Hash, column_hash, entry_hash};

fn ledger() -> Ledger {
    let block = vec![write(0, 1), write(1, 1), write(0, 2), write(2, 1), write(0, 1)];
    Ledger::new(&vec![block; 7], false)
}

fn verify(proof: &Value, outside: Option<&str>) -> Result<(), Kind> {
    let text = proof.to_string();
    let proof = Proof::parse(&text).expect("a proof");
    let proved = proof.verify(&[vkey()], outside).map_err(|finding| finding.kind)?;
    assert_eq!(proved.key, vkey().label());
    Ok(())
}

fn example() -> Value {
    serde_json::to_value(ledger().proof(3, 0, 1, 1, 7)).expect("JSON")
}

#[test]
fn every_entry_can_be_proved() {
    let ledger = ledger();
    for (change, column) in [(0, 0), (0, 2), (1, 1), (2, 0)] {
        for (block, size) in [(1, 1), (1, 7), (3, 3), (3, 4), (7, 7)] {
            let proof = serde_json::to_value(ledger.proof(block, 0, change, column, size)).expect("JSON");
            assert_eq!(verify(&proof, None), Ok(()), "{block} {change} {column} {size}");
        }
    }
}

#[test]
fn every_tampering_is_named() {
    type Tamper = fn(&mut Value);
    let cases: &[(&str, Tamper, Kind)] = &[
        (
            "value",
            |p| p["subject"]["entry"]["new_value"] = "x".into(),
            Kind::Checksum,
        ),
        (
            "column",
            |p| p["subject"]["entry"]["column_name"] = "x".into(),
            Kind::Checksum,
        ),
        (
            "user",
            |p| p["subject"]["entry"]["header"]["user_id"] = "x".into(),
            Kind::Checksum,
        ),
        (
            "account",
            |p| p["subject"]["entry"]["header"]["account_id"] = "x".into(),
            Kind::Checksum,
        ),
        (
            "hash version",
            |p| p["subject"]["entry"]["header"]["hash_version"] = "3".into(),
            Kind::Checksum,
        ),
        (
            "previous",
            |p| p["subject"]["entry"]["previous"] = Value::Null,
            Kind::Checksum,
        ),
        (
            "following",
            |p| p["subject"]["entry"]["following"] = "".into(),
            Kind::Checksum,
        ),
        (
            "place of the change",
            |p| p["change"]["index"] = 0.into(),
            Kind::Checksum,
        ),
        ("no such place", |p| p["change"]["index"] = 3.into(), Kind::Block),
        ("count", |p| p["change"]["count"] = 4.into(), Kind::Checksum),
        ("block before", |p| p["previous_block"] = 1.into(), Kind::Checksum),
        (
            "place of the account",
            |p| p["account"]["index"] = 2.into(),
            Kind::Checksum,
        ),
        (
            "tree root",
            |p| p["block"]["tree_root"] = "0".repeat(64).into(),
            Kind::Checksum,
        ),
        (
            "sealed at",
            |p| p["block"]["sealed_at"] = "2020-01-01T00:00:00.000000Z".into(),
            Kind::Block,
        ),
        ("number", |p| p["block"]["number"] = "4".into(), Kind::Block),
        ("number 0", |p| p["block"]["number"] = "0".into(), Kind::Block),
        ("path", |p| p["tree"]["path"] = "".into(), Kind::Block),
        ("size", |p| p["tree"]["size"] = 6.into(), Kind::Checkpoint),
        ("no note", |p| p["note"] = Value::Null, Kind::Checkpoint),
        ("note", |p| p["note"] = "x".into(), Kind::Checkpoint),
        (
            "another key",
            |p| {
                let other = SigningKey::from_seed(&origin(7, 5), &[4; 32]).expect("a key");
                p["note"] = ledger().state(7).sign(&[&other]).expect("signed").into();
            },
            Kind::Checkpoint,
        ),
        (
            "another root",
            |p| {
                let mut state = ledger().state(7);
                state.root = [0; 32];
                p["note"] = state.sign(&[&key()]).expect("signed").into();
            },
            Kind::Block,
        ),
    ];
    assert_eq!(verify(&example(), None), Ok(()));
    for (what, tamper, kind) in cases {
        let mut proof = example();
        tamper(&mut proof);
        assert_eq!(verify(&proof, None), Err(*kind), "{what}");
    }
    let mut last = serde_json::to_value(ledger().proof(7, 0, 0, 0, 7)).expect("JSON");
    let mut state = ledger().state(7);
    state.block_hash = [0; 32];
    last["note"] = state.sign(&[&key()]).expect("signed").into();
    assert_eq!(verify(&last, None), Err(Kind::Checkpoint), "block hash");
}

#[test]
fn a_checkpoint_from_outside_takes_the_place_of_its_own() {
    let mut proof = example();
    proof["note"] = Value::Null;
    assert_eq!(verify(&proof, Some(&ledger().note(7))), Ok(()));
    assert_eq!(verify(&proof, Some(&ledger().note(6))), Err(Kind::Checkpoint));
    let mut state = ledger().state(7);
    state.root = [0; 32];
    assert_eq!(
        verify(&example(), Some(&state.sign(&[&key()]).expect("signed"))),
        Err(Kind::Block)
    );
}

#[test]
fn what_is_no_proof() {
    for bad in ["", "{}", "[]", "null"] {
        assert!(
            Proof::parse(bad).is_err() && Consistency::parse(bad).is_err(),
            "{bad}"
        );
    }
    let mut proof = example();
    proof["format"] = "snackbase-ledger-proof/2".into();
    assert!(Proof::parse(&proof.to_string()).is_err());
    let mut proof = example();
    proof["subject"]["entry"]["extra"] = json!(1);
    assert!(Proof::parse(&proof.to_string()).is_err());
}

#[test]
fn checkpoints_continue_each_other() {
    let ledger = ledger();
    let other = Ledger::new(
        &vec![
            vec![Write {
                account: 1,
                record: 1,
                columns: 0
            }];
            7
        ],
        false,
    );
    let keys = [vkey()];
    for (from, to) in [(1, 7), (3, 7), (4, 6), (7, 7)] {
        let text = serde_json::to_string(&ledger.consistency(from, to)).expect("JSON");
        let proof = Consistency::parse(&text).expect("a proof");
        let (old, new) = (ledger.note(from), ledger.note(to));
        assert!(proof.verify(&keys, &old, &new).is_ok(), "{from} {to}");
        let kind = |result: Result<_, snackbase_core::ledger::finding::Finding>| {
            result.map(|_| ()).map_err(|f| f.kind)
        };
        assert_eq!(
            kind(proof.verify(&keys, &other.note(from), &new)),
            Err(Kind::Checkpoint)
        );
        assert_eq!(
            kind(proof.verify(&keys, &old, &other.note(to))),
            Err(Kind::Checkpoint)
        );
        assert_eq!(kind(proof.verify(&[], &old, &new)), Err(Kind::Checkpoint));
        if from != to {
            assert_eq!(kind(proof.verify(&keys, &new, &old)), Err(Kind::Checkpoint));
            let mut proof = proof.clone();
            proof.path.0.pop();
            assert_eq!(kind(proof.verify(&keys, &old, &new)), Err(Kind::Checkpoint));
        }
    }
}

proptest! {
    #[test]
    fn any_flipped_bit_of_a_proof_is_noticed(at in any::<prop::sample::Index>(), bit in 0..8u8) {
        let original = example().to_string();
        let mut bytes = original.clone().into_bytes();
        let place = at.index(bytes.len());
        bytes[place] ^= 1 << bit;
        let Ok(text) = String::from_utf8(bytes) else { return Ok(()) };
        if let Ok(proof) = Proof::parse(&text) {
            let changed = |text: &str| {
                let mut value: Value = serde_json::from_str(text).expect("JSON");
                // The number of the entry is for people.
                value["subject"]["entry"]["id"] = Value::Null;
                value
            };
            prop_assert!(proof.verify(&[vkey()], None).is_err() || changed(&text) == changed(&original), "{text}");
        }
    }
}

/// Where an account has 100,000 changes, 50,000 of them in one of 36 blocks: as `bench/ledger` measures it.
#[test]
fn a_proof_is_as_long_as_its_hashes_make_it() {
    let ledger = ledger();
    let leaves = |count: usize, at: usize, own: Hash| -> Vec<Hash> {
        let other = |n: usize| leaf_hash(&n.to_be_bytes());
        (0..count).map(|n| if n == at { own } else { other(n) }).collect()
    };
    let place = |count: usize, at: usize, own: Hash| -> (Hash, Place) {
        let leaves = leaves(count, at, own);
        let place = Place {
            index: at as u64,
            count: count as u64,
            path: Path(inclusion_path(&leaves, at).expect("a path")),
        };
        (root(&leaves), place)
    };
    let mut sizes = Vec::new();
    for following in [0, 1, 11] {
        let mut proof = ledger.proof(3, 0, 1, 2, 7);
        let Subject::Entry(entry) = &mut proof.subject else {
            panic!("an entry")
        };
        entry.following = Path(vec![[7; 32]; following]);
        let text = serde_json::to_string(&entry).expect("JSON").len() - path_text(following);
        let checksum = {
            let header = entry.header.hash().expect("version 2");
            let column = Column {
                name: &entry.column_name,
                old: entry.old_value.as_deref(),
                new: entry.new_value.as_deref(),
            };
            let previous = entry.previous.expect("a column before").0;
            let first = entry_hash(&previous, &header, &column_hash(&column));
            entry
                .following
                .0
                .iter()
                .fold(first, |hash, next| entry_hash(&hash, &header, next))
        };
        let (of_changes, change) = place(50_000, 31_234, leaf_hash(&checksum));
        let leaf = account_leaf(&account(0), change.count, proof.previous_block, &of_changes);
        let (of_accounts, among) = place(2, 1, leaf);
        proof.block.tree_root = Hex(of_accounts);
        let (of_blocks, block) = place(36, 2, leaf_hash(&proof.block.hash()));
        let checkpoint = Checkpoint {
            number: 36,
            root: of_blocks,
            ..ledger.state(7)
        };
        proof.change = change;
        proof.account = among;
        proof.tree = Tree {
            size: block.count,
            path: block.path,
        };
        proof.note = Some(checkpoint.sign(&[&key()]).expect("signed").into());
        let whole = serde_json::to_string(&proof).expect("JSON");
        assert!(
            Proof::parse(&whole)
                .expect("a proof")
                .verify(&[vkey()], None)
                .is_ok()
        );
        sizes.push(whole.len() - text);
    }
    // What is not the entry's own text: 23 hashes beside the way up, the head of the block and the checkpoint, and one more
    // hash for each column that follows in the change.
    assert_eq!(sizes[1] - sizes[0], 44);
    assert_eq!(sizes[2] - sizes[0], path_text(11));
    assert!(sizes[0] < 1792, "{sizes:?}");
}

/// The length of so many hashes in base64.
fn path_text(hashes: usize) -> usize {
    (hashes * 32).div_ceil(3) * 4
}
