//! Attempts to be somebody else: forged settings, borrowed roles, abused functions.

use serde_json::json;
use snackbase_e2e::{World, environment, sql_state};
use tokio_postgres::{Config, NoTls};

/// A login that may use the schema and nothing more, as any application role of the same database.
async fn stranger(world: &World) -> String {
    let name = format!("stranger_{}", world.database.name);
    let superuser = world.database.superuser().await;
    superuser
        .batch_execute(&format!(
            "create role {name} login password 'stranger-7'; grant usage on schema snackbase to {name}"
        ))
        .await
        .expect("a role can be made");
    name
}

#[tokio::test]
async fn the_gateway_looks_names_up_in_pg_catalog_alone() {
    let world = World::new().await;
    let superuser = world.database.superuser().await;
    superuser
        .batch_execute("create function public.stand_in(x int) returns int language sql return x; grant execute on function public.stand_in to public")
        .await
        .expect("a function can be made");
    let gateway = world.database.gateway_role().await;
    assert_eq!(gateway.state_of("select stand_in(1)").await, "42883");
    // Also after an operation role was taken, whose own settings do not count.
    let taken = r#"select case when snackbase.enter('{"kind": "anonymous", "account": "acme"}', 'view') then current_setting('search_path') end"#;
    assert_eq!(gateway.value(taken).await, "pg_catalog, pg_temp");
}

#[tokio::test]
async fn a_forged_setting_is_refused() {
    let world = World::new().await;
    world
        .alice
        .post("/records/posts", json!({"title": "t", "status": "published"}))
        .await
        .expect(201);
    let name = stranger(&world).await;
    let session = world.database.login(&name, "stranger-7").await.expect("login");
    let acme = world.account_id("alice");
    for statement in [
        format!("set snackbase.account_id = '{acme}'"),
        format!("set local snackbase.account_id = '{acme}'"),
        format!("select set_config('snackbase.account_id', '{acme}', true)"),
        format!(
            "select set_config('snackbase.user_id', '{}', true)",
            world.user_id("alice")
        ),
        format!("alter role {name} set snackbase.account_id = '{acme}'"),
        format!(
            "alter database {} set snackbase.account_id = '{acme}'",
            world.database.name
        ),
        "set role snackbase_list".to_owned(),
        "select * from snackbase.col_posts".to_owned(),
        format!(
            "select snackbase.enter('{{\"kind\":\"user\",\"user_id\":\"{}\",\"account_id\":\"{acme}\"}}', 'list')",
            world.user_id("alice")
        ),
    ] {
        assert_eq!(session.state_of(&statement).await, "42501", "{statement}");
    }
    assert_eq!(session.value("select snackbase.current_account_id()").await, "∅");
}

#[tokio::test]
async fn a_setting_in_the_connection_string_is_refused() {
    let world = World::new().await;
    let name = stranger(&world).await;
    for (role, password) in [
        (name.as_str(), "stranger-7".to_owned()),
        (
            "snackbase_gateway",
            environment("SNACKBASE_TEST_GATEWAY_PASSWORD"),
        ),
    ] {
        let mut config = Config::new();
        config
            .host("127.0.0.1")
            .port(environment("PGPORT").parse().expect("a number"))
            .user(role)
            .password(password)
            .dbname(&world.database.name)
            .options(format!("-c snackbase.account_id={}", world.account_id("alice")));
        match config.connect(NoTls).await {
            Err(error) => assert_eq!(sql_state(&error), "42501", "{role}"),
            Ok(_) => assert_eq!(
                role, "snackbase_gateway",
                "only the gateway may set it, and gains nothing by it"
            ),
        }
    }
}

