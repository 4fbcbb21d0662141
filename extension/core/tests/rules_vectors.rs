//! All 154 test vectors of the rule contract: exact SQL, or exact findings with their positions.
//!
//! Most are data, in `rules_vectors.txt`; those whose input is generated, or that concern more than a text, are below.

mod rules_fixture;

use std::collections::BTreeSet;

use rules_fixture::{Fixtures, fixture};
use snackbase_core::rules::{
    Code, Error, Filter, Kind, Operation, Param, Rule, compile_computed, compile_filter, compile_rule,
};

/// Vectors decided by the caller of this crate: there is no text to compile.
const CALLER: &[(&str, &str)] = &[(
    "v01",
    "a locked rule is null; the extension writes no policy for it",
)];

fn rule(source: &str, operation: Operation) -> Result<Rule, Vec<Error>> {
    compile_rule(source, operation, &fixture(), &Fixtures)
}

/// What a vector is compared as: one line per part, finding or warning, as in the data file.
fn describe_rule(result: Result<Rule, Vec<Error>>) -> Vec<String> {
    match result {
        Err(errors) => findings('!', &errors),
        Ok(Rule::Public) => vec!["public".to_owned()],
        Ok(Rule::Predicate(predicate)) => {
            let parts = [
                ("using", predicate.using),
                ("check", predicate.check),
                ("transition", predicate.transition),
            ];
            let parts = parts
                .into_iter()
                .filter_map(|(name, sql)| sql.map(|sql| format!("{name} {sql}")));
            parts.chain(findings('?', &predicate.warnings)).collect()
        }
    }
}

fn describe_filter(result: Result<Option<Filter>, Vec<Error>>) -> Vec<String> {
    match result {
        Err(errors) => findings('!', &errors),
        Ok(None) => vec!["none".to_owned()],
        Ok(Some(filter)) => vec![format!("= {}", with_values(&filter))],
    }
}

fn findings(mark: char, errors: &[Error]) -> Vec<String> {
    errors
        .iter()
        .map(|error| format!("{mark} {} @{}", error.code, error.position))
        .collect()
}

/// The filter with its values put back in place, as a rule of the same text has them.
fn with_values(filter: &Filter) -> String {
    let mut sql = filter.sql.clone();
    for (index, param) in filter.params.iter().enumerate().rev() {
        let place = format!("${}::{}", index + 1, param.sql_type());
        assert_eq!(sql.matches(&place).count(), 1, "{place} in {sql}");
        let quoted = |text: &String| snackbase_core::names::quote_literal(text);
        let number = |value: &f64| match format!("{value:?}").trim_end_matches(".0") {
            text if *value < 0.0 => format!("({text})"),
            text => text.to_owned(),
        };
        let all = |texts: Vec<String>, kind: &str| {
            texts
                .iter()
                .map(|text| format!("{text}::{kind}"))
                .collect::<Vec<_>>()
                .join(", ")
        };
        let value = match param {
            Param::Number(value) => format!("{}::float8", number(value)),
            Param::Text(text) | Param::Uuid(text) | Param::Datetime(text) | Param::Date(text) => {
                format!("{}::{}", quoted(text), param.sql_type())
            }
            Param::Numbers(values) => all(values.iter().map(number).collect(), "float8"),
            Param::Texts(values) | Param::Uuids(values) | Param::Datetimes(values) | Param::Dates(values) => {
                all(
                    values.iter().map(quoted).collect(),
                    param.sql_type().trim_end_matches("[]"),
                )
            }
        };
        sql = sql
            .replace(&format!("= ANY ({place})"), &format!("IN ({value})"))
            .replace(&place, &value);
    }
    sql
}

struct Vector {
    id: String,
    context: String,
    input: String,
    expected: Vec<String>,
}

fn vectors() -> Vec<Vector> {
    let mut vectors: Vec<Vector> = Vec::new();
    for line in include_str!("rules_vectors.txt").lines() {
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        if let Some(expected) = line.strip_prefix("    ") {
            vectors
                .last_mut()
                .expect("an expectation follows its vector")
                .expected
                .push(expected.to_owned());
            continue;
        }
        let (head, rest) = line.split_once(" «").expect("id context «input»");
        let (id, context) = head.split_once(' ').expect("id context");
        let input = rest.strip_suffix('»').expect("a closing »");
        let input = input.replace("<NBSP>", "\u{a0}").replace("<NUL>", "\0");
        vectors.push(Vector {
            id: id.to_owned(),
            context: context.to_owned(),
            input,
            expected: Vec::new(),
        });
    }
    vectors
}

