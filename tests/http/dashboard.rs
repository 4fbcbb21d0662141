//! The superadmin's overview over HTTP.

use serde_json::json;
use snackbase_e2e::World;

#[tokio::test]
async fn the_overview_has_every_key_and_one_point_per_day() {
    let world = World::new().await;
    for title in ["a", "b"] {
        world
            .alice
            .post("/records/posts", json!({"title": title}))
            .await
            .expect(201);
    }
    for (range, days) in [("", 7), ("?range=30d", 30), ("?range=90d", 90)] {
        let stats = world
            .root
            .get(&format!("/dashboard/stats{range}"))
            .await
            .expect(200);
        let series = &stats["time_series"];
        for name in ["accounts_created", "users_created", "audit_by_operation"] {
            assert_eq!(series[name].as_array().map(Vec::len), Some(days), "{name}");
        }
        let last = &series["audit_by_operation"][days - 1];
        assert!(last["create"].as_i64().is_some_and(|count| count >= 2), "{last}");
        assert_eq!(series["accounts_created"][0]["count"], 0);
    }
    let stats = world.root.get("/dashboard/stats").await.expect(200);
    // the system account and its superadmin count, too
    assert_eq!(
        (
            &stats["total_accounts"],
            &stats["total_users"],
            &stats["total_collections"],
            &stats["total_records"]
        ),
        (&json!(3), &json!(4), &json!(1), &json!(2))
    );
    assert_eq!(
        stats["records_by_collection"],
        json!([{"name": "posts", "count": 2}])
    );
    assert_eq!(stats["system_health"]["database_status"], "connected");
    assert_eq!(stats["active_sessions"], 4);
    assert_eq!(stats["recent_registrations"].as_array().map(Vec::len), Some(4));
    assert_eq!(stats["recent_audit_logs"].as_array().map(Vec::len), Some(20));
    for (name, keys) in [
        ("previous_period", &["new_accounts", "new_users"][..]),
        (
            "feature_counts",
            &[
                "hooks",
                "hooks_enabled",
                "webhooks",
                "webhooks_enabled",
                "workflows",
                "endpoints",
                "macros",
                "api_keys_active",
                "invitations_pending",
            ],
        ),
        (
            "jobs_by_status",
            &["pending", "running", "completed", "failed", "retrying", "dead"],
        ),
        ("hook_executions_summary", &["success", "failed", "partial"]),
        (
            "webhook_deliveries_summary",
            &["delivered", "failed", "pending", "retrying"],
        ),
    ] {
        for key in keys {
            assert!(stats[name][key].is_i64(), "{name}.{key}");
        }
    }
    world.root.get("/dashboard/stats?range=1y").await.expect(422);
}

#[tokio::test]
async fn a_part_that_takes_too_long_is_zero_and_the_rest_is_there() {
    let world = World::new().await;
    let superuser = world.database.superuser().await;
    // Whoever holds the table keeps everybody waiting who wants to count its records.
    superuser
        .batch_execute("begin; lock table snackbase.col_posts in access exclusive mode")
        .await
        .expect("a superuser may");
    let stats = world.root.get("/dashboard/stats").await.expect(200);
    assert_eq!(
        (&stats["total_records"], &stats["total_users"]),
        (&json!(0), &json!(4))
    );
}
