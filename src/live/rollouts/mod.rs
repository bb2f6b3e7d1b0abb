//! Drives rollouts: reads what the color and the default version have done since the last step,
//! has it judged, and sets shares. The one writer of the book.

mod view;
mod window;

pub use view::{Met, Post, Progress, View};

use crate::config::rollout::{Rollout, Start};
use crate::config::units::Percent;
use crate::config::{Config, Name};
use crate::rollout::{
    Book, By, Command, Event, Kind, Moment, Numbers, Phase, State, Verdict, judge,
};
use crate::routing::{ColorId, Table};
use crate::snapshot::{Current, Snapshot};
use crate::state::Folder;
use parking_lot::Mutex;
use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc;
use window::Window;

/// How often windows are looked at: a breach must take effect within a second.
const PACE: Duration = Duration::from_millis(200);
/// A window is judged again once it has grown by a fifth.
const GROWTH: u32 = 5;
/// A window that cannot lead on is begun anew after so many times its length: what was long ago
/// must not outweigh what is now.
const WINDOWS_HELD: u32 = 4;
/// Events that wait for a webhook.
const WEBHOOK_QUEUE: usize = 64;
/// Events that are kept for charts, over all rollouts.
const LATEST_KEPT: usize = 64;

/// Shares and rollouts of the live configuration.
#[derive(Debug)]
pub struct Rollouts {
    inner: Mutex<Inner>,
    posts: mpsc::Sender<(String, Post)>,
}

#[derive(Debug)]
struct Inner {
    book: Book,
    windows: HashMap<Name, Window>,
    /// The latest events of all rollouts, numbered from 1.
    latest: VecDeque<(u64, Name, Event)>,
}

/// Why a share or rollout was not changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Refused {
    /// There is nothing of that name.
    Unknown(String),
    /// It does not fit.
    Conflict(String),
}

impl Rollouts {
    /// Opens the book, and starts the task that posts events.
    pub fn open(folder: Option<&Folder>) -> Arc<Self> {
        let (posts, queue) = mpsc::channel(WEBHOOK_QUEUE);
        tokio::spawn(view::post_all(queue));
        Arc::new(Self {
            inner: Mutex::new(Inner {
                book: Book::open(folder),
                windows: HashMap::new(),
                latest: VecDeque::new(),
            }),
            posts,
        })
    }

    /// Puts the shares that hold into a snapshot that is about to go live.
    pub fn settle(&self, snapshot: &Snapshot) {
        let inner = &mut *self.inner.lock();
        inner.book.settle(&snapshot.config);
        for (name, plan) in &snapshot.config.rollouts {
            let known = inner.book.rollouts.contains_key(name.as_ref());
            if plan.start == Start::Auto && !known {
                let live = inner.book.share(&snapshot.config, name).unwrap_or_default();
                let mut state = State::default();
                let reason = "it is loaded".to_owned();
                let event = state.start(plan, live, reason, Moment::now());
                inner.book.rollouts.insert(name.to_string(), state);
                self.happened(inner, snapshot, name, event);
            }
        }
        inner.book.write();
        inner.show(snapshot);
    }

    /// Writes the book, which could not be written for a while.
    pub fn keep(&self) {
        self.inner.lock().book.write();
    }

    /// Puts the shares that would hold into a table that may go live.
    pub fn preview(&self, config: &Config, table: &Table) {
        let mut book = self.inner.lock().book.clone();
        book.settle(config);
        if let Some(shares) = table.shares() {
            let name = |id: ColorId| config.colors.keys().nth(usize::from(id.0));
            shares.set(|id| book.share(config, name(id)?));
        }
    }

    /// A color's share and rollout.
    pub fn view(&self, snapshot: &Snapshot, color: &str) -> Option<View> {
        self.inner.lock().view(snapshot, color)
    }

    /// Those of all colors with a share.
    pub fn list(&self, snapshot: &Snapshot) -> Vec<View> {
        let inner = self.inner.lock();
        let colors = snapshot.config.colors.keys();
        colors
            .filter_map(|color| inner.view(snapshot, color))
            .collect()
    }

    /// Returns the events after this number, and the number of the latest one.
    pub fn events_after(&self, seen: u64) -> (u64, Vec<(Name, Event)>) {
        let inner = self.inner.lock();
        let fresh = inner.latest.iter().filter(|(number, ..)| *number > seen);
        let fresh = fresh.map(|(_, color, event)| (color.clone(), event.clone()));
        let number = inner.latest.back().map_or(seen, |(number, ..)| *number);
        (number, fresh.collect())
    }

