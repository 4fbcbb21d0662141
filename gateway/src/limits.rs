//! What is believed about the peer and how much of it is accepted.

pub mod rate;
mod recent;

use std::net::IpAddr;

use axum::http::{HeaderMap, header};
use ipnet::IpNet;

/// Peers whose forwarding headers are believed.
#[derive(Debug)]
pub enum TrustedProxies {
    /// `*`: every peer.
    All,
    /// Peers in these blocks.
    Blocks(Vec<IpNet>),
}

impl TrustedProxies {
    /// Reads a list of addresses, CIDR blocks or `*`.
    ///
    /// # Errors
    /// The first entry that is none of these.
    pub fn parse(list: &[String]) -> Result<Self, String> {
        if list.iter().any(|entry| entry == "*") {
            return Ok(Self::All);
        }
        list.iter()
            .map(|entry| block(entry).ok_or_else(|| entry.clone()))
            .collect::<Result<_, _>>()
            .map(Self::Blocks)
    }

    /// Whether `peer` is one of them.
    #[must_use]
    pub fn contains(&self, peer: IpAddr) -> bool {
        match self {
            Self::All => true,
            Self::Blocks(blocks) => blocks.iter().any(|block| block.contains(&peer)),
        }
    }

    /// The client's address: `CF-Connecting-IP`, else the right-most address of `X-Forwarded-For` that is not a trusted
    /// proxy itself, else the peer. Only a trusted peer's headers count. With `*` the right-most entry is taken,
    /// because everything left of it can be forged. Source: identity contract §5.3.
    #[must_use]
    pub fn client_address(&self, peer: IpAddr, headers: &HeaderMap) -> IpAddr {
        let peer = peer.to_canonical();
        if !self.contains(peer) {
            return peer;
        }
        if let Some(address) = headers
            .get("cf-connecting-ip")
            .and_then(|value| address(value.to_str().ok()?))
        {
            return address;
        }
        let mut client = peer;
        let forwarded = headers.get_all("x-forwarded-for");
        // Several header lines are one list.
        let entries = forwarded
            .iter()
            .rev()
            .filter_map(|value| value.to_str().ok())
            .flat_map(|v| v.rsplit(','));
        for entry in entries {
            let Some(address) = address(entry) else { break };
            client = address;
            if matches!(self, Self::All) || !self.contains(address) {
                break;
            }
        }
        client
    }

    /// Whether a trusted proxy says that the client asked by plain http. Without a proxy nothing is known: whoever is in
    /// front may have ended TLS.
    #[must_use]
    pub fn came_by_http(&self, peer: IpAddr, headers: &HeaderMap) -> bool {
        let scheme = headers
            .get("x-forwarded-proto")
            .and_then(|value| value.to_str().ok());
        self.contains(peer.to_canonical())
            && scheme.is_some_and(|scheme| scheme.trim().eq_ignore_ascii_case("http"))
    }

    /// The host the client asked for, in lower case and without port: `X-Forwarded-Host` from a trusted peer, else `Host`.
    #[must_use]
    pub fn host(&self, peer: IpAddr, headers: &HeaderMap) -> Option<String> {
        let forwarded = headers
            .get("x-forwarded-host")
            .filter(|_| self.contains(peer.to_canonical()));
        let host = forwarded.or_else(|| headers.get(header::HOST))?.to_str().ok()?;
        let host = host
            .rsplit(',')
            .next()
            .unwrap_or(host)
            .trim()
            .to_ascii_lowercase();
        let host = match host.rsplit_once(':') {
            // `[::1]:8000` ends with a port, `[::1]` does not.
            Some((name, port)) if port.bytes().all(|b| b.is_ascii_digit()) => name.to_owned(),
            _ => host,
        };
        (!host.is_empty()).then_some(host)
    }
}

/// A CIDR block, or one address as a block.
pub fn block(text: &str) -> Option<IpNet> {
    let address = || text.parse::<IpAddr>().ok().map(IpNet::from);
    text.parse().ok().or_else(address)
}

