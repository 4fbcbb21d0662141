//! Line 17: forgot-password timing for known against unknown address within noise; verify-reset-token true → false after use.

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use snackbase_e2e::{MailServer, World};

use crate::mail;
use crate::sdk;

#[tokio::test]
async fn through_the_client_and_a_mailbox() {
    let mut server = MailServer::start("starttls").await;
    let world = mail::world(&server, &[]).await;
    mail::configure(&world, &server, json!({})).await;
    let file = "tests/sdk/acceptance/line17_forgotten_passwords.test.mjs";
    sdk::against(&world, file, &[("STEP", "forget")]).await;
    let token = mail::flows::token_in(&server.next().await, "reset-password");
    sdk::against(&world, file, &[("STEP", "reset"), ("TOKEN", &token)]).await;
}

/// How long one request takes.
async fn timed(world: &World, body: Value) -> Duration {
    let api = world.gateway.api();
    let begun = Instant::now();
    api.post("/auth/forgot-password", body).await.expect(200);
    begun.elapsed()
}

/// A quarter of the times are shorter. (Of the others, more is the machine's and less is ours.)
fn quartile(mut times: Vec<Duration>) -> Duration {
    times.sort();
    times[times.len() / 4]
}

#[tokio::test]
async fn the_time_does_not_tell_who_is_known() {
    let world = World::with(&[("SNACKBASE_WORKER_ENABLED", "false")]).await;
    let superuser = world.database.superuser().await;
    let account = world.account_id("alice");
    superuser
        .batch_execute(&format!(
            "insert into snackbase.users (account_id, email, role_id, email_verified)
             select '{account}', 'known' || n || '@example.com', 2, true from generate_series(1, 150) n"
        ))
        .await
        .expect("users");
    // Three kinds, in turn, so that whatever else the machine does hits all alike: known for the first time, unknown, and known
    // but asked for too often.
    let (mut known, mut unknown, mut throttled) = (Vec::new(), Vec::new(), Vec::new());
    for n in 1..=150 {
        let body = |email: String| json!({"account": "acme", "email": email});
        known.push(timed(&world, body(format!("known{n}@example.com"))).await);
        unknown.push(timed(&world, body(format!("nobody{n}@example.com"))).await);
        throttled.push(timed(&world, body("bob@example.com".to_owned())).await);
    }
    let (known, unknown, throttled) = (quartile(known), quartile(unknown), quartile(throttled));
    println!("first quartile of 150: known {known:?}, unknown {unknown:?}, throttled {throttled:?}");
    for other in [unknown, throttled] {
        let (less, more) = (known.min(other), known.max(other));
        // Without the work that is done and undone, the known take 1.3 to 1.6 times as long.
        assert!(
            more.as_secs_f64() < 1.2 * less.as_secs_f64(),
            "known {known:?}, unknown {unknown:?}, throttled {throttled:?}"
        );
    }
    let mails = superuser
        .value("select count(*) || ' to ' || count(distinct recipient) from snackbase.mail_outbox")
        .await;
    assert_eq!(mails, "153 to 151");
}
