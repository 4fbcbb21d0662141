//! Definitions: which bodies are collections, and what is said about those that are not.

use proptest::prelude::*;
use serde_json::{Value, json};
use snackbase_core::schema::*;

/// Body, then every problem as `path code`; `S` for problems of form, `M` for problems of meaning.
fn refused(body: &Value) -> (char, Vec<String>) {
    let list = |problems: &[Problem]| {
        problems
            .iter()
            .map(|p| format!("{} {}", p.path, p.code))
            .collect()
    };
    match parse_definition(body) {
        Ok(_) => panic!("accepted: {body}"),
        Err(DefinitionError::Shape(problems)) => ('S', list(&problems)),
        Err(DefinitionError::Semantic(problems)) => ('M', list(&problems)),
    }
}

/// A collection with one field.
fn with(field: Value) -> Value {
    json!({"name": "posts", "schema": [field]})
}

/// A field of a type that has all it needs, with more keys.
fn field(kind: &str, more: Value) -> Value {
    let mut field = json!({"name": "f", "type": kind});
    let members = field.as_object_mut().expect("an object");
    if kind == "reference" {
        members.insert("collection".into(), "users".into());
        members.insert("on_delete".into(), "restrict".into());
    }
    if kind == "computed" {
        members.insert("expression".into(), "1 + 1".into());
        members.insert("return_type".into(), "number".into());
    }
    members.extend(more.as_object().expect("an object").clone());
    field
}

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
fn every_code_of_a_field() {
    for (field, kind, problem) in [
        (json!(1), 'S', "schema[0] invalid_type"),
        (json!({"type": "text"}), 'S', "schema[0].name field_name_required"),
        (
            json!({"name": null, "type": "text"}),
            'S',
            "schema[0].name field_name_required",
        ),
        (
            json!({"name": 1, "type": "text"}),
            'S',
            "schema[0].name invalid_type",
        ),
        (
            json!({"name": "a".repeat(65), "type": "text"}),
            'S',
            "schema[0].name field_name_too_long",
        ),
        (
            json!({"name": "a".repeat(64), "type": "text"}),
            'M',
            "schema[0].name field_name_too_long",
        ),
        (
            json!({"name": "1a", "type": "text"}),
            'M',
            "schema[0].name field_name_invalid_format",
        ),
        (
            json!({"name": "a b", "type": "text"}),
            'M',
            "schema[0].name field_name_invalid_format",
        ),
        (json!({"name": "f"}), 'S', "schema[0].type field_type_required"),
        (
            json!({"name": "f", "type": " "}),
            'M',
            "schema[0].type field_type_required",
        ),
        (
            json!({"name": "f", "type": 3}),
            'S',
            "schema[0].type invalid_type",
        ),
        (
            json!({"name": "f", "type": "varchar"}),
            'M',
            "schema[0].type field_type_invalid",
        ),
        (
            field("text", json!({"required": "yes"})),
            'S',
            "schema[0].required invalid_type",
        ),
        (
            field("text", json!({"unique": null})),
            'S',
            "schema[0].unique invalid_type",
        ),
        (
            field("text", json!({"options": "x"})),
            'S',
            "schema[0].options invalid_type",
        ),
        (
            field("text", json!({"options": {"a": "\0"}})),
            'S',
            "schema[0].options invalid_type",
        ),
        (
            field("text", json!({"pii": true, "mask_type": "half"})),
            'S',
            "schema[0].mask_type mask_type_invalid",
        ),
        (
            field("text", json!({"mask_type": "full"})),
            'S',
            "schema[0].mask_type mask_type_requires_pii",
        ),
        (
            field("reference", json!({"collection": null})),
            'M',
            "schema[0].collection reference_collection_required",
        ),
        (
            field("reference", json!({"collection": " "})),
            'M',
            "schema[0].collection reference_collection_required",
        ),
        (
            field("reference", json!({"on_delete": null})),
            'M',
            "schema[0].on_delete reference_on_delete_required",
        ),
        (
            field("reference", json!({"on_delete": "no"})),
            'M',
            "schema[0].on_delete reference_on_delete_invalid",
        ),
        (
            field("reference", json!({"required": true, "on_delete": "set_null"})),
            'M',
            "schema[0].on_delete set_null_on_required",
        ),
        (
            field("user", json!({"on_delete": "cascade"})),
            'M',
            "schema[0].on_delete user_on_delete_cascade_forbidden",
        ),
        (
            field("user", json!({"on_delete": "no"})),
            'M',
            "schema[0].on_delete user_on_delete_invalid",
        ),
        (
            field("text", json!({"default": 1})),
            'M',
            "schema[0].default default_invalid",
        ),
        (
            field("number", json!({"default": "1"})),
            'M',
            "schema[0].default default_invalid",
        ),
        (
            field("boolean", json!({"default": 1})),
            'M',
            "schema[0].default default_invalid",
        ),
        (
            field("date", json!({"default": "2023-02-29"})),
            'M',
            "schema[0].default default_invalid",
        ),
        (
            field("datetime", json!({"default": "now()"})),
            'M',
            "schema[0].default default_invalid",
        ),
        (
            field("reference", json!({"default": "x"})),
            'M',
            "schema[0].default default_invalid",
        ),
        (
            field("json", json!({"default": {"a\0": 1}})),
            'M',
            "schema[0].default default_invalid",
        ),
        (
            field("computed", json!({"expression": " "})),
            'M',
            "schema[0].expression computed_field_expression_required",
        ),
        (
            field("computed", json!({"expression": "price ***"})),
            'M',
            "schema[0].expression computed_field_expression_invalid",
        ),
        (
            field(
                "computed",
                json!({"expression": format!("concat({})", ["f"; 51].join(", ")), "return_type": "text"}),
            ),
            'M',
            "schema[0].expression computed_field_expression_invalid",
        ),
        (
            field("text", json!({"options": {"index": "hash"}})),
            'M',
            "schema[0].options.index index_invalid",
        ),
        (
            field("number", json!({"options": {"index": "prefix"}})),
            'M',
            "schema[0].options.index index_invalid",
        ),
        (
            field("json", json!({"options": {"index": true}})),
            'M',
            "schema[0].options.index index_invalid",
        ),
        (
            field("computed", json!({"return_type": null})),
            'M',
            "schema[0].return_type computed_field_return_type_required",
        ),
        (
            field("computed", json!({"return_type": "json"})),
            'M',
            "schema[0].return_type computed_field_return_type_invalid",
        ),
        (
            field("computed", json!({"required": true})),
            'M',
            "schema[0].required computed_field_no_required",
        ),
        (
            field("computed", json!({"default": 1})),
            'M',
            "schema[0].default computed_field_no_default",
        ),
        (
            field("computed", json!({"unique": true})),
            'M',
            "schema[0].unique computed_field_no_unique",
        ),
        (
            field("number", json!({"encrypted": true})),
            'M',
            "schema[0].encrypted encrypted_type_invalid",
        ),
        (
            field("text", json!({"encrypted": true, "unique": true})),
            'M',
            "schema[0].unique encrypted_no_unique",
        ),
        (
            field("text", json!({"encrypted": true, "sortable": true})),
            'M',
            "schema[0].sortable encrypted_query_option_forbidden",
        ),
        (
            field("json", json!({"encrypted": true, "options": {"index": true}})),
            'M',
            "schema[0].options.index encrypted_query_option_forbidden",
        ),
    ] {
        let body = with(field);
        let (found, list) = refused(&body);
        assert_eq!((found, list), (kind, vec![problem.to_owned()]), "{body}");
    }
    let (kind, list) = refused(&with(json!({"name": "", "type": "text"})));
    assert_eq!(
        (kind, list[0].as_str()),
        ('S', "schema[0].name field_name_required")
    );
}

