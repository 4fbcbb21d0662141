//! Valid requests, spoilt at random: one to four changes anywhere between the method and the last byte.

use std::time::Duration;

use fastrand::Rng;
use serde_json::{Map, Value, json};

use super::listed;
use super::scene::{FIELDS, Sample, encoded, target};
use super::wire::Request;

/// A generator with the seed of this run, one of its own for every purpose.
///
/// # Panics
/// When `SNACKBASE_GARBAGE_SEED` is no number.
pub fn dice(purpose: &str) -> Rng {
    let seed: u64 = setting("SNACKBASE_GARBAGE_SEED", 20_261_125);
    println!("{purpose}: SNACKBASE_GARBAGE_SEED={seed}");
    Rng::with_seed(
        purpose
            .bytes()
            .fold(seed, |seed, byte| seed.wrapping_mul(31).wrapping_add(byte.into())),
    )
}

/// How long the random test goes on.
///
/// # Panics
/// When `SNACKBASE_GARBAGE_SECONDS` is no number.
pub fn patience() -> Duration {
    Duration::from_secs(setting("SNACKBASE_GARBAGE_SECONDS", 10))
}

fn setting(name: &str, default: u64) -> u64 {
    std::env::var(name).map_or(default, |text| {
        text.parse()
            .unwrap_or_else(|_| panic!("{name}={text} is no number"))
    })
}

/// One of several.
fn one<T: Clone>(dice: &mut Rng, choices: &[T]) -> T {
    choices[dice.usize(..choices.len())].clone()
}

/// A request that was valid.
pub fn spoilt(dice: &mut Rng, sample: &Sample) -> Request {
    let mut sample = sample.clone();
    let mut method = sample.method;
    let mut query: Vec<(&str, Vec<u8>)> = Vec::new();
    if dice.u8(..) < 8 {
        method = one(dice, &["GET", "POST", "PUT", "PATCH", "DELETE"]);
    }
    for (name, value) in std::mem::take(&mut sample.query) {
        query.push((
            name,
            match dice.u8(..6) {
                0 => one(dice, &listed::query_values()),
                1 if matches!(name, "filter" | "having") => encoded(&expression(dice, 4)),
                1 => encoded(&value.repeat(dice.usize(..4))),
                2 => continue,
                3 if matches!(name, "filter" | "having") => encoded(&expression(dice, 2)),
                3 => encoded(&text(dice)),
                _ => encoded(&value),
            },
        ));
        if dice.u8(..) < 8 {
            query.push((
                one(dice, &["filter", "sort", "x", "limit", "", "cursor", "expand"]),
                encoded(&text(dice)),
            ));
        }
    }
    let mut path = sample.path.clone();
    if dice.u8(..) < 16 {
        let mut segments: Vec<String> = path.split('/').map(str::to_owned).collect();
        let place = dice.usize(1..segments.len());
        segments[place] = String::from_utf8_lossy(&one(dice, &listed::segments())).into_owned();
        path = segments.join("/");
    }
    let mut request = Request::new(method, target(&path, query.into_iter()));
    if !sample.body.is_null() {
        let mut body = sample.body;
        for _ in 0..dice.u8(1..4) {
            spoil_json(dice, &mut body);
        }
        let mut body = body.to_string().into_bytes();
        if dice.u8(..) < 32 {
            spoil_bytes(dice, &mut body);
        }
        request = request.body(body);
    }
    request
}

/// A few changes of bytes.
pub fn spoil_bytes(dice: &mut Rng, bytes: &mut Vec<u8>) {
    for _ in 0..dice.u8(1..5) {
        let place = dice
            .usize(..bytes.len().max(1))
            .min(bytes.len().saturating_sub(1));
        let end = (place + dice.usize(..20)).min(bytes.len());
        match dice.u8(..6) {
            _ if bytes.is_empty() => bytes.push(dice.u8(..)),
            0 => bytes[place] ^= 1 << dice.u8(..8),
            1 => bytes[place] = dice.u8(..),
            2 => bytes.insert(place, one(dice, b"\"{}[],:\\\0\xff\r\n e9-")),
            3 => drop(bytes.drain(place..end)),
            4 => {
                let copy = bytes[place..end].repeat(dice.usize(1..4));
                bytes.splice(place..place, copy);
            }
            _ => bytes.truncate(place),
        }
    }
}

/// One change somewhere in a JSON value.
fn spoil_json(dice: &mut Rng, value: &mut Value) {
    match value {
        Value::Object(members) if !members.is_empty() && dice.u8(..8) > 0 => {
            let key = one(dice, &members.keys().cloned().collect::<Vec<_>>());
            match dice.u8(..10) {
                0 => drop(members.remove(&key)),
                1 => {
                    let name = text(dice);
                    members.insert(name, nasty(dice, 2));
                }
                2 => {
                    let other = one(dice, &members.values().cloned().collect::<Vec<_>>());
                    members.insert(key, other);
                }
                3 => {
                    if let Some(member) = members.remove(&key) {
                        members.insert(key.to_uppercase(), member);
                    }
                }
                _ => {
                    if let Some(member) = members.get_mut(&key) {
                        // Rules and expressions are where the most can go wrong.
                        if (key.ends_with("_rule") || key == "expression") && dice.bool() {
                            *member = Value::String(expression(dice, 4));
                        } else {
                            spoil_json(dice, member);
                        }
                    }
                }
            }
        }
        Value::Array(elements) if !elements.is_empty() && dice.u8(..8) > 0 => {
            let place = dice.usize(..elements.len());
            match dice.u8(..6) {
                0 => drop(elements.remove(place)),
                1 => elements.insert(place, nasty(dice, 2)),
                2 => elements.push(elements[place].clone()),
                _ => spoil_json(dice, &mut elements[place]),
            }
        }
        _ => *value = nasty(dice, 3),
    }
}

