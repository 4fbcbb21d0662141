//! Trap 39: a password of any length goes into Argon2, with 64 MiB for each attempt, as many at a time as somebody likes.

use serde_json::json;
use snackbase_e2e::World;

/// How much memory a process has used at most, in KiB.
fn peak(pid: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).expect("the gateway runs");
    let line = status
        .lines()
        .find(|line| line.starts_with("VmHWM:"))
        .expect("a peak");
    line.split_whitespace()
        .nth(1)
        .and_then(|number| number.parse().ok())
        .expect("KiB")
}

#[tokio::test]
async fn no_more_than_1024_bytes_are_a_password() {
    let world = World::new().await;
    let nobody = world.gateway.api();
    let password = |length: usize| format!("Aa1!{}", "x".repeat(length - 4));
    for (length, login, register) in [(1024, 401, 201), (1025, 422, 422), (1 << 20, 422, 422)] {
        let body = json!({"account": "acme", "email": "bob@example.com", "password": password(length)});
        nobody.post("/auth/login", body).await.expect(login);
        let body = json!({"email": "long@example.com", "password": password(length), "account_name": format!("Long {length}")});
        nobody.post("/auth/register", body).await.expect(register);
    }
    // Bytes count: 1024 characters may be more.
    let wide = json!({"account": "acme", "email": "bob@example.com", "password": "ä".repeat(600)});
    nobody.post("/auth/login", wide).await.expect(422);
    let body = json!({"email": "n@example.com", "password": password(1025), "account_id": world.account_id("alice"), "role_id": 2});
    world.root.post("/users", body).await.expect(422);
    let signed = world
        .bob
        .with_header("x-es-username", "bob@example.com")
        .with_header("x-es-password", &password(1025))
        .with_header("x-es-meaning", "approval")
        .with_header("x-es-reason", "because");
    signed
        .post("/records/posts", json!({"title": "t"}))
        .await
        .expect(422);
}

#[tokio::test]
async fn many_at_a_time_take_the_memory_of_two() {
    // Large enough that the allocator gives each block back when it is freed, as with the 64 MiB of the default.
    const HASH_KIB: u64 = 40 * 1024;
    let settings = [
        ("SNACKBASE_PASSWORD_HASH_MEMORY_KIB", "40960"),
        ("SNACKBASE_PASSWORD_HASH_CONCURRENCY", "2"),
    ];
    let world = World::with(&settings).await;
    let before = peak(world.gateway.pid());
    let guesses: Vec<_> = (0..12)
        .map(|number| {
            let nobody = world.gateway.api();
            let body = json!({"account": "acme", "email": format!("nobody{number}@example.com"), "password": "Wrong-Horse-7-Battery"});
            tokio::spawn(async move { nobody.post("/auth/login", body).await.status })
        })
        .collect();
    for guess in guesses {
        assert_eq!(guess.await.expect("no panic"), 401);
    }
    let grown = peak(world.gateway.pid()) - before;
    assert!(grown < 3 * HASH_KIB, "{grown} KiB more");
    assert!(grown > HASH_KIB / 2, "the hashes were not made: {grown} KiB");
}
