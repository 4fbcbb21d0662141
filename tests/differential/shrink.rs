//! Smaller cases: each candidate leaves one thing out. Whoever calls keeps those that still disagree.

use super::language::{Expr, Value};
use super::model::{Collection, Rule, World};
use super::request::{Action, Address, Body, Request, Totals};

/// A world and one request.
#[derive(Debug, Clone)]
pub struct Case {
    pub world: World,
    pub request: Request,
}

/// Every case that is this one with something left out; what leaves out most comes first.
pub fn candidates(case: &Case) -> Vec<Case> {
    let mut found = Vec::new();
    let mut with = |change: &dyn Fn(&mut Case) -> bool| {
        let mut smaller = case.clone();
        if change(&mut smaller) {
            found.push(smaller);
        }
    };
    let collections = case.world.collections.len();
    for number in 0..collections {
        with(&|case| remove_rows(&mut case.world, number, |_| true));
        for part in 0..2 {
            with(&|case| {
                let half = case.world.collections[number].rows.len().div_ceil(2);
                remove_rows(&mut case.world, number, |index| (index < half) == (part == 0))
            });
        }
        with(&|case| {
            let rules = &mut case.world.collections[number].rules;
            let reduced = std::array::from_fn(|_| Rule::Public);
            std::mem::replace(rules, reduced) != *rules
        });
        with(&|case| {
            let lists = &mut case.world.collections[number].lists;
            std::mem::take(lists) != *lists
        });
    }
    with(&|case| {
        let people = &mut case.world.people;
        let before = people.clone();
        for person in people.iter_mut() {
            person.groups.clear();
            "user".clone_into(&mut person.role);
        }
        before != *people
    });
    for request in smaller_requests(&case.request) {
        with(&|case| {
            case.request = request.clone();
            true
        });
    }
    for number in 0..collections {
        let collection = &case.world.collections[number];
        for rule in 0..collection.rules.len() {
            for smaller in smaller_rules(&collection.rules[rule]) {
                with(&|case| {
                    case.world.collections[number].rules[rule] = smaller.clone();
                    true
                });
            }
        }
        for permission in 0..collection.permissions.len() {
            with(&|case| {
                case.world.collections[number].permissions.remove(permission);
                true
            });
            with(&|case| {
                let permission = &mut case.world.collections[number].permissions[permission];
                permission.fields.take().is_some()
            });
            for smaller in smaller_rules(&collection.permissions[permission].rule) {
                with(&|case| {
                    case.world.collections[number].permissions[permission].rule = smaller.clone();
                    true
                });
            }
        }
        for list in 0..collection.lists.len() {
            with(&|case| case.world.collections[number].lists[list].take().is_some());
        }
        for row in 0..collection.rows.len() {
            with(&|case| remove_rows(&mut case.world, number, |index| index == row));
        }
        for field in 0..collection.fields.len() {
            with(&|case| remove_field(case, number, field));
            with(&|case| case.world.collections[number].fields[field].mask.take().is_some());
            with(&|case| {
                case.world.collections[number].fields[field]
                    .default
                    .take()
                    .is_some()
            });
        }
    }
    found
}

/// Rows by their index; references to them become NULL.
fn remove_rows(world: &mut World, number: usize, gone: impl Fn(usize) -> bool) -> bool {
    let collection = &mut world.collections[number];
    let name = collection.name.clone();
    let mut ids = Vec::new();
    let mut index = 0;
    collection.rows.retain(|row| {
        let keep = !gone(index);
        index += 1;
        if !keep {
            ids.push(row["id"].clone());
        }
        keep
    });
    for collection in &mut world.collections {
        for field in &collection.fields {
            if field.refers.as_ref().is_some_and(|(target, _)| *target == name) {
                for row in &mut collection.rows {
                    if row.get(&field.name).is_some_and(|value| ids.contains(value)) {
                        row.insert(field.name.clone(), Value::Null);
                    }
                }
            }
        }
    }
    !ids.is_empty()
}

