//! Fields of definitions: every code that one is refused with, and how one is written back.

mod schema_fixture;

use schema_fixture::{field, refused, with};
use serde_json::{Value, json};
use snackbase_core::schema::*;

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
