//! Definitions that are refused: every code of the contract (collections §2.1), with its place and its status.

use serde_json::{Value, json};
use snackbase_e2e::World;

#[tokio::test]
async fn a_definition_is_refused_with_every_fault() {
    let world = World::new().await;
    let field = |change: Value| {
        let mut field = json!({"name": "a", "type": "text"});
        field
            .as_object_mut()
            .expect("an object")
            .extend(change.as_object().expect("an object").clone());
        field
    };
    let one = |field: Value| json!({"name": "things", "fields": [field]});
    let reference = json!({"type": "reference", "collection": "nothing", "on_delete": "cascade"});
    let cases = [
        (
            json!({"name": "1things", "fields": [field(json!({}))]}),
            "name_invalid_format",
        ),
        (
            json!({"name": "a".repeat(60), "fields": [field(json!({}))]}),
            "name_too_long",
        ),
        (one(field(json!({"name": "9x"}))), "field_name_invalid_format"),
        (one(field(json!({"name": "Account_ID"}))), "field_name_reserved"),
        (one(field(json!({"name": "xmin"}))), "field_name_reserved"),
        (one(field(json!({"name": "in"}))), "field_name_reserved"),
        (one(field(json!({"type": "money"}))), "field_type_invalid"),
        (
            one(field(json!({"type": "number", "default": "x"}))),
            "default_invalid",
        ),
        (
            one(field(json!({"type": "reference", "on_delete": "cascade"}))),
            "reference_collection_required",
        ),
        (
            one(field(json!({"type": "reference", "collection": "posts"}))),
            "reference_on_delete_required",
        ),
        (
            one(field(
                json!({"type": "reference", "collection": "posts", "on_delete": "explode"}),
            )),
            "reference_on_delete_invalid",
        ),
        (one(field(reference)), "reference_collection_not_found"),
        (
            json!({"name": "things", "fields": [field(json!({})), field(json!({"name": "A"}))]}),
            "field_name_duplicate",
        ),
    ];
    for (definition, code) in cases {
        let answer = world.root.post("/collections", definition.clone()).await;
        let codes = answer.codes();
        assert!(
            codes.iter().any(|found| found.ends_with(&format!(":{code}"))),
            "{definition}: {codes:?} {}",
            answer.text
        );
        assert!(
            answer.json["message"]
                .as_str()
                .is_some_and(|text| text.starts_with("Validation failed: "))
        );
        answer.expect(400);
    }
    for shape in [
        json!({"name": "ab", "fields": [field(json!({}))]}),
        json!({"name": "things", "fields": []}),
        json!({"name": 5, "fields": [field(json!({}))]}),
        json!({"name": "things"}),
    ] {
        let answer = world.root.post("/collections", shape.clone()).await;
        assert_eq!(answer.status, 422, "{shape}: {}", answer.text);
    }
    let mut rule = one(field(json!({})));
    rule["list_rule"] = json!("nothing = 1");
    let answer = world.root.post("/collections", rule).await;
    assert!(answer.text.contains("Invalid list_rule"), "{}", answer.text);
    answer.expect(400);
    for taken in ["posts", "POSTS"] {
        let answer = world
            .root
            .post(
                "/collections",
                json!({"name": taken, "fields": [field(json!({}))]}),
            )
            .await;
        assert_eq!(answer.json["field"], "name", "{}", answer.text);
        answer.expect(409);
    }
    let names = world.root.get("/collections/names").await.expect(200);
    assert_eq!(names["names"], json!(["posts"]), "nothing was created on the way");
}

/// One field `f` with these properties, in a collection of its own.
fn with(properties: Value) -> Value {
    let mut field = json!({"name": "f", "type": "text"});
    field
        .as_object_mut()
        .expect("an object")
        .extend(properties.as_object().expect("an object").clone());
    json!({"name": "things", "fields": [field]})
}

fn computed(properties: Value) -> Value {
    let mut all = json!({"type": "computed", "expression": "1", "return_type": "number"});
    all.as_object_mut()
        .expect("an object")
        .extend(properties.as_object().expect("an object").clone());
    with(all)
}

