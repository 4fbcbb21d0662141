//! Reads variables of the environment by type and notes what is wrong with them.

use std::time::Duration;

use axum::http::{HeaderName, HeaderValue, Method};
use tokio_postgres::config::SslMode;

use super::{Absent, Allowed, Cors, SAMPLE_SECRET, SETTINGS, Text};
use crate::anchors;
use crate::limits::rate::{Pattern, Rates};
use crate::limits::{TrustedProxies, block};
use crate::outbound;

/// An origin as browsers send it: scheme, host and port in lower case. Anything else would be compared in vain.
fn origin(text: &str) -> Option<HeaderValue> {
    let text = text.to_ascii_lowercase();
    let (scheme, host) = text.split_once("://")?;
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_.:[]".contains(c);
    let fits = !scheme.is_empty() && !host.is_empty() && host.chars().all(plain);
    fits.then(|| text.parse().ok())?
}

/// Reads one variable after the other and notes the mistakes. A method that answers `None` for a variable with a default
/// has noted one.
pub(super) struct Reader<'a> {
    lookup: &'a dyn Fn(&str) -> Option<String>,
    mistakes: Vec<String>,
}

impl<'a> Reader<'a> {
    pub(super) fn new(lookup: &'a dyn Fn(&str) -> Option<String>) -> Self {
        Self {
            lookup,
            mistakes: Vec::new(),
        }
    }

    pub(super) fn mistakes(&self) -> &[String] {
        &self.mistakes
    }

    pub(super) fn into_mistakes(self) -> Vec<String> {
        self.mistakes
    }

    pub(super) fn mistake(&mut self, sentence: impl Into<String>) {
        self.mistakes.push(sentence.into());
    }

    pub(super) fn is_set(&self, name: &str) -> bool {
        (self.lookup)(name).is_some_and(|text| !text.trim().is_empty())
    }

    /// The text of a variable, or its default.
    pub(super) fn raw(&self, name: &str) -> Option<String> {
        if self.is_set(name) {
            return (self.lookup)(name);
        }
        SETTINGS
            .iter()
            .find(|setting| setting.name == name)
            .and_then(|setting| match setting.default {
                Text(text) => Some(text.to_owned()),
                Absent(_) => None,
            })
    }

    pub(super) fn parsed<T: std::str::FromStr>(&mut self, name: &str, wanted: &str) -> Option<T> {
        let text = self.raw(name)?;
        let value = text.trim().parse().ok();
        if value.is_none() {
            self.mistake(format!("{name} must be {wanted}, not \"{}\".", text.trim()));
        }
        value
    }

    pub(super) fn number(&mut self, name: &str, least: u64, most: u64) -> Option<u64> {
        let wanted = format!("a whole number from {least} to {most}");
        let number = self.parsed::<u64>(name, &wanted)?;
        if (least..=most).contains(&number) {
            return Some(number);
        }
        self.mistake(format!("{name} must be {wanted}, not {number}."));
        None
    }

    /// A number from 1 to `most`; `fallback` when absent.
    pub(super) fn count(&mut self, name: &str, fallback: usize, most: u64) -> Option<usize> {
        if !self.is_set(name) {
            return Some(fallback);
        }
        self.number(name, 1, most)
            .and_then(|number| usize::try_from(number).ok())
    }

    /// A number that may be absent; `None` also for one that is wrong, which was noted.
    pub(super) fn optional(&mut self, name: &str, least: u64, most: u64) -> Option<u64> {
        self.is_set(name).then(|| self.number(name, least, most))?
    }

    /// The name of a header that nothing else uses.
    pub(super) fn key_header(&mut self, name: &str) -> Option<HeaderName> {
        let header = self.parsed::<HeaderName>(name, "a header name such as X-API-Key")?;
        if matches!(
            header.as_str(),
            "authorization" | "cookie" | "host" | "content-type" | "x-account-id"
        ) {
            self.mistake(format!("{name} must be a header of its own, not {header}."));
            return None;
        }
        Some(header)
    }

