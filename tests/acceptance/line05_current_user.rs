//! Line 5: getCurrentUser keeps account slug and name in the client's state.

use snackbase_e2e::World;

use crate::sdk;

#[tokio::test]
async fn through_the_client() {
    let file = "tests/sdk/acceptance/line05_current_user.test.mjs";
    sdk::against(&World::new().await, file, &[]).await;
}