#[tokio::test]
async fn every_code_of_a_definition_has_its_place_and_its_layer() {
    let world = World::new().await;
    let name = |name: Value| json!({"name": name, "fields": [{"name": "f", "type": "text"}]});
    let eleven: Vec<Value> = (0..11)
        .map(|number| json!({"name": format!("c{number}"), "type": "computed", "expression": "1", "return_type": "number"}))
        .collect();
    let shape = [
        (name(json!(null)), "name:name_required"),
        (name(json!("")), "name:name_required"),
        (name(json!("ab")), "name:name_too_short"),
        (name(json!("a".repeat(65))), "name:name_too_long"),
        (json!({"name": "things", "fields": []}), "schema:schema_empty"),
        (with(json!({"name": ""})), "schema[0].name:field_name_required"),
        (
            with(json!({"name": "f".repeat(65)})),
            "schema[0].name:field_name_too_long",
        ),
        (with(json!({"type": null})), "schema[0].type:field_type_required"),
        (
            with(json!({"required": "yes"})),
            "schema[0].required:invalid_type",
        ),
        (with(json!({"options": 5})), "schema[0].options:invalid_type"),
        (
            with(json!({"mask_type": "full"})),
            "schema[0].mask_type:mask_type_requires_pii",
        ),
        (
            with(json!({"pii": true, "mask_type": "blur"})),
            "schema[0].mask_type:mask_type_invalid",
        ),
    ];
    for (body, code) in shape {
        let answer = world.root.post("/collections", body.clone()).await;
        assert_eq!(answer.codes(), [code], "{body}: {}", answer.text);
        let detail = &answer.json["detail"][0];
        assert_eq!(
            format!(
                "{}:{}",
                detail["loc"][1].as_str().unwrap_or("?"),
                detail["type"].as_str().unwrap_or("?")
            ),
            code
        );
        answer.expect(422);
    }
    let meaning = [
        (name(json!("a".repeat(60))), "name:name_too_long"),
        (name(json!("größe")), "name:name_invalid_format"),
        (name(json!("things\n")), "name:name_invalid_format"),
        (
            with(json!({"name": "f".repeat(64)})),
            "schema[0].name:field_name_too_long",
        ),
        (
            with(json!({"name": "a b"})),
            "schema[0].name:field_name_invalid_format",
        ),
        (
            with(json!({"name": "f\n"})),
            "schema[0].name:field_name_invalid_format",
        ),
        (
            with(json!({"name": "Updated_By"})),
            "schema[0].name:field_name_reserved",
        ),
        (
            json!({"name": "things", "fields": [{"name": "f", "type": "text"}, {"name": "F", "type": "text"}]}),
            "schema[1].name:field_name_duplicate",
        ),
        (with(json!({"type": " "})), "schema[0].type:field_type_required"),
        (
            with(json!({"type": "NUMERIC"})),
            "schema[0].type:field_type_invalid",
        ),
        (
            with(json!({"type": "reference", "on_delete": "cascade"})),
            "schema[0].collection:reference_collection_required",
        ),
        (
            with(json!({"type": "reference", "collection": "posts"})),
            "schema[0].on_delete:reference_on_delete_required",
        ),
        (
            with(json!({"type": "reference", "collection": "posts", "on_delete": "no"})),
            "schema[0].on_delete:reference_on_delete_invalid",
        ),
        (
            with(json!({"type": "reference", "collection": "nosuch", "on_delete": "cascade"})),
            "schema[0].collection:reference_collection_not_found",
        ),
        (
            with(
                json!({"type": "reference", "collection": "posts", "on_delete": "set_null", "required": true}),
            ),
            "schema[0].on_delete:set_null_on_required",
        ),
        (
            with(json!({"type": "user", "on_delete": "CASCADE"})),
            "schema[0].on_delete:user_on_delete_cascade_forbidden",
        ),
        (
            with(json!({"type": "user", "on_delete": "no"})),
            "schema[0].on_delete:user_on_delete_invalid",
        ),
        (
            computed(json!({"expression": " "})),
            "schema[0].expression:computed_field_expression_required",
        ),
        (
            computed(json!({"return_type": null})),
            "schema[0].return_type:computed_field_return_type_required",
        ),
        (
            computed(json!({"return_type": "date"})),
            "schema[0].return_type:computed_field_return_type_invalid",
        ),
        (
            computed(json!({"expression": "price ***"})),
            "schema[0].expression:computed_field_expression_invalid",
        ),
        (
            computed(json!({"expression": "nosuch * 2"})),
            "schema[0].expression:computed_field_expression_error",
        ),
        (
            computed(json!({"expression": "2 > 1"})),
            "schema[0].expression:computed_field_expression_error",
        ),
        (
            computed(json!({"required": true})),
            "schema[0].required:computed_field_no_required",
        ),
        (
            computed(json!({"default": 1})),
            "schema[0].default:computed_field_no_default",
        ),
        (
            computed(json!({"unique": true})),
            "schema[0].unique:computed_field_no_unique",
        ),
        (
            json!({"name": "things", "fields": eleven}),
            "schema:too_many_computed_fields",
        ),
        (
            with(json!({"type": "number", "encrypted": true})),
            "schema[0].encrypted:encrypted_type_invalid",
        ),
        (
            with(json!({"encrypted": true, "unique": true})),
            "schema[0].unique:encrypted_no_unique",
        ),
        (
            with(json!({"encrypted": true, "options": {"sortable": true}})),
            "schema[0].options.sortable:encrypted_query_option_forbidden",
        ),
        (
            with(json!({"type": "boolean", "default": "true"})),
            "schema[0].default:default_invalid",
        ),
        (
            with(json!({"options": {"index": "hash"}})),
            "schema[0].options.index:index_invalid",
        ),
        (
            json!({"name": "things", "fields": [{"name": "f", "type": "text"}], "list_fields": ["g"]}),
            "list_fields:unknown_field",
        ),
    ];
    for (body, code) in meaning {
        let answer = world.root.post("/collections", body.clone()).await;
        assert_eq!(answer.codes(), [code], "{body}: {}", answer.text);
        assert_eq!(answer.json["error"], "Validation error", "{}", answer.text);
        let message = answer.json["message"].as_str().unwrap_or_default();
        let place = code.split(':').next().unwrap_or_default();
        assert!(
            message.starts_with(&format!("Validation failed: {place}: ")),
            "{message}"
        );
        answer.expect(400);
    }
    // All problems at once, in the order of the body, joined.
    let two =
        json!({"name": "1st", "fields": [{"name": "id", "type": "text"}, {"name": "g", "type": "blob"}]});
    let answer = world.root.post("/collections", two).await;
    assert_eq!(
        answer.codes(),
        [
            "name:name_invalid_format",
            "schema[0].name:field_name_reserved",
            "schema[1].type:field_type_invalid"
        ]
    );
    assert_eq!(
        answer.json["message"]
            .as_str()
            .map(|text| text.matches("; ").count()),
        Some(2),
        "{}",
        answer.text
    );
    let names = world.root.get("/collections/names").await.expect(200);
    assert_eq!(names["names"], json!(["posts"]), "nothing was created on the way");
}

