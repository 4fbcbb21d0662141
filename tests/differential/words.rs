//! Random expressions, well typed, over the fields of a collection.

use super::generate::people;
use super::language::{Attribute, Expr, Kind, Value, text};
use super::model::{ACCOUNTS, Field, SYSTEM_FIELDS};
use super::random::Random;
use super::time;

pub const ROLES: [&str; 3] = ["admin", "user", "editor"];
pub const GROUPS: [&str; 2] = ["staff", "pii_access"];
pub const TEXTS: [&str; 11] = [
    "",
    "a",
    "b",
    "B",
    "draft",
    "Draft",
    "5",
    "50%",
    "it's",
    "back\\slash",
    "é \"x\"",
];
pub const PATTERNS: [&str; 14] = [
    "%",
    "a%",
    "_",
    "DRAFT",
    "dr_ft",
    "50\\%",
    "%'%",
    "%\\\\%",
    "%x%",
    "DR%",
    "it'%",
    "é%",
    "BACK\\\\S%",
    "5\\%%",
];
pub const NUMBERS: [f64; 7] = [-1.0, 0.0, 1.0, 2.0, 2.5, 3.0, 10.0];
pub const ADDRESSES: [&str; 3] = ["ann@example.com", "b@example.org", "Ann@example.com"];
pub const NAMES: [&str; 4] = ["", "Ann Lee", "ann  lee", "O'Brien"];
pub const DAYS: [&str; 3] = ["2023-12-31", "2024-01-01", "2024-02-29"];
/// The first spelling is the canonical one.
pub const TIMES: [&[&str]; 4] = [
    &["2024-01-01T00:00:00Z", "2024-01-01", "2024-01-01 00:00:00"],
    &[
        "2024-01-02T03:04:05Z",
        "2024-01-02T08:34:05+05:30",
        "2024-01-02 03:04:05",
    ],
    &["2024-01-02T03:04:05.25Z"],
    &["2024-06-30T23:59:59Z", "2024-06-30T18:59:59-05:00"],
];

/// Custom macros: name, body, parameters. A SELECT answers false where it has no answer.
pub const MACROS: [(&str, &str, &[&str]); 8] = [
    ("same", "select :a = :b", &["a", "b"]),
    ("me", "select :who = @request.auth.id", &["who"]),
    (
        "colleague",
        "select exists (select from users u where u.id::text = :who)",
        &["who"],
    ),
    ("big", "select :n::float8 > 2", &["n"]),
    ("crew", "select count(*) = :n::int from users", &["n"]),
    (
        "ours",
        "created_by = @request.auth.id || updated_by = @request.auth.id",
        &[],
    ),
    ("both", "$1 && $2", &[]),
    ("either", "$1 || $2", &[]),
];
/// The names an expression may use.
pub struct Vocabulary {
    fields: Vec<(String, Kind)>,
    stored: Vec<(String, Kind)>,
    /// Whether the caller can be asked for, and macros used.
    rule: bool,
    /// Whether `@request.data` can be.
    data: bool,
    pub ids: Vec<String>,
}

impl Vocabulary {
    /// The names of fields; for a rule also the caller, and `@request.data` where it may be asked for.
    pub fn new(fields: &[Field], rule: bool, data: bool) -> Self {
        let system = SYSTEM_FIELDS.map(|(name, kind)| (name.to_owned(), kind));
        let named = |field: &Field| (field.name.clone(), field.kind);
        let ids = ACCOUNTS.map(|(id, ..)| id.to_owned()).into_iter();
        Self {
            // The fields twice: they are more interesting.
            fields: system
                .iter()
                .cloned()
                .chain(fields.iter().chain(fields).map(named))
                .collect(),
            stored: system
                .iter()
                .cloned()
                .chain(fields.iter().filter(|field| field.computed.is_none()).map(named))
                .collect(),
            rule,
            data,
            ids: ids
                .chain(people().into_iter().map(|person| person.id))
                .chain(["no uuid".to_owned()])
                .collect(),
        }
    }

