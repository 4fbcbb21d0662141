//! What must hold for every text whatsoever.

use snackbase_core::rules::{
    self, Error, Filter, Kind, Operation, Param, Rule, compile_computed, compile_filter, compile_rule,
};

use super::{Fixtures, fixture};

const OPERATIONS: [Operation; 5] = [
    Operation::List,
    Operation::View,
    Operation::Create,
    Operation::Update,
    Operation::Delete,
];

/// Compiles a text in every way and panics if anything is not as promised.
pub fn check(source: &str) {
    let schema = fixture();
    for operation in OPERATIONS {
        match compile_rule(source, operation, &schema, &Fixtures) {
            Err(errors) => check_findings(source, &errors),
            Ok(Rule::Public) => assert_eq!(source, ""),
            Ok(Rule::Predicate(predicate)) => {
                let parts = [&predicate.using, &predicate.check, &predicate.transition];
                assert!(parts.iter().any(|part| part.is_some()));
                parts.into_iter().flatten().for_each(|sql| check_sql(sql));
                check_positions(source, &predicate.warnings);
                if let Some(transition) = predicate.transition {
                    assert!(!transition.contains("(select "), "{transition}");
                }
            }
        }
    }
    match compile_filter(source, &schema, 3) {
        Err(errors) => check_findings(source, &errors),
        Ok(None) => {}
        Ok(Some(filter)) => check_filter(&filter),
    }
    match compile_computed(source, &schema, Kind::Text) {
        Err(errors) => check_findings(source, &errors),
        Ok(sql) => check_sql(&sql),
    }
    if let Ok(tree) = rules::parse(source) {
        let printed = tree.to_string();
        // Printing may need more parentheses and spaces than the author wrote, so the copy may exceed a limit.
        if let Ok(copy) = rules::parse(&printed) {
            assert_eq!(copy, tree, "{printed}");
        } else {
            assert!(
                source.len() > 500,
                "{source} is printed as {printed}, which does not parse"
            );
        }
    }
}

fn check_findings(source: &str, errors: &[Error]) {
    assert!(!errors.is_empty());
    assert!(errors.is_sorted_by_key(|error| error.position));
    check_positions(source, errors);
}

fn check_positions(source: &str, errors: &[Error]) {
    let length = source.chars().count();
    for error in errors {
        assert!(
            error.position + error.length <= length,
            "{error:?} in a text of {length} characters"
        );
        assert!(!error.message.is_empty());
    }
}

/// A filter's text has no literal at all and uses each parameter once, in order.
fn check_filter(filter: &Filter) {
    assert!(!filter.sql.contains('\''), "{}", filter.sql);
    check_sql(&filter.sql);
    let mut rest = filter.sql.as_str();
    for (index, param) in filter.params.iter().enumerate() {
        let place = format!("${}::{}", index + 3, param.sql_type());
        let at = rest
            .find(&place)
            .unwrap_or_else(|| panic!("{place} is missing or out of order: {rest}"));
        rest = &rest[at + place.len()..];
        if let Param::Number(value) = param {
            assert!(value.is_finite());
        }
    }
    assert!(!rest.contains('$'), "a parameter without a value: {}", filter.sql);
}

/// SQL without its literals and columns consists of words this compiler writes.
fn check_sql(sql: &str) {
    const WORDS: &str = " AND OR NOT IS NULL IN ANY ILIKE CASE WHEN THEN ELSE END select true false coalesce nullif \
        OLD NEW snackbase pg_catalog current_user_id current_user_email current_user_role current_account_id \
        current_user_uuid in_group num_add num_subtract num_multiply num_divide num_modulo num_round text_substring \
        date_start date_add date_part timezone now concat upper lower btrim length abs ceil floor \
        text uuid float8 boolean timestamptz date _macro_call regprocedure ";
    let mut depth = 0_i32;
    for token in tokens(sql) {
        match token {
            Token::Identifier(name) => {
                let known = name == "r" || name == "macro_m" || fixture().column(&name).is_some();
                assert!(known, "identifier {name:?} in {sql}");
            }
            Token::Word(word) => {
                assert!(WORDS.contains(&format!(" {word} ")), "word {word:?} in {sql}");
            }
            Token::Sign('(') => depth += 1,
            Token::Sign(')') => depth -= 1,
            Token::Sign(sign) => assert!("=<>,.:-$[]".contains(sign), "sign {sign:?} in {sql}"),
        }
        assert!(depth >= 0, "parentheses in {sql}");
    }
    assert_eq!(depth, 0, "parentheses in {sql}");
    assert!(!tokens_joined(sql).contains("--"), "a comment in {sql}");
}

enum Token {
    Identifier(String),
    Word(String),
    Sign(char),
}

/// Reads SQL as PostgreSQL does with `standard_conforming_strings` on; literals and numbers are left out.
fn tokens(sql: &str) -> Vec<Token> {
    let characters: Vec<char> = sql.chars().collect();
    let mut tokens = Vec::new();
    let mut at = 0;
    while let Some(&character) = characters.get(at) {
        let escapes = character == 'E' && characters.get(at + 1) == Some(&'\'');
        at += 1 + usize::from(escapes);
        match character {
            '\'' | 'E' if escapes || character == '\'' => {
                loop {
                    match characters.get(at) {
                        None => panic!("an open literal in {sql}"),
                        Some('\'') if characters.get(at + 1) == Some(&'\'') => at += 2,
                        Some('\'') => break,
                        Some('\\') if escapes => at += 2,
                        Some(_) => at += 1,
                    }
                }
                at += 1;
            }
            '"' => {
                let start = at;
                while characters.get(at).is_some_and(|c| *c != '"') {
                    at += 1;
                }
                tokens.push(Token::Identifier(characters[start..at].iter().collect()));
                at += 1;
            }
            '0'..='9' => {
                while characters
                    .get(at)
                    .is_some_and(|c| c.is_ascii_digit() || *c == '.' || *c == 'e')
                    || characters.get(at) == Some(&'-') && characters[at - 1] == 'e'
                {
                    at += 1;
                }
            }
            _ if character.is_ascii_alphabetic() || character == '_' => {
                let start = at - 1;
                while characters
                    .get(at)
                    .is_some_and(|c| c.is_ascii_alphanumeric() || *c == '_')
                {
                    at += 1;
                }
                tokens.push(Token::Word(characters[start..at].iter().collect()));
            }
            ' ' => {}
            sign => tokens.push(Token::Sign(sign)),
        }
    }
    tokens
}

/// The signs of the SQL, to look for a comment outside literals.
fn tokens_joined(sql: &str) -> String {
    tokens(sql)
        .into_iter()
        .map(|token| match token {
            Token::Identifier(_) | Token::Word(_) => ' ',
            Token::Sign(sign) => sign,
        })
        .collect()
}
