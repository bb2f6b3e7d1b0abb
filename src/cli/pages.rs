//! `tyrian completions`, `man`, `version`; the reference page of all verbs

use super::{Exit, Output, print, print_json};
use clap_complete::Shell;
use serde_json::json;
use std::fmt::Write;

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

/// What the reference page says before the verbs.
const ABOUT: &str = "
`tyrian VERB --help` prints the same. Verbs that ask a running gateway find it by its configuration
(`-c`), by its instance (`--instance`), or at 127.0.0.1:9980.

| exit code | meaning |
| --- | --- |
| 0 | it worked |
| 1 | it failed, or something differs |
| 2 | the command line is wrong |
| 69 | the admin API does not answer |
| 77 | the admin API refuses the token |
| 78 | the configuration is invalid |
";

/// Returns the reference page of all verbs, in Markdown.
pub fn reference(mut command: clap::Command) -> String {
    let mut text = format!("# Command line\n{ABOUT}");
    command.build();
    for verb in command.get_subcommands() {
        describe(&mut text, verb, "tyrian", 2);
    }
    text
}

/// Adds the help of a verb, and of the verbs below it.
fn describe(text: &mut String, verb: &clap::Command, parent: &str, depth: usize) {
    let name = format!("{parent} {}", verb.get_name());
    // The page is the same on every machine.
    let plain = verb
        .clone()
        .term_width(100)
        .mut_args(|arg| arg.hide_env_values(true));
    let help = plain.clone().render_help();
    let marks = "#".repeat(depth);
    let _ = write!(
        text,
        "\n{marks} {name}\n\n```text\n{}\n```\n",
        help.to_string().trim_end()
    );
    for inner in plain.get_subcommands() {
        describe(text, inner, &name, depth + 1);
    }
}
