//! Users over HTTP: identity contract §4.5, for superadmins and for administrators of their own account.

use serde_json::{Value, json};
use snackbase_e2e::{PASSWORD, Scenario, World, run};

const NOBODY: &str = "11111111-2222-3333-4444-555555555555";

/// What a client reads of a user.
const USER: [&str; 21] = [
    "id",
    "email",
    "account_id",
    "account_code",
    "account_name",
    "role_id",
    "role_name",
    "role",
    "is_active",
    "auth_provider",
    "auth_provider_name",
    "external_id",
    "external_email",
    "profile_data",
    "email_verified",
    "email_verified_at",
    "created_at",
    "updated_at",
    "last_login",
    "locked_until",
    "groups",
];

fn addresses(list: &Value) -> Vec<&str> {
    list["items"]
        .as_array()
        .expect("items")
        .iter()
        .map(|item| item["email"].as_str().expect("an address"))
        .collect()
}

#[tokio::test]
async fn both_ways_of_paging_and_sorting_are_understood() {
    let world = World::new().await;
    for query in [
        "sort=email",
        "sort_by=email&sort_order=asc",
        "sort=email&skip=0&limit=100",
        "sort_by=email&sort_order=ASC&page=1&page_size=100",
    ] {
        let list = world.root.get(&format!("/users?{query}")).await.expect(200);
        assert_eq!(
            addresses(&list),
            [
                "alice@example.com",
                "bob@example.com",
                "carol@example.com",
                "root@example.com"
            ],
            "{query}"
        );
        assert_eq!(list["total"], 4);
    }
    for query in [
        "sort=-email&skip=1&limit=2",
        "sort_by=email&skip=1&page_size=2",
        "sort_by=email&sort_order=desc&page=1&page_size=2&skip=1",
    ] {
        let list = world.root.get(&format!("/users?{query}")).await.expect(200);
        assert_eq!(
            addresses(&list),
            ["carol@example.com", "bob@example.com"],
            "{query}"
        );
        assert_eq!(list["total"], 4);
    }
    let second = world
        .root
        .get("/users?sort=email&page=2&page_size=3")
        .await
        .expect(200);
    assert_eq!(addresses(&second), ["root@example.com"]);
    let acme = world.account_id("alice");
    let list = world
        .root
        .get(&format!("/users?account_id={acme}&role_id=1&is_active=true"))
        .await
        .expect(200);
    assert_eq!(addresses(&list), ["alice@example.com"]);
    for key in USER {
        assert!(list["items"][0].get(key).is_some(), "{key}");
    }
    assert_eq!(list["items"][0]["groups"], json!(["pii_access"]));
    for query in [
        "limit=0",
        "limit=101",
        "skip=-1",
        "page=0",
        "page_size=1000",
        "sort=password_hash",
        "sort_by=password_hash",
        "sort_order=up",
        "role_id=x",
        "is_active=perhaps",
        "account_id=acme",
    ] {
        world.root.get(&format!("/users?{query}")).await.expect(422);
    }
}

