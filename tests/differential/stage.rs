//! A world put into a real installation, and its doors: requests go through them and answers come back.

use serde_json::{Map, Value as Json, json};
use snackbase_e2e::{
    Answer as HttpAnswer, Api, Database, Gateway, Session, World as Installation, sql_state,
};

use super::faults::Fault;
use super::generate::people;
use super::http::{http, pages};
use super::language::Kind;
use super::model::{
    ACCOUNTS, Caller, Collection, Field, Identity, Operation, Permission, Row, Rule, World, to_json,
};
use super::request::{Action, Request, Via, by_id};
use super::statement::{Texts, columns, insert, object, select, sql, table, value};
use super::words::{MACROS, ROLES};

/// The password of everybody in the template, and of the logins made here.
const PASSWORD: &str = "Correct-Horse-7-Battery";

/// An answer of any door.
#[derive(Debug)]
pub struct Answer {
    /// HTTP status or SQLSTATE.
    pub code: String,
    /// Null when there is none, or it does not matter.
    pub body: Json,
    /// What a refusal says.
    pub refusal: String,
}

impl Answer {
    /// What was asked for.
    pub fn given(code: &str, body: Json) -> Self {
        Self {
            code: code.to_owned(),
            body,
            refusal: String::new(),
        }
    }

    /// A refusal and its words.
    pub fn refused(code: String, refusal: String) -> Self {
        Self {
            code,
            body: Json::Null,
            refusal,
        }
    }
}

/// One database with a gateway in front of it and a session for every door.
pub struct Stage {
    /// Id of the superadmin.
    pub root: String,
    superadmin: Api,
    people: Vec<Api>,
    anonymous: Vec<Api>,
    superuser: Session,
    entered: Session,
    login: Session,
    reports: Vec<Session>,
    installed: Option<World>,
    _gateway: Gateway,
}

impl Stage {
    /// A copy of the installation the other tests use, with two further accounts and their people.
    pub async fn new() -> Self {
        let Installation {
            database,
            gateway,
            people: made,
            root,
            ..
        } = Installation::new().await;
        let superuser = database.superuser().await;
        let mut script = String::from(
            "set timezone = 'UTC'; set session_replication_role = replica; insert into snackbase.roles (id, name) values (3, 'editor');",
        );
        for (account, (id, slug, name)) in ACCOUNTS.into_iter().enumerate() {
            script.push_str(&format!(
                "insert into snackbase.accounts (id, account_code, slug, name) values ('{id}', 'ZZ000{account}', '{slug}', '{name}');
                 insert into snackbase.groups (account_id, name) values ('{id}', 'staff'), ('{id}', 'pii_access');"
            ));
        }
        for person in people() {
            script.push_str(&format!(
                "insert into snackbase.users (id, account_id, email, password_hash, role_id, email_verified, address_proven)
                 select '{}', '{}', '{}@example.com', u.password_hash, 2, true, true from snackbase.users u where u.email = 'alice@example.com';",
                person.id, ACCOUNTS[person.account].0, person.name
            ));
        }
        let service = format!("service_{}", database.name);
        let ann = &people()[0];
        script.push_str(&format!(
            "create role {service} login noinherit password '{PASSWORD}';
             grant snackbase_list, snackbase_view, snackbase_create, snackbase_update, snackbase_delete to {service};
             alter role {service} set snackbase.account_id = '{}';
             alter role {service} set snackbase.user_id = '{}';
             alter role {service} set snackbase.user_email = '{}@example.com';
             alter role {service} set snackbase.auth_method = 'direct_sql';",
            ACCOUNTS[ann.account].0, ann.id, ann.name
        ));
        let report = |account: usize| format!("report_{account}_{}", database.name);
        for (account, (_, slug, _)) in ACCOUNTS.into_iter().enumerate() {
            script.push_str(&format!(
                "select snackbase.bi_role_create('{}', '{slug}', '{PASSWORD}');",
                report(account)
            ));
        }
        superuser
            .batch_execute(&script)
            .await
            .unwrap_or_else(|error| panic!("{error:?}"));

        for (name, body, parameters) in MACROS {
            let definition = json!({"name": name, "sql_query": body, "parameters": parameters});
            root.post("/macros", definition).await.expect(201);
        }
        let mut callers = Vec::new();
        for person in people() {
            let answer = gateway
                .api()
                .post(
                    "/auth/login",
                    json!({"account": ACCOUNTS[person.account].1, "email": format!("{}@example.com", person.name), "password": PASSWORD}),
                )
                .await
                .expect(200);
            callers.push(
                gateway
                    .api()
                    .with_token(answer["token"].as_str().expect("a token")),
            );
        }
        let mut reports = Vec::new();
        for account in 0..ACCOUNTS.len() {
            reports.push(session(&database, &report(account)).await);
        }
        let entered = database.gateway_role().await;
        entered
            .batch_execute("set timezone = 'UTC'")
            .await
            .expect("a setting");
        Self {
            root: made["root"]["user"]["id"].as_str().expect("an id").to_owned(),
            superadmin: root,
            people: callers,
            anonymous: ACCOUNTS
                .map(|(_, slug, _)| gateway.api().with_header("x-account-id", slug))
                .into_iter()
                .collect(),
            entered,
            login: session(&database, &service).await,
            reports,
            superuser,
            installed: None,
            _gateway: gateway,
        }
    }

