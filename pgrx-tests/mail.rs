//! The queue of mail and the texts it is made from: contract identity.md §4.11, §5.5, trap 8.

#[pgrx::pg_schema]
mod tests {
    use pgrx::prelude::*;

    use crate::tests::scene::{Scene, ask, ask_as, ask_through_gateway, run};

    const NOBODY: &str = r#"{"kind": "anonymous"}"#;

    fn enqueue(scene: &Scene, variables: &str) -> String {
        ask(&format!(
            "select snackbase._mail_enqueue('{}', 'verification', ' new@example.com ', '{variables}')",
            scene.ada.account
        ))
        .answer()
    }

    fn claim(attempts: i32) -> serde_json::Value {
        ask_through_gateway(
            NOBODY,
            "auth",
            &format!("select snackbase.mail_claim(10, 60, {attempts})"),
        )
        .json()
    }

    fn finish(id: &str, attempt: i32, outcome: &str, reason: &str) -> String {
        let reason = if reason.is_empty() {
            "null".into()
        } else {
            format!("'{reason}'")
        };
        ask_through_gateway(
            NOBODY,
            "auth",
            &format!("select snackbase.mail_finish({id}, {attempt}, '{outcome}', 'smtp', {reason}, 30)"),
        )
        .answer()
    }

    fn state(id: &str) -> String {
        ask(&format!(
            "select concat_ws('|', status, attempts, variables is null, error_message) from snackbase.mail_outbox where id = {id}"
        ))
        .answer()
    }

    #[pg_test]
    fn a_mail_is_taken_once_and_its_variables_go_when_it_is_sent() {
        let scene = Scene::new();
        let id = enqueue(
            &scene,
            r#"{"token": "secret-1", "verification_url": "https://x/?token=secret-1", "email": "new@example.com"}"#,
        );
        let taken = claim(8);
        assert_eq!(taken.as_array().map(Vec::len), Some(1), "{taken}");
        let mail = &taken[0];
        assert_eq!(mail["recipient"], "new@example.com");
        assert_eq!(mail["template_type"], "email_verification");
        assert_eq!(mail["variables"]["token"], "secret-1");
        assert!(
            mail["template"]["subject"]
                .as_str()
                .is_some_and(|subject| subject.starts_with("Confirm"))
        );
        // whoever asks next finds nothing, until the lease ends
        assert_eq!(claim(8), serde_json::json!([]));
        assert_eq!(finish(&id, 1, "sent", ""), "true");
        assert_eq!(state(&id), "sent|1|t");
        ask("select count(*) from snackbase.mail_outbox m where m::text like '%secret-1%'").says("0");
    }

