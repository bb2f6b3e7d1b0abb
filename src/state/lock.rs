//! The lock on a folder: flock(2) on a file that stays open, with a note of who holds it.
//!
//! Such a lock belongs to the open file description, so the process that takes over in an upgrade
//! inherits it with the descriptor, and there is no moment at which a third one could get it.

use nix::unistd::dup2_stdin;
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, Read, Seek, Write};
use std::net::SocketAddr;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

/// The file that is locked.
pub(super) const LOCK_FILE: &str = "lock";
/// Most bytes of a note that are read.
const NOTE_MAX: u64 = 16 * 1024;

/// Who uses a folder, as its lock file says.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Note {
    pub process: u32,
    pub config: Option<PathBuf>,
    /// Where the API is.
    pub admin: Option<SocketAddr>,
}

impl Note {
    /// Reads the note of a folder. `None`: there is none, or it is being written.
    pub fn read(folder: &Path) -> Option<Self> {
        let file = File::open(folder.join(LOCK_FILE)).ok()?;
        let mut text = Vec::new();
        file.take(NOTE_MAX).read_to_end(&mut text).ok()?;
        serde_json::from_slice(&text).ok()
    }
}

/// A lock that this process holds; empty where it holds none.
#[derive(Debug, Default)]
pub(super) struct Lock(Mutex<Option<File>>);

/// What became of the wish for a lock.
pub(super) enum Locked {
    Ours(Lock),
    /// Another process has it, which the text names.
    Elsewhere(String),
}

impl Lock {
    /// Takes the lock of a folder, or over from the process that this one replaces.
    ///
    /// # Errors
    /// When the file cannot be made.
    pub fn take(folder: &Path) -> io::Result<Locked> {
        let mut options = OpenOptions::new();
        let options = options.read(true).write(true).create(true).mode(0o600);
        let file = options.open(folder.join(LOCK_FILE))?;
        if let Some(handed) = inherited(&file) {
            return Ok(Locked::Ours(Self(Mutex::new(Some(handed)))));
        }
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Ok(Locked::Elsewhere(user(folder))),
            // Some file systems have no locks. State is worth more than the protection then.
            Err(TryLockError::Error(error)) => {
                tracing::warn!(state = %folder.display(), %error, "the state cannot be locked");
            }
        }
        Ok(Locked::Ours(Self(Mutex::new(Some(file)))))
    }

    /// A second handle of the same lock.
    pub fn handle(&self) -> Option<OwnedFd> {
        let file = self.0.lock();
        file.as_ref()?.as_fd().try_clone_to_owned().ok()
    }

    pub fn release(&self) {
        self.0.lock().take();
    }

    /// Writes who holds the lock into its file.
    pub fn note(&self, config: Option<&Path>, admin: Option<SocketAddr>) -> io::Result<()> {
        let note = Note {
            process: std::process::id(),
            config: config.map(super::instance::identity),
            admin,
        };
        let text = serde_json::to_vec(&note)?;
        if let Some(file) = &mut *self.0.lock() {
            file.set_len(0)?;
            file.rewind()?;
            file.write_all(&text)?;
        }
        Ok(())
    }
}

/// The lock that came as standard input, if this is it. Besides listening sockets, standard input
/// is the one descriptor that a process can take over without `unsafe`, and `run` does not read it.
fn inherited(file: &File) -> Option<File> {
    let handle = io::stdin().as_fd().try_clone_to_owned().ok()?;
    let handed = File::from(handle);
    let (handed_is, file_is) = (handed.metadata().ok()?, file.metadata().ok()?);
    let same = (handed_is.dev(), handed_is.ino()) == (file_is.dev(), file_is.ino());
    same.then_some(())?;
    // Standard input is never closed, so it would hold the lock after it was released.
    dup2_stdin(File::open("/dev/null").ok()?).ok()?;
    handed.try_lock().ok()?;
    Some(handed)
}

/// Names the process that uses a folder.
fn user(folder: &Path) -> String {
    let Some(note) = Note::read(folder) else {
        return "another process uses it".to_owned();
    };
    let config = note.config.map(|path| format!(" with {}", path.display()));
    let config = config.unwrap_or_default();
    format!("process {} uses it{config}", note.process)
}