#[tokio::test]
async fn administrators_manage_their_own_account_and_no_other() {
    let world = World::new().await;
    let list = world.alice.get("/users?sort=email").await.expect(200);
    assert_eq!(addresses(&list), ["alice@example.com", "bob@example.com"]);
    let foreign = format!("/users?account_id={}", world.account_id("carol"));
    assert_eq!(world.alice.get(&foreign).await.expect(200)["total"], 0);

    let new = |email: &str| json!({"email": email, "password": PASSWORD, "role_id": 2});
    let made = world
        .alice
        .post("/users", new(" dave@example.com "))
        .await
        .expect(201);
    assert_eq!(
        (&made["account_id"], &made["email"], &made["email_verified"]),
        (
            &json!(world.account_id("alice")),
            &json!("dave@example.com"),
            &json!(false)
        )
    );
    for account in [world.account_id("carol"), world.account_id("root"), NOBODY] {
        let mut body = new("eve@example.com");
        body["account_id"] = json!(account);
        let refused = world.alice.post("/users", body).await;
        assert_eq!(refused.status, 403, "{}", refused.text);
    }
    let id = made["id"].as_str().expect("an id");
    world
        .alice
        .post(&format!("/users/{id}/verify"), json!({}))
        .await
        .expect(200);
    let login = json!({"account": "acme", "email": "dave@example.com", "password": PASSWORD});
    let login = world.gateway.api().post("/auth/login", login).await.expect(200);
    assert_eq!(login["user"]["role"], "user");
    let changed = world
        .alice
        .patch(&format!("/users/{id}"), json!({"role": "admin"}))
        .await
        .expect(200);
    assert_eq!(
        (&changed["role_id"], &changed["role_name"]),
        (&json!(1), &json!("admin"))
    );
    world.alice.delete(&format!("/users/{id}")).await.expect(204);
    assert_eq!(
        world.alice.get(&format!("/users/{id}")).await.expect(200)["is_active"],
        false
    );
}

#[tokio::test]
async fn foreign_users_look_like_missing_ones() {
    let world = World::new().await;
    for id in [world.user_id("carol"), world.user_id("root"), NOBODY] {
        let path = format!("/users/{id}");
        let answers = [
            world.alice.get(&path).await,
            world.alice.patch(&path, json!({"role": "user"})).await,
            world.alice.delete(&path).await,
            world.alice.post(&format!("{path}/verify"), json!({})).await,
        ];
        for answer in answers {
            assert_eq!(
                (answer.status, &answer.json["message"]),
                (404, &json!("User not found")),
                "{}",
                answer.request
            );
        }
    }
}

#[tokio::test]
async fn users_without_the_role_are_refused_before_what_they_sent_is_judged() {
    let world = World::new().await;
    let nobody = world.gateway.api();
    let bob = format!("/users/{}", world.user_id("bob"));
    for (request, body) in [
        ("GET /users", Value::Null),
        ("GET /users?limit=x", Value::Null),
        ("POST /users", json!({"email": 1})),
        (&*format!("GET {bob}"), Value::Null),
        (&*format!("PATCH {bob}"), json!({"role": "admin"})),
        (&*format!("PATCH {bob}"), json!({"is_active": "x"})),
        (&*format!("DELETE {bob}"), Value::Null),
        ("DELETE /users/x", Value::Null),
        (&*format!("POST {bob}/verify"), json!({})),
    ] {
        let line = |name, caller, status, contains| Scenario {
            name,
            caller,
            request,
            body: body.clone(),
            status,
            contains,
            lacks: &["superadmin", "restricted", "email", "verify"],
        };
        run(&[
            line("a user", &world.bob, 403, &["Administrator access required"]),
            line("nobody", &nobody, 401, &["\"detail\":\""]),
        ])
        .await;
    }
    assert_eq!(world.root.get(&bob).await.expect(200)["role"], "user");
}

