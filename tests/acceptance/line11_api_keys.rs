//! Line 11: an API key is created once in clear, masked later, works in X-API-Key and Bearer, is revoked at once, dies with its user.

use snackbase_e2e::World;

use crate::sdk;

#[tokio::test]
async fn through_the_client_library() {
    let world = World::new().await;
    sdk::against(&world, "tests/sdk/acceptance/line11_api_keys.test.mjs", &[]).await;
}
