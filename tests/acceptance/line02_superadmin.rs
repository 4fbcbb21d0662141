//! Line 2: a superadmin logs in with `system`, `SY0000` and the nil UUID, and is one directly after login.

use snackbase_e2e::World;

use crate::sdk;

#[tokio::test]
async fn through_the_client_library() {
    let world = World::new().await;
    sdk::against(&world, "tests/sdk/acceptance/line02_superadmin.test.mjs", &[]).await;
}
