//! Notices that files have changed, whatever way they were changed.
//!
//! It watches the directories of all inputs, because a watch on a file dies with the file when an
//! editor renames over it or a `ConfigMap` swaps its symlink. Names in events mean nothing; after
//! 200 ms of quiet the content decides. A slow poll is the net under lost events.

use super::{Live, Outcome, Trigger};
use notify::{RecommendedWatcher, RecursiveMode, Watcher};
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::time::{Instant, timeout, timeout_at};

/// Quiet that must follow a change before the files are read.
const QUIET: Duration = Duration::from_millis(200);
/// Longest wait for quiet.
const PATIENCE: Duration = Duration::from_secs(2);
/// How often content is compared even if nothing was noticed.
const POLL: Duration = Duration::from_secs(10);

/// Reloads on every change, as long as the process lives.
pub async fn watch(live: Arc<Live>) {
    let (sender, mut changes) = mpsc::channel(1);
    let mut watched = Watched::new(sender);
    loop {
        watched.directories(&directories(&live.inputs().await));
        if let Ok(Some(())) = timeout(POLL, changes.recv()).await {
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
