//! A running gateway.

use std::{process::Stdio, time::Duration};

use tokio::{
    net::TcpListener,
    process::{Child, Command},
};

use crate::{Api, Database, environment};

/// A gateway process on a free port of 127.0.0.1. It is killed when this is dropped.
pub struct Gateway {
    child: Child,
    /// Scheme, host and port.
    pub base: String,
}

/// The signing key of all test gateways: a token of one is good at another on a copy of the same database.
const SECRET_KEY: &str = "e2e-test-secret-e2e-test-secret-e2e-test-secret-e2e-test-secret";

impl Gateway {
    /// Start a gateway for `database`, with `settings` on top of the usual environment.
    pub async fn start(database: &Database, settings: &[(&str, &str)]) -> Self {
        let port = environment("PGPORT").parse().expect("PGPORT is a number");
        Self::start_through(database, port, settings).await
    }

    /// The same, but Postgres is reached at another port of 127.0.0.1 (a [`crate::Proxy`]).
    pub async fn start_through(database: &Database, postgres_port: u16, settings: &[(&str, &str)]) -> Self {
        // Another process may take the port between the reservation and the bind: then the next one is tried.
        for _ in 0..5 {
            let port = free_port().await;
            let mut command = gateway_command(database, postgres_port);
            command
                .env("SNACKBASE_PORT", port.to_string())
                .envs(settings.iter().copied())
                .arg("serve");
            let mut child = command.spawn().expect("the gateway program starts");
            let base = format!("http://127.0.0.1:{port}");
            if answers(&mut child, &base).await {
                return Self { child, base };
            }
        }
        panic!("the gateway does not start");
    }

    /// A caller without credentials.
    pub fn api(&self) -> Api {
        Api::new(&self.base)
    }

    /// The process number.
    pub fn pid(&self) -> u32 {
        self.child.id().expect("the gateway runs as long as this exists")
    }

    /// Ask the gateway to stop and wait until it has: true when it left with success.
    pub async fn stop(mut self) -> bool {
        let pid = self.pid().to_string();
        let sent = Command::new("kill")
            .args(["-TERM", &pid])
            .status()
            .await
            .expect("kill(1) exists");
        assert!(sent.success(), "the gateway was not there to stop");
        self.child
            .wait()
            .await
            .expect("a child can be waited for")
            .success()
    }
}

/// The gateway program with the environment that every test gives it.
pub fn gateway_command(database: &Database, postgres_port: u16) -> Command {
    let password = environment("SNACKBASE_TEST_GATEWAY_PASSWORD");
    let url = format!(
        "postgres://snackbase_gateway:{password}@127.0.0.1:{postgres_port}/{}",
        database.name
    );
    let mut command = Command::new(environment("SNACKBASE_TEST_GATEWAY"));
    command
        .env_clear()
        .env("SNACKBASE_HOST", "127.0.0.1")
        .env("SNACKBASE_DATABASE_URL", url)
        .env("SNACKBASE_SECRET_KEY", SECRET_KEY)
        .env("SNACKBASE_ENVIRONMENT", "testing")
        .env("SNACKBASE_ACCESS_LOG", "false")
        // What is tested is who may log in, not how long guessing takes.
        .env("SNACKBASE_PASSWORD_HASH_MEMORY_KIB", "1024")
        // All tests come from one address; those about limits say which.
        .env("SNACKBASE_RATE_LIMIT_ENABLED", "false")
        .env("SNACKBASE_LOGIN_RATE_LIMIT_PER_MINUTE", "0")
        // Hundreds ask at once, of a machine that may be busy; those about the wait itself say how long.
        .env("SNACKBASE_DB_WAIT_TIMEOUT_MS", "30000")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .kill_on_drop(true);
    command
}

async fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    listener
        .local_addr()
        .expect("a bound socket has an address")
        .port()
}

/// Wait until the gateway answers, or has given up.
async fn answers(child: &mut Child, base: &str) -> bool {
    let client = reqwest::Client::new();
    for _ in 0..600 {
        if child.try_wait().expect("a child can be asked").is_some() {
            return false;
        }
        if client
            .get(format!("{base}/ready"))
            .send()
            .await
            .is_ok_and(|answer| answer.status().is_success())
        {
            return true;
        }
        tokio::time::sleep(Duration::from_millis(25)).await;
    }
    panic!("the gateway at {base} is not ready after 15 seconds");
}
