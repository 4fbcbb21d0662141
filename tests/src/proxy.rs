//! A TCP proxy between gateway and Postgres that counts round trips.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream, tcp},
};

use crate::environment;

/// Forwards connections to the test cluster. A *flight* is an uninterrupted run of bytes from the client: it ends
/// when the server has said something. One request of the gateway should be one flight.
pub struct Proxy {
    /// Where it listens, on 127.0.0.1.
    pub port: u16,
    flights: Arc<AtomicU64>,
    connections: Arc<AtomicU64>,
    task: tokio::task::JoinHandle<()>,
}

impl Proxy {
    /// Start listening on a free port.
    pub async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let port = listener
            .local_addr()
            .expect("a bound socket has an address")
            .port();
        let flights = Arc::new(AtomicU64::new(0));
        let connections = Arc::new(AtomicU64::new(0));
        let (count, opened) = (flights.clone(), connections.clone());
        let task = tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                opened.fetch_add(1, Ordering::Relaxed);
                tokio::spawn(forward(client, count.clone()));
            }
        });
        Self {
            port,
            flights,
            connections,
            task,
        }
    }

    /// Flights from the client since the start, over all connections.
    pub fn flights(&self) -> u64 {
        self.flights.load(Ordering::SeqCst)
    }

    /// Connections opened since the start.
    pub fn connections(&self) -> u64 {
        self.connections.load(Ordering::SeqCst)
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Copy both ways. `server_spoke` says whether the server's bytes came after the client's last ones.
async fn forward(client: TcpStream, flights: Arc<AtomicU64>) {
    let port = environment("PGPORT");
    let Ok(server) = TcpStream::connect(format!("127.0.0.1:{port}")).await else {
        return;
    };
    let _ = client.set_nodelay(true);
    let _ = server.set_nodelay(true);
    let (mut from_client, mut to_client) = client.into_split();
    let (mut from_server, mut to_server) = server.into_split();
    let server_spoke = Arc::new(std::sync::atomic::AtomicBool::new(true));
    let heard = server_spoke.clone();
    let up = async move {
        while let Some(bytes) = receive(&mut from_client).await {
            if heard.swap(false, Ordering::SeqCst) {
                flights.fetch_add(1, Ordering::SeqCst);
            }
            if to_server.write_all(&bytes).await.is_err() {
                return;
            }
        }
    };
    let down = async move {
        while let Some(bytes) = receive(&mut from_server).await {
            server_spoke.store(true, Ordering::SeqCst);
            if to_client.write_all(&bytes).await.is_err() {
                return;
            }
        }
    };
    tokio::select! {
        () = up => {}
        () = down => {}
    }
}

async fn receive(socket: &mut tcp::OwnedReadHalf) -> Option<Vec<u8>> {
    let mut buffer = vec![0; 64 * 1024];
    match socket.read(&mut buffer).await {
        Ok(0) | Err(_) => None,
        Ok(length) => {
            buffer.truncate(length);
            Some(buffer)
        }
    }
}
