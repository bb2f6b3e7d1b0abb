//! What a rollout's guard looks at: on one route, the color's version beside the default one.
//! A few relaxed additions per request, and only on routes whose service a rollout moves.

use std::array::from_fn;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
use std::time::Duration;

/// Buckets of latency: eight to an octave, so that a tenth more is seen.
pub const BUCKETS: usize = 8 * OCTAVES as usize;
/// From 64 µs to 17 s.
const OCTAVES: u32 = 18;
/// The octave of the first bucket: 2⁶ µs.
const FIRST: u32 = 6;

/// Counts that only rise (and wrap).
#[derive(Debug)]
pub struct Cell {
    requests: AtomicU32,
    failures: AtomicU32,
    latency: [AtomicU32; BUCKETS],
}

/// The two sides of a comparison on one route.
#[derive(Debug, Default)]
pub struct Pair {
    pub color: Cell,
    pub default: Cell,
}

/// What a cell has counted, or counted between two readings.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reading {
    pub requests: u32,
    pub failures: u32,
    pub latency: [u32; BUCKETS],
}

impl Default for Cell {
    fn default() -> Self {
        Self {
            requests: AtomicU32::new(0),
            failures: AtomicU32::new(0),
            latency: [const { AtomicU32::new(0) }; BUCKETS],
        }
    }
}

impl Default for Reading {
    fn default() -> Self {
        Self {
            requests: 0,
            failures: 0,
            latency: [0; BUCKETS],
        }
    }
}

impl Cell {
    /// Counts a request; streams have no latency worth comparing.
    pub fn observe(&self, failed: bool, took: Option<Duration>) {
        self.requests.fetch_add(1, Relaxed);
        if failed {
            self.failures.fetch_add(1, Relaxed);
        }
        if let Some(bucket) = took.and_then(|took| self.latency.get(bucket_of(took))) {
            bucket.fetch_add(1, Relaxed);
        }
    }

    pub fn read(&self) -> Reading {
        Reading {
            requests: self.requests.load(Relaxed),
            failures: self.failures.load(Relaxed),
            latency: from_fn(|at| self.latency.get(at).map_or(0, |n| n.load(Relaxed))),
        }
    }
}

impl Reading {
    /// What has come since an earlier reading.
    pub fn since(&self, before: &Self) -> Self {
        let counts = self.latency.iter().zip(&before.latency);
        let mut latency = [0; BUCKETS];
        for (slot, (now, then)) in latency.iter_mut().zip(counts) {
            *slot = now.wrapping_sub(*then);
        }
        Self {
            requests: self.requests.wrapping_sub(before.requests),
            failures: self.failures.wrapping_sub(before.failures),
            latency,
        }
    }

    /// How many have a latency.
    pub fn timed(&self) -> u32 {
        self.latency.iter().sum()
    }

    /// The bucket of the request that is `rank`-th by latency, from 1; `None`: there are fewer.
    pub fn bucket_at(&self, rank: u32) -> Option<usize> {
        let mut below = 0;
        self.latency.iter().position(|count| {
            below += count;
            below >= rank
        })
    }

    /// How many were surely slower than this.
    pub fn slower_than(&self, limit: Duration) -> u32 {
        let first = (0..BUCKETS).find(|bucket| lower_bound(*bucket) >= limit);
        let first = first.unwrap_or(BUCKETS);
        self.latency.iter().skip(first).sum()
    }

    /// A quantile, as the upper bound of its bucket.
    pub fn quantile(&self, q: f64) -> Option<Duration> {
        let rank = (f64::from(self.timed()) * q).ceil().max(1.0) as u32;
        self.bucket_at(rank).map(upper_bound)
    }
}

/// The bucket of a duration.
pub fn bucket_of(took: Duration) -> usize {
    let us = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
    let octave = us.max(1).ilog2();
    if octave < FIRST {
        return 0;
    }
    let eighth = (us >> (octave - 3)) & 7;
    let bucket = u64::from(octave - FIRST) * 8 + eighth;
    (bucket as usize).min(BUCKETS - 1)
}

/// Where a bucket begins.
fn lower_bound(bucket: usize) -> Duration {
    let octave = FIRST + (bucket / 8) as u32;
    Duration::from_micros((1_u64 << octave) + (((bucket % 8) as u64) << (octave - 3)))
}

/// Where a bucket ends.
pub fn upper_bound(bucket: usize) -> Duration {
    lower_bound(bucket + 1)
}

#[cfg(test)]
mod tests {
    use super::{BUCKETS, Cell, bucket_of, lower_bound, upper_bound};
    use std::time::Duration;

    #[test]
    fn a_duration_is_within_its_bucket_and_buckets_are_narrow() {
        for us in (64..9_000_000).step_by(997) {
            let took = Duration::from_micros(us);
            let bucket = bucket_of(took);
            assert!(
                lower_bound(bucket) <= took && took < upper_bound(bucket),
                "{us}"
            );
            assert!(upper_bound(bucket) <= lower_bound(bucket) * 9 / 8, "{us}");
        }
        assert_eq!(bucket_of(Duration::ZERO), 0);
        assert_eq!(bucket_of(Duration::MAX), BUCKETS - 1);
    }

    #[test]
    fn a_window_is_the_difference_of_two_readings() {
        let cell = Cell::default();
        cell.observe(true, Some(Duration::from_millis(1)));
        let before = cell.read();
        for ms in 1..=100 {
            cell.observe(ms > 90, Some(Duration::from_millis(ms)));
        }
        cell.observe(false, None);
        let window = cell.read().since(&before);
        assert_eq!(
            (window.requests, window.failures, window.timed()),
            (101, 10, 100)
        );
        let p99 = window.quantile(0.99).unwrap().as_millis();
        assert!((99..=112).contains(&p99), "{p99}");
        assert!((40..=50).contains(&window.slower_than(Duration::from_millis(50))));
    }
}
