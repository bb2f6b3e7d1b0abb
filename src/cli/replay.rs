//! `tyrian replay`

use super::{Exit, find_config, print, print_json, state_dir, wants_color};
use crate::live::{self, Checked, Source};
use crate::replay::{self, Lines, Replay, Report};
use crate::state::{self, Instance, Wanted};
use crate::telemetry::redact;
use std::io::{self, IsTerminal};
use std::path::{Path, PathBuf};

/// Decide recorded requests again, and say what another configuration changes.
///
/// Nothing is sent. LOG is an access log, plain, gzip or zstd; `-` is standard input. Without
/// --against, each request is compared with what the log says became of it. Exits 0 when nothing
/// changes, 1 when something does.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  tyrian replay access.log.zst --config new.toml
  tyrian replay access.log --config new.toml --against old.toml -o html > report.html")]
pub struct Args {
    log: PathBuf,
    /// The configuration to try
    #[arg(short, long, value_name = "NEW")]
    config: PathBuf,
    /// The one to compare with, instead of the log's own words
    #[arg(short, long, value_name = "OLD")]
    against: Option<PathBuf>,
    /// Examples of each change
    #[arg(long, default_value_t = 3)]
    examples: usize,
    /// The gateway's state directory: `mask.key` in it tells what masked values are
    #[arg(long, value_name = "DIR")]
    state: Option<PathBuf>,
    /// Name of its folder there [default: $TYRIAN_INSTANCE, else by the configuration]
    #[arg(long, value_name = "NAME", env = "TYRIAN_INSTANCE", hide_env = true)]
    instance: Option<Instance>,
    #[arg(short, long, value_enum, default_value = "table")]
    output: Form,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Form {
    Table,
    Json,
    Html,
}

pub fn run(args: &Args) -> Exit {
    let (new, old) = match (check(&args.config), args.against.as_deref().map(check)) {
        (Ok(new), None) => (new, None),
        (Ok(new), Some(Ok(old))) => (new, Some(old)),
        (Err(exit), _) | (_, Some(Err(exit))) => return exit,
    };
    if let Err(error) = use_key(args)
        && (args.state.is_some() || args.instance.is_some())
    {
        eprintln!("error: there is no key for what the log masks: {error}");
        return Exit::Failed;
    }
    let lines = match replay::open(&args.log) {
        Ok(lines) => lines,
        Err(error) => {
            eprintln!("error: cannot read {}: {error}", args.log.display());
            return Exit::Failed;
        }
    };
    match decide(args, &new, old.as_ref(), lines) {
        Ok(report) => show(args, &report),
        Err(error) => {
            eprintln!("error: cannot read {} on: {error}", args.log.display());
            Exit::Failed
        }
    }
}

/// Masks by the key of the gateway that wrote the log. Without it, what is masked meets no condition.
fn use_key(args: &Args) -> io::Result<()> {
    let base = args.state.clone().or_else(|| state_dir(None));
    let base = base.ok_or(io::ErrorKind::NotFound)?;
    // The log is of a running gateway, which may serve any of these.
    let configs = [
        args.against.clone(),
        Some(args.config.clone()),
        find_config(None),
    ];
    let mut instances = configs
        .iter()
        .flatten()
        .map(|path| Instance::of_config(path));
    let wanted = Wanted {
        named: args.instance.clone(),
        derived: instances.find(|instance| base.join(instance.as_str()).is_dir()),
        port: None,
    };
    let folder = state::find(&base, &wanted, redact::KEY_FILE);
    redact::use_key_of(&folder.ok_or(io::ErrorKind::NotFound)?)
}

/// A log may be of a file that includes others, so the path is checked as `check` does.
fn check(path: &Path) -> Result<Checked, Exit> {
    live::check(&Source::Path(path.to_owned())).map_err(|loaded| {
        eprint!("{}", loaded.render_human(wants_color(&io::stderr())));
        Exit::InvalidConfig
    })
}

/// Lines between two signs of life.
const SIGN_OF_LIFE: u64 = 50_000;

fn decide(
    args: &Args,
    new: &Checked,
    old: Option<&Checked>,
    mut lines: Lines,
) -> io::Result<Report> {
    let Some(new) = new.0.config.as_ref().zip(Some(&new.1)) else {
        return Err(io::Error::other("the configuration is not sound"));
    };
    let old = old.and_then(|old| old.0.config.as_ref().zip(Some(&old.1)));
    let mut replay = Replay::new(new, old, args.examples);
    let watched = io::stderr().is_terminal();
    while let Some(line) = lines.next_line()? {
        replay.line(line);
        if watched && replay.lines().is_multiple_of(SIGN_OF_LIFE) {
            let percent = (lines.progress() * 100.0) as u32;
            eprint!("\r{percent:>3}% {} lines", replay.lines());
        }
    }
    if watched {
        eprint!("\r\x1b[K");
    }
    Ok(replay.finish())
}

fn show(args: &Args, report: &Report) -> Exit {
    match args.output {
        Form::Table => print(&replay::table(report)),
        Form::Json => print_json(&serde_json::to_value(report).unwrap_or_default()),
        Form::Html => print(&replay::html(report)),
    }
    if report.changed == 0 {
        Exit::Ok
    } else {
        Exit::Failed
    }
}
