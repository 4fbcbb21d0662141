//! Bodies with many collections.

use proptest::prelude::*;
use serde_json::{Value, json};
use snackbase_core::schema::*;

fn problems<T: std::fmt::Debug>(result: Result<T, DefinitionError>) -> (char, Vec<String>) {
    let error = result.expect_err("refused");
    let list = error
        .problems()
        .iter()
        .map(|p| format!("{} {}", p.path, p.code))
        .collect();
    (
        if matches!(error, DefinitionError::Shape(_)) {
            'S'
        } else {
            'M'
        },
        list,
    )
}

fn collection(name: &str) -> Value {
    json!({"name": name, "fields": [{"name": "a", "type": "text"}], "list_rule": 5})
}

#[test]
fn collections_of_a_plan() {
    let parsed =
        parse_collections(&json!({"collections": [collection("one"), collection("two")]})).expect("fine");
    assert_eq!(parsed.len(), 2);
    assert_eq!(parsed[0].rules, Rules::default(), "rules are not read");
    for (body, kind, expected) in [
        (json!([]), 'S', vec!["body invalid_type"]),
        (json!({}), 'S', vec!["collections missing"]),
        (json!({"collections": {}}), 'S', vec!["collections invalid_type"]),
        (
            json!({"collections": [5]}),
            'S',
            vec!["collections[0].body invalid_type"],
        ),
        (
            json!({"collections": [collection("one"), {"name": "ab", "schema": []}]}),
            'S',
            vec![
                "collections[1].name name_too_short",
                "collections[1].schema schema_empty",
            ],
        ),
        (
            json!({"collections": [collection("one"), collection("One")]}),
            'M',
            vec!["collections[1].name name_duplicate"],
        ),
        (
            json!({"collections": vec![collection("one"); MAX_COLLECTIONS + 1]}),
            'M',
            vec!["collections too_many_collections"],
        ),
    ] {
        let expected = (kind, expected.into_iter().map(str::to_owned).collect());
        assert_eq!(problems(parse_collections(&body)), expected);
    }
}

#[test]
fn bodies_of_an_import() {
    let file = |version: Value, collections: Value| json!({"version": version, "collections": collections});
    let item = json!({"name": "one", "schema": [], "rules": {"list_rule": "", "list_fields": "*"}});
    let import = parse_import(
        &json!({"data": file(json!("1.0"), json!([item])), "strategy": "update", "update_rules": true}),
    )
    .expect("fine");
    assert_eq!(
        (import.if_exists, import.atomic, import.update_rules),
        (IfExists::Update, false, true)
    );
    assert_eq!(
        import.items,
        [(
            "one".to_owned(),
            json!({"name": "one", "schema": [], "list_rule": "", "list_fields": "*"})
        )]
    );
    for (body, kind, expected) in [
        (json!({}), 'S', "data missing"),
        (json!({"data": 5}), 'S', "data invalid_type"),
        (json!({"data": {"collections": []}}), 'S', "data.version missing"),
        (
            json!({"data": {"version": 1, "collections": []}}),
            'S',
            "data.version invalid_type",
        ),
        (
            json!({"data": file(json!("2.0"), json!([]))}),
            'M',
            "data.version version_unsupported",
        ),
        (
            json!({"data": {"version": "1.0"}}),
            'S',
            "data.collections missing",
        ),
        (
            json!({"data": file(json!("1.0"), json!([5]))}),
            'S',
            "data.collections[0] invalid_type",
        ),
        (
            json!({"data": file(json!("1.0"), json!([{}]))}),
            'S',
            "data.collections[0].name name_required",
        ),
        (
            json!({"data": file(json!("1.0"), json!([{"name": "a", "rules": []}]))}),
            'S',
            "data.collections[0].rules invalid_type",
        ),
        (
            json!({"data": file(json!("1.0"), json!([])), "strategy": "merge"}),
            'S',
            "strategy strategy_invalid",
        ),
        (
            json!({"data": file(json!("1.0"), json!([])), "atomic": "yes"}),
            'S',
            "atomic invalid_type",
        ),
    ] {
        assert_eq!(
            problems(parse_import(&body)),
            (kind, vec![expected.to_owned()]),
            "{body}"
        );
    }
}

proptest! {
    #[test]
    fn groups_come_after_what_they_need(needs in prop::collection::vec(prop::collection::vec(0usize..12, 0..4), 12)) {
        let groups = in_order(&needs);
        let place = |i: usize| groups.iter().position(|group| group.contains(&i)).expect("everything is placed");
        prop_assert_eq!(groups.iter().map(Vec::len).sum::<usize>(), needs.len());
        for (i, needed) in needs.iter().enumerate() {
            for &j in needed {
                prop_assert!(place(j) <= place(i));
            }
        }
        // Members of a group need each other.
        for group in groups.iter().filter(|group| group.len() > 1) {
            for &i in group {
                prop_assert!(needs[i].iter().any(|j| group.contains(j)));
            }
        }
    }
}
