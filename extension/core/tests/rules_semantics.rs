//! Types, coercions, rows and macros, beyond the vectors.

mod rules_fixture;

use rules_fixture::{Fixtures, fixture};
use snackbase_core::rules::{
    Column, Error, Kind, Operation, Param, Predicate, Rule, Schema, compile_filter, compile_rule, summary,
    validate,
};

fn predicate(source: &str, operation: Operation) -> Predicate {
    match compile_rule(source, operation, &fixture(), &Fixtures) {
        Ok(Rule::Predicate(predicate)) => predicate,
        other => panic!("{source}: {other:?}"),
    }
}

fn using(source: &str) -> String {
    predicate(source, Operation::List).using.expect("a using part")
}

fn findings(source: &str, operation: Operation) -> Vec<String> {
    match compile_rule(source, operation, &fixture(), &Fixtures) {
        Ok(rule) => panic!("{source} compiles to {rule:?}"),
        Err(errors) => errors
            .iter()
            .map(|error| format!("{} @{}", error.code, error.position))
            .collect(),
    }
}

/// The table of the contract: each operator of each type, with a value that fits.
#[test]
fn each_type_has_its_operators() {
    let operators = [
        "=",
        "!=",
        "<",
        ">",
        "<=",
        ">=",
        "~",
        "IN",
        "IS NULL",
        "IS NOT NULL",
    ];
    for (field, value, allowed) in [
        ("title", "'x'", "= != < > <= >= ~ IN IS NULL IS NOT NULL"),
        ("created_by", "'x'", "= != < > <= >= ~ IN IS NULL IS NOT NULL"),
        ("views", "1", "= != < > <= >= IN IS NULL IS NOT NULL"),
        ("total", "1", "= != < > <= >= IN IS NULL IS NOT NULL"),
        ("d", "'2024-01-01'", "= != < > <= >= IN IS NULL IS NOT NULL"),
        ("at", "'2024-01-01'", "= != < > <= >= IN IS NULL IS NOT NULL"),
        ("active", "true", "= != IS NULL IS NOT NULL"),
        ("post", "'x'", "= != IN IS NULL IS NOT NULL"),
        ("id", "'x'", "= != IN IS NULL IS NOT NULL"),
        ("meta", "'x'", "IS NULL IS NOT NULL"),
        ("doc", "'x'", "~ IS NULL IS NOT NULL"),
    ] {
        for operator in operators {
            let source = match operator {
                "IN" => format!("{field} IN ({value}, {value})"),
                _ if operator.starts_with("IS") => format!("{field} {operator}"),
                _ => format!("{field} {operator} {value}"),
            };
            let is_allowed = allowed
                .replace("IS NOT NULL", "")
                .split(' ')
                .any(|known| known == operator)
                || operator.starts_with("IS");
            let result = compile_filter(&source, &fixture(), 1);
            assert_eq!(result.is_ok(), is_allowed, "{source}: {result:?}");
            if let Err(errors) = result {
                assert_eq!(summary(&errors).split(' ').next(), Some("Type"), "{source}");
                assert_eq!(errors[0].position, field.len() + 1, "{source}");
            }
            if !operator.starts_with("IS") && !["IN", "~"].contains(&operator) {
                let mirrored = format!("{value} {operator} {field}");
                assert_eq!(
                    compile_filter(&mirrored, &fixture(), 1).is_ok(),
                    is_allowed,
                    "{mirrored}"
                );
            }
        }
    }
}

