//! Batches: all or nothing, in order, each item as if it came alone. Contract of records §5.

use reqwest::Method;
use serde_json::{Value, json};
use snackbase_e2e::{Answer, Api, World};

async fn world() -> World {
    let world = World::new().await;
    world
        .define(json!({"name": "owners", "fields": [{"name": "name", "type": "text"}], "list_rule": "", "create_rule": "", "delete_rule": ""}))
        .await;
    world
        .define(json!({
            "name": "items",
            "fields": [
                {"name": "code", "type": "text", "required": true, "unique": true},
                {"name": "amount", "type": "number", "default": 1},
                {"name": "day", "type": "date"},
                {"name": "moment", "type": "datetime"},
                {"name": "extra", "type": "json"},
                {"name": "owner", "type": "reference", "collection": "owners", "on_delete": "restrict"},
                {"name": "state", "type": "text"},
                {"name": "internal", "type": "text", "default": "kept"},
                {"name": "double", "type": "computed", "return_type": "number", "expression": "amount * 2"}
            ],
            "list_rule": "", "view_rule": "", "create_rule": "@request.data.state != \"forbidden\" || @request.data.state IS NULL",
            "update_rule": "state != \"frozen\" || state IS NULL", "delete_rule": "state != \"frozen\" || state IS NULL",
            "create_fields": ["code", "amount", "day", "moment", "extra", "owner", "state", "double"],
            "update_fields": ["code", "amount", "day", "moment", "extra", "owner", "state", "double"]
        }))
        .await;
    world
}

async fn send(api: &Api, method: Method, body: Value) -> Answer {
    api.send(method, "/records/items/batch", Some(&body.to_string()))
        .await
}

async fn ids(api: &Api, codes: &[&str]) -> Vec<String> {
    let records: Vec<Value> = codes.iter().map(|code| json!({"code": code})).collect();
    let made = send(api, Method::POST, json!({"records": records}))
        .await
        .expect(201);
    let made = made["created"].as_array().expect("an array").clone();
    made.iter()
        .map(|record| record["id"].as_str().expect("an id").to_owned())
        .collect()
}

async fn state(world: &World) -> (i64, String) {
    let superuser = world.database.superuser().await;
    let row = superuser
        .query_one("select (select count(*) from snackbase.audit_change), coalesce((select string_agg(t::text, ';' order by code) from snackbase.col_items t), '')", &[])
        .await
        .expect("the superuser reads");
    (row.get(0), row.get(1))
}

#[tokio::test]
async fn a_batch_is_created_in_order() {
    let world = world().await;
    let owner = world
        .bob
        .post("/records/owners", json!({"name": "o"}))
        .await
        .expect(201)["id"]
        .clone();
    let body = json!({"records": [
        {"code": "c", "amount": 5, "day": "2024-02-29", "moment": "2024-02-29T10:00:00+02:00", "extra": {"a": [1]}, "owner": owner},
        {"code": "a"},
        {"code": "b", "amount": null, "state": "new", "extra": null, "double": 99}
    ]});
    let made = send(&world.bob, Method::POST, body).await.expect(201);
    assert_eq!(made["count"], 3);
    let created = made["created"].as_array().expect("an array");
    let codes: Vec<_> = created
        .iter()
        .map(|record| record["code"].as_str().unwrap_or("?"))
        .collect();
    assert_eq!(codes, ["c", "a", "b"]);
    assert_eq!(created[0]["moment"], "2024-02-29T08:00:00Z");
    assert_eq!(
        (&created[0]["extra"], &created[0]["day"], &created[0]["owner"]),
        (&json!({"a": [1]}), &json!("2024-02-29"), &owner)
    );
    assert_eq!(created[1]["amount"], 1, "a default where nothing is given");
    assert_eq!(created[2]["amount"], Value::Null, "and null where null is");
    assert_eq!(created[0]["double"], 10);
    assert!(
        created.iter().all(|record| record.get("internal").is_none()),
        "trimmed to create_fields: {made}"
    );
    let superuser = world.database.superuser().await;
    assert_eq!(
        superuser
            .value("select count(*) from snackbase.col_items where internal = 'kept'")
            .await,
        "3"
    );
    assert_eq!(
        superuser
            .value("select count(*) from snackbase.audit_change where table_name = 'col_items'")
            .await,
        "3"
    );
    assert!(world.audit_findings().await.is_empty());
}

