//! T32: in the original nothing that happens before a login is in the audit trail. Here registration, login, failed login, reset and
//! acceptance are, by nobody (`anonymous`) from somewhere; and no password, hash or token is (contract identity.md §5.11).

use serde_json::json;
use snackbase_e2e::{PASSWORD, World};

#[tokio::test]
async fn what_happens_before_a_login_leaves_traces_and_no_secrets() {
    let world = World::new().await;
    let superuser = world.database.superuser().await;
    let newest = async || {
        superuser
            .value("select coalesce(max(id), 0) from snackbase.audit_change")
            .await
    };
    let since = async |id: &str| {
        superuser
            .value(&format!(
                "select string_agg(distinct e.table_name || '.' || e.column_name || ' ' || e.operation || ' by ' || e.user_id || ' from ' || e.ip_address, '; ')
                   from snackbase.audit_log e
                  where e.id > {id}::bigint * 2048 + 2047
                    and e.column_name in ('email', 'slug', 'last_login', 'failed_login_attempts', 'password_hash', 'email_verified', 'accepted_at', 'user_id')"
            ))
            .await
    };
    let api = world.gateway.api();
    let mut tokens = Vec::new();

    let mark = newest().await;
    let body = json!({"email": "dora@example.org", "password": PASSWORD, "account_name": "Initech"});
    api.post("/auth/register", body).await.expect(201);
    tokens.push(world.mailed_token("dora@example.org").await);
    let traces = since(&mark).await;
    for trace in [
        "accounts.slug CREATE",
        "users.email CREATE",
        "users.password_hash CREATE",
        "users_groups.user_id CREATE",
    ] {
        assert!(
            traces.contains(&format!("{trace} by anonymous from 127.0.0.1")),
            "{trace}: {traces}"
        );
    }

    let mark = newest().await;
    let login = |password: &str| json!({"account": "acme", "email": "bob@example.com", "password": password});
    api.post("/auth/login", login("Wrong-Horse-7-Battery"))
        .await
        .expect(401);
    assert_eq!(
        since(&mark).await,
        "users.failed_login_attempts UPDATE by anonymous from 127.0.0.1"
    );

    let mark = newest().await;
    api.post("/auth/login", login(PASSWORD)).await.expect(200);
    let traces = since(&mark).await;
    assert!(
        traces.contains("users.last_login UPDATE by anonymous from 127.0.0.1"),
        "{traces}"
    );

    let mark = newest().await;
    api.post(
        "/auth/forgot-password",
        json!({"account": "acme", "email": "bob@example.com"}),
    )
    .await
    .expect(200);
    let token = world.mailed_token("bob@example.com").await;
    api.post(
        "/auth/reset-password",
        json!({"token": token, "new_password": "Another-Horse-8-Battery"}),
    )
    .await
    .expect(200);
    tokens.push(token);
    assert_eq!(
        since(&mark).await,
        "users.password_hash UPDATE by anonymous from 127.0.0.1"
    );

    let made = world
        .alice
        .post("/invitations", json!({"email": "ivy@example.org"}))
        .await
        .expect(201);
    let token = made["token"].as_str().expect("a token").to_owned();
    let mark = newest().await;
    api.post(
        &format!("/invitations/{token}/accept"),
        json!({"password": PASSWORD}),
    )
    .await
    .expect(200);
    tokens.push(token);
    let traces = since(&mark).await;
    for trace in ["invitations.accepted_at UPDATE", "users.email CREATE"] {
        assert!(
            traces.contains(&format!("{trace} by anonymous from 127.0.0.1")),
            "{trace}: {traces}"
        );
    }

    let mut secrets = vec!["Horse".to_owned(), "$argon2".to_owned()];
    for token in &tokens {
        assert!(matches!(token.len(), 43 | 64), "{token}");
        secrets.push(token.clone());
        secrets.push(
            superuser
                .value(&format!("select snackbase._token_hash('{token}')"))
                .await,
        );
    }
    for secret in secrets {
        let found = superuser
            .value(&format!(
                "select count(*) from snackbase.audit_change c where c::text like '%{secret}%'"
            ))
            .await;
        assert_eq!(found, "0", "{secret}");
    }
    assert_eq!(world.audit_findings().await, [""; 0]);
}
