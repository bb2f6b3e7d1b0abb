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
    /// Adds what has come since the last time, once that is worth it.
    fn advance(&mut self, total: u64, counter: &AtomicU64) {
        if total.saturating_sub(self.0) >= STEP {
            self.settle(total, counter);
        }
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

/// The counts of one request.
#[derive(Debug, Default)]
pub struct Bytes {
    request: Meter,
    response: Meter,
    /// Sent in this try, and received.
    sent: (u64, Meter),
    received: (u64, Meter),
}

impl Journey {
    /// So much of the request's body has come from the client.
    pub fn takes_in(&mut self, length: usize) {
        self.body_bytes += length as u64;
        let mut meter = self.bytes.request;
        meter.advance(self.body_bytes, &self.route_series().bytes_in);
        self.bytes.request = meter;
    }

    /// So many bytes of a body have been written to the client in all.
    pub fn gives_out(&mut self, total: usize) {
        let mut meter = self.bytes.response;
        meter.advance(total as u64, &self.route_series().bytes_out);
        self.bytes.response = meter;
    }

    /// So much of the request's body goes to the upstream.
    pub fn sends_up(&mut self, length: usize) {
        let (total, mut meter) = self.bytes.sent;
        let total = total + length as u64;
        if let Some(version) = self.version() {
            meter.advance(total, &version.counters.sent);
        }
        self.bytes.sent = (total, meter);
    }

    /// So much of an answer's body has come from the upstream.
    pub fn receives(&mut self, length: usize) {
        let (total, mut meter) = self.bytes.received;
        let total = total + length as u64;
        if let Some(version) = self.version() {
            meter.advance(total, &version.counters.received);
        }
        self.bytes.received = (total, meter);
    }

    /// Counts what is left of a try.
    pub fn settle_try(&mut self) {
        let (sent, mut up) = std::mem::take(&mut self.bytes.sent);
        let (received, mut down) = std::mem::take(&mut self.bytes.received);
        if let Some(version) = self.version() {
            up.settle(sent, &version.counters.sent);
            down.settle(received, &version.counters.received);
        }
    }

    /// Counts what is left of the exchange; so many bytes have been written to the client in all.
    pub fn settle_exchange(&self, written: usize) {
        let series = self.route_series();
        let (mut came, mut went) = (self.bytes.request, self.bytes.response);
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
        meter.advance(10, &counter);
        assert_eq!(counter.load(Relaxed), 0, "not worth it yet");
        meter.advance(STEP + 10, &counter);
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
