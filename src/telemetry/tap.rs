//! Watching single requests as they end. While nobody watches, a request pays one relaxed load.
//!
//! A watcher that cannot keep up loses requests and is told how many; traffic never waits.

mod filter;

pub use filter::{Filter, Spoken};

use super::exchange::Exchange;
use crate::config::field::Field;
use arc_swap::ArcSwap;
use parking_lot::Mutex;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::time::Instant;
use tokio::sync::mpsc;

/// Watchers at the same time.
pub const WATCHERS_MAX: usize = 16;
/// Requests that wait for one watcher.
const QUEUE: usize = 512;
/// Requests a second that a watcher may ask for.
pub const MAX_RPS: u32 = 2_000;

/// Who watches. One per process.
#[derive(Debug, Default)]
pub struct Tap {
    open: AtomicBool,
    watchers: ArcSwap<Vec<Arc<Watcher>>>,
    /// Held while the list changes.
    changing: Mutex<()>,
}

/// One who watches.
#[derive(Debug)]
struct Watcher {
    filter: Filter,
    pace: Pace,
    queue: mpsc::Sender<Arc<str>>,
    lost: Lost,
}

/// What a watcher has not been shown, though it matched.
#[derive(Debug, Default)]
struct Lost {
    over_pace: AtomicU64,
    queue_full: AtomicU64,
}

/// The receiving end. Watching ends when it is dropped.
#[derive(Debug)]
pub struct Watching {
    tap: Arc<super::Metrics>,
    watcher: Arc<Watcher>,
    lines: mpsc::Receiver<Arc<str>>,
}

impl Tap {
    /// Whether anybody watches: ask before gathering anything.
    pub fn is_open(&self) -> bool {
        self.open.load(Relaxed)
    }

    /// Shows an exchange to everyone who wants it; `redact` are words that mask query parameters.
    pub fn show(&self, exchange: &Exchange, redact: &[String]) {
        let mut line: Option<Arc<str>> = None;
        for watcher in self.watchers.load().iter() {
            if !watcher.filter.wants(exchange) {
                continue;
            }
            if !watcher.pace.allows(Instant::now()) {
                watcher.lost.over_pace.fetch_add(1, Relaxed);
                continue;
            }
            let line = line.get_or_insert_with(|| render(exchange, redact)).clone();
            if watcher.queue.try_send(line).is_err() {
                watcher.lost.queue_full.fetch_add(1, Relaxed);
            }
        }
    }
}

fn render(exchange: &Exchange, redact: &[String]) -> Arc<str> {
    let mut out = Vec::with_capacity(512);
    exchange.write_json(&mut out, Field::ALL.iter().copied(), redact);
    String::from_utf8_lossy(&out).into()
}

impl Watching {
    /// Begins to watch; `None` when there are too many already.
    pub fn begin(metrics: &Arc<super::Metrics>, filter: Filter, max_rps: u32) -> Option<Self> {
        let tap = &metrics.tap;
        let _changing = tap.changing.lock();
        let mut watchers = tap.watchers.load().as_ref().clone();
        if watchers.len() >= WATCHERS_MAX {
            return None;
        }
        let (queue, lines) = mpsc::channel(QUEUE);
        let watcher = Arc::new(Watcher {
            filter,
            pace: Pace::new(max_rps.clamp(1, MAX_RPS)),
            queue,
            lost: Lost::default(),
        });
        watchers.push(watcher.clone());
        tap.watchers.store(Arc::new(watchers));
        tap.open.store(true, Relaxed);
        Some(Self {
            tap: metrics.clone(),
            watcher,
            lines,
        })
    }

    /// The next request, as one JSON object.
    pub async fn next(&mut self) -> Option<Arc<str>> {
        self.lines.recv().await
    }

    /// Requests that matched and were not shown: those above the pace, those the queue had no
    /// place for.
    pub fn lost(&self) -> (u64, u64) {
        let lost = &self.watcher.lost;
        (lost.over_pace.load(Relaxed), lost.queue_full.load(Relaxed))
    }
}

