//! Requests as HTTP.

use reqwest::Method;
use serde_json::{Map, Value as Json, json};
use snackbase_e2e::{Answer as HttpAnswer, Api};

use super::model::{Collection, to_json};
use super::request::{Action, Body, Query, Totals};
use super::stage::Answer;

/// Method, path with query, and body.
pub fn http(collection: &Collection, action: &Action) -> (Method, String, Option<String>) {
    let path = format!("/records/{}", collection.name);
    let batch = format!("{path}/batch");
    let object = |body: &Body| -> Json {
        let members = body.iter().map(|(name, value)| (name.clone(), to_json(value)));
        members.collect::<Map<_, _>>().into()
    };
    let one = |id: &str| format!("{path}/{id}");
    match action {
        Action::List(query) | Action::Pages { query, .. } => {
            let mut pairs = parameters_of(query);
            pairs.push(("skip", query.skip.to_string()));
            (Method::GET, format!("{path}{}", parameters(pairs)), None)
        }
        Action::Aggregate(Totals {
            functions,
            groups,
            filter,
            more_than,
        }) => {
            let call = |(function, field): &(&str, Option<String>)| {
                format!("{function}({})", field.as_deref().unwrap_or_default())
            };
            let mut pairs = vec![(
                "functions",
                functions.iter().map(call).collect::<Vec<_>>().join(","),
            )];
            if !groups.is_empty() {
                pairs.push(("group_by", groups.join(",")));
            }
            pairs.extend(filter.iter().map(|filter| ("filter", filter.to_string())));
            pairs.extend(
                more_than
                    .iter()
                    .map(|least| ("having", format!("count() > {least}"))),
            );
            (
                Method::GET,
                format!("{path}/aggregate{}", parameters(pairs)),
                None,
            )
        }
        Action::Get { id, fields, expand } => {
            let mut pairs: Vec<(&str, String)> =
                fields.iter().map(|fields| ("fields", listed(fields))).collect();
            if !expand.is_empty() {
                pairs.push(("expand", expand.join(",")));
            }
            (Method::GET, format!("{}{}", one(id), parameters(pairs)), None)
        }
        Action::CreateMany(bodies) => {
            let records: Vec<Json> = bodies.iter().map(object).collect();
            (Method::POST, batch, Some(json!({"records": records}).to_string()))
        }
        Action::UpdateMany(changes) => {
            let record = |(id, body): &(String, Body)| json!({"id": id, "data": object(body)});
            let records: Vec<Json> = changes.iter().map(record).collect();
            (
                Method::PATCH,
                batch,
                Some(json!({"records": records}).to_string()),
            )
        }
        Action::DeleteMany(ids) => (Method::DELETE, batch, Some(json!({"ids": ids}).to_string())),
        Action::Create { body } => (Method::POST, path, Some(object(body).to_string())),
        Action::Update { id, body, replace } => (
            if *replace { Method::PUT } else { Method::PATCH },
            one(id),
            Some(object(body).to_string()),
        ),
        Action::Delete { id } => (Method::DELETE, one(id), None),
        _ => panic!("{action:?} is a statement"),
    }
}

/// A query string.
fn parameters(pairs: Vec<(&str, String)>) -> String {
    let mut url = reqwest::Url::parse("http://localhost").expect("a constant URL");
    url.query_pairs_mut().extend_pairs(pairs);
    url.query()
        .filter(|query| !query.is_empty())
        .map_or_else(String::new, |query| format!("?{query}"))
}

/// The parameters of a list, `skip` aside.
fn parameters_of(query: &Query) -> Vec<(&'static str, String)> {
    let mut pairs = vec![("limit", query.limit.to_string())];
    if let Some(filter) = &query.filter {
        let json = filter.as_json().filter(|_| query.json);
        pairs.push((
            "filter",
            json.map_or_else(|| filter.to_string(), |json| json.to_string()),
        ));
    }
    if !query.sort.is_empty() {
        let key = |(name, descending): &(String, bool)| {
            if *descending {
                format!("-{name}")
            } else {
                name.clone()
            }
        };
        pairs.push(("sort", query.sort.iter().map(key).collect::<Vec<_>>().join(",")));
    }
    if let Some(fields) = &query.fields {
        pairs.push(("fields", listed(fields)));
    }
    if !query.expand.is_empty() {
        pairs.push(("expand", query.expand.join(",")));
    }
    pairs
}

/// Follows `next_cursor` to the last page and `prev_cursor` back to the first.
pub async fn pages(api: &Api, collection: &Collection, query: &Query, count: bool) -> Answer {
    let mut total;
    let mut found: [Vec<Json>; 2] = [Vec::new(), Vec::new()];
    let (mut direction, mut key, mut cursor) = (0, "cursor", String::new());
    loop {
        let mut pairs = parameters_of(query);
        pairs.push((key, cursor.clone()));
        pairs.push(("include_count", count.to_string()));
        let path = format!("/records/{}{}", collection.name, parameters(pairs));
        let HttpAnswer {
            status,
            mut json,
            text,
            ..
        } = api.get(&path).await;
        if status != 200 {
            return Answer::refused(status.to_string(), text);
        }
        found[direction].push(json["items"].take());
        total = json["total"].take();
        let next = if direction == 0 {
            json["next_cursor"].take()
        } else {
            json["prev_cursor"].take()
        };
        if direction == 0 && json["has_more"] != json!(!next.is_null()) {
            return Answer::given("has_more contradicts next_cursor", json);
        }
        if found[direction].len() > 50 {
            return Answer::given("the pages do not end", json);
        }
        match (next, direction) {
            (Json::String(next), _) => cursor = next,
            (_, 0) => match json["prev_cursor"].take() {
                Json::String(previous) => (direction, key, cursor) = (1, "cursor_before", previous),
                _ => break,
            },
            _ => break,
        }
    }
    let [forward, backward] = found;
    Answer::given(
        "200",
        json!({"forward": forward, "backward": backward, "total": total}),
    )
}

/// The value of `fields`; an empty one would mean everything.
fn listed(fields: &[String]) -> String {
    if fields.is_empty() {
        "id".to_owned()
    } else {
        fields.join(",")
    }
}
