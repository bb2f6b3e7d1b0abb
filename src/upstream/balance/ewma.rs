//! The cheaper of two endpoints drawn by weight, cost being average latency times requests in
//! flight.

use super::shares::Shares;
use crate::upstream::Endpoint;

/// The first one that is drawn gives way only if it costs more by at least what the request would
/// cost with the other one, per unit of weight. Otherwise the draw decides, so that the weights
/// hold while little is in flight and latencies are alike.
pub fn pick(
    shares: &Shares,
    endpoints: &[Endpoint],
    eligible: &dyn Fn(usize) -> bool,
) -> Option<usize> {
    let (first, second) = shares.two(endpoints, eligible)?;
    let cost = |index: usize| endpoints.get(index).map(Cost::of);
    let gives_way = second.and_then(cost).zip(cost(first));
    let gives_way = gives_way.is_some_and(|(second, first)| first.gives_way_to(&second));
    second.filter(|_| gives_way).or(Some(first))
}

/// What a request costs with an endpoint.
struct Cost {
    /// Nanoseconds. An endpoint that was never measured costs next to nothing, so it is measured
    /// soon.
    latency: f64,
    /// In flight, this one counted.
    requests: f64,
    weight: f64,
}

impl Cost {
    fn of(endpoint: &Endpoint) -> Self {
        Self {
            latency: endpoint.state.latency.now() + 1.0,
            requests: f64::from(endpoint.state.in_flight()) + 1.0,
            weight: f64::from(endpoint.weight.max(1)),
        }
    }

    /// Where latencies are the same, this compares what is in flight here with what would be there,
    /// per unit of weight.
    fn gives_way_to(&self, other: &Self) -> bool {
        let excess = self.latency * self.requests - other.latency;
        excess * other.weight >= other.latency * other.requests * self.weight
    }
}
