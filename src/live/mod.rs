//! The one owner of the live snapshot: loading, reloading, history, rollback.
//!
//! Every way to a new generation is the same: read → unchanged? stop → check everything → run the
//! file's tests → build off the hot path → one store. A failure anywhere before the store leaves
//! the last good generation serving.

mod ask;
mod background;
mod checking;
mod confirm;
mod guard;
mod history;
mod pushes;
pub mod rollouts;
mod verdict;
pub mod watch;

pub use checking::{Checked, Source, check, checked, decides};
pub use confirm::Trial;
pub use history::{Entry, hex, write_private};
pub use verdict::{Outcome, Rejected, Verdict};

use crate::config::source::{self as texts, load_sources};
use crate::config::{Config, Loaded, Name, Values, diff, environment, load_posted};
use crate::memory::apart;
use crate::snapshot::{Current, Snapshot, Surroundings};
use crate::state::Folder;
use crate::telemetry::Metrics;
use arc_swap::ArcSwap;
use background::{retire, sweep};
use history::History;
use rollouts::Rollouts;
use std::path::Path;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};
use tokio::sync::Mutex;

/// Why a file that was emptied, or cut short by a full disk, does not shut the gateway.
const NO_LISTENER: &str =
    "no listener is left, so nobody could connect; force the reload if that is meant";

/// What asked for a reload.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Trigger {
    Start,
    FileChange,
    Signal,
    Api,
    Rollback,
    /// A text that came through the API.
    Applied,
    /// A reload on trial was not confirmed.
    Unconfirmed,
}

impl Trigger {
    /// As the API and the log say it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Start => "start",
            Self::FileChange => "file-change",
            Self::Signal => "signal",
            Self::Api => "api",
            Self::Rollback => "rollback",
            Self::Applied => "applied",
            Self::Unconfirmed => "unconfirmed",
        }
    }
}

/// What the gateway listens on: follows the configuration.
pub trait Doors: Send + Sync + std::fmt::Debug {
    /// Binds what a configuration has anew. What is returned opens and closes doors accordingly,
    /// and is called once the configuration is live.
    ///
    /// # Errors
    /// Which one cannot be bound, and why; nothing has changed then.
    fn prepare(&self, config: &Config) -> Result<Box<dyn FnOnce() + Send>, (Name, String)>;
}

/// How a reload is wished for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Wish {
    /// Whatever `server.reload_guard` says.
    pub force: bool,
    /// Goes back by itself unless confirmed within this time.
    pub confirm: Option<Duration>,
}

/// The live configuration and how it changes.
#[derive(Debug)]
pub struct Live {
    pub current: Current,
    pub metrics: Arc<Metrics>,
    pub rollouts: Arc<Rollouts>,
    surroundings: Surroundings,
    source: Source,
    doors: OnceLock<Box<dyn Doors>>,
    state: Mutex<State>,
    /// The last configuration that was refused, until another one is live.
    rejected: parking_lot::Mutex<Option<Arc<Rejected>>>,
    trial: parking_lot::Mutex<Option<Trial>>,
}

#[derive(Debug)]
struct State {
    loaded: Arc<Loaded>,
    history: History,
    /// The texts of the source when they were last looked at, good or bad: the watch acts on
    /// what is new only, so it neither repeats a failure nor undoes a rollback.
    seen: [u8; 32],
    /// The number of the generation that a rollback restored, while the file says something else.
    rolled_back_to: Option<u64>,
    /// What is live came through the API as a text; the file says something else.
    applied: bool,
}

impl Live {
    /// Brings the first generation to life. History is kept in the folder, if there is one.
    ///
    /// # Errors
    /// What is wrong with the configuration.
    pub fn open(
        source: Source,
        (mut loaded, table, materials): Checked,
        metrics: Arc<Metrics>,
        folder: Option<&Folder>,
    ) -> Result<Arc<Self>, Box<Loaded>> {
        let mut history = History::open(folder);
        let generation = history.next();
        let Some(config) = loaded.config.clone() else {
            return Err(Box::new(loaded));
        };
        let surroundings = Surroundings {
            metrics: metrics.clone(),
            folder: folder.cloned(),
            overload: Arc::default(),
            discovery: Arc::default(),
        };
        surroundings.overload.watch();
        let config = Arc::new(config);
        let built = Snapshot::build(config, table, materials, None, generation, &surroundings);
        let snapshot = match built {
            Ok((snapshot, _)) => snapshot,
            Err(error) => {
                loaded.unfit(error.key(), &error.to_string());
                return Err(Box::new(loaded));
            }
        };
        let followed = snapshot
            .discovery
            .prepare(&snapshot.config, &snapshot.services);
        snapshot.discovery.follow(followed);
        let rollouts = Rollouts::open(folder);
        rollouts.settle(&snapshot);
        snapshot.start_plugins();
        history.add(generation, Trigger::Start, &loaded, Vec::new());
        metrics.reload_succeeded(generation);
        verdict::warn_of_files(&loaded);
        let seen = loaded.hash;
        let state = State {
            loaded: Arc::new(loaded),
            history,
            seen,
            rolled_back_to: None,
            applied: false,
        };
        let current = Arc::new(ArcSwap::from_pointee(snapshot));
        sweep(current.clone());
        pushes::drive(current.clone(), metrics.clone());
        rollouts::drive(rollouts.clone(), current.clone());
        Ok(Arc::new(Self {
            current,
            metrics,
            rollouts,
            surroundings,
            source,
            doors: OnceLock::new(),
            state: Mutex::new(state),
            rejected: parking_lot::Mutex::default(),
            trial: parking_lot::Mutex::default(),
        }))
    }