    /// A condition with so many levels of logic.
    pub fn condition(&self, random: &mut Random, depth: usize) -> Expr {
        if depth == 0 {
            return self.leaf(random);
        }
        let operand = |random: &mut Random| {
            let depth = random.below(depth);
            self.condition(random, depth)
        };
        match random.below(8) {
            0..=2 => flat(false, (0..2 + random.below(2)).map(|_| operand(random)).collect()),
            3..=5 => flat(true, (0..2 + random.below(2)).map(|_| operand(random)).collect()),
            6 => Expr::Not(Box::new(operand(random))),
            _ => {
                let (left, right) = (self.leaf(random), self.literal(random, Kind::Bool));
                Expr::Compare(Box::new(left), random.pick(&["=", "!="]), Box::new(right))
            }
        }
    }

    fn leaf(&self, random: &mut Random) -> Expr {
        if self.rule && random.one_in(4) {
            return match random.one_in(3) {
                true => self.custom(random),
                false => self.of_the_caller(random),
            };
        }
        let (_, kind) = random.pick(&self.fields);
        let operand = Box::new(self.operand(random, kind));
        match (kind, random.below(8)) {
            (Kind::Json, _) | (_, 0) => Expr::IsNull(operand, random.one_in(2)),
            (Kind::Bool, 1..=4) => *operand,
            (Kind::Bool, _) => {
                let right = Box::new(self.literal(random, Kind::Bool));
                Expr::Compare(operand, random.pick(&["=", "!="]), right)
            }
            (_, 1 | 2) => {
                let members = (0..1 + random.below(3))
                    .map(|_| self.literal(random, kind))
                    .collect();
                Expr::In(operand, members)
            }
            (Kind::Text, 3) => Expr::Compare(operand, "~", Box::new(text(random.pick(&PATTERNS)))),
            (_, 4) => {
                let right = Box::new(self.operand(random, kind));
                Expr::Compare(operand, comparison(random, kind), right)
            }
            (Kind::Id, 5) => {
                let right = Box::new(self.operand(random, Kind::Text));
                Expr::Compare(operand, comparison(random, kind), right)
            }
            _ => {
                let mut right = self.literal(random, kind);
                // A uuid in capitals is the same uuid for a column of ids, another text for a text.
                if let (Kind::Id, Expr::Field(_) | Expr::Data(_), Expr::Literal(_, spelling)) =
                    (kind, &*operand, &mut right)
                    && random.one_in(4)
                {
                    *spelling = spelling.to_uppercase();
                }
                Expr::Compare(operand, comparison(random, kind), Box::new(right))
            }
        }
    }

    /// One of [`MACROS`].
    fn custom(&self, random: &mut Random) -> Expr {
        let known = |condition: Expr| {
            let no = Expr::Literal(Value::Bool(false), "false".to_owned());
            Box::new(Expr::Function("coalesce", vec![condition, no]))
        };
        let one = |name: &str, argument: &Expr, meaning: Expr| {
            Expr::Macro(format!("@{name}({argument})"), known(meaning))
        };
        match random.below(8) {
            5 => {
                let who = self.operand(random, Kind::Text);
                let caller = Box::new(Expr::Caller(Attribute::Id));
                one("me", &who, Expr::Compare(Box::new(who.clone()), "=", caller))
            }
            6 => {
                let who = self.operand(random, Kind::Text);
                let of = |(account, (id, ..)): (usize, (&str, &str, &str))| {
                    let ids = people().into_iter().filter(|person| person.account == account);
                    let caller = Box::new(Expr::Caller(Attribute::Account));
                    Expr::And(vec![
                        Expr::Compare(caller, "=", Box::new(text(id))),
                        Expr::In(
                            Box::new(who.clone()),
                            ids.map(|person| text(&person.id)).collect(),
                        ),
                    ])
                };
                one(
                    "colleague",
                    &who,
                    Expr::Or(ACCOUNTS.into_iter().enumerate().map(of).collect()),
                )
            }
            7 => {
                let number = self.operand(random, Kind::Number);
                match number {
                    Expr::Literal(..) | Expr::Null => self.leaf(random),
                    number => {
                        let two = Box::new(Expr::Literal(Value::Number(2.0), "2".to_owned()));
                        one("big", &number, Expr::Compare(Box::new(number.clone()), ">", two))
                    }
                }
            }
            0 => {
                let (a, b) = (self.operand(random, Kind::Text), self.literal(random, Kind::Text));
                let spelling = format!("@same({a}, {b})");
                Expr::Macro(spelling, known(Expr::Compare(Box::new(a), "=", Box::new(b))))
            }
            1 => {
                // The accounts have three and two people.
                let account = random.below(2);
                let spelling = format!("@crew(\"{}\")", 3 - account);
                let (caller, id) = (Expr::Caller(Attribute::Account), text(ACCOUNTS[account].0));
                Expr::Macro(
                    spelling,
                    known(Expr::Compare(Box::new(caller), "=", Box::new(id))),
                )
            }
            2 => {
                let by = |name: &str| {
                    let field = Expr::Field(name.to_owned());
                    Expr::Compare(Box::new(field), "=", Box::new(Expr::Caller(Attribute::Id)))
                };
                let meaning = Expr::Or(vec![by("created_by"), by("updated_by")]);
                Expr::Macro(random.pick(&["@ours", "@ours()"]).to_owned(), Box::new(meaning))
            }
            number => {
                let (left, right) = (self.condition(random, 1), self.leaf(random));
                let name = if number == 3 { "both" } else { "either" };
                let spelling = format!("@{name}({left}, {right})");
                let operands = vec![left, right];
                let meaning = if number == 3 {
                    Expr::And(operands)
                } else {
                    Expr::Or(operands)
                };
                Expr::Macro(spelling, Box::new(meaning))
            }
        }
    }

