//! Keyset paging: contract of records §3.6.

use std::collections::BTreeSet;

use serde_json::{Value, json};
use snackbase_e2e::{Api, World};

async fn world() -> World {
    let world = World::new().await;
    world
        .define(json!({
            "name": "rows",
            "fields": [
                {"name": "label", "type": "text", "required": true},
                {"name": "amount", "type": "number"},
                {"name": "active", "type": "boolean"},
                {"name": "day", "type": "date"},
                {"name": "moment", "type": "datetime"},
                {"name": "ssn", "type": "text", "pii": true},
                {"name": "hidden", "type": "text"},
                {"name": "half", "type": "computed", "return_type": "number", "expression": "amount / 2"}
            ],
            "list_rule": "", "create_rule": "",
            "list_fields": ["label", "amount", "active", "day", "moment", "ssn", "half"]
        }))
        .await;
    let records: Vec<Value> = (0..23)
        .map(|n: i32| {
            json!({
                "label": format!("{:02}", n * 7 % 23),
                "amount": if n % 4 == 0 { Value::Null } else { json!(f64::from(n % 5) / 3.0) },
                "active": (n % 3 > 0).then_some(n % 3 == 1),
                "day": if n % 6 == 0 { Value::Null } else { json!(format!("2024-01-{:02}", n % 3 + 1)) },
                "moment": if n % 5 == 0 { Value::Null } else { json!(format!("2024-01-01T00:00:0{}.{}Z", n % 2, n)) },
                "ssn": format!("{n:09}"), "hidden": format!("{}", 99 - n)
            })
        })
        .collect();
    world
        .bob
        .post("/records/rows/batch", json!({"records": records}))
        .await
        .expect(201);
    world
        .carol
        .post("/records/rows", json!({"label": "theirs"}))
        .await
        .expect(201);
    world
}

async fn page(api: &Api, query: &[(&str, &str)]) -> Value {
    api.query("/records/rows", query).await.expect(200)
}

fn ids(page: &Value) -> Vec<String> {
    let items = page["items"].as_array().expect("items");
    items
        .iter()
        .map(|item| item["id"].as_str().expect("an id").to_owned())
        .collect()
}

const SORTS: [&str; 12] = [
    "",
    "created_at",
    "-label",
    "amount",
    "-amount",
    "active,-amount",
    "-active,day",
    "day",
    "-moment",
    "moment,label",
    "half,-day",
    "-id",
];

#[tokio::test]
async fn pages_follow_each_other_without_gap_or_repetition_whatever_is_null() {
    let world = world().await;
    for sort in SORTS {
        let whole = ids(&page(&world.bob, &[("sort", sort), ("limit", "100")]).await);
        assert_eq!(whole.iter().collect::<BTreeSet<_>>().len(), 23, "{sort}");
        let mut seen = Vec::new();
        let mut cursor = String::new();
        let mut pages = Vec::new();
        loop {
            let this = page(&world.bob, &[("sort", sort), ("limit", "5"), ("cursor", &cursor)]).await;
            seen.extend(ids(&this));
            assert_eq!(
                this["prev_cursor"].is_null(),
                cursor.is_empty(),
                "{sort}: the first page has no previous one"
            );
            assert_eq!(
                this["next_cursor"].is_null(),
                !this["has_more"].as_bool().expect("has_more")
            );
            assert_eq!(this["total"], Value::Null);
            assert!(this.get("skip").is_none() && this.get("limit").is_none());
            pages.push(this.clone());
            match this["next_cursor"].as_str() {
                Some(next) => cursor = next.to_owned(),
                None => break,
            }
        }
        assert_eq!(seen, whole, "{sort}");
        assert_eq!(pages.len(), 5, "{sort}");
        // And back, page by page.
        for at in (1..pages.len()).rev() {
            let before = pages[at]["prev_cursor"].as_str().expect("a previous page");
            let back = page(
                &world.bob,
                &[("sort", sort), ("limit", "5"), ("cursor_before", before)],
            )
            .await;
            assert_eq!(ids(&back), ids(&pages[at - 1]), "{sort}: back from page {at}");
            assert_eq!(back["prev_cursor"].is_null(), at == 1, "{sort}: {back}");
            assert_eq!(back["has_more"], true);
            let again = back["next_cursor"].as_str().expect("the page we came from");
            let again = page(&world.bob, &[("sort", sort), ("limit", "5"), ("cursor", again)]).await;
            assert_eq!(ids(&again), ids(&pages[at]), "{sort}: and forth again");
        }
    }
}

