//! T5: any user joins `pii_access`, writes groups of another account, puts strangers into a group.

use serde_json::{Value, json};
use snackbase_e2e::World;

fn id(made: &Value) -> String {
    made["id"].as_str().expect("an id").to_owned()
}

/// A world whose collection `people` masks telephone numbers, and Acme's `pii_access`.
async fn world() -> (World, String) {
    let world = World::new().await;
    world
        .define(json!({"name": "people", "fields": [{"name": "phone", "type": "text", "pii": true, "mask_type": "phone"}],
            "list_rule": "", "view_rule": "", "create_rule": ""}))
        .await;
    world
        .alice
        .post("/records/people", json!({"phone": "+41791234567"}))
        .await
        .expect(201);
    let groups = world.alice.get("/groups").await.expect(200);
    let pii = id(&groups[0]);
    (world, pii)
}

async fn sees_the_number(world: &World) -> bool {
    let list = world.bob.get("/records/people").await.expect(200);
    list["items"][0]["phone"] == "+41791234567"
}

#[tokio::test]
async fn nobody_lets_himself_see_personal_data() {
    let (world, pii) = world().await;
    let me = world.user_id("bob");
    let member = json!({"user_id": me});
    assert!(!sees_the_number(&world).await);
    world
        .bob
        .post(&format!("/groups/{pii}/users"), member.clone())
        .await
        .expect(403);
    // A group of the same name, in one's own account or elsewhere, by creation or by renaming.
    for name in ["pii_access", " pii_access ", "PII_ACCESS"] {
        world.bob.post("/groups", json!({"name": name})).await.expect(403);
    }
    // Neither does a direct connection with the role of a member, nor of one that claims another account.
    let superuser = world.database.superuser().await;
    for (role, account, state) in [
        ("snackbase_member", world.account_id("bob"), "42501"),
        ("snackbase_member", world.account_id("carol"), "42501"),
        ("snackbase_admin", world.account_id("carol"), "42501"),
        ("snackbase_list", world.account_id("bob"), "42501"),
        ("snackbase_update", world.account_id("bob"), "42501"),
    ] {
        let attempt = format!(
            "begin; set local snackbase.account_id = '{account}'; set local snackbase.user_id = '{me}'; set local role {role};
             insert into snackbase.users_groups (account_id, group_id, user_id) values ('{}', '{pii}', '{me}')",
            world.account_id("bob")
        );
        assert_eq!(superuser.state_of(&attempt).await, state, "{role} {account}");
        superuser.batch_execute("rollback").await.expect("a rollback");
    }
    assert!(!sees_the_number(&world).await);
    world
        .alice
        .post(&format!("/groups/{pii}/users"), member)
        .await
        .expect(201);
    assert!(
        sees_the_number(&world).await,
        "the administrator may, so the test can fail"
    );
    world
        .alice
        .delete(&format!("/groups/{pii}/users/{me}"))
        .await
        .expect(204);
    assert!(!sees_the_number(&world).await);
}

#[tokio::test]
async fn no_group_reaches_into_another_account() {
    let (world, _) = world().await;
    let ours = id(&world
        .alice
        .post("/groups", json!({"name": "ours"}))
        .await
        .expect(201));
    let theirs = id(&world
        .carol
        .post("/groups", json!({"name": "theirs"}))
        .await
        .expect(201));
    let member = |name: &str| json!({"user_id": world.user_id(name)});
    world
        .alice
        .post(
            "/groups",
            json!({"name": "x", "account_id": world.account_id("carol")}),
        )
        .await
        .expect(403);
    for (group, who) in [
        (&ours, "carol"),
        (&ours, "root"),
        (&theirs, "alice"),
        (&theirs, "carol"),
    ] {
        world
            .alice
            .post(&format!("/groups/{group}/users"), member(who))
            .await
            .expect(404);
    }
    // The name is judged in the group's own account: it may be there already, in the caller's.
    let superadmins = world
        .root
        .patch(&format!("/groups/{theirs}"), json!({"name": "ours"}))
        .await
        .expect(200);
    assert_eq!(superadmins["name"], "ours");
    world
        .alice
        .patch(&format!("/groups/{theirs}"), json!({"name": "x"}))
        .await
        .expect(404);
    world.alice.delete(&format!("/groups/{theirs}")).await.expect(404);
    // What nothing above the table prevents, the references do.
    let superuser = world.database.superuser().await;
    for account in [world.account_id("alice"), world.account_id("carol")] {
        let attempt = format!(
            "insert into snackbase.users_groups (account_id, group_id, user_id) values ('{account}', '{ours}', '{}')",
            world.user_id("carol")
        );
        assert_eq!(superuser.state_of(&attempt).await, "23503");
    }
    let seen = world.carol.get(&format!("/groups/{theirs}")).await.expect(200);
    assert_eq!(seen["member_count"], 0);
}
