//! Garbage to every route: always a refusal in the documented shape, nothing written, nobody hurt.
//!
//! `listed` holds the values that are known to break programs, `random` spoils valid requests with a generator. Its seed is
//! printed; `SNACKBASE_GARBAGE_SEED` sets it and `SNACKBASE_GARBAGE_SECONDS` how long it goes on.

mod court;
mod envelope;
mod flows;
mod listed;
mod people;
mod random;
mod scene;
mod wire;

use serde_json::Value;

use court::{Court, Verdict};
use scene::{Sample, Scene, Who, encoded, target};
use wire::Request;

#[tokio::test]
async fn what_is_spoilt_was_valid() {
    let scene = Scene::new().await;
    let mut court = Court::new(&scene.world).await;
    for sample in scene.samples() {
        let request = scene.signed(sample.who, sample.request());
        let status = court.hear("a sample", &request, Verdict::RefusedOrDone).await;
        if status >= 300 {
            court.fail(format!("{}: answered {status}", request.describe()));
        }
    }
    court.close(&scene.world, "samples").await;
}

#[tokio::test]
async fn bodies() {
    let mut scene = Scene::new().await;
    let mut court = Court::new(&scene.world).await;
    let mut turn = 0;
    for sample in scene.samples() {
        let Value::Object(members) = &sample.body else {
            continue;
        };
        let plain = scene.signed(sample.who, Request::new(sample.method, sample.target()));
        for (what, body) in listed::bodies() {
            // The one body that may be left out.
            let optional = body.is_empty() && sample.path.ends_with("/test");
            let verdict = if optional {
                Verdict::RefusedOrDone
            } else {
                Verdict::Refused
            };
            court.hear(what, &plain.clone().body(body), verdict).await;
        }
        for kind in [
            "text/plain",
            "application/x-www-form-urlencoded",
            "application/json; charset=utf-16",
            "multipart/form-data",
            "\u{e9}",
            "",
        ] {
            let request = plain.clone().header("content-type", kind);
            let broken = Request {
                body: Some(b"label=1&name=x".to_vec()),
                ..request
            };
            court
                .hear("a body of another kind", &broken, Verdict::Refused)
                .await;
        }
        for key in members.keys() {
            turn += 1;
            for (what, value) in some(listed::json_values(), 6, turn) {
                let body = with_member(members, key, &value);
                let request = plain.clone().body(body);
                court
                    .hear(&format!("{what} as {key}"), &request, Verdict::RefusedOrDone)
                    .await;
            }
        }
        if court.is_fed_up() {
            break;
        }
        scene.restore().await;
        court.look_again().await;
    }
    court.close(&scene.world, "bodies").await;
}

/// Every so-manieth of a list, for each turn beginning one further on: a few turns together see it all.
/// `SNACKBASE_GARBAGE_ALL` makes every turn see it all.
fn some<T>(list: Vec<T>, step: usize, turn: usize) -> impl Iterator<Item = T> {
    let step = if std::env::var_os("SNACKBASE_GARBAGE_ALL").is_some() {
        1
    } else {
        step
    };
    list.into_iter().skip(turn % step).step_by(step)
}

/// The object with one member replaced by a text that need not be JSON.
fn with_member(members: &serde_json::Map<String, Value>, key: &str, value: &str) -> String {
    let members: Vec<String> = members
        .iter()
        .map(|(name, old)| {
            format!(
                "\"{name}\":{}",
                if name == key {
                    value.to_owned()
                } else {
                    old.to_string()
                }
            )
        })
        .collect();
    format!("{{{}}}", members.join(","))
}

