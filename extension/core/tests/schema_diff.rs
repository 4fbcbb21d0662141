//! Differences between definitions, defaults as SQL, and names of constraints.

use serde_json::{Value, json};
use snackbase_core::names;
use snackbase_core::schema::*;

fn fields(json: Value) -> Vec<Field> {
    parse_fields(&json).expect("a list of fields")
}

/// The steps as `Step name`.
fn steps(old: Value, new: Value) -> Vec<String> {
    let new = fields(new);
    let changes = diff(&fields(old), &new).expect("a possible change");
    changes
        .iter()
        .map(|change| {
            let (step, field) = match change {
                Change::AddField(f) => ("add", f),
                Change::SetRequired(f) => ("set_required", f),
                Change::DropRequired(f) => ("drop_required", f),
                Change::AddUnique(f) => ("add_unique", f),
                Change::DropUnique(f) => ("drop_unique", f),
                Change::SetDefault(f) => ("set_default", f),
                Change::DropDefault(f) => ("drop_default", f),
                Change::SetReference(f) => ("set_reference", f),
                Change::Metadata(f) => ("metadata", f),
            };
            format!("{step} {}", field.name)
        })
        .collect()
}

#[test]
fn steps_of_a_change() {
    let one = |more: Value| {
        let mut field = json!({"name": "a", "type": "number"});
        field
            .as_object_mut()
            .expect("an object")
            .extend(more.as_object().expect("an object").clone());
        json!([field])
    };
    for (old, new, expected) in [
        (json!({}), json!({}), vec![]),
        (json!({}), json!({"required": true}), vec!["set_required a"]),
        (json!({"required": true}), json!({}), vec!["drop_required a"]),
        (json!({}), json!({"unique": true}), vec!["add_unique a"]),
        (json!({"unique": true}), json!({}), vec!["drop_unique a"]),
        (json!({}), json!({"default": 1}), vec!["set_default a"]),
        (
            json!({"default": 1}),
            json!({"default": 2}),
            vec!["set_default a"],
        ),
        (json!({"default": 1}), json!({"default": 1.0}), vec!["metadata a"]),
        (json!({"default": 1}), json!({}), vec!["drop_default a"]),
        (json!({}), json!({"options": {}}), vec!["metadata a"]),
        (json!({}), json!({"pii": true}), vec!["metadata a"]),
        (
            json!({"pii": true}),
            json!({"pii": true, "mask_type": "full"}),
            vec!["metadata a"],
        ),
        (
            json!({"pii": true}),
            json!({"required": true, "unique": true, "default": 0}),
            vec!["set_default a", "set_required a", "add_unique a", "metadata a"],
        ),
    ] {
        assert_eq!(
            steps(one(old.clone()), one(new.clone())),
            expected,
            "{old} -> {new}"
        );
    }
}

#[test]
fn added_and_moved_fields() {
    let a = json!({"name": "a", "type": "text"});
    let b = json!({"name": "b", "type": "text"});
    let c = json!({"name": "c", "type": "computed", "expression": "a", "return_type": "text"});
    assert_eq!(steps(json!([a]), json!([b, a, c])), ["add b", "metadata c"]);
    assert_eq!(steps(json!([a, b]), json!([b, a])), [""; 0]);
    let mut changed = c.clone();
    changed["expression"] = json!("upper(a)");
    assert_eq!(steps(json!([a, c]), json!([a, changed])), ["metadata c"]);
}

#[test]
fn changed_references() {
    let to = |collection: &str, action: &str| json!([{"name": "a", "type": "reference", "collection": collection, "on_delete": action}]);
    assert_eq!(
        steps(to("x", "restrict"), to("x", "cascade")),
        ["set_reference a"]
    );
    assert_eq!(
        steps(to("x", "restrict"), to("y", "restrict")),
        ["set_reference a"]
    );
    assert_eq!(
        steps(to("x", "restrict"), to("X", "restrict")),
        [""; 0],
        "the same table"
    );
    let user = |action: Value| json!([{"name": "a", "type": "user", "on_delete": action}]);
    assert_eq!(steps(user(json!(null)), user(json!("restrict"))), [""; 0]);
    assert_eq!(
        steps(user(json!(null)), user(json!("set_null"))),
        ["set_reference a"]
    );
}

#[test]
fn what_a_definition_cannot_do() {
    let old = fields(json!([
        {"name": "a", "type": "text"}, {"name": "b", "type": "text"}, {"name": "c", "type": "text"}
    ]));
    let new = fields(json!([
        {"name": "A", "type": "text"}, {"name": "b", "type": "number"}, {"name": "c", "type": "text", "encrypted": true}
    ]));
    let problems = diff(&old, &new).expect_err("refused");
    let list: Vec<_> = problems.iter().map(|p| (p.path.as_str(), p.code)).collect();
    assert_eq!(
        list,
        [
            ("schema", "field_deletion_not_allowed"),
            ("schema[1].type", "type_change_not_allowed"),
            (
                "schema[2].encrypted",
                "encryption_state_change_requires_migration"
            ),
        ]
    );
    assert!(problems[0].message.contains("deletion") && problems[1].message.contains("type change"));
}

#[test]
fn defaults_as_sql() {
    for (kind, default, sql) in [
        ("text", json!("it's"), Some("'it''s'::text")),
        ("text", json!("a\\b"), Some("E'a\\\\b'::text")),
        ("text", json!(""), Some("''::text")),
        ("number", json!(1), Some("'1.0'::double precision")),
        ("number", json!(-0.5), Some("'-0.5'::double precision")),
        ("number", json!(1e300), Some("'1e300'::double precision")),
        ("boolean", json!(false), Some("false")),
        (
            "datetime",
            json!("2026-01-02 03:04+01:00"),
            Some("'2026-01-02T02:04:00Z'::timestamptz"),
        ),
        ("date", json!("2026-01-02"), Some("'2026-01-02'::date")),
        ("email", json!("a@b.cd"), Some("'a@b.cd'::text")),
        (
            "json",
            json!({"a": ["'", null]}),
            Some("'{\"a\":[\"''\",null]}'::jsonb"),
        ),
        ("text", json!(null), None),
    ] {
        let field =
            Field::from_json(&json!({"name": "f", "type": kind, "default": default})).expect("a field");
        assert_eq!(default_sql(&field).as_deref(), sql, "{kind} {default}");
        assert_eq!(default_value(&field).is_some(), sql.is_some());
    }
}

#[test]
fn constraint_names_fit_and_differ() {
    assert_eq!(names::constraint("col_a", "b_c", "key"), "col_a$b_c$key");
    assert_ne!(
        names::constraint("col_a", "b_c", "key"),
        names::constraint("col_a_b", "c", "key")
    );
    let (table, field) = (names::table(&"t".repeat(59)), "f".repeat(63));
    let long = names::constraint(&table, &field, "fkey");
    assert_eq!(long.len(), 63);
    assert_eq!(long, names::constraint(&table, &field, "fkey"));
    assert_ne!(long, names::constraint(&table, &"f".repeat(62), "fkey"));
    assert!(long.ends_with("$fkey") && long.contains("$$"));
    assert_eq!(names::constraint(&"t".repeat(54), "abc", "key").len(), 62);
}
