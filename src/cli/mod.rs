//! The command line: one file per verb, which reads arguments, calls the library and prints.
#![allow(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "printing is what a command line does"
)]
#![allow(
    clippy::indexing_slicing,
    reason = "indexing JSON by a key gives null, never a panic"
)]

/// Like the standard ones, but a reader that has gone is no panic.
macro_rules! eprint {
    ($($text:tt)*) => { $crate::cli::complain(&format!($($text)*)) };
}
macro_rules! eprintln {
    ($($text:tt)*) => { $crate::cli::complain(&(format!($($text)*) + "\n")) };
}

mod check;
mod client;
mod color;
mod config;
mod demo;
mod dev_cert;
mod diff;
mod doctor;
mod explain;
mod fmt;
mod live;
mod logging;
mod mirror;
mod pages;
mod plugin;
mod process;
mod replay;
mod rollout;
mod run;
mod schema;
mod tap;
mod top;
mod upgrade;

use crate::config::hidden::beyond_ascii;
use crate::config::reference;
use clap::{CommandFactory, Parser, Subcommand};
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::ExitCode;

/// A gateway that dyes requests with a color and sends them to the service version of that color.
#[derive(Debug, Parser)]
#[command(
    name = "tyrian",
    version,
    about,
    max_term_width = 100,
    disable_help_subcommand = true
)]
pub struct Cli {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Serve in the foreground
    Run(run::Args),
    /// Check a configuration: all errors at once, then warnings, then its own tests
    #[command(alias = "validate")]
    Check(check::Args),
    /// Run the [[tests]] of a configuration
    Test(check::TestArgs),
    /// Say where a request would go, and why; or what an error code or a reason means
    Explain(explain::Args),
    /// List routes
    Routes(live::RoutesArgs),
    /// Compare the running configuration with a file, or two files
    Diff(diff::Args),
    /// Decide recorded requests again, and say what another configuration changes
    Replay(replay::Args),
    /// Have the running gateway read its configuration again
    Reload(live::ReloadArgs),
    /// Show the running configuration, its history, or its schema; roll it back
    Config(config::Args),
    /// Lay out a configuration file
    Fmt(fmt::Args),
    /// Show what the running gateway is doing
    Status(live::Args),
    /// Watch rates, errors and latencies live
    Top(top::Args),
    /// Watch single requests as they end
    Tap(tap::Args),
    /// Show and move the shares of colors
    Rollout(rollout::Args),
    /// Compare what mirrors answer with what the originals did
    Mirror(mirror::Args),
    /// List plugins, show what they take, begin a new one
    Plugin(plugin::Args),
    /// Sign colors, to let people in from outside
    Color(color::Args),
    /// Exit 0 when the local gateway is ready
    Healthcheck(live::HealthArgs),
    /// Print the JSON Schema of the configuration
    Schema(schema::Args),
    /// Start a gateway with two small upstreams to play with
    Demo(demo::Args),
    /// Make certificates for trying TLS out
    DevCert(dev_cert::Args),
    /// Print shell completions
    Completions(pages::CompletionsArgs),
    /// Print the manual page
    Man(pages::ManArgs),
    /// Print the version
    Version(pages::VersionArgs),
}

/// How a verb ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    Ok,
    /// Failed, or differs.
    Failed,
    Usage,
    Unreachable,
    NotPermitted,
    InvalidConfig,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(match exit {
            Exit::Ok => 0,
            Exit::Failed => 1,
            Exit::Usage => 2,
            Exit::Unreachable => 69,
            Exit::NotPermitted => 77,
            Exit::InvalidConfig => 78,
        })
    }
}

/// Form of what is printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Output {
    Table,
    Json,
}

