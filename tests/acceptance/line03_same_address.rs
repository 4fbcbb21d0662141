//! Line 3: the same address in two accounts, with different passwords and roles; each password fails in the other account.

use snackbase_e2e::World;

use crate::sdk;

#[tokio::test]
async fn through_the_client_library() {
    let world = World::new().await;
    sdk::against(&world, "tests/sdk/acceptance/line03_same_address.test.mjs", &[]).await;
    // Two users, and two hashes of which neither is the other's.
    let superuser = world.database.superuser().await;
    let users = superuser
        .value(
            "select count(*) || ' ' || count(distinct account_id) || ' ' || count(distinct password_hash) || ' ' || count(distinct role_id)
               from snackbase.users where email = 'both@example.com'",
        )
        .await;
    assert_eq!(users, "2 2 2 2");
}
