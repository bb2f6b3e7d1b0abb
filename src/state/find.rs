//! Finds the folder of a running gateway, as verbs do: nothing is made.

use super::instance::Instance;
use super::lock::{LOCK_FILE, Note};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

/// Most folders of a base directory that are looked into.
const FOLDERS_MAX: usize = 1000;

/// What is known of the gateway that is meant.
#[derive(Debug, Default)]
pub struct Wanted {
    /// The instance that was named: no other one will do.
    pub named: Option<Instance>,
    /// The instance of the configuration that was named or found.
    pub derived: Option<Instance>,
    /// The port of its API.
    pub port: Option<u16>,
}

/// Finds the folder below `base` that holds `file` and is of the gateway that is meant.
///
/// That is the folder of the named instance; else the one whose gateway has its API at the port,
/// that of the configuration before others; else that of the configuration; else `base` itself,
/// where earlier releases keep their files; else the only folder there is.
pub fn find(base: &Path, wanted: &Wanted, file: &str) -> Option<PathBuf> {
    let holds = |folder: &Path| folder.join(file).exists();
    if let Some(named) = &wanted.named {
        return Some(base.join(named.as_str()));
    }
    let derived = wanted.derived.as_ref().map(|name| base.join(name.as_str()));
    let derived = derived.filter(|folder| holds(folder));
    let mut folders: Vec<PathBuf> = folders(base).filter(|folder| holds(folder)).collect();
    let serves = |folder: &Path| {
        let port = Note::read(folder).and_then(|note| note.admin);
        port.is_some_and(|admin| Some(admin.port()) == wanted.port)
    };
    if let Some(derived) = derived.as_ref().filter(|folder| serves(folder)) {
        return Some(derived.clone());
    }
    // An address is bound by one process at a time: the last one that noted it has it.
    let serving = folders.iter().filter(|folder| serves(folder));
    if let Some(serving) = serving.max_by_key(|folder| noted(folder)) {
        return Some(serving.clone());
    }
    let old = base.join(file);
    if derived.is_none() && old.is_file() && !old.is_symlink() {
        return Some(base.to_owned());
    }
    derived.or_else(|| (folders.len() == 1).then(|| folders.pop()).flatten())
}

/// The folders of instances below a base directory.
fn folders(base: &Path) -> impl Iterator<Item = PathBuf> {
    let entries = std::fs::read_dir(base).into_iter().flatten();
    let paths = entries.flatten().map(|entry| entry.path());
    paths.filter(|path| path.is_dir()).take(FOLDERS_MAX)
}

/// When the note of a folder was written.
fn noted(folder: &Path) -> Option<SystemTime> {
    folder.join(LOCK_FILE).metadata().ok()?.modified().ok()
}
