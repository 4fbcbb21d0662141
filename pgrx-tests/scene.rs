//! The little world that the tests play in: two accounts, their people, a superadmin, and a way to let one of them
//! try something.
//!
//! A test function runs as a superuser inside one transaction that is rolled back. [`Person::ask`] and its neighbours
//! therefore change to the login role of the gateway first (`SET LOCAL SESSION AUTHORIZATION`), introduce the caller
//! with `enter()` and run the statement in a subtransaction; afterwards the session belongs to the superuser again. So a
//! refusal does not end the test, and several people can act in turn.

use pgrx::prelude::*;
use serde_json::Value as Json;

extension_sql!(
    r#"
-- Runs `statement` as the login role `login` (NULL: the superuser), after enter(caller, operation) when there is an
-- operation. `returns` says whether the statement returns rows. Result: {"answer": lines of the first column} or
-- {"rows": n}, or {"code", "message", "detail"}. A NULL reads `null`.
create function tests.attempt(login text, caller json, operation text, statement text, returns boolean) returns json
language plpgsql
as $$
declare
    setting text;
    line text;
    lines text[] := '{}';
    affected bigint;
    code text;
    message text;
    detail text;
begin
    begin
        if login is not null then
            -- what ALTER ROLE … SET gives to a session of this role
            for setting in
                select unnest(s.setconfig)
                  from pg_catalog.pg_db_role_setting s
                  join pg_catalog.pg_roles r on r.oid = s.setrole
                 where r.rolname = login
            loop
                perform set_config(split_part(setting, '=', 1), substr(setting, strpos(setting, '=') + 1), true);
            end loop;
            execute format('set local session authorization %I', login);
        end if;
        if operation is not null then
            perform snackbase.enter(caller, operation);
        end if;
        if returns then
            for line in execute statement loop
                lines := lines || coalesce(line, 'null');
            end loop;
        else
            execute statement;
            get diagnostics affected = row_count;
        end if;
    exception when others then
        get stacked diagnostics code = returned_sqlstate, message = message_text, detail = pg_exception_detail;
        return json_build_object('code', code, 'message', message, 'detail', detail);
    end;
    set local role none;
    set local session authorization default;
    perform set_config('snackbase.' || name, '', true)
       from unnest(array['account_id', 'user_id', 'user_email', 'auth_method', 'request_id', 'ip_address', 'user_agent',
                         'es_username', 'es_reason', 'es_timestamp', 'es_user_id']) name;
    return json_build_object('answer', array_to_string(lines, E'\n'), 'rows', affected);
end
$$;
"#,
    name = "tests_attempt",
    requires = [tests]
);

/// A marker that makes the schema exist before [`attempt`] is created in it.
#[pg_schema]
mod tests {}

/// What came of an attempt.
#[derive(Debug)]
pub enum Outcome {
    /// The first column of the rows, one line each, or the number of affected rows.
    Answer(String),
    /// The server said no.
    Refused(Refusal),
}

/// How the server said no.
#[derive(Debug)]
pub struct Refusal {
    /// SQLSTATE.
    pub code: String,
    /// Primary message.
    pub message: String,
    /// Detail, or empty.
    pub detail: String,
}

impl Refusal {
    /// The detail as JSON.
    #[track_caller]
    pub fn json(&self) -> Json {
        serde_json::from_str(&self.detail).unwrap_or_else(|_| panic!("the detail is not JSON: {self:?}"))
    }

    /// Asserts the message.
    #[track_caller]
    pub fn saying(self, message: &str) -> Refusal {
        assert_eq!(self.message, message);
        self
    }

    /// The pairs `field code` of a detail that lists problems.
    #[track_caller]
    pub fn problems(&self) -> Vec<String> {
        let text = |problem: &Json, key: &str| problem[key].as_str().unwrap_or("?").to_owned();
        self.json()
            .as_array()
            .unwrap_or_else(|| panic!("the detail is not a list: {self:?}"))
            .iter()
            .map(|problem| format!("{} {}", text(problem, "field"), text(problem, "code")))
            .collect()
    }
}

impl Outcome {
    /// The answer; fails the test on a refusal.
    #[track_caller]
    pub fn answer(self) -> String {
        match self {
            Outcome::Answer(answer) => answer,
            Outcome::Refused(refusal) => panic!("unexpectedly refused: {refusal:?}"),
        }
    }

    /// The plan that EXPLAIN shows, in the words of PostgreSQL 15: since 17 the value of a sub-select that is evaluated
    /// once is printed differently.
    #[track_caller]
    pub fn plan(self) -> String {
        self.answer().replace("(InitPlan 1).col1", "$0")
    }

    /// The answer as JSON.
    #[track_caller]
    pub fn json(self) -> Json {
        let answer = self.answer();
        serde_json::from_str(&answer).unwrap_or_else(|_| panic!("not JSON: {answer}"))
    }

