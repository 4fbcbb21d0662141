//! How many requests a caller may make: a token bucket per network, user or API key, in the memory of this process.
//!
//! Source: identity contract §5.3. Several gateways in front of one database limit each for itself. What protects an account from
//! guessing is in Postgres instead (`sql/047_lockout.sql`).

use std::net::{IpAddr, Ipv6Addr};
use std::num::NonZeroU32;
use std::time::Duration;

use axum::http::{HeaderMap, HeaderName, HeaderValue, header};
use governor::clock::{Clock, DefaultClock};
use governor::middleware::StateInformationMiddleware;
use governor::nanos::Nanos;
use governor::{Quota, RateLimiter};
use uuid::Uuid;

use super::recent::Recent;
use crate::auth::api_key::ApiKey;

/// Subjects of one rate that are remembered at least; twice as many at most. Some megabytes.
const SUBJECTS: usize = 32_768;

/// Limits as the settings give them.
pub struct Rates {
    /// Requests a minute of a network without credentials.
    pub anonymous: u32,
    /// Of a user.
    pub authenticated: u32,
    /// Of an API key.
    pub api_key: u32,
    /// Size of the bucket, in minutes' worth of requests.
    pub burst: f64,
    /// Paths with a rate of their own.
    pub endpoints: Vec<(Pattern, u32)>,
}

/// Which paths have a rate of their own: segments, `*` for any one, `**` at the end for any more.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pattern(Vec<String>);

impl Pattern {
    /// Reads a path; `None` when it does not begin with a slash, or `**` is not at its end.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let path = text.trim().strip_prefix('/')?.trim_end_matches('/');
        let segments: Vec<String> = path.split('/').map(str::to_owned).collect();
        let inner = &segments[..segments.len() - 1];
        (!inner.iter().any(|segment| segment == "**")).then_some(Self(segments))
    }

    fn matches(&self, path: &str) -> bool {
        let mut segments = path.trim_matches('/').split('/');
        for wanted in &self.0 {
            match (wanted.as_str(), segments.next()) {
                ("**", _) => return true,
                ("*", Some(_)) => {}
                (wanted, Some(segment)) if wanted == segment => {}
                _ => return false,
            }
        }
        segments.next().is_none()
    }
}

/// Whose bucket a request is taken from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Subject {
    /// A client without valid credentials: an IPv4 address, or a /64 of IPv6, of which everybody has plenty of addresses.
    Network(IpAddr),
    /// A user, in whatever sessions.
    User(Uuid),
    /// An API key that the database has accepted.
    Key(u128),
}

impl Subject {
    /// An API key, by its hash, which every kind of key has.
    #[must_use]
    pub fn key(key: &ApiKey) -> Self {
        let beginning = key.hash.get(..32).unwrap_or_default();
        Self::Key(u128::from_str_radix(beginning, 16).unwrap_or_default())
    }

    /// The network of an address.
    #[must_use]
    pub fn network(address: IpAddr) -> Self {
        Self::Network(match address.to_canonical() {
            IpAddr::V6(address) => {
                let [a, b, c, d, ..] = address.segments();
                Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0).into()
            }
            address => address,
        })
    }
}

/// What the limiter says of a request, for the headers of its answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Verdict {
    /// Requests a minute.
    limit: u32,
    /// Size of the bucket.
    burst: u32,
    /// What is left in it.
    remaining: u32,
    /// Seconds until it is full again.
    reset: u64,
    /// Seconds until the next request is let through; `None`: this one is.
    pub retry_after: Option<u64>,
}

impl Verdict {
    /// Puts the verdict into the headers of an answer.
    pub fn write(&self, headers: &mut HeaderMap) {
        let numbers = [
            ("x-ratelimit-limit", u64::from(self.limit)),
            ("x-ratelimit-burst", u64::from(self.burst)),
            ("x-ratelimit-remaining", u64::from(self.remaining)),
            ("x-ratelimit-reset", self.reset),
        ];
        for (name, number) in numbers {
            headers.insert(HeaderName::from_static(name), HeaderValue::from(number));
        }
        if let Some(seconds) = self.retry_after {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
    }
}

/// The buckets of one rate.
struct Rate<C: Clock> {
    limit: u32,
    burst: u32,
    period: Duration,
    buckets: RateLimiter<Subject, Recent<Subject, Nanos>, C, StateInformationMiddleware>,
}

impl<C: Clock> Rate<C> {
    fn new(per_minute: u32, multiplier: f64, clock: C) -> Self {
        let limit = per_minute.max(1);
        // Cannot overflow: the settings bound both.
        let burst = (f64::from(limit) * multiplier)
            .floor()
            .clamp(1.0, f64::from(u32::MAX)) as u32;
        let period = Duration::from_secs(60) / limit;
        let quota = Quota::with_period(period)
            .map(|quota| quota.allow_burst(NonZeroU32::MIN.saturating_add(burst - 1)));
        let quota = quota.unwrap_or_else(|| Quota::per_minute(NonZeroU32::MIN));
        Self {
            limit,
            burst,
            period,
            buckets: RateLimiter::new(quota, Recent::new(SUBJECTS), clock),
        }
    }