impl Drop for Watching {
    fn drop(&mut self) {
        let tap = &self.tap.tap;
        let _changing = tap.changing.lock();
        let mut watchers = tap.watchers.load().as_ref().clone();
        watchers.retain(|watcher| !Arc::ptr_eq(watcher, &self.watcher));
        tap.open.store(!watchers.is_empty(), Relaxed);
        tap.watchers.store(Arc::new(watchers));
    }
}

/// So many a second, and no more: a second's number and a count in one word.
#[derive(Debug)]
struct Pace {
    max: u32,
    start: Instant,
    second_and_count: AtomicU64,
}

impl Pace {
    fn new(max: u32) -> Self {
        Self {
            max,
            start: Instant::now(),
            second_and_count: AtomicU64::new(0),
        }
    }

    fn allows(&self, now: Instant) -> bool {
        let second = now.saturating_duration_since(self.start).as_secs() << 32;
        let max = u64::from(self.max);
        let count = |word: u64| match word & !0xffff_ffff == second {
            true => (word & 0xffff_ffff) + 1,
            false => 1,
        };
        self.second_and_count
            .fetch_update(Relaxed, Relaxed, |word| {
                let count = count(word);
                (count <= max).then_some(second | count)
            })
            .is_ok()
    }
}

#[cfg(test)]
mod tests {
    use super::{Filter, Pace, QUEUE, WATCHERS_MAX, Watching};
    use crate::telemetry::Metrics;
    use crate::telemetry::exchange::tests::served;
    use std::sync::Arc;
    use std::time::{Duration, Instant};

    #[test]
    fn a_watcher_sees_what_it_asked_for_until_it_leaves() {
        let metrics = Arc::new(Metrics::default());
        assert!(!metrics.tap.is_open());
        let filter = Filter {
            route: Some("cart".into()),
            ..Filter::default()
        };
        let mut watching = Watching::begin(&metrics, filter, 100).unwrap();
        assert!(metrics.tap.is_open());
        metrics.tap.show(&served(), &["page".to_owned()]);
        let other = crate::telemetry::exchange::Exchange {
            route: "other",
            ..served()
        };
        metrics.tap.show(&other, &[]);
        let line = watching.lines.try_recv().unwrap();
        assert!(line.contains("\"path\":\"/cart/7\""), "{line}");
        assert!(line.contains("page=***"), "{line}");
        assert!(watching.lines.try_recv().is_err());
        drop(watching);
        assert!(!metrics.tap.is_open());
    }

    #[test]
    fn what_a_slow_watcher_misses_is_counted() {
        let metrics = Arc::new(Metrics::default());
        let watching = Watching::begin(&metrics, Filter::default(), u32::MAX).unwrap();
        for _ in 0..QUEUE + 3 {
            metrics.tap.show(&served(), &[]);
        }
        let (over_pace, queue_full) = watching.lost();
        assert_eq!(over_pace + queue_full, 3);
        assert_eq!(watching.lines.len(), QUEUE);
    }

    #[test]
    fn watchers_are_bounded_and_a_place_comes_back() {
        let metrics = Arc::new(Metrics::default());
        let begin = || Watching::begin(&metrics, Filter::default(), 1);
        let mut all: Vec<_> = (0..WATCHERS_MAX).map(|_| begin().unwrap()).collect();
        assert!(begin().is_none());
        all.pop();
        assert!(begin().is_some());
    }

    #[test]
    fn a_pace_begins_anew_each_second() {
        let pace = Pace::new(2);
        let at = |ms| pace.start + Duration::from_millis(ms);
        let allowed = [0, 10, 20, 999, 1_000, 1_001, 1_002].map(|ms| pace.allows(at(ms)));
        assert_eq!(allowed, [true, true, false, false, true, true, false]);
        assert!(pace.allows(Instant::now() + Duration::from_hours(1)));
    }
}
