//! Settings: defaults, and one sentence per mistake.

use super::*;

fn read(pairs: &[(&str, &str)]) -> Result<Config, Vec<String>> {
    Config::read(&|name| {
        pairs
            .iter()
            .find(|(key, _)| *key == name)
            .map(|(_, value)| (*value).to_owned())
    })
}

fn mistakes(pairs: &[(&str, &str)]) -> Vec<String> {
    read(pairs).err().unwrap_or_default()
}

#[test]
fn an_empty_environment_is_a_valid_development_configuration() {
    let config = read(&[]).unwrap_or_else(|mistakes| panic!("{mistakes:?}"));
    assert_eq!(config.listen.to_string(), "127.0.0.1:8000");
    assert_eq!(config.api_prefix, "/api/v1");
    assert_eq!(config.environment, Environment::Development);
    assert_eq!(config.database.get_user(), Some("snackbase_gateway"));
    assert_eq!(config.database.get_options(), Some("-c statement_timeout=15000"));
    assert!(config.secret_key.is_none());
}

#[test]
fn every_setting_is_named_once_and_documented() {
    let mut names: Vec<_> = SETTINGS.iter().map(|setting| setting.name).collect();
    assert!(names.iter().all(|name| name.starts_with("SNACKBASE_")));
    names.sort_unstable();
    let before = names.len();
    names.dedup();
    assert_eq!(names.len(), before);
    let help = help();
    assert!(names.iter().all(|name| help.contains(name)));
}

#[test]
fn all_mistakes_are_reported_together_one_sentence_each() {
    let found = mistakes(&[
        ("SNACKBASE_PORT", "eighty"),
        ("SNACKBASE_HOST", "nowhere"),
        ("SNACKBASE_ENVIRONMENT", "prod"),
        ("SNACKBASE_PASSWORD_MIN_LENGTH", "7"),
        ("SNACKBASE_TRUSTED_PROXIES", "10.0.0.0/8, proxy"),
        ("SNACKBASE_SUPERADMIN_EMAIL", "root@example.com"),
        ("SNACKBASE_CORS_ORIGINS", "*"),
        ("SNACKBASE_API_PREFIX", "api"),
        ("SNACKBASE_ACCESS_LOG", "maybe"),
    ]);
    assert_eq!(found.len(), 9, "{found:#?}");
    assert!(
        found
            .iter()
            .all(|sentence| sentence.ends_with('.') && sentence.contains("SNACKBASE_"))
    );
}

#[test]
fn production_refuses_missing_sample_and_short_secrets() {
    let production = ("SNACKBASE_ENVIRONMENT", "production");
    assert_eq!(
        mistakes(&[production]),
        ["SNACKBASE_SECRET_KEY is required in production."]
    );
    let sample = mistakes(&[production, ("SNACKBASE_SECRET_KEY", SAMPLE_SECRET)]);
    assert_eq!(
        sample,
        ["SNACKBASE_SECRET_KEY is the sample value, which production refuses."]
    );
    let short = mistakes(&[production, ("SNACKBASE_SECRET_KEY", "hunter2")]);
    assert_eq!(
        short,
        ["SNACKBASE_SECRET_KEY must have at least 32 characters in production."]
    );
    let key = ("SNACKBASE_SECRET_KEY", "0123456789abcdef0123456789abcdef");
    let sample = mistakes(&[production, key, ("SNACKBASE_ENCRYPTION_KEY", SAMPLE_SECRET)]);
    assert_eq!(sample.len(), 1);
    assert!(read(&[production, key]).is_ok_and(|config| {
        config
            .security_headers
            .iter()
            .any(|(name, _)| name == "strict-transport-security")
    }));
}

#[test]
fn a_wrong_connection_text_is_not_repeated() {
    let found = mistakes(&[("SNACKBASE_DATABASE_URL", "postgres://me:hunter2@[host/db")]);
    assert_eq!(found.len(), 1);
    assert!(!found[0].contains("hunter2"));
}

