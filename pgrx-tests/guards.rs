//! What happens to users and accounts whoever asks for it, and what to nobody: contract identity.md §4.4, §4.5, §7 (T6, T9, T40).

#[pgrx::pg_schema]
mod tests {
    use pgrx::prelude::*;
    use serde_json::json;

    use crate::tests::scene::{Outcome, Person, Scene, ask, ask_as, quoted, run, user};

    const SYSTEM: &str = "00000000-0000-0000-0000-000000000000";

    fn change(caller: &Person, id: &str, body: &str) -> Outcome {
        caller.ask(
            "admin",
            &format!("select snackbase.user_change('{id}', {})", quoted(body)),
        )
    }

    fn drop(caller: &Person, id: &str) -> Outcome {
        caller.ask("admin", &format!("select snackbase.user_drop('{id}')"))
    }

    fn active(person: &Person) -> String {
        ask(&format!(
            "select is_active from snackbase.users where id = '{}'",
            person.id
        ))
        .answer()
    }

    #[pg_test]
    fn another_address_is_not_confirmed() {
        let scene = Scene::new();
        let verified = |id: &str| {
            ask(&format!(
                "select email_verified and email_verified_at is not null from snackbase.users where id = '{id}'"
            ))
            .answer()
        };
        let verify = || {
            scene
                .ada
                .ask(
                    "admin",
                    &format!("select snackbase.user_verify('{}')", scene.alf.id),
                )
                .answer()
        };
        run("update snackbase.users set email_verified_at = now() where email_verified").answer();
        change(&scene.ada, &scene.alf.id, r#"{"email": "ALF@example.com"}"#).answer();
        assert_eq!(verified(&scene.alf.id), "true", "only the case changed");
        change(&scene.ada, &scene.alf.id, r#"{"email": "other@example.com"}"#).answer();
        assert_eq!(verified(&scene.alf.id), "false");
        verify();
        assert_eq!(verified(&scene.alf.id), "true");
        // by whatever way
        run(&format!(
            "update snackbase.users set email = 'third@example.com' where id = '{}'",
            scene.alf.id
        ))
        .says("1");
        assert_eq!(verified(&scene.alf.id), "false");
        // but a statement that confirms the new address itself does
        run(&format!(
            "update snackbase.users set email = 'fourth@example.com', email_verified = true, email_verified_at = clock_timestamp()
              where id = '{}'",
            scene.alf.id
        ))
        .says("1");
        assert_eq!(verified(&scene.alf.id), "true");
    }

    #[pg_test]
    fn deactivation_ends_sessions_for_good() {
        let scene = Scene::new();
        run(&format!(
            "insert into snackbase.sessions (id, account_id, user_id) values ('aaaaaaaa-0000-0000-0000-000000000001', '{0}', '{1}'),
                    ('aaaaaaaa-0000-0000-0000-000000000002', '{0}', '{2}')",
            scene.alf.account, scene.alf.id, scene.ada.id
        ))
        .says("2");
        drop(&scene.ada, &scene.alf.id).says("true");
        drop(&scene.ada, &scene.alf.id).says("true");
        scene.alf.ask("member", "select 1").refused("28000");
        change(&scene.ada, &scene.alf.id, r#"{"is_active": true}"#).answer();
        scene.alf.ask("member", "select 1").says("1");
        ask("select string_agg(right(id::text, 1), '' order by id) from snackbase.sessions where revoked_at is null").says("2");
    }

    #[pg_test]
    fn nobody_deactivates_or_moves_oneself() {
        let scene = Scene::new();
        let second = user(SYSTEM, "second@example.com", 1);
        for (caller, changes) in [
            (&scene.ada, r#"{"role": "user"}"#),
            (&scene.ada, r#"{"is_active": false}"#),
            (&second, r#"{"is_active": false}"#),
            (&second, r#"{"role_id": 2}"#),
        ] {
            change(caller, &caller.id, changes)
                .refused("42501")
                .saying("You cannot deactivate yourself or change your own role");
        }
        drop(&scene.ada, &scene.ada.id).refused("42501");
        // not by one's own SQL either
        second
            .run(
                "superadmin",
                &format!("delete from snackbase.users where id = '{}'", second.id),
            )
            .refused("42501");
        change(
            &scene.ada,
            &scene.ada.id,
            r#"{"role": "admin", "profile_data": {}}"#,
        )
        .answer();
    }

    #[pg_test]
    fn the_last_active_superadmin_stays() {
        let scene = Scene::new();
        let second = user(SYSTEM, "second@example.com", 2);
        drop(&second, &scene.root.id).says("true");
        for statement in [
            format!(
                "update snackbase.users set is_active = false where id = '{}'",
                second.id
            ),
            format!("delete from snackbase.users where id = '{}'", second.id),
            format!("update snackbase.users set is_active = false where account_id = '{SYSTEM}'"),
        ] {
            run(&statement)
                .refused("42501")
                .saying("The last active superadmin cannot be deactivated");
        }
        assert_eq!(
            (active(&scene.root), active(&second)),
            ("false".into(), "true".into())
        );
        change(&second, &scene.root.id, r#"{"is_active": true}"#).answer();
        // both at once are the last as well
        run(&format!(
            "update snackbase.users set is_active = false where account_id = '{SYSTEM}'"
        ))
        .refused("42501");
        drop(&scene.root, &second.id).says("true");
    }

    #[pg_test]
    fn users_never_change_their_account() {
        let scene = Scene::new();
        for statement in [
            format!(
                "update snackbase.users set account_id = '{SYSTEM}' where id = '{}'",
                scene.alf.id
            ),
            format!(
                "update snackbase.users set id = gen_random_uuid() where id = '{}'",
                scene.alf.id
            ),
        ] {
            run(&statement).refused("23514");
        }
    }

    #[pg_test]
    fn superadmins_of_a_demonstration_stay_as_they_are() {
        let scene = Scene::new();
        let second = user(SYSTEM, "second@example.com", 1);
        run("set local snackbase.is_demo = on").answer();
        for changes in [
            r#"{"email": "x@example.com"}"#,
            r#"{"role": "user"}"#,
            r#"{"is_active": false}"#,
        ] {
            change(&scene.root, &second.id, changes).refused("42501");
        }
        run(&format!(
            "update snackbase.users set password_hash = 'x' where id = '{}'",
            second.id
        ))
        .refused("42501")
        .saying("The superadmins of a demonstration cannot be changed");
        run(&format!("delete from snackbase.users where id = '{}'", second.id)).refused("42501");
        // what a login leaves is no such change, and people of accounts are managed as ever
        run(&format!(
            "update snackbase.users set last_login = now(), failed_login_attempts = 3 where id = '{}'",
            second.id
        ))
        .says("1");
        change(&scene.root, &scene.alf.id, r#"{"email": "x@example.com"}"#).answer();
        for setting in [
            "is_demo",
            "account_admin_manages_users",
            "group_writes_admin_only",
        ] {
            scene
                .root
                .run("superadmin", &format!("set snackbase.{setting} = off"))
                .refused("42501");
        }
    }

    #[pg_test]
    fn what_runs_as_the_owner_is_for_the_own_account_and_for_who_manages_people() {
        let scene = Scene::new();
        let set = |person: &Person| {
            format!(
                "select snackbase._password_set('{}', '{}', 'mine')",
                person.account, person.id
            )
        };
        for victim in [&scene.bob, &scene.root] {
            scene.ada.ask("admin", &set(victim)).refused("42501");
        }
        // by a login role without an introduction, with and without an account
        run("create role people_service login in role snackbase_admin").answer();
        ask_as("people_service", &set(&scene.root)).refused("42501");
        run(&format!(
            "alter role people_service set snackbase.account_id = '{}'",
            scene.ada.account
        ))
        .answer();
        for victim in [&scene.bob, &scene.root] {
            ask_as("people_service", &set(victim)).refused("42501");
        }
        ask_as("people_service", &set(&scene.alf)).answer();
        run("set local snackbase.account_admin_manages_users = off").answer();
        ask_as("people_service", &set(&scene.alf)).refused("42501");
        scene.ada.ask("admin", &set(&scene.alf)).refused("42501");
        scene.root.ask("admin", &set(&scene.alf)).answer();
        ask("select count(*) from snackbase.users where password_hash = 'mine'").says("1");
    }

    #[pg_test]
    fn an_account_goes_with_everything_in_it_and_leaves_its_trail() {
        let scene = Scene::with_notes();
        // a ring of references that nothing may break, and one to a user
        scene.collection(
            r#"{"name": "rings", "fields": [
                {"name": "note", "type": "reference", "collection": "notes", "on_delete": "restrict"},
                {"name": "person", "type": "user"}], "create_rule": "", "list_rule": ""}"#,
        );
        scene
            .root
            .ask(
                "superadmin",
                &format!(
                    "select snackbase.collection_change('notes', {})",
                    quoted(
                        r#"{"fields": [{"name": "title", "type": "text"}, {"name": "stars", "type": "number"},
                            {"name": "ring", "type": "reference", "collection": "rings", "on_delete": "restrict"}]}"#
                    )
                ),
            )
            .answer();
        let note = scene.ada.created("notes", r#"{"title": "n"}"#);
        let ring = scene.ada.created(
            "rings",
            &format!(r#"{{"note": "{note}", "person": "{}"}}"#, scene.alf.id),
        );
        scene
            .ada
            .patch("notes", &note, &format!(r#"{{"ring": "{ring}"}}"#))
            .answer();
        scene.bob.created("notes", r#"{"title": "stays"}"#);
        let account = |verb: &str, rest: &str| {
            scene.root.ask(
                "superadmin",
                &format!("select snackbase.account_{verb}('acme'{rest})"),
            )
        };
        assert_eq!(
            account("view", "").json()["collections_used"],
            json!(["notes", "rings"])
        );
        assert_eq!(
            scene
                .root
                .ask("superadmin", "select snackbase.account_view('beta')")
                .json()["collections_used"],
            json!(["notes"])
        );
        let renamed = account("change", ", ' Acme & Co '").json();
        assert_eq!(
            (&renamed["name"], &renamed["slug"]),
            (&json!("Acme & Co"), &json!("acme"))
        );
        for name in ["''", "null", &format!("'{}'", "x".repeat(256))] {
            let refusal = account("change", &format!(", {name}")).refused("22P02");
            assert_eq!(refusal.problems(), ["name value_error"]);
        }
        let people = account("users", ", 1, 1").json();
        assert_eq!(
            (
                &people["total"],
                &people["total_pages"],
                &people["items"][0]["email"]
            ),
            (&json!(2), &json!(2), &json!("alf@example.com"))
        );

        account("drop", "").says("true");
        account("drop", "").refused("P0002").saying("Account not found");
        for table in ["users", "groups", "users_groups", "col_notes", "col_rings"] {
            ask(&format!(
                "select count(*) from snackbase.{table} where account_id = '{}'",
                scene.ada.account
            ))
            .says("0");
        }
        ask("select count(*) from snackbase.col_notes").says("1");
        ask(&format!(
            "select string_agg(distinct table_name || ' ' || operation || ' ' || user_email, ', ' order by table_name || ' ' || operation || ' ' || user_email)
               from snackbase.audit_change where operation = 'DELETE' and (account_id = '{0}' or record_id = '{0}')",
            scene.ada.account
        ))
        .says(
            "accounts DELETE root@example.com, col_notes DELETE root@example.com, col_rings DELETE root@example.com, \
             groups DELETE root@example.com, users DELETE root@example.com",
        );
        ask("select count(*) from snackbase.audit_verify()").says("0");
    }

    #[pg_test]
    fn an_account_whose_records_need_a_signature_to_go_stays_whole() {
        let scene = Scene::with_notes();
        scene.collection(
            r#"{"name": "batches", "fields": [{"name": "label", "type": "text"}], "create_rule": "",
                "options": {"signature": {"delete": "signature"}}}"#,
        );
        scene.ada.created("notes", r#"{"title": "n"}"#);
        scene.ada.created("batches", r#"{"label": "b"}"#);
        scene
            .root
            .ask("superadmin", "select snackbase.account_drop('acme')")
            .refused("42501");
        for (table, left) in [("users", "2"), ("col_notes", "1"), ("col_batches", "1")] {
            ask(&format!(
                "select count(*) from snackbase.{table} where account_id = '{}'",
                scene.ada.account
            ))
            .says(left);
        }
    }

    #[pg_test]
    fn the_system_account_is_neither_renamed_nor_deleted() {
        let scene = Scene::new();
        for statement in [
            "select snackbase.account_drop('system')",
            "select snackbase.account_drop('SY0000')",
            "select snackbase.account_change('system', 'Mine')",
        ] {
            let refusal = scene.root.ask("superadmin", statement).refused("22P02");
            assert_eq!(refusal.problems(), ["account system_account"]);
            scene.ada.ask("superadmin", statement).refused("42501");
            scene.ada.ask("admin", statement).refused("42501");
        }
    }
}