/// An address as proxies write it: with or without port, IPv6 with or without brackets.
fn address(text: &str) -> Option<IpAddr> {
    let text = text.trim();
    let bare = text.trim_start_matches('[').trim_end_matches(']');
    let parsed = bare
        .parse::<IpAddr>()
        .ok()
        .or_else(|| text.parse().ok().map(|a: std::net::SocketAddr| a.ip()));
    parsed.map(|address| address.to_canonical())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn proxies(list: &[&str]) -> TrustedProxies {
        let list: Vec<String> = list.iter().map(|entry| (*entry).to_owned()).collect();
        TrustedProxies::parse(&list).unwrap_or_else(|entry| panic!("{entry}"))
    }

    fn headers(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
        let mut map = HeaderMap::new();
        for (name, value) in pairs {
            map.append(*name, axum::http::HeaderValue::from_static(value));
        }
        map
    }

    #[test]
    fn a_bad_entry_is_named() {
        assert_eq!(
            TrustedProxies::parse(&["10.0.0.0/8".into(), "10.0.0/8".into()]).unwrap_err(),
            "10.0.0/8"
        );
    }

    #[test]
    fn the_client_address_follows_only_trusted_peers() {
        let local = proxies(&["127.0.0.1", "::1", "10.0.0.0/8"]);
        type Case<'a> = (
            &'a TrustedProxies,
            &'a str,
            &'a [(&'static str, &'static str)],
            &'a str,
        );
        let cases: &[Case<'_>] = &[
            (
                &local,
                "192.0.2.1",
                &[("x-forwarded-for", "198.51.100.7")],
                "192.0.2.1",
            ),
            (&local, "127.0.0.1", &[], "127.0.0.1"),
            (
                &local,
                "127.0.0.1",
                &[("x-forwarded-for", "203.0.113.9, 198.51.100.7")],
                "198.51.100.7",
            ),
            (
                &local,
                "127.0.0.1",
                &[("x-forwarded-for", "198.51.100.7, 10.1.2.3")],
                "198.51.100.7",
            ),
            (
                &local,
                "::1",
                &[
                    ("x-forwarded-for", "203.0.113.9"),
                    ("x-forwarded-for", "198.51.100.7"),
                ],
                "198.51.100.7",
            ),
            (
                &local,
                "127.0.0.1",
                &[
                    ("cf-connecting-ip", "203.0.113.5"),
                    ("x-forwarded-for", "198.51.100.7"),
                ],
                "203.0.113.5",
            ),
            (
                &local,
                "127.0.0.1",
                &[("x-forwarded-for", "nonsense")],
                "127.0.0.1",
            ),
            (
                &local,
                "127.0.0.1",
                &[("x-forwarded-for", "[2001:db8::1]:443")],
                "2001:db8::1",
            ),
            (
                &local,
                "::ffff:127.0.0.1",
                &[("x-forwarded-for", "198.51.100.7:80")],
                "198.51.100.7",
            ),
        ];
        for (proxies, peer, pairs, wanted) in cases {
            let found = proxies.client_address(peer.parse().unwrap(), &headers(pairs));
            assert_eq!(found.to_string(), *wanted, "{peer} {pairs:?}");
        }
        let all = proxies(&["*"]);
        let found = all.client_address(
            "192.0.2.1".parse().unwrap(),
            &headers(&[("x-forwarded-for", "10.9.9.9, 198.51.100.7")]),
        );
        assert_eq!(found.to_string(), "198.51.100.7");
    }

    #[test]
    fn the_host_loses_its_port_and_its_case() {
        let local = proxies(&["127.0.0.1"]);
        let peer = "127.0.0.1".parse().unwrap();
        let host = |pairs| local.host(peer, &headers(pairs));
        assert_eq!(
            host(&[("host", "Acme.Example.COM:8000")]).as_deref(),
            Some("acme.example.com")
        );
        assert_eq!(host(&[("host", "[::1]:8000")]).as_deref(), Some("[::1]"));
        assert_eq!(
            host(&[("host", "a.b.c"), ("x-forwarded-host", "x.y.z")]).as_deref(),
            Some("x.y.z")
        );
        let stranger = "192.0.2.1".parse().unwrap();
        let found = local.host(
            stranger,
            &headers(&[("host", "a.b.c"), ("x-forwarded-host", "x.y.z")]),
        );
        assert_eq!(found.as_deref(), Some("a.b.c"));
        assert_eq!(host(&[]), None);
    }
}
