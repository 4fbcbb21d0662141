//! The published JavaScript client against the gateway, and the demonstration that is built on it.

use std::path::{Path, PathBuf};

use snackbase_e2e::{Database, World, environment};
use tokio::process::Command;

/// The repository.
fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .expect("tests/ lies in the repository")
        .to_owned()
}

/// Run a Node program and return what it printed.
async fn node(arguments: &[&str], variables: &[(&str, &str)]) -> String {
    let output = Command::new("node")
        .args(arguments)
        .envs(variables.iter().copied())
        .current_dir(root())
        .output()
        .await
        .expect("node starts");
    let printed = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(
        output.status.success(),
        "node {arguments:?}:\n{printed}\n{}",
        String::from_utf8_lossy(&output.stderr)
    );
    printed
}

/// Run one file of SDK tests against a world of its own.
async fn sdk(file: &str) {
    let world = World::new().await;
    let path = format!("tests/sdk/{file}");
    let people = world.people.to_string();
    let printed = node(
        &["--test", "--test-reporter=tap", &path],
        &[
            ("SNACKBASE_URL", &world.gateway.base),
            ("SNACKBASE_PEOPLE", &people),
        ],
    )
    .await;
    assert!(
        printed.contains("# fail 0") && !printed.contains("# pass 0"),
        "{printed}"
    );
}

#[tokio::test]
async fn identity() {
    sdk("identity.test.mjs").await;
}

#[tokio::test]
async fn records() {
    sdk("records.test.mjs").await;
}

#[tokio::test]
async fn administration() {
    sdk("administration.test.mjs").await;
}

#[tokio::test]
async fn the_demonstration_tells_its_story() {
    let database = Database::fresh().await;
    let printed = node(
        &["demo/demo.mjs"],
        &[
            ("SNACKBASE_DEMO_DATABASE", &database.name),
            ("PGPORT", &environment("PGPORT")),
        ],
    )
    .await;
    for sentence in [
        "3,201 films",
        "404",
        "400",
        "the same rows and columns",
        "refused",
        "The audit trail verifies",
        "names the record",
    ] {
        assert!(printed.contains(sentence), "{sentence:?} is missing:\n{printed}");
    }
}
