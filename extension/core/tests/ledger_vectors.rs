//! Hashes of audit entries, against the vectors that `docs/ledger.md` publishes. They were made by the program printed
//! there, not by this library.

use std::borrow::Cow;

use proptest::prelude::*;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use snackbase_core::ledger::{Column, Hash, Header, entry_hashes, header_hash, to_hex, v1};

/// The JSON blocks of the page, in order.
fn vectors(block: usize) -> Vec<Value> {
    let page = include_str!("../../../docs/ledger.md");
    let blocks: Vec<&str> = page
        .split("```json\n")
        .skip(1)
        .filter_map(|part| part.split("```").next())
        .collect();
    serde_json::from_str(blocks[block]).expect("a JSON block")
}

fn text<'a>(object: &'a Value, key: &str) -> &'a str {
    object[key]
        .as_str()
        .unwrap_or_else(|| panic!("{key} is a string"))
}

fn optional<'a>(object: &'a Value, key: &str) -> Option<&'a str> {
    assert!(object[key].is_string() || object[key].is_null(), "{key}");
    object[key].as_str()
}

fn header(object: &Value) -> Header<'_> {
    assert_eq!(object.as_object().map(|o| o.len()), Some(18));
    assert_eq!(object["hash_version"], "2");
    Header {
        account_id: text(object, "account_id"),
        auth_method: optional(object, "auth_method"),
        es_reason: optional(object, "es_reason"),
        es_timestamp: optional(object, "es_timestamp"),
        es_username: optional(object, "es_username"),
        extra_metadata: optional(object, "extra_metadata"),
        ip_address: optional(object, "ip_address"),
        occurred_at: text(object, "occurred_at"),
        operation: text(object, "operation"),
        record_id: text(object, "record_id"),
        record_version: text(object, "record_version").parse().expect("a number"),
        request_id: optional(object, "request_id"),
        table_name: text(object, "table_name"),
        user_agent: optional(object, "user_agent"),
        user_email: text(object, "user_email"),
        user_id: text(object, "user_id"),
        user_name: text(object, "user_name"),
    }
}

fn columns(array: &Value) -> Vec<Column<'_>> {
    let column = |c| Column {
        name: text(c, "column_name"),
        old: optional(c, "old_value"),
        new: optional(c, "new_value"),
    };
    array.as_array().expect("an array").iter().map(column).collect()
}

#[test]
fn version_2_gives_the_published_hashes() {
    let mut previous: Option<Hash> = None;
    let changes = vectors(0);
    assert_eq!(changes.len(), 3);
    for change in &changes {
        assert_eq!(to_hex(&previous.unwrap_or_default()), text(change, "previous"));
        let header = header_hash(&header(&change["header"]));
        assert_eq!(to_hex(&header), text(change, "header_hash"));
        let entries = entry_hashes(previous, &header, &columns(&change["columns"]));
        let hex: Vec<String> = entries.iter().map(to_hex).collect();
        assert_eq!(json!(hex), change["entries"]);
        previous = entries.last().copied();
    }
}

#[test]
fn a_change_without_columns_has_no_entries() {
    assert!(entry_hashes(None, &[0; 32], &[]).is_empty());
}

#[test]
fn every_member_counts() {
    let vectors = vectors(0);
    let object = &vectors[2]["header"];
    let original = header_hash(&header(object));
    for key in object
        .as_object()
        .expect("an object")
        .keys()
        .filter(|key| *key != "hash_version")
    {
        let mut changed = object.clone();
        changed[key] = if key == "record_version" {
            "4".into()
        } else {
            "x".into()
        };
        assert_ne!(header_hash(&header(&changed)), original, "{key}");
    }
    let entries = |old, new| entry_hashes(None, &original, &[Column { name: "a", old, new }]);
    assert_ne!(
        entries(None, Some("")),
        entries(None, None),
        "empty text is not NULL"
    );
    assert_ne!(entries(Some("x"), None), entries(None, Some("x")));
    assert_ne!(entries(None, Some("null")), entries(None, None));
}