    /// Brings the database to the state of that world, with the fault in it, if there is one.
    pub async fn install(&mut self, world: &World, fault: Option<Fault>) {
        let same_fields = self.installed.as_ref().is_some_and(|old| {
            old.collections.len() == world.collections.len()
                && old
                    .collections
                    .iter()
                    .zip(&world.collections)
                    .all(|(old, new)| old.fields == new.fields)
        });
        if !same_fields {
            let made: Vec<String> = self
                .installed
                .iter()
                .flat_map(|old| &old.collections)
                .map(|old| old.name.clone())
                .collect();
            for name in made.iter().rev() {
                self.superadmin
                    .delete(&format!("/collections/{name}"))
                    .await
                    .expect(200);
            }
        }
        for (number, collection) in world.collections.iter().enumerate() {
            let old = self
                .installed
                .as_ref()
                .filter(|_| same_fields)
                .map(|old| &old.collections[number]);
            match old {
                None => {
                    self.superadmin
                        .post("/collections", definition(collection))
                        .await
                        .expect(201);
                }
                Some(old) if old.rules == collection.rules && old.lists == collection.lists => {}
                Some(_) => {
                    let path = format!("/collections/{}/rules", collection.name);
                    self.superadmin.put(&path, rules(collection)).await.expect(200);
                }
            }
        }
        for (number, collection) in world.collections.iter().enumerate() {
            let old = self
                .installed
                .as_ref()
                .filter(|_| same_fields)
                .map(|old| &old.collections[number]);
            self.narrow(old, collection).await;
        }
        let mut script = String::from("delete from snackbase.users_groups;");
        for person in &world.people {
            let account = ACCOUNTS[person.account].0;
            script.push_str(&format!(
                "update snackbase.users set role_id = (select id from snackbase.roles where name = '{}') where id = '{}';",
                person.role, person.id
            ));
            for group in &person.groups {
                script.push_str(&format!(
                    "insert into snackbase.users_groups (account_id, group_id, user_id)
                     select account_id, id, '{}' from snackbase.groups where account_id = '{account}' and name = '{group}';",
                    person.id
                ));
            }
        }
        for collection in &world.collections {
            script.push_str(&format!("delete from {};", table(collection)));
            script.extend(collection.rows.iter().map(|row| insert(collection, row)));
        }
        if let Some(fault) = fault {
            script.push_str(&fault.script(&self.superuser, world).await);
        }
        self.superuser
            .batch_execute(&script)
            .await
            .unwrap_or_else(|error| panic!("{error:?}\n{script}"));
        self.installed = Some(world.clone());
    }

