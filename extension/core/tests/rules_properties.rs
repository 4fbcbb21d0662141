//! Properties: printing and parsing are inverse; no text makes the compiler panic, lie about positions, or let a value
//! into SQL text.

mod rules_fixture;

use proptest::prelude::*;
use rules_fixture::invariants;
use snackbase_core::rules::ast::{Arithmetic, Comparison, Expr, ExprKind, Number, Span};
use snackbase_core::rules::parse;

fn expr(kind: ExprKind) -> Expr {
    Expr {
        kind,
        span: Span::default(),
    }
}

fn name() -> impl Strategy<Value = String> {
    "[a-zé_@][a-z0-9_.@]{0,8}".prop_filter("a keyword is no name", |name| {
        !["in", "is", "true", "false", "null"].contains(&name.as_str())
    })
}

fn number() -> impl Strategy<Value = Number> {
    let spelled = prop_oneof![
        (0.0..1e300_f64).prop_map(|value| format!("{value:?}")),
        "[0-9]{1,9}",
        "[0-9]{1,4}[.][0-9]{0,4}",
        "[0-9]{1,3}[eE][+-]?[0-9]{1,2}",
    ];
    spelled.prop_map(|spelling| Number {
        value: spelling.parse().expect("a number"),
        spelling,
    })
}

fn comparison() -> impl Strategy<Value = Comparison> {
    prop::sample::select(vec![
        Comparison::Equal,
        Comparison::Unequal,
        Comparison::Less,
        Comparison::Greater,
        Comparison::LessOrEqual,
        Comparison::GreaterOrEqual,
        Comparison::Like,
    ])
}

fn leaf() -> impl Strategy<Value = Expr> {
    prop_oneof![
        Just(ExprKind::Null),
        any::<bool>().prop_map(ExprKind::Boolean),
        any::<String>().prop_map(|text| ExprKind::Text(text.replace('\0', ""))),
        number().prop_map(ExprKind::Number),
        name().prop_map(ExprKind::Name),
    ]
    .prop_map(expr)
}

fn tree() -> impl Strategy<Value = Expr> {
    leaf().prop_recursive(6, 64, 4, |inner| {
        let operand = inner.clone().prop_map(Box::new);
        let sum = prop::sample::select(vec![Arithmetic::Add, Arithmetic::Subtract]);
        let product =
            prop::sample::select(vec![Arithmetic::Multiply, Arithmetic::Divide, Arithmetic::Modulo]);
        let place = Span::default();
        prop_oneof![
            operand.clone().prop_map(ExprKind::Not),
            operand.clone().prop_map(ExprKind::Negate),
            prop::collection::vec(inner.clone(), 2..4).prop_map(ExprKind::And),
            prop::collection::vec(inner.clone(), 2..4).prop_map(ExprKind::Or),
            (operand.clone(), prop::collection::vec((sum, inner.clone()), 1..4))
                .prop_map(|(first, steps)| ExprKind::Arithmetic(first, steps)),
            (
                operand.clone(),
                prop::collection::vec((product, inner.clone()), 1..4)
            )
                .prop_map(|(first, steps)| ExprKind::Arithmetic(first, steps)),
            (operand.clone(), comparison(), operand.clone())
                .prop_map(move |(left, operator, right)| ExprKind::Compare(left, operator, place, right)),
            (operand.clone(), prop::collection::vec(inner.clone(), 1..4))
                .prop_map(move |(operand, members)| ExprKind::In(operand, place, members)),
            (operand, any::<bool>()).prop_map(|(operand, negated)| ExprKind::IsNull(operand, negated)),
            (name(), prop::collection::vec(inner, 0..4))
                .prop_map(move |(name, arguments)| ExprKind::Call(name, place, arguments)),
        ]
        .prop_map(expr)
    })
}

/// Pieces of the language, so that random texts get past the lexer.
fn phrase() -> impl Strategy<Value = String> {
    let words = vec![
        "title",
        "status",
        "views",
        "active",
        "at",
        "d",
        "meta",
        "post",
        "sec",
        "doc",
        "total",
        "id",
        "nosuch",
        "@request.auth.id",
        "@request.auth.role",
        "@request.data.title",
        "@owns_record",
        "@twice(",
        "@m(",
        "@d8",
        "\"a'b\"",
        "'x\\\\'",
        "\"2024-01-01\"",
        "1",
        "0",
        "-",
        "2.5e3",
        "true",
        "null",
        "(",
        ")",
        ",",
        "&&",
        "||",
        "!",
        "=",
        "!=",
        "<",
        ">=",
        "~",
        "+",
        "/",
        "%",
        " IN (",
        " IS NULL",
        " IS NOT NULL",
        "concat(",
        "if(",
        " ",
        "{",
        "}",
        "\"views\"",
        ":",
        "[",
        "]",
        "\"$gt\"",
        "é",
        "🎉",
    ];
    prop::collection::vec(prop::sample::select(words), 0..24).prop_map(|words| words.concat())
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(1_000) })]

    #[test]
    fn printing_and_parsing_are_inverse(tree in tree()) {
        let printed = tree.to_string();
        prop_assert_eq!(parse(&printed).map_err(|error| error.to_string()), Ok(tree), "{}", printed);
    }

    #[test]
    fn any_text_keeps_the_promises(source in any::<String>()) {
        invariants::check(&source);
    }

    #[test]
    fn any_phrase_keeps_the_promises(source in phrase()) {
        invariants::check(&source);
    }

    #[test]
    fn any_tree_keeps_the_promises(tree in tree()) {
        invariants::check(&tree.to_string());
    }
}
