//! Aggregates: contract of records §6.

use serde_json::{Value, json};
use snackbase_e2e::World;

async fn world() -> World {
    let world = World::new().await;
    world
        .define(json!({
            "name": "sales",
            "fields": [
                {"name": "price", "type": "number"},
                {"name": "status", "type": "text"},
                {"name": "paid", "type": "boolean"},
                {"name": "day", "type": "date"},
                {"name": "moment", "type": "datetime"},
                {"name": "extra", "type": "json"},
                {"name": "hidden", "type": "number"},
                {"name": "salary", "type": "number", "pii": true},
                {"name": "gross", "type": "computed", "return_type": "number", "expression": "price * 2"}
            ],
            "list_rule": "status != \"secret\"", "create_rule": "",
            "list_fields": ["price", "status", "paid", "day", "moment", "extra", "salary", "gross"]
        }))
        .await;
    for (price, status, paid, day) in [
        (10, "a", true, "2024-01-01"),
        (20, "a", false, "2024-01-02"),
        (50, "p", true, "2024-01-03"),
        (15, "p", true, "2024-01-03"),
        (5, "x", false, "2024-01-05"),
        (1000, "secret", true, "2024-01-06"),
    ] {
        let record = json!({
            "price": price, "status": status, "paid": paid, "day": day, "moment": format!("{day}T12:00:00Z"), "salary": price, "hidden": 1
        });
        world.bob.post("/records/sales", record).await.expect(201);
    }
    world
        .carol
        .post("/records/sales", json!({"price": 7000, "status": "a"}))
        .await
        .expect(201);
    world
}

async fn results(world: &World, query: &[(&str, &str)]) -> Value {
    world
        .bob
        .query("/records/sales/aggregate", query)
        .await
        .expect(200)
}

#[tokio::test]
async fn the_functions_see_what_a_list_shows() {
    let world = world().await;
    let all = results(
        &world,
        &[("functions", "count(),sum(price),AVG(price),min(price),max(price)")],
    )
    .await;
    assert_eq!(
        all,
        json!({"results": [{"count": 5, "sum_price": 100, "avg_price": 20, "min_price": 5, "max_price": 50}], "total_groups": 1})
    );
    let typed = results(
        &world,
        &[(
            "functions",
            "min(day),max(moment),max(status),count(paid),sum(gross),max(gross),min(created_at)",
        )],
    )
    .await;
    let row = &typed["results"][0];
    assert_eq!(row["min_day"], "2024-01-01");
    assert_eq!(row["max_moment"], "2024-01-05T12:00:00Z");
    assert_eq!(row["max_status"], "x");
    assert_eq!(
        (&row["count_paid"], &row["sum_gross"], &row["max_gross"]),
        (&json!(5), &json!(200), &json!(100))
    );
    assert!(
        row["min_created_at"]
            .as_str()
            .is_some_and(|text| text.ends_with('Z'))
    );
    let none = results(
        &world,
        &[
            ("functions", "count(),sum(price),max(status)"),
            ("filter", "price > 1e9"),
        ],
    )
    .await;
    assert_eq!(
        none,
        json!({"results": [{"count": 0, "sum_price": null, "max_status": null}], "total_groups": 1})
    );
}

#[tokio::test]
async fn groups_come_in_order_and_null_is_one() {
    let world = world().await;
    world
        .bob
        .post("/records/sales", json!({"status": "a"}))
        .await
        .expect(201);
    let by_status = results(
        &world,
        &[
            ("functions", "count()"),
            ("group_by", "status"),
            ("having", "count() > 1"),
        ],
    )
    .await;
    assert_eq!(
        by_status,
        json!({"results": [{"status": "a", "count": 3}, {"status": "p", "count": 2}], "total_groups": 2})
    );
    let by_two = results(
        &world,
        &[("functions", "sum(price)"), ("group_by", "paid, status ,paid")],
    )
    .await;
    assert_eq!(
        by_two["results"],
        json!([
            {"paid": false, "status": "a", "sum_price": 20},
            {"paid": false, "status": "x", "sum_price": 5},
            {"paid": true, "status": "a", "sum_price": 10},
            {"paid": true, "status": "p", "sum_price": 65},
            {"paid": null, "status": "a", "sum_price": null}
        ])
    );
    let by_day = results(
        &world,
        &[
            ("functions", "count()"),
            ("group_by", "day"),
            ("filter", "status = 'p'"),
        ],
    )
    .await;
    assert_eq!(by_day["results"], json!([{"day": "2024-01-03", "count": 2}]));
    let by_computed = results(
        &world,
        &[
            ("functions", "count()"),
            ("group_by", "gross"),
            ("filter", "price <= 10"),
        ],
    )
    .await;
    assert_eq!(
        by_computed["results"],
        json!([{"gross": 10, "count": 1}, {"gross": 20, "count": 1}])
    );
    let mine = results(
        &world,
        &[("functions", "count()"), ("group_by", "created_by,account_id")],
    )
    .await;
    assert_eq!(
        mine["results"][0]["account_id"].as_str(),
        Some(world.account_id("bob"))
    );
}

