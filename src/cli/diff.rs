//! `tyrian diff`

use super::client::{Target, parse};
use super::live::{changes, replayed};
use super::{Exit, Output, find_config, print, print_json, wants_color};
use crate::config::{self, Loaded};
use crate::live::{self, Source};
use serde_json::json;
use std::path::PathBuf;

/// Compare the running configuration with a file, or two files with each other.
///
/// Exits 0 when they are the same, 1 when they differ.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  tyrian diff tyrian.toml --replay
  tyrian diff old.toml new.toml")]
pub struct Args {
    /// The new file; or the old one, when two are named
    one: Option<PathBuf>,
    /// The new file
    two: Option<PathBuf>,
    /// Also say what changes for recent requests of the running gateway
    #[arg(long, conflicts_with = "two")]
    replay: bool,
    #[arg(short, long, value_enum, default_value = "table")]
    output: Output,
    #[command(flatten)]
    target: Target,
}

pub fn run(args: &Args) -> Exit {
    match (&args.one, &args.two) {
        (Some(one), Some(two)) => files(args, one.clone(), two.clone()),
        _ => running(args),
    }
}

fn read(path: PathBuf) -> Result<Loaded, Exit> {
    live::check(&Source::Path(path))
        .map(|(loaded, ..)| loaded)
        .map_err(|loaded| {
            eprint!("{}", loaded.render_human(wants_color(&std::io::stderr())));
            Exit::InvalidConfig
        })
}

fn files(args: &Args, one: PathBuf, two: PathBuf) -> Exit {
    let (before, after) = match (read(one), read(two)) {
        (Ok(before), Ok(after)) => (before, after),
        (Err(exit), _) | (_, Err(exit)) => return exit,
    };
    let changes = config::diff(&before.values, &after.values);
    show(args, &json!(changes))
}

fn running(args: &Args) -> Exit {
    let Some(path) = find_config(args.one.clone()) else {
        eprintln!("error: no configuration found; name one");
        return Exit::Usage;
    };
    let loaded = match read(path) {
        Ok(loaded) => loaded,
        Err(exit) => return exit,
    };
    // What it includes is read by the gateway, from where the running file is.
    let Some(source) = loaded.sources.first() else {
        return Exit::InvalidConfig;
    };
    let body = json!({ "text": &*source.text });
    let path = match args.replay {
        true => "/v1/config/check?replay=recent",
        false => "/v1/config/check",
    };
    let answer = args.target.client().post(path, &body);
    match answer.and_then(|(status, text)| parse(status, &text)) {
        Ok(verdict) if args.replay && args.output == Output::Json => {
            print_json(&json!({ "changes": verdict["changes"], "replay": verdict["replay"] }));
            exit(&verdict["changes"])
        }
        Ok(verdict) => {
            let exit = show(args, &verdict["changes"]);
            print(&replayed(&verdict["replay"]));
            exit
        }
        Err(failure) => failure.tell(),
    }
}

fn show(args: &Args, found: &serde_json::Value) -> Exit {
    match args.output {
        Output::Json => print_json(found),
        Output::Table => print(&changes(found)),
    }
    exit(found)
}

fn exit(found: &serde_json::Value) -> Exit {
    if found.as_array().is_none_or(Vec::is_empty) {
        Exit::Ok
    } else {
        Exit::Failed
    }
}
