//! The fixed beginning of a pattern, in every case of its letters.
//!
//! `title ~ "abc%"` ignores case, so it matches what begins with `abc`, `Abc`, … An index in byte order can find each of
//! these beginnings; together they contain every match, in whatever language the database folds case. They may
//! contain more: the pattern itself is still asked.

/// How many beginnings a pattern may have. Four letters in both cases are 16; what follows them is used as long as it has no
/// case, and otherwise left to the pattern.
const MOST: usize = 32;

/// Characters of a beginning that is expected to select few records.
pub const SELECTIVE: usize = 4;

/// Beginnings of which each match of the pattern has one, sorted. None when the pattern begins with a wildcard or a character
/// outside ASCII.
///
/// ```
/// use snackbase_core::rules::prefix::beginnings;
/// assert_eq!(beginnings("ab%"), ["AB", "Ab", "aB", "ab"]);
/// assert_eq!(beginnings(r"5\%\_x%"), ["5%_X", "5%_x"]);
/// // A foreign case ends a beginning: what follows it is rare enough.
/// assert_eq!(beginnings("ok%"), ["OK", "Ok", "O\u{212a}", "oK", "ok", "o\u{212a}"]);
/// assert!(beginnings("%a").is_empty() && beginnings("é%").is_empty());
/// ```
pub fn beginnings(pattern: &str) -> Vec<String> {
    let mut ended: Vec<String> = Vec::new();
    let mut beginnings = vec![String::new()];
    for literal in fixed(pattern) {
        let (ascii, foreign): (Vec<char>, Vec<char>) = cases(literal).into_iter().partition(char::is_ascii);
        let count = beginnings.len() * (ascii.len() + foreign.len()) + ended.len();
        if count > MOST {
            break;
        }
        let with = |cases: &[char]| -> Vec<String> {
            let each = |beginning| cases.iter().map(move |case| format!("{beginning}{case}"));
            beginnings.iter().flat_map(each).collect()
        };
        ended.extend(with(&foreign));
        beginnings = with(&ascii);
    }
    if beginnings[0].is_empty() {
        return Vec::new();
    }
    beginnings.extend(ended);
    beginnings.sort_unstable();
    beginnings
}

/// The characters of a pattern before its first wildcard, as far as they are ASCII.
fn fixed(pattern: &str) -> Vec<char> {
    let mut fixed = Vec::new();
    let mut characters = pattern.chars();
    while let Some(character) = characters.next() {
        let literal = match character {
            '%' | '_' => break,
            '\\' => characters.next(),
            other => Some(other),
        };
        match literal.filter(char::is_ascii) {
            Some(literal) => fixed.push(literal),
            None => break,
        }
    }
    fixed
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
