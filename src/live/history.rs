//! The last good generations: their texts, so that any of them can be returned to.

use super::Trigger;
use crate::config::source::Source;
use crate::config::{Change, Loaded};
use crate::state::Folder;
use flate2::Compression;
use flate2::read::GzDecoder;
use flate2::write::GzEncoder;
use serde::{Deserialize, Serialize};
use std::collections::VecDeque;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tokio::task::block_in_place;

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
    sources: Vec<Packed>,
}

/// A text, compressed: those of fifty generations would be more than all the rest of the process.
#[derive(Debug)]
struct Packed {
    name: Arc<str>,
    path: Arc<Path>,
    text: Vec<u8>,
}

impl Packed {
    fn new(source: &Source) -> Self {
        let mut packer = GzEncoder::new(Vec::new(), Compression::fast());
        let text = packer.write_all(source.text.as_bytes());
        Self {
            name: source.name.clone(),
            path: source.path.clone(),
            // What is written to memory does not fail; nothing at all would be no text again.
            text: text.and_then(|()| packer.finish()).unwrap_or_default(),
        }
    }

    fn unpack(&self) -> Option<Source> {
        let mut text = String::new();
        let mut packed = GzDecoder::new(self.text.as_slice());
        packed.read_to_string(&mut text).ok()?;
        Some(Source {
            name: self.name.clone(),
            path: self.path.clone(),
            text: text.into(),
        })
    }
}

/// The generations of this process, and where their texts are stored.
#[derive(Debug)]
pub struct History {
    kept: VecDeque<Kept>,
    directory: Option<PathBuf>,
    folder: Option<Folder>,
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
    /// In full: paths in the text are relative to it, wherever the process is started next.
    path: Option<PathBuf>,
    text: String,
}

impl History {
    /// Opens the directory of stored texts. Without one, or where another process writes to it,
    /// history is in memory only.
    pub fn open(folder: Option<&Folder>) -> Self {
        let folder = folder.filter(|folder| folder.is_writable());
        let directory = folder.map(|folder| folder.path().join("generations"));
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
            folder: folder.cloned(),
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
            sources: loaded.sources.iter().map(Packed::new).collect(),
        });
        while self.kept.len() > KEPT {
            if let Some(old) = self.kept.pop_back() {
                self.forget(old.entry.generation);
            }
        }
    }

    /// The file of a generation; `None`: nothing may be written.
    fn file(&self, generation: u64) -> Option<PathBuf> {
        self.folder.as_ref().filter(|folder| folder.is_writable())?;
        let directory = self.directory.as_ref()?;
        Some(directory.join(format!("{generation}.json")))
    }

    /// Stores generations whose file is absent: those that came while nothing could be written.
    pub fn store_missing(&self) {
        for kept in &self.kept {
            let generation = kept.entry.generation;
            let missing = self.file(generation).is_some_and(|path| !path.exists());
            if let Some(sources) = self.sources(generation).filter(|_| missing) {
                self.store(&kept.entry, &sources);
            }
        }
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
                path: Some(s.path.to_path_buf()),
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
        block_in_place(|| kept.sources.iter().map(Packed::unpack).collect())
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
            let packed = |stored: Stored| {
                let path = stored.path.unwrap_or_else(|| PathBuf::from(&stored.name));
                Packed::new(&Source::at(&stored.name, &path, &stored.text))
            };
            Some(Kept {
                entry: document.entry,
                sources: document.sources.into_iter().map(packed).collect(),
            })
        })
        .collect();
    kept.sort_by_key(|kept| std::cmp::Reverse(kept.entry.generation));
    kept.truncate(KEPT);
    kept.into()
}

/// Writes a file that only its owner may read.
pub fn write_private(path: &Path, bytes: &[u8]) -> std::io::Result<()> {
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

#[cfg(test)]
mod tests {
    use super::{Entry, Folder, History, Loaded, Trigger};
    use crate::config::{environment, load_text};
    use crate::state::Place;

    const TEXT: &str = "[listeners.web]\nbind = \"127.0.0.1:0\"\n";

    fn loaded() -> Loaded {
        load_text("a.toml", TEXT, &environment)
    }

    fn generations(history: &History) -> Vec<u64> {
        let entries: Vec<Entry> = history.entries();
        entries.iter().map(|entry| entry.generation).collect()
    }

    fn text_of(history: &History, generation: u64) -> Option<String> {
        let sources = history.sources(generation)?;
        Some(sources.first()?.text.to_string())
    }

    fn folder(base: &std::path::Path) -> Folder {
        let place = Place {
            base: base.to_owned(),
            instance: "a".parse().unwrap(),
            config: None,
        };
        Folder::open(place).unwrap()
    }

    #[test]
    fn texts_are_stored_and_found_again_by_the_next_process() {
        let dir = tempfile::tempdir().unwrap();
        let folder = folder(dir.path());
        let mut history = History::open(Some(&folder));
        history.add(1, Trigger::Start, &loaded(), Vec::new());
        history.add(2, Trigger::Api, &loaded(), Vec::new());
        for history in [&history, &History::open(Some(&folder))] {
            assert_eq!(generations(history), [2, 1]);
            assert_eq!(text_of(history, 1).as_deref(), Some(TEXT));
            assert_eq!(text_of(history, 3), None);
        }
        // Somebody tidied up, which is nothing to a process that runs.
        std::fs::remove_dir_all(dir.path()).unwrap();
        assert_eq!(text_of(&history, 1).as_deref(), Some(TEXT));
    }

    #[test]
    fn generations_wait_while_nothing_may_be_written() {
        let dir = tempfile::tempdir().unwrap();
        let folder = folder(dir.path());
        let mut history = History::open(Some(&folder));
        history.add(1, Trigger::Start, &loaded(), Vec::new());
        let lock = folder.yield_lock();
        assert!(lock.is_some());
        history.add(2, Trigger::Api, &loaded(), Vec::new());
        folder.resume();
        assert_eq!(generations(&History::open(Some(&folder))), [1]);
        history.store_missing();
        assert_eq!(generations(&History::open(Some(&folder))), [2, 1]);
    }

    #[test]
    fn a_second_process_keeps_its_history_to_itself() {
        let dir = tempfile::tempdir().unwrap();
        let first = folder(dir.path());
        History::open(Some(&first)).add(1, Trigger::Start, &loaded(), Vec::new());
        let second = folder(dir.path());
        let mut history = History::open(Some(&second));
        assert_eq!(generations(&history), [0; 0]);
        history.add(1, Trigger::Start, &loaded(), Vec::new());
        history.add(2, Trigger::Api, &loaded(), Vec::new());
        assert_eq!(generations(&history), [2, 1]);
        assert_eq!(generations(&History::open(Some(&first))), [1]);
    }

    #[test]
    fn without_a_place_for_them_texts_stay_in_memory() {
        let mut history = History::open(None);
        history.add(1, Trigger::Start, &loaded(), Vec::new());
        assert_eq!(text_of(&history, 1).as_deref(), Some(TEXT));
    }
}