    /// Asserts the answer.
    #[track_caller]
    pub fn says(self, expected: &str) {
        assert_eq!(self.answer(), expected);
    }

    /// Asserts a refusal of any kind.
    #[track_caller]
    pub fn refused_any(self) -> Refusal {
        match self {
            Outcome::Refused(refusal) => refusal,
            Outcome::Answer(answer) => panic!("expected a refusal, but it worked: {answer}"),
        }
    }

    /// Asserts a refusal with this SQLSTATE.
    #[track_caller]
    pub fn refused(self, code: &str) -> Refusal {
        match self {
            Outcome::Refused(refusal) => {
                assert_eq!(refusal.code, code, "{refusal:?}");
                refusal
            }
            Outcome::Answer(answer) => panic!("expected {code}, but it worked: {answer}"),
        }
    }
}

fn attempt(
    login: Option<&str>,
    caller: Option<&str>,
    operation: Option<&str>,
    statement: &str,
    returns: bool,
) -> Outcome {
    let text = Spi::get_one_with_args::<String>(
        "select tests.attempt($1, $2::json, $3, $4, $5)::text",
        &[
            login.into(),
            caller.into(),
            operation.into(),
            statement.into(),
            returns.into(),
        ],
    )
    .expect("tests.attempt catches errors")
    .expect("tests.attempt answers");
    let json: Json = serde_json::from_str(&text).expect("tests.attempt answers JSON");
    let member = |key: &str| json[key].as_str().unwrap_or_default().to_owned();
    if json.get("code").is_some() {
        Outcome::Refused(Refusal {
            code: member("code"),
            message: member("message"),
            detail: member("detail"),
        })
    } else if returns {
        Outcome::Answer(member("answer"))
    } else {
        Outcome::Answer(json["rows"].to_string())
    }
}

/// The superuser asks: a statement that returns rows.
pub fn ask(statement: &str) -> Outcome {
    attempt(None, None, None, statement, true)
}

/// The superuser does: a statement that returns nothing. Answers the number of rows.
pub fn run(statement: &str) -> Outcome {
    attempt(None, None, None, statement, false)
}

/// A session of a login role, without a gateway in between, asks.
pub fn ask_as(login: &str, statement: &str) -> Outcome {
    attempt(Some(login), None, None, statement, true)
}

/// A session of a login role does.
pub fn run_as(login: &str, statement: &str) -> Outcome {
    attempt(Some(login), None, None, statement, false)
}

/// The gateway introduces `caller` (JSON) for `operation` and asks.
pub fn ask_through_gateway(caller: &str, operation: &str, statement: &str) -> Outcome {
    attempt(
        Some("snackbase_gateway"),
        Some(caller),
        Some(operation),
        statement,
        true,
    )
}

/// The same for somebody who has not logged in yet.
pub fn ask_before_login(statement: &str) -> Outcome {
    ask_through_gateway(
        r#"{"kind":"anonymous","ip_address":"192.0.2.1","user_agent":"curl/8"}"#,
        "auth",
        statement,
    )
}

/// A literal, quoted so that no test text ends it.
pub fn quoted(text: &str) -> String {
    format!("$text${text}$text$")
}

/// Somebody whom the gateway introduces.
pub struct Person {
    caller: String,
    /// Id of the user; empty for a visitor.
    pub id: String,
    /// Id of the account; the slug for a visitor.
    pub account: String,
}

impl Person {
    /// How the gateway introduces this person.
    pub fn caller(&self) -> &str {
        &self.caller
    }

    /// Introduces this person for `operation` and asks a statement that returns rows.
    pub fn ask(&self, operation: &str, statement: &str) -> Outcome {
        ask_through_gateway(&self.caller, operation, statement)
    }

    /// Introduces this person for `operation` and runs a statement that returns nothing.
    pub fn run(&self, operation: &str, statement: &str) -> Outcome {
        attempt(
            Some("snackbase_gateway"),
            Some(&self.caller),
            Some(operation),
            statement,
            false,
        )
    }

    /// `records_list` of everything that passes `filter` (empty: no filter).
    pub fn list(&self, collection: &str, filter: &str) -> Outcome {
        self.ask(
            "list",
            &format!(
                "select snackbase.records_list('{collection}', nullif({}, ''), null, null, 100, null)",
                quoted(filter)
            ),
        )
    }

    /// How many records `records_list` counts under `filter`.
    #[track_caller]
    pub fn total(&self, collection: &str, filter: &str) -> i64 {
        self.list(collection, filter).json()["total"]
            .as_i64()
            .expect("a total")
    }

    /// `records_view`.
    pub fn view(&self, collection: &str, id: &str) -> Outcome {
        self.ask(
            "view",
            &format!("select snackbase.records_view('{collection}', '{id}', null)"),
        )
    }

