//! From a source to what can be put to work: loaded, built, tested, with its keys and lists read.

use crate::config::diagnostic::Diagnostic;
use crate::config::{Loaded, environment, load, load_text};
use crate::policy::Materials;
use crate::routing::{Table, selftest};
use crate::snapshot::Snapshot;
use std::path::PathBuf;

/// Where the configuration comes from.
#[derive(Debug, Clone)]
pub enum Source {
    /// A file, or a directory of files.
    Path(PathBuf),
    /// A text made by the command line.
    Text(String),
}

/// A checked configuration, its table, and what its policies need.
pub type Checked = (Loaded, Table, Materials);

/// Loads and checks a source, runs its tests included. `Err` holds what is wrong.
pub fn check(source: &Source) -> Result<Checked, Box<Loaded>> {
    checked(read(source))
}

/// Loads a source.
pub(super) fn read(source: &Source) -> Loaded {
    match source {
        Source::Path(path) => load(path, &environment),
        Source::Text(text) => load_text("command line", text, &environment),
    }
}

/// Builds the table of what has been loaded: enough to decide, not to serve.
///
/// # Errors
/// What is wrong, in what has been loaded.
pub fn decides(mut loaded: Loaded) -> Result<(Loaded, Table), Box<Loaded>> {
    let Some(config) = &loaded.config else {
        return Err(Box::new(loaded));
    };
    match Table::build(config) {
        Ok(table) => {
            table.expire(config, crate::rollout::Moment::now().seconds());
            Ok((loaded, table))
        }
        Err(error) => {
            loaded.add(vec![Diagnostic::error("TY0203", error.to_string())]);
            Err(Box::new(loaded))
        }
    }
}

/// Builds the table and runs the tests of what has been loaded.
///
/// # Errors
/// What is wrong, in what has been loaded.
pub fn checked(loaded: Loaded) -> Result<Checked, Box<Loaded>> {
    checked_beside(loaded, None)
}

/// As [`checked`], beside a generation that serves: where a file cannot be used, what that one has
/// read of it goes on.
///
/// # Errors
/// What is wrong, in what has been loaded.
pub fn checked_beside(loaded: Loaded, live: Option<&Snapshot>) -> Result<Checked, Box<Loaded>> {
    let (mut loaded, table) = decides(loaded)?;
    let Some(config) = &loaded.config else {
        return Err(Box::new(loaded));
    };
    let failures = selftest::run_tests(&table, config, &loaded);
    let in_use = live.map(Snapshot::in_use);
    let materials = Materials::read(config, in_use.as_ref());
    loaded.add(failures);
    match materials {
        Ok(mut materials) if !loaded.has_errors() => {
            loaded.add(std::mem::take(&mut materials.warnings));
            Ok((loaded, table, materials))
        }
        Ok(_) => Err(Box::new(loaded)),
        Err(problems) => {
            loaded.add(problems);
            Err(Box::new(loaded))
        }
    }
}
