//! `tyrian run`

use super::logging::Form;
use super::process::{Service, serve};
use super::{Exit, find_config, state_dir};
use crate::live::Source;
use crate::state::{Instance, Place};
use std::path::PathBuf;

/// Serve in the foreground, logging to standard error.
///
/// TERM or INT drains and exits 0, HUP or USR2 reloads, USR1 opens log files anew.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  tyrian run -c tyrian.toml
  tyrian run --from :8080 --to 127.0.0.1:3000")]
pub struct Args {
    /// Configuration file or directory [default: $TYRIAN_CONFIG, ./tyrian.toml, /etc/tyrian/tyrian.toml]
    #[arg(short, long, value_name = "PATH", conflicts_with = "from")]
    config: Option<PathBuf>,
    /// Listen here, without any file
    #[arg(long, value_name = "ADDRESS", requires = "to")]
    from: Option<String>,
    /// Send everything there
    #[arg(long, value_name = "ADDRESS", requires = "from")]
    to: Option<String>,
    /// Where each instance has a folder for its state [default: $TYRIAN_STATE, else the usual place]
    #[arg(long, value_name = "DIR")]
    state: Option<PathBuf>,
    /// Name of its folder there [default: $TYRIAN_INSTANCE, else by the configuration's path]
    #[arg(long, value_name = "NAME", env = "TYRIAN_INSTANCE", hide_env = true)]
    instance: Option<Instance>,
}

pub fn run(args: Args) -> Exit {
    let (source, derived) = match (args.from, args.to) {
        (Some(from), Some(to)) => {
            let text = Source::Text(forward(&from, &to));
            (text, Instance::of_address(&from))
        }
        _ => match find_config(args.config) {
            Some(path) => {
                let derived = Instance::of_config(&path);
                (Source::Path(path), derived)
            }
            None => {
                eprintln!(
                    "error: no configuration found; name one with -c, or use --from and --to"
                );
                return Exit::Usage;
            }
        },
    };
    if let Source::Path(path) = &source {
        eprintln!("using {}", path.display());
    }
    let config = match &source {
        Source::Path(path) => Some(path.clone()),
        Source::Text(_) => None,
    };
    let state = state_dir(args.state).map(|base| Place {
        base,
        instance: args.instance.unwrap_or(derived),
        config,
    });
    serve(Service {
        source,
        state,
        log: Form::Usual,
        ready: Box::new(|_, _| {}),
    })
}

/// A configuration that forwards everything.
fn forward(from: &str, to: &str) -> String {
    let to = to.strip_prefix("http://").unwrap_or(to);
    let to = if to.starts_with(':') {
        format!("127.0.0.1{to}")
    } else {
        to.to_owned()
    };
    format!(
        "[listeners.web]\nbind = {from:?}\n\n\
         [services.upstream.versions.v1]\nendpoints = [{to:?}]\n\n\
         [routes.all]\nmatch = {{ path = \"/*\" }}\nservice = \"upstream\"\n"
    )
}
