//! A fixed-bucket latency histogram: two relaxed additions per observation, nothing else.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

/// Upper bounds in seconds, as the OpenTelemetry HTTP conventions advise.
pub const HTTP_BOUNDS: [f64; 14] = [
    0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0,
];

/// Buckets below the first of [`HTTP_BOUNDS`]: most upstreams answer faster than that, and
/// quantiles for people need to see where.
const FINER: usize = 10;

/// What is counted by, in microseconds: finer buckets, then [`HTTP_BOUNDS`].
pub const HTTP_BOUNDS_US: [u64; 24] = [
    100, 200, 300, 500, 700, 1_000, 1_500, 2_000, 3_000, 4_000, //
    5_000, 10_000, 25_000, 50_000, 75_000, 100_000, 250_000, 500_000, 750_000, 1_000_000,
    2_500_000, 5_000_000, 7_500_000, 10_000_000,
];

/// Bounds of the gateway's own cost per request, in seconds.
pub const OVERHEAD_BOUNDS: [f64; 9] = [
    0.000_025, 0.000_05, 0.000_1, 0.000_25, 0.000_5, 0.001, 0.002_5, 0.005, 0.01,
];

/// The same in microseconds.
pub const OVERHEAD_BOUNDS_US: [u64; 9] = [25, 50, 100, 250, 500, 1_000, 2_500, 5_000, 10_000];

/// Counts per bucket (the last one is `+Inf`) and the sum, in microseconds.
#[derive(Debug)]
pub struct Histogram<const BUCKETS: usize> {
    buckets: [AtomicU64; BUCKETS],
    sum_us: AtomicU64,
}

/// Request and try durations.
pub type HttpHistogram = Histogram<25>;
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
    fn record(&self, took: Duration, times: u64, bounds: &[u64]) {
        let us = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        let index = bounds.partition_point(|bound| *bound < us);
        if let Some(bucket) = self.buckets.get(index) {
            bucket.fetch_add(times, Relaxed);
        }
        self.sum_us.fetch_add(us.saturating_mul(times), Relaxed);
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
        self.record(took, 1, &HTTP_BOUNDS_US);
    }

    /// Counts by [`HTTP_BOUNDS`], as scrapes show them, and the sum in microseconds.
    pub fn conventional(&self) -> ([u64; 15], u64) {
        let (fine, sum) = self.read();
        let mut counts = [0; 15];
        for (bucket, count) in fine.iter().enumerate() {
            if let Some(wide) = counts.get_mut(bucket.saturating_sub(FINER)) {
                *wide += count;
            }
        }
        (counts, sum)
    }
}

impl OverheadHistogram {
    pub fn observe(&self, took: Duration) {
        self.observe_as(took, 1);
    }

    /// One that stands for so many.
    pub fn observe_as(&self, took: Duration, times: u64) {
        self.record(took, times, &OVERHEAD_BOUNDS_US);
    }
}

/// Which of the buckets that scrapes show a duration falls into.
pub fn conventional_bucket(took: Duration) -> usize {
    let us = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
    let fine = HTTP_BOUNDS_US.partition_point(|bound| *bound < us);
    fine.saturating_sub(FINER)
}

/// The time in microseconds that this share of the counted stayed below, guessed evenly within
/// its bucket; `None` of nothing.
pub fn quantile(bounds_us: &[u64], counts: &[u64], share: f64) -> Option<f64> {
    let total: u64 = counts.iter().sum();
    if total == 0 {
        return None;
    }
    let wanted = share * total as f64;
    let (mut below, mut lower) = (0.0, 0.0);
    for (count, upper) in counts.iter().zip(bounds_us) {
        let (count, upper) = (*count as f64, *upper as f64);
        if count > 0.0 && below + count >= wanted {
            return Some(lower + (upper - lower) * ((wanted - below) / count).clamp(0.0, 1.0));
        }
        below += count;
        lower = upper;
    }
    // Beyond the last bound nothing is known but that.
    Some(lower)
}

#[cfg(test)]
mod tests {
    use super::{
        FINER, HTTP_BOUNDS, HTTP_BOUNDS_US, HttpHistogram, OVERHEAD_BOUNDS, OVERHEAD_BOUNDS_US,
        quantile,
    };
    use std::time::Duration;

    #[test]
    fn both_spellings_of_the_bounds_agree() {
        let agree = |seconds: &[f64], us: &[u64]| {
            assert_eq!(seconds.len(), us.len());
            for (s, us) in seconds.iter().zip(us) {
                assert_eq!((s * 1e6).round() as u64, *us);
            }
        };
        agree(&HTTP_BOUNDS, &HTTP_BOUNDS_US[FINER..]);
        assert!(HTTP_BOUNDS_US.is_sorted());
        agree(&OVERHEAD_BOUNDS, &OVERHEAD_BOUNDS_US);
    }

    #[test]
    fn a_bound_belongs_to_its_own_bucket_and_the_rest_to_infinity() {
        let histogram = HttpHistogram::default();
        histogram.observe(Duration::from_millis(5));
        histogram.observe(Duration::from_micros(5_001));
        histogram.observe(Duration::from_mins(1));
        histogram.observe(Duration::from_micros(150));
        let (counts, sum) = histogram.conventional();
        assert_eq!(counts[0], 2);
        assert_eq!(counts[1], 1);
        assert_eq!(counts[14], 1);
        assert_eq!(sum, 150 + 5_000 + 5_001 + 60_000_000);
    }
    #[test]
    fn quantiles_are_guessed_within_their_bucket() {
        let bounds = [100, 200, 400];
        assert_eq!(quantile(&bounds, &[0, 0, 0, 0], 0.5), None);
        assert_eq!(quantile(&bounds, &[10, 10, 0, 0], 0.5), Some(100.0));
        assert_eq!(quantile(&bounds, &[0, 10, 0, 0], 0.5), Some(150.0));
        assert_eq!(quantile(&bounds, &[0, 0, 0, 3], 0.99), Some(400.0));
        assert_eq!(quantile(&bounds, &[98, 0, 2, 0], 0.99), Some(300.0));
    }
}