    pub(super) fn word<T: Copy>(&mut self, name: &str, words: &[(&str, T)]) -> Option<T> {
        let text = self.raw(name)?.trim().to_ascii_lowercase();
        let value = words
            .iter()
            .find(|(word, _)| *word == text)
            .map(|(_, value)| *value);
        if value.is_none() {
            let known: Vec<&str> = words.iter().map(|(word, _)| *word).collect();
            self.mistake(format!(
                "{name} must be one of {}, not \"{text}\".",
                known.join(", ")
            ));
        }
        value
    }

    pub(super) fn switch(&mut self, name: &str) -> Option<bool> {
        self.word(
            name,
            &[("true", true), ("false", false), ("1", true), ("0", false)],
        )
    }

    fn list(&mut self, name: &str) -> Option<Vec<String>> {
        let text = self.raw(name)?;
        let text = text.trim();
        if !text.starts_with('[') {
            return Some(
                text.split(',')
                    .map(|item| item.trim().to_owned())
                    .filter(|i| !i.is_empty())
                    .collect(),
            );
        }
        let list = serde_json::from_str(text).ok();
        if list.is_none() {
            self.mistake(format!(
                "{name} starts with [ but is not a JSON array of strings."
            ));
        }
        list
    }

    fn allowed<T>(
        &mut self,
        name: &str,
        wanted: &str,
        parse: impl Fn(&str) -> Option<T>,
    ) -> Option<Allowed<T>> {
        let list = self.list(name)?;
        if list.iter().any(|item| item == "*") {
            return Some(Allowed::Any);
        }
        let mut items = Vec::with_capacity(list.len());
        for item in list {
            match parse(&item) {
                Some(value) => items.push(value),
                None => {
                    self.mistake(format!("{name}: \"{item}\" is not {wanted}."));
                    return None;
                }
            }
        }
        Some(Allowed::List(items))
    }

    /// How many requests a caller may make; the inner `None`: any number. Mistakes are found also where it is switched off.
    pub(super) fn rates(&mut self, prefix: &str) -> Option<Option<Rates>> {
        let enabled = self.switch("SNACKBASE_RATE_LIMIT_ENABLED");
        let mut rate = |name| {
            self.number(name, 1, 1_000_000)
                .and_then(|number| u32::try_from(number).ok())
        };
        let anonymous = rate("SNACKBASE_RATE_LIMIT_PER_MINUTE");
        let authenticated = rate("SNACKBASE_RATE_LIMIT_AUTHENTICATED_PER_MINUTE");
        let api_key = rate("SNACKBASE_API_KEY_RATE_LIMIT_PER_MINUTE");
        let name = "SNACKBASE_RATE_LIMIT_BURST_MULTIPLIER";
        let burst = self.parsed::<f64>(name, "a number from 0.001 to 1000")?;
        if !(0.001..=1000.0).contains(&burst) {
            self.mistake(format!(
                "{name} must be a number from 0.001 to 1000, not {burst}."
            ));
        }
        let endpoints = self.endpoints("SNACKBASE_RATE_LIMIT_ENDPOINTS", prefix)?;
        let rates = Rates {
            anonymous: anonymous?,
            authenticated: authenticated?,
            api_key: api_key?,
            burst,
            endpoints,
        };
        Some(enabled?.then_some(rates))
    }