#[tokio::test]
async fn the_count_is_there_when_asked_for() {
    let world = world().await;
    let counted = page(
        &world.bob,
        &[
            ("cursor", ""),
            ("include_count", "true"),
            ("limit", "3"),
            ("filter", "active = true"),
        ],
    )
    .await;
    assert_eq!(counted["total"], 8);
    assert_eq!(ids(&counted).len(), 3);
    let unknown = world
        .bob
        .query("/records/rows", &[("cursor", ""), ("include_count", "maybe")])
        .await;
    assert_eq!(unknown.status, 422, "{}", unknown.text);
}

#[tokio::test]
async fn a_cursor_is_good_for_its_own_list_only() {
    let world = world().await;
    let first = page(
        &world.bob,
        &[
            ("sort", "amount"),
            ("filter", "active = true"),
            ("limit", "2"),
            ("cursor", ""),
        ],
    )
    .await;
    let cursor = first["next_cursor"].as_str().expect("more").to_owned();
    let same = [
        ("sort", "+amount,id"),
        ("filter", "active = true"),
        ("cursor", cursor.as_str()),
    ];
    page(&world.bob, &same).await;
    let mut flipped = cursor.clone().into_bytes();
    flipped[20] = if flipped[20] == b'A' { b'B' } else { b'A' };
    let flipped = String::from_utf8(flipped).expect("ASCII");
    let cases: [(&Api, &[(&str, &str)]); 7] = [
        (
            &world.bob,
            &[
                ("sort", "-amount"),
                ("filter", "active = true"),
                ("cursor", &cursor),
            ],
        ),
        (
            &world.bob,
            &[
                ("sort", "amount"),
                ("filter", "active = false"),
                ("cursor", &cursor),
            ],
        ),
        (&world.bob, &[("sort", "amount"), ("cursor", &cursor)]),
        (
            &world.carol,
            &[
                ("sort", "amount"),
                ("filter", "active = true"),
                ("cursor", &cursor),
            ],
        ),
        (
            &world.root,
            &[
                ("sort", "amount"),
                ("filter", "active = true"),
                ("cursor", &cursor),
            ],
        ),
        (
            &world.bob,
            &[
                ("sort", "amount"),
                ("filter", "active = true"),
                ("cursor", &flipped),
            ],
        ),
        (&world.bob, &[("cursor", "eyJzb3J0X3ZhbHVlIjoxfQ==")]),
    ];
    for (api, query) in cases {
        let answer = api.query("/records/rows", query).await;
        assert_eq!(
            (answer.status, answer.json["error"].as_str()),
            (400, Some("Invalid cursor")),
            "{query:?}: {}",
            answer.text
        );
    }
    let before = world.bob.query("/records/rows", &[("cursor_before", "x")]).await;
    assert_eq!(
        (before.status, before.json["error"].as_str()),
        (400, Some("Invalid cursor_before")),
        "{}",
        before.text
    );
    let both = world
        .bob
        .query("/records/rows", &[("cursor", ""), ("cursor_before", "")])
        .await;
    assert_eq!(
        (both.status, both.json["error"].as_str()),
        (400, Some("Invalid pagination parameters")),
        "{}",
        both.text
    );
}

#[tokio::test]
async fn what_the_caller_cannot_see_is_no_order_and_in_no_cursor() {
    let world = world().await;
    let masked = world
        .bob
        .query("/records/rows", &[("sort", "-ssn"), ("cursor", "")])
        .await;
    assert_eq!(
        (masked.status, masked.json["error"].as_str()),
        (400, Some("Invalid query")),
        "{}",
        masked.text
    );
    let newest = ids(&page(&world.bob, &[]).await);
    let by_hidden = page(&world.bob, &[("sort", "hidden"), ("cursor", "")]).await;
    assert_eq!(
        ids(&by_hidden),
        newest,
        "a field that is not there is no sort key"
    );
    let superadmin = page(&world.root, &[("sort", "ssn"), ("limit", "2"), ("cursor", "")]).await;
    assert_eq!(superadmin["items"][0]["ssn"], "000000000");
}

#[tokio::test]
async fn rows_that_come_and_go_do_not_shift_the_pages() {
    let world = world().await;
    let first = page(&world.bob, &[("limit", "10"), ("cursor", "")]).await;
    let whole = ids(&page(&world.bob, &[("limit", "100")]).await);
    for n in 0..5 {
        world
            .bob
            .post("/records/rows", json!({"label": format!("new {n}")}))
            .await
            .expect(201);
    }
    let cursor = first["next_cursor"].as_str().expect("more");
    let second = page(&world.bob, &[("limit", "10"), ("cursor", cursor)]).await;
    assert_eq!(ids(&second), whole[10..20]);
}
