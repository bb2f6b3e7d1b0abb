//! Makes connections to upstreams, and keeps those of HTTP/1 for further requests.

use super::connect_error::ConnectError;
use super::peer::Peer;
use super::pool::{Pool, is_quiet};
use crate::upstream::PoolSeries;
use nix::errno::Errno;
use nix::sys::socket::{MsgFlags, recv};
use pingora::connectors::{ConnectorOptions, TransportConnector};
use pingora::protocols::{ALPN, Stream};
use pingora::upstreams::peer::Peer as _;
use std::os::fd::RawFd;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

/// How often idle connections are looked at.
const SWEEP: Duration = Duration::from_secs(1);

/// Makes connections and keeps idle ones.
pub struct Connector {
    inner: TransportConnector,
    pool: Arc<Pool<Stream>>,
    /// A task sweeps the pool.
    sweeps: Arc<AtomicBool>,
}

impl Connector {
    /// Keeps so many idle connections at most.
    pub fn new(pool_size: usize) -> Self {
        // Pingora's own pool is not used.
        let options = ConnectorOptions::new(1);
        Self {
            inner: TransportConnector::new(Some(options)),
            pool: Arc::new(Pool::new(pool_size)),
            sweeps: Arc::default(),
        }
    }

    /// Takes an idle connection, if there is one that is open and has nothing to read; those that
    /// are not are closed, and counted as stale.
    ///
    /// The reactor may not have seen the end of a connection yet. With `careful`, the kernel is
    /// asked too, which costs a call: for requests that cannot be repeated when they are lost.
    pub fn reuse(&self, peer: &Peer, careful: bool, series: &PoolSeries) -> Option<Stream> {
        let now = Instant::now();
        loop {
            let mut stream = self.pool.take(peer.key(), now)?;
            if !is_to(&stream, peer) {
                continue;
            }
            if is_quiet(&mut stream) && (!careful || has_nothing(stream.id())) {
                return Some(stream);
            }
            series.stale.fetch_add(1, Relaxed);
        }
    }

    /// Makes a connection, with TLS if the peer has it.
    ///
    /// # Errors
    /// When there is none, in the time that the peer has for it.
    pub async fn connect(&self, peer: &Peer) -> Result<Stream, ConnectError> {
        let stream = self.inner.new_stream(peer).await;
        stream.map_err(|error| ConnectError::of(&error))
    }

    /// Puts a connection back on which nothing is on its way.
    pub fn release(&self, stream: Stream, peer: &Peer) {
        self.pool
            .put(peer.key(), stream, peer.idle(), Instant::now());
        if !self.sweeps.load(Relaxed) && !self.sweeps.swap(true, Relaxed) {
            let sweeping = Sweeping(self.sweeps.clone());
            tokio::spawn(sweep(Arc::downgrade(&self.pool), sweeping));
        }
    }

    /// Returns how many connections are idle.
    #[cfg(test)]
    pub fn idle(&self) -> usize {
        self.pool.len()
    }
}

/// Says that no task sweeps the pool any more, also when its runtime ends.
struct Sweeping(Arc<AtomicBool>);

impl Drop for Sweeping {
    fn drop(&mut self) {
        self.0.store(false, Relaxed);
    }
}

/// Sweeps the pool for as long as it has an owner.
async fn sweep(pool: Weak<Pool<Stream>>, _sweeping: Sweeping) {
    loop {
        tokio::time::sleep(SWEEP).await;
        match pool.upgrade() {
            Some(pool) => pool.sweep(Instant::now()),
            None => return,
        }
    }
}

/// Whether HTTP/2 was agreed on in the TLS handshake (ALPN).
pub fn selected_h2(stream: &Stream) -> bool {
    stream.selected_alpn_proto() == Some(ALPN::H2)
}

/// Whether a connection was made to the address of this peer. Hashes can collide, and a request for
/// one endpoint must not reach another one.
fn is_to(stream: &Stream, peer: &Peer) -> bool {
    let digest = stream.get_socket_digest();
    digest.is_some_and(|digest| digest.peer_addr() == Some(peer.address()))
}

/// Whether the kernel has nothing for the reader of a socket, not even its end.
fn has_nothing(fd: RawFd) -> bool {
    let flags = MsgFlags::MSG_PEEK | MsgFlags::MSG_DONTWAIT;
    recv(fd, &mut [0; 1], flags) == Err(Errno::EAGAIN)
}

#[cfg(test)]
mod tests;
