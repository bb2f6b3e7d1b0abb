//! Text to `Config`: pure, no sockets, no runtime types; every problem is reported at once.
//!
//! The typed tables live one per file; nothing after a successful load can find a field wrong.

pub mod admin;
pub mod color;
pub mod diagnostic;
pub mod listener;
pub mod route;
pub mod server;
pub mod service;
pub mod telemetry;
pub mod test;
pub mod units;

use std::collections::BTreeMap;
use std::sync::Arc;

/// One checked configuration: what a whole set of files says, with defaults filled in.
#[derive(Debug, Clone, PartialEq)]
pub struct Config {
    pub server: server::Server,
    pub listeners: BTreeMap<Name, listener::Listener>,
    pub admin: admin::Admin,
    pub services: BTreeMap<Name, service::Service>,
    pub coloring: color::Coloring,
    pub colors: BTreeMap<Name, color::Color>,
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
    /// Byte span of the table's header.
    pub span: (u32, u32),
}

impl PartialEq for Place {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}
