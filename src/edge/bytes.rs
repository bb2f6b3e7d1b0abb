//! Bytes of bodies, counted by route and by upstream. A long exchange is counted as it goes on, so
//! that its counters do not stand still for hours; a short one costs one addition at its end.

use super::context::Journey;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// Bytes after which a total is added to the shared counter before the end of the exchange.
const STEP: u64 = 256 * 1024;

/// How much of a total that grows has been added to its counter.
#[derive(Debug, Clone, Copy, Default)]
struct Meter(u64);

impl Meter {
    /// Whether so much has come since the last addition that the next one is due.
    const fn is_due(self, total: u64) -> bool {
        total.saturating_sub(self.0) >= STEP
    }

    /// Adds what has come since the last time.
    fn settle(&mut self, total: u64, counter: &AtomicU64) {
        // A total that begins anew (a body that is sent again) counts from where it was left.
        let fresh = total.saturating_sub(self.0);
        if fresh > 0 {
            counter.fetch_add(fresh, Relaxed);
            self.0 = total;
        }
    }
}

/// The byte counts of one request's bodies.
#[derive(Debug, Default)]
pub struct BodyCounts {
    request: Meter,
    response: Meter,
    /// Sent in this try, and received.
    sent: (u64, Meter),
    received: (u64, Meter),
}

// Each chunk of a body passes here. The route and the version are looked up only where an addition
// is due.
impl Journey {
    /// Counts bytes of the request's body that have come from the client.
    pub fn count_request_in(&mut self, length: usize) {
        self.body_bytes += length as u64;
        let mut meter = self.body_counts.request;
        if meter.is_due(self.body_bytes) {
            meter.settle(self.body_bytes, &self.route_series().bytes_in);
            self.body_counts.request = meter;
        }
    }

    /// Counts bytes of the response's body that go to the client. `total`: all that have been
    /// written so far.
    pub fn count_response_out(&mut self, total: usize) {
        let total = total as u64;
        let mut meter = self.body_counts.response;
        if meter.is_due(total) {
            meter.settle(total, &self.route_series().bytes_out);
            self.body_counts.response = meter;
        }
    }

    /// Counts bytes of the request's body that go to the upstream.
    pub fn count_request_out(&mut self, length: usize) {
        let (total, mut meter) = self.body_counts.sent;
        let total = total + length as u64;
        if meter.is_due(total)
            && let Some(version) = self.version()
        {
            meter.settle(total, &version.counters.sent);
        }
        self.body_counts.sent = (total, meter);
    }

    /// Counts bytes of a response's body that have come from the upstream.
    pub fn count_response_in(&mut self, length: usize) {
        let (total, mut meter) = self.body_counts.received;
        let total = total + length as u64;
        if meter.is_due(total)
            && let Some(version) = self.version()
        {
            meter.settle(total, &version.counters.received);
        }
        self.body_counts.received = (total, meter);
    }

    /// Counts what is left of a try.
    pub fn settle_try(&mut self) {
        let (sent, mut up) = std::mem::take(&mut self.body_counts.sent);
        let (received, mut down) = std::mem::take(&mut self.body_counts.received);
        if let Some(version) = self.version() {
            up.settle(sent, &version.counters.sent);
            down.settle(received, &version.counters.received);
        }
    }

    /// Counts what is left of the exchange; so many bytes have been written to the client in all.
    pub fn settle_exchange(&self, written: usize) {
        let series = self.route_series();
        let (mut came, mut went) = (self.body_counts.request, self.body_counts.response);
        came.settle(self.body_bytes, &series.bytes_in);
        went.settle(written as u64, &series.bytes_out);
    }
}

#[cfg(test)]
mod tests {
    use super::{Meter, STEP};
    use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

    #[test]
    fn a_total_is_counted_once_however_it_grows() {
        let counter = AtomicU64::new(0);
        let mut meter = Meter::default();
        assert!(!meter.is_due(STEP - 1), "not worth it yet");
        assert!(meter.is_due(STEP + 10));
        meter.settle(STEP + 10, &counter);
        assert!(
            !meter.is_due(2 * STEP + 9),
            "counted from the last addition"
        );
        assert_eq!(counter.load(Relaxed), STEP + 10);
        meter.settle(STEP + 30, &counter);
        meter.settle(STEP + 30, &counter);
        assert_eq!(counter.load(Relaxed), STEP + 30);
        // The same body once more.
        for total in [5, STEP, STEP + 30] {
            meter.settle(total, &counter);
        }
        assert_eq!(counter.load(Relaxed), STEP + 30);
    }
}
