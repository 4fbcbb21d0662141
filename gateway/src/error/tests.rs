//! The table from SQLSTATE to HTTP, and the promises about the body.

use super::*;
use http_body_util::BodyExt;

struct Sent {
    status: u16,
    body: Value,
    headers: axum::http::HeaderMap,
    cause: Option<String>,
}

fn sent(error: Error) -> Sent {
    let (parts, body) = error.into_response().into_parts();
    let collected = futures_util::FutureExt::now_or_never(body.collect());
    let bytes = collected
        .and_then(Result::ok)
        .map(|body| body.to_bytes())
        .unwrap_or_default();
    Sent {
        status: parts.status.as_u16(),
        body: serde_json::from_slice(&bytes).unwrap_or_default(),
        cause: parts.extensions.get::<Cause>().map(|cause| cause.0.clone()),
        headers: parts.headers,
    }
}

fn refusal(sqlstate: &str, message: &str, detail: &str) -> Box<Refusal> {
    let detail = (!detail.is_empty()).then(|| detail.to_owned());
    Box::new(Refusal {
        sqlstate: sqlstate.into(),
        message: message.into(),
        detail,
    })
}

fn refused(sqlstate: &str, message: &str, detail: &str) -> Sent {
    sent(Error::Refused(refusal(sqlstate, message, detail)))
}

