//! Line 9: the generator of account codes: the table of `contract/identity.md` §2.3, fifty registrations at once, and no code
//! twice, not even of an account that was deleted.

use std::collections::BTreeSet;

use futures_util::future::join_all;
use serde_json::{Value, json};
use snackbase_e2e::{PASSWORD, World};

fn code(account: &Value) -> String {
    account["account_code"].as_str().expect("a code").to_owned()
}

fn registration(number: usize) -> Value {
    json!({"email": "same@example.com", "password": PASSWORD, "account_name": format!("Parallel {number}")})
}

#[tokio::test]
async fn fifty_registrations_at_once_get_fifty_codes() {
    let world = World::new().await;
    let register = |number: usize| {
        let api = world.gateway.api();
        async move { api.post("/auth/register", registration(number)).await }
    };
    let answers = join_all((0..50).map(register)).await;
    let codes: BTreeSet<String> = answers
        .into_iter()
        .map(|answer| code(&answer.expect(201)["account"]))
        .collect();
    let expected: BTreeSet<String> = (3..53).map(|number| format!("AA{number:04}")).collect();
    assert_eq!(codes, expected, "no gap, no double");
}

#[tokio::test]
async fn a_deleted_account_keeps_its_code_to_itself_also_among_others_being_made() {
    let world = World::new().await;
    let mut given = BTreeSet::new();
    for round in 0..4 {
        // The newest is deleted while others are made: the highest that is left would be a wrong place to count from.
        let newest = world
            .root
            .post("/accounts", json!({"name": format!("Newest {round}")}))
            .await
            .expect(201);
        assert!(given.insert(code(&newest)), "{} twice", code(&newest));
        let path = format!("/accounts/{}", code(&newest));
        let register = |number: usize| {
            let api = world.gateway.api();
            async move {
                api.post("/auth/register", registration(round * 10 + number))
                    .await
            }
        };
        let (deleted, made) = tokio::join!(world.root.delete(&path), join_all((0..5).map(register)));
        deleted.expect(204);
        for answer in made {
            let code = code(&answer.expect(201)["account"]);
            assert!(given.insert(code.clone()), "{code} twice");
        }
    }
    let superuser = world.database.superuser().await;
    superuser
        .batch_execute("delete from snackbase.accounts where slug <> 'system'")
        .await
        .expect("a superuser may");
    let next = world
        .root
        .post("/accounts", json!({"name": "Next"}))
        .await
        .expect(201);
    assert!(given.iter().all(|code| *code < self::code(&next)), "{next}");
}

/// What exists, and the code of the next account.
const TABLE: [(&[&str], &str); 7] = [
    (&[], "AA0001"),
    (&["AA0001", "AA0005"], "AA0006"),
    (&["AA9999"], "AB0000"),
    (&["AZ9999"], "BA0000"),
    (&["SX9999"], "SZ0000"),
    (&["SX9999", "SY0001", "SY9999"], "SZ0000"),
    (&["ZZ9998"], "ZZ9999"),
];

#[tokio::test]
async fn the_next_code_is_one_more_than_the_highest() {
    let world = World::new().await;
    let superuser = world.database.superuser().await;
    for (existing, next) in TABLE {
        let accounts: String = existing
            .iter()
            .map(|code| {
                format!(
                    "insert into snackbase.accounts (account_code, slug, name) values ('{code}', 's{}', 'x');",
                    code.to_lowercase()
                )
            })
            .collect();
        superuser
            .batch_execute(&format!(
                "delete from snackbase.accounts where slug <> 'system'; delete from snackbase.account_code_counter; {accounts}"
            ))
            .await
            .expect("a superuser may");
        let made = world
            .root
            .post("/accounts", json!({"name": "Next"}))
            .await
            .expect(201);
        assert_eq!(made["account_code"], next, "after {existing:?}");
    }
    // The last one was the last one: a conflict, which no client repeats, and nothing is left behind.
    for (path, body) in [
        ("/accounts", json!({"name": "Too late"})),
        ("/auth/register", registration(0)),
    ] {
        let refused = world.root.post(path, body).await;
        assert!(
            (refused.status == 409 || refused.status == 422) && refused.text.contains("6,760,000"),
            "{path}: {} {}",
            refused.status,
            refused.text
        );
    }
    let left = superuser
        .value("select count(*) from snackbase.accounts where name in ('Too late', 'Parallel 0')")
        .await;
    assert_eq!(left, "0");
}
