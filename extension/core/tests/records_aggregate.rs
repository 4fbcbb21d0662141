//! The texts of aggregate requests: contract of records §6.

use snackbase_core::records::aggregate::{Function, parse_functions};
use snackbase_core::rules::{Column, Kind, Param, Schema, compile_having};

#[test]
fn functions_are_a_list_of_calls() {
    let calls = parse_functions("count(), Count(title),sum(price) ,AVG( price ),min(a.b),max(_x)");
    let keys: Vec<String> = calls.expect("a list").iter().map(|call| call.key()).collect();
    assert_eq!(
        keys,
        [
            "count",
            "count_title",
            "sum_price",
            "avg_price",
            "min_a.b",
            "max__x"
        ]
    );
}

#[test]
fn what_is_no_list_of_calls_says_where() {
    for (text, code, position) in [
        ("", "syntax", 0),
        (" ", "syntax", 1),
        ("count", "syntax", 5),
        ("count(),", "syntax", 8),
        ("count() count()", "syntax", 8),
        ("count(),count()", "arity", 8),
        ("sum(price", "syntax", 9),
        ("sum()", "arity", 0),
        ("median(price)", "unknown_function", 0),
        ("sum(price + 1)", "syntax", 10),
        ("sum('price')", "syntax", 4),
        ("sum(price); drop", "bad_char", 10),
        ("count(\"x\u{0}\")", "bad_char", 8),
    ] {
        let error = parse_functions(text).expect_err(text);
        assert_eq!(
            (error.code.as_str(), error.position),
            (code, position),
            "{text}: {error}"
        );
    }
}

#[test]
fn functions_have_their_types() {
    assert!(Function::Sum.takes(Kind::Number) && !Function::Sum.takes(Kind::Text));
    assert!(
        Function::Max.takes(Kind::Datetime)
            && !Function::Max.takes(Kind::Boolean)
            && !Function::Min.takes(Kind::Uuid)
    );
    assert!(Function::Count.takes(Kind::Json));
    assert_eq!(Function::Max.returns(Kind::Date), Kind::Date);
    assert_eq!(Function::Count.returns(Kind::Text), Kind::Number);
}

fn results() -> Schema {
    Schema::new(
        "g",
        vec![
            Column::new("count", Kind::Number),
            Column::new("avg_price", Kind::Number),
            Column::new("sum_price", Kind::Number),
            Column::new("min_title", Kind::Text),
            Column::new("max_at", Kind::Datetime),
        ],
    )
}

#[test]
fn having_is_a_condition_over_the_keys() {
    for (source, sql, params) in [
        (
            "count() > 1",
            r#""g"."count" > $3::float8"#,
            vec![Param::Number(1.0)],
        ),
        (
            "COUNT() > -1.5",
            r#""g"."count" > $3::float8"#,
            vec![Param::Number(-1.5)],
        ),
        (
            "sum(price)=2",
            r#""g"."sum_price" = $3::float8"#,
            vec![Param::Number(2.0)],
        ),
        (
            "sum_price = '2'",
            r#""g"."sum_price" = $3::float8"#,
            vec![Param::Number(2.0)],
        ),
        (
            "min_title != \"a\"",
            r#""g"."min_title" <> $3::text"#,
            vec![Param::Text("a".into())],
        ),
        (
            "(count() > 3 AND avg_price < 100) OR sum_price > 1000",
            r#"(("g"."count" > $3::float8 AND "g"."avg_price" < $4::float8) OR "g"."sum_price" > $5::float8)"#,
            vec![Param::Number(3.0), Param::Number(100.0), Param::Number(1000.0)],
        ),
        (
            "count() > 3 && (avg_price < 100 || sum_price > 1000)",
            r#"("g"."count" > $3::float8 AND ("g"."avg_price" < $4::float8 OR "g"."sum_price" > $5::float8))"#,
            vec![Param::Number(3.0), Param::Number(100.0), Param::Number(1000.0)],
        ),
        (
            "max(at) >= '2024-01-01'",
            r#""g"."max_at" >= $3::timestamptz"#,
            vec![Param::Datetime("2024-01-01T00:00:00Z".into())],
        ),
    ] {
        let filter =
            compile_having(source, &results(), 3).unwrap_or_else(|errors| panic!("{source}: {errors:?}"));
        assert_eq!((filter.sql.as_str(), filter.params), (sql, params), "{source}");
    }
}

#[test]
fn what_is_no_condition_says_where() {
    for (source, code, position) in [
        ("", "syntax", 0),
        ("count()", "syntax", 7),
        ("count() > ", "syntax", 10),
        ("count() > 0 ; x", "bad_char", 12),
        ("count() ~ 'a'", "syntax", 8),
        ("count() > sum_price", "syntax", 10),
        ("count() > 1 AND", "syntax", 15),
        ("count() > 1 and or count() > 2", "syntax", 19),
        ("max_price > 1", "unknown_field", 0),
        ("sum(cost) > 1", "unknown_field", 0),
        ("count() = 'x'", "type_mismatch", 10),
        ("min_title > 1 = 2", "syntax", 14),
        ("(count() > 1", "syntax", 12),
        ("@request.auth.id = 'x'", "context_not_allowed", 0),
    ] {
        let errors = compile_having(source, &results(), 1).expect_err(source);
        assert_eq!(
            (errors[0].code.as_str(), errors[0].position),
            (code, position),
            "{source}: {errors:?}"
        );
    }
    let deep = format!("{}count() > 1{}", "(".repeat(2_000), ")".repeat(2_000));
    assert!(compile_having(&deep, &results(), 1).is_err());
}
