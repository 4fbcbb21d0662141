//! Configuration in two levels: contract identity.md §4.10, §5.6, traps 15, 28, 29.

#[pgrx::pg_schema]
mod tests {
    use pgrx::prelude::*;
    use serde_json::{Value, json};

    use crate::tests::scene::{Person, Scene, ask, ask_as, run};

    const NIL: &str = "00000000-0000-0000-0000-000000000000";

    /// Makes a row as the gateway does; the secret is encrypted elsewhere.
    fn create(root: &Person, account: &str, provider: &str, config: &Value, secrets: &Value) -> String {
        let id = ask("select gen_random_uuid()").answer();
        let body = json!({"id": id, "account_id": account, "category": "email_providers", "provider_name": provider,
            "display_name": provider, "config": config, "secrets": secrets});
        root.ask(
            "superadmin",
            &format!("select snackbase.configuration_create('{body}')"),
        )
        .answer();
        id
    }

    fn candidates(account: &str) -> Value {
        ask(&format!(
            "select snackbase.configuration_candidates('{account}', 'email_providers')"
        ))
        .json()
    }

    fn smtp() -> (Value, Value) {
        (
            json!({"host": "mail.example.com", "username": "u", "from_email": "a@example.com"}),
            json!({"password": {"key": "k1", "value": "c2VhbGVk"}}),
        )
    }

    #[pg_test]
    fn missing_values_come_from_the_system_and_from_the_schema() {
        let scene = Scene::new();
        let (config, secrets) = smtp();
        create(&scene.root, NIL, "smtp", &config, &secrets);
        create(
            &scene.root,
            &scene.ada.account,
            "smtp",
            &json!({"from_email": "own@example.com"}),
            &json!({}),
        );
        let own = &candidates(&scene.ada.account)[0];
        assert_eq!(
            own["config"],
            json!({"host": "mail.example.com", "port": 587, "username": "u", "use_ssl": false, "use_tls": true,
                   "from_name": "SnackBase", "from_email": "own@example.com"})
        );
        assert_eq!(own["secrets"]["password"]["value"], "c2VhbGVk");
        assert_eq!(
            candidates(&scene.bob.account)[0]["config"]["from_email"],
            "a@example.com"
        );
    }

    #[pg_test]
    fn a_secret_of_the_system_never_goes_to_a_destination_of_an_account() {
        let scene = Scene::new();
        let (config, secrets) = smtp();
        create(&scene.root, NIL, "smtp", &config, &secrets);
        for (number, changed) in [
            json!({"host": "evil.example.net"}),
            json!({"port": 2525}),
            json!({"use_tls": false}),
            json!({"use_ssl": true}),
        ]
        .into_iter()
        .enumerate()
        {
            let account = ask(&format!(
                "select id from snackbase._account_create('t{number}x', 't{number}x', 'slug', false)"
            ))
            .answer();
            create(&scene.root, &account, "smtp", &changed, &json!({}));
            assert_eq!(candidates(&account)[0]["secrets"], json!({}), "{changed}");
        }
        // the same value is no change
        create(
            &scene.root,
            &scene.ada.account,
            "smtp",
            &json!({"host": "mail.example.com"}),
            &json!({}),
        );
        assert!(candidates(&scene.ada.account)[0]["secrets"]["password"].is_object());
        // its own secret is its own, wherever it goes
        create(
            &scene.root,
            &scene.bob.account,
            "smtp",
            &json!({"host": "own.example.net"}),
            &json!({"password": {"key": "k1", "value": "b3du"}}),
        );
        assert_eq!(
            candidates(&scene.bob.account)[0]["secrets"]["password"]["value"],
            "b3du"
        );
    }

    #[pg_test]
    fn an_account_can_switch_a_provider_of_the_system_off() {
        let scene = Scene::new();
        let (config, secrets) = smtp();
        create(&scene.root, NIL, "smtp", &config, &secrets);
        let id = create(&scene.root, &scene.ada.account, "smtp", &json!({}), &json!({}));
        scene
            .root
            .ask(
                "superadmin",
                &format!("select snackbase.configuration_enable('{id}', false)"),
            )
            .answer();
        assert_eq!(candidates(&scene.ada.account), json!([]));
        assert_eq!(candidates(&scene.bob.account).as_array().map(Vec::len), Some(1));
    }

