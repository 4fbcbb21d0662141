//! Accounts: nobody sees, changes, refers to, or learns of a row of another account, whatever the rules say.

#[pgrx::pg_schema]
pub mod tests {
    use pgrx::prelude::*;

    use crate::tests::scene::{Scene, ask, run, user};

    /// One public record of each account; their ids.
    pub fn hers_and_his(scene: &Scene) -> (String, String) {
        (
            scene.ada.created("notes", r#"{"title": "hers", "stars": 1}"#),
            scene.bob.created("notes", r#"{"title": "his", "stars": 2}"#),
        )
    }

    #[pg_test]
    fn every_operation_role_sees_its_own_account_only() {
        let scene = Scene::with_notes();
        hers_and_his(&scene);
        for operation in ["list", "view", "create", "update"] {
            scene
                .ada
                .ask(operation, "select title from snackbase.col_notes")
                .says("hers");
            scene
                .bob
                .ask(operation, "select title from snackbase.col_notes")
                .says("his");
        }
        // may see which records there are, not what is in them
        scene
            .ada
            .ask("delete", "select count(id) from snackbase.col_notes")
            .says("1");
        scene
            .ada
            .ask("delete", "select title from snackbase.col_notes")
            .refused("42501");
        scene
            .ada
            .ask("member", "select id from snackbase.col_notes")
            .refused("42501");
        scene
            .visitor
            .ask("list", "select title from snackbase.col_notes")
            .says("hers");
    }

    #[pg_test]
    fn the_records_functions_see_one_account() {
        let scene = Scene::with_notes();
        let (hers, his) = hers_and_his(&scene);
        let (ada, bob) = (&scene.ada, &scene.bob);
        assert_eq!(ada.total("notes", ""), 1);
        assert_eq!(ada.total("notes", r#"title = "his""#), 0);
        assert_eq!(
            ada.total("notes", &format!(r#"account_id = "{}""#, bob.account)),
            0
        );
        assert_eq!(bob.view("notes", &his).json()["title"], "his");
        for outcome in [
            ada.view("notes", &his),
            ada.patch("notes", &his, r#"{"title": "mine"}"#),
            ada.put("notes", &his, r#"{"title": "mine"}"#),
            ada.delete("notes", &his),
        ] {
            outcome.refused("P0002").saying("Record not found");
        }
        assert_eq!(bob.view("notes", &his).json()["title"], "his");
        ada.delete("notes", &hers).says("true");
    }

    #[pg_test]
    fn direct_sql_reaches_no_row_of_another_account() {
        let scene = Scene::with_notes();
        let (_, his) = hers_and_his(&scene);
        let update = format!("update snackbase.col_notes set title = 'stolen' where id = '{his}'");
        let delete = format!("delete from snackbase.col_notes where id = '{his}'");
        scene.ada.run("update", &update).says("0");
        scene.ada.run("delete", &delete).says("0");
        scene.bob.run("update", &update).says("1");
        scene.bob.run("delete", &delete).says("1");
    }

    #[pg_test]
    fn a_row_cannot_be_moved_to_another_account() {
        let scene = Scene::with_notes();
        hers_and_his(&scene);
        let update = |column: &str, value: &str| {
            format!("update snackbase.col_notes set {column} = '{value}' where title = 'hers'")
        };
        // no grant for people …
        scene
            .ada
            .run("update", &update("account_id", &scene.bob.account))
            .refused("42501");
        scene
            .ada
            .run("update", &update("id", "11111111-2222-3333-4444-555555555555"))
            .refused("42501");
        // … and a trigger for whoever has one
        for (column, value) in [
            ("account_id", scene.bob.account.as_str()),
            ("id", "11111111-2222-3333-4444-555555555555"),
        ] {
            scene
                .root
                .run("superadmin", &update(column, value))
                .refused("42501")
                .saying("a record cannot change its id or account");
            run(&update(column, value)).refused("42501");
        }
    }

    #[pg_test]
    fn a_record_is_created_in_the_callers_account() {
        let scene = Scene::with_notes();
        scene
            .ada
            .run(
                "create",
                &format!(
                    "insert into snackbase.col_notes (title, account_id) values ('smuggled', '{}')",
                    scene.bob.account
                ),
            )
            .refused("42501");
        scene
            .ada
            .ask(
                "create",
                "insert into snackbase.col_notes (title) values ('plain') returning account_id",
            )
            .says(&scene.ada.account);
        let refusal = scene
            .ada
            .create(
                "notes",
                &format!(
                    r#"{{"title": "smuggled", "account_id": "{}"}}"#,
                    scene.bob.account
                ),
            )
            .refused("42501");
        assert_eq!(refusal.json()["field_type"], "system");
        assert_eq!(refusal.json()["unauthorized_fields"][0], "account_id");
        assert_eq!(scene.bob.total("notes", ""), 0);
    }

    #[pg_test]
    fn a_superadmin_sees_all_accounts_and_creates_in_one_it_names() {
        let scene = Scene::with_notes();
        hers_and_his(&scene);
        assert_eq!(scene.root.total("notes", ""), 2);
        scene
            .root
            .create(
                "notes",
                &format!(r#"{{"title": "gift", "account_id": "{}"}}"#, scene.bob.account),
            )
            .answer();
        assert_eq!(scene.bob.total("notes", r#"title = "gift""#), 1);
        scene.root.create("notes", r#"{"title": "own"}"#).answer();
        assert_eq!(scene.ada.total("notes", ""), 1);
        assert_eq!(scene.bob.total("notes", ""), 2);
    }

    #[pg_test]
    fn a_list_names_its_account_and_a_superadmins_list_names_each() {
        let scene = Scene::with_notes();
        hers_and_his(&scene);
        assert_eq!(
            scene.ada.list("notes", "").json()["items"][0]["account_name"],
            "acme"
        );
        let all = scene.root.ask(
            "list",
            "select string_agg(i ->> 'account_name', ',' order by i ->> 'account_name')
               from json_array_elements(snackbase.records_list('notes', null, null, null, null, null) -> 'items') i",
        );
        all.says("acme,beta");
    }

    #[pg_test]
    fn the_same_unique_value_may_stand_in_two_accounts() {
        let scene = Scene::new();
        scene.collection(
            r#"{"name": "codes", "fields": [{"name": "code", "type": "text", "unique": true}],
                "create_rule": "", "view_rule": ""}"#,
        );
        scene.ada.create("codes", r#"{"code": "A1"}"#).answer();
        scene.bob.create("codes", r#"{"code": "A1"}"#).answer();
        let refusal = scene.ada.create("codes", r#"{"code": "A1"}"#).refused("23514");
        assert_eq!(refusal.problems(), ["code not_unique"]);
    }

    #[pg_test]
    fn the_same_id_may_stand_in_two_accounts() {
        let scene = Scene::with_notes();
        let id = "11111111-2222-3333-4444-555555555555";
        for account in [&scene.ada.account, &scene.bob.account] {
            run(&format!(
                "insert into snackbase.col_notes (id, account_id, title) values ('{id}', '{account}', 'twin')"
            ))
            .says("1");
        }
        scene.ada.delete("notes", id).says("true");
        assert_eq!(scene.bob.view("notes", id).json()["title"], "twin");
    }

    #[pg_test]
    fn a_reference_does_not_cross_accounts() {
        let scene = Scene::with_notes();
        let (hers, his) = hers_and_his(&scene);
        scene.collection(
            r#"{"name": "comments", "fields": [
                  {"name": "note", "type": "reference", "collection": "notes", "on_delete": "cascade"},
                  {"name": "author", "type": "user"}],
                "create_rule": "", "view_rule": "", "update_rule": ""}"#,
        );
        let body = |field: &str, id: &str| format!(r#"{{"{field}": "{id}"}}"#);
        for (field, own, foreign) in [("note", &hers, &his), ("author", &scene.alf.id, &scene.bob.id)] {
            let id = scene.ada.created("comments", &body(field, own));
            for outcome in [
                scene.ada.create("comments", &body(field, foreign)),
                scene.ada.patch("comments", &id, &body(field, foreign)),
            ] {
                let refusal = outcome.refused("23514");
                assert_eq!(refusal.problems(), [format!("{field} invalid_reference")]);
            }
            // the same by SQL, and for the superuser too
            scene
                .ada
                .run(
                    "create",
                    &format!("insert into snackbase.col_comments ({field}) values ('{foreign}')"),
                )
                .refused("23503");
            run(&format!(
                "update snackbase.col_comments set {field} = '{foreign}' where id = '{id}'"
            ))
            .refused("23503");
        }
    }

    #[pg_test]
    fn members_see_their_own_account_in_the_core_tables() {
        let scene = Scene::new();
        let (ada, bob) = (&scene.ada, &scene.bob);
        for (person, emails) in [
            (ada, "ada@example.com\nalf@example.com"),
            (bob, "bob@example.com"),
        ] {
            person
                .ask("member", "select email from snackbase.users order by email")
                .says(emails);
            person
                .ask("member", "select id from snackbase.accounts")
                .says(&person.account);
            for table in ["groups", "audit_change", "audit_log"] {
                person
                    .ask(
                        "member",
                        &format!("select distinct account_id from snackbase.{table}"),
                    )
                    .says(&person.account);
            }
        }
        run(&format!(
            "insert into snackbase.users_groups (account_id, group_id, user_id)
             select account_id, id, '{}' from snackbase.groups where account_id = '{}'",
            bob.id, bob.account
        ))
        .says("1");
        ada.ask("member", "select count(*) from snackbase.users_groups")
            .says("0");
        bob.ask("member", "select count(*) from snackbase.users_groups")
            .says("1");
    }

    #[pg_test]
    fn members_read_no_secret_and_write_no_core_table() {
        let scene = Scene::new();
        for column in [
            "password_hash",
            "last_login",
            "failed_login_attempts",
            "external_id",
        ] {
            scene
                .ada
                .ask("member", &format!("select {column} from snackbase.users"))
                .refused("42501");
        }
        for table in [
            "sessions",
            "refresh_tokens",
            "collections",
            "collection_rules",
            "account_code_counter",
        ] {
            for operation in ["list", "view", "create", "update", "delete", "member"] {
                scene
                    .ada
                    .ask(operation, &format!("select * from snackbase.{table}"))
                    .refused("42501");
            }
        }
        for statement in [
            "update snackbase.users set role_id = 1",
            "update snackbase.accounts set name = 'x'",
            "update snackbase.groups set account_id = account_id",
            "update snackbase.users_groups set user_id = user_id",
            "insert into snackbase.roles (name) values ('king')",
            "truncate snackbase.users",
        ] {
            scene.ada.run("member", statement).refused("42501");
        }
        // Groups they may write only when a setting says so: until then policies hide them from what writes.
        let group = ask(&format!(
            "insert into snackbase.groups (account_id, name) values ('{}', 'editors') returning id",
            scene.ada.account
        ))
        .answer();
        let member = format!(
            "insert into snackbase.users_groups (account_id, group_id, user_id) values ('{}', '{group}', '{}')",
            scene.ada.account, scene.ada.id
        );
        scene.ada.run("member", &member).refused("42501");
        run(&member).says("1");
        for statement in [
            "delete from snackbase.users_groups",
            "delete from snackbase.groups",
            "update snackbase.groups set name = 'x'",
        ] {
            scene.ada.run("member", statement).says("0");
        }
    }

    #[pg_test]
    fn operation_roles_see_of_the_core_tables_the_name_of_their_account_only() {
        let scene = Scene::new();
        scene
            .ada
            .ask("list", "select name from snackbase.accounts")
            .says("acme");
        scene
            .ada
            .ask("list", "select slug from snackbase.accounts")
            .refused("42501");
        for operation in ["view", "create", "update", "delete"] {
            scene
                .ada
                .ask(operation, "select name from snackbase.accounts")
                .refused("42501");
        }
        for table in [
            "users",
            "groups",
            "roles",
            "users_groups",
            "audit_change",
            "audit_log",
        ] {
            scene
                .ada
                .ask("list", &format!("select count(*) from snackbase.{table}"))
                .refused("42501");
        }
    }

    #[pg_test]
    fn the_owner_of_the_tables_sees_no_record() {
        let scene = Scene::with_notes();
        hers_and_his(&scene);
        ask("select string_agg(rolname, ',') from pg_roles r join pg_class c on c.relowner = r.oid where c.oid = 'snackbase.col_notes'::regclass")
            .says("snackbase_owner");
        let as_owner = |statement: &str| run(&format!("set local role snackbase_owner; {statement}"));
        as_owner("do $$ begin assert (select count(*) = 0 from snackbase.col_notes); end $$").answer();
        as_owner(
            "do $$ declare n bigint; begin
                 update snackbase.col_notes set title = 'x'; get diagnostics n = row_count; assert n = 0;
                 delete from snackbase.col_notes; get diagnostics n = row_count; assert n = 0;
             end $$",
        )
        .answer();
        as_owner(&format!(
            "insert into snackbase.col_notes (account_id, title) values ('{}', 'x')",
            scene.ada.account
        ))
        .refused("42501");
        run("set local role none").answer();
    }

    #[pg_test]
    fn no_account_means_no_rows() {
        let scene = Scene::with_notes();
        hers_and_his(&scene);
        run("create role tests_service login; grant snackbase_list, snackbase_update, snackbase_create to tests_service")
            .answer();
        let service = |statement: &str| crate::tests::scene::run_as("tests_service", statement);
        service("update snackbase.col_notes set title = 'x'").says("0");
        service("insert into snackbase.col_notes (title) values ('x')").refused("42501");
        crate::tests::scene::ask_as("tests_service", "select count(title) from snackbase.col_notes")
            .says("0");
    }

    #[pg_test]
    fn an_account_id_that_is_no_uuid_means_no_rows() {
        let scene = Scene::with_notes();
        hers_and_his(&scene);
        run(
            "create role tests_service login; grant snackbase_list to tests_service;
             alter role tests_service set snackbase.account_id = 'nonsense'",
        )
        .answer();
        crate::tests::scene::ask_as("tests_service", "select count(title) from snackbase.col_notes")
            .says("0");
    }

    #[pg_test]
    fn a_service_with_a_fixed_account_obeys_the_same_policies() {
        let scene = Scene::with_notes();
        hers_and_his(&scene);
        run(&format!(
            "create role tests_service login; grant snackbase_list to tests_service;
             alter role tests_service set snackbase.account_id = '{}'",
            scene.bob.account
        ))
        .answer();
        let service = |statement: &str| crate::tests::scene::ask_as("tests_service", statement);
        service("select title from snackbase.col_notes").says("his");
        // an expression asks for an identity, and the role has none
        scene.rules("notes", r#"{"list_rule": "stars > 0"}"#);
        service("select count(title) from snackbase.col_notes").says("0");
        run("alter role tests_service set snackbase.auth_method = 'direct_sql'").answer();
        service("select title from snackbase.col_notes").says("his");
    }

    #[pg_test]
    fn truncate_copy_and_locks_reach_no_foreign_row() {
        let scene = Scene::with_notes();
        hers_and_his(&scene);
        for operation in ["list", "view", "create", "update", "delete", "member"] {
            scene
                .ada
                .run(operation, "truncate snackbase.col_notes")
                .refused("42501");
        }
        scene
            .ada
            .ask(
                "update",
                "select count(*) from (select title from snackbase.col_notes for update) t",
            )
            .says("1");
        scene
            .ada
            .ask("list", "select tableoid::regclass, xmin from snackbase.col_notes")
            .refused("42501");
    }

    #[pg_test]
    fn row_security_cannot_be_switched_off_by_a_caller() {
        let scene = Scene::with_notes();
        hers_and_his(&scene);
        for operation in ["list", "view", "create", "update", "delete"] {
            scene
                .ada
                .run(
                    operation,
                    "set local row_security = off; do $$ begin perform id from snackbase.col_notes; end $$",
                )
                .refused("42501");
        }
    }

    #[pg_test]
    fn a_leaky_function_in_a_where_clause_sees_own_rows_only() {
        let scene = Scene::with_notes();
        hers_and_his(&scene);
        run(
            "create table public.seen (title text); grant insert on public.seen to public;
             create function public.leak(title text) returns boolean language plpgsql cost 0.000001 as
                 $$ begin insert into public.seen values (title); return true; end $$",
        )
        .answer();
        scene
            .ada
            .ask(
                "list",
                "select count(title) from snackbase.col_notes where public.leak(title)",
            )
            .says("1");
        ask("select string_agg(title, ',') from public.seen").says("hers");
    }

    #[pg_test]
    fn a_query_uses_the_account_as_an_index_condition() {
        let scene = Scene::with_notes();
        run(&format!(
            "insert into snackbase.col_notes (account_id, title)
             select case when n % 50 = 0 then '{}'::uuid else '{}'::uuid end, n::text from generate_series(1, 3000) n",
            scene.ada.account, scene.bob.account
        ))
        .says("3000");
        run("analyze snackbase.col_notes").answer();
        let plan = scene
            .ada
            .ask(
                "list",
                "explain (costs off) select title from snackbase.col_notes order by created_at desc, id desc limit 20",
            )
            .plan();
        assert!(
            plan.contains("Index Scan") && plan.contains("Index Cond: (account_id = $0)"),
            "{plan}"
        );
        assert!(!plan.contains("Sort"), "{plan}");
    }

    #[pg_test]
    fn an_account_that_is_deleted_takes_its_rows_and_no_others() {
        let scene = Scene::with_notes();
        hers_and_his(&scene);
        scene
            .root
            .run(
                "superadmin",
                &format!(
                    "delete from snackbase.accounts where id = '{}'",
                    scene.ada.account
                ),
            )
            .says("1");
        ask("select string_agg(title, ',') from snackbase.col_notes").says("his");
        ask("select count(*) from snackbase.users where email in ('ada@example.com', 'alf@example.com')")
            .says("0");
        ask("select count(*) from snackbase.audit_verify()").says("0");
        user(&scene.bob.account, "new@example.com", 2);
    }
}