    /// `path=number` with commas between them or as a JSON array, or a JSON object.
    fn endpoints(&mut self, name: &str, prefix: &str) -> Option<Vec<(Pattern, u32)>> {
        let text = self.raw(name).unwrap_or_default();
        let pairs: Vec<(String, String)> = if text.trim_start().starts_with('{') {
            match serde_json::from_str::<serde_json::Map<String, serde_json::Value>>(&text) {
                Ok(object) => object
                    .into_iter()
                    .map(|(path, rate)| (path, rate.to_string()))
                    .collect(),
                Err(_) => {
                    self.mistake(format!("{name} starts with {{ but is not a JSON object."));
                    return None;
                }
            }
        } else if text.is_empty() {
            Vec::new()
        } else {
            let list = self.list(name)?;
            let pair = |item: &String| {
                let (path, rate) = item.rsplit_once('=').unwrap_or((item, ""));
                (path.trim().to_owned(), rate.trim().to_owned())
            };
            list.iter().map(pair).collect()
        };
        let mut endpoints = Vec::with_capacity(pairs.len());
        for (path, rate) in pairs {
            let number = rate
                .parse::<u32>()
                .ok()
                .filter(|rate| (1..=1_000_000).contains(rate));
            let pattern = Pattern::parse(&path).filter(|_| path.starts_with(prefix));
            let (Some(pattern), Some(number)) = (pattern, number) else {
                self.mistake(format!(
                    "{name}: \"{path}={rate}\" is not a path below {prefix}/ with a number from 1 to 1000000."
                ));
                return None;
            };
            endpoints.push((pattern, number));
        }
        Some(endpoints)
    }

    /// The bucket for checkpoints; the inner `None`: there is none.
    pub(super) fn anchor_s3(&mut self) -> Option<Option<anchors::S3Settings>> {
        const URL: &str = "SNACKBASE_AUDIT_ANCHOR_S3_URL";
        const ENDPOINT: &str = "SNACKBASE_AUDIT_ANCHOR_S3_ENDPOINT";
        const ID: &str = "SNACKBASE_AUDIT_ANCHOR_S3_ACCESS_KEY_ID";
        const SECRET: &str = "SNACKBASE_AUDIT_ANCHOR_S3_SECRET_ACCESS_KEY";
        let given = |reader: &Self, name| reader.raw(name).map(|text| text.trim().to_owned());
        let Some(url) = given(self, URL) else {
            for name in [ENDPOINT, ID, SECRET] {
                if self.is_set(name) {
                    self.mistake(format!("{name} is of no use without {URL}."));
                    return None;
                }
            }
            return Some(None);
        };
        let place = url.strip_prefix("s3://").unwrap_or_default();
        let (bucket, prefix) = place.split_once('/').unwrap_or((place, ""));
        let plain = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
        if bucket.is_empty() || !bucket.chars().all(plain) || !prefix.chars().all(|c| plain(c) || c == '/') {
            self.mistake(format!("{URL} must be s3://bucket or s3://bucket/prefix, of letters, digits, - _ and ., not \"{url}\"."));
            return None;
        }
        let endpoint = given(self, ENDPOINT);
        if let Some(endpoint) = &endpoint
            && !["http://", "https://"]
                .iter()
                .any(|scheme| endpoint.strip_prefix(scheme).is_some_and(|rest| !rest.is_empty()))
        {
            self.mistake(format!(
                "{ENDPOINT} must begin with https:// or http://, not \"{endpoint}\"."
            ));
            return None;
        }
        let credentials = match (given(self, ID), given(self, SECRET)) {
            (Some(id), Some(secret)) => Some((id, secret)),
            (None, None) => None,
            _ => {
                self.mistake(format!("{ID} and {SECRET} belong together."));
                return None;
            }
        };
        Some(Some(anchors::S3Settings {
            bucket: bucket.to_owned(),
            prefix: prefix.trim_matches('/').to_owned(),
            endpoint,
            region: given(self, "SNACKBASE_AUDIT_ANCHOR_S3_REGION").unwrap_or_default(),
            credentials,
        }))
    }

