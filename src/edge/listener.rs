//! Accepts connections: bounded in number, never in a spin, each served by a task of its own.

use super::connection::{self, Server};
use crate::config::Name;
use crate::telemetry::Metrics;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};

/// Pending connections the kernel holds for us.
const BACKLOG: u32 = 4096;
/// Pause after an accept failed for want of descriptors or memory.
const EXHAUSTED_PAUSE: Duration = Duration::from_millis(100);

/// Binds a listener; the address it reports is real even when port 0 was asked for.
///
/// # Errors
/// When the address cannot be bound.
pub fn bind(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = match address {
        SocketAddr::V4(_) => tokio::net::TcpSocket::new_v4()?,
        SocketAddr::V6(_) => tokio::net::TcpSocket::new_v6()?,
    };
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)
}

/// Accepts until the process drains; what was accepted goes on by itself.
pub async fn accept(listener: TcpListener, name: Name, server: Server) {
    let open = Arc::new(AtomicU32::new(0));
    let mut drain = server.drain.clone();
    loop {
        let accepted = tokio::select! {
            biased;
            _ = drain.wait_for(|draining| *draining) => return,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((stream, peer)) => admit(&server, &name, &open, stream, peer),
            Err(error) if is_of_one_connection(&error) => {}
            Err(error) => {
                tracing::warn!(listener = %name, %error, "cannot accept; pausing");
                tokio::time::sleep(EXHAUSTED_PAUSE).await;
            }
        }
    }
}

/// The client gave up between the handshake and the accept; nothing is wrong with the listener.
fn is_of_one_connection(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionReset, Interrupted};
    matches!(
        error.kind(),
        ConnectionAborted | ConnectionReset | Interrupted
    )
}

fn admit(server: &Server, name: &Name, open: &Arc<AtomicU32>, stream: TcpStream, peer: SocketAddr) {
    let max = server
        .current
        .load()
        .listener(name)
        .map_or(0, |settings| settings.max_connections);
    if open.load(Relaxed) >= max {
        server.metrics.connections_refused.fetch_add(1, Relaxed);
        return;
    }
    let open = Open::enter(open, &server.metrics);
    if stream.set_nodelay(true).is_err() {
        return;
    }
    let (server, name) = (server.clone(), name.clone());
    tokio::spawn(async move {
        let _open = open;
        connection::serve(server, name, stream, peer).await;
    });
}

/// Counts a connection as open until it is dropped.
struct Open {
    of_listener: Arc<AtomicU32>,
    metrics: Arc<Metrics>,
}

impl Open {
    fn enter(of_listener: &Arc<AtomicU32>, metrics: &Arc<Metrics>) -> Self {
        of_listener.fetch_add(1, Relaxed);
        metrics.connections.fetch_add(1, Relaxed);
        Self {
            of_listener: of_listener.clone(),
            metrics: metrics.clone(),
        }
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.of_listener.fetch_sub(1, Relaxed);
        self.metrics.connections.fetch_sub(1, Relaxed);
    }
}
