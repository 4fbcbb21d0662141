//! Listening, and stopping without cutting off anybody.

use std::future::Future;
use std::io;
use std::time::Duration;

use axum::body::Body;
use axum::http::Request;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use tokio::net::TcpListener;
use tower::Service;

use crate::auth::Peer;
use crate::routes;
use crate::state::State;

/// How long a connection may take to send the head of its next request: idle ones are closed, slow ones too. Longer than
/// the 60 seconds for which proxies usually keep a connection, so that the proxy closes first.
const HEAD_TIMEOUT: Duration = Duration::from_secs(75);

/// Serves until `stop` resolves, then lets requests in flight finish for as long as the settings say.
///
/// # Errors
/// When the listener cannot be used at all.
pub async fn serve(listener: TcpListener, state: State, stop: impl Future<Output = ()>) -> io::Result<()> {
    let patience = state.config.shutdown_timeout;
    let app = routes::app(state);
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new()).header_read_timeout(HEAD_TIMEOUT);
    let graceful = GracefulShutdown::new();
    let mut stop = std::pin::pin!(stop);
    loop {
        let (stream, peer) = tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok(accepted) => accepted,
                Err(failure) if is_about_one_connection(&failure) => continue,
                Err(failure) => {
                    // Out of file descriptors, most likely: some will be closed soon.
                    tracing::error!(cause = %failure, "cannot accept connections");
                    tokio::time::sleep(Duration::from_millis(100)).await;
                    continue;
                }
            },
            () = &mut stop => break,
        };
        // Small answers must not wait for the acknowledgement of the one before.
        if let Err(failure) = stream.set_nodelay(true) {
            tracing::debug!(cause = %failure, "cannot set TCP_NODELAY");
        }
        let app = app.clone();
        let service = service_fn(move |request: Request<Incoming>| {
            let mut request = request.map(Body::new);
            request.extensions_mut().insert(Peer(peer));
            app.clone().call(request)
        });
        let connection = graceful.watch(http.serve_connection(TokioIo::new(stream), service));
        tokio::spawn(async move {
            // A client that hangs up or speaks no HTTP is its own business.
            if let Err(failure) = connection.await {
                tracing::debug!(cause = %failure, "connection ended");
            }
        });
    }
    drop(listener);
    tracing::info!(connections = graceful.count(), "stopping");
    if tokio::time::timeout(patience, graceful.shutdown()).await.is_err() {
        tracing::warn!("stopped before all requests were finished");
    }
    Ok(())
}

fn is_about_one_connection(failure: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset};
    matches!(
        failure.kind(),
        ConnectionAborted | ConnectionRefused | ConnectionReset
    )
}