    fn judge(&self, subject: &Subject) -> Verdict {
        let (remaining, wait) = match self.buckets.check_key(subject) {
            Ok(state) => (state.remaining_burst_capacity().min(self.burst - 1), None),
            Err(refused) => (0, Some(refused.wait_time_from(self.buckets.clock().now()))),
        };
        let missing = self.burst - remaining - u32::from(wait.is_some());
        let full = self.period * missing + wait.unwrap_or_default();
        Verdict {
            limit: self.limit,
            burst: self.burst,
            remaining,
            reset: seconds(full),
            retry_after: wait.map(|wait| seconds(wait).max(1)),
        }
    }
}

/// Whole seconds, rounded up: who waits that long has waited long enough.
fn seconds(duration: Duration) -> u64 {
    duration.as_secs() + u64::from(duration.subsec_nanos() > 0)
}

/// The limiter of this process.
pub struct Limiter<C: Clock = DefaultClock> {
    anonymous: Rate<C>,
    authenticated: Rate<C>,
    api_key: Rate<C>,
    endpoints: Vec<(Pattern, Rate<C>)>,
    /// Keys that the database has accepted lately. Before that a key is a text that anybody can make up.
    accepted: Recent<ApiKey, ()>,
}

impl Limiter {
    /// A limiter with these rates.
    #[must_use]
    pub fn new(rates: &Rates) -> Self {
        Self::with_clock(rates, DefaultClock::default())
    }
}

impl<C: Clock + Clone> Limiter<C> {
    fn with_clock(rates: &Rates, clock: C) -> Self {
        let rate = |per_minute| Rate::new(per_minute, rates.burst, clock.clone());
        Self {
            anonymous: rate(rates.anonymous),
            authenticated: rate(rates.authenticated),
            api_key: rate(rates.api_key),
            endpoints: rates
                .endpoints
                .iter()
                .map(|(pattern, per_minute)| (pattern.clone(), rate(*per_minute)))
                .collect(),
            accepted: Recent::new(SUBJECTS),
        }
    }

    /// Takes a request of the subject out of its bucket: of the path, where the path has a rate of its own, else of all others.
    #[must_use]
    pub fn judge(&self, subject: &Subject, path: &str) -> Verdict {
        let own = self.endpoints.iter().find(|(pattern, _)| pattern.matches(path));
        let rate = own.map(|(_, rate)| rate).unwrap_or(match subject {
            Subject::Network(_) => &self.anonymous,
            Subject::User(_) => &self.authenticated,
            Subject::Key(_) => &self.api_key,
        });
        rate.judge(subject)
    }

    /// Whether the database has accepted this key lately.
    #[must_use]
    pub fn knows(&self, key: &ApiKey) -> bool {
        self.accepted.knows(key)
    }

    /// Remembers that the database has accepted a key, or that it has not.
    pub fn remember(&self, key: &ApiKey, accepted: bool) {
        match accepted {
            true => self.accepted.insert(key, ()),
            false => self.accepted.forget(key),
        }
    }
}

#[cfg(test)]
mod tests {
    use governor::clock::FakeRelativeClock;

    use super::*;

    fn limiter(rates: &Rates) -> (Limiter<FakeRelativeClock>, FakeRelativeClock) {
        let clock = FakeRelativeClock::default();
        (Limiter::with_clock(rates, clock.clone()), clock)
    }

    fn rates() -> Rates {
        let pattern = |text| Pattern::parse(text).unwrap_or_else(|| panic!("{text}"));
        Rates {
            anonymous: 60,
            authenticated: 120,
            api_key: 100,
            burst: 1.0,
            endpoints: vec![
                (pattern("/api/v1/auth/login"), 6),
                (pattern("/api/v1/records/*/batch"), 2),
            ],
        }
    }

    fn network(text: &str) -> Subject {
        Subject::network(text.parse().unwrap_or_else(|_| panic!("{text}")))
    }

