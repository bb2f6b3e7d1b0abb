//! `[admin]`: the write API and the read-only port of probes and metrics.

use super::diagnostic::Diagnostic;
use super::listener::Bind;
use super::reader::{Cx, Node, Read};
use super::shape::Shape;
use super::values::parsed;
use super::{Config, Place, place_of};
use crate::files;
use crate::table;
use std::net::SocketAddr;
use std::path::PathBuf;

/// Where the write API listens unless configured.
pub const BIND: SocketAddr =
    SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 9980);
/// Where probes and metrics listen unless configured.
pub const METRICS: SocketAddr =
    SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 9981);

/// The administration of this process.
#[derive(Debug, Clone, PartialEq)]
pub struct Admin {
    /// `None`: `bind = "off"`.
    pub bind: Option<SocketAddr>,
    pub token: Secret,
    /// Shows everything, changes nothing.
    pub read_token: Option<Secret>,
    /// Names besides addresses and `localhost`.
    pub hosts: Vec<HostName>,
    /// `None`: `metrics = "off"`.
    pub metrics: Option<SocketAddr>,
    /// Where the two addresses are written, if they are.
    pub bind_at: Option<Place>,
    pub metrics_at: Option<Place>,
    /// Whether the file has an `[admin]` table; an implicit admin that finds its port taken is
    /// a warning, not a failure to start.
    pub explicit: bool,
}

impl Default for Admin {
    fn default() -> Self {
        Self {
            bind: Some(BIND),
            token: Secret::StateFile,
            read_token: None,
            hosts: Vec::new(),
            metrics: Some(METRICS),
            bind_at: None,
            metrics_at: None,
            explicit: false,
        }
    }
}

impl Read for Admin {
    fn read(node: &Node, cx: &Cx) -> Option<Self> {
        let table = Table::read(node, cx)?;
        let written = |key| {
            let value = node.table(cx).and_then(|mut table| table.get(key));
            value.map(|value| place_of(&value))
        };
        Some(Self {
            bind: table.bind.0,
            bind_at: written("bind"),
            metrics_at: written("metrics"),
            token: table.token,
            read_token: table.read_token,
            hosts: table.hosts,
            metrics: table.metrics.0,
            explicit: true,
        })
    }

    fn shape() -> Shape {
        Table::shape()
    }
}

table! {
    /// The write API and the read-only port of probes and metrics.
    pub struct Table {
        /// Where the dashboard and the write API listen; `off` for nowhere.
        "bind" => bind: OrOff = (OrOff(Some(BIND))) "\"127.0.0.1:9980\"",
        /// The bearer token of the API: `{ file = … }`, `{ env = … }` or `{ credential = … }`. A
        /// file that does not exist is made at first start, for its owner's eyes only.
        "token" => token: Secret = (Secret::StateFile) "`admin.token` in the state directory",
        /// A second token, for those who may look but change nothing. Its file is not made.
        "read_token" => read_token: Option<Secret> = none,
        /// Names under which the API and the dashboard may be asked for, besides addresses and
        /// `localhost`: a page elsewhere cannot make a browser use any other name.
        "hosts" => hosts: Vec<HostName> = (Vec::new()) "[]",
        /// Where `/metrics`, `/livez`, `/readyz` and `/healthz` are served; `off` for nowhere.
        "metrics" => metrics: OrOff = (OrOff(Some(METRICS))) "\"127.0.0.1:9981\"",
    }
}

/// Only one can listen at an address: two that want it are found before the second fails to start.
pub fn one_address_each(config: &Config, out: &mut Vec<Diagnostic>) {
    let listeners = config.listeners.iter();
    let listeners = listeners.map(|(name, listener)| {
        let what = format!("listener `{name}`");
        (what, listener.bind.clone(), Some(&listener.at))
    });
    let admin = &config.admin;
    let ours = [
        ("`admin.bind`", admin.bind, &admin.bind_at),
        ("`admin.metrics`", admin.metrics, &admin.metrics_at),
    ];
    let ours = ours.into_iter().filter_map(|(what, address, at)| {
        Some((what.to_owned(), Bind::Tcp(address?), at.as_ref()))
    });
    let all: Vec<_> = listeners.chain(ours).collect();
    for (index, (what, address, at)) in all.iter().enumerate() {
        let mut before = all.iter().take(index);
        let first = before.find(|(_, other, _)| address.meets(other));
        let Some((first_what, first_address, first_at)) = first else {
            continue;
        };
        let message = format!("{first_what} and {what} both want {address}");
        // An admin that nobody asked for gives way, and says so.
        let forced = admin.explicit || index < config.listeners.len();
        let mut diagnostic = match forced {
            true => Diagnostic::error("TY0305", message),
            false => Diagnostic::warning("TY0305", message),
        };
        for (at, label) in [(at, "cannot listen here too"), (first_at, "listens here")] {
            if let Some(at) = at {
                diagnostic = diagnostic.at(&at.spot(), label);
            }
        }
        let help = match address == first_address {
            true => "give one of them another port",
            false => "an address without a host means all of this machine's; give one another port",
        };
        out.push(diagnostic.help(help));
    }
}

