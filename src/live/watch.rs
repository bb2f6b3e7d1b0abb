//! Notices that files have changed, whatever way they were changed.
//!
//! It watches the directories of all inputs, because a watch on a file dies with the file when an
//! editor renames over it or a `ConfigMap` swaps its symlink. Names in events mean nothing; after
//! 200 ms of quiet the content decides, unless a file was written to a moment ago: what is read
//! then may be half of it. Writes themselves are no events, only the closing after them: a log that
//! grows beside the configuration must not wake anybody. A slow poll is the net under lost events; it
//! reads nothing as long as all files are those that were read.

use super::{Live, Outcome, Trigger};
use futures::StreamExt;
use inotify::{EventStream, Inotify, WatchDescriptor, WatchMask};
use std::collections::{BTreeMap, BTreeSet};
use std::fs::Metadata;
use std::future::pending;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};
use tokio::time::{Instant, sleep, timeout, timeout_at};

/// Quiet that must follow a change before the files are read.
const QUIET: Duration = Duration::from_millis(200);
/// Longest wait for quiet.
const PATIENCE: Duration = Duration::from_secs(2);
/// A file that was written to less than so long ago may not be complete.
const REST: Duration = Duration::from_millis(100);
/// How often files are looked at even if nothing was noticed.
const POLL: Duration = Duration::from_secs(10);

/// Reloads on every change, as long as the process lives.
pub async fn watch(live: Arc<Live>) {
    let mut watched = Watched::new();
    let mut read = None;
    loop {
        let inputs = live.inputs().await;
        watched.directories(&directories(&inputs));
        let mut noticed = true;
        if !at_rest(&inputs) {
            sleep(REST).await;
        } else if timeout(POLL, watched.change()).await.is_ok() {
            settle(&mut watched).await;
        } else {
            noticed = false;
        }
        let stamps = stamps(&inputs);
        if !noticed && read.as_ref() == Some(&stamps) {
            continue;
        }
        let whole = at_rest(&inputs);
        let verdict = live.reload(Trigger::FileChange).await;
        // What was refused may have been made of other files than these, and of one that is being
        // written, what was read may be half.
        read = (whole && live.rejected().is_none()).then_some(stamps);
        if verdict.outcome == Outcome::Unchanged {
            continue;
        }
        // What was included may have changed with the file.
        watched.directories(&directories(&live.inputs().await));
    }
}

async fn settle(watched: &mut Watched) {
    let latest = Instant::now() + PATIENCE;
    while Instant::now() < latest {
        let quiet = (Instant::now() + QUIET).min(latest);
        if timeout_at(quiet, watched.change()).await.is_err() {
            return;
        }
    }
}

/// What tells a file from another one, or from what it was: device, inode, size, and when its content and
/// its inode changed, in seconds and nanoseconds.
type Stamp = (u64, u64, u64, (i64, i64), (i64, i64));

/// The stamp of each file, and of each directory, which changes with the names in it; `None`: it is not
/// there.
fn stamps(inputs: &[PathBuf]) -> Vec<(PathBuf, Option<Stamp>)> {
    let stamp = |path: &PathBuf| {
        let file = std::fs::metadata(path).ok()?;
        let content = (file.mtime(), file.mtime_nsec());
        let inode = (file.ctime(), file.ctime_nsec());
        Some((file.dev(), file.ino(), file.size(), content, inode))
    };
    let all = inputs.iter().cloned().chain(directories(inputs));
    all.map(|path| (path.clone(), stamp(&path))).collect()
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

/// Room for events that are read at once; what does not fit is read after them.
const EVENTS: usize = 4096;

struct Watched {
    /// `None` where there is none to have.
    events: Option<EventStream<[u8; EVENTS]>>,
    directories: BTreeMap<PathBuf, Option<WatchDescriptor>>,
}

impl Watched {
    fn new() -> Self {
        let events = Inotify::init().and_then(|queue| queue.into_event_stream([0; EVENTS]));
        Self {
            events: events
                .inspect_err(|error| tracing::warn!(%error, "cannot watch files; polling instead"))
                .ok(),
            directories: BTreeMap::new(),
        }
    }

    /// Watches these directories and no others. Asking again for one that is watched costs nothing,
    /// and finds the new one where the old was replaced.
    fn directories(&mut self, wanted: &BTreeSet<PathBuf>) {
        let Some(events) = &self.events else {
            return;
        };
        let mut watches = events.watches();
        let mut old = std::mem::take(&mut self.directories);
        for directory in wanted {
            let watch = watches.add(directory, happenings());
            let before = old.remove(directory);
            if let (Err(error), None | Some(Some(_))) = (&watch, &before) {
                tracing::warn!(directory = %directory.display(), %error, "cannot watch; polling instead");
            }
            let watch = watch.ok();
            if let Some(before) = before.filter(|before| *before != watch) {
                old.insert(directory.clone(), before);
            }
            self.directories.insert(directory.clone(), watch);
        }
        for gone in old.into_values().flatten() {
            // One whose directory is gone is gone as well.
            let _ = watches.remove(gone);
        }
    }

    /// Waits for anything to happen in the directories, and forgets what it was.
    async fn change(&mut self) {
        if let Some(events) = &mut self.events
            && let Some(Ok(_)) = events.next().await
        {
            return;
        }
        // Without a queue, or with one that fails, the poll is all there is.
        pending::<()>().await;
    }
}

/// Files come, go, are replaced, and are closed after writing.
fn happenings() -> WatchMask {
    WatchMask::CREATE
        | WatchMask::CLOSE_WRITE
        | WatchMask::MOVE
        | WatchMask::DELETE
        | WatchMask::ONLYDIR
}

#[cfg(test)]
mod tests {
    use super::{REST, at_rest, stamps};
    use std::time::SystemTime;

    #[test]
    fn whatever_becomes_of_a_file_changes_a_stamp() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.toml");
        let inputs = [path.clone(), dir.path().join("*")];
        let mut seen = vec![stamps(&inputs)];
        std::thread::sleep(REST / 5);
        let mut changes = |what: &str| {
            let now = stamps(&inputs);
            assert_eq!(now, stamps(&inputs));
            assert!(!seen.contains(&now), "{what}");
            seen.push(now);
            // Times of files go by the kernel's tick.
            std::thread::sleep(REST / 5);
        };
        std::fs::write(&path, "a").unwrap();
        changes("created");
        std::fs::write(&path, "ab").unwrap();
        changes("written");
        let file = std::fs::File::options().write(true).open(&path).unwrap();
        file.set_modified(SystemTime::UNIX_EPOCH).unwrap();
        changes("dated back");
        let other = dir.path().join("b.toml");
        std::fs::write(&other, "ab").unwrap();
        changes("another beside it");
        std::fs::rename(&other, &path).unwrap();
        changes("replaced");
        std::fs::remove_file(&path).unwrap();
        changes("removed");
    }

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
