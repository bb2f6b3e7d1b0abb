//! Counters of the process as a whole; those of routes and versions live with the snapshot.

use super::histogram::OverheadHistogram;
use super::otel::Counters;
use super::recent::Recent;
use super::series::{LabelId, RouteSeries};
use super::tap::Tap;
use parking_lot::Mutex;
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering::Relaxed};

/// Process-wide counters. One per process; survives every reload.
#[derive(Debug, Default)]
pub struct Metrics {
    /// The latest requests, for trying configurations on.
    pub recent: Recent,
    /// Requests that no route took.
    pub unrouted: RouteSeries,
    /// The gateway's own share of each request's time.
    pub overhead: OverheadHistogram,
    /// Requests between their head and the end of their answer.
    pub active: AtomicI64,
    /// Client connections that are open now.
    pub connections: AtomicI64,
    /// Panics that cost one request or connection.
    pub panics: AtomicU64,
    /// Access-log lines lost because the log could not be written fast enough.
    pub access_log_dropped: AtomicU64,
    /// What became of spans.
    pub spans: Counters,
    /// What became of pushed metrics.
    pub pushes: Counters,
    /// Whoever watches single requests.
    pub tap: Tap,
    generation: AtomicU64,
    reload_failed: AtomicBool,
    reloads: [AtomicU64; 2],
    reload_success_at: AtomicU64,
    labels: Mutex<Labels>,
}

impl Metrics {
    /// A configuration has gone live.
    pub fn reload_succeeded(&self, generation: u64) {
        self.generation.store(generation, Relaxed);
        self.reload_failed.store(false, Relaxed);
        self.reloads[0].fetch_add(1, Relaxed);
        let now = jiff::Timestamp::now().as_second();
        self.reload_success_at.store(now.unsigned_abs(), Relaxed);
    }

    /// A configuration was refused; the old one keeps serving.
    pub fn reload_failed(&self) {
        self.reload_failed.store(true, Relaxed);
        self.reloads[1].fetch_add(1, Relaxed);
    }

    /// The configuration says again what is live already.
    pub fn reload_settled(&self) {
        self.reload_failed.store(false, Relaxed);
    }

    pub fn generation(&self) -> u64 {
        self.generation.load(Relaxed)
    }

    pub fn last_reload_successful(&self) -> bool {
        !self.reload_failed.load(Relaxed)
    }

    pub(super) fn reload_success_at(&self) -> u64 {
        self.reload_success_at.load(Relaxed)
    }

    /// Reloads that went live, and reloads that were refused.
    pub fn reloads(&self) -> (u64, u64) {
        (self.reloads[0].load(Relaxed), self.reloads[1].load(Relaxed))
    }

    /// The number of a label value; the same value has the same number for the life of the
    /// process. Called when a snapshot is built, never per request.
    pub fn label(&self, value: &Arc<str>) -> LabelId {
        self.labels.lock().id(value)
    }

    /// All label values, indexed by [`LabelId`]; the first is the empty one.
    pub(super) fn label_values(&self) -> Vec<Arc<str>> {
        let labels = self.labels.lock();
        let mut values = vec![Arc::from(""); labels.ids.len() + 1];
        for (value, id) in &labels.ids {
            if let Some(slot) = values.get_mut(id.0 as usize) {
                *slot = value.clone();
            }
        }
        values
    }
}

/// Label values by number. Grows with the names that configurations have used.
#[derive(Debug, Default)]
struct Labels {
    ids: HashMap<Arc<str>, LabelId>,
}

impl Labels {
    fn id(&mut self, value: &Arc<str>) -> LabelId {
        let next = LabelId(self.ids.len() as u32 + 1);
        *self.ids.entry(value.clone()).or_insert(next)
    }
}