#[tokio::test]
async fn queries_and_paths() {
    let mut scene = Scene::new().await;
    let mut court = Court::new(&scene.world).await;
    let mut turn = 0;
    for sample in scene.samples() {
        let body = (!sample.body.is_null()).then(|| sample.body.to_string().into_bytes());
        let at = |target: Vec<u8>| {
            let request = scene.signed(sample.who, Request::new(sample.method, target));
            Request {
                body: body.clone(),
                ..request
            }
        };
        if sample.method == "GET" {
            for spoilt in 0..sample.query.len() {
                turn += 1;
                for value in some(listed::query_values(), 3, turn) {
                    let query = sample.query.iter().enumerate().map(|(number, (name, old))| {
                        (
                            *name,
                            if number == spoilt {
                                value.clone()
                            } else {
                                encoded(old)
                            },
                        )
                    });
                    let what = format!("a value of {}", sample.query[spoilt].0);
                    court
                        .hear(&what, &at(target(&sample.path, query)), Verdict::RefusedOrDone)
                        .await;
                }
            }
            for query in strange_queries() {
                let target = [sample.path.as_bytes(), b"?", &query].concat();
                court
                    .hear("a strange query", &at(target), Verdict::RefusedOrDone)
                    .await;
            }
        }
        let segments: Vec<&str> = sample.path.split('/').skip(1).collect();
        for spoilt in 0..segments.len() {
            turn += 1;
            for segment in some(listed::segments(), 4, turn) {
                let mut path = Vec::new();
                for (number, old) in segments.iter().enumerate() {
                    path.push(b'/');
                    path.extend_from_slice(if number == spoilt {
                        &segment
                    } else {
                        old.as_bytes()
                    });
                }
                // Not every byte may stand in a request line, nor may it be of any length; and some paths are other routes.
                let plain =
                    path.len() < 8000 && path.iter().all(|byte| byte.is_ascii_graphic() && *byte != b'"');
                let verdict = if plain {
                    Verdict::RefusedOrDone
                } else {
                    Verdict::Anything
                };
                court.hear("a spoilt path", &at(path), verdict).await;
            }
        }
        if court.is_fed_up() {
            break;
        }
        scene.restore().await;
        court.look_again().await;
    }
    court.close(&scene.world, "queries and paths").await;
}

/// Whole query strings.
fn strange_queries() -> Vec<Vec<u8>> {
    let mut queries: Vec<Vec<u8>> = [
        "&&&",
        "=",
        "==&=",
        "?",
        "%",
        "%zz=1",
        "%00=%00",
        "%FF=%FF",
        "a=1&a=2",
        "constructor=1&__proto__=1",
        "limit[]=1",
        "filter[label]=1",
    ]
    .into_iter()
    .map(|query| query.as_bytes().to_owned())
    .collect();
    queries.push(
        (0..5000)
            .map(|n| format!("p{n}={n}"))
            .collect::<Vec<_>>()
            .join("&")
            .into_bytes(),
    );
    queries.push("limit=1&".repeat(5000).into_bytes());
    queries.push("&".repeat(60_000).into_bytes());
    queries
}

#[tokio::test]
async fn expressions() {
    let mut scene = Scene::new().await;
    let mut court = Court::new(&scene.world).await;
    let list = |filter: &str| {
        Request::new(
            "GET",
            target("/records/samples", [("filter", encoded(filter))].into_iter()),
        )
    };
    for (turn, expression) in listed::expressions().into_iter().enumerate() {
        // As a filter. What the server takes for a request line is limited, too.
        let verdict = if expression.len() > 15_000 {
            Verdict::Anything
        } else {
            Verdict::RefusedOrDone
        };
        for who in [Who::Anonymous, Who::Root] {
            court
                .hear("a filter", &scene.signed(who, list(&expression)), verdict)
                .await;
        }
        for name in some(vec!["having", "functions", "group_by"], 2, turn) {
            let query = [
                ("functions", "count(),sum(amount)".to_owned()),
                (name, expression.clone()),
            ];
            let skip = usize::from(name == "functions");
            let query = query[skip..].iter().map(|(name, value)| (*name, encoded(value)));
            let request = Request::new("GET", target("/records/samples/aggregate", query));
            court
                .hear(name, &scene.signed(Who::Alice, request), verdict)
                .await;
        }
        // As a rule, and what the rule then does.
        for rule in some(vec!["list_rule", "update_rule"], 2, turn) {
            let rules = serde_json::json!({ rule: expression }).to_string();
            let request = scene.signed(
                Who::Root,
                Request::new("PUT", "/collections/samples/rules").body(rules),
            );
            if court.hear(rule, &request, Verdict::RefusedOrDone).await == 200 {
                for sample in scene
                    .samples()
                    .iter()
                    .filter(|sample| sample.path.contains("samples") && sample.who != Who::Root)
                {
                    if sample.method != "DELETE" {
                        let request = scene.signed(sample.who, sample.request());
                        court
                            .hear(&format!("{rule} {expression}"), &request, Verdict::RefusedOrDone)
                            .await;
                    }
                }
                scene.restore().await;
                court.look_again().await;
            }
        }
        // As a rule that is only tried.
        let context =
            serde_json::json!({"record": {"label": "x", "amount": 1, "active": true}, "auth": {"id": "u"}});
        let body = serde_json::json!({"rule": expression, "context": context, "operation": "list", "collectionFields": ["label", "amount"]});
        for path in some(vec!["/rules/test", "/rules/validate"], 2, turn) {
            let request = scene.signed(Who::Root, Request::new("POST", path).body(body.to_string()));
            court.hear(path, &request, Verdict::RefusedOrDone).await;
        }
        // As a computed field.
        let body = serde_json::json!({"name": "calculated", "fields": [{"name": "amount", "type": "number"}, {"name": "label", "type": "text"},
            {"name": "c", "type": "computed", "expression": expression, "return_type": "number"}]});
        let request = scene.signed(
            Who::Root,
            Request::new("POST", "/collections").body(body.to_string()),
        );
        if court
            .hear("a computed field", &request, Verdict::RefusedOrDone)
            .await
            == 201
        {
            let record =
                Request::new("POST", "/records/calculated").body("{\"amount\": 3, \"label\": \"x\"}");
            court
                .hear(
                    &format!("computed {expression}"),
                    &scene.signed(Who::Root, record),
                    Verdict::RefusedOrDone,
                )
                .await;
            let list = Request::new("GET", "/records/calculated?sort=c&filter=c+IS+NULL");
            court
                .hear(
                    &format!("computed {expression}"),
                    &scene.signed(Who::Root, list),
                    Verdict::RefusedOrDone,
                )
                .await;
            scene
                .world
                .root
                .delete("/collections/calculated")
                .await
                .expect(200);
            court.look_again().await;
        }
        if court.is_fed_up() {
            break;
        }
    }
    court.close(&scene.world, "expressions").await;
}