    pub(super) fn prefix(&mut self, name: &str) -> Option<String> {
        let text = self.raw(name)?;
        let prefix = text.trim().trim_end_matches('/');
        let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '/' | '-' | '_' | '.');
        if prefix.starts_with('/') && prefix.chars().all(plain) && !prefix.contains("//") {
            return Some(prefix.to_owned());
        }
        self.mistake(format!(
            "{name} must be a path such as /api/v1, of letters, digits, - _ . and /, not \"{text}\"."
        ));
        None
    }

    /// A host name in lower case; `None` when absent.
    pub(super) fn domain(&mut self, name: &str) -> Option<String> {
        let domain = self
            .raw(name)?
            .trim()
            .trim_start_matches('.')
            .to_ascii_lowercase();
        let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '.');
        if domain.chars().all(plain) && !domain.is_empty() {
            return Some(domain);
        }
        self.mistake(format!(
            "{name} must be a host name such as example.com, without scheme and port."
        ));
        None
    }

    /// A secret, which is never part of a sentence.
    pub(super) fn secret(&mut self, name: &str, production: bool) -> Option<String> {
        let secret = self.raw(name)?;
        if production && secret == SAMPLE_SECRET {
            self.mistake(format!("{name} is the sample value, which production refuses."));
            return None;
        }
        if production && secret.len() < 32 {
            self.mistake(format!("{name} must have at least 32 characters in production."));
            return None;
        }
        Some(secret)
    }

    /// Where Postgres is; `enforced` are settings of the extension that each connection makes.
    pub(super) fn database(
        &mut self,
        statement_timeout_ms: u64,
        enforced: &[(&str, Option<u64>)],
    ) -> Option<tokio_postgres::Config> {
        let name = "SNACKBASE_DATABASE_URL";
        let mut config = match self.raw(name) {
            // The parser's message can quote the text, and the text can hold a password.
            Some(text) => match text.parse::<tokio_postgres::Config>() {
                Ok(config) => config,
                Err(_) => {
                    self.mistake(format!(
                        "{name} is not a connection text such as postgres://user@host:5432/database."
                    ));
                    return None;
                }
            },
            None => {
                let mut config = tokio_postgres::Config::new();
                if let Some(password) = self.raw("PGPASSWORD") {
                    config.password(password);
                }
                if let Some(host) = self.raw("PGHOST") {
                    config.host(&host);
                }
                if self.is_set("PGPORT") {
                    config.port(self.parsed("PGPORT", "a port number")?);
                }
                if let Some(user) = self.raw("PGUSER") {
                    config.user(&user);
                }
                if let Some(database) = self.raw("PGDATABASE") {
                    config.dbname(&database);
                }
                config
            }
        };
        if config.get_ssl_mode() == SslMode::Require {
            self.mistake(format!(
                "{name} asks for sslmode=require, but this build speaks to Postgres without TLS: use a socket directory \
                 or a private network."
            ));
            return None;
        }
        if config.get_hosts().is_empty() {
            config.host("127.0.0.1");
        }
        if config.get_user().is_none() {
            config.user("snackbase_gateway");
        }
        if config.get_dbname().is_none() {
            config.dbname("snackbase");
        }
        if config.get_connect_timeout().is_none() {
            config.connect_timeout(Duration::from_secs(5));
        }
        if config.get_application_name().is_none() {
            config.application_name("snackbase-gateway");
        }
        let mut ours = format!("-c statement_timeout={statement_timeout_ms}");
        for (setting, value) in enforced {
            if let Some(value) = value {
                ours.push_str(&format!(" -c snackbase.{setting}={value}"));
            }
        }
        let options = match config.get_options() {
            Some(theirs) => format!("{theirs} {ours}"),
            None => ours,
        };
        config.options(options);
        Some(config)
    }

    pub(super) fn trusted_proxies(&mut self, name: &str) -> Option<TrustedProxies> {
        match TrustedProxies::parse(&self.list(name)?) {
            Ok(proxies) => Some(proxies),
            Err(entry) => {
                self.mistake(format!(
                    "{name}: \"{entry}\" is neither an address nor a CIDR block nor *."
                ));
                None
            }
        }
    }

    pub(super) fn outbound(&mut self) -> Option<outbound::Limits> {
        let name = "SNACKBASE_OUTBOUND_ALLOWED_NETWORKS";
        let mut allowed_networks = Vec::new();
        if self.is_set(name) {
            for entry in self.list(name)? {
                match block(&entry) {
                    Some(block) => allowed_networks.push(block),
                    None => {
                        self.mistake(format!(
                            "{name}: \"{entry}\" is neither an address nor a CIDR block."
                        ));
                        return None;
                    }
                }
            }
        }
        let allow_http = self.switch("SNACKBASE_OUTBOUND_ALLOW_HTTP");
        let timeout = self.number("SNACKBASE_OUTBOUND_TIMEOUT_MS", 100, 120_000);
        let limit = self.number("SNACKBASE_OUTBOUND_RESPONSE_LIMIT_BYTES", 1024, 1 << 30);
        let mut extra_roots = None;
        if let Some(path) = self.raw("SNACKBASE_OUTBOUND_CA_FILE") {
            match std::fs::read(path.trim()) {
                Ok(pem) => extra_roots = Some(pem),
                Err(failure) => {
                    self.mistake(format!("SNACKBASE_OUTBOUND_CA_FILE cannot be read: {failure}."));
                    return None;
                }
            }
        }
        Some(outbound::Limits {
            allowed_networks,
            allow_http: allow_http?,
            timeout: Duration::from_millis(timeout?),
            response_limit_bytes: usize::try_from(limit?).ok()?,
            extra_roots,
        })
    }

    pub(super) fn cors(&mut self) -> Option<Cors> {
        let wanted = "an origin such as https://example.com, without a path";
        let origins = self.allowed("SNACKBASE_CORS_ORIGINS", wanted, origin);
        let credentials = self.switch("SNACKBASE_CORS_ALLOW_CREDENTIALS");
        let methods = self.allowed("SNACKBASE_CORS_ALLOW_METHODS", "a method", |text| {
            text.to_ascii_uppercase().parse::<Method>().ok()
        });
        let headers = self.allowed("SNACKBASE_CORS_ALLOW_HEADERS", "a header name", |text| {
            text.parse::<HeaderName>().ok()
        });
        let cors = Cors {
            origins: origins?,
            credentials: credentials?,
            methods: methods?,
            headers: headers?,
        };
        if cors.credentials && matches!(cors.origins, Allowed::Any) {
            self.mistake("SNACKBASE_CORS_ORIGINS=* needs SNACKBASE_CORS_ALLOW_CREDENTIALS=false.");
            return None;
        }
        Some(cors)
    }

    pub(super) fn security_headers(&mut self, production: bool) -> Option<Vec<(HeaderName, HeaderValue)>> {
        let enabled = self.switch("SNACKBASE_SECURITY_HEADERS_ENABLED")?;
        let hsts = self.number("SNACKBASE_HSTS_MAX_AGE", 0, u64::from(u32::MAX))?;
        let csp = self.header_value("SNACKBASE_CSP_POLICY");
        let permissions = self.header_value("SNACKBASE_PERMISSIONS_POLICY");
        if !enabled {
            return Some(Vec::new());
        }
        let mut headers = vec![
            ("x-content-type-options", HeaderValue::from_static("nosniff")),
            ("x-frame-options", HeaderValue::from_static("DENY")),
            ("x-xss-protection", HeaderValue::from_static("1; mode=block")),
            ("content-security-policy", csp?),
            ("permissions-policy", permissions?),
            (
                "referrer-policy",
                HeaderValue::from_static("strict-origin-when-cross-origin"),
            ),
        ];
        if production {
            let value = format!("max-age={hsts}; includeSubDomains");
            headers.push(("strict-transport-security", HeaderValue::try_from(value).ok()?));
        }
        Some(
            headers
                .into_iter()
                .map(|(name, value)| (HeaderName::from_static(name), value))
                .collect(),
        )
    }

    fn header_value(&mut self, name: &str) -> Option<HeaderValue> {
        let value = HeaderValue::try_from(self.raw(name)?).ok();
        if value.is_none() {
            self.mistake(format!("{name} has characters that a header cannot carry."));
        }
        value
    }
}
