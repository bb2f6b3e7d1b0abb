//! `[listeners.NAME]`: where clients connect, and what is believed of them.

use super::Place;
use super::units::Bytes;
use ipnet::IpNet;
use std::net::SocketAddr;
use std::time::Duration;

#[derive(Debug, Clone, PartialEq)]
pub struct Listener {
    pub bind: SocketAddr,
    pub http: Vec<Protocol>,
    pub clients: Clients,
    pub at: Place,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Protocol {
    H1,
    H2c,
}

#[derive(Debug, Clone, PartialEq)]
pub struct Clients {
    /// Networks whose forwarded headers, request ids and carried colors are believed.
    pub trust: Vec<IpNet>,
    pub max_connections: u32,
    /// From the first byte of a request head to its end.
    pub header_timeout: Duration,
    /// Longest silence between two requests, and of a client while a body is on its way.
    pub idle_timeout: Duration,
    /// Largest request head (request line and fields).
    pub max_head: Bytes,
    /// Most fields in a request head.
    pub max_headers: u16,
}
