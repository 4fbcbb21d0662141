//! The differential proof of isolation: random accounts, people, rules, rows and requests; a reference evaluator in a few
//! lines of plain Rust says what must be visible and writable, and every door has to agree with it.
//!
//! | Module | What |
//! |---|---|
//! | `generate`, `words`, `ask` | random worlds, rules and requests, from a seed |
//! | `language`, `evaluate` | rules as trees: how they are written, what they mean in three-valued logic |
//! | `model` | who there is and who may see which rows and columns |
//! | `request` | what can be asked |
//! | `reference`, `reading`, `writing` | what the answer to a request must be |
//! | `stage`, `http`, `statement` | the world in a real installation, and its doors: HTTP, `enter()` with plain SQL, a service's login, the BI login |
//! | `shrink` | a disagreement with everything left out that does not matter |
//! | `faults` | planted defects that have to be found |
//!
//! | Variable | Meaning |
//! |---|---|
//! | `SNACKBASE_DIFFERENTIAL_SEED` | run this seed only (a report names it) |
//! | `SNACKBASE_DIFFERENTIAL_SECONDS` | run new seeds for so long (`make differential`) |

mod ask;
mod evaluate;
mod faults;
mod generate;
mod http;
mod language;
mod model;
mod random;
mod reading;
mod reference;
mod report;
mod request;
mod shrink;
mod stage;
mod statement;
mod time;
mod words;
mod writing;

use std::collections::BTreeMap;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use faults::Fault;
use futures_util::future::join_all;
use serde_json::Value as Json;

use language::Value;
use model::{Row, World};
use random::Random;
use reference::expect;
use report::report;
use request::{Expected, Request, fits, now};
use shrink::{Case, candidates};
use stage::{Answer, Stage};

/// Worlds of one seed, all with the same fields, and requests to each.
const WORLDS: usize = 3;
const REQUESTS: usize = 60;
/// Seeds of an ordinary test run.
const SEEDS: u64 = 16;
/// A planted fault has to be found within so many seeds.
const SEEDS_FOR_A_FAULT: u64 = 40;
/// How long a case is made smaller, and that of a planted fault.
const SHRINKING: Duration = Duration::from_secs(30);
const SHRINKING_A_FAULT: Duration = Duration::from_secs(5);

/// A request whose answer is not what the reference says.
struct Disagreement {
    case: Case,
    seed: u64,
    expected: Expected,
    seen: Answer,
    /// What is wrong beside the answer.
    note: String,
}

/// How often each door answered what, for example `list 200` or `change 42501`; `+` when there was something to show.
type Tally = BTreeMap<String, usize>;

/// Answers that an ordinary run has to contain: a reference that agrees because nothing happens proves nothing.
const MUST_OCCUR: &str = "list 200, list 200+, list 400, list 401, list 403, pages 200, pages 200+, pages 400, \
    aggregate 200+, aggregate 400, aggregate 403, get 200+, get 400, get 401, get 403, get 404, \
    create 201+, create 400, create 403, create 422, create-many 201+, create-many 400, create-many 422, \
    update 200+, update 400, update 403, update 404, update 422, update-many 200+, update-many 400, update-many 404, \
    delete 204, delete 403, delete 404, delete-many 200+, delete-many 404, select 00000, select 00000+, select 42501, \
    insert 00000+, insert 42501, change 00000, change 00000+, change 42501, change 44000, \
    remove 00000, remove 00000+, report 00000, report 00000+";

/// Runs one seed; counts its answers.
async fn run(
    stage: &mut Stage,
    seed: u64,
    fault: Option<Fault>,
    tally: &mut Tally,
) -> Result<(), Box<Disagreement>> {
    let mut random = Random::new(seed);
    let mut last: Option<World> = None;
    for _ in 0..WORLDS {
        let mut world = generate::world(&mut random, &stage.root, last.as_ref());
        stage.install(&world, fault).await;
        for _ in 0..REQUESTS {
            let request = ask::request(&mut random, &world);
            match agree(stage, &mut world, &request).await {
                Ok(answer) => {
                    *tally
                        .entry(format!("{} {answer}", request.action.name()))
                        .or_default() += 1
                }
                Err((expected, seen, note)) => {
                    let case = Case { world, request };
                    return Err(Box::new(Disagreement {
                        case,
                        seed,
                        expected,
                        seen,
                        note,
                    }));
                }
            }
        }
        last = Some(world);
    }
    Ok(())
}

