//! A fixed-bucket latency histogram: two relaxed additions per observation, nothing else.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

/// Upper bounds in seconds, as the OpenTelemetry HTTP conventions advise.
pub const HTTP_BOUNDS: [f64; 14] = [
    0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0,
];

/// The same bounds in microseconds, for integer comparison on the hot path.
const HTTP_BOUNDS_US: [u64; 14] = [
    5_000, 10_000, 25_000, 50_000, 75_000, 100_000, 250_000, 500_000, 750_000, 1_000_000,
    2_500_000, 5_000_000, 7_500_000, 10_000_000,
];

/// Bounds of the gateway's own cost per request, in seconds.
pub const OVERHEAD_BOUNDS: [f64; 9] = [
    0.000_025, 0.000_05, 0.000_1, 0.000_25, 0.000_5, 0.001, 0.002_5, 0.005, 0.01,
];

const OVERHEAD_BOUNDS_US: [u64; 9] = [25, 50, 100, 250, 500, 1_000, 2_500, 5_000, 10_000];

/// Counts per bucket (the last one is `+Inf`) and the sum, in microseconds.
#[derive(Debug)]
pub struct Histogram<const BUCKETS: usize> {
    buckets: [AtomicU64; BUCKETS],
    sum_us: AtomicU64,
}

/// Request and try durations.
pub type HttpHistogram = Histogram<15>;
/// The gateway's own share of a request's time.
pub type OverheadHistogram = Histogram<10>;

impl<const BUCKETS: usize> Default for Histogram<BUCKETS> {
    fn default() -> Self {
        Self {
            buckets: [const { AtomicU64::new(0) }; BUCKETS],
            sum_us: AtomicU64::new(0),
        }
    }
}

impl<const BUCKETS: usize> Histogram<BUCKETS> {
    fn record(&self, took: Duration, bounds: &[u64]) {
        let us = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        let index = bounds
            .iter()
            .position(|bound| us <= *bound)
            .unwrap_or(bounds.len());
        if let Some(bucket) = self.buckets.get(index) {
            bucket.fetch_add(1, Relaxed);
        }
        self.sum_us.fetch_add(us, Relaxed);
    }

    /// Counts per bucket (not cumulative) and the sum in microseconds.
    pub fn read(&self) -> ([u64; BUCKETS], u64) {
        let mut counts = [0; BUCKETS];
        for (count, bucket) in counts.iter_mut().zip(&self.buckets) {
            *count = bucket.load(Relaxed);
        }
        (counts, self.sum_us.load(Relaxed))
    }
}

impl HttpHistogram {
    pub fn observe(&self, took: Duration) {
        self.record(took, &HTTP_BOUNDS_US);
    }
}

impl OverheadHistogram {
    pub fn observe(&self, took: Duration) {
        self.record(took, &OVERHEAD_BOUNDS_US);
    }
}

#[cfg(test)]
mod tests {
    use super::{HTTP_BOUNDS, HTTP_BOUNDS_US, HttpHistogram, OVERHEAD_BOUNDS, OVERHEAD_BOUNDS_US};
    use std::time::Duration;

    #[test]
    fn both_spellings_of_the_bounds_agree() {
        let agree = |seconds: &[f64], us: &[u64]| {
            assert_eq!(seconds.len(), us.len());
            for (s, us) in seconds.iter().zip(us) {
                assert_eq!((s * 1e6).round() as u64, *us);
            }
        };
        agree(&HTTP_BOUNDS, &HTTP_BOUNDS_US);
        agree(&OVERHEAD_BOUNDS, &OVERHEAD_BOUNDS_US);
    }

    #[test]
    fn a_bound_belongs_to_its_own_bucket_and_the_rest_to_infinity() {
        let histogram = HttpHistogram::default();
        histogram.observe(Duration::from_millis(5));
        histogram.observe(Duration::from_micros(5_001));
        histogram.observe(Duration::from_mins(1));
        let (counts, sum) = histogram.read();
        assert_eq!(counts[0], 1);
        assert_eq!(counts[1], 1);
        assert_eq!(counts[14], 1);
        assert_eq!(sum, 5_000 + 5_001 + 60_000_000);
    }
}
