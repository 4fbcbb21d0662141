//! Differences between definitions, defaults as SQL, and names of constraints.

use serde_json::{Value, json};
use snackbase_core::names;
use snackbase_core::schema::*;

fn fields(json: Value) -> Vec<Field> {
    parse_fields(&json).expect("a list of fields")
}

/// The steps as `Step name`.
fn steps(old: Value, new: Value) -> Vec<String> {
    let (old, new) = (fields(old), fields(new));
    texts(&diff(&old, &new).expect("a possible change"))
}

/// As [`steps`], those of a change that may lose values.
fn rebuilding(old: Value, new: Value) -> Vec<String> {
    let (old, new) = (fields(old), fields(new));
    texts(&rebuild(&old, &new).expect("a possible change"))
}

fn texts(changes: &[Change<'_>]) -> Vec<String> {
    changes
        .iter()
        .map(|change| {
            let (step, field) = match change {
                Change::AddField(f) => ("add", f),
                Change::DropField(f) => ("drop", f),
                Change::SetType(_, f) => ("set_type", f),
                Change::AddIndex(f, Index::Plain) => ("add_index", f),
                Change::AddIndex(f, Index::Prefix) => ("add_prefix_index", f),
                Change::DropIndex(f, Index::Plain) => ("drop_index", f),
                Change::DropIndex(f, Index::Prefix) => ("drop_prefix_index", f),
                Change::SetRequired(f) => ("set_required", f),
                Change::DropRequired(f) => ("drop_required", f),
                Change::AddUnique(f) => ("add_unique", f),
                Change::DropUnique(f) => ("drop_unique", f),
                Change::SetDefault(f) => ("set_default", f),
                Change::DropDefault(f) => ("drop_default", f),
                Change::SetReference(_, f) => ("set_reference", f),
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

#[test]
fn index_hints_become_indexes() {
    let text = |unique: bool, hint: Value| json!([{"name": "a", "type": "text", "unique": unique, "options": {"index": hint}}]);
    let no = Value::Null;
    for (old, new, expected) in [
        (
            (false, no.clone()),
            (false, json!(true)),
            vec!["add_index a", "metadata a"],
        ),
        (
            (false, json!(true)),
            (false, json!(false)),
            vec!["drop_index a", "metadata a"],
        ),
        (
            (false, json!(true)),
            (false, json!("prefix")),
            vec!["drop_index a", "add_prefix_index a", "metadata a"],
        ),
        // the constraint's index is one already, but not one in the order of bytes
        ((true, no.clone()), (true, json!(true)), vec!["metadata a"]),
        (
            (true, json!(true)),
            (false, json!(true)),
            vec!["drop_unique a", "add_index a"],
        ),
        (
            (false, json!(true)),
            (true, json!(true)),
            vec!["add_unique a", "drop_index a"],
        ),
        (
            (true, no),
            (true, json!("prefix")),
            vec!["add_prefix_index a", "metadata a"],
        ),
    ] {
        assert_eq!(steps(text(old.0, old.1), text(new.0, new.1)), expected);
    }
    let link = |hint: Value| json!([{"name": "a", "type": "user", "options": {"index": hint}}]);
    assert_eq!(
        steps(link(json!(null)), link(json!(true))),
        ["metadata a"],
        "always indexed"
    );
}

#[test]
fn what_loses_values_is_a_step_of_its_own() {
    let a = json!({"name": "a", "type": "text"});
    let b = json!({"name": "b", "type": "number", "unique": true});
    let c = json!({"name": "c", "type": "computed", "expression": "b", "return_type": "number"});
    let stored = json!({"name": "c", "type": "number"});
    assert_eq!(rebuilding(json!([a, b]), json!([b])), ["drop a"]);
    assert_eq!(rebuilding(json!([a]), json!([b])), ["drop a", "add b"]);
    assert_eq!(rebuilding(json!([b, c]), json!([b])), [""; 0]);
    assert_eq!(rebuilding(json!([b, c]), json!([b, stored])), ["add c"]);
    assert_eq!(
        rebuilding(json!([b, stored]), json!([b, c])),
        ["drop c", "metadata c"]
    );
    let text = json!({"name": "b", "type": "text", "required": true, "default": "x"});
    assert_eq!(rebuilding(json!([a, b]), json!([a, text])), ["set_type b"]);
}

#[test]
fn a_plan_says_what_is_lost() {
    let fields = |json: Value| parse_fields(&json).expect("fields");
    let old = fields(json!([
        {"name": "a", "type": "text"}, {"name": "b", "type": "number"}, {"name": "c", "type": "text"},
        {"name": "d", "type": "text", "required": true},
        {"name": "e", "type": "computed", "expression": "b", "return_type": "number"}
    ]));
    let new = fields(json!([
        {"name": "a", "type": "text", "unique": true, "required": true}, {"name": "b", "type": "text"},
        {"name": "d", "type": "text"}, {"name": "f", "type": "date"}
    ]));
    let mut plan = Plan::default();
    plan.add("posts", &old, &new);
    assert_eq!(
        json!(plan),
        json!({
            "added": [{"collection": "posts", "field": "f", "type": "date", "destructive": false}],
            "removed": [{"collection": "posts", "field": "c", "type": "text", "destructive": true},
                        {"collection": "posts", "field": "e", "type": "computed", "destructive": false}],
            "changed": [
                {"collection": "posts", "field": "a", "from": {"required": false, "unique": false},
                 "to": {"required": true, "unique": true}, "destructive": true},
                {"collection": "posts", "field": "b", "from": {"type": "number"}, "to": {"type": "text"}, "destructive": true},
                {"collection": "posts", "field": "d", "from": {"required": true}, "to": {"required": false}, "destructive": false}
            ]
        })
    );
    assert!(plan.is_destructive() && !plan.is_empty());
    let mut nothing = Plan::default();
    nothing.add("posts", &old, &old);
    assert!(nothing.is_empty() && !nothing.is_destructive());
}

#[test]
fn values_change_their_type_or_stay() {
    use FieldType::*;
    let id = "3f2504e0-4f89-41d3-9a0c-0305e82c3301";
    let file = r#"{"filename":"a","size":1,"mime_type":"b","path":"c"}"#;
    for (image, from, to, expected) in [
        ("1.50", Text, Number, Some("1.5")),
        (" 1", Text, Number, Some("1")),
        ("1e400", Text, Number, None),
        ("NaN", Text, Number, None),
        ("0x10", Text, Number, None),
        ("", Text, Number, None),
        ("true", Text, Boolean, Some("true")),
        ("yes", Text, Boolean, None),
        ("1", Text, Boolean, None),
        ("2026-01-02", Text, Date, Some("2026-01-02")),
        ("02.01.2026", Text, Date, None),
        ("2026-01-02", Text, Datetime, Some("2026-01-02T00:00:00Z")),
        (
            "2026-01-02T03:04:05+01:00",
            Text,
            Datetime,
            Some("2026-01-02T02:04:05Z"),
        ),
        ("a@example.com", Text, Email, Some("a@example.com")),
        ("a@example", Text, Email, None),
        ("http://x", Text, Url, Some("http://x")),
        ("javascript:x", Text, Url, None),
        ("{\"a\": 1}", Text, Json, Some("{\"a\":1}")),
        ("plain", Text, Json, None),
        (file, Text, File, Some(file)),
        ("{}", Text, File, None),
        (&id.to_uppercase(), Text, Reference, Some(id)),
        ("x", Text, User, None),
        ("1.5", Number, Text, Some("1.5")),
        ("1e+21", Number, Text, Some("1e21")),
        (
            "100000000000000000000",
            Number,
            Text,
            Some("100000000000000000000"),
        ),
        ("0", Number, Boolean, Some("false")),
        ("1", Number, Boolean, Some("true")),
        ("2", Number, Boolean, None),
        ("Infinity", Number, Text, None),
        ("5", Number, Json, Some("5")),
        ("5", Number, Date, None),
        ("true", Boolean, Text, Some("true")),
        ("false", Boolean, Number, Some("0")),
        ("2026-01-02T00:00:00.000000Z", Datetime, Date, Some("2026-01-02")),
        ("2026-01-02T00:00:00.000001Z", Datetime, Date, None),
        (
            "2026-01-02T03:04:05.500000Z",
            Datetime,
            Text,
            Some("2026-01-02T03:04:05.5Z"),
        ),
        ("infinity", Datetime, Text, None),
        ("2026-01-02", Date, Datetime, Some("2026-01-02T00:00:00Z")),
        ("2026-01-02", Date, Number, None),
        ("\"abc\"", Json, Text, Some("abc")),
        ("{\"a\": [1]}", Json, Text, Some("{\"a\":[1]}")),
        ("null", Json, Text, None),
        ("7", Json, Number, Some("7")),
        ("\"7\"", Json, Number, None),
        ("\"2026-01-02\"", Json, Date, Some("2026-01-02")),
        (file, Json, File, Some(file)),
        (file, File, Json, Some(file)),
        (id, User, Text, Some(id)),
        (id, Reference, User, Some(id)),
        ("x", Computed, Text, None),
    ] {
        assert_eq!(
            retype(image, from, to).as_deref(),
            expected,
            "{image} {from:?} {to:?}"
        );
    }
}
