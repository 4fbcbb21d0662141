//! Masks for personal data. Source: contract of records §8.

use crate::schema::MaskType;

/// What somebody who may not see personal data sees of a value. Values that are not text are turned to text first; null
/// stays null and is not passed here.
///
/// ```
/// use snackbase_core::{records::mask, schema::MaskType};
/// assert_eq!(mask(MaskType::Email, "john.doe@ex.com"), "j***@ex.com");
/// ```
pub fn mask(mask_type: MaskType, text: &str) -> String {
    match mask_type {
        MaskType::Email => email(text),
        MaskType::Ssn if digits(text).count() == 9 => "***-**-****".to_owned(),
        MaskType::Ssn => hide_digits(text),
        MaskType::Phone => phone(text),
        MaskType::Name => name(text),
        MaskType::Full | MaskType::Custom => "*".repeat(text.chars().count()),
    }
}

/// The first character of the local part and everything from the first `@`. Text without a local part stays.
fn email(text: &str) -> String {
    match text
        .split_once('@')
        .map(|(local, domain)| (local.chars().next(), domain))
    {
        Some((Some(first), domain)) => format!("{first}***@{domain}"),
        _ => text.to_owned(),
    }
}

/// The last four digits, and after a leading `+` up to three that follow it. Fewer than four digits are all hidden.
fn phone(text: &str) -> String {
    let all: Vec<char> = digits(text).collect();
    let Some(last) = all
        .len()
        .checked_sub(4)
        .map(|start| all[start..].iter().collect::<String>())
    else {
        return hide_digits(text);
    };
    let prefix: String = text
        .strip_prefix('+')
        .map(|rest| rest.chars().take(3).take_while(|c| c.is_numeric()).collect())
        .unwrap_or_default();
    if prefix.is_empty() {
        format!("***-***-{last}")
    } else {
        format!("+{prefix}-***-***-{last}")
    }
}

/// The first character of each word.
fn name(text: &str) -> String {
    let words: Vec<String> = text
        .split_whitespace()
        .filter_map(|word| word.chars().next())
        .map(|first| format!("{first}***"))
        .collect();
    words.join(" ")
}

/// Digits of any script: a mask that knows ASCII only would show the others.
fn digits(text: &str) -> impl Iterator<Item = char> {
    text.chars().filter(|c| c.is_numeric())
}

fn hide_digits(text: &str) -> String {
    text.chars()
        .map(|c| if c.is_numeric() { '*' } else { c })
        .collect()
}
