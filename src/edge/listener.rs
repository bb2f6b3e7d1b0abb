//! Accepts connections: from whom may connect, bounded in number, never in a spin, each served by
//! a task of its own.

use super::exchange::Shared;
use super::http1::connection::{self, ForHttp2};
use super::http2::connection as http2;
use super::transport::drain::Phase;
use super::transport::socket::Transport;
use super::transport::waiting::{Room, Waiting};
use crate::config::Name;
use crate::memory;
use crate::routing::selector::network_of;
use crate::snapshot::{ListenerSeries, ListenerSettings};
use crate::sockets::Listening;
use crate::telemetry::Metrics;
use dashmap::DashMap;
use dashmap::mapref::entry::Entry;
use socket2::SockRef;
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream, UnixListener, UnixStream};

/// Pause after an accept failed for want of descriptors or memory.
const EXHAUSTED_PAUSE: Duration = Duration::from_millis(100);
/// Connections without a request that give way to others then.
const EXHAUSTED_GIVE_WAY: usize = 16;
/// Who clients of a Unix socket are: somebody on this machine.
const LOCAL: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 0);

/// Bytes that the kernel holds unsent for a client before it says that there is no room. Its usual
/// buffer grows to megabytes and has room only once a third is free: a client that takes a large
/// answer slowly would look like one that takes nothing.
const UNSENT_MAX: u32 = 128 * 1024;

/// Connections that are taken over from a socket that is closed.
const BACKLOG_MAX: usize = 4096;

/// What every connection of a listener needs.
pub type Server = connection::Server<Shared>;

/// A socket that accepts, TCP or Unix.
enum Accepting {
    Tcp(TcpListener),
    Unix(UnixListener),
}