#[test]
fn every_sqlstate_has_its_status_and_code() {
    let table: &[(&str, &str, u16, &str)] = &[
        ("22001", "", 400, "bad_request"),
        ("22021", "", 400, "bad_request"),
        ("22023", "", 400, "bad_request"),
        (
            "22023",
            r#"{"error":"Invalid filter expression","errors":[]}"#,
            400,
            "invalid_expression",
        ),
        (
            "22023",
            r#"[{"field":"X-Account-ID","message":"m","code":"required"}]"#,
            400,
            "validation_error",
        ),
        ("22P02", "", 400, "bad_request"),
        (
            "22P02",
            r#"[{"field":"name","message":"m","code":"string_type"}]"#,
            422,
            "unprocessable",
        ),
        ("23502", "", 400, "validation_error"),
        ("23503", "", 409, "conflict"),
        ("23505", "Key (slug)=(acme) already exists.", 409, "conflict"),
        (
            "23514",
            r#"[{"field":"title","message":"m","code":"required_missing"}]"#,
            400,
            "validation_error",
        ),
        ("23514", "Failing row contains (secret).", 400, "validation_error"),
        ("23P01", "", 409, "conflict"),
        (
            "23000",
            r#"{"error":"Confirmation required","plan":{}}"#,
            409,
            "conflict",
        ),
        (
            "2BP01",
            r#"[{"field":"view v","message":"m","code":"in_use"}]"#,
            409,
            "conflict",
        ),
        ("2BP01", "view v depends on column a", 409, "conflict"),
        ("28000", "", 401, "unauthenticated"),
        ("28P01", "", 401, "unauthenticated"),
        ("42501", "", 403, "forbidden"),
        (
            "42501",
            r#"{"unauthorized_fields":["a"],"field_type":"restricted"}"#,
            422,
            "field_access_denied",
        ),
        ("44000", "", 400, "rule_not_satisfied"),
        ("54001", "", 400, "bad_request"),
        ("P0001", "", 400, "bad_request"),
        ("P0001", r#"{"status":409}"#, 409, "conflict"),
        ("P0001", r#"{"status":403}"#, 403, "forbidden"),
        ("P0001", r#"{"status":418}"#, 418, "bad_request"),
        ("P0001", r#"{"status":429}"#, 400, "bad_request"),
        ("P0001", r#"{"status":500}"#, 400, "bad_request"),
        ("P0001", r#"{"status":200}"#, 400, "bad_request"),
        ("P0001", r#"{"status":-1}"#, 400, "bad_request"),
        ("P0001", r#"{"status":99999999}"#, 400, "bad_request"),
        ("P0001", r#"{"status":"x"}"#, 400, "bad_request"),
        ("SB404", "", 404, "not_found"),
        ("SB422", "", 422, "unprocessable"),
        ("SB429", "", 400, "bad_request"),
        ("SB500", "", 400, "bad_request"),
        ("P0002", "", 404, "not_found"),
        ("40001", "", 503, "retry"),
        ("40P01", "", 503, "retry"),
        ("55P03", "", 503, "retry"),
        ("57014", "", 504, "timeout"),
        ("08006", "", 503, "unavailable"),
        ("53300", "", 503, "unavailable"),
        ("57P01", "", 503, "unavailable"),
        ("42P01", "", 500, "internal"),
        ("42883", "", 500, "internal"),
        ("0A000", "", 500, "internal"),
        ("XX000", "", 500, "internal"),
    ];
    for (state, detail, status, code) in table {
        let sent = refused(state, "some words", detail);
        assert_eq!(
            (sent.status, sent.body["code"].as_str()),
            (*status, Some(*code)),
            "{state} {detail}"
        );
        for key in ["error", "message"] {
            assert!(
                sent.body[key].as_str().is_some_and(|text| !text.is_empty()),
                "{state} {key}"
            );
        }
        assert!(sent.body["detail"].is_string() || *status == 422, "{state}");
    }
}

#[test]
fn what_the_client_must_not_see_is_logged_instead() {
    for state in ["42P01", "XX000", "53300", "40001", "57014"] {
        let sent = refused(state, "relation col_secret does not exist", "");
        assert!(!sent.body.to_string().contains("col_secret"), "{state}");
        assert!(
            sent.cause.is_some_and(|cause| cause.contains("col_secret")),
            "{state}"
        );
    }
    let sent = refused("42501", "permission denied for table col_secret", "");
    assert_eq!(sent.body["message"], "Access denied");
    // DETAIL that Postgres writes holds values of rows.
    for state in ["23505", "23514", "23502", "22P02", "42501", "P0001"] {
        let sent = refused(state, "m", "Failing row contains (hunter2).");
        assert!(!sent.body.to_string().contains("hunter2"), "{state}");
    }
    // And of an object only the keys of the wire format are taken over.
    let sent = refused("22023", "m", r#"{"error":"E","errors":[1],"secret":"hunter2"}"#);
    assert_eq!(
        (&sent.body["error"], &sent.body["errors"]),
        (&json!("E"), &json!([1]))
    );
    assert!(!sent.body.to_string().contains("hunter2"));
}

#[test]
fn a_validation_error_names_its_fields_three_times() {
    let detail = r#"[{"field":"title","message":"is required","code":"required_missing"},
                     {"field":"title","message":"is short","code":"too_short"}]"#;
    let sent = refused("23514", "Validation failed", detail);
    assert_eq!(sent.body["error"], "Validation error");
    assert_eq!(sent.body["detail"], "Validation failed");
    assert_eq!(sent.body["details"][0]["code"], "required_missing");
    assert_eq!(
        sent.body["errors"],
        json!({ "title": ["is required", "is short"] })
    );
}

#[test]
fn a_conflict_names_its_field() {
    let detail = r#"[{"field":"account_slug","message":"taken","code":"slug_taken"}]"#;
    let sent = refused("23505", "The slug is taken", detail);
    assert_eq!((sent.status, &sent.body["field"]), (409, &json!("account_slug")));
    let sent = refused(
        "23503",
        "m",
        r#"{"referenced_by":[{"collection":"a","field":"b"}]}"#,
    );
    assert_eq!(sent.body["referenced_by"][0]["collection"], "a");
    let sent = refused(
        "23000",
        "m",
        r#"{"error":"Confirmation required","plan":{"added":[]}}"#,
    );
    assert_eq!(
        (&sent.body["error"], &sent.body["plan"]),
        (&json!("Confirmation required"), &json!({"added": []}))
    );
    let sent = refused(
        "2BP01",
        "m",
        r#"[{"field":"view v","message":"m","code":"in_use"}]"#,
    );
    assert_eq!(sent.body["details"][0]["field"], "view v");
}

#[test]
fn a_bad_or_taken_name_is_422_where_the_contract_wants_it() {
    let detail = r#"[{"field":"slug","message":"m","code":"slug_invalid_start"}]"#;
    for state in ["23514", "23505"] {
        let sent = sent(Error::NameRefused(refusal(state, "Bad slug", detail)));
        assert_eq!((sent.status, &sent.body["detail"]), (422, &json!("Bad slug")));
        assert_eq!(sent.body["errors"], json!({ "slug": ["m"] }));
    }
    assert_eq!(sent(Error::NameRefused(refusal("42501", "m", ""))).status, 403);
}

#[test]
fn a_refused_field_is_422_with_the_object_in_detail() {
    let detail = r#"{"error":"Field access denied","message":"These fields are not writable: a","unauthorized_fields":["a"],
                     "allowed_fields":["b"],"field_type":"restricted"}"#;
    let sent = refused("42501", "Field access denied", detail);
    assert_eq!(sent.body["error"], "Field access denied");
    assert_eq!(sent.body["message"], "These fields are not writable: a");
    assert_eq!(sent.body["detail"]["unauthorized_fields"], json!(["a"]));
    assert_eq!(sent.body["detail"]["field_type"], "restricted");
}

#[test]
fn a_misfit_is_422_with_an_array() {
    let sent = sent(Error::Misfits(vec![Misfit {
        kind: "int_parsing".into(),
        loc: vec!["query".into(), "limit".into()],
        msg: "Input should be a whole number".into(),
    }]));
    assert_eq!(sent.status, 422);
    assert_eq!(
        sent.body["detail"],
        json!([{ "type": "int_parsing", "loc": ["query", "limit"], "msg": "Input should be a whole number" }])
    );
    assert_eq!(sent.body["message"], "limit: Input should be a whole number");
    let sent = refused(
        "22P02",
        "Wrong types",
        r#"[{"field":"schema","message":"m","code":"list_type"}]"#,
    );
    assert_eq!(
        sent.body["detail"],
        json!([{ "type": "list_type", "loc": ["body", "schema"], "msg": "m" }])
    );
}

#[test]
fn nested_faults_keep_their_object() {
    let fault = FieldFault {
        field: "password",
        message: "too short".into(),
        code: "password_too_short",
    };
    let sent = sent(Error::NestedFaults(vec![fault]));
    assert_eq!(sent.status, 400);
    assert_eq!(sent.body["detail"]["error"], "Validation error");
    assert_eq!(sent.body["detail"]["details"][0]["code"], "password_too_short");
    assert_eq!(sent.body["message"], "too short");
}

#[test]
fn clients_never_mistake_a_401_or_403() {
    let words = "please verify your email, superadmin restricted";
    for (state, forbidden) in [
        ("28000", ["email", "verify"]),
        ("42501", ["superadmin", "restricted"]),
    ] {
        let sent = refused(state, words, r#"{"unexpected":"object"}"#);
        for key in ["error", "message", "detail"] {
            let text = sent.body[key]
                .as_str()
                .unwrap_or_else(|| panic!("{state} {key} is no text"));
            assert!(
                forbidden.iter().all(|word| !text.contains(word)),
                "{state} {key}: {text}"
            );
        }
    }
    let sent = refused("42501", "Superadmin access required", "");
    assert_eq!(sent.body["detail"], "Superadmin access required");
    let sent = super::tests::sent(Error::EmailNotVerified);
    assert_eq!(sent.status, 401);
    assert_eq!(
        sent.body["detail"],
        "Email not verified. Please check your email inbox."
    );
    assert_eq!(sent.body["message"], sent.body["detail"]);
}

#[test]
fn statuses_carry_their_headers() {
    assert_eq!(refused("28000", "m", "").headers["www-authenticate"], "Bearer");
    assert_eq!(
        sent(Error::Unauthenticated("m")).headers["www-authenticate"],
        "Bearer"
    );
    assert_eq!(refused("40001", "m", "").headers["retry-after"], "1");
    assert_eq!(sent(Error::Unavailable("m".into())).headers["retry-after"], "1");
    assert_eq!(
        refused("22023", "m", "").headers["content-type"],
        "application/json"
    );
}
