//! `tyrian demo`

use super::process::{Service, serve};
use super::{Exit, print, state_dir};
use crate::demo;
use crate::live::Source;
use crate::server::Serving;
use std::net::SocketAddr;
use std::path::PathBuf;

/// Start a gateway with two small upstream versions to play with. Ctrl-C ends it all.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  tyrian demo
  tyrian demo --port 9000")]
pub struct Args {
    /// Where the gateway listens
    #[arg(long, default_value_t = 8080)]
    port: u16,
    /// Where the configuration to edit is written [default: a directory of its own]
    #[arg(long, value_name = "DIR")]
    dir: Option<PathBuf>,
}

pub fn run(args: &Args) -> Exit {
    let directory = match args.dir.clone().map_or_else(demo::directory, Ok) {
        Ok(directory) => directory,
        Err(error) => {
            eprintln!("error: cannot make a directory for the demo: {error}");
            return Exit::Failed;
        }
    };
    let started = demo::start_upstreams()
        .and_then(|upstreams| demo::write_config(&directory, args.port, &upstreams));
    let file = match started {
        Ok(file) => file,
        Err(error) => {
            eprintln!("error: cannot prepare the demo: {error}");
            return Exit::Failed;
        }
    };
    let shown = file.clone();
    let state = state_dir(Some(directory.join("state")));
    let token = state.as_ref().map(|state| state.join("admin.token"));
    let ready = move |serving: &Serving, api: Option<SocketAddr>| {
        let addresses = serving.addresses();
        let port = addresses.get("web").and_then(|web| web.rsplit(':').next());
        if let Some(port) = port.and_then(|port| port.parse().ok()) {
            print(&demo::welcome(&shown, port, api.zip(token.as_deref())));
        }
    };
    serve(Service {
        source: Source::Path(file),
        state_dir: state,
        ready: Box::new(ready),
    })
}
