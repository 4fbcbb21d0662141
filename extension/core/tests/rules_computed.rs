//! Computed fields: functions, their types, and how a computed field is used elsewhere.

mod rules_fixture;

use rules_fixture::fixture;
use snackbase_core::rules::{
    Column, Kind, NoMacros, Operation, Rule, Schema, compile_computed, compile_rule,
};

#[test]
fn functions_compile_to_total_expressions() {
    use Kind::{Boolean, Datetime, Number, Text};
    for (source, kind, sql) in [
        (
            "views * 2",
            Number,
            r#"snackbase.num_multiply("r"."views", 2::float8)"#,
        ),
        (
            "1 - 2 - 3",
            Number,
            "snackbase.num_subtract(snackbase.num_subtract(1::float8, 2::float8), 3::float8)",
        ),
        ("-views", Number, r#"(-"r"."views")"#),
        (
            "Concat(title, ' ', views, 5)",
            Text,
            r#"pg_catalog.concat("r"."title", ' '::text, "r"."views"::text, '5'::text)"#,
        ),
        ("UPPER(title)", Text, r#"pg_catalog.upper("r"."title")"#),
        (
            "trim(lower(post))",
            Text,
            r#"pg_catalog.btrim(pg_catalog.lower("r"."post"::text))"#,
        ),
        (
            "length(title)",
            Number,
            r#"pg_catalog.length("r"."title")::float8"#,
        ),
        (
            "substring(title, 2)",
            Text,
            r#"snackbase.text_substring("r"."title", 2::float8)"#,
        ),
        (
            "substring(title, 1, -1)",
            Text,
            r#"snackbase.text_substring("r"."title", 1::float8, (-1)::float8)"#,
        ),
        (
            "abs(ceil(floor(views)))",
            Number,
            r#"pg_catalog.abs(pg_catalog.ceil(pg_catalog.floor("r"."views")))"#,
        ),
        (
            "round(views)",
            Number,
            r#"snackbase.num_round("r"."views", 0::float8)"#,
        ),
        (
            "round(views, 2)",
            Number,
            r#"snackbase.num_round("r"."views", 2::float8)"#,
        ),
        (
            r#"if(views > 100, "expensive", "cheap")"#,
            Text,
            r#"CASE WHEN ("r"."views" > 100::float8) THEN 'expensive'::text ELSE 'cheap'::text END"#,
        ),
        (
            "if(active, at, null)",
            Datetime,
            r#"CASE WHEN "r"."active" THEN "r"."at" ELSE NULL::timestamptz END"#,
        ),
        (
            r#"coalesce(title, owner, "Unknown")"#,
            Text,
            r#"coalesce("r"."title", "r"."owner", 'Unknown'::text)"#,
        ),
        (
            r#"coalesce(post, "none")"#,
            Text,
            r#"coalesce("r"."post"::text, 'none'::text)"#,
        ),
        ("nullif(views, 0)", Number, r#"nullif("r"."views", 0::float8)"#),
        ("now()", Datetime, "pg_catalog.now()"),
        (
            r#"date_diff(updated_at, "2024-01-01", "Days")"#,
            Number,
            r#"snackbase.num_divide(snackbase.num_subtract(pg_catalog.date_part('epoch', "r"."updated_at"), pg_catalog.date_part('epoch', '2024-01-01T00:00:00Z'::timestamptz)), 86400::float8)"#,
        ),
        (
            r#"date_add(created_at, 7, "days")"#,
            Datetime,
            r#"snackbase.date_add("r"."created_at", 7::float8, 'days')"#,
        ),
        (
            r#"date_add(d, 1, "months")"#,
            Datetime,
            r#"snackbase.date_add(snackbase.date_start("r"."d"), 1::float8, 'months')"#,
        ),
        (
            "views > 1 && !active",
            Boolean,
            r#"("r"."views" > 1::float8 AND NOT "r"."active")"#,
        ),
        ("post", Text, r#""r"."post"::text"#),
        ("5", Text, "'5'::text"),
        ("null", Number, "NULL::float8"),
    ] {
        assert_eq!(
            compile_computed(source, &fixture(), kind).as_deref(),
            Ok(sql),
            "{source}"
        );
    }
}

#[test]
fn findings_say_where() {
    for (source, expected) in [
        ("", &["empty_expression @0"][..]),
        (" ", &["empty_expression @1"]),
        ("concat(title)", &["arity @0"]),
        ("upper(title, owner)", &["arity @0"]),
        ("now(at)", &["arity @0"]),
        ("if(active, title)", &["arity @0"]),
        ("views ***", &["syntax @7"]),
        ("unknown_func(title)", &["unknown_function @0"]),
        ("@request.auth.id", &["context_not_allowed @0"]),
        ("@owns_record()", &["context_not_allowed @0"]),
        ("date_diff(at, at, status)", &["type_mismatch @18"]),
        (
            "upper(views) = lower(at)",
            &["type_mismatch @6", "type_mismatch @21"],
        ),
        (
            "concat(title, active, at)",
            &["type_mismatch @14", "type_mismatch @22"],
        ),
        ("if(title, 1, 2)", &["not_boolean @3"]),
        ("if(active, 1, 'a')", &["type_mismatch @14"]),
        ("coalesce(title, views)", &["type_mismatch @16"]),
        ("nullif(meta, null)", &["operator_not_allowed @7"]),
        ("concat(sec, title)", &["encrypted_field @7"]),
        ("coalesce(sec, title)", &["encrypted_field @9"]),
        ("total + nosuch", &["unknown_field @0", "unknown_field @8"]),
        ("views", &["type_mismatch @0"]),
        ("upper(upper(nosuch))", &["unknown_field @12"]),
    ] {
        let errors = compile_computed(source, &fixture(), Kind::Text).expect_err(source);
        let errors: Vec<String> = errors
            .iter()
            .map(|error| format!("{} @{}", error.code, error.position))
            .collect();
        assert_eq!(errors, expected, "{source}");
    }
}

fn with_computed(source: &str) -> Schema {
    Schema::new(
        "r",
        vec![
            Column::new("views", Kind::Number),
            Column::computed("label", Kind::Text, source),
        ],
    )
}

#[test]
fn a_rule_reads_the_expression_in_place_of_the_field() {
    let schema = with_computed("if(views > 1 || views < 0, 'a', 'b')");
    for (operation, row) in [
        (Operation::List, r#""r""#),
        (Operation::Create, r#""r""#),
        (Operation::Update, r#""r""#),
    ] {
        let rule = compile_rule("label != 'b'", operation, &schema, &NoMacros).expect("compiles");
        let Rule::Predicate(predicate) = rule else {
            panic!("a predicate")
        };
        let sql = predicate.using.or(predicate.check).expect("a condition");
        assert_eq!(
            sql,
            format!(
                "CASE WHEN ({row}.\"views\" > 1::float8 OR {row}.\"views\" < 0::float8) \
                 THEN 'a'::text ELSE 'b'::text END <> 'b'::text"
            )
        );
    }
}

#[test]
fn a_wrong_expression_is_reported_where_the_field_is_used() {
    for (source, message) in [
        (
            "upper(nosuch)",
            "In computed field 'label': Field 'nosuch' does not exist; available: views",
        ),
        (
            "views",
            "In computed field 'label': The expression is of type number, not text",
        ),
        (
            "upper(",
            "In computed field 'label': Unexpected end of input, expected a value at position 6",
        ),
    ] {
        let errors = compile_rule(
            "views > 1 && label = 'x'",
            Operation::List,
            &with_computed(source),
            &NoMacros,
        )
        .expect_err(source);
        assert_eq!(
            (errors.len(), errors[0].position, errors[0].length),
            (1, 13, 5),
            "{source}"
        );
        assert_eq!(errors[0].message, message);
    }
}
