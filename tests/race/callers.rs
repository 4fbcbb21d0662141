//! Who a caller is, while the rows that say so change, move and make room for others. A backend remembers where it found them.

use snackbase_e2e::{Cluster, Session};

/// What `enter` makes of a session of a user's: the caller's address, or the SQLSTATE of the refusal.
async fn entered(gateway: &Session, user: &str, account: &str, session: &str) -> String {
    let caller = format!(
        r#"{{"kind": "user", "user_id": "{user}", "account_id": "{account}", "session_id": "{session}"}}"#
    );
    let statement = format!(
        "select case when snackbase.enter('{caller}', 'view') then snackbase.current_user_email() end"
    );
    match gateway.query_one(&statement, &[]).await {
        Ok(row) => row.get(0),
        Err(error) => snackbase_e2e::sql_state(&error),
    }
}

#[tokio::test]
async fn a_row_counts_wherever_it_stands_and_nothing_else_does() {
    // A server of its own: elsewhere somebody's old snapshot keeps pages from being pruned.
    let mut cluster = Cluster::create("callers", "autovacuum = off").await;
    cluster.start().await;
    cluster.database("callers").await;
    let (superuser, gateway) = (
        cluster.superuser("callers").await,
        cluster.superuser("callers").await,
    );
    let (bob, acme) = (
        "b0000000-0000-4000-8000-000000000001",
        "a0000000-0000-4000-8000-000000000001",
    );
    let run = async |sql: String| superuser.batch_execute(&sql).await.expect("a superuser may");
    run(format!(
        "insert into snackbase.accounts (id, account_code, slug, name) values ('{acme}', 'AA0001', 'acme', 'Acme');
         insert into snackbase.users (id, account_id, email, role_id) values ('{bob}', '{acme}', 'bob@example.com', 2)"
    ))
    .await;
    gateway
        .batch_execute("set session authorization snackbase_gateway")
        .await
        .expect("the role is there");
    let begin = async |id: &str| {
        run(format!(
            "insert into snackbase.sessions (id, account_id, user_id) values ('{id}', '{acme}', '{bob}')"
        ))
        .await;
    };
    let (first, second) = (
        "10000000-0000-4000-8000-000000000001",
        "10000000-0000-4000-8000-000000000002",
    );
    begin(first).await;
    let bob_by = async |session: &str| entered(&gateway, bob, acme, session).await;
    for _ in 0..3 {
        assert_eq!(bob_by(first).await, "bob@example.com");
    }

    // The same rows, changed.
    run(format!(
        "update snackbase.users set email = 'rob@example.com' where id = '{bob}'"
    ))
    .await;
    assert_eq!(bob_by(first).await, "rob@example.com");
    run(format!(
        "begin; update snackbase.sessions set revoked_at = now() where id = '{first}'"
    ))
    .await;
    assert_eq!(bob_by(first).await, "rob@example.com", "not committed");
    run("rollback".to_owned()).await;
    assert_eq!(bob_by(first).await, "rob@example.com", "rolled back");
    run(format!(
        "update snackbase.sessions set revoked_at = now() where id = '{first}'"
    ))
    .await;
    assert_eq!(bob_by(first).await, "28000");
    run(format!(
        "update snackbase.sessions set revoked_at = null where id = '{first}'"
    ))
    .await;
    assert_eq!(bob_by(first).await, "rob@example.com");
    run(format!(
        "update snackbase.users set is_active = false where id = '{bob}'"
    ))
    .await;
    assert_eq!(bob_by(first).await, "28000");
    run(format!(
        "update snackbase.users set is_active = true where id = '{bob}'"
    ))
    .await;
    assert_eq!(bob_by(first).await, "28000", "its sessions ended with it");
    run(format!(
        "update snackbase.sessions set revoked_at = null where id = '{first}'"
    ))
    .await;

    // Moved.
    for change in [
        "vacuum full snackbase.sessions",
        "vacuum full snackbase.users",
        "reindex table snackbase.users",
        "reindex table concurrently snackbase.sessions",
        "cluster snackbase.sessions using sessions_pkey",
    ] {
        run(change.to_owned()).await;
        assert_eq!(bob_by(first).await, "rob@example.com", "{change}");
    }

    // Changed, and another session of the same user where it stood: pruning a page makes room without telling anybody.
    let place = async |id: &str| {
        superuser
            .value(&format!(
                "select ctid::text from snackbase.sessions where id = '{id}'"
            ))
            .await
    };
    begin(second).await;
    run(format!(
        "update snackbase.sessions set user_agent = 'again' where id = '{first}'"
    ))
    .await;
    assert_eq!(bob_by(first).await, "rob@example.com");
    let before = place(first).await;
    run(format!(
        "update snackbase.sessions set revoked_at = now() where id = '{first}'"
    ))
    .await;
    for number in 0..400 {
        run(format!(
            "update snackbase.sessions set user_agent = '{number}' where id = '{second}'"
        ))
        .await;
        if place(second).await == before {
            break;
        }
    }
    assert_eq!(place(second).await, before, "the place was not used again");
    assert_eq!(bob_by(first).await, "28000");
    assert_eq!(bob_by(second).await, "rob@example.com");

    // Gone, and the table shorter.
    run(format!(
        "insert into snackbase.sessions (id, account_id, user_id, user_agent)
         select ('20000000-0000-4000-8000-' || lpad(n::text, 12, '0'))::uuid, '{acme}', '{bob}', repeat('x', 400) from generate_series(1, 2000) as n"
    ))
    .await;
    let last = "20000000-0000-4000-8000-000000002000";
    assert_eq!(bob_by(last).await, "rob@example.com");
    let blocks = "select pg_relation_size('snackbase.sessions') / 8192";
    let long: i64 = superuser.value(blocks).await.parse().expect("a number");
    run("delete from snackbase.sessions where id::text like '2%'".to_owned()).await;
    run("vacuum snackbase.sessions".to_owned()).await;
    let short: i64 = superuser.value(blocks).await.parse().expect("a number");
    assert!(short < long, "vacuum left the table at {short} of {long} blocks");
    assert_eq!(bob_by(last).await, "28000");
    assert_eq!(bob_by(second).await, "rob@example.com");
    cluster.stop().await;
}