#[tokio::test]
async fn what_does_not_fit_is_named() {
    let world = World::new().await;
    let valid = json!({"email": "x@example.com", "password": PASSWORD, "account_id": world.account_id("alice"), "role_id": 2});
    let with = |key: &str, value: Value| {
        let mut body = valid.clone();
        body[key] = value;
        body
    };
    for (body, status, codes) in [
        (with("email", json!("nonsense")), 422, "email:value_error"),
        (with("email", Value::Null), 422, "email:missing"),
        (with("account_id", Value::Null), 422, "account_id:missing"),
        (with("account_id", json!("x")), 422, "account_id:string_too_short"),
        (with("role_id", json!(0)), 422, "role_id:int_type"),
        (with("role_id", json!("x")), 422, "role_id:int_type"),
        (with("role_id", Value::Null), 422, "role_id:missing"),
        (with("is_active", json!("x")), 422, "is_active:bool_type"),
        (with("auth_provider", json!("x")), 422, "auth_provider:enum"),
        (with("profile_data", json!([])), 422, "profile_data:dict_type"),
        (with("email", json!("ALICE@example.com")), 409, "email:taken"),
        (with("account_id", json!(NOBODY)), 404, ""),
        (with("role_id", json!(99)), 404, ""),
        (with("password", Value::Null), 400, ""),
    ] {
        let answer = world.root.post("/users", body.clone()).await;
        assert_eq!(answer.status, status, "{body}: {}", answer.text);
        assert_eq!(answer.codes().join(" "), codes, "{body}");
    }
    let weak = world.root.post("/users", with("password", json!("short"))).await;
    assert_eq!(weak.status, 400);
    assert_eq!(weak.json["detail"]["error"], "Validation error");
    let taken = world
        .root
        .patch(
            &format!("/users/{}", world.user_id("bob")),
            json!({"email": "Alice@example.com"}),
        )
        .await;
    assert_eq!((taken.status, taken.json["field"].as_str()), (409, Some("email")));
    let external = json!({"email": "ext@example.com", "account_id": world.account_id("alice"), "role": "user", "auth_provider": "saml",
        "auth_provider_name": "okta", "external_id": "42", "profile_data": {"name": "Ext"}});
    let made = world.root.post("/users", external).await.expect(201);
    assert_eq!(made["profile_data"], json!({"name": "Ext"}));
}

#[tokio::test]
async fn passwords_and_links_are_given_by_administrators() {
    let world = World::new().await;
    let path = format!("/users/{}/password", world.user_id("bob"));
    let new = "Another-Horse-8-Battery";
    let set = async |body: Value| world.alice.put(&path, body).await;
    for (body, status, codes) in [
        (json!({}), 422, "new_password:missing"),
        (json!({"send_reset_link": false}), 422, "new_password:missing"),
        (json!({"new_password": 1}), 422, "new_password:string_type"),
        (
            json!({"new_password": "short"}),
            400,
            "password:password_too_short password:password_no_uppercase password:password_no_digit password:password_no_special",
        ),
    ] {
        let answer = set(body.clone()).await;
        assert_eq!(answer.status, status, "{body}: {}", answer.text);
        assert_eq!(answer.codes().join(" "), codes, "{body}");
    }
    let answer = set(json!({"new_password": new})).await.expect(200);
    assert!(answer["message"].is_string());
    world.bob.get("/auth/me").await.expect(401);
    let login = async |password: &str| {
        let body = json!({"account": "acme", "email": "bob@example.com", "password": password});
        world.gateway.api().post("/auth/login", body).await
    };
    login(PASSWORD).await.expect(401);
    login(new).await.expect(200);
    set(json!({"send_reset_link": true})).await.expect(200);
    let mails = async |template: &str| {
        let superuser = world.database.superuser().await;
        superuser
            .value(&format!(
                "select count(*) from snackbase.mail_outbox where template_type = '{template}' and recipient = 'bob@example.com'"
            ))
            .await
    };
    assert_eq!(mails("password_reset").await, "1");
    for id in [world.user_id("carol"), world.user_id("root"), NOBODY] {
        let path = format!("/users/{id}/password");
        for body in [
            json!({"new_password": new}),
            json!({"new_password": "short"}),
            json!({"send_reset_link": true}),
        ] {
            world.alice.put(&path, body).await.expect(404);
        }
    }
    let again = format!("/users/{}/resend-verification", world.user_id("bob"));
    world.alice.post(&again, json!({})).await.expect(400);
    let moved = json!({"email": "bob@example.org"});
    let moved = world
        .alice
        .patch(&format!("/users/{}", world.user_id("bob")), moved)
        .await
        .expect(200);
    assert_eq!(moved["email_verified"], false);
    world.alice.post(&again, json!({})).await.expect(200);
    let superuser = world.database.superuser().await;
    let sent = superuser
        .value("select count(*) from snackbase.mail_outbox where template_type = 'email_verification' and recipient = 'bob@example.org'")
        .await;
    assert_eq!(sent, "1");
}