/// A field that no rule, computed field or filter names.
fn remove_field(case: &mut Case, number: usize, index: usize) -> bool {
    let collection: &mut Collection = &mut case.world.collections[number];
    let name = collection.fields[index].name.clone();
    let narrowing = collection.permissions.iter().map(|permission| &permission.rule);
    let used = collection
        .rules
        .iter()
        .chain(narrowing)
        .any(|rule| matches!(rule, Rule::When(condition) if condition.mentions(&name)))
        || collection
            .fields
            .iter()
            .any(|field| field.computed.as_ref().is_some_and(|made| made.mentions(&name)));
    if used || collection.fields.len() == 1 {
        return false;
    }
    collection.fields.remove(index);
    for row in &mut collection.rows {
        row.remove(&name);
    }
    let narrowed = collection
        .permissions
        .iter_mut()
        .map(|permission| &mut permission.fields);
    for list in collection.lists.iter_mut().chain(narrowed).flatten() {
        list.retain(|listed| *listed != name);
    }
    if case.request.collection != number {
        return true;
    }
    match &mut case.request.action {
        Action::List(query) => {
            query.sort.retain(|(key, _)| *key != name);
            query.expand.retain(|path| *path != name);
            !query.filter.as_ref().is_some_and(|filter| filter.mentions(&name))
        }
        Action::Pages { query, .. } => {
            query.sort.retain(|(key, _)| *key != name);
            query.expand.retain(|path| *path != name);
            !query.filter.as_ref().is_some_and(|filter| filter.mentions(&name))
        }
        Action::Aggregate(totals) => {
            totals
                .functions
                .retain(|(_, field)| field.as_ref() != Some(&name));
            totals.groups.retain(|group| *group != name);
            !totals.functions.is_empty()
                && !totals
                    .filter
                    .as_ref()
                    .is_some_and(|filter| filter.mentions(&name))
        }
        Action::Get { expand, .. } => {
            expand.retain(|path| *path != name);
            true
        }
        Action::CreateMany(bodies) => {
            for body in bodies {
                body.retain(|(key, _)| *key != name);
            }
            true
        }
        Action::UpdateMany(changes) => {
            for (_, body) in changes {
                body.retain(|(key, _)| *key != name);
            }
            true
        }
        Action::Select { columns, tested, .. } => {
            columns.retain(|column| *column != name);
            tested.as_ref() != Some(&name)
        }
        Action::Create { body } | Action::Insert { body, .. } | Action::Update { body, .. } => {
            body.retain(|(key, _)| *key != name);
            true
        }
        Action::Change { at, body, .. } => {
            body.retain(|(key, _)| *key != name);
            !body.is_empty() && at.tested.as_ref() != Some(&name)
        }
        Action::Remove { at, .. } => at.tested.as_ref() != Some(&name),
        _ => true,
    }
}

fn smaller_rules(rule: &Rule) -> Vec<Rule> {
    match rule {
        Rule::When(condition) => {
            let smaller = smaller_conditions(condition).into_iter().map(Rule::When);
            [Rule::Public].into_iter().chain(smaller).collect()
        }
        Rule::Locked => vec![Rule::Public],
        Rule::Public => Vec::new(),
    }
}

/// Conditions with a part left out.
fn smaller_conditions(expr: &Expr) -> Vec<Expr> {
    let chained = |operands: &[Expr], build: fn(Vec<Expr>) -> Expr| {
        let mut found: Vec<Expr> = operands.to_vec();
        for (index, operand) in operands.iter().enumerate() {
            let rest = |index: usize| {
                let mut rest = operands.to_vec();
                rest.remove(index);
                rest
            };
            if operands.len() > 2 {
                found.push(build(rest(index)));
            }
            for smaller in smaller_conditions(operand) {
                let mut operands = operands.to_vec();
                operands[index] = smaller;
                found.push(build(operands));
            }
        }
        found
    };
    match expr {
        Expr::And(operands) => chained(operands, Expr::And),
        Expr::Or(operands) => chained(operands, Expr::Or),
        Expr::Not(operand) => {
            let inside = smaller_conditions(operand)
                .into_iter()
                .map(|smaller| Expr::Not(Box::new(smaller)));
            [(**operand).clone()].into_iter().chain(inside).collect()
        }
        Expr::Macro(_, meaning) if !matches!(**meaning, Expr::Function(..)) => vec![(**meaning).clone()],
        Expr::Compare(left, operator, right) => {
            let compare = |left: Expr, right: Expr| Expr::Compare(Box::new(left), operator, Box::new(right));
            let numbers = |expr: &Expr| match expr {
                Expr::Arithmetic(..) | Expr::Negate(_) => expr.parts().into_iter().cloned().collect(),
                _ => Vec::new(),
            };
            let is_condition = matches!(
                **left,
                Expr::And(_)
                    | Expr::Or(_)
                    | Expr::Not(_)
                    | Expr::Compare(..)
                    | Expr::In(..)
                    | Expr::IsNull(..)
            );
            let whole = is_condition.then(|| (**left).clone());
            let lefts = numbers(left)
                .into_iter()
                .map(|left| compare(left, (**right).clone()));
            let rights = numbers(right)
                .into_iter()
                .map(|right| compare((**left).clone(), right));
            whole.into_iter().chain(lefts).chain(rights).collect()
        }
        Expr::In(operand, members) if members.len() > 1 => (0..members.len())
            .map(|index| Expr::In(operand.clone(), vec![members[index].clone()]))
            .collect(),
        _ => Vec::new(),
    }
}

