//! Counters of the process as a whole; those of routes and versions live with the snapshot.

use super::family::{Distribution, Family, Points};
use super::histogram::{OVERHEAD_BOUNDS, OverheadHistogram};
use super::labels::LabelId;
use super::series::RouteSeries;
use crate::telemetry::otel::Counters;
use crate::telemetry::recent::Recent;
use crate::telemetry::tap::Tap;
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
    /// The families of the process as a whole.
    pub const METRICS: &[Family<Self>] = &[
        Family::gauge("tyrian_build_info", "What is running", |_, points| {
            points.with(&[("version", env!("CARGO_PKG_VERSION"))], true);
        }),
        Family::up_down(
            "http_server_active_requests",
            "Requests being served now",
            |metrics, points| points.add(metrics.active.load(Relaxed).max(0)),
        ),
        Family::counter(
            "tyrian_panics_total",
            "Panics, each of which cost one request or connection",
            |metrics, points| points.add(&metrics.panics),
        ),
        Family::counter(
            "tyrian_access_log_dropped_total",
            "Access-log lines lost because the log could not be written fast enough",
            |metrics, points| points.add(&metrics.access_log_dropped),
        ),
        Family::counter(
            "tyrian_trace_spans_exported_total",
            "Spans that the collector has taken",
            |metrics, points| points.add(metrics.spans.exported()),
        ),
        Family::counter(
            "tyrian_trace_spans_dropped_total",
            "Spans that did not reach the collector",
            |metrics, points| lost(&metrics.spans, points),
        ),
        Family::counter(
            "tyrian_metric_points_pushed_total",
            "Points of pushed metrics that the collector has taken",
            |metrics, points| points.add(metrics.pushes.exported()),
        ),
        Family::counter(
            "tyrian_metric_points_dropped_total",
            "Points of pushed metrics that did not reach the collector",
            |metrics, points| lost(&metrics.pushes, points),
        ),
        Family::histogram(
            "tyrian_overhead_seconds",
            "The gateway's own share of each request's time",
            |metrics, points| {
                let (counts, sum_us) = metrics.overhead.read();
                let value = Distribution::new(&OVERHEAD_BOUNDS, &counts, sum_us);
                points.histogram(&[], &value);
            },
        ),
        Family::gauge(
            "tyrian_config_generation",
            "Number of the configuration that is live",
            |metrics, points| points.add(&metrics.generation),
        ),
        Family::gauge(
            "tyrian_config_last_reload_successful",
            "Whether the last attempt to load a configuration went live",
            |metrics, points| points.add(metrics.last_reload_successful()),
        ),
        Family::gauge(
            "tyrian_config_last_reload_success_timestamp_seconds",
            "When a configuration last went live",
            |metrics, points| points.add(&metrics.reload_success_at),
        ),
        Family::counter(
            "tyrian_config_reloads_total",
            "Attempts to load a configuration",
            |metrics, points| {
                let [applied, rejected] = &metrics.reloads;
                points.each("result", [("applied", applied), ("rejected", rejected)]);
            },
        ),
    ];

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
    pub(in crate::telemetry) fn label_values(&self) -> Vec<Arc<str>> {
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

fn lost(counters: &Counters, points: &mut Points<'_>) {
    let lost = counters.lost();
    points.each("reason", lost.map(|(why, count)| (why.name(), count)));
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
