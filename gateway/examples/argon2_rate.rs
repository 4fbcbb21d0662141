//! What `bench/identity` compares logins with: Argon2id hashes per second, with the parameters of the gateway, on so many threads
//! for so many seconds, and nothing else. Prints the rate and how many hashes that were.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use argon2::{Algorithm, Argon2, Params, PasswordHasher, Version};

fn main() {
    let number = |place: usize, otherwise: u64| {
        let argument = std::env::args().nth(place);
        argument.and_then(|text| text.parse().ok()).unwrap_or(otherwise)
    };
    let (threads, seconds) = (number(1, 1), number(2, 4));
    // As `auth/password.rs`.
    let Ok(params) = Params::new(65_536, 3, 4, Some(32)) else {
        return;
    };
    let argon2 = Argon2::new(Algorithm::Argon2id, Version::V0x13, params);
    let hashes = AtomicU64::new(0);
    let started = Instant::now();
    let end = started + Duration::from_secs(seconds);
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                while Instant::now() < end && argon2.hash_password(b"Correct-Horse-7-Battery").is_ok() {
                    hashes.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
    });
    let hashes = u32::try_from(hashes.load(Ordering::Relaxed)).unwrap_or(u32::MAX);
    println!(
        "{:.3} {hashes}",
        f64::from(hashes) / started.elapsed().as_secs_f64()
    );
}