fn smaller_requests(request: &Request) -> Vec<Request> {
    let with = |action: Action| Request {
        action,
        ..request.clone()
    };
    match &request.action {
        Action::Pages { query, count } => {
            let smaller = with(Action::List(query.clone()));
            let smaller = smaller_requests(&smaller)
                .into_iter()
                .map(|smaller| match smaller.action {
                    Action::List(query) => with(Action::Pages { query, count: *count }),
                    _ => smaller,
                });
            let uncounted = count.then(|| {
                with(Action::Pages {
                    query: query.clone(),
                    count: false,
                })
            });
            uncounted.into_iter().chain(smaller).collect()
        }
        Action::Aggregate(totals) => {
            let mut found: Vec<Totals> = Vec::new();
            if let Some(filter) = &totals.filter {
                let smaller = smaller_conditions(filter).into_iter().map(Some);
                let filters = [None].into_iter().chain(smaller);
                found.extend(filters.map(|filter| Totals {
                    filter,
                    ..totals.clone()
                }));
            }
            found.extend(without_one(&totals.functions, 1).map(|functions| Totals {
                functions,
                ..totals.clone()
            }));
            found.extend(without_one(&totals.groups, 0).map(|groups| Totals {
                groups,
                ..totals.clone()
            }));
            found.extend(totals.more_than.map(|_| Totals {
                more_than: None,
                ..totals.clone()
            }));
            found
                .into_iter()
                .map(|totals| with(Action::Aggregate(totals)))
                .collect()
        }
        Action::CreateMany(bodies) => without_one(bodies, 1)
            .map(|bodies| with(Action::CreateMany(bodies)))
            .collect(),
        Action::UpdateMany(changes) => without_one(changes, 1)
            .map(|changes| with(Action::UpdateMany(changes)))
            .collect(),
        Action::DeleteMany(ids) => without_one(ids, 1)
            .map(|ids| with(Action::DeleteMany(ids)))
            .collect(),
        Action::List(query) => {
            let mut found = Vec::new();
            if let Some(filter) = &query.filter {
                let smaller = smaller_conditions(filter).into_iter().map(Some);
                for filter in [None].into_iter().chain(smaller) {
                    let json = query.json && filter.as_ref().is_some_and(|filter| filter.as_json().is_some());
                    let mut smaller = query.clone();
                    smaller.filter = filter;
                    smaller.json = json;
                    found.push(smaller);
                }
            }
            if query.json {
                let mut smaller = query.clone();
                smaller.json = false;
                found.push(smaller);
            }
            for index in 0..query.sort.len() {
                let mut smaller = query.clone();
                smaller.sort.remove(index);
                found.push(smaller);
            }
            for expand in without_one(&query.expand, 0) {
                let mut smaller = query.clone();
                smaller.expand = expand;
                found.push(smaller);
            }
            if query.fields.is_some() {
                let mut smaller = query.clone();
                smaller.fields = None;
                found.push(smaller);
            }
            if (query.skip, query.limit) != (0, 30) {
                let mut smaller = query.clone();
                (smaller.skip, smaller.limit) = (0, 30);
                found.push(smaller);
            }
            found.into_iter().map(|query| with(Action::List(query))).collect()
        }
        Action::Select {
            via,
            operation,
            columns,
            tested,
        } => {
            let select = |columns: Vec<String>, tested: Option<String>| {
                with(Action::Select {
                    via: *via,
                    operation: *operation,
                    columns,
                    tested,
                })
            };
            let untested = tested.is_some().then(|| select(columns.clone(), None));
            let fewer = (1..columns.len()).map(|index| {
                let mut columns = columns.clone();
                columns.remove(index);
                select(columns, tested.clone())
            });
            untested.into_iter().chain(fewer).collect()
        }
        Action::Create { body } => without_one(body, 0)
            .map(|body| with(Action::Create { body }))
            .collect(),
        Action::Insert { via, body } => without_one(body, 0)
            .map(|body| with(Action::Insert { via: *via, body }))
            .collect(),
        Action::Update { id, body, replace } => without_one(body, 0)
            .map(|body| {
                with(Action::Update {
                    id: id.clone(),
                    body,
                    replace: *replace,
                })
            })
            .collect(),
        Action::Change { via, at, body } => {
            let change = |at: Address, body: Body| with(Action::Change { via: *via, at, body });
            let shorter = without_one(body, 1).map(|body| change(at.clone(), body));
            untested(at)
                .map(|at| change(at, body.clone()))
                .into_iter()
                .chain(shorter)
                .collect()
        }
        Action::Remove { via, at } => untested(at)
            .map(|at| with(Action::Remove { via: *via, at }))
            .into_iter()
            .collect(),
        Action::Get { id, fields, expand } => {
            let get = |fields: Option<Vec<String>>, expand: Vec<String>| {
                with(Action::Get {
                    id: id.clone(),
                    fields,
                    expand,
                })
            };
            let shorter = without_one(expand, 0).map(|expand| get(fields.clone(), expand));
            let whole = fields.is_some().then(|| get(None, expand.clone()));
            whole.into_iter().chain(shorter).collect()
        }
        _ => Vec::new(),
    }
}

fn untested(at: &Address) -> Option<Address> {
    at.tested.is_some().then(|| Address {
        tested: None,
        ..at.clone()
    })
}

/// A list with one entry left out, as long as more than `least` remain.
fn without_one<T: Clone>(list: &[T], least: usize) -> impl Iterator<Item = Vec<T>> {
    (0..list.len()).filter(move |_| list.len() > least).map(|index| {
        let mut rest = list.to_vec();
        rest.remove(index);
        rest
    })
}
