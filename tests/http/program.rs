//! The program itself: commands, settings, and when it refuses to start.

use std::process::Output;

use serde_json::json;
use snackbase_e2e::{Database, Gateway, environment, gateway_command};

const PASSWORD: &str = "Correct-Horse-7-Battery";

/// Run a command of the gateway to its end.
async fn gateway(database: &Database, arguments: &[&str], settings: &[(&str, &str)]) -> Output {
    let port = environment("PGPORT").parse().expect("PGPORT is a number");
    let mut command = gateway_command(database, port);
    command
        .args(arguments)
        .envs(settings.iter().copied())
        .stdout(std::process::Stdio::piped());
    command
        .stderr(std::process::Stdio::piped())
        .output()
        .await
        .expect("the gateway program starts")
}

/// Both streams of a command as one text.
fn printed(output: &Output) -> String {
    format!(
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    )
}

#[tokio::test]
async fn help_names_the_commands_and_every_setting() {
    let output = gateway(&Database::fresh().await, &["--help"], &[]).await;
    let text = printed(&output);
    assert!(output.status.success(), "{text}");
    for word in [
        "serve",
        "create-superadmin",
        "doctor",
        "SNACKBASE_PORT",
        "SNACKBASE_SECRET_KEY",
        "SNACKBASE_TRUSTED_PROXIES",
    ] {
        assert!(text.contains(word), "{word}: {text}");
    }
}

#[tokio::test]
async fn every_mistake_in_the_settings_is_named_at_once() {
    let settings = [
        ("SNACKBASE_PORT", "eighty"),
        ("SNACKBASE_DB_POOL_SIZE", "0"),
        ("SNACKBASE_HOST", "nowhere"),
    ];
    let output = gateway(&Database::fresh().await, &["serve"], &settings).await;
    let text = printed(&output);
    assert!(!output.status.success(), "{text}");
    for (name, _) in settings {
        assert!(text.contains(name), "{name}: {text}");
    }
    let production = [
        ("SNACKBASE_ENVIRONMENT", "production"),
        ("SNACKBASE_SECRET_KEY", "short"),
    ];
    let output = gateway(&Database::fresh().await, &["serve"], &production).await;
    assert!(
        !output.status.success() && printed(&output).contains("SNACKBASE_SECRET_KEY"),
        "{}",
        printed(&output)
    );
}

#[tokio::test]
async fn a_superadmin_can_be_made_by_command() {
    let database = Database::fresh().await;
    let arguments = ["create-superadmin", "--email", "root@example.com"];
    let secret = [("SNACKBASE_SUPERADMIN_PASSWORD", PASSWORD)];
    let output = gateway(&database, &arguments, &secret).await;
    assert!(output.status.success(), "{}", printed(&output));
    let again = gateway(&database, &arguments, &secret).await;
    assert!(
        !again.status.success(),
        "there is one already: {}",
        printed(&again)
    );
    let weak = gateway(
        &database,
        &[
            "create-superadmin",
            "--email",
            "b@example.com",
            "--password",
            "short",
        ],
        &[],
    )
    .await;
    assert!(!weak.status.success(), "{}", printed(&weak));
    let running = Gateway::start(&database, &[]).await;
    let body = json!({"account": "system", "email": "root@example.com", "password": PASSWORD});
    running.api().post("/auth/login", body).await.expect(200);
}

#[tokio::test]
async fn it_does_not_serve_a_database_with_an_open_door() {
    let database = Database::fresh().await;
    let sound = gateway(&database, &["doctor"], &[]).await;
    assert!(sound.status.success(), "{}", printed(&sound));
    let superuser = database.superuser().await;
    superuser
        .batch_execute(
            "begin;
             alter event trigger snackbase_guard_ddl disable;
             alter table snackbase.users no force row level security;
             alter event trigger snackbase_guard_ddl enable always;
             commit",
        )
        .await
        .expect("a superuser can");
    for command in ["doctor", "serve"] {
        let output = gateway(&database, &[command], &[("SNACKBASE_PORT", "1")]).await;
        let text = printed(&output);
        assert!(
            !output.status.success() && text.contains("snackbase.users"),
            "{command}: {text}"
        );
    }
}

#[tokio::test]
async fn without_a_database_it_says_so() {
    let nowhere = Database {
        name: "there_is_no_such_database".to_owned(),
    };
    let output = gateway(&nowhere, &["doctor"], &[]).await;
    let text = printed(&output);
    assert!(
        !output.status.success() && !text.is_empty() && !text.contains("panicked"),
        "{text}"
    );
    assert!(
        !text.contains(&environment("SNACKBASE_TEST_GATEWAY_PASSWORD")),
        "no password in a message"
    );
}
