//! Where endpoints come from: `[discovery.NAME]` is a connection to a registry, `discover` of a
//! version says what is asked for there.

use super::diagnostic::Diagnostic;
use super::endpoint::Address;
use super::entry::{self, EntryName};
use super::reader::{Cx, Node, Read, ReadNamed};
use super::rule::Bounds;
use super::shape::Shape;
use super::values::parsed;
use super::{Name, Place};
use crate::{table, words};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

/// How long a removal may have to be confirmed.
const HOLD: Bounds<Duration> = Bounds::least(
    Duration::ZERO,
    "out of range",
    "\"0s\" believes every removal at once",
)
.most(Duration::from_hours(1));
const KEEP: Bounds<Duration> = Bounds::least(
    Duration::from_secs(1),
    "a source that fails once would take the service down",
    "leave it out to keep the last endpoints for ever",
);

/// A registry in its place.
#[derive(Debug, Clone, PartialEq)]
pub struct Discovery {
    /// DNS servers, asked in their order.
    pub dns: Vec<SocketAddr>,
    pub trust: Trust,
    pub at: Place,
}

table! {
    /// A registry that endpoints are discovered in.
    pub struct DiscoveryTable {
        /// DNS servers: `["127.0.0.1:53"]`.
        "dns" => dns: Vec<SocketAddr> = required,
        /// How long removals must be confirmed, where a version does not say.
        "hold" => hold: Option<Duration> = none "\"10s\"" within HOLD,
        /// How long the last endpoints are kept while the registry fails, where a version does not
        /// say.
        "keep" => keep: Option<Duration> = none "for ever" within KEEP,
        /// What an answer without any endpoint means, where a version does not say.
        "empty" => empty: Option<Empty> = none "\"keep\"",
    }
}

impl ReadNamed for Discovery {
    fn read_named(_: &Name, node: &Node, at: Place, cx: &Cx) -> Option<Self> {
        let table = DiscoveryTable::read(node, cx)?;
        if table.dns.is_empty() {
            node.invalid(cx, "`dns` names no server", "empty");
            return None;
        }
        Some(Self {
            dns: table.dns,
            trust: Trust {
                hold: table.hold,
                keep: table.keep,
                empty: table.empty,
            },
            at,
        })
    }
}

words! {
    /// What an answer without any endpoint means.
    pub enum Empty {
        /// The last endpoints stay.
        "keep" => Keep,
        /// There are none.
        "believe" => Believe,
    }
}

/// How far a source is believed when endpoints go; what is `None` is said at a wider level.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Trust {
    /// How long a removal of more than half of the endpoints must be confirmed.
    pub hold: Option<Duration>,
    /// How long the last endpoints are kept while the source fails.
    pub keep: Option<Duration>,
    pub empty: Option<Empty>,
}

impl Trust {
    /// These, and those of the wider level where they say nothing.
    pub fn or(self, wider: Self) -> Self {
        Self {
            hold: self.hold.or(wider.hold),
            keep: self.keep.or(wider.keep),
            empty: self.empty.or(wider.empty),
        }
    }
}

/// Where a version's endpoints are discovered.
#[derive(Debug, Clone, PartialEq)]
pub struct Discover {
    pub what: What,
    /// The registry; `None`: the resolvers of the system.
    pub from: Option<Name>,
    pub trust: Trust,
}

/// What is asked for.
#[derive(Debug, Clone, PartialEq)]
pub enum What {
    /// All addresses of a DNS name (A and AAAA), with a port.
    Dns { host: Name, port: u16 },
    /// SRV records (RFC 2782).
    Srv(Name),
    /// A JSON file.
    File(PathBuf),
}

table! {
    /// Where the endpoints of a version are discovered: one of `dns`, `srv` and `file`.
    pub struct DiscoverTable {
        /// A name and a port, `"shop.internal:8080"`: all of its addresses (A, AAAA), asked for
        /// again by their time to live (1 s to 1 h).
        "dns" => dns: Option<Address> = none,
        /// A name of SRV records, `"_http._tcp.shop.internal"`: those of the lowest priority, with
        /// their ports and weights (RFC 2782).
        "srv" => srv: Option<DnsName> = none,
        /// A JSON file, read again when it changes: `[{"address": "10.0.0.7:8080", "weight": 2}]`,
        /// or the form of Prometheus's `file_sd`.
        "file" => file: Option<PathBuf> = none,
        /// The name of a registry in `[discovery]` whose DNS servers are asked.
        "from" => from: Option<EntryName<entry::Discovery>> = none "the resolvers of the system",
        /// How long the removal of more than half of the endpoints must be confirmed; `"0s"`: not
        /// at all. Additions apply at once.
        "hold" => hold: Option<Duration> = none "\"10s\"" within HOLD,
        /// How long the last endpoints are kept while the source fails.
        "keep" => keep: Option<Duration> = none "for ever" within KEEP,
        /// What an answer without any endpoint means.
        "empty" => empty: Option<Empty> = none "\"keep\"",
    }
}

/// A DNS name, labels with leading underscores included.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DnsName(pub Name);

impl Read for DnsName {
    fn read(node: &Node, cx: &Cx) -> Option<Self> {
        parsed(node, cx, "a DNS name", |text| {
            let byte = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
            let label = |label: &str| (1..=63).contains(&label.len()) && label.bytes().all(byte);
            let bare = text.strip_suffix('.').unwrap_or(text);
            let sound = bare.len() <= 253 && bare.split('.').all(label);
            sound.then(|| Self(text.into()))
        })
    }

    fn shape() -> Shape {
        Shape::Text("DNS name", "")
    }
}

impl Read for Discover {
    fn read(node: &Node, cx: &Cx) -> Option<Self> {
        let table = DiscoverTable::read(node, cx)?;
        let what = match (table.dns, table.srv, table.file) {
            (Some(Address(address)), None, None) => match name_and_port(&address) {
                Some((host, port)) => What::Dns { host, port },
                None => {
                    let message = format!("`{}` is no name that DNS knows", node.quoted(&address));
                    node.invalid(cx, message, "an address belongs into `endpoints`");
                    return None;
                }
            },
            (None, Some(DnsName(name)), None) => What::Srv(name),
            (None, None, Some(file)) => What::File(file),
            _ => {
                let message = "`discover` has exactly one of `dns`, `srv` and `file`";
                let help = "such as `discover = { dns = \"shop.internal:8080\" }`";
                let diagnostic = Diagnostic::error("TY0203", message);
                cx.report(diagnostic.at(&node.spot(), "in this table").help(help));
                return None;
            }
        };
        let from = table.from.map(|name| Name::from(name.0));
        if matches!(what, What::File(_)) && from.is_some() {
            node.invalid(cx, "a file needs no registry", "take `from` out");
            return None;
        }
        Some(Self {
            what,
            from,
            trust: Trust {
                hold: table.hold,
                keep: table.keep,
                empty: table.empty,
            },
        })
    }

    fn shape() -> Shape {
        DiscoverTable::shape()
    }
}

/// Splits `host:port` where the host is a name. `None`: it is an address or a path.
pub fn name_and_port(address: &str) -> Option<(Name, u16)> {
    if address.starts_with("unix:") || address.parse::<SocketAddr>().is_ok() {
        return None;
    }
    let (host, port) = address.rsplit_once(':')?;
    Some((host.into(), port.parse().ok()?))
}