#[tokio::test]
async fn queries_of_macros() {
    let scene = Scene::new().await;
    let mut court = Court::new(&scene.world).await;
    let root = |request| scene.signed(Who::Root, request);
    for query in listed::queries() {
        let body = serde_json::json!({"name": "odd", "sql_query": query, "parameters": []}).to_string();
        let create = root(Request::new("POST", "/macros").body(body));
        if court.hear("a macro", &create, Verdict::RefusedOrDone).await != 201 {
            continue;
        }
        let macros = scene.world.root.get("/macros").await.expect(200);
        let odd = macros
            .as_array()
            .and_then(|macros| macros.iter().find(|one| one["name"] == "odd"));
        let id = odd.expect("the macro just made")["id"].to_string();
        let test = root(Request::new("POST", format!("/macros/{id}/test")).body("{}"));
        court
            .hear(&format!("a dry run of {query}"), &test, Verdict::RefusedOrDone)
            .await;
        let rule = root(
            Request::new("PUT", "/collections/samples/rules")
                .body("{\"list_rule\": \"@odd() = 1 || @odd()\"}"),
        );
        court
            .hear(&format!("a rule of {query}"), &rule, Verdict::RefusedOrDone)
            .await;
        let rule =
            root(Request::new("PUT", "/collections/samples/rules").body("{\"list_rule\": \"@odd()\"}"));
        let saved = court
            .hear(&format!("a rule of {query}"), &rule, Verdict::RefusedOrDone)
            .await;
        if saved == 200 {
            let list = scene.signed(Who::Alice, Request::new("GET", "/records/samples"));
            // What never ends is ended by a timeout, which is no refusal.
            if !listed::ENDLESS.contains(&query.as_str()) {
                court
                    .hear(&format!("a list by {query}"), &list, Verdict::RefusedOrDone)
                    .await;
            }
            scene
                .world
                .rules("samples", serde_json::json!({"list_rule": ""}))
                .await;
        }
        scene
            .world
            .root
            .delete(&format!("/macros/{id}"))
            .await
            .expect(204);
        court.look_again().await;
        if court.is_fed_up() {
            break;
        }
    }
    court.close(&scene.world, "queries of macros").await;
}

#[tokio::test]
async fn whatever_comes() {
    let mut scene = Scene::new().await;
    let mut court = Court::new(&scene.world).await;
    let mut dice = random::dice("requests");
    let patience = random::patience();
    let started = std::time::Instant::now();
    while started.elapsed() < patience && !court.is_fed_up() {
        scene.restore().await;
        court.look_again().await;
        let samples = scene.samples();
        for _ in 0..100 {
            let sample: &Sample = dice.choice(&samples).expect("samples");
            let request = random::spoilt(&mut dice, sample);
            court
                .hear("at random", &scene.signed(sample.who, request), Verdict::Anything)
                .await;
        }
    }
    court.close(&scene.world, "at random").await;
}
