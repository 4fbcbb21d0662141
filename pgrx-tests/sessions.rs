//! How long sessions last, how many end at once, and which accounts an address leads to. contract identity.md §3.3, §4.1.

#[pgrx::pg_schema]
mod tests {
    use pgrx::prelude::*;

    use crate::tests::scene::{Outcome, Person, Scene, ask, ask_through_gateway, checked, run};

    fn gateway(statement: &str) -> Outcome {
        ask_through_gateway(r#"{"kind":"anonymous"}"#, "auth", statement)
    }

    /// Opens session number `n` with refresh token `n`.
    fn open(person: &Person, n: u32) {
        gateway(&format!(
            "select snackbase.auth_login_finish('{}', '{}', '{}', null, '{}', '{}', 'h{n}', now() + interval '7 days')::text <> ''",
            person.id,
            person.account,
            checked(person, "hash"),
            id(n),
            id(n)
        ))
        .says("true");
    }

    fn id(n: u32) -> String {
        format!("aaaaaaaa-0000-0000-0000-{n:012}")
    }

    fn refresh(n: u32, next: u32) -> Outcome {
        gateway(&format!(
            "select snackbase.auth_refresh('{}', 'h{n}', '{}', 'h{next}', now() + interval '7 days') ->> 'role'",
            id(n),
            id(next)
        ))
    }

    fn living() -> String {
        ask("select coalesce(string_agg(right(id::text, 1), '' order by id), '') from snackbase.sessions where revoked_at is null").answer()
    }

    #[pg_test]
    fn the_grace_of_a_spent_token_is_a_setting() {
        let scene = Scene::new();
        for (seconds, n, living_after) in [("60", 1, "1"), ("0", 3, "1")] {
            run(&format!("set snackbase.refresh_grace_seconds = {seconds}")).answer();
            open(&scene.ada, n);
            refresh(n, n + 10).says("admin");
            run("update snackbase.refresh_tokens set spent_at = spent_at - interval '30 seconds' where spent_at is not null").answer();
            refresh(n, n + 20).says("null");
            assert_eq!(living(), living_after, "{seconds}");
        }
    }

    #[pg_test]
    fn a_session_ends_with_its_lifetime_however_often_it_is_renewed() {
        let scene = Scene::new();
        run("set snackbase.session_lifetime_days = 3").answer();
        open(&scene.ada, 1);
        refresh(1, 2).says("admin");
        ask("select bool_and(t.expires_at <= s.created_at + interval '3 days')
               from snackbase.refresh_tokens t join snackbase.sessions s on s.id = t.session_id where t.token_hash = 'h2'")
        .says("true");
        run("update snackbase.sessions set created_at = created_at - interval '3 days'").answer();
        refresh(2, 3).says("null");
        assert_eq!(living(), "");
        run("set snackbase.session_lifetime_days = 0").answer();
        open(&scene.ada, 4);
        run("update snackbase.sessions set created_at = created_at - interval '9 years'").answer();
        refresh(4, 5).says("admin");
    }

    #[pg_test]
    fn a_logout_everywhere_ends_the_sessions_of_its_user_only() {
        let scene = Scene::new();
        for n in [1, 2, 3] {
            open(&scene.ada, n);
        }
        open(&scene.alf, 4);
        let logout = |n: u32, everywhere: bool| {
            gateway(&format!(
                "select snackbase.auth_logout('{}', {everywhere})",
                id(n)
            ))
            .says("true");
        };
        logout(1, false);
        assert_eq!(living(), "234");
        // A session that has ended ends no other one.
        logout(1, true);
        assert_eq!(living(), "234");
        logout(2, true);
        assert_eq!(living(), "4");
        logout(2, true);
        assert_eq!(living(), "4");
    }

    fn accounts(person: &Person) -> String {
        person
            .ask(
                "member",
                "select string_agg(concat_ws(' ', a ->> 'slug', a ->> 'role', a ->> 'is_current'), ', ')
                   from json_array_elements(snackbase.auth_accounts() -> 'accounts') a",
            )
            .answer()
    }

    #[pg_test]
    fn an_address_leads_to_the_accounts_where_it_was_confirmed() {
        let scene = Scene::new();
        assert_eq!(accounts(&scene.ada), "acme admin true");
        let join = |email: &str, verified: bool, active: bool| {
            run(&format!(
                "insert into snackbase.users (account_id, email, role_id, email_verified, is_active) values ('{}', '{email}', 2, {verified}, {active})",
                scene.bob.account
            ))
            .says("1");
        };
        join("ADA@example.com", false, true);
        assert_eq!(accounts(&scene.ada), "acme admin true");
        run("update snackbase.users set email_verified = true where email = 'ADA@example.com'").says("1");
        assert_eq!(accounts(&scene.ada), "acme admin true, beta user false");
        run("update snackbase.users set is_active = false where email = 'ADA@example.com'").says("1");
        assert_eq!(accounts(&scene.ada), "acme admin true");
        run("update snackbase.users set is_active = true where email = 'ADA@example.com'").says("1");

        // An address that nobody but an administrator of the account vouches for is not proven: whoever gives somebody
        // else's address to a user of his own learns nothing about that person.
        let as_administrator = |change: &str| {
            run(&format!(
                "do $do$ begin
                     perform set_config('snackbase.auth_method', 'jwt', true), set_config('snackbase.account_id', '{}', true),
                             set_config('snackbase.user_id', '{}', true);
                     update snackbase.users set {change} where id = '{}';
                 end $do$",
                scene.bob.account, scene.bob.id, scene.bob.id
            ))
            .answer()
        };
        as_administrator(
            "email = 'ada2@example.com', email_verified = true, email_verified_at = clock_timestamp()",
        );
        as_administrator(
            "email = 'alf@example.com', email_verified = true, email_verified_at = clock_timestamp()",
        );
        ask(&format!(
            "select email || ' ' || email_verified || ' ' || address_proven from snackbase.users where id = '{}'",
            scene.bob.id
        ))
        .says("alf@example.com true false");
        assert_eq!(accounts(&scene.bob), "beta admin true");
        // By mail it is.
        scene
            .bob
            .ask(
                "auth",
                "select snackbase.auth_verification_request(null, null, null, null)",
            )
            .says("true");
        let token = ask("select variables ->> 'token' from snackbase.mail_outbox").answer();
        gateway(&format!(
            "select snackbase.auth_verify_email('{token}')::text <> ''"
        ))
        .says("true");
        assert_eq!(accounts(&scene.bob), "acme user false, beta admin true");
    }
}