/// Any JSON value.
fn nasty(dice: &mut Rng, depth: u8) -> Value {
    match dice.u8(..if depth == 0 { 8 } else { 10 }) {
        0 => Value::Null,
        1 => Value::Bool(dice.bool()),
        2 => json!(dice.i64(-3..1000)),
        3 => json!(dice.f64() * 10f64.powi(dice.i32(-300..300))),
        4 => Value::String(expression(dice, 2)),
        5 => {
            let listed = listed::json_values();
            serde_json::from_str(&one(dice, &listed).1).unwrap_or(Value::Null)
        }
        6 | 7 => Value::String(text(dice)),
        8 => (0..dice.u8(..4)).map(|_| nasty(dice, depth - 1)).collect(),
        _ => {
            let members: Map<String, Value> = (0..dice.u8(..4))
                .map(|_| (text(dice), nasty(dice, depth - 1)))
                .collect();
            Value::Object(members)
        }
    }
}

/// Any text, most of them words that mean something here.
fn text(dice: &mut Rng) -> String {
    match dice.u8(..5) {
        0 => (0..dice.usize(..12)).map(|_| dice.char(..)).collect(),
        1 => (0..dice.usize(..40)).map(|_| dice.char(' '..='~')).collect(),
        2 => one(dice, &FIELDS).to_owned(),
        3 => "-".repeat(dice.usize(..2)) + one(dice, &FIELDS) + "," + one(dice, &FIELDS),
        _ => (*one(
            dice,
            &[
                "text",
                "number",
                "computed",
                "reference",
                "user",
                "file",
                "cascade",
                "set_null",
                "*",
                "[\"label\"]",
                "[]",
                "samples",
                "targets",
                "SAMPLES",
                "",
                " ",
                "\u{0}",
                "name",
                "schema",
                "fields",
                "2024-02-29",
                "2024-02-29T10:00:00Z",
                "acme",
                "00000000-0000-0000-0000-000000000000",
                "null",
                "asc",
                "{}",
            ],
        ))
        .to_owned(),
    }
}

/// An expression that follows the grammar, more or less; types are left to chance.
pub fn expression(dice: &mut Rng, depth: u8) -> String {
    if depth == 0 || dice.u8(..6) == 0 {
        return operand(dice);
    }
    let next = depth - 1;
    match dice.u8(..14) {
        0 | 1 => format!("{} && {}", expression(dice, next), expression(dice, next)),
        2 | 3 => format!("{} || {}", expression(dice, next), expression(dice, next)),
        4 => format!("!{}", expression(dice, next)),
        5 => format!("({})", expression(dice, next)),
        6 => {
            let members: Vec<String> = (0..dice.u8(1..4)).map(|_| operand(dice)).collect();
            format!("{} IN ({})", operand(dice), members.join(", "))
        }
        7 => format!("{} IS {}NULL", operand(dice), one(dice, &["", "NOT "])),
        8 => format!(
            "{} {} {}",
            operand(dice),
            one(dice, &["+", "-", "*", "/", "%"]),
            expression(dice, next)
        ),
        9 => format!(
            "{} {} {}",
            expression(dice, next),
            one(dice, &["+", "-", "*", "/", "%"]),
            operand(dice)
        ),
        _ => {
            let operator = one(dice, &["=", "!=", "<", ">", "<=", ">=", "~"]);
            format!("{} {operator} {}", operand(dice), expression(dice, next.min(1)))
        }
    }
}

fn operand(dice: &mut Rng) -> String {
    match dice.u8(..12) {
        0..=4 => one(dice, &FIELDS).to_owned(),
        5 => dice.i64(-5..1000).to_string(),
        6 => format!("{:e}", dice.f64() * 10f64.powi(dice.i32(-310..310))),
        7 => (one(dice, &["true", "false", "null", "0", "1e308", "-1", "''", "\"\""])).to_owned(),
        8 => format!("\"{}\"", text(dice).replace(['"', '\\'], "")),
        9 => (*one(
            dice,
            &[
                "\"2024-02-29\"",
                "\"2024-02-29T10:00:00Z\"",
                "\"l%\"",
                "\"3\"",
                "\"true\"",
                "\"00000000-0000-4000-8000-000000000000\"",
                "\"infinity\"",
                "'9999-12-31'",
            ],
        ))
        .to_owned(),
        10 => (*one(
            dice,
            &[
                "@request.auth.id",
                "@request.auth.role",
                "@request.auth.account_id",
                "@request.data.label",
                "@request.data.amount",
                "@request.data.name",
                "@owns_record()",
                "@is_creator()",
                "@is_public()",
                "@has_role(\"admin\")",
                "@has_group(\"g\")",
                "@in_time_range(1, 5)",
                "@has_permission(\"read\", \"samples\")",
            ],
        ))
        .to_owned(),
        _ => {
            let argument = operand(dice);
            let function = one(
                dice,
                &[
                    "concat", "lower", "upper", "length", "trim", "round", "abs", "coalesce", "if", "substr",
                    "year", "now", "min",
                ],
            );
            format!("{function}({argument})")
        }
    }
}
