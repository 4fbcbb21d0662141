//! Random requests.

use super::generate::{stored, target, uuid, value};
use super::language::{Kind, Value};
use super::model::{ACCOUNTS, Caller, Collection, Field, Operation, Row, SYSTEM, SYSTEM_FIELDS, World};
use super::random::Random;
use super::request::{Action, Address, Body, Query, Request, Totals, Via};
use super::words::Vocabulary;

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
    let address = |random: &mut Random| Address {
        id: random.one_in(2).then(|| id(random)),
        tested: random
            .one_in(5)
            .then(|| random.pick(&stored(of).collect::<Vec<_>>()).name.clone()),
    };
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
                at: address(random),
                body,
            }
        }
        17 => Action::Remove {
            via,
            at: address(random),
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
    Action::Aggregate(Totals {
        functions,
        groups,
        filter,
        more_than: random.one_in(4).then(|| random.below(3)),
    })
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
