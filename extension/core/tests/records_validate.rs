//! Bodies of records: every code, every mode, field access, values of every type.

use proptest::prelude::*;
use serde_json::{Value as Json, json};
use snackbase_core::records::{MAX_UNKNOWN, Mode, PLACEHOLDER, Rejection, Value, Write, validate};
use snackbase_core::schema::{Field, FieldList, FieldType, convert, parse_fields};

const ID: &str = "3F2504E0-4F89-41D3-9A0C-0305E82C3301";

fn fields() -> Vec<Field> {
    parse_fields(&json!([
        {"name": "title", "type": "text", "required": true},
        {"name": "status", "type": "text", "default": "draft"},
        {"name": "views", "type": "number"},
        {"name": "rank", "type": "number", "required": true, "default": 1},
        {"name": "total", "type": "computed", "expression": "views * 2", "return_type": "number"},
        {"name": "secret", "type": "text", "encrypted": true, "default": "none"},
    ]))
    .expect("fields")
}

fn all(body: Json, mode: Mode) -> Result<Write, Rejection> {
    validate(&body, &fields(), &FieldList::All, mode, false)
}

fn codes(result: Result<Write, Rejection>) -> Vec<(String, &'static str)> {
    match result {
        Err(Rejection::Invalid(problems)) => problems.into_iter().map(|p| (p.path, p.code)).collect(),
        other => panic!("{other:?}"),
    }
}

fn text(text: &str) -> Value {
    Value::Text(text.to_owned())
}

#[test]
fn create_fills_defaults_and_wants_what_is_required() {
    let write = all(
        json!({"title": "a", "rank": 2, "total": 9, "views": null}),
        Mode::Create,
    )
    .expect("accepted");
    let expected = vec![
        (0, text("a")),
        (1, text("draft")),
        (2, Value::Null),
        (3, Value::Number(2.0)),
        (5, text("none")),
    ];
    assert_eq!(
        write,
        Write {
            values: expected,
            account_id: None
        }
    );
    assert_eq!(
        codes(all(json!({"status": null}), Mode::Create)),
        [
            ("title".into(), "required_missing"),
            ("rank".into(), "required_missing")
        ],
        "a default does not stand in for a required field"
    );
    assert_eq!(
        codes(all(json!({"title": null, "rank": 1}), Mode::Create)),
        [("title".into(), "required_null")]
    );
}

#[test]
fn put_resets_to_defaults_and_keeps_the_rest() {
    let write = all(json!({"title": "a", "rank": 2}), Mode::Replace).expect("accepted");
    assert_eq!(
        write.values,
        [
            (0, text("a")),
            (1, text("draft")),
            (3, Value::Number(2.0)),
            (5, text("none"))
        ]
    );
    let write = all(json!({"title": "a", "rank": 2, "status": null}), Mode::Replace).expect("accepted");
    assert_eq!(write.values[1], (1, Value::Null), "null is null, not the default");
    assert_eq!(
        codes(all(json!({"rank": 2}), Mode::Replace)),
        [("title".into(), "required_missing")]
    );
}

#[test]
fn patch_writes_only_what_is_given() {
    assert_eq!(all(json!({}), Mode::Patch), Ok(Write::default()));
    assert_eq!(
        all(json!({"views": 1}), Mode::Patch).expect("accepted").values,
        [(2, Value::Number(1.0))]
    );
    assert_eq!(
        codes(all(json!({"title": null}), Mode::Patch)),
        [("title".into(), "required_null")]
    );
}

#[test]
fn the_placeholder_leaves_an_encrypted_value_alone() {
    let body = json!({"title": PLACEHOLDER, "rank": 1, "secret": PLACEHOLDER});
    for mode in [Mode::Replace, Mode::Patch] {
        let write = all(body.clone(), mode).expect("accepted");
        assert!(write.values.iter().all(|(i, _)| *i != 5) && write.values[0].1 == text(PLACEHOLDER));
    }
    assert_eq!(
        all(body, Mode::Create).expect("accepted").values.last(),
        Some(&(5, text("none")))
    );
}

