//! Records: create, read, change, delete, validate, list.

use reqwest::Method;
use serde_json::{Value, json};
use snackbase_e2e::World;

/// A collection with one field of every type that stores a value, open to everybody.
fn samples() -> Value {
    json!({
        "name": "samples",
        "fields": [
            {"name": "label", "type": "text", "required": true},
            {"name": "amount", "type": "number"},
            {"name": "active", "type": "boolean", "default": true},
            {"name": "day", "type": "date"},
            {"name": "moment", "type": "datetime"},
            {"name": "contact", "type": "email"},
            {"name": "site", "type": "url"},
            {"name": "extra", "type": "json"}
        ],
        "list_rule": "", "view_rule": "", "create_rule": "", "update_rule": "", "delete_rule": ""
    })
}

#[tokio::test]
async fn every_type_comes_back_as_it_was_sent() {
    let world = World::new().await;
    world.define(samples()).await;
    let body = json!({
        "label": "Zoë \"quoted\" \\ 🎬", "amount": 1234.5, "active": false, "day": "2024-02-29",
        "moment": "2024-02-29T12:30:00+02:00", "contact": "zoe@example.com", "site": "https://example.com/a?b=c",
        "extra": {"nested": [1, null, "x"]}
    });
    let created = world.alice.post("/records/samples", body).await.expect(201);
    let path = format!("/records/samples/{}", created["id"].as_str().expect("an id"));
    for record in [created, world.alice.get(&path).await.expect(200)] {
        assert_eq!(record["label"], "Zoë \"quoted\" \\ 🎬");
        assert_eq!(record["amount"].as_f64(), Some(1234.5));
        assert_eq!(record["active"], false);
        assert_eq!(record["day"], "2024-02-29");
        assert_eq!(
            record["moment"], "2024-02-29T10:30:00Z",
            "instants are shown in UTC"
        );
        assert_eq!(record["contact"], "zoe@example.com");
        assert_eq!(record["site"], "https://example.com/a?b=c");
        assert_eq!(record["extra"], json!({"nested": [1, null, "x"]}));
        assert_eq!(record["created_by"].as_str(), Some(world.user_id("alice")));
        let created_at = record["created_at"].as_str().expect("a time");
        assert!(
            created_at.contains('T') && created_at.ends_with('Z'),
            "{created_at}"
        );
    }
    let bare = world
        .alice
        .post("/records/samples", json!({"label": "bare"}))
        .await
        .expect(201);
    assert_eq!(bare["active"], true, "defaults are applied");
    assert_eq!(
        bare["amount"],
        Value::Null,
        "and the rest is null, not absent: {bare}"
    );
}

#[tokio::test]
async fn a_malformed_record_names_every_fault() {
    let world = World::new().await;
    world.define(samples()).await;
    let cases = [
        (json!({}), vec!["label:required_missing"]),
        (json!({"label": null}), vec!["label:required_null"]),
        (json!({"label": 5}), vec!["label:invalid_type"]),
        (json!({"label": "x", "amount": "12"}), vec!["amount:invalid_type"]),
        (json!({"label": "x", "amount": true}), vec!["amount:invalid_type"]),
        (
            json!({"label": "x", "active": "yes"}),
            vec!["active:invalid_type"],
        ),
        (json!({"label": "x", "active": 1}), vec!["active:invalid_type"]),
        (
            json!({"label": "x", "day": "2024-02-30"}),
            vec!["day:invalid_date_format"],
        ),
        (
            json!({"label": "x", "moment": "yesterday"}),
            vec!["moment:invalid_datetime_format"],
        ),
        (
            json!({"label": "x", "contact": "nobody"}),
            vec!["contact:invalid_email_format"],
        ),
        (
            json!({"label": "x", "site": "ftp://example.com"}),
            vec!["site:invalid_url_format"],
        ),
        (json!({"label": "x", "nothing": 1}), vec!["nothing:unknown_field"]),
        (
            json!({"nothing": 1, "active": 1, "day": 2024}),
            vec![
                "nothing:unknown_field",
                "label:required_missing",
                "active:invalid_type",
                "day:invalid_type",
            ],
        ),
    ];
    for (body, expected) in cases {
        let answer = world.alice.post("/records/samples", body.clone()).await;
        assert_eq!(answer.codes(), expected, "{body}: {}", answer.text);
        assert_eq!(answer.json["error"], "Validation error");
        for code in &expected {
            let field = code.split(':').next().expect("a field");
            assert!(
                answer.json["errors"][field].is_array(),
                "errors lists {field}: {}",
                answer.text
            );
        }
        answer.expect(400);
    }
    assert_eq!(world.alice.get("/records/samples").await.expect(200)["total"], 0);
    for body in ["[1]", "5", "\"text\"", "{", ""] {
        world
            .alice
            .send(Method::POST, "/records/samples", Some(body))
            .await
            .expect(422);
    }
}