    /// Conditions that only rules have.
    fn of_the_caller(&self, random: &mut Random) -> Expr {
        let owner = |random: &mut Random| {
            let names: Vec<&str> = ["created_by", "author", "owner"]
                .into_iter()
                .filter(|name| self.stored.iter().any(|(stored, _)| stored == name))
                .collect();
            random.pick(&names).to_owned()
        };
        match random.below(8) {
            0 => Expr::Owns("created_by".into(), "@owns_record()".into()),
            1 => Expr::Owns("created_by".into(), "@is_creator".into()),
            2 => {
                let field = owner(random);
                let spelling = if random.one_in(2) {
                    field.clone()
                } else {
                    format!("\"{field}\"")
                };
                Expr::Owns(field, format!("@owns_record({spelling})"))
            }
            3 if self.stored.iter().any(|(name, _)| name == "public") => Expr::IsPublic,
            4 if random.one_in(4) => {
                let (macro_text, known) =
                    random.pick(&[("@in_time_range(0, 24)", true), ("@in_time_range(7, 7)", false)]);
                Expr::Literal(Value::Bool(known), macro_text.to_owned())
            }
            3 | 4 => Expr::HasRole(random.pick(&ROLES).to_owned()),
            5 => Expr::HasGroup(random.pick(&GROUPS).to_owned()),
            6 => {
                let members = ROLES.into_iter().take(1 + random.below(2)).map(text).collect();
                Expr::In(Box::new(Expr::Caller(Attribute::Role)), members)
            }
            _ => {
                let caller = Expr::Caller(Attribute::Id);
                let members = [owner(random), "updated_by".to_owned()];
                let members = members.map(|name| self.field(random, name)).to_vec();
                Expr::In(Box::new(caller), members)
            }
        }
    }

    fn field(&self, random: &mut Random, name: String) -> Expr {
        let stored = self.stored.iter().any(|(stored, _)| *stored == name);
        if self.data && stored && random.one_in(2) {
            Expr::Data(name)
        } else {
            Expr::Field(name)
        }
    }

    /// Something of that kind that is no literal.
    fn operand(&self, random: &mut Random, kind: Kind) -> Expr {
        if self.rule && random.one_in(6) {
            match kind {
                Kind::Text => {
                    return Expr::Caller(random.pick(&[Attribute::Id, Attribute::Email, Attribute::Role]));
                }
                Kind::Id => return Expr::Caller(random.pick(&[Attribute::Id, Attribute::Account])),
                _ => {}
            }
        }
        let names: Vec<&String> = self
            .fields
            .iter()
            .filter(|(_, found)| *found == kind)
            .map(|(name, _)| name)
            .collect();
        let Some(name) = names.get(random.below(names.len().max(1))) else {
            return self.literal(random, kind);
        };
        let field = self.field(random, (*name).clone());
        match (kind, random.below(6)) {
            (Kind::Number, 0) => Expr::Negate(Box::new(field)),
            (Kind::Number, 1 | 2) => {
                let other = if random.one_in(2) {
                    number(random)
                } else {
                    self.operand(random, kind)
                };
                let operator = random.pick(&['+', '-', '*', '/', '%']);
                let (left, right) = if random.one_in(2) {
                    (field, other)
                } else {
                    (other, field)
                };
                Expr::Arithmetic(Box::new(left), operator, Box::new(right))
            }
            _ => field,
        }
    }

