//! The last good generations: their texts, so that any of them can be returned to.

use super::Trigger;
use crate::config::source::Source;
use crate::config::{Change, Loaded};
use serde::{Deserialize, Serialize};
use std::collections::VecDeque;
use std::path::{Path, PathBuf};

/// Generations that are kept.
const KEPT: usize = 50;
/// Texts larger than this in all are kept in memory only.
const STORED_MAX: usize = 8 << 20;

/// One generation, as lists show it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Entry {
    pub generation: u64,
    /// RFC 3339.
    pub time: String,
    pub trigger: Trigger,
    /// SHA-256 of the texts, in hex.
    pub hash: String,
    pub changes: Vec<Change>,
    pub files: Vec<String>,
}

#[derive(Debug)]
struct Kept {
    entry: Entry,
    sources: Vec<Source>,
}

/// The generations of this process, and where their texts are stored.
#[derive(Debug)]
pub struct History {
    kept: VecDeque<Kept>,
    directory: Option<PathBuf>,
    last: u64,
}

/// A generation as it is stored.
#[derive(Debug, Deserialize)]
struct Document {
    entry: Entry,
    sources: Vec<Stored>,
}

/// A text as it is stored.
#[derive(Debug, Serialize, Deserialize)]
struct Stored {
    name: String,
    text: String,
}

impl History {
    /// Opens the directory of stored texts; without one, history is in memory only.
    pub fn open(state_dir: Option<&Path>) -> Self {
        let directory = state_dir.map(|directory| directory.join("generations"));
        let directory = directory.filter(|directory| {
            std::fs::create_dir_all(directory)
                .inspect_err(|error| {
                    tracing::warn!(directory = %directory.display(), %error, "history is kept in memory only");
                })
                .is_ok()
        });
        let kept = directory.as_deref().map(stored).unwrap_or_default();
        Self {
            last: kept.front().map_or(0, |kept| kept.entry.generation),
            kept,
            directory,
        }
    }

    /// The number of the next generation.
    pub fn next(&self) -> u64 {
        self.last + 1
    }

    pub fn add(
        &mut self,
        generation: u64,
        trigger: Trigger,
        loaded: &Loaded,
        changes: Vec<Change>,
    ) {
        self.last = generation;
        let entry = Entry {
            generation,
            time: jiff::Timestamp::now().to_string(),
            trigger,
            hash: hex(&loaded.hash),
            changes,
            files: loaded
                .sources
                .iter()
                .map(|source| source.name.to_string())
                .collect(),
        };
        self.store(&entry, &loaded.sources);
        self.kept.push_front(Kept {
            entry,
            sources: loaded.sources.clone(),
        });
        while self.kept.len() > KEPT {
            if let Some(old) = self.kept.pop_back() {
                self.forget(old.entry.generation);
            }
        }
    }

    fn file(&self, generation: u64) -> Option<PathBuf> {
        self.directory
            .as_ref()
            .map(|directory| directory.join(format!("{generation}.json")))
    }

    /// For the eyes of the owner only: texts may hold what others should not read.
    fn store(&self, entry: &Entry, sources: &[Source]) {
        let Some(path) = self.file(entry.generation) else {
            return;
        };
        if sources
            .iter()
            .map(|source| source.text.len())
            .sum::<usize>()
            > STORED_MAX
        {
            return;
        }
        let texts: Vec<Stored> = sources
            .iter()
            .map(|s| Stored {
                name: s.name.to_string(),
                text: s.text.to_string(),
            })
            .collect();
        let document = serde_json::json!({ "entry": entry, "sources": texts });
        if let Err(error) = write_private(&path, document.to_string().as_bytes()) {
            tracing::warn!(path = %path.display(), %error, "cannot store the generation");
        }
    }

    fn forget(&self, generation: u64) {
        if let Some(path) = self.file(generation) {
            let _ = std::fs::remove_file(path);
        }
    }

    /// The texts of a generation that is still kept.
    pub fn sources(&self, generation: u64) -> Option<Vec<Source>> {
        let kept = self
            .kept
            .iter()
            .find(|kept| kept.entry.generation == generation)?;
        Some(kept.sources.clone())
    }

    pub fn entries(&self) -> Vec<Entry> {
        self.kept.iter().map(|kept| kept.entry.clone()).collect()
    }
}

/// The stored generations, the newest first. A file that cannot be read is no reason not to serve.
fn stored(directory: &Path) -> VecDeque<Kept> {
    let files = std::fs::read_dir(directory).into_iter().flatten();
    let mut kept: Vec<Kept> = files
        .filter_map(|file| {
            let path = file.ok()?.path();
            let text = std::fs::read(&path).ok()?;
            let document: Document = serde_json::from_slice(&text)
                .inspect_err(|error| {
                    tracing::warn!(path = %path.display(), %error, "not a stored generation");
                })
                .ok()?;
            let sources = document.sources.into_iter().map(|stored| Source {
                name: stored.name.into(),
                text: stored.text.into(),
            });
            Some(Kept {
                entry: document.entry,
                sources: sources.collect(),
            })
        })
        .collect();
    kept.sort_by_key(|kept| std::cmp::Reverse(kept.entry.generation));
    kept.truncate(KEPT);
    kept.into()
}

/// Writes a file that only its owner may read.
pub fn write_private(path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    use std::io::Write;
    use std::os::unix::fs::OpenOptionsExt;
    let mut options = std::fs::OpenOptions::new();
    let mut file = options
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(path)?;
    file.write_all(bytes)
}

/// Lower-case hex.
pub fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write;
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}
