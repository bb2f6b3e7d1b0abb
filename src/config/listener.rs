//! `[listeners.NAME]`: where clients connect, and what is believed of them.

use super::diagnostic::Diagnostic;
use super::proxy_fields::MayBeKept;
use super::reader::{Cx, Node, Read, ReadNamed};
use super::rule::Bounds;
use super::shape::Shape;
use super::tls::Tls;
use super::units::Bytes;
use super::values::bounded;
use super::{Name, Place};
use crate::{table, words};
use http::HeaderName;
use ipnet::IpNet;
use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

/// A listener in its place.
#[derive(Debug, Clone, PartialEq)]
pub struct Listener {
    pub bind: Bind,
    pub http: Vec<Protocol>,
    pub clients: Clients,
    pub tls: Option<Tls>,
    pub http2: Http2,
    pub tcp: Tcp,
    pub at: Place,
}

impl Listener {
    pub fn speaks(&self, protocol: Protocol) -> bool {
        self.http.contains(&protocol)
    }
}

impl ReadNamed for Listener {
    fn read_named(_: &Name, node: &Node, at: Place, cx: &Cx) -> Option<Self> {
        let table = Table::read(node, cx)?;
        let http = match (table.http, &table.tls) {
            (Some(http), _) => http,
            (None, None) => vec![Protocol::H1, Protocol::H2c],
            (None, Some(_)) => vec![Protocol::H1, Protocol::H2],
        };
        let wrong = match &table.tls {
            None if http.contains(&Protocol::H2) => Some((
                "`h2` is HTTP/2 over TLS, and this listener has no `tls`",
                "add `tls = { certs = [{ chain = \"…\", key = { file = \"…\" } }] }`, or say `h2c`",
            )),
            Some(_) if http.contains(&Protocol::H2c) => Some((
                "`h2c` is HTTP/2 without TLS, and this listener has `tls`",
                "say `h2`",
            )),
            _ => None,
        };
        if let Some((message, help)) = wrong {
            let diagnostic = Diagnostic::error("TY0203", message);
            cx.report(diagnostic.at(&node.spot(), "in this listener").help(help));
            return None;
        }
        if table.clients.proxy_protocol && table.clients.trust.is_empty() {
            let message = "`proxy_protocol` is believed from trusted peers only, and none is";
            let diagnostic = Diagnostic::error("TY0203", message);
            let help = "name the load balancers: `clients = { trust = [\"10.0.0.0/8\"], … }`";
            cx.report(diagnostic.at(&node.spot(), "in this listener").help(help));
            return None;
        }
        Some(Self {
            bind: table.bind,
            http,
            clients: table.clients,
            tls: table.tls,
            http2: table.http2,
            tcp: table.tcp,
            at,
        })
    }
}

table! {
    /// Where clients connect, and what is believed of them.
    pub struct Table {
        /// Address and port; port 0 lets the kernel choose. `unix:/path` for a Unix socket.
        "bind" => bind: Bind = required,
        /// Protocols: `h1`, `h2c` (HTTP/2 without TLS, with prior knowledge), `h2` (with TLS).
        "http" => http: Option<Vec<Protocol>> = none "[\"h1\", \"h2c\"], with TLS [\"h1\", \"h2\"]",
        /// What clients may do, and which of them are believed.
        "clients" => clients: Clients = (Clients::default()) "the defaults below",
        /// Certificates, and what is asked of clients.
        "tls" => tls: Option<Tls> = none "no TLS",
        /// Limits of HTTP/2.
        "http2" => http2: Http2 = (Http2::default()) "the defaults below",
        /// Options of the sockets.
        "tcp" => tcp: Tcp = (Tcp::default()) "the defaults below",
    }
}

/// Where a listener listens.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Bind {
    Tcp(SocketAddr),
    /// Path of a Unix socket.
    Unix(PathBuf),
}

impl Read for Bind {
    fn read(node: &Node, cx: &Cx) -> Option<Self> {
        match node
            .value
            .as_str()
            .and_then(|text| text.strip_prefix("unix:"))
        {
            Some("") => {
                node.invalid(
                    cx,
                    "`unix:` has no path",
                    "expected such as \"unix:/run/tyrian.sock\"",
                );
                None
            }
            Some(_) => {
                let text = String::read(node, cx)?;
                let path = text.trim_start_matches("unix:");
                Some(Self::Unix(cx.relative(node, path)))
            }
            None => SocketAddr::read(node, cx).map(Self::Tcp),
        }
    }

    fn shape() -> Shape {
        Shape::Any(vec![
            SocketAddr::shape(),
            Shape::Text("`unix:/path`", "^unix:.+"),
        ])
    }
}

impl Bind {
    /// Whether two cannot both be listened at: the same, or one of them on all addresses.
    pub fn meets(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Unix(one), Self::Unix(two)) => one == two,
            (Self::Tcp(one), Self::Tcp(two)) if one.port() == two.port() && one.port() != 0 => {
                let (one, two) = (one.ip(), two.ip());
                let all = |wide: IpAddr, other: IpAddr| {
                    wide.is_unspecified() && (wide.is_ipv6() || other.is_ipv4())
                };
                one == two || all(one, two) || all(two, one)
            }
            _ => false,
        }
    }
}

impl fmt::Display for Bind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) => address.fmt(f),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

words! {
    /// An HTTP version that a listener speaks.
    pub enum Protocol {
        /// HTTP/1.1, and 1.0.
        "h1" => H1,
        /// HTTP/2 without TLS, with prior knowledge.
        "h2c" => H2c,
        /// HTTP/2 over TLS, by ALPN.
        "h2" => H2,
    }
}