    /// A literal, spelled in one of the ways that meet a column of that kind.
    fn literal(&self, random: &mut Random, kind: Kind) -> Expr {
        if random.one_in(20) {
            return Expr::Null;
        }
        let quoted = |value: &str| format!("\"{value}\"");
        match kind {
            Kind::Text if random.one_in(4) => text(&random.pick(&self.ids)),
            Kind::Text => match random.pick(&TEXTS) {
                "5" if random.one_in(2) => Expr::Literal(Value::Text("5".into()), "5".into()),
                other => text(other),
            },
            Kind::Number => match number(random) {
                Expr::Literal(value, spelling) if random.one_in(6) => Expr::Literal(value, quoted(&spelling)),
                plain => plain,
            },
            Kind::Bool => {
                let value = random.one_in(2);
                let spelling = match random.below(3) {
                    0 => u8::from(value).to_string(),
                    1 => value.to_string().to_uppercase(),
                    _ => value.to_string(),
                };
                Expr::Literal(Value::Bool(value), spelling)
            }
            Kind::Time => {
                let spellings = random.pick(&TIMES);
                Expr::Literal(
                    Value::Time(time::parse(spellings[0])),
                    quoted(random.pick(spellings)),
                )
            }
            Kind::Date => {
                let day = random.pick(&DAYS);
                Expr::Literal(Value::Date(day.to_owned()), quoted(day))
            }
            Kind::Id => text(&random.pick(&self.ids)),
            Kind::Json => Expr::Null,
        }
    }

    /// The expression of a computed field; `None` when there is nothing to compute from.
    pub fn computed(&self, random: &mut Random, kind: Kind) -> Option<Expr> {
        let has = |kind: Kind| {
            self.fields
                .iter()
                .skip(SYSTEM_FIELDS.len())
                .any(|(_, found)| *found == kind)
        };
        let two = |random: &mut Random, kind| vec![self.operand(random, kind), self.operand(random, kind)];
        Some(match kind {
            Kind::Bool => self.condition(random, 1),
            Kind::Number if !has(Kind::Number) && !has(Kind::Text) => return None,
            Kind::Number if !has(Kind::Number) => {
                Expr::Function("length", vec![self.operand(random, Kind::Text)])
            }
            Kind::Number => match random.below(3) {
                0 => Expr::Function("abs", vec![self.operand(random, kind)]),
                1 => Expr::Function("coalesce", two(random, kind)),
                _ => {
                    let operand = self.operand(random, kind);
                    Expr::Arithmetic(Box::new(operand), '*', Box::new(number(random)))
                }
            },
            _ if !has(Kind::Text) => return None,
            _ => match random.below(4) {
                0 => {
                    let mut parts = two(random, Kind::Text);
                    parts.insert(1, text(" - "));
                    Expr::Function("concat", parts)
                }
                1 => Expr::Function("upper", vec![self.operand(random, Kind::Text)]),
                2 => {
                    let mut parts = vec![self.leaf(random)];
                    parts.extend(two(random, Kind::Text));
                    Expr::Function("if", parts)
                }
                _ => Expr::Function("nullif", two(random, Kind::Text)),
            },
        })
    }
}

/// `&&` or `||` of operands, without a chain inside the same chain.
fn flat(or: bool, operands: Vec<Expr>) -> Expr {
    let operands = operands
        .into_iter()
        .flat_map(|operand| match operand {
            Expr::Or(inner) if or => inner,
            Expr::And(inner) if !or => inner,
            other => vec![other],
        })
        .collect();
    if or {
        Expr::Or(operands)
    } else {
        Expr::And(operands)
    }
}

fn comparison(random: &mut Random, kind: Kind) -> &'static str {
    match kind {
        Kind::Id | Kind::Bool => random.pick(&["=", "!="]),
        _ => random.pick(&["=", "!=", "<", ">", "<=", ">="]),
    }
}

fn number(random: &mut Random) -> Expr {
    let value = random.pick(&NUMBERS);
    let spelling = if value == 10.0 && random.one_in(2) {
        "1e1".to_owned()
    } else {
        value.to_string()
    };
    Expr::Literal(Value::Number(value), spelling)
}
