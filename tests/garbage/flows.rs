//! Valid requests of the flows around a login and of invitations, and the tokens for them.

use serde_json::{Value, json};
use snackbase_e2e::World;

use super::scene::{Sample, Who};

/// Tokens of mails to bob: one confirms his address, one sets his password; and one of an invitation.
const VERIFICATION: &str = "token-of-a-mail-to-bob";
const RESET: &str = "token-of-another-mail-to-bob";
const INVITATION: &str = "token-of-a-mail-to-nobody";

/// Ids of two invitations: the one with the token, and one to send again and cancel.
const IDS: [&str; 2] = [
    "00000000-0000-4000-8000-00000000aaa1",
    "00000000-0000-4000-8000-00000000aaa2",
];

/// What varies in the paths of these samples.
pub const KEYS: [&str; 3] = [RESET, INVITATION, IDS[1]];

/// Makes the tokens again: each is good once.
pub async fn restore(world: &World) {
    let superuser = world.database.superuser().await;
    superuser
        .batch_execute(&format!(
            "insert into snackbase.one_time_tokens (account_id, user_id, purpose, email, token_hash, expires_at)
             select u.account_id, u.id, t.purpose, u.email, snackbase._token_hash(t.token), now() + interval '1 day'
               from snackbase.users u, (values ('verification', '{VERIFICATION}'), ('reset', '{RESET}')) t(purpose, token)
              where u.email = 'bob@example.com'
             on conflict (account_id, user_id, purpose, email) do update set token_hash = excluded.token_hash;
             delete from snackbase.users where email in ('invited@example.com', 'open@example.com', 'fresh@example.com');
             delete from snackbase.mail_outbox where template_type = 'invitation';
             delete from snackbase.invitations;
             insert into snackbase.invitations (id, account_id, email, token_hash)
             select i.id::uuid, u.account_id, i.email, i.hash
               from snackbase.users u,
                    (values ('{}', 'invited@example.com', snackbase._token_hash('{INVITATION}')), ('{}', 'open@example.com', null)) i(id, email, hash)
              where u.email = 'bob@example.com'",
            IDS[0], IDS[1]
        ))
        .await
        .expect("a superuser may");
}

/// One for every route, those that remove something last.
pub fn samples() -> Vec<Sample> {
    let sample = |who, method, path: &str, body| Sample {
        who,
        method,
        path: path.to_owned(),
        query: Vec::new(),
        body,
    };
    let (alice, anonymous) = (Who::Alice, Who::Anonymous);
    let resend = json!({"email": "bob@example.com", "account": "acme"});
    let forgotten = json!({"email": "nobody@example.com", "account": "acme"});
    let reset = json!({"token": RESET, "new_password": "Correct-Horse-7-Battery"});
    let invitation = json!({"email": "fresh@example.com", "role_id": 2, "groups": []});
    let password = json!({"password": "Correct-Horse-7-Battery"});
    let of_id = |rest: &str| format!("/invitations/{}{rest}", IDS[1]);
    let of_token = |rest: &str| format!("/invitations/{INVITATION}{rest}");
    vec![
        sample(alice, "GET", "/auth/accounts", Value::Null),
        sample(anonymous, "POST", "/auth/send-verification", resend.clone()),
        sample(anonymous, "POST", "/auth/resend-verification", resend),
        sample(
            anonymous,
            "POST",
            "/auth/verify-email",
            json!({"token": VERIFICATION}),
        ),
        sample(anonymous, "POST", "/auth/forgot-password", forgotten),
        sample(
            anonymous,
            "GET",
            &format!("/auth/verify-reset-token/{RESET}"),
            Value::Null,
        ),
        sample(anonymous, "POST", "/auth/reset-password", reset),
        Sample {
            query: vec![("status_filter", "pending".to_owned())],
            ..sample(alice, "GET", "/invitations", Value::Null)
        },
        sample(alice, "POST", "/invitations", invitation),
        sample(anonymous, "GET", &of_token(""), Value::Null),
        sample(anonymous, "POST", &of_token("/accept"), password),
        sample(alice, "POST", &of_id("/resend"), Value::Null),
        sample(alice, "DELETE", &of_id(""), Value::Null),
    ]
}
