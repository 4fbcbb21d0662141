//! Trap 20: failures are counted in a race, whoever guesses keeps a victim locked out, and a distributed guess is not seen.
//! What a lock does, how long it lasts and how it ends: `pgrx-tests/lockout.rs`.

use snackbase_e2e::{PASSWORD, World};

use crate::http::limits::login;

const WRONG: &str = "Wrong-Horse-7-Battery";

/// How many of so many wrong logins at a time, each from an address of its own or all from one, were tried: answered 401.
async fn tried(world: &World, attempts: usize, address: impl Fn(usize) -> String) -> usize {
    let guesses: Vec<_> = (0..attempts)
        .map(|number| {
            let (caller, address) = (world.gateway.api(), address(number));
            tokio::spawn(async move { login(&caller, &address, "alice@example.com", WRONG).await.status })
        })
        .collect();
    let mut statuses = Vec::new();
    for guess in guesses {
        statuses.push(guess.await.expect("no panic"));
    }
    assert!(
        statuses.iter().all(|status| [401, 429].contains(status)),
        "{statuses:?}"
    );
    statuses.iter().filter(|status| **status == 401).count()
}

#[tokio::test]
async fn of_many_failures_at_a_time_none_is_lost_and_a_locked_user_is_not_locked_longer() {
    let settings = [
        ("SNACKBASE_LOGIN_LOCKOUT_THRESHOLD", "30"),
        ("SNACKBASE_LOGIN_LOCKOUT_SECONDS", "600"),
    ];
    let world = World::with(&settings).await;
    let superuser = world.database.superuser().await;
    let state = async || {
        superuser
            .value("select failed_login_attempts || ' ' || coalesce(ceil(extract(epoch from locked_until - clock_timestamp()) / 600), 0) from snackbase.users where email like 'alice%'")
            .await
    };
    let distributed = |number: usize| format!("192.0.2.{number}");
    assert_eq!(tried(&world, 29, distributed).await, 29);
    assert_eq!(state().await, "29 0");
    tried(&world, 10, distributed).await;
    assert_eq!(state().await, "30 1", "locked once, for ten minutes");
    let locked = superuser
        .value("select locked_until::text from snackbase.users where email like 'alice%'")
        .await;
    tried(&world, 20, distributed).await;
    assert_eq!(
        superuser
            .value("select locked_until::text from snackbase.users where email like 'alice%'")
            .await,
        locked
    );
    // The victim's session goes on, and nobody else is kept out.
    world.alice.get("/auth/me").await.expect(200);
    login(&world.gateway.api(), "192.0.2.1", "bob@example.com", PASSWORD)
        .await
        .expect(200);
}

/// The budget is asked and charged in the slot of one hash, so a burst overdraws it by no more than are hashed at a time.
#[tokio::test]
async fn a_burst_of_guesses_finds_the_budget_spent() {
    let settings = [
        ("SNACKBASE_LOGIN_RATE_LIMIT_PER_MINUTE", "5"),
        ("SNACKBASE_PASSWORD_HASH_CONCURRENCY", "2"),
    ];
    let world = World::with(&settings).await;
    let tried = tried(&world, 60, |_| "192.0.2.1".to_owned()).await;
    assert!((5..=6).contains(&tried), "{tried} were tried");
}
