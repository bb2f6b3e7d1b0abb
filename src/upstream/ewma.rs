//! Latency as a moving average that jumps at peaks and fades while nothing is measured, so that an
//! endpoint that was slow once becomes attractive again.

use super::clock;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

/// Time in which a measurement loses most of its weight, in milliseconds.
const TAU: f64 = 10_000.0;

/// Peak-sensitive average. Two requests that end at once may lose one measurement between them.
#[derive(Debug, Default)]
pub struct Latency {
    /// Nanoseconds.
    average: AtomicU64,
    /// When it was measured last, in milliseconds of the process's clock.
    at: AtomicU64,
}

impl Latency {
    pub fn observe(&self, took: Duration) {
        let now = clock::millis();
        let took = took.as_nanos() as f64;
        let left = self.left(now);
        let faded = self.average.load(Relaxed) as f64 * left;
        let average = if took > faded {
            took
        } else {
            faded + (took - faded) * (1.0 - left).max(0.05)
        };
        self.average.store(average as u64, Relaxed);
        self.at.store(now, Relaxed);
    }

    /// The average now, in nanoseconds.
    pub fn now(&self) -> f64 {
        self.average.load(Relaxed) as f64 * self.left(clock::millis())
    }

    /// How much of the last measurement's weight is left, 0 to 1.
    fn left(&self, now: u64) -> f64 {
        match now.saturating_sub(self.at.load(Relaxed)) {
            0 => 1.0, // most of the time under load
            since => (-(since as f64) / TAU).exp(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Latency;
    use std::time::Duration;

    #[test]
    fn peaks_count_at_once_and_fade_slowly() {
        let latency = Latency::default();
        latency.observe(Duration::from_millis(10));
        latency.observe(Duration::from_millis(100));
        assert!(latency.now() > 90e6);
        latency.observe(Duration::from_millis(10));
        assert!(latency.now() > 50e6);
        for _ in 0..200 {
            latency.observe(Duration::from_millis(10));
        }
        assert!(latency.now() < 12e6);
    }
}