/// Sends one request and compares; a write that was accepted is taken over into the world.
async fn agree(
    stage: &Stage,
    world: &mut World,
    request: &Request,
) -> Result<String, (Expected, Answer, String)> {
    let expected = expect(world, request);
    let seen = stage.send(world, request).await;
    let shows = match &seen.body {
        Json::Array(rows) => !rows.is_empty(),
        Json::Object(page) => page.get("total").is_none_or(|total| total != 0),
        _ => false,
    };
    let summary = format!("{}{}", seen.code, if shows { "+" } else { "" });
    let code = expected.codes.contains(&seen.code.as_str());
    if !code || (!expected.body.is_null() && !fits(&expected.body, &seen.body)) {
        return Err((expected, seen, String::new()));
    }
    if let Some(id) = betrayed(world, request, &seen) {
        return Err((
            expected,
            seen,
            format!("the refusal names the foreign record {id}"),
        ));
    }
    if !request.action.is_kept() {
        return Ok(summary);
    }
    let found = stage.rows(world).await;
    let wanted: Vec<&[Row]> = match &expected.after {
        Some(after) => after.iter().map(Vec::as_slice).collect(),
        None => world
            .collections
            .iter()
            .map(|collection| collection.rows.as_slice())
            .collect(),
    };
    for (wanted, found) in wanted.iter().zip(&found) {
        if let Some(note) = difference(wanted, found) {
            return Err((expected, seen, note));
        }
    }
    if expected.after.is_some() {
        for (collection, mut rows) in world.collections.iter_mut().zip(found) {
            // In their old order, new ones last: ids of new records are another in every run, the next choices are not.
            let place = |row: &Row| collection.rows.iter().position(|old| old["id"] == row["id"]);
            rows.sort_by_cached_key(|row| {
                (
                    place(row).unwrap_or(usize::MAX),
                    model::to_json(&row["created_at"]).to_string(),
                )
            });
            collection.rows = rows;
        }
    }
    Ok(summary)
}

/// The id of a record of another account that a refusal names without having been asked about it.
fn betrayed(world: &World, request: &Request, seen: &Answer) -> Option<String> {
    let caller = world.identity(request.caller);
    if caller.superadmin || seen.refusal.is_empty() {
        return None;
    }
    let asked = stage::describe(world, request);
    let rows = world.collections.iter().flat_map(|collection| &collection.rows);
    rows.filter(|row| row["account_id"] != Value::Text(caller.account.clone()))
        .map(|row| evaluate::plain(&row["id"]))
        .find(|id| seen.refusal.contains(id) && !asked.contains(id))
}

/// What distinguishes the stored rows from those that should be there.
fn difference(wanted: &[Row], found: &[Row]) -> Option<String> {
    let anything = [now(), Value::Text(request::NEW.to_owned())];
    let same = |wanted: &Row, found: &Row| {
        wanted
            .iter()
            .all(|(name, value)| anything.contains(value) || found.get(name) == Some(value))
    };
    let missing = wanted
        .iter()
        .find(|wanted| !found.iter().any(|found| same(wanted, found)));
    let extra = found
        .iter()
        .find(|found| !wanted.iter().any(|wanted| same(wanted, found)));
    match (missing, extra) {
        (None, None) if wanted.len() == found.len() => None,
        (missing, extra) => Some(format!("stored afterwards: {extra:?}\ninstead of: {missing:?}")),
    }
}

