//! `docs/rules.md` is true: its examples compile, its codes and limits are those of the compiler.

mod rules_fixture;

use rules_fixture::fixture;
use snackbase_core::rules::{
    Code, Kind, NoMacros, Operation, compile_computed, compile_filter, compile_rule, limits,
};

const DOCUMENT: &str = include_str!("../../../docs/rules.md");

#[test]
fn examples_compile() {
    let mut block = None;
    let mut compiled = 0;
    for line in DOCUMENT.lines() {
        if let Some(kind) = line.strip_prefix("```") {
            block = (!kind.is_empty()).then_some(kind);
            continue;
        }
        let result = match block {
            Some("rule list") => compile_rule(line, Operation::List, &fixture(), &NoMacros).map(|_| ()),
            Some("rule update") => compile_rule(line, Operation::Update, &fixture(), &NoMacros).map(|_| ()),
            Some("filter") => compile_filter(line, &fixture(), 1).map(|_| ()),
            Some("computed") => compile_computed(line, &fixture(), Kind::Text).map(|_| ()),
            _ => continue,
        };
        assert_eq!(result, Ok(()), "{line}");
        compiled += 1;
    }
    assert!(compiled > 15, "only {compiled} examples found");
}

#[test]
fn every_code_is_explained() {
    for code in Code::ALL {
        assert!(DOCUMENT.contains(&format!("`{code}`")), "{code}");
    }
}

#[test]
fn the_limits_are_those_of_the_compiler() {
    let spaced = |number: usize| match number {
        0..1_000 => number.to_string(),
        _ => format!("{} {:03}", number / 1_000, number % 1_000),
    };
    for (what, limit) in [
        ("characters of one text", limits::CHARACTERS),
        ("inside each other", limits::NESTING),
        ("commas aside", limits::TOKENS),
        ("members of one list", limits::VALUES),
        ("macros inside macros", limits::MACRO_DEPTH),
        ("objects and arrays inside each other", limits::JSON_NESTING),
    ] {
        assert!(
            DOCUMENT.contains(&format!("{what} | {} |", spaced(limit))),
            "{what}"
        );
    }
    assert!(DOCUMENT.contains(&format!("{} levels", limits::TREE_DEPTH)));
}