#[tokio::test]
async fn every_code_of_a_change_names_what_is_in_the_way() {
    let world = World::new().await;
    world
        .define(json!({
            "name": "things", "create_rule": "", "list_rule": "c = 2",
            "fields": [{"name": "a", "type": "text"}, {"name": "b", "type": "number"},
                       {"name": "c", "type": "computed", "expression": "b + 1", "return_type": "number"}]
        }))
        .await;
    for (api, body) in [
        (&world.alice, json!({"a": "x", "b": 1})),
        (&world.alice, json!({"a": "x"})),
        (&world.carol, json!({"b": 3})),
    ] {
        api.post("/records/things", body).await.expect(201);
    }
    let before = world.root.get("/collections/things").await.expect(200);
    let a = |more: Value| {
        let mut field = json!({"name": "a", "type": "text"});
        field
            .as_object_mut()
            .expect("an object")
            .extend(more.as_object().expect("an object").clone());
        field
    };
    let b = json!({"name": "b", "type": "number"});
    let c = json!({"name": "c", "type": "computed", "expression": "b + 1", "return_type": "number"});
    let plain = a(json!({}));
    let cases = [
        (json!([b, c]), "schema:field_deletion_not_allowed", "deletion"),
        (
            json!([a(json!({"type": "json"})), b, c]),
            "schema[0].type:type_change_not_allowed",
            "type change",
        ),
        (
            json!([a(json!({"encrypted": true})), b, c]),
            "schema[0].encrypted:encryption_state_change_requires_migration",
            "encryption route",
        ),
        (
            json!([a(json!({"required": true})), b, c]),
            "schema[0]:required_null",
            "'a': 1 record in 1 account",
        ),
        (
            json!([a(json!({"unique": true})), b, c]),
            "schema[0]:unique_violated",
            "'a': 2 records in 1 account",
        ),
        (
            json!([plain, b, c, {"name": "d", "type": "date", "required": true}]),
            "schema[3]:required_without_default",
            "'d': 3 records in 2 accounts",
        ),
        (
            json!([plain, b, {"name": "c", "type": "computed", "expression": "upper(b)", "return_type": "text"}]),
            "schema[2].expression:computed_field_expression_error",
            "number",
        ),
    ];
    for (fields, code, words) in cases {
        let answer = world
            .root
            .put("/collections/things", json!({"schema": fields}))
            .await;
        assert_eq!(answer.codes(), [code], "{fields}: {}", answer.text);
        assert!(answer.text.contains(words), "{words}: {}", answer.text);
        answer.expect(400);
    }
    // A computed field of another type breaks the rule that uses it; the rule is named.
    let text = json!({"name": "c", "type": "computed", "expression": "b IS NULL", "return_type": "boolean"});
    let answer = world
        .root
        .put("/collections/things", json!({"schema": [plain, b, text]}))
        .await;
    assert!(
        answer.json["message"]
            .as_str()
            .is_some_and(|m| m.starts_with("Invalid list_rule: ")),
        "{}",
        answer.text
    );
    answer.expect(400);
    world
        .root
        .put("/collections/things", json!({"name": "Things", "list_rule": ""}))
        .await
        .expect(400);
    world
        .root
        .patch("/collections/things", json!({"list_rule": ""}))
        .await
        .expect(405);
    let after = world.root.get("/collections/things").await.expect(200);
    assert_eq!(before, after, "a refused change changes nothing");
}

