//! Tokens that many use at once, and a gateway that dies while people register. contract identity.md §7, traps 12 and 13.

use std::collections::BTreeMap;
use std::future::Future;

use futures_util::future::join_all;
use serde_json::{Value, json};
use snackbase_e2e::{Answer, Gateway, PASSWORD, World};
use tokio::process::Command;

use super::tally;

const MANY: usize = 200;

/// Sends one request many times at once, and sees that it succeeds once and is refused with `refusal` otherwise.
async fn once<F: Future<Output = Answer>>(what: &str, refusal: u16, request: impl Fn(usize) -> F) {
    let answers = join_all((0..MANY).map(request)).await;
    let expected = BTreeMap::from([(200, 1), (refusal, MANY - 1)]);
    assert_eq!(tally(&answers), expected, "{what}");
}

#[tokio::test]
async fn each_token_is_used_once_by_two_hundred_at_once() {
    let world = World::new().await;
    let post = |path: String, body: Value| {
        let api = world.gateway.api();
        async move { api.post(&path, body).await }
    };
    let superuser = world.database.superuser().await;
    superuser
        .batch_execute("update snackbase.users set email_verified = false where email = 'bob@example.com'")
        .await
        .expect("a superuser may");

    let body = json!({"refresh_token": world.people["carol"]["refresh_token"]});
    once("refresh", 401, |_| post("/auth/refresh".to_owned(), body.clone())).await;

    let address = json!({"email": "bob@example.com", "account": "acme"});
    post("/auth/resend-verification".to_owned(), address.clone())
        .await
        .expect(200);
    let body = json!({"token": world.mailed_token("bob@example.com").await});
    once("verification", 400, |_| {
        post("/auth/verify-email".to_owned(), body.clone())
    })
    .await;

    post("/auth/forgot-password".to_owned(), address)
        .await
        .expect(200);
    let token = world.mailed_token("bob@example.com").await;
    once("reset", 400, |number| {
        let body = json!({"token": token, "new_password": format!("{PASSWORD}-{number}")});
        post("/auth/reset-password".to_owned(), body)
    })
    .await;
    let notices = "select count(*) from snackbase.mail_outbox where template_type = 'password_changed'";
    assert_eq!(superuser.value(notices).await, "1");

    let made = world
        .alice
        .post("/invitations", json!({"email": "ivy@example.org"}))
        .await
        .expect(201);
    let path = format!("/invitations/{}/accept", made["token"].as_str().expect("a token"));
    once("invitation", 404, |_| {
        post(path.clone(), json!({"password": PASSWORD}))
    })
    .await;
    let users = "select count(*) || ' ' || (select count(*) from snackbase.sessions s join snackbase.users u on u.id = s.user_id where u.email = 'ivy@example.org')
                   from snackbase.users where email = 'ivy@example.org'";
    assert_eq!(superuser.value(users).await, "1 1");
    assert_eq!(world.audit_findings().await, [""; 0]);
}

#[tokio::test]
async fn one_address_is_invited_once_by_many_at_once() {
    let world = World::new().await;
    let invite = |_| {
        let alice = world.alice.clone();
        async move {
            alice
                .post("/invitations", json!({"email": "ivy@example.org"}))
                .await
        }
    };
    let answers = join_all((0..30).map(invite)).await;
    assert_eq!(tally(&answers), BTreeMap::from([(201, 1), (409, 29)]));
}

#[tokio::test]
async fn an_address_gets_three_mails_however_many_ask_at_once() {
    let world = World::new().await;
    let forget = |_| {
        let api = world.gateway.api();
        async move {
            api.post(
                "/auth/forgot-password",
                json!({"email": "bob@example.com", "account": "acme"}),
            )
            .await
        }
    };
    let answers = join_all((0..50).map(forget)).await;
    assert_eq!(tally(&answers), BTreeMap::from([(200, 50)]));
    let superuser = world.database.superuser().await;
    assert_eq!(
        superuser
            .value("select count(*) from snackbase.mail_outbox")
            .await,
        "3"
    );
}