    const ELSEWHERE: &str = "/api/v1/records/posts";

    #[test]
    fn a_bucket_holds_a_minute_and_fills_by_the_second() {
        let (limiter, clock) = limiter(&rates());
        let subject = network("192.0.2.1");
        let first = limiter.judge(&subject, ELSEWHERE);
        assert_eq!(
            first,
            Verdict {
                limit: 60,
                burst: 60,
                remaining: 59,
                reset: 1,
                retry_after: None
            }
        );
        for _ in 1..60 {
            assert_eq!(limiter.judge(&subject, ELSEWHERE).retry_after, None);
        }
        let refused = limiter.judge(&subject, ELSEWHERE);
        assert_eq!(
            refused,
            Verdict {
                limit: 60,
                burst: 60,
                remaining: 0,
                reset: 60,
                retry_after: Some(1)
            }
        );
        assert_eq!(
            limiter.judge(&network("192.0.2.2"), ELSEWHERE).remaining,
            59,
            "nobody else is concerned"
        );
        clock.advance(Duration::from_millis(999));
        assert_eq!(limiter.judge(&subject, ELSEWHERE).retry_after, Some(1));
        clock.advance(Duration::from_millis(1));
        assert_eq!(limiter.judge(&subject, ELSEWHERE).retry_after, None);
        clock.advance(Duration::from_secs(3600));
        assert_eq!(
            limiter.judge(&subject, ELSEWHERE).remaining,
            59,
            "never more than it holds"
        );
    }

    #[test]
    fn the_burst_changes_the_size_and_not_the_rate() {
        for (burst, size) in [(0.001, 1), (0.5, 30), (1.0, 60), (2.5, 150)] {
            let (limiter, clock) = limiter(&Rates { burst, ..rates() });
            let subject = network("192.0.2.1");
            for _ in 0..size {
                assert_eq!(limiter.judge(&subject, ELSEWHERE).retry_after, None);
            }
            assert_eq!(limiter.judge(&subject, ELSEWHERE).retry_after, Some(1), "{burst}");
            clock.advance(Duration::from_secs(1));
            assert_eq!(limiter.judge(&subject, ELSEWHERE).retry_after, None);
        }
    }

    #[test]
    fn a_client_is_an_address_or_a_64() {
        assert_eq!(network("2001:db8::1"), network("2001:db8::ffff:0:1"));
        assert_ne!(network("2001:db8::1"), network("2001:db8:0:1::1"));
        assert_ne!(network("192.0.2.1"), network("192.0.2.2"));
        assert_eq!(network("::ffff:192.0.2.1"), network("192.0.2.1"));
    }

    #[test]
    fn a_path_of_its_own_has_a_bucket_of_its_own_for_each() {
        let (limiter, _) = limiter(&rates());
        let (subject, user) = (network("192.0.2.1"), Subject::User(Uuid::nil()));
        for _ in 0..6 {
            assert_eq!(limiter.judge(&subject, "/api/v1/auth/login").retry_after, None);
        }
        assert_eq!(
            limiter.judge(&subject, "/api/v1/auth/login/").retry_after,
            Some(10)
        );
        assert_eq!(limiter.judge(&subject, ELSEWHERE).remaining, 59);
        assert_eq!(limiter.judge(&user, "/api/v1/auth/login").remaining, 5);
        assert_eq!(limiter.judge(&user, "/api/v1/records/posts/batch").limit, 2);
        assert_eq!(limiter.judge(&user, ELSEWHERE).limit, 120);
        assert_eq!(limiter.judge(&Subject::Key(7), ELSEWHERE).limit, 100);
    }

    #[test]
    fn patterns_match_by_segment() {
        for (pattern, path, wanted) in [
            ("/a/b", "/a/b", true),
            ("/a/b/", "/a/b/", true),
            ("/a/b", "/a/b/c", false),
            ("/a/b", "/a", false),
            ("/a/*", "/a/x", true),
            ("/a/*", "/a/x/y", false),
            ("/a/*/c", "/a/x/c", true),
            ("/a/**", "/a/x/y", true),
            ("/a/**", "/b/x", false),
        ] {
            let parsed = Pattern::parse(pattern).unwrap_or_else(|| panic!("{pattern}"));
            assert_eq!(parsed.matches(path), wanted, "{pattern} {path}");
        }
        assert_eq!(Pattern::parse("a/b"), None);
        assert_eq!(Pattern::parse("/a/**/b"), None);
    }
}