    #[pg_test]
    fn a_lost_worker_is_noticed_when_its_lease_ends_and_cannot_report_any_more() {
        let scene = Scene::new();
        let id = enqueue(&scene, r#"{"token": "t"}"#);
        claim(8);
        run(&format!(
            "update snackbase.mail_outbox set due_at = now() - interval '1 second' where id = {id}"
        ))
        .says("1");
        assert_eq!(claim(8)[0]["attempt"], 2);
        assert_eq!(finish(&id, 1, "sent", ""), "false");
        assert_eq!(state(&id), "pending|2|f");
        assert_eq!(finish(&id, 2, "retry", "451 later"), "true");
        assert_eq!(state(&id), "pending|2|f|451 later");
        assert_eq!(claim(8), serde_json::json!([]));
    }

    #[pg_test]
    fn a_mail_that_was_taken_too_often_is_given_up_without_its_variables() {
        let scene = Scene::new();
        let id = enqueue(&scene, r#"{"token": "t"}"#);
        for _ in 0..2 {
            assert_eq!(claim(2).as_array().map(Vec::len), Some(1));
            run(&format!(
                "update snackbase.mail_outbox set due_at = now() - interval '1 second' where id = {id}"
            ))
            .says("1");
        }
        assert_eq!(claim(2), serde_json::json!([]));
        assert_eq!(state(&id), "failed|2|t|Given up: no worker lived to report");
    }

    #[pg_test]
    fn the_log_masks_what_opens_a_door_and_is_for_superadmins() {
        let scene = Scene::new();
        let id = enqueue(
            &scene,
            r#"{"token": "secret-2", "reset_url": "https://x/secret-2", "app_url": "https://x", "user_name": "New", "count": 3}"#,
        );
        let log = scene
            .root
            .ask("superadmin", &format!("select snackbase.mail_log_view({id})"))
            .json();
        assert_eq!(
            log["variables"],
            serde_json::json!({"token": "***", "reset_url": "***", "app_url": "https://x", "user_name": "New", "count": 3})
        );
        assert_eq!(log["status"], "pending");
        let list = scene
            .root
            .ask(
                "superadmin",
                r#"select snackbase.mail_log_list('{"status_filter": "pending"}')"#,
            )
            .json();
        assert_eq!(list["total"], 1);
        assert!(!list.to_string().contains("secret-2"));
        scene
            .ada
            .ask("member", &format!("select snackbase.mail_log_view({id})"))
            .refused("42501");
        scene
            .ada
            .ask("member", "select snackbase.mail_log_list('{}')")
            .refused("42501");
        scene
            .root
            .ask("superadmin", "select variables from snackbase.mail_outbox")
            .refused("42501");
        scene
            .root
            .ask(
                "superadmin",
                r#"select snackbase.mail_log_list('{"start_date": "yesterday"}')"#,
            )
            .refused("22P02");
    }

    #[pg_test]
    fn nobody_but_our_own_functions_queues_mail() {
        let scene = Scene::new();
        let statement = format!(
            "select snackbase._mail_enqueue('{}', 'x', 'a@b', '{{}}')",
            scene.ada.account
        );
        ask_as("snackbase_gateway", &statement).refused("42501");
        scene.ada.ask("member", &statement).refused("42501");
        scene.ada.ask("create", &statement).refused("42501");
    }

    #[pg_test]
    fn addresses_with_line_ends_and_variables_with_structure_are_refused() {
        let scene = Scene::new();
        for (recipient, variables, code) in [
            ("a@b\nBcc: c@d", "{}", "23514"),
            ("nobody", "{}", "23514"),
            ("a@b", "[]", "22023"),
            ("a@b", r#"{"a": {"b": 1}}"#, "22023"),
        ] {
            ask(&format!(
                "select snackbase._mail_enqueue('{}', 'verification', '{recipient}', '{variables}')",
                scene.ada.account
            ))
            .refused(code);
        }
    }

    #[pg_test]
    fn an_account_s_own_text_counts_before_the_system_s_and_english_is_the_fallback() {
        let scene = Scene::new();
        let find = |locale: &str| {
            ask(&format!(
                "select left((snackbase._email_template_find('{}', 'password_reset', '{locale}')).subject, 3)",
                scene.ada.account
            ))
            .answer()
        };
        let create = |account: &str, locale: &str, subject: &str| {
            let body = serde_json::json!({"account_id": account, "template_type": "reset_password", "locale": locale,
                "subject": subject, "html_body": "h", "text_body": "t"});
            scene.root.ask(
                "superadmin",
                &format!("select snackbase.email_template_create('{body}')"),
            )
        };
        assert_eq!(find("de"), "Set");
        create("system", "de", "DE ").answer();
        assert_eq!(find("de"), "DE ");
        let own = create(&scene.ada.account, "en", "OWN").json();
        assert_eq!((find("en").as_str(), find("de").as_str()), ("OWN", "DE "));
        create(&scene.ada.account, "en", "OWN").refused("23505");
        create("nobody", "en", "OWN").refused("P0002");
        create("system", "english", "OWN").refused("22P02");
        // switched off: the next one counts
        let id = own["id"].as_str().expect("an id");
        scene
            .root
            .ask(
                "superadmin",
                &format!(r#"select snackbase.email_template_change('{id}', '{{"enabled": false}}')"#),
            )
            .answer();
        assert_eq!(find("en"), "Set");
        scene
            .root
            .ask(
                "superadmin",
                &format!("select snackbase.email_template_drop('{id}')"),
            )
            .says("true");
        scene
            .root
            .ask(
                "superadmin",
                "select snackbase.email_template_drop('00000000-0000-4000-8000-000000000001')",
            )
            .refused("22023");
        ask("select count(*) from snackbase.audit_verify(null, 100)").says("0");
    }
}
