//! `[listeners.NAME]`: where clients connect, and what is believed of them.

use super::reader::{Cx, Later, Node, Read, ReadNamed, not_yet};
use super::shape::Shape;
use super::units::Bytes;
use super::values::not_a_word;
use super::{Name, Place};
use crate::table;
use ipnet::IpNet;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

/// A listener in its place.
#[derive(Debug, Clone, PartialEq)]
pub struct Listener {
    pub bind: SocketAddr,
    pub http: Vec<Protocol>,
    pub clients: Clients,
    pub at: Place,
}

impl ReadNamed for Listener {
    fn read_named(_: &Name, node: &Node, at: Place, cx: &Cx) -> Option<Self> {
        let Table {
            bind,
            http,
            clients,
            tls: Later { .. },
        } = Table::read(node, cx)?;
        Some(Self {
            bind,
            http,
            clients,
            at,
        })
    }
}

table! {
    /// Where clients connect, and what is believed of them.
    pub struct Table {
        /// Address and port; port 0 lets the kernel choose.
        "bind" => bind: SocketAddr = required,
        /// Protocols: `h1`, `h2c` (HTTP/2 without TLS, with prior knowledge), `h2` (with TLS).
        "http" => http: Vec<Protocol> = (vec![Protocol::H1, Protocol::H2c]) "[\"h1\", \"h2c\"]",
        /// What clients may do, and which of them are believed.
        "clients" => clients: Clients = (Clients::default()) "the defaults below",
        /// Certificates and client authentication.
        "tls" => tls: Later<Tls> = (Later::default()),
    }
}

/// An HTTP version that a listener speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Protocol {
    H1,
    H2c,
}

impl Read for Protocol {
    fn read(node: &Node, cx: &Cx) -> Option<Self> {
        match String::read(node, cx)?.as_str() {
            "h1" => Some(Self::H1),
            "h2c" => Some(Self::H2c),
            "h2" => {
                not_yet(cx, &node.spot(), "`http = [\"h2\"]`, HTTP/2 over TLS,");
                None
            }
            wrong => {
                not_a_word(node, cx, wrong, &["h1", "h2c", "h2"]);
                None
            }
        }
    }

    fn shape() -> Shape {
        Shape::Words(vec!["h1", "h2c", "h2"])
    }
}

table! {
    /// What clients may do, and which of them are believed.
    pub struct Clients {
        /// Networks whose forwarded headers, request ids and carried colors are believed.
        "trust" => trust: Vec<IpNet> = (Vec::new()) "[]",
        /// Connections at once; more are closed as they come.
        "max_connections" => max_connections: u32 = (20_000) "20000",
        /// From the first byte of a request head to its end.
        "header_timeout" => header_timeout: Duration = (Duration::from_secs(10)) "\"10s\"",
        /// Longest silence between two requests, and of a client while a body is on its way.
        "idle_timeout" => idle_timeout: Duration = (Duration::from_secs(75)) "\"75s\"",
        /// Largest request head: request line and fields together.
        "max_head" => max_head: Bytes = (Bytes(64 << 10)) "\"64KiB\"",
        /// Most fields in a request head (at most 250).
        "max_headers" => max_headers: u16 = (100) "100",
        /// Whether a PROXY protocol header comes first.
        "proxy_protocol" => proxy_protocol: No = (No) "false",
    }
}

impl Default for Clients {
    fn default() -> Self {
        Self {
            trust: Vec::new(),
            max_connections: 20_000,
            header_timeout: Duration::from_secs(10),
            idle_timeout: Duration::from_secs(75),
            max_head: Bytes(64 << 10),
            max_headers: 100,
            proxy_protocol: No,
        }
    }
}

/// `false`; `true` is not supported yet.
#[derive(Debug, Clone, PartialEq)]
pub struct No;

impl Read for No {
    fn read(node: &Node, cx: &Cx) -> Option<Self> {
        if bool::read(node, cx)? {
            not_yet(cx, &node.spot(), &format!("`{} = true`", node.path));
        }
        Some(Self)
    }

    fn shape() -> Shape {
        Shape::Bool
    }
}

table! {
    /// Certificates and client authentication.
    pub struct Tls {
        /// Certificates, chosen by the name the client asks for.
        "certs" => certs: Vec<Certificate> = required,
        /// Oldest TLS version: `1.2` or `1.3`.
        "min_version" => min_version: String = ("1.2".to_owned()) "\"1.2\"",
        /// Certificates asked of clients.
        "client_auth" => client_auth: Option<ClientAuth> = none,
    }
}

table! {
    /// A certificate chain and its key.
    pub struct Certificate {
        /// PEM file, leaf first.
        "chain" => chain: PathBuf = required,
        /// PEM key.
        "key" => key: super::admin::Secret = required,
    }
}

table! {
    /// Certificates asked of clients.
    pub struct ClientAuth {
        /// PEM file of the authorities that sign clients.
        "ca" => ca: PathBuf = required,
        /// `optional` or `required`.
        "mode" => mode: String = ("required".to_owned()) "\"required\"",
    }
}
