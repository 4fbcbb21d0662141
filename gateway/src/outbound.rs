//! The one way out: HTTP requests and addresses of mail servers that somebody else may have chosen.
//!
//! Whoever can make this process call an address of their choice can reach what only this process can reach: databases,
//! administration ports, the credentials that clouds hand out on link-local addresses. So a name is resolved once, every
//! address is checked against [`Policy`], and the connection goes to exactly the checked addresses: a name that resolves
//! to something else a moment later changes nothing. Redirects are answers like any other, proxies of the environment are
//! not used, and time and size are limited. What may be called nevertheless is the operator's to say
//! (`SNACKBASE_OUTBOUND_*`). Sources: RFC 6890 and IANA's registries of special-purpose addresses.

use std::error::Error as _;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use futures_util::future::BoxFuture;
use ipnet::IpNet;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use reqwest::header::HeaderMap;
use reqwest::{Certificate, Method, StatusCode, Url};

/// How calls out are limited; the settings `SNACKBASE_OUTBOUND_*`.
pub struct Limits {
    /// Blocks that may be called although they are not public.
    pub allowed_networks: Vec<IpNet>,
    /// Whether `http://` is allowed, too.
    pub allow_http: bool,
    /// Longest time of one call: resolving, connecting, answer.
    pub timeout: Duration,
    /// Largest answer in bytes.
    pub response_limit_bytes: usize,
    /// Certificates that are believed besides the system's, as PEM.
    pub extra_roots: Option<Vec<u8>>,
}

/// Why a call out did not bring an answer. The texts name no address and no cause inside our network: they are shown to
/// whoever chose the address.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Failure {
    /// The URL is none, has another scheme than allowed, or carries credentials.
    #[error("the URL is not acceptable: {0}")]
    Unacceptable(&'static str),
    /// The host is, or resolves to, an address that may not be called.
    #[error("the host may not be called")]
    Forbidden,
    /// The name does not resolve.
    #[error("the host name does not resolve")]
    Unresolved,
    /// It took too long.
    #[error("no answer in time")]
    TimedOut,
    /// The answer is too large.
    #[error("the answer is too large")]
    TooLarge,
    /// No connection, no TLS, or it broke.
    #[error("the connection failed")]
    Broken,
}

/// An answer, whatever its status.
#[derive(Debug)]
pub struct Answer {
    /// The status.
    pub status: StatusCode,
    /// The body, complete.
    pub body: Bytes,
}

/// One request.
pub struct Call {
    /// The method.
    pub method: Method,
    /// The address as somebody wrote it.
    pub url: String,
    /// All headers but `Host` and `Content-Length`.
    pub headers: HeaderMap,
    /// The body.
    pub body: Bytes,
}

/// Which addresses may be called.
#[derive(Debug, Default)]
pub struct Policy {
    allowed: Vec<IpNet>,
}

/// Never called unless the operator allows it. Of IPv6, everything outside 2000::/3 is refused besides.
static SPECIAL: LazyLock<Vec<IpNet>> = LazyLock::new(|| {
    [
        "0.0.0.0/8",        // this network
        "10.0.0.0/8",       // private
        "100.64.0.0/10",    // shared by carriers; a cloud's metadata is here, too
        "127.0.0.0/8",      // loopback
        "168.63.129.16/32", // a cloud's host
        "169.254.0.0/16",   // link-local; metadata of clouds
        "172.16.0.0/12",    // private
        "192.0.0.0/24",     // protocol assignments
        "192.0.2.0/24",     // documentation
        "192.88.99.0/24",   // 6to4 relays
        "192.168.0.0/16",   // private
        "198.18.0.0/15",    // benchmarks
        "198.51.100.0/24",  // documentation
        "203.0.113.0/24",   // documentation
        "224.0.0.0/4",      // multicast
        "240.0.0.0/4",      // reserved, broadcast
        "2001::/23",        // protocol assignments, Teredo: hides an IPv4 address
        "2001:db8::/32",    // documentation
        "2002::/16",        // 6to4: hides an IPv4 address
        "3fff::/20",        // documentation
    ]
    .iter()
    .filter_map(|block| block.parse().ok())
    .collect()
});

