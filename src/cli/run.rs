//! `tyrian run`

use super::logging::Form;
use super::process::{Service, serve};
use super::{Exit, find_config, state_dir};
use crate::live::Source;
use crate::telemetry::redact;
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
    /// Where tokens and generations are kept
    #[arg(long, value_name = "DIR")]
    state: Option<PathBuf>,
}

pub fn run(args: Args) -> Exit {
    let source = match (args.from, args.to) {
        (Some(from), Some(to)) => Source::Text(forward(&from, &to)),
        _ => match find_config(args.config) {
            Some(path) => Source::Path(path),
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
    let state_dir = state_dir(args.state);
    if let Some(Err(error)) = state_dir.as_deref().map(redact::keep_key_in) {
        eprintln!("warning: nobody else can tell what masks in the log stand for: {error}");
    }
    serve(Service {
        source,
        state_dir,
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