    #[pg_test]
    fn one_default_per_account_and_category_and_own_rows_first() {
        let scene = Scene::new();
        let (config, secrets) = smtp();
        let smtp = create(&scene.root, NIL, "smtp", &config, &secrets);
        let resend = create(
            &scene.root,
            NIL,
            "resend",
            &json!({"from_email": "a@b.c"}),
            &json!({}),
        );
        let own = create(
            &scene.root,
            &scene.ada.account,
            "aws_ses",
            &json!({"from_email": "a@b.c"}),
            &json!({}),
        );
        let order = |account: &str| {
            let list = candidates(account);
            let names = list
                .as_array()
                .expect("a list")
                .iter()
                .map(|c| c["provider_name"].as_str().unwrap_or("?").to_owned());
            names.collect::<Vec<_>>().join(" ")
        };
        assert_eq!(order(&scene.bob.account), "resend smtp");
        let set = |id: &str| {
            scene.root.ask(
                "superadmin",
                &format!("select snackbase.configuration_default_set('{id}')"),
            )
        };
        set(&smtp).answer();
        assert_eq!(order(&scene.bob.account), "smtp resend");
        set(&resend).answer();
        assert_eq!(order(&scene.ada.account), "aws_ses resend smtp");
        ask(
            "select count(*) from snackbase.configurations where is_default and category = 'email_providers'",
        )
        .says("1");
        scene
            .root
            .ask(
                "superadmin",
                &format!("select snackbase.configuration_enable('{resend}', false)"),
            )
            .answer();
        set(&resend).refused("22023");
        let _ = own;
    }

    #[pg_test]
    fn built_in_rows_stay_whoever_asks() {
        let scene = Scene::new();
        let id = "00000000-0000-4000-8000-000000000102";
        scene
            .root
            .ask(
                "superadmin",
                &format!("select snackbase.configuration_drop('{id}')"),
            )
            .refused("22023");
        run(&format!("delete from snackbase.configurations where id = '{id}'")).refused("22023");
        scene
            .ada
            .ask("member", "select snackbase.configuration_stats()")
            .refused("42501");
        scene
            .ada
            .ask("member", "select config from snackbase.configurations")
            .refused("42501");
    }

    #[pg_test]
    fn get_config_masks_secrets_and_is_not_for_tenants() {
        let scene = Scene::new();
        let (config, secrets) = smtp();
        create(&scene.root, NIL, "smtp", &config, &secrets);
        let get = format!("select snackbase.get_config('{}', 'smtp')", scene.ada.account);
        let seen = ask(&get).json();
        assert_eq!(
            (seen["password"].as_str(), seen["port"].as_i64()),
            (Some("••••••••"), Some(587))
        );
        scene.root.ask("superadmin", &get).answer();
        scene.ada.ask("member", &get).refused("42501");
        ask_as("snackbase_gateway", &get).refused("42501");
        ask(&format!(
            "select snackbase.get_config('{}', 'nothing') is null",
            scene.ada.account
        ))
        .says("true");
    }

    #[pg_test]
    fn values_that_somebody_else_has_changed_meanwhile_are_not_overwritten() {
        let scene = Scene::new();
        let (config, secrets) = smtp();
        let id = create(&scene.root, NIL, "smtp", &config, &secrets);
        let change = |revision: i32| {
            scene.root.ask(
                "superadmin",
                &format!("select snackbase.configuration_values_change('{id}', {revision}, '{{}}', '{{}}')"),
            )
        };
        change(1).answer();
        change(1).refused("40001");
        // the trail has the change, and not the secret
        ask("select count(*) from snackbase.audit_change a where a.table_name = 'configurations' and a.columns::text like '%c2VhbGVk%'").says("0");
        ask("select count(*) from snackbase.audit_change a where a.table_name = 'configurations'").says("2");
    }
}
