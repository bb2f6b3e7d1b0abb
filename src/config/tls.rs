//! TLS on both sides: what listeners show and ask for, and how versions are reached.

use super::admin::Secret;
use super::diagnostic::Diagnostic;
use super::reader::{Cx, Node, Read};
use super::rule::Bounds;
use super::shape::Shape;
use crate::{table, words};
use std::path::PathBuf;
use std::time::Duration;

/// A PEM file; a change of it is a change of the configuration.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct PemFile(pub PathBuf);

impl Read for PemFile {
    fn read(node: &Node, cx: &Cx) -> Option<Self> {
        let path = PathBuf::read(node, cx)?;
        cx.names_file(path.clone());
        Some(Self(path))
    }

    fn shape() -> Shape {
        Shape::Text("path of a PEM file, relative to the file it stands in", "")
    }
}

const HANDSHAKE: Bounds<Duration> = Bounds::least(
    Duration::from_millis(1),
    "no client could be in time",
    "leave it out for \"10s\"",
);
const HANDSHAKES: Bounds<u32> = Bounds::least(1, "nobody could connect", "leave it out for 512");

table! {
    /// Certificates, and what is asked of clients.
    pub struct Tls {
        /// Certificates, chosen by the name the client asks for: an exact name beats a wildcard;
        /// the first one serves everybody else.
        "certs" => certs: Certificates = required,
        /// Oldest version that is spoken: `1.2` or `1.3`.
        "min_version" => min_version: MinVersion = (MinVersion::V12) "\"1.2\"",
        /// Certificates asked of clients.
        "client_auth" => client_auth: Option<ClientAuth> = none "nobody is asked",
        /// Longest handshake.
        "handshake_timeout" => handshake_timeout: Duration = (Duration::from_secs(10)) "\"10s\"" within HANDSHAKE,
        /// Handshakes that begin at once, a quarter of them for one address that is not trusted;
        /// further clients wait for their turn within the same time. A client has none while it
        /// is silent.
        "max_handshakes" => max_handshakes: u32 = (512) "512" within HANDSHAKES,
    }
}

/// At least one certificate.
#[derive(Debug, Clone, PartialEq)]
pub struct Certificates(pub Vec<Certificate>);

impl Read for Certificates {
    fn read(node: &Node, cx: &Cx) -> Option<Self> {
        let certificates = Vec::read(node, cx)?;
        if certificates.is_empty() {
            node.invalid(cx, format!("`{}` is empty", node.path), "no certificate");
            return None;
        }
        Some(Self(certificates))
    }

    fn shape() -> Shape {
        Vec::<Certificate>::shape()
    }
}

words! {
    /// A version of TLS.
    pub enum MinVersion {
        /// TLS 1.2.
        "1.2" => V12,
        /// TLS 1.3.
        "1.3" => V13,
    }
}

table! {
    /// A certificate chain and its key.
    pub struct Certificate {
        /// PEM file, leaf first.
        "chain" => chain: PemFile = required,
        /// PEM key: `{ file = … }`, `{ env = … }` or `{ credential = … }`.
        "key" => key: Secret = required,
    }
}

table! {
    /// Certificates asked of clients.
    pub struct ClientAuth {
        /// PEM file of the authorities that sign clients.
        "ca" => ca: PemFile = required,
        /// PEM file of revocation lists of these authorities.
        "crl" => crl: Option<PemFile> = none "nothing is revoked",
        /// Whether clients without a certificate are served.
        "mode" => mode: ClientAuthMode = (ClientAuthMode::Required) "\"required\"",
        /// Whether the certificate goes up, in `x-forwarded-client-cert` and `x-client-cert-name`.
        /// Conditions and limits can go by these fields in any case; strangers cannot set them.
        "forward" => forward: bool = (true) "true",
    }
}

words! {
    /// Whether clients need a certificate.
    pub enum ClientAuthMode {
        /// No certificate, no connection.
        "required" => Required,
        /// One that is shown must be valid; none is fine.
        "optional" => Optional,
    }
}

table! {
    /// TLS towards a version.
    pub struct VersionTls {
        /// Name that is asked for and checked.
        "server_name" => server_name: Option<ServerName> = none "the host of the endpoint",
        /// PEM file of the authorities that are believed.
        "ca" => ca: Option<PemFile> = none "those of the system",
        /// Certificate shown to the upstream.
        "client_cert" => client_cert: Option<Certificate> = none,
        /// Whether the upstream's certificate is checked: `full`, or `none` for tests at home.
        "verify" => verify: Verify = (Verify::Full) "\"full\"",
    }
}

words! {
    /// Whether the upstream's certificate is checked.
    pub enum Verify {
        /// Chain, dates and name.
        "full" => Full,
        /// Nothing: whoever answers is believed.
        "none" => None,
    }
}

/// A DNS name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServerName(pub String);

impl Read for ServerName {
    fn read(node: &Node, cx: &Cx) -> Option<Self> {
        let name = String::read(node, cx)?;
        let byte = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
        if name.is_empty() || name.len() > 253 || !name.bytes().all(byte) {
            let message = format!("`{}` is not a host name", node.quoted(&name));
            let diagnostic = Diagnostic::error("TY0203", message);
            cx.report(diagnostic.at(&node.spot(), "expected a name such as \"shop.internal\""));
            return None;
        }
        Some(Self(name))
    }

    fn shape() -> Shape {
        Shape::Text("host name", "")
    }
}