#[test]
fn unknown_keys_come_first_then_the_order_of_the_schema() {
    let body = json!({"rank": "x", "zzz": 1, "title": 1, "Title": 1, "account_name": null});
    assert_eq!(
        codes(all(body, Mode::Create)),
        [
            ("zzz".into(), "unknown_field"),
            ("Title".into(), "unknown_field"),
            ("account_name".into(), "unknown_field"),
            ("title".into(), "invalid_type"),
            ("rank".into(), "invalid_type"),
        ]
    );
    let many: Json = (0..10_000).map(|i| (format!("k{i}"), json!(1))).collect();
    assert_eq!(codes(all(many, Mode::Patch)).len(), MAX_UNKNOWN);
}

#[test]
fn bodies_that_are_no_objects() {
    for body in [json!(null), json!([]), json!("x"), json!(1)] {
        let rejection = all(body, Mode::Create).expect_err("refused");
        assert_eq!(rejection, Rejection::NotAnObject);
        assert_eq!(rejection.to_json()[0]["code"], "invalid_type");
    }
}

#[test]
fn system_fields_are_refused_to_everybody() {
    for mode in [Mode::Create, Mode::Replace, Mode::Patch] {
        for superadmin in [false, true] {
            let body = json!({"updated_by": 1, "id": ID, "nope": 1});
            let rejection =
                validate(&body, &fields(), &FieldList::All, mode, superadmin).expect_err("refused");
            assert_eq!(
                rejection.to_json(),
                json!({"error": "Field access denied",
                    "message": "These fields are set by the server: id, updated_by",
                    "unauthorized_fields": ["id", "updated_by"], "field_type": "system"})
            );
        }
    }
}

#[test]
fn only_a_superadmin_names_the_account_and_only_once() {
    let body = json!({"title": "a", "rank": 1, "account_id": ID});
    let run = |mode, superadmin| validate(&body, &fields(), &FieldList::All, mode, superadmin);
    assert_eq!(
        run(Mode::Create, true).expect("accepted").account_id,
        Some(ID.to_lowercase())
    );
    for (mode, superadmin) in [(Mode::Create, false), (Mode::Replace, true), (Mode::Patch, true)] {
        assert!(matches!(
            run(mode, superadmin),
            Err(Rejection::FieldAccess {
                field_type: "system",
                ..
            })
        ));
    }
    let only = FieldList::Only(vec!["title".into(), "rank".into()]);
    assert!(
        validate(&body, &fields(), &only, Mode::Create, true).is_ok(),
        "no field list binds account_id"
    );
    let account = |account: Json| {
        let body = json!({"title": "a", "rank": 1, "account_id": account});
        validate(&body, &fields(), &FieldList::All, Mode::Create, true)
    };
    assert_eq!(account(json!(null)).expect("accepted").account_id, None);
    assert_eq!(
        codes(account(json!("AB1234"))),
        [("account_id".into(), "invalid_reference")]
    );
    assert_eq!(codes(account(json!(7))), [("account_id".into(), "invalid_type")]);
}

#[test]
fn keys_outside_the_field_list_are_refused() {
    let only = FieldList::Only(vec!["views".into(), "title".into()]);
    let run = |body: Json| validate(&body, &fields(), &only, Mode::Patch, false);
    assert!(run(json!({"title": "a"})).is_ok());
    let rejection = run(json!({"title": "a", "zzz": 1, "total": 1, "rank": "wrong"})).expect_err("refused");
    assert_eq!(
        rejection.to_json().to_string(),
        r#"{"error":"Field access denied","message":"These fields may not be set here: rank, total, zzz","#
            .to_owned()
            + r#""unauthorized_fields":["rank","total","zzz"],"allowed_fields":["title","views"],"#
            + r#""field_type":"restricted"}"#
    );
    let nothing = FieldList::Only(vec![]);
    let rejection =
        validate(&json!({"title": 1}), &fields(), &nothing, Mode::Patch, false).expect_err("refused");
    assert_eq!(rejection.to_json()["allowed_fields"], json!([]));
    assert!(validate(&json!({}), &fields(), &nothing, Mode::Patch, false).is_ok());
}

