//! What is known of a client connection, shared by all of its requests.

use super::drain::Drain;
use crate::config::Name;
use crate::tls::Identity;
use http::HeaderValue;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

/// Longest time in which a client takes nothing, unless its listener says otherwise.
const WRITE_TIMEOUT: Duration = Duration::from_secs(30);

/// What a handshake has established.
#[derive(Debug, Clone)]
pub struct Secured {
    /// `1.2` or `1.3`.
    pub version: &'static str,
    /// The name the client asked for.
    pub server_name: Option<Box<str>>,
    /// Who the client is by its certificate.
    pub client: Option<Arc<Identity>>,
    /// Whether that goes up.
    pub forwards: bool,
}

/// What does not change in the life of a client connection.
#[derive(Debug)]
pub struct ConnectionInfo {
    /// Whose settings count.
    pub listener: Name,
    /// The peer of the socket; IPv4 in IPv6 is unwrapped.
    pub peer: SocketAddr,
    /// The peer's address as text, made once.
    pub peer_text: HeaderValue,
    /// `None`: a connection without TLS.
    pub secured: Option<Secured>,
    /// How far the listener is on its way out.
    pub drain: Drain,
    /// Longest time in which the client takes nothing of what waits for it.
    pub write_timeout: Duration,
    /// Bytes a second that the body of a request comes at, at least; 0: any pace.
    pub min_body_rate: u64,
}

impl ConnectionInfo {
    pub fn new(listener: Name, peer: SocketAddr, drain: Drain) -> Self {
        let ip = peer.ip().to_canonical();
        let peer_text = HeaderValue::try_from(ip.to_string())
            .unwrap_or_else(|_| HeaderValue::from_static("unknown"));
        Self {
            listener,
            peer: SocketAddr::new(ip, peer.port()),
            peer_text,
            secured: None,
            drain,
            write_timeout: WRITE_TIMEOUT,
            min_body_rate: 0,
        }
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

    /// Whether answers say that the connection closes.
    pub fn closes(&self) -> bool {
        self.drain.is_announced()
    }
}
