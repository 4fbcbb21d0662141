//! SMTP, with TLS from the start (`use_ssl`) or by STARTTLS (`use_tls`, required then and never skipped).
//!
//! The server is connected to by an address that `outbound` has checked; its certificate is checked against its name.

use std::net::IpAddr;
use std::time::Duration;

use lettre::transport::smtp::authentication::Credentials;
use lettre::transport::smtp::client::{Certificate, Tls, TlsParameters};
use lettre::{AsyncSmtpTransport, AsyncTransport, Message, Tokio1Executor};
use tokio::net::TcpStream;

use super::Undelivered;
use crate::configuration::Provider;
use crate::outbound::Outbound;

/// Longest time to find out whether one of several addresses takes connections.
const ONE_ADDRESS: Duration = Duration::from_secs(3);

/// Sends a mail.
///
/// # Errors
/// [`Undelivered::Never`] when the server refuses this mail for good.
pub async fn send(outbound: &Outbound, provider: &Provider, message: Message) -> Result<(), Undelivered> {
    connection(outbound, provider)
        .await?
        .send(message)
        .await
        .map(|_| ())
        .map_err(undelivered)
}

/// Connects, and logs in.
///
/// # Errors
/// [`Undelivered`].
pub async fn test(outbound: &Outbound, provider: &Provider) -> Result<(), Undelivered> {
    match connection(outbound, provider).await?.test_connection().await {
        Ok(true) => Ok(()),
        Ok(false) => Err(Undelivered::Later("The server does not answer".to_owned())),
        Err(failure) => Err(undelivered(failure)),
    }
}

async fn connection(
    outbound: &Outbound,
    provider: &Provider,
) -> Result<AsyncSmtpTransport<Tokio1Executor>, Undelivered> {
    let later = |text: &str| Undelivered::Later(text.to_owned());
    let host = provider
        .text("host")
        .ok_or_else(|| later("The provider has no host"))?
        .trim();
    let addresses = outbound.addresses(host).await?;
    let port = provider.number("port").and_then(|port| u16::try_from(port).ok());
    let (tls, usual) = match (provider.flag("use_ssl"), provider.flag("use_tls")) {
        (Some(true), _) => (Tls::Wrapper(parameters(outbound, host)?), 465),
        (_, Some(false)) => (Tls::None, 25),
        _ => (Tls::Required(parameters(outbound, host)?), 587),
    };
    let port = port.unwrap_or(usual);
    let address = reachable(&addresses, port)
        .await
        .ok_or_else(|| later("The connection to the server failed"))?;
    let mut builder = AsyncSmtpTransport::<Tokio1Executor>::builder_dangerous(address.to_string())
        .port(port)
        .tls(tls)
        .timeout(Some(outbound.timeout().max(Duration::from_secs(1))));
    let username = provider
        .text("username")
        .filter(|username| !username.trim().is_empty());
    if let Some(username) = username {
        let password = provider
            .text("password")
            .ok_or_else(|| later("The provider has no password"))?;
        builder = builder.credentials(Credentials::new(username.to_owned(), password.to_owned()));
    }
    Ok(builder.build())
}

/// The first address that takes connections, when there are several; many names have an IPv6 address that not every network
/// reaches.
async fn reachable(addresses: &[IpAddr], port: u16) -> Option<IpAddr> {
    if let [only] = addresses {
        return Some(*only);
    }
    for address in addresses {
        let connected = tokio::time::timeout(ONE_ADDRESS, TcpStream::connect((*address, port)));
        if matches!(connected.await, Ok(Ok(_))) {
            return Some(*address);
        }
    }
    None
}

fn parameters(outbound: &Outbound, host: &str) -> Result<TlsParameters, Undelivered> {
    let failed = |_| Undelivered::Later("TLS cannot be set up".to_owned());
    let mut builder = TlsParameters::builder(host.to_owned());
    if let Some(pem) = outbound.extra_roots() {
        builder = builder.add_root_certificate(Certificate::from_pem(pem).map_err(failed)?);
    }
    builder.build_rustls().map_err(failed)
}

/// What the server said. A refused login (530, 534, 535, 538) is about us and not about the mail.
fn undelivered(failure: lettre::transport::smtp::Error) -> Undelivered {
    let code = failure.status().map(u16::from);
    let words = match code {
        Some(_) => failure.to_string(),
        None if failure.is_timeout() => "The server does not answer in time".to_owned(),
        None if failure.is_tls() => "The server's certificate or encryption is not acceptable".to_owned(),
        None => "The connection to the server failed".to_owned(),
    };
    match code {
        Some(500..=529 | 531..=533 | 536 | 537 | 539..=599) => Undelivered::Never(words),
        _ => Undelivered::Later(words),
    }
}