/// An account that is not whole: without its administrator, its group, the administrator in it, or the mail.
const HALF: &str = "
    select a.slug
      from snackbase.accounts a
     where a.slug like 'killed-%'
       and not exists (
           select from snackbase.users u
             join snackbase.groups g on g.account_id = u.account_id and g.name = 'pii_access'
             join snackbase.users_groups ug on ug.account_id = g.account_id and ug.group_id = g.id and ug.user_id = u.id
             join snackbase.mail_outbox m on m.account_id = u.account_id and m.recipient = u.email and m.template_type = 'email_verification'
             join snackbase.one_time_tokens t on t.account_id = u.account_id and t.user_id = u.id
            where u.account_id = a.id and u.role_id = 1)";

#[tokio::test]
async fn a_gateway_that_is_killed_leaves_no_half_made_account() {
    let world = World::new().await;
    let superuser = world.database.superuser().await;
    let mut confirmed = 0;
    for (round, goal) in [1, 4, 9, 16, 25].into_iter().enumerate() {
        let gateway = Gateway::start(&world.database, &[("SNACKBASE_WORKER_ENABLED", "false")]).await;
        let client = reqwest::Client::new();
        let register = |number: usize| {
            let url = format!("{}/api/v1/auth/register", gateway.base);
            let name = format!("killed-{round}-{number}");
            let body = json!({"email": format!("{name}@example.org"), "password": PASSWORD, "account_name": name, "account_slug": name});
            let request = client
                .post(url)
                .header("content-type", "application/json")
                .body(body.to_string());
            async move {
                request
                    .send()
                    .await
                    .is_ok_and(|answer| answer.status().as_u16() == 201)
            }
        };
        let requests = tokio::spawn(join_all((0..60).map(register).collect::<Vec<_>>()));
        // In the middle of it: when so many are done.
        let done =
            format!("select count(*) >= {goal} from snackbase.accounts where slug like 'killed-{round}-%'");
        while superuser.value(&done).await != "t" {
            tokio::time::sleep(std::time::Duration::from_millis(1)).await;
        }
        let pid = gateway.pid().to_string();
        let killed = Command::new("kill").args(["-KILL", &pid]).status().await;
        assert!(killed.expect("kill(1) exists").success());
        let answered = requests.await.expect("the requests end");
        confirmed += answered.iter().filter(|done| **done).count();
        // Backends notice that their client is gone when they want to answer.
        while superuser
            .value("select count(*) from pg_stat_activity where usename = 'snackbase_gateway' and datname = current_database() and state <> 'idle'")
            .await
            != "0"
        {
            tokio::time::sleep(std::time::Duration::from_millis(10)).await;
        }
        assert_eq!(
            superuser
                .value(&format!("select count(*) from ({HALF}) half"))
                .await,
            "0",
            "round {round}"
        );
    }
    // What was answered is there; and somewhere it was killed half-way through.
    let made: usize = superuser
        .value("select count(*) from snackbase.accounts where slug like 'killed-%'")
        .await
        .parse()
        .expect("a number");
    assert!(made >= confirmed, "{made} accounts, {confirmed} answers");
    assert!(
        (1..300).contains(&made),
        "{made} of 300 registrations were done: the kills hit nothing"
    );
    // Whoever was registered gets in, whether the answer arrived or not.
    let row = superuser
        .query_one(
            "select a.slug, u.email, m.variables ->> 'token'
               from snackbase.accounts a
               join snackbase.users u on u.account_id = a.id
               join snackbase.mail_outbox m on m.account_id = a.id
              where a.slug like 'killed-%' limit 1",
            &[],
        )
        .await
        .expect("one");
    let (slug, email, token): (String, String, String) = (row.get(0), row.get(1), row.get(2));
    let api = world.gateway.api();
    api.post("/auth/verify-email", json!({"token": token}))
        .await
        .expect(200);
    api.post(
        "/auth/login",
        json!({"account": slug, "email": email, "password": PASSWORD}),
    )
    .await
    .expect(200);
    assert_eq!(world.audit_findings().await, [""; 0]);
}
