//! The BI door: a login that reads by SQL what its account's users read by HTTP.

use serde_json::json;
use snackbase_e2e::{World, sql_state};

const PASSWORD: &str = "bi-password-7";

/// A BI role for Acme with a name of its own: roles belong to the whole cluster.
async fn role(world: &World) -> String {
    let name = format!("bi_{}", world.database.name);
    let superuser = world.database.superuser().await;
    superuser
        .query_one(
            "select snackbase.bi_role_create($1, 'acme', $2)",
            &[&name, &PASSWORD],
        )
        .await
        .unwrap_or_else(|error| panic!("bi_role_create: {error:?}"));
    name
}

#[tokio::test]
async fn it_sees_exactly_what_the_api_lists() {
    let world = World::new().await;
    world
        .rules("posts", json!({"list_rule": "status = \"published\""}))
        .await;
    for (api, title, status) in [
        (&world.alice, "acme one", "published"),
        (&world.bob, "acme two", "published"),
        (&world.alice, "acme draft", "draft"),
        (&world.carol, "globex one", "published"),
    ] {
        api.post(
            "/records/posts",
            json!({"title": title, "status": status, "secret": "hidden"}),
        )
        .await
        .expect(201);
    }
    let list = world.alice.get("/records/posts?sort=title").await.expect(200);
    let listed: Vec<_> = list["items"]
        .as_array()
        .expect("items")
        .iter()
        .map(|item| {
            format!(
                "{} {}",
                item["id"].as_str().expect("an id"),
                item["title"].as_str().expect("a title")
            )
        })
        .collect();
    assert_eq!(listed.len(), 2);

    let name = role(&world).await;
    let bi = world
        .database
        .login(&name, PASSWORD)
        .await
        .expect("the BI role can log in");
    let rows = bi
        .query(
            "select id::text || ' ' || title from snackbase_bi.posts order by title",
            &[],
        )
        .await
        .expect("rows");
    let seen: Vec<String> = rows.iter().map(|row| row.get(0)).collect();
    assert_eq!(seen, listed);

    let columns = bi
        .value("select string_agg(attname, ' ' order by attname) from pg_attribute where attrelid = 'snackbase_bi.posts'::regclass and attnum > 0 and not attisdropped")
        .await;
    let item = list["items"][0].as_object().expect("a record");
    let mut keys: Vec<_> = item
        .keys()
        .filter(|key| *key != "account_name")
        .cloned()
        .collect();
    keys.sort();
    assert_eq!(
        columns,
        keys.join(" "),
        "the columns are the keys of a listed record"
    );
}

#[tokio::test]
async fn it_follows_a_rule_change_and_a_new_collection() {
    let world = World::new().await;
    let name = role(&world).await;
    world
        .alice
        .post("/records/posts", json!({"title": "t", "status": "published"}))
        .await
        .expect(201);
    let bi = world.database.login(&name, PASSWORD).await.expect("login");
    let count = "select count(*) from snackbase_bi.posts";
    assert_eq!(bi.value(count).await, "1");
    world.rules("posts", json!({"list_rule": null})).await;
    let locked = bi.query(count, &[]).await;
    assert!(
        locked.is_err() || locked.is_ok_and(|rows| rows[0].get::<_, i64>(0) == 0),
        "a locked list is locked here too"
    );
    world.define(json!({"name": "later", "fields": [{"name": "a", "type": "text"}], "list_rule": "", "create_rule": ""})).await;
    world
        .alice
        .post("/records/later", json!({"a": "x"}))
        .await
        .expect(201);
    assert_eq!(bi.value("select count(*) from snackbase_bi.later").await, "1");
}

#[tokio::test]
async fn it_can_do_nothing_else() {
    let world = World::new().await;
    let name = role(&world).await;
    world
        .carol
        .post(
            "/records/posts",
            json!({"title": "globex", "status": "published"}),
        )
        .await
        .expect(201);
    let globex = world.account_id("carol");
    let bi = world.database.login(&name, PASSWORD).await.expect("login");
    for statement in [
        "select * from snackbase.col_posts".to_owned(),
        "select * from snackbase.users".to_owned(),
        "select * from snackbase.accounts".to_owned(),
        "select * from snackbase.audit_change".to_owned(),
        "insert into snackbase_bi.posts (title) values ('x')".to_owned(),
        "update snackbase_bi.posts set title = 'x'".to_owned(),
        "delete from snackbase_bi.posts".to_owned(),
        "create table snackbase_bi.mine (a int)".to_owned(),
        "set role snackbase_superadmin".to_owned(),
        "set role snackbase_list".to_owned(),
        "set role snackbase_reader".to_owned(),
        "set role snackbase_owner".to_owned(),
        format!("set snackbase.account_id = '{globex}'"),
        format!("select set_config('snackbase.account_id', '{globex}', false)"),
        format!("alter role {name} set snackbase.account_id = '{globex}'"),
        format!(
            "select snackbase.enter('{{\"kind\":\"user\",\"user_id\":\"{}\",\"account_id\":\"{globex}\"}}', 'list')",
            world.user_id("carol")
        ),
        "select snackbase.bi_role_create('other', 'globex', 'x')".to_owned(),
        "select * from snackbase.superadmin_exists()".to_owned(),
    ] {
        assert_eq!(bi.state_of(&statement).await, "42501", "{statement}");
        assert_eq!(
            bi.value("select count(*) from snackbase_bi.posts").await,
            "0",
            "after {statement}"
        );
    }
    let wrong = world
        .database
        .login(&name, "wrong")
        .await
        .err()
        .expect("the password counts");
    assert_eq!(sql_state(&wrong), "28P01");

    let superuser = world.database.superuser().await;
    superuser
        .query_one("select snackbase.bi_role_drop($1)", &[&name])
        .await
        .expect("the role can go");
    assert!(world.database.login(&name, PASSWORD).await.is_err());
    for refused in ["snackbase_gateway", "postgres", "snackbase_owner"] {
        let made = superuser
            .query_one("select snackbase.bi_role_create($1, 'acme', 'x')", &[&refused])
            .await;
        assert!(made.is_err(), "{refused} exists already");
        let dropped = superuser
            .query_one("select snackbase.bi_role_drop($1)", &[&refused])
            .await;
        assert!(dropped.is_err(), "{refused} is no BI role");
    }
}
