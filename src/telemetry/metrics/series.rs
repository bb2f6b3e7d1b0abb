//! The time series of one route, made on first use and found again without a lock.
//!
//! Labels come from the configuration only, so what hostile clients send adds no series: methods
//! outside the known set count as `_OTHER`, status codes that IANA does not list count as their
//! class (`2xx`).

use super::exemplars::Exemplars;
use super::histogram::HttpHistogram;
use super::labels::{CodeLabel, LabelId, MethodLabel};
use crate::counts::Counts;
use crate::reason::Reason;
use crate::telemetry::trace::TraceId;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::time::Duration;

/// Most series one route may have; what comes after counts in the first one's `code="other"`.
const SERIES_MAX: usize = 512;

/// What tells two series of a route apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Key {
    /// `service/version`; 0 when the gateway answered itself.
    pub version: LabelId,
    /// 0 for uncolored traffic.
    pub color: LabelId,
    pub method: MethodLabel,
    pub code: CodeLabel,
}

/// How long requests or tries took; traced ones are examples.
#[derive(Debug, Default)]
pub struct Durations {
    all: HttpHistogram,
    /// Made by the first traced one.
    exemplars: OnceLock<Box<Exemplars>>,
}

impl Durations {
    pub fn observe(&self, took: Duration) {
        self.all.observe(took);
    }

    /// Notes a traced one, which is counted already or will be.
    pub fn traced(&self, trace: TraceId, took: Duration) {
        self.exemplars.get_or_init(Box::default).note(trace, took);
    }

    /// By finer buckets than [`conventional`](HttpHistogram::conventional) ones.
    pub fn read(&self) -> ([u64; 25], u64) {
        self.all.read()
    }

    pub fn conventional(&self) -> ([u64; 15], u64) {
        self.all.conventional()
    }

    /// Returns the exemplars; `None`: nothing was traced.
    pub fn exemplars(&self) -> Option<&Exemplars> {
        self.exemplars.get().map(AsRef::as_ref)
    }
}

/// One series: how many, and how long they took. The count is the histogram's.
#[derive(Debug)]
pub struct Series {
    pub key: Key,
    pub duration: Durations,
    /// Made by the first answer of gRPC.
    grpc: OnceLock<Box<GrpcCounts>>,
    next: OnceLock<Box<Series>>,
}

impl Series {
    fn new(key: Key) -> Self {
        Self {
            key,
            duration: Durations::default(),
            grpc: OnceLock::new(),
            next: OnceLock::new(),
        }
    }

    /// Returns how many requests it has counted.
    pub fn count(&self) -> u64 {
        self.duration.read().0.iter().sum()
    }

    /// Counts an answer of gRPC by the status in it.
    pub fn said_grpc(&self, status: u8) {
        let counts = self.grpc.get_or_init(Box::default);
        let slot = usize::from(status).min(GRPC_STATUSES);
        if let Some(count) = counts.0.get(slot) {
            count.fetch_add(1, Relaxed);
        }
    }

    /// Answers of gRPC by their status; `None` for all that gRPC does not know.
    pub fn grpc(&self) -> impl Iterator<Item = (Option<u8>, u64)> + '_ {
        let counts = self.grpc.get().into_iter().flat_map(|counts| &counts.0);
        let read = counts.enumerate().map(|(slot, count)| {
            let status = (slot < GRPC_STATUSES).then_some(slot as u8);
            (status, count.load(Relaxed))
        });
        read.filter(|(_, count)| *count > 0)
    }
}

/// Statuses that gRPC knows: 0 to 16.
const GRPC_STATUSES: usize = 17;

/// Answers of gRPC by status; the last slot has those that gRPC does not know.
#[derive(Debug, Default)]
struct GrpcCounts([AtomicU64; GRPC_STATUSES + 1]);

