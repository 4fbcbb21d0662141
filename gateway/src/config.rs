//! Every `SNACKBASE_*` variable: its type, its default and what it means, in one table.
//!
//! All mistakes are found at start and reported together, one sentence each. An empty variable counts as absent.
//! Lists are comma-separated or a JSON array of strings. Source: identity contract §5.12.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use axum::http::{HeaderName, HeaderValue, Method};

use crate::anchors;
use crate::limits::TrustedProxies;
use crate::limits::rate::Rates;
use crate::outbound;

mod reader;

use reader::Reader;

/// One variable, as `--help` prints it.
pub struct Setting {
    /// The full name in the environment.
    pub name: &'static str,
    /// What may be written: `number`, `text`, `true|false`, `list`, or the words themselves.
    pub kind: &'static str,
    /// What applies when the variable is absent.
    pub default: Default,
    /// One line for an operator.
    pub meaning: &'static str,
}

/// What applies when a variable is absent.
pub enum Default {
    /// This text, read as if it had been written in the environment.
    Text(&'static str),
    /// Nothing is set; the words say what happens then.
    Absent(&'static str),
}

use Default::{Absent, Text};

/// The value that documentation and samples use; refused in production.
const SAMPLE_SECRET: &str = "change-me-in-production-use-openssl-rand-hex-32";

const fn setting(name: &'static str, kind: &'static str, default: Default, meaning: &'static str) -> Setting {
    Setting {
        name,
        kind,
        default,
        meaning,
    }
}

/// The table. The order is the order of `--help`.
#[rustfmt::skip]
pub const SETTINGS: &[Setting] = &[
    setting("SNACKBASE_ENVIRONMENT", "development|production|testing", Text("development"), "production refuses sample secrets and sends Strict-Transport-Security"),
    setting("SNACKBASE_HOST", "IP address", Text("127.0.0.1"), "address to listen on"),
    setting("SNACKBASE_PORT", "number", Text("8000"), "port to listen on"),
    setting("SNACKBASE_API_PREFIX", "text", Text("/api/v1"), "path in front of every route except /health, /ready and /live"),
    setting("SNACKBASE_WORKER_THREADS", "number", Absent("one per two processors"), "threads that serve requests; Postgres needs the other processors"),
    setting("SNACKBASE_BODY_LIMIT_BYTES", "number", Text("10485760"), "largest request body; larger ones get 413"),
    setting("SNACKBASE_REQUEST_TIMEOUT_MS", "number", Text("30000"), "longest time for one request, upload included"),
    setting("SNACKBASE_SHUTDOWN_TIMEOUT_SECONDS", "number", Text("20"), "how long requests in flight may finish after SIGTERM or SIGINT"),
    setting("SNACKBASE_LOG_LEVEL", "error|warn|info|debug|trace", Text("info"), "least important log line that is written"),
    setting("SNACKBASE_ACCESS_LOG", "true|false", Text("true"), "one log line per request (level info)"),
    setting("SNACKBASE_DATABASE_URL", "postgres:// URL or key=value text", Absent("PGHOST, PGPORT, PGUSER, PGPASSWORD, PGDATABASE"), "where Postgres is; a host that starts with / is a socket directory"),
    setting("SNACKBASE_DB_POOL_SIZE", "number", Absent("four per processor"), "connections to Postgres"),
    setting("SNACKBASE_DB_WAIT_TIMEOUT_MS", "number", Text("5000"), "longest wait for a free connection, then 503"),
    setting("SNACKBASE_STATEMENT_TIMEOUT_MS", "number", Text("15000"), "longest time for one statement, then 504"),
    setting("SNACKBASE_SECRET_KEY", "text", Absent("random, so tokens end with the process; required in production"), "source of the token keys; at least 32 characters in production"),
    setting("SNACKBASE_SECRET_KEY_PREVIOUS", "text", Absent("none"), "the secret key before the last change: its tokens stay valid"),
    setting("SNACKBASE_ENCRYPTION_KEY", "text", Absent("none, so secrets of providers cannot be stored"), "key for secrets at rest; /health tells whether it is set"),
    setting("SNACKBASE_ENCRYPTION_KEY_PREVIOUS", "text", Absent("none"), "the encryption key before the last change, until `config reencrypt` has run"),
    setting("SNACKBASE_ACCESS_TOKEN_EXPIRE_MINUTES", "number", Text("60"), "lifetime of an access token"),
    setting("SNACKBASE_REFRESH_TOKEN_EXPIRE_DAYS", "number", Text("7"), "lifetime of a refresh token"),
    setting("SNACKBASE_REGISTRATION_ENABLED", "true|false", Text("true"), "whether anybody may register an account"),
    setting("SNACKBASE_BASE_DOMAIN", "host name", Absent("first label of a host with three or more"), "<account>.<base domain> names the account at login"),
    setting("SNACKBASE_SINGLE_TENANT_MODE", "true|false", Text("false"), "one account for everybody: registrations join it, logins need not name it"),
    setting("SNACKBASE_SINGLE_TENANT_ACCOUNT", "text", Absent("required in that mode"), "slug of that account, which is made at start when it is missing"),
    setting("SNACKBASE_SINGLE_TENANT_ACCOUNT_NAME", "text", Absent("the slug"), "its name when it is made"),
    setting("SNACKBASE_SINGLE_TENANT_ADMIN_EMAIL", "text", Absent("a superadmin makes the first administrator"), "who is invited at start to administer that account, as long as nobody does"),
    setting("SNACKBASE_PASSWORD_MIN_LENGTH", "number", Text("10"), "shortest password, in characters; not below 8"),
    setting("SNACKBASE_PASSWORD_HASH_MEMORY_KIB", "number", Text("65536"), "memory of one Argon2id hash; lower it for tests only"),
    setting("SNACKBASE_PASSWORD_HASH_CONCURRENCY", "number", Absent("one per processor"), "password hashes computed at the same time"),
    setting("SNACKBASE_SUPERADMIN_EMAIL", "text", Absent("none"), "superadmin to create at start when there is none"),
    setting("SNACKBASE_SUPERADMIN_PASSWORD", "text", Absent("none"), "password of that superadmin"),
    setting("SNACKBASE_API_KEY_HEADER", "header name", Text("X-API-Key"), "header that API keys are presented in, besides Authorization: Bearer"),
    setting("SNACKBASE_API_KEY_MAX_PER_USER", "number", Absent("snackbase.api_key_max_per_user of the database, 10"), "active API keys that one user may have"),
    setting("SNACKBASE_API_KEY_DEFAULT_EXPIRATION_DAYS", "number", Absent("never"), "lifetime of an API key that is made without expires_at"),
    setting("SNACKBASE_LOGIN_LOCKOUT_THRESHOLD", "number", Absent("snackbase.login_lockout_threshold of the database, 20"), "wrong passwords in a row that lock a user"),
    setting("SNACKBASE_LOGIN_LOCKOUT_SECONDS", "number", Absent("snackbase.login_lockout_seconds of the database, 900"), "how long the first lock of a user lasts"),
    setting("SNACKBASE_LOGIN_RATE_LIMIT_PER_MINUTE", "number", Absent("snackbase.login_rate_limit_per_minute of the database, 10"), "wrong passwords that one network may try in a minute; 0: any number"),
    setting("SNACKBASE_RATE_LIMIT_ENABLED", "true|false", Text("true"), "whether requests are limited; each gateway counts for itself"),
    setting("SNACKBASE_RATE_LIMIT_PER_MINUTE", "number", Text("60"), "requests a minute of one network (IPv4 address, /64 of IPv6) without credentials"),
    setting("SNACKBASE_RATE_LIMIT_AUTHENTICATED_PER_MINUTE", "number", Text("120"), "requests a minute of one user; superadmins are limited under /auth/ only"),
    setting("SNACKBASE_API_KEY_RATE_LIMIT_PER_MINUTE", "number", Text("100"), "requests a minute of one API key"),
    setting("SNACKBASE_RATE_LIMIT_BURST_MULTIPLIER", "number", Text("1.0"), "minutes' worth of requests that may come at once"),
    setting("SNACKBASE_RATE_LIMIT_ENDPOINTS", "list of path=number, or JSON object", Absent("none"), "paths with a limit of their own, per caller and minute; * stands for a segment, ** at the end for all below"),
    setting("SNACKBASE_TRUSTED_PROXIES", "list of addresses, CIDR blocks or *", Text("127.0.0.1,::1"), "peers whose CF-Connecting-IP, X-Forwarded-For and X-Forwarded-Host are believed"),
    setting("SNACKBASE_WORKER_ENABLED", "true|false", Text("true"), "whether this gateway delivers mail"),
    setting("SNACKBASE_MAIL_POLL_MS", "number", Text("1000"), "how often the queue of mail is looked at"),
    setting("SNACKBASE_MAIL_MAX_ATTEMPTS", "number", Text("8"), "attempts to deliver a mail before it is given up"),
    setting("SNACKBASE_MAIL_RETRY_SECONDS", "number", Text("30"), "wait after the first failed attempt; it doubles, up to one hour"),
    setting("SNACKBASE_OUTBOUND_ALLOWED_NETWORKS", "list of addresses or CIDR blocks", Absent("public addresses only"), "private networks that mail, tests of providers and other calls out may reach"),
    setting("SNACKBASE_OUTBOUND_ALLOW_HTTP", "true|false", Text("false"), "whether calls out may use http:// besides https://"),
    setting("SNACKBASE_OUTBOUND_TIMEOUT_MS", "number", Text("10000"), "longest time for one call out"),
    setting("SNACKBASE_OUTBOUND_RESPONSE_LIMIT_BYTES", "number", Text("1048576"), "largest answer that a call out reads"),
    setting("SNACKBASE_OUTBOUND_CA_FILE", "path", Absent("the system's certificates only"), "PEM file with certificates that calls out believe besides the system's"),
    setting("SNACKBASE_AUDIT_ANCHOR_FILE", "path", Absent("no file"), "file that signed checkpoints of the audit trail are appended to"),
    setting("SNACKBASE_AUDIT_ANCHOR_S3_URL", "s3://bucket/prefix", Absent("no bucket"), "where signed checkpoints of the audit trail are put, one object each"),
    setting("SNACKBASE_AUDIT_ANCHOR_S3_ENDPOINT", "URL", Absent("Amazon's for the region"), "another S3-compatible store"),
    setting("SNACKBASE_AUDIT_ANCHOR_S3_REGION", "text", Text("us-east-1"), "region of the bucket"),
    setting("SNACKBASE_AUDIT_ANCHOR_S3_ACCESS_KEY_ID", "text", Absent("credentials of the machine"), "who writes into the bucket"),
    setting("SNACKBASE_AUDIT_ANCHOR_S3_SECRET_ACCESS_KEY", "text", Absent("credentials of the machine"), "secret of that access key"),
    setting("SNACKBASE_CORS_ORIGINS", "list of origins or *", Text("http://localhost:3000,http://localhost:8000,http://localhost:5173"), "origins that browsers may call from"),
    setting("SNACKBASE_CORS_ALLOW_CREDENTIALS", "true|false", Text("true"), "whether browsers may send credentials; not together with origin *"),
    setting("SNACKBASE_CORS_ALLOW_METHODS", "list or *", Text("*"), "methods that browsers may use"),
    setting("SNACKBASE_CORS_ALLOW_HEADERS", "list or *", Text("Authorization,Content-Type,If-Match,X-API-Key,X-Account-ID,X-Correlation-ID,X-ES-Username,X-ES-Password,X-ES-Meaning,X-ES-Reason"), "request headers that browsers may send"),
    setting("SNACKBASE_SECURITY_HEADERS_ENABLED", "true|false", Text("true"), "whether answers carry the headers below"),
    setting("SNACKBASE_HTTPS_REDIRECT_ENABLED", "true|false", Text("false"), "whether requests that a trusted proxy got by http (X-Forwarded-Proto) are sent to https with 308"),
    setting("SNACKBASE_HSTS_MAX_AGE", "number", Text("31536000"), "seconds of Strict-Transport-Security (production only)"),
    setting("SNACKBASE_CSP_POLICY", "text", Text("default-src 'self'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; font-src 'self'; connect-src 'self'; frame-ancestors 'none'"), "Content-Security-Policy"),
    setting("SNACKBASE_PERMISSIONS_POLICY", "text", Text("geolocation=(), microphone=(), camera=(), payment=(), usb=(), magnetometer=(), gyroscope=(), accelerometer=()"), "Permissions-Policy"),
];

/// Whether the database would take this as an address of mail.
fn is_address(text: &str) -> bool {
    let plain = |part: &str| {
        !part.is_empty() && !part.contains(|c: char| c == '@' || c.is_whitespace() || c.is_control())
    };
    let parts = text.split_once('@');
    text.len() <= 254 && parts.is_some_and(|(name, host)| plain(name) && plain(host))
}

/// Those names that are meant for the gateway and are no settings: misspelled, or of another version.
pub fn unknown(names: impl Iterator<Item = String>) -> Vec<String> {
    names
        .filter(|name| name.starts_with("SNACKBASE_") && SETTINGS.iter().all(|setting| setting.name != name))
        .collect()
}

/// Where the gateway runs.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Environment {
    /// On a developer's machine: a missing secret is generated.
    Development,
    /// For real users: sample and missing secrets are refused.
    Production,
    /// In tests; behaves as development.
    Testing,
}

/// A list of names, or everything.
pub enum Allowed<T> {
    /// `*`: whatever the browser asks for.
    Any,
    /// These only.
    List(Vec<T>),
}

/// Cross-origin rules. Source: identity contract §1.4.
pub struct Cors {
    /// Origins that may call.
    pub origins: Allowed<HeaderValue>,
    /// Whether the browser may send credentials.
    pub credentials: bool,
    /// Methods that may be used.
    pub methods: Allowed<Method>,
    /// Request headers that may be sent.
    pub headers: Allowed<HeaderName>,
}

/// How API keys are presented and made.
pub struct ApiKeys {
    /// The header they are presented in, besides `Authorization`.
    pub header: HeaderName,
    /// Lifetime of a key that is made without one.
    pub expiration_days: Option<i32>,
}

/// An installation with one account. Source: identity contract §5.8.
pub struct SingleTenant {
    /// Slug of the account; lower case.
    pub account: String,
    /// Name of the account when it is made.
    pub name: String,
    /// Who is invited to administer it.
    pub admin_email: Option<String>,
}

/// How mail is delivered.
pub struct Worker {
    /// Whether this process delivers.
    pub enabled: bool,
    /// How often the queue is looked at.
    pub poll: Duration,
    /// Attempts before a mail is given up.
    pub max_attempts: i32,
    /// Wait after the first failed attempt.
    pub retry_seconds: i32,
}

/// The settings, read and checked. Holds secrets: it is neither printed nor cloned.
pub struct Config {
    /// Where the gateway runs.
    pub environment: Environment,
    /// Address and port to listen on.
    pub listen: SocketAddr,
    /// Path in front of the API; starts with `/` and does not end with it.
    pub api_prefix: String,
    /// Threads that serve requests.
    pub worker_threads: usize,
    /// Largest request body in bytes.
    pub body_limit_bytes: usize,
    /// Longest time for one request.
    pub request_timeout: Duration,
    /// How long requests in flight may finish after a signal.
    pub shutdown_timeout: Duration,
    /// Least important log line that is written.
    pub log_level: tracing::Level,
    /// One log line per request.
    pub access_log: bool,
    /// Where Postgres is, statement timeout included.
    pub database: tokio_postgres::Config,
    /// Connections to Postgres.
    pub database_pool_size: usize,
    /// Longest wait for a free connection.
    pub database_wait: Duration,
    /// Source of the token keys; `None`: generate one (never in production).
    pub secret_key: Option<String>,
    /// The secret key before the last change.
    pub previous_secret_key: Option<String>,
    /// Source of the key for secrets at rest.
    pub encryption_key: Option<String>,
    /// The encryption key before the last change.
    pub previous_encryption_key: Option<String>,
    /// Lifetime of an access token.
    pub access_token_lifetime: Duration,
    /// Lifetime of a refresh token.
    pub refresh_token_lifetime: Duration,
    /// Whether anybody may register an account.
    pub registration_enabled: bool,
    /// Domain whose first label names the account at login; lower case.
    pub base_domain: Option<String>,
    /// The account of everybody, in an installation with one account.
    pub single_tenant: Option<SingleTenant>,
    /// Shortest password in characters.
    pub password_min_length: usize,
    /// Memory of one password hash in KiB.
    pub password_hash_memory_kib: u32,
    /// Password hashes computed at the same time.
    pub password_hash_concurrency: usize,
    /// Address and password of the superadmin to create when there is none.
    pub superadmin: Option<(String, String)>,
    /// How API keys are presented and made.
    pub api_keys: ApiKeys,
    /// How many requests a caller may make; `None`: any number.
    pub rates: Option<Rates>,
    /// Peers whose forwarding headers are believed.
    pub trusted_proxies: TrustedProxies,
    /// How mail is delivered.
    pub worker: Worker,
    /// How calls out are limited.
    pub outbound: outbound::Limits,
    /// File that checkpoints of the audit trail are appended to.
    pub anchor_file: Option<std::path::PathBuf>,
    /// Bucket that they are put into.
    pub anchor_s3: Option<anchors::S3Settings>,
    /// Cross-origin rules.
    pub cors: Cors,
    /// Whether requests that a trusted proxy got by http are sent to https.
    pub https_redirect: bool,
    /// Headers that every answer carries. Source: identity contract §5.10.
    pub security_headers: Vec<(HeaderName, HeaderValue)>,
}

impl Config {
    /// Reads the settings of this process.
    ///
    /// # Errors
    /// One sentence per mistake, all of them.
    pub fn from_environment() -> Result<Self, Vec<String>> {
        Self::read(&|name| std::env::var_os(name).map(|value| value.to_string_lossy().into_owned()))
    }

