//! The folder where one gateway keeps its state: `<base>/<instance>`, locked while it is in use.
//!
//! Tokens, generations, shares and cached keys belong to one configuration. Two gateways on one
//! machine share the base directory and nothing in it.

mod find;
mod instance;
mod lock;
mod takeover;

pub use find::{Wanted, find};
pub use instance::Instance;

use lock::{Lock, Locked};
use std::fs::DirBuilder;
use std::io;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

/// The folder is for its owner alone: it holds tokens, and texts of configurations.
const FOLDER_MODE: u32 = 0o700;

/// Which folder a gateway uses.
#[derive(Debug, Clone)]
pub struct Place {
    /// The directory that all instances of a machine share.
    pub base: PathBuf,
    pub instance: Instance,
    /// The file or directory the configuration comes from; `None`: it has none.
    pub config: Option<PathBuf>,
}

impl Place {
    /// The path of the folder.
    pub fn path(&self) -> PathBuf {
        self.base.join(self.instance.as_str())
    }
}

/// A folder that is in use by this process. Clones share it.
#[derive(Debug, Clone)]
pub struct Folder(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    place: Place,
    path: PathBuf,
    lock: Lock,
    writable: AtomicBool,
    /// Why nothing could be written from the start.
    barred: Option<String>,
}

impl Folder {
    /// Makes the folder where it is absent, and locks it. State of an earlier release, which lies
    /// in the base directory itself, is taken over into a new folder.
    ///
    /// A folder that another process has locked is opened as well, and nothing is written there.
    /// A process that was started by a hand-over has the lock of its predecessor.
    ///
    /// # Errors
    /// When the folder or its lock file cannot be made.
    pub fn open(place: Place) -> io::Result<Self> {
        let path = place.path();
        DirBuilder::new()
            .recursive(true)
            .mode(FOLDER_MODE)
            .create(&path)?;
        let (lock, barred) = match Lock::take(&path)? {
            Locked::Ours(lock) => (lock, None),
            Locked::Elsewhere(why) => (Lock::default(), Some(why)),
        };
        match &barred {
            Some(why) => tracing::warn!(
                state = %path.display(),
                "the state is read only for this process: {why}; --instance gives it a folder of \
                 its own"
            ),
            None => takeover::take_over(&place.base, &path, place.config.as_deref()),
        }
        Ok(Self(Arc::new(Inner {
            place,
            path,
            lock,
            writable: AtomicBool::new(barred.is_none()),
            barred,
        })))
    }

    pub fn path(&self) -> &Path {
        &self.0.path
    }

    pub fn instance(&self) -> &Instance {
        &self.0.place.instance
    }

    /// Whether this process may write there.
    pub fn is_writable(&self) -> bool {
        self.0.writable.load(Relaxed)
    }

    /// Why this process may not write there.
    pub fn read_only(&self) -> Option<&str> {
        let why = self.0.barred.as_deref();
        (!self.is_writable()).then(|| why.unwrap_or("it was handed to a new process"))
    }

    /// Notes in the lock file who uses the folder, so that verbs find the folder by the address of
    /// the API, and a second process can say which one was first.
    pub fn note(&self, admin: Option<SocketAddr>) {
        if !self.is_writable() {
            return;
        }
        if let Err(error) = self.0.lock.note(self.0.place.config.as_deref(), admin) {
            tracing::warn!(state = %self.0.path.display(), %error, "cannot note who uses the state");
        }
    }

    /// Makes `<base>/<name>` lead to the file of that name in this folder, unless something is
    /// there: scripts that were written for an earlier release find it at the old path.
    pub fn link_from_base(&self, name: &str) {
        let link = self.0.place.base.join(name);
        let dangles = link.is_symlink() && !link.exists();
        if dangles {
            let _ = std::fs::remove_file(&link);
        }
        if self.is_writable() && (dangles || !link.exists()) {
            let target = Path::new(self.instance().as_str()).join(name);
            // It is a convenience: a base directory that cannot be written to is no failure.
            let _ = std::os::unix::fs::symlink(target, link);
        }
    }

    /// Stops writing, and gives a second handle of the lock for the process that takes over.
    ///
    /// `None`: this process has no lock to give.
    pub fn yield_lock(&self) -> Option<OwnedFd> {
        self.0.barred.is_none().then_some(())?;
        self.0.writable.store(false, Relaxed);
        self.0.lock.handle()
    }

    /// Writes again: no other process has taken over.
    pub fn resume(&self) {
        self.0.writable.store(self.0.barred.is_none(), Relaxed);
    }

    /// Lets go of the lock, which the process that has taken over still holds.
    pub fn release(&self) {
        self.0.lock.release();
    }
}

#[cfg(test)]
mod tests;
