//! `tyrian color`

use super::{Exit, find_config, print, wants_color};
use crate::config::units::duration;
use crate::live::{self, Source};
use std::path::PathBuf;
use std::time::{SystemTime, UNIX_EPOCH};

/// Sign colors, to let people in from outside.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  tyrian color sign canary --for 8h
  tyrian color sign canary --for 15m --key k2 -c tyrian.toml")]
pub struct Args {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, clap::Subcommand)]
enum What {
    /// Print a token that brings a color: a value for the color's header, cookie or query key
    Sign {
        color: String,
        /// How long it is good
        #[arg(long = "for", value_name = "TIME", default_value = "1h")]
        within: String,
        /// Which of `coloring.keys` signs
        #[arg(long, value_name = "ID")]
        key: Option<String>,
        /// The configuration that names the keys
        #[arg(short, long, value_name = "PATH")]
        config: Option<PathBuf>,
    },
}

pub fn run(args: &Args) -> Exit {
    let What::Sign {
        color,
        within,
        key,
        config,
    } = &args.what;
    let usage = |why: String| {
        eprintln!("error: {why}");
        Exit::Usage
    };
    let Some(path) = find_config(config.clone()) else {
        return usage("no configuration found; name one".to_owned());
    };
    let (loaded, table, _) = match live::check(&Source::Path(path)) {
        Ok(checked) => checked,
        Err(loaded) => {
            eprint!("{}", loaded.render_human(wants_color(&std::io::stderr())));
            return Exit::InvalidConfig;
        }
    };
    let known = loaded
        .config
        .is_some_and(|config| config.colors.contains_key(color.as_str()));
    if !known {
        return usage(format!("there is no color `{color}`"));
    }
    let Some(within) = duration(within) else {
        return usage(format!("`{within}` is no time, such as 8h"));
    };
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    match table.sign(color, (now + within).as_secs(), key.as_deref()) {
        Some(token) => {
            print(&(token + "\n"));
            Exit::Ok
        }
        None => usage("`coloring.keys` has no such key".to_owned()),
    }
}
