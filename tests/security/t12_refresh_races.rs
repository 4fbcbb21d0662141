//! T12: the original reads a refresh token and then writes that it is spent, so that two at the same time both get the next one.
//! (T13 is the same of the other tokens; two hundred at once are in `race::tokens`.) Here the second waits for what becomes of the
//! first.

use snackbase_e2e::{Session, World};

/// What one way to spend a token looks like in SQL, and what it answers when the token is gone.
struct Spending {
    what: &'static str,
    call: String,
    gone: &'static str,
}

async fn begin(world: &World) -> Session {
    let session = world.database.gateway_role().await;
    session
        .batch_execute(r#"begin; select snackbase.enter('{"kind":"anonymous"}', 'auth')"#)
        .await
        .expect("the gateway may");
    session
}

/// `done`, the SQLSTATE of a refusal, or `null`.
async fn outcome(session: &Session, call: &str) -> String {
    match session.simple_query(&format!("select ({call}) is null")).await {
        Err(error) => error
            .code()
            .map_or_else(|| format!("{error:?}"), |code| code.code().to_owned()),
        Ok(messages) => messages
            .into_iter()
            .find_map(|message| match message {
                tokio_postgres::SimpleQueryMessage::Row(row) => Some(match row.get(0) {
                    Some("t") => "null".to_owned(),
                    _ => "done".to_owned(),
                }),
                _ => None,
            })
            .expect("a row"),
    }
}

async fn waits(world: &World) {
    let superuser = world.database.superuser().await;
    let waiting = "select count(*) from pg_stat_activity
                    where usename = 'snackbase_gateway' and datname = current_database() and wait_event_type = 'Lock'";
    while superuser.value(waiting).await == "0" {
        tokio::time::sleep(std::time::Duration::from_millis(2)).await;
    }
}

#[tokio::test]
async fn the_second_waits_for_the_first_and_wins_only_when_it_gives_up() {
    let world = World::new().await;
    let superuser = world.database.superuser().await;
    superuser
        .batch_execute(
            "insert into snackbase.one_time_tokens (account_id, user_id, purpose, email, token_hash, expires_at)
             select account_id, id, p, email, snackbase._token_hash(p || n), now() + interval '1 hour'
               from snackbase.users, unnest(array['verification', 'reset']) p, generate_series(1, 2) n
              where email = case n when 1 then 'alice@example.com' else 'bob@example.com' end;
             insert into snackbase.invitations (account_id, email, token_hash)
             select account_id, 'n' || n || '@example.com', snackbase._token_hash('invitation' || n)
               from snackbase.users, generate_series(1, 2) n where email = 'alice@example.com';
             insert into snackbase.sessions (id, account_id, user_id)
             select gen_random_uuid(), account_id, id from snackbase.users where email = 'carol@example.com';
             insert into snackbase.refresh_tokens (id, account_id, session_id, token_hash, expires_at)
             select ('aaaaaaaa-0000-0000-0000-00000000000' || n)::uuid, s.account_id, s.id, 'h' || n, now() + interval '1 day'
               from (select * from snackbase.sessions order by created_at desc limit 1) s, generate_series(1, 2) n",
        )
        .await
        .expect("tokens");
    for (n, first_commits) in [(1, true), (2, false)] {
        let spendings = [
            Spending {
                what: "refresh",
                call: format!(
                    "snackbase.auth_refresh('aaaaaaaa-0000-0000-0000-00000000000{n}', 'h{n}', gen_random_uuid(), gen_random_uuid()::text, now() + interval '1 day')"
                ),
                gone: "null",
            },
            Spending {
                what: "verification",
                call: format!("snackbase.auth_verify_email('verification{n}')"),
                gone: "22023",
            },
            Spending {
                what: "reset",
                call: format!("snackbase.auth_reset_password('reset{n}', 'hash')"),
                gone: "22023",
            },
            Spending {
                what: "invitation",
                call: format!(
                    "snackbase.auth_invitation_accept('invitation{n}', gen_random_uuid(), 'hash', gen_random_uuid(), gen_random_uuid(), gen_random_uuid()::text, now() + interval '1 day')"
                ),
                gone: "P0002",
            },
        ];
        for Spending { what, call, gone } in spendings {
            let (first, second) = (begin(&world).await, begin(&world).await);
            assert_eq!(outcome(&first, &call).await, "done", "{what}");
            let end = async {
                waits(&world).await;
                let verb = if first_commits { "commit" } else { "rollback" };
                first.batch_execute(verb).await.expect("it ends");
            };
            let ((), late) = tokio::join!(end, outcome(&second, &call));
            let expected = if first_commits { gone } else { "done" };
            assert_eq!(late, expected, "{what}, and the first commits: {first_commits}");
        }
    }
}