const WAIT: Bounds<Duration> = Bounds::least(
    Duration::from_millis(1),
    "no client could be in time",
    "leave it out for the default",
);
const ROOM: Bounds<u32> = Bounds::least(1, "nobody could connect", "leave it out for the default");
/// Few servers take more fields in one request.
const FIELDS: Bounds<u16> = Bounds::least(
    1,
    "every request has a field, and the gateway reads 250 at most",
    "leave it out for 100",
)
.most(250);

table! {
    /// What clients may do, and which of them are believed.
    pub struct Clients {
        /// Networks whose forwarded headers, request ids and carried colors are believed.
        "trust" => trust: Vec<IpNet> = (Vec::new()) "[]",
        /// Fields of proxies, such as `x-real-ip`, that clients outside `trust` may send all the
        /// same. All others of them are taken off; `docs/operations/security.md` lists them.
        "keep" => keep: Vec<HeaderName> = (Vec::new()) "[]" within MayBeKept,
        /// Networks that may connect; others are closed as they come.
        "allow" => allow: Vec<IpNet> = (Vec::new()) "everybody",
        /// Networks that may not.
        "deny" => deny: Vec<IpNet> = (Vec::new()) "[]",
        /// Connections at once. Beyond them, one that has not asked for anything yet gives way to
        /// the next; where there is none, the next is closed as it comes.
        "max_connections" => max_connections: u32 = (20_000) "20000" within ROOM,
        /// Connections at once from one address (IPv6: from one /64); 0 for no limit. Trusted
        /// peers are not counted.
        "max_connections_per_ip" => max_connections_per_ip: u32 = (0) "0",
        /// From the first byte of a request head to its end.
        "header_timeout" => header_timeout: Duration = (Duration::from_secs(10)) "\"10s\"" within WAIT,
        /// Longest silence between two requests, and of a client while a body is on its way.
        "idle_timeout" => idle_timeout: Duration = (Duration::from_secs(75)) "\"75s\"" within WAIT,
        /// Longest time a client may take nothing of an answer.
        "write_timeout" => write_timeout: Duration = (Duration::from_secs(30)) "\"30s\"" within WAIT,
        /// Slowest body, in bytes a second on the average, after a grace of five seconds; 0 for
        /// any pace. Upgrades and gRPC streams are not measured.
        "min_body_rate" => min_body_rate: Bytes = (Bytes(128)) "\"128B\"",
        /// Largest request head: request line and fields together.
        "max_head" => max_head: Bytes = (Bytes(64 << 10)) "\"64KiB\"",
        /// Most fields in a request head.
        "max_headers" => max_headers: u16 = (100) "100" within FIELDS,
        /// Whether trusted peers send a PROXY protocol header (version 1 or 2) first. They must,
        /// then; others must not, and are taken as they are.
        "proxy_protocol" => proxy_protocol: bool = (false) "false",
    }
}

impl Default for Clients {
    fn default() -> Self {
        Self {
            trust: Vec::new(),
            keep: Vec::new(),
            allow: Vec::new(),
            deny: Vec::new(),
            max_connections: 20_000,
            max_connections_per_ip: 0,
            header_timeout: Duration::from_secs(10),
            idle_timeout: Duration::from_secs(75),
            write_timeout: Duration::from_secs(30),
            min_body_rate: Bytes(128),
            max_head: Bytes(64 << 10),
            max_headers: 100,
            proxy_protocol: false,
        }
    }
}

table! {
    /// Limits of HTTP/2.
    pub struct Http2 {
        /// Streams at once on one connection, 1 to 1000.
        "max_streams" => max_streams: Streams = (Streams(128)) "128",
        /// What a client may send ahead on one stream (RFC 9113, section 5.2).
        "stream_window" => stream_window: Window = (Window(256 << 10)) "\"256KiB\"",
        /// What a client may send ahead on one connection.
        "connection_window" => connection_window: Window = (Window(1 << 20)) "\"1MiB\"",
    }
}

impl Default for Http2 {
    fn default() -> Self {
        Self {
            max_streams: Streams(128),
            stream_window: Window(256 << 10),
            connection_window: Window(1 << 20),
        }
    }
}

/// 1 to 1000 streams.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Streams(pub u32);

impl Read for Streams {
    fn read(node: &Node, cx: &Cx) -> Option<Self> {
        bounded(node, cx, 1, 1000).map(Self)
    }

    fn shape() -> Shape {
        Shape::Integer(1, 1000)
    }
}

/// 64 KiB less one byte (what HTTP/2 starts with) to 16 MiB.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Window(pub u32);

impl Read for Window {
    fn read(node: &Node, cx: &Cx) -> Option<Self> {
        let bytes = Bytes::read(node, cx)?.0;
        match u32::try_from(bytes) {
            Ok(window) if (65_535..=16 << 20).contains(&window) => Some(Self(window)),
            _ => {
                node.invalid(cx, "a window is 65535B to 16MiB", "out of range");
                None
            }
        }
    }

    fn shape() -> Shape {
        Bytes::shape()
    }
}

table! {
    /// Options of the sockets.
    pub struct Tcp {
        /// After this long a silence the kernel asks whether the client is still there.
        "keepalive" => keepalive: Duration = (Duration::from_mins(1)) "\"60s\"",
        /// Whether other processes may listen on the same address (`SO_REUSEPORT`).
        "reuse_port" => reuse_port: bool = (false) "false",
        /// Connections that the kernel holds until they are accepted.
        "backlog" => backlog: u16 = (4096) "4096",
    }
}

impl Default for Tcp {
    fn default() -> Self {
        Self {
            keepalive: Duration::from_mins(1),
            reuse_port: false,
            backlog: 4096,
        }
    }
}
