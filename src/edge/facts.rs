//! What is known of a client connection, carried to each of its requests.

use super::connection_info::{ConnectionInfo, Secured};
use super::drain::Drain;
use crate::config::Name;
use http::HeaderValue;
use pingora::http::ResponseHeader;
use pingora::protocols::raw_connect::ProxyDigest;
use pingora::protocols::{Digest, SocketDigest};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

/// Stands for a time that does not come.
const NEVER: u64 = u64::MAX;

/// Fixed for the life of a connection, but for how long the exchange in progress may take.
#[derive(Debug)]
pub struct Facts {
    /// Whose settings count.
    pub listener: Name,
    /// The peer of the socket; IPv4 in IPv6 is unwrapped.
    pub peer: SocketAddr,
    /// The peer's address as text, made once.
    pub peer_text: HeaderValue,
    /// `None`: a connection without TLS.
    pub secured: Option<Secured>,
    /// How far the listener is on its way out.
    drain: Drain,
    /// Whether another request has arrived behind the one in progress.
    followed: AtomicBool,
    /// Whether the connection is kept though the exchange in progress has failed.
    kept: AtomicBool,
    since: Instant,
    /// When the exchange in progress must be over, in nanoseconds after `since`. The stream looks
    /// at it, because it is the one who is polled while an upstream drips.
    deadline: AtomicU64,
    /// Longest silence of the upstream, in nanoseconds.
    patience: AtomicU64,
    /// Since when it is silent, in nanoseconds after `since`; `NEVER`: nobody listens to it, since the
    /// client takes nothing for now.
    silent: AtomicU64,
}

impl Facts {
    pub fn new(info: ConnectionInfo) -> Self {
        Self {
            listener: info.listener,
            peer: info.peer,
            peer_text: info.peer_text,
            secured: info.secured,
            drain: info.drain,
            followed: AtomicBool::new(false),
            kept: AtomicBool::new(false),
            since: Instant::now(),
            deadline: AtomicU64::new(NEVER),
            patience: AtomicU64::new(NEVER),
            silent: AtomicU64::new(NEVER),
        }
    }

    /// Says when the exchange in progress must be over, and how long the upstream may be silent.
    pub fn set_limits(&self, deadline: Option<Instant>, patience: Option<Duration>) {
        let after = |at: Instant| at.saturating_duration_since(self.since).as_nanos() as u64;
        self.deadline.store(deadline.map_or(NEVER, after), Relaxed);
        self.set_patience(patience);
    }

    /// Says how long the upstream may be silent from now on.
    pub fn set_patience(&self, patience: Option<Duration>) {
        let limit = patience.map_or(NEVER, |limit| limit.as_nanos() as u64);
        self.patience.store(limit, Relaxed);
        if patience.is_some() {
            self.hears();
        }
    }

    /// The upstream has said something, or is listened to again.
    pub fn hears(&self) {
        let now = self.since.elapsed().as_nanos() as u64;
        self.silent.store(now, Relaxed);
    }

    /// Nobody listens to the upstream, until the client has taken what it was sent.
    pub fn waits_for_client(&self) {
        self.silent.store(NEVER, Relaxed);
    }

    /// When the exchange in progress must be over, as things stand.
    pub fn deadline(&self) -> Option<Instant> {
        let (silent, patience) = (self.silent.load(Relaxed), self.patience.load(Relaxed));
        let silenced = silent.saturating_add(patience);
        match silenced.min(self.deadline.load(Relaxed)) {
            NEVER => None,
            after => Some(self.since + Duration::from_nanos(after)),
        }
    }

    /// The same connection, for one of its streams.
    ///
    /// # Errors
    /// Never in practice, as with [`Facts::into_digest`].
    pub fn of_stream(&self) -> pingora::Result<Arc<ProxyDigest>> {
        let own = Self {
            listener: self.listener.clone(),
            peer: self.peer,
            peer_text: self.peer_text.clone(),
            secured: self.secured.clone(),
            drain: self.drain.clone(),
            followed: AtomicBool::new(false),
            kept: AtomicBool::new(false),
            since: self.since,
            deadline: AtomicU64::new(NEVER),
            patience: AtomicU64::new(NEVER),
            silent: AtomicU64::new(NEVER),
        };
        own.into_digest()
    }

    /// Says whether another request has arrived behind the one in progress.
    pub fn set_followed(&self, followed: bool) {
        self.followed.store(followed, Relaxed);
    }

    /// The client has a whole answer, and has sent its whole request: the connection goes on,
    /// though the exchange has failed.
    pub fn keep(&self) {
        self.kept.store(true, Relaxed);
    }

    /// Whether the connection goes on so; asked once.
    pub fn take_kept(&self) -> bool {
        self.kept.load(Relaxed) && self.kept.swap(false, Relaxed)
    }

    /// Whether the connection closes after the answer to the request in progress.
    pub fn closes(&self) -> bool {
        self.drain.is_announced() && !self.followed.load(Relaxed)
    }

    /// How the client connected.
    pub fn scheme(&self) -> &'static str {
        match self.secured {
            Some(_) => "https",
            None => "http",
        }
    }

    pub fn ip(&self) -> IpAddr {
        self.peer.ip()
    }

    /// The carrier by which facts travel with the stream; its response is not used by anyone.
    ///
    /// # Errors
    /// Never in practice: 200 is a valid status.
    pub fn into_digest(self) -> pingora::Result<Arc<ProxyDigest>> {
        let unused = Box::new(ResponseHeader::build(200, Some(0))?);
        Ok(Arc::new(ProxyDigest::new(unused, Some(Box::new(self)))))
    }

    /// The facts of the connection that a request came by.
    pub fn of(digest: Option<&Digest>) -> Option<&Self> {
        Self::in_digest_of(digest?)
    }

    /// The facts behind a session's digest.
    pub fn in_digest_of(digest: &Digest) -> Option<&Self> {
        Self::in_digest(digest.proxy_digest.as_ref()?)
    }

    /// The facts that a stream carries.
    pub fn in_digest(digest: &ProxyDigest) -> Option<&Self> {
        digest.user_data.as_ref()?.downcast_ref()
    }
}

/// A socket digest that already knows the peer, so that nobody asks the kernel again.
pub fn socket_digest(fd: std::os::fd::RawFd, peer: SocketAddr) -> Arc<SocketDigest> {
    let digest = SocketDigest::from_raw_fd(fd);
    let _ = digest.peer_addr.set(Some(peer.into()));
    Arc::new(digest)
}
