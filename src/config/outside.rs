//! What of the machine a configuration may see: variables of the environment, and files.
//!
//! A file of the machine may name whatever the process can read. A text that comes through the API
//! sees no more than what the live configuration names already: otherwise a call that only reads
//! would show any file and any variable.

use super::reader::Env;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// What a configuration names outside of its texts.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Named {
    /// Configuration files and patterns of them, in full.
    pub includes: BTreeSet<PathBuf>,
    /// Files of values, in full.
    pub files: BTreeSet<PathBuf>,
    /// Variables that values are made of.
    pub variables: BTreeSet<String>,
    /// Variables that hold a secret.
    pub secrets: BTreeSet<String>,
    /// Systemd credentials.
    pub credentials: BTreeSet<String>,
}

/// The environment, and what of the machine may be seen.
#[derive(Clone, Copy)]
pub struct Outside<'e> {
    env: Env<'e>,
    /// `None`: everything.
    only: Option<&'e Named>,
}

impl<'e> Outside<'e> {
    /// Everything may be seen.
    pub const fn open(env: Env<'e>) -> Self {
        Self { env, only: None }
    }

    /// Only this may be seen.
    pub const fn only(env: Env<'e>, named: &'e Named) -> Self {
        Self {
            env,
            only: Some(named),
        }
    }

    /// Whether something is held back at all.
    pub const fn is_limited(&self) -> bool {
        self.only.is_some()
    }

    /// The value of a variable, empty or not; `None` where it is not set.
    pub fn variable(&self, name: &str) -> Option<String> {
        (self.env)(name)
    }

    pub fn shows_variable(&self, name: &str) -> bool {
        self.only.is_none_or(|named| named.variables.contains(name))
    }

    pub fn shows_file(&self, path: &Path) -> bool {
        self.only.is_none_or(|named| named.files.contains(path))
    }

    pub fn shows_secret(&self, name: &str) -> bool {
        self.only.is_none_or(|named| named.secrets.contains(name))
    }

    pub fn shows_credential(&self, name: &str) -> bool {
        self.only
            .is_none_or(|named| named.credentials.contains(name))
    }
}
