//! Tyrian: an API gateway for the cluster edge that dyes requests with a color and sends them to
//! the service version of that color.

pub mod admin;
pub mod cli;
pub mod config;
pub mod counts;
pub mod demo;
pub mod discovery;
pub mod edge;
pub mod files;
pub mod fuzz;
pub mod live;
pub mod memory;
pub mod outbound;
pub mod plugin;
pub mod policy;
pub mod question;
pub mod reason;
pub mod replay;
pub mod rollout;
pub mod routing;
pub mod server;
pub mod snapshot;
pub mod sockets;
pub mod state;
pub mod telemetry;
pub mod tls;
pub mod upstream;

use std::process::ExitCode;
use tyrian_plugin::{Factory, Plugin};

/// A gateway with plugins of one's own: `Gateway::builder().plugin::<Mine>().main()`.
#[derive(Debug, Default)]
pub struct Gateway {
    plugins: Vec<Factory>,
}

impl Gateway {
    pub fn builder() -> Self {
        Self::default()
    }

    /// Adds a plugin. One of the name of a bundled one takes its place.
    pub fn plugin<P: Plugin>(mut self) -> Self {
        self.plugins.push(Factory::of::<P>());
        self
    }

    /// The command line, with these plugins known. Call it first thing in `main`.
    pub fn main(self) -> ExitCode {
        plugin::register(&self.plugins);
        cli::main()
    }
}
