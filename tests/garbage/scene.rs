//! Something to throw garbage at: collections with every kind of field, and one valid request for every route.

mod samples;

use serde_json::{Value, json};
use snackbase_e2e::{Api, World};

use super::flows;
use super::people::{self, People};
use super::wire::Request;

/// Who sends a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Who {
    /// The superadmin.
    Root,
    /// A user.
    Alice,
    /// Nobody, asking for Acme.
    Anonymous,
}

/// A valid request, in parts that can be spoilt one by one.
#[derive(Clone, Debug)]
pub struct Sample {
    /// Who sends it.
    pub who: Who,
    /// The method.
    pub method: &'static str,
    /// The path below `/api/v1`, not encoded.
    pub path: String,
    /// The query, not encoded.
    pub query: Vec<(&'static str, String)>,
    /// The body; null sends none.
    pub body: Value,
}

/// The world and what the samples need to know of it.
pub struct Scene {
    /// The installation.
    pub world: World,
    target: String,
    record: String,
    entry: String,
    another: String,
    custom_macro: String,
    role: String,
    key: String,
    /// Ids of people, groups and accounts that may be spoilt.
    pub people: People,
    cursor: String,
}

const OPEN: [&str; 5] = [
    "list_rule",
    "view_rule",
    "create_rule",
    "update_rule",
    "delete_rule",
];

/// The fields that filters and rules may speak of, of every type.
pub const FIELDS: [&str; 17] = [
    "phone",
    "label",
    "amount",
    "active",
    "day",
    "moment",
    "contact",
    "site",
    "extra",
    "target",
    "owner",
    "upload",
    "double",
    "id",
    "created_at",
    "created_by",
    "account_id",
];

/// The list that the cursor belongs to.
const SORTED: [(&str, &str); 3] = [
    ("filter", "{\"amount\": {\"$gte\": 0}}"),
    ("sort", "-amount,label"),
    ("limit", "1"),
];

impl Scene {
    /// A world of its own with two collections and two records.
    pub async fn new() -> Self {
        // What a refused request left behind is looked for: nobody else may write meanwhile.
        let world = World::with(&[
            ("SNACKBASE_LOG_LEVEL", "warn"),
            ("SNACKBASE_WORKER_ENABLED", "false"),
        ])
        .await;
        let mut scene = Self {
            world,
            target: String::new(),
            record: String::new(),
            entry: String::new(),
            another: String::new(),
            custom_macro: String::new(),
            role: String::new(),
            key: String::new(),
            people: People::default(),
            cursor: String::new(),
        };
        scene.restore().await;
        scene
    }

    /// Makes what is missing: garbage may have been valid and removed something.
    pub async fn restore(&mut self) {
        let Self { world, .. } = self;
        for definition in [targets(), samples()] {
            let name = definition["name"].as_str().expect("a name").to_owned();
            if world.root.get(&format!("/collections/{name}")).await.status == 404 {
                world.define(definition.clone()).await;
            }
            let mut rules =
                json!({"list_fields": "*", "view_fields": "*", "create_fields": "*", "update_fields": "*"});
            for rule in OPEN {
                rules[rule] = json!("");
            }
            world.rules(&name, rules).await;
        }
        self.target = present(&world.alice, "targets", &self.target, json!({"name": "one"})).await;
        let record = json!({"label": "l", "amount": 1, "extra": {"a": [1]}, "target": self.target, "owner": world.user_id("bob")});
        self.record = present(&world.alice, "samples", &self.record, record).await;
        let another = json!({"label": "l", "amount": 1});
        self.another = present(&world.alice, "samples", &self.another, another).await;
        flows::restore(world).await;
        let macros = world.root.get("/macros").await.expect(200);
        let steady = macros
            .as_array()
            .expect("an array")
            .iter()
            .find(|one| one["name"] == "steady")
            .cloned();
        let steady = match steady {
            Some(steady) => steady,
            None => world
                .root
                .post("/macros", json!({"name": "steady", "sql_query": "select true"}))
                .await
                .expect(201),
        };
        self.custom_macro = steady["id"].to_string();
        let roles = world.root.get("/roles").await.expect(200);
        let steady = roles["items"]
            .as_array()
            .expect("roles")
            .iter()
            .find(|one| one["name"] == "steady")
            .cloned();
        let steady = match steady {
            Some(steady) => steady,
            None => world
                .root
                .post("/roles", json!({"name": "steady"}))
                .await
                .expect(201),
        };
        self.role = steady["id"].to_string();
        let keys = world.alice.get("/admin/api-keys").await.expect(200);
        let key = match keys["items"]
            .as_array()
            .into_iter()
            .flatten()
            .find(|one| one["name"] == "steady")
        {
            Some(key) => key.clone(),
            None => {
                // As many as a valid request may have made, and one.
                for key in keys["items"].as_array().into_iter().flatten() {
                    let path = format!("/admin/api-keys/{}", key["id"].as_str().expect("an id"));
                    world.alice.delete(&path).await.expect(204);
                }
                world
                    .alice
                    .post("/admin/api-keys", json!({"name": "steady"}))
                    .await
                    .expect(201)
            }
        };
        self.key = key["id"].as_str().expect("an id").to_owned();
        self.people.restore(world).await;
        let entries = world.root.get("/audit-logs?limit=1").await.expect(200);
        self.entry = entries["items"][0]["id"].to_string();
        let page = world
            .alice
            .query("/records/samples", &[&SORTED[..], &[("cursor", "")]].concat())
            .await;
        self.cursor = page.expect(200)["next_cursor"]
            .as_str()
            .expect("two records")
            .to_owned();
    }