    /// Reads the settings through `lookup`, which gives the text of one variable.
    ///
    /// # Errors
    /// One sentence per mistake, all of them.
    pub fn read(lookup: &dyn Fn(&str) -> Option<String>) -> Result<Self, Vec<String>> {
        let mut reader = Reader::new(lookup);
        let config = Self::gather(&mut reader);
        match config {
            Some(config) if reader.mistakes().is_empty() => Ok(config),
            _ => Err(reader.into_mistakes()),
        }
    }

    fn single_tenant(read: &mut Reader<'_>) -> Option<SingleTenant> {
        let wanted = read.switch("SNACKBASE_SINGLE_TENANT_MODE")?;
        let account = read.raw("SNACKBASE_SINGLE_TENANT_ACCOUNT");
        let name = read.raw("SNACKBASE_SINGLE_TENANT_ACCOUNT_NAME");
        let admin_email = read.raw("SNACKBASE_SINGLE_TENANT_ADMIN_EMAIL");
        if !wanted {
            return None;
        }
        let Some(account) = account.map(|slug| slug.trim().to_lowercase()) else {
            read.mistake("SNACKBASE_SINGLE_TENANT_MODE needs SNACKBASE_SINGLE_TENANT_ACCOUNT.");
            return None;
        };
        let admin_email = admin_email.map(|address| address.trim().to_owned());
        if admin_email.as_deref().is_some_and(|address| !is_address(address)) {
            read.mistake("SNACKBASE_SINGLE_TENANT_ADMIN_EMAIL must be an address such as admin@example.com.");
        }
        let name = name.unwrap_or_else(|| account.clone());
        Some(SingleTenant {
            account,
            name,
            admin_email,
        })
    }

