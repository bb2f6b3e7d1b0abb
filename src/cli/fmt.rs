//! `tyrian fmt`

use super::{Exit, find_config, print};
use crate::config::format::format;
use std::path::PathBuf;

/// Lay out a configuration file: spacing and empty lines; comments and order stay.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  tyrian fmt tyrian.toml
  tyrian fmt --check tyrian.toml")]
pub struct Args {
    /// The file
    file: Option<PathBuf>,
    /// Change nothing; exit 1 when something would change
    #[arg(long)]
    check: bool,
    /// Change nothing; show what would change
    #[arg(long)]
    diff: bool,
}

pub fn run(args: &Args) -> Exit {
    let Some(path) = find_config(args.file.clone()) else {
        eprintln!("error: no configuration found; name one");
        return Exit::Usage;
    };
    let formatted = std::fs::read_to_string(&path)
        .map_err(|error| error.to_string())
        .and_then(|text| format(&text).map(|new| (text, new)));
    let (old, new) = match formatted {
        Ok(both) => both,
        Err(error) => {
            eprintln!("error: {}: {error}", path.display());
            return Exit::InvalidConfig;
        }
    };
    if args.diff {
        let diff = similar::TextDiff::from_lines(&old, &new);
        print(&diff.unified_diff().header("before", "after").to_string());
    }
    if args.check || args.diff {
        return if old == new { Exit::Ok } else { Exit::Failed };
    }
    if old != new
        && let Err(error) = std::fs::write(&path, new)
    {
        eprintln!("error: cannot write {}: {error}", path.display());
        return Exit::Failed;
    }
    Exit::Ok
}