    /// Sets the permissions of a collection that are others than before.
    async fn narrow(&self, old: Option<&Collection>, new: &Collection) {
        let before = old.map_or(&[][..], |old| &old.permissions);
        let kept = |old: &&Permission| {
            new.permissions
                .iter()
                .any(|new| new.role == old.role && new.act == old.act)
        };
        let gone = before.iter().filter(|old| !kept(old));
        let nothing = |old: &Permission| Permission {
            rule: Rule::Public,
            fields: None,
            ..old.clone()
        };
        let changed = new
            .permissions
            .iter()
            .filter(|new| !before.contains(new))
            .cloned();
        for permission in gone.map(nothing).chain(changed) {
            let role = 1 + ROLES
                .iter()
                .position(|role| *role == permission.role)
                .expect("one of the roles");
            let fields = permission.fields.map_or_else(|| json!("*"), |names| json!(names));
            let update = json!({
                "collection": new.name, "operation": permission.act, "rule": source(&permission.rule), "fields": fields
            });
            let answer = self
                .superadmin
                .put(
                    &format!("/roles/{role}/permissions/bulk"),
                    json!({"updates": [update]}),
                )
                .await
                .expect(200);
            assert_eq!(answer["success_count"], 1, "{answer}");
        }
    }

    /// The rows of all collections as the superuser sees them.
    pub async fn rows(&self, world: &World) -> Vec<Vec<Row>> {
        let mut all = Vec::new();
        for collection in &world.collections {
            let columns: Vec<(String, Kind)> = columns(collection);
            let names: Vec<String> = columns.iter().map(|(name, _)| format!("\"{name}\"")).collect();
            let statement = format!(
                "select {} from {} order by id",
                names.join(", "),
                table(collection)
            );
            let rows = select(&self.superuser, &statement)
                .await
                .expect("the superuser sees the table");
            let row = |texts: Texts| -> Row {
                texts
                    .into_iter()
                    .zip(&columns)
                    .map(|((name, text), (_, kind))| (name, value(*kind, text)))
                    .collect()
            };
            all.push(rows.into_iter().map(row).collect());
        }
        all
    }

    /// Sends a request.
    pub async fn send(&self, world: &World, request: &Request) -> Answer {
        let collection = &world.collections[request.collection];
        if let Some((session, prelude, statement)) = self.statement(world, request) {
            let script = format!("begin; {prelude}; {statement}");
            let found = select(session, &script).await;
            session
                .batch_execute("rollback")
                .await
                .expect("a transaction can always be rolled back");
            return match found {
                Err(error) => {
                    let words = error
                        .as_db_error()
                        .map_or_else(String::new, |words| format!("{words:?}"));
                    Answer::refused(sql_state(&error), words)
                }
                Ok(rows) => {
                    let masked = request.action == Action::Report;
                    let mut rows: Vec<Json> = rows
                        .into_iter()
                        .map(|row| object(collection, row, masked).into())
                        .collect();
                    by_id(&mut rows);
                    Answer::given("00000", Json::Array(rows))
                }
            };
        }
        let api = match request.caller {
            Caller::Person(number) => &self.people[number],
            Caller::Anonymous(account) => &self.anonymous[account],
            Caller::Superadmin | Caller::Bi(_) => &self.superadmin,
        };
        if let Action::Pages { query, count } = &request.action {
            return pages(api, collection, query, *count).await;
        }
        let (method, path, body) = http(collection, &request.action);
        let HttpAnswer {
            status, json, text, ..
        } = api.send(method, &path, body.as_deref()).await;
        match status {
            200..300 => Answer::given(&status.to_string(), json),
            _ => Answer::refused(status.to_string(), text),
        }
    }

