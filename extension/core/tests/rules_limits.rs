//! The limits, and that within them no text needs much stack or time: the compiler runs inside database backends.

mod rules_fixture;

use rules_fixture::{Fixtures, deepest, fixture, invariants};
use snackbase_core::rules::{Code, Kind, Operation, compile_computed, compile_filter, compile_rule, limits};

/// Runs on less stack than PostgreSQL allows itself by default (`max_stack_depth` is 2 MB). This is for unoptimised code;
/// optimised, compiling needs a quarter of a megabyte.
fn on_a_small_stack(check: impl FnOnce() + Send + 'static) {
    let thread = std::thread::Builder::new()
        .stack_size(1_536 * 1_024)
        .spawn(check)
        .expect("a thread");
    thread.join().expect("the check passes");
}

fn code(source: &str) -> Option<(Code, usize)> {
    let result = compile_rule(source, Operation::List, &fixture(), &Fixtures);
    result.err().map(|errors| (errors[0].code, errors[0].position))
}

#[test]
fn nesting_is_counted_for_everything_that_nests() {
    for (open, inner, close) in [
        ("(", "active", ")"),
        ("!", "active", ""),
        ("-", "1", ""),
        ("@d1(", "1", ")"),
    ] {
        let source = |depth: usize| format!("{}{inner}{}", open.repeat(depth), close.repeat(depth));
        assert_ne!(
            code(&source(100)).map(|(code, _)| code),
            Some(Code::TooDeep),
            "{open}"
        );
        let position = 100 * open.len();
        assert_eq!(code(&source(101)), Some((Code::TooDeep, position)), "{open}");
    }
}

#[test]
fn long_chains_are_not_deep() {
    for (first, step) in [
        ("active", " && active"),
        ("active", "||active"),
        ("views + 1 = views", " + 1"),
    ] {
        let source = |steps: usize| format!("{first}{}", step.repeat(steps));
        assert_eq!(code(&source(900)), None, "{step}");
    }
}

#[test]
fn sizes_have_an_end() {
    let spaces = |count: usize| format!("{}active", " ".repeat(count));
    assert_eq!(code(&spaces(limits::CHARACTERS - 6)), None);
    assert_eq!(code(&spaces(limits::CHARACTERS - 5)), Some((Code::TooLong, 0)));

    // 2 000 tokens: 1 000 fields and 999 operators, and one more of each.
    let fields = |count: usize| vec!["active"; count].join("&&");
    assert_eq!(code(&fields(1_000)), None);
    assert_eq!(code(&fields(1_001)), Some((Code::TooLong, 8_000)));

    let json = |count: usize| format!("{{\"views\": [{}]}}", vec!["7"; count].join(","));
    assert!(compile_filter(&json(1_000), &fixture(), 1).is_ok());
    let errors = compile_filter(&json(1_001), &fixture(), 1).expect_err("one too many");
    assert_eq!((errors[0].code, errors[0].position), (Code::TooManyValues, 10));

    let nested = |depth: usize| {
        format!(
            "{}{}",
            "{\"$not\":".repeat(depth),
            "{}".to_owned() + &"}".repeat(depth)
        )
    };
    assert!(compile_filter(&nested(19), &fixture(), 1).is_ok());
    let errors = compile_filter(&nested(20), &fixture(), 1).expect_err("too deep");
    assert_eq!((errors[0].code, errors[0].position), (Code::TooDeep, 160));
    assert!(compile_filter(&"{\"a\":".repeat(3_000), &fixture(), 1).is_err());
}

#[test]
fn findings_have_an_end() {
    let source = vec!["nosuch"; 300].join("&&");
    let errors = compile_filter(&source, &fixture(), 1).expect_err("unknown fields");
    assert_eq!(errors.len(), limits::ERRORS);
}

#[test]
fn macros_nest_eight_deep() {
    assert_eq!(code("@d7"), None);
    assert_eq!(code("active && @d8"), Some((Code::MacroDepth, 10)));
    assert_eq!(code("@ping"), Some((Code::MacroCycle, 0)));
}

/// `@twice` doubles its argument; forty of them would be 2⁴⁰ conditions.
#[test]
fn expansion_cannot_explode() {
    let source = format!("{}active{}", "@twice(".repeat(40), ")".repeat(40));
    assert_eq!(code(&source).map(|(code, _)| code), Some(Code::TooLong));
    // Few nodes, much text.
    let text = "x".repeat(16_000);
    let source = format!("{}title = \"{text}\"{}", "@twice(".repeat(6), ")".repeat(6));
    assert_eq!(code(&source).map(|(code, _)| code), Some(Code::TooLong));
}

#[test]
fn the_deepest_trees_need_little_stack() {
    on_a_small_stack(|| {
        let deepest = deepest(100, "views");
        assert!(deepest.len() < limits::CHARACTERS);
        invariants::check(&deepest);
        for (open, close) in [
            ("!", ""),
            ("-", ""),
            ("(", ")"),
            ("concat(", ",1)"),
            ("if(active,1,", ")"),
        ] {
            invariants::check(&format!("{}views{}", open.repeat(100), close.repeat(100)));
            invariants::check(&format!("{}views{}", open.repeat(2_000), close.repeat(2_000)));
        }
        let computed = (0..99).fold("views".to_owned(), |text, _| format!("abs({text} + 1)"));
        assert!(compile_computed(&computed, &fixture(), Kind::Number).is_ok());
        let condition = (0..99).fold("active".to_owned(), |text, _| {
            format!("({text} || public) && active")
        });
        assert_eq!(code(&condition), None);
    });
}

/// A macro may nest 100 deep and so may its argument, again and again: the tree has an end of its own.
#[test]
fn the_deepest_expansions_need_little_stack() {
    on_a_small_stack(|| {
        let source = format!("{}views = 1{}", "@deep(".repeat(100), ")".repeat(100));
        let errors = compile_rule(&source, Operation::List, &fixture(), &Fixtures).expect_err("too deep");
        assert!(errors.iter().any(|error| error.code == Code::TooDeep));
    });
}
