//! The name of an instance: given, or made from the path of its configuration.

use sha2::{Digest, Sha256};
use std::fmt::{self, Write};
use std::path::{Path, PathBuf};
use std::str::FromStr;

/// Most characters of a name.
const NAME_MAX: usize = 64;
/// Most characters of a path that a derived name shows.
const READABLE_MAX: usize = 48;
/// Bytes of the hash in a derived name.
const TAG: usize = 4;
/// Names that files of earlier releases have in the base directory.
pub(super) const FILES: [&str; 3] = ["admin.token", "mask.key", "rollouts.json"];
/// The directory of generations, in a folder and in the base directory of earlier releases.
pub(super) const GENERATIONS: &str = "generations";

/// The name of an instance, which is the name of its folder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Instance(String);

impl FromStr for Instance {
    type Err = String;

    /// Reads a name: 1 to 64 letters, digits, `-`, `_` and `.`, of ASCII, not a dot first.
    fn from_str(name: &str) -> Result<Self, String> {
        let fits = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
        if name.is_empty() || name.len() > NAME_MAX {
            return Err(format!("a name has 1 to {NAME_MAX} characters"));
        }
        if name.starts_with('.') || !name.bytes().all(fits) {
            return Err(
                "a name has letters, digits, `-`, `_` and `.`, and no dot first".to_owned(),
            );
        }
        if name == GENERATIONS || FILES.contains(&name) {
            return Err(format!(
                "`{name}` is the name of a file of earlier releases"
            ));
        }
        Ok(Self(name.to_owned()))
    }
}

impl fmt::Display for Instance {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Instance {
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Derives the name from the path of a configuration: `etc-tyrian-tyrian-1a2b3c4d`.
    pub fn of_config(path: &Path) -> Self {
        let path = identity(path);
        let shown = path.with_extension("");
        let tag = path.as_os_str().as_encoded_bytes();
        Self::derived(&shown.to_string_lossy(), tag)
    }

    /// Derives the name from the address that a gateway without a file listens on.
    pub fn of_address(address: &str) -> Self {
        Self::derived(&format!("from-{address}"), address.as_bytes())
    }

    fn derived(shown: &str, hashed: &[u8]) -> Self {
        let fits = |letter: char| letter.is_ascii_alphanumeric() || letter == '_';
        let mut readable = String::new();
        for letter in shown.chars() {
            match letter {
                letter if fits(letter) => readable.push(letter),
                _ if readable.ends_with('-') => {}
                _ => readable.push('-'),
            }
        }
        // The end of a path says more than its beginning.
        let skipped = readable.len().saturating_sub(READABLE_MAX);
        let readable = readable.get(skipped..).unwrap_or_default();
        let readable = readable.trim_matches('-');
        let separator = if readable.is_empty() { "" } else { "-" };
        let mut name = format!("{readable}{separator}");
        for byte in Sha256::digest(hashed).iter().take(TAG) {
            let _ = write!(name, "{byte:02x}");
        }
        Self(name)
    }
}

/// The path that stands for a configuration: absolute, and without symbolic links in the directory
/// that holds it. The last part is kept as it is: a `ConfigMap` is a link to a directory that gets
/// another name with each change.
pub(super) fn identity(path: &Path) -> PathBuf {
    let absolute = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    let resolved = match (absolute.parent(), absolute.file_name()) {
        (Some(parent), Some(name)) => parent.canonicalize().map(|parent| parent.join(name)),
        _ => absolute.canonicalize(),
    };
    resolved.unwrap_or(absolute)
}
