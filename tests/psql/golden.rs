//! The golden files: one test for each script.

use super::compare;

#[tokio::test]
async fn collection() {
    compare("collection").await;
}

#[tokio::test]
async fn privileges() {
    compare("privileges").await;
}

#[tokio::test]
async fn audit() {
    compare("audit").await;
}
