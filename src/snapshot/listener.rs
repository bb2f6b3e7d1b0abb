//! What a listener allows its clients, taken from the live snapshot for each connection and head.

use crate::config::listener::{Listener, Protocol};
use ipnet::IpNet;
use std::net::IpAddr;
use std::time::Duration;

/// Settings of one listener.
#[derive(Debug)]
pub struct ListenerSettings {
    pub h1: bool,
    pub h2c: bool,
    pub max_connections: u32,
    pub header_timeout: Duration,
    pub idle_timeout: Duration,
    /// Bytes.
    pub max_head: usize,
    pub max_headers: usize,
    trust: Vec<IpNet>,
}

/// The proxy core parses at most this many fields; more would fail behind our back.
const MAX_HEADERS_CEILING: usize = 250;

impl ListenerSettings {
    pub fn new(config: &Listener) -> Self {
        let clients = &config.clients;
        Self {
            h1: config.http.contains(&Protocol::H1),
            h2c: config.http.contains(&Protocol::H2c),
            max_connections: clients.max_connections,
            header_timeout: clients.header_timeout,
            idle_timeout: clients.idle_timeout,
            max_head: usize::try_from(clients.max_head.0).unwrap_or(usize::MAX),
            max_headers: usize::from(clients.max_headers).min(MAX_HEADERS_CEILING),
            trust: clients.trust.clone(),
        }
    }

    /// Whether what this peer says of others (forwarded headers, ids, colors) is believed.
    pub fn trusts(&self, peer: IpAddr) -> bool {
        self.trust.iter().any(|network| network.contains(&peer))
    }
}
