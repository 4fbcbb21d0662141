//! Custom macros by themselves: bodies of both kinds, what may be wrong with them, who uses whom, and rules taken apart.

mod rules_fixture;

use rules_fixture::{Fixtures, fixture};
use snackbase_core::rules::{
    Clause, Code, Error, Joint, NoMacros, Operation, Schema, Uses, check_fragment, clauses, compile_rule,
    function_name, is_select, name_problem, select_arity, select_body, validate_in,
};

fn found(errors: &[Error]) -> Vec<String> {
    errors
        .iter()
        .map(|error| format!("{} @{}", error.code, error.position))
        .collect()
}

fn body(source: &str, parameters: &[&str]) -> String {
    let parameters: Vec<String> = parameters.iter().map(|name| (*name).to_owned()).collect();
    match select_body(source, &parameters, &Fixtures) {
        Ok(body) => format!("{} /{}", body.sql, body.arity),
        Err(errors) => found(&errors).join(", "),
    }
}

#[test]
fn names_of_parameters_are_replaced_where_they_are_words_of_sql() {
    for (source, expected) in [
        ("select :a = :b", "select $1 = $2 /2"),
        ("select :a::uuid", "select $1::uuid /2"),
        ("select x::a, a:b", "select x::a, a$2 /2"),
        (
            "select ':a', \":a\", E'\\':a', $$:a$$, $x$ :a $$ :a $x$",
            "select ':a', \":a\", E'\\':a', $$:a$$, $x$ :a $$ :a $x$ /2",
        ),
        ("select 'it''s :a' || :a", "select 'it''s :a' || $1 /2"),
        ("select 1 -- :a\n, :b", "select 1 -- :a\n, $2 /2"),
        (
            "select /* :a /* :b */ :a */ :b",
            "select /* :a /* :b */ :a */ $2 /2",
        ),
        ("select :ab, :c, n[1:c]", "select :ab, :c, n[1:c] /2"),
        ("select re'x\\' :a", "select re'x\\' $1 /2"),
        ("select $1, '$1', $2", "select $1, '$1', $2 /2"),
        ("select $3", "arity @7"),
        ("select $0", "arity @7"),
    ] {
        assert_eq!(body(source, &["a", "b"]), expected, "{source}");
    }
    assert_eq!(body("select $1 = $10", &[]), "select $1 = $10 /10");
    assert_eq!(select_arity("select '$7', $2 /* $9 */", &[]), 2);
}

#[test]
fn the_caller_is_read_through_the_accessors() {
    for (source, expected) in [
        (
            "select a=@request.auth.id",
            "select a=(select snackbase.current_user_id()) /0",
        ),
        (
            "select @request.auth.account_id::uuid",
            "select (select snackbase.current_account_id())::text::uuid /0",
        ),
        ("select '@request.auth.id'", "select '@request.auth.id' /0"),
        ("select @request.auth.nothing", "unknown_context @7"),
        ("select @request.data.title", "unknown_context @7"),
    ] {
        assert_eq!(body(source, &[]), expected, "{source}");
    }
}

#[test]
fn sql_may_use_other_sql_macros_and_operators_with_an_at_sign() {
    for (source, expected) in [
        ("select @m('a', 'b')", "select snackbase.\"macro_m\"('a', 'b') /0"),
        ("select @m", "select snackbase.\"macro_m\"() /0"),
        (
            "select a <@b, a @> c, a @@d, @ -5",
            "select a <@b, a @> c, a @@d, @ -5 /0",
        ),
        ("select @m1", "unknown_macro @7"),
        ("select @nope(1)", "unknown_macro @7"),
        ("select @has_role('x')", "unknown_macro @7"),
    ] {
        assert_eq!(body(source, &[]), expected, "{source}");
    }
}

#[test]
fn a_body_is_sql_when_its_first_word_is_select() {
    for sql in ["select 1", "\n SELECT 1", "select(1)", "select/**/1", "Select"] {
        assert!(is_select(sql), "{sql}");
    }
    for fragment in [
        "selected",
        "select_ = 1",
        "views > 1",
        "(select 1)",
        "with a as (select 1) select 1",
        "",
        "sélect 1",
    ] {
        assert!(!is_select(fragment), "{fragment}");
    }
}

#[test]
fn no_two_macros_share_a_function() {
    let long = "x".repeat(63);
    let names = [
        "m",
        "M",
        "macro_m",
        "m_1",
        "_1",
        long.as_str(),
        &long[..58],
        &long[..57],
    ];
    let mut functions: Vec<String> = names
        .iter()
        .zip(1..)
        .map(|(name, id)| function_name(id, name))
        .collect();
    assert!(functions.iter().all(|name| name.len() <= 63));
    functions.sort();
    functions.dedup();
    assert_eq!(functions.len(), names.len());
}

#[test]
fn names_are_plain_and_not_reserved() {
    for name in ["a", "_a", "__", "_1", "A1_b"] {
        assert_eq!(name_problem(name), None, "{name}");
    }
    for name in [
        "",
        "1a",
        "a b",
        "a.b",
        "a\n",
        "é",
        "@a",
        "request",
        "has_permission",
        &"x".repeat(64),
    ] {
        assert!(name_problem(name).is_some(), "{name}");
    }
}