/// An address, or `off`.
#[derive(Debug, Clone, PartialEq)]
pub struct OrOff(pub Option<SocketAddr>);

impl Read for OrOff {
    fn read(node: &Node, cx: &Cx) -> Option<Self> {
        if node.value.as_str() == Some("off") {
            cx.record(node, "\"off\"".to_owned(), Vec::new());
            return Some(Self(None));
        }
        SocketAddr::read(node, cx).map(|address| Self(Some(address)))
    }

    fn shape() -> Shape {
        Shape::Any(vec![SocketAddr::shape(), Shape::Words(vec!["off"])])
    }
}

/// A name that a browser may ask for us by, in lower case.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostName(pub String);

impl Read for HostName {
    fn read(node: &Node, cx: &Cx) -> Option<Self> {
        parsed(node, cx, "a name such as \"gateway.internal\"", |text| {
            let part = |part: &str| {
                let sound = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
                !part.is_empty() && part.bytes().all(sound)
            };
            let sound = text.split('.').all(part);
            sound.then(|| Self(text.to_ascii_lowercase()))
        })
    }

    fn shape() -> Shape {
        Shape::Text("a host name without a port", "^[0-9A-Za-z.-]+$")
    }
}

/// Where a secret comes from. Never its value: that is read when it is used.
#[derive(Debug, Clone, PartialEq)]
pub enum Secret {
    File(PathBuf),
    Env(String),
    /// A systemd credential below `$CREDENTIALS_DIRECTORY`.
    Credential(String),
    /// No token was configured: `admin.token` in the state directory, made at first start (0600).
    StateFile,
}

impl Secret {
    /// The secret as it is now, surrounding white space taken off; `None` when it cannot be read.
    pub fn text(&self) -> Option<String> {
        let text = match self {
            Self::File(path) => files::read_text(path, files::SECRET_MAX).ok()?,
            Self::Env(name) => std::env::var(name).ok()?,
            Self::Credential(name) => {
                let directory = std::env::var_os("CREDENTIALS_DIRECTORY")?;
                let path = PathBuf::from(directory).join(name);
                files::read_text(&path, files::SECRET_MAX).ok()?
            }
            Self::StateFile => return None,
        };
        Some(text.trim().to_owned())
    }
}

impl Read for Secret {
    fn read(node: &Node, cx: &Cx) -> Option<Self> {
        if node.value.is_str() {
            let message = format!(
                "`{}` is a secret and does not belong in the file",
                node.key()
            );
            let help =
                "name its place: { file = \"…\" }, { env = \"…\" } or { credential = \"…\" }";
            let diagnostic = Diagnostic::error("TY0401", message);
            cx.hide(node.spot());
            cx.report(
                diagnostic
                    .at(&node.spot(), "a secret in the open")
                    .help(help),
            );
            return None;
        }
        let Sources {
            file,
            env,
            credential,
        } = Sources::read(node, cx)?;
        match (file, env, credential) {
            (Some(file), None, None) => {
                cx.names_file(file.clone());
                Some(Self::File(file))
            }
            (None, Some(env), None) => {
                cx.secret_variable(&env, node)?;
                Some(Self::Env(env))
            }
            (None, None, Some(credential)) => {
                cx.credential(&credential, node)?;
                Some(Self::Credential(credential))
            }
            _ => {
                let message = format!(
                    "`{}` needs exactly one of file, env, credential",
                    node.key()
                );
                node.invalid(cx, message, "one of the three");
                None
            }
        }
    }

    fn shape() -> Shape {
        Sources::shape()
    }
}

table! {
    /// Where a secret comes from: exactly one of these.
    pub struct Sources {
        /// A file with the secret, surrounding white space ignored; read again when it changes.
        "file" => file: Option<PathBuf> = none,
        /// An environment variable.
        "env" => env: Option<String> = none,
        /// A systemd credential.
        "credential" => credential: Option<String> = none,
    }
}