fn check(vector: &Vector) {
    let Vector {
        id,
        context,
        input,
        expected,
    } = vector;
    let in_context = |name: &str| -> Vec<String> {
        expected
            .iter()
            .map(|line| line.replacen("= ", &format!("{name} "), usize::from(line.starts_with("= "))))
            .collect()
    };
    let without_warnings = || -> Vec<String> {
        expected
            .iter()
            .filter(|line| !line.starts_with('?'))
            .cloned()
            .collect()
    };
    let filter = || describe_filter(compile_filter(input, &fixture(), 1));
    match context.as_str() {
        "J" => {
            assert_eq!(
                describe_rule(rule(input, Operation::List)),
                in_context("using"),
                "{id} as a rule"
            );
            assert_eq!(filter(), without_warnings(), "{id} as a filter");
        }
        "L" => {
            for operation in [Operation::List, Operation::View, Operation::Delete] {
                assert_eq!(
                    describe_rule(rule(input, operation)),
                    in_context("using"),
                    "{id} {operation:?}"
                );
            }
        }
        "C" => assert_eq!(
            describe_rule(rule(input, Operation::Create)),
            in_context("check"),
            "{id}"
        ),
        "U" => assert_eq!(describe_rule(rule(input, Operation::Update)), *expected, "{id}"),
        "F" => assert_eq!(filter(), without_warnings(), "{id}"),
        "X" => {
            let described = match compile_computed(input, &fixture(), Kind::Text) {
                Ok(sql) => vec![format!("= {sql}")],
                Err(errors) => findings('!', &errors),
            };
            assert_eq!(described, *expected, "{id}");
        }
        other => panic!("{id}: unknown context {other}"),
    }
}

/// The vectors whose input is generated. Returns their ids.
fn check_generated() -> [&'static str; 4] {
    let both = |source: &str| {
        let rule = describe_rule(rule(source, Operation::List));
        let filter = describe_filter(compile_filter(source, &fixture(), 1));
        assert_eq!(rule[0].replacen("using", "=", 1), filter[0]);
        rule[0].clone()
    };
    let nested = |depth: usize| format!("{}active{}", "(".repeat(depth), ")".repeat(depth));
    let members = |count: usize| format!("views IN ({})", vec!["7"; count].join(","));

    // v147
    assert_eq!(both(&nested(2_000)), "! too_deep @100");
    assert_eq!(both(&format!("{}active", "!".repeat(3_000))), "! too_deep @100");
    // v148
    assert_eq!(both(&nested(100)), r#"using "r"."active""#);
    assert_eq!(both(&nested(101)), "! too_deep @100");
    // v149
    assert_eq!(both(&"x".repeat(70_000)), "! too_long @0");
    // v150
    assert!(both(&members(1_000)).starts_with(r#"using "r"."views" IN (7::float8, 7::float8"#));
    assert_eq!(both(&members(1_001)), "! too_many_values @0");
    ["v147", "v148", "v149", "v150"]
}

#[test]
fn every_vector_is_asserted_or_listed() {
    let vectors = vectors();
    vectors.iter().for_each(check);
    let mut asserted: BTreeSet<String> = vectors.into_iter().map(|vector| vector.id).collect();
    asserted.extend(check_generated().map(str::to_owned));

    let all: BTreeSet<String> = (1..=154).map(|number| format!("v{number:02}")).collect();
    let listed: BTreeSet<String> = CALLER.iter().map(|(id, _)| (*id).to_owned()).collect();
    let missing: BTreeSet<String> = all.difference(&asserted).cloned().collect();
    assert_eq!(
        missing, listed,
        "vectors neither asserted nor listed, or listed and asserted"
    );
    assert_eq!(
        asserted.difference(&all).next(),
        None,
        "vectors the contract does not have"
    );

    println!(
        "{} vectors asserted, {} decided by the caller",
        asserted.len(),
        CALLER.len()
    );
}

#[test]
fn messages_say_what_would_be_valid() {
    let message = |source: &str| {
        let errors = compile_filter(source, &fixture(), 1).expect_err(source);
        errors[0].to_string()
    };
    assert_eq!(
        message("title = \"x\" AND active"),
        "Unexpected 'AND', expected an operator or the end; write && for \"and\" at position 12"
    );
    assert!(message("title = \"x\" & active").contains("write &&"));
    assert!(message("title = \"x\" | active").contains("write ||"));
    assert!(message("[object Object]").contains("JSON.stringify"));
    assert!(message("nosuch = 1").contains("available: id, account_id, created_at"));
    assert!(message("(title = \"x\"").contains("expected ')'"));
    let errors = rule("@request.auth.groups = 1", Operation::List).expect_err("no such attribute");
    assert!(errors[0].message.contains("id, email, role, account_id"));
    assert_eq!(errors[0].code, Code::UnknownContext);
    assert_eq!(errors[0].length, 20);
}
