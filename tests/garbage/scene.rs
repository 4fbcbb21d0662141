//! Something to throw garbage at: collections with every kind of field, and one valid request for every route.

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

const SYSTEM_SETTINGS: &str = "/admin/configuration/00000000-0000-4000-8000-000000000102";
const TEMPLATE: &str = "/admin/email/templates/00000000-0000-4000-8000-000000000003";

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

    fn other_samples(&self) -> Vec<Sample> {
        let sample = |who, method, path: &str, query: &[(&'static str, &str)], body| Sample {
            who,
            method,
            path: path
                .replace("{record}", &self.record)
                .replace("{target}", &self.target)
                .replace("{entry}", &self.entry)
                .replace("{macro}", &self.custom_macro)
                .replace("{role}", &self.role)
                .replace("{key}", &self.key)
                .replace("{bob}", self.world.user_id("bob")),
            query: query
                .iter()
                .map(|(name, value)| (*name, (*value).to_owned()))
                .collect(),
            body,
        };
        let (root, alice, anonymous) = (Who::Root, Who::Alice, Who::Anonymous);
        let none = || Value::Null;
        let page: &[(&str, &str)] = &[
            ("page", "1"),
            ("page_size", "10"),
            ("sort_by", "name"),
            ("sort_order", "asc"),
            ("search", "a"),
        ];
        let list: &[(&str, &str)] = &[
            ("filter", "amount > 0 && label ~ \"l%\""),
            ("sort", "-amount,label"),
            ("fields", "label,amount"),
            ("skip", "0"),
            ("limit", "5"),
            ("page", "1"),
            ("perPage", "5"),
        ];
        let record = || {
            json!({"label": "n", "amount": 2.5, "active": true, "day": "2024-02-29", "moment": "2024-02-29T10:00:00Z",
                "contact": "a@example.com", "site": "https://example.com", "extra": {"a": [1, null]}, "target": self.target,
                "owner": self.world.user_id("bob"),
                "upload": {"filename": "f", "size": 1, "mime_type": "text/plain", "path": "p"}})
        };
        let fresh = |name: &str| {
            json!({"name": name, "fields": [
            {"name": "a", "type": "text", "required": true, "default": "x", "unique": false, "pii": true, "mask_type": "name"},
            {"name": "b", "type": "reference", "collection": "targets", "on_delete": "set_null"},
            {"name": "c", "type": "computed", "expression": "a", "return_type": "text"}],
            "list_rule": "a = \"x\"", "create_rule": "", "list_fields": "[\"a\"]"})
        };
        vec![
            sample(
                alice,
                "GET",
                "/records/samples",
                &[
                    &SORTED[..],
                    &[
                        ("expand", "target,owner"),
                        ("cursor", &self.cursor),
                        ("include_count", "true"),
                    ],
                ]
                .concat(),
                none(),
            ),
            sample(
                alice,
                "GET",
                "/samples",
                &[&SORTED[..], &[("cursor_before", &self.cursor)]].concat(),
                none(),
            ),
            sample(
                alice,
                "GET",
                "/records/samples/aggregate",
                &[
                    ("functions", "count(),sum(amount),max(day)"),
                    ("group_by", "active,target"),
                    ("filter", "amount > 0"),
                    ("having", "count() > 0 AND sum(amount) > -1"),
                ],
                none(),
            ),
            sample(
                root,
                "GET",
                "/targets/aggregate",
                &[("functions", "min(size)"), ("filter", "{\"size\": null}")],
                none(),
            ),
            sample(
                alice,
                "POST",
                "/records/samples/batch",
                &[],
                json!({"records": [record(), record()]}),
            ),
            sample(
                alice,
                "PATCH",
                "/samples/batch",
                &[],
                json!({"records": [{"id": self.record, "data": {"amount": 7, "owner": null}}]}),
            ),
            sample(anonymous, "GET", "/records/samples", list, none()),
            sample(alice, "GET", "/samples", list, none()),
            sample(
                alice,
                "GET",
                "/records/samples/{record}",
                &[("fields", "label"), ("expand", "target")],
                none(),
            ),
            sample(alice, "POST", "/records/samples", &[], record()),
            sample(alice, "PUT", "/records/samples/{record}", &[], record()),
            sample(anonymous, "PATCH", "/samples/{record}", &[], record()),
            sample(root, "GET", "/collections", page, none()),
            sample(root, "GET", "/collections/names", &[], none()),
            sample(root, "GET", "/collections/samples", &[], none()),
            sample(root, "POST", "/collections", &[], fresh("fresh")),
            sample(
                root,
                "PUT",
                "/collections/targets",
                &[],
                json!({"fields": targets()["fields"]}),
            ),
            sample(
                root,
                "GET",
                "/collections/export",
                &[("collection_ids", "samples,x")],
                none(),
            ),
            sample(
                root,
                "POST",
                "/collections/import",
                &[],
                json!({"strategy": "update", "atomic": true, "update_rules": true, "data": {"version": "1.0", "collections": [
                    {"name": "moved", "schema": [{"name": "a", "type": "text"}], "rules": {"list_rule": "", "list_fields": "*"}}]}}),
            ),
            sample(
                root,
                "POST",
                "/migrations/plan",
                &[],
                json!({"collections": [fresh("planned")]}),
            ),
            sample(
                root,
                "POST",
                "/migrations/generate",
                &[],
                json!({"confirm": true, "collections": [fresh("planned")]}),
            ),
            sample(root, "GET", "/migrations", &[], none()),
            sample(root, "GET", "/migrations/current", &[], none()),
            sample(root, "GET", "/migrations/history", &[], none()),
            sample(root, "GET", "/collections/samples/rules", &[], none()),
            sample(
                root,
                "PUT",
                "/collections/targets/rules",
                &[],
                json!({"list_rule": "name != \"x\"", "update_rule": "@request.data.name != \"\"",
                "view_rule": null, "create_rule": "@has_role(\"admin\")", "delete_rule": "@owns_record()", "list_fields": "*", "update_fields": "[\"name\"]"}),
            ),
            sample(
                root,
                "GET",
                "/audit-logs",
                &[
                    ("table_name", "col_samples"),
                    ("record_id", "x"),
                    ("user_id", "x"),
                    ("operation", "CREATE"),
                    ("from_date", "2024-01-01T00:00:00Z"),
                    ("to_date", "2034-01-01T00:00:00Z"),
                    ("skip", "0"),
                    ("limit", "5"),
                    ("sort_by", "occurred_at"),
                    ("sort_order", "asc"),
                ],
                none(),
            ),
            sample(
                root,
                "GET",
                "/audit-logs/export",
                &[
                    ("table_name", "col_samples"),
                    ("operation", "CREATE"),
                    ("from_date", "2024-01-01T00:00:00Z"),
                    ("format", "json"),
                    ("full", "true"),
                ],
                none(),
            ),
            sample(root, "GET", "/audit-logs/{entry}", &[], none()),
            sample(
                root,
                "GET",
                "/audit-logs/imported",
                &[
                    ("import_id", "1"),
                    ("table_name", "col_samples"),
                    ("auth_method", "jwt"),
                    ("from_date", "2024-01-01T00:00:00Z"),
                    ("skip", "0"),
                    ("limit", "5"),
                    ("sort_order", "asc"),
                ],
                none(),
            ),
            sample(root, "GET", "/admin/configuration/stats", &[], none()),
            sample(
                root,
                "GET",
                "/admin/configuration/recent",
                &[("limit", "5")],
                none(),
            ),
            sample(
                root,
                "GET",
                "/admin/configuration/system",
                &[("category", "system_settings")],
                none(),
            ),
            sample(
                root,
                "GET",
                "/admin/configuration/account",
                &[("account_id", "acme"), ("category", "email_providers")],
                none(),
            ),
            sample(
                root,
                "GET",
                "/admin/configuration/providers",
                &[("category", "email_providers")],
                none(),
            ),
            sample(
                root,
                "GET",
                "/admin/configuration/schema/email_providers/smtp",
                &[],
                none(),
            ),
            sample(
                root,
                "POST",
                "/admin/configuration",
                &[],
                json!({"category": "colours", "provider_name": "palette", "display_name": "Palette", "account_id": "acme",
                "enabled": true, "priority": 3, "logo_url": "/x.svg", "config": {"shade": "red", "depth": 3},
                "config_schema": {"type": "object", "properties": {"shade": {"type": "string"}, "depth": {"type": "integer"}}}}),
            ),
            sample(root, "PATCH", SYSTEM_SETTINGS, &[], json!({"enabled": true})),
            sample(
                root,
                "GET",
                "/admin/configuration/00000000-0000-4000-8000-000000000102/values",
                &[],
                none(),
            ),
            sample(
                root,
                "PATCH",
                "/admin/configuration/00000000-0000-4000-8000-000000000102/values",
                &[],
                json!({"app_name": "Sample", "app_url": "https://app.example.com", "support_email": "help@example.com"}),
            ),
            sample(
                root,
                "POST",
                "/admin/configuration/00000000-0000-4000-8000-000000000102/set-default",
                &[],
                none(),
            ),
            sample(
                root,
                "DELETE",
                "/admin/configuration/00000000-0000-4000-8000-000000000102/set-default",
                &[],
                none(),
            ),
            sample(
                root,
                "POST",
                "/admin/configuration/test-connection",
                &[],
                json!({"category": "system_settings", "provider_name": "system", "account_id": "acme",
                "config_id": "00000000-0000-4000-8000-000000000102", "config": {"app_name": "x"}}),
            ),
            sample(
                root,
                "GET",
                "/admin/email/templates",
                &[
                    ("template_type", "invitation"),
                    ("locale", "en"),
                    ("account_id", "x"),
                    ("enabled", "true"),
                ],
                none(),
            ),
            sample(root, "GET", TEMPLATE, &[], none()),
            sample(
                root,
                "PUT",
                TEMPLATE,
                &[],
                json!({"subject": "Hello {{ name }}", "html_body": "<p>{{ name }}</p>", "text_body": "{{ name }}", "enabled": true}),
            ),
            sample(
                root,
                "POST",
                "/admin/email/templates",
                &[],
                json!({"template_type": "sample", "locale": "en", "account_id": "acme", "subject": "s", "html_body": "h", "text_body": "t"}),
            ),
            sample(
                root,
                "POST",
                "/admin/email/templates/render",
                &[],
                json!({"template_type": "invitation", "locale": "en", "account_id": "acme", "variables": {"email": "a@example.com", "n": 1},
                "subject": "{% if n %}{{ n }}{% endif %}", "html_body": "h", "text_body": "t"}),
            ),
            sample(
                root,
                "GET",
                "/admin/email/logs",
                &[
                    ("status_filter", "failed"),
                    ("template_type", "invitation"),
                    ("start_date", "2024-01-01T00:00:00Z"),
                    ("end_date", "2034-01-01"),
                    ("page", "1"),
                    ("page_size", "5"),
                ],
                none(),
            ),
            sample(
                alice,
                "GET",
                "/admin/api-keys",
                &[("limit", "5"), ("offset", "0")],
                none(),
            ),
            sample(
                alice,
                "POST",
                "/admin/api-keys",
                &[],
                json!({"name": "sample", "expires_at": "2099-01-01T00:00:00Z", "scopes": ["records:secrets:read"]}),
            ),
            sample(alice, "GET", "/admin/api-keys/{key}", &[], none()),
            sample(alice, "DELETE", "/admin/api-keys/{key}", &[], none()),
            sample(root, "GET", "/dashboard/stats", &[("range", "30d")], none()),
            sample(
                root,
                "POST",
                "/admin/subjects/erase",
                &[],
                json!({"account_id": self.world.account_id("alice"), "subject": "somebody"}),
            ),
            sample(root, "GET", "/accounts", page, none()),
            sample(root, "GET", "/accounts/acme", &[], none()),
            sample(
                root,
                "POST",
                "/accounts",
                &[],
                json!({"name": "Initech", "slug": "initech"}),
            ),
            sample(
                root,
                "POST",
                "/users",
                &[],
                json!({"email": "new@example.com", "password": "Correct-Horse-7-Battery",
                "account_id": self.world.account_id("alice"), "role_id": 2}),
            ),
            sample(root, "POST", "/users/{bob}/verify", &[], none()),
            sample(alice, "GET", "/auth/me", &[], none()),
            sample(
                anonymous,
                "POST",
                "/auth/refresh",
                &[],
                json!({"refresh_token": self.world.people["bob"]["refresh_token"]}),
            ),
            sample(
                anonymous,
                "POST",
                "/auth/logout",
                &[],
                json!({"refresh_token": self.world.people["carol"]["refresh_token"]}),
            ),
            sample(
                anonymous,
                "POST",
                "/auth/login",
                &[],
                json!({"account": "acme", "email": "bob@example.com", "password": "Correct-Horse-7-Battery"}),
            ),
            sample(
                anonymous,
                "POST",
                "/auth/register",
                &[],
                json!({"email": "reg@example.com", "password": "Correct-Horse-7-Battery",
                "account_name": "Hooli", "account_slug": "hooli"}),
            ),
            sample(
                root,
                "POST",
                "/rules/validate",
                &[],
                json!({"rule": "amount > 1", "operation": "list", "collectionFields": ["amount"], "collection": "samples"}),
            ),
            sample(
                root,
                "POST",
                "/rules/test",
                &[],
                json!({"rule": "label = @request.auth.id", "context": {"auth": {"id": "u"}, "record": {"label": "u"}}}),
            ),
            sample(
                root,
                "POST",
                "/roles/validate-rule",
                &[],
                json!({"rule": "amount > 1"}),
            ),
            sample(root, "GET", "/roles", &[], none()),
            sample(
                root,
                "POST",
                "/roles",
                &[],
                json!({"name": "fresh", "description": "d"}),
            ),
            sample(root, "GET", "/roles/{role}", &[], none()),
            sample(root, "PUT", "/roles/{role}", &[], json!({"description": "e"})),
            sample(root, "GET", "/roles/{role}/permissions", &[], none()),
            sample(root, "GET", "/roles/{role}/permissions/matrix", &[], none()),
            sample(
                root,
                "PUT",
                "/roles/{role}/permissions/bulk",
                &[],
                json!({"updates": [{"collection": "samples", "operation": "read", "rule": "amount > 1", "fields": ["label"]}]}),
            ),
            sample(root, "DELETE", "/roles/{role}", &[], none()),
            sample(alice, "GET", "/macros", &[("skip", "0"), ("limit", "10")], none()),
            sample(
                root,
                "POST",
                "/macros",
                &[],
                json!({"name": "fresh", "sql_query": "select count(*) = 3 and :label <> '' from generate_series(1, 3)", "parameters": ["label"],
                    "description": "more than"}),
            ),
            sample(alice, "GET", "/macros/{macro}", &[], none()),
            sample(
                root,
                "PUT",
                "/macros/{macro}",
                &[],
                json!({"sql_query": "select true", "parameters": [], "description": null}),
            ),
            sample(
                root,
                "POST",
                "/macros/{macro}/test",
                &[],
                json!({"parameters": []}),
            ),
            sample(root, "DELETE", "/macros/{macro}", &[], none()),
            sample(alice, "DELETE", "/records/samples/{record}", &[], none()),
            sample(
                alice,
                "DELETE",
                "/records/targets/batch",
                &[],
                json!({"ids": [self.target]}),
            ),
            sample(root, "DELETE", "/collections/fresh", &[], none()),
        ]
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