/// Runs the program.
pub fn main() -> ExitCode {
    let cli = Cli::parse();
    let exit = match cli.verb {
        Verb::Run(args) => run::run(args),
        Verb::Check(args) => check::check(&args),
        Verb::Test(args) => check::test(&args),
        Verb::Explain(args) => explain::run(&args),
        Verb::Routes(args) => live::routes(&args),
        Verb::Diff(args) => diff::run(&args),
        Verb::Replay(args) => replay::run(&args),
        Verb::Reload(args) => live::reload(&args),
        Verb::Config(args) => config::run(&args),
        Verb::Fmt(args) => fmt::run(&args),
        Verb::Status(args) => live::status(&args),
        Verb::Top(args) => top::run(&args),
        Verb::Tap(args) => tap::run(&args),
        Verb::Rollout(args) => rollout::run(&args),
        Verb::Mirror(args) => mirror::run(&args),
        Verb::Plugin(args) => plugin::run(&args),
        Verb::Color(args) => color::run(&args),
        Verb::Healthcheck(args) => live::healthcheck(&args),
        Verb::Schema(args) => schema::run(&args),
        Verb::Demo(args) => demo::run(&args),
        Verb::DevCert(args) => dev_cert::run(&args),
        Verb::Completions(args) => pages::completions(&args, &mut Cli::command()),
        Verb::Man(args) => pages::man(&args, Cli::command()),
        Verb::Version(args) => pages::version(&args),
    };
    exit.into()
}

/// Returns the pages of the reference that are generated: file name to Markdown.
pub fn reference_pages() -> BTreeMap<String, String> {
    let mut all = reference::pages();
    let reasons = crate::reason::reference_page();
    let verbs = pages::reference(Cli::command());
    for (name, text) in [("reasons.md", reasons), ("cli.md", verbs)] {
        all.insert(name.to_owned(), format!("{}{text}", reference::NOTE));
    }
    all
}

/// Prints to standard output; a reader that has gone is no error.
pub fn print(text: &str) {
    use std::io::Write;
    let mut stdout = std::io::stdout().lock();
    let _ = stdout.write_all(text.as_bytes());
    let _ = stdout.flush();
}

/// Prints to standard error; a reader that has gone is no error.
pub fn complain(text: &str) {
    use std::io::Write;
    let _ = std::io::stderr().lock().write_all(text.as_bytes());
}

/// Prints JSON, for programs.
pub fn print_json(value: &serde_json::Value) {
    print(&beyond_ascii(&format!("{value:#}\n")));
}

/// Whether colors are wanted on standard error or output.
pub fn wants_color(stream: &impl std::io::IsTerminal) -> bool {
    stream.is_terminal()
        && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
        && std::env::var_os("TERM").is_none_or(|term| term != "dumb")
}

/// The configuration to use: as named, else by the usual places.
pub fn find_config(named: Option<PathBuf>) -> Option<PathBuf> {
    let from_env = std::env::var_os("TYRIAN_CONFIG").filter(|value| !value.is_empty());
    named.or_else(|| from_env.map(PathBuf::from)).or_else(|| {
        let usual = ["./tyrian.toml", "/etc/tyrian/tyrian.toml"];
        usual
            .into_iter()
            .map(PathBuf::from)
            .find(|path| path.exists())
    })
}

/// Where state is kept: tokens, generations.
pub fn state_dir(named: Option<PathBuf>) -> Option<PathBuf> {
    let from = |name: &str| {
        std::env::var_os(name)
            .filter(|v| !v.is_empty())
            .map(PathBuf::from)
    };
    let directory = named.or_else(|| from("TYRIAN_STATE")).or_else(|| {
        let root = std::fs::metadata("/proc/self").is_ok_and(|meta| {
            use std::os::unix::fs::MetadataExt;
            meta.uid() == 0
        });
        if root {
            return Some(PathBuf::from("/var/lib/tyrian"));
        }
        let home = from("HOME").map(|home| home.join(".local/state"));
        from("XDG_STATE_HOME")
            .or(home)
            .map(|base| base.join("tyrian"))
    })?;
    std::fs::create_dir_all(&directory).ok()?;
    Some(directory)
}

#[cfg(test)]
mod tests;
