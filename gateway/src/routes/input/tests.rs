//! Bodies and query strings: what fits, and what is said when it does not.

use super::*;

fn kinds(error: Error) -> Vec<String> {
    let Error::Misfits(misfits) = error else {
        panic!("{error:?}")
    };
    misfits
        .iter()
        .map(|m| format!("{} {}", m.loc.join("."), m.kind))
        .collect()
}

#[test]
fn a_body_must_be_a_json_object() {
    assert!(check_object(b" {\"a\": [1, null, \"x\"]}\n").is_ok());
    for (body, kind) in [
        (&b""[..], "body json_invalid"),
        (b"{", "body json_invalid"),
        (b"{\"a\":1}x", "body json_invalid"),
        (b"{\"a\":\"\xff\"}", "body json_invalid"),
        (b"[1]", "body dict_type"),
        (b"null", "body dict_type"),
        (b"\"text\"", "body dict_type"),
    ] {
        assert_eq!(kinds(check_object(body).unwrap_err()), [kind], "{body:?}");
    }
    let deep = "[".repeat(100_000);
    assert!(check_object(deep.as_bytes()).is_err());
}

#[test]
fn all_mistakes_of_a_body_are_reported_together_and_no_value_is_repeated() {
    let body = br#"{"email": "no address", "password": 5, "slug": "hunter2hunter2", "flag": "yes"}"#;
    let mut fields = Fields::parse(body).unwrap_or_else(|error| panic!("{error}"));
    fields.email("email");
    fields.password("password");
    fields.optional_text("slug", 3..=5);
    fields.optional_flag("flag");
    fields.text("name", 1..=255);
    let error = fields.finish().unwrap_err();
    assert!(!format!("{error:?}").contains("hunter2"));
    assert_eq!(
        kinds(error),
        [
            "body.email value_error",
            "body.password string_type",
            "body.slug string_too_long",
            "body.flag bool_type",
            "body.name missing",
        ]
    );
}

#[test]
fn an_address_is_trimmed_and_not_judged_beyond_its_shape() {
    for (text, valid) in [
        (" ada@example.com ", true),
        ("ada@localhost.test", true),
        ("ä@exämple.com", true),
        ("ada", false),
        ("@example.com", false),
        ("ada@", false),
        ("a@b@c", false),
        ("a b@c", false),
    ] {
        let body = serde_json::json!({ "email": text }).to_string();
        let mut fields = Fields::parse(body.as_bytes()).unwrap_or_else(|error| panic!("{error}"));
        assert_eq!(fields.email("email"), if valid { text.trim() } else { "" });
        assert_eq!(fields.finish().is_ok(), valid, "{text}");
    }
}

#[test]
fn a_query_is_decoded_as_browsers_encode_it() {
    let mut query = Query::new(Some("filter=active+%3D+true&sort=-created_at%2C%2Bname&x=1&x=2"));
    assert_eq!(query.text("filter").as_deref(), Some("active = true"));
    assert_eq!(query.text("sort").as_deref(), Some("-created_at,+name"));
    assert!(matches!(query.single("x"), Err(Error::RepeatedParameter("x"))));
    assert_eq!(query.left_over(), Some("x"));
    assert_eq!(query.text("x").as_deref(), Some("2"));
    assert_eq!(query.left_over(), None);
    assert_eq!(query.text("y"), None);
}

#[test]
fn numbers_and_words_of_a_query_are_checked() {
    let mut query = Query::new(Some("a=5&b=-1&c=999&d=x&e=99999999999999999999&f=DESC&g=up"));
    assert_eq!(query.number("a", 1..=10), Some(5));
    for name in ["b", "c", "d", "e"] {
        assert_eq!(query.number(name, 0..=100), None);
    }
    assert_eq!(query.word("f", &["asc", "desc"]), Some("desc"));
    assert_eq!(query.word("g", &["asc", "desc"]), None);
    assert_eq!(
        kinds(query.finish().unwrap_err()),
        [
            "query.b greater_than_equal",
            "query.c less_than_equal",
            "query.d int_parsing",
            "query.e int_parsing",
            "query.g enum",
        ]
    );
}
