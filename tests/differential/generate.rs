//! Random worlds and random requests. Values come from small sets, so that comparisons hold often; NULL is everywhere.

use std::collections::BTreeSet;

use super::language::{Attribute, Expr, Kind, Value, text};
use super::model::{
    ACCOUNTS, Caller, Collection, Field, Operation, Person, Row, Rule, SYSTEM, SYSTEM_FIELDS, World,
};
use super::random::Random;
use super::request::{Action, Body, Query, Request, Via};
use super::time;

const ROLES: [&str; 3] = ["admin", "user", "editor"];
const GROUPS: [&str; 2] = ["staff", "pii_access"];
const TEXTS: [&str; 11] = [
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
const PATTERNS: [&str; 9] = ["%", "a%", "_", "DRAFT", "dr_ft", "50\\%", "%'%", "%\\\\%", "%x%"];
const NUMBERS: [f64; 7] = [-1.0, 0.0, 1.0, 2.0, 2.5, 3.0, 10.0];
const ADDRESSES: [&str; 3] = ["ann@example.com", "b@example.org", "Ann@example.com"];
const NAMES: [&str; 4] = ["", "Ann Lee", "ann  lee", "O'Brien"];
const DAYS: [&str; 3] = ["2023-12-31", "2024-01-01", "2024-02-29"];
/// The first spelling is the canonical one.
const TIMES: [&[&str]; 4] = [
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
pub const MACROS: [(&str, &str, &[&str]); 5] = [
    ("same", "select :a = :b", &["a", "b"]),
    ("crew", "select count(*) = :n::int from users", &["n"]),
    (
        "ours",
        "created_by = @request.auth.id || updated_by = @request.auth.id",
        &[],
    ),
    ("both", "$1 && $2", &[]),
    ("either", "$1 || $2", &[]),
];

/// The people, in two accounts. Their ids are fixed: a seed must mean the same in every run.
pub fn people() -> Vec<Person> {
    [("ann", 0), ("ben", 0), ("cem", 0), ("dora", 1), ("eva", 1)]
        .into_iter()
        .enumerate()
        .map(|(number, (name, account))| Person {
            name,
            id: format!("cccccccc-0000-4000-8000-00000000000{number}"),
            account,
            role: "user".to_owned(),
            groups: BTreeSet::new(),
        })
        .collect()
}

/// A world: new collections, or with `keep` the fields of that one under other rules and with other rows.
pub fn world(random: &mut Random, root: &str, keep: Option<&World>) -> World {
    let mut people = people();
    for person in &mut people {
        person.role = random.pick(&ROLES).to_owned();
        person.groups = random.some(&GROUPS).into_iter().map(str::to_owned).collect();
    }
    let mut world = World {
        root: root.to_owned(),
        people,
        collections: Vec::new(),
    };
    for (number, name) in ["places", "things"].into_iter().enumerate() {
        let fields = match keep {
            Some(world) => world.collections[number].fields.clone(),
            None => fields(random, name),
        };
        let mut collection = Collection {
            name: name.to_owned(),
            fields,
            rules: std::array::from_fn(|_| Rule::Public),
            lists: std::array::from_fn(|_| None),
            rows: Vec::new(),
        };
        let ids: Vec<String> = (0..3 + random.below(8)).map(|_| uuid(random)).collect();
        collection.rules = Operation::ALL.map(|operation| rule(random, &collection, operation, &ids));
        for list in &mut collection.lists {
            if random.one_in(2) {
                let names: Vec<String> = collection.fields.iter().map(|field| field.name.clone()).collect();
                let mut some = random.some(&names);
                // Lists tend to be long, or everything computed would be hidden.
                some.extend(random.some(&names));
                some.sort();
                some.dedup();
                *list = Some(some);
            }
        }
        world.collections.push(collection);
        for id in ids {
            let row = row(random, &world, number, id);
            world.collections[number].rows.push(row);
        }
    }
    world
}

fn uuid(random: &mut Random) -> String {
    let (high, low) = (random.seed(), random.seed());
    format!(
        "{:08x}-{:04x}-4{:03x}-8{:03x}-{:012x}",
        high >> 32,
        high >> 16 & 0xffff,
        high & 0xfff,
        low >> 52,
        low & 0xffff_ffff_ffff
    )
}

fn fields(random: &mut Random, collection: &str) -> Vec<Field> {
    let field = |name: &str, kind, wire| Field {
        name: name.to_owned(),
        kind,
        wire,
        mask: None,
        default: None,
        unique: false,
        refers: None,
        computed: None,
    };
    let mut pool = vec![
        field("title", Kind::Text, "text"),
        field("status", Kind::Text, "text"),
        field("mail", Kind::Text, "email"),
        field("views", Kind::Number, "number"),
        field("score", Kind::Number, "number"),
        field("public", Kind::Bool, "boolean"),
        field("active", Kind::Bool, "boolean"),
        field("at", Kind::Time, "datetime"),
        field("day", Kind::Date, "date"),
        field("meta", Kind::Json, "json"),
        field("owner", Kind::Id, "user"),
        field("author", Kind::Text, "text"),
        Field {
            unique: true,
            ..field("code", Kind::Text, "text")
        },
    ];
    pool.retain(|_| !random.one_in(2));
    if collection == "things" && !random.one_in(4) {
        let action = random.pick(&["cascade", "set_null", "restrict"]);
        pool.push(Field {
            refers: Some(("places".to_owned(), action)),
            ..field("place", Kind::Id, "reference")
        });
    }
    for field in &mut pool {
        if random.one_in(4) {
            field.mask = match field.name.as_str() {
                "mail" => Some("email"),
                "title" => Some(random.pick(&["full", "name", "custom"])),
                "views" | "author" => Some("full"),
                _ => None,
            };
        }
        if matches!(field.kind, Kind::Text | Kind::Number | Kind::Bool) && !field.unique && random.one_in(4) {
            // A default of null is none.
            field.default = Some(value(random, field)).filter(|value| *value != Value::Null);
        }
    }
    let words = Vocabulary::new(&pool, false, false);
    for (name, kind, wire) in [
        ("label", Kind::Text, "text"),
        ("sum", Kind::Number, "number"),
        ("busy", Kind::Bool, "boolean"),
    ] {
        if !random.one_in(3)
            && let Some(made) = words.computed(random, kind)
        {
            pool.push(Field {
                computed: Some(made),
                ..field(name, kind, wire)
            });
        }
    }
    if pool.is_empty() {
        pool.push(field("title", Kind::Text, "text"));
    }
    pool
}

fn rule(random: &mut Random, collection: &Collection, operation: Operation, ids: &[String]) -> Rule {
    match random.below(12) {
        0 => Rule::Locked,
        1 | 2 => Rule::Public,
        _ => {
            let data = matches!(operation, Operation::Create | Operation::Update);
            let mut words = Vocabulary::new(&collection.fields, true, data);
            words.ids.extend_from_slice(ids);
            let depth = random.below(3);
            Rule::When(words.condition(random, depth))
        }
    }
}

/// A value of a stored field; NULL every fourth time.
fn value(random: &mut Random, field: &Field) -> Value {
    let text = |text: &str| Value::Text(text.to_owned());
    if random.one_in(4) {
        return Value::Null;
    }
    match (field.kind, field.name.as_str()) {
        (_, "author") => text(&random.pick(&people()).id),
        (_, "mail") => text(random.pick(&ADDRESSES)),
        (Kind::Text, "title") if random.one_in(2) => text(random.pick(&NAMES)),
        (Kind::Text, _) => text(random.pick(&TEXTS)),
        (Kind::Number, _) => Value::Number(random.pick(&NUMBERS)),
        (Kind::Bool, _) => Value::Bool(random.one_in(2)),
        (Kind::Time, _) => Value::Time(time::parse(random.pick(&TIMES)[0])),
        (Kind::Date, _) => Value::Date(random.pick(&DAYS).to_owned()),
        (Kind::Json, _) => Value::Json(random.pick(&["{}", "[1]", "\"x\"", "false"]).to_owned()),
        (Kind::Id, _) => Value::Null,
    }
}

/// The id of something a reference in that account can refer to.
fn target(random: &mut Random, world: &World, field: &Field, account: &str) -> Value {
    let ids: Vec<String> = match &field.refers {
        None => world
            .people
            .iter()
            .filter(|person| ACCOUNTS[person.account].0 == account)
            .map(|person| person.id.clone())
            .collect(),
        Some((target, _)) => world
            .collections
            .iter()
            .filter(|collection| collection.name == *target)
            .flat_map(|collection| &collection.rows)
            .filter(|row| row["account_id"] == Value::Text(account.to_owned()))
            .filter_map(|row| match &row["id"] {
                Value::Text(id) => Some(id.clone()),
                _ => None,
            })
            .collect(),
    };
    if ids.is_empty() || random.one_in(4) {
        Value::Null
    } else {
        Value::Text(random.pick(&ids))
    }
}

fn row(random: &mut Random, world: &World, number: usize, id: String) -> Row {
    let account = random.below(2);
    let writers: Vec<String> = world
        .people
        .iter()
        .filter(|person| person.account == account)
        .map(|person| person.id.clone())
        .chain(["anonymous".to_owned()])
        .collect();
    let stamp = |random: &mut Random| Value::Time(time::parse(random.pick(&TIMES)[0]));
    let mut row = Row::from([
        ("id".to_owned(), Value::Text(id)),
        (
            "account_id".to_owned(),
            Value::Text(ACCOUNTS[account].0.to_owned()),
        ),
        ("created_at".to_owned(), stamp(random)),
        ("updated_at".to_owned(), stamp(random)),
        ("created_by".to_owned(), Value::Text(random.pick(&writers))),
        ("updated_by".to_owned(), Value::Text(random.pick(&writers))),
    ]);
    for field in stored(&world.collections[number]) {
        let value = match field.kind {
            Kind::Id => target(random, world, field, ACCOUNTS[account].0),
            _ => value(random, field),
        };
        let taken = |other: &Row| other[&field.name] == value && other["account_id"] == row["account_id"];
        let taken = field.unique && world.collections[number].rows.iter().any(taken);
        let value = if taken { Value::Null } else { value };
        row.insert(field.name.clone(), value);
    }
    row
}

fn stored(collection: &Collection) -> impl Iterator<Item = &Field> {
    collection.fields.iter().filter(|field| field.computed.is_none())
}

/// A request of that world.
pub fn request(random: &mut Random, world: &World) -> Request {
    let collection = random.below(world.collections.len());
    let caller = match random.below(10) {
        0 => Caller::Anonymous(random.below(2)),
        1 => Caller::Superadmin,
        _ => Caller::Person(random.below(world.people.len())),
    };
    let via = if random.one_in(3) {
        Via::Login
    } else {
        Via::Entered
    };
    let of = &world.collections[collection];
    let account = world.identity(caller).account;
    // Mostly of the own account, seldom of nobody.
    let own = |row: &&Row| caller == Caller::Superadmin || row["account_id"] == Value::Text(account.clone());
    let id = |random: &mut Random| {
        let own: Vec<&Row> = of.rows.iter().filter(own).collect();
        let all: Vec<&Row> = of.rows.iter().collect();
        let rows = if random.one_in(5) { all } else { own };
        match rows.get(random.below(rows.len() + 1)).map(|row| &row["id"]) {
            Some(Value::Text(id)) => id.clone(),
            _ => uuid(random),
        }
    };
    let some_id = |random: &mut Random| if random.one_in(2) { Some(id(random)) } else { None };
    let action = match random.below(26) {
        0..=6 => Action::List(query(random, world, of, caller)),
        7 | 8 => Action::Get {
            id: id(random),
            fields: field_names(random, of),
            expand: paths(random, of),
        },
        20 | 21 => Action::Pages {
            query: query(random, world, of, caller),
            count: random.one_in(2),
        },
        22 | 23 => aggregate(random, world, of, caller),
        24 => Action::CreateMany(
            (0..1 + random.below(3))
                .map(|_| body(random, world, of, Operation::Create, &account))
                .collect(),
        ),
        25 => match random.below(3) {
            0 => Action::DeleteMany((0..1 + random.below(3)).map(|_| id(random)).collect()),
            _ => Action::UpdateMany(
                (0..1 + random.below(3))
                    .map(|_| {
                        let mut body = body(random, world, of, Operation::Update, &account);
                        // Which of two records may have a value first is not laid down.
                        body.retain(|(name, _)| of.field(name).is_none_or(|field| !field.unique));
                        (id(random), body)
                    })
                    .collect(),
            ),
        },
        9 => Action::Create {
            body: body(random, world, of, Operation::Create, &account),
        },
        10 | 11 => Action::Update {
            id: id(random),
            body: body(random, world, of, Operation::Update, &account),
            replace: random.one_in(4),
        },
        12 => Action::Delete { id: id(random) },
        13 | 14 => {
            let operation = random.pick(&[Operation::List, Operation::View]);
            let mut columns = vec!["id".to_owned()];
            let hidden = random.one_in(6);
            columns.extend(
                stored(of)
                    .filter(|field| hidden || of.allows(operation, &field.name))
                    .map(|field| field.name.clone())
                    .filter(|_| !random.one_in(4)),
            );
            let tested = random
                .one_in(3)
                .then(|| random.pick(&stored(of).collect::<Vec<_>>()).name.clone());
            Action::Select {
                via,
                operation,
                columns,
                tested,
            }
        }
        15 => Action::Insert {
            via,
            body: body(random, world, of, Operation::Create, &account),
        },
        16 => {
            let mut body = body(random, world, of, Operation::Update, &account);
            if body.is_empty() {
                let field = random.pick(&stored(of).collect::<Vec<_>>()).name.clone();
                body.push((field, Value::Null));
            }
            Action::Change {
                via,
                id: some_id(random),
                body,
            }
        }
        17 => Action::Remove {
            via,
            id: some_id(random),
        },
        _ => Action::Report,
    };
    let writes = matches!(
        action,
        Action::Create { .. } | Action::CreateMany(_) | Action::Insert { .. }
    );
    let caller = match (&action, caller) {
        (Action::Report, _) => Caller::Bi(random.below(2)),
        // The login of a service is the first of the people.
        _ if login(&action) => Caller::Person(0),
        // A superadmin's new records would be in the system account, which has no people here.
        (_, Caller::Superadmin) if writes => Caller::Person(1),
        (_, caller) => caller,
    };
    Request {
        caller,
        collection,
        action,
    }
}

fn login(action: &Action) -> bool {
    matches!(
        action,
        Action::Select { via: Via::Login, .. }
            | Action::Insert { via: Via::Login, .. }
            | Action::Change { via: Via::Login, .. }
            | Action::Remove { via: Via::Login, .. }
    )
}

/// Some fields of a collection, seldom with names nobody has.
fn field_names(random: &mut Random, collection: &Collection) -> Option<Vec<String>> {
    random.one_in(4).then(|| {
        let names: Vec<String> = collection
            .fields
            .iter()
            .map(|field| field.name.clone())
            .chain(["nobody".to_owned()])
            .collect();
        random.some(&names)
    })
}

fn body(
    random: &mut Random,
    world: &World,
    collection: &Collection,
    operation: Operation,
    account: &str,
) -> Body {
    let forbidden = random.one_in(8);
    let fields: Vec<&Field> = stored(collection)
        .filter(|field| forbidden || collection.allows(operation, &field.name))
        .collect();
    let mut body = Body::new();
    for field in random.some(&fields) {
        let value = match field.kind {
            // Now and then something of the other account.
            Kind::Id => {
                let account = if random.one_in(8) {
                    random.pick(&ACCOUNTS).0
                } else {
                    account
                };
                target(random, world, field, account)
            }
            _ => value(random, field),
        };
        body.push((field.name.clone(), value));
    }
    // What only the server sets. (It refuses or overrides what a superadmin says by SQL.)
    if random.one_in(20) && account != SYSTEM {
        let name = random.pick(&["account_id", "created_by", "updated_by"]);
        body.push((name.to_owned(), Value::Text(random.pick(&ACCOUNTS).0.to_owned())));
    }
    body
}

/// The fields a caller may ask about, now and then all; masked ones seldom, for they answer few questions.
fn usable(random: &mut Random, world: &World, collection: &Collection, caller: Caller) -> Vec<Field> {
    let identity = world.identity(caller);
    let readable = collection.readable(Operation::List, &identity);
    let (anything, masked) = (
        random.one_in(10),
        random.one_in(3) || identity.sees_personal_data(),
    );
    collection
        .fields
        .iter()
        .filter(|field| anything || readable.contains(field))
        .filter(|field| masked || collection.mask(field).is_none())
        .cloned()
        .collect()
}

fn words_of(collection: &Collection, usable: &[Field]) -> Vocabulary {
    let mut words = Vocabulary::new(usable, false, false);
    words
        .ids
        .extend(collection.rows.iter().filter_map(|row| match &row["id"] {
            Value::Text(id) => Some(id.clone()),
            _ => None,
        }));
    words
}

/// References to follow, now and then through something else.
fn paths(random: &mut Random, collection: &Collection) -> Vec<String> {
    if !random.one_in(3) {
        return Vec::new();
    }
    let mut paths: Vec<String> = Vec::new();
    for field in collection.fields.iter().filter(|field| field.kind == Kind::Id) {
        if !random.one_in(3) {
            paths.push(field.name.clone());
        }
        if field.refers.is_some() && random.one_in(2) {
            paths.push(format!("{}.owner", field.name));
        }
    }
    if random.one_in(12) {
        paths.push(random.pick(&collection.fields).name);
    }
    paths
}

fn aggregate(random: &mut Random, world: &World, collection: &Collection, caller: Caller) -> Action {
    let usable = usable(random, world, collection, caller);
    let mut functions: Vec<(&'static str, Option<String>)> = vec![("count", None)];
    for field in &usable {
        let function = match field.kind {
            Kind::Number => random.pick(&["sum", "avg", "min", "max", "count"]),
            Kind::Text | Kind::Time | Kind::Date => random.pick(&["min", "max", "count"]),
            _ => "count",
        };
        if random.one_in(2) {
            functions.push((function, Some(field.name.clone())));
        }
    }
    let mut names: Vec<String> = usable
        .iter()
        .filter(|field| field.kind != Kind::Json)
        .map(|field| field.name.clone())
        .collect();
    names.extend(["created_by".to_owned(), "created_at".to_owned()]);
    let groups = match random.below(3) {
        0 => Vec::new(),
        1 => vec![random.pick(&names)],
        _ => random.some(&names).into_iter().take(2).collect(),
    };
    let depth = random.below(2);
    let filter = random
        .one_in(2)
        .then(|| words_of(collection, &usable).condition(random, depth));
    Action::Aggregate {
        functions,
        groups,
        filter,
    }
}

fn query(random: &mut Random, world: &World, collection: &Collection, caller: Caller) -> Query {
    let usable = usable(random, world, collection, caller);
    let words = words_of(collection, &usable);
    let depth = random.below(3);
    let filter = random.one_in(2).then(|| words.condition(random, depth));
    let json = random.one_in(2) && filter.as_ref().is_some_and(|filter| filter.as_json().is_some());
    let names: Vec<String> = usable
        .iter()
        .map(|field| field.name.clone())
        .chain(SYSTEM_FIELDS.map(|(name, _)| name.to_owned()))
        .collect();
    let mut sort: Vec<(String, bool)> = Vec::new();
    for _ in 0..random.below(3) {
        let name = random.pick(&names);
        if sort.iter().all(|(key, _)| *key != name) {
            sort.push((name, random.one_in(2)));
        }
    }
    let (skip, limit) = match random.below(3) {
        0 => (random.below(4), 1 + random.below(4)),
        1 => (0, 100),
        _ => (0, 30),
    };
    Query {
        filter,
        json,
        sort,
        skip,
        limit,
        fields: field_names(random, collection),
        expand: paths(random, collection),
    }
}

/// The names an expression may use.
struct Vocabulary {
    fields: Vec<(String, Kind)>,
    stored: Vec<(String, Kind)>,
    /// Whether the caller can be asked for, and macros used.
    rule: bool,
    /// Whether `@request.data` can be.
    data: bool,
    ids: Vec<String>,
}

impl Vocabulary {
    fn new(fields: &[Field], rule: bool, data: bool) -> Self {
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
    fn condition(&self, random: &mut Random, depth: usize) -> Expr {
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
        match random.below(5) {
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
    fn computed(&self, random: &mut Random, kind: Kind) -> Option<Expr> {
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
