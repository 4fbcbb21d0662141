//! Cursors: what they are good for, and that nobody else can write one.

use proptest::prelude::*;
use snackbase_core::records::Binding;

const SECRET: &[u8] = b"0123456789abcdef0123456789abcdef";

const LIST: Binding<'static> = Binding {
    collection: "0a0a0a0a-0000-4000-8000-000000000001",
    account: "0a0a0a0a-0000-4000-8000-000000000002",
    order: "-created_at,-id",
    filter: "status = 'draft'",
};

fn key() -> Vec<Option<String>> {
    vec![Some("Zoë, \"the\" first".to_owned()), None, Some("id".to_owned())]
}

#[test]
fn a_cursor_belongs_to_one_list() {
    let cursor = LIST.seal(SECRET, &key());
    assert_eq!(LIST.open(SECRET, &cursor), Some(key()));
    let others = [
        Binding {
            collection: "another",
            ..LIST
        },
        Binding {
            account: "another",
            ..LIST
        },
        Binding {
            order: "created_at,id",
            ..LIST
        },
        Binding { filter: "", ..LIST },
        // The same letters, cut elsewhere.
        Binding {
            order: "-created_at,-idstatus",
            filter: " = 'draft'",
            ..LIST
        },
    ];
    for other in others {
        assert_eq!(other.open(SECRET, &cursor), None, "{other:?}");
    }
    assert_eq!(LIST.open(b"another secret", &cursor), None);
}

#[test]
fn what_is_no_cursor_is_refused() {
    let cursor = LIST.seal(SECRET, &key());
    for text in [
        "",
        "x",
        "=",
        "AAAA",
        "[object Object]",
        "\u{0}",
        &cursor[1..],
        &format!("{cursor}A"),
        &"A".repeat(100_000),
    ] {
        assert_eq!(LIST.open(SECRET, text), None, "{text:.20}");
    }
}

proptest! {
    #[test]
    fn a_changed_character_is_noticed(at in any::<prop::sample::Index>(), to in "[A-Za-z0-9_-]") {
        let cursor = LIST.seal(SECRET, &key());
        let at = at.index(cursor.len());
        let mut changed = cursor.clone();
        changed.replace_range(at..=at, &to);
        prop_assume!(changed != cursor);
        prop_assert_eq!(LIST.open(SECRET, &changed), None);
    }

    #[test]
    fn every_key_comes_back(key in prop::collection::vec(prop::option::of(any::<String>()), 0..5), filter in any::<String>()) {
        let list = Binding { filter: &filter, ..LIST };
        prop_assert_eq!(list.open(SECRET, &list.seal(SECRET, &key)), Some(key));
    }
}