#[test]
fn a_fragment_is_checked_before_anybody_uses_it() {
    for (name, text, expected) in [
        ("new", "nosuch > $1 && @request.data.whatever = $2", ""),
        ("new", "@owns_record($1) || @is_public", ""),
        ("new", "$1", ""),
        ("new", "title = = 1", "syntax @8"),
        ("new", "", "empty_expression @0"),
        ("new", "@nope && @has_role", "unknown_macro @0, arity @9"),
        ("new", "@m(1)", "arity @0"),
        ("new", "@request.auth.nothing = 1", "unknown_context @0"),
        ("loop", "@loop", "macro_cycle @0"),
        ("ping", "true && @pong", "macro_cycle @8"),
        ("new", "@d6", ""),
        ("new", "@d7", "macro_depth @0"),
        ("new", "1 = 1 = 1", "syntax @6"),
        ("new", "1 && true", "not_boolean @0"),
    ] {
        assert_eq!(
            found(&check_fragment(name, text, &Fixtures)).join(", "),
            expected,
            "{text}"
        );
    }
}

#[test]
fn a_hole_may_name_the_field_of_an_owner() {
    let rule = |source: &str| compile_rule(source, Operation::List, &fixture(), &Fixtures);
    assert_eq!(rule("@mine(owner)"), rule("@owns_record(owner)"));
    assert_eq!(rule("@mine(\"owner\")"), rule("@owns_record(owner)"));
    assert_eq!(
        found(&rule("@mine(1 = 1)").expect_err("no field")),
        ["type_mismatch @0"]
    );
}

#[test]
fn permissions_are_named_by_literals() {
    let rule = |source: &str| compile_rule(source, Operation::List, &fixture(), &NoMacros);
    assert!(rule(r#"@has_permission("read", "posts")"#).is_ok());
    for (source, expected) in [
        (r#"@has_permission("list", "posts")"#, "type_mismatch @16"),
        (r#"@has_permission(status, "posts")"#, "type_mismatch @16"),
        (r#"@has_permission("read", title)"#, "type_mismatch @24"),
        (r#"@has_permission("read")"#, "arity @0"),
    ] {
        assert_eq!(found(&rule(source).expect_err(source)), [expected], "{source}");
    }
}

#[test]
fn chains_of_uses_have_an_end() {
    let chain = |length: usize| {
        let mut uses = Uses::default();
        (1..length).for_each(|n| uses.add(&format!("m{n}"), &format!("m{}", n + 1)));
        uses
    };
    assert_eq!(chain(8).problem("m4"), None);
    assert_eq!(chain(9).problem("m4"), Some(Code::MacroDepth));
    assert_eq!(chain(9).problem("m1"), Some(Code::MacroDepth));
    assert_eq!(chain(3000).problem("m1500"), Some(Code::MacroDepth));
    let mut ring = chain(3);
    ring.add("m3", "m1");
    assert_eq!(ring.problem("m2"), Some(Code::MacroCycle));
    assert_eq!(ring.users_of("m1").len(), 3);
    assert_eq!(Vec::from_iter(chain(3).users_of("m2")), ["m1", "m2"]);
    assert_eq!(Vec::from_iter(chain(3).users_of("other")), ["other"]);
}

fn outline(clause: &Clause) -> String {
    let place = clause
        .place
        .map_or(String::new(), |(start, length)| format!("@{start}+{length}"));
    let parts: Vec<String> = clause.parts.iter().map(outline).collect();
    match clause.joint {
        Joint::Leaf => format!("«{}»{place}", clause.text),
        joint => format!("{}{place}[{}]", joint.word().unwrap_or_default(), parts.join(" ")),
    }
}

#[test]
fn clauses_keep_their_places_and_macros_show_what_they_stand_for() {
    let parts = |source: &str| {
        outline(&clauses(source, Operation::List, &fixture(), &Fixtures).expect("a valid rule"))
    };
    assert_eq!(
        parts(r#"status = "é" || !(views > 1 && @m(status, "x"))"#),
        r#"or@0+47[«status = "é"»@0+12 not@16+31[and@18+28[«views > 1»@18+9 «@m(status, "x")»@31+15]]]"#
    );
    assert_eq!(parts("@m1"), "macro@0+3[and[macro[«views > 1»] «views = 2»]]");
    assert_eq!(parts("@same(owner, title)"), "macro@0+19[«owner = title»]");
    assert!(clauses("nosuch = 1", Operation::List, &fixture(), &Fixtures).is_err());
}

#[test]
fn a_clause_of_an_update_rule_reads_both_rows() {
    let rule = clauses(
        "@request.data.owner = owner && active",
        Operation::Update,
        &fixture(),
        &NoMacros,
    );
    let rule = rule.expect("a valid rule");
    assert_eq!(rule.parts[0].sql, r#"NEW."owner" = OLD."owner""#);
    assert_eq!(rule.parts[1].sql, r#"OLD."active""#);
}

#[test]
fn without_a_collection_every_name_is_a_field() {
    let errors =
        |source: &str| found(&validate_in(source, Operation::List, &Schema::open(), &NoMacros).errors);
    assert_eq!(errors("anything = 1 && created_by = \"x\""), [""; 0]);
    assert_eq!(
        errors("created_at = 1 || @nope"),
        ["type_mismatch @13", "unknown_macro @18"]
    );
}