#[tokio::test]
async fn a_transaction_keeps_the_identity_it_entered_with() {
    let world = World::new().await;
    world
        .carol
        .post(
            "/records/posts",
            json!({"title": "globex", "status": "published"}),
        )
        .await
        .expect(201);
    let session = world.database.gateway_role().await;
    let caller = |name: &str| {
        json!({"kind": "user", "user_id": world.user_id(name), "account_id": world.account_id(name)})
            .to_string()
    };
    let globex = world.account_id("carol");
    for operation in ["list", "view", "create", "update", "delete", "member"] {
        for attempt in [
            format!("select snackbase.enter('{}', 'list')", caller("carol")),
            format!("set snackbase.account_id = '{globex}'"),
            format!("set local snackbase.account_id = '{globex}'"),
            format!("select set_config('snackbase.account_id', '{globex}', true)"),
        ] {
            session.batch_execute("begin").await.expect("begin");
            session
                .batch_execute(&format!(
                    "select snackbase.enter('{}', '{operation}')",
                    caller("alice")
                ))
                .await
                .expect("enter");
            assert_eq!(
                session.state_of(&attempt).await,
                "42501",
                "{operation}: {attempt}"
            );
            session.batch_execute("rollback").await.expect("rollback");
        }
    }
    session.batch_execute("begin").await.expect("begin");
    session
        .batch_execute(&format!("select snackbase.enter('{}', 'list')", caller("alice")))
        .await
        .expect("enter");
    assert_eq!(
        session
            .value("select count(title) from snackbase.col_posts")
            .await,
        "0",
        "plain SQL is bound as well"
    );
    assert_eq!(
        session.state_of("select secret from snackbase.col_posts").await,
        "42501",
        "and so are hidden columns"
    );
    session.batch_execute("rollback").await.expect("rollback");
}

#[tokio::test]
async fn a_caller_who_is_not_what_the_token_said_is_refused() {
    let world = World::new().await;
    let session = world.database.gateway_role().await;
    let (alice, bob) = (world.user_id("alice"), world.user_id("bob"));
    let (acme, globex) = (world.account_id("alice"), world.account_id("carol"));
    let unknown = "00000000-0000-4000-8000-000000000001";
    let user = |user: &str, account: &str| json!({"kind": "user", "user_id": user, "account_id": account});
    let cases = [
        (user(alice, globex), "list", "28000"),
        (user(unknown, acme), "list", "28000"),
        (user(alice, unknown), "list", "28000"),
        (user(alice, acme), "superadmin", "42501"),
        (user(bob, acme), "superadmin", "42501"),
        (user(bob, acme), "owner", "22023"),
        (
            json!({"kind": "superadmin", "user_id": alice, "account_id": acme}),
            "list",
            "22023",
        ),
        (json!({"kind": "anonymous"}), "create", "22023"),
        (
            json!({"kind": "anonymous", "account": "nowhere"}),
            "create",
            "P0002",
        ),
        (
            json!({"kind": "user", "user_id": "x", "account_id": acme}),
            "list",
            "28000",
        ),
        (
            json!({"kind": "user", "user_id": alice, "account_id": acme, "session_id": unknown}),
            "list",
            "28000",
        ),
    ];
    for (caller, operation, state) in cases {
        assert_eq!(
            session
                .state_of(&format!("select snackbase.enter('{caller}', '{operation}')"))
                .await,
            state,
            "{operation} {caller}"
        );
    }
    // A visitor without an account may ask to read, is told what is missing by the function, and sees nothing meanwhile.
    world
        .alice
        .post(
            "/records/posts",
            json!({"title": "public", "status": "published"}),
        )
        .await
        .expect(201);
    world.rules("posts", json!({"list_rule": ""})).await;
    for (caller, state) in [
        (json!({"kind": "anonymous"}), "22023"),
        (json!({"kind": "anonymous", "account": "nowhere"}), "P0002"),
    ] {
        let entered = format!("case when snackbase.enter('{caller}', 'list')");
        let statement = format!("select {entered} then snackbase.records_list('posts') end");
        assert_eq!(session.state_of(&statement).await, state, "{caller}");
        session.batch_execute("begin").await.expect("a transaction");
        session.value(&format!("select {entered} then 1 end")).await;
        assert_eq!(
            session.value("select count(*) from snackbase.col_posts").await,
            "0"
        );
        session.batch_execute("rollback").await.expect("its end");
    }
}
