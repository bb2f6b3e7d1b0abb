//! One source, asked on its schedule for all versions that use it.

use super::source::{Answer, Entry, Failure, Source};
use crate::config::Name;
use arc_swap::ArcSwapOption;
use parking_lot::Mutex;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant, SystemTime};
use tokio::sync::Notify;
use tokio::task::AbortHandle;
use tokio::time::sleep;

/// Pause after the first failure; each further one doubles it.
const RETRY: Duration = Duration::from_secs(1);
const RETRY_MAX: Duration = Duration::from_secs(30);
/// Largest share by which a pause is shortened, so that many gateways do not ask at once. None is made
/// longer: an answer is good for so long and no longer.
const JITTER: f64 = 0.1;

/// What a source said last.
#[derive(Debug)]
pub struct Latest {
    pub entries: Vec<Entry>,
    /// When it last said so.
    pub at: Instant,
    on: SystemTime,
}

impl Latest {
    /// The same time, for people and metrics.
    pub const fn on(&self) -> SystemTime {
        self.on
    }
}

/// A source, and what it has said.
#[derive(Debug)]
pub struct Feed {
    /// `kind:what`, such as `dns:shop.internal`.
    name: Name,
    latest: ArcSwapOption<Latest>,
    followers: Mutex<Vec<Weak<Notify>>>,
    failures: [AtomicU64; Failure::ALL.len()],
    /// How often it has been asked.
    asked: AtomicU64,
    /// Failures since the last answer.
    failing: AtomicU64,
    task: Mutex<Option<AbortHandle>>,
}

impl Feed {
    /// Begins to ask a source; ends when the feed is dropped.
    pub(super) fn start(name: Name, source: Box<dyn Source>) -> Arc<Self> {
        let feed = Arc::new(Self {
            name,
            latest: ArcSwapOption::empty(),
            followers: Mutex::default(),
            failures: Default::default(),
            asked: AtomicU64::new(0),
            failing: AtomicU64::new(0),
            task: Mutex::default(),
        });
        let task = tokio::spawn(drive(Arc::downgrade(&feed), source));
        *feed.task.lock() = Some(task.abort_handle());
        feed
    }

    /// Returns `kind:what`.
    pub fn name(&self) -> &Name {
        &self.name
    }

    /// Returns what the source said last; `None`: it has not answered yet.
    pub fn latest(&self) -> Option<Arc<Latest>> {
        self.latest.load_full()
    }

    /// Whether it has been asked once, with whatever result.
    pub fn was_asked(&self) -> bool {
        self.asked.load(Relaxed) > 0
    }

    /// Whether the source has failed since its last answer.
    pub fn is_failing(&self) -> bool {
        self.failing.load(Relaxed) > 0
    }

    /// Returns how often it failed, by the kind of failure.
    pub fn failures(&self) -> impl Iterator<Item = (&'static str, u64)> {
        let counts = self.failures.iter().map(|count| count.load(Relaxed));
        Failure::ALL.iter().map(|kind| kind.name()).zip(counts)
    }

    /// Wakes this follower when what the source says has changed.
    pub(super) fn wakes(&self, follower: &Arc<Notify>) {
        let mut followers = self.followers.lock();
        followers.retain(|known| known.strong_count() > 0);
        followers.push(Arc::downgrade(follower));
    }

    fn tell(&self) {
        for follower in self.followers.lock().iter().filter_map(Weak::upgrade) {
            follower.notify_one();
        }
    }

    fn answered(&self, answer: Answer) {
        if answer.malformed > 0 {
            self.count(Failure::Malformed, answer.malformed as u64);
        }
        let before = self.latest.load_full();
        let same = before.is_some_and(|before| before.entries == answer.entries);
        self.latest.store(Some(Arc::new(Latest {
            entries: answer.entries,
            at: Instant::now(),
            on: SystemTime::now(),
        })));
        let first = self.asked.fetch_add(1, Relaxed) == 0;
        let failed = self.failing.swap(0, Relaxed) > 0;
        if failed {
            tracing::info!(source = &*self.name, "endpoints are discovered again");
        }
        if !same || first || failed {
            self.tell();
        }
    }

    /// Returns how long to wait before the source is asked again.
    fn failed(&self, failure: Failure) -> Duration {
        self.count(failure, 1);
        self.asked.fetch_add(1, Relaxed);
        let before = self.failing.fetch_add(1, Relaxed);
        // Once for each outage.
        if before == 0 {
            let (source, kind) = (&*self.name, failure.name());
            tracing::warn!(
                source,
                kind,
                "endpoints cannot be discovered; the last ones stay"
            );
            self.tell();
        }
        (RETRY * 2_u32.pow(before.min(10) as u32)).min(RETRY_MAX)
    }

    fn count(&self, failure: Failure, times: u64) {
        let at = Failure::ALL.iter().position(|kind| *kind == failure);
        if let Some(count) = at.and_then(|at| self.failures.get(at)) {
            count.fetch_add(times, Relaxed);
        }
    }
}

impl Drop for Feed {
    fn drop(&mut self) {
        if let Some(task) = self.task.lock().take() {
            task.abort();
        }
    }
}

async fn drive(feed: Weak<Feed>, mut source: Box<dyn Source>) {
    loop {
        let said = source.ask().await;
        let Some(feed) = feed.upgrade() else { return };
        let pause = match said {
            Ok(answer) => {
                let again = answer.again;
                feed.answered(answer);
                again
            }
            Err(failure) => feed.failed(failure),
        };
        drop(feed);
        sleep(pause.mul_f64(1.0 - JITTER * fastrand::f64())).await;
    }
}

#[cfg(test)]
mod tests {
    use super::super::source::{Answer, Entry, Failure, Source};
    use super::Feed;
    use futures::FutureExt;
    use futures::future::BoxFuture;
    use std::collections::VecDeque;
    use std::sync::Arc;
    use std::time::Duration;
    use tokio::sync::Notify;

    struct Script(VecDeque<Result<&'static [&'static str], Failure>>);

    impl Source for Script {
        fn ask(&mut self) -> BoxFuture<'_, Result<Answer, Failure>> {
            let next = self.0.pop_front();
            async move {
                let entries = match next {
                    Some(said) => said?,
                    None => std::future::pending().await,
                };
                Ok(Answer {
                    entries: entries.iter().map(|address| Entry::new(*address)).collect(),
                    malformed: 0,
                    again: Duration::from_secs(1),
                })
            }
            .boxed()
        }
    }

    #[tokio::test(start_paused = true)]
    async fn failures_change_nothing_and_are_counted() {
        let script = [
            Ok(&["a:1"][..]),
            Err(Failure::Timeout),
            Ok(&["a:1", "b:1"][..]),
        ];
        let feed = Feed::start("script:a".into(), Box::new(Script(script.into())));
        let changed = Arc::new(Notify::new());
        feed.wakes(&changed);
        let seen = || feed.latest().map(|latest| latest.entries.len());
        changed.notified().await;
        assert_eq!(seen(), Some(1));
        changed.notified().await;
        assert_eq!((seen(), feed.was_asked()), (Some(1), true));
        assert!(feed.failures().any(|counted| counted == ("timeout", 1)));
        changed.notified().await;
        assert_eq!(seen(), Some(2));
    }
}