#[test]
fn the_database_comes_from_the_url_or_from_libpq_variables() {
    let url = [
        ("SNACKBASE_DATABASE_URL", "host=/run/pg port=5433 user=u dbname=d"),
        ("PGUSER", "ignored"),
    ];
    let config = read(&url).unwrap_or_else(|mistakes| panic!("{mistakes:?}"));
    assert_eq!(config.database.get_user(), Some("u"));
    assert_eq!(config.database.get_ports(), [5433]);
    let config = read(&[("PGHOST", "/run/pg"), ("PGPORT", "5434"), ("PGDATABASE", "x")])
        .unwrap_or_else(|mistakes| panic!("{mistakes:?}"));
    assert_eq!(config.database.get_dbname(), Some("x"));
    assert_eq!(config.database.get_ports(), [5434]);
    assert_eq!(
        mistakes(&[("SNACKBASE_DATABASE_URL", "postgres://h/d?sslmode=require")]).len(),
        1
    );
}

#[test]
fn lists_are_comma_separated_or_json() {
    for text in [
        "https://a.example, https://b.example",
        r#"["https://a.example","https://b.example"]"#,
    ] {
        let config =
            read(&[("SNACKBASE_CORS_ORIGINS", text)]).unwrap_or_else(|mistakes| panic!("{mistakes:?}"));
        assert!(matches!(&config.cors.origins, Allowed::List(origins) if origins.len() == 2));
    }
}

#[test]
fn an_origin_is_what_browsers_send() {
    let config = read(&[
        (
            "SNACKBASE_CORS_ORIGINS",
            "https://App.example.com:8443, http://[::1]:3000, capacitor://localhost",
        ),
        ("SNACKBASE_CORS_ALLOW_METHODS", "get,PATCH"),
    ])
    .unwrap_or_else(|mistakes| panic!("{mistakes:?}"));
    assert!(
        matches!(&config.cors.origins, Allowed::List(origins) if origins[0] == "https://app.example.com:8443")
    );
    assert!(
        matches!(&config.cors.methods, Allowed::List(methods) if methods[..] == [Method::GET, Method::PATCH])
    );
    for text in [
        "example.com",
        "https://",
        "https://a.example/",
        "https://a.example/app",
        "https://*.example",
        "null",
    ] {
        let found = mistakes(&[("SNACKBASE_CORS_ORIGINS", text)]);
        let sentence = format!(
            "SNACKBASE_CORS_ORIGINS: \"{text}\" is not an origin such as https://example.com, without a path."
        );
        assert_eq!(found, [sentence]);
    }
}

#[test]
fn who_administers_the_only_account_has_an_address() {
    let only = [
        ("SNACKBASE_SINGLE_TENANT_MODE", "true"),
        ("SNACKBASE_SINGLE_TENANT_ACCOUNT", "acme"),
    ];
    let of = |address| mistakes(&[only[0], only[1], ("SNACKBASE_SINGLE_TENANT_ADMIN_EMAIL", address)]);
    assert!(of(" ada@example.com ").is_empty());
    for address in ["ada", "@example.com", "ada@", "a@b@c", "a da@example.com"] {
        assert_eq!(
            of(address),
            ["SNACKBASE_SINGLE_TENANT_ADMIN_EMAIL must be an address such as admin@example.com."]
        );
    }
}

#[test]
fn the_encryption_key_before_the_last_change_does_not_take_its_place() {
    let old = (
        "SNACKBASE_ENCRYPTION_KEY_PREVIOUS",
        "an old key of at least 32 characters",
    );
    let new = ("SNACKBASE_ENCRYPTION_KEY", "a new key of at least 32 characters!");
    assert!(mistakes(&[old, new]).is_empty());
    let found = mistakes(&[old]);
    assert!(
        matches!(found.as_slice(), [one] if one.starts_with("SNACKBASE_ENCRYPTION_KEY_PREVIOUS needs")),
        "{found:?}"
    );
}

#[test]
fn misspelled_settings_are_noticed() {
    let names = ["SNACKBASE_PROT", "SNACKBASE_PORT", "PGHOST"].map(str::to_owned);
    assert_eq!(unknown(names.into_iter()), ["SNACKBASE_PROT"]);
}

