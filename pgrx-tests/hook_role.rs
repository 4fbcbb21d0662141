//! Somebody else's SQL: what runs as `snackbase_hook` stays in the account and changes no identity.

#[pgrx::pg_schema]
mod tests {
    use pgrx::prelude::*;

    use crate::tests::isolation::tests::hers_and_his;
    use crate::tests::scene::{Scene, ask, run};

    /// Somebody else's SQL, as a custom macro or a hook would run: a SECURITY DEFINER function of snackbase_hook.
    fn hook(name: &str, returns: &str, body: &str) {
        run(&format!(
            "create function public.{name}() returns {returns} language plpgsql security definer as $body${body}$body$;
             alter function public.{name}() owner to snackbase_hook;
             grant execute on function public.{name}() to public"
        ))
        .answer();
    }

    #[pg_test]
    fn a_hook_sees_beyond_the_rules_and_not_beyond_the_account() {
        let scene = Scene::with_notes();
        hers_and_his(&scene);
        scene.rules(
            "notes",
            r#"{"list_rule": "title = \"none\"", "update_rule": null, "list_fields": ["stars"]}"#,
        );
        hook(
            "titles",
            "text",
            "begin return (select string_agg(title, ',') from snackbase.col_notes); end",
        );
        hook(
            "overwrite",
            "bigint",
            "declare n bigint; begin update snackbase.col_notes set stars = 9; get diagnostics n = row_count; return n; end",
        );
        scene
            .ada
            .ask("list", "select count(id) from snackbase.col_notes")
            .says("0");
        scene.ada.ask("list", "select public.titles()").says("hers");
        scene.ada.ask("list", "select public.overwrite()").says("1");
        assert_eq!(scene.bob.total("notes", "stars = 9"), 0);
        ask("select string_agg(stars::text, ',' order by stars) from snackbase.col_notes").says("2,9");
    }

    #[pg_test]
    fn a_hook_cannot_take_another_role_or_identity() {
        let scene = Scene::with_notes();
        hers_and_his(&scene);
        for role in [
            "snackbase_superadmin",
            "snackbase_owner",
            "snackbase_gateway",
            "postgres",
            "none",
        ] {
            hook(
                &format!("become_{role}"),
                "text",
                &format!(
                    "begin set local role {role}; return (select string_agg(title, ',') from snackbase.col_notes); end"
                ),
            );
            scene
                .ada
                .ask("list", &format!("select public.become_{role}()"))
                .refused("42501");
        }
        hook("reset_role", "void", "begin reset role; end");
        scene
            .ada
            .ask("list", "select public.reset_role()")
            .refused("42501");
        hook(
            "forge",
            "text",
            &format!(
                "begin perform set_config('snackbase.account_id', '{}', true); return 'forged'; end",
                scene.bob.account
            ),
        );
        scene.ada.ask("list", "select public.forge()").refused("42501");
        hook(
            "introduce",
            "boolean",
            r#"begin return snackbase.enter('{"kind":"anonymous","account":"beta"}', 'list'); end"#,
        );
        scene
            .ada
            .ask("list", "select public.introduce()")
            .refused("42501");
        hook(
            "authorize",
            "void",
            "begin set local session authorization snackbase_owner; end",
        );
        scene
            .ada
            .ask("list", "select public.authorize()")
            .refused("42501");
    }

    #[pg_test]
    fn a_hook_inserts_into_the_callers_account_only() {
        let scene = Scene::with_notes();
        hook(
            "smuggle",
            "uuid",
            &format!(
                "declare result uuid; begin
                     insert into snackbase.col_notes (account_id, title) values ('{}', 'x') returning account_id into result;
                     return result;
                 end",
                scene.bob.account
            ),
        );
        // the trigger that stamps records puts the caller's account in its place
        scene
            .ada
            .ask("create", "select public.smuggle()")
            .says(&scene.ada.account);
        assert_eq!(scene.bob.total("notes", ""), 0);
    }

    #[pg_test]
    fn a_bare_function_of_a_superuser_is_not_called_by_a_rule_of_ours() {
        // Somebody who may create functions as a superuser owns the server; what is checked is that none of ours is one.
        ask(
            "select count(*) from pg_proc p join pg_roles r on r.oid = p.proowner
              where p.pronamespace = 'snackbase'::regnamespace and p.prosecdef and r.rolsuper",
        )
        .says("0");
    }
}
