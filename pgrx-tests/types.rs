//! Field types: what goes in comes out, what does not fit is refused, and a default is the same over both doors.

#[pgrx::pg_schema]
mod tests {
    use pgrx::prelude::*;
    use serde_json::{Value as Json, json};

    use crate::tests::scene::{Scene, ask, run};

    /// One field of every stored type.
    const EVERYTHING: &str = r#"{"name": "everything", "list_rule": "", "view_rule": "", "create_rule": "", "update_rule": "",
        "fields": [
            {"name": "t", "type": "text"}, {"name": "n", "type": "number"}, {"name": "b", "type": "boolean"},
            {"name": "at", "type": "datetime"}, {"name": "d", "type": "date"}, {"name": "mail", "type": "email"},
            {"name": "link", "type": "url"}, {"name": "j", "type": "json"},
            {"name": "ref", "type": "reference", "collection": "everything", "on_delete": "set_null"},
            {"name": "who", "type": "user"}, {"name": "f", "type": "file"}]}"#;

    fn with_everything() -> Scene {
        let scene = Scene::new();
        scene.collection(EVERYTHING);
        scene
    }

    #[pg_test]
    fn every_type_has_its_column() {
        with_everything();
        ask("select string_agg(attname || ' ' || format_type(atttypid, atttypmod), ', ' order by attnum)
               from pg_attribute where attrelid = 'snackbase.col_everything'::regclass and attnum > 0")
        .says(
            "id uuid, account_id uuid, t text, n double precision, b boolean, at timestamp with time zone, d date, \
             mail text, link text, j jsonb, ref uuid, who uuid, f jsonb, created_at timestamp with time zone, \
             updated_at timestamp with time zone, created_by text, updated_by text",
        );
    }

    /// Writes one value and returns what create, view, list and patch say of it, which must be the same.
    #[track_caller]
    fn round_trip(scene: &Scene, field: &str, value: &Json) -> Json {
        let body = json!({ field: value }).to_string();
        let created = scene.ada.create("everything", &body).json();
        let id = created["id"].as_str().expect("an id").to_owned();
        let found = created[field].clone();
        assert_eq!(scene.ada.view("everything", &id).json()[field], found);
        assert_eq!(
            scene.ada.list("everything", &format!(r#"id = "{id}""#)).json()["items"][0][field],
            found
        );
        assert_eq!(scene.ada.patch("everything", &id, &body).json()[field], found);
        found
    }

    #[pg_test]
    fn values_come_back_as_they_went_in() {
        let scene = with_everything();
        let own = scene.ada.created("everything", "{}");
        let cases = [
            ("t", json!("")),
            ("t", json!("Héllo \"€\" \\ 😀\t\u{1}\r\n'; drop table x; --")),
            ("t", json!("null")),
            ("n", json!(0)),
            ("n", json!(-5)),
            ("n", json!(1.5)),
            ("n", json!(999_999_999_999_999_i64)),
            ("b", json!(true)),
            ("b", json!(false)),
            ("d", json!("2026-02-28")),
            ("d", json!("0001-01-01")),
            ("d", json!("9999-12-31")),
            ("at", json!("2026-01-02T03:04:05Z")),
            ("at", json!("2026-01-02T03:04:05.678901Z")),
            ("mail", json!("a.b+c@example.com")),
            ("link", json!("https://example.com/?q=1#x")),
            ("j", json!({"b": [1, {"c": null}], "a": "x"})),
            ("j", json!([])),
            ("j", json!("text")),
            ("j", json!(7)),
            ("j", json!(false)),
            ("ref", json!(own)),
            ("who", json!(scene.alf.id)),
        ];
        for (field, value) in cases {
            assert_eq!(round_trip(&scene, field, &value), value, "{field}");
        }
        for field in ["t", "n", "b", "at", "d", "mail", "link", "j", "ref", "who", "f"] {
            assert_eq!(round_trip(&scene, field, &Json::Null), Json::Null, "{field}");
        }
    }

    #[pg_test]
    fn values_are_brought_into_one_form() {
        let scene = with_everything();
        let own = scene.ada.created("everything", "{}");
        for (field, sent, kept) in [
            (
                "at",
                json!("2026-01-02T03:04:05+02:00"),
                json!("2026-01-02T01:04:05Z"),
            ),
            (
                "at",
                json!("2026-01-02T03:04:05.500Z"),
                json!("2026-01-02T03:04:05.5Z"),
            ),
            ("at", json!("2026-01-02T03:04:05"), json!("2026-01-02T03:04:05Z")),
            ("at", json!("2026-01-02 03:04:05"), json!("2026-01-02T03:04:05Z")),
            ("at", json!("2026-01-02"), json!("2026-01-02T00:00:00Z")),
            ("n", json!(1e3), json!(1000)),
            ("n", json!(2.0), json!(2)),
            ("ref", json!(own.to_uppercase()), json!(own)),
        ] {
            assert_eq!(round_trip(&scene, field, &sent), kept, "{field} {sent}");
        }
    }

    #[pg_test]
    fn large_and_small_numbers_keep_their_value() {
        let scene = with_everything();
        for number in [
            "1e300",
            "-1e300",
            "5e-324",
            "1.7976931348623157e308",
            "0.1",
            "123456789012345680000",
        ] {
            let created = scene
                .ada
                .create("everything", &format!(r#"{{"n": {number}}}"#))
                .answer();
            let expected: f64 = number.parse().expect("a number");
            let record: Json = serde_json::from_str(&created).expect("JSON");
            let found: f64 = record["n"].to_string().parse().expect("a number");
            assert_eq!(found.to_bits(), expected.to_bits(), "{number}");
        }
    }

    #[pg_test]
    fn a_file_is_an_object_and_comes_back_as_json_text() {
        let scene = with_everything();
        let file = json!({"filename": "a.png", "size": 10, "mime_type": "image/png", "path": "x/a.png"});
        for sent in [file.clone(), Json::String(file.to_string())] {
            let found = round_trip(&scene, "f", &sent);
            let text = found.as_str().expect("a string");
            assert_eq!(serde_json::from_str::<Json>(text).expect("JSON text"), file);
        }
    }

    #[pg_test]
    fn a_value_of_the_wrong_type_is_refused() {
        let scene = with_everything();
        let cases = [
            ("t", json!(1), "invalid_type"),
            ("t", json!("a\u{0}b"), "invalid_type"),
            ("n", json!("1"), "invalid_type"),
            ("n", json!(true), "invalid_type"),
            ("b", json!(1), "invalid_type"),
            ("b", json!("true"), "invalid_type"),
            ("at", json!(5), "invalid_type"),
            ("at", json!("yesterday"), "invalid_datetime_format"),
            ("at", json!("2026-13-01T00:00:00Z"), "invalid_datetime_format"),
            ("at", json!("infinity"), "invalid_datetime_format"),
            ("d", json!("2026-02-30"), "invalid_date_format"),
            ("d", json!("01/02/2026"), "invalid_date_format"),
            ("mail", json!("no address"), "invalid_email_format"),
            ("link", json!("javascript:alert(1)"), "invalid_url_format"),
            ("j", json!({"a": "\u{0}"}), "invalid_type"),
            ("ref", json!(""), "empty_reference"),
            ("ref", json!("x"), "invalid_reference"),
            (
                "ref",
                json!("11111111-2222-3333-4444-555555555555"),
                "invalid_reference",
            ),
            ("who", json!(" "), "empty_reference"),
            (
                "who",
                json!("11111111-2222-3333-4444-555555555555"),
                "invalid_reference",
            ),
            ("f", json!("no json"), "invalid_json"),
            ("f", json!({"filename": "a"}), "missing_file_metadata"),
            (
                "f",
                json!({"filename": "a", "size": "1", "mime_type": "x", "path": "y"}),
                "invalid_file_metadata",
            ),
        ];
        for (field, value, code) in cases {
            let refusal = scene
                .ada
                .create("everything", &json!({ field: value }).to_string())
                .refused("23514");
            assert_eq!(refusal.problems(), [format!("{field} {code}")], "{value}");
            assert_eq!(refusal.message, "Validation error");
        }
        for number in ["1e400", "-1e400"] {
            let refusal = scene
                .ada
                .create("everything", &format!(r#"{{"n": {number}}}"#))
                .refused("23514");
            assert_eq!(refusal.problems(), ["n invalid_type"]);
        }
    }

    #[pg_test]
    fn a_date_is_printed_the_same_whatever_the_session_says() {
        let scene = with_everything();
        let id = scene.ada.created(
            "everything",
            r#"{"d": "2026-03-04", "at": "2026-03-04T05:06:07Z", "n": 0.1}"#,
        );
        run("set local datestyle = 'German'; set local timezone = 'Asia/Kolkata'; set local extra_float_digits = -15;
             set local intervalstyle = 'sql_standard'")
        .answer();
        let record = scene.ada.view("everything", &id).json();
        assert_eq!(record["d"], "2026-03-04");
        assert_eq!(record["at"], "2026-03-04T05:06:07Z");
        assert_eq!(record["n"], 0.1);
        let id = scene.ada.created(
            "everything",
            r#"{"d": "2026-03-04", "at": "2026-03-04T05:06:07"}"#,
        );
        let record = scene.ada.view("everything", &id).json();
        assert_eq!(
            (&record["d"], &record["at"]),
            (&json!("2026-03-04"), &json!("2026-03-04T05:06:07Z"))
        );
        assert_eq!(
            scene
                .ada
                .total("everything", r#"d = "2026-03-04" && at = "2026-03-04T05:06:07Z""#),
            2
        );
    }

    #[pg_test]
    fn a_default_is_the_same_over_both_doors() {
        let scene = Scene::new();
        scene.collection(
            r#"{"name": "defaults", "view_rule": "", "create_rule": "", "fields": [
                {"name": "t", "type": "text", "default": "it's \\ \"quoted\""},
                {"name": "e", "type": "text", "default": ""},
                {"name": "n", "type": "number", "default": -0.1},
                {"name": "big", "type": "number", "default": 1e300},
                {"name": "b", "type": "boolean", "default": false},
                {"name": "at", "type": "datetime", "default": "2026-01-02T03:04:05.5+02:00"},
                {"name": "d", "type": "date", "default": "2026-01-02"},
                {"name": "mail", "type": "email", "default": "a@example.com"},
                {"name": "link", "type": "url", "default": "http://example.com"},
                {"name": "j", "type": "json", "default": {"a": [1, null]}},
                {"name": "none", "type": "text"},
                {"name": "null", "type": "text", "default": null}]}"#
                .replace(r#""name": "null""#, r#""name": "nil""#)
                .as_str(),
        );
        let by_api = scene.ada.create("defaults", "{}").json();
        let id = scene
            .ada
            .ask(
                "create",
                "insert into snackbase.col_defaults default values returning id",
            )
            .answer();
        let by_sql = scene.ada.view("defaults", &id).json();
        for (field, value) in [
            ("t", json!("it's \\ \"quoted\"")),
            ("e", json!("")),
            ("n", json!(-0.1)),
            ("b", json!(false)),
            ("at", json!("2026-01-02T01:04:05.5Z")),
            ("d", json!("2026-01-02")),
            ("mail", json!("a@example.com")),
            ("link", json!("http://example.com")),
            ("j", json!({"a": [1, null]})),
            ("none", Json::Null),
            ("nil", Json::Null),
        ] {
            assert_eq!(by_api[field], value, "{field}");
        }
        for field in [
            "t", "e", "n", "big", "b", "at", "d", "mail", "link", "j", "none", "nil",
        ] {
            assert_eq!(by_api[field], by_sql[field], "{field}");
        }
        // an explicit null is not the default
        assert!(scene.ada.create("defaults", r#"{"t": null}"#).json()["t"].is_null());
    }

    #[pg_test]
    fn a_default_that_does_not_fit_its_type_is_refused() {
        let scene = Scene::new();
        for (kind, default) in [
            ("number", r#""1""#),
            ("boolean", "0"),
            ("date", r#""tomorrow""#),
            ("datetime", r#""now""#),
            ("email", r#""x""#),
            ("text", "{}"),
        ] {
            let refusal = scene
                .define(&format!(
                    r#"{{"name": "bad", "fields": [{{"name": "a", "type": "{kind}", "default": {default}}}]}}"#
                ))
                .refused("23514");
            assert_eq!(
                refusal.problems(),
                ["schema[0].default default_invalid"],
                "{kind}"
            );
        }
    }

    #[pg_test]
    fn a_computed_field_is_calculated_when_read_and_never_stored() {
        let scene = Scene::new();
        scene.collection(
            r#"{"name": "carts", "list_rule": "", "view_rule": "", "create_rule": "", "update_rule": "", "fields": [
                {"name": "price", "type": "number"}, {"name": "amount", "type": "number"},
                {"name": "total", "type": "computed", "expression": "price * amount", "return_type": "number"},
                {"name": "dear", "type": "computed", "expression": "price > 10", "return_type": "boolean"}]}"#,
        );
        let record = scene
            .ada
            .create("carts", r#"{"price": 12, "amount": 3, "total": 1}"#)
            .json();
        assert_eq!((&record["total"], &record["dear"]), (&json!(36), &json!(true)));
        assert_eq!(scene.ada.total("carts", "total = 36 && dear = true"), 1);
        scene.ada.create("carts", r#"{"price": 1}"#).answer();
        assert!(scene.ada.list("carts", "price = 1").json()["items"][0]["total"].is_null());
        ask("select count(*) from pg_attribute where attrelid = 'snackbase.col_carts'::regclass and attname = 'total'")
            .says("0");
        let page = scene
            .ada
            .ask(
                "list",
                "select snackbase.records_list('carts', null, 'total', null, null, null)",
            )
            .json();
        assert_eq!(page["items"][0]["total"], 36);
    }

    #[pg_test]
    fn arithmetic_in_a_computed_field_cannot_fail() {
        let scene = Scene::new();
        scene.collection(
            r#"{"name": "ratios", "view_rule": "", "create_rule": "", "fields": [
                {"name": "a", "type": "number"}, {"name": "b", "type": "number"},
                {"name": "ratio", "type": "computed", "expression": "a / b", "return_type": "number"},
                {"name": "rest", "type": "computed", "expression": "a % b", "return_type": "number"},
                {"name": "product", "type": "computed", "expression": "a * b", "return_type": "number"}]}"#,
        );
        let record = scene.ada.create("ratios", r#"{"a": 1, "b": 0}"#).json();
        assert_eq!(
            (&record["ratio"], &record["rest"], &record["product"]),
            (&Json::Null, &Json::Null, &json!(0))
        );
        let record = scene.ada.create("ratios", r#"{"a": 1e300, "b": 1e300}"#).json();
        assert_eq!((&record["ratio"], &record["product"]), (&json!(1), &Json::Null));
    }

    #[pg_test]
    fn an_encrypted_field_is_refused_as_long_as_nothing_encrypts() {
        let scene = Scene::new();
        let refusal = scene
            .define(r#"{"name": "vault", "fields": [{"name": "pin", "type": "text", "encrypted": true}]}"#)
            .refused("23514");
        assert_eq!(
            refusal.problems(),
            ["schema[0].encrypted encryption_not_available"]
        );
    }
}
