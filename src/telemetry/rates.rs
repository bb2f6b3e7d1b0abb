//! From counters to rates: reads the series that scrapes read, once a second, and tells what has
//! changed. Requests pay nothing for it.

mod counts;

use super::metrics::Metrics;
use super::metrics::histogram::{OVERHEAD_BOUNDS_US, quantile};
use super::metrics::labels::LabelId;
use super::metrics::series::RouteSeries;
use crate::reason::Reason;
use counts::{Added, Counts, Measured, Recent};
use serde::Serialize;
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

/// Seconds that the rolling window looks back, to within one of its steps.
pub const WINDOW_S: u64 = counts::STEPS as u64 * counts::STEP_S;
/// Most rows that are followed; what comes after counts in the totals only.
const FOLLOWED_MAX: usize = 4_096;
/// Most rows one frame shows, the busiest first.
const SHOWN_MAX: usize = 400;

/// Follows the counters of a process.
#[derive(Debug, Default)]
pub struct Rates {
    rows: HashMap<Id, Row>,
    total: Recent,
    overhead: Added<{ OVERHEAD_BOUNDS_US.len() + 1 }>,
    refusals: Added<{ Reason::ALL.len() }>,
    ticks: u64,
}

/// One route, version and color.
type Id = (Arc<str>, LabelId, LabelId);

#[derive(Debug, Default)]
struct Row {
    before: Counts,
    recent: Recent,
    seen: bool,
}

/// What has happened within the last second, and within the window.
#[derive(Debug, Clone, Serialize)]
pub struct Frame {
    pub total: Measured,
    /// The gateway's own share of the time of requests, in microseconds.
    pub overhead: MeasuredOverhead,
    pub active: i64,
    pub connections: i64,
    /// Refusals a second by reason, those that happened.
    pub refusals: BTreeMap<&'static str, f64>,
    /// The same within the window.
    pub refusals_window: BTreeMap<&'static str, f64>,
    pub rows: Vec<Shown>,
    pub rows_left_off: usize,
    /// The same traffic by route, by version, by color (`""` is uncolored).
    pub routes: BTreeMap<String, Measured>,
    pub versions: BTreeMap<String, Measured>,
    pub colors: BTreeMap<String, Measured>,
}

/// The gateway's own cost.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Overhead {
    pub p50_us: Option<f64>,
    pub p99_us: Option<f64>,
}

/// That of one second, and of the window.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct MeasuredOverhead {
    #[serde(flatten)]
    pub now: Overhead,
    pub window: Overhead,
}

/// One row.
#[derive(Debug, Clone, Serialize)]
pub struct Shown {
    pub route: String,
    pub service: String,
    pub version: String,
    pub color: String,
    #[serde(flatten)]
    pub measured: Measured,
}

