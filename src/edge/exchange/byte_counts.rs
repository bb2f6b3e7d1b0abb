//! Bytes of bodies, counted by route and by upstream. A long exchange is counted as it goes on, so
//! that its counters do not stand still for hours; a short one costs one addition at its end.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// Bytes after which a total is added to the shared counter before the end of the exchange.
const STEP: u64 = 256 * 1024;

/// A total, and how much of it has been added to its counter.
#[derive(Debug, Clone, Copy, Default)]
pub struct Meter {
    pub total: u64,
    settled: u64,
}

impl Meter {
    /// Adds bytes. Returns whether so much has come that the shared counter is due.
    pub const fn add(&mut self, bytes: usize) -> bool {
        self.total += bytes as u64;
        self.total - self.settled >= STEP
    }

    /// Adds what has come since the last time to the counter.
    pub fn settle(&mut self, counter: &AtomicU64) {
        let fresh = self.total - self.settled;
        if fresh > 0 {
            counter.fetch_add(fresh, Relaxed);
            self.settled = self.total;
        }
    }
}

/// The byte counts of one request's bodies.
#[derive(Debug, Default)]
pub struct BodyCounts {
    /// From the client, and to it.
    pub request: Meter,
    pub response: Meter,
    /// To the upstream in this try, and from it.
    pub sent: Meter,
    pub received: Meter,
}

#[cfg(test)]
mod tests {
    use super::{Meter, STEP};
    use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

    #[test]
    fn a_total_is_counted_once_however_it_grows() {
        let counter = AtomicU64::new(0);
        let mut meter = Meter::default();
        assert!(!meter.add(STEP as usize - 1), "not due yet");
        assert!(meter.add(11));
        meter.settle(&counter);
        assert!(
            !meter.add(STEP as usize - 1),
            "counted from the last addition"
        );
        assert_eq!(counter.load(Relaxed), STEP + 10);
        meter.settle(&counter);
        meter.settle(&counter);
        assert_eq!(counter.load(Relaxed), 2 * STEP + 9);
    }
}
