//! Logins for tools that speak SQL: they see what one account lists, and nothing else.

#[pgrx::pg_schema]
mod tests {
    use pgrx::prelude::*;

    use crate::tests::scene::{Scene, ask, ask_as, run, run_as};

    /// Account acme's login `tests_bi` over a collection with a rule, a hidden field, a mask and a computed field.
    fn with_login() -> Scene {
        let scene = Scene::new();
        scene.collection(
            r#"{"name": "Orders", "create_rule": "", "list_rule": "total >= 10",
                "list_fields": ["total", "mail", "twice", "at", "customer"],
                "fields": [
                    {"name": "total", "type": "number"}, {"name": "secret", "type": "text"},
                    {"name": "mail", "type": "email", "pii": true, "mask_type": "email"},
                    {"name": "twice", "type": "computed", "expression": "total * 2", "return_type": "number"},
                    {"name": "at", "type": "datetime"}, {"name": "customer", "type": "user"}]}"#,
        );
        for (person, total) in [(&scene.ada, 5), (&scene.ada, 20), (&scene.bob, 30)] {
            person.created(
                "Orders",
                &format!(r#"{{"total": {total}, "secret": "s", "mail": "john@example.com"}}"#),
            );
        }
        ask("select snackbase.bi_role_create('tests_bi', 'acme', 'geheim')").says("tests_bi sees acme");
        scene
    }

