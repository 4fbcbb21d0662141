//! Accounts, codes, slugs, users and registrations: contract identity.md §2.3, §2.4, §4.1.

#[pgrx::pg_schema]
mod tests {
    use pgrx::prelude::*;
    use serde_json::json;

    use crate::tests::scene::{Outcome, Scene, ask, ask_as, ask_before_login, run};

    // Codes.

    #[pg_test]
    fn codes_count_up_letters_then_number_and_skip_the_system_block() {
        for (code, next) in [
            ("AA0000", "AA0001"),
            ("AA0001", "AA0002"),
            ("AA0005", "AA0006"),
            ("AA9999", "AB0000"),
            ("AZ9999", "BA0000"),
            ("SX9998", "SX9999"),
            ("SX9999", "SZ0000"),
            ("ZZ9998", "ZZ9999"),
        ] {
            ask(&format!(
                "select snackbase._account_code_text(snackbase._account_code_after(snackbase._account_code_value('{code}')))"
            ))
            .says(next);
        }
        ask("select count(*) from generate_series(0, 6759999, 997) n
              where snackbase._account_code_value(snackbase._account_code_text(n)) <> n")
        .says("0");
    }

    /// The code of the next account, created for good.
    fn next_code(name: &str) -> String {
        ask(&format!(
            "select account_code from snackbase._account_create('{name}', null, 'slug', true)"
        ))
        .answer()
    }

    #[pg_test]
    fn the_next_code_is_above_the_highest() {
        let scene = Scene::new();
        let _ = scene;
        for (existing, next) in [("AB0005", "AB0006"), ("AZ9999", "BA0000"), ("SX9999", "SZ0000")] {
            run(&format!(
                "insert into snackbase.accounts (account_code, slug, name) values ('{existing}', 's{}', 'x')",
                existing.to_lowercase()
            ))
            .says("1");
            assert_eq!(next_code("next"), next);
        }
    }

    #[pg_test]
    fn the_first_code_of_an_empty_house_is_aa0001() {
        // nothing but the system account: the scene is not set
        ask("select pg_advisory_xact_lock(hashtext('snackbase.tests'))").answer();
        assert_eq!(next_code("first"), "AA0001");
    }

    #[pg_test]
    fn the_code_of_a_deleted_account_stays_spent() {
        let scene = Scene::new();
        let code = next_code("newest");
        scene
            .root
            .run(
                "superadmin",
                &format!("delete from snackbase.accounts where account_code = '{code}'"),
            )
            .says("1");
        assert_ne!(next_code("newer"), code);
        assert!(next_code("newest again") > code);
    }

    #[pg_test]
    fn when_all_codes_are_used_the_error_says_so() {
        let scene = Scene::new();
        run("insert into snackbase.accounts (account_code, slug, name) values ('ZZ9998', 'last', 'x')")
            .says("1");
        assert_eq!(next_code("very last"), "ZZ9999");
        let refusal = scene
            .root
            .ask("superadmin", "select snackbase.account_create('too late', null)")
            .refused("23505");
        assert!(refusal.message.contains("6,760,000"), "{}", refusal.message);
    }

    #[pg_test]
    fn a_failed_creation_spends_no_code() {
        let scene = Scene::new();
        let create = |slug: &str| {
            scene.root.ask(
                "superadmin",
                &format!("select snackbase.account_create('x', '{slug}')"),
            )
        };
        create("acme").refused("23505");
        let first = create("fresh").json()["account_code"]
            .as_str()
            .expect("a code")
            .to_owned();
        create("acme").refused("23505");
        let second = create("fresher").json()["account_code"]
            .as_str()
            .expect("a code")
            .to_owned();
        ask(&format!(
            "select snackbase._account_code_value('{second}') - snackbase._account_code_value('{first}')"
        ))
        .says("1");
    }

    // Slugs.

    #[pg_test]
    fn a_slug_is_made_from_any_name() {
        for (name, slug) in [
            ("Acme Corp", "acme-corp"),
            ("Crème Brûlée & Söhne", "creme-brulee-sohne"),
            ("  --Leading 42", "leading-42"),
            ("42 is a number", "is-a-number"),
            ("ﬁne ﬀ", "fine-ff"),
            ("日本", ""),
            (
                "a-very-long-name-that-does-not-fit-into-thirty-two",
                "a-very-long-name-that-does-not-f",
            ),
            (
                "a-name-that-ends-with-a-hyphen--x",
                "a-name-that-ends-with-a-hyphen-x",
            ),
            ("", ""),
        ] {
            ask(&format!("select snackbase._slug_from('{name}')")).says(slug);
        }
    }

    #[pg_test]
    fn a_chosen_slug_is_checked() {
        for (slug, problem) in [
            ("abc", "null"),
            ("a-b-c-9", "null"),
            ("ab", "slug_too_short"),
            ("abcdefghijklmnopqrstuvwxyz0123456", "slug_too_long"),
            ("1abc", "slug_invalid_start"),
            ("-abc", "slug_invalid_start"),
            ("Abc", "slug_invalid_start"),
            ("ab_c", "slug_invalid_chars"),
            ("abc-", "slug_invalid_chars"),
            ("ab c", "slug_invalid_chars"),
            ("aé0", "slug_invalid_chars"),
            ("ab1234", "slug_reserved"),
            ("system", "slug_reserved"),
            ("admin", "slug_reserved"),
            ("www", "slug_reserved"),
        ] {
            ask(&format!("select snackbase._slug_problem('{slug}')")).says(problem);
        }
    }

    fn register(email: &str, name: &str, slug: &str) -> Outcome {
        ask_before_login(&format!(
            "select snackbase.auth_register('{email}', 'hash', '{name}', {slug})"
        ))
    }

    #[pg_test]
    fn registering_makes_an_account_with_an_administrator_who_sees_personal_data() {
        Scene::new();
        let answer = register("New@Example.com", "Neue Firma", "null").json();
        assert_eq!(answer["account"]["slug"], "neue-firma");
        let user = &answer["user"];
        assert_eq!(
            (
                &user["email"],
                &user["role"],
                &user["is_active"],
                &user["email_verified"],
                &user["groups"]
            ),
            (
                &json!("New@Example.com"),
                &json!("admin"),
                &json!(true),
                &json!(false),
                &json!(["pii_access"])
            )
        );
        assert!(!answer.to_string().contains("hash"));
    }

    #[pg_test]
    fn a_taken_or_bad_slug_stops_a_registration() {
        Scene::new();
        for (name, slug, code, problem) in [
            ("Acme", "null", "23505", "account_slug taken"),
            ("x", "'acme'", "23505", "account_slug taken"),
            ("x", "' ACME '", "23505", "account_slug taken"),
            ("x", "'no good'", "23514", "account_slug slug_invalid_chars"),
            ("x", "'ab1234'", "23514", "account_slug slug_reserved"),
            ("", "null", "23514", "account_name required"),
        ] {
            let refusal = register("new@example.com", name, slug).refused(code);
            assert_eq!(refusal.problems(), [problem]);
        }
        let refusal = register("no address", "Fine", "null").refused("23514");
        assert_eq!(refusal.problems(), ["email invalid_email_format"]);
        ask("select count(*) from snackbase.accounts where slug not in ('system', 'acme', 'beta')").says("0");
    }

    #[pg_test]
    fn names_without_a_usable_slug_are_numbered() {
        Scene::new();
        for number in 1..=3 {
            let answer = register(&format!("u{number}@example.com"), "日本", "null").json();
            assert_eq!(answer["account"]["slug"], format!("account-{number}"));
        }
        assert_eq!(
            register("u4@example.com", "API", "null").json()["account"]["slug"],
            "account-4"
        );
    }

    #[pg_test]
    fn a_superadmins_generated_slug_gets_a_suffix_and_stays_short() {
        let scene = Scene::new();
        let create = |name: &str| {
            scene
                .root
                .ask(
                    "superadmin",
                    &format!("select snackbase.account_create('{name}', null)"),
                )
                .json()
        };
        assert_eq!(create("Acme")["slug"], "acme-1");
        assert_eq!(create("Acme")["slug"], "acme-2");
        let long = "a".repeat(40);
        assert_eq!(create(&long)["slug"], "a".repeat(32));
        assert_eq!(create(&long)["slug"], format!("{}-1", "a".repeat(30)));
        ask(
            "select count(*) from snackbase.groups g join snackbase.accounts a on a.id = g.account_id
              where a.slug like 'acme-%' and g.name = 'pii_access'",
        )
        .says("2");
    }

    #[pg_test]
    fn accounts_are_managed_by_superadmins() {
        let scene = Scene::new();
        for statement in [
            "select snackbase.account_create('Mine', null)",
            "select snackbase.account_list(null, null, null, null, null)",
            "select snackbase.account_view('acme')",
            "select snackbase.user_create('{}')",
            "select snackbase.user_verify('11111111-2222-3333-4444-555555555555')",
        ] {
            for operation in ["list", "member", "superadmin", "auth"] {
                scene.ada.ask(operation, statement).refused("42501");
            }
        }
    }

    #[pg_test]
    fn an_account_is_found_by_id_slug_and_code() {
        let scene = Scene::new();
        let view = |name: &str| {
            scene
                .root
                .ask("superadmin", &format!("select snackbase.account_view('{name}')"))
        };
        let account = view("acme").json();
        assert_eq!(
            (&account["id"], &account["user_count"]),
            (&json!(scene.ada.account), &json!(2))
        );
        let code = account["account_code"].as_str().expect("a code");
        for name in [scene.ada.account.as_str(), "ACME", code, &code.to_lowercase()] {
            assert_eq!(view(name).json(), account);
        }
        view("nosuch").refused("P0002").saying("Account not found");
        let list = scene
            .root
            .ask(
                "superadmin",
                "select snackbase.account_list(1, 2, 'slug', 'asc', null)",
            )
            .json();
        assert_eq!((&list["total"], &list["total_pages"]), (&json!(3), &json!(2)));
        assert_eq!(
            (&list["items"][0]["slug"], &list["items"][1]["slug"]),
            (&json!("acme"), &json!("beta"))
        );
        for (search, total) in [("ACM", 1), ("%", 0), ("SY0000", 1), ("zzz", 0)] {
            let list = scene
                .root
                .ask(
                    "superadmin",
                    &format!("select snackbase.account_list(null, null, null, null, '{search}')"),
                )
                .json();
            assert_eq!(list["total"], total, "{search}");
        }
    }

    #[pg_test]
    fn what_the_house_stands_on_cannot_be_changed() {
        Scene::new();
        for statement in [
            "update snackbase.accounts set name = 'x' where slug = 'system'",
            "delete from snackbase.accounts where slug = 'system'",
            "update snackbase.accounts set account_code = 'XX0001' where slug = 'acme'",
            "update snackbase.accounts set slug = 'other' where slug = 'acme'",
            "update snackbase.accounts set id = gen_random_uuid() where slug = 'acme'",
            "update snackbase.roles set name = 'king' where id = 1",
            "delete from snackbase.roles where id = 2",
        ] {
            run(statement).refused("23514");
        }
        run("update snackbase.accounts set name = 'Acme & Co' where slug = 'acme'").says("1");
    }

    #[pg_test]
    fn an_address_is_unique_in_its_account_whatever_its_case() {
        let scene = Scene::new();
        let create = |account: &str, email: &str| {
            scene.root.ask(
                "superadmin",
                &format!(
                    r#"select snackbase.user_create('{{"account_id": "{account}", "email": "{email}", "password_hash": "h", "role_id": 2}}')"#
                ),
            )
        };
        let refusal = create(&scene.ada.account, "ADA@example.com").refused("23505");
        assert_eq!(refusal.problems(), ["email taken"]);
        let user = create(&scene.bob.account, "ADA@example.com").json();
        assert_eq!(
            (&user["role_name"], &user["email_verified"], &user["account_name"]),
            (&json!("user"), &json!(false), &json!("beta"))
        );
        assert!(user.get("password_hash").is_none());
        create("nosuch", "x@example.com")
            .refused("P0002")
            .saying("Account not found");
        create(&scene.ada.account, "nonsense").refused("23514");
    }

    #[pg_test]
    fn there_is_one_first_superadmin_unless_forced() {
        ask("select pg_advisory_xact_lock(hashtext('snackbase.tests'))").answer();
        let create = |email: &str, force: bool| {
            ask_as(
                "snackbase_gateway",
                &format!("select snackbase.superadmin_create('{email}', 'h', {force})"),
            )
        };
        ask_as("snackbase_gateway", "select snackbase.superadmin_exists()").says("false");
        assert_eq!(
            create("one@example.com", false).json()["email"],
            "one@example.com"
        );
        create("two@example.com", false)
            .refused("23505")
            .saying("A superadmin exists already");
        create("one@example.com", true).refused("23505");
        create("two@example.com", true).answer();
        ask_as("snackbase_gateway", "select snackbase.superadmin_exists()").says("true");
    }
}