    /// Checks what has been loaded, beside what serves now.
    fn beside(&self, loaded: Loaded) -> Result<Checked, Box<Loaded>> {
        checking::checked_beside(loaded, Some(&self.current.load()))
    }

    /// Has a configuration put to work, refused or looked at where it holds up no request. A panic is
    /// a verdict too.
    fn aside(&self, work: impl FnOnce() -> Verdict + Send) -> Verdict {
        apart(work).unwrap_or_else(|| self.failed("the work on it failed"))
    }

    fn failed(&self, why: &str) -> Verdict {
        Verdict::failed(self.current.load().generation, why)
    }

    /// The folder of the state; `None`: nothing is kept.
    pub fn folder(&self) -> Option<&Folder> {
        self.surroundings.folder.as_ref()
    }

    /// Writes to the folder again, and what has come meanwhile: a hand-over has failed.
    pub async fn write_again(&self) {
        let Some(folder) = self.folder() else { return };
        folder.resume();
        self.state.lock().await.history.store_missing();
        self.rollouts.keep();
    }

    /// From now on these doors follow the configuration.
    pub fn attend(&self, doors: impl Doors + 'static) {
        let _ = self.doors.set(Box::new(doors));
    }

    /// As [`reload`](Self::reload), as it is wished for.
    pub async fn reload_as(self: &Arc<Self>, trigger: Trigger, wish: Wish) -> Verdict {
        let mut verdict = self.read_again(trigger, wish.force).await;
        if let Some(within) = wish.confirm {
            self.try_out(within, &verdict).await;
            verdict.trial = self.trial();
        }
        verdict
    }

    /// Reads the source again and puts it to work if it is sound.
    pub async fn reload(&self, trigger: Trigger) -> Verdict {
        self.read_again(trigger, false).await
    }

    async fn read_again(&self, trigger: Trigger, force: bool) -> Verdict {
        let mut state = self.state.lock().await;
        let started = Instant::now();
        let Some(checked) = apart(|| self.beside(checking::read(&self.source))) else {
            return self.failed("the check itself failed");
        };
        let found = match &checked {
            Ok((loaded, ..)) => loaded,
            Err(loaded) => loaded.as_ref(),
        };
        if trigger == Trigger::FileChange && !watch::at_rest(&found.inputs) {
            // It may be half of what is being written; the watch comes back.
            return Verdict::unchanged(self.current.load().generation);
        }
        let seen = std::mem::replace(&mut state.seen, found.hash) == found.hash;
        if found.hash == state.loaded.hash {
            // The file says what is live, whatever way it came there: there is no drift.
            state.rolled_back_to = None;
            state.applied = false;
        }
        let is_live = checked.is_ok()
            && found.hash == state.loaded.hash
            && found.values == state.loaded.values;
        if is_live {
            // Whatever was refused before, the file says again what serves.
            *self.rejected.lock() = None;
            self.metrics.reload_settled();
            return Verdict::settled(self.current.load().generation, found);
        }
        if seen && trigger == Trigger::FileChange {
            return Verdict::unchanged(self.current.load().generation);
        }
        match checked {
            Ok(checked) => self.aside(|| match self.guarded(&checked, force) {
                Some(verdict) => verdict,
                None => self.apply(&mut state, checked, trigger, started, None),
            }),
            Err(loaded) => self.refuse(&loaded, trigger),
        }
    }

    /// The refusal of a configuration that would close every door, as a file does that was cut
    /// short, or would move too many recent requests.
    fn guarded(&self, (loaded, table, _): &Checked, force: bool) -> Option<Verdict> {
        let live = self.current.load();
        let config = loaded.config.as_ref().filter(|_| !force)?;
        let (why, replay) = if config.listeners.is_empty() && !live.config.listeners.is_empty() {
            (NO_LISTENER.to_owned(), None)
        } else {
            let guard = live.config.server.reload_guard.as_ref()?;
            let report = guard::recently(&self.metrics, &self.rollouts, &live, (config, table));
            (guard::refusal(guard, &report)?, Some(report))
        };
        self.metrics.reload_failed();
        tracing::error!(generation = live.generation, "configuration refused\n{why}");
        Some(Verdict {
            replay,
            ..Verdict::failed(live.generation, why.trim_end())
        })
    }

