//! Real servers on loopback addresses, and resolvers that say whatever they like.

use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use super::*;

fn limits(allowed: &[&str]) -> Limits {
    Limits {
        allowed_networks: allowed.iter().filter_map(|block| block.parse().ok()).collect(),
        allow_http: true,
        timeout: Duration::from_secs(2),
        response_limit_bytes: 1000,
        extra_roots: None,
    }
}

fn outbound(allowed: &[&str]) -> Outbound {
    Outbound::new(&limits(allowed)).unwrap_or_else(|sentence| panic!("{sentence}"))
}

/// A resolver that answers the next list at every question.
fn says(answers: &'static [&'static [&'static str]]) -> (Lookup, Arc<AtomicUsize>) {
    let asked = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&asked);
    let lookup: Lookup = Arc::new(move |_| {
        let number = count.fetch_add(1, Ordering::SeqCst);
        let answer = answers[number.min(answers.len() - 1)];
        let found = answer
            .iter()
            .filter_map(|text| text.parse().ok())
            .map(|ip| SocketAddr::new(ip, 0));
        let found: Vec<_> = found.collect();
        Box::pin(async move { Ok(found) })
    });
    (lookup, asked)
}

/// A server that answers every connection with `answer` and counts them.
async fn server(answer: &'static str) -> (u16, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let port = listener.local_addr().expect("an address").port();
    let connections = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&connections);
    tokio::spawn(async move {
        loop {
            let (mut stream, _) = listener.accept().await.expect("a connection");
            count.fetch_add(1, Ordering::SeqCst);
            tokio::spawn(async move {
                let mut head = [0; 4096];
                let _ = stream.read(&mut head).await;
                let _ = stream.write_all(answer.as_bytes()).await;
            });
        }
    });
    (port, connections)
}

async fn get(outbound: &Outbound, url: &str) -> Result<Answer, Failure> {
    outbound
        .call(Call {
            method: Method::GET,
            url: url.to_owned(),
            headers: HeaderMap::new(),
            body: Bytes::new(),
        })
        .await
}

const HELLO: &str = "HTTP/1.1 200 OK\r\ncontent-length: 5\r\nconnection: close\r\n\r\nhello";

#[test]
fn only_public_addresses_are_admitted() {
    let policy = Policy::default();
    for address in [
        "1.1.1.1",
        "8.8.8.8",
        "172.32.0.1",
        "100.128.0.1",
        "2606:4700::1",
        "2a00:1450::5",
    ] {
        assert!(policy.admits(address.parse().expect("an address")), "{address}");
    }
    for address in [
        "127.0.0.1",
        "127.255.255.254",
        "0.0.0.0",
        "10.1.2.3",
        "172.16.0.1",
        "172.31.255.255",
        "192.168.1.1",
        "169.254.169.254",
        "100.64.0.1",
        "100.100.100.200",
        "168.63.129.16",
        "192.0.0.192",
        "198.18.0.1",
        "203.0.113.9",
        "224.0.0.1",
        "255.255.255.255",
        "::",
        "::1",
        "::ffff:127.0.0.1",
        "::ffff:169.254.169.254",
        "::127.0.0.1",
        "64:ff9b::a9fe:a9fe",
        "64:ff9b:1::a00:1",
        "2002:7f00:1::1",
        "2001::1",
        "2001:db8::1",
        "fc00::1",
        "fd00:ec2::254",
        "fe80::1",
        "fec0::1",
        "ff02::1",
    ] {
        assert!(!policy.admits(address.parse().expect("an address")), "{address}");
    }
    assert_eq!(SPECIAL.len(), 20, "every block of the list can be read");
}

#[test]
fn an_allowed_block_is_admitted_in_either_spelling() {
    let policy = Policy::new(vec!["127.0.0.0/8".parse().expect("a block")]);
    for (address, admitted) in [
        ("127.0.0.1", true),
        ("::ffff:127.0.0.1", true),
        ("::1", false),
        ("10.0.0.1", false),
    ] {
        assert_eq!(
            policy.admits(address.parse().expect("an address")),
            admitted,
            "{address}"
        );
    }
}

#[tokio::test]
async fn an_allowed_server_answers() {
    let (port, _) = server(HELLO).await;
    let answer = get(&outbound(&["127.0.0.0/8"]), &format!("http://127.0.0.1:{port}/")).await;
    let answer = answer.expect("an answer");
    assert_eq!((answer.status.as_u16(), &answer.body[..]), (200, &b"hello"[..]));
}

#[tokio::test]
async fn addresses_in_every_spelling_are_refused_without_a_connection() {
    let (port, connections) = server(HELLO).await;
    let outbound = outbound(&[]);
    for host in [
        "127.0.0.1",
        "0x7f.1",
        "2130706433",
        "017700000001",
        "127.1",
        "[::1]",
        "[::ffff:127.0.0.1]",
        "[::ffff:7f00:1]",
        "0.0.0.0",
        "localhost",
        "169.254.169.254",
    ] {
        let answer = get(&outbound, &format!("http://{host}:{port}/latest/meta-data/")).await;
        assert_eq!(answer.err(), Some(Failure::Forbidden), "{host}");
    }
    assert_eq!(connections.load(Ordering::SeqCst), 0);
}

