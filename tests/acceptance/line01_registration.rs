//! Line 1: register → login refused with EmailVerificationRequiredError → verify → login → `isAuthenticated`, `isSuperadmin`
//! false. The link comes by mail.

use serde_json::json;
use snackbase_e2e::MailServer;

use crate::mail;
use crate::sdk;

#[tokio::test]
async fn through_the_client_and_a_mailbox() {
    let mut server = MailServer::start("starttls").await;
    let world = mail::world(&server, &[]).await;
    mail::configure(&world, &server, json!({})).await;
    let file = "tests/sdk/acceptance/line01_registration.test.mjs";
    sdk::against(&world, file, &[("STEP", "register")]).await;
    let token = mail::flows::token_in(&server.next().await, "verify-email");
    sdk::against(&world, file, &[("STEP", "confirm"), ("TOKEN", &token)]).await;
}