    /// `None` only when a mistake was noted.
    fn gather(read: &mut Reader<'_>) -> Option<Self> {
        let processors = std::thread::available_parallelism().map_or(1, usize::from);
        let environment = read.word(
            "SNACKBASE_ENVIRONMENT",
            &[
                ("development", Environment::Development),
                ("production", Environment::Production),
                ("testing", Environment::Testing),
            ],
        );
        let production = environment == Some(Environment::Production);
        let host = read.parsed::<IpAddr>("SNACKBASE_HOST", "an IP address such as 127.0.0.1 or ::");
        let port = read.number("SNACKBASE_PORT", 1, 65535);
        let api_prefix = read.prefix("SNACKBASE_API_PREFIX");
        let worker_threads = read.count("SNACKBASE_WORKER_THREADS", (processors / 2).max(1), 512);
        let body_limit = read.number("SNACKBASE_BODY_LIMIT_BYTES", 1024, 1 << 30);
        let request_timeout = read.number("SNACKBASE_REQUEST_TIMEOUT_MS", 100, 3_600_000);
        let shutdown_timeout = read.number("SNACKBASE_SHUTDOWN_TIMEOUT_SECONDS", 0, 3600);
        let log_level = read.word(
            "SNACKBASE_LOG_LEVEL",
            &[
                ("error", tracing::Level::ERROR),
                ("warn", tracing::Level::WARN),
                ("info", tracing::Level::INFO),
                ("debug", tracing::Level::DEBUG),
                ("trace", tracing::Level::TRACE),
            ],
        );
        let access_log = read.switch("SNACKBASE_ACCESS_LOG");
        let statement_timeout = read.number("SNACKBASE_STATEMENT_TIMEOUT_MS", 1, 3_600_000);
        // What protects an account is enforced by the database; each connection tells it the values of this environment.
        let enforced = [
            (
                "login_lockout_threshold",
                read.optional("SNACKBASE_LOGIN_LOCKOUT_THRESHOLD", 1, 1000),
            ),
            (
                "login_lockout_seconds",
                read.optional("SNACKBASE_LOGIN_LOCKOUT_SECONDS", 1, 86_400),
            ),
            (
                "login_rate_limit_per_minute",
                read.optional("SNACKBASE_LOGIN_RATE_LIMIT_PER_MINUTE", 0, 100_000),
            ),
            (
                "api_key_max_per_user",
                read.optional("SNACKBASE_API_KEY_MAX_PER_USER", 0, 1000),
            ),
        ];
        let database = read.database(statement_timeout.unwrap_or_default(), &enforced);
        let database_pool_size = read.count("SNACKBASE_DB_POOL_SIZE", 4 * processors, 10_000);
        let database_wait = read.number("SNACKBASE_DB_WAIT_TIMEOUT_MS", 1, 3_600_000);
        let secret_key = read.secret("SNACKBASE_SECRET_KEY", production);
        let previous_secret_key = read.secret("SNACKBASE_SECRET_KEY_PREVIOUS", production);
        let encryption_key = read.secret("SNACKBASE_ENCRYPTION_KEY", production);
        let previous_encryption_key = read.secret("SNACKBASE_ENCRYPTION_KEY_PREVIOUS", production);
        if encryption_key.is_none()
            && previous_encryption_key.is_some()
            && !read.is_set("SNACKBASE_ENCRYPTION_KEY")
        {
            read.mistake("SNACKBASE_ENCRYPTION_KEY_PREVIOUS needs SNACKBASE_ENCRYPTION_KEY: the key before the last change encrypts nothing.");
        }
        if production && secret_key.is_none() && !read.is_set("SNACKBASE_SECRET_KEY") {
            read.mistake("SNACKBASE_SECRET_KEY is required in production.");
        }
        let access_minutes = read.number("SNACKBASE_ACCESS_TOKEN_EXPIRE_MINUTES", 1, 525_600);
        let refresh_days = read.number("SNACKBASE_REFRESH_TOKEN_EXPIRE_DAYS", 1, 3650);
        let registration_enabled = read.switch("SNACKBASE_REGISTRATION_ENABLED");
        let base_domain = read.domain("SNACKBASE_BASE_DOMAIN");
        let single_tenant = Self::single_tenant(read);
        let password_min_length = read.number("SNACKBASE_PASSWORD_MIN_LENGTH", 8, 1024);
        // Argon2 needs 8 KiB per lane, and there are four lanes.
        let password_hash_memory = read.number("SNACKBASE_PASSWORD_HASH_MEMORY_KIB", 32, 4 << 20);
        let password_hash_concurrency = read.count("SNACKBASE_PASSWORD_HASH_CONCURRENCY", processors, 512);
        if production && password_hash_memory.is_some_and(|memory| memory < 19 * 1024) {
            read.mistake("SNACKBASE_PASSWORD_HASH_MEMORY_KIB must be at least 19456 in production.");
        }
        let superadmin = match (
            read.raw("SNACKBASE_SUPERADMIN_EMAIL"),
            read.raw("SNACKBASE_SUPERADMIN_PASSWORD"),
        ) {
            (Some(email), Some(password)) => Some((email.trim().to_owned(), password)),
            (Some(_), None) => {
                read.mistake("SNACKBASE_SUPERADMIN_EMAIL needs SNACKBASE_SUPERADMIN_PASSWORD.");
                None
            }
            // The password alone serves `create-superadmin`.
            (None, _) => None,
        };
        let api_key_header = read.key_header("SNACKBASE_API_KEY_HEADER");
        let expiration_days = read.optional("SNACKBASE_API_KEY_DEFAULT_EXPIRATION_DAYS", 1, 36_500);
        let rates = read.rates(api_prefix.as_deref().unwrap_or_default());
        let trusted_proxies = read.trusted_proxies("SNACKBASE_TRUSTED_PROXIES");
        let worker_enabled = read.switch("SNACKBASE_WORKER_ENABLED");
        let mail_poll = read.number("SNACKBASE_MAIL_POLL_MS", 10, 3_600_000);
        let mail_max_attempts = read.number("SNACKBASE_MAIL_MAX_ATTEMPTS", 1, 1000);
        let mail_retry = read.number("SNACKBASE_MAIL_RETRY_SECONDS", 0, 3600);
        let outbound = read.outbound();
        let anchor_file = read
            .raw("SNACKBASE_AUDIT_ANCHOR_FILE")
            .map(std::path::PathBuf::from);
        let anchor_s3 = read.anchor_s3();
        let cors = read.cors();
        let https_redirect = read.switch("SNACKBASE_HTTPS_REDIRECT_ENABLED");
        let security_headers = read.security_headers(production);

        Some(Self {
            environment: environment?,
            listen: SocketAddr::new(host?, u16::try_from(port?).ok()?),
            api_prefix: api_prefix?,
            worker_threads: worker_threads?,
            body_limit_bytes: usize::try_from(body_limit?).ok()?,
            request_timeout: Duration::from_millis(request_timeout?),
            shutdown_timeout: Duration::from_secs(shutdown_timeout?),
            log_level: log_level?,
            access_log: access_log?,
            database: database?,
            database_pool_size: database_pool_size?,
            database_wait: Duration::from_millis(database_wait?),
            secret_key,
            previous_secret_key,
            encryption_key,
            previous_encryption_key,
            access_token_lifetime: Duration::from_secs(60 * access_minutes?),
            refresh_token_lifetime: Duration::from_secs(86_400 * refresh_days?),
            registration_enabled: registration_enabled?,
            base_domain,
            single_tenant,
            password_min_length: usize::try_from(password_min_length?).ok()?,
            password_hash_memory_kib: u32::try_from(password_hash_memory?).ok()?,
            password_hash_concurrency: password_hash_concurrency?,
            superadmin,
            api_keys: ApiKeys {
                header: api_key_header?,
                expiration_days: expiration_days.and_then(|days| i32::try_from(days).ok()),
            },
            rates: rates?,
            trusted_proxies: trusted_proxies?,
            worker: Worker {
                enabled: worker_enabled?,
                poll: Duration::from_millis(mail_poll?),
                max_attempts: i32::try_from(mail_max_attempts?).ok()?,
                retry_seconds: i32::try_from(mail_retry?).ok()?,
            },
            outbound: outbound?,
            anchor_file,
            anchor_s3: anchor_s3?,
            cors: cors?,
            https_redirect: https_redirect?,
            security_headers: security_headers?,
        })
    }
}

/// The table as `--help` prints it.
#[must_use]
pub fn help() -> String {
    let mut text = String::from("Settings (environment):\n");
    for setting in SETTINGS {
        let default = match setting.default {
            Text(default) => format!("default: {default}"),
            Absent(what) => format!("when absent: {what}"),
        };
        text.push_str(&format!(
            "  {} ({})\n      {}; {default}\n",
            setting.name, setting.kind, setting.meaning
        ));
    }
    text
}

#[cfg(test)]
mod tests;