#[test]
fn version_1_gives_the_published_checksums() {
    let mut previous: Option<String> = None;
    let entries = vectors(1);
    assert_eq!(entries.len(), 2);
    for vector in &entries {
        let e = &vector["entry"];
        let entry = v1_entry(e, &e["extra_metadata"]);
        assert_eq!(entry.previous_hash.as_deref(), previous.as_deref());
        let checksum = to_hex(&entry.checksum());
        assert_eq!(checksum, text(vector, "checksum"));
        previous = Some(checksum);
    }
    let e = &entries[0]["entry"];
    let bytes = v1_entry(e, &e["extra_metadata"]).pre_image();
    let image = String::from_utf8(bytes).expect("ASCII");
    let start = r#"{"account_id": "550e8400-e29b-41d4-a716-446655440000", "column_name": "title", "es_reason": null, "#;
    assert!(
        image.starts_with(start) && image.contains(r#""new_value": "H\u00e9llo""#),
        "{image}"
    );
    assert!(
        image.contains(r#""extra_metadata": {"auth_method": "jwt"}, "#),
        "{image}"
    );
}

fn v1_entry<'a>(e: &'a Value, extra_metadata: &'a Value) -> v1::Entry<'a> {
    v1::Entry {
        account_id: text(e, "account_id").into(),
        column_name: text(e, "column_name").into(),
        es_reason: optional(e, "es_reason").map(Cow::from),
        es_timestamp: optional(e, "es_timestamp").map(Cow::from),
        es_username: optional(e, "es_username").map(Cow::from),
        extra_metadata: Some(extra_metadata).filter(|m| !m.is_null()).map(Cow::Borrowed),
        ip_address: optional(e, "ip_address").map(Cow::from),
        new_value: optional(e, "new_value").map(Cow::from),
        occurred_at: text(e, "occurred_at").into(),
        old_value: optional(e, "old_value").map(Cow::from),
        operation: text(e, "operation").into(),
        previous_hash: optional(e, "previous_hash").map(Cow::from),
        record_id: text(e, "record_id").into(),
        request_id: optional(e, "request_id").map(Cow::from),
        table_name: text(e, "table_name").into(),
        user_agent: optional(e, "user_agent").map(Cow::from),
        user_email: text(e, "user_email").into(),
        user_id: text(e, "user_id").into(),
        user_name: text(e, "user_name").into(),
    }
}

#[test]
fn version_1_encodes_as_the_original() {
    let vectors = vectors(1);
    let e = &vectors[0]["entry"];
    let image = |change: &dyn Fn(&mut v1::Entry)| {
        let mut entry = v1_entry(e, &e["extra_metadata"]);
        change(&mut entry);
        String::from_utf8(entry.pre_image()).expect("ASCII")
    };
    let text = "\"\\/\u{8}\t\n\u{c}\r\0\u{1f}~\u{7f}\u{80}é€😀";
    let encoded = r#""new_value": "\"\\/\b\t\n\f\r\u0000\u001f~\u007f\u0080\u00e9\u20ac\ud83d\ude00"#;
    assert!(image(&|e| e.new_value = Some(text.into())).contains(encoded));
    for (timestamp, encoded) in [
        ("2026-01-02T03:04:05", "2026-01-02T03:04:05"),
        ("2026-01-02 03:04:05.000000+00:00", "2026-01-02T03:04:05"),
        ("2026-01-02T03:04:05.5Z", "2026-01-02T03:04:05.500000"),
        ("2026-01-02T03:04:05.000001-02:00", "2026-01-02T03:04:05.000001"),
        ("soon", "soon"),
        ("2026-01-02é03:04:05.5", "2026-01-02\\u00e903:04:05.5"),
    ] {
        let member = format!(r#""occurred_at": "{encoded}""#);
        assert!(
            image(&|e| e.occurred_at = timestamp.into()).contains(&member),
            "{timestamp}"
        );
        let member = format!(r#""es_timestamp": "{encoded}""#);
        assert!(
            image(&|e| e.es_timestamp = Some(timestamp.into())).contains(&member),
            "{timestamp}"
        );
    }
    let nested: Value =
        serde_json::from_str(r#"{"b":[1,2.50,{}],"a":{"é":true,"A":[]},"c":null}"#).expect("JSON");
    let mut entry = v1_entry(e, &nested);
    let encoded = r#""extra_metadata": {"a": {"A": [], "\u00e9": true}, "b": [1, 2.50, {}], "c": null}, "#;
    assert!(
        String::from_utf8(entry.pre_image())
            .expect("ASCII")
            .contains(encoded)
    );
    entry.extra_metadata = None;
    assert!(
        String::from_utf8(entry.pre_image())
            .expect("ASCII")
            .contains(r#""extra_metadata": null, "#)
    );
}

proptest! {
    #[test]
    fn an_entry_is_the_hash_of_three_hashes(
        previous in prop::option::of(any::<[u8; 32]>()),
        header in any::<[u8; 32]>(),
        columns in prop::collection::vec(any::<(String, Option<String>, Option<String>)>(), 0..5),
    ) {
        let list: Vec<Column> = columns
            .iter()
            .map(|(name, old, new)| Column { name, old: old.as_deref(), new: new.as_deref() })
            .collect();
        let mut expected = Vec::new();
        let mut before = previous.unwrap_or([0; 32]);
        for (name, old, new) in &columns {
            // serde_json escapes strings as RFC 8785 does, and these keys are in order.
            let json = json!({"column_name": name, "new_value": new, "old_value": old}).to_string();
            let parts = [&before[..], &header[..], &Sha256::digest(json)[..]].concat();
            before = Sha256::digest(parts).into();
            expected.push(before);
        }
        prop_assert_eq!(entry_hashes(previous, &header, &list), expected);
    }

    #[test]
    fn version_1_takes_any_text(text in any::<String>()) {
        let extra = json!({"a": [text.clone()]});
        let shared = || Cow::Borrowed(text.as_str());
        let entry = v1::Entry {
            account_id: shared(), column_name: shared(), es_reason: Some(shared()), es_timestamp: Some(shared()),
            es_username: None, extra_metadata: Some(Cow::Borrowed(&extra)), ip_address: None, new_value: Some(shared()),
            occurred_at: shared(), old_value: None, operation: shared(), previous_hash: None, record_id: shared(),
            request_id: None, table_name: shared(), user_agent: None, user_email: shared(), user_id: shared(),
            user_name: shared(),
        };
        let image = entry.pre_image();
        prop_assert!(image.is_ascii());
        let read: Value = serde_json::from_slice(&image).expect("JSON");
        prop_assert_eq!(read["new_value"].as_str(), Some(text.as_str()));
        prop_assert_eq!(&read["extra_metadata"], &extra);
    }
}
