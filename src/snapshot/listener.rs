//! What a listener allows its clients, taken from the live snapshot for each connection and head.

use super::ListenerSeries;
use super::turns::Turns;
use crate::config::listener::{Http2, Listener, Protocol};
use crate::config::tls::Tls;
use crate::tls::ListenerTls;
use http::HeaderName;
use ipnet::IpNet;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

/// Settings of one listener.
#[derive(Debug)]
pub struct ListenerSettings {
    pub h1: bool,
    pub h2c: bool,
    pub max_connections: u32,
    /// 0: no limit.
    pub max_connections_per_ip: u32,
    pub header_timeout: Duration,
    pub idle_timeout: Duration,
    pub write_timeout: Duration,
    /// Bytes a second; 0: any pace.
    pub min_body_rate: u64,
    /// Bytes.
    pub max_head: usize,
    pub max_headers: usize,
    pub proxy_protocol: bool,
    pub http2: Http2,
    pub tls: Option<ListenerTlsSettings>,
    /// Fields of proxies that clients may send though they are not trusted.
    pub keep: Vec<HeaderName>,
    pub series: Arc<ListenerSeries>,
    trust: Vec<IpNet>,
    allow: Vec<IpNet>,
    deny: Vec<IpNet>,
}

/// TLS of a listener, and how much of it at once.
#[derive(Debug)]
pub struct ListenerTlsSettings {
    pub of: ListenerTls,
    pub timeout: Duration,
    /// One for each handshake that may begin at once.
    pub turns: Turns,
}

impl ListenerTlsSettings {
    fn new(of: ListenerTls, config: &Tls) -> Self {
        Self {
            of,
            timeout: config.handshake_timeout,
            turns: Turns::new(config.max_handshakes.max(1) as usize),
        }
    }
}

/// Most fields of a request, whatever the configuration says.
const MAX_HEADERS_CEILING: usize = 250;

impl ListenerSettings {
    /// Settings for `config`; sessions of the generation before can be resumed.
    pub fn new(config: &Listener, tls: Option<ListenerTls>, previous: Option<&Self>) -> Self {
        let clients = &config.clients;
        let before = previous.and_then(|previous| previous.tls.as_ref());
        let tls = tls.map(|tls| tls.after(before.map(|before| &before.of)));
        Self {
            h1: config.http.contains(&Protocol::H1),
            h2c: config.http.contains(&Protocol::H2c),
            max_connections: clients.max_connections,
            max_connections_per_ip: clients.max_connections_per_ip,
            header_timeout: clients.header_timeout,
            idle_timeout: clients.idle_timeout,
            write_timeout: clients.write_timeout,
            min_body_rate: clients.min_body_rate.0,
            max_head: usize::try_from(clients.max_head.0).unwrap_or(usize::MAX),
            max_headers: usize::from(clients.max_headers).min(MAX_HEADERS_CEILING),
            proxy_protocol: clients.proxy_protocol,
            http2: config.http2.clone(),
            tls: tls
                .zip(config.tls.as_ref())
                .map(|(tls, config)| ListenerTlsSettings::new(tls, config)),
            keep: clients.keep.clone(),
            series: previous
                .map(|previous| previous.series.clone())
                .unwrap_or_default(),
            trust: clients.trust.clone(),
            allow: clients.allow.clone(),
            deny: clients.deny.clone(),
        }
    }

    /// Whether what this peer says of others (forwarded headers, ids, colors) is believed.
    pub fn trusts(&self, peer: IpAddr) -> bool {
        within(&self.trust, peer)
    }

    /// Whether this peer may connect at all.
    pub fn admits(&self, peer: IpAddr) -> bool {
        !within(&self.deny, peer) && (self.allow.is_empty() || within(&self.allow, peer))
    }
}

fn within(networks: &[IpNet], address: IpAddr) -> bool {
    networks.iter().any(|network| network.contains(&address))
}