/// All that is counted for one route. Survives reloads as long as the route's name does.
#[derive(Debug, Default)]
pub struct RouteSeries {
    first: OnceLock<Box<Series>>,
    made: AtomicUsize,
    /// Bytes of request bodies that came from clients.
    pub bytes_in: AtomicU64,
    /// Bytes of response bodies that went to clients.
    pub bytes_out: AtomicU64,
    pub refusals: Counts<Reason>,
}

impl RouteSeries {
    /// The series of a key. The list only grows and its members never move, so a reader needs no
    /// lock; two threads that make the same member agree through `OnceLock`.
    pub fn series(&self, key: Key) -> &Series {
        let mut slot = &self.first;
        loop {
            let series = match slot.get() {
                Some(series) => series,
                None if self.made.load(Relaxed) >= SERIES_MAX => {
                    return self.first.get_or_init(|| Box::new(Series::new(key)));
                }
                None => slot.get_or_init(|| {
                    let full = self.made.fetch_add(1, Relaxed) + 1 == SERIES_MAX;
                    let code = if full { CodeLabel::OTHER } else { key.code };
                    Box::new(Series::new(Key { code, ..key }))
                }),
            };
            if series.key == key {
                return series;
            }
            slot = &series.next;
        }
    }

    pub fn iter(&self) -> impl Iterator<Item = &Series> {
        std::iter::successors(self.first.get(), |series| series.next.get()).map(AsRef::as_ref)
    }

    /// Examples, by the series that have some.
    pub fn exemplars(&self) -> impl Iterator<Item = (Key, &Exemplars)> {
        self.iter()
            .filter_map(|series| Some((series.key, series.duration.exemplars()?)))
    }
}

#[cfg(test)]
mod tests {
    use super::{CodeLabel, Key, LabelId, MethodLabel, RouteSeries, SERIES_MAX};
    use http::Method;
    use std::time::Duration;

    fn key(code: u16) -> Key {
        Key {
            version: LabelId(1),
            color: LabelId(0),
            method: MethodLabel::new(&Method::GET),
            code: CodeLabel::new(code),
        }
    }

    #[test]
    fn the_same_key_finds_the_same_series_again() {
        let route = RouteSeries::default();
        route.series(key(200)).duration.observe(Duration::ZERO);
        route.series(key(404)).duration.observe(Duration::ZERO);
        route.series(key(200)).duration.observe(Duration::ZERO);
        let counts: Vec<u64> = route
            .iter()
            .map(|s| s.duration.read().0.iter().sum())
            .collect();
        assert_eq!(counts, [2, 1]);
    }

    #[test]
    fn codes_and_methods_nobody_registered_add_no_series() {
        assert_eq!(CodeLabel::new(299), CodeLabel::new(298));
        assert_ne!(CodeLabel::new(200), CodeLabel::new(201));
        let odd = Method::from_bytes(b"BREW").unwrap();
        assert_eq!(MethodLabel::new(&odd).name(), "_OTHER");
    }

    #[test]
    fn statuses_that_grpc_does_not_know_are_counted_as_one() {
        let route = RouteSeries::default();
        let series = route.series(key(200));
        assert_eq!(series.grpc().count(), 0);
        for status in [0, 16, 17, 255, 0] {
            series.said_grpc(status);
        }
        let counts: Vec<_> = series.grpc().collect();
        assert_eq!(counts, [(Some(0), 2), (Some(16), 1), (None, 2)]);
    }

    #[test]
    fn the_number_of_series_is_bounded() {
        let route = RouteSeries::default();
        for version in 0..2 * SERIES_MAX as u32 {
            let wanted = Key {
                version: LabelId(version),
                ..key(200)
            };
            route.series(wanted).duration.observe(Duration::ZERO);
        }
        assert!(route.iter().count() <= SERIES_MAX);
        let counted: u64 = route
            .iter()
            .map(|s| s.duration.read().0.iter().sum::<u64>())
            .sum();
        assert_eq!(counted, 2 * SERIES_MAX as u64);
    }
}
