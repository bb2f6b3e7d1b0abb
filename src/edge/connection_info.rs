//! What is known of a client connection, shared by all of its requests.

use super::drain::Drain;
use super::facts::Secured;
use crate::config::Name;
use http::HeaderValue;
use std::net::{IpAddr, SocketAddr};

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
}
