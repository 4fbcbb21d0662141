//! T17: codes and slugs collide in a race and end in 500, a deleted account's code comes back, a slug that looks like a code
//! is never found, and a suffix makes a slug too long. (`acceptance/line09_account_codes` has the generator.)

use std::collections::BTreeSet;

use futures_util::future::join_all;
use serde_json::{Value, json};
use snackbase_e2e::{PASSWORD, World};

fn text<'a>(value: &'a Value, key: &str) -> &'a str {
    value[key].as_str().expect("a text")
}

#[tokio::test]
async fn one_name_at_once_is_given_once_or_numbered_and_never_a_server_error() {
    let world = World::new().await;
    let register = |number: usize| {
        let api = world.gateway.api();
        let body = json!({"email": format!("u{number}@example.com"), "password": PASSWORD, "account_name": "Same", "account_slug": "same-name"});
        async move { api.post("/auth/register", body).await }
    };
    let create = |_| {
        let root = world.root.clone();
        async move { root.post("/accounts", json!({"name": "Same name"})).await }
    };
    let (registered, created) = tokio::join!(join_all((0..10).map(register)), join_all((0..10).map(create)));
    let mut slugs = BTreeSet::new();
    let mut codes = BTreeSet::new();
    let mut won = 0;
    for answer in &registered {
        match answer.status {
            201 => {
                won += 1;
                let account = &answer.json["account"];
                slugs.insert(text(account, "slug").to_owned());
                codes.insert(text(account, "account_code").to_owned());
            }
            409 => assert_eq!(answer.json["field"], "account_slug", "{}", answer.text),
            other => panic!("{other}: {}", answer.text),
        }
    }
    assert!(won <= 1, "{won} have the same slug");
    for answer in created {
        let account = answer.expect(201);
        slugs.insert(text(&account, "slug").to_owned());
        codes.insert(text(&account, "account_code").to_owned());
    }
    assert_eq!((slugs.len(), codes.len()), (10 + won, 10 + won));
    assert!(slugs.contains("same-name"));
}

#[tokio::test]
async fn a_slug_is_never_taken_for_a_code_nor_a_code_given_again() {
    let world = World::new().await;
    let code = world.people["carol"]["account"]["account_code"]
        .as_str()
        .expect("a code")
        .to_lowercase();
    // A slug of that shape would be another account's code at the login.
    for slug in [code.as_str(), "zz0001", "sy0000"] {
        let body = json!({"email": "m@example.com", "password": PASSWORD, "account_name": "M", "account_slug": slug});
        let refused = world.gateway.api().post("/auth/register", body).await;
        assert_eq!(
            (refused.status, refused.codes().join(" ")),
            (400, "account_slug:slug_reserved".to_owned()),
            "{slug}"
        );
        let refused = world
            .root
            .post("/accounts", json!({"name": "M", "slug": slug}))
            .await;
        assert_eq!(refused.status, 422, "{slug}: {}", refused.text);
    }
    // Nor is one made of a name.
    let made = world
        .root
        .post("/accounts", json!({"name": "AA0002"}))
        .await
        .expect(201);
    assert_ne!(text(&made, "slug"), "aa0002");
    let found = world.root.get("/accounts/AA0002").await.expect(200);
    assert_eq!(found["slug"], "globex");

    let newest = world
        .root
        .post("/accounts", json!({"name": "Newest"}))
        .await
        .expect(201);
    world
        .root
        .delete(&format!("/accounts/{}", text(&newest, "id")))
        .await
        .expect(204);
    let next = world
        .root
        .post("/accounts", json!({"name": "Newest"}))
        .await
        .expect(201);
    assert!(text(&next, "account_code") > text(&newest, "account_code"));
    assert_ne!(next["id"], newest["id"]);
}

#[tokio::test]
async fn a_number_after_a_slug_makes_it_no_longer_than_slugs_are() {
    let world = World::new().await;
    let name = "An account whose name fills a whole slug";
    let mut slugs = BTreeSet::new();
    for _ in 0..12 {
        let made = world
            .root
            .post("/accounts", json!({"name": name}))
            .await
            .expect(201);
        let slug = text(&made, "slug").to_owned();
        assert!(
            slug.len() <= 32 && !slug.contains("--") && !slug.ends_with('-'),
            "{slug}"
        );
        assert_eq!(
            world.root.get(&format!("/accounts/{slug}")).await.expect(200)["id"],
            made["id"]
        );
        assert!(slugs.insert(slug));
    }
}
