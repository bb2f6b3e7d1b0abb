//! Text to `Config`: pure, no sockets, no runtime types; every problem is reported at once.
//!
//! The typed tables live one per file; nothing after a successful load can find a field wrong.

pub mod access_log;
pub mod admin;
pub mod auth;
pub mod breaker;
mod check;
pub mod claim;
pub mod codes;
pub mod color;
pub mod compress;
mod context;
pub mod diagnostic;
pub mod discovery;
pub mod effective;
pub mod endpoint;
pub mod entry;
pub mod expiry;
pub mod field;
mod foreign;
pub mod format;
mod gather;
pub mod hidden;
mod interpolate;
pub mod jwt;
pub mod limit;
mod lint;
pub mod listener;
pub mod location;
pub mod matches;
pub mod mirror;
mod opaque;
pub mod outside;
pub mod place;
pub mod plugin;
pub mod policy;
pub mod proxy_fields;
pub mod reader;
pub mod reference;
mod render;
pub mod reserved;
mod rivals;
pub mod rollout;
mod root;
pub mod route;
pub mod rule;
pub mod schema;
mod scrub;
mod secrecy;
pub mod selector;
pub mod server;
pub mod service;
pub mod shape;
pub mod share;
mod short;
pub mod source;
mod syntax;
pub mod table;
pub mod telemetry;
pub mod test;
pub mod tls;
pub mod traces;
pub mod units;
mod unknown_key;
pub mod upkeep;
pub mod values;

pub use effective::{Change, diff};
pub use outside::Values;
pub use reader::environment;
pub use source::{Loaded, load, load_posted, load_text};

use diagnostic::Diagnostic;
use reader::{Cx, Node};
use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;

/// One checked configuration: what a whole set of files says, with defaults filled in.
#[derive(Debug, Clone, PartialEq)]
pub struct Config {
    pub server: server::Server,
    pub listeners: BTreeMap<Name, listener::Listener>,
    pub admin: admin::Admin,
    pub discovery: BTreeMap<Name, discovery::Discovery>,
    pub services: BTreeMap<Name, service::Service>,
    pub coloring: color::Coloring,
    pub colors: BTreeMap<Name, color::Color>,
    pub rollouts: BTreeMap<Name, rollout::Rollout>,
    pub jwt: BTreeMap<Name, jwt::Jwt>,
    pub api_keys: BTreeMap<Name, auth::ApiKeys>,
    pub forward_auth: BTreeMap<Name, auth::ForwardAuth>,
    pub limits: BTreeMap<Name, limit::Limit>,
    pub breakers: BTreeMap<Name, breaker::Breaker>,
    pub plugins: BTreeMap<Name, plugin::Plugin>,
    pub routes: BTreeMap<Name, route::Route>,
    pub telemetry: telemetry::Telemetry,
    pub tests: Vec<test::Test>,
}

/// The name of a table entry (`[routes.NAME]`), shared without copying.
pub type Name = Arc<str>;

/// Where something was written. Never part of equality: moving a table is not a change.
#[derive(Debug, Clone, Default)]
pub struct Place {
    /// The file as the user named it.
    pub file: Arc<str>,
    /// 1-based.
    pub line: u32,
    /// Byte span of the name.
    pub span: (u32, u32),
}

impl PartialEq for Place {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

impl Place {
    pub fn spot(&self) -> diagnostic::Spot {
        let span = self.span.0 as usize..self.span.1 as usize;
        diagnostic::Spot {
            file: self.file.clone(),
            span,
        }
    }
}

/// The place of a named entry; its line is filled in once the text is at hand.
fn entry_place(node: &Node, name: Range<usize>) -> Place {
    Place {
        file: node.file.clone(),
        line: 0,
        span: (name.start as u32, name.end as u32),
    }
}

fn place_of(node: &Node) -> Place {
    entry_place(node, node.span.clone())
}

/// Names are words: they become metric labels, header values and parts of URLs.
fn name_is_sound(name: &str, node: &Node, span: Range<usize>, cx: &Cx) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    let sound = (1..=64).contains(&name.len())
        && name.bytes().all(plain)
        && name
            .as_bytes()
            .first()
            .is_some_and(u8::is_ascii_alphanumeric);
    if !sound {
        let spot = diagnostic::Spot {
            file: node.file.clone(),
            span,
        };
        let message = format!("`{name}` is not a name");
        let label =
            "expected 1 to 64 letters, digits, `-`, `_` or `.`, starting with a letter or digit";
        cx.report(Diagnostic::error("TY0203", message).at(&spot, label));
    }
    sound
}