#[tokio::test]
async fn the_first_bad_item_is_named_and_nothing_is_written() {
    let world = world().await;
    ids(&world.bob, &["taken"]).await;
    let foreign = world
        .carol
        .post("/records/owners", json!({"name": "theirs"}))
        .await
        .expect(201)["id"]
        .clone();
    let before = state(&world).await;
    let cases = [
        (
            json!([{"code": "x"}, {"code": 5}, {}]),
            400,
            1,
            "code:invalid_type",
        ),
        (
            json!([{"code": "x"}, {"code": "y"}, {"code": "z", "day": "soon"}]),
            400,
            2,
            "day:invalid_date_format",
        ),
        (
            json!([{"code": "x"}, {"code": "y"}, {"code": "x"}]),
            400,
            2,
            "code:not_unique",
        ),
        (
            json!([{"code": "x"}, {"code": "taken"}]),
            400,
            1,
            "code:not_unique",
        ),
        (
            json!([{"code": "x", "owner": foreign}, {"code": "y"}]),
            400,
            0,
            "owner:invalid_reference",
        ),
    ];
    for (records, status, index, code) in cases {
        let answer = send(&world.bob, Method::POST, json!({"records": records})).await;
        assert_eq!(answer.status, status, "{records}: {}", answer.text);
        assert_eq!(answer.json["error"], "validation_error", "{}", answer.text);
        assert_eq!(answer.json["index"], index, "{records}: {}", answer.text);
        assert_eq!(answer.codes(), [code], "{records}");
    }
    let denied = send(
        &world.bob,
        Method::POST,
        json!({"records": [{"code": "x"}, {"code": "y", "state": "forbidden"}]}),
    )
    .await;
    assert_eq!(
        (denied.status, &denied.json["index"]),
        (400, &json!(1)),
        "{}",
        denied.text
    );
    assert_eq!(denied.json["message"], "Record does not satisfy collection rules");
    for (item, kind) in [
        (
            json!({"code": "x", "account_id": world.account_id("carol")}),
            "system",
        ),
        (json!({"code": "x", "internal": "y"}), "restricted"),
    ] {
        for api in [&world.bob, &world.root] {
            if kind == "restricted" && std::ptr::eq(api, &world.root) {
                continue;
            }
            let answer = send(api, Method::POST, json!({"records": [{"code": "w"}, item]})).await;
            assert_eq!(
                (answer.status, answer.json["detail"]["field_type"].as_str()),
                (422, Some(kind)),
                "{}",
                answer.text
            );
        }
    }
    assert_eq!(state(&world).await, before, "no row and no entry");
}

#[tokio::test]
async fn a_batch_has_a_shape_and_a_size() {
    let world = world().await;
    for body in [
        json!({}),
        json!({"records": []}),
        json!({"records": {}}),
        json!({"records": null}),
        json!({"records": [1]}),
        json!({"records": [[]]}),
    ] {
        let answer = send(&world.bob, Method::POST, body.clone()).await;
        assert_eq!(answer.status, 422, "{body}: {}", answer.text);
    }
    for body in [
        json!({"records": [{"id": 5, "data": {}}]}),
        json!({"records": [{"id": "x"}]}),
        json!({"records": [{"data": {}}]}),
        json!({"records": [{"id": "x", "data": []}]}),
    ] {
        let answer = send(&world.bob, Method::PATCH, body.clone()).await;
        assert_eq!(answer.status, 422, "{body}: {}", answer.text);
    }
    for body in [json!({"ids": []}), json!({"ids": [1]}), json!({"records": []})] {
        let answer = send(&world.bob, Method::DELETE, body.clone()).await;
        assert_eq!(answer.status, 422, "{body}: {}", answer.text);
    }
    let many: Vec<Value> = (0..101).map(|n| json!({"code": n.to_string()})).collect();
    let answer = send(&world.bob, Method::POST, json!({"records": many})).await;
    assert_eq!(
        (answer.status, answer.json["error"].as_str()),
        (400, Some("batch_too_large")),
        "{}",
        answer.text
    );
    let hundred = send(&world.bob, Method::POST, json!({"records": &many[..100]}))
        .await
        .expect(201);
    assert_eq!(hundred["count"], 100);
    let closed = World::new().await;
    let locked = closed
        .bob
        .send(Method::DELETE, "/records/posts/batch", Some("{\"ids\": [\"x\"]}"))
        .await;
    assert_eq!(locked.status, 403, "delete is locked on posts: {}", locked.text);
}

#[tokio::test]
async fn a_batch_changes_each_record_by_its_own_keys() {
    let world = world().await;
    let ids = ids(&world.bob, &["a", "b", "c"]).await;
    let body = json!({"records": [
        {"id": ids[1], "data": {"amount": 7}},
        {"id": ids[0], "data": {"state": "first", "extra": {"x": 1}}},
        {"id": ids[1], "data": {"state": "second"}},
        {"id": ids[2], "data": {}}
    ]});
    let changed = send(&world.bob, Method::PATCH, body).await.expect(200);
    assert_eq!(changed["count"], 4);
    let updated = changed["updated"].as_array().expect("an array");
    let show = |at: usize| json!([updated[at]["code"], updated[at]["amount"], updated[at]["state"]]);
    assert_eq!(show(0), json!(["b", 7, null]));
    assert_eq!(show(1), json!(["a", 1, "first"]));
    assert_eq!(
        show(2),
        json!(["b", 7, "second"]),
        "the same record again, in order"
    );
    assert_eq!(show(3), json!(["c", 1, null]));
    assert!(
        updated[3]["updated_at"].as_str() > updated[3]["created_at"].as_str(),
        "an empty change is one"
    );
    assert!(world.audit_findings().await.is_empty());
}