impl Accepting {
    fn new(socket: Listening) -> io::Result<Self> {
        match socket {
            Listening::Tcp(listener) => {
                // Accepted sockets inherit it. A system without it works all the same.
                let _ = SockRef::from(&listener).set_tcp_notsent_lowat(UNSENT_MAX);
                TcpListener::from_std(listener).map(Self::Tcp)
            }
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

    /// The socket, without the runtime, which may not know yet of connections that wait.
    fn into_listening(self) -> io::Result<Listening> {
        match self {
            Self::Tcp(listener) => listener.into_std().map(Listening::Tcp),
            Self::Unix(listener) => listener.into_std().map(Listening::Unix),
        }
    }
}

/// Accepts until the listener is closed; what was accepted goes on by itself. Counts the
/// connections that are open in `open`.
///
/// # Errors
/// When the socket cannot be used at all.
pub async fn accept(
    socket: Listening,
    name: Name,
    server: Server,
    open: Arc<AtomicU32>,
) -> io::Result<()> {
    let listener = Accepting::new(socket)?;
    let mut door = Door {
        settings: None,
        gate: Arc::new(Gate {
            open,
            by_address: DashMap::new(),
            waiting: Arc::default(),
        }),
        name,
        server,
    };
    let mut closed = pin!(door.server.drain.reaches(Phase::Closed));
    loop {
        let accepted = tokio::select! {
            biased;
            () = &mut closed => break,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((transport, peer)) => door.admit(transport, peer),
            Err(error) if is_of_one_connection(&error) => {}
            Err(error) => {
                if let Some(settings) = door.settings() {
                    settings.series.cut("accept_failed");
                }
                tracing::warn!(listener = %door.name, %error, "cannot accept; pausing");
                for _ in 0..EXHAUSTED_GIVE_WAY {
                    door.gate.waiting.make_way();
                }
                tokio::time::sleep(EXHAUSTED_PAUSE).await;
            }
        }
    }
    // Closing the socket would reset those who have connected already.
    let rest = listener.into_listening()?;
    for _ in 0..BACKLOG_MAX {
        match waiting(&rest) {
            Ok((transport, peer)) => door.admit(transport, peer),
            Err(error) if is_of_one_connection(&error) => {}
            Err(_) => break, // there is none, or no descriptor for it
        }
    }
    Ok(())
}

/// A connection that waits to be accepted.
fn waiting(listening: &Listening) -> io::Result<(Transport, SocketAddr)> {
    match listening {
        Listening::Tcp(listener) => {
            let (stream, peer) = listener.accept()?;
            stream.set_nonblocking(true)?;
            stream.set_nodelay(true)?;
            Ok((TcpStream::from_std(stream)?.into(), peer))
        }
        Listening::Unix(listener) => {
            let (stream, _) = listener.accept()?;
            stream.set_nonblocking(true)?;
            Ok((UnixStream::from_std(stream)?.into(), LOCAL))
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

/// Serves a connection by the protocol that its client speaks.
async fn serve(
    server: &Server,
    name: &Name,
    settings: Arc<ListenerSettings>,
    transport: Transport,
    peer: SocketAddr,
    waiting: Waiting,
) {
    let handler = &server.handler;
    let served = connection::serve(server, name, settings, transport, peer, waiting);
    let Some(found) = served.await else { return };
    let ForHttp2 {
        socket,
        ahead,
        info,
        settings,
        wrong,
    } = found;
    // Both are boxed, so that connections of HTTP/1 do not hold room for them.
    if wrong {
        return Box::pin(http2::turn_away(socket, &settings)).await;
    }
    let metrics = &handler.metrics;
    Box::pin(http2::serve(
        handler, socket, ahead, &info, &settings, metrics,
    ))
    .await;
}

/// What decides who may come in.
struct Door {
    server: Server,
    name: Name,
    gate: Arc<Gate>,
    /// As they were last; they count on where a reload has taken the listener away.
    settings: Option<Arc<ListenerSettings>>,
}

impl Door {
    fn settings(&mut self) -> Option<Arc<ListenerSettings>> {
        let fresh = self.server.current.load().listener(&self.name);
        self.settings = fresh.or_else(|| self.settings.take());
        self.settings.clone()
    }

    /// Serves a connection, if it may come in.
    fn admit(&mut self, transport: Transport, peer: SocketAddr) {
        let Some(settings) = self.settings() else {
            return;
        };
        let (metrics, series) = (&self.server.handler.metrics, &settings.series);
        let ip = peer.ip().to_canonical();
        if !settings.admits(ip) {
            return series.cut("client_denied");
        }
        let full = self.gate.open.load(Relaxed) >= settings.max_connections;
        if full && !self.gate.waiting.make_way() {
            return series.cut("listener_full");
        }
        let most = settings.max_connections_per_ip;
        let counted = most > 0 && !settings.trusts(ip);
        if counted && !self.gate.enter(ip, most) {
            return series.cut("address_full");
        }
        let open = Open::enter(&self.gate, counted.then_some(ip), metrics, series);
        let waiting = self.gate.waiting.enter(network_of(ip));
        let (server, name) = (self.server.clone(), self.name.clone());
        tokio::spawn(async move {
            let _open = open;
            serve(&server, &name, settings, transport, peer, waiting).await;
        });
    }
}

/// Connections that are open, in all and by address.
#[derive(Debug)]
struct Gate {
    open: Arc<AtomicU32>,
    /// Never more entries than open connections.
    by_address: DashMap<IpAddr, u32>,
    /// Those that have not asked for anything yet.
    waiting: Arc<Room>,
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
        memory::connection_ended();
    }
}

#[cfg(test)]
mod tests {
    use super::{Name, Server, serve};

    /// Stands for a value in code that is never run.
    fn some<T>() -> T {
        unreachable!("only its type is asked for")
    }

    fn size_of_result<F>(_: impl FnOnce() -> F) -> usize {
        size_of::<F>()
    }

    #[test]
    fn a_connection_is_small() {
        let connection = size_of_result(|| {
            let (server, name) = (some::<&Server>(), some::<&Name>());
            serve(server, name, some(), some(), some(), some())
        });
        println!("connection {connection}");
        assert!(connection < 2816, "{connection} bytes");
    }
}