    /// Puts an earlier generation back to work, from the texts it was made of.
    pub async fn rollback(&self, generation: u64) -> Option<Verdict> {
        self.restore(generation, Trigger::Rollback).await
    }

    async fn restore(&self, generation: u64, trigger: Trigger) -> Option<Verdict> {
        let mut state = self.state.lock().await;
        let sources = state.history.sources(generation)?;
        let started = Instant::now();
        let back_to = Some(generation);
        Some(
            self.aside(|| match self.beside(load_sources(sources, &environment)) {
                Ok(checked) => self.apply(&mut state, checked, trigger, started, back_to),
                Err(loaded) => self.refuse(&loaded, trigger),
            }),
        )
    }

    /// Puts a text to work as if it were the file, which stays as it is: a reload or a restart
    /// goes back to it. It is guarded as a reload is, unless forced.
    pub async fn apply_text(&self, text: &str, force: bool) -> Verdict {
        let mut state = self.state.lock().await;
        let started = Instant::now();
        let posted = self.posted(text);
        let live = state.loaded.clone();
        let load = || load_posted(posted, &live, &environment, Values::Count);
        self.aside(|| match self.beside(load()) {
            Ok((loaded, ..)) if loaded.values == state.loaded.values => {
                Verdict::unchanged(self.current.load().generation)
            }
            Ok(checked) => match self.guarded(&checked, force) {
                Some(verdict) => verdict,
                None => self.apply(&mut state, checked, Trigger::Applied, started, None),
            },
            Err(loaded) => self.refuse(&loaded, Trigger::Applied),
        })
    }

    /// A text from the API, in the place of the file, or beside those of the directory.
    fn posted(&self, text: &str) -> texts::Source {
        let named = |path: &Path, at: &Path| texts::Source::at(&path.to_string_lossy(), at, text);
        match &self.source {
            Source::Path(path) if path.is_dir() => named(path, &path.join("request")),
            Source::Path(path) => named(path, path),
            Source::Text(_) => texts::Source::new("request", text),
        }
    }

    fn apply(
        &self,
        state: &mut State,
        (mut loaded, table, materials): Checked,
        trigger: Trigger,
        started: Instant,
        rolled_back_to: Option<u64>,
    ) -> Verdict {
        let previous = self.current.load_full();
        let generation = state.history.next();
        let Some(config) = loaded.config.clone() else {
            return self.refuse(&loaded, trigger);
        };
        let built = Snapshot::build(
            Arc::new(config),
            table,
            materials,
            Some(&previous),
            generation,
            &self.surroundings,
        );
        let (snapshot, carried) = match built {
            Ok(built) => built,
            Err(error) => {
                loaded.unfit(error.key(), &error.to_string());
                return self.refuse(&loaded, trigger);
            }
        };
        let doors = self
            .doors
            .get()
            .map(|doors| doors.prepare(&snapshot.config));
        let doors = match doors.transpose() {
            Ok(doors) => doors,
            Err((listener, why)) => {
                loaded.unfit(&format!("listeners.{listener}.bind"), &why);
                return self.refuse(&loaded, trigger);
            }
        };
        let followed = snapshot
            .discovery
            .prepare(&snapshot.config, &snapshot.services);
        let changes = diff(&state.loaded.values, &loaded.values);
        self.rollouts.settle(&snapshot);
        snapshot.start_plugins();
        self.current.store(Arc::new(snapshot));
        self.surroundings.discovery.follow(followed);
        if let Some(follow) = doors {
            follow();
        }
        retire(previous);
        *self.rejected.lock() = None;
        self.metrics.reload_succeeded(generation);
        state
            .history
            .add(generation, trigger, &loaded, changes.clone());
        // What the file says as well, when it was last read, is no drift.
        let drifts = loaded.hash != state.seen;
        state.loaded = Arc::new(loaded);
        state.rolled_back_to = rolled_back_to.filter(|_| drifts);
        state.applied = trigger == Trigger::Applied && drifts;
        let verdict = Verdict::applied(generation, started, changes, carried, &state.loaded);
        tracing::info!(
            generation,
            trigger = trigger.name(),
            changes = verdict.changes.len(),
            "configuration live"
        );
        verdict::warn_of_files(&state.loaded);
        verdict
    }

    fn refuse(&self, loaded: &Loaded, trigger: Trigger) -> Verdict {
        *self.rejected.lock() = Some(Arc::new(Rejected::new(loaded, trigger)));
        self.metrics.reload_failed();
        let generation = self.current.load().generation;
        let problems = loaded.render_human(false);
        tracing::error!(
            generation,
            trigger = trigger.name(),
            "configuration refused; still serving\n{problems}"
        );
        Verdict::rejected(generation, loaded)
    }
}