#[tokio::test]
async fn a_name_that_also_resolves_to_a_private_address_is_refused() {
    let (port, connections) = server(HELLO).await;
    let (lookup, _) = says(&[&["8.8.8.8", "127.0.0.1"]]);
    let outbound = Outbound::with_lookup(&limits(&[]), lookup).expect("a client");
    let answer = get(&outbound, &format!("http://mixed.example:{port}/")).await;
    assert_eq!(answer.err(), Some(Failure::Forbidden));
    assert_eq!(connections.load(Ordering::SeqCst), 0);
}

/// A resolver that says something harmless when it is checked and something else when the connection is made: there is
/// only one question, so there is no second answer to connect to.
#[tokio::test]
async fn a_name_is_resolved_once_and_the_connection_goes_where_the_check_looked() {
    let (port, connections) = server(HELLO).await;
    let (lookup, asked) = says(&[&["127.0.0.1"], &["127.0.0.9"]]);
    // Only the first answer is allowed: a second question would be refused.
    let outbound = Outbound::with_lookup(&limits(&["127.0.0.1/32"]), lookup).expect("a client");
    let answer = get(&outbound, &format!("http://rebinding.example:{port}/")).await;
    assert_eq!(answer.map(|answer| answer.status.as_u16()), Ok(200));
    assert_eq!(asked.load(Ordering::SeqCst), 1);
    assert_eq!(connections.load(Ordering::SeqCst), 1);
    // The next connection asks again, and is checked again.
    let answer = get(&outbound, &format!("http://rebinding.example:{port}/")).await;
    assert_eq!(answer.err(), Some(Failure::Forbidden));
    assert_eq!(connections.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn redirects_are_not_followed() {
    let redirect = "HTTP/1.1 302 Found\r\nlocation: http://169.254.169.254/\r\ncontent-length: 0\r\n\r\n";
    let (port, connections) = server(redirect).await;
    let answer = get(&outbound(&["127.0.0.0/8"]), &format!("http://127.0.0.1:{port}/")).await;
    assert_eq!(answer.map(|answer| answer.status.as_u16()), Ok(302));
    assert_eq!(connections.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn large_answers_are_cut_off() {
    let large: &'static str = Box::leak(
        format!(
            "HTTP/1.1 200 OK\r\ncontent-length: 2000\r\n\r\n{}",
            "x".repeat(2000)
        )
        .into_boxed_str(),
    );
    let (port, _) = server(large).await;
    let answer = get(&outbound(&["127.0.0.0/8"]), &format!("http://127.0.0.1:{port}/")).await;
    assert_eq!(answer.err(), Some(Failure::TooLarge));
}

#[tokio::test]
async fn a_server_that_says_nothing_is_given_up() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let port = listener.local_addr().expect("an address").port();
    let patient = Limits {
        timeout: Duration::from_millis(200),
        ..limits(&["127.0.0.0/8"])
    };
    let outbound = Outbound::new(&patient).expect("a client");
    let answer = get(&outbound, &format!("http://127.0.0.1:{port}/")).await;
    assert_eq!(answer.err(), Some(Failure::TimedOut));
}

#[test]
fn a_file_without_certificates_is_refused() {
    for pem in [
        "",
        "root:x:0:0:root:/root:/bin/sh\n",
        "-----BEGIN CERTIFICATE-----\n",
    ] {
        let limits = Limits {
            extra_roots: Some(pem.into()),
            ..limits(&[])
        };
        let refused = Outbound::new(&limits).err();
        assert!(
            refused.is_some_and(|sentence| sentence.starts_with("SNACKBASE_OUTBOUND_CA_FILE")),
            "{pem}"
        );
    }
}

#[tokio::test]
async fn other_schemes_credentials_and_plain_http_are_refused() {
    let strict = Outbound::new(&Limits {
        allow_http: false,
        ..limits(&["127.0.0.0/8"])
    })
    .expect("a client");
    for url in [
        "http://127.0.0.1:9/",
        "ftp://example.com/",
        "file:///etc/passwd",
        "https://user:secret@example.com/",
        "nonsense",
        "",
    ] {
        let answer = get(&strict, url).await;
        assert!(matches!(answer, Err(Failure::Unacceptable(_))), "{url}");
    }
}

#[tokio::test]
async fn addresses_of_other_servers_are_checked_as_well() {
    let (lookup, _) = says(&[&["8.8.8.8"], &["10.0.0.1"], &[]]);
    let outbound = Outbound::with_lookup(&limits(&[]), lookup).expect("a client");
    assert_eq!(
        outbound.addresses("mail.example").await,
        Ok(vec!["8.8.8.8".parse().expect("an address")])
    );
    assert_eq!(outbound.addresses("mail.example").await, Err(Failure::Forbidden));
    assert_eq!(outbound.addresses("mail.example").await, Err(Failure::Unresolved));
    assert_eq!(outbound.addresses("127.0.0.1").await, Err(Failure::Forbidden));
    assert_eq!(outbound.addresses("[::1]").await, Err(Failure::Forbidden));
}
