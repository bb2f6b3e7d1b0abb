//! Adds bytes of bodies to the counters of routes and upstreams.

use super::context::RequestContext;

// Each chunk of a body passes here. The route and the version are looked up only where an addition
// is due.
impl RequestContext {
    /// Counts bytes of the request's body that have come from the client.
    pub fn count_request_in(&mut self, bytes: usize) {
        if self.body_counts.request.add(bytes) {
            let mut meter = self.body_counts.request;
            meter.settle(&self.route_series().bytes_in);
            self.body_counts.request = meter;
        }
    }

    /// Counts bytes of the answer's body that go to the client.
    pub fn count_response_out(&mut self, bytes: usize) {
        if self.body_counts.response.add(bytes) {
            let mut meter = self.body_counts.response;
            meter.settle(&self.route_series().bytes_out);
            self.body_counts.response = meter;
        }
    }

    /// Counts bytes of the request's body that go to the upstream.
    pub fn count_request_out(&mut self, bytes: usize) {
        if self.body_counts.sent.add(bytes) {
            let mut meter = self.body_counts.sent;
            if let Some(version) = self.version() {
                meter.settle(&version.counters.sent);
            }
            self.body_counts.sent = meter;
        }
    }

    /// Counts bytes of the answer's body that have come from the upstream.
    pub fn count_response_in(&mut self, bytes: usize) {
        if self.body_counts.received.add(bytes) {
            let mut meter = self.body_counts.received;
            if let Some(version) = self.version() {
                meter.settle(&version.counters.received);
            }
            self.body_counts.received = meter;
        }
    }

    /// Counts what is left of a try.
    pub fn settle_try(&mut self) {
        let mut sent = std::mem::take(&mut self.body_counts.sent);
        let mut received = std::mem::take(&mut self.body_counts.received);
        if let Some(version) = self.version() {
            sent.settle(&version.counters.sent);
            received.settle(&version.counters.received);
        }
    }

    /// Counts what is left of the exchange.
    pub fn settle_exchange(&mut self) {
        let (mut came, mut went) = (self.body_counts.request, self.body_counts.response);
        let series = self.route_series();
        came.settle(&series.bytes_in);
        went.settle(&series.bytes_out);
        (self.body_counts.request, self.body_counts.response) = (came, went);
    }
}
