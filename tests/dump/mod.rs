//! A dump restores to the same thing.

mod ledger;

use std::process::Stdio;

use serde_json::json;
use snackbase_e2e::{Database, Gateway, World, environment};
use tokio::process::Command;

/// Writes the query that gives one line per table of ours: name, rows, and a digest of all of them.
pub const CONTENTS: &str = "
    select 'select string_agg(line, e''\\n'' order by line) from (' || string_agg(format(
        'select format(''%s %%s %%s'', count(*), md5(coalesce(string_agg(t::text, e''\\n'' order by t::text), ''''))) as line from %1$s as t %2$s',
        c.oid::regclass,
        -- what create extension plants carries the time of the installation, or is a secret of its own
        case c.relname when 'accounts' then 'where account_code <> ''SY0000''' when 'roles' then 'where id > 2'
                       when 'cursor_key' then 'where false'
                       when 'configurations' then 'where not is_builtin or updated_at > created_at'
                       when 'email_templates' then 'where not is_builtin or updated_at > created_at'
                       -- a restored database must not send what the first one has sent meanwhile
                       when 'mail_outbox' then 'where status <> ''pending''' end),
        ' union all ') || ') as lines'
    from pg_class as c join pg_namespace as n on n.oid = c.relnamespace
    -- (the key of cursors is each installation's own)
    where c.relkind = 'r' and n.nspname not in ('pg_catalog', 'information_schema') and c.relname <> 'cursor_key'";

/// The rules as Postgres sees them: policies, grants on columns, triggers.
const PROTECTION: &str = "
    select string_agg(line, e'\\n' order by line) from (
        select format('policy %s %s %s %s %s %s %s', tablename, policyname, permissive, roles, cmd, qual, with_check) as line
        from pg_policies
        union all
        select format('grant %s %s %s', attrelid::regclass, attname, attacl) from pg_attribute
        where attacl is not null and attrelid >= 16384
        union all
        select format('table %s %s %s %s', oid::regclass, relacl, relrowsecurity, relforcerowsecurity) from pg_class
        where relkind in ('r', 'v') and oid >= 16384
        union all
        select format('owner %s %s', oid::regclass, relowner::regrole) from pg_class where relkind in ('r', 'v') and oid >= 16384
        union all
        select format('trigger %s %s %s', tgrelid::regclass, tgname, tgenabled) from pg_trigger where not tgisinternal
        union all
        select format('macro %s %s %s', pg_get_functiondef(oid), proowner::regrole, proacl) from pg_proc where proname like 'macro\\_%%'
    ) as lines";

/// A world with something of everything in it.
async fn populated() -> World {
    let world = World::new().await;
    for (name, body) in [
        (
            "known_post",
            "select $1 is null or exists (select from col_posts p where p.id = $1::uuid and p.account_id = @request.auth.account_id::uuid)",
        ),
        (
            "Known_post",
            "select @known_post($1) and exists (select from users)",
        ),
        ("priced", "amount > $1 && @Known_post(post)"),
    ] {
        world
            .root
            .post("/macros", json!({"name": name, "sql_query": body}))
            .await
            .expect(201);
    }
    world
        .define(json!({
            "name": "lines",
            "fields": [
                {"name": "post", "type": "reference", "collection": "posts", "on_delete": "restrict"},
                {"name": "sku", "type": "text", "unique": true}, {"name": "amount", "type": "number", "default": 1.5},
                {"name": "day", "type": "date"}, {"name": "moment", "type": "datetime"}, {"name": "extra", "type": "json"}
            ],
            "list_rule": "post IS NOT NULL && @priced(0)", "create_rule": "@request.data.amount > 0 && @known_post(post)", "list_fields": "[\"sku\"]"
        }))
        .await;
    // A key that is active and used, and one that is revoked.
    for revoked in [false, true] {
        let made = world
            .alice
            .post("/admin/api-keys", json!({"name": "a key"}))
            .await
            .expect(201);
        let key = made["key"].as_str().expect("a key");
        world
            .gateway
            .api()
            .with_token(key)
            .get("/auth/me")
            .await
            .expect(200);
        if revoked {
            let path = format!("/admin/api-keys/{}", made["id"].as_str().expect("an id"));
            world.alice.delete(&path).await.expect(204);
        }
    }
    let narrowed = json!({"updates": [{"collection": "lines", "operation": "read", "rule": "amount > 1", "fields": ["sku"]}]});
    world
        .root
        .put("/roles/2/permissions/bulk", narrowed)
        .await
        .expect(200);
    for (api, name) in [(&world.alice, "acme"), (&world.carol, "globex")] {
        for number in 0..5 {
            let title = format!("{name} \\ \"{number}\" é\n\ttab");
            let post = api
                .post("/records/posts", json!({"title": title, "status": "published"}))
                .await
                .expect(201);
            let line = json!({
                "post": post["id"], "sku": format!("S{number}"), "day": "2024-02-29",
                "moment": "2024-02-29T12:30:00.123456Z", "extra": {"a": [1, 2.50, null]}
            });
            api.post("/records/lines", line).await.expect(201);
        }
    }
    // Built-in rows that were changed, rows of an account, and mail in both states.
    world
        .root
        .patch(
            "/admin/configuration/00000000-0000-4000-8000-000000000102/values",
            json!({"app_name": "Kept"}),
        )
        .await
        .expect(200);
    let own = json!({"account_id": "acme", "category": "system_settings", "provider_name": "system", "display_name": "Own",
        "config": {"support_email": "help@acme.example"}});
    world.root.post("/admin/configuration", own).await.expect(200);
    let template = "/admin/email/templates/00000000-0000-4000-8000-000000000002";
    world
        .root
        .put(template, json!({"subject": "Kept"}))
        .await
        .expect(200);
    world
        .root
        .post(
            &format!("{template}/test"),
            json!({"recipient_email": "a@example.com"}),
        )
        .await
        .expect(400);
    let superuser = world.database.superuser().await;
    superuser
        .batch_execute("select snackbase._mail_enqueue('00000000-0000-0000-0000-000000000000', 'invitation', 'a@example.com', '{\"token\": \"t0ken\"}')")
        .await
        .expect("a mail can be queued");
    let post = world
        .alice
        .post("/records/posts", json!({"title": "changed"}))
        .await
        .expect(201);
    let path = format!("/records/posts/{}", post["id"].as_str().expect("an id"));
    world.alice.patch(&path, json!({"rating": 3})).await.expect(200);
    world.root.delete(&path).await.expect(204);
    world
}

/// Run a program of the Postgres client and insist on its success and its silence.
async fn program(name: &str, arguments: &[&str]) {
    let output = Command::new(name)
        .args(arguments)
        .stdin(Stdio::null())
        .output()
        .await
        .expect("the program starts");
    let complaints = String::from_utf8_lossy(&output.stderr);
    assert!(
        output.status.success() && complaints.is_empty(),
        "{name} {arguments:?}: {complaints}"
    );
}

/// The value of a query in a database of the spare cluster.
async fn spare(database: &str, sql: &str) -> String {
    let (host, port) = (
        environment("SNACKBASE_TEST_SPARE_HOST"),
        environment("SNACKBASE_TEST_SPARE_PORT"),
    );
    let output = Command::new("psql")
        .args([
            "-XAtq",
            "-v",
            "ON_ERROR_STOP=1",
            "-h",
            &host,
            "-p",
            &port,
            "-U",
            "postgres",
            "-d",
            database,
            "-c",
            sql,
        ])
        .output()
        .await
        .expect("psql starts");
    assert!(
        output.status.success(),
        "{sql}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8_lossy(&output.stdout).trim_end().to_owned()
}

/// Two lists of lines are equal; says which lines are not.
#[track_caller]
pub fn same(what: &str, restored: &str, original: &str) {
    let missing: Vec<_> = original
        .lines()
        .filter(|line| !restored.lines().any(|other| other == *line))
        .collect();
    let extra: Vec<_> = restored
        .lines()
        .filter(|line| !original.lines().any(|other| other == *line))
        .collect();
    assert!(
        missing.is_empty() && extra.is_empty(),
        "{what}: missing {missing:#?}, extra {extra:#?}"
    );
}

#[tokio::test]
async fn a_restored_database_is_the_same_and_adds_nothing() {
    let world = populated().await;
    let superuser = world.database.superuser().await;
    let contents = superuser.value(&superuser.value(CONTENTS).await).await;
    let protection = superuser.value(PROTECTION).await;
    let entries = superuser.value("select count(*) from snackbase.audit_log").await;
    drop(superuser);

    let directory = std::env::temp_dir().join(&world.database.name);
    let file = directory.to_string_lossy().into_owned();
    let (host, port) = (
        environment("SNACKBASE_TEST_SPARE_HOST"),
        environment("SNACKBASE_TEST_SPARE_PORT"),
    );
    let target = ["-h", &host, "-p", &port, "-U", "postgres"];
    for (format, name) in [
        ("--format=custom", "restored_custom"),
        ("--format=plain", "restored_plain"),
    ] {
        program("pg_dump", &[format, "--file", &file, &world.database.name]).await;
        spare("postgres", &format!("create database {name}")).await;
        if format == "--format=custom" {
            program(
                "pg_restore",
                &[&target[..], &["--exit-on-error", "-d", name, &file]].concat(),
            )
            .await;
        } else {
            program(
                "psql",
                &[
                    &target[..],
                    &[
                        "-Xqo",
                        "/dev/null",
                        "-v",
                        "ON_ERROR_STOP=1",
                        "-d",
                        name,
                        "-f",
                        &file,
                    ],
                ]
                .concat(),
            )
            .await;
        }
        tokio::fs::remove_file(&file)
            .await
            .expect("the dump can be removed");

        same(
            format,
            &spare(name, &spare(name, CONTENTS).await).await,
            &contents,
        );
        same(format, &spare(name, PROTECTION).await, &protection);
        assert_eq!(
            spare(name, "select count(*) from snackbase.audit_log").await,
            entries,
            "{format}: no new entry"
        );
        assert_eq!(
            spare(name, "select count(*) from snackbase.audit_verify()").await,
            "0",
            "{format}: intact"
        );
    }

    for (name, sql) in [
        (
            "Kept",
            "select config ->> 'app_name' from snackbase.configurations where id = '00000000-0000-4000-8000-000000000102'",
        ),
        (
            "Kept",
            "select subject from snackbase.email_templates where id = '00000000-0000-4000-8000-000000000002'",
        ),
        (
            "0",
            "select count(*) from snackbase.mail_outbox where status = 'pending' or variables is not null",
        ),
    ] {
        assert_eq!(spare("restored_custom", sql).await, name, "{sql}");
    }

    // And it works: the same tokens, the same records, the next code.
    let password = environment("SNACKBASE_TEST_GATEWAY_PASSWORD");
    spare(
        "postgres",
        &format!("alter role snackbase_gateway login password '{password}'"),
    )
    .await;
    let restored = Database {
        name: "restored_custom".to_owned(),
    };
    let gateway = Gateway::start_through(&restored, port.parse().expect("a number"), &[]).await;
    let caller = |name: &str| {
        gateway
            .api()
            .with_token(world.people[name]["token"].as_str().expect("a token"))
    };
    assert_eq!(
        caller("alice").get("/records/posts").await.expect(200)["total"],
        5
    );
    assert_eq!(
        caller("alice").get("/records/lines").await.expect(200)["total"],
        5
    );
    let nobody = json!({"sku": "S8", "amount": 1, "post": "8a5e7e5c-1111-4222-8333-444455556666"});
    caller("alice").post("/records/lines", nobody).await.expect(400);
    let macros = caller("root").get("/macros").await.expect(200);
    let id = macros[0]["id"].as_i64().expect("an id");
    caller("root")
        .put(&format!("/macros/{id}"), json!({"sql_query": "select $1 <> ''"}))
        .await
        .expect(200);
    caller("root")
        .post("/macros", json!({"name": "later", "sql_query": "true"}))
        .await
        .expect(201);
    caller("alice")
        .post("/records/lines", json!({"sku": "S0", "amount": 1}))
        .await
        .expect(400);
    caller("alice")
        .post("/records/lines", json!({"sku": "S9", "amount": 1}))
        .await
        .expect(201);
    let account = caller("root")
        .post("/accounts", json!({"name": "After"}))
        .await
        .expect(201);
    assert_eq!(account["account_code"], "AA0003");
    assert_eq!(
        spare("restored_custom", "select count(*) from snackbase.audit_verify()").await,
        "0"
    );
}