#[tokio::test]
async fn paging_sorting_and_searching_follow_the_contract() {
    let world = World::new().await;
    for name in ["alpha", "Beta", "gamma_x"] {
        world
            .define(json!({"name": name, "fields": [{"name": "f", "type": "text"}]}))
            .await;
    }
    let names = async |query: &[(&str, &str)]| {
        let page = world.root.query("/collections", query).await.expect(200);
        let names: Vec<String> = page["items"]
            .as_array()
            .expect("a list")
            .iter()
            .map(|item| item["name"].as_str().unwrap_or("?").to_owned())
            .collect();
        (
            names.join(" "),
            page["total"].as_i64().unwrap_or(-1),
            page["total_pages"].as_i64().unwrap_or(-1),
        )
    };
    assert_eq!(
        names(&[]).await,
        ("gamma_x Beta alpha posts".into(), 4, 1),
        "the newest first"
    );
    assert_eq!(
        names(&[("sort_order", "ASC")]).await,
        ("posts alpha Beta gamma_x".into(), 4, 1)
    );
    assert_eq!(
        names(&[("sort_by", "metadata"), ("sort_order", "sideways")])
            .await
            .0,
        "gamma_x Beta alpha posts"
    );
    assert_eq!(
        names(&[("page", "2"), ("page_size", "3")]).await,
        ("posts".into(), 4, 2)
    );
    assert_eq!(
        names(&[("page", "9"), ("page_size", "3")]).await,
        (String::new(), 4, 2)
    );
    assert_eq!(names(&[("search", "BET")]).await, ("Beta".into(), 1, 1));
    assert_eq!(
        names(&[("search", "a_x")]).await,
        ("gamma_x".into(), 1, 1),
        "an underscore is one"
    );
    assert_eq!(names(&[("search", "%")]).await.1, 0);
    let id = world.root.get("/collections/Beta").await.expect(200)["id"]
        .as_str()
        .expect("an id")
        .to_owned();
    assert_eq!(names(&[("search", &id[4..20].to_uppercase())]).await.0, "Beta");
    for query in [("page", "0"), ("page_size", "101"), ("page_size", "x")] {
        world.root.query("/collections", &[query]).await.expect(422);
    }
    let sorted = world
        .root
        .query("/collections", &[("sort_by", "name"), ("sort_order", "asc")])
        .await
        .expect(200);
    let item = &sorted["items"][3];
    assert_eq!(
        json!([
            item["name"],
            item["table_name"],
            item["fields_count"],
            item["field_count"],
            item["records_count"],
            item["record_count"],
            item["has_public_access"]
        ]),
        json!(["posts", "col_posts", 4, 4, 0, 0, true]),
        "create_rule of posts is public"
    );
    assert!(item["created_at"].is_string() && item["updated_at"].is_string());
}
