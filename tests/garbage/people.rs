//! Valid requests about users, and people to make them about.

use serde_json::{Value, json};
use snackbase_e2e::World;

use super::scene::{Sample, Who};

/// Ids of what samples change and remove, so that those who send the samples stay as they are.
#[derive(Default)]
pub struct People {
    /// A user of Acme.
    pub person: String,
    /// A group of Acme.
    pub group: String,
    /// Acme.
    pub account: String,
}

impl People {
    /// Makes what is missing. Users are never removed: one is enough.
    pub async fn restore(&mut self, world: &World) {
        world.account_id("alice").clone_into(&mut self.account);
        if self.person.is_empty() {
            let body =
                json!({"email": "person@example.com", "password": "Correct-Horse-7-Battery", "role_id": 2});
            self.person = id(&world.alice.post("/users", body).await.expect(201));
        }
        let group = format!("/groups/{}", self.group);
        if self.group.is_empty() || world.alice.get(&group).await.status == 404 {
            // Named after the one before: a name that garbage has not taken.
            let name = format!("after {}", self.group);
            self.group = id(&world
                .alice
                .post("/groups", json!({"name": name}))
                .await
                .expect(201));
        }
        if world.root.get("/accounts/spare").await.status == 404 {
            let body = json!({"name": "Spare", "slug": "spare"});
            world.root.post("/accounts", body).await.expect(201);
        }
    }
}

fn id(made: &Value) -> String {
    made["id"].as_str().expect("an id").to_owned()
}

/// One for every route, those that remove something last.
pub fn samples(people: &People) -> Vec<Sample> {
    let sample = |method, path: &str, body| Sample {
        who: Who::Alice,
        method,
        path: path
            .replace("{person}", &people.person)
            .replace("{group}", &people.group),
        query: Vec::new(),
        body,
    };
    let list = |path, query: &[(&'static str, &str)]| Sample {
        query: query
            .iter()
            .map(|(name, value)| (*name, (*value).to_owned()))
            .collect(),
        ..sample("GET", path, Value::Null)
    };
    let root = |sample: Sample| Sample {
        who: Who::Root,
        ..sample
    };
    vec![
        root(sample("PUT", "/accounts/spare", json!({"name": "Spared"}))),
        root(list(
            "/accounts/spare/users",
            &[("page", "1"), ("page_size", "10")],
        )),
        list(
            "/groups",
            &[
                ("skip", "0"),
                ("limit", "5"),
                ("page", "1"),
                ("page_size", "10"),
                ("search", "a"),
            ],
        ),
        sample(
            "POST",
            "/groups",
            json!({"name": "made", "description": "d", "account_id": people.account}),
        ),
        sample("GET", "/groups/{group}", Value::Null),
        sample(
            "PATCH",
            "/groups/{group}",
            json!({"name": "changed", "description": "e"}),
        ),
        sample("POST", "/groups/{group}/users", json!({"user_id": people.person})),
        sample("DELETE", "/groups/{group}/users/{person}", Value::Null),
        sample(
            "PUT",
            "/users/{person}/password",
            json!({"new_password": "Another-Horse-8-Battery", "send_reset_link": true}),
        ),
        list(
            "/users",
            &[
                ("account_id", "11111111-2222-3333-4444-555555555555"),
                ("role_id", "1"),
                ("is_active", "true"),
                ("search", "a"),
                ("sort", "-email"),
                ("skip", "0"),
                ("limit", "5"),
                ("page", "1"),
                ("page_size", "10"),
                ("sort_by", "email"),
                ("sort_order", "asc"),
            ],
        ),
        sample("GET", "/users/{person}", Value::Null),
        sample("POST", "/users/{person}/resend-verification", Value::Null),
        sample(
            "PATCH",
            "/users/{person}",
            json!({"email": "another@example.com", "role_id": 1, "role": "admin", "is_active": true, "auth_provider": "oauth",
                "auth_provider_name": "google", "external_id": "e", "external_email": "e@example.com", "profile_data": {"a": 1}}),
        ),
        sample("DELETE", "/users/{person}", Value::Null),
        sample("DELETE", "/groups/{group}", Value::Null),
        root(sample("DELETE", "/accounts/spare", Value::Null)),
    ]
}
