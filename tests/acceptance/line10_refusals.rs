//! Line 10: every 401 and 403 has a text for `detail`, and only the answer about an unconfirmed address contains `email` or `verify`;
//! every route of the route table, with each method, under many credentials.

use reqwest::Method;
use serde_json::json;
use snackbase_e2e::{Answer, Api, PASSWORD, World};

use crate::http::api_keys::key_of;

/// What needs no credential and looks at none: identity contract §4.1, §4.8, §4.13.
const OPEN: &[&str] = &[
    "/auth/register",
    "/auth/login",
    "/auth/refresh",
    "/auth/logout",
    "/auth/verify-email",
    "/auth/send-verification",
    "/auth/resend-verification",
    "/auth/forgot-password",
    "/auth/reset-password",
    "/auth/verify-reset-token/{}",
    "/invitations/{}",
    "/invitations/{}/accept",
    "!/health",
    "!/ready",
    "!/live",
    "",
];

/// The paths of the route table, as the gateway's source has them, with `{}` for what varies.
fn paths() -> Vec<String> {
    let table = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../gateway/src/routes/mod.rs");
    let table = std::fs::read_to_string(table).expect("the route table");
    // What stands outside the prefix comes last.
    let (inside, outside) = table.split_once("let outside").expect("two tables");
    let paths = |text: &str, root: &str| -> Vec<String> {
        let calls = text.split(".at(").skip(1);
        let quoted = calls.filter_map(|call| call.trim_start().strip_prefix('"')?.split('"').next());
        quoted.map(|path| format!("{root}{path}")).collect()
    };
    let mut all = paths(inside, "");
    all.extend(paths(outside, "!"));
    assert!(
        all.len() > 60 && all.iter().any(|path| path == "/auth/login"),
        "{all:?}"
    );
    let varied = |path: String| {
        let mut rest = path.as_str();
        let mut plain = String::new();
        while let Some((before, after)) = rest.split_once('{') {
            plain.push_str(before);
            plain.push_str("{}");
            rest = after.split_once('}').expect("a name in braces").1;
        }
        plain + rest
    };
    all.into_iter().map(varied).collect()
}

/// Whether the answer is one of a refusal, and fit to be read by the client library.
#[track_caller]
fn judge(who: &str, answer: &Answer) -> bool {
    let (status, text) = (answer.status, &answer.text);
    let place = format!("{who}: {} answered {status} {text}", answer.request);
    assert!(status < 500, "{place}");
    if status != 401 && status != 403 {
        return false;
    }
    for member in ["detail", "message", "error", "code"] {
        assert!(answer.json[member].is_string(), "{member} is no text: {place}");
    }
    let words: &[&str] = match (status, answer.json["code"].as_str()) {
        (401, Some("email_not_verified")) => &[],
        (401, _) => &["email", "verify"],
        (_, Some("api_key_restricted")) => &[],
        _ => &["superadmin", "restricted"],
    };
    assert!(!words.iter().any(|word| text.contains(word)), "{place}");
    assert_eq!(
        answer.header("www-authenticate"),
        if status == 401 { "Bearer" } else { "" },
        "{place}"
    );
    true
}

async fn session(world: &World, email: &str, account: &str) -> String {
    let body = json!({"account": account, "email": email, "password": PASSWORD});
    let session = world.gateway.api().post("/auth/login", body).await.expect(200);
    session["token"].as_str().expect("a token").to_owned()
}