    /// Obeys an operator.
    ///
    /// # Errors
    /// Why not.
    pub fn command(
        &self,
        snapshot: &Snapshot,
        color: &str,
        command: Command,
    ) -> Result<View, Refused> {
        let inner = &mut *self.inner.lock();
        let (name, plan) = rollout_of(&snapshot.config, color)?;
        let live = inner
            .book
            .share(&snapshot.config, color)
            .ok_or_else(|| unknown(color))?;
        let mut state = inner.book.rollouts.get(color).cloned().unwrap_or_default();
        let event = state.command(plan, command, live, Moment::now());
        let event = event.map_err(|why| Refused::Conflict(format!("rollout `{color}`: {why}")))?;
        fits(&snapshot.config, &inner.book, color, event.to)?;
        inner.close_window(name, &mut state);
        inner.book.rollouts.insert(color.to_owned(), state);
        self.happened(inner, snapshot, name, event);
        inner.book.write();
        inner.show(snapshot);
        inner.view(snapshot, color).ok_or_else(|| unknown(color))
    }

    /// Sets a share by hand; `None`: the file's again. A rollout under way pauses.
    ///
    /// # Errors
    /// When the color has no share, or there is not that much left.
    pub fn set(
        &self,
        snapshot: &Snapshot,
        color: &str,
        percent: Option<Percent>,
    ) -> Result<View, Refused> {
        let inner = &mut *self.inner.lock();
        let file = file_share(&snapshot.config, color).ok_or_else(|| unknown(color))?;
        let percent = percent.unwrap_or(file);
        fits(&snapshot.config, &inner.book, color, percent)?;
        let now = Moment::now();
        if let Ok((name, _)) = rollout_of(&snapshot.config, color)
            && let Some(mut state) = inner.book.rollouts.get(color).cloned()
            && let Some(event) = state.overruled(percent, now)
        {
            inner.close_window(name, &mut state);
            inner.book.rollouts.insert(color.to_owned(), state);
            self.happened(inner, snapshot, name, event);
        }
        inner.book.set(color, percent, file, By::Operator, now);
        inner.book.write();
        inner.show(snapshot);
        tracing::info!(color, share = %percent, "share set by hand");
        inner.view(snapshot, color).ok_or_else(|| unknown(color))
    }

    /// One look at all rollouts under way.
    fn tick(&self, snapshot: &Snapshot) {
        let inner = &mut *self.inner.lock();
        let mut changed = false;
        for (name, plan) in &snapshot.config.rollouts {
            let Some(mut state) = inner.book.rollouts.get(name.as_ref()).cloned() else {
                continue;
            };
            if state.phase != Phase::Running {
                continue;
            }
            let now = Moment::now();
            let verdict = inner.look(snapshot, name, plan, &mut state, now);
            let event = verdict.and_then(|verdict| state.tick(plan, &verdict, now));
            if let Some(event) = event {
                inner.close_window(name, &mut state);
                inner.book.rollouts.insert(name.to_string(), state);
                self.happened(inner, snapshot, name, event);
                changed = true;
            } else {
                inner.book.rollouts.insert(name.to_string(), state);
            }
        }
        if changed {
            inner.show(snapshot);
            inner.book.write();
        }
    }

    /// Sets the share that an event asks for, and tells of it.
    fn happened(&self, inner: &mut Inner, snapshot: &Snapshot, color: &Name, event: Event) {
        let config = &snapshot.config;
        if let Some(series) = snapshot.rollouts.get(color) {
            series.add(event.kind);
        }
        let (Some(plan), Some(file)) = (config.rollouts.get(color), file_share(config, color))
        else {
            return;
        };
        if !plan.dry_run {
            inner
                .book
                .set(color, event.to, file, By::Rollout, event.time);
        }
        inner.keep(color, &event);
        let met = inner.book.rollouts.get(color.as_ref()).map(Met::of);
        let met = met.unwrap_or_default();
        let (dry_run, kind) = (plan.dry_run, event.kind.name());
        let (from, to) = (event.from.to_string(), event.to.to_string());
        let (reason, met_share) = (event.reason.as_str(), met.share.to_string());
        let (requests, failures) = (met.requests, met.failures);
        if matches!(event.kind, Kind::Aborted | Kind::Paused) {
            tracing::warn!(%color, kind, from, to, reason, dry_run, met_share, requests, failures, "rollout");
        } else {
            tracing::info!(%color, kind, from, to, reason, dry_run, met_share, requests, failures, "rollout");
        }
        if let Some(url) = &plan.webhook {
            let post = Post {
                color: color.clone(),
                event,
                dry_run,
                met,
            };
            if self.posts.try_send((url.clone(), post)).is_err() {
                tracing::warn!(%color, "too many events wait for the webhook; this one is lost");
            }
        }
    }
}

