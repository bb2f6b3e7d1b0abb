//! Accepts connections: from whom may connect, bounded in number, never in a spin, each served by
//! a task of its own.

use super::connection::{self, Server};
use super::socket::Transport;
use crate::config::Name;
use crate::policy::limit::network_of;
use crate::snapshot::ListenerSeries;
use crate::sockets::Listening;
use crate::telemetry::Metrics;
use dashmap::DashMap;
use dashmap::mapref::entry::Entry;
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
use std::time::Duration;
use tokio::net::{TcpListener, UnixListener};
use tokio::sync::watch;

/// Pause after an accept failed for want of descriptors or memory.
const EXHAUSTED_PAUSE: Duration = Duration::from_millis(100);
/// Who clients of a Unix socket are: somebody on this machine.
const LOCAL: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 0);

/// A socket that accepts, TCP or Unix.
enum Accepting {
    Tcp(TcpListener),
    Unix(UnixListener),
}

impl Accepting {
    fn new(socket: Listening) -> io::Result<Self> {
        match socket {
            Listening::Tcp(listener) => TcpListener::from_std(listener).map(Self::Tcp),
            Listening::Unix(listener) => UnixListener::from_std(listener).map(Self::Unix),
        }
    }

    async fn accept(&self) -> io::Result<(Transport, SocketAddr)> {
        match self {
            Self::Tcp(listener) => {
                let (stream, peer) = listener.accept().await?;
                stream.set_nodelay(true)?;
                Ok((stream.into(), peer))
            }
            Self::Unix(listener) => {
                let (stream, _) = listener.accept().await?;
                Ok((stream.into(), LOCAL))
            }
        }
    }
}

/// Accepts until the process drains or `stop` says so; what was accepted goes on by itself. Counts
/// the connections that are open in `open`.
///
/// # Errors
/// When the socket cannot be used at all.
pub async fn accept(
    socket: Listening,
    name: Name,
    server: Server,
    open: Arc<AtomicU32>,
    mut stop: watch::Receiver<bool>,
) -> io::Result<()> {
    let listener = Accepting::new(socket)?;
    let gate = Arc::new(Gate {
        open,
        by_address: DashMap::new(),
    });
    let mut drain = server.drain.clone();
    loop {
        let accepted = tokio::select! {
            biased;
            _ = drain.wait_for(|draining| *draining) => return Ok(()),
            _ = stop.wait_for(|stop| *stop) => return Ok(()),
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((transport, peer)) => admit(&server, &name, &gate, transport, peer),
            Err(error) if is_of_one_connection(&error) => {}
            Err(error) => {
                if let Some(settings) = server.current.load().listener(&name) {
                    settings.series.cut("accept_failed");
                }
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

fn admit(server: &Server, name: &Name, gate: &Arc<Gate>, transport: Transport, peer: SocketAddr) {
    let Some(settings) = server.current.load().listener(name) else {
        return;
    };
    let ip = peer.ip().to_canonical();
    if !settings.admits(ip) {
        return settings.series.cut("client_denied");
    }
    if gate.open.load(Relaxed) >= settings.max_connections {
        return settings.series.cut("listener_full");
    }
    let most = settings.max_connections_per_ip;
    let counted = most > 0 && !settings.trusts(ip);
    if counted && !gate.enter(ip, most) {
        return settings.series.cut("address_full");
    }
    let of_address = counted.then_some(ip);
    let open = Open::enter(gate, of_address, &server.metrics, &settings.series);
    let (server, name) = (server.clone(), name.clone());
    tokio::spawn(async move {
        let _open = open;
        connection::serve(server, name, transport, peer).await;
    });
}

/// Connections that are open, in all and by address.
#[derive(Debug)]
struct Gate {
    open: Arc<AtomicU32>,
    /// Never more entries than open connections.
    by_address: DashMap<IpAddr, u32>,
}

impl Gate {
    /// Counts one more from this address, if it may have one more.
    fn enter(&self, ip: IpAddr, most: u32) -> bool {
        let mut count = self.by_address.entry(network_of(ip)).or_insert(0);
        let free = *count < most;
        if free {
            *count += 1;
        }
        free
    }

    fn leave(&self, ip: IpAddr) {
        if let Entry::Occupied(mut entry) = self.by_address.entry(network_of(ip)) {
            *entry.get_mut() -= 1;
            if *entry.get() == 0 {
                entry.remove();
            }
        }
    }
}

/// Counts a connection as open until it is dropped.
struct Open {
    gate: Arc<Gate>,
    /// The address it was counted for.
    ip: Option<IpAddr>,
    metrics: Arc<Metrics>,
    series: Arc<ListenerSeries>,
}

impl Open {
    fn enter(
        gate: &Arc<Gate>,
        ip: Option<IpAddr>,
        metrics: &Arc<Metrics>,
        series: &Arc<ListenerSeries>,
    ) -> Self {
        gate.open.fetch_add(1, Relaxed);
        metrics.connections.fetch_add(1, Relaxed);
        series.open.fetch_add(1, Relaxed);
        Self {
            gate: gate.clone(),
            ip,
            metrics: metrics.clone(),
            series: series.clone(),
        }
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.gate.open.fetch_sub(1, Relaxed);
        if let Some(ip) = self.ip {
            self.gate.leave(ip);
        }
        self.metrics.connections.fetch_sub(1, Relaxed);
        self.series.open.fetch_sub(1, Relaxed);
    }
}
