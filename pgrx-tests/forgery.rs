//! Every way to claim to be somebody else than `enter()` has introduced.

#[pgrx::pg_schema]
mod tests {
    use pgrx::prelude::*;

    use crate::tests::scene::{Scene, ask, ask_as, run, run_as};

    const FORGERIES: [&str; 14] = [
        "set snackbase.account_id = '11111111-2222-3333-4444-555555555555'",
        "set local snackbase.account_id = '00000000-0000-0000-0000-000000000000'",
        "set snackbase.user_id = 'x'",
        "set snackbase.user_email = 'x'",
        "set snackbase.auth_method = 'jwt'",
        "set snackbase.request_id = 'x'",
        "set snackbase.ip_address = 'x'",
        "set snackbase.user_agent = 'x'",
        "set snackbase.account_id to default",
        "reset snackbase.account_id",
        "reset snackbase.auth_method",
        "select set_config('snackbase.account_id', '00000000-0000-0000-0000-000000000000', true)",
        "do $$ begin perform set_config('snackbase.auth_method', 'jwt', false); end $$",
        "do $$ begin set local snackbase.user_id = 'x'; end $$",
    ];

    #[pg_test]
    fn identity_is_frozen_after_enter() {
        let scene = Scene::new();
        for operation in ["list", "view", "create", "update", "delete", "member"] {
            for forgery in FORGERIES {
                scene.ada.run(operation, forgery).refused("42501");
            }
        }
        // The superadmin's role is no superuser either.
        for forgery in FORGERIES {
            scene.root.run("superadmin", forgery).refused("42501");
        }
    }

    #[pg_test]
    fn nobody_makes_up_a_setting_of_our_prefix() {
        let scene = Scene::new();
        for name in ["user_role", "user_groups", "anything"] {
            scene
                .alf
                .run("list", &format!("set snackbase.{name} = 'admin'"))
                .refused("42602");
            run(&format!("set snackbase.{name} = 'admin'")).refused("42602");
        }
    }

    #[pg_test]
    fn a_setting_changed_through_pg_settings_is_refused() {
        let scene = Scene::new();
        scene
            .ada
            .run(
                "list",
                "update pg_settings set setting = '00000000-0000-0000-0000-000000000000' where name = 'snackbase.account_id'",
            )
            .refused("42501");
    }

    #[pg_test]
    fn a_function_with_a_set_clause_does_not_change_identity() {
        let scene = Scene::new();
        run(
            "create function public.forged() returns uuid language sql
             set snackbase.account_id = '00000000-0000-0000-0000-000000000000'
             as 'select snackbase.current_account_id()'; grant execute on function public.forged() to public",
        )
        .answer();
        scene.ada.ask("list", "select public.forged()").refused("42501");
    }

    #[pg_test]
    fn reset_all_and_discard_leave_identity_alone() {
        let scene = Scene::new();
        scene
            .ada
            .run(
                "list",
                "reset all; do $$ begin assert snackbase.current_account_id() is not null; end $$",
            )
            .answer();
        // DISCARD ALL cannot run in a transaction, and a transaction is all a caller gets.
        scene.ada.run("list", "discard all").refused("25001");
    }

    #[pg_test]
    fn a_second_enter_is_refused() {
        let scene = Scene::new();
        let again = format!(
            r#"select snackbase.enter('{{"kind":"user","user_id":"{}","account_id":"{}"}}', 'list')"#,
            scene.bob.id, scene.bob.account
        );
        for operation in ["list", "view", "create", "update", "delete", "member"] {
            scene.ada.ask(operation, &again).refused("42501");
        }
        scene.root.ask("superadmin", &again).refused("42501");
    }