    /// `records_create`.
    pub fn create(&self, collection: &str, body: &str) -> Outcome {
        self.ask(
            "create",
            &format!(
                "select snackbase.records_create('{collection}', {})",
                quoted(body)
            ),
        )
    }

    /// `records_create`, and the id of the record.
    #[track_caller]
    pub fn created(&self, collection: &str, body: &str) -> String {
        self.create(collection, body).json()["id"]
            .as_str()
            .expect("a record has an id")
            .to_owned()
    }

    /// `records_update` as PATCH.
    pub fn patch(&self, collection: &str, id: &str, body: &str) -> Outcome {
        self.ask(
            "update",
            &format!(
                "select snackbase.records_update('{collection}', '{id}', {}, false)",
                quoted(body)
            ),
        )
    }

    /// `records_update` as PUT.
    pub fn put(&self, collection: &str, id: &str, body: &str) -> Outcome {
        self.ask(
            "update",
            &format!(
                "select snackbase.records_update('{collection}', '{id}', {}, true)",
                quoted(body)
            ),
        )
    }

    /// `records_delete`.
    pub fn delete(&self, collection: &str, id: &str) -> Outcome {
        self.ask(
            "delete",
            &format!("select snackbase.records_delete('{collection}', '{id}')"),
        )
    }
}

/// Two accounts with two and one users, a visitor, and a superadmin.
pub struct Scene {
    /// A user of account `acme`, role `admin`.
    pub ada: Person,
    /// Another user of account `acme`, role `user`.
    pub alf: Person,
    /// A user of account `beta`.
    pub bob: Person,
    /// Somebody without credentials who names account `acme`.
    pub visitor: Person,
    /// A user of the system account.
    pub root: Person,
}

impl Scene {
    /// Sets the scene. Tests run in parallel sessions of one database and would wait for each other in the middle (the
    /// counter of account codes, DDL on references), so they wait here.
    pub fn new() -> Scene {
        ask("select pg_advisory_xact_lock(hashtext('snackbase.tests'))").answer();
        let account = |slug: &str| {
            ask(&format!(
                "select id from snackbase._account_create('{slug}', '{slug}', 'slug', false)"
            ))
            .answer()
        };
        let (acme, beta) = (account("acme"), account("beta"));
        let system = "00000000-0000-0000-0000-000000000000";
        Scene {
            ada: user(&acme, "ada@example.com", 1),
            alf: user(&acme, "alf@example.com", 2),
            bob: user(&beta, "bob@example.com", 1),
            root: user(system, "root@example.com", 1),
            visitor: Person {
                caller: r#"{"kind":"anonymous","account":"acme"}"#.into(),
                id: String::new(),
                account: "acme".into(),
            },
        }
    }

    /// Defines a collection.
    #[track_caller]
    pub fn collection(&self, definition: &str) {
        self.define(definition).answer();
    }

    /// Tries to define a collection.
    pub fn define(&self, definition: &str) -> Outcome {
        self.root.ask(
            "superadmin",
            &format!("select snackbase.collection_define({})", quoted(definition)),
        )
    }

    /// Tries to change a collection.
    pub fn change(&self, collection: &str, changes: &str) -> Outcome {
        self.root.ask(
            "superadmin",
            &format!(
                "select snackbase.collection_change('{collection}', {})",
                quoted(changes)
            ),
        )
    }

    /// Changes rules or field lists.
    #[track_caller]
    pub fn rules(&self, collection: &str, changes: &str) {
        self.root
            .ask(
                "superadmin",
                &format!(
                    "select snackbase.collection_rules_change('{collection}', {})",
                    quoted(changes)
                ),
            )
            .answer();
    }

    /// The scene with a collection `notes` (title, stars) that is public in every operation.
    pub fn with_notes() -> Scene {
        let scene = Scene::new();
        scene.collection(
            r#"{"name": "notes",
                "fields": [{"name": "title", "type": "text"}, {"name": "stars", "type": "number"}],
                "list_rule": "", "view_rule": "", "create_rule": "", "update_rule": "", "delete_rule": ""}"#,
        );
        scene
    }
}

/// A verified, active user of an account.
pub fn user(account: &str, email: &str, role: i32) -> Person {
    let id = ask(&format!(
        "insert into snackbase.users (account_id, email, role_id, email_verified)
              values ('{account}', '{email}', {role}, true) returning id"
    ))
    .answer();
    Person {
        caller: format!(r#"{{"kind":"user","user_id":"{id}","account_id":"{account}"}}"#),
        id,
        account: account.to_owned(),
    }
}

/// Gives a user this password hash; answers what says of it that a password was checked against it.
pub fn checked(person: &Person, hash: &str) -> String {
    run(&format!(
        "update snackbase.users set password_hash = '{hash}' where id = '{}'",
        person.id
    ))
    .says("1");
    ask(&format!("select encode(sha256('{hash}'), 'hex')")).answer()
}