#[test]
fn reserved_field_names() {
    let words = "id account_id created_at updated_at created_by updated_by account_name in is true false null \
                 tableoid xmin cmin xmax cmax ctid";
    for word in words
        .split_whitespace()
        .flat_map(|word| [word.to_owned(), word.to_uppercase()])
    {
        let (kind, list) = refused(&with(json!({"name": word, "type": "text"})));
        assert_eq!(
            (kind, list),
            ('M', vec!["schema[0].name field_name_reserved".to_owned()]),
            "{word}"
        );
    }
    for word in ["not", "ids", "account", "oid", "title", &"a".repeat(63)] {
        assert!(
            parse_definition(&with(json!({"name": word, "type": "text"}))).is_ok(),
            "{word}"
        );
    }
}

#[test]
fn the_list_of_fields() {
    for (schema, kind, problem) in [
        (json!([]), 'S', "schema schema_empty"),
        (json!(null), 'S', "schema schema_empty"),
        (json!({"name": "f"}), 'S', "schema invalid_type"),
        (
            json!([{"name": "Title", "type": "text"}, {"name": "title", "type": "date"}]),
            'M',
            "schema[1].name field_name_duplicate",
        ),
        (
            (0..11)
                .map(|i| {
                    json!({"name": format!("f{i}"), "type": "computed", "expression": "1", "return_type": "number"})
                })
                .collect(),
            'M',
            "schema too_many_computed_fields",
        ),
        (
            (0..1001).map(|i| json!({"name": format!("f{i}"), "type": "text"})).collect(),
            'M',
            "schema too_many_fields",
        ),
    ] {
        assert_eq!(refused(&json!({"name": "posts", "schema": schema})), (kind, vec![problem.to_owned()]));
    }
    assert_eq!(
        refused(&json!({"name": "posts"})),
        ('S', vec!["schema schema_empty".to_owned()])
    );
    assert_eq!(refused(&json!([])), ('S', vec!["body invalid_type".to_owned()]));
    assert_eq!(
        refused(&json!({"schema": [{"name": "f", "type": "text"}]})),
        ('S', vec!["name name_required".to_owned()])
    );
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
fn a_field_is_echoed_with_all_thirteen_keys() {
    let sent = json!({"name": "Status", "type": "TEXT", "default": "it's", "unique": true, "pii": true,
        "mask_type": "EMAIL", "options": ["b", {"z": 1, "a": 1.50}], "label": "ignored", "on_delete": "cascade",
        "collection": "x", "expression": "y", "return_type": "text"});
    let text = Field::from_json(&sent).expect("accepted").to_json().to_string();
    assert_eq!(
        text,
        r#"{"name":"Status","type":"text","required":false,"default":"it's","unique":true,"#.to_owned()
            + r#""options":["b",{"z":1,"a":1.5}],"collection":null,"on_delete":null,"pii":true,"mask_type":"email","#
            + r#""encrypted":false,"expression":null,"return_type":null}"#
    );
    let sent: Value =
        serde_json::from_str(r#"{"name":"f","type":"json","options":{"n":1.50e3}}"#).expect("JSON");
    assert!(
        Field::from_json(&sent)
            .expect("accepted")
            .to_json()
            .to_string()
            .contains(r#""options":{"n":1.50e"#)
    );
    let computed = field("computed", json!({"return_type": "Text"}));
    let computed = Field::from_json(&computed).expect("accepted");
    assert_eq!(computed.return_type, Some(FieldType::Text));
    assert!(!computed.is_stored());
    let parent = Field::from_json(&field("reference", json!({"on_delete": "SET_NULL"}))).expect("accepted");
    assert_eq!(
        (parent.delete_action(), parent.collection.as_deref()),
        (Some(OnDelete::SetNull), Some("users"))
    );
    let user = Field::from_json(&field("user", json!({}))).expect("accepted");
    assert_eq!(
        (user.on_delete, user.delete_action()),
        (None, Some(OnDelete::Restrict))
    );
}

#[test]
fn types_have_names_and_columns() {
    let table: Vec<_> = FieldType::ALL
        .iter()
        .map(|t| (t.name(), t.sql_type().unwrap_or("-")))
        .collect();
    assert_eq!(
        table,
        [
            ("text", "text"),
            ("number", "double precision"),
            ("boolean", "boolean"),
            ("datetime", "timestamptz"),
            ("date", "date"),
            ("email", "text"),
            ("url", "text"),
            ("json", "jsonb"),
            ("reference", "uuid"),
            ("user", "uuid"),
            ("file", "jsonb"),
            ("computed", "-"),
        ]
    );
    for t in FieldType::ALL {
        assert_eq!(FieldType::from_name(&t.name().to_uppercase()), Some(t));
        assert_eq!(t.text_like(), t.sql_type() == Some("text"));
    }
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
