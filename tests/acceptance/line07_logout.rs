//! Line 7: logout → the old access token and refresh token are both 401.

use snackbase_e2e::World;

use crate::sdk;

#[tokio::test]
async fn through_the_client() {
    let file = "tests/sdk/acceptance/line07_logout.test.mjs";
    sdk::against(&World::new().await, file, &[]).await;
}