impl Rates {
    /// Reads all counters; `passed` is the time since the last reading.
    pub fn tick<'r>(
        &mut self,
        metrics: &Metrics,
        routes: impl Iterator<Item = (&'r Arc<str>, &'r RouteSeries)>,
        passed: Duration,
    ) -> Frame {
        self.ticks += 1;
        let turn = self.ticks.is_multiple_of(counts::STEP_S);
        let mut total = Counts::default();
        let mut refusals = [0; Reason::ALL.len()];
        self.rows.values_mut().for_each(|row| row.seen = false);
        let mut now: HashMap<Id, Counts> = HashMap::with_capacity(self.rows.len());
        let mut read = |name: &Arc<str>, series: &RouteSeries| {
            for one in series.iter() {
                let id = (name.clone(), one.key.version, one.key.color);
                let counts = Counts::of(one);
                now.entry(id).or_default().add(&counts);
            }
            for (count, (_, more)) in refusals.iter_mut().zip(series.refusals.iter()) {
                *count += more;
            }
        };
        routes.for_each(|(name, series)| read(name, series));
        read(&Arc::from(""), &metrics.unrouted);
        for (id, counts) in now {
            if self.rows.len() >= FOLLOWED_MAX && !self.rows.contains_key(&id) {
                continue;
            }
            let row = self.rows.entry(id).or_default();
            let since = counts.since(&row.before);
            total.add(&since);
            row.recent.push(&since, turn);
            row.before = counts;
            row.seen = true;
        }
        // A route that is gone, or came back, counts from zero.
        self.rows.retain(|_, row| row.seen);
        self.total.push(&total, turn);
        self.refusals.push(refusals, turn);
        self.overhead.push(metrics.overhead.read().0, turn);
        self.frame(metrics, passed)
    }

    fn frame(&self, metrics: &Metrics, passed: Duration) -> Frame {
        let labels = metrics.label_values();
        let label = |id: LabelId| labels.get(id.0 as usize).cloned().unwrap_or_default();
        let mut groups = [const { BTreeMap::new() }; 3];
        let mut rows = Vec::new();
        for ((route, version, color), row) in &self.rows {
            if row.recent.is_quiet() {
                continue;
            }
            let (version, color) = (label(*version), label(*color));
            let keys = [route.clone(), version.clone(), color.clone()];
            for (group, key) in groups.iter_mut().zip(keys) {
                group
                    .entry(key)
                    .or_insert_with(Recent::default)
                    .merge(&row.recent);
            }
            let (service, version) = version.split_once('/').unwrap_or(("", ""));
            rows.push(Shown {
                route: route.to_string(),
                service: service.to_owned(),
                version: version.to_owned(),
                color: color.to_string(),
                measured: row.recent.measured(passed, self.ticks),
            });
        }
        rows.sort_by(|a, b| {
            let rate = |row: &Shown| row.measured.window.rps;
            let name = |row: &Shown| (row.route.clone(), row.color.clone(), row.version.clone());
            rate(b)
                .total_cmp(&rate(a))
                .then_with(|| name(a).cmp(&name(b)))
        });
        let rows_left_off = rows.len().saturating_sub(SHOWN_MAX);
        rows.truncate(SHOWN_MAX);
        let [routes, versions, colors] = groups.map(|group| {
            let measured = |(name, recent): (Arc<str>, Recent)| {
                (name.to_string(), recent.measured(passed, self.ticks))
            };
            group.into_iter().map(measured).collect()
        });
        Frame {
            total: self.total.measured(passed, self.ticks),
            overhead: overhead(&self.overhead),
            active: metrics.active.load(Relaxed).max(0),
            connections: metrics.connections.load(Relaxed).max(0),
            refusals: refused(self.refusals.second, passed.as_secs_f64()),
            refusals_window: refused(self.refusals.window(), counts::window_s(self.ticks)),
            rows,
            rows_left_off,
            routes,
            versions,
            colors,
        }
    }
}

/// Rates a second of the reasons that occurred.
fn refused(counts: [u64; Reason::ALL.len()], seconds: f64) -> BTreeMap<&'static str, f64> {
    let reasons = Reason::ALL.iter().zip(counts);
    let occurred = reasons.filter(|(_, count)| *count > 0);
    occurred
        .map(|(reason, count)| (reason.name(), counts::rate(count, seconds)))
        .collect()
}

