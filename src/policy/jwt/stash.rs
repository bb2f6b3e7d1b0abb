//! Fetched keys on disk, for a start while the issuer is down.
//!
//! A key set is bound to the issuer and the URL it came from. A set of another issuer, as a
//! changed or another configuration leaves it, is ignored.

use super::keys::KeySet;
use crate::config::jwt::{Jwt, KeysByUrl};
use crate::state::Folder;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::fs::File;
use std::io::{self, Read};
use std::path::PathBuf;
use std::time::Duration;

/// Most bytes of the file: the document, with its numbers and strings spelled anew.
const FILE_MAX: u64 = 2 * KeySet::DOCUMENT_MAX as u64;

/// Where the keys of one provider are kept.
#[derive(Debug)]
pub struct Stash {
    folder: Folder,
    path: PathBuf,
    issuer: String,
    url: String,
}

/// The file.
#[derive(Serialize, Deserialize)]
struct Stored {
    issuer: String,
    url: String,
    jwks: Value,
}

impl Stash {
    /// The stash of the provider of this name.
    pub fn new(folder: &Folder, name: &str, config: &Jwt, source: &KeysByUrl) -> Self {
        Self {
            path: folder.path().join(format!("jwks-{name}.json")),
            folder: folder.clone(),
            issuer: config.issuer.clone(),
            url: source.url.clone(),
        }
    }

    /// Reads the keys that this issuer gave at this URL less than `max_stale` ago, and their age.
    pub fn read(&self, max_stale: Duration) -> Option<(KeySet, Duration)> {
        let file = File::open(&self.path).ok()?;
        let age = file.metadata().ok()?.modified().ok()?.elapsed().ok()?;
        (age < max_stale).then_some(())?;
        let mut text = Vec::new();
        file.take(FILE_MAX).read_to_end(&mut text).ok()?;
        let stored: Stored = serde_json::from_slice(&text).ok()?;
        if (&stored.issuer, &stored.url) != (&self.issuer, &self.url) {
            let path = self.path.display();
            tracing::warn!(%path, issuer = stored.issuer, url = stored.url, "keys on disk are of another issuer or URL, and are ignored");
            return None;
        }
        let keys = serde_json::to_vec(&stored.jwks).ok()?;
        Some((KeySet::from_jwks(&keys).ok()?, age))
    }

    /// Keeps a document. It is written beside and renamed, so that a crash leaves the old one.
    pub fn write(&self, document: &[u8]) {
        if !self.folder.is_writable() {
            return;
        }
        let write = || -> io::Result<()> {
            let stored = Stored {
                issuer: self.issuer.clone(),
                url: self.url.clone(),
                jwks: serde_json::from_slice(document)?,
            };
            let beside = self.path.with_extension("tmp");
            std::fs::write(&beside, serde_json::to_vec(&stored)?)?;
            std::fs::rename(&beside, &self.path)
        };
        if let Err(error) = write() {
            let path = self.path.display();
            tracing::warn!(%path, %error, "cannot keep the keys on disk");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Stash;
    use crate::state::{Folder, Place};
    use std::time::Duration;

    const KEYS: &[u8] = include_bytes!("../../../tests/config_corpus/files/p256.jwks");
    const FRESH: Duration = Duration::from_hours(1);

    #[test]
    fn keys_of_another_issuer_or_url_are_ignored() {
        let dir = tempfile::tempdir().unwrap();
        let place = Place {
            base: dir.path().to_owned(),
            instance: "a".parse().unwrap(),
            config: None,
        };
        let folder = Folder::open(place).unwrap();
        let stash = |issuer: &str, url: &str| Stash {
            folder: folder.clone(),
            path: folder.path().join("jwks-users.json"),
            issuer: issuer.to_owned(),
            url: url.to_owned(),
        };
        let ours = stash("https://id.example/", "https://id.example/jwks");
        ours.write(KEYS);
        let (keys, _) = ours.read(FRESH).unwrap();
        assert_eq!(keys.len(), 1);
        assert!(ours.read(Duration::ZERO).is_none(), "too old");
        for (issuer, url) in [
            ("https://other.example/", "https://id.example/jwks"),
            ("https://id.example/", "https://id.example/other"),
        ] {
            assert!(stash(issuer, url).read(FRESH).is_none(), "{issuer} {url}");
        }
        // What earlier releases kept does not say whose it is.
        std::fs::write(folder.path().join("jwks-users.json"), KEYS).unwrap();
        assert!(ours.read(FRESH).is_none());
    }
}