    #[pg_test]
    fn a_bi_login_sees_what_its_account_lists() {
        let scene = with_login();
        ask_as(
            "tests_bi",
            "select concat_ws(' ', total, mail, twice, account_id) from snackbase_bi.orders",
        )
        .says(&format!("20 j***@example.com 40 {}", scene.ada.account));
        ask("select string_agg(attname, ' ' order by attnum) from pg_attribute
              where attrelid = 'snackbase_bi.orders'::regclass and attnum > 0")
        .says("id account_id total mail twice at customer created_at updated_at created_by updated_by");
    }

    #[pg_test]
    fn a_bi_login_reaches_nothing_else() {
        let scene = with_login();
        for statement in [
            "select * from snackbase.col_orders",
            "select * from snackbase.users",
            "select * from snackbase.accounts",
            "select * from snackbase.audit_log",
            "select snackbase.records_list('Orders', null, null, null, null, null)",
            "select snackbase.collection_names()",
            "select snackbase._collection_load('Orders')",
        ] {
            ask_as("tests_bi", statement).refused("42501");
        }
        for statement in [
            "update snackbase_bi.orders set total = 1",
            "delete from snackbase_bi.orders",
            "insert into snackbase_bi.orders (total) values (1)",
            "set role snackbase_reader",
            "set role snackbase_list",
            "create view snackbase_bi.mine as select 1",
        ] {
            run_as("tests_bi", statement).refused("42501");
        }
        let _ = scene;
    }

    #[pg_test]
    fn the_account_of_a_bi_login_is_fixed() {
        let scene = with_login();
        for statement in [
            format!("set snackbase.account_id = '{}'", scene.bob.account),
            format!(
                "alter role tests_bi set snackbase.account_id = '{}'",
                scene.bob.account
            ),
            format!(
                "select set_config('snackbase.account_id', '{}', false)",
                scene.bob.account
            ),
            "reset snackbase.account_id".to_owned(),
            "set snackbase.auth_method = 'jwt'".to_owned(),
        ] {
            run_as("tests_bi", &statement).refused("42501");
        }
        run_as("tests_bi", "alter role tests_bi reset all").answer();
        ask("select count(*) from pg_db_role_setting s join pg_roles r on r.oid = s.setrole, unnest(s.setconfig) c
              where r.rolname = 'tests_bi' and c like 'snackbase.account_id=%'")
        .says("1");
        run_as(
            "tests_bi",
            "reset all; do $$ begin assert (select count(*) = 1 from snackbase_bi.orders); end $$",
        )
        .answer();
    }

    #[pg_test]
    fn a_leaky_function_sees_only_what_the_view_shows() {
        with_login();
        run(
            "create table public.seen (total float8); grant insert on public.seen to public;
             create function public.leak(total float8) returns boolean language plpgsql cost 0.000001 as
                 $$ begin insert into public.seen values (total); return true; end $$",
        )
        .answer();
        ask_as(
            "tests_bi",
            "select count(*) from snackbase_bi.orders where public.leak(total)",
        )
        .says("1");
        ask("select string_agg(total::text, ',') from public.seen").says("20");
    }

    #[pg_test]
    fn the_view_follows_rules_and_fields() {
        let scene = with_login();
        let count = || ask_as("tests_bi", "select count(*) from snackbase_bi.orders");
        scene.rules("Orders", r#"{"list_rule": ""}"#);
        count().says("2");
        scene.rules("Orders", r#"{"list_rule": null}"#);
        count().says("0");
        scene.rules(
            "Orders",
            r#"{"list_rule": "@request.auth.id = created_by", "list_fields": ["total"]}"#,
        );
        count().says("0");
        ask_as("tests_bi", "select mail from snackbase_bi.orders").refused("42703");
        scene.rules("Orders", r#"{"list_rule": "", "list_fields": "*"}"#);
        ask_as(
            "tests_bi",
            "select string_agg(secret, ',') from snackbase_bi.orders",
        )
        .says("s,s");
        scene
            .root
            .ask("superadmin", "select snackbase.collection_drop('Orders')")
            .answer();
        ask_as("tests_bi", "select * from snackbase_bi.orders").refused("42P01");
    }

    #[pg_test]
    fn two_logins_of_two_accounts_share_the_view() {
        with_login();
        ask("select snackbase.bi_role_create('tests_bi_beta', 'beta', 'x')").answer();
        ask_as(
            "tests_bi",
            "select string_agg(total::text, ',') from snackbase_bi.orders",
        )
        .says("20");
        ask_as(
            "tests_bi_beta",
            "select string_agg(total::text, ',') from snackbase_bi.orders",
        )
        .says("30");
    }

    #[pg_test]
    fn a_view_of_ones_own_keeps_a_change_from_happening_silently() {
        let scene = with_login();
        run("create view public.report as select total from snackbase_bi.orders").answer();
        scene
            .root
            .ask(
                "superadmin",
                r#"select snackbase.collection_rules_change('Orders', '{"list_fields": ["mail"]}')"#,
            )
            .refused("2BP01");
        ask_as("tests_bi", "select count(total) from snackbase_bi.orders").says("1");
    }

    #[pg_test]
    fn bi_logins_are_made_and_dropped_by_administrators() {
        let scene = with_login();
        scene
            .root
            .ask(
                "superadmin",
                "select snackbase.bi_role_create('mine', 'acme', 'x')",
            )
            .refused("42501");
        scene
            .root
            .ask("superadmin", "select snackbase.bi_role_drop('tests_bi')")
            .refused("42501");
        ask("select snackbase.bi_role_create('other', 'nosuch', 'x')").refused("P0002");
        ask("select snackbase.bi_role_create('tests_bi', 'beta', 'x')").refused("42710");
        run("create role tests_innocent login").answer();
        for role in ["postgres", "tests_innocent", "snackbase_bi", "snackbase_gateway"] {
            ask(&format!("select snackbase.bi_role_drop('{role}')")).refused("22023");
        }
        ask("select snackbase.bi_role_drop('tests_bi')").answer();
        ask("select count(*) from pg_roles where rolname = 'tests_bi'").says("0");
    }

    #[pg_test]
    fn names_and_passwords_with_quotes_are_taken_literally() {
        with_login();
        ask(r#"select snackbase.bi_role_create('we"ird; drop table x', 'beta', 'it''s " quoted')"#).answer();
        ask_as(
            "we\"ird; drop table x",
            "select string_agg(total::text, ',') from snackbase_bi.orders",
        )
        .says("30");
        ask(r#"select snackbase.bi_role_drop('we"ird; drop table x')"#).answer();
    }
}