#[tokio::test]
async fn every_refusal_of_every_route_is_one_that_clients_understand() {
    let world = World::new().await;
    let superuser = world.database.superuser().await;
    let nobody = world.gateway.api().with_header("x-account-id", "acme");
    let token = world.people["bob"]["token"].as_str().expect("a token").to_owned();
    let revoked = session(&world, "carol@example.com", "globex").await;
    world
        .gateway
        .api()
        .with_token(&revoked)
        .post("/auth/logout", json!({}))
        .await
        .expect(200);
    let key = key_of(&world.alice).await;
    let carols = key_of(&world.carol).await;
    superuser
        .batch_execute(&format!(
            "update snackbase.api_keys set is_active = false where user_id = '{}';
             insert into snackbase.api_keys (account_id, user_id, name, key_hash, prefix, first_four, last_four)
             values ('{}', '{}', 'brought', encode(sha256('sb_sk_AA0001_secret'), 'hex'), 'sb_sk_', 'AA00', 'cret')",
            world.user_id("carol"),
            world.account_id("alice"),
            world.user_id("alice")
        ))
        .await
        .expect("a superuser may");
    let forged = format!("{}A{}", &token[..token.len() - 6], &token[token.len() - 5..]);
    let bearer = |token: &str| nobody.with_token(token);
    // Those who must be refused wherever a credential is looked at, and those whom routes refuse by their rights.
    let bad: Vec<(&str, Api)> = vec![
        ("noise", bearer("a.b.c")),
        ("nothing", bearer("")),
        ("a forged token", bearer(&forged)),
        (
            "a refresh token",
            bearer(world.people["bob"]["refresh_token"].as_str().expect("a token")),
        ),
        ("a revoked session", bearer(&revoked)),
        (
            "another scheme",
            nobody.with_header("authorization", "Basic YWxpY2U6cGFzc3dvcmQ="),
        ),
        (
            "a key nobody made",
            nobody.with_header("x-api-key", &format!("{}AAAA", &key[..68])),
        ),
        ("a revoked key", nobody.with_header("x-api-key", &carols)),
        (
            "a bad bearer beside a good key",
            bearer("x").with_header("x-api-key", &key),
        ),
    ];
    let limited: Vec<(&str, Api)> = vec![
        ("no credential", nobody.clone()),
        ("no account either", world.gateway.api()),
        ("a user", world.bob.clone()),
        ("an administrator's key", nobody.with_header("x-api-key", &key)),
        (
            "a key of an original instance",
            nobody.with_header("x-api-key", "sb_sk_AA0001_secret"),
        ),
    ];
    let (mut places, mut refusals) = (0, 0);
    for path in paths() {
        let numbered = ["/macros", "/roles", "/permissions", "/audit-logs"];
        let id = match numbered.iter().any(|beginning| path.starts_with(beginning)) {
            true => "1",
            false => "0f3c1c9e-58a5-4f36-8a55-0d5d0b6f7a11",
        };
        let place = path.replace("{}", id);
        let place = place.replace("/records/0f3c1c9e-58a5-4f36-8a55-0d5d0b6f7a11", "/records/posts");
        let place = match place.ends_with("/aggregate") {
            true => format!("{place}?functions=count()"),
            false => place,
        };
        for method in [
            Method::GET,
            Method::POST,
            Method::PUT,
            Method::PATCH,
            Method::DELETE,
        ] {
            let body = (method != Method::GET).then_some("{}");
            let asked = nobody.send(method.clone(), &place, body).await;
            if asked.status == 405 {
                continue;
            }
            places += 1;
            judge("no credential", &asked);
            let open =
                OPEN.contains(&path.as_str()) && !(path == "/invitations/{}" && method == Method::DELETE);
            for (who, caller) in &bad {
                let answer = caller.send(method.clone(), &place, body).await;
                refusals += usize::from(judge(who, &answer));
                // Open routes say the same as without.
                let wanted = if open { asked.status } else { 401 };
                // What only the database knows to be bad is sent there when the request makes sense.
                let known_later = who.contains("revoked") || who.contains("nobody made");
                let lenient = path == "/auth/logout" || known_later && [400, 422].contains(&answer.status);
                assert!(
                    answer.status == wanted || lenient,
                    "{who}: {} answered {} {}",
                    answer.request,
                    answer.status,
                    answer.text
                );
            }
            for (who, caller) in &limited {
                let answer = caller.send(method.clone(), &place, body).await;
                refusals += usize::from(judge(who, &answer));
            }
        }
    }
    assert!(
        places > 90 && refusals > 900,
        "{places} places, {refusals} refusals"
    );
    println!("{places} routes with a method, {refusals} refusals");
}

#[tokio::test]
async fn only_an_unconfirmed_address_is_told_of() {
    let world = World::new().await;
    let register = json!({"email": "new@example.com", "password": PASSWORD, "account_name": "Hooli"});
    world
        .gateway
        .api()
        .post("/auth/register", register)
        .await
        .expect(201);
    let login = async |email: &str, password: &str| {
        let body = json!({"account": "hooli", "email": email, "password": password});
        world.gateway.api().post("/auth/login", body).await
    };
    let told = login("new@example.com", PASSWORD).await;
    assert_eq!(
        (told.status, &told.json["code"]),
        (401, &json!("email_not_verified"))
    );
    assert!(
        told.json["detail"].as_str().expect("a text").contains("email"),
        "{}",
        told.text
    );
    for (email, password) in [
        ("new@example.com", "Wrong-Horse-7-Battery"),
        ("old@example.com", PASSWORD),
    ] {
        let answer = login(email, password).await;
        assert!(judge("a wrong login", &answer) && answer.status == 401);
    }
}