impl Policy {
    /// Public addresses, and `allowed`.
    #[must_use]
    pub fn new(allowed: Vec<IpNet>) -> Self {
        Self { allowed }
    }

    /// Whether an address may be called. An IPv4 address written as IPv6 counts as what it is.
    #[must_use]
    pub fn admits(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        if self.allowed.iter().any(|block| block.contains(&address)) {
            return true;
        }
        let global = match address {
            IpAddr::V4(_) => true,
            IpAddr::V6(address) => address.segments()[0] & 0xe000 == 0x2000,
        };
        global && !SPECIAL.iter().any(|block| block.contains(&address))
    }
}

/// Turns a host name into addresses; the port is not looked at.
pub type Lookup = Arc<dyn Fn(String) -> BoxFuture<'static, io::Result<Vec<SocketAddr>>> + Send + Sync>;

/// What the system's resolver says.
fn system_lookup() -> Lookup {
    Arc::new(|name| {
        Box::pin(async move { Ok(tokio::net::lookup_host((name, 0)).await?.collect::<Vec<_>>()) })
    })
}

/// Resolves names and lets pass what the policy admits. One forbidden address refuses the whole name: whoever mixes
/// public and private addresses under one name is trying something.
#[derive(Clone)]
struct Guard {
    policy: Arc<Policy>,
    lookup: Lookup,
}

impl Guard {
    async fn resolve(&self, name: &str) -> Result<Vec<SocketAddr>, Failure> {
        let found = match literal(name) {
            Some(address) => vec![SocketAddr::new(address, 0)],
            None => (self.lookup)(name.to_owned())
                .await
                .map_err(|_| Failure::Unresolved)?,
        };
        if found.is_empty() {
            return Err(Failure::Unresolved);
        }
        match found.iter().all(|address| self.policy.admits(address.ip())) {
            true => Ok(found),
            false => Err(Failure::Forbidden),
        }
    }
}

impl Resolve for Guard {
    fn resolve(&self, name: Name) -> Resolving {
        let guard = self.clone();
        Box::pin(async move {
            let found = guard.resolve(name.as_str()).await?;
            Ok(Box::new(found.into_iter()) as Addrs)
        }) as Pin<Box<_>>
    }
}

/// A host that is an address itself, with or without brackets.
fn literal(host: &str) -> Option<IpAddr> {
    host.trim_start_matches('[').trim_end_matches(']').parse().ok()
}

/// The client.
pub struct Outbound {
    http: reqwest::Client,
    guard: Guard,
    allow_http: bool,
    timeout: Duration,
    response_limit_bytes: usize,
    extra_roots: Option<Vec<u8>>,
}

impl Outbound {
    /// Builds the client.
    ///
    /// # Errors
    /// A sentence when TLS cannot be set up, or the extra certificates are none.
    pub fn new(limits: &Limits) -> Result<Self, String> {
        Self::with_lookup(limits, system_lookup())
    }