#[tokio::test]
async fn put_replaces_and_patch_changes() {
    let world = World::new().await;
    world.define(samples()).await;
    let body = json!({"label": "one", "amount": 1, "active": false});
    let created = world.alice.post("/records/samples", body).await.expect(201);
    let path = format!("/records/samples/{}", created["id"].as_str().expect("an id"));

    let patched = world.bob.patch(&path, json!({"amount": 2})).await.expect(200);
    assert_eq!(
        (patched["label"].as_str(), patched["amount"].as_f64()),
        (Some("one"), Some(2.0))
    );
    assert_eq!(patched["active"], false);
    assert_eq!(patched["updated_by"].as_str(), Some(world.user_id("bob")));
    assert_eq!(patched["created_by"].as_str(), Some(world.user_id("alice")));

    let put = world.alice.put(&path, json!({"label": "two"})).await.expect(200);
    assert_eq!(put["active"], true, "a field with a default goes back to it");
    assert_eq!(
        put["amount"].as_f64(),
        Some(2.0),
        "a field without one keeps its value"
    );
    let answer = world.alice.put(&path, json!({"amount": 3})).await;
    assert_eq!(answer.codes(), ["label:required_missing"]);
    let untouched = world.alice.patch(&path, json!({})).await.expect(200);
    assert_eq!(untouched["label"], "two");
    assert_ne!(
        untouched["updated_at"], put["updated_at"],
        "an empty patch still counts as a change"
    );
    let cleared = world
        .alice
        .patch(&path, json!({"amount": null}))
        .await
        .expect(200);
    assert_eq!(cleared["amount"], Value::Null);

    let gone = world.alice.delete(&path).await;
    assert_eq!((gone.status, gone.text.as_str()), (204, ""));
    world.alice.get(&path).await.expect(404);
    world.alice.get("/records/samples/not-an-id").await.expect(404);
}

