//! `tyrian demo`

use super::logging::Form;
use super::process::{Service, serve};
use super::{Exit, print, state_dir};
use crate::admin::TOKEN_FILE;
use crate::demo::{self, Ports};
use crate::live::Source;
use crate::server::Serving;
use crate::state::{Instance, Place};
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

/// Start a gateway with two small upstream versions to play with. Ctrl-C ends it all.
///
/// A port that is taken gives way to the next free one; 0 is any port.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  tyrian demo
  tyrian demo --port 9000 --admin 9100")]
pub struct Args {
    /// Where the gateway listens
    #[arg(long, default_value_t = 8080)]
    port: u16,
    /// Where the dashboard is
    #[arg(long, value_name = "PORT", default_value_t = 9980)]
    admin: u16,
    /// Where metrics are [default: the port after that of the dashboard]
    #[arg(long, value_name = "PORT")]
    metrics: Option<u16>,
    /// Where the configuration to edit is written [default: a directory of its own]
    #[arg(long, value_name = "DIR")]
    dir: Option<PathBuf>,
    /// Name of the folder for its state there [default: $TYRIAN_INSTANCE, else by its path]
    #[arg(long, value_name = "NAME", env = "TYRIAN_INSTANCE", hide_env = true)]
    instance: Option<Instance>,
}

impl Args {
    fn ports(&self) -> Ports {
        let after = match self.admin {
            0 => 0,
            admin => admin.saturating_add(1),
        };
        Ports {
            gateway: self.port,
            admin: self.admin,
            metrics: self.metrics.unwrap_or(after),
        }
    }
}

/// Writes the configuration. Returns its file, and what there is to say about ports.
fn prepare(directory: &Path, ports: Ports) -> io::Result<(PathBuf, Vec<String>)> {
    std::fs::create_dir_all(directory)?;
    let (ports, remarks) = ports.free()?;
    let upstreams = demo::start_upstreams()?;
    let file = demo::write_config(directory, ports, &upstreams)?;
    Ok((file, remarks))
}

pub fn run(args: &Args) -> Exit {
    let directory = args.dir.clone().unwrap_or_else(demo::directory);
    let (file, remarks) = match prepare(&directory, args.ports()) {
        Ok(prepared) => prepared,
        Err(error) => {
            eprintln!("error: cannot prepare the demo: {error}");
            return Exit::Failed;
        }
    };
    for remark in remarks {
        print(&format!("{remark}\n"));
    }
    let shown = file.clone();
    let instance = args.instance.clone();
    let state = state_dir(Some(directory.join("state"))).map(|base| Place {
        base,
        instance: instance.unwrap_or_else(|| Instance::of_config(&file)),
        config: Some(file.clone()),
    });
    let token = state.as_ref().map(|state| state.path().join(TOKEN_FILE));
    let ready = move |serving: &Serving, api: Option<SocketAddr>| {
        let addresses = serving.addresses();
        let port = addresses.get("web").and_then(|web| web.rsplit(':').next());
        if let Some(port) = port.and_then(|port| port.parse().ok()) {
            print(&demo::welcome(&shown, port, api.zip(token.as_deref())));
        }
    };
    let exit = serve(Service {
        source: Source::Path(file),
        state,
        log: Form::Human,
        ready: Box::new(ready),
    });
    if args.dir.is_none() {
        // Made for this start alone; what cannot be removed is the system's to clean up.
        let _ = std::fs::remove_dir_all(&directory);
    }
    exit
}
