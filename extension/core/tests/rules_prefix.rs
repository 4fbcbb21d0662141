//! Patterns with a fixed beginning over a column with an index in byte order.

use proptest::prelude::*;
use snackbase_core::rules::prefix::{after, beginnings};
use snackbase_core::rules::{
    Column, Kind, NoMacros, Operation, Param, Rule, Schema, compile_filter, compile_rule,
};

fn schema() -> Schema {
    Schema::new(
        "r",
        vec![
            Column::new("title", Kind::Text).with_prefix_index(true),
            Column::new("status", Kind::Text),
        ],
    )
}

#[test]
fn ranges_stand_before_the_pattern() {
    let filter = compile_filter("title ~ '1a%' || status ~ 'a%'", &schema(), 1)
        .expect("compiles")
        .expect("a filter");
    assert_eq!(
        filter.sql,
        r#"(((("r"."title" COLLATE "C" >= $1::text AND "r"."title" COLLATE "C" < $2::text) OR ("r"."title" COLLATE "C" >= $3::text AND "r"."title" COLLATE "C" < $4::text)) AND "r"."title" ILIKE $5::text) OR "r"."status" ILIKE $6::text)"#
    );
    let texts: Vec<Param> = ["1A", "1B", "1a", "1b", "1a%", "a%"]
        .into_iter()
        .map(|text| Param::Text(text.to_owned()))
        .collect();
    assert_eq!(filter.params, texts);
}

#[test]
fn a_pattern_without_beginning_has_none() {
    for source in [
        "title ~ '%a'",
        "title ~ '_a%'",
        "title ~ 'é%'",
        "title ~ ''",
        "title ~ null",
    ] {
        let filter = compile_filter(source, &schema(), 1)
            .expect("compiles")
            .expect("a filter");
        assert!(!filter.sql.contains("COLLATE"), "{source}: {}", filter.sql);
    }
    // A policy is not held back by row security: its own conditions may use any index.
    let rule = compile_rule("title ~ 'a%'", Operation::List, &schema(), &NoMacros);
    let Ok(Rule::Predicate(predicate)) = rule else {
        panic!("{rule:?}")
    };
    assert!(!predicate.using.is_some_and(|using| using.contains("COLLATE")));
}

#[test]
fn the_number_of_ranges_has_an_end() {
    assert_eq!(beginnings("abcdefgh%").len(), 32);
    assert_eq!(beginnings("2024-01-%"), ["2024-01-"]);
    assert!(beginnings("kikikiki%").len() <= 32);
    // Five letters that look like an i, and 16 cases of the rest.
    assert_eq!(beginnings("item 0123%").len(), 21);
    assert!(beginnings("item 0123%").contains(&"iTeM 0123".to_owned()));
}

#[test]
fn a_beginning_of_some_length_is_selective_where_every_record_needs_it() {
    for (source, selective) in [
        ("title ~ 'item%'", true),
        ("title ~ 'ite%'", false),
        ("status = 'x' && title ~ '2024-%'", true),
        ("status = 'x' || title ~ '2024-%'", false),
        ("!(title ~ '2024-%')", false),
        ("status ~ '2024-%'", false),
        ("title = 'item'", false),
    ] {
        let filter = compile_filter(source, &schema(), 1)
            .expect("compiles")
            .expect("a filter");
        assert_eq!(filter.selective, selective, "{source}");
    }
}

proptest! {
    #[test]
    fn every_case_of_the_beginning_lies_in_a_range(beginning in "[ -~]{1,8}", rest in ".*", flips in any::<u8>()) {
        let pattern: String = beginning.chars().flat_map(|c| ['\\', c].into_iter().filter(move |x| *x != '\\' || "%_\\".contains(c))).collect();
        let ranges = beginnings(&format!("{pattern}%"));
        prop_assert!(!ranges.is_empty());
        let flipped = beginning.chars().enumerate().map(|(at, c)| match flips >> at & 1 {
            0 => c.to_ascii_lowercase(),
            _ => c.to_ascii_uppercase(),
        });
        let text: String = flipped.chain(rest.chars()).collect();
        let found = ranges.iter().any(|from| *from <= text && text < after(from));
        prop_assert!(found, "{text:?} is in none of {ranges:?}");
    }
}