#[test]
fn values_that_fit() {
    use FieldType::*;
    let json_text = |text: &str| Value::Json(text.to_owned());
    for (kind, sent, value) in [
        (Text, json!(""), text("")),
        (Text, json!("größe\n"), text("größe\n")),
        (Number, json!(3), Value::Number(3.0)),
        (Number, json!(-1.5e-7), Value::Number(-1.5e-7)),
        (Boolean, json!(false), Value::Boolean(false)),
        (
            Datetime,
            json!("2026-01-02T03:04:05Z"),
            Value::Datetime("2026-01-02T03:04:05Z".into()),
        ),
        (Date, json!("0001-01-01"), Value::Date("0001-01-01".into())),
        (
            Json,
            json!({"b": [1, null], "a": "x"}),
            json_text(r#"{"b":[1,null],"a":"x"}"#),
        ),
        (Json, json!("text"), json_text("\"text\"")),
        (Json, json!(null), Value::Null),
        (Reference, json!(ID), Value::Uuid(ID.to_lowercase())),
        (User, json!(ID), Value::Uuid(ID.to_lowercase())),
        (
            File,
            json!({"filename": "a", "size": 1, "mime_type": "b", "path": "c", "more": [1]}),
            json_text(r#"{"filename":"a","size":1,"mime_type":"b","path":"c","more":[1]}"#),
        ),
        (
            File,
            json!(r#" {"filename": "a", "size": 0, "mime_type": "b", "path": "c"}"#),
            json_text(r#"{"filename":"a","size":0,"mime_type":"b","path":"c"}"#),
        ),
    ] {
        assert_eq!(convert(kind, &sent), Ok(value), "{kind:?} {sent}");
    }
}

#[test]
fn values_that_do_not_fit() {
    use FieldType::*;
    let parsed = |text: &str| serde_json::from_str::<serde_json::Value>(text).expect("JSON");
    let file = |key: &str, value: serde_json::Value| {
        let mut file = json!({"filename": "a", "size": 1, "mime_type": "b", "path": "c"});
        file[key] = value;
        file
    };
    for (kind, sent, code) in [
        (Text, json!(1), "invalid_type"),
        (Text, json!("a\0b"), "invalid_type"),
        (Number, json!("3"), "invalid_type"),
        (Number, json!(true), "invalid_type"),
        (Number, parsed("1e999"), "invalid_type"),
        (Number, parsed("-1e999"), "invalid_type"),
        (Number, parsed(&"9".repeat(400)), "invalid_type"),
        (Boolean, json!(1), "invalid_type"),
        (Boolean, json!("true"), "invalid_type"),
        (Datetime, json!(1), "invalid_type"),
        (Datetime, json!("yesterday"), "invalid_datetime_format"),
        (Date, json!("2026-01-02T00:00:00Z"), "invalid_date_format"),
        (Date, json!(20260102), "invalid_type"),
        (Email, json!("a"), "invalid_email_format"),
        (Email, json!("a@b.cd\0"), "invalid_type"),
        (Url, json!("ftp://a"), "invalid_url_format"),
        (Json, json!({"a": [{"b\0": 1}]}), "invalid_type"),
        (Json, json!(["\0"]), "invalid_type"),
        (Json, parsed("[1e999]"), "invalid_type"),
        (Json, parsed("[0e99999]"), "invalid_type"),
        (Json, parsed(&format!("0.{}", "0".repeat(2000))), "invalid_type"),
        (Reference, json!(""), "empty_reference"),
        (Reference, json!(" \t"), "empty_reference"),
        (User, json!(""), "empty_reference"),
        (Reference, json!(7), "invalid_type"),
        (Reference, json!("x"), "invalid_reference"),
        (
            Reference,
            json!("3f2504e04f8941d39a0c0305e82c3301"),
            "invalid_reference",
        ),
        (
            User,
            json!("3f2504e0-4f89-41d3-9a0c-0305e82c330g"),
            "invalid_reference",
        ),
        (File, json!(1), "invalid_type"),
        (File, json!([]), "invalid_type"),
        (File, json!("[]"), "invalid_type"),
        (File, json!("{"), "invalid_json"),
        (File, json!({}), "missing_file_metadata"),
        (File, json!("{\"filename\": \"a\"}"), "missing_file_metadata"),
        (File, file("size", json!("1")), "invalid_file_metadata"),
        (File, file("size", json!(1.5)), "invalid_file_metadata"),
        (File, file("path", json!(null)), "invalid_file_metadata"),
        (File, file("filename", json!("a\0")), "invalid_type"),
        (Computed, json!(1), "invalid_type"),
    ] {
        assert_eq!(
            convert(kind, &sent).map_err(|m| m.code),
            Err(code),
            "{kind:?} {sent}"
        );
    }
    let missing = convert(File, &json!({"filename": "a", "path": "b"})).expect_err("refused");
    assert_eq!(missing.message, "File object lacks: size, mime_type");
}

#[test]
fn addresses() {
    let fits = |kind, text: &str| convert(kind, &json!(text)).is_ok();
    for email in ["a@b.cd", "A.b_c%d+e-f@x-y.z.org", "1@2.co", ".@-.xx"] {
        assert!(fits(FieldType::Email, email), "{email}");
    }
    for email in [
        "", "@b.cd", "a@", "a@b", "a@b.c", "a@b.c1", "a@.cd", "a@b.cd.", "a@@b.cd", "a@b@c.de", "a b@c.de",
        "a@b c.de", " a@b.cd", "a@b.cd\n", "ä@b.cd", "a@ä.cd", "a@b.çd", "<a@b.cd>",
    ] {
        assert!(!fits(FieldType::Email, email), "{email}");
    }
    for url in [
        "http://a",
        "https://example.com/x?y#z",
        "HTTPS://EXAMPLE.com",
        "http://ä.de",
        "https://[::1]:80/",
    ] {
        assert!(fits(FieldType::Url, url), "{url}");
    }
    for url in [
        "",
        "http",
        "http:/",
        "http://",
        "https:///x",
        "http://.a",
        "http://?a",
        "http://#a",
        "http://$a",
        "http:// a",
        "http://a b",
        "http://a\n",
        "ftp://a",
        "javascript:alert(1)",
        " http://a",
        "http://a\u{a0}b",
        "http://a\u{1f}",
        "ähttp://a",
        "httpsä//a",
    ] {
        assert!(!fits(FieldType::Url, url), "{url}");
    }
}

/// JSON of any form under the keys of the schema and some others.
fn any_body() -> impl Strategy<Value = Json> {
    let leaf = prop_oneof![
        Just(Json::Null),
        any::<bool>().prop_map(Json::from),
        any::<f64>().prop_map(Json::from),
        any::<i64>().prop_map(Json::from),
        "[0-9TZ:+. -]{0,30}".prop_map(Json::from),
        any::<String>().prop_map(Json::from),
        "-?[1-9][0-9]{0,3}(\\.[0-9]{1,3})?[eE][+-]?[0-9]{1,9}"
            .prop_map(|number| serde_json::from_str(&number).expect("a JSON number")),
    ];
    let key = prop::sample::select(vec![
        "f",
        "account_id",
        "id",
        "g",
        "filename",
        "size",
        "mime_type",
        "path",
    ]);
    leaf.prop_recursive(3, 32, 5, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Json::from),
            prop::collection::vec((key.clone(), inner), 0..6)
                .prop_map(|members| members.into_iter().map(|(k, v)| (k.to_owned(), v)).collect()),
        ]
    })
}

proptest! {
    #[test]
    fn no_body_panics_and_values_have_the_type_of_their_field(
        body in any_body(),
        kind in prop::sample::select(FieldType::ALL.to_vec()),
        mode in prop::sample::select(vec![Mode::Create, Mode::Replace, Mode::Patch]),
        superadmin in any::<bool>(),
    ) {
        let field = json!([{"name": "f", "type": kind.name(), "collection": "c", "on_delete": "restrict",
            "expression": "1", "return_type": "number"}]);
        let fields = parse_fields(&field).expect("fields");
        for body in [body.clone(), json!({"f": body})] {
            match validate(&body, &fields, &FieldList::All, mode, superadmin) {
                Ok(write) => for (i, value) in write.values {
                    prop_assert_eq!(i, 0);
                    prop_assert!(matches!(
                        (kind.sql_type(), value),
                        (Some(_), Value::Null)
                            | (Some("text"), Value::Text(_))
                            | (Some("double precision"), Value::Number(_))
                            | (Some("boolean"), Value::Boolean(_))
                            | (Some("timestamptz"), Value::Datetime(_))
                            | (Some("date"), Value::Date(_))
                            | (Some("jsonb"), Value::Json(_))
                            | (Some("uuid"), Value::Uuid(_))
                    ));
                },
                Err(rejection) => prop_assert!(!rejection.to_json().is_null()),
            }
        }
    }
}
