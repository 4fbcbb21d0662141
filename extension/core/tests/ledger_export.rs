//! Exports of an account: untouched ones are clean, and what is no export is refused. Changed ones: `ledger_tampering.rs`.

mod ledger_fixture;

use ledger_fixture::{Ledger, Write, findings, five_blocks, texts, uuid_text, vkey, write};
use proptest::prelude::*;
use serde_json::{Value, json};
use snackbase_core::ledger::checkpoint::origin;
use snackbase_core::ledger::export::{Unusable, Verifier};
use snackbase_core::ledger::lines::EntryV1;
use snackbase_core::ledger::note::SigningKey;

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
    let ledger = five_blocks();
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
    // Nothing is sealed, so nothing is signed.
    let empty = Ledger::default();
    assert_eq!(
        findings(&texts(&empty.export(0, 1, &[])), &[]),
        ["checkpoint - -"]
    );
}

#[test]
fn an_imported_entry_holds_nothing_beside_what_is_hashed() {
    let mut ledger = five_blocks();
    ledger.import(vec![imported(3)]);
    let lines = texts(&ledger.export(0, 1, &[]));
    let with = |from: &str, to: &str| -> Vec<String> {
        let changed: Vec<String> = lines
            .iter()
            .map(|line| match line.starts_with("{\"imported\"") {
                true => line.replacen(from, to, 1),
                false => line.clone(),
            })
            .collect();
        assert!(changed != lines, "nothing was changed: {from}");
        findings(&changed, &[])
    };
    let instant = "2025-01-02T03:04:05\"";
    // Other spellings of the same instant
    for same in ["Z", "+00:00", ".0", ".000000Z"] {
        let same = instant.replace('"', &format!("{same}\""));
        assert_eq!(with(instant, &same), Vec::<String>::new(), "{same}");
    }
    // Others, which the hash of version 1 does not tell apart
    for other in ["+09:00", "-00:00", ".0000009", ".Z", " on second thoughts"] {
        let other = instant.replace('"', &format!("{other}\""));
        assert!(with(instant, &other)[0].starts_with("block "), "{other}");
    }
    for (from, to) in [
        (r#""b":1.5"#, r#""b":7,"b":1.5"#),
        (r#""a":[null]"#, r#""a":[null],"b":1.5"#),
    ] {
        assert!(with(from, to)[0].starts_with("block "), "{to}");
    }
}

#[test]
fn an_import_is_part_of_the_export() {
    let mut ledger = five_blocks();
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

#[test]
fn checkpoints_from_outside_must_agree() {
    let ledger = five_blocks();
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
    let good = texts(&five_blocks().export(0, 1, &[]))[0].clone();
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
        let mut all = texts(&five_blocks().export(0, 1, &[]));
        let place = at.index(all.len() - 1) + 1;
        all.splice(place..place, lines);
        findings(&all, &[]);
    }
}