#[test]
fn booleans_are_keywords_and_no_parameters() {
    for (source, expected) in [
        ("active = 0", r#""r"."active" = false"#),
        ("1.0 = active", r#"true = "r"."active""#),
        ("active = true", r#""r"."active" = true"#),
    ] {
        let filter = compile_filter(source, &fixture(), 1)
            .expect(source)
            .expect(source);
        assert_eq!(
            (filter.sql.as_str(), filter.params.len()),
            (expected, 0),
            "{source}"
        );
    }
}

#[test]
fn literals_become_values_of_the_column() {
    for (source, expected) in [
        ("views = '-1.5e3'", Ok(Param::Number(-1500.0))),
        ("'3' = views", Ok(Param::Number(3.0))),
        ("views = ' 3'", Err("type_mismatch")),
        ("views = '03'", Err("type_mismatch")),
        ("views = '1.'", Err("type_mismatch")),
        ("views = '1e999'", Err("type_mismatch")),
        ("views = 'NaN'", Err("type_mismatch")),
        ("views = true", Err("type_mismatch")),
        ("title = 1.0", Ok(Param::Text("1.0".into()))),
        ("title = -5", Ok(Param::Text("-5".into()))),
        ("title = --5", Ok(Param::Text("5".into()))),
        ("title = true", Err("type_mismatch")),
        ("active = -1", Err("type_mismatch")),
        ("at = '2024-02-30'", Err("bad_datetime")),
        (
            "at = '2024-01-02 03:04:05.5-01:00'",
            Ok(Param::Datetime("2024-01-02T04:04:05.500000Z".into())),
        ),
        ("at = d", Err("type_mismatch")),
        ("d = 5", Err("type_mismatch")),
        ("d = '2024-01-02'", Ok(Param::Date("2024-01-02".into()))),
        ("title = views", Err("type_mismatch")),
        ("views = title", Err("type_mismatch")),
        ("1 = 'x'", Err("type_mismatch")),
        ("(views = 1) = 1", Ok(Param::Number(1.0))),
        ("'x' = 'y' && views = 1 + true", Err("type_mismatch")),
        ("title ~ 5", Ok(Param::Text("5".into()))),
        (r"title ~ 'a\\\\'", Ok(Param::Text(r"a\\".into()))),
        (
            "post = '8A5E7E5C-1111-4222-8333-444455556666'",
            Ok(Param::Uuid("8a5e7e5c-1111-4222-8333-444455556666".into())),
        ),
    ] {
        match (compile_filter(source, &fixture(), 1), expected) {
            (Ok(Some(filter)), Ok(param)) => assert_eq!(filter.params[0], param, "{source}"),
            (Err(errors), Err(code)) => assert_eq!(errors[0].code.as_str(), code, "{source}"),
            (result, _) => panic!("{source}: {result:?}"),
        }
    }
}

/// An index on the column can be used, and three-valued logic holds for texts that are no uuid.
#[test]
fn ids_are_compared_as_uuids() {
    let uuid = "8a5e7e5c-1111-4222-8333-444455556666";
    for (source, sql) in [
        (
            format!("post = '{uuid}'"),
            format!("\"r\".\"post\" = '{uuid}'::uuid"),
        ),
        (
            "post = 'x'".into(),
            "(\"r\".\"post\" IS NULL AND NULL::boolean)".into(),
        ),
        (
            "post != 'x'".into(),
            "(\"r\".\"post\" IS NOT NULL OR NULL::boolean)".into(),
        ),
        (
            "'x' = post".into(),
            "(\"r\".\"post\" IS NULL AND NULL::boolean)".into(),
        ),
        (
            "post = 5".into(),
            "(\"r\".\"post\" IS NULL AND NULL::boolean)".into(),
        ),
        (
            format!("post IN ('x', '{uuid}')"),
            format!("\"r\".\"post\" IN ('{uuid}'::uuid)"),
        ),
        (
            "post IN ('x', 'y')".into(),
            "(\"r\".\"post\" IS NULL AND NULL::boolean)".into(),
        ),
        (
            "post IN ('x', null)".into(),
            "\"r\".\"post\" IN (NULL::uuid)".into(),
        ),
        (
            "'x' IN (post, id)".into(),
            "((\"r\".\"post\" IS NULL AND NULL::boolean) OR (\"r\".\"id\" IS NULL AND NULL::boolean))".into(),
        ),
        ("post = id".into(), "\"r\".\"post\" = \"r\".\"id\"".into()),
        (
            "post = title".into(),
            "\"r\".\"post\"::text = \"r\".\"title\"".into(),
        ),
        (
            "post = @request.auth.id".into(),
            "\"r\".\"post\" = (select snackbase.current_user_uuid())".into(),
        ),
        (
            "@owns_record(post)".into(),
            "\"r\".\"post\" = (select snackbase.current_user_uuid())".into(),
        ),
        (
            "post = @request.auth.email".into(),
            "\"r\".\"post\"::text = (select snackbase.current_user_email())".into(),
        ),
        (
            "@request.auth.id IN (post, id)".into(),
            "(select snackbase.current_user_uuid()) IN (\"r\".\"post\", \"r\".\"id\")".into(),
        ),
        (
            "@request.auth.id IN (post, title)".into(),
            "(select snackbase.current_user_id()) IN (\"r\".\"post\"::text, \"r\".\"title\")".into(),
        ),
        (
            "title = @request.auth.account_id".into(),
            "\"r\".\"title\" = (select snackbase.current_account_id())::text".into(),
        ),
        (
            "account_id = @request.auth.account_id".into(),
            "\"r\".\"account_id\" = (select snackbase.current_account_id())".into(),
        ),
    ] {
        assert_eq!(using(&source), sql, "{source}");
    }
}

#[test]
fn lists_of_literals_are_one_parameter() {
    let filter = |source: &str| {
        compile_filter(source, &fixture(), 4)
            .expect(source)
            .expect("a condition")
    };
    let three = filter("status IN ('a', 'b', 'c') && views IN (1)");
    assert_eq!(three.sql, filter("status IN ('x') && views IN (1, 2, -3)").sql);
    assert_eq!(
        three.sql,
        r#"("r"."status" = ANY ($4::text[]) AND "r"."views" = ANY ($5::float8[]))"#
    );
    let with_null = filter("status IN ('a', null)");
    assert_eq!(
        with_null.sql,
        r#"("r"."status" = ANY ($4::text[]) OR NULL::boolean)"#
    );
    let mixed = filter("status IN ('a', title)");
    assert_eq!(mixed.sql, r#""r"."status" IN ($4::text, "r"."title")"#);
}

/// The plan of a filter may be kept: its text depends on the shape only.
#[test]
fn the_text_of_a_filter_does_not_depend_on_its_values() {
    let sql = |source: &str| {
        compile_filter(source, &fixture(), 1)
            .expect(source)
            .expect("a condition")
            .sql
    };
    assert_eq!(
        sql("title = 'a' && views > 1 && active = true"),
        sql("title = \"it's\" && views > -2e9 && active = 1")
    );
    assert_eq!(
        sql("at > '2024-01-01'"),
        sql("at > '1999-12-31T23:59:59.9+02:00'")
    );
}

#[test]
fn an_update_is_cut_at_its_outermost_conjunctions() {
    let source = "(title = 'a' && @request.data.title = 'b') && (@request.auth.role = 'x' || active) \
                  && @request.data.views > views && @request.auth.id IS NOT NULL \
                  && !(@request.data.status = 'c' && status = 'd')";
    let predicate = predicate(source, Operation::Update);
    assert_eq!(
        predicate.using.as_deref(),
        Some(
            r#"("r"."title" = 'a'::text AND ((select snackbase.current_user_role()) = 'x'::text OR "r"."active") AND (select snackbase.current_user_id()) IS NOT NULL)"#
        )
    );
    assert_eq!(predicate.check.as_deref(), Some(r#""r"."title" = 'b'::text"#));
    assert_eq!(
        predicate.transition.as_deref(),
        Some(
            r#"(NEW."views" > OLD."views" AND NOT (NEW."status" = 'c'::text AND OLD."status" = 'd'::text))"#
        )
    );
}

/// The condition of a trigger cannot have a sub-select.
#[test]
fn a_transition_calls_plainly() {
    let source = "@request.data.post = post && true || @has_group('g') || @m(title, @request.data.title) \
                  || @in_time_range(22, 6) || @request.data.post = @request.auth.id";
    let transition = predicate(source, Operation::Update)
        .transition
        .expect("a transition");
    assert!(!transition.contains("select"), "{transition}");
    assert!(transition.contains(r#"snackbase.in_group('g'::text)"#));
    assert!(transition.contains(r#"coalesce(snackbase._macro_call('snackbase."macro_m"(text, text)'::regprocedure, OLD."title", NEW."title"), false)"#));
    assert!(transition.contains(r#"NEW."post" = snackbase.current_user_uuid()"#));
}

#[test]
fn at_create_both_names_mean_the_new_row() {
    let predicate = predicate("@request.data.owner = owner", Operation::Create);
    assert_eq!(predicate.check.as_deref(), Some(r#""r"."owner" = "r"."owner""#));
    assert_eq!((predicate.using, predicate.transition), (None, None));
}

#[test]
fn encrypted_fields_can_only_be_tested_for_null() {
    assert_eq!(using("sec IS NOT NULL"), r#""r"."sec" IS NOT NULL"#);
    assert_eq!(using("@set(sec)"), r#""r"."sec" IS NOT NULL"#);
    for source in ["sec = 'x'", "sec", "sec ~ 'x'", "sec IN ('x')"] {
        assert_eq!(
            findings(source, Operation::List)[0],
            "encrypted_field @0",
            "{source}"
        );
    }
    assert_eq!(
        findings("@owns_record(sec)", Operation::List),
        ["encrypted_field @13"]
    );
    assert_eq!(
        findings("@request.data.sec = 'x'", Operation::Create),
        ["encrypted_field @0"]
    );
}

#[test]
fn built_in_macros() {
    let hour = "pg_catalog.date_part('hour', pg_catalog.timezone('UTC', pg_catalog.now()))";
    for (source, sql) in [
        (
            "@is_creator",
            r#""r"."created_by" = (select snackbase.current_user_id())"#.to_owned(),
        ),
        ("@is_public()", r#""r"."public""#.to_owned()),
        (
            "@has_role(title)",
            r#"(select snackbase.current_user_role()) = "r"."title""#.to_owned(),
        ),
        (
            "@has_group(title)",
            r#"snackbase.in_group("r"."title")"#.to_owned(),
        ),
        (
            "@has_group(post)",
            r#"snackbase.in_group("r"."post"::text)"#.to_owned(),
        ),
        (
            "@has_group(5)",
            "(select snackbase.in_group('5'::text))".to_owned(),
        ),
        (
            "@in_time_range(9, 17)",
            format!("(select ({hour} >= 9 AND {hour} < 17))"),
        ),
        (
            "@in_time_range(22, 6)",
            format!("(select ({hour} >= 22 OR {hour} < 6))"),
        ),
        (
            "@in_time_range(0, 24)",
            format!("(select ({hour} >= 0 AND {hour} < 24))"),
        ),
    ] {
        assert_eq!(using(source), sql, "{source}");
    }
    for (source, expected) in [
        ("@owns_record(nosuch)", "unknown_field @13"),
        ("@owns_record(views)", "type_mismatch @13"),
        ("@owns_record(@request.auth.id)", "type_mismatch @13"),
        ("@owns_record(a, b)", "arity @0"),
        ("@is_creator(owner)", "arity @0"),
        ("@is_public(1)", "arity @0"),
        ("@has_role('a', 'b')", "arity @0"),
        ("@has_role(views)", "type_mismatch @10"),
        ("@has_group", "arity @0"),
        ("@has_group(active)", "type_mismatch @11"),
        ("@in_time_range(9)", "arity @0"),
        ("@in_time_range(9, 25)", "type_mismatch @18"),
        ("@in_time_range(9.5, 17)", "type_mismatch @15"),
        ("@in_time_range(views, 17)", "type_mismatch @15"),
        ("@has_permission('peek', 'posts')", "type_mismatch @16"),
        ("@request", "unknown_context @0"),
        ("@request.data", "unknown_context @0"),
        ("@request.auth.id()", "unknown_macro @0"),
        ("@", "unknown_macro @0"),
        ("user@x.com = 1", "unknown_field @0"),
        ("not(active)", "unknown_function @0"),
        ("upper(nosuch) = 'X'", "unknown_function @0"),
    ] {
        assert_eq!(findings(source, Operation::List)[0], expected, "{source}");
    }
}

#[test]
fn macros_expand_on_the_tree() {
    for (source, sql) in [
        (
            "@same(title, 'a) || true || (')",
            r#""r"."title" = 'a) || true || ('::text"#,
        ),
        (
            "@twice(active || public)",
            r#"(("r"."active" OR "r"."public") AND ("r"."active" OR "r"."public"))"#,
        ),
        (
            "@twice(@twice(active))",
            r#"(("r"."active" AND "r"."active") AND ("r"."active" AND "r"."active"))"#,
        ),
        (
            "!@m1",
            r#"NOT ("r"."views" > 1::float8 AND "r"."views" = 2::float8)"#,
        ),
        ("@same(views, '3')", r#""r"."views" = 3::float8"#),
        (
            "@m(5, null)",
            r#"coalesce((select snackbase._macro_call('snackbase."macro_m"(text, text)'::regprocedure, '5'::text, NULL::text)), false)"#,
        ),
        (
            "@m(views > 1, @request.auth.account_id)",
            r#"coalesce(snackbase._macro_call('snackbase."macro_m"(text, text)'::regprocedure, ("r"."views" > 1::float8), (select snackbase.current_account_id())::text), false)"#,
        ),
    ] {
        assert_eq!(using(source), sql, "{source}");
    }
}

#[test]
fn a_finding_inside_a_macro_is_reported_at_its_call() {
    let errors = |source: &str| -> Vec<Error> {
        compile_rule(source, Operation::List, &fixture(), &Fixtures).expect_err(source)
    };
    let error = &errors("active && @hidden")[0];
    assert_eq!((error.position, error.length), (10, 7));
    assert!(
        error
            .message
            .starts_with("In macro '@hidden': Field 'nosuch' does not exist"),
        "{}",
        error.message
    );
    // An argument is the author's: it is reported where it is written.
    assert_eq!(
        findings("active && @twice(nosuch)", Operation::List),
        ["unknown_field @17"]
    );
    assert_eq!(findings("@same(title)", Operation::List), ["arity @0"]);
    assert_eq!(findings("@m(title)", Operation::List), ["arity @0"]);
    assert_eq!(findings("@broken", Operation::List), ["syntax @0"]);
    assert_eq!(
        findings("@set(@request.data.title)", Operation::View),
        ["data_not_allowed @5"]
    );
}

#[test]
fn the_summary_joins_all_findings() {
    let errors = compile_filter("nosuch = 1 && zzz", &fixture(), 1).expect_err("two unknown fields");
    let text = summary(&errors);
    assert_eq!(text.matches("; Field 'zzz'").count(), 1, "{text}");
    let json = serde_json::to_value(&errors[1]).expect("serialises");
    assert_eq!(json["code"], "unknown_field");
    assert_eq!(
        (json["position"].as_u64(), json["length"].as_u64()),
        (Some(14), Some(3))
    );
}

/// The schema checks names; the compiler does not rely on it.
#[test]
fn identifiers_are_quoted_whatever_they_hold() {
    let schema = Schema::new("t\"; --", vec![Column::new("a\" = 1 OR \"b", Kind::Text)]);
    let filter = compile_filter(r#"{"a\" = 1 OR \"b": "x"}"#, &schema, 1)
        .expect("compiles")
        .expect("a condition");
    assert_eq!(filter.sql, r#""t""; --"."a"" = 1 OR ""b" = $1::text"#);
}

/// When only the names of the fields are known, types are not checked.
#[test]
fn a_rule_can_be_validated_by_names() {
    let names = ["title", "views"];
    let validate = |source: &str| validate(source, Operation::Update, &names, &Fixtures);
    for source in [
        "",
        "title > 5 && views ~ 'x%'",
        "title || !views",
        "@request.data.views + title = 1 && @owns_record(views)",
    ] {
        assert_eq!(validate(source).errors, [], "{source}");
    }
    let codes = |source: &str| -> Vec<String> {
        validate(source)
            .errors
            .iter()
            .map(|error| format!("{} @{}", error.code, error.position))
            .collect()
    };
    assert_eq!(
        codes("nosuch = title && created_at ~ 'x'"),
        ["unknown_field @0", "operator_not_allowed @29"]
    );
    assert_eq!(codes("title = "), ["syntax @8"]);
    assert_eq!(codes(" "), ["empty_expression @1"]);
    assert_eq!(validate("created_by = null").warnings.len(), 1);
}

/// The columns of a caller who sees masks of `ssn`, `pay` and of what is computed from them.
fn masked() -> Schema {
    let mut columns = fixture().columns().to_vec();
    columns.extend([
        Column::new("ssn", Kind::Text).with_mask(true),
        Column::new("pay", Kind::Number).with_mask(true),
        Column::computed("initial", Kind::Text, "substring(ssn, 1, 1)").with_mask(true),
    ]);
    Schema::new("r", columns)
}

#[test]
fn a_masked_field_answers_questions_of_equality_only() {
    for source in [
        "ssn = '123' || ssn != title",
        "ssn IN ('1', '2') && ssn IS NOT NULL",
        "'x' IN (ssn, title)",
        "pay = 5 && initial = '1' && !(pay = 6)",
        r#"{"ssn": "123", "pay": {"$in": [1, 2]}}"#,
    ] {
        if let Err(errors) = compile_filter(source, &masked(), 1) {
            panic!("{source}: {}", summary(&errors));
        }
    }
    for (source, position) in [
        ("ssn ~ '12%'", 0),
        ("title = 'x' && ssn > '1'", 15),
        ("5 <= pay", 5),
        ("pay + 1 = 2", 0),
        ("-pay = 2", 1),
        ("views IN (pay * 2, 3)", 10),
        ("(pay > 1) = true", 1),
        ("initial ~ '1'", 0),
    ] {
        let errors = compile_filter(source, &masked(), 1).expect_err(source);
        let found: Vec<_> = errors
            .iter()
            .map(|error| (error.code.as_str(), error.position))
            .collect();
        assert_eq!(found, [("masked_field", position)], "{source}");
    }
}
