//! Definitions: which bodies are collections, and what is said about those that are not.

mod schema_fixture;

use proptest::prelude::*;
use schema_fixture::{field, refused, with};
use serde_json::{Value, json};
use snackbase_core::schema::*;

#[test]
fn names_of_collections() {
    let posts = |name: &str| json!({"name": name, "schema": [{"name": "f", "type": "text"}]});
    for name in ["abc", "User_Profiles", "p0_", &"a".repeat(59)] {
        assert_eq!(parse_definition(&posts(name)).expect(name).name, name);
    }
    for (name, kind, problems) in [
        ("", 'S', vec!["name name_required"]),
        ("ab", 'S', vec!["name name_too_short"]),
        (&"a".repeat(65), 'S', vec!["name name_too_long"]),
        (&"a".repeat(60), 'M', vec!["name name_too_long"]),
        ("1st", 'M', vec!["name name_invalid_format"]),
        ("_posts", 'M', vec!["name name_invalid_format"]),
        ("my-posts", 'M', vec!["name name_invalid_format"]),
        ("posts\n", 'M', vec!["name name_invalid_format"]),
        ("größe", 'M', vec!["name name_invalid_format"]),
        ("p\"; drop table x", 'M', vec!["name name_invalid_format"]),
        ("a\0b", 'S', vec!["name invalid_type"]),
    ] {
        let (found, list) = refused(&posts(name));
        assert_eq!(
            (found, list),
            (kind, problems.iter().map(|p| p.to_string()).collect()),
            "{name:?}"
        );
    }
}

#[test]
fn all_problems_of_one_kind_are_reported_together() {
    let body = json!({"name": "my posts", "list_fields": ["nope"], "schema": [
        {"name": "id", "type": "text"}, {"name": "b", "type": "blob"},
        {"name": "c", "type": "reference"}, {"name": "d", "type": "number", "default": "x"},
    ]});
    let error = parse_definition(&body).expect_err("refused");
    let codes: Vec<_> = error
        .problems()
        .iter()
        .map(|p| (p.path.as_str(), p.code))
        .collect();
    assert_eq!(
        codes,
        [
            ("name", "name_invalid_format"),
            ("schema[0].name", "field_name_reserved"),
            ("schema[1].type", "field_type_invalid"),
            ("schema[2].collection", "reference_collection_required"),
            ("schema[2].on_delete", "reference_on_delete_required"),
            ("schema[3].default", "default_invalid"),
            ("list_fields", "unknown_field"),
        ]
    );
    let text = error.to_string();
    assert!(
        text.starts_with("Validation failed: name: Collection name must start"),
        "{text}"
    );
    assert!(
        text.contains("; schema[0].name: This field name is reserved; schema[1].type: "),
        "{text}"
    );
    let details = serde_json::to_string(&error.problems()[1]).expect("serialises");
    assert_eq!(
        details,
        r#"{"field":"schema[0].name","message":"This field name is reserved","code":"field_name_reserved"}"#
    );
    // Form is checked first, and alone.
    let (kind, list) = refused(&json!({"name": 1, "schema": [{"name": "id", "type": 2}]}));
    assert_eq!(
        (kind, list),
        (
            'S',
            vec!["name invalid_type".into(), "schema[0].type invalid_type".into()]
        )
    );
}