    #[pg_test]
    fn enter_takes_its_role_before_the_records_function_runs() {
        let scene = Scene::with_notes();
        scene.ada.created("notes", r#"{"title": "hers"}"#);
        scene.bob.created("notes", r#"{"title": "his"}"#);
        let request = format!(
            r#"select case when snackbase.enter('{{"kind":"user","user_id":"{}","account_id":"{}"}}', 'list')
                      then snackbase.records_list('notes', null, null, null, null, 'title') end"#,
            scene.ada.id, scene.ada.account
        );
        let page = ask_as("snackbase_gateway", &request).json();
        assert_eq!(page["total"], 1);
        assert_eq!(page["items"][0]["title"], "hers");
    }

    #[pg_test]
    fn the_gateway_sees_nothing_before_it_has_introduced_a_caller() {
        let scene = Scene::with_notes();
        let id = scene.ada.created("notes", r#"{"title": "a"}"#);
        ask_as("snackbase_gateway", "select * from snackbase.col_notes").refused("42501");
        ask_as("snackbase_gateway", "select * from snackbase.users").refused("42501");
        ask_as(
            "snackbase_gateway",
            "select snackbase.records_list('notes', null, null, null, null, null)",
        )
        .refused("42501");
        ask_as(
            "snackbase_gateway",
            &format!("select snackbase.records_delete('notes', '{id}')"),
        )
        .refused("42501");
        ask_as("snackbase_gateway", "select snackbase.collection_names()").refused("42501");
        ask_as(
            "snackbase_gateway",
            r#"select snackbase.collection_define('{"name":"evil","fields":[{"name":"a","type":"text"}]}')"#,
        )
        .refused("42501");
    }

    #[pg_test]
    fn the_gateway_cannot_take_the_roles_that_are_beyond_the_rules() {
        for role in [
            "snackbase_owner",
            "snackbase_hook",
            "snackbase_reader",
            "postgres",
        ] {
            run_as("snackbase_gateway", &format!("set role {role}")).refused("42501");
        }
    }

    #[pg_test]
    fn nobody_but_the_gateway_may_set_identity() {
        run("create role tests_stranger login").answer();
        for forgery in FORGERIES {
            run_as("tests_stranger", forgery).refused("42501");
        }
        ask_as(
            "tests_stranger",
            r#"select snackbase.enter('{"kind":"anonymous","account":"acme"}', 'list')"#,
        )
        .refused("42501");
        run_as("tests_stranger", "set role snackbase_list").refused("42501");
    }

    #[pg_test]
    fn an_operation_role_granted_to_a_stranger_is_bound_to_no_account() {
        let scene = Scene::with_notes();
        scene.ada.created("notes", r#"{"title": "a"}"#);
        run("create role tests_stranger login; grant snackbase_list to tests_stranger").answer();
        // the same line shows the row to an introduced caller, and none to somebody without an account
        scene
            .ada
            .ask("list", "select count(title) from snackbase.col_notes")
            .says("1");
        ask_as("tests_stranger", "select count(title) from snackbase.col_notes").says("0");
        for forgery in FORGERIES {
            run_as("tests_stranger", forgery).refused("42501");
        }
    }

    #[pg_test]
    fn a_search_path_of_the_callers_does_not_reach_what_runs_as_the_owner() {
        let scene = Scene::with_notes();
        scene.ada.created("notes", r#"{"title": "a"}"#);
        scene.rules(
            "notes",
            r#"{"list_rule": "@has_group(\"pii_access\") || @has_role(\"admin\")"}"#,
        );
        // operators and functions that would shadow pg_catalog's, and tell as whom they ran
        run("create schema evil; grant usage on schema evil to public;
             create table evil.ran (as_whom text); grant insert on evil.ran to public;
             create function evil.same(a uuid, b uuid) returns boolean language plpgsql as
                 $$ begin insert into evil.ran values (current_user); return true; end $$;
             create function evil.same(a text, b text) returns boolean language plpgsql as
                 $$ begin insert into evil.ran values (current_user); return true; end $$;
             create function evil.less(a text, b text) returns boolean language plpgsql as
                 $$ begin insert into evil.ran values (current_user); return true; end $$;
             create operator evil.= (function = evil.same, leftarg = uuid, rightarg = uuid);
             create operator evil.= (function = evil.same, leftarg = text, rightarg = text);
             create operator evil.< (function = evil.less, leftarg = text, rightarg = text);
             create table evil.users (like snackbase.users); grant select on evil.users to public;
             set local search_path = evil, snackbase, pg_catalog")
        .answer();
        scene
            .ada
            .ask(
                "list",
                "select concat_ws(' ', snackbase.current_user_role(), snackbase.current_user_groups(), snackbase.sees_pii())",
            )
            .says("admin {} f");
        assert_eq!(scene.ada.total("notes", ""), 1);
        scene.visitor.ask("view", "select 1").says("1");
        scene.ada.ask("superadmin", "select 1").refused("42501");
        scene
            .root
            .ask(
                "superadmin",
                r#"select snackbase.collection_define('{"name":"other","list_rule":"a = \"x\"","fields":[{"name":"a","type":"text","unique":true}]}')"#,
            )
            .answer();
        run("set local search_path = pg_catalog").answer();
        ask("select count(*) from evil.ran where as_whom = 'snackbase_owner'").says("0");
    }
}
