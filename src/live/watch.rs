//! Notices that files have changed, whatever way they were changed.
//!
//! It watches the directories of all inputs, because a watch on a file dies with the file when an
//! editor renames over it or a `ConfigMap` swaps its symlink. Names in events mean nothing; after
//! 200 ms of quiet the content decides, unless a file was written to a moment ago: what is read
//! then may be half of it. A slow poll is the net under lost events.

use super::{Live, Outcome, Trigger};
use notify::{RecommendedWatcher, RecursiveMode, Watcher};
use std::collections::BTreeSet;
use std::fs::Metadata;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep, timeout, timeout_at};

/// Quiet that must follow a change before the files are read.
const QUIET: Duration = Duration::from_millis(200);
/// Longest wait for quiet.
const PATIENCE: Duration = Duration::from_secs(2);
/// A file that was written to less than so long ago may not be complete.
const REST: Duration = Duration::from_millis(100);
/// How often content is compared even if nothing was noticed.
const POLL: Duration = Duration::from_secs(10);

/// Reloads on every change, as long as the process lives.
pub async fn watch(live: Arc<Live>) {
    let (sender, mut changes) = mpsc::channel(1);
    let mut watched = Watched::new(sender);
    loop {
        let inputs = live.inputs().await;
        watched.directories(&directories(&inputs));
        if !at_rest(&inputs) {
            sleep(REST).await;
        } else if let Ok(Some(())) = timeout(POLL, changes.recv()).await {
            settle(&mut changes).await;
        }
        let verdict = live.reload(Trigger::FileChange).await;
        if verdict.outcome == Outcome::Unchanged {
            continue;
        }
        // What was included may have changed with the file.
        watched.directories(&directories(&live.inputs().await));
    }
}

async fn settle(changes: &mut mpsc::Receiver<()>) {
    let latest = Instant::now() + PATIENCE;
    while Instant::now() < latest {
        let quiet = (Instant::now() + QUIET).min(latest);
        if timeout_at(quiet, changes.recv()).await.is_err() {
            return;
        }
    }
}

/// Whether nobody has written to any of these files for a moment.
pub fn at_rest(inputs: &[PathBuf]) -> bool {
    let now = SystemTime::now();
    inputs.iter().all(|path| {
        let file = std::fs::metadata(path).ok().filter(Metadata::is_file);
        let written = file.and_then(|file| file.modified().ok());
        // A time to come tells of a clock that was set back, not of a writer.
        let age = written.and_then(|written| now.duration_since(written).ok());
        age.is_none_or(|age| age >= REST)
    })
}

fn directories(inputs: &[PathBuf]) -> BTreeSet<PathBuf> {
    let parent = |path: &PathBuf| {
        if path.is_dir() {
            return path.clone();
        }
        match path.parent() {
            Some(parent) if parent != Path::new("") => parent.to_owned(),
            _ => PathBuf::from("."),
        }
    };
    inputs
        .iter()
        .map(parent)
        .filter(|directory| directory.is_dir())
        .collect()
}

struct Watched {
    watcher: Option<RecommendedWatcher>,
    directories: BTreeSet<PathBuf>,
}

impl Watched {
    fn new(sender: mpsc::Sender<()>) -> Self {
        let watcher = notify::recommended_watcher(move |event: notify::Result<notify::Event>| {
            let only_read = event.as_ref().is_ok_and(|event| event.kind.is_access());
            if !only_read {
                // Full means that a change is waiting to be seen already.
                let _ = sender.try_send(());
            }
        });
        let watcher = watcher
            .inspect_err(|error| tracing::warn!(%error, "cannot watch files; polling instead"))
            .ok();
        Self {
            watcher,
            directories: BTreeSet::new(),
        }
    }

    fn directories(&mut self, wanted: &BTreeSet<PathBuf>) {
        let Some(watcher) = &mut self.watcher else {
            return;
        };
        for gone in self.directories.difference(wanted) {
            let _ = watcher.unwatch(gone);
        }
        for new in wanted.difference(&self.directories) {
            if let Err(error) = watcher.watch(new, RecursiveMode::NonRecursive) {
                tracing::warn!(directory = %new.display(), %error, "cannot watch; polling instead");
            }
        }
        self.directories.clone_from(wanted);
    }
}

#[cfg(test)]
mod tests {
    use super::{REST, at_rest};
    use std::time::SystemTime;

    #[test]
    fn a_file_that_was_just_written_is_not_at_rest() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.toml");
        let file = std::fs::File::create(&path).unwrap();
        let inputs = [dir.path().to_owned(), path, dir.path().join("missing")];
        let now = SystemTime::now();
        for (written, rests) in [(now, false), (now - REST, true), (now + 60 * REST, true)] {
            file.set_modified(written).unwrap();
            assert_eq!(at_rest(&inputs), rests, "{written:?} of {now:?}");
        }
    }
}