#[test]
fn fields_or_schema_and_rules() {
    let body = json!({"name": "posts", "label": "ignored",
        "schema": [{"name": "a", "type": "text"}], "fields": [{"name": "b", "type": "text"}],
        "list_rule": "", "view_rule": null, "create_rule": "@request.auth.id != null",
        "list_fields": "*", "view_fields": "[\"a\", \"id\", \"a\"]", "create_fields": ["a"], "update_fields": null});
    let definition = parse_definition(&body).expect("accepted");
    assert!(
        definition.field("a").is_some() && definition.field("b").is_none(),
        "schema wins"
    );
    assert_eq!(
        definition.rules.rules().map(|(_, rule)| rule),
        [Some(""), None, Some("@request.auth.id != null"), None, None]
    );
    assert_eq!(
        definition.rules.lists().map(|(_, list)| list.to_text()),
        ["*", r#"["a","id"]"#, r#"["a"]"#, "*"]
    );
    let body = json!({"name": "posts", "schema": null, "fields": [{"name": "b", "type": "text"}]});
    assert!(parse_definition(&body).expect("accepted").field("b").is_some());
}

#[test]
fn rules_and_lists_that_are_none() {
    for (key, value, kind, code) in [
        ("list_rule", json!(true), 'S', "invalid_type"),
        ("delete_rule", json!(["a"]), 'S', "invalid_type"),
        ("list_fields", json!(1), 'S', "invalid_type"),
        ("list_fields", json!(["f", 1]), 'S', "invalid_type"),
        ("view_fields", json!("f"), 'M', "field_list_invalid"),
        ("view_fields", json!(""), 'M', "field_list_invalid"),
        ("view_fields", json!("[1]"), 'M', "field_list_invalid"),
        ("create_fields", json!("[\"F\"]"), 'M', "unknown_field"),
        ("update_fields", json!(["account_name"]), 'M', "unknown_field"),
    ] {
        let mut body = with(field("text", json!({})));
        body[key] = value.clone();
        assert_eq!(refused(&body), (kind, vec![format!("{key} {code}")]), "{value}");
    }
}

#[test]
fn a_change_of_rules() {
    let rules = Rules {
        list_rule: Some("a".into()),
        view_rule: Some("b".into()),
        ..Rules::default()
    };
    let change = parse_rules_change(&json!({"list_rule": null, "update_rule": "", "list_fields": ["f"]}));
    let rules = change.expect("accepted").apply(rules);
    assert_eq!(
        rules.rules().map(|(_, rule)| rule),
        [None, Some("b"), None, Some(""), None]
    );
    assert_eq!(rules.check(&[])[0].code, "unknown_field");
    assert!(
        rules
            .check(&parse_fields(&json!([field("text", json!({}))])).expect("fields"))
            .is_empty()
    );
    assert!(parse_rules_change(&json!({})).expect("accepted").is_empty());
    let error = parse_rules_change(&json!({"list_rules": "", "delete_fields": "*"})).expect_err("refused");
    assert!(matches!(&error, DefinitionError::Shape(p) if p.len() == 2 && p[0].code == "unknown_key"));
    assert!(parse_rules_change(&json!("x")).is_err());
}

#[test]
fn a_change_of_a_definition() {
    let current = parse_definition(&with(field("text", json!({})))).expect("accepted");
    let apply = |body: Value| parse_change(&body).and_then(|change| change.apply(&current));
    let changed = apply(json!({"list_rule": "", "name": "posts"})).expect("rules only");
    assert_eq!(
        (changed.rules.list_rule.as_deref(), &changed.fields),
        (Some(""), &current.fields)
    );
    assert_eq!(apply(json!({"name": "posts"})).expect("nothing"), current);
    let more = json!([field("text", json!({})), {"name": "g", "type": "date"}]);
    assert_eq!(
        apply(json!({"fields": more, "list_fields": ["g"]}))
            .expect("fields")
            .fields
            .len(),
        2
    );
    for (body, code) in [
        (json!({}), "schema_empty"),
        (json!({"label": "x"}), "schema_empty"),
        (json!({"schema": []}), "schema_empty"),
        (json!({"name": "Posts"}), "name_change_not_allowed"),
        (json!({"name": 1}), "invalid_type"),
        (json!({"list_fields": ["g"]}), "unknown_field"),
    ] {
        let error = apply(body.clone()).expect_err("refused");
        assert_eq!(error.problems()[0].code, code, "{body}");
    }
}

/// JSON of any form, with the keys that definitions use.
fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        prop_oneof![
            Just("text"),
            Just("reference"),
            Just("computed"),
            Just("*"),
            Just("a\0"),
            Just("set_null")
        ]
        .prop_map(Value::from),
        any::<String>().prop_map(Value::from),
    ];
    let key = prop_oneof![
        Just("name"),
        Just("type"),
        Just("schema"),
        Just("fields"),
        Just("default"),
        Just("options"),
        Just("list_fields"),
        Just("list_rule"),
        Just("required"),
        Just("encrypted"),
        Just("on_delete"),
    ];
    leaf.prop_recursive(4, 64, 6, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::vec((key.clone(), inner), 0..6).prop_map(|members| members
                .into_iter()
                .map(|(key, value)| (key.to_owned(), value))
                .collect()),
        ]
    })
}

proptest! {
    #[test]
    fn no_body_panics_and_no_refusal_is_empty(body in any_json()) {
        for error in [
            parse_definition(&body).err(),
            parse_change(&body).err(),
            parse_rules_change(&body).err(),
            parse_fields(&body).err(),
            Field::from_json(&body).err(),
        ].into_iter().flatten() {
            prop_assert!(!error.problems().is_empty());
        }
    }

    #[test]
    fn what_was_echoed_is_read_as_the_same(
        kind in prop::sample::select(FieldType::ALL.to_vec()),
        required in any::<bool>(),
        pii in any::<bool>(),
        options in any_json(),
    ) {
        let options = if options.is_object() || options.is_array() { options } else { Value::Null };
        let mut sent = field(kind.name(), json!({"pii": pii, "options": options}));
        if kind != FieldType::Computed {
            sent["required"] = required.into();
        }
        if let Ok(field) = Field::from_json(&sent) {
            prop_assert_eq!(Field::from_json(&field.to_json()).expect("echo is accepted"), field);
        }
    }
}
