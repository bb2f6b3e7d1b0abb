//! Where a version is served: addresses and their weights.

use super::Name;
use super::diagnostic::Diagnostic;
use super::reader::{Cx, Node, Read};
use super::rule::Bounds;
use super::shape::Shape;
use crate::table;

/// One endpoint.
#[derive(Debug, Clone, PartialEq)]
pub struct Endpoint {
    /// `host:port`, host an IP address (v6 in brackets) or a DNS name; or `unix:/path`.
    pub address: Name,
    /// 0 to 1000; with 0 it gets no requests.
    pub weight: u16,
}

impl Read for Endpoint {
    fn read(node: &Node, cx: &Cx) -> Option<Self> {
        if node.value.is_str() {
            return address(node, cx).map(|address| Self { address, weight: 1 });
        }
        let table = EndpointTable::read(node, cx)?;
        Some(Self {
            address: table.address.0,
            weight: table.weight,
        })
    }

    fn shape() -> Shape {
        Shape::Any(vec![Address::shape(), EndpointTable::shape()])
    }
}

const WEIGHT: Bounds<u16> =
    Bounds::least(0, "out of range", "weights count relative to each other").most(1000);

table! {
    /// An endpoint with its weight.
    pub struct EndpointTable {
        /// `host:port` or `unix:/path`.
        "address" => address: Address = required,
        /// Its share of requests relative to its siblings. With 0 it gets none, and stays checked.
        "weight" => weight: u16 = (1) "1" within WEIGHT,
    }
}

/// `host:port` or `unix:/path`.
#[derive(Debug, Clone, PartialEq)]
pub struct Address(pub Name);

impl Read for Address {
    fn read(node: &Node, cx: &Cx) -> Option<Self> {
        address(node, cx).map(Self)
    }

    fn shape() -> Shape {
        Shape::Text("`host:port` or `unix:/path`", "^.+:[0-9]+$|^unix:.+|\\$\\{")
    }
}

fn address(node: &Node, cx: &Cx) -> Option<Name> {
    let text = String::read(node, cx)?;
    if let Some(path) = text.strip_prefix("unix:").filter(|path| !path.is_empty()) {
        let path = cx.relative(node, path);
        return Some(Name::from(format!("unix:{}", path.display())));
    }
    let address = host_and_port(&text);
    if address.is_none() {
        let what = "an endpoint, such as \"10.0.0.7:8080\" or \"shop-v1:8080\"";
        let quoted = node.quoted(&text);
        let message = format!("`{quoted}` is not {what}");
        let diagnostic =
            Diagnostic::error("TY0203", message).at(&node.spot(), format!("expected {what}"));
        cx.report(match meant(&quoted) {
            None => diagnostic,
            Some((endpoint, help)) => diagnostic
                .help(help)
                .patch(&node.spot(), format!("{endpoint:?}")),
        });
    }
    address
}

fn host_and_port(text: &str) -> Option<Name> {
    let (host, port) = text.rsplit_once(':')?;
    let port: u16 = port.parse().ok().filter(|port| *port > 0)?;
    let name = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    let sound = text.parse::<std::net::SocketAddr>().is_ok()
        || (!host.is_empty() && host.bytes().all(name));
    sound.then(|| Name::from(format!("{host}:{port}")))
}

/// The endpoint of a URL, or of a host without a port, and what to write.
fn meant(text: &str) -> Option<(String, String)> {
    let (scheme, rest) = text.split_once("://").unwrap_or(("", text));
    let (usual, by_tls) = match scheme {
        "https" | "wss" | "grpcs" => (443, true),
        _ => (80, false),
    };
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let (host, path) = rest.split_at(end);
    let endpoint = match host_and_port(host) {
        Some(whole) => whole.to_string(),
        None => host_and_port(&format!("{host}:{usual}"))?.to_string(),
    };
    let mut help = format!("write \"{endpoint}\"");
    if by_tls {
        help.push_str(", and `tls = {}` in the version");
    }
    if !path.trim_matches('/').is_empty() {
        help.push_str("; a path is put on by `rewrite` of the route");
    }
    Some((endpoint, help))
}
