//! Random worlds. Values come from small sets, so that comparisons hold often; NULL is everywhere.

use std::collections::BTreeSet;

use super::language::{Kind, Value};
use super::model::{ACCOUNTS, Collection, Field, Operation, Permission, Person, Row, Rule, World};
use super::random::Random;
use super::time;
use super::words::{ADDRESSES, DAYS, GROUPS, NAMES, NUMBERS, ROLES, TEXTS, TIMES, Vocabulary};

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
            permissions: Vec::new(),
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
        collection.permissions = permissions(random, &collection, &ids);
        world.collections.push(collection);
        for id in ids {
            let row = row(random, &world, number, id);
            world.collections[number].rows.push(row);
        }
    }
    world
}

/// The id of nothing.
pub fn uuid(random: &mut Random) -> String {
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
        indexed: false,
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
        field.indexed = field.kind == Kind::Text && random.one_in(3);
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
            let depth = random.pick(&[0, 1, 1, 2, 2, 3]);
            Rule::When(words.condition(random, depth))
        }
    }
}

/// What narrows the rules for people of a role; often nothing.
fn permissions(random: &mut Random, collection: &Collection, ids: &[String]) -> Vec<Permission> {
    let mut found: Vec<Permission> = Vec::new();
    for _ in 0..random.below(4) {
        let operation = match random.one_in(2) {
            true => random.pick(&[Operation::Create, Operation::Update]),
            false => random.pick(&Operation::ALL),
        };
        let role = random.pick(&ROLES);
        if found
            .iter()
            .any(|known| known.role == role && known.act == operation.act())
        {
            continue;
        }
        let rule = match rule(random, collection, operation, ids) {
            Rule::Locked => Rule::Public,
            open => open,
        };
        let names: Vec<String> = collection.fields.iter().map(|field| field.name.clone()).collect();
        let fields = (!random.one_in(3)).then(|| random.some(&names));
        found.push(Permission {
            role,
            act: operation.act(),
            rule,
            fields,
        });
    }
    found
}

/// A value of a stored field; NULL every fourth time.
pub fn value(random: &mut Random, field: &Field) -> Value {
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
pub fn target(random: &mut Random, world: &World, field: &Field, account: &str) -> Value {
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

/// The fields that are columns.
pub fn stored(collection: &Collection) -> impl Iterator<Item = &Field> {
    collection.fields.iter().filter(|field| field.computed.is_none())
}