#[tokio::test]
async fn having_speaks_of_the_keys() {
    let world = world().await;
    let having = async |text: &str| {
        let answer = results(
            &world,
            &[
                ("functions", "count(),sum(price),avg(price)"),
                ("group_by", "status"),
                ("having", text),
            ],
        )
        .await;
        let groups = answer["results"].as_array().expect("results").clone();
        groups
            .iter()
            .map(|group| group["status"].as_str().unwrap_or("?").to_owned())
            .collect::<String>()
    };
    assert_eq!(
        having("(count() > 3 AND avg_price < 100) OR sum_price > 60").await,
        "p"
    );
    assert_eq!(having("sum(price) >= 5 && count() = 1").await, "x");
}

#[tokio::test]
async fn what_cannot_be_aggregated_is_refused_with_its_place() {
    let world = world().await;
    let cases: &[(&[(&str, &str)], &str)] = &[
        (
            &[("functions", "count(),count()")],
            "Invalid aggregation functions",
        ),
        (&[("functions", "sum(status)")], "Invalid aggregation functions"),
        (&[("functions", "median(price)")], "Invalid aggregation functions"),
        (&[("functions", "sum(price")], "Invalid aggregation functions"),
        (&[("functions", "sum()")], "Invalid aggregation functions"),
        (&[("functions", "")], "Invalid aggregation functions"),
        (&[("functions", "count(nosuch)")], "Invalid aggregation functions"),
        (&[("functions", "min(paid)")], "Invalid aggregation functions"),
        (&[("functions", "max(extra)")], "Invalid aggregation functions"),
        // Not in list_fields.
        (&[("functions", "sum(hidden)")], "Invalid aggregation functions"),
        (
            &[("functions", "count()"), ("group_by", "hidden")],
            "Invalid group_by",
        ),
        (
            &[("functions", "count()"), ("group_by", "nosuch")],
            "Invalid group_by",
        ),
        (
            &[("functions", "count()"), ("group_by", "extra")],
            "Invalid group_by",
        ),
        (
            &[("functions", "count()"), ("filter", "price >")],
            "Invalid filter expression",
        ),
        (
            &[("functions", "count()"), ("having", "sum_price > 1")],
            "Invalid having expression",
        ),
        (
            &[("functions", "avg(price)"), ("having", "AVG_price > 1")],
            "Invalid having expression",
        ),
        (
            &[("functions", "count()"), ("having", "count() > 0 ; x")],
            "Invalid having expression",
        ),
        // Bob sees masks of salaries.
        (&[("functions", "max(salary)")], "Invalid aggregation"),
        (&[("functions", "sum(salary)")], "Invalid aggregation"),
        (
            &[("functions", "count()"), ("group_by", "salary")],
            "Invalid aggregation",
        ),
        (
            &[("functions", "count()"), ("filter", "salary > 5")],
            "Invalid query",
        ),
    ];
    for (query, title) in cases {
        let answer = world.bob.query("/records/sales/aggregate", query).await;
        assert_eq!(
            (answer.status, answer.json["error"].as_str()),
            (400, Some(*title)),
            "{query:?}: {}",
            answer.text
        );
    }
    let missing = world.bob.get("/records/sales/aggregate").await;
    assert_eq!(missing.status, 422, "{}", missing.text);
    let unknown = world.bob.get("/records/nosuch/aggregate?functions=count()").await;
    assert_eq!(unknown.status, 404, "{}", unknown.text);
    let ignored = results(&world, &[("functions", "count(salary)"), ("what", "ever")]).await;
    assert_eq!(
        ignored["results"][0]["count_salary"], 5,
        "how many there are is no secret"
    );
    let everything = world
        .root
        .query(
            "/records/sales/aggregate",
            &[("functions", "sum(salary),count()")],
        )
        .await
        .expect(200);
    assert_eq!(
        everything["results"][0],
        json!({"sum_salary": 1100, "count": 7}),
        "a superadmin sees every account"
    );
}
