//! The JSON form of a filter means what its text form means.

mod rules_fixture;

use rules_fixture::fixture;
use snackbase_core::rules::compile_filter;

fn findings(source: &str) -> Vec<String> {
    match compile_filter(source, &fixture(), 1) {
        Ok(filter) => panic!("{source} compiles to {filter:?}"),
        Err(errors) => errors
            .iter()
            .map(|error| format!("{} @{}", error.code, error.position))
            .collect(),
    }
}

#[test]
fn the_forms_agree() {
    for (json, text) in [
        (r#"{"active": true}"#, "active = true"),
        (
            r#"  { "status" : "published" , "views": {"$gt": 4} }"#,
            r#"status = "published" && views > 4"#,
        ),
        (r#"{"title": null}"#, "title IS NULL"),
        (r#"{"views": [1, -2.5e0, "3"]}"#, r#"views IN (1, -2.5e0, "3")"#),
        (r#"{"views": {"$eq": 1}}"#, "views = 1"),
        (r#"{"views": {"$ne": 1}}"#, "views != 1"),
        (r#"{"views": {"$gte": 1, "$lt": 5}}"#, "views >= 1 && views < 5"),
        (r#"{"views": {"$lte": -1}}"#, "views <= -1"),
        (r#"{"status": {"$in": ["a", "b"]}}"#, r#"status IN ("a", "b")"#),
        (
            r#"{"status": {"$nin": ["a", "b"]}}"#,
            r#"!(status IN ("a", "b"))"#,
        ),
        (r#"{"title": {"$like": "E%"}}"#, r#"title ~ "E%""#),
        (r#"{"title": {"$null": true}}"#, "title IS NULL"),
        (r#"{"title": {"$null": false}}"#, "title IS NOT NULL"),
        (r#"{"title": {"$ne": null}}"#, "title IS NOT NULL"),
        (
            r#"{"$or": [{"views": 1}, {"views": 2, "active": true}]}"#,
            "views = 1 || (views = 2 && active = true)",
        ),
        (r#"{"$and": [{"views": 1}, {}]}"#, "views = 1"),
        (r#"{"$not": {"views": 1}}"#, "!(views = 1)"),
        (r#"{"$not": {}}"#, "!true"),
        (r#"{"$or": [{"views": 1}, {}]}"#, "views = 1 || true"),
        (r#"{"field": "views", "operator": ">", "value": 4}"#, "views > 4"),
        (
            r#"{"field": "views", "operator": "in", "value": [4]}"#,
            "views IN (4)",
        ),
        (
            r#"{"field": "title", "operator": "=", "value": null}"#,
            "title IS NULL",
        ),
        (
            r#"{"field": "title", "operator": "IS NOT NULL", "value": null}"#,
            "title IS NOT NULL",
        ),
        (r#"{"field": "title", "operator": "IS NULL"}"#, "title IS NULL"),
        (
            r#"{"$and": [{"field": "title", "operator": "~", "value": "x"}]}"#,
            r#"title ~ "x""#,
        ),
        (r#"{"title": "\u00e9\ud83c\udf89\/\\\n"}"#, "title = 'é🎉/\\\\\n'"),
        (r#"{"total": {"$gt": 4}}"#, "total > 4"),
    ] {
        let compile = |source: &str| compile_filter(source, &fixture(), 1);
        assert_eq!(compile(json), compile(text), "{json}");
        assert!(compile(json).is_ok(), "{json}");
    }
}

#[test]
fn an_object_without_conditions_is_no_filter() {
    for source in ["{}", " { } ", r#"{"$and": []}"#, r#"{"$and": [{}, {}]}"#] {
        assert_eq!(compile_filter(source, &fixture(), 1), Ok(None), "{source}");
    }
}

#[test]
fn an_empty_list_has_no_rows() {
    let filter = compile_filter(r#"{"status": []}"#, &fixture(), 1)
        .expect("compiles")
        .expect("a condition");
    assert_eq!((filter.sql.as_str(), filter.params.len()), ("false", 0));
    assert_eq!(findings(r#"{"nosuch": []}"#), ["unknown_field @1"]);
    assert_eq!(findings(r#"{"active": []}"#), ["operator_not_allowed @1"]);
}

#[test]
fn findings_say_where() {
    for (source, expected) in [
        (
            r#"{"nosuch": 1, "zzz": 2}"#,
            &["unknown_field @1", "unknown_field @14"][..],
        ),
        (r#"{"active": 2}"#, &["type_mismatch @11"]),
        (r#"{"at": {"$gt": "soon"}}"#, &["bad_datetime @15"]),
        (r#"{"post": {"$gt": "a"}}"#, &["operator_not_allowed @10"]),
        (r#"{"sec": "x"}"#, &["encrypted_field @1"]),
        (r#"{"sec": null}"#, &["encrypted_field @1"]),
        (r#"{"@request.auth.id": "x"}"#, &["context_not_allowed @1"]),
        (
            r#"{"views": {"$foo": 1, "$bar": 2}}"#,
            &["operator_not_allowed @11", "operator_not_allowed @22"],
        ),
        (r#"{"$xor": []}"#, &["operator_not_allowed @1"]),
        (r#"{"views": {}}"#, &["syntax @10"]),
        (r#"{"views": {"$in": 1}}"#, &["type_mismatch @18"]),
        (r#"{"views": [1, null]}"#, &["type_mismatch @14"]),
        (r#"{"views": [[1]]}"#, &["type_mismatch @11"]),
        (r#"{"views": {"$gt": null}}"#, &["type_mismatch @18"]),
        (r#"{"views": {"$null": 1}}"#, &["type_mismatch @20"]),
        (r#"{"title": {"$like": true}}"#, &["bad_pattern @20"]),
        (r#"{"$or": []}"#, &["syntax @8"]),
        (r#"{"$and": {}}"#, &["type_mismatch @9"]),
        (r#"{"$not": [1]}"#, &["type_mismatch @9"]),
        (
            r#"{"field": "views", "operator": "<>", "value": 1}"#,
            &["operator_not_allowed @31"],
        ),
        (r#"{"views": 1, "views": 2}"#, &["syntax @13"]),
        (r#"{"views": 1"#, &["syntax @11"]),
        (r#"{"views": 1} x"#, &["syntax @13"]),
        (r#"{"views": 01}"#, &["syntax @11"]),
        (r#"{"views": 1.}"#, &["syntax @12"]),
        (r#"{"views": 1e999}"#, &["syntax @10"]),
        (r#"{"views": NaN}"#, &["syntax @10"]),
        (r#"{views: 1}"#, &["syntax @1"]),
        (r#"{"views": 1,}"#, &["syntax @12"]),
        (r#"{"title": "a"#, &["unterminated_string @12"]),
        (r#"{"title": "a\u0000"}"#, &["bad_char @12"]),
        (r#"{"title": "\ud800x"}"#, &["bad_char @11"]),
        (r#"{"title": "\ud800\ue000"}"#, &["bad_char @11"]),
        (r#"{"title": "\x"}"#, &["syntax @12"]),
        ("{\"title\": \"a\nb\"}", &["syntax @12"]),
    ] {
        assert_eq!(findings(source), expected, "{source}");
    }
}
