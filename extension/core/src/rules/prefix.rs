//! The fixed beginning of a pattern, in every case of its letters.
//!
//! `title ~ "abc%"` ignores case, so it matches what begins with `abc`, `Abc`, … An index in byte order can find each of
//! these beginnings; together they contain every match, in whatever language the database folds case. They may
//! contain more: the pattern itself is still asked.

/// How many beginnings a pattern may have. Four letters in both cases are 16; what follows is left to the pattern.
const MOST: usize = 16;

/// Beginnings of which each match of the pattern has one: all of one length, sorted. None when the pattern begins with a
/// wildcard or a character outside ASCII.
///
/// ```
/// use snackbase_core::rules::prefix::beginnings;
/// assert_eq!(beginnings("ab%"), ["AB", "Ab", "aB", "ab"]);
/// assert_eq!(beginnings(r"5\%\_x%"), ["5%_X", "5%_x"]);
/// assert!(beginnings("%a").is_empty() && beginnings("é%").is_empty());
/// ```
pub fn beginnings(pattern: &str) -> Vec<String> {
    let mut beginnings = vec![String::new()];
    let mut characters = pattern.chars();
    while let Some(character) = characters.next() {
        let literal = match character {
            '%' | '_' => break,
            '\\' => characters.next(),
            other => Some(other),
        };
        let Some(literal) = literal.filter(char::is_ascii) else {
            break;
        };
        let cases = cases(literal);
        if beginnings.len() * cases.len() > MOST {
            break;
        }
        beginnings = beginnings
            .iter()
            .flat_map(|beginning| cases.iter().map(move |case| format!("{beginning}{case}")))
            .collect();
    }
    if beginnings[0].is_empty() {
        return Vec::new();
    }
    beginnings.sort_unstable();
    beginnings
}

/// The least text, in byte order, that is greater than every text with this beginning.
///
/// ```
/// assert_eq!(snackbase_core::rules::prefix::after("aB"), "aC");
/// ```
pub fn after(beginning: &str) -> String {
    let mut characters: Vec<char> = beginning.chars().collect();
    // UTF-8 keeps the order of code points. The last character is one of `cases`: its successor exists.
    if let Some(last) = characters.pop() {
        characters.extend(char::from_u32(u32::from(last) + 1));
    }
    characters.into_iter().collect()
}

/// The characters that some language folds to what it folds this ASCII character to, or to a text that begins with that.
pub fn cases(character: char) -> Vec<char> {
    let mut cases = vec![character];
    if character.is_ascii_alphabetic() {
        cases = vec![character.to_ascii_uppercase(), character.to_ascii_lowercase()];
    }
    match character {
        // Kelvin.
        'k' | 'K' => cases.push('\u{212a}'),
        // The i with and without dot of Turkish; Lithuanian keeps the dot under an accent.
        'i' | 'I' => cases.extend(['\u{130}', '\u{131}', '\u{cc}', '\u{cd}', '\u{128}']),
        _ => {}
    }
    cases
}
