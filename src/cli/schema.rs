//! `tyrian schema`

use super::{Exit, print_json};
use std::path::PathBuf;

/// Print the JSON Schema (draft-07) of the configuration, for editors.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  tyrian schema > tyrian.schema.json
  tyrian schema --reference docs/reference")]
pub struct Args {
    /// Write the reference pages into this directory instead
    #[arg(long, value_name = "DIR")]
    reference: Option<PathBuf>,
}

pub fn run(args: &Args) -> Exit {
    let Some(directory) = &args.reference else {
        print_json(&crate::plugin::schema());
        return Exit::Ok;
    };
    for (name, text) in super::reference_pages() {
        if let Err(error) = std::fs::write(directory.join(&name), text) {
            eprintln!("error: cannot write {name}: {error}");
            return Exit::Failed;
        }
    }
    Exit::Ok
}