    /// The same with another resolver.
    ///
    /// # Errors
    /// As [`Outbound::new`].
    pub fn with_lookup(limits: &Limits, lookup: Lookup) -> Result<Self, String> {
        let guard = Guard {
            policy: Arc::new(Policy::new(limits.allowed_networks.clone())),
            lookup,
        };
        let roots = match &limits.extra_roots {
            // (a file without a single one is read without error, too)
            Some(pem) => Certificate::from_pem_bundle(pem)
                .ok()
                .filter(|roots| !roots.is_empty())
                .ok_or("SNACKBASE_OUTBOUND_CA_FILE holds no certificates in PEM form.")?,
            None => Vec::new(),
        };
        let http = reqwest::Client::builder()
            .dns_resolver(Arc::new(guard.clone()))
            .no_proxy()
            .redirect(reqwest::redirect::Policy::none())
            .referer(false)
            .https_only(!limits.allow_http)
            .connect_timeout(limits.timeout)
            .timeout(limits.timeout)
            .pool_idle_timeout(Duration::from_secs(30))
            .user_agent(concat!("SnackBase/", env!("CARGO_PKG_VERSION")))
            .tls_certs_merge(roots)
            .build()
            .map_err(|failure| format!("The client for calls out cannot be built: {failure}."))?;
        Ok(Self {
            http,
            guard,
            allow_http: limits.allow_http,
            timeout: limits.timeout,
            response_limit_bytes: limits.response_limit_bytes,
            extra_roots: limits.extra_roots.clone(),
        })
    }

    /// Sends a request and reads the whole answer.
    ///
    /// # Errors
    /// [`Failure`]; an answer with a status of failure is none.
    pub async fn call(&self, call: Call) -> Result<Answer, Failure> {
        let url = self.acceptable(&call.url)?;
        let request = self
            .http
            .request(call.method, url)
            .headers(call.headers)
            .body(call.body);
        let mut response = request.send().await.map_err(failure)?;
        let status = response.status();
        let mut body = BytesMut::new();
        while let Some(chunk) = response.chunk().await.map_err(failure)? {
            if body.len() + chunk.len() > self.response_limit_bytes {
                return Err(Failure::TooLarge);
            }
            body.extend_from_slice(&chunk);
        }
        Ok(Answer {
            status,
            body: body.freeze(),
        })
    }

    /// Where a server of another protocol may be reached: its checked addresses. Connect to one of them, not to the name.
    ///
    /// # Errors
    /// [`Failure::Forbidden`], [`Failure::Unresolved`], [`Failure::TimedOut`].
    pub async fn addresses(&self, host: &str) -> Result<Vec<IpAddr>, Failure> {
        match tokio::time::timeout(self.timeout, self.guard.resolve(host)).await {
            Ok(found) => Ok(found?.into_iter().map(|address| address.ip()).collect()),
            Err(_) => Err(Failure::TimedOut),
        }
    }

    /// Longest time of one call.
    #[must_use]
    pub fn timeout(&self) -> Duration {
        self.timeout
    }

    /// Certificates that are believed besides the system's, as PEM.
    #[must_use]
    pub fn extra_roots(&self) -> Option<&[u8]> {
        self.extra_roots.as_deref()
    }

    /// The parsed URL, when it is one that may be called as far as its text tells. A host that is an address is judged
    /// here, because it never reaches the resolver.
    fn acceptable(&self, url: &str) -> Result<Url, Failure> {
        let url = Url::parse(url).map_err(|_| Failure::Unacceptable("it cannot be read"))?;
        match url.scheme() {
            "https" => {}
            "http" if self.allow_http => {}
            "http" => return Err(Failure::Unacceptable("it must begin with https://")),
            _ => return Err(Failure::Unacceptable("only http and https are spoken")),
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err(Failure::Unacceptable("it carries credentials"));
        }
        let host = url.host_str().ok_or(Failure::Unacceptable("it names no host"))?;
        match literal(host) {
            Some(address) if !self.guard.policy.admits(address) => Err(Failure::Forbidden),
            _ => Ok(url),
        }
    }
}

/// What the client says, in our words. Our own refusals travel through it as causes.
fn failure(failure: reqwest::Error) -> Failure {
    let mut source = failure.source();
    while let Some(cause) = source {
        if let Some(ours) = cause.downcast_ref::<Failure>() {
            return ours.clone();
        }
        source = cause.source();
    }
    match failure.is_timeout() {
        true => Failure::TimedOut,
        false => Failure::Broken,
    }
}

#[cfg(test)]
mod tests;
