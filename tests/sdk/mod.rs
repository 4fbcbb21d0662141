//! The published JavaScript client against the gateway, our own on top of it, and the demonstration.

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

/// Run files of Node's own tests, and see that there were some.
async fn node_tests(files: &[&str], variables: &[(&str, &str)]) {
    let arguments: Vec<&str> = ["--test", "--test-reporter=tap"]
        .iter()
        .chain(files)
        .copied()
        .collect();
    let printed = node(&arguments, variables).await;
    assert!(
        printed.contains("# fail 0") && !printed.contains("# pass 0"),
        "{printed}"
    );
}

/// Run one file of tests against a world, with whatever else the file wants to be told in variables.
pub async fn against(world: &World, file: &str, more: &[(&str, &str)]) {
    let people = world.people.to_string();
    let variables = [
        ("SNACKBASE_URL", world.gateway.base.as_str()),
        ("SNACKBASE_PEOPLE", &people),
    ];
    node_tests(&[file], &[&variables, more].concat()).await;
}

/// Run one file of tests against a world of its own.
async fn against_a_world(file: &str) {
    against(&World::new().await, file, &[]).await;
}

#[tokio::test]
async fn identity() {
    against_a_world("tests/sdk/identity.test.mjs").await;
}

#[tokio::test]
async fn records() {
    against_a_world("tests/sdk/records.test.mjs").await;
}

#[tokio::test]
async fn collections() {
    against_a_world("tests/sdk/collections.test.mjs").await;
}

#[tokio::test]
async fn administration() {
    against_a_world("tests/sdk/administration.test.mjs").await;
}

#[tokio::test]
async fn people() {
    against_a_world("tests/sdk/people.test.mjs").await;
}

#[tokio::test]
async fn our_client_maps_what_it_is_given_and_declares_what_it_takes() {
    let files = [
        "clients/js/test/mapping.test.mjs",
        "clients/js/test/client.test.mjs",
        "clients/js/test/types.test.mjs",
    ];
    node_tests(&files, &[]).await;
}

#[tokio::test]
async fn the_snippet_of_the_landing_page() {
    against_a_world("clients/js/test/landing-page.test.mjs").await;
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
