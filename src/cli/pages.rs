//! `tyrian completions`, `man`, `version`

use super::{Exit, Output, print, print_json};
use clap_complete::Shell;
use serde_json::json;

/// Print completions for a shell.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  tyrian completions bash > /etc/bash_completion.d/tyrian
  tyrian completions zsh > ~/.zfunc/_tyrian")]
pub struct CompletionsArgs {
    shell: Shell,
}

/// Print the manual page.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  tyrian man > tyrian.1
  tyrian man | man -l -")]
pub struct ManArgs {}

/// Print the version.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  tyrian version
  tyrian version -o json")]
pub struct VersionArgs {
    #[arg(short, long, value_enum, default_value = "table")]
    output: Output,
}

pub fn completions(args: &CompletionsArgs, command: &mut clap::Command) -> Exit {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, command, "tyrian", &mut script);
    print(&String::from_utf8_lossy(&script));
    Exit::Ok
}

pub fn man(_: &ManArgs, command: clap::Command) -> Exit {
    let mut page = Vec::new();
    if clap_mangen::Man::new(command).render(&mut page).is_err() {
        return Exit::Failed;
    }
    print(&String::from_utf8_lossy(&page));
    Exit::Ok
}

pub fn version(args: &VersionArgs) -> Exit {
    let version = env!("CARGO_PKG_VERSION");
    match args.output {
        Output::Table => print(&format!("tyrian {version}\n")),
        Output::Json => print_json(&json!({ "name": "tyrian", "version": version })),
    }
    Exit::Ok
}