impl Inner {
    /// Keeps an event for charts.
    fn keep(&mut self, color: &Name, event: &Event) {
        let number = self.latest.back().map_or(1, |(number, ..)| number + 1);
        if self.latest.len() >= LATEST_KEPT {
            self.latest.pop_front();
        }
        self.latest
            .push_back((number, color.clone(), event.clone()));
    }

    /// Puts the shares of the book into a snapshot.
    fn show(&self, snapshot: &Snapshot) {
        let Some(shares) = snapshot.table.shares() else {
            return;
        };
        shares.set(|id| self.book.share(&snapshot.config, &snapshot.color(id)?.name));
    }

    /// Judges the window of a rollout, if there is something new to say.
    fn look(
        &mut self,
        snapshot: &Snapshot,
        color: &Name,
        plan: &Rollout,
        state: &mut State,
        now: Moment,
    ) -> Option<Verdict> {
        let window = self.windows.entry(color.clone()).or_default();
        let held = window.began.plus(plan.every * WINDOWS_HELD) < now;
        if window.began.0 == 0 || held {
            state.met(&window.sides());
            *window = Window::begin(snapshot, color, now);
        }
        window.adopt(snapshot, color);
        let Some(guard) = &plan.guard else {
            return Some(Verdict::Sound);
        };
        let sides = window.sides();
        let requests: u32 = sides.iter().map(|sides| sides.color.requests).sum();
        let due = state.since.plus(plan.every) <= now && window.began.plus(plan.every) <= now;
        let grown = requests > window.judged + window.judged / GROWTH;
        if requests < guard.min_requests.max(1) {
            return Some(judge(guard, &sides, 1));
        }
        if !grown && !due {
            return None;
        }
        if grown {
            window.judged = requests;
            state.looks = state.looks.saturating_add(1);
        }
        match judge(guard, &sides, state.looks) {
            // After a restart the window is younger than the step.
            Verdict::Sound if !due => None,
            // A look that was not paid for with new numbers may hold, but not stop.
            Verdict::Breach(finding) if !grown => Some(Verdict::Doubtful(finding)),
            verdict => Some(verdict),
        }
    }

    /// Ends a window: what was served in it counts for the rollout.
    fn close_window(&mut self, color: &Name, state: &mut State) {
        if let Some(window) = self.windows.remove(color) {
            state.met(&window.sides());
            state.last_window = Some(Numbers {
                ended: Some(Moment::now()),
                ..window.numbers()
            });
        }
    }

    fn view(&self, snapshot: &Snapshot, color: &str) -> Option<View> {
        let config = &snapshot.config;
        let (name, _) = config.colors.get_key_value(color)?;
        let file = file_share(config, color)?;
        let share = self.book.share(config, color)?;
        Some(View {
            color: name.clone(),
            share,
            file,
            drift: share != file,
            set: self.book.shares.get(color).cloned(),
            rollout: config.rollouts.get(color).map(|plan| {
                let state = self.book.rollouts.get(color).cloned();
                Progress::of(plan, state.unwrap_or_default(), self.windows.get(color))
            }),
        })
    }
}

fn file_share(config: &Config, color: &str) -> Option<Percent> {
    Some(config.colors.get(color)?.share.as_ref()?.percent)
}

fn rollout_of<'c>(config: &'c Config, color: &str) -> Result<(&'c Name, &'c Rollout), Refused> {
    let found = config.rollouts.get_key_value(color);
    found.ok_or_else(|| Refused::Unknown(format!("there is no rollout `{color}`")))
}

fn unknown(color: &str) -> Refused {
    Refused::Unknown(format!("there is no color `{color}` with a share"))
}

/// All shares together are at most everything.
fn fits(config: &Config, book: &Book, color: &str, percent: Percent) -> Result<(), Refused> {
    let others = config.colors.keys().filter(|name| name.as_ref() != color);
    let taken: u32 = others
        .filter_map(|name| book.share(config, name))
        .map(|share| u32::from(share.0))
        .sum();
    if taken + u32::from(percent.0) > u32::from(Percent::ALL.0) {
        let left = Percent(Percent::ALL.0.saturating_sub(taken as u16));
        let why = format!("other colors have all but {left}; `{color}` cannot have {percent}");
        return Err(Refused::Conflict(why));
    }
    Ok(())
}

/// Looks at the rollouts of whatever is live, for as long as the process lives.
pub fn drive(rollouts: Arc<Rollouts>, current: Current) {
    tokio::spawn(async move {
        loop {
            tokio::time::sleep(PACE).await;
            let snapshot = current.load_full();
            if snapshot.config.rollouts.is_empty() {
                continue;
            }
            let rollouts = rollouts.clone();
            let _ = tokio::task::spawn_blocking(move || rollouts.tick(&snapshot)).await;
        }
    });
}