#[test]
fn limits_have_defaults_and_refuse_nonsense() {
    let config = read(&[]).unwrap_or_else(|mistakes| panic!("{mistakes:?}"));
    let rates = config.rates.unwrap_or_else(|| panic!("limited by default"));
    assert_eq!(
        (rates.anonymous, rates.authenticated, rates.api_key),
        (60, 120, 100)
    );
    assert!((rates.burst - 1.0).abs() < f64::EPSILON && rates.endpoints.is_empty());
    assert_eq!(config.api_keys.header, "x-api-key");
    assert_eq!(config.api_keys.expiration_days, None);
    for endpoints in [
        "/api/v1/auth/login=5, /api/v1/records/**=30",
        r#"["/api/v1/auth/login=5", "/api/v1/records/**=30"]"#,
        r#"{"/api/v1/auth/login": 5, "/api/v1/records/**": 30}"#,
    ] {
        let config = read(&[("SNACKBASE_RATE_LIMIT_ENDPOINTS", endpoints)]);
        let config = config.unwrap_or_else(|mistakes| panic!("{mistakes:?}"));
        let rates: Vec<u32> = config
            .rates
            .iter()
            .flat_map(|rates| &rates.endpoints)
            .map(|(_, rate)| *rate)
            .collect();
        assert_eq!(rates, [5, 30], "{endpoints}");
    }
    assert!(read(&[("SNACKBASE_RATE_LIMIT_ENABLED", "false")]).is_ok_and(|config| config.rates.is_none()));
    for (name, text) in [
        ("SNACKBASE_RATE_LIMIT_ENABLED", "sometimes"),
        ("SNACKBASE_RATE_LIMIT_PER_MINUTE", "0"),
        ("SNACKBASE_RATE_LIMIT_AUTHENTICATED_PER_MINUTE", "-1"),
        ("SNACKBASE_API_KEY_RATE_LIMIT_PER_MINUTE", "many"),
        ("SNACKBASE_RATE_LIMIT_BURST_MULTIPLIER", "0"),
        ("SNACKBASE_RATE_LIMIT_BURST_MULTIPLIER", "NaN"),
        ("SNACKBASE_RATE_LIMIT_ENDPOINTS", "/api/v1/auth/login"),
        ("SNACKBASE_RATE_LIMIT_ENDPOINTS", "/elsewhere=5"),
        ("SNACKBASE_RATE_LIMIT_ENDPOINTS", "/api/v1/x=0"),
        ("SNACKBASE_RATE_LIMIT_ENDPOINTS", "{\"/api/v1/x\": \"5\"}"),
        ("SNACKBASE_RATE_LIMIT_ENDPOINTS", "{5}"),
        ("SNACKBASE_API_KEY_HEADER", "two words"),
        ("SNACKBASE_API_KEY_HEADER", "Authorization"),
        ("SNACKBASE_API_KEY_MAX_PER_USER", "ten"),
        ("SNACKBASE_API_KEY_DEFAULT_EXPIRATION_DAYS", "0"),
        ("SNACKBASE_LOGIN_RATE_LIMIT_PER_MINUTE", "-1"),
        ("SNACKBASE_LOGIN_LOCKOUT_THRESHOLD", "0"),
        ("SNACKBASE_LOGIN_LOCKOUT_SECONDS", "1 hour"),
    ] {
        let found = mistakes(&[(name, text)]);
        assert!(
            found.len() == 1 && found[0].contains(name) && found[0].ends_with('.'),
            "{name}={text}: {found:?}"
        );
    }
}

#[test]
fn what_the_database_enforces_travels_with_the_connection() {
    let config = read(&[
        ("SNACKBASE_API_KEY_MAX_PER_USER", "3"),
        ("SNACKBASE_LOGIN_LOCKOUT_SECONDS", "60"),
        ("SNACKBASE_LOGIN_RATE_LIMIT_PER_MINUTE", "0"),
    ]);
    let config = config.unwrap_or_else(|mistakes| panic!("{mistakes:?}"));
    assert_eq!(
        config.database.get_options(),
        Some(
            "-c statement_timeout=15000 -c snackbase.login_lockout_seconds=60 -c snackbase.login_rate_limit_per_minute=0 \
             -c snackbase.api_key_max_per_user=3"
        )
    );
}