fn overhead<const N: usize>(added: &Added<N>) -> MeasuredOverhead {
    let of = |counts: &[u64]| Overhead {
        p50_us: quantile(&OVERHEAD_BOUNDS_US, counts, 0.5),
        p99_us: quantile(&OVERHEAD_BOUNDS_US, counts, 0.99),
    };
    MeasuredOverhead {
        now: of(&added.second),
        window: of(&added.window()),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::float_cmp, reason = "rates are rounded")]
    use super::Rates;
    use crate::reason::Reason;
    use crate::telemetry::Metrics;
    use crate::telemetry::metrics::labels::{CodeLabel, LabelId, MethodLabel};
    use crate::telemetry::metrics::series::{Key, RouteSeries};
    use http::Method;
    use std::sync::Arc;
    use std::time::Duration;

    const SECOND: Duration = Duration::from_secs(1);

    struct Scene {
        metrics: Metrics,
        route: RouteSeries,
        name: Arc<str>,
        rates: Rates,
    }

    impl Scene {
        fn new() -> Self {
            Self {
                metrics: Metrics::default(),
                route: RouteSeries::default(),
                name: "cart".into(),
                rates: Rates::default(),
            }
        }

        fn serve(&self, color: &str, code: u16, ms: u64) {
            let key = Key {
                version: self.metrics.label(&"shop/v1".into()),
                color: match color {
                    "" => LabelId(0),
                    color => self.metrics.label(&color.into()),
                },
                method: MethodLabel::new(&Method::GET),
                code: CodeLabel::new(code),
            };
            let series = self.route.series(key);
            series.duration.observe(Duration::from_millis(ms));
        }

        fn tick(&mut self) -> super::Frame {
            let routes = [(&self.name, &self.route)];
            self.rates.tick(&self.metrics, routes.into_iter(), SECOND)
        }
    }

    #[test]
    fn a_frame_tells_of_its_second_and_the_window_of_more() {
        let mut scene = Scene::new();
        (0..8).for_each(|_| scene.serve("", 200, 8));
        scene.serve("canary", 200, 8);
        scene.serve("canary", 503, 80);
        scene.route.refusals.add(Reason::BreakerOpen);
        let frame = scene.tick();
        assert_eq!((frame.total.now.rps, frame.total.now.errors), (10.0, 1.0));
        assert_eq!(frame.colors[""].now.rps, 8.0);
        assert_eq!(frame.colors["canary"].now.errors, 1.0);
        assert_eq!(frame.versions["shop/v1"].now.rps, 10.0);
        assert_eq!(frame.refusals["breaker_open"], 1.0);
        let p99 = frame.total.now.p99_ms.unwrap();
        assert!((75.0..=100.0).contains(&p99), "{p99}");
        assert_eq!(frame.rows.len(), 2);

        let frame = scene.tick();
        assert_eq!(frame.total.now.rps, 0.0);
        assert_eq!(frame.total.now.p99_ms, None);
        assert_eq!(frame.total.window.rps, 5.0, "10 within 2 seconds");
        assert!(frame.refusals.is_empty());
        assert_eq!(
            frame.refusals_window["breaker_open"], 0.5,
            "1 within 2 seconds"
        );
    }

    #[test]
    fn what_the_window_has_left_behind_is_shown_no_more() {
        let mut scene = Scene::new();
        scene.serve("", 200, 8);
        scene.route.refusals.add(Reason::NoRoute);
        scene.metrics.overhead.observe(Duration::from_micros(80));
        let first = scene.tick();
        assert!(first.overhead.now.p99_us.is_some());
        let frames: Vec<_> = (0..2 * super::WINDOW_S).map(|_| scene.tick()).collect();
        assert_eq!(frames[10].rows.len(), 1);
        assert_eq!(frames[10].overhead.now.p99_us, None);
        assert_eq!(frames[10].overhead.window, first.overhead.now);
        assert!(frames[10].refusals_window.contains_key("no_route"));
        assert!(frames.last().unwrap().rows.is_empty());
        assert!(frames.last().unwrap().refusals_window.is_empty());
        assert_eq!(frames.last().unwrap().overhead.window.p99_us, None);
    }

    #[test]
    fn a_route_that_comes_back_counts_from_zero() {
        let mut scene = Scene::new();
        (0..5).for_each(|_| scene.serve("", 200, 8));
        scene.tick();
        scene.rates.tick(&scene.metrics, [].into_iter(), SECOND);
        scene.route = RouteSeries::default();
        scene.serve("", 200, 8);
        assert_eq!(scene.tick().total.now.rps, 1.0);
    }
}
