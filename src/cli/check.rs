//! `tyrian check` and `tyrian test`

use super::{Exit, doctor, find_config, print, print_json, wants_color};
use crate::config::diagnostic::Severity;
use crate::config::{Loaded, Name};
use crate::live::{self, Source};
use crate::routing::{Table, selftest};
use std::path::PathBuf;

/// Check a configuration: all errors at once, then warnings, then its own tests.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  tyrian check tyrian.toml
  tyrian check --format sarif --deny-warnings conf.d/
  tyrian check --online /etc/tyrian/tyrian.toml")]
pub struct Args {
    /// Configuration file or directory
    file: Option<PathBuf>,
    /// Form of the report
    #[arg(long, value_enum, default_value = "human")]
    format: Format,
    /// Fail on warnings too
    #[arg(long)]
    deny_warnings: bool,
    /// Look around too: ports, file descriptors, names, endpoints, issuers, the clock
    #[arg(long)]
    online: bool,
    /// Print nothing but problems
    #[arg(short, long)]
    quiet: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Format {
    Human,
    Json,
    Sarif,
}

/// Run the [[tests]] of a configuration.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  tyrian test tyrian.toml
  tyrian test conf.d/ --coverage")]
pub struct TestArgs {
    /// Configuration file or directory
    file: Option<PathBuf>,
    /// Also list routes and colors that no test meets
    #[arg(long)]
    coverage: bool,
}

fn load(file: Option<PathBuf>) -> Option<Loaded> {
    let Some(path) = find_config(file) else {
        eprintln!("error: no configuration found; name one");
        return None;
    };
    Some(match live::check(&Source::Path(path)) {
        Ok((loaded, ..)) => loaded,
        Err(loaded) => *loaded,
    })
}

pub fn check(args: &Args) -> Exit {
    let Some(mut loaded) = load(args.file.clone()) else {
        return Exit::Usage;
    };
    if let Some(config) = loaded.config.as_ref().filter(|_| args.online) {
        let found = doctor::examine(config);
        loaded.add(found);
    }
    let warnings = loaded.count(Severity::Warning);
    let failed = loaded.has_errors() || (args.deny_warnings && warnings > 0);
    match args.format {
        Format::Json => print_json(&loaded.render_json()),
        Format::Sarif => print_json(&loaded.render_sarif()),
        Format::Human => {
            eprint!("{}", loaded.render_human(wants_color(&std::io::stderr())));
            if let Some(config) = loaded.config.as_ref().filter(|_| !args.quiet) {
                print(&format!(
                    "ok: {} routes, {} services, {} colors, {} tests\n",
                    config.routes.len(),
                    config.services.len(),
                    config.colors.len(),
                    config.tests.len(),
                ));
            }
        }
    }
    if failed {
        Exit::InvalidConfig
    } else {
        Exit::Ok
    }
}

/// What the tests leave out.
fn coverage(loaded: &Loaded) -> String {
    let Some(config) = &loaded.config else {
        return String::new();
    };
    // It has been built before, so it can be built.
    let Ok(table) = Table::build(config) else {
        return String::new();
    };
    let left = selftest::uncovered(&table, config);
    let line = |what: &str, all: usize, left: &[Name]| {
        let met = all - left.len();
        let names = match left {
            [] => String::new(),
            left => format!("; not: {}", left.join(", ")),
        };
        format!("{met} of {all} {what} are met by tests{names}\n")
    };
    line("routes", config.routes.len(), &left.routes)
        + &line("colors", config.colors.len(), &left.colors)
}

pub fn test(args: &TestArgs) -> Exit {
    let Some(loaded) = load(args.file.clone()) else {
        return Exit::Usage;
    };
    let (failures, others): (Vec<_>, Vec<_>) = loaded
        .diagnostics
        .iter()
        .partition(|diagnostic| diagnostic.code == "TY0601");
    if others
        .iter()
        .any(|diagnostic| diagnostic.severity == Severity::Error)
    {
        eprint!("{}", loaded.render_human(wants_color(&std::io::stderr())));
        return Exit::InvalidConfig;
    }
    if failures.is_empty() {
        let count = loaded
            .config
            .as_ref()
            .map_or(0, |config| config.tests.len());
        print(&format!("{count} passed, 0 failed\n"));
        if args.coverage {
            print(&coverage(&loaded));
        }
        return Exit::Ok;
    }
    eprint!("{}", loaded.render_human(wants_color(&std::io::stderr())));
    Exit::Failed
}
