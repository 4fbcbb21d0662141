//! Valid requests about users, and people to make them about.

use serde_json::{Value, json};
use snackbase_e2e::World;

use super::scene::{Sample, Who};

/// Ids of what samples change and remove, so that those who send the samples stay as they are.
#[derive(Default)]
pub struct People {
    /// A user of Acme.
    pub person: String,
}

impl People {
    /// Makes what is missing. Users are never removed: one is enough.
    pub async fn restore(&mut self, world: &World) {
        if self.person.is_empty() {
            let body =
                json!({"email": "person@example.com", "password": "Correct-Horse-7-Battery", "role_id": 2});
            self.person = id(&world.alice.post("/users", body).await.expect(201));
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
        path: path.replace("{person}", &people.person),
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
    vec![
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
        sample(
            "PATCH",
            "/users/{person}",
            json!({"email": "another@example.com", "role_id": 1, "role": "admin", "is_active": true, "auth_provider": "oauth",
                "auth_provider_name": "google", "external_id": "e", "external_email": "e@example.com", "profile_data": {"a": 1}}),
        ),
        sample("DELETE", "/users/{person}", Value::Null),
    ]
}