#[tokio::test]
async fn lists_are_filtered_sorted_and_paged_with_an_exact_total() {
    let world = World::new().await;
    world.define(samples()).await;
    for number in 1..=7 {
        let body = json!({"label": format!("n{number}"), "amount": number % 3, "active": number % 2 == 0});
        world.alice.post("/records/samples", body).await.expect(201);
    }
    let labels = |list: &Value| -> String {
        let items = list["items"].as_array().expect("items");
        items
            .iter()
            .map(|item| item["label"].as_str().expect("a label"))
            .collect::<Vec<_>>()
            .join(" ")
    };
    type Query<'a> = &'a [(&'a str, &'a str)];
    let cases: &[(Query<'_>, &str, u64)] = &[
        (&[("sort", "label")], "n1 n2 n3 n4 n5 n6 n7", 7),
        (&[("sort", "-label"), ("limit", "2")], "n7 n6", 7),
        (&[("sort", "+label"), ("limit", "2"), ("skip", "3")], "n4 n5", 7),
        (
            &[("sort", "label"), ("page", "2"), ("perPage", "3")],
            "n4 n5 n6",
            7,
        ),
        (&[("sort", "label"), ("page", "3"), ("per_page", "3")], "n7", 7),
        (&[("sort", "-amount,label")], "n2 n5 n1 n4 n7 n3 n6", 7),
        (&[("sort", "nothing,label"), ("limit", "1")], "n1", 7),
        (&[], "n7 n6 n5 n4 n3 n2 n1", 7),
        (&[("filter", "active = true"), ("sort", "label")], "n2 n4 n6", 3),
        (
            &[("filter", "amount > 0 && active = false"), ("sort", "label")],
            "n1 n5 n7",
            3,
        ),
        (&[("filter", "label IN (\"n1\", \"n9\")")], "n1", 1),
        (
            &[("filter", "label ~ \"n%\""), ("limit", "1"), ("sort", "label")],
            "n1",
            7,
        ),
        (&[("filter", "day IS NULL && label = 'n3'")], "n3", 1),
        (&[("filter", "amount = -1")], "", 0),
        (
            &[("filter", "(label = \"n1\" || label = \"n2\") && active = true")],
            "n2",
            1,
        ),
        (&[("filter", "label = \"x' or 1=1 --\"")], "", 0),
        (&[("skip", "7")], "", 7),
    ];
    for (query, expected, total) in cases {
        let list = world.alice.query("/records/samples", query).await.expect(200);
        assert_eq!(labels(&list), *expected, "{query:?}");
        assert_eq!(list["total"], *total, "{query:?}");
    }
    let page = world
        .alice
        .query("/records/samples", &[("limit", "5"), ("skip", "1")])
        .await
        .expect(200);
    assert_eq!((&page["skip"], &page["limit"]), (&json!(1), &json!(5)));
    assert_eq!(page["items"][0]["account_name"], "Acme");

    let trimmed = world
        .alice
        .query("/records/samples", &[("fields", "label"), ("limit", "1")])
        .await
        .expect(200);
    let keys: Vec<_> = trimmed["items"][0]
        .as_object()
        .expect("a record")
        .keys()
        .cloned()
        .collect();
    assert!(
        keys.contains(&"label".to_owned()) && keys.contains(&"id".to_owned()),
        "{keys:?}"
    );
    assert!(!keys.contains(&"amount".to_owned()), "{keys:?}");
}

#[tokio::test]
async fn a_list_that_cannot_be_understood_is_refused() {
    let world = World::new().await;
    world.define(samples()).await;
    let cases: &[(&str, &str, u16)] = &[
        ("filter", "nothing = 1", 400),
        ("filter", "label = ", 400),
        ("filter", "amount = \"x\"", 400),
        ("filter", "[object Object]", 400),
        ("filter", "label = \"a\"; drop table snackbase.col_samples", 400),
        ("status", "draft", 400),
        ("limit", "0", 422),
        ("limit", "101", 422),
        ("limit", "ten", 422),
        ("skip", "-1", 422),
    ];
    for (key, value, status) in cases {
        let answer = world.alice.query("/records/samples", &[(key, value)]).await;
        assert_eq!(answer.status, *status, "{key}={value}: {}", answer.text);
        assert!(
            answer.json["message"].is_string(),
            "{key}={value}: {}",
            answer.text
        );
    }
    let deep = format!("{}label = \"x\"{}", "(".repeat(5000), ")".repeat(5000));
    let answer = world.alice.query("/records/samples", &[("filter", &deep)]).await;
    assert_eq!(answer.status, 400, "nesting is limited: {}", answer.text);
    let wide = vec!["label = \"x\""; 2000].join(" || ");
    let answer = world.alice.query("/records/samples", &[("filter", &wide)]).await;
    assert!(
        answer.status == 400 || answer.status == 414 || answer.status == 431,
        "{} {}",
        answer.status,
        answer.text
    );
    world.alice.get("/records/samples").await.expect(200);
}

#[tokio::test]
async fn the_short_path_is_the_same_door() {
    let world = World::new().await;
    world.define(samples()).await;
    let created = world
        .alice
        .post("/samples", json!({"label": "short"}))
        .await
        .expect(201);
    let id = created["id"].as_str().expect("an id");
    assert_eq!(
        world.alice.get(&format!("/samples/{id}")).await.expect(200)["label"],
        "short"
    );
    assert_eq!(world.alice.get("/samples").await.expect(200)["total"], 1);
    assert_eq!(world.alice.get("/records/samples/").await.expect(200)["total"], 1);
    world
        .alice
        .patch(&format!("/samples/{id}"), json!({"label": "s"}))
        .await
        .expect(200);
    world.alice.delete(&format!("/samples/{id}")).await.expect(204);
    world.alice.get("/nothing_of_the_kind").await.expect(404);
}

#[tokio::test]
async fn references_follow_their_delete_action() {
    let world = World::new().await;
    let open = |name: &str, fields: Value| json!({"name": name, "fields": fields, "list_rule": "", "view_rule": "", "create_rule": "", "update_rule": "", "delete_rule": ""});
    world
        .define(open("authors", json!([{"name": "name", "type": "text"}])))
        .await;
    let reference = |name: &str, action: &str| json!({"name": name, "type": "reference", "collection": "authors", "on_delete": action});
    let fields = json!([
        reference("writer", "cascade"),
        reference("editor", "set_null"),
        reference("owner", "restrict")
    ]);
    world.define(open("books", fields)).await;
    let author = async || {
        let made = world
            .alice
            .post("/records/authors", json!({"name": "a"}))
            .await
            .expect(201);
        made["id"].as_str().expect("an id").to_owned()
    };
    let (writer, editor, owner) = (author().await, author().await, author().await);
    let body = json!({"writer": writer, "editor": editor, "owner": owner});
    let book = world.alice.post("/records/books", body).await.expect(201);
    let path = format!("/records/books/{}", book["id"].as_str().expect("an id"));
    let conflict = world
        .alice
        .delete(&format!("/records/authors/{owner}"))
        .await
        .expect(409);
    assert_eq!(conflict["error"], "Conflict", "{conflict}");
    world
        .alice
        .delete(&format!("/records/authors/{editor}"))
        .await
        .expect(204);
    assert_eq!(world.alice.get(&path).await.expect(200)["editor"], Value::Null);
    world
        .alice
        .delete(&format!("/records/authors/{writer}"))
        .await
        .expect(204);
    world.alice.get(&path).await.expect(404);
    assert_eq!(
        world.audit_findings().await,
        [""; 0],
        "what a cascade changed is in the trail"
    );
}

#[tokio::test]
async fn the_superadmin_writes_into_the_account_named() {
    let world = World::new().await;
    let own = world
        .root
        .post("/records/posts", json!({"title": "system"}))
        .await
        .expect(201);
    assert_eq!(own["account_id"], "00000000-0000-0000-0000-000000000000");
    let acme = world.account_id("alice");
    let theirs = json!({"title": "for acme", "status": "published", "account_id": acme});
    let theirs = world.root.post("/records/posts", theirs).await.expect(201);
    assert_eq!(theirs["account_id"], acme);
    assert_eq!(world.bob.get("/records/posts").await.expect(200)["total"], 1);
    let path = format!("/records/posts/{}", theirs["id"].as_str().expect("an id"));
    assert_eq!(
        world.root.patch(&path, json!({"rating": 5})).await.expect(200)["account_id"],
        acme
    );
    world.root.delete(&path).await.expect(204);
}

#[tokio::test]
async fn if_match_refuses_to_overwrite_what_was_not_read() {
    let world = World::new().await;
    let mut open = samples();
    open["update_rule"] = json!("label != \"frozen\"");
    world.define(open).await;
    let made = world
        .bob
        .post("/records/samples", json!({"label": "one"}))
        .await
        .expect(201);
    let path = format!("/records/samples/{}", made["id"].as_str().expect("an id"));
    let read = made["updated_at"].as_str().expect("a time").to_owned();
    let matching = |tag: &str| world.bob.with_header("if-match", tag);
    let changed = matching(&format!("\"{read}\""))
        .patch(&path, json!({"label": "two"}))
        .await
        .expect(200);
    for tag in [
        format!("\"{read}\""),
        read.clone(),
        "\"x\"".into(),
        "".into(),
        "\"2026-13-45\"".into(),
    ] {
        for answer in [
            matching(&tag).patch(&path, json!({"label": "three"})).await,
            matching(&tag).put(&path, json!({"label": "three"})).await,
            matching(&tag).delete(&path).await,
        ] {
            assert_eq!(
                (answer.status, answer.json["code"].as_str()),
                (412, Some("precondition_failed")),
                "{tag}: {}",
                answer.text
            );
        }
    }
    let now = changed["updated_at"].as_str().expect("a time");
    let either = format!("\"{read}\", \"{}\"", now.replace('Z', "+00:00"));
    let frozen = matching(&either)
        .put(&path, json!({"label": "frozen"}))
        .await
        .expect(200);
    assert_eq!(frozen["label"], "frozen");
    // Who may not change a record does not learn when it was changed.
    for tag in ["*", "\"x\""] {
        assert_eq!(
            matching(tag).patch(&path, json!({"label": "four"})).await.status,
            404
        );
    }
    let missing = "/records/samples/6a0e0d4c-0000-4000-8000-000000000000";
    assert_eq!(
        matching("*").patch(missing, json!({"label": "x"})).await.status,
        404
    );
    assert_eq!(matching("*").delete(missing).await.status, 404);
    assert_eq!(matching("*").delete(&path).await.status, 204);
    assert!(world.audit_findings().await.is_empty());
}