    /// A statement, how its session comes to its role, and the session; `None` for requests over HTTP.
    fn statement(&self, world: &World, request: &Request) -> Option<(&Session, String, String)> {
        let (operation, via, statement) = sql(world, request)?;
        let (session, prelude) = match (request.caller, via) {
            (Caller::Bi(account), _) => (&self.reports[account], "select 1 as setup".to_owned()),
            (_, Some(Via::Login)) => (&self.login, format!("set local role snackbase_{operation}")),
            _ => {
                let caller = introduction(&world.identity(request.caller), request.caller);
                (
                    &self.entered,
                    format!("select snackbase.enter('{caller}', '{operation}') as setup"),
                )
            }
        };
        Some((session, prelude, statement))
    }
}

/// A request as somebody would type it.
pub fn describe(world: &World, request: &Request) -> String {
    let who = match request.caller {
        Caller::Person(number) => world.people[number].name.to_owned(),
        Caller::Anonymous(account) => format!("nobody (X-Account-ID: {})", ACCOUNTS[account].1),
        Caller::Superadmin => "the superadmin".to_owned(),
        Caller::Bi(account) => format!("a BI login of {}", ACCOUNTS[account].1),
    };
    if let Some((operation, via, statement)) = sql(world, request) {
        let how = match via {
            Some(Via::Login) => format!("set role snackbase_{operation}; "),
            Some(Via::Entered) => format!("enter(…, '{operation}'); "),
            None => String::new(),
        };
        return format!("{who}: {how}{statement}");
    }
    let collection = &world.collections[request.collection];
    let (method, path, body) = http(collection, &request.action);
    let mut text = format!("{who}: {method} {path} {}", body.unwrap_or_default());
    if let Action::List(query) | Action::Pages { query, .. } = &request.action
        && let Some(filter) = &query.filter
    {
        text.push_str(&format!("\n    filter: {filter}"));
    }
    text
}

async fn session(database: &Database, role: &str) -> Session {
    let session = database
        .login(role, PASSWORD)
        .await
        .unwrap_or_else(|error| panic!("{role}: {error:?}"));
    session
        .batch_execute("set timezone = 'UTC'")
        .await
        .expect("a setting");
    session
}

fn introduction(identity: &Identity, caller: Caller) -> Json {
    match caller {
        Caller::Anonymous(account) => json!({"kind": "anonymous", "account": ACCOUNTS[account].1}),
        _ => json!({"kind": "user", "user_id": identity.id, "account_id": identity.account}),
    }
}

fn definition(collection: &Collection) -> Json {
    let field = |field: &Field| {
        let mut definition = json!({"name": field.name, "type": field.wire});
        if let Some(mask) = field.mask {
            definition["pii"] = true.into();
            definition["mask_type"] = mask.into();
        }
        if field.indexed {
            definition["options"] = json!({"index": true});
        }
        if field.unique {
            definition["unique"] = true.into();
        }
        if let Some(default) = &field.default {
            definition["default"] = to_json(default);
        }
        if let Some((target, action)) = &field.refers {
            definition["collection"] = target.as_str().into();
            definition["on_delete"] = (*action).into();
        }
        if let Some(made) = &field.computed {
            definition["type"] = "computed".into();
            definition["return_type"] = field.wire.into();
            definition["expression"] = made.to_string().into();
        }
        definition
    };
    let mut definition = rules(collection);
    definition["name"] = collection.name.as_str().into();
    definition["fields"] = collection.fields.iter().map(field).collect();
    definition
}

fn rules(collection: &Collection) -> Json {
    let mut object = Map::new();
    for operation in Operation::ALL {
        let name = operation.name();
        object.insert(format!("{name}_rule"), source(collection.rule(operation)));
        if let Some(list) = collection.lists.get(operation as usize) {
            let list = list
                .as_ref()
                .map_or_else(|| "*".to_owned(), |names| json!(names).to_string());
            object.insert(format!("{name}_fields"), list.into());
        }
    }
    object.into()
}

/// A rule as it is stored.
pub fn source(rule: &Rule) -> Json {
    match rule {
        Rule::Locked => Json::Null,
        Rule::Public => json!(""),
        Rule::When(condition) => json!(condition.to_string()),
    }
}