/// Leaves out of a case what is not needed for the disagreement.
async fn shrink(stage: &mut Stage, found: Disagreement, fault: Option<Fault>) -> Disagreement {
    let mut best = found;
    let start = Instant::now();
    let most = if fault.is_some() {
        SHRINKING_A_FAULT
    } else {
        SHRINKING
    };
    let mut progress = true;
    while progress && start.elapsed() < most {
        progress = false;
        let mut index = 0;
        let mut list = candidates(&best.case);
        while index < list.len() && start.elapsed() < most {
            let case = list[index].clone();
            let mut world = case.world.clone();
            stage.install(&world, fault).await;
            match agree(stage, &mut world, &case.request).await {
                Ok(_) => index += 1,
                Err((expected, seen, note)) => {
                    best = Disagreement {
                        case,
                        expected,
                        seen,
                        note,
                        ..best
                    };
                    list = candidates(&best.case);
                    progress = true;
                }
            }
        }
    }
    best
}

fn number_of(variable: &str) -> Option<u64> {
    let text = std::env::var(variable).ok()?;
    Some(
        text.parse()
            .unwrap_or_else(|_| panic!("{variable} is a whole number, not {text}")),
    )
}

/// Runs seeds until the time is over, or all of them.
async fn search(seeds: impl Iterator<Item = u64>, deadline: Option<Instant>) -> Tally {
    let mut stage = Stage::new().await;
    let start = Instant::now();
    let mut tally = Tally::new();
    let mut worlds = 0;
    for seed in seeds {
        if deadline.is_some_and(|deadline| Instant::now() > deadline) {
            break;
        }
        if let Err(found) = run(&mut stage, seed, None, &mut tally).await {
            let whole = report(&found);
            let small = shrink(&mut stage, *found, None).await;
            panic!(
                "a door disagrees with the reference.\n{}\nas it was found:\n{whole}",
                report(&small)
            );
        }
        worlds += WORLDS;
    }
    let seconds = start.elapsed().as_secs_f64();
    let cases: usize = tally.values().sum();
    #[expect(clippy::cast_precision_loss, reason = "a rate for people")]
    let rate = cases as f64 / seconds;
    println!("{cases} requests to {worlds} worlds in {seconds:.1} s, {rate:.0} per second: {tally:?}");
    tally
}

#[tokio::test]
async fn every_door_agrees_with_the_reference() {
    let only = number_of("SNACKBASE_DIFFERENTIAL_SEED");
    let seconds = number_of("SNACKBASE_DIFFERENTIAL_SECONDS");
    match (only, seconds) {
        (Some(seed), _) => {
            search(std::iter::once(seed), None).await;
        }
        (None, Some(seconds)) => {
            let time = SystemTime::now()
                .duration_since(UNIX_EPOCH)
                .expect("it is later than 1970");
            let deadline = Instant::now() + Duration::from_secs(seconds);
            search(time.as_secs() * 1_000.., Some(deadline)).await;
        }
        (None, None) => {
            let tally = search(1..=SEEDS, None).await;
            for answer in MUST_OCCUR.split(", ") {
                assert!(tally.contains_key(answer), "{answer} does not occur: {tally:?}");
            }
        }
    }
}

/// Plants a fault and looks for it; the report of what was found.
async fn find(fault: Fault) -> Option<String> {
    let mut stage = Stage::new().await;
    for seed in 1..=SEEDS_FOR_A_FAULT {
        if let Err(found) = run(&mut stage, seed, Some(fault), &mut Tally::new()).await {
            return Some(report(&shrink(&mut stage, *found, Some(fault)).await));
        }
    }
    None
}

#[tokio::test]
async fn planted_faults_are_found() {
    let reports = join_all(Fault::ALL.map(find)).await;
    for (fault, report) in Fault::ALL.into_iter().zip(reports) {
        let report = report.unwrap_or_else(|| panic!("{fault:?} was not found in {SEEDS_FOR_A_FAULT} seeds"));
        println!("{fault:?}: {report}");
    }
}