#[tokio::test]
async fn what_a_rule_hides_is_not_found_and_nothing_changes() {
    let world = world().await;
    let ids = ids(&world.bob, &["a", "b", "c"]).await;
    let frozen = json!({"records": [{"id": ids[1], "data": {"state": "frozen"}}]});
    send(&world.bob, Method::PATCH, frozen).await.expect(200);
    let theirs = world
        .carol
        .post("/records/items", json!({"code": "t"}))
        .await
        .expect(201)["id"]
        .clone();
    let before = state(&world).await;
    for (id, index) in [
        (json!(ids[1]), 1),
        (theirs, 1),
        (json!("6a0e0d4c-0000-4000-8000-000000000000"), 1),
        (json!("no uuid"), 1),
    ] {
        let text = id.as_str().expect("a text");
        let body =
            json!({"records": [{"id": ids[0], "data": {"amount": 9}}, {"id": id, "data": {"amount": 9}}]});
        let answer = send(&world.bob, Method::PATCH, body).await;
        assert_eq!(
            (answer.status, &answer.json["index"]),
            (404, &json!(index)),
            "{}",
            answer.text
        );
        assert_eq!(answer.json["error"], "not_found");
        assert_eq!(
            answer.json["message"],
            format!("Record '{text}' not found (index {index})")
        );
        let answer = send(&world.bob, Method::DELETE, json!({"ids": [ids[0], id, ids[2]]})).await;
        assert_eq!(
            (answer.status, &answer.json["index"]),
            (404, &json!(index)),
            "{}",
            answer.text
        );
    }
    let twice =
        json!({"records": [{"id": ids[0], "data": {"code": "z"}}, {"id": ids[2], "data": {"code": "z"}}]});
    let answer = send(&world.bob, Method::PATCH, twice).await;
    assert_eq!(
        (answer.status, &answer.json["index"], answer.codes()),
        (400, &json!(1), vec!["code:not_unique".to_owned()]),
        "{}",
        answer.text
    );
    assert_eq!(state(&world).await, before, "no row and no entry");
}

#[tokio::test]
async fn a_batch_deletes_once_and_respects_references() {
    let world = world().await;
    let all = ids(&world.bob, &["a", "b", "c"]).await;
    let deleted = send(
        &world.bob,
        Method::DELETE,
        json!({"ids": [all[2], all[0], all[2]]}),
    )
    .await
    .expect(200);
    assert_eq!(deleted, json!({"deleted": [all[2], all[0]], "count": 2}));
    let one = world
        .bob
        .post("/records/owners", json!({"name": "one"}))
        .await
        .expect(201)["id"]
        .clone();
    let two = world
        .bob
        .post("/records/owners", json!({"name": "two"}))
        .await
        .expect(201)["id"]
        .clone();
    world
        .bob
        .post("/records/items", json!({"code": "d", "owner": two}))
        .await
        .expect(201);
    let body = json!({"ids": [one, two]}).to_string();
    let answer = world
        .bob
        .send(Method::DELETE, "/records/owners/batch", Some(&body))
        .await;
    assert_eq!(
        (answer.status, &answer.json["index"]),
        (409, &json!(1)),
        "{}",
        answer.text
    );
    let rest = world.bob.get("/records/owners").await.expect(200);
    assert_eq!(rest["total"], 2, "nothing was deleted");
    assert!(world.audit_findings().await.is_empty());
}

#[tokio::test]
async fn a_batch_that_is_cancelled_is_not_tried_again() {
    let world = world().await;
    let superuser = world.database.superuser().await;
    superuser
        .batch_execute(
            "create function public.dawdle() returns trigger language plpgsql as
                 $f$ begin perform pg_catalog.pg_sleep(0.3); return new; end $f$;
             alter event trigger snackbase_guard_ddl disable;
             create trigger m_dawdle before insert on snackbase.col_owners for each row execute function public.dawdle();
             alter event trigger snackbase_guard_ddl enable always",
        )
        .await
        .expect("the superuser defines a slow trigger");
    let caller =
        json!({"kind": "user", "user_id": world.user_id("bob"), "account_id": world.account_id("bob")});
    let body = json!({"records": [{"name": "one"}, {"name": "two"}]});
    let session = world.database.gateway_role().await;
    session
        .batch_execute("set statement_timeout = '150ms'")
        .await
        .expect("everybody may");
    let state = session
        .state_of(&format!(
            "select case when snackbase.enter('{caller}', 'create') then snackbase.records_create_many('owners', '{body}') end"
        ))
        .await;
    assert_eq!(state, "57014");
    assert_eq!(
        superuser.value("select count(*) from snackbase.col_owners").await,
        "0"
    );
}