    /// The request with its sender's credentials.
    pub fn signed(&self, who: Who, request: Request) -> Request {
        let token = |name: &str| {
            self.world.people[name]["token"]
                .as_str()
                .expect("a token")
                .to_owned()
        };
        match who {
            Who::Root => request.header("authorization", format!("Bearer {}", token("root"))),
            Who::Alice => request.header("authorization", format!("Bearer {}", token("alice"))),
            Who::Anonymous => request.header("x-account-id", "acme"),
        }
    }

    /// The route of a sample's path: names and ids replaced by a placeholder.
    pub fn route(&self, path: &str) -> String {
        let variable = [
            "samples",
            "targets",
            "fresh",
            "acme",
            self.record.as_str(),
            self.target.as_str(),
            self.entry.as_str(),
            self.another.as_str(),
            self.custom_macro.as_str(),
            self.role.as_str(),
            self.key.as_str(),
            self.people.person.as_str(),
            self.people.group.as_str(),
            "spare",
            self.world.user_id("bob"),
        ];
        let segments = path.strip_prefix("/records").unwrap_or(path).split('/');
        segments
            .map(|segment| {
                if variable.contains(&segment) || flows::KEYS.contains(&segment) {
                    "{}"
                } else {
                    segment
                }
            })
            .collect::<Vec<_>>()
            .join("/")
    }

    /// A cursor that fits the first list of the samples.
    pub fn cursor(&self) -> &str {
        &self.cursor
    }

    /// One valid request for every route, those that remove something last.
    pub fn samples(&self) -> Vec<Sample> {
        let mut samples = people::samples(&self.people);
        samples.extend(self.other_samples());
        samples.extend(flows::samples());
        samples
    }
}

impl Sample {
    /// The sample as a request without credentials.
    pub fn request(&self) -> Request {
        let request = Request::new(self.method, self.target());
        if self.body.is_null() {
            request
        } else {
            request.body(self.body.to_string())
        }
    }

    /// Path and query, encoded.
    pub fn target(&self) -> Vec<u8> {
        target(
            &self.path,
            self.query.iter().map(|(name, value)| (*name, encoded(value))),
        )
    }
}

/// A path with a query of encoded values.
pub fn target<'a>(path: &str, query: impl Iterator<Item = (&'a str, Vec<u8>)>) -> Vec<u8> {
    let mut target = path.as_bytes().to_owned();
    for (number, (name, value)) in query.enumerate() {
        target.push(if number == 0 { b'?' } else { b'&' });
        target.extend([name.as_bytes(), b"=", &value].concat());
    }
    target
}

/// Percent-encodes everything that is not a letter or digit.
pub fn encoded(text: &str) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() {
            out.push(byte);
        } else {
            out.extend_from_slice(format!("%{byte:02X}").as_bytes());
        }
    }
    out
}

/// The id of a record that exists: the one known, or a new one.
async fn present(caller: &Api, collection: &str, id: &str, body: Value) -> String {
    if !id.is_empty() && caller.get(&format!("/records/{collection}/{id}")).await.status == 200 {
        return id.to_owned();
    }
    let made = caller
        .post(&format!("/records/{collection}"), body)
        .await
        .expect(201);
    made["id"].as_str().expect("an id").to_owned()
}

fn targets() -> Value {
    json!({"name": "targets", "fields": [{"name": "name", "type": "text"}, {"name": "size", "type": "number"}]})
}

fn samples() -> Value {
    json!({"name": "samples", "fields": [
        {"name": "label", "type": "text", "required": true},
        {"name": "phone", "type": "text", "pii": true, "mask_type": "phone"},
        {"name": "amount", "type": "number"},
        {"name": "active", "type": "boolean", "default": true},
        {"name": "day", "type": "date"},
        {"name": "moment", "type": "datetime"},
        {"name": "contact", "type": "email"},
        {"name": "site", "type": "url"},
        {"name": "extra", "type": "json"},
        {"name": "target", "type": "reference", "collection": "targets", "on_delete": "set_null"},
        {"name": "owner", "type": "user"},
        {"name": "upload", "type": "file"},
        {"name": "double", "type": "computed", "expression": "amount * 2", "return_type": "number"}
    ]})
}
